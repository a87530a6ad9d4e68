// Console: laggs, their members and options.  Everything here may be typed while traffic runs.
#include "console.h"
#include "session.h"
#include "show.h"

#include <functional>
#include <rte_pmd_lagg.h>

namespace laggd {

namespace {

constexpr char const* all_policies = "none|roundrobin|failover|loadbalance|lacp|broadcast";
constexpr char const* all_hashes = "l2|l3|l4|l2+l3|l2+l4|l3+l4|l2+l3+l4";

std::uint32_t u32(std::string const& text) {
    return static_cast<std::uint32_t>(to_number(text).value_or(0));
}

// What went wrong with one lagg, in words that name it.
why_not outcome(std::uint16_t lagg, std::string const& what, int error, char const* allowed = "") {
    if (error == 0) {
        return {};
    }
    return strf("lagg %s: %s: %s%s%s", port_text(lagg).c_str(), what.c_str(),
                errno_text(error).c_str(), *allowed == '\0' ? "" : "; ", allowed);
}

int policy_by_name(std::string const& name) {
    for (int policy = RTE_PMD_LAGG_POLICY_NONE; policy <= RTE_PMD_LAGG_POLICY_BROADCAST; ++policy) {
        if (name == policy_name(policy)) {
            return policy;
        }
    }
    return -1;
}

std::string member_name(std::string const& text) {
    auto const port = port_of(text);
    return port_exists(port) ? port_name(port) : text;
}

why_not set_policy(session&, arguments const& given) {
    auto const lagg = port_of(given[0]);
    int const error =
        rte_pmd_lagg_policy_set(lagg, static_cast<rte_pmd_lagg_policy>(policy_by_name(given[1])));
    return outcome(lagg, "policy " + given[1], error,
                   error == -ENOTSUP ? "this build does not have that policy" : "");
}

why_not set_hash(session&, arguments const& given) {
    std::uint32_t fields = 0;
    for (auto const& field : split(given[1], '+')) {
        fields |= field == "l2"   ? RTE_PMD_LAGG_HASH_L2
                  : field == "l3" ? RTE_PMD_LAGG_HASH_L3
                                  : RTE_PMD_LAGG_HASH_L4;
    }
    auto const lagg = port_of(given[0]);
    return outcome(lagg, "hash " + given[1], rte_pmd_lagg_hash_set(lagg, fields));
}

why_not set_primary(session&, arguments const& given) {
    auto const lagg = port_of(given[0]);
    auto const name = given[1] == "none" ? std::string{} : member_name(given[1]);
    return outcome(lagg, "primary " + given[1],
                   rte_pmd_lagg_primary_set(lagg, name.empty() ? nullptr : name.c_str()),
                   "a port's name or id, or none, is allowed");
}

why_not set_failback(arguments const& given, std::uint32_t hold_ms) {
    auto const mode = given[1] == "always"   ? RTE_PMD_LAGG_FAILBACK_ALWAYS
                      : given[1] == "better" ? RTE_PMD_LAGG_FAILBACK_BETTER
                                             : RTE_PMD_LAGG_FAILBACK_NEVER;
    auto const lagg = port_of(given[0]);
    return outcome(lagg, "failback " + given[1], rte_pmd_lagg_failback_set(lagg, mode, hold_ms));
}

why_not set_weight(session&, arguments const& given) {
    auto const lagg = port_of(given[0]);
    return outcome(lagg, "weight of " + given[1],
                   rte_pmd_lagg_weight_set(lagg, member_name(given[1]).c_str(), u32(given[2])));
}

// One number: `call(lagg, value)`.
auto number_option(char const* name, int (*call)(std::uint16_t, std::uint32_t)) {
    return [=](session&, arguments const& given) {
        auto const lagg = port_of(given[0]);
        return outcome(lagg, std::string(name) + " " + given[1], call(lagg, u32(given[1])));
    };
}

auto switch_option(char const* name, int (*call)(std::uint16_t, bool)) {
    return [=](session&, arguments const& given) {
        auto const lagg = port_of(given[0]);
        bool const on = given[1] == "on" || given[1] == "up";
        return outcome(lagg, std::string(name) + " " + given[1], call(lagg, on));
    };
}

why_not create(session& all, std::string const& name, std::string const& arguments_text) {
    if (name.rfind("net_lagg", 0) != 0) {
        return strf("'%s': the name of a lagg begins with net_lagg, as in net_lagg0", name.c_str());
    }
    int const port = rte_pmd_lagg_create(name.c_str(), arguments_text.c_str());
    if (port < 0) {
        return strf("lagg %s%s%s: %s", name.c_str(), arguments_text.empty() ? "" : " with ",
                    arguments_text.c_str(), errno_text(port).c_str());
    }
    all.events.follow_all();
    auto const id = static_cast<std::uint16_t>(port);
    say("lagg %s is created; lagg add member %d <port>, then port start %d\n",
        port_text(id).c_str(), port, port);
    return {};
}

why_not destroy(session& all, arguments const& given) {
    auto const lagg = port_of(given[0]);
    if (all.show != nullptr) {
        return "the demo needs its two laggs";
    }
    if (all.fwd.uses(lagg)) {
        return strf("lagg %s is forwarding: stop first", port_text(lagg).c_str());
    }
    auto const text = port_text(lagg);
    all.events.unfollow(lagg);
    if (int const error = rte_pmd_lagg_destroy(lagg); error != 0) {
        all.events.follow_all();
        return outcome(lagg, "destroy", error,
                       error == -EBUSY ? "a burst is inside: try again" : "");
    }
    all.all_ports.forget(lagg);
    all.rates.forget(lagg);
    say("lagg %s is destroyed\n", text.c_str());
    return {};
}

why_not add_member(session& all, arguments const& given) {
    auto const lagg = port_of(given[0]);
    auto const member = port_of(given[1]);
    if (all.fwd.uses(member) && !is_lagg(member)) {
        return strf("port %s is forwarding: stop first", port_text(member).c_str());
    }
    // A lagg takes ports that are stopped: laggd starts all at its own start, as testpmd does.
    bool const was_started = all.all_ports.started(member) && !is_lagg(member);
    if (was_started) {
        if (auto refused = all.all_ports.stop(member); !refused.empty()) {
            return refused;
        }
    }
    int const error = rte_pmd_lagg_member_add(lagg, member, RTE_PMD_LAGG_DEFAULT_WAIT_MS);
    if (error == -EINPROGRESS) {
        say("port %s is joining; an event will tell\n", port_text(member).c_str());
        return {};
    }
    if (error != 0 && was_started) {
        if (auto const refused = all.all_ports.start(member); !refused.empty()) {
            say("%s\n", refused.c_str());
        }
    }
    char const* hint = "";
    switch (error) {
    case -EEXIST: hint = "it is a member already"; break;
    case -ELOOP: hint = "a lagg cannot be a member"; break;
    case -ENOSPC: hint = "32 members are allowed"; break;
    case -EINVAL: hint = "it lacks queues, an offload or the MTU that the lagg runs with"; break;
    case -EBUSY: hint = "it is owned by somebody else, or just leaving"; break;
    default: break;
    }
    return outcome(lagg, "add member " + port_text(member), error, hint);
}

why_not remove_member(session& all, arguments const& given) {
    auto const lagg = port_of(given[0]);
    auto const member = port_of(given[1]);
    int const error = rte_pmd_lagg_member_remove(lagg, member, RTE_PMD_LAGG_DEFAULT_WAIT_MS);
    all.rates.forget(member);
    if (error == -EINPROGRESS) {
        say("port %s carries nothing more; it is given back when the last burst ends, an event "
            "will tell\n",
            port_text(member).c_str());
        return {};
    }
    return outcome(lagg, "remove member " + port_text(member), error,
                   error == -ENOENT ? "it is no member" : "");
}

why_not show(session& all, arguments const& given) {
    auto const list = given[0] == "all" ? all_laggs() : std::vector{port_of(given[0])};
    if (list.empty()) {
        return "there is no lagg: lagg create net_lagg0";
    }
    for (auto const lagg : list) {
        show_lagg(all, lagg);
    }
    return {};
}

why_not show_buckets(session&, arguments const& given) {
    auto const lagg = port_of(given[0]);
    auto const status = std::make_unique<rte_pmd_lagg_status>();
    if (int const error = rte_pmd_lagg_status_get(lagg, status.get()); error != 0) {
        return outcome(lagg, "status", error);
    }
    if (status->policy != RTE_PMD_LAGG_POLICY_LOADBALANCE &&
        status->policy != RTE_PMD_LAGG_POLICY_LACP) {
        return strf("lagg %s: policy %s has no bucket table; loadbalance and lacp have one",
                    port_text(lagg).c_str(), policy_name(status->policy));
    }
    say("flow bucket -> member port, snapshot %llu\n",
        static_cast<unsigned long long>(status->version));
    for (unsigned bucket = 0; bucket < RTE_PMD_LAGG_BUCKETS; ++bucket) {
        auto const member = status->bucket[bucket];
        std::string const text =
            member < status->nb_members
                ? std::to_string(static_cast<unsigned>(status->members[member].port))
                : "-";
        say("%s%4s", bucket % 16 == 0 ? strf("%3u:", bucket).c_str() : "", text.c_str());
        say("%s", bucket % 16 == 15 ? "\n" : "");
    }
    return {};
}

} // namespace

void add_lagg_commands(command_list& commands) {
    auto const option = [&](std::string const& words, char const* help, auto run) {
        commands.push_back({"set lagg <lagg> " + words, help, run, true});
    };
    commands.push_back(
        {"lagg create <name>", "A new lagg; its name begins with net_lagg",
         [](session& all, arguments const& given) { return create(all, given[0], ""); }});
    commands.push_back(
        {"lagg create <name> <key=value,...>",
         "The same with device arguments, as in policy=failover",
         [](session& all, arguments const& given) { return create(all, given[0], given[1]); }});
    commands.push_back({"lagg destroy <lagg>", "Its members are given back", destroy});
    commands.push_back({"lagg add member <lagg> <port>", "Under traffic too", add_member, true});
    commands.push_back(
        {"lagg remove member <lagg> <port>", "Under traffic too", remove_member, true});
    option(std::string("policy ") + all_policies, "How frames are spread", set_policy);
    option(std::string("hash ") + all_hashes, "What the flow hash reads", set_hash);
    option("symmetric on|off", "Both directions of a flow on one member",
           switch_option("symmetric", rte_pmd_lagg_symmetric_set));
    option("seed <0..4294967295>", "Of the flow hash",
           number_option("seed", rte_pmd_lagg_seed_set));
    option("flowid on|off", "Reuse the RSS hash of the NIC",
           switch_option("flowid", rte_pmd_lagg_flowid_set));
    option("stride <1..65535>", "roundrobin: frames per turn",
           number_option("stride", rte_pmd_lagg_stride_set));
    option("primary <member-or-none>", "failover: the preferred member", set_primary);
    option("failback always|better|never", "failover: when the primary is taken again",
           [](session&, arguments const& given) { return set_failback(given, 0); });
    option("failback always|better|never <0..4294967295>",
           "The same, when it was up for so many ms",
           [](session&, arguments const& given) { return set_failback(given, u32(given[2])); });
    option("rx_all on|off", "failover: receive from all members",
           switch_option("rx_all", rte_pmd_lagg_rx_all_set));
    option("min_links <0..32>", "Distributing members without which the link is down",
           number_option("min_links", rte_pmd_lagg_min_links_set));
    option("delays <0..60000> <0..60000>", "ms until a link up, and a link down, counts",
           [](session&, arguments const& given) {
               auto const lagg = port_of(given[0]);
               return outcome(lagg, "delays " + given[1] + " " + given[2],
                              rte_pmd_lagg_delays_set(lagg, u32(given[1]), u32(given[2])));
           });
    option("weight <member> <0..255>", "A member's part of the flows; 0: by its link speed",
           set_weight);
    option("admin up|down", "The traffic-safe stop",
           switch_option("admin", rte_pmd_lagg_admin_set));
    commands.push_back({"show lagg <lagg|all>", "Policy, members, buckets, rates, snapshot", show});
    commands.push_back({"show lagg <lagg> buckets", "The flow-bucket table", show_buckets});
}

} // namespace laggd
