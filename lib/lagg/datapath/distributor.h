// Frame Distributor: who gets a frame, as an index into a snapshot's distributing set.
// In: a snapshot's rules, flow hashes, a queue's cursor.  Out: members, or frames grouped by
// member. Knows no mbuf, no counter.
#pragma once

#include "lagg/datapath/grouped_frames.h"
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

    /// Whoever is no longer there leaves the turn to the first one.  Both at least 1.
    void put_right(std::uint32_t members, std::uint32_t stride) noexcept {
        if (member >= members) {
            member = 0;
            left = stride;
        }
        if (left == 0 || left > stride) {
            left = stride;
        }
    }
    /// `frames`: at most `left` of them were dealt.
    void advance(std::uint32_t frames, std::uint32_t members, std::uint32_t stride) noexcept {
        left -= frames;
        if (left == 0) {
            left = stride;
            ++member;
            member = member == members ? 0 : member;
        }
    }
};

/// in_turn: `stride` frames each, beginning where the cursor is.
/// `members`, `stride`: at least 1; `count`: at most chunk_size.
inline void deal_in_turn(turn_cursor& cursor, std::uint32_t members, std::uint32_t stride,
                         std::size_t count, std::uint8_t* member_of) noexcept {
    assert(members > 0 && stride > 0 && count <= chunk_size);
    turn_cursor turn = cursor;
    turn.put_right(members, stride);
    for (std::size_t i = 0; i < count; ++i) {
        member_of[i] = static_cast<std::uint8_t>(turn.member);
        turn.advance(1, members, stride);
    }
    cursor = turn;
}

/// Frames dealt in turn, one each, by column: the c-th in a round is the c-th member from the
/// cursor on.  Column c begins at c * chunk_size and has `rounds` frames, and one more if c < rest.
struct dealt {
    std::size_t rounds;
    std::size_t rest; // frames of the last round, less than members
};

/// What deal_columns() does after the first `rounds` rounds.  Out of line: the vector forms leave
/// it little or nothing.
template<class Frame>
[[gnu::noinline]] dealt finish_columns(std::size_t members, Frame const* frames, std::size_t count,
                                       std::size_t rounds, Frame* columns) noexcept {
    std::size_t at = rounds * members;
    for (; at + members <= count; at += members, ++rounds) {
        for (std::size_t c = 0; c < members; ++c) {
            columns[c * chunk_size + rounds] = frames[at + c];
        }
    }
    std::size_t const rest = count - at;
    for (std::size_t c = 0; c < rest; ++c) {
        columns[c * chunk_size + rounds] = frames[at + c];
    }
    return {rounds, rest};
}

/// in_turn, for turns of one frame each, which is what nearly everybody has.
/// `members`: at least 1; `count`: at most chunk_size; `columns`: room for members * chunk_size.
template<class Frame>
dealt deal_columns(std::size_t members, Frame const* frames, std::size_t count,
                   Frame* columns) noexcept {
    return finish_columns(members, frames, count, 0, columns);
}

/// The frames of column `c` in a chunk of `count`, but the first `taken` of them.
inline frame_set refused_of_column(std::size_t members, std::size_t c, std::size_t taken,
                                   std::size_t count) noexcept {
    frame_set set = 0;
    for (std::size_t i = c + taken * members; i < count; i += members) {
        set |= frame_set{1} << i;
    }
    return set;
}

/// What copy_to_each() does from frame `at` on.
template<class Frame>
[[gnu::noinline]] void copy_rest_to_each(std::size_t members, Frame const* frames, std::size_t at,
                                         std::size_t count, Frame* columns) noexcept {
    for (; at < count; ++at) {
        Frame* to = columns + at;
        for (std::size_t m = members; m > 0; --m, to += chunk_size) {
            *to = frames[at];
        }
    }
}

/// to_all: the frames once for each member, for a driver may write to the list that it is given.
/// Member m's begin at m * chunk_size.  `count`: at most chunk_size.
template<class Frame>
void copy_to_each(std::size_t members, Frame const* frames, std::size_t count,
                  Frame* columns) noexcept {
    copy_rest_to_each(members, frames, 0, count, columns);
}

/// by_flow: the member of one flow.
constexpr std::uint8_t member_of_flow(snapshot const& s, std::uint32_t hash) noexcept {
    static_assert((bucket_count & (bucket_count - 1)) == 0);
    return s.bucket[hash & (bucket_count - 1)];
}

} // namespace lagg
