// Frame Distributor: who gets a frame, as an index into a snapshot's distributing set.
// In: a snapshot's rules, flow hashes, a queue's cursor.  Out: a transmit_plan.
// Knows no frame, no mbuf, no counter.
#pragma once

#include "lagg/datapath/grouped_frames.h"
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
                         std::size_t count, std::uint8_t* member_of) noexcept {
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
        member_of[i] = static_cast<std::uint8_t>(member);
        if (--left == 0) {
            left = stride;
            ++member;
            member = member == members ? 0 : member;
        }
    }
    cursor.member = member;
    cursor.left = left;
}

/// Copies every `step`-th frame, beginning with `from`; returns how many.
template<class Frame>
std::size_t gather_every(std::size_t step, Frame const* frames, std::size_t from, std::size_t count,
                         Frame* group) noexcept {
    std::size_t size = 0;
    std::size_t i = from;
    for (; i + 3 * step < count;
         i += 4 * step) { // four at a time: the loop costs as much as a copy
        Frame const* const f = frames + i;
        group[size] = f[0];
        group[size + 1] = f[step];
        group[size + 2] = f[2 * step];
        group[size + 3] = f[3 * step];
        size += 4;
    }
    for (; i < count; i += step) {
        group[size++] = frames[i];
    }
    return size;
}

/// in_turn, grouped, for turns of one frame each: what nearly everybody has.  Leaves
/// groups.member to deal_in_turn().  `members`: at least 1; `count`: at most chunk_size.
template<class Frame>
void group_in_turn(turn_cursor& cursor, std::size_t members, Frame const* frames, std::size_t count,
                   grouped_frames<Frame>& groups) noexcept {
    std::size_t const start = cursor.member < members ? cursor.member : 0;
    std::size_t member = start;
    std::size_t size = 0;
    for (std::size_t turn = 0; turn < members; ++turn) {
        std::size_t const at = member * chunk_size;
        size = gather_every(members, frames, turn, count, groups.frame.data() + at);
        groups.first[member] = static_cast<std::uint16_t>(at);
        groups.size[member] = static_cast<std::uint8_t>(size);
        ++member;
        member = member == members ? 0 : member;
    }
    std::size_t const next = start + (count - size * members); // the last one had whole rounds only
    cursor.member = static_cast<std::uint32_t>(next < members ? next : next - members);
    cursor.left = 0;
}

inline void deal_in_turn(turn_cursor& cursor, std::uint32_t members, std::uint32_t stride,
                         std::size_t count, transmit_plan& plan) noexcept {
    deal_in_turn(cursor, members, stride, count, plan.member.data());
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
