// How a member takes over what the application told the lagg port, beyond addresses, promiscuity
// and MTU, which member_port does itself.  Worker thread only.
#pragma once

#include "lagg_member_port.h"
#include "lagg_settings.h"

#include <rte_ethdev.h>

namespace lagg::pmd {

/// What rte_eth_dev_configure() of the member is to get.  Its RSS key points into `s` or, where the
/// member's key has another length, to memory that lasts until the next call on this thread.
rte_eth_conf conf_for(port_settings const& s, rte_eth_dev_info const& info);

/// The queue's configuration with the member's own defaults where the application left 0.
rte_eth_rxconf conf_for(rx_queue_setting const& q, port_settings const& s,
                        rte_eth_dev_info const& member);
rte_eth_txconf conf_for(tx_queue_setting const& q, port_settings const& s,
                        rte_eth_dev_info const& member);

// A running member follows one setting.  0 or -errno, the member unchanged on error; called with
// the old settings they undo.  Usable in device::change_settings().
int follow_vlan_filter(member_port const& m, port_settings const& s, std::uint16_t vlan);
int follow_vlan_offload(member_port const& m, port_settings const& s);
int follow_vlan_strip(member_port const& m, port_settings const& s, std::uint16_t queue);
int follow_vlan_tpid(member_port const& m, port_settings const& s, rte_vlan_type type);
int follow_rss(member_port const& m, port_settings const& s);
int follow_reta(member_port const& m, port_settings const& s);
int follow_flow_control(member_port const& m, port_settings const& s);

/// After the member was started: all of the above and the flow rules.  What it does not take is
/// logged and left out.
void replay_settings(member_port& m, port_settings const& s);

/// Before the member is stopped: takes flow rules, VLAN ids and groups off, so that the device has
/// none of ours when it is given back.  `vanished`: the device is not asked.
void retract_settings(member_port& m, port_settings const& s, bool vanished);

} // namespace lagg::pmd
