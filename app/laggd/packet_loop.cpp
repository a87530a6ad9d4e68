#include "packet_loop.h"

#include <rte_ethdev.h>
#include <rte_mbuf.h>

namespace laggd {

std::uint16_t packet_loop::receive(rte_mbuf** frames) {
    auto const count = rte_eth_rx_burst(where_.rx_port, where_.rx_queue, frames, where_.burst);
    if (count != 0) {
        counters_.received.add(count);
    }
    return count;
}

void packet_loop::send_or_drop(rte_mbuf** frames, std::uint16_t count) {
    auto const taken = rte_eth_tx_burst(where_.tx_port, where_.tx_queue, frames, count);
    counters_.sent.add(taken);
    if (taken < count) {
        counters_.dropped.add(count - taken);
        rte_pktmbuf_free_bulk(frames + taken, count - taken);
    }
}

} // namespace laggd
