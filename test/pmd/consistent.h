// What must hold in any one answer about a lagg, whoever asks and whenever.
#pragma once

#include "rte_pmd_lagg.h"

#include <cstdint>
#include <string>

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
    if (buckets != (by_flow && distributing > 0 ? RTE_PMD_LAGG_BUCKETS : 0u)) {
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

} // namespace lagg::test
