#include "options.h"

#include <algorithm>
#include <charconv>
#include <functional>

namespace laggd {

namespace {

constexpr std::array<std::pair<char const*, fwd_mode>, 7> modes{{
    {"io", fwd_mode::io},
    {"mac", fwd_mode::mac},
    {"macswap", fwd_mode::macswap},
    {"txonly", fwd_mode::txonly},
    {"rxonly", fwd_mode::rxonly},
    {"icmpecho", fwd_mode::icmpecho},
    {"replay", fwd_mode::replay},
}};

struct option_rule {
    std::string name;
    std::string value; // empty: it takes none
    std::string help;
    std::function<why_not(std::string const&, options&)> apply;
};

std::function<why_not(std::string const&, options&)> number(unsigned options::*field, unsigned low,
                                                            unsigned high) {
    return [=](std::string const& text, options& out) -> why_not {
        auto const value = to_number(text);
        if (!value || *value < low || *value > high) {
            return strf("a number from %u to %u is allowed", low, high);
        }
        out.*field = static_cast<unsigned>(*value);
        return {};
    };
}

std::function<why_not(std::string const&, options&)> flag(bool options::*field, bool value = true) {
    return [=](std::string const&, options& out) -> why_not {
        out.*field = value;
        return {};
    };
}

std::function<why_not(std::string const&, options&)> path(std::string options::*field) {
    return [=](std::string const& text, options& out) -> why_not {
        if (text.empty()) {
            return "a file name is needed";
        }
        out.*field = text;
        return {};
    };
}

why_not set_portmask(std::string const& text, options& out) {
    auto const mask = to_number(text);
    if (!mask || *mask == 0) {
        return "a mask of port ids such as 0x3 is allowed, at least one bit set";
    }
    out.portlist.clear();
    for (std::uint16_t port = 0; port < 64; ++port) {
        if (((*mask >> port) & 1) != 0) {
            out.portlist.push_back(port);
        }
    }
    return {};
}

why_not set_eth_peer(std::string const& text, options& out) {
    auto const fields = split(text, ',');
    mac_bytes mac{};
    auto const port = fields.size() == 2 ? to_number(fields[0]) : std::nullopt;
    if (!port || *port > UINT16_MAX || !parse_mac(fields[1], mac).empty()) {
        return "PORT,MAC is allowed, as in 0,02:00:00:00:00:01";
    }
    out.eth_peer[static_cast<std::uint16_t>(*port)] = mac;
    return {};
}

std::vector<option_rule> const& rules() {
    static std::vector<option_rule> const all{
        {"demo", "",
         "two laggs back to back over four in-process links, by LACP; needs no hugepages, NIC or "
         "root",
         flag(&options::demo)},
        {"forward-mode", "MODE",
         "io (the default), mac, macswap, txonly, rxonly, icmpecho or replay",
         [](std::string const& text, options& out) -> why_not {
             auto const mode = fwd_mode_named(text);
             if (!mode) {
                 return join(fwd_mode_names(), ", ") + " are allowed";
             }
             out.mode = *mode;
             return {};
         }},
        {"auto-start", "", "start forwarding at once (-a)", flag(&options::auto_start)},
        {"interactive", "", "accepted for testpmd's sake: the console is always there (-i)",
         [](std::string const&, options&) -> why_not { return {}; }},
        {"nb-cores", "N", "lcores that forward (1); the main lcore runs the console",
         number(&options::nb_cores, 1, 1024)},
        {"portlist", "LIST", "ports that forward, as in 0,2-3 (all that are nobody's member)",
         [](std::string const& text, options& out) { return parse_portlist(text, out.portlist); }},
        {"portmask", "MASK", "the same as a mask, as in 0x5", set_portmask},
        {"port-topology", "SHAPE", "where frames go: paired (the default), chained or loop",
         [](std::string const& text, options& out) -> why_not {
             for (auto const shape : {topology::paired, topology::chained, topology::loop}) {
                 if (text == name_of(shape)) {
                     out.shape = shape;
                     return {};
                 }
             }
             return "paired, chained, loop are allowed";
         }},
        {"rxq", "N", "receive queues per port (1)", number(&options::rxq, 1, max_queues)},
        {"txq", "N", "transmit queues per port (1)", number(&options::txq, 1, max_queues)},
        {"rxd", "N", "receive descriptors per queue (1024)", number(&options::rxd, 1, 32768)},
        {"txd", "N", "transmit descriptors per queue (1024)", number(&options::txd, 1, 32768)},
        {"burst", "N", "frames per burst (32)", number(&options::burst, 1, max_burst)},
        {"total-num-mbufs", "N", "mbufs per pool (by ports, queues and descriptors)",
         number(&options::total_mbufs, 1024, 1U << 24)},
        {"mbuf-size", "BYTES", "data room of an mbuf, headroom included (2176)",
         number(&options::mbuf_size, 512, 65535)},
        {"eth-peer", "PORT,MAC", "destination that mac forwarding writes (02:00:00:00:00:PORT)",
         set_eth_peer},
        {"disable-promisc", "", "leave ports as they are instead of promiscuous",
         flag(&options::promiscuous, false)},
        {"hot-plug", "", "watch for cards that are pulled or plugged", flag(&options::hot_plug)},
        {"flows", "N", "txonly, demo: flows that are generated (64)",
         [](std::string const& text, options& out) -> why_not {
             auto const value = to_number(text);
             if (!value || *value < 1 || *value > max_flows) {
                 return strf("a number from 1 to %u is allowed", max_flows);
             }
             out.generator.flows = static_cast<unsigned>(*value);
             return {};
         }},
        {"txpkts", "SIZES", "txonly, demo: frame sizes with CRC, in turn, as in 64,512,1518 (64)",
         [](std::string const& text, options& out) {
             return parse_sizes(text, out.generator.sizes);
         }},
        {"imix", "", "txonly, demo: 7 x 64, 4 x 594, 1 x 1518 bytes",
         [](std::string const&, options& out) -> why_not {
             out.generator.sizes = imix();
             return {};
         }},
        {"rate", "PPS", "txonly, replay, demo: frames per second and stream, or max (max)",
         [](std::string const& text, options& out) {
             return parse_rate(text, out.generator.rate);
         }},
        {"replay-file", "FILE", "replay: the capture file (pcap or pcapng, Ethernet)",
         [](std::string const& text, options& out) -> why_not {
             if (text.empty()) {
                 return "a file name is needed";
             }
             out.replay.file = text;
             return {};
         }},
        {"replay-loops", "N", "replay: how often, 0 for ever (1)",
         [](std::string const& text, options& out) -> why_not {
             auto const value = to_number(text);
             if (!value || *value > UINT32_MAX) {
                 return "a number from 0 to 4294967295 is allowed";
             }
             out.replay.loops = static_cast<unsigned>(*value);
             return {};
         }},
        {"cmdline-file", "FILE", "run the commands in this file first",
         path(&options::cmdline_file)},
        {"stats-period", "SECONDS", "show port statistics so often",
         number(&options::stats_period, 1, 86400)},
        {"duration", "SECONDS", "end after so long (demo without a terminal: 15)",
         [](std::string const& text, options& out) -> why_not {
             auto const value = to_number(text);
             if (!value || *value < 1 || *value > 31536000) {
                 return "a number from 1 to 31536000 is allowed";
             }
             out.duration = static_cast<unsigned>(*value);
             return {};
         }},
        {"json", "FILE", "write a machine-readable summary at the end", path(&options::json_file)},
        {"help", "", "this page (-h)", flag(&options::help)},
        {"version", "", "version of laggd and of DPDK", flag(&options::version)},
    };
    return all;
}

option_rule const* find_rule(std::string_view name) {
    auto const& all = rules();
    auto const found =
        std::find_if(all.begin(), all.end(), [&](auto const& rule) { return rule.name == name; });
    return found == all.end() ? nullptr : &*found;
}

// Names that share the longest beginning with what was typed, for the error.
std::string close_names(std::string_view typed) {
    std::size_t longest = 1;
    std::vector<std::string> close;
    for (auto const& rule : rules()) {
        auto const differs =
            std::mismatch(typed.begin(), typed.end(), rule.name.begin(), rule.name.end());
        auto const same = static_cast<std::size_t>(differs.first - typed.begin());
        if (same > longest) {
            longest = same;
            close.clear();
        }
        if (same == longest) {
            close.push_back("--" + rule.name);
        }
    }
    return join(close, ", ");
}

why_not check_together(options const& out) {
    if (out.mode == fwd_mode::replay && out.replay.file.empty() && !out.demo) {
        return "--forward-mode=replay: needs --replay-file FILE";
    }
    if (out.demo && !out.portlist.empty()) {
        return "--portlist: not together with --demo, which brings its own ports";
    }
    return {};
}

} // namespace

char const* name_of(fwd_mode mode) {
    return modes[static_cast<std::size_t>(mode)].first;
}

char const* name_of(topology shape) {
    switch (shape) {
    case topology::paired: return "paired";
    case topology::chained: return "chained";
    case topology::loop: return "loop";
    }
    return "?";
}

std::optional<fwd_mode> fwd_mode_named(std::string_view name) {
    for (auto const& [text, mode] : modes) {
        if (name == text) {
            return mode;
        }
    }
    return std::nullopt;
}

std::vector<std::string> const& fwd_mode_names() {
    static std::vector<std::string> const names = [] {
        std::vector<std::string> all;
        all.reserve(std::size(modes));
        for (auto const& mode : modes) {
            all.emplace_back(mode.first);
        }
        return all;
    }();
    return names;
}

std::vector<unsigned> imix() {
    return {64, 594, 64, 64, 594, 64, 1518, 64, 594, 64, 594, 64};
}

why_not parse_sizes(std::string_view text, std::vector<unsigned>& sizes) {
    std::vector<unsigned> parsed;
    for (auto const& field : split(text, ',')) {
        auto const size = to_number(field);
        if (!size || *size < min_frame || *size > max_frame) {
            return strf("sizes from %u to %u, separated by commas, are allowed", min_frame,
                        max_frame);
        }
        parsed.push_back(static_cast<unsigned>(*size));
    }
    if (parsed.empty() || parsed.size() > 64) {
        return "1 to 64 sizes are allowed";
    }
    sizes = std::move(parsed);
    return {};
}

why_not parse_rate(std::string_view text, double& rate) {
    if (text == "max") {
        rate = 0.0;
        return {};
    }
    double value = 0.0;
    char const* const end = text.data() + text.size();
    auto const [stop, error] = std::from_chars(text.data(), end, value);
    if (text.empty() || error != std::errc{} || stop != end || !(value > 0.0 && value <= 1e9)) {
        return "max, or frames per second up to 1000000000, is allowed";
    }
    rate = value;
    return {};
}

why_not parse_portlist(std::string_view text, std::vector<std::uint16_t>& ports) {
    char const* const allowed =
        "port ids and ranges, separated by commas, are allowed, as in 0,2-3";
    std::vector<std::uint16_t> parsed;
    for (auto const& field : split(text, ',')) {
        auto const ends = split(field, '-');
        auto const low = ends.empty() ? std::nullopt : to_number(ends.front());
        auto const high = ends.empty() ? std::nullopt : to_number(ends.back());
        if (!low || !high || ends.size() > 2 || *low > *high || *high > 1023) {
            return allowed;
        }
        for (auto port = *low; port <= *high; ++port) {
            auto const id = static_cast<std::uint16_t>(port);
            if (std::find(parsed.begin(), parsed.end(), id) != parsed.end()) {
                return strf("port %u is named twice", static_cast<unsigned>(id));
            }
            parsed.push_back(id);
        }
    }
    if (parsed.empty()) {
        return allowed;
    }
    ports = std::move(parsed);
    return {};
}

why_not parse_mac(std::string_view text, mac_bytes& mac) {
    auto const fields = split(text, ':');
    mac_bytes parsed{};
    bool good = fields.size() == parsed.size();
    for (std::size_t i = 0; good && i < parsed.size(); ++i) {
        char const* const end = fields[i].data() + fields[i].size();
        auto const [stop, error] = std::from_chars(fields[i].data(), end, parsed[i], 16);
        good = error == std::errc{} && stop == end && fields[i].size() <= 2;
    }
    if (!good) {
        return "a MAC address as in 02:00:00:00:00:01 is allowed";
    }
    mac = parsed;
    return {};
}

why_not parse_options(std::vector<std::string> const& arguments, options& out) {
    for (std::size_t i = 0; i < arguments.size(); ++i) {
        std::string argument = arguments[i];
        if (argument == "-i") {
            argument = "--interactive";
        } else if (argument == "-a") {
            argument = "--auto-start";
        } else if (argument == "-h") {
            argument = "--help";
        }
        if (argument.rfind("--", 0) != 0 || argument.size() == 2) {
            return strf("'%s': an option was expected, options begin with --; see laggd --help",
                        argument.c_str());
        }
        auto const equals = argument.find('=');
        std::string const name =
            argument.substr(2, equals == std::string::npos ? equals : equals - 2);
        option_rule const* const rule = find_rule(name);
        if (rule == nullptr) {
            auto const close = close_names(name);
            return strf("--%s: no such option; %s%ssee laggd --help", name.c_str(),
                        close.empty() ? "" : "near it are ",
                        close.empty() ? "" : (close + "; ").c_str());
        }
        std::string value;
        if (rule->value.empty()) {
            if (equals != std::string::npos) {
                return strf("--%s: takes no value, '%s' was given", name.c_str(),
                            argument.substr(equals + 1).c_str());
            }
        } else if (equals != std::string::npos) {
            value = argument.substr(equals + 1);
        } else if (i + 1 < arguments.size()) {
            value = arguments[++i];
        } else {
            return strf("--%s: %s is missing: %s", name.c_str(), rule->value.c_str(),
                        rule->help.c_str());
        }
        if (auto const refused = rule->apply(value, out); !refused.empty()) {
            return strf("--%s: '%s' was given, %s", name.c_str(), value.c_str(), refused.c_str());
        }
    }
    return out.help || out.version ? why_not{} : check_together(out);
}

std::string usage() {
    std::string text = "usage: laggd [EAL options] -- [options]\n"
                       "       laggd --demo [options]\n\noptions:\n";
    for (auto const& rule : rules()) {
        std::string const left = "--" + rule.name + (rule.value.empty() ? "" : " " + rule.value);
        text += strf("  %-26s %s\n", left.c_str(), rule.help.c_str());
    }
    return text +
           "\nlaggd -- --help and laggd --help are the same; laggd --help says nothing about "
           "EAL options:\nsee the DPDK guide, or dpdk-testpmd --help.\n";
}

} // namespace laggd
