#include "rates.h"

#include <rte_cycles.h>
#include <rte_ethdev.h>

namespace laggd {

port_rate rate_meter::sample(std::uint16_t port) {
    rte_eth_stats stats{};
    if (rte_eth_stats_get(port, &stats) != 0) {
        return {};
    }
    look const now{rte_get_tsc_cycles(), stats.ipackets, stats.opackets, stats.ibytes,
                   stats.obytes};
    auto const before = last_.contains(port) ? last_[port] : now;
    last_[port] = now;
    auto const seconds =
        static_cast<double>(now.cycles - before.cycles) / static_cast<double>(rte_get_tsc_hz());
    if (seconds <= 0.0) {
        return {};
    }
    // Counters that were cleared in between show as no traffic.
    auto const per_second = [&](std::uint64_t later, std::uint64_t earlier) {
        return later < earlier ? 0.0 : static_cast<double>(later - earlier) / seconds;
    };
    return {per_second(now.rx, before.rx), per_second(now.tx, before.tx),
            8 * per_second(now.rx_bytes, before.rx_bytes),
            8 * per_second(now.tx_bytes, before.tx_bytes)};
}

} // namespace laggd
