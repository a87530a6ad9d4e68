// What the application told the lagg port to be: kept so that members that join later are told the
// same. Owned by the worker thread, except where device.h says otherwise.
#pragma once

#include "lagg/types.h"
#include "net/mac_address.h"

#include <rte_ethdev.h>
#include <rte_flow.h>

#include <array>
#include <bitset>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <vector>

namespace lagg::pmd {

struct rx_queue_setting {
    bool set = false;
    std::uint16_t descriptors = 0;
    unsigned int socket = 0;
    rte_eth_rxconf conf{};
    rte_mempool* pool = nullptr;
};

struct tx_queue_setting {
    bool set = false;
    std::uint16_t descriptors = 0;
    unsigned int socket = 0;
    rte_eth_txconf conf{};
};

struct flow_rule; // lagg_flow.h

struct vlan_tpid_setting {
    rte_vlan_type type;
    std::uint16_t tpid;
};

struct rss_setting {
    std::uint64_t fields = 0;
    unsigned int algorithm =
        0; // rte_eth_hash_function where DPDK has it (23.11); 0: the device's own
    std::vector<std::uint8_t> key; // empty: the device's own
};

struct port_settings {
    bool configured = false;
    bool started = false;
    bool admin_up = true;
    rte_eth_conf conf{};
    std::vector<rx_queue_setting> rx;
    std::vector<tx_queue_setting> tx;

    std::uint16_t mtu = RTE_ETHER_MTU;
    bool promiscuous = false;
    bool steering = true;     // LACP's frames get an rx queue of their own where a member can
    bool slow_frames = false; // members hear the Slow Protocols' group address
    bool allmulticast = false;
    net::mac_address mac;
    std::vector<net::mac_address> more_macs;
    std::vector<rte_ether_addr> multicast;
    std::bitset<4096> vlans;
    std::optional<rss_setting> rss;
    std::vector<rte_eth_rss_reta_entry64> reta; // empty: the device's own
    std::uint16_t reta_size = 0;
    std::optional<rte_eth_fc_conf> flow_control;
    std::vector<vlan_tpid_setting> vlan_tpids;          // set ones, each type once
    std::map<std::uint16_t, bool> vlan_strip_by_queue;  // set ones
    std::vector<std::shared_ptr<flow_rule>> flow_rules; // in the order of creation
    bool isolated = false;                              // rte_flow isolated mode
};

} // namespace lagg::pmd
