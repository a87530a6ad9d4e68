// The vdev driver: probe and remove of net_lagg ports.
#include "lagg_args.h"
#include "lagg_device.h"
#include "lagg_grouping.h"
#include "lagg_log.h"
#include "lagg_ops.h"
#include "lagg_queue.h"
#include "lagg_threads.h"

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_malloc.h>
#include <rte_random.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <new>

namespace lagg::pmd {

int log_type = 0;

namespace {

void register_log_type() __attribute__((constructor));
void register_log_type() {
    log_type = rte_log_register_type_and_pick_level("pmd.net.lagg", RTE_LOG_NOTICE);
}

std::uint16_t refuse_burst(void*, rte_mbuf**, std::uint16_t) {
    return 0;
}

/// A secondary process sees the port's data, and no member: its bursts do nothing.
int attach_secondary(rte_vdev_device* vdev, char const* name) {
    rte_eth_dev* const eth = rte_eth_dev_attach_secondary(name);
    if (eth == nullptr) {
        LAGG_LOG(ERR, "%s: not known to the primary process", name);
        return -ENODEV;
    }
    eth->device = &vdev->device;
    eth->dev_ops = &lagg_secondary_ops;
    eth->rx_pkt_burst = refuse_burst;
    eth->tx_pkt_burst = refuse_burst;
    LAGG_LOG(WARNING, "%s: bursts from a secondary process are refused: fences cover one process",
             name);
    rte_eth_dev_probing_finish(eth);
    return 0;
}

rte_eth_dev* allocate(rte_vdev_device* vdev) {
    rte_eth_dev* const eth = rte_eth_vdev_allocate(vdev, 0);
    if (eth == nullptr) {
        return nullptr;
    }
    auto* const macs = static_cast<rte_ether_addr*>(
        rte_zmalloc("net_lagg", max_addresses * sizeof(rte_ether_addr), 0));
    if (macs == nullptr) {
        rte_eth_dev_release_port(eth);
        return nullptr;
    }
    eth->data->mac_addrs = macs;
    eth->data->dev_flags |= RTE_ETH_DEV_INTR_LSC | RTE_ETH_DEV_AUTOFILL_QUEUE_XSTATS;
    eth->dev_ops = &lagg_ops;
    install_queue_ops(*eth);
    eth->rx_pkt_burst = lagg_rx_burst;
    eth->tx_pkt_burst = lagg_tx_burst;
    eth->tx_pkt_prepare = lagg_tx_prepare;
    return eth;
}

/// On error our use of the threads is over.
int open_device(rte_eth_dev& eth, start_arguments const& args) {
    device* d = nullptr;
    int rc = -ENOMEM;
    try {
        d = new device(&eth, args);
        eth.process_private = d;
        std::memcpy(eth.data->mac_addrs[0].addr_bytes, d->first_address().bytes.data(), 6);
        rc = d->open();
    } catch (std::bad_alloc const&) {
        rc = -ENOMEM;
    }
    if (rc != 0 && d != nullptr) {
        d->close();
    } else if (rc != 0) {
        threads::release();
    }
    return rc;
}

int probe_primary(rte_vdev_device* vdev) {
    char const* const name = rte_vdev_device_name(vdev);
    auto args = parse_devargs(rte_vdev_device_args(vdev));
    if (!args) {
        LAGG_LOG(ERR, "%s: %s", name, args.error().c_str());
        return -EINVAL;
    }
    if (!may_wait()) {
        return -EDEADLK;
    }
    if (int const rc = threads::acquire(); rc != 0) {
        LAGG_LOG(ERR, "%s: control threads: %s", name, rte_strerror(-rc));
        return rc;
    }
    rte_eth_dev* const eth = allocate(vdev);
    if (eth == nullptr) {
        threads::release();
        return rte_eth_dev_count_total() == RTE_MAX_ETHPORTS ? -ENOSPC : -ENOMEM;
    }
    if (!args->seed_given) {
        args->config.hash.seed =
            static_cast<std::uint32_t>(rte_rand()); // two bonds in series must differ
    }
    if (int const rc = open_device(*eth, *args); rc != 0) {
        rte_eth_dev_release_port(eth);
        return rc;
    }
    register_telemetry();
    rte_eth_dev_probing_finish(eth);
    return 0;
}

int probe(rte_vdev_device* vdev) noexcept {
    try {
        if (rte_eal_process_type() != RTE_PROC_PRIMARY) {
            return attach_secondary(vdev, rte_vdev_device_name(vdev));
        }
        choose_group_variant();
        return probe_primary(vdev);
    } catch (std::bad_alloc const&) {
        return -ENOMEM;
    }
}

int remove(rte_vdev_device* vdev) noexcept {
    rte_eth_dev* const eth = rte_eth_dev_allocated(rte_vdev_device_name(vdev));
    if (eth == nullptr) {
        return 0; // closed before: ethdev released it then
    }
    if (rte_eal_process_type() != RTE_PROC_PRIMARY) {
        return rte_eth_dev_release_port(eth);
    }
    return rte_eth_dev_close(eth->data->port_id);
}

} // namespace

} // namespace lagg::pmd

extern "C" {
/// Registered by lagg_register.c.  Constant from the start: constructors run in no order.
extern rte_vdev_driver lagg_vdev_driver;
constinit rte_vdev_driver lagg_vdev_driver = [] {
    rte_vdev_driver d{};
    d.probe = lagg::pmd::probe;
    d.remove = lagg::pmd::remove;
    return d;
}();
}
