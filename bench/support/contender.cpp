#include "contender.h"

#include "rte_pmd_lagg.h"
#include "setup.h"
#include "sink.h"

#include <rte_bus_vdev.h>
#include <rte_eth_bond.h>
#include <rte_eth_bond_8023ad.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include <map>
#include <optional>

namespace bench {
namespace {

rte_mempool* pool() {
    static rte_mempool* const p =
        rte_pktmbuf_pool_create("receive", 2047, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
    return p != nullptr ? p : (fail("no memory for the receive pool"), nullptr);
}

void bring_up(std::uint16_t port, std::uint16_t queues) {
    rte_eth_conf const conf{};
    must(rte_eth_dev_configure(port, queues, queues, &conf), "configure");
    for (std::uint16_t q = 0; q < queues; ++q) {
        must(rte_eth_rx_queue_setup(port, q, 512, SOCKET_ID_ANY, nullptr, pool()), "rx queue");
        must(rte_eth_tx_queue_setup(port, q, 512, SOCKET_ID_ANY, nullptr), "tx queue");
    }
    must(rte_eth_dev_start(port), "start");
    must(rte_eth_promiscuous_enable(port), "promiscuous"); // what arrives is for anybody
}

std::string const& of(std::map<std::string, std::string> const& map, std::string const& key) {
    static std::string const none;
    auto const found = map.find(key);
    return found == map.end() ? none : found->second;
}

// --- net_lagg

// LACP has agreed on everything before the burst: then it is loadbalance.
std::map<std::string, std::string> const lagg_policy{{"roundrobin", "roundrobin"},
                                                     {"loadbalance", "loadbalance"},
                                                     {"lacp", "loadbalance"},
                                                     {"broadcast", "broadcast"},
                                                     {"failover", "failover"}};
std::map<std::string, std::string> const lagg_hash{
    {"l2", "l2"},         {"l23", "l2+l3"},          {"l34", "l3+l4"},
    {"l234", "l2+l3+l4"}, {"rss", "l3+l4,flowid=1"}, {"none", "l2+l3+l4"}};

void set_up_lagg(stage& s, contender const& c) {
    static unsigned number = 0;
    std::string const name = "net_lagg" + std::to_string(number++);
    std::string const args =
        "policy=" + of(lagg_policy, c.policy) + ",hash=" + of(lagg_hash, c.hash) + ",seed=1";
    s.port = static_cast<std::uint16_t>(
        must(rte_pmd_lagg_create(name.c_str(), args.c_str()), "create net_lagg"));
    for (auto const member : s.members) {
        must(rte_pmd_lagg_member_add(s.port, member, 10'000), "add to net_lagg");
    }
    bring_up(s.port, c.queues);
    rte_pmd_lagg_status status{};
    for (int tries = 0; status.nb_members == 0 || !status.link_up; ++tries) {
        rte_pmd_lagg_barrier(s.port, 1000);
        must(rte_pmd_lagg_status_get(s.port, &status), "status of net_lagg");
        if (tries == 1000) {
            fail("net_lagg's link does not come up");
        }
    }
}

void take_down_lagg(stage const& s) {
    must(rte_eth_dev_stop(s.port), "stop net_lagg");
    must(rte_pmd_lagg_destroy(s.port), "destroy net_lagg");
}

// --- net_bonding

std::map<std::string, std::uint8_t> const bonding_mode{{"roundrobin", BONDING_MODE_ROUND_ROBIN},
                                                       {"loadbalance", BONDING_MODE_BALANCE},
                                                       {"lacp", BONDING_MODE_8023AD},
                                                       {"lacp_dedicated", BONDING_MODE_8023AD},
                                                       {"broadcast", BONDING_MODE_BROADCAST},
                                                       {"failover", BONDING_MODE_ACTIVE_BACKUP}};
std::map<std::string, std::uint8_t> const bonding_hash{{"none", BALANCE_XMIT_POLICY_LAYER34},
                                                       {"l2", BALANCE_XMIT_POLICY_LAYER2},
                                                       {"l23", BALANCE_XMIT_POLICY_LAYER23},
                                                       {"l34", BALANCE_XMIT_POLICY_LAYER34}};

void no_lacp(std::uint16_t /*member*/, rte_mbuf* /*frame*/) {}

std::string bonding_name;

void set_up_bonding(stage& s, contender const& c) {
    static unsigned number = 0;
    bonding_name = "net_bonding" + std::to_string(number++);
    auto const mode = bonding_mode.at(c.policy);
    s.port = static_cast<std::uint16_t>(
        must(rte_eth_bond_create(bonding_name.c_str(), mode, 0), "create net_bonding"));
    must(rte_eth_bond_xmit_policy_set(s.port, bonding_hash.at(c.hash)), "xmit policy");
    if (mode == BONDING_MODE_8023AD) {
        // The state machines are told what they would have agreed on with a partner.
        rte_eth_bond_8023ad_conf conf{};
        must(rte_eth_bond_8023ad_conf_get(s.port, &conf), "conf of mode 4");
        conf.slowrx_cb = no_lacp;
        must(rte_eth_bond_8023ad_setup(s.port, &conf), "setup of mode 4");
        if (c.policy == "lacp_dedicated") {
            must(rte_eth_bond_8023ad_dedicated_queues_enable(s.port), "dedicated queues");
        }
    }
    for (auto const member : s.members) {
        must(rte_eth_bond_slave_add(s.port, member), "add to net_bonding");
    }
    bring_up(s.port, c.queues);
    std::uint16_t active[RTE_MAX_ETHPORTS];
    int const n = rte_eth_bond_active_slaves_get(s.port, active, RTE_MAX_ETHPORTS);
    if (n != static_cast<int>(c.members)) {
        fail("net_bonding uses " + std::to_string(n) + " of its members");
    }
    if (mode == BONDING_MODE_8023AD) {
        for (auto const member : s.members) {
            must(rte_eth_bond_8023ad_ext_collect(s.port, member, 1), "collect");
            must(rte_eth_bond_8023ad_ext_distrib(s.port, member, 1), "distribute");
        }
    }
}

void take_down_bonding(stage const& s) {
    must(rte_eth_dev_stop(s.port), "stop net_bonding");
    for (auto const member : s.members) {
        must(rte_eth_bond_slave_remove(s.port, member), "remove from net_bonding");
    }
    must(rte_eth_bond_free(bonding_name.c_str()), "free net_bonding");
}

void take_down(stage const& s, contender const& c) {
    switch (c.which) {
    case pmd::net_lagg: take_down_lagg(s); break;
    case pmd::net_bonding: take_down_bonding(s); break;
    case pmd::bare: break;
    }
    for (auto const member : s.members) {
        rte_eth_dev_stop(member);
    }
}

} // namespace

std::string name_of(pmd which) {
    switch (which) {
    case pmd::net_lagg: return "net_lagg";
    case pmd::net_bonding: return "net_bonding";
    case pmd::bare: return "bare";
    }
    return {};
}

bool has(contender const& c) {
    switch (c.which) {
    case pmd::net_lagg: return lagg_policy.contains(c.policy) && lagg_hash.contains(c.hash);
    case pmd::net_bonding: return bonding_mode.contains(c.policy) && bonding_hash.contains(c.hash);
    case pmd::bare: return c.policy == "none";
    }
    return false;
}

stage const& set_up(contender const& c) {
    static std::optional<contender> standing;
    static stage now;
    if (standing == c) {
        return now;
    }
    if (standing) {
        take_down(now, *standing);
    }
    now = {};
    for (auto* const s : sinks(c.members)) {
        now.members.push_back(s->port());
    }
    switch (c.which) {
    case pmd::net_lagg: set_up_lagg(now, c); break;
    case pmd::net_bonding: set_up_bonding(now, c); break;
    case pmd::bare:
        for (auto const member : now.members) {
            bring_up(member, c.queues);
        }
        now.port = now.members.front();
        break;
    }
    standing = c;
    return now;
}

} // namespace bench
