#include "lagg_events.h"

#include "lagg_compat.h"
#include "lagg_device.h"
#include "lagg_log.h"
#include "lagg_threads.h"

#include <rte_dev.h>
#include <rte_ethdev.h>
#include <rte_interrupts.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <sched.h>

namespace lagg::pmd {

namespace {

std::array<std::atomic<std::uint32_t>, RTE_MAX_ETHPORTS> stirred{};

/// The port id belongs to another device now; whoever knew the former one has lost it.
constexpr std::uint32_t stirred_replaced = 1U << 31;

void stir(port_id port, std::uint32_t what) {
    stirred[port].fetch_or(what, std::memory_order_release); // [stir] -> take_stirred()
    wake_control();
    if (rte_thread_is_intr() != 0) {
        // Control may be waiting for this very CPU, and the driver's handler may have more to do.
        sched_yield();
    }
}

/// A device that is new has not been removed, whatever befell those that had its port id before.
void renew(port_id port) {
    auto const before = stirred[port].exchange(0, std::memory_order_acq_rel); // [stir] <- stir()
    if ((before & (stirred_removal | stirred_replaced)) != 0) {
        stirred[port].fetch_or(stirred_replaced,
                               std::memory_order_release); // [stir] -> take_stirred()
    }
}

int on_event(std::uint16_t port, rte_eth_event_type type, void* /*arg*/, void* /*result*/) {
    switch (type) {
    case RTE_ETH_EVENT_INTR_LSC: stir(port, stirred_link); break;
    case RTE_ETH_EVENT_INTR_RMV:
    case RTE_ETH_EVENT_DESTROY: stir(port, stirred_removal); break;
    case RTE_ETH_EVENT_NEW:
        renew(port);
        device::port_appeared(port);
        break;
    default: break;
    }
    return 0;
}

/// A device was pulled off its bus: what VFIO raises instead of an event of the port's own.
void on_device_event(char const* device, rte_dev_event_type type, void* /*arg*/) {
    if (type != RTE_DEV_EVENT_REMOVE || device == nullptr) {
        return;
    }
    for (port_id port = 0; port < RTE_MAX_ETHPORTS; ++port) {
        rte_eth_dev const& dev = rte_eth_devices[port];
        if (rte_eth_dev_is_valid_port(port) != 0 && dev.device != nullptr &&
            std::strcmp(rte_dev_name(dev.device), device) == 0) {
            stir(port, stirred_removal);
        }
    }
}

constexpr std::array watched{RTE_ETH_EVENT_INTR_LSC, RTE_ETH_EVENT_INTR_RMV, RTE_ETH_EVENT_DESTROY,
                             RTE_ETH_EVENT_NEW};

void unwatch(rte_eth_event_type type) {
    // -EAGAIN while the callback runs on another thread: it never waits, so it ends soon.
    while (rte_eth_dev_callback_unregister(RTE_ETH_ALL, type, on_event, nullptr) == -EAGAIN) {
        sched_yield();
    }
}

} // namespace

int watch_ethdev_events() {
    for (auto& word : stirred) {
        word.store(0, std::memory_order_relaxed); // plain: of an earlier life, nobody listens yet
    }
    for (rte_eth_event_type const type : watched) {
        int const rc = rte_eth_dev_callback_register(RTE_ETH_ALL, type, on_event, nullptr);
        if (rc != 0) {
            unwatch_ethdev_events();
            return rc;
        }
    }
    int const rc = rte_dev_event_callback_register(nullptr, on_device_event, nullptr);
    if (rc != 0) {
        unwatch_ethdev_events();
    }
    return rc;
}

void unwatch_ethdev_events() {
    while (rte_dev_event_callback_unregister(nullptr, on_device_event, nullptr) == -EAGAIN) {
        sched_yield();
    }
    for (rte_eth_event_type const type : watched) {
        unwatch(type);
    }
}

std::uint32_t take_stirred(port_id port) {
    // [stir] relaxed: the exchange below synchronises
    if (stirred[port].load(std::memory_order_relaxed) == 0) {
        return 0;
    }
    auto const what = stirred[port].exchange(0, std::memory_order_acquire); // [stir] <- stir()
    return (what & stirred_replaced) != 0 ? what | stirred_removal : what;
}

void put_back_stirred(port_id port, std::uint32_t what) {
    stirred[port].fetch_or(what, std::memory_order_release); // [stir] -> take_stirred()
}

void forget_former(port_id port) {
    stirred[port].fetch_and(~stirred_replaced,
                            std::memory_order_relaxed); // [stir] nothing is read through it
}

} // namespace lagg::pmd
