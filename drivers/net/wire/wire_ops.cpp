// Device operations of a wire end: each admits the call (removed? planned fault?), edits settings
// and publishes. The C boundary: results are 0 or -errno.

#include "wire_ops.h"

#include "wire_control.h"

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>

#include <ctime>

namespace wire {
namespace {

constexpr std::uint16_t default_descriptors = 1024;
constexpr std::uint16_t max_descriptors = 32768;
constexpr std::uint64_t rss_types = rss_ipv4_types | rss_ipv6_types | rss_l4_types;

/// Admits a call of `op`, lets `edit` change settings and publishes. edit: end& -> 0 or -errno.
template<typename Edit>
int edit_settings(rte_eth_dev* dev, rte_pmd_wire_op op, Edit edit) {
    control_section control;
    end& e = end_of(dev);
    if (int const rc = control.admit(e, op); rc != 0) {
        return rc;
    }
    if (int const rc = edit(e); rc != 0) {
        return rc;
    }
    control.changed(e);
    return 0;
}

void use_key(end& e, rte_eth_rss_conf const& conf) {
    if (conf.rss_key != nullptr && conf.rss_key_len >= rss_key_bytes) {
        std::copy_n(conf.rss_key, rss_key_bytes, e.rss_key.begin());
    }
    e.rss_types = conf.rss_hf & rss_types;
    e.rss = e.rss_types != 0;
}

void apply_vlan_offloads(end& e, std::uint64_t offloads) {
    e.filter_vlan = (offloads & RTE_ETH_RX_OFFLOAD_VLAN_FILTER) != 0;
    for (auto& q : e.rx) {
        q.strips_vlan.store((offloads & RTE_ETH_RX_OFFLOAD_VLAN_STRIP) != 0,
                            std::memory_order_relaxed); // [attend]
    }
}

int configure(rte_eth_dev* dev) {
    return edit_settings(dev, RTE_PMD_WIRE_OP_CONFIGURE, [&](end& e) {
        auto const& data = *dev->data;
        if (e.opt.equal_queues && data.nb_rx_queues != data.nb_tx_queues) {
            return -EINVAL;
        }
        e.mtu = data.mtu;
        e.rss = false;
        if ((data.dev_conf.rxmode.mq_mode & RTE_ETH_MQ_RX_RSS_FLAG) != 0) {
            use_key(e, data.dev_conf.rx_adv_conf.rss_conf);
        }
        for (std::size_t i = 0; i < e.reta.size(); ++i) {
            e.reta[i] =
                static_cast<std::uint8_t>(data.nb_rx_queues == 0 ? 0 : i % data.nb_rx_queues);
        }
        apply_vlan_offloads(e, data.dev_conf.rxmode.offloads);
        return 0;
    });
}

int start(rte_eth_dev* dev) {
    std::uint32_t sleep_ms = 0;
    {
        control_section control;
        end& e = end_of(dev);
        if (int const rc = control.admit(e, RTE_PMD_WIRE_OP_START); rc != 0) {
            return rc;
        }
        sleep_ms = e.slow_start_ms;
        e.events.slow_starts += sleep_ms != 0 ? 1 : 0;
    }
    if (sleep_ms != 0) { // imitates a NIC that takes its time; nobody else waits for it
        timespec left{static_cast<time_t>(sleep_ms / 1000),
                      static_cast<long>(sleep_ms % 1000) * 1000000};
        while (nanosleep(&left, &left) != 0 && errno == EINTR) {
        }
    }
    control_section control;
    end& e = end_of(dev);
    if (e.removed) {
        return -EIO;
    }
    control.drain(e);
    e.started = true;
    e.admin_up = true;
    ++e.events.starts;
    choose_bursts(e);
    for (std::uint16_t q = 0; q < dev->data->nb_rx_queues; ++q) {
        dev->data->rx_queue_state[q] = RTE_ETH_QUEUE_STATE_STARTED;
    }
    for (std::uint16_t q = 0; q < dev->data->nb_tx_queues; ++q) {
        dev->data->tx_queue_state[q] = RTE_ETH_QUEUE_STATE_STARTED;
    }
    control.changed(e);
    control.write_link(e);
    return 0;
}

int stop(rte_eth_dev* dev) {
    control_section control;
    end& e = end_of(dev);
    if (int const rc = control.admit(e, RTE_PMD_WIRE_OP_STOP); rc != 0) {
        return rc;
    }
    e.started = false;
    ++e.events.stops;
    control.changed(e); // from here no frame of the peer's enters
    control.write_link(e);
    control.drain(e);
    for (std::uint16_t q = 0; q < dev->data->nb_rx_queues; ++q) {
        dev->data->rx_queue_state[q] = RTE_ETH_QUEUE_STATE_STOPPED;
    }
    for (std::uint16_t q = 0; q < dev->data->nb_tx_queues; ++q) {
        dev->data->tx_queue_state[q] = RTE_ETH_QUEUE_STATE_STOPPED;
    }
    return 0;
}

int close(rte_eth_dev* dev) {
    if (rte_eal_process_type() != RTE_PROC_PRIMARY) {
        return 0;
    }
    control_section control;
    end& e = end_of(dev);
    int const rc = control.admit(e, RTE_PMD_WIRE_OP_CLOSE);
    control.drop(e);
    discard(&e);
    return rc;
}

int set_link(rte_eth_dev* dev, bool up) {
    return edit_settings(dev, RTE_PMD_WIRE_OP_SET_LINK, [&](end& e) {
        e.admin_up = up;
        return 0;
    });
}
int set_link_up(rte_eth_dev* dev) {
    return set_link(dev, true);
}
int set_link_down(rte_eth_dev* dev) {
    return set_link(dev, false);
}

int link_update(rte_eth_dev* dev, int /*wait*/) {
    control_section control;
    end& e = end_of(dev);
    if (int const rc = control_section::planned(e, RTE_PMD_WIRE_OP_LINK); rc != 0) {
        return rc;
    }
    return control.write_link(e) ? 0 : -1;
}

int is_removed(rte_eth_dev* dev) {
    control_section control;
    return end_of(dev).removed ? 1 : 0;
}

int set_promiscuous(rte_eth_dev* dev, bool on) {
    return edit_settings(dev, RTE_PMD_WIRE_OP_PROMISC, [&](end& e) {
        e.promiscuous = on;
        return 0;
    });
}
int promiscuous_enable(rte_eth_dev* dev) {
    return set_promiscuous(dev, true);
}
int promiscuous_disable(rte_eth_dev* dev) {
    return set_promiscuous(dev, false);
}

int set_allmulticast(rte_eth_dev* dev, bool on) {
    return edit_settings(dev, RTE_PMD_WIRE_OP_ALLMULTI, [&](end& e) {
        e.allmulticast = on;
        return 0;
    });
}
int allmulticast_enable(rte_eth_dev* dev) {
    return set_allmulticast(dev, true);
}
int allmulticast_disable(rte_eth_dev* dev) {
    return set_allmulticast(dev, false);
}

void mac_addr_remove(rte_eth_dev* dev, std::uint32_t index) {
    control_section control;
    end& e = end_of(dev);
    e.macs[index] = 0;
    control.changed(e);
}

int mac_addr_add(rte_eth_dev* dev, rte_ether_addr* mac, std::uint32_t index, std::uint32_t) {
    return edit_settings(dev, RTE_PMD_WIRE_OP_MAC_ADD, [&](end& e) {
        e.macs[index] = address_word(mac->addr_bytes);
        return 0;
    });
}

int mac_addr_set(rte_eth_dev* dev, rte_ether_addr* mac) {
    return edit_settings(dev, RTE_PMD_WIRE_OP_MAC_SET, [&](end& e) {
        if (e.opt.fixed_mac) {
            return -ENOTSUP;
        }
        e.macs[0] = address_word(mac->addr_bytes);
        return 0;
    });
}

int set_mc_addr_list(rte_eth_dev* dev, rte_ether_addr* list, std::uint32_t count) {
    return edit_settings(dev, RTE_PMD_WIRE_OP_MC_LIST, [&](end& e) {
        if (count > max_multicasts) {
            return -ENOSPC;
        }
        std::transform(list, list + count, e.multicasts.begin(),
                       [](auto const& mac) { return address_word(mac.addr_bytes); });
        e.multicast_count = static_cast<std::uint16_t>(count);
        return 0;
    });
}

int mtu_set(rte_eth_dev* dev, std::uint16_t mtu) {
    return edit_settings(dev, RTE_PMD_WIRE_OP_MTU, [&](end& e) {
        if (e.opt.fixed_mtu) {
            return -ENOTSUP;
        }
        if (e.started && !e.opt.live_mtu) {
            return -EBUSY;
        }
        e.mtu = mtu;
        return 0;
    });
}

constexpr std::uint16_t queues_with_stats =
    sizeof(queue_stats::q_ipackets) / sizeof(queue_stats::q_ipackets[0]);

rte_eth_stats collect(end const& e) {
    rte_eth_stats s;
    std::memset(&s, 0, sizeof(s));
    rte_pmd_wire_counters const c = read_counters(e);
    s.ipackets = c.received;
    s.opackets = c.sent + c.lost_silent; // the NIC believes it sent them
    s.imissed = c.missed;
    s.ierrors = c.rx_too_long + c.rx_dropped;
    s.rx_nombuf = c.rx_no_mbuf;
    s.oerrors = c.lost_down + c.tx_too_long + c.tx_no_mbuf;
    for (auto const& q : e.rx) {
        s.ibytes += value(q.bytes);
    }
    for (auto const& q : e.tx) {
        s.obytes += value(q.counters.sent_bytes) + value(q.counters.lost_silent_bytes);
    }
    return s;
}

queue_stats collect_queues(end const& e) {
    queue_stats s;
    std::memset(&s, 0, sizeof(s));
    for (std::uint16_t i = 0; i < std::min(queues_with_stats, max_queues); ++i) {
        auto const& tx = e.tx[i].counters;
        s.q_ipackets[i] = value(e.rx[i].packets);
        s.q_ibytes[i] = value(e.rx[i].bytes);
        s.q_opackets[i] = value(tx.sent) + value(tx.lost_silent);
        s.q_obytes[i] = value(tx.sent_bytes) + value(tx.lost_silent_bytes);
        s.q_errors[i] = value(e.rx[i].dropped);
    }
    return s;
}

void subtract_queues(queue_stats& s, queue_stats const& base) {
    for (std::uint16_t i = 0; i < queues_with_stats; ++i) {
        s.q_ipackets[i] -= base.q_ipackets[i];
        s.q_ibytes[i] -= base.q_ibytes[i];
        s.q_opackets[i] -= base.q_opackets[i];
        s.q_obytes[i] -= base.q_obytes[i];
        s.q_errors[i] -= base.q_errors[i];
    }
}

void read_stats(rte_eth_dev* dev, rte_eth_stats& out, queue_stats* queues) {
    control_section control;
    end const& e = end_of(dev);
    rte_eth_stats const now = collect(e);
    out.ipackets = now.ipackets - e.stats_base.ipackets;
    out.opackets = now.opackets - e.stats_base.opackets;
    out.ibytes = now.ibytes - e.stats_base.ibytes;
    out.obytes = now.obytes - e.stats_base.obytes;
    out.imissed = now.imissed - e.stats_base.imissed;
    out.ierrors = now.ierrors - e.stats_base.ierrors;
    out.oerrors = now.oerrors - e.stats_base.oerrors;
    out.rx_nombuf = now.rx_nombuf - e.stats_base.rx_nombuf;
    if (queues != nullptr) {
        queue_stats const by_queue = collect_queues(e);
        std::copy_n(by_queue.q_ipackets, queues_with_stats, queues->q_ipackets);
        std::copy_n(by_queue.q_ibytes, queues_with_stats, queues->q_ibytes);
        std::copy_n(by_queue.q_opackets, queues_with_stats, queues->q_opackets);
        std::copy_n(by_queue.q_obytes, queues_with_stats, queues->q_obytes);
        std::copy_n(by_queue.q_errors, queues_with_stats, queues->q_errors);
        subtract_queues(*queues, e.queue_stats_base);
    }
}

#if RTE_VERSION >= RTE_VERSION_NUM(25, 11, 0, 0)
int stats_get(rte_eth_dev* dev, rte_eth_stats* stats, eth_queue_stats* queues) {
    read_stats(dev, *stats, queues);
    return 0;
}
#else
int stats_get(rte_eth_dev* dev, rte_eth_stats* stats) {
    read_stats(dev, *stats, stats);
    return 0;
}
#endif

/// A reset takes note of the counters, which bursts alone write; readers see the difference.
int stats_reset(rte_eth_dev* dev) {
    control_section control;
    end& e = end_of(dev);
    e.stats_base = collect(e);
    e.queue_stats_base = collect_queues(e);
    return 0;
}

struct named_counter {
    char const* name;
    std::uint64_t rte_pmd_wire_counters::*value;
};

constexpr named_counter xstats[] = {
    {"wire_tx_bursts", &rte_pmd_wire_counters::tx_bursts},
    {"wire_rx_bursts", &rte_pmd_wire_counters::rx_bursts},
    {"wire_injected", &rte_pmd_wire_counters::injected},
    {"wire_refused", &rte_pmd_wire_counters::refused},
    {"wire_lost_silent", &rte_pmd_wire_counters::lost_silent},
    {"wire_lost_down", &rte_pmd_wire_counters::lost_down},
    {"wire_lost_stop", &rte_pmd_wire_counters::lost_stop},
    {"wire_tx_too_long", &rte_pmd_wire_counters::tx_too_long},
    {"wire_tx_no_mbuf", &rte_pmd_wire_counters::tx_no_mbuf},
    {"wire_tx_copied", &rte_pmd_wire_counters::tx_copied},
    {"wire_filtered_mac", &rte_pmd_wire_counters::filtered_mac},
    {"wire_filtered_vlan", &rte_pmd_wire_counters::filtered_vlan},
    {"wire_filtered_flow", &rte_pmd_wire_counters::filtered_flow},
    {"wire_rx_too_long", &rte_pmd_wire_counters::rx_too_long},
    {"wire_rx_dropped", &rte_pmd_wire_counters::rx_dropped},
    {"wire_rx_no_mbuf", &rte_pmd_wire_counters::rx_no_mbuf},
    {"wire_cuts", &rte_pmd_wire_counters::cuts},
    {"wire_silent_cuts", &rte_pmd_wire_counters::silent_cuts},
    {"wire_heals", &rte_pmd_wire_counters::heals},
    {"wire_failed_ops", &rte_pmd_wire_counters::failed_ops},
    {"wire_lsc_events", &rte_pmd_wire_counters::lsc_events},
    {"wire_rmv_events", &rte_pmd_wire_counters::rmv_events},
    {"wire_violations", &rte_pmd_wire_counters::violations},
    {"wire_limited_bursts", &rte_pmd_wire_counters::limited_bursts},
};

int xstats_get(rte_eth_dev* dev, rte_eth_xstat* out, unsigned room) {
    if (out == nullptr || room < std::size(xstats)) {
        return static_cast<int>(std::size(xstats));
    }
    control_section control;
    end const& e = end_of(dev);
    rte_pmd_wire_counters const now = read_counters(e);
    for (std::size_t i = 0; i < std::size(xstats); ++i) {
        out[i].id = i;
        out[i].value = now.*xstats[i].value - e.xstats_base.*xstats[i].value;
    }
    return static_cast<int>(std::size(xstats));
}

int xstats_get_names(rte_eth_dev*, rte_eth_xstat_name* out, unsigned room) {
    if (out != nullptr && room >= std::size(xstats)) {
        for (std::size_t i = 0; i < std::size(xstats); ++i) {
            std::snprintf(out[i].name, sizeof(out[i].name), "%s", xstats[i].name);
        }
    }
    return static_cast<int>(std::size(xstats));
}

int xstats_reset(rte_eth_dev* dev) {
    control_section control;
    end& e = end_of(dev);
    e.xstats_base = read_counters(e);
    return 0;
}

std::uint32_t speed_capability(std::uint32_t mbps) {
    return rte_eth_speed_bitflag(mbps, RTE_ETH_LINK_FULL_DUPLEX);
}

int infos_get(rte_eth_dev* dev, rte_eth_dev_info* info) {
    control_section control;
    end& e = end_of(dev);
    if (int const rc = control.admit(e, RTE_PMD_WIRE_OP_INFOS); rc != 0) {
        return rc;
    }
    info->min_mtu = RTE_ETHER_MIN_MTU;
    info->max_mtu = e.opt.mtu_max;
    info->min_rx_bufsize = 0;
    info->max_rx_pktlen = e.opt.mtu_max + RTE_ETHER_HDR_LEN + RTE_ETHER_CRC_LEN + 2 * RTE_VLAN_HLEN;
    info->max_rx_queues = e.opt.max_rxq;
    info->max_tx_queues = e.opt.max_txq;
    info->max_mac_addrs = max_macs;
    info->rx_offload_capa = RTE_ETH_RX_OFFLOAD_VLAN_STRIP | RTE_ETH_RX_OFFLOAD_VLAN_FILTER |
                            RTE_ETH_RX_OFFLOAD_SCATTER | RTE_ETH_RX_OFFLOAD_RSS_HASH;
    info->tx_offload_capa = RTE_ETH_TX_OFFLOAD_VLAN_INSERT | RTE_ETH_TX_OFFLOAD_MULTI_SEGS |
                            RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE;
    info->tx_queue_offload_capa = RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE;
    info->reta_size = reta_entries;
    info->hash_key_size = rss_key_bytes;
    info->flow_type_rss_offloads = rss_types;
    info->rx_desc_lim.nb_max = max_descriptors;
    info->rx_desc_lim.nb_min = 1;
    info->rx_desc_lim.nb_align = 1;
    info->tx_desc_lim = info->rx_desc_lim;
    info->speed_capa = speed_capability(e.opt.speed_mbps);
    info->default_rxportconf.ring_size = default_descriptors;
    info->default_rxportconf.burst_size = 32;
    info->default_rxportconf.nb_queues = 1;
    info->default_txportconf = info->default_rxportconf;
    info->dev_capa = RTE_ETH_DEV_CAPA_FLOW_RULE_KEEP;
    return 0;
}

void rxq_info_get(rte_eth_dev* dev, std::uint16_t queue, rte_eth_rxq_info* info) {
    control_section control;
    rx_queue const& q = end_of(dev).rx[queue];
    info->mp = q.pool;
    info->conf = q.conf;
    info->scattered_rx = 1;
    info->nb_desc = q.descriptors;
}

void txq_info_get(rte_eth_dev* dev, std::uint16_t queue, rte_eth_txq_info* info) {
    control_section control;
    tx_queue const& q = end_of(dev).tx[queue];
    info->conf = q.conf;
    info->nb_desc = q.descriptors;
}

int rx_burst_mode_get(rte_eth_dev*, std::uint16_t, rte_eth_burst_mode* mode) {
    std::snprintf(mode->info, sizeof(mode->info), "Scalar, one ring per queue");
    return 0;
}

int tx_burst_mode_get(rte_eth_dev* dev, std::uint16_t, rte_eth_burst_mode* mode) {
    control_section control;
    end const& e = end_of(dev);
    char const* const what = e.wired                         ? "Scalar, into the peer's rings"
                             : e.opt.sink == sink_mode::keep ? "Sink, frames stay the caller's"
                                                             : "Sink, frames are freed";
    std::snprintf(mode->info, sizeof(mode->info), "%s", what);
    return 0;
}

#if RTE_VERSION >= RTE_VERSION_NUM(24, 3, 0, 0)
std::uint32_t const* supported_ptypes(rte_eth_dev*, std::size_t* count) {
    static constexpr std::uint32_t ptypes[] = {RTE_PTYPE_L2_ETHER};
    *count = std::size(ptypes);
    return ptypes;
}
#else
std::uint32_t const* supported_ptypes(rte_eth_dev*) {
    static constexpr std::uint32_t ptypes[] = {RTE_PTYPE_L2_ETHER, RTE_PTYPE_UNKNOWN};
    return ptypes;
}
#endif

int rx_queue_setup(rte_eth_dev* dev, std::uint16_t index, std::uint16_t descriptors,
                   unsigned socket, rte_eth_rxconf const* conf, rte_mempool* pool) {
    control_section control;
    end& e = end_of(dev);
    if (int const rc = control.admit(e, RTE_PMD_WIRE_OP_RXQ_SETUP); rc != 0) {
        return rc;
    }
    if (e.started) {
        return -EBUSY;
    }
    rx_queue& q = e.rx[index];
    auto const capacity =
        e.opt.ring == 0 ? descriptors : std::min<std::uint32_t>(e.opt.ring, descriptors);
    auto const slots = rte_align32pow2(capacity + 1);
    auto const bytes = rte_ring_get_memsize(slots);
    if (bytes < 0) {
        return static_cast<int>(bytes);
    }
    void* const memory = std::aligned_alloc(
        RTE_CACHE_LINE_SIZE, RTE_ALIGN_CEIL(static_cast<std::size_t>(bytes),
                                            static_cast<std::size_t>(RTE_CACHE_LINE_SIZE)));
    if (memory == nullptr) {
        return -ENOMEM;
    }
    auto* const ring = static_cast<rte_ring*>(memory);
    // Several tx queues of the peer may feed this ring, one lcore empties it.
    int const rc = rte_ring_init(ring, "wire", capacity, RING_F_EXACT_SZ | RING_F_SC_DEQ);
    if (rc != 0) {
        std::free(memory);
        return rc;
    }
    std::free(q.ring); // empty since the stop, and no passage leads here while we are stopped
    q.ring = ring;
    q.pool = pool;
    q.copies = e.opt.rx_copies;
    q.conf = *conf;
    q.descriptors = static_cast<std::uint16_t>(capacity);
    q.set_up = true;
    dev->data->rx_queues[index] = &q;
    static_cast<void>(socket); // a wire has no home: memory comes from where the caller runs
    return 0;
}

int tx_queue_setup(rte_eth_dev* dev, std::uint16_t index, std::uint16_t descriptors, unsigned,
                   rte_eth_txconf const* conf) {
    control_section control;
    end& e = end_of(dev);
    if (int const rc = control.admit(e, RTE_PMD_WIRE_OP_TXQ_SETUP); rc != 0) {
        return rc;
    }
    if (e.started) {
        return -EBUSY;
    }
    tx_queue& q = e.tx[index];
    q.conf = *conf;
    q.descriptors = descriptors;
    q.set_up = true;
    dev->data->tx_queues[index] = &q;
    return 0;
}

void rx_queue_release(rte_eth_dev* dev, std::uint16_t index) {
    control_section control;
    end& e = end_of(dev);
    rx_queue& q = e.rx[index];
    if (!q.set_up || e.started) {
        return;
    }
    control.drain(e);
    std::free(q.ring);
    q.ring = nullptr;
    q.set_up = false;
}

void tx_queue_release(rte_eth_dev* dev, std::uint16_t index) {
    control_section control;
    end_of(dev).tx[index].set_up = false;
}

// These three are called on the queue's lcore, as bursts are.
#if RTE_VERSION >= RTE_VERSION_NUM(25, 11, 0, 0)
int rx_queue_count(void* queue) {
#else
std::uint32_t rx_queue_count(void* queue) {
#endif
    return rte_ring_count(static_cast<rx_queue const*>(queue)->ring);
}

int rx_descriptor_status(void* queue, std::uint16_t offset) {
    auto const& q = *static_cast<rx_queue const*>(queue);
    if (offset >= q.descriptors) {
        return -EINVAL;
    }
    return offset < rte_ring_count(q.ring) ? RTE_ETH_RX_DESC_DONE : RTE_ETH_RX_DESC_AVAIL;
}

int tx_descriptor_status(void* queue, std::uint16_t offset) {
    // A frame leaves this end within the burst that takes it.
    return offset >= static_cast<tx_queue const*>(queue)->descriptors ? -EINVAL
                                                                      : RTE_ETH_TX_DESC_DONE;
}

int tx_done_cleanup(void*, std::uint32_t) {
    return 0;
}

int vlan_filter_set(rte_eth_dev* dev, std::uint16_t id, int on) {
    return edit_settings(dev, RTE_PMD_WIRE_OP_VLAN, [&](end& e) {
        e.vlans[id & 0xfff] = on != 0;
        return 0;
    });
}

int vlan_offload_set(rte_eth_dev* dev, int) {
    return edit_settings(dev, RTE_PMD_WIRE_OP_VLAN, [&](end& e) {
        apply_vlan_offloads(e, dev->data->dev_conf.rxmode.offloads);
        return 0;
    });
}

int rss_hash_update(rte_eth_dev* dev, rte_eth_rss_conf* conf) {
    return edit_settings(dev, RTE_PMD_WIRE_OP_RSS, [&](end& e) {
        if (conf->rss_key != nullptr && conf->rss_key_len != rss_key_bytes) {
            return -EINVAL;
        }
        use_key(e, *conf);
        return 0;
    });
}

int rss_hash_conf_get(rte_eth_dev* dev, rte_eth_rss_conf* conf) {
    control_section control;
    end const& e = end_of(dev);
    conf->rss_hf = e.rss ? e.rss_types : 0;
    if (conf->rss_key != nullptr && conf->rss_key_len >= rss_key_bytes) {
        std::copy(e.rss_key.begin(), e.rss_key.end(), conf->rss_key);
    }
    conf->rss_key_len = rss_key_bytes;
    return 0;
}

/// Calls each(entry, word) for the entries that `groups` select.
template<typename Each>
int for_selected(rte_eth_rss_reta_entry64* groups, std::uint16_t size, Each each) {
    if (size != reta_entries) {
        return -EINVAL;
    }
    for (std::uint16_t i = 0; i < size; ++i) {
        auto& group = groups[i / RTE_ETH_RETA_GROUP_SIZE];
        if ((group.mask >> (i % RTE_ETH_RETA_GROUP_SIZE) & 1) != 0) {
            each(i, group.reta[i % RTE_ETH_RETA_GROUP_SIZE]);
        }
    }
    return 0;
}

int reta_update(rte_eth_dev* dev, rte_eth_rss_reta_entry64* groups, std::uint16_t size) {
    return edit_settings(dev, RTE_PMD_WIRE_OP_RSS, [&](end& e) {
        bool in_range = true;
        int const rc = for_selected(groups, size, [&](std::uint16_t, std::uint16_t queue) {
            in_range = in_range && queue < dev->data->nb_rx_queues;
        });
        if (rc != 0 || !in_range) {
            return -EINVAL;
        }
        return for_selected(groups, size, [&](std::uint16_t entry, std::uint16_t queue) {
            e.reta[entry] = static_cast<std::uint8_t>(queue);
        });
    });
}

int reta_query(rte_eth_dev* dev, rte_eth_rss_reta_entry64* groups, std::uint16_t size) {
    control_section control;
    end const& e = end_of(dev);
    return for_selected(groups, size,
                        [&](std::uint16_t entry, std::uint16_t& queue) { queue = e.reta[entry]; });
}

int flow_ops_get(rte_eth_dev*, rte_flow_ops const** ops) {
    *ops = &flow_ops;
    return 0;
}

} // namespace

end& end_of(rte_eth_dev* dev) {
    return **static_cast<end**>(dev->data->dev_private);
}

void choose_bursts(end& e) {
    e.dev->rx_pkt_burst = rx_ring;
    e.dev->tx_pkt_burst = e.wired                         ? tx_wired
                          : e.opt.sink == sink_mode::keep ? tx_sink_keep
                                                          : tx_sink_free;
    e.dev->rx_queue_count = rx_queue_count;
    e.dev->rx_descriptor_status = rx_descriptor_status;
    e.dev->tx_descriptor_status = tx_descriptor_status;
}

eth_dev_ops const end_ops = {
    .dev_configure = configure,
    .dev_start = start,
    .dev_stop = stop,
    .dev_set_link_up = set_link_up,
    .dev_set_link_down = set_link_down,
    .dev_close = close,
    .link_update = link_update,
    .is_removed = is_removed,
    .promiscuous_enable = promiscuous_enable,
    .promiscuous_disable = promiscuous_disable,
    .allmulticast_enable = allmulticast_enable,
    .allmulticast_disable = allmulticast_disable,
    .mac_addr_remove = mac_addr_remove,
    .mac_addr_add = mac_addr_add,
    .mac_addr_set = mac_addr_set,
    .set_mc_addr_list = set_mc_addr_list,
    .mtu_set = mtu_set,
    .stats_get = stats_get,
    .stats_reset = stats_reset,
    .xstats_get = xstats_get,
    .xstats_reset = xstats_reset,
    .xstats_get_names = xstats_get_names,
    .dev_infos_get = infos_get,
    .rxq_info_get = rxq_info_get,
    .txq_info_get = txq_info_get,
    .rx_burst_mode_get = rx_burst_mode_get,
    .tx_burst_mode_get = tx_burst_mode_get,
    .dev_supported_ptypes_get = supported_ptypes,
    .vlan_filter_set = vlan_filter_set,
    .vlan_offload_set = vlan_offload_set,
    .rx_queue_setup = rx_queue_setup,
    .rx_queue_release = rx_queue_release,
    .tx_queue_setup = tx_queue_setup,
    .tx_queue_release = tx_queue_release,
    .tx_done_cleanup = tx_done_cleanup,
    .rss_hash_update = rss_hash_update,
    .rss_hash_conf_get = rss_hash_conf_get,
    .reta_update = reta_update,
    .reta_query = reta_query,
    .flow_ops_get = flow_ops_get,
};

} // namespace wire
