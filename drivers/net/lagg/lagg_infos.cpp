#include "lagg_infos.h"

#include "lagg_compat.h"
#include "lagg_device.h"
#include "lagg_log.h"

#include <algorithm>
#include <iterator>
#include <numeric>

namespace lagg::pmd {

namespace {

/// What a lagg cannot pass on whatever its members can.  The freeing of a burst without a look at
/// its mbufs breaks with references and several pools; a queue of ours is one lcore's; the rest
/// ties a frame to one device.
constexpr std::uint64_t never_tx = RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE |
                                   RTE_ETH_TX_OFFLOAD_MT_LOCKFREE | RTE_ETH_TX_OFFLOAD_SECURITY |
                                   RTE_ETH_TX_OFFLOAD_SEND_ON_TIMESTAMP;
constexpr std::uint64_t never_rx =
    RTE_ETH_RX_OFFLOAD_TIMESTAMP | RTE_ETH_RX_OFFLOAD_SECURITY | RTE_ETH_RX_OFFLOAD_BUFFER_SPLIT;

constexpr std::uint16_t preferred_burst = 32;

template<class T>
void lower(T& value, T other) {
    value = std::min(value, other);
}

/// 0 means "not said": it neither lowers nor is lowered.
template<class T>
void lower_known(T& value, T other) {
    if (value == 0 || (other != 0 && other < value)) {
        value = other;
    }
}

void merge_limits(rte_eth_desc_lim& all, rte_eth_desc_lim const& one) {
    lower_known(all.nb_max, one.nb_max);
    all.nb_min = std::max(all.nb_min, one.nb_min);
    auto const align = std::lcm<std::uint32_t, std::uint32_t>(
        std::max<std::uint16_t>(all.nb_align, 1), std::max<std::uint16_t>(one.nb_align, 1));
    all.nb_align = static_cast<std::uint16_t>(std::min<std::uint32_t>(align, UINT16_MAX));
    lower_known(all.nb_seg_max, one.nb_seg_max);
    lower_known(all.nb_mtu_seg_max, one.nb_mtu_seg_max);
}

void merge_recommendation(rte_eth_dev_portconf& all, rte_eth_dev_portconf const& one) {
    all.burst_size = std::max(all.burst_size, one.burst_size);
    all.ring_size = std::max(all.ring_size, one.ring_size);
    lower_known(all.nb_queues, one.nb_queues);
}

void merge(rte_eth_dev_info& all, rte_eth_dev_info const& one) {
    all.min_mtu = std::max(all.min_mtu, one.min_mtu);
    lower_known(all.max_mtu, one.max_mtu);
    all.min_rx_bufsize = std::max(all.min_rx_bufsize, one.min_rx_bufsize);
    lower_known(all.max_rx_pktlen, one.max_rx_pktlen);
    lower(all.max_lro_pkt_size, one.max_lro_pkt_size);
    lower(all.max_rx_queues, one.max_rx_queues);
    lower(all.max_tx_queues, one.max_tx_queues);
    all.rx_offload_capa &= one.rx_offload_capa;
    all.tx_offload_capa &= one.tx_offload_capa;
    all.rx_queue_offload_capa &= one.rx_queue_offload_capa;
    all.tx_queue_offload_capa &= one.tx_queue_offload_capa;
    lower(all.reta_size, one.reta_size);
    // A key is cut to what a member takes: the bits in front decide.
    all.hash_key_size = std::max(all.hash_key_size, one.hash_key_size);
    all.flow_type_rss_offloads &= one.flow_type_rss_offloads;
    all.speed_capa &= one.speed_capa;
    merge_limits(all.rx_desc_lim, one.rx_desc_lim);
    merge_limits(all.tx_desc_lim, one.tx_desc_lim);
    merge_recommendation(all.default_rxportconf, one.default_rxportconf);
    merge_recommendation(all.default_txportconf, one.default_txportconf);
#if RTE_VERSION >= RTE_VERSION_NUM(23, 11, 0, 0)
    lower_known(all.max_rx_bufsize, one.max_rx_bufsize);
    all.rss_algo_capa &= one.rss_algo_capa;
#endif
}

/// A driver without mtu_set has the MTU it has.
void limit_to_present_mtu(port_id port, rte_eth_dev_info& info) {
    std::uint16_t present = 0;
    if (rte_eth_devices[port].dev_ops->mtu_set == nullptr &&
        rte_eth_dev_get_mtu(port, &present) == 0) {
        lower_known(info.max_mtu, present);
    }
}

rte_eth_dev_info without_members(start_arguments const& args) {
    rte_eth_dev_info info{};
    info.min_mtu = RTE_ETHER_MIN_MTU;
    info.max_mtu = UINT16_MAX;
    info.max_rx_pktlen = RTE_ETHER_MAX_JUMBO_FRAME_LEN;
    info.max_mtu = RTE_ETHER_MAX_JUMBO_FRAME_LEN - RTE_ETHER_HDR_LEN - RTE_ETHER_CRC_LEN;
    info.max_rx_queues = args.queues;
    info.max_tx_queues = args.queues;
    info.rx_offload_capa = args.rx_offloads;
    info.tx_offload_capa = args.tx_offloads | RTE_ETH_TX_OFFLOAD_MULTI_SEGS;
    info.rx_desc_lim = {UINT16_MAX, 0, 1, UINT16_MAX, UINT16_MAX};
    info.tx_desc_lim = info.rx_desc_lim;
#if RTE_VERSION >= RTE_VERSION_NUM(23, 11, 0, 0)
    info.max_rx_bufsize = UINT32_MAX;
    // What no rss_conf asks for by name; ethdev configures no port without it.
    info.rss_algo_capa = RTE_ETH_HASH_ALGO_CAPA_MASK(DEFAULT);
#endif
    return info;
}

/// What is the same for every lagg port.
void add_own(rte_eth_dev_info& info) {
    info.max_mac_addrs = max_addresses;
    info.max_hash_mac_addrs = 0;
    info.max_vfs = 0;
    info.max_vmdq_pools = 0;
    info.rx_seg_capa = {};
    info.rx_offload_capa &= ~never_rx;
    info.tx_offload_capa &= ~never_tx;
    info.rx_queue_offload_capa &= info.rx_offload_capa;
    info.tx_queue_offload_capa &= info.tx_offload_capa;
    // All zero: a threshold of 0 takes each member's own default.
    info.default_rxconf = {};
    info.default_txconf = {};
    info.vmdq_queue_base = 0;
    info.vmdq_queue_num = 0;
    info.vmdq_pool_base = 0;
    info.max_rx_mempools = 0;
    info.dev_capa = 0;
    info.if_index = 0;
    info.err_handle_mode = RTE_ETH_ERROR_HANDLE_MODE_NONE;
    for (rte_eth_dev_portconf* const conf : {&info.default_rxportconf, &info.default_txportconf}) {
        if (conf->burst_size == 0) {
            conf->burst_size = preferred_burst;
        }
    }
}

void keep_configured(rte_eth_dev_info& info, port_settings const& s) {
    if (!s.configured) {
        return;
    }
    info.rx_offload_capa |= s.conf.rxmode.offloads & ~never_rx;
    info.tx_offload_capa |= s.conf.txmode.offloads & ~never_tx;
    info.max_rx_queues = std::max(info.max_rx_queues, static_cast<std::uint16_t>(s.rx.size()));
    info.max_tx_queues = std::max(info.max_tx_queues, static_cast<std::uint16_t>(s.tx.size()));
    if (s.rss) {
        info.flow_type_rss_offloads |= s.rss->fields;
        info.hash_key_size =
            std::max(info.hash_key_size, static_cast<std::uint8_t>(s.rss->key.size()));
    }
    if (!s.reta.empty()) {
        info.reta_size = s.reta_size; // a member's own table repeats or cuts it
    }
}

} // namespace

rte_eth_dev_info intersect(std::span<port_id const> members, start_arguments const& args,
                           port_settings const& settings) {
    rte_eth_dev_info all{};
    bool first = true;
    for (port_id const port : members) {
        if (rte_eth_dev_is_valid_port(port) == 0) {
            continue; // gone; its leaving is under way
        }
        rte_eth_dev_info one{};
        if (rte_eth_dev_info_get(port, &one) != 0) {
            LAGG_LOG(WARNING, "port %u does not say what it can do; its word is not counted", port);
            continue;
        }
        limit_to_present_mtu(port, one);
        if (first) {
            all = one;
            first = false;
        } else {
            merge(all, one);
        }
    }
    if (first) {
        all = without_members(args);
    }
    add_own(all);
    keep_configured(all, settings);
    return all;
}

std::vector<std::uint32_t> common_packet_types(std::span<port_id const> members) {
    std::vector<std::uint32_t> common;
    bool first = true;
    for (port_id const port : members) {
        if (rte_eth_dev_is_valid_port(port) == 0) {
            continue;
        }
        std::array<std::uint32_t, 256> all{};
        int const n = rte_eth_dev_get_supported_ptypes(port, UINT32_MAX, all.data(), all.size());
        std::vector<std::uint32_t> one(all.begin(),
                                       all.begin() + std::clamp<int>(n, 0, all.size()));
        std::sort(one.begin(), one.end());
        if (first) {
            common = std::move(one);
            first = false;
            continue;
        }
        std::vector<std::uint32_t> both;
        std::set_intersection(common.begin(), common.end(), one.begin(), one.end(),
                              std::back_inserter(both));
        common = std::move(both);
    }
    return common;
}

device_infos::device_infos(start_arguments const& args) : args_(args) {
    recompute({}, port_settings{});
}

void device_infos::recompute(std::vector<port_id> const& members, port_settings const& settings) {
    auto next = std::make_shared<answer>();
    next->info = intersect(members, args_, settings);
    next->packet_types = common_packet_types(members);
    std::lock_guard const hold(mutex_);
    answer_ = std::move(next);
}

std::shared_ptr<device_infos::answer const> device_infos::get() const {
    std::lock_guard const hold(mutex_);
    return answer_;
}

int infos_get(device& d, rte_eth_dev_info* out) {
    auto const current = d.infos().get();
    rte_eth_dev_info const given = *out;
    *out = current->info;
    out->device = given.device;
    out->driver_name = given.driver_name;
    out->dev_flags = given.dev_flags;
    out->switch_info = given.switch_info;
    out->nb_rx_queues = given.nb_rx_queues;
    out->nb_tx_queues = given.nb_tx_queues;
    return 0;
}

} // namespace lagg::pmd
