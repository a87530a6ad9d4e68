// The public C API (rte_pmd_wire.h): faults, injection and counters. Each call takes the control
// lock, edits what the fault is about and publishes.

#include "rte_pmd_wire.h"

#include "wire_control.h"

#include <cerrno>

namespace {

using wire::control_section;
using wire::end;

/// Runs edit(control, end) on a wire and publishes. 0; -ENODEV.
template<typename Edit>
int edit_end(std::uint16_t port, Edit edit) {
    control_section control;
    end* const e = control.find(port);
    if (e == nullptr) {
        return -ENODEV;
    }
    edit(control, *e);
    control.changed(*e);
    return 0;
}

/// The same on both ends.
template<typename Edit>
int edit_both(std::uint16_t port, Edit edit) {
    return edit_end(port, [&](control_section&, end& e) {
        edit(e);
        if (e.peer != nullptr) {
            edit(*e.peer);
        }
    });
}

template<typename Read>
std::uint64_t read_end(std::uint16_t port, Read read) {
    control_section control;
    end const* const e = control.find(port);
    return e == nullptr ? 0 : read(wire::read_counters(*e));
}

} // namespace

extern "C" {

int rte_pmd_wire_is_wire(uint16_t port) {
    control_section control;
    return control.find(port) != nullptr ? 1 : 0;
}

int rte_pmd_wire_peer(uint16_t port, uint16_t* peer) {
    control_section control;
    end const* const e = control.find(port);
    if (e == nullptr) {
        return -ENODEV;
    }
    if (peer == nullptr) {
        return -EINVAL;
    }
    if (e->peer == nullptr) {
        return -ENOTCONN;
    }
    *peer = e->peer->port;
    return 0;
}

int rte_pmd_wire_cut(uint16_t port) {
    return edit_both(port, [](end& e) {
        e.cut = true;
        ++e.events.cuts;
    });
}

int rte_pmd_wire_heal(uint16_t port) {
    return edit_both(port, [](end& e) {
        e.cut = false;
        e.silent = false;
        ++e.events.heals;
    });
}

int rte_pmd_wire_cut_silent(uint16_t port) {
    return edit_both(port, [](end& e) {
        e.silent = true;
        ++e.events.silent_cuts;
    });
}

int rte_pmd_wire_cut_tx_silent(uint16_t port) {
    return edit_end(port, [](control_section&, end& e) {
        e.silent = true;
        ++e.events.silent_cuts;
    });
}

int rte_pmd_wire_refuse(uint16_t port, uint32_t limit) {
    return edit_end(port, [&](control_section&, end& e) { e.limit = limit; });
}

int rte_pmd_wire_fail_op(uint16_t port, enum rte_pmd_wire_op op, int err, uint32_t count) {
    return rte_pmd_wire_fail_op_after(port, op, err, 0, count);
}

int rte_pmd_wire_fail_op_after(uint16_t port, enum rte_pmd_wire_op op, int err, uint32_t skip,
                               uint32_t count) {
    control_section control;
    end* const e = control.find(port);
    if (e == nullptr) {
        return -ENODEV;
    }
    if (static_cast<unsigned>(op) >= RTE_PMD_WIRE_OP_COUNT || err <= 0) {
        return -EINVAL;
    }
    e->fail[op] = {err, count, skip};
    return 0;
}

int rte_pmd_wire_inject(uint16_t port, uint16_t queue, struct rte_mbuf** pkts, uint16_t n) {
    control_section control;
    end* const e = control.find(port);
    if (e == nullptr) {
        return -ENODEV;
    }
    if (pkts == nullptr || queue >= e->dev->data->nb_rx_queues) {
        return -EINVAL;
    }
    if (!e->started || e->removed || e->rx[queue].ring == nullptr) {
        return -ENETDOWN;
    }
    auto const entered =
        rte_ring_enqueue_burst(e->rx[queue].ring, reinterpret_cast<void**>(pkts), n, nullptr);
    wire::add(e->rx[queue].injected, entered);
    return static_cast<int>(entered);
}

int rte_pmd_wire_surprise_remove(uint16_t port) {
    control_section control;
    end* const e = control.find(port);
    if (e == nullptr) {
        return -ENODEV;
    }
    if (e->removed) {
        return -EALREADY;
    }
    e->removed = true;
    control.changed(*e);
    control.note_removal(*e);
    return 0;
}

int rte_pmd_wire_poison_on_stop(uint16_t port, bool on) {
    return edit_end(port, [&](control_section&, end& e) { e.poison = on; });
}

int rte_pmd_wire_slow_start_ms(uint16_t port, uint32_t ms) {
    return edit_end(port, [&](control_section&, end& e) { e.slow_start_ms = ms; });
}

int rte_pmd_wire_check(uint16_t port, bool on) {
    return edit_end(port, [&](control_section&, end& e) { e.check = on; });
}

uint64_t rte_pmd_wire_burst_count(uint16_t port) {
    return read_end(port, [](auto const& c) { return c.tx_bursts + c.rx_bursts; });
}

uint64_t rte_pmd_wire_in_burst_violation_count(uint16_t port) {
    return read_end(port, [](auto const& c) { return c.violations; });
}

uint64_t rte_pmd_wire_sent(uint16_t port) {
    return read_end(port, [](auto const& c) { return c.sent; });
}

int rte_pmd_wire_counters_get(uint16_t port, struct rte_pmd_wire_counters* counters) {
    control_section control;
    end const* const e = control.find(port);
    if (e == nullptr) {
        return -ENODEV;
    }
    if (counters == nullptr) {
        return -EINVAL;
    }
    *counters = wire::read_counters(*e);
    return 0;
}

} // extern "C"
