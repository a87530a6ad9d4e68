// Calls that set what every member follows: promiscuity, addresses, MTU, VLANs, flow control.
// How a member follows is lagg_member_port.h's and lagg_follow.h's.
#include "lagg_call.h"
#include "lagg_follow.h"
#include "lagg_log.h"
#include "lagg_ops_calls.h"

#include <rte_errno.h>

#include <algorithm>
#include <cstring>
#include <functional>

namespace lagg::pmd::calls {

namespace {

net::mac_address from_rte(rte_ether_addr const& address) {
    net::mac_address mac;
    std::memcpy(mac.bytes.data(), address.addr_bytes, mac.bytes.size());
    return mac;
}

int set_promiscuous(rte_eth_dev* dev, bool on) {
    return change(dev, [on](device& d) {
        return d.change_settings(
            [on](port_settings& s) { s.promiscuous = on; },
            [](member_port& m, port_settings const& s) { return m.follow_promiscuous(s); });
    });
}

int set_allmulticast(rte_eth_dev* dev, bool on) {
    return change(dev, [on](device& d) {
        return d.change_settings(
            [on](port_settings& s) { s.allmulticast = on; },
            [](member_port& m, port_settings const& s) { return m.follow_allmulticast(s); });
    });
}

int change_macs(device& d, std::function<void(port_settings&)> const& edit) {
    return d.change_settings(
        edit, [](member_port& m, port_settings const& s) { return m.follow_macs(s); });
}

} // namespace

int promiscuous_enable(rte_eth_dev* dev) {
    return set_promiscuous(dev, true);
}

int promiscuous_disable(rte_eth_dev* dev) {
    return set_promiscuous(dev, false);
}

int allmulticast_enable(rte_eth_dev* dev) {
    return set_allmulticast(dev, true);
}

int allmulticast_disable(rte_eth_dev* dev) {
    return set_allmulticast(dev, false);
}

int mac_addr_set(rte_eth_dev* dev, rte_ether_addr* address) {
    return change(dev, [address](device& d) {
        auto const mac = from_rte(*address);
        return change_macs(d, [mac](port_settings& s) { s.mac = mac; });
    });
}

int mac_addr_add(rte_eth_dev* dev, rte_ether_addr* address, std::uint32_t, std::uint32_t pool) {
    return change(dev, [&](device& d) {
        if (pool != 0) {
            return -ENOTSUP;
        }
        auto const mac = from_rte(*address);
        return change_macs(d, [mac](port_settings& s) {
            // Again for one that is known: ethdev repeats its list at every start.
            bool const known =
                std::find(s.more_macs.begin(), s.more_macs.end(), mac) != s.more_macs.end();
            if (!known && s.more_macs.size() + 1 < max_addresses) {
                s.more_macs.push_back(mac);
            }
        });
    });
}

void mac_addr_remove(rte_eth_dev* dev, std::uint32_t index) {
    int const rc = change(dev, [&](device& d) {
        auto const mac = from_rte(dev->data->mac_addrs[index]);
        return change_macs(d, [mac](port_settings& s) { std::erase(s.more_macs, mac); });
    });
    if (rc != 0) {
        LAGG_LOG(ERR, "%s: mac_addr_remove: %s", dev->data->name, rte_strerror(-rc));
    }
}

int set_mc_addr_list(rte_eth_dev* dev, rte_ether_addr* list, std::uint32_t count) {
    return change(dev, [&](device& d) {
        return d.change_settings(
            [&](port_settings& s) { s.multicast.assign(list, list + count); },
            [](member_port& m, port_settings const& s) { return m.follow_multicast(s); });
    });
}

int mtu_set(rte_eth_dev* dev, std::uint16_t mtu) {
    return change(dev, [mtu](device& d) {
        return d.change_settings(
            [mtu](port_settings& s) { s.mtu = mtu; },
            [](member_port& m, port_settings const& s) { return m.follow_mtu(s); });
    });
}

int vlan_filter_set(rte_eth_dev* dev, std::uint16_t vlan, int on) {
    return change(dev, [&](device& d) {
        return d.change_settings([&](port_settings& s) { s.vlans.set(vlan & 0x0fffU, on != 0); },
                                 [&](member_port& m, port_settings const& s) {
                                     return follow_vlan_filter(m, s, vlan & 0x0fffU);
                                 });
    });
}

int vlan_tpid_set(rte_eth_dev* dev, rte_vlan_type type, std::uint16_t tpid) {
    return change(dev, [&](device& d) {
        return d.change_settings(
            [&](port_settings& s) {
                std::erase_if(s.vlan_tpids,
                              [&](vlan_tpid_setting const& t) { return t.type == type; });
                s.vlan_tpids.push_back({type, tpid});
            },
            [&](member_port& m, port_settings const& s) { return follow_vlan_tpid(m, s, type); });
    });
}

void vlan_strip_queue_set(rte_eth_dev* dev, std::uint16_t queue, int on) {
    int const rc = change(dev, [&](device& d) {
        return d.change_settings(
            [&](port_settings& s) { s.vlan_strip_by_queue[queue] = on != 0; },
            [&](member_port& m, port_settings const& s) { return follow_vlan_strip(m, s, queue); });
    });
    if (rc != 0) {
        LAGG_LOG(ERR, "%s: vlan_strip_queue_set: %s", dev->data->name, rte_strerror(-rc));
    }
}

/// ethdev has the new offloads in data->dev_conf when it calls; the mask says which of them are
/// new.
int vlan_offload_set(rte_eth_dev* dev, int) {
    return change(dev, [dev](device& d) {
        return d.change_settings(
            [dev](port_settings& s) {
                s.conf.rxmode.offloads = dev->data->dev_conf.rxmode.offloads;
            },
            [](member_port& m, port_settings const& s) { return follow_vlan_offload(m, s); });
    });
}

int flow_ctrl_get(rte_eth_dev* dev, rte_eth_fc_conf* conf) {
    return change(dev, [conf](device& d) {
        port_settings s;
        if (int const rc = d.settings(s); rc != 0) {
            return rc;
        }
        if (s.flow_control) {
            *conf = *s.flow_control;
            return 0;
        }
        int const rc = d.for_each_member([conf](member_port& m) {
            int const failed = rte_eth_dev_flow_ctrl_get(m.port(), conf);
            return failed != 0 ? failed : answered;
        });
        return rc == answered ? 0 : rc == 0 ? -ENOTSUP : rc;
    });
}

int flow_ctrl_set(rte_eth_dev* dev, rte_eth_fc_conf* conf) {
    return change(dev, [conf](device& d) {
        return d.change_settings(
            [conf](port_settings& s) { s.flow_control = *conf; },
            [](member_port& m, port_settings const& s) { return follow_flow_control(m, s); });
    });
}

} // namespace lagg::pmd::calls
