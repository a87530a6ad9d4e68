// Each frame of a burst to one of several members: in turn, or by its flow.  A frame that a member
// refuses goes back to the caller.  Burst side: knows neither lagg/control nor lacp.
#include "lagg_grouping.h"
#include "lagg_tx_ways.h"

#include "lagg/datapath/distributor.h"
#include "lagg/datapath/frame_set.h"
#include "lagg/datapath/grouped_frames.h"

#include <algorithm>
#include <cstddef>
#include <utility>

namespace lagg::pmd {

namespace {

using frame_groups = grouped_frames<rte_mbuf*>;

/// The chunk that is being sent, and what was refused.  A member that refused gets nothing more of
/// the burst: a later frame of a flow must not pass an earlier one that the caller will try again.
struct chunk_state {
    rte_mbuf** frames;
    std::size_t count;
    frame_set refused = 0; // of this chunk
    member_set refusing = 0;

    /// Member `m` took the first `taken` frames of its group only.
    [[gnu::noinline, gnu::cold]] void refuse_share(frame_groups const& groups, std::size_t m,
                                                   std::size_t taken) noexcept {
        refuse(m, refused_of(groups, m, taken, count),
               groups.frame.data() + groups.first[m] + taken);
    }
    /// The same where frames were dealt to `members`, and it was to get column `c`; `left` begins
    /// with the first that it did not take.
    [[gnu::noinline, gnu::cold]] void refuse_column(std::size_t m, std::size_t members,
                                                    std::size_t c, std::size_t taken,
                                                    rte_mbuf* const* left) noexcept {
        refuse(m, refused_of_column(members, c, taken, count), left);
    }

private:
    /// They go back to where they were.
    void refuse(std::size_t m, frame_set which, rte_mbuf* const* left) noexcept {
        put_back(frames, which, left);
        refused |= which;
        refusing |= member_set{1} << m;
    }
};

/// What was refused becomes the tail of a burst of one chunk.  Returns how many frames were taken.
[[gnu::noinline, gnu::cold]] std::uint16_t give_back(chunk_state const& chunk) noexcept {
    leftovers<rte_mbuf*> left(chunk.frames);
    left.keep(0, chunk.refused);
    return static_cast<std::uint16_t>(left.finish(chunk.count));
}

/// Most bursts are: they go a shorter way.
bool is_one_chunk(snapshot const& s, std::uint16_t count) noexcept {
    return count <= chunk_size && !s.tx_prepare;
}

/// One member burst for each member that gets something; none needs a prepare.
[[gnu::always_inline]] inline void send_shares(tx_queue& q, snapshot const& s, chunk_state& chunk,
                                               frame_groups& groups) noexcept {
    distributing_member const* const members = s.distributing.begin();
    std::size_t const member_count = s.distributing.size();
    for (std::size_t m = 0; m < member_count; ++m) {
        std::uint16_t const size = groups.size[m];
        if (size == 0) {
            continue;
        }
        std::uint16_t const taken =
            send_prepared(q, members[m], groups.frame.data() + groups.first[m], size);
        if (taken < size) [[unlikely]] {
            chunk.refuse_share(groups, m, taken);
        }
    }
}

/// The same where there are far more members than frames: from frame to frame.
[[gnu::always_inline]] inline void
send_few_shares(tx_queue& q, snapshot const& s, chunk_state& chunk, frame_groups& groups) noexcept {
    distributing_member const* const members = s.distributing.begin();
    for (std::size_t i = 0; i < chunk.count; ++i) {
        std::size_t const m = groups.member[i];
        std::uint16_t const size = std::exchange(groups.size[m], 0);
        if (size == 0) { // an earlier frame's, too
            continue;
        }
        std::uint16_t const taken =
            send_prepared(q, members[m], groups.frame.data() + groups.first[m], size);
        if (taken < size) [[unlikely]] {
            chunk.refuse_share(groups, m, taken);
        }
    }
}

/// The same with a prepare, and when some members refuse already.
[[gnu::noinline, gnu::cold]] void send_shares_to_some(tx_queue& q, snapshot const& s,
                                                      chunk_state& chunk,
                                                      frame_groups& groups) noexcept {
    member_set const refusing = chunk.refusing;
    for (std::size_t m = 0; m < s.distributing.size(); ++m) {
        std::uint16_t const size = groups.size[m];
        bool const asked = size > 0 && (refusing >> m & 1U) == 0;
        std::uint16_t const taken =
            asked ? give(s, q, s.distributing[m], groups.frame.data() + groups.first[m], size)
                  : std::uint16_t{0};
        if (taken < size) {
            chunk.refuse_share(groups, m, taken);
        }
    }
}

/// Sends a burst chunk by chunk as `by` groups it.
/// by.group(chunk, size, groups): fills all of `groups`, returns the frames that nobody may have
/// now.
template<class Grouping>
[[gnu::always_inline]] inline std::uint16_t send_groups(tx_queue& q, snapshot const& s,
                                                        rte_mbuf** frames, std::uint16_t count,
                                                        Grouping by) noexcept {
    leftovers<rte_mbuf*> left(frames);
    chunk_state chunk{frames, 0};
    frame_groups groups;
    for (std::size_t at = 0; at < count; at += chunk_size) {
        chunk.frames = frames + at;
        chunk.count = std::min(chunk_size, count - at);
        chunk.refused = by.group(chunk.frames, chunk.count, groups);
        if (chunk.refusing != 0 || s.tx_prepare) [[unlikely]] {
            send_shares_to_some(q, s, chunk, groups);
        } else {
            send_shares(q, s, chunk, groups);
        }
        if (chunk.refused != 0) [[unlikely]] {
            left.keep(at, chunk.refused);
        }
    }
    return static_cast<std::uint16_t>(left.finish(count));
}

/// Several frames to each member in turn.
struct some_each {
    turn_cursor& turn;
    std::uint32_t members;
    std::uint32_t stride;

    frame_set group(rte_mbuf* const* chunk, std::size_t count, frame_groups& groups) noexcept {
        deal_in_turn(turn, members, stride, count, groups.member.data());
        many_groups<rte_mbuf*> fill(groups, members);
        for (std::size_t i = 0; i < count; ++i) {
            fill.put(chunk[i], groups.member[i]);
        }
        return 0;
    }
};

struct each_its_flows {
    flow_table table;
    group_variant const& variant;

    frame_set group(rte_mbuf* const* chunk, std::size_t count, frame_groups& groups) noexcept {
        variant.by_flow(table, chunk, count, groups);
        return 0;
    }
};

struct each_its_flows_unless_held {
    flow_table table;

    frame_set group(rte_mbuf* const* chunk, std::size_t count, frame_groups& groups) noexcept {
        std::uint32_t hashes[chunk_size];
        hash_frames<mbuf_reader>(table, chunk, count, hashes);
        many_groups<rte_mbuf*> fill(groups, table.members);
        frame_set held = 0;
        for (std::size_t i = 0; i < count; ++i) {
            std::uint8_t const member = table.bucket[hashes[i] % bucket_count];
            groups.member[i] = member;
            if (member == held_bucket) {
                held |= frame_set{1} << i;
            } else {
                fill.put(chunk[i], member);
            }
        }
        return held;
    }
};

/// Columns from `c` on go to members in order, who need no prepare; column 0 is member `first`'s.
[[gnu::always_inline]] inline void send_columns(tx_queue& q, snapshot const& s, chunk_state& chunk,
                                                rte_mbuf** columns, std::size_t first, dealt turns,
                                                std::size_t c = 0) noexcept {
    std::size_t const members = s.distributing.size();
    std::size_t m = first + c < members ? first + c : first + c - members;
    for (; c < members; ++c) {
        auto const size = static_cast<std::uint16_t>(turns.rounds + (c < turns.rest ? 1 : 0));
        if (size == 0) {
            break;
        }
        rte_mbuf** const column = columns + c * chunk_size;
        std::uint16_t const taken = send_prepared(q, s.distributing[m], column, size);
        if (taken < size) [[unlikely]] {
            chunk.refuse_column(m, members, c, taken, column + taken);
        }
        m = m + 1 == members ? 0 : m + 1;
    }
}

/// The same with a prepare, and when some members refuse already: they get nothing.
[[gnu::noinline, gnu::cold]] void send_columns_to_some(tx_queue& q, snapshot const& s,
                                                       chunk_state& chunk, rte_mbuf** columns,
                                                       std::size_t first, dealt turns) noexcept {
    std::size_t m = first;
    std::size_t const members = s.distributing.size();
    for (std::size_t c = 0; c < members; ++c) {
        auto const size = static_cast<std::uint16_t>(turns.rounds + (c < turns.rest ? 1 : 0));
        rte_mbuf** const column = columns + c * chunk_size;
        bool const asked = size > 0 && (chunk.refusing >> m & 1U) == 0;
        std::uint16_t const taken =
            asked ? give(s, q, s.distributing[m], column, size) : std::uint16_t{0};
        if (taken < size) {
            chunk.refuse_column(m, members, c, taken, column + taken);
        }
        m = m + 1 == members ? 0 : m + 1;
    }
}

/// Whose turn it is, of `members`.
std::size_t whose_turn(tx_queue const& q, std::size_t members) noexcept {
    return q.turn.member < members ? q.turn.member : 0;
}

/// A frame to each member in turn: any burst.
[[gnu::noinline]] std::uint16_t chunks_in_turn(tx_queue& q, snapshot const& s, rte_mbuf** frames,
                                               std::uint16_t count) noexcept {
    std::size_t const members = s.distributing.size();
    std::size_t first = whose_turn(q, members);
    leftovers<rte_mbuf*> left(frames);
    chunk_state chunk{frames, 0};
    rte_mbuf* columns[max_members * chunk_size];

    for (std::size_t at = 0; at < count; at += chunk_size) {
        chunk.frames = frames + at;
        chunk.count = std::min(chunk_size, count - at);
        dealt const turns = grouping().in_turn(members, chunk.frames, chunk.count, columns);
        if (chunk.refusing != 0 || s.tx_prepare) [[unlikely]] {
            send_columns_to_some(q, s, chunk, columns, first, turns);
        } else {
            send_columns(q, s, chunk, columns, first, turns);
        }
        if (chunk.refused != 0) [[unlikely]] {
            left.keep(at, std::exchange(chunk.refused, 0));
        }
        first += turns.rest;
        first = first < members ? first : first - members;
    }
    q.turn = {static_cast<std::uint32_t>(first), 0};
    return static_cast<std::uint16_t>(left.finish(count));
}

/// One chunk that needs no prepare, when it is not the first one's turn, or when some members get a
/// frame more than others.
[[gnu::noinline]] std::uint16_t turns_from(tx_queue& q, snapshot const& s, rte_mbuf** frames,
                                           std::uint16_t count, rte_mbuf** columns,
                                           std::size_t first, dealt turns) noexcept {
    std::size_t const members = s.distributing.size();
    std::size_t const next = first + turns.rest;
    q.turn = {static_cast<std::uint32_t>(next < members ? next : next - members), 0};
    chunk_state chunk{frames, count};
    send_columns(q, s, chunk, columns, first, turns);
    return chunk.refused == 0 ? count : give_back(chunk);
}

/// The rest of a chunk of full rounds, the first one's turn first, after member `m`, who took the
/// first `taken` of its frames only.
[[gnu::noinline, gnu::cold]] std::uint16_t
full_rounds_after(tx_queue& q, snapshot const& s, rte_mbuf** frames, std::uint16_t count,
                  rte_mbuf** columns, dealt turns, std::size_t m, std::size_t taken) noexcept {
    std::size_t const members = s.distributing.size();
    chunk_state chunk{frames, count};
    chunk.refuse_column(m, members, m, taken, columns + m * chunk_size + taken);
    send_columns(q, s, chunk, columns, 0, turns, m + 1);
    return give_back(chunk);
}

/// One chunk that needs no prepare, as most bursts are; mostly of full rounds, so that it is the
/// first one's turn again and again.
[[gnu::always_inline]] inline std::uint16_t
chunk_in_turn(tx_queue& q, snapshot const& s, rte_mbuf** frames, std::uint16_t count) noexcept {
    std::size_t const members = s.distributing.size();
    rte_mbuf* columns[max_members * chunk_size];
    dealt const turns = grouping().in_turn(members, frames, count, columns);
    std::size_t const first = whose_turn(q, members);
    if ((first | turns.rest) != 0) {
        return turns_from(q, s, frames, count, columns, first, turns);
    }
    auto const size = static_cast<std::uint16_t>(turns.rounds);
    rte_mbuf** column = columns;
    for (distributing_member const& m : s.distributing) {
        std::uint16_t const taken = send_prepared(q, m, column, size);
        if (taken < size) [[unlikely]] {
            return full_rounds_after(q, s, frames, count, columns, turns,
                                     static_cast<std::size_t>(&m - s.distributing.begin()), taken);
        }
        column += chunk_size;
    }
    return count;
}

[[gnu::noinline]] std::uint16_t short_turns(tx_queue& q, snapshot const& s, rte_mbuf** frames,
                                            std::uint16_t count) noexcept {
    auto const members = static_cast<std::uint32_t>(s.distributing.size());
    return send_groups(q, s, frames, count, some_each{q.turn, members, s.stride});
}

/// Each turn is handed over as it lies in the burst.
[[gnu::noinline]] std::uint16_t long_turns(tx_queue& q, snapshot const& s, rte_mbuf** frames,
                                           std::uint16_t count) noexcept {
    auto const members = static_cast<std::uint32_t>(s.distributing.size());
    std::uint32_t refusing = 0; // bit m: member m
    leftovers<rte_mbuf*> left(frames);
    turn_cursor turn = q.turn;
    turn.put_right(members, s.stride);
    for (std::uint32_t at = 0; at < count;) {
        auto const run = static_cast<std::uint16_t>(std::min(turn.left, count - at));
        std::uint32_t const m = turn.member;
        bool const refuses = (refusing >> m & 1U) != 0;
        std::uint16_t const taken =
            refuses ? std::uint16_t{0} : give(s, q, s.distributing[m], frames + at, run);
        if (taken < run) [[unlikely]] {
            refusing |= 1U << m;
            left.keep_run(at + taken, at + run);
        }
        at += run;
        turn.advance(run, members, s.stride);
    }
    q.turn = turn;
    return static_cast<std::uint16_t>(left.finish(count));
}

/// From so many frames on in a turn another call costs less than copying.
constexpr std::uint32_t long_turn = 8;

std::uint16_t in_turn(tx_queue& q, snapshot const& s, rte_mbuf** frames,
                      std::uint16_t count) noexcept {
    if (s.stride == 1) {
        return is_one_chunk(s, count) ? chunk_in_turn(q, s, frames, count)
                                      : chunks_in_turn(q, s, frames, count);
    }
    return s.stride < long_turn ? short_turns(q, s, frames, count)
                                : long_turns(q, s, frames, count);
}

[[gnu::noinline]] std::uint16_t chunks_by_flow(tx_queue& q, snapshot const& s, rte_mbuf** frames,
                                               std::uint16_t count) noexcept {
    flow_table const table{s.hash, s.hash_plan, s.bucket, s.distributing.size()};
    return send_groups(q, s, frames, count, each_its_flows{table, grouping()});
}

/// In the same function as the burst's end: measured, 2 % less for 32 frames, 5 to 15 % for four.
[[gnu::always_inline]] inline std::uint16_t
chunk_by_flow(tx_queue& q, snapshot const& s, rte_mbuf** frames, std::uint16_t count) noexcept {
    flow_table const table{s.hash, s.hash_plan, s.bucket, s.distributing.size()};
    frame_groups groups;
    grouping().by_flow(table, frames, count, groups);
    chunk_state chunk{frames, count};
    if (std::size_t{4} * count <= table.members) { // measured
        send_few_shares(q, s, chunk, groups);
    } else {
        send_shares(q, s, chunk, groups);
    }
    return chunk.refused == 0 ? count : give_back(chunk);
}

std::uint16_t by_flow(tx_queue& q, snapshot const& s, rte_mbuf** frames,
                      std::uint16_t count) noexcept {
    return is_one_chunk(s, count) ? chunk_by_flow(q, s, frames, count)
                                  : chunks_by_flow(q, s, frames, count);
}

/// The same; frames of flows that are about to move stay the caller's.
std::uint16_t by_flow_held(tx_queue& q, snapshot const& s, rte_mbuf** frames,
                           std::uint16_t count) noexcept {
    flow_table const table{s.hash, s.hash_plan, s.bucket, s.distributing.size()};
    return send_groups(q, s, frames, count, each_its_flows_unless_held{table});
}

} // namespace

[[gnu::flatten]] std::uint16_t finish_in_turn(tx_queue& q, rte_mbuf** frames, std::uint16_t count,
                                              snapshot const& s) noexcept {
    return finish_by<in_turn>(q, frames, count, s);
}

[[gnu::flatten]] std::uint16_t finish_by_flow(tx_queue& q, rte_mbuf** frames, std::uint16_t count,
                                              snapshot const& s) noexcept {
    return finish_by<by_flow>(q, frames, count, s);
}

[[gnu::flatten]] std::uint16_t finish_by_flow_held(tx_queue& q, rte_mbuf** frames,
                                                   std::uint16_t count,
                                                   snapshot const& s) noexcept {
    return finish_by<by_flow_held>(q, frames, count, s);
}

port_id flow_member(snapshot const& s, rte_mbuf const& frame) noexcept {
    switch (s.how) {
    case spread::to_one: return s.distributing[0].port;
    case spread::by_flow:
    case spread::by_flow_held: {
        auto* const one = const_cast<rte_mbuf*>(&frame); // only read
        std::uint32_t const hash = hash_of<mbuf_reader>(s.hash, one);
        std::uint8_t const member = member_of_flow(s, hash);
        return member == held_bucket ? no_port : s.distributing[member].port;
    }
    case spread::nobody:
    case spread::in_turn:
    case spread::to_all: break;
    }
    return no_port;
}

} // namespace lagg::pmd
