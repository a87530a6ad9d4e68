// The receive burst: what waits in the stash first, then every polled member once, each burst
// beginning with another one.  Frames that are not for the application are freed and counted.
// Burst side: knows neither lagg/control nor lacp.
#include "lagg_burst.h"
#include "lagg_mbuf.h"
#include "lagg_queue.h"

#include "lagg/datapath/collector.h"

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <utility>

namespace lagg::pmd {

[[gnu::noinline]] std::uint16_t slow_receive(std::uint16_t const& port, std::uint16_t const& queue,
                                             rte_mbuf** frames, std::uint16_t count) noexcept {
    inside_burst = true;
    std::uint16_t const n = rte_eth_rx_burst(port, queue, frames, count);
    inside_burst = false;
    return n;
}

namespace {

/// Frees and counts.  Bulk, for it leaves the burst's code without a read-modify-write.
[[gnu::noinline]] void slow_discard(rx_queue& q, drop_reason why, rte_mbuf** frames,
                                    std::size_t count) noexcept {
    rte_pktmbuf_free_bulk(frames, static_cast<unsigned int>(count));
    q.stats.drops[static_cast<std::size_t>(why)].add(count);
}

/// Gives LACP and Marker frames to control, both kinds in their order; returns how many others are
/// left.
std::uint16_t take_slow(rx_queue& q, member_id from, rte_mbuf** frames,
                        std::uint16_t count) noexcept {
    for (std::uint16_t i = 0; i < count; ++i) {
        rte_prefetch0(first_byte(*frames[i]));
    }
    rte_mbuf* slow[32];
    std::size_t found = 0;
    std::uint16_t others = 0;
    for (std::uint16_t i = 0; i < count; ++i) {
        if (!is_slow(*frames[i])) [[likely]] {
            frames[others++] = frames[i];
            continue;
        }
        slow[found++] = frames[i];
        if (found == std::size(slow)) {
            slow_take(q, from, slow, std::exchange(found, 0));
        }
    }
    if (found > 0) {
        slow_take(q, from, slow, found);
    }
    return others;
}

/// Frames [0, count) came from `m`; returns n: [0, n) go up, the rest was freed.
std::uint16_t collect(rx_queue& q, snapshot const& s, polled_member const& m, rte_mbuf** frames,
                      std::uint16_t count) noexcept {
    q.stats.member_packets[m.id].add(count);
    if (s.take_slow) { // before it is asked whether they collect: LACP decides that by these
        count = take_slow(q, m.id, frames, count);
    }
    if (!m.collecting) {
        slow_discard(q, drop_reason::rx_not_collecting, frames, count);
        return 0;
    }
    std::size_t kept = count;
    if (m.filter) {
        // a frame too short for an address is nobody's: it goes up
        kept = keep_first(frames, count, [&](rte_mbuf const* frame) {
            return frame->data_len < sizeof(net::mac_address) || !is_foreign(s, first_byte(*frame));
        });
        if (kept < count) {
            slow_discard(q, drop_reason::rx_foreign_unicast, frames + kept, count - kept);
        }
    }
    for (std::size_t i = 0; i < kept; ++i) {
        frames[i]->port = q.lagg_port;
    }
    return static_cast<std::uint16_t>(kept);
}

std::uint16_t take_stashed(rx_queue& q, rte_mbuf** frames, std::uint16_t count) noexcept {
    std::uint16_t n = 0;
    while (n < count && q.stash.pop(frames[n])) {
        frames[n++]->port = q.lagg_port;
    }
    return n;
}

/// Whether a member that gave `got` of `count` can have had no more.  Drivers that work in fours,
/// or by cache lines of descriptors, give a little less than there is, and some never more than 32.
bool is_dry(std::uint32_t got, std::uint32_t count) noexcept {
    return got == 0 ? count >= 4 : count >= 8 && 2 * got < std::min(count, 32U);
}

received ask(rx_queue& q, snapshot const& s, polled_member const& m, rte_mbuf** frames,
             std::uint16_t count, bool tell_dry) noexcept {
    std::uint16_t const got = receive(m.port, q.queue_id, frames, count);
    if (tell_dry && is_dry(got, count)) [[unlikely]] {
        q.ran_dry[m.id].add(1);
    }
    return {got, got == 0 ? got : collect(q, s, m, frames, got)};
}

} // namespace

received receive_from(rx_queue& q, snapshot const& s, polled_member const& m, rte_mbuf** frames,
                      std::uint16_t count) noexcept {
    return ask(q, s, m, frames, count, true);
}

std::uint16_t lagg_rx_burst(void* queue, rte_mbuf** frames, std::uint16_t count) noexcept {
    auto& q = *static_cast<rx_queue*>(queue);
    q.polls.add(1);
    epoch::pin_guard const view(q.view);
    if (!view || view->run != run_state::running) [[unlikely]] {
        return 0;
    }
    snapshot const& s = *view;
    // [refill] <- stash_waiting(): before the stash is read: no stash_first means that nothing
    // comes behind it
    std::uint32_t const wishes = q.wishes.load(std::memory_order_acquire); // [refill]
    std::uint16_t n = take_stashed(q, frames, count);
    if (n < count && !s.polled.empty() && (wishes & burst_wish::stash_first) == 0) [[likely]] {
        bool const tell_dry = (wishes & burst_wish::tell_dry) != 0;
        polled_member const* const members = s.polled.begin();
        poll_round round(q.next_member, static_cast<std::uint32_t>(s.polled.size()));
        do {
            polled_member const& m = members[round.member()];
            auto const room = static_cast<std::uint16_t>(count - n);
            n = static_cast<std::uint16_t>(n + ask(q, s, m, frames + n, room, tell_dry).kept);
        } while (n < count && round.advance());
        q.next_member = round.next_first(n == count);
    }
    q.stats.packets.add(n);
    return n;
}

} // namespace lagg::pmd
