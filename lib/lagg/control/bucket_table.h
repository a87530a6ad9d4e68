// The flow table: bucket -> member.  Resilient: a member that leaves gives up its own buckets and
// no other moves; one that joins takes its share and no bucket moves between two others.
#pragma once

#include "lagg/types.h"

#include <array>
#include <cstdint>
#include <span>

namespace lagg {

struct share {
    member_id id = no_member;
    std::uint32_t weight = 1; // at least 1
};

class bucket_table {
public:
    bucket_table();

    /// Moves the fewest buckets so that each of `shares` (distinct, at most max_members, any order)
    /// owns its part of the table: floor or ceiling of bucket_count * weight / sum, and at least
    /// one bucket.  The result depends on the present table and on `shares` only.  Empty: nobody
    /// owns any.
    void assign(std::span<share const> shares);

    /// no_member when nobody distributes.
    member_id owner(std::size_t bucket) const noexcept { return owner_[bucket]; }
    std::size_t owned_by(member_id id) const noexcept;

private:
    std::array<member_id, bucket_count> owner_;
};

} // namespace lagg
