#include "packet_loop.h"

#include <algorithm>
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

void packet_loop::send(rte_mbuf** frames, std::uint16_t count) {
    if (held_ != 0) {
        std::copy_n(frames, count, waiting_.data() + held_);
        frames = waiting_.data();
        count = static_cast<std::uint16_t>(count + held_);
    }
    if (count == 0) {
        return;
    }
    auto const taken = rte_eth_tx_burst(where_.tx_port, where_.tx_queue, frames, count);
    counters_.sent.add(taken);
    if (taken == count && held_ == 0) {
        return;
    }
    auto const left = static_cast<std::uint16_t>(count - taken);
    held_ = std::min(left, max_held);
    std::copy_n(frames + taken, left, waiting_.data()); // to the front: copy_n may go that way
    counters_.held.set(held_);
    if (left > held_) {
        counters_.dropped.add(left - held_);
        rte_pktmbuf_free_bulk(waiting_.data() + held_, left - held_);
    }
}

std::uint16_t packet_loop::room() const {
    return std::min(where_.burst, static_cast<std::uint16_t>(max_held - held_));
}

void packet_loop::finish() {
    counters_.dropped.add(held_);
    rte_pktmbuf_free_bulk(waiting_.data(), held_);
    held_ = 0;
    counters_.held.set(0);
}

} // namespace laggd
