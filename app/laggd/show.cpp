#include "show.h"

#include "session.h"

#include <algorithm>
#include <rte_ethdev.h>
#include <rte_lcore.h>
#include <rte_pmd_lagg.h>
#include <rte_pmd_wire.h>
#include <set>

namespace laggd {

namespace {

using number = unsigned long long;

number n(std::uint64_t value) {
    return value;
}

char const* yes_no(bool value) {
    return value ? "yes" : "no";
}
char const* on_off(bool value) {
    return value ? "on" : "off";
}

std::string hash_text(std::uint32_t fields) {
    std::vector<std::string> parts;
    for (auto const& [bit, name] :
         {std::pair{RTE_PMD_LAGG_HASH_L2, "l2"}, std::pair{RTE_PMD_LAGG_HASH_L3, "l3"},
          std::pair{RTE_PMD_LAGG_HASH_L4, "l4"}}) {
        if ((fields & bit) != 0) {
            parts.emplace_back(name);
        }
    }
    return join(parts, "+");
}

bool spreads_by_flow(rte_pmd_lagg_policy policy) {
    return policy == RTE_PMD_LAGG_POLICY_LOADBALANCE || policy == RTE_PMD_LAGG_POLICY_LACP;
}

std::string share_text(rte_pmd_lagg_status const& status,
                       rte_pmd_lagg_member_status const& member) {
    if (!spreads_by_flow(status.policy)) {
        return "-";
    }
    return strf("%u/%u %4.1f%%", static_cast<unsigned>(member.buckets), RTE_PMD_LAGG_BUCKETS,
                100.0 * member.buckets / RTE_PMD_LAGG_BUCKETS);
}

std::string member_state(rte_pmd_lagg_member_status const& member) {
    std::string state = member.phase == nullptr ? "?" : member.phase;
    if (member.collecting) {
        state += " collecting";
    }
    if (member.distributing) {
        state += " distributing";
    }
    if (!member.collecting && !member.distributing && state == "present") {
        state += " standby";
    }
    if (member.primary) {
        state += " primary";
    }
    if (member.promiscuous_for_us) {
        state += " promiscuous";
    }
    return state;
}

} // namespace

char const* policy_name(int policy) {
    switch (policy) {
    case RTE_PMD_LAGG_POLICY_NONE: return "none";
    case RTE_PMD_LAGG_POLICY_ROUNDROBIN: return "roundrobin";
    case RTE_PMD_LAGG_POLICY_FAILOVER: return "failover";
    case RTE_PMD_LAGG_POLICY_LOADBALANCE: return "loadbalance";
    case RTE_PMD_LAGG_POLICY_LACP: return "lacp";
    case RTE_PMD_LAGG_POLICY_BROADCAST: return "broadcast";
    default: return "?";
    }
}

char const* failback_name(int mode) {
    switch (mode) {
    case RTE_PMD_LAGG_FAILBACK_ALWAYS: return "always";
    case RTE_PMD_LAGG_FAILBACK_BETTER: return "better";
    case RTE_PMD_LAGG_FAILBACK_NEVER: return "never";
    default: return "?";
    }
}

void show_port_info(std::uint16_t port) {
    rte_eth_dev_info info{};
    if (int const error = rte_eth_dev_info_get(port, &info); error != 0) {
        say("port %s: no answer: %s\n", port_text(port).c_str(), errno_text(error).c_str());
        return;
    }
    std::uint16_t mtu = 0;
    rte_eth_dev_get_mtu(port, &mtu);
    auto const owner = port_owner(port);
    say("\n**************** Infos for port %u ****************\n", static_cast<unsigned>(port));
    say("Device name: %s\n", port_name(port).c_str());
    say("Driver name: %s\n", info.driver_name == nullptr ? "?" : info.driver_name);
    say("MAC address: %s\n", mac_text(port).c_str());
    say("Owner: %s\n", owner.empty() ? "nobody" : owner.c_str());
    say("Link status: %s\n", link_text(port).c_str());
    say("MTU: %u (%u to %u)\n", static_cast<unsigned>(mtu), static_cast<unsigned>(info.min_mtu),
        static_cast<unsigned>(info.max_mtu));
    say("Promiscuous mode: %s\n", rte_eth_promiscuous_get(port) == 1 ? "enabled" : "disabled");
    say("Allmulticast mode: %s\n", rte_eth_allmulticast_get(port) == 1 ? "enabled" : "disabled");
    if (int const vlan = rte_eth_dev_get_vlan_offload(port); vlan >= 0) {
        say("VLAN offload: strip %s, filter %s, extend %s, qinq strip %s\n",
            on_off((vlan & RTE_ETH_VLAN_STRIP_OFFLOAD) != 0),
            on_off((vlan & RTE_ETH_VLAN_FILTER_OFFLOAD) != 0),
            on_off((vlan & RTE_ETH_VLAN_EXTEND_OFFLOAD) != 0),
            on_off((vlan & RTE_ETH_QINQ_STRIP_OFFLOAD) != 0));
    }
    say("Rx queues: %u of %u, tx queues: %u of %u\n", static_cast<unsigned>(info.nb_rx_queues),
        static_cast<unsigned>(info.max_rx_queues), static_cast<unsigned>(info.nb_tx_queues),
        static_cast<unsigned>(info.max_tx_queues));
    say("NUMA node: %d\n", rte_eth_dev_socket_id(port));
    if (info.if_index != 0) {
        say("Kernel interface index: %u\n", info.if_index);
    }
}

void show_port_summary_header() {
    say("%-4s %-18s %-18s %-16s %-14s %s\n", "Port", "MAC address", "Name", "Driver", "Link",
        "Owner");
}

void show_port_summary(std::uint16_t port) {
    rte_eth_dev_info info{};
    rte_eth_dev_info_get(port, &info);
    auto const owner = port_owner(port);
    say("%-4u %-18s %-18s %-16s %-14s %s\n", static_cast<unsigned>(port), mac_text(port).c_str(),
        port_name(port).c_str(), info.driver_name == nullptr ? "?" : info.driver_name,
        link_text(port).c_str(), owner.empty() ? "-" : owner.c_str());
}

void show_port_stats(session& all, std::uint16_t port) {
    rte_eth_stats stats{};
    if (int const error = rte_eth_stats_get(port, &stats); error != 0) {
        say("port %s: no statistics: %s\n", port_text(port).c_str(), errno_text(error).c_str());
        return;
    }
    auto const rate = all.rates.sample(port);
    auto const owner = port_owner(port);
    say("\n  ---- Statistics of port %s%s%s ----\n", port_text(port).c_str(),
        owner.empty() ? "" : ", owned by ", owner.c_str());
    say("  RX-packets: %-14llu RX-missed: %-12llu RX-bytes: %llu\n", n(stats.ipackets),
        n(stats.imissed), n(stats.ibytes));
    say("  RX-errors: %-15llu RX-nombuf: %llu\n", n(stats.ierrors), n(stats.rx_nombuf));
    say("  TX-packets: %-14llu TX-errors: %-12llu TX-bytes: %llu\n", n(stats.opackets),
        n(stats.oerrors), n(stats.obytes));
    say("  Since last shown: Rx-pps: %-14s Rx-bps: %s\n", scaled(rate.rx_pps).c_str(),
        scaled(rate.rx_bps).c_str());
    say("                    Tx-pps: %-14s Tx-bps: %s\n", scaled(rate.tx_pps).c_str(),
        scaled(rate.tx_bps).c_str());
}

void show_port_xstats(std::uint16_t port) {
    int const count = rte_eth_xstats_get_names(port, nullptr, 0);
    std::vector<rte_eth_xstat_name> names(static_cast<std::size_t>(std::max(count, 0)));
    std::vector<rte_eth_xstat> values(names.size());
    auto const room = static_cast<unsigned>(names.size());
    if (count < 0 || rte_eth_xstats_get_names(port, names.data(), room) != count ||
        rte_eth_xstats_get(port, values.data(), room) != count) {
        say("port %s: no extended statistics%s%s\n", port_text(port).c_str(), count < 0 ? ": " : "",
            count < 0 ? errno_text(count).c_str() : "");
        return;
    }
    say("---- Extended statistics of port %s ----\n", port_text(port).c_str());
    for (auto const& value : values) {
        if (value.id < names.size()) {
            say("%s: %llu\n", names[value.id].name, n(value.value));
        }
    }
}

void show_lagg(session& all, std::uint16_t lagg) {
    auto const status = std::make_unique<rte_pmd_lagg_status>();
    if (int const error = rte_pmd_lagg_status_get(lagg, status.get()); error != 0) {
        say("port %s: %s\n", port_text(lagg).c_str(), errno_text(error).c_str());
        return;
    }
    auto const& s = *status;
    auto const rate = all.rates.sample(lagg);
    say("\n  ---- lagg %s ----\n", port_text(lagg).c_str());
    say("  policy %s, %s, administratively %s, link %s%s\n", policy_name(s.policy),
        s.started ? "started" : "stopped", s.admin_up ? "up" : "down", s.link_up ? "up" : "down",
        s.link_up && s.link_speed_mbps != 0 ? strf(" %u Mbps", s.link_speed_mbps).c_str() : "");
    say("  hash %s, symmetric %s, flowid %s, seed 0x%08x, stride %u\n",
        hash_text(s.hash_fields).c_str(), on_off(s.symmetric), on_off(s.flowid), s.seed, s.stride);
    say("  primary %s, failback %s%s, rx_all %s, min_links %u, delays up %u ms down %u ms\n",
        s.primary[0] == '\0' ? "none" : s.primary, failback_name(s.failback),
        s.failback_hold_ms == 0 ? "" : strf(" after %u ms", s.failback_hold_ms).c_str(),
        on_off(s.rx_all), s.min_links, s.up_delay_ms, s.down_delay_ms);
    say("  snapshot %llu, %u live, %u queues inside a burst, %s fences\n", n(s.version),
        s.live_snapshots, s.pins, s.fence == nullptr ? "?" : s.fence);
    say("  rx %s pps %s bps, tx %s pps %s bps since last shown\n", scaled(rate.rx_pps).c_str(),
        scaled(rate.rx_bps).c_str(), scaled(rate.tx_pps).c_str(), scaled(rate.tx_bps).c_str());
    say("  %-22s %-5s %-7s %6s %7s %-14s %10s %10s  %s\n", "member", "link", "usable", "Mbps",
        "weight", "buckets", "rx pps", "tx pps", "state");
    for (unsigned i = 0; i < s.nb_members && i < RTE_PMD_LAGG_MAX_MEMBERS; ++i) {
        auto const& member = s.members[i];
        auto const flow = all.rates.sample(member.port);
        say("  %-22s %-5s %-7s %6u %7u %-14s %10s %10s  %s\n",
            strf("%u %s", static_cast<unsigned>(member.port), member.name).c_str(),
            member.link_up ? "up" : "down", yes_no(member.usable), member.speed_mbps, member.weight,
            share_text(s, member).c_str(), scaled(flow.rx_pps).c_str(), scaled(flow.tx_pps).c_str(),
            member_state(member).c_str());
    }
    if (s.nb_members == 0) {
        say("  no members\n");
    }
    for (unsigned i = 0; i < s.nb_awaited && i < RTE_PMD_LAGG_MAX_MEMBERS; ++i) {
        say("  %-22s not there yet\n", s.awaited[i]);
    }
}

void show_forward_config(session& all) {
    auto const& wanted = all.opts;
    if (all.show != nullptr) {
        say("demo: lagg 0 sends %u flows, lagg 1 checks them%s\n", wanted.generator.flows,
            all.fwd.running() ? "" : "; stopped");
        for (auto const& one : all.fwd.loops()) {
            auto const& w = one.loop->where();
            say("  lcore %u: port %u\n", one.lcore, static_cast<unsigned>(w.rx_port));
        }
        return;
    }
    say("%s packet forwarding%s: --nb-cores %u (%u workers), --rxq %u, --txq %u, --burst %u, %s "
        "topology\n",
        name_of(wanted.mode), all.fwd.running() ? ", running" : "", wanted.nb_cores,
        forward::workers(), wanted.rxq, wanted.txq, wanted.burst, name_of(wanted.shape));
    if (wanted.mode == fwd_mode::txonly || wanted.mode == fwd_mode::replay) {
        say("rate %s frames/s per stream\n",
            wanted.generator.rate <= 0.0 ? "max" : strf("%.6g", wanted.generator.rate).c_str());
    }
    if (wanted.mode == fwd_mode::txonly) {
        std::vector<std::string> sizes;
        for (auto const size : wanted.generator.sizes) {
            sizes.push_back(std::to_string(size));
        }
        say("%u flows, frame sizes %s\n", wanted.generator.flows, join(sizes, ",").c_str());
    }
    if (wanted.mode == fwd_mode::replay) {
        say("file %s, %s\n", wanted.replay.file.empty() ? "none" : wanted.replay.file.c_str(),
            wanted.replay.loops == 0 ? "for ever" : strf("%u times", wanted.replay.loops).c_str());
    }
    auto const line = [](unsigned lcore, wiring const& where) {
        say("  lcore %u: RX P=%u/Q=%u -> TX P=%u/Q=%u\n", lcore,
            static_cast<unsigned>(where.rx_port), static_cast<unsigned>(where.rx_queue),
            static_cast<unsigned>(where.tx_port), static_cast<unsigned>(where.tx_queue));
    };
    if (all.fwd.running()) {
        for (auto const& one : all.fwd.loops()) {
            line(one.lcore, one.loop->where());
        }
        return;
    }
    std::vector<stream_place> places;
    if (auto const refused = all.fwd.plan(places); !refused.empty()) {
        say("  start would be refused: %s\n", refused.c_str());
    }
    for (auto const& place : places) {
        line(place.lcore, place.where);
    }
}

void show_forward_stats(session& all) {
    auto const loops = all.fwd.loops();
    if (loops.empty()) {
        say("nothing was forwarded yet\n");
        return;
    }
    say("%-8s %-10s %-10s %14s %14s %6s %12s %12s %14s %10s\n", "lcore", "rx", "tx", "received",
        "sent", "held", "dropped", "consumed", "generated", "no mbuf");
    for (auto const& one : loops) {
        auto const& w = one.loop->where();
        auto const& c = one.loop->counters();
        say("%-8u %-10s %-10s %14llu %14llu %6llu %12llu %12llu %14llu %10llu\n", one.lcore,
            strf("%u/%u", static_cast<unsigned>(w.rx_port), static_cast<unsigned>(w.rx_queue))
                .c_str(),
            strf("%u/%u", static_cast<unsigned>(w.tx_port), static_cast<unsigned>(w.tx_queue))
                .c_str(),
            n(c.received.get()), n(c.sent.get()), n(c.held.get()), n(c.dropped.get()),
            n(c.consumed.get()), n(c.generated.get()), n(c.no_mbuf.get()));
    }
}

void show_cores() {
    say("main lcore %u: console; workers:", rte_get_main_lcore());
    unsigned lcore = 0;
    RTE_LCORE_FOREACH_WORKER(lcore) {
        say(" %u", lcore);
    }
    say("\n");
}

} // namespace laggd
