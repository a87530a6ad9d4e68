// The transmit burst: one snapshot, one jump by its spread, straight loops.  A frame that a
// member refuses goes back to the caller; nothing is dropped here but copies in to_all, and those
// are counted. Burst side: knows neither lagg/control nor lacp.
#include "lagg_burst.h"
#include "lagg_grouping.h"
#include "lagg_queue.h"

#include "lagg/datapath/distributor.h"
#include "lagg/datapath/frame_set.h"
#include "lagg/datapath/grouped_frames.h"

#include <rte_errno.h>

#include <algorithm>
#include <bit>
#include <cassert>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <span>
#include <utility>

namespace lagg::pmd {

// Out of line, and named: all that a burst may do with an atomic read-modify-write, or through
// ethdev.

[[gnu::noinline]] std::uint16_t slow_send(std::uint16_t const& port, std::uint16_t const& queue,
                                          rte_mbuf** frames, std::uint16_t count) noexcept {
    inside_burst = true;
    std::uint16_t const n = rte_eth_tx_burst(port, queue, frames, count);
    inside_burst = false;
    return n;
}

[[gnu::noinline]] std::uint16_t slow_send_copy(std::uint16_t const& port,
                                               std::uint16_t const& queue, rte_mbuf** frames,
                                               std::uint16_t count) noexcept {
    rte_mbuf* list[chunk_size];
    std::size_t sent = 0;
    while (sent < count) {
        auto const n = static_cast<std::uint16_t>(std::min<std::size_t>(chunk_size, count - sent));
        std::copy_n(frames + sent, n, list);
        std::uint16_t const taken = slow_send(port, queue, list, n);
        sent += taken;
        if (taken < n) {
            break;
        }
    }
    return static_cast<std::uint16_t>(sent);
}

namespace {

/// `references` more for every segment of each frame.
[[gnu::noinline]] void slow_share(rte_mbuf* const* frames, std::size_t count,
                                  std::int16_t references) noexcept {
    for (std::size_t i = 0; i < count; ++i) {
        rte_mbuf* segment = frames[i];
        rte_mbuf_refcnt_update(segment, references);
        for (auto left = segment->nb_segs; left > 1; --left) { // `next` is on another line
            segment = segment->next;
            rte_mbuf_refcnt_update(segment, references);
        }
    }
}

/// One reference less for each frame; the last one frees it.
[[gnu::noinline]] void slow_drop(rte_mbuf* const* frames, std::size_t count) noexcept {
    for (std::size_t i = 0; i < count; ++i) {
        rte_pktmbuf_free(frames[i]);
    }
}

/// The pool for a copy of a frame, or null: one whose mbufs have a buffer of their own.
rte_mempool* pool_for_copy(rte_mbuf const& frame) noexcept {
    rte_mempool* const pool = RTE_MBUF_CLONED(&frame)
                                  ? rte_mbuf_from_indirect(const_cast<rte_mbuf*>(&frame))->pool
                                  : frame.pool;
    return rte_pktmbuf_data_room_size(pool) > RTE_PKTMBUF_HEADROOM ? pool : nullptr;
}

/// Copies that share nothing with their frames; stops at the first that cannot be had.
[[gnu::noinline]] std::size_t slow_copy(rte_mbuf* const* frames, std::size_t count,
                                        rte_mbuf** copies) noexcept {
    for (std::size_t i = 0; i < count; ++i) {
        rte_mempool* const pool = pool_for_copy(*frames[i]);
        copies[i] = pool == nullptr ? nullptr : rte_pktmbuf_copy(frames[i], pool, 0, UINT32_MAX);
        if (copies[i] == nullptr) {
            return i;
        }
    }
    return count;
}

counter& drops(tx_queue& q, drop_reason why) noexcept {
    return q.stats.drops[static_cast<std::size_t>(why)];
}

[[gnu::noinline]] std::uint16_t slow_prepare(tx_queue const& q, distributing_member const& m,
                                             rte_mbuf** frames, std::uint16_t count) noexcept {
    return rte_eth_tx_prepare(m.port, q.queue_id, frames, count);
}

/// How many leading frames the member's prepare passes.
[[gnu::always_inline]] inline std::uint16_t prepare(snapshot const& s, tx_queue const& q,
                                                    distributing_member const& m, rte_mbuf** frames,
                                                    std::uint16_t count) noexcept {
    return s.tx_prepare ? slow_prepare(q, m, frames, count) : count;
}

/// Returns n: frames [0, n) are the member's.  They need no prepare, or had it.
[[gnu::always_inline]] inline std::uint16_t send_prepared(tx_queue& q, distributing_member const& m,
                                                          rte_mbuf** frames,
                                                          std::uint16_t count) noexcept {
    std::uint16_t const taken = send(m.port, q.queue_id, frames, count);
    q.stats.member_packets[m.id].add(taken);
    return taken;
}

/// The same with the prepare before it.
[[gnu::always_inline]] inline std::uint16_t give(snapshot const& s, tx_queue& q,
                                                 distributing_member const& m, rte_mbuf** frames,
                                                 std::uint16_t count) noexcept {
    return send_prepared(q, m, frames, prepare(s, q, m, frames, count));
}

// --- to one of several
// ----------------------------------------------------------------------------

using frame_groups = grouped_frames<rte_mbuf*>;
using member_set = std::uint32_t; // bit m: member m
static_assert(max_members <= 32);

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

// --- to all
// ---------------------------------------------------------------------------------------

/// Two numbers of an mbuf that are beside each other, as one word.
struct owners_and_segments {
    std::uint16_t owners = 0;
    std::uint16_t segments = 0;

    constexpr std::uint32_t word() const noexcept { return std::bit_cast<std::uint32_t>(*this); }
};
static_assert(offsetof(rte_mbuf, nb_segs) ==
              offsetof(rte_mbuf, refcnt) + offsetof(owners_and_segments, segments));

/// `members` owners for each of four frames instead of one.  Most have one owner and one segment:
/// then it is a store, of the owners alone.  Four, because their pointers stay in registers that
/// nobody has to save.
[[gnu::always_inline]] inline void share_four(rte_mbuf* const* frames,
                                              std::uint16_t members) noexcept {
    constexpr std::size_t together = 4;
    constexpr std::uint32_t one_each = owners_and_segments{1, 1}.word();
    char* at[together];
    std::uint32_t seen = 0;
#pragma GCC unroll 4
    for (std::size_t k = 0; k < together; ++k) {
        std::uint32_t word = 0;
        at[k] = reinterpret_cast<char*>(frames[k]) + offsetof(rte_mbuf, refcnt);
        std::memcpy(&word, at[k], sizeof word);
        seen |= word;
    }
    // none of these numbers is ever 0: all are 1 when no other bit is set in any of them
    if (seen == one_each) [[likely]] {
#pragma GCC unroll 4
        for (std::size_t k = 0; k < together; ++k) { // there is nobody else: plain
            std::memcpy(at[k], &members, sizeof members);
        }
    } else {
        slow_share(frames, together, static_cast<std::int16_t>(members - 1));
    }
}

/// The same for any number of frames.
[[gnu::always_inline]] inline void share(rte_mbuf* const* frames, std::size_t count,
                                         std::uint16_t members) noexcept {
    rte_mbuf* const* const end = frames + count;
    for (; end - frames >= 4; frames += 4) {
        share_four(frames, members);
    }
    if (frames != end) {
        slow_share(frames, static_cast<std::size_t>(end - frames),
                   static_cast<std::int16_t>(members - 1));
    }
}

/// What a member was offered of a chunk, and what it took.
struct offer {
    std::uint16_t sendable; // frames [0, sendable) were copied for it, and sound
    std::uint16_t taken;
    bool no_memory; // the frame after the sendable ones could not be copied
};

/// Offers deep copies to a member.  Those it refuses are gone: the frames themselves are still
/// here.
offer offer_copies(tx_queue& q, snapshot const& s, distributing_member const& m,
                   rte_mbuf* const* frames, std::uint16_t count) noexcept {
    rte_mbuf* copies[chunk_size];
    auto const made = static_cast<std::uint16_t>(slow_copy(frames, count, copies));
    offer o{};
    o.sendable = made;
    o.no_memory = made < count;
    o.taken = give(s, q, m, copies, made);
    if (o.taken < made) {
        slow_drop(copies + o.taken, made - o.taken);
    }
    return o;
}

/// Counts the copies that `o` lacks of the frames [0, best) that somebody took.
void count_missing(tx_queue& q, offer const& o, std::uint16_t best) noexcept {
    std::uint16_t const reachable = o.no_memory ? std::min(o.sendable, best) : best;
    if (o.taken < reachable) {
        drops(q, drop_reason::tx_copy_refused).add(reachable - o.taken);
    }
    if (reachable < best) {
        drops(q, drop_reason::tx_copy_no_memory).add(best - reachable);
    }
}

/// The members that share frames; the others get copies.  Should all be of that other kind, one of
/// them may as well have the frames themselves.
member_set sharing_members(snapshot const& s) noexcept {
    member_set sharing = 0;
    for (std::size_t m = 0; m < s.distributing.size(); ++m) {
        sharing |= static_cast<member_set>(!s.distributing[m].hands_on) << m;
    }
    return sharing == 0 ? 1 : sharing;
}

/// After all offers of a chunk: counts what some members lack, and takes back their references.
/// Returns n: frames [0, n) were taken by somebody.
[[gnu::noinline, gnu::cold]] std::uint16_t settle(tx_queue& q, snapshot const& s,
                                                  member_set sharing, offer const* offers,
                                                  rte_mbuf** frames, std::uint16_t count) noexcept {
    std::size_t const members = s.distributing.size();
    std::uint16_t best = 0;
    for (std::size_t m = 0; m < members; ++m) {
        best = std::max(best, offers[m].taken);
    }
    for (std::size_t m = 0; m < members; ++m) {
        if (offers[m].taken < best) {
            count_missing(q, offers[m], best);
            if ((sharing >> m & 1U) != 0) {
                slow_drop(frames + offers[m].taken, best - offers[m].taken);
            }
        }
    }
    auto const more = static_cast<std::int16_t>(std::popcount(sharing) - 1);
    if (best < count && more > 0) {
        slow_share(frames + best, count - best, static_cast<std::int16_t>(-more));
    }
    return best;
}

/// One chunk, at most chunk_size frames.  A frame has a reference for each member that shares it; a
/// member that hands frames on gets deep copies instead, made before a frame leaves us.
[[gnu::noinline]] std::uint16_t chunk_to_mixed(tx_queue& q, snapshot const& s, member_set sharing,
                                               rte_mbuf** frames, std::uint16_t count) noexcept {
    distributing_member const* const members = s.distributing.begin();
    std::size_t const member_count = s.distributing.size();
    offer offers[max_members];
    for (std::size_t m = 0; m < member_count; ++m) {
        // before any of them sends: what prepare writes, it must not write under a NIC's eyes
        offers[m] = (sharing >> m & 1U) == 0
                        ? offer_copies(q, s, members[m], frames, count)
                        : offer{prepare(s, q, members[m], frames, count), 0, false};
    }
    share(frames, count, static_cast<std::uint16_t>(std::popcount(sharing)));
    alignas(cache_line) rte_mbuf* lists[max_members * chunk_size]; // no store in two lines
    grouping().to_each(member_count, frames, count, lists);
    for (std::size_t m = 0; m < member_count; ++m) {
        if ((sharing >> m & 1U) != 0) {
            offers[m].taken =
                send_prepared(q, members[m], lists + m * chunk_size, offers[m].sendable);
        }
    }
    return settle(q, s, sharing, offers, frames, count);
}

/// Frames that all members share, with a list for each or the caller's for all.
template<shared_by_all What>
[[gnu::always_inline]] inline std::uint16_t send_shared(tx_queue& q, distributing_member const& m,
                                                        rte_mbuf** frames,
                                                        std::uint16_t count) noexcept {
    if constexpr (What == shared_by_all::list) {
        std::uint16_t const taken = send_kept(m.port, q.queue_id, frames, count);
        q.stats.member_packets[m.id].add(taken);
        return taken;
    } else {
        return send_prepared(q, m, frames, count);
    }
}

/// Where the next member's list is.
template<shared_by_all What>
constexpr std::size_t to_next_list = What == shared_by_all::list ? 0 : chunk_size;

/// The rest of a burst or chunk after one member took the first `taken` frames only.
template<shared_by_all What>
[[gnu::noinline, gnu::cold]] std::uint16_t
finish_to_all(tx_queue& q, snapshot const& s, rte_mbuf** frames, std::uint16_t count,
              rte_mbuf** lists, distributing_member const& refusing, std::uint16_t taken) noexcept {
    auto const m = static_cast<std::size_t>(&refusing - s.distributing.begin());
    offer offers[max_members];
    std::fill_n(offers, m, offer{count, count, false});
    offers[m] = {count, taken, false};
    for (std::size_t next = m + 1; next < s.distributing.size(); ++next) {
        rte_mbuf** const list = lists + next * to_next_list<What>;
        offers[next] = {count, send_shared<What>(q, s.distributing[next], list, count), false};
    }
    return settle(q, s, sharing_members(s), offers, frames, count);
}

/// When all members share frames and none is to prepare them.
template<shared_by_all What>
[[gnu::always_inline]] inline std::uint16_t give_to_all(tx_queue& q, snapshot const& s,
                                                        rte_mbuf** frames, std::uint16_t count,
                                                        rte_mbuf** lists) noexcept {
    rte_mbuf** list = lists;
    for (distributing_member const& m : s.distributing) {
        std::uint16_t const taken = send_shared<What>(q, m, list, count);
        if (taken < count) [[unlikely]] {
            return finish_to_all<What>(q, s, frames, count, lists, m, taken);
        }
        list += to_next_list<What>;
    }
    return count;
}

/// Their drivers leave a list as it is, as those of nearly all NICs do: it may be of any length.
std::uint16_t burst_to_keepers(tx_queue& q, snapshot const& s, rte_mbuf** frames,
                               std::uint16_t count) noexcept {
    share(frames, count, static_cast<std::uint16_t>(s.distributing.size()));
    return give_to_all<shared_by_all::list>(q, s, frames, count, frames);
}

/// A driver may write to its list.
[[gnu::noinline]] std::uint16_t chunk_to_others(tx_queue& q, snapshot const& s, rte_mbuf** frames,
                                                std::uint16_t count) noexcept {
    std::size_t const members = s.distributing.size();
    share(frames, count, static_cast<std::uint16_t>(members));
    alignas(cache_line) rte_mbuf* lists[max_members * chunk_size]; // no store in two lines
    grouping().to_each(members, frames, count, lists);
    return give_to_all<shared_by_all::frames>(q, s, frames, count, lists);
}

/// A member that refused is tried again with the next chunk: the copies it missed are dropped, so
/// nothing that comes later can pass them.  What no member took ends the burst.
/// `chunk`(frames, count) returns how many were taken.
template<class Chunk>
[[gnu::always_inline]] inline std::uint16_t chunks_to_all(rte_mbuf** frames, std::uint16_t count,
                                                          Chunk chunk) noexcept {
    std::size_t taken = 0;
    while (taken < count) {
        auto const n = static_cast<std::uint16_t>(std::min(chunk_size, count - taken));
        std::uint16_t const best = chunk(frames + taken, n);
        taken += best;
        if (best < n) {
            break;
        }
    }
    return static_cast<std::uint16_t>(taken);
}

[[gnu::noinline]] std::uint16_t chunks_to_any(tx_queue& q, snapshot const& s, rte_mbuf** frames,
                                              std::uint16_t count) noexcept {
    member_set const sharing = sharing_members(s);
    return chunks_to_all(frames, count, [&](rte_mbuf** chunk, std::uint16_t n) {
        return s.shared == shared_by_all::frames ? chunk_to_others(q, s, chunk, n)
                                                 : chunk_to_mixed(q, s, sharing, chunk, n);
    });
}

std::uint16_t to_all(tx_queue& q, snapshot const& s, rte_mbuf** frames,
                     std::uint16_t count) noexcept {
    return s.shared == shared_by_all::list ? burst_to_keepers(q, s, frames, count)
                                           : chunks_to_any(q, s, frames, count);
}

// --- the burst
// ---------------------------------------------------------------------------------------

std::uint16_t to_nobody(tx_queue& q, snapshot const& /*s*/, rte_mbuf** /*frames*/,
                        std::uint16_t count) noexcept {
    if (count > 0) {
        q.stats.bursts_without_member.add(1);
    }
    return 0;
}

std::uint16_t to_one(tx_queue& q, snapshot const& s, rte_mbuf** frames,
                     std::uint16_t count) noexcept {
    return give(s, q, *s.distributing.begin(), frames, count);
}

void count_burst(tx_queue& q, std::uint16_t taken, std::uint16_t count) noexcept {
    q.stats.packets.add(taken);
    if (taken < count) [[unlikely]] {
        q.stats.given_back.add(count - taken);
    }
}

using way = std::uint16_t(tx_queue& q, snapshot const& s, rte_mbuf** frames,
                          std::uint16_t count) noexcept;

/// A burst after its pin, to its end.  Most arguments are where those of lagg_tx_burst() were,
/// which so keeps nothing on the stack and jumps here.
template<way* Send>
[[gnu::flatten]] std::uint16_t finish_by(tx_queue& q, rte_mbuf** frames, std::uint16_t count,
                                         snapshot const& s) noexcept {
    std::uint16_t const taken = Send(q, s, frames, count);
    count_burst(q, taken, count);
    q.view.unpin();
    return taken;
}

/// By snapshot::how.
constexpr decltype(&finish_by<to_nobody>) ways[] = {
    finish_by<to_nobody>, finish_by<to_one>,       finish_by<in_turn>,
    finish_by<by_flow>,   finish_by<by_flow_held>, finish_by<to_all>,
};
static_assert(static_cast<int>(spread::nobody) == 0 && static_cast<int>(spread::to_one) == 1 &&
              static_cast<int>(spread::in_turn) == 2 && static_cast<int>(spread::by_flow) == 3 &&
              static_cast<int>(spread::by_flow_held) == 4 &&
              static_cast<int>(spread::to_all) == 5 && std::size(ways) == 6);

/// What control handed over goes first.
[[gnu::noinline, gnu::cold]] std::uint16_t finish_after_handed(tx_queue& q, rte_mbuf** frames,
                                                               std::uint16_t count,
                                                               snapshot const& s) noexcept {
    slow_send_handed(q, s);
    return ways[static_cast<std::size_t>(s.how)](q, frames, count, s);
}

// --- checks
// ---------------------------------------------------------------------------------------

/// Whether the chain of segments is what the first one says.
bool chain_is_sound(rte_mbuf const& frame) noexcept {
    std::uint32_t length = 0;
    std::uint32_t segments = 0;
    for (rte_mbuf const* s = &frame; s != nullptr && segments <= frame.nb_segs; s = s->next) {
        length += s->data_len;
        ++segments;
    }
    return segments == frame.nb_segs && length == frame.pkt_len && length > 0;
}

/// Whether the headers that offloads are to work on lie within the frame.
bool headers_fit(rte_mbuf const& frame) noexcept {
    std::uint64_t const wanted = frame.ol_flags & RTE_MBUF_F_TX_OFFLOAD_MASK;
    std::uint32_t headers = 0;
    if ((wanted & (RTE_MBUF_F_TX_IP_CKSUM | RTE_MBUF_F_TX_L4_MASK | RTE_MBUF_F_TX_TCP_SEG |
                   RTE_MBUF_F_TX_UDP_SEG)) != 0) {
        headers = static_cast<std::uint32_t>(frame.l2_len) + frame.l3_len;
    }
    if ((wanted & (RTE_MBUF_F_TX_TCP_SEG | RTE_MBUF_F_TX_UDP_SEG)) != 0) {
        headers += frame.l4_len;
    }
    if ((wanted & (RTE_MBUF_F_TX_OUTER_IP_CKSUM | RTE_MBUF_F_TX_OUTER_UDP_CKSUM |
                   RTE_MBUF_F_TX_TUNNEL_MASK)) != 0) {
        headers += static_cast<std::uint32_t>(frame.outer_l2_len) + frame.outer_l3_len;
    }
    return headers <= frame.pkt_len;
}

} // namespace

std::uint16_t lagg_tx_burst(void* queue, rte_mbuf** frames, std::uint16_t count) noexcept {
    auto& q = *static_cast<tx_queue*>(queue);
    snapshot const* const s = q.view.pin();
    if (s == nullptr) [[unlikely]] {
        return 0;
    }
    if (!q.handed.empty_hint()) [[unlikely]] {
        return finish_after_handed(q, frames, count, *s);
    }
    return ways[static_cast<std::size_t>(s->how)](q, frames, count, *s);
}

std::uint16_t lagg_tx_prepare(void* /*queue*/, rte_mbuf** frames, std::uint16_t count) noexcept {
    for (std::uint16_t i = 0; i < count; ++i) {
        rte_mbuf const& frame = *frames[i];
        int const request = rte_validate_tx_offload(&frame);
        if (request != 0 || !chain_is_sound(frame) || !headers_fit(frame)) {
            rte_errno = request != 0 ? -request : EINVAL;
            return i;
        }
    }
    return count;
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

int tx_on(tx_queue& q, port_id member, std::uint64_t version, rte_mbuf** frames,
          std::uint16_t count) noexcept {
    epoch::pin_guard const view(q.view);
    if (!view || view->version != version) {
        return -1;
    }
    for (distributing_member const& m : view->distributing) {
        if (m.port == member) {
            std::uint16_t const taken = give(*view, q, m, frames, count);
            count_burst(q, taken, count);
            return taken;
        }
    }
    return -1;
}

} // namespace lagg::pmd
