// Flows that move from a member that works to another one wait until what was sent of them has
// arrived: a Marker goes out behind it (IEEE 802.1AX-2014 6.5), and its answer ends the wait, or
// the wait's bound does.  Per set of buckets that move at once; never for the whole lagg.
// Knows no snapshot, no frame and no port: who sends Markers is told, and tells.
#pragma once

#include "lagg/control/bucket_table.h"
#include "lagg/types.h"

#include <array>
#include <bitset>
#include <cstdint>
#include <vector>

namespace lagg {

class reorder_guard {
public:
    using bucket_set = std::bitset<bucket_count>;
    using member_set = std::bitset<max_members>;

    /// The table changes, with snapshot `version`.  Buckets that leave one of `alive` are held
    /// until `hold_until` at the latest; those whose member is not among them are not.  The answer
    /// is awaited until `wait_until`, not before `hold_until`: waits_for().
    /// A member whose partner has not answered twice in a row is asked, and not waited for.
    void table_changed(bucket_table const& before, bucket_table const& after,
                       member_set const& alive, std::uint64_t version, time_point hold_until,
                       time_point wait_until);

    /// The newest snapshot is `version`: a change of the table that made none, because what bursts
    /// do is the same, waits for the bursts before that one.
    void newest_is(std::uint64_t version) noexcept;

    /// No burst runs on a snapshot older than `version`: members that a Marker has to follow on
    /// now.
    std::vector<member_id> bursts_ended(std::uint64_t version);
    /// Sent on `id`, one for each of its queues: the wait is over when all came back.  None: when
    /// none could be sent, it is over now.
    void sent(member_id id, std::vector<std::uint32_t> const& transactions);
    void answered(member_id id, std::uint32_t transaction);
    /// Lets go of buckets, and ends waits, that are due.
    void expire(time_point now);
    /// Nothing that was sent on it will arrive, or it is another partner's now.
    void forget(member_id id);
    void clear();

    bucket_set held() const noexcept;
    /// The member's last frames may not have arrived, and its partner is one that would say so.
    bool waits_for(member_id id) const noexcept;
    bool idle() const noexcept { return waits_.empty(); }
    /// Bursts older than this snapshot are awaited; 0: none.
    std::uint64_t awaited_version() const noexcept;
    time_point next_deadline() const noexcept;

private:
    enum class stage : std::uint8_t { bursts, marker };
    struct wait {
        member_id from = no_member;
        bucket_set buckets; // held
        std::uint64_t version = 0;
        time_point hold_until = never;
        time_point wait_until = never;
        reorder_guard::stage stage = stage::bursts;
        std::vector<std::uint32_t> outstanding;
    };

    void came_home(bucket_table const& table);

    std::vector<wait> waits_;
    std::array<std::uint8_t, max_members> unanswered_{}; // in a row
};

} // namespace lagg
