// Console: policy lacp, of a lagg and of single members.  Everything here may be typed while
// traffic runs.
#include "console.h"
#include "session.h"
#include "show.h"

#include <cstring>
#include <functional>
#include <rte_pmd_lagg.h>
#include <rte_pmd_lagg_lacp.h>

namespace laggd {

namespace {

using settings = rte_pmd_lagg_lacp_conf;
using member_settings = rte_pmd_lagg_lacp_member_conf;

std::uint32_t u32(std::string const& text) {
    return static_cast<std::uint32_t>(to_number(text).value_or(0));
}

std::uint16_t u16(std::string const& text) {
    return static_cast<std::uint16_t>(u32(text));
}

why_not outcome(std::uint16_t lagg, std::string const& what, int error,
                std::string const& allowed = "") {
    if (error == 0) {
        return {};
    }
    return strf("lagg %s: %s: %s%s%s", port_text(lagg).c_str(), what.c_str(),
                errno_text(error).c_str(), allowed.empty() ? "" : "; ", allowed.c_str());
}

// Reads all settings, lets `edit` change some, and puts them in force.
why_not change(arguments const& given, char const* what, std::string const& allowed,
               std::function<void(settings&)> const& edit) {
    auto const lagg = port_of(given[0]);
    auto const text = strf("lacp %s %s", what, given.size() > 1 ? given[1].c_str() : "");
    settings conf{};
    if (int const error = rte_pmd_lagg_lacp_get(lagg, &conf); error != 0) {
        return outcome(lagg, text, error);
    }
    edit(conf);
    return outcome(lagg, text, rte_pmd_lagg_lacp_set(lagg, &conf), allowed);
}

// One value of one setting, which the grammar has checked.
template<class Value>
auto option(char const* what, Value settings::*field, Value (*meaning)(std::string const&),
            char const* allowed = "") {
    return [=](session&, arguments const& given) {
        return change(given, what, allowed,
                      [&](settings& conf) { conf.*field = meaning(given[1]); });
    };
}

bool on(std::string const& text) {
    return text == "on" || text == "active" || text == "fast";
}

rte_pmd_lagg_lacp_select rule_of(std::string const& text) {
    return text == "bandwidth" ? RTE_PMD_LAGG_LACP_SELECT_BANDWIDTH
           : text == "count"   ? RTE_PMD_LAGG_LACP_SELECT_COUNT
                               : RTE_PMD_LAGG_LACP_SELECT_STABLE;
}

rte_pmd_lagg_lacp_mux mux_of(std::string const& text) {
    return text == "coupled" ? RTE_PMD_LAGG_LACP_MUX_COUPLED : RTE_PMD_LAGG_LACP_MUX_INDEPENDENT;
}

rte_pmd_lagg_lacp_fallback fallback_of(std::string const& text) {
    return text == "one"          ? RTE_PMD_LAGG_LACP_FALLBACK_ONE
           : text == "individual" ? RTE_PMD_LAGG_LACP_FALLBACK_INDIVIDUAL
                                  : RTE_PMD_LAGG_LACP_FALLBACK_STRICT;
}

why_not set_system_mac(session&, arguments const& given) {
    mac_bytes mac{}; // all zero: the lagg's own
    if (given[1] != "own") {
        auto const refused = parse_mac(given[1], mac);
        if (!refused.empty() || (mac[0] & 1) != 0) {
            return strf("'%s': a unicast MAC address as in 02:00:00:00:00:01, or own, is allowed",
                        given[1].c_str());
        }
    }
    return change(
        given, "system-mac", "a unicast MAC address, or own, is allowed",
        [&](settings& conf) { std::memcpy(conf.system_mac.addr_bytes, mac.data(), mac.size()); });
}

why_not set_fallback(session&, arguments const& given) {
    return change(given, "fallback", "", [&](settings& conf) {
        conf.fallback = fallback_of(given[1]);
        if (given.size() > 2) {
            conf.fallback_delay_ms = u32(given[2]);
        }
    });
}

// Penalties are checked against each other: suppress is not below reuse.
why_not set_damping(arguments const& given, std::uint32_t half_life_ms) {
    return change(given, "damping", "reuse is 1 to suppress, suppress up to 10000",
                  [&](settings& conf) {
                      conf.damping_half_life_ms = half_life_ms;
                      if (given.size() > 3) {
                          conf.damping_suppress_at = u32(given[2]);
                          conf.damping_reuse_at = u32(given[3]);
                      }
                  });
}

why_not set_guard(session&, arguments const& given) {
    return change(given, "reorder-guard", "", [&](settings& conf) {
        conf.reorder_guard = on(given[1]);
        if (given.size() > 2) {
            conf.reorder_wait_ms = u32(given[2]);
        }
    });
}

// A member's settings are kept by its name, whether its port is there or not.
why_not change_member(arguments const& given, char const* what, char const* allowed,
                      std::function<void(member_settings&)> const& edit) {
    auto const lagg = port_of(given[0]);
    auto const port = port_of(given[1]);
    auto const name = port_exists(port) ? port_name(port) : given[1];
    auto const text = strf("lacp %s of %s", what, name.c_str());
    member_settings conf{};
    if (int const error = rte_pmd_lagg_lacp_member_get(lagg, name.c_str(), &conf); error != 0) {
        return outcome(lagg, text, error, "a port's name or id is allowed");
    }
    edit(conf);
    return outcome(lagg, text, rte_pmd_lagg_lacp_member_set(lagg, name.c_str(), &conf), allowed);
}

auto member_number(char const* what, std::uint16_t member_settings::*field,
                   char const* allowed = "") {
    return [=](session&, arguments const& given) {
        return change_member(given, what, allowed,
                             [&](member_settings& conf) { conf.*field = u16(given[2]); });
    };
}

why_not set_individual(session&, arguments const& given) {
    return change_member(given, "individual", "",
                         [&](member_settings& conf) { conf.individual = on(given[2]); });
}

why_not drain_member(session& all, arguments const& given) {
    auto const lagg = port_of(given[0]);
    auto const member = port_of(given[1]);
    int const error = rte_pmd_lagg_member_drain(lagg, member, RTE_PMD_LAGG_DEFAULT_WAIT_MS);
    if (error == -EINPROGRESS) {
        say("port %s sends nothing more and receives until its partner stopped; an event will tell "
            "when it left, lagg add member takes it back\n",
            port_text(member).c_str());
        return {};
    }
    all.rates.forget(member);
    return outcome(lagg, "drain " + port_text(member), error,
                   error == -ENOENT ? "it is no member" : "");
}

why_not show(session&, arguments const& given) {
    auto const list = given[0] == "all" ? all_laggs() : std::vector{port_of(given[0])};
    if (list.empty()) {
        return "there is no lagg: lagg create net_lagg0 policy=lacp";
    }
    for (auto const lagg : list) {
        show_lacp(lagg);
    }
    return {};
}

void add_settings(command_list& commands) {
    auto const add = [&](std::string const& words, char const* help, auto run) {
        commands.push_back({"set lagg <lagg> lacp " + words, help, run, true});
    };
    add("mode active|passive", "Speak first, or only when spoken to",
        option("mode", &settings::active, on));
    add("rate fast|slow", "Ask the partner for a PDU every second, or every 30",
        option("rate", &settings::fast, on));
    add("system-priority <0..65535>", "The lower, the more say",
        option("system-priority", &settings::system_priority, u16));
    add("system-mac <MAC-or-own>", "Whom the partner sees; own: the lagg's address",
        set_system_mac);
    add("key <1..65535>", "Members of one key can be aggregated",
        option("key", &settings::key, u16));
    add("first-port <1..65503>", "Port numbers of members begin here",
        option("first-port", &settings::first_port_number, u16,
               "no member's own number may be among them"));
    add("select stable|bandwidth|count", "Which aggregator carries traffic",
        option("select", &settings::select, rule_of));
    add("mux independent|coupled", "Collect before distributing, or both at once",
        option("mux", &settings::mux, mux_of));
    add("max-links <1..32>", "Members beyond stand by, by port priority",
        option("max-links", &settings::max_links, u32));
    add("wait-while <0..60000>", "ms before a port attaches",
        option("wait-while", &settings::wait_while_ms, u32));
    add("fallback strict|one|individual", "What members without a partner do", set_fallback);
    add("fallback strict|one|individual <0..60000>", "The same, after so many ms", set_fallback);
    add("drain-wait <0..60000>", "ms that a drain waits for the partner to stop",
        option("drain-wait", &settings::drain_wait_ms, u32));
    add("damping off", "Members that flap are used all the same",
        [](session&, arguments const& given) { return set_damping(given, 0); });
    add("damping <1..60000>", "A member that flaps is left out; ms in which its penalty halves",
        [](session&, arguments const& given) { return set_damping(given, u32(given[1])); });
    add("damping <1..60000> suppress <1..10000> reuse <1..10000>",
        "The same with both limits; a flap costs 1000",
        [](session&, arguments const& given) { return set_damping(given, u32(given[1])); });
    add("reorder-guard on|off", "Flows that move wait for a Marker", set_guard);
    add("reorder-guard on|off <0..60000>", "The same, for at most so many ms", set_guard);
}

void add_member_settings(command_list& commands) {
    auto const add = [&](std::string const& words, char const* help, auto run) {
        commands.push_back({"set lagg <lagg> lacp member <member> " + words, help, run, true});
    };
    add("priority <0..65535>", "The lower, the sooner it is used; 0: 32768",
        member_number("priority", &member_settings::priority));
    add("number <0..65535>", "0: first-port and its place",
        member_number("number", &member_settings::number,
                      "a number that no other member has or can get is allowed"));
    add("key <0..65535>", "0: the lagg's", member_number("key", &member_settings::key));
    add("individual on|off", "Never aggregated", set_individual);
}

} // namespace

void add_lacp_commands(command_list& commands) {
    commands.push_back({"lagg drain <lagg> <port>",
                        "Remove a member when its partner has stopped sending", drain_member,
                        true});
    add_settings(commands);
    add_member_settings(commands);
    commands.push_back(
        {"show lacp <lagg|all>", "Both ends, machines and counters of each member", show});
}

} // namespace laggd
