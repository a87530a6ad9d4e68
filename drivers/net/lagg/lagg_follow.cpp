#include "lagg_follow.h"

#include "lagg_compat.h"
#include "lagg_flow.h"
#include "lagg_log.h"

#include <rte_errno.h>

#include <algorithm>
#include <cerrno>

namespace lagg::pmd {

namespace {

/// A Toeplitz key of `wanted` bytes that hashes like `key` as far as `key` reaches: cut, or
/// repeated.
std::vector<std::uint8_t> fitted(std::vector<std::uint8_t> const& key, std::size_t wanted) {
    std::vector<std::uint8_t> out(wanted);
    for (std::size_t i = 0; i < wanted; ++i) {
        out[i] = key[i % key.size()];
    }
    return out;
}

/// The key for a member whose keys have `wanted` bytes (0: not said).  Lasts as conf_for() says.
std::uint8_t* key_for(std::vector<std::uint8_t> const& key, std::size_t wanted,
                      std::uint8_t& length) {
    if (key.empty()) {
        length = 0;
        return nullptr;
    }
    thread_local std::vector<std::uint8_t> buffer;
    buffer = fitted(key, wanted == 0 ? key.size() : wanted);
    length = static_cast<std::uint8_t>(buffer.size());
    return buffer.data();
}

bool spreads_by_rss(rte_eth_conf const& conf) {
    return (conf.rxmode.mq_mode & RTE_ETH_MQ_RX_RSS_FLAG) != 0;
}

int vlan_offload_mask(std::uint64_t rx_offloads) {
    int mask = 0;
    mask |= (rx_offloads & RTE_ETH_RX_OFFLOAD_VLAN_STRIP) != 0 ? RTE_ETH_VLAN_STRIP_OFFLOAD : 0;
    mask |= (rx_offloads & RTE_ETH_RX_OFFLOAD_VLAN_FILTER) != 0 ? RTE_ETH_VLAN_FILTER_OFFLOAD : 0;
    mask |= (rx_offloads & RTE_ETH_RX_OFFLOAD_VLAN_EXTEND) != 0 ? RTE_ETH_VLAN_EXTEND_OFFLOAD : 0;
    mask |= (rx_offloads & RTE_ETH_RX_OFFLOAD_QINQ_STRIP) != 0 ? RTE_ETH_QINQ_STRIP_OFFLOAD : 0;
    return mask;
}

bool filters_vlans(port_settings const& s) {
    return (s.conf.rxmode.offloads & RTE_ETH_RX_OFFLOAD_VLAN_FILTER) != 0;
}

int set_all_vlans(member_port const& m, port_settings const& s) {
    for (std::uint32_t vlan = 0; vlan < s.vlans.size(); ++vlan) {
        if (s.vlans.test(vlan)) {
            if (int const rc =
                    rte_eth_dev_vlan_filter(m.port(), static_cast<std::uint16_t>(vlan), 1);
                rc != 0) {
                return rc;
            }
        }
    }
    return 0;
}

void forget_vlans(member_port const& m, port_settings const& s) {
    for (std::uint32_t vlan = 0; vlan < s.vlans.size(); ++vlan) {
        if (s.vlans.test(vlan)) {
            static_cast<void>(
                rte_eth_dev_vlan_filter(m.port(), static_cast<std::uint16_t>(vlan), 0));
        }
    }
}

void report(member_port const& m, char const* what, int rc) {
    if (rc != 0) {
        LAGG_LOG(WARNING, "member %s: does not take over %s: %s", describe(m.port()).c_str(), what,
                 rte_strerror(-rc));
    }
}

/// The member's value, unless the application chose one.
template<class T>
void choose(T& value, T own) {
    if (value == 0) {
        value = own;
    }
}

void choose(rte_eth_thresh& value, rte_eth_thresh const& own) {
    choose(value.pthresh, own.pthresh);
    choose(value.hthresh, own.hthresh);
    choose(value.wthresh, own.wthresh);
}

} // namespace

rte_eth_conf conf_for(port_settings const& s, rte_eth_dev_info const& info) {
    rte_eth_conf conf = s.conf;
    conf.rxmode.mtu = s.mtu;
    conf.txmode.offloads &= ~static_cast<std::uint64_t>(RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE);
    auto& rss = conf.rx_adv_conf.rss_conf;
    rss = {};
    if (s.rss && spreads_by_rss(s.conf)) {
        rss.rss_hf = s.rss->fields & info.flow_type_rss_offloads;
        rss.rss_key = key_for(s.rss->key, info.hash_key_size, rss.rss_key_len);
#if RTE_VERSION >= RTE_VERSION_NUM(23, 11, 0, 0)
        rss.algorithm = static_cast<rte_eth_hash_function>(s.rss->algorithm);
#endif
    }
    if (info.flow_type_rss_offloads == 0) {
        conf.rxmode.mq_mode = RTE_ETH_MQ_RX_NONE;
    }
    std::uint32_t const flags = info.dev_flags != nullptr ? *info.dev_flags : 0;
    conf.intr_conf.lsc = (flags & RTE_ETH_DEV_INTR_LSC) != 0 ? 1 : 0;
    conf.intr_conf.rmv = (flags & RTE_ETH_DEV_INTR_RMV) != 0 ? 1 : 0;
    return conf;
}

rte_eth_rxconf conf_for(rx_queue_setting const& q, port_settings const& s,
                        rte_eth_dev_info const& member) {
    rte_eth_rxconf conf = q.conf;
    choose(conf.rx_thresh, member.default_rxconf.rx_thresh);
    choose(conf.rx_free_thresh, member.default_rxconf.rx_free_thresh);
    choose(conf.rx_drop_en, member.default_rxconf.rx_drop_en);
    conf.offloads |= s.conf.rxmode.offloads;
    return conf;
}

rte_eth_txconf conf_for(tx_queue_setting const& q, port_settings const& s,
                        rte_eth_dev_info const& member) {
    rte_eth_txconf conf = q.conf;
    choose(conf.tx_thresh, member.default_txconf.tx_thresh);
    choose(conf.tx_rs_thresh, member.default_txconf.tx_rs_thresh);
    choose(conf.tx_free_thresh, member.default_txconf.tx_free_thresh);
    conf.offloads |= s.conf.txmode.offloads;
    conf.offloads &= ~static_cast<std::uint64_t>(RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE);
    return conf;
}

int follow_vlan_filter(member_port const& m, port_settings const& s, std::uint16_t vlan) {
    return filters_vlans(s) ? rte_eth_dev_vlan_filter(m.port(), vlan, s.vlans.test(vlan) ? 1 : 0)
                            : 0;
}

int follow_vlan_offload(member_port const& m, port_settings const& s) {
    int const wanted = vlan_offload_mask(s.conf.rxmode.offloads);
    int const present = rte_eth_dev_get_vlan_offload(m.port());
    if (wanted == present) {
        return 0;
    }
    int rc = rte_eth_dev_set_vlan_offload(m.port(), wanted);
    // A filter that was off when the ids were set has to learn them now.
    if (rc == 0 && (wanted & RTE_ETH_VLAN_FILTER_OFFLOAD) != 0 &&
        (present & RTE_ETH_VLAN_FILTER_OFFLOAD) == 0) {
        rc = set_all_vlans(m, s);
        if (rc != 0 && present >= 0) {
            static_cast<void>(rte_eth_dev_set_vlan_offload(m.port(), present));
        }
    }
    return rc;
}

int follow_vlan_strip(member_port const& m, port_settings const& s, std::uint16_t queue) {
    auto const at = s.vlan_strip_by_queue.find(queue);
    bool const on = at != s.vlan_strip_by_queue.end()
                        ? at->second
                        : (s.conf.rxmode.offloads & RTE_ETH_RX_OFFLOAD_VLAN_STRIP) != 0;
    return rte_eth_dev_set_vlan_strip_on_queue(m.port(), queue, on ? 1 : 0);
}

int follow_vlan_tpid(member_port const& m, port_settings const& s, rte_vlan_type type) {
    std::uint16_t tpid =
        type == RTE_ETH_VLAN_TYPE_INNER ? RTE_ETHER_TYPE_VLAN : RTE_ETHER_TYPE_QINQ;
    for (auto const& set : s.vlan_tpids) {
        tpid = set.type == type ? set.tpid : tpid;
    }
    return rte_eth_dev_set_vlan_ether_type(m.port(), type, tpid);
}

int follow_rss(member_port const& m, port_settings const& s) {
    if (!s.rss || !spreads_by_rss(s.conf)) {
        return 0;
    }
    rte_eth_dev_info info{};
    if (int const rc = rte_eth_dev_info_get(m.port(), &info); rc != 0) {
        return rc;
    }
    rte_eth_rss_conf conf{};
    conf.rss_hf = s.rss->fields;
    conf.rss_key = key_for(s.rss->key, info.hash_key_size, conf.rss_key_len);
#if RTE_VERSION >= RTE_VERSION_NUM(23, 11, 0, 0)
    conf.algorithm = static_cast<rte_eth_hash_function>(s.rss->algorithm);
#endif
    return rte_eth_dev_rss_hash_update(m.port(), &conf);
}

int follow_reta(member_port const& m, port_settings const& s) {
    if (s.reta.empty() || s.reta_size == 0 || !spreads_by_rss(s.conf)) {
        return 0;
    }
    rte_eth_dev_info info{};
    if (int const rc = rte_eth_dev_info_get(m.port(), &info); rc != 0) {
        return rc;
    }
    if (info.reta_size == 0) {
        return -ENOTSUP;
    }
    std::vector<rte_eth_rss_reta_entry64> table((info.reta_size + RTE_ETH_RETA_GROUP_SIZE - 1) /
                                                RTE_ETH_RETA_GROUP_SIZE);
    for (std::size_t i = 0; i < info.reta_size; ++i) {
        std::size_t const from = i % s.reta_size;
        auto& group = table[i / RTE_ETH_RETA_GROUP_SIZE];
        group.mask |= std::uint64_t{1} << (i % RTE_ETH_RETA_GROUP_SIZE);
        group.reta[i % RTE_ETH_RETA_GROUP_SIZE] =
            s.reta[from / RTE_ETH_RETA_GROUP_SIZE].reta[from % RTE_ETH_RETA_GROUP_SIZE];
    }
    return rte_eth_dev_rss_reta_update(m.port(), table.data(), info.reta_size);
}

int follow_flow_control(member_port const& m, port_settings const& s) {
    if (!s.flow_control) {
        return 0;
    }
    rte_eth_fc_conf conf = *s.flow_control;
    return rte_eth_dev_flow_ctrl_set(m.port(), &conf);
}

void replay_settings(member_port& m, port_settings const& s) {
    for (auto const& set : s.vlan_tpids) {
        report(m, "a VLAN ether type", follow_vlan_tpid(m, s, set.type));
    }
    report(m, "VLAN offloads", follow_vlan_offload(m, s));
    if (filters_vlans(s)) {
        report(m, "the VLAN filter", set_all_vlans(m, s));
    }
    for (auto const& [queue, on] : s.vlan_strip_by_queue) {
        report(m, "VLAN stripping of a queue", follow_vlan_strip(m, s, queue));
    }
    // Hash fields and key came with configure: only a driver that can change them needs the call.
    if (int const rc = follow_rss(m, s); rc != -ENOTSUP) {
        report(m, "the RSS hash", rc);
    }
    report(m, "the RSS redirection table", follow_reta(m, s));
    report(m, "flow control", follow_flow_control(m, s));
    replay_flows(m, s);
}

void retract_settings(member_port& m, port_settings const& s, bool vanished) {
    retract_flows(m, s, vanished);
    if (vanished) {
        return;
    }
    // Ids and groups outlive a stop in many devices.
    if (filters_vlans(s)) {
        forget_vlans(m, s);
    }
    if (!s.multicast.empty()) {
        rte_ether_addr none{};
        static_cast<void>(rte_eth_dev_set_mc_addr_list(m.port(), &none, 0));
    }
}

} // namespace lagg::pmd
