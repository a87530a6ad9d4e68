// The transmit burst: one snapshot, one jump by its spread.  What is sent to several members is in
// lagg_tx_shares.cpp and lagg_tx_to_all.cpp.  Burst side: knows neither lagg/control nor lacp.
#include "lagg_tx_ways.h"

#include "lagg/datapath/grouped_frames.h"

#include <algorithm>
#include <cstddef>
#include <iterator>

namespace lagg::pmd {

// Out of line, and named: what a burst does through ethdev.

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

[[gnu::noinline]] std::uint16_t slow_prepare(std::uint16_t port, std::uint16_t queue,
                                             rte_mbuf** frames, std::uint16_t count) noexcept {
    return rte_eth_tx_prepare(port, queue, frames, count);
}

namespace {

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

[[gnu::flatten]] std::uint16_t finish_to_nobody(tx_queue& q, rte_mbuf** frames, std::uint16_t count,
                                                snapshot const& s) noexcept {
    return finish_by<to_nobody>(q, frames, count, s);
}

[[gnu::flatten]] std::uint16_t finish_to_one(tx_queue& q, rte_mbuf** frames, std::uint16_t count,
                                             snapshot const& s) noexcept {
    return finish_by<to_one>(q, frames, count, s);
}

/// By snapshot::how.
constexpr tx_way* ways[] = {
    finish_to_nobody, finish_to_one,       finish_in_turn,
    finish_by_flow,   finish_by_flow_held, finish_to_all,
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
