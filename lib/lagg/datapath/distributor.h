// Frame Distributor: who gets a frame, as an index into a snapshot's distributing set.
// In: a snapshot's rules, flow hashes, a queue's cursor.  Out: a transmit_plan.
// Knows no frame, no mbuf, no counter.
#pragma once

#include "lagg/datapath/transmit_plan.h"
#include "lagg/snapshot.h"

#include <cassert>
#include <cstddef>
#include <cstdint>

namespace lagg {

/// Where a queue is in its round of turns.  It survives bursts and snapshots; whatever it says is
/// put right against the snapshot at hand.
struct turn_cursor {
    std::uint32_t member = 0; // whose turn it is
    std::uint32_t left = 0;   // frames still to come in this turn; 0: all of them
};

/// in_turn: `stride` frames each, beginning where the cursor is.  A member that is no longer there
/// leaves its turn to the first one.  `members`, `stride`: at least 1; `count`: at most chunk_size.
inline void deal_in_turn(turn_cursor& cursor, std::uint32_t members, std::uint32_t stride,
                         std::size_t count, transmit_plan& plan) noexcept {
    assert(members > 0 && stride > 0 && count <= chunk_size);
    std::uint32_t member = cursor.member;
    std::uint32_t left = cursor.left;
    if (member >= members) {
        member = 0;
        left = stride;
    }
    if (left == 0 || left > stride) {
        left = stride;
    }
    for (std::size_t i = 0; i < count; ++i) {
        plan.member[i] = static_cast<std::uint8_t>(member);
        if (--left == 0) {
            left = stride;
            ++member;
            member = member == members ? 0 : member;
        }
    }
    cursor.member = member;
    cursor.left = left;
}

/// by_flow: the member of one flow.
constexpr std::uint8_t member_of_flow(snapshot const& s, std::uint32_t hash) noexcept {
    static_assert((bucket_count & (bucket_count - 1)) == 0);
    return s.bucket[hash & (bucket_count - 1)];
}

/// by_flow for `count` frames, at most chunk_size.
inline void deal_by_flow(snapshot const& s, std::uint32_t const* hashes, std::size_t count,
                         transmit_plan& plan) noexcept {
    assert(count <= chunk_size);
    for (std::size_t i = 0; i < count; ++i) {
        plan.member[i] = member_of_flow(s, hashes[i]);
    }
}

} // namespace lagg
