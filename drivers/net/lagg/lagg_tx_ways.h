// A way is what a transmit burst does with its frames, by its snapshot's spread; lagg_tx.cpp jumps
// to it.  And what ways have in common: how a member is sent to, and how a burst ends. For the
// lagg_tx*.cpp only.  Burst side: knows neither lagg/control nor lacp.
#pragma once

#include "lagg_burst.h"
#include "lagg_queue.h"

#include <cstdint>

namespace lagg::pmd {

/// A burst after its pin, to its end.  Most arguments are where those of lagg_tx_burst() were,
/// which so keeps nothing on the stack and jumps here. Returns n: frames [0, n) were taken.
using tx_way = std::uint16_t(tx_queue& q, rte_mbuf** frames, std::uint16_t count,
                             snapshot const& s) noexcept;

// lagg_tx_shares.cpp: each frame to one of several.
tx_way finish_in_turn;
tx_way finish_by_flow;
tx_way finish_by_flow_held;
// lagg_tx_to_all.cpp
tx_way finish_to_all;

using member_set = std::uint32_t; // bit m: member m
static_assert(max_members <= 32);

/// ethdev's tx_prepare of a member.  Out of line, as the rest of ethdev.
std::uint16_t slow_prepare(std::uint16_t port, std::uint16_t queue, rte_mbuf** frames,
                           std::uint16_t count) noexcept;

/// How many leading frames the member's prepare passes.
[[gnu::always_inline]] inline std::uint16_t prepare(snapshot const& s, tx_queue const& q,
                                                    distributing_member const& m, rte_mbuf** frames,
                                                    std::uint16_t count) noexcept {
    return s.tx_prepare ? slow_prepare(m.port, q.queue_id, frames, count) : count;
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

inline void count_burst(tx_queue& q, std::uint16_t taken, std::uint16_t count) noexcept {
    q.stats.packets.add(taken);
    if (taken < count) [[unlikely]] {
        q.stats.given_back.add(count - taken);
    }
}

/// A whole way of what sends and returns how many frames were taken.
template<std::uint16_t Send(tx_queue& q, snapshot const& s, rte_mbuf** frames,
                            std::uint16_t count) noexcept>
[[gnu::always_inline]] inline std::uint16_t
finish_by(tx_queue& q, rte_mbuf** frames, std::uint16_t count, snapshot const& s) noexcept {
    std::uint16_t const taken = Send(q, s, frames, count);
    count_burst(q, taken, count);
    q.view.unpin();
    return taken;
}

} // namespace lagg::pmd
