// Each frame of a burst to all members: an owner more for each, or a copy.  What no member takes
// goes back to the caller; copies that one did not take are dropped, and counted. Burst side: knows
// neither lagg/control nor lacp.
#include "lagg_grouping.h"
#include "lagg_tx_ways.h"

#include "lagg/datapath/distributor.h"

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstring>

namespace lagg::pmd {

namespace {

// Out of line, and named: what locks.

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
after_refusal(tx_queue& q, snapshot const& s, rte_mbuf** frames, std::uint16_t count,
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
            return after_refusal<What>(q, s, frames, count, lists, m, taken);
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

} // namespace

[[gnu::flatten]] std::uint16_t finish_to_all(tx_queue& q, rte_mbuf** frames, std::uint16_t count,
                                             snapshot const& s) noexcept {
    return finish_by<to_all>(q, frames, count, s);
}

} // namespace lagg::pmd
