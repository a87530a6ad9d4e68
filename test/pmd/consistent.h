// What must hold in any one answer about a lagg, whoever asks and whenever.
#pragma once

#include "lagg_device.h"
#include "rte_pmd_lagg.h"
#include "rte_pmd_lagg_lacp.h"

#include <cstdint>
#include <string>
#include <string_view>

namespace lagg::test {

/// Empty, or the first thing that does not hold.
inline std::string contradiction(rte_pmd_lagg_status const& s) {
    if (s.nb_members > RTE_PMD_LAGG_MAX_MEMBERS) {
        return "nb_members";
    }
    unsigned distributing = 0;
    unsigned buckets = 0;
    std::uint64_t speed = 0;
    for (unsigned i = 0; i < s.nb_members; ++i) {
        auto const& m = s.members[i];
        bool const present = std::string("present") == m.phase;
        if (m.distributing && !(m.collecting && m.usable && present && s.started && s.admin_up)) {
            return "a distributing member is not collecting, usable and present";
        }
        for (unsigned k = 0; k < i; ++k) {
            if (s.members[k].port == m.port) {
                return "a member twice";
            }
        }
        if (m.buckets > 0 && !m.distributing) {
            return "a member has buckets and does not distribute";
        }
        distributing += m.distributing;
        buckets += m.buckets;
        speed += m.distributing ? m.speed_mbps : 0;
    }
    unsigned in_table = 0;
    for (std::uint8_t const owner : s.bucket) {
        if (owner == UINT8_MAX) {
            continue;
        }
        ++in_table;
        if (owner >= s.nb_members || !s.members[owner].distributing) {
            return "a bucket of nobody";
        }
    }
    if (in_table != buckets) {
        return "the members' buckets are not those of the table";
    }
    bool const by_flow =
        s.policy == RTE_PMD_LAGG_POLICY_LOADBALANCE || s.policy == RTE_PMD_LAGG_POLICY_LACP;
    unsigned const all = by_flow && distributing > 0 ? RTE_PMD_LAGG_BUCKETS : 0U;
    // Under LACP a bucket that is about to move belongs to nobody.
    if (s.policy == RTE_PMD_LAGG_POLICY_LACP ? buckets > all : buckets != all) {
        return "the table is not whole";
    }
    if (s.policy == RTE_PMD_LAGG_POLICY_NONE && distributing > 0) {
        return "somebody distributes under none";
    }
    if (s.policy == RTE_PMD_LAGG_POLICY_FAILOVER && distributing > 1) {
        return "two distribute under failover";
    }
    if (s.link_up != (distributing > 0)) {
        return "the link is not that of the members";
    }
    if (s.link_speed_mbps != (s.link_up ? speed : 0)) {
        return "the speed is not that of the members";
    }
    if (s.live_snapshots < 1) {
        return "no snapshot lives";
    }
    return "";
}

/// The bits of an end's state that go with a state of its mux machine; false: there is none of that
/// name.
inline bool bits_of_mux(std::string_view mux, unsigned& bits) {
    constexpr unsigned sync = RTE_PMD_LAGG_LACP_SYNCHRONIZATION;
    constexpr unsigned in = RTE_PMD_LAGG_LACP_COLLECTING;
    constexpr unsigned out = RTE_PMD_LAGG_LACP_DISTRIBUTING;
    bits = mux == "attached"               ? sync
           : mux == "collecting"           ? sync | in
           : mux == "draining"             ? in
           : mux.ends_with("distributing") ? sync | in | out
                                           : 0U;
    return bits != 0 || mux == "detached" || mux == "waiting";
}

/// Of one member's LACP.  Empty, or the first thing that does not hold.
inline std::string contradiction(rte_pmd_lagg_lacp_info const& i) {
    unsigned expected = 0;
    if (!bits_of_mux(i.mux, expected)) {
        return std::string("no mux machine is ") + i.mux;
    }
    unsigned const shown =
        i.actor.state & (RTE_PMD_LAGG_LACP_SYNCHRONIZATION | RTE_PMD_LAGG_LACP_COLLECTING |
                         RTE_PMD_LAGG_LACP_DISTRIBUTING);
    if (shown != expected) {
        return std::string("our state is not that of a mux machine that is ") + i.mux;
    }
    bool const sends = (shown & RTE_PMD_LAGG_LACP_DISTRIBUTING) != 0;
    std::string_view const receive = i.receive;
    if (sends && (std::string_view("selected") != i.selection || i.suppressed)) {
        return "a port distributes that is not selected";
    }
    if (sends && i.aggregator == 0) {
        return "a port distributes in no aggregator";
    }
    bool const expired = (i.actor.state & RTE_PMD_LAGG_LACP_EXPIRED) != 0;
    if (receive == "expired" ? !expired : (expired && receive != "port_disabled")) {
        return "a port says that its partner expired, or not";
    }
    if (receive == "current" && (i.counters.lacpdus_rx == 0 || i.last_rx_ms == 0 ||
                                 (i.actor.state & RTE_PMD_LAGG_LACP_DEFAULTED) != 0)) {
        return "a port knows its partner and has not heard it";
    }
    if (receive == "port_disabled" && sends) {
        return "a port distributes that has no link";
    }
    if (i.draining != (std::string_view("draining") == i.mux) && sends) {
        return "a port distributes and drains";
    }
    return "";
}

/// Between what a lagg says of its members and what it says of their LACP, at one moment.
inline std::string contradiction(pmd::published_state const& s) {
    bool const lacp = s.status.policy == RTE_PMD_LAGG_POLICY_LACP;
    if (!lacp && !s.lacp_ports.empty()) {
        return "LACP runs under another policy";
    }
    for (std::size_t k = 0; k < s.lacp_ports.size(); ++k) {
        port_id const port = s.lacp_ports[k].port;
        for (std::size_t i = 0; i < k; ++i) {
            if (s.lacp_ports[i].port == port) {
                return "LACP runs twice on a port";
            }
        }
        bool known = false;
        for (unsigned i = 0; i < s.status.nb_members; ++i) {
            known = known || s.status.members[i].port == port;
        }
        if (!known) {
            return "LACP runs on a port that is no member";
        }
    }
    for (unsigned i = 0; lacp && i < s.status.nb_members; ++i) {
        auto const& m = s.status.members[i];
        bool agreed = false;
        for (auto const& p : s.lacp_ports) {
            agreed = agreed || (p.port == m.port && p.report.in_use &&
                                p.report.actor.has(lacp::state::distributing));
        }
        if (m.distributing && !agreed) {
            return "a member distributes, and its LACP does not";
        }
    }
    return "";
}

} // namespace lagg::test
