// The control side of all wires of the process: one lock, connecting, publishing, carrier.
// Bursts never come here.
#pragma once

#include "wire_end.h"

#include <bitset>
#include <mutex>

namespace wire {

/// Holds the control lock of all wires; what was announced during its life (LSC, removal) goes out
/// to ethdev callbacks, in this thread, after the lock was released. So a callback may call any
/// operation of a wire again.
class control_section {
public:
    control_section();
    ~control_section();
    control_section(control_section const&) = delete;
    control_section& operator=(control_section const&) = delete;

    /// nullptr: not a wire.
    end* find(std::uint16_t port) const;
    end* find(char const* name) const;

    /// 0, or -errno that this call of `op` has to return: the end was removed, or a planned fault.
    int admit(end& e, rte_pmd_wire_op op);
    /// The failure that was planned for this call, or 0.
    static int planned(end& e, rte_pmd_wire_op op);

    /// Publishes what `e` and its peer are now. On return no transmit burst of either runs under an
    /// older state; carrier is recomputed and LSC noted for both.
    void changed(end& e);

    /// Registers a probed end and connects it if its peer is there. 0; -EINVAL the two do not
    /// agree on who is whose peer, or the peer is a keep sink; -EBUSY the peer is connected.
    int add(end& e);

    /// Takes `e` out of everything; afterwards only its own (stale) queue pointers lead to it.
    void drop(end& e);

    /// Frees what is in the receive rings, counted as lost_stop. No burst may run on them.
    void drain(end& e);

    void note_removal(end& e);
    /// Writes dev_link. True when the status changed.
    bool write_link(end& e);

private:
    void publish(end& e);
    void follow_carrier(end& e);

    std::unique_lock<std::mutex> lock_;
    std::bitset<RTE_MAX_ETHPORTS> link_events_;
    std::bitset<RTE_MAX_ETHPORTS> removal_events_;
};

/// All counters of one end. Under the control lock.
rte_pmd_wire_counters read_counters(end const& e);
/// Frees a closed end, or keeps it for good when its queues are poisoned. Under the control lock.
void discard(end* e);

extern int log_type;
#define WIRE_LOG(level, ...)                                                                       \
    rte_log(RTE_LOG_##level, static_cast<std::uint32_t>(::wire::log_type), "net_wire: " __VA_ARGS__)

} // namespace wire
