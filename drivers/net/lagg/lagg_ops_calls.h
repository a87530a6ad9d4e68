// The functions behind lagg_ops' table, by the file that has them.  What each means is ethdev's to
// say (eth_dev_ops), what it does to the members is in doc/ethdev-ops.md.
#pragma once

#include "lagg_compat.h"
#include "lagg_settings.h"

#include <cstddef>
#include <cstdint>
#include <cstdio>

namespace lagg::pmd {

class device;

namespace calls {

// lagg_ops_run.cpp
int configure(rte_eth_dev* dev);
int start(rte_eth_dev* dev);
int stop(rte_eth_dev* dev);
int set_link_up(rte_eth_dev* dev);
int set_link_down(rte_eth_dev* dev);
int close(rte_eth_dev* dev);

// lagg_ops_settings.cpp
int promiscuous_enable(rte_eth_dev* dev);
int promiscuous_disable(rte_eth_dev* dev);
int allmulticast_enable(rte_eth_dev* dev);
int allmulticast_disable(rte_eth_dev* dev);
int mac_addr_set(rte_eth_dev* dev, rte_ether_addr* address);
int mac_addr_add(rte_eth_dev* dev, rte_ether_addr* address, std::uint32_t, std::uint32_t pool);
void mac_addr_remove(rte_eth_dev* dev, std::uint32_t index);
int set_mc_addr_list(rte_eth_dev* dev, rte_ether_addr* list, std::uint32_t count);
int mtu_set(rte_eth_dev* dev, std::uint16_t mtu);
int vlan_filter_set(rte_eth_dev* dev, std::uint16_t vlan, int on);
int vlan_tpid_set(rte_eth_dev* dev, rte_vlan_type type, std::uint16_t tpid);
void vlan_strip_queue_set(rte_eth_dev* dev, std::uint16_t queue, int on);
int vlan_offload_set(rte_eth_dev* dev, int);
int flow_ctrl_get(rte_eth_dev* dev, rte_eth_fc_conf* conf);
int flow_ctrl_set(rte_eth_dev* dev, rte_eth_fc_conf* conf);

// lagg_ops_rss.cpp
int rss_hash_update(rte_eth_dev* dev, rte_eth_rss_conf* conf);
int rss_hash_conf_get(rte_eth_dev* dev, rte_eth_rss_conf* conf);
int reta_update(rte_eth_dev* dev, rte_eth_rss_reta_entry64* conf, std::uint16_t size);
int reta_query(rte_eth_dev* dev, rte_eth_rss_reta_entry64* conf, std::uint16_t size);
rss_setting rss_from(rte_eth_rss_conf const& conf, std::uint8_t default_key_length);
/// How long a key is that comes without a length: what ethdev says, by release.
std::uint8_t default_key_length(device& d);

// lagg_ops_queues.cpp
int rx_queue_setup(rte_eth_dev* dev, std::uint16_t queue, std::uint16_t descriptors,
                   unsigned int socket, rte_eth_rxconf const* conf, rte_mempool* pool);
int tx_queue_setup(rte_eth_dev* dev, std::uint16_t queue, std::uint16_t descriptors,
                   unsigned int socket, rte_eth_txconf const* conf);
void rx_queue_release(rte_eth_dev* dev, std::uint16_t queue);
void tx_queue_release(rte_eth_dev* dev, std::uint16_t queue);
void rxq_info_get(rte_eth_dev* dev, std::uint16_t queue, rte_eth_rxq_info* info);
void txq_info_get(rte_eth_dev* dev, std::uint16_t queue, rte_eth_txq_info* info);
int rx_burst_mode_get(rte_eth_dev* dev, std::uint16_t, rte_eth_burst_mode* mode);
int tx_burst_mode_get(rte_eth_dev* dev, std::uint16_t, rte_eth_burst_mode* mode);
int rx_queue_intr_enable(rte_eth_dev* dev, std::uint16_t queue);
int rx_queue_intr_disable(rte_eth_dev* dev, std::uint16_t queue);

// lagg_ops_rings.cpp
int tx_done_cleanup(void* queue, std::uint32_t limit);

// lagg_ops_answers.cpp
int dev_infos_get(rte_eth_dev* dev, rte_eth_dev_info* out);
#if RTE_VERSION >= RTE_VERSION_NUM(24, 3, 0, 0)
std::uint32_t const* supported_ptypes_get(rte_eth_dev* dev, std::size_t* count);
#else
std::uint32_t const* supported_ptypes_get(rte_eth_dev* dev);
#endif
#if RTE_VERSION >= RTE_VERSION_NUM(25, 11, 0, 0)
int stats_get(rte_eth_dev* dev, rte_eth_stats* out, eth_queue_stats* by_queue);
#else
int stats_get(rte_eth_dev* dev, rte_eth_stats* out);
#endif
int stats_reset(rte_eth_dev* dev);
int xstats_get(rte_eth_dev* dev, rte_eth_xstat* out, unsigned int room);
int xstats_get_names(rte_eth_dev* dev, rte_eth_xstat_name* out, unsigned int room);
int priv_dump(rte_eth_dev* dev, FILE* file);

} // namespace calls

} // namespace lagg::pmd
