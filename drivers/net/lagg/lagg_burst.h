// A member port as bursts reach it.  ethdev's inline functions without their detour over callbacks,
// unless the member's queue has one.
#pragma once

#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include <cstdint>

namespace lagg::pmd {

/// ethdev's functions, with `inside_burst` set around them: the callbacks are the application's.
/// By reference: whoever does not come here need not keep copies.
std::uint16_t slow_send(std::uint16_t const& port, std::uint16_t const& queue, rte_mbuf** frames,
                        std::uint16_t count) noexcept;
std::uint16_t slow_receive(std::uint16_t const& port, std::uint16_t const& queue, rte_mbuf** frames,
                           std::uint16_t count) noexcept;

/// slow_send() of copies of the list, a chunk at a time: callbacks may write to them.
std::uint16_t slow_send_copy(std::uint16_t const& port, std::uint16_t const& queue,
                             rte_mbuf** frames, std::uint16_t count) noexcept;

inline bool has_callback(rte_ethdev_qdata const& queues, std::uint16_t queue) noexcept {
    // plain: only whether there is one; slow_send(), slow_receive() read it again, ethdev's way
    return __atomic_load_n(&queues.clbk[queue], __ATOMIC_RELAXED) != nullptr;
}

/// Returns n: frames [0, n) are the member's.
inline std::uint16_t send(std::uint16_t const& port, std::uint16_t const& queue, rte_mbuf** frames,
                          std::uint16_t count) noexcept {
    struct rte_eth_fp_ops const& ops = rte_eth_fp_ops[port];
    if (has_callback(ops.txq, queue)) [[unlikely]] {
        return slow_send(port, queue, frames, count);
    }
    return ops.tx_pkt_burst(ops.txq.data[queue], frames, count);
}

/// The same to a driver that keeps the list, which afterwards is as it was.
inline std::uint16_t send_kept(std::uint16_t const& port, std::uint16_t const& queue,
                               rte_mbuf** frames, std::uint16_t count) noexcept {
    struct rte_eth_fp_ops const& ops = rte_eth_fp_ops[port];
    if (has_callback(ops.txq, queue)) [[unlikely]] {
        return slow_send_copy(port, queue, frames, count);
    }
    return ops.tx_pkt_burst(ops.txq.data[queue], frames, count);
}

/// Returns n: frames [0, n) were received.
inline std::uint16_t receive(std::uint16_t const& port, std::uint16_t const& queue,
                             rte_mbuf** frames, std::uint16_t count) noexcept {
    struct rte_eth_fp_ops const& ops = rte_eth_fp_ops[port];
    if (has_callback(ops.rxq, queue)) [[unlikely]] {
        return slow_receive(port, queue, frames, count);
    }
    return ops.rx_pkt_burst(ops.rxq.data[queue], frames, count);
}

} // namespace lagg::pmd
