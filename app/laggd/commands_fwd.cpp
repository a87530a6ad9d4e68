// Console: forwarding.
#include "console.h"
#include "demo.h"
#include "session.h"
#include "show.h"

namespace laggd {

namespace {

why_not refuse_while_running(session& all) {
    if (all.show != nullptr) {
        return "the demo brings its own loops";
    }
    return all.fwd.running() ? "forwarding runs: stop first" : why_not{};
}

why_not start(session& all, arguments const&) {
    auto refused = all.show != nullptr ? all.show->start_traffic() : all.fwd.start();
    if (refused.empty()) {
        show_forward_config(all);
    }
    return refused;
}

why_not stop(session& all, arguments const&) {
    if (!all.fwd.running()) {
        return "forwarding does not run: start first";
    }
    if (all.show != nullptr) {
        all.show->stop_traffic();
        return {};
    }
    all.fwd.stop();
    show_forward_stats(all);
    return {};
}

/// A setting of `opts` that may change while nothing is forwarded.
template<class Set>
auto setting(Set set) {
    return [set](session& all, arguments const& given) {
        auto refused = refuse_while_running(all);
        return refused.empty() ? set(all, given) : refused;
    };
}

unsigned number(std::string const& text) {
    return static_cast<unsigned>(to_number(text).value_or(0));
}

why_not set_ports(session& all, arguments const& given) {
    std::vector<std::uint16_t> list;
    if (auto refused = parse_portlist(given[0], list); !refused.empty()) {
        return strf("'%s': %s", given[0].c_str(), refused.c_str());
    }
    for (auto const port : list) {
        if (!port_exists(port)) {
            return strf("port %u does not exist", static_cast<unsigned>(port));
        }
    }
    all.opts.portlist = std::move(list);
    return {};
}

why_not set_peer(session& all, arguments const& given) {
    mac_bytes mac{};
    if (auto refused = parse_mac(given[1], mac); !refused.empty()) {
        return strf("'%s': %s", given[1].c_str(), refused.c_str());
    }
    all.opts.eth_peer[port_of(given[0])] = mac;
    return {};
}

} // namespace

void add_forward_commands(command_list& commands) {
    commands.push_back({"start", "Start forwarding", start});
    commands.push_back({"stop", "Stop forwarding and show what was forwarded", stop});
    commands.push_back({"set fwd " + join(fwd_mode_names(), "|"), "The forwarding loop",
                        setting([](session& all, arguments const& given) {
                            all.opts.mode = *fwd_mode_named(given[0]);
                            return why_not{};
                        })});
    commands.push_back({"set nbcore <1..1024>", "Worker lcores that forward",
                        setting([](session& all, arguments const& given) {
                            if (number(given[0]) > forward::workers()) {
                                return strf("%s cores were asked for, EAL was given %u workers",
                                            given[0].c_str(), forward::workers());
                            }
                            all.opts.nb_cores = number(given[0]);
                            return why_not{};
                        })});
    commands.push_back({"set burst <1..512>", "Frames per burst",
                        setting([](session& all, arguments const& given) {
                            all.opts.burst = number(given[0]);
                            return why_not{};
                        })});
    commands.push_back(
        {"set portlist <list>", "Ports that forward, as in 0,2-3", setting(set_ports)});
    commands.push_back(
        {"set eth-peer <port> <mac>", "Where mac forwarding sends", setting(set_peer)});
    commands.push_back({"set txpkts <sizes>", "txonly: frame sizes with CRC, as in 64,1518",
                        setting([](session& all, arguments const& given) {
                            auto refused = parse_sizes(given[0], all.opts.generator.sizes);
                            return refused.empty() ? refused : given[0] + ": " + refused;
                        })});
    commands.push_back({"set imix", "txonly: 7 x 64, 4 x 594, 1 x 1518 bytes",
                        setting([](session& all, arguments const&) {
                            all.opts.generator.sizes = imix();
                            return why_not{};
                        })});
    commands.push_back({"set flows <1..65535>", "txonly: flows per stream",
                        setting([](session& all, arguments const& given) {
                            all.opts.generator.flows = number(given[0]);
                            return why_not{};
                        })});
    commands.push_back({"set rate <pps-or-max>", "txonly, replay: frames per second and stream",
                        setting([](session& all, arguments const& given) {
                            auto refused = parse_rate(given[0], all.opts.generator.rate);
                            return refused.empty() ? refused : given[0] + ": " + refused;
                        })});
    commands.push_back({"set replay file <file...>", "replay: the capture",
                        setting([](session& all, arguments const& given) {
                            return all.fwd.load_replay(given[0]);
                        })});
    commands.push_back({"set replay loops <0..4294967295>", "replay: how often, 0 for ever",
                        setting([](session& all, arguments const& given) {
                            all.opts.replay.loops = number(given[0]);
                            return why_not{};
                        })});
    commands.push_back({"set stat-period <0..86400>", "Seconds between port statistics, 0: never",
                        [](session& all, arguments const& given) {
                            all.opts.stats_period = number(given[0]);
                            return why_not{};
                        }});
    commands.push_back(
        {"show config fwd", "Loop, ports, queues and lcores", [](session& all, arguments const&) {
             show_forward_config(all);
             return why_not{};
         }});
    commands.push_back(
        {"show config cores", "Lcores and what they are for", [](session&, arguments const&) {
             show_cores();
             return why_not{};
         }});
    commands.push_back(
        {"show fwd stats all", "Frames per stream", [](session& all, arguments const&) {
             show_forward_stats(all);
             return why_not{};
         }});
}

} // namespace laggd
