// Console: ports.
#include "console.h"
#include "demo.h"
#include "session.h"
#include "show.h"

#include <rte_ethdev.h>
#include <rte_pmd_wire.h>

namespace laggd {

namespace {

std::vector<std::uint16_t> chosen(std::string const& text) {
    return text == "all" ? all_ports() : std::vector{port_of(text)};
}

why_not refuse_if_forwarding(session& all, std::uint16_t port) {
    return all.fwd.uses(port) ? strf("port %s is forwarding: stop first", port_text(port).c_str())
                              : why_not{};
}

// For the demo, whose ledger is made of these ports' counters.
why_not refuse_in_demo(session& all, char const* what) {
    return all.show != nullptr ? strf("%s would end the demo's ledger; cut, heal, remove and add "
                                      "members instead",
                                      what)
                               : why_not{};
}

why_not show_ports(session& all, arguments const& given) {
    if (given[0] == "summary") {
        show_port_summary_header();
    }
    for (auto const port : chosen(given[1])) {
        if (given[0] == "info") {
            show_port_info(port);
        } else if (given[0] == "stats") {
            show_port_stats(all, port);
        } else if (given[0] == "xstats") {
            show_port_xstats(port);
        } else {
            show_port_summary(port);
        }
    }
    return {};
}

why_not clear_ports(session& all, arguments const& given) {
    for (auto const port : chosen(given[1])) {
        if (all.show != nullptr) {
            all.show->counters_go(port);
        }
        int const error =
            given[0] == "stats" ? rte_eth_stats_reset(port) : rte_eth_xstats_reset(port);
        all.rates.forget(port);
        if (error != 0) {
            return strf("port %s: clear %s: %s", port_text(port).c_str(), given[0].c_str(),
                        errno_text(error).c_str());
        }
    }
    return {};
}

// start, stop or close one port; with `all`, those that it makes sense for.
why_not run_state(session& all, arguments const& given) {
    auto const& verb = given[0];
    if (auto refused = refuse_in_demo(all, "that"); !refused.empty()) {
        return refused;
    }
    bool const every = given[1] == "all";
    auto list = chosen(given[1]);
    if (every) {
        std::erase_if(list, [&](std::uint16_t port) {
            return !port_owner(port).empty() || all.all_ports.started(port) == (verb == "start");
        });
        if (verb == "close") {
            for (auto const port : all.all_ports.usable()) {
                return strf("port %s is started: port stop all first", port_text(port).c_str());
            }
        }
    }
    for (auto const port : list) {
        if (auto refused = refuse_if_forwarding(all, port); !refused.empty()) {
            return refused;
        }
    }
    for (auto const port : list) {
        // Closing a lagg frees its members, which are in the list of all ports too.
        if (!port_exists(port)) {
            continue;
        }
        if (verb == "close" && is_lagg(port)) {
            all.events.unfollow(port);
        }
        auto refused = verb == "start"  ? all.all_ports.start(port)
                       : verb == "stop" ? all.all_ports.stop(port)
                                        : all.all_ports.close(port);
        if (!refused.empty()) {
            return refused;
        }
        say("port %u: %s\n", static_cast<unsigned>(port),
            verb == "start"  ? "started"
            : verb == "stop" ? "stopped"
                             : "closed");
    }
    return {};
}

why_not attach(session& all, arguments const& given) {
    std::vector<std::uint16_t> added;
    if (auto refused = all.all_ports.attach(given[0], added); !refused.empty()) {
        return refused;
    }
    all.events.follow_all();
    for (auto const port : added) {
        say("port %s is attached\n", port_text(port).c_str());
    }
    return {};
}

why_not detach(session& all, arguments const& given) {
    auto const port = port_of(given[0]);
    if (auto refused = refuse_in_demo(all, "detaching a port"); !refused.empty()) {
        return refused;
    }
    if (auto refused = refuse_if_forwarding(all, port); !refused.empty()) {
        return refused;
    }
    auto const text = port_text(port);
    if (is_lagg(port)) {
        all.events.unfollow(port);
    }
    if (auto refused = all.all_ports.detach(port); !refused.empty()) {
        all.events.follow_all();
        return refused;
    }
    all.rates.forget(port);
    say("port %s is detached\n", text.c_str());
    return {};
}

why_not set_link(arguments const& given, bool up) {
    auto const port = port_of(given[0]);
    int const error = up ? rte_eth_dev_set_link_up(port) : rte_eth_dev_set_link_down(port);
    if (error != 0) {
        return strf("port %s: set link %s: %s%s", port_text(port).c_str(), up ? "up" : "down",
                    errno_text(error).c_str(),
                    error == -ENOTSUP ? "; its driver cannot do this" : "");
    }
    return {};
}

why_not set_promiscuous(session&, arguments const& given) {
    for (auto const port : chosen(given[0])) {
        if (!port_owner(port).empty()) {
            if (given[0] == "all") {
                continue;
            }
            return strf("port %s belongs to %s", port_text(port).c_str(), port_owner(port).c_str());
        }
        int const error =
            given[1] == "on" ? rte_eth_promiscuous_enable(port) : rte_eth_promiscuous_disable(port);
        if (error != 0) {
            return strf("port %s: promiscuous %s: %s", port_text(port).c_str(), given[1].c_str(),
                        errno_text(error).c_str());
        }
    }
    return {};
}

why_not wire_state(session&, arguments const& given) {
    auto const port = port_of(given[1]);
    int const error = given[0] == "cut"    ? rte_pmd_wire_cut(port)
                      : given[0] == "heal" ? rte_pmd_wire_heal(port)
                                           : rte_pmd_wire_cut_silent(port);
    std::uint16_t peer = 0;
    if (error != 0) {
        return strf("wire %s: %s", port_text(port).c_str(), errno_text(error).c_str());
    }
    if (rte_pmd_wire_peer(port, &peer) == 0) {
        say("wire %u-%u: %s\n", static_cast<unsigned>(port), static_cast<unsigned>(peer),
            given[0] == "cut"    ? "cut, both ends lost carrier"
            : given[0] == "heal" ? "healed"
                                 : "cut silently, carrier stays");
    }
    return {};
}

} // namespace

void add_port_commands(command_list& commands) {
    commands.push_back({"show port info|stats|xstats|summary <port|all>",
                        "What a port is and counted", show_ports});
    commands.push_back({"clear port stats|xstats <port|all>", "Count from zero", clear_ports});
    commands.push_back({"port start|stop|close <port|all>", "A port's life", run_state});
    commands.push_back({"port attach <device,arguments...>",
                        "A PCI address, or a vdev such as net_tap0,iface=t0", attach});
    commands.push_back({"port detach <port>", "Remove a port's device", detach});
    commands.push_back({"port config mtu <port> <68..65535>", "Largest payload",
                        [](session& all, arguments const& given) {
                            auto const mtu = to_number(given[1]).value_or(0);
                            return all.all_ports.set_mtu(port_of(given[0]),
                                                         static_cast<std::uint16_t>(mtu));
                        },
                        true});
    commands.push_back({"set link-up port <port>", "Administratively up",
                        [](session&, arguments const& given) { return set_link(given, true); },
                        true});
    commands.push_back({"set link-down port <port>",
                        "Administratively down; on a lagg: bursts send and receive nothing",
                        [](session&, arguments const& given) { return set_link(given, false); },
                        true});
    commands.push_back({"set promisc <port|all> on|off", "Promiscuous mode", set_promiscuous});
    commands.push_back({"wire cut|heal|silent <wire>",
                        "Cut an in-process link at either end, heal it, or let frames vanish",
                        wire_state, true});
}

} // namespace laggd
