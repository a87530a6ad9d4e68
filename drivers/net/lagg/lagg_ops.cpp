// The tables that ethdev calls by, and the calls that have nothing to decide.
#include "lagg_ops.h"

#include "lagg_flow.h"
#include "lagg_ops_calls.h"

namespace lagg::pmd {

namespace {

int secondary_close(rte_eth_dev*) {
    return 0;
}

/// What the port was given, for dpdk-dumpcap and the like; what it could be given only the primary
/// process knows.
int secondary_infos_get(rte_eth_dev* dev, rte_eth_dev_info* out) {
    out->max_rx_queues = dev->data->nb_rx_queues;
    out->max_tx_queues = dev->data->nb_tx_queues;
    out->max_mac_addrs = 1;
    out->min_mtu = dev->data->mtu;
    out->max_mtu = dev->data->mtu;
    return 0;
}

/// data->dev_link is kept current by control.
int link_update(rte_eth_dev*, int) {
    return 0;
}

/// A lagg is a piece of software; its members' removal is theirs.
int is_removed(rte_eth_dev*) {
    return 0;
}

int flow_ops_get(rte_eth_dev*, rte_flow_ops const** ops) {
    *ops = &lagg_flow_ops;
    return 0;
}

#if RTE_VERSION >= RTE_VERSION_NUM(24, 11, 0, 0)
/// Members are told by us at each start.
std::uint64_t restore_flags(rte_eth_dev*, rte_eth_dev_operation) {
    return 0;
}
#endif

} // namespace

// By assignment, not by designated initialisers: members differ between releases.
constinit eth_dev_ops const lagg_ops = [] {
    using namespace calls;
    eth_dev_ops ops{};
    ops.dev_configure = configure;
    ops.dev_start = start;
    ops.dev_stop = stop;
    ops.dev_set_link_up = set_link_up;
    ops.dev_set_link_down = set_link_down;
    ops.dev_close = close;
    ops.link_update = link_update;
    ops.is_removed = is_removed;
    ops.promiscuous_enable = promiscuous_enable;
    ops.promiscuous_disable = promiscuous_disable;
    ops.allmulticast_enable = allmulticast_enable;
    ops.allmulticast_disable = allmulticast_disable;
    ops.mac_addr_remove = mac_addr_remove;
    ops.mac_addr_add = mac_addr_add;
    ops.mac_addr_set = mac_addr_set;
    ops.set_mc_addr_list = set_mc_addr_list;
    ops.mtu_set = mtu_set;
    ops.stats_get = stats_get;
    ops.stats_reset = stats_reset;
    ops.xstats_get = xstats_get;
    ops.xstats_reset = stats_reset;
    ops.xstats_get_names = xstats_get_names;
    ops.dev_infos_get = dev_infos_get;
    ops.rxq_info_get = rxq_info_get;
    ops.txq_info_get = txq_info_get;
    ops.rx_burst_mode_get = rx_burst_mode_get;
    ops.tx_burst_mode_get = tx_burst_mode_get;
    ops.dev_supported_ptypes_get = supported_ptypes_get;
    ops.vlan_filter_set = vlan_filter_set;
    ops.vlan_tpid_set = vlan_tpid_set;
    ops.vlan_strip_queue_set = vlan_strip_queue_set;
    ops.vlan_offload_set = vlan_offload_set;
    ops.rx_queue_setup = rx_queue_setup;
    ops.rx_queue_release = rx_queue_release;
    ops.rx_queue_intr_enable = rx_queue_intr_enable;
    ops.rx_queue_intr_disable = rx_queue_intr_disable;
    ops.tx_queue_setup = tx_queue_setup;
    ops.tx_queue_release = tx_queue_release;
    ops.tx_done_cleanup = tx_done_cleanup;
    ops.flow_ctrl_get = flow_ctrl_get;
    ops.flow_ctrl_set = flow_ctrl_set;
    ops.rss_hash_update = rss_hash_update;
    ops.rss_hash_conf_get = rss_hash_conf_get;
    ops.reta_update = reta_update;
    ops.reta_query = reta_query;
    ops.flow_ops_get = flow_ops_get;
    ops.eth_dev_priv_dump = priv_dump;
#if RTE_VERSION >= RTE_VERSION_NUM(24, 11, 0, 0)
    ops.get_restore_flags = restore_flags;
#endif
    return ops;
}();

constinit eth_dev_ops const lagg_secondary_ops = [] {
    eth_dev_ops ops{};
    ops.dev_close = secondary_close;
    ops.dev_infos_get = secondary_infos_get;
    ops.link_update = link_update;
    return ops;
}();

} // namespace lagg::pmd
