// The ethdev behind a sink: no bus, no thread, no memory but its own.
#include "sink.h"

#include "setup.h"

#include <ethdev_driver.h>
#include <rte_flow_driver.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <memory>

namespace bench {
namespace {

constexpr std::uint16_t max_queues = 16;
constexpr std::uint16_t max_burst = 1024;

struct alignas(64) tx_side {
    std::atomic<std::uint64_t> sent{0}; // single writer: whoever sends on the queue
};

/// `frames` is the rotation and its first max_burst once more, so that no burst has to be cut.
struct alignas(64) rx_side {
    std::vector<rte_mbuf*> frames;
    std::size_t rotation = 0;
    std::size_t at = 0;
    std::uint16_t at_most = 0;
};

struct device {
    std::array<tx_side, max_queues> tx;
    std::array<rx_side, max_queues> rx;
    std::vector<rte_mbuf*> supply;
    rte_ether_addr mac{};
    std::uint64_t cleared = 0;
    std::atomic<bool> cut{false}; // [cut] a flag alone
};

device& device_of(rte_eth_dev* dev) {
    return *static_cast<device*>(dev->data->dev_private);
}

std::uint16_t transmit(void* queue, rte_mbuf** /*frames*/, std::uint16_t count) {
    auto& sent = static_cast<tx_side*>(queue)->sent;
    sent.store(sent.load(std::memory_order_relaxed) + count, std::memory_order_relaxed);
    return count;
}

/// Four at a time, as vector drivers write them.  By 64 bytes, which memcpy() prefers, Zen 5 cannot
/// forward a single frame to whoever loads it next: that cost three times what was to be measured.
void hand_over(rte_mbuf* const* from, std::uint16_t count, rte_mbuf** to) {
    constexpr std::uint16_t together = 4;
    std::uint16_t i = 0;
    for (; i + together <= count; i += together) {
        std::memcpy(to + i, from + i, together * sizeof *to);
        asm volatile("" : : : "memory"); // or it would become one memcpy()
    }
    std::copy(from + i, from + count, to + i);
}

std::uint16_t receive(void* queue, rte_mbuf** frames, std::uint16_t count) {
    auto& q = *static_cast<rx_side*>(queue);
    std::uint16_t const n = std::min(count, q.at_most);
    if (n > 0) {
        hand_over(q.frames.data() + q.at, n, frames);
        q.at += n;
        while (q.at >= q.rotation) { // a burst may go round more than once
            q.at -= q.rotation;
        }
    }
    return n;
}

void refill(device& d, std::uint16_t at_most) {
    for (auto& q : d.rx) {
        q.frames = d.supply;
        q.rotation = q.frames.size();
        q.at = 0;
        q.at_most = q.rotation == 0 ? 0 : at_most;
        for (std::size_t i = 0; q.rotation > 0 && i < max_burst; ++i) {
            q.frames.push_back(q.frames[i]);
        }
    }
}

int always(rte_eth_dev* /*dev*/) {
    return 0;
}

int link_of(rte_eth_dev* dev, int /*wait*/) {
    rte_eth_link link{};
    link.link_speed = RTE_ETH_SPEED_NUM_100G;
    link.link_duplex = RTE_ETH_LINK_FULL_DUPLEX;
    link.link_autoneg = RTE_ETH_LINK_AUTONEG;
    bool const cut = device_of(dev).cut.load(std::memory_order_relaxed); // [cut]
    link.link_status = dev->data->dev_started != 0 && !cut ? RTE_ETH_LINK_UP : RTE_ETH_LINK_DOWN;
    return rte_eth_linkstatus_set(dev, &link);
}

int start(rte_eth_dev* dev) {
    dev->data->dev_started = 1; // ethdev says so only after this call; the link is up from here on
    link_of(dev, 0);
    return 0;
}

int stop(rte_eth_dev* dev) {
    link_of(dev, 0);
    return 0;
}

int infos(rte_eth_dev* /*dev*/, rte_eth_dev_info* info) {
    info->max_rx_queues = max_queues;
    info->max_tx_queues = max_queues;
    info->max_mac_addrs = 1;
    info->max_rx_pktlen = 9728;
    info->max_mtu = 9710;
    info->min_mtu = 68;
    info->tx_offload_capa = RTE_ETH_TX_OFFLOAD_MULTI_SEGS | RTE_ETH_TX_OFFLOAD_IPV4_CKSUM;
    info->rx_offload_capa = RTE_ETH_RX_OFFLOAD_SCATTER;
    return 0;
}

int rx_setup(rte_eth_dev* dev, std::uint16_t queue, std::uint16_t /*descriptors*/,
             unsigned /*socket*/, rte_eth_rxconf const* /*conf*/, rte_mempool* /*pool*/) {
    dev->data->rx_queues[queue] = &device_of(dev).rx[queue];
    return 0;
}

int tx_setup(rte_eth_dev* dev, std::uint16_t queue, std::uint16_t /*descriptors*/,
             unsigned /*socket*/, rte_eth_txconf const* /*conf*/) {
    dev->data->tx_queues[queue] = &device_of(dev).tx[queue];
    return 0;
}

int stats(rte_eth_dev* dev, rte_eth_stats* out) {
    for (auto const& q : device_of(dev).tx) {
        out->opackets += q.sent.load(std::memory_order_relaxed);
    }
    out->opackets -= device_of(dev).cleared;
    return 0;
}

int clear_stats(rte_eth_dev* dev) {
    device_of(dev).cleared = 0;
    rte_eth_stats now{};
    stats(dev, &now);
    device_of(dev).cleared = now.opackets;
    return 0;
}

int set_mac(rte_eth_dev* /*dev*/, rte_ether_addr* /*mac*/) {
    return 0;
}

int set_mtu(rte_eth_dev* /*dev*/, std::uint16_t /*mtu*/) {
    return 0;
}

// Any flow rule is welcome: LACP frames, which it would steer, never come.
int validate_flow(rte_eth_dev* /*dev*/, rte_flow_attr const* /*attr*/,
                  rte_flow_item const* /*pattern*/, rte_flow_action const* /*actions*/,
                  rte_flow_error* /*error*/) {
    return 0;
}

rte_flow* create_flow(rte_eth_dev* dev, rte_flow_attr const* /*attr*/,
                      rte_flow_item const* /*pattern*/, rte_flow_action const* /*actions*/,
                      rte_flow_error* /*error*/) {
    return static_cast<rte_flow*>(dev->data->dev_private); // anything but null
}

int destroy_flow(rte_eth_dev* /*dev*/, rte_flow* /*flow*/, rte_flow_error* /*error*/) {
    return 0;
}

int flow_operations(rte_eth_dev* /*dev*/, rte_flow_ops const** ops) {
    static rte_flow_ops const mine = [] {
        rte_flow_ops o{};
        o.validate = validate_flow;
        o.create = create_flow;
        o.destroy = destroy_flow;
        return o;
    }();
    *ops = &mine;
    return 0;
}

eth_dev_ops operations() {
    eth_dev_ops ops{};
    ops.dev_configure = always;
    ops.dev_start = start;
    ops.dev_stop = stop;
    ops.dev_close = always;
    ops.dev_infos_get = infos;
    ops.link_update = link_of;
    ops.rx_queue_setup = rx_setup;
    ops.tx_queue_setup = tx_setup;
    ops.stats_get = stats;
    ops.stats_reset = clear_stats;
    ops.promiscuous_enable = always;
    ops.promiscuous_disable = always;
    ops.allmulticast_enable = always;
    ops.allmulticast_disable = always;
    ops.mac_addr_set = set_mac;
    ops.mtu_set = set_mtu;
    ops.flow_ops_get = flow_operations;
    return ops;
}

} // namespace

sink::sink(std::string const& name) {
    static eth_dev_ops const ops = operations();
    static rte_driver driver{};
    static rte_device parent{};
    driver.name = "net_null_sink"; // as net_null, it leaves the list of frames as it is
    parent.name = "bench_sink";
    parent.driver = &driver;
    parent.numa_node = static_cast<int>(rte_socket_id());

    rte_eth_dev* const dev = rte_eth_dev_allocate(name.c_str());
    if (dev == nullptr) {
        fail("no ethdev left for " + name);
    }
    auto* const d = new device; // never freed: as long as the port, which is as long as the process
    port_ = dev->data->port_id;
    d->mac.addr_bytes[0] = 0x02;
    d->mac.addr_bytes[5] = static_cast<std::uint8_t>(port_);
    dev->device = &parent;
    dev->dev_ops = &ops;
    dev->data->dev_private = d;
    dev->data->mac_addrs = &d->mac;
    dev->data->numa_node = parent.numa_node;
    dev->data->dev_flags |= RTE_ETH_DEV_INTR_LSC | RTE_ETH_DEV_AUTOFILL_QUEUE_XSTATS;
    dev->rx_pkt_burst = receive;
    dev->tx_pkt_burst = transmit;
    rte_eth_dev_probing_finish(dev);
}

void sink::supply(std::vector<rte_mbuf*> frames, std::uint16_t at_most) {
    device& d = device_of(&rte_eth_devices[port_]);
    d.supply = std::move(frames);
    refill(d, at_most);
}

std::uint64_t sink::sent() const {
    std::uint64_t sum = 0;
    for (auto const& q : device_of(&rte_eth_devices[port_]).tx) {
        sum += q.sent.load(std::memory_order_relaxed);
    }
    return sum;
}

void sink::set_link(bool up) {
    rte_eth_dev* const dev = &rte_eth_devices[port_];
    device_of(dev).cut.store(!up, std::memory_order_relaxed); // [cut]
    link_of(dev, 0);
    rte_eth_dev_callback_process(dev, RTE_ETH_EVENT_INTR_LSC, nullptr);
}

std::vector<sink*> sinks(std::size_t n) {
    static std::vector<std::unique_ptr<sink>> all;
    while (all.size() < n) {
        all.push_back(std::make_unique<sink>("bench_sink" + std::to_string(all.size())));
    }
    std::vector<sink*> some;
    for (std::size_t i = 0; i < n; ++i) {
        some.push_back(all[i].get());
    }
    return some;
}

} // namespace bench
