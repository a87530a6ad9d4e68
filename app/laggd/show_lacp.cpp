// show lacp: nine lines of up to 80 columns for a member, so that two and the lagg fit a terminal.
#include "show.h"

#include "session.h"

#include <memory>
#include <rte_pmd_lagg.h>
#include <rte_pmd_lagg_lacp.h>

namespace laggd {

namespace {

using number = unsigned long long;

char const* select_name(rte_pmd_lagg_lacp_select rule) {
    switch (rule) {
    case RTE_PMD_LAGG_LACP_SELECT_STABLE: return "stable";
    case RTE_PMD_LAGG_LACP_SELECT_BANDWIDTH: return "bandwidth";
    case RTE_PMD_LAGG_LACP_SELECT_COUNT: return "count";
    }
    return "?";
}

char const* fallback_name(rte_pmd_lagg_lacp_fallback mode) {
    switch (mode) {
    case RTE_PMD_LAGG_LACP_FALLBACK_STRICT: return "strict";
    case RTE_PMD_LAGG_LACP_FALLBACK_ONE: return "one";
    case RTE_PMD_LAGG_LACP_FALLBACK_INDIVIDUAL: return "individual";
    }
    return "?";
}

std::string address_text(rte_ether_addr const& mac) {
    auto const* const b = mac.addr_bytes;
    return strf("%02x:%02x:%02x:%02x:%02x:%02x", b[0], b[1], b[2], b[3], b[4], b[5]);
}

// The eight bits in columns of their own; one that is not set is a dash.
std::string bits_text(std::uint8_t state) {
    constexpr std::pair<unsigned, char const*> bits[] = {
        {RTE_PMD_LAGG_LACP_ACTIVITY, "activity"},
        {RTE_PMD_LAGG_LACP_SHORT_TIMEOUT, "timeout"},
        {RTE_PMD_LAGG_LACP_AGGREGATION, "aggregation"},
        {RTE_PMD_LAGG_LACP_SYNCHRONIZATION, "sync"},
        {RTE_PMD_LAGG_LACP_COLLECTING, "collecting"},
        {RTE_PMD_LAGG_LACP_DISTRIBUTING, "distributing"},
        {RTE_PMD_LAGG_LACP_DEFAULTED, "defaulted"},
        {RTE_PMD_LAGG_LACP_EXPIRED, "expired"},
    };
    std::vector<std::string> words;
    for (auto const& [bit, name] : bits) {
        auto const width = static_cast<int>(std::char_traits<char>::length(name));
        words.push_back(strf("%-*s", width, (state & bit) != 0 ? name : "-"));
    }
    auto text = join(words, " ");
    text.erase(text.find_last_not_of(' ') + 1);
    return text;
}

void show_end(char const* whose, rte_pmd_lagg_lacp_end const& end) {
    say("  %-7s system %u,%s key %u port %u,%u\n", whose,
        static_cast<unsigned>(end.system_priority), address_text(end.system_mac).c_str(),
        static_cast<unsigned>(end.key), static_cast<unsigned>(end.port_priority),
        static_cast<unsigned>(end.port_number));
    say("    %s\n", bits_text(end.state).c_str());
}

void show_lagg_line(std::uint16_t lagg, rte_pmd_lagg_status const& s) {
    rte_pmd_lagg_lacp_conf c{};
    if (int const error = rte_pmd_lagg_lacp_get(lagg, &c); error != 0) {
        say("port %s: %s\n", port_text(lagg).c_str(), errno_text(error).c_str());
        return;
    }
    say("lagg %s: %s %s, select %s, mux %s%s\n", port_text(lagg).c_str(),
        c.active ? "active" : "passive", c.fast ? "fast" : "slow", select_name(c.select),
        c.mux == RTE_PMD_LAGG_LACP_MUX_COUPLED ? "coupled" : "independent",
        s.policy == RTE_PMD_LAGG_POLICY_LACP ? ""
                                             : strf("; policy %s", policy_name(s.policy)).c_str());
    say(" system %u,%s key %u first-port %u max-links %u wait-while %u\n",
        static_cast<unsigned>(c.system_priority),
        rte_is_zero_ether_addr(&c.system_mac) != 0 ? "own" : address_text(c.system_mac).c_str(),
        static_cast<unsigned>(c.key), static_cast<unsigned>(c.first_port_number), c.max_links,
        c.wait_while_ms);
    auto const damping =
        c.damping_half_life_ms == 0
            ? std::string("off")
            : strf("%u:%u:%u", c.damping_half_life_ms, c.damping_suppress_at, c.damping_reuse_at);
    say(" fallback %s %u, drain-wait %u, damping %s, reorder-guard %s %u\n",
        fallback_name(c.fallback), c.fallback_delay_ms, c.drain_wait_ms, damping.c_str(),
        c.reorder_guard ? "on" : "off", c.reorder_wait_ms);
}

void show_member(rte_pmd_lagg_member_status const& member, rte_pmd_lagg_lacp_info const& i) {
    auto const flags = lacp_flags(i);
    say("%u %s: %s, aggregator %u%s%s\n", static_cast<unsigned>(member.port), member.name,
        i.selection, static_cast<unsigned>(i.aggregator), i.in_use ? ", in use" : "",
        flags.empty() ? "" : (", " + flags).c_str());
    show_end("actor", i.actor);
    show_end("partner", i.partner);
    auto const& c = i.counters;
    say("  receive %s, periodic %s, mux %s\n", i.receive, i.periodic, i.mux);
    say("  churn %s/%s, churned %llu/%llu, sync %llu/%llu, changes %llu/%llu\n", i.actor_churn,
        i.partner_churn, static_cast<number>(c.actor_churn_count),
        static_cast<number>(c.partner_churn_count), static_cast<number>(c.actor_sync_transitions),
        static_cast<number>(c.partner_sync_transitions), static_cast<number>(c.actor_changes),
        static_cast<number>(c.partner_changes));
    say("  rx/tx lacpdus %llu/%llu, markers %llu/%llu, responses %llu/%llu\n",
        static_cast<number>(c.lacpdus_rx), static_cast<number>(c.lacpdus_tx),
        static_cast<number>(c.marker_pdus_rx), static_cast<number>(c.marker_pdus_tx),
        static_cast<number>(c.marker_response_pdus_rx),
        static_cast<number>(c.marker_response_pdus_tx));
    say("  rx illegal %llu, unknown %llu, rate-limited %llu; flaps %llu, penalty %u\n",
        static_cast<number>(c.illegal_rx), static_cast<number>(c.unknown_rx),
        static_cast<number>(c.rate_limited_rx), static_cast<number>(c.flaps), i.penalty);
}

} // namespace

std::string lacp_flags(rte_pmd_lagg_lacp_info const& info) {
    std::vector<std::string> flags;
    for (auto const& [set, name] :
         {std::pair{info.individual, "individual"}, std::pair{info.fallback, "fallback"},
          std::pair{info.looped, "looped"}, std::pair{info.suppressed, "suppressed"},
          std::pair{info.draining, "draining"}}) {
        if (set) {
            flags.emplace_back(name);
        }
    }
    return join(flags, " ");
}

void show_lacp(std::uint16_t lagg) {
    auto const status = std::make_unique<rte_pmd_lagg_status>();
    if (int const error = rte_pmd_lagg_status_get(lagg, status.get()); error != 0) {
        say("port %s: %s\n", port_text(lagg).c_str(), errno_text(error).c_str());
        return;
    }
    show_lagg_line(lagg, *status);
    for (unsigned i = 0; i < status->nb_members && i < RTE_PMD_LAGG_MAX_MEMBERS; ++i) {
        auto const& member = status->members[i];
        rte_pmd_lagg_lacp_info info{};
        int const error = rte_pmd_lagg_lacp_info_get(lagg, member.port, &info);
        if (error == 0) {
            show_member(member, info);
        } else {
            say("%u %s: LACP does not run on it (%s, policy %s, %s)\n",
                static_cast<unsigned>(member.port), member.name,
                member.phase == nullptr ? "?" : member.phase, policy_name(status->policy),
                status->started ? "started" : "stopped");
        }
    }
    if (status->nb_members == 0) {
        say("no members\n");
    }
}

} // namespace laggd
