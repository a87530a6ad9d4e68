// Own splitting instead of rte_kvargs: that one takes 32 pairs at most, fewer than 32 members and a
// policy, and does not say which key it refused.
#include "lagg_args.h"

#include <rte_ethdev.h>
#include <rte_pci.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>
#include <string_view>

namespace lagg::pmd {

namespace {

constexpr std::size_t max_name = RTE_ETH_NAME_MAX_LEN - 1;

/// What is allowed when a value was refused; nullopt: the value was taken.
using refusal = std::optional<std::string>;

struct number_range {
    std::uint32_t low;
    std::uint32_t high;
};

std::string describe(number_range r, std::string_view unit = "") {
    std::string text = std::to_string(r.low) + " to " + std::to_string(r.high);
    return text.append(unit);
}

/// Decimal, or hexadecimal after 0x; nothing around it.
std::optional<std::uint32_t> to_number(std::string_view text, number_range r) {
    int base = 10;
    if (text.starts_with("0x") || text.starts_with("0X")) {
        text.remove_prefix(2);
        base = 16;
    }
    std::uint32_t value = 0;
    auto const [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
    if (error != std::errc{} || end != text.data() + text.size() || value < r.low ||
        value > r.high) {
        return std::nullopt;
    }
    return value;
}

template<class Target>
refusal take_number(Target& target, std::string_view text, number_range r,
                    std::string_view unit = "") {
    auto const n = to_number(text, r);
    if (!n) {
        return describe(r, unit);
    }
    target = static_cast<Target>(*n);
    return std::nullopt;
}

refusal take_milliseconds(std::chrono::milliseconds& target, std::string_view text,
                          number_range r) {
    std::uint32_t n = 0;
    refusal why = take_number(n, text, r, " ms");
    if (!why) {
        target = std::chrono::milliseconds{n};
    }
    return why;
}

refusal take_flag(bool& target, std::string_view text) {
    if (text != "0" && text != "1") {
        return "0 or 1";
    }
    target = text == "1";
    return std::nullopt;
}

bool is_port_name(std::string_view text) {
    return !text.empty() && text.size() <= max_name;
}

std::string name_rule() {
    return "a port name or PCI address of 1 to " + std::to_string(max_name) + " characters";
}

refusal take_policy(start_arguments& out, std::string_view text) {
    auto const p = parse_policy(text);
    if (!p) {
        return std::string(policy_names());
    }
    out.config.policy = *p;
    return std::nullopt;
}

refusal take_member(start_arguments& out, std::string_view text) {
    if (!is_port_name(text)) {
        return name_rule();
    }
    std::string name = canonical_port_name(text);
    if (std::find(out.members.begin(), out.members.end(), name) != out.members.end()) {
        return "each member once";
    }
    if (out.members.size() == max_members) {
        return "at most " + std::to_string(max_members) + " members";
    }
    out.members.push_back(std::move(name));
    return std::nullopt;
}

refusal take_primary(start_arguments& out, std::string_view text) {
    if (!is_port_name(text)) {
        return name_rule();
    }
    out.config.primary = canonical_port_name(text);
    return std::nullopt;
}

refusal take_hash(start_arguments& out, std::string_view text) {
    auto const fields = net::parse_hash_fields(text);
    if (!fields) {
        return "one or more of l2, l3, l4 joined by + (" + net::to_string(fields.error()) + ")";
    }
    out.config.hash.set_fields(*fields);
    return std::nullopt;
}

refusal take_seed(start_arguments& out, std::string_view text) {
    out.seed_given = true;
    return take_number(out.config.hash.seed, text, {0, std::numeric_limits<std::uint32_t>::max()});
}

refusal take_mac(start_arguments& out, std::string_view text) {
    auto const mac = net::parse_mac(text);
    if (!mac || mac->is_group() || mac->is_zero()) {
        return "a unicast address, six pairs of hex digits between colons";
    }
    out.mac = *mac;
    return std::nullopt;
}

refusal take_weight(start_arguments& out, std::string_view text) {
    constexpr number_range range{1, max_weight};
    std::string const rule = "<member>@<" + describe(range) + ">, once per member";
    auto const at = text.rfind('@');
    if (at == std::string_view::npos || !is_port_name(text.substr(0, at))) {
        return rule;
    }
    weight_setting w;
    w.member = canonical_port_name(text.substr(0, at));
    if (take_number(w.weight, text.substr(at + 1), range)) {
        return rule;
    }
    for (auto const& other : out.config.weights) {
        if (other.member == w.member) {
            return rule;
        }
    }
    out.config.weights.push_back(std::move(w));
    return std::nullopt;
}

refusal take_failback(start_arguments& out, std::string_view text) {
    constexpr number_range hold{0, 60000};
    std::string const rule =
        "always, better or never, with a hold if wanted: <mode>:<" + describe(hold, " ms>");
    auto const colon = text.find(':');
    auto const mode = parse_failback(text.substr(0, colon));
    if (!mode) {
        return rule;
    }
    if (colon != std::string_view::npos &&
        take_milliseconds(out.config.failback_hold, text.substr(colon + 1), hold)) {
        return rule;
    }
    out.config.failback = *mode;
    return std::nullopt;
}

/// The bit that `name_of` calls `name`, or 0.
std::uint64_t offload_bit(std::string_view name, char const* (*name_of)(std::uint64_t)) {
    for (unsigned int bit = 0; bit < 64; ++bit) {
        std::uint64_t const one = std::uint64_t{1} << bit;
        if (name != "UNKNOWN" && name == name_of(one)) {
            return one;
        }
    }
    return 0;
}

refusal take_offloads(start_arguments& out, std::string_view text) {
    std::string const rule = "DPDK's offload names after RX_ or TX_, joined by +, as in "
                             "TX_IPV4_CKSUM+RX_VLAN_STRIP; never TX_MBUF_FAST_FREE";
    for (;;) {
        auto const plus = text.find('+');
        std::string_view const name = text.substr(0, plus);
        bool const rx = name.starts_with("RX_");
        bool const tx = name.starts_with("TX_");
        if (!rx && !tx) {
            return rule;
        }
        std::uint64_t const bit = offload_bit(name.substr(3), rx ? rte_eth_dev_rx_offload_name
                                                                 : rte_eth_dev_tx_offload_name);
        if (bit == 0 || (tx && bit == RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE)) {
            return rule;
        }
        (rx ? out.rx_offloads : out.tx_offloads) |= bit;
        if (plus == std::string_view::npos) {
            return std::nullopt;
        }
        text.remove_prefix(plus + 1);
    }
}

// Policy lacp.

refusal take_lacp_mode(start_arguments& out, std::string_view text) {
    if (text != "active" && text != "passive") {
        return "active or passive";
    }
    out.config.lacp.system.active = text == "active";
    return std::nullopt;
}

refusal take_lacp_rate(start_arguments& out, std::string_view text) {
    auto const rate = lacp::parse_lacp_rate(text);
    if (!rate) {
        return "fast or slow";
    }
    out.config.lacp.system.rate = *rate;
    return std::nullopt;
}

refusal take_lacp_system_mac(start_arguments& out, std::string_view text) {
    auto const mac = net::parse_mac(text);
    if (!mac || mac->is_group() || mac->is_zero()) {
        return "a unicast address, six pairs of hex digits between colons";
    }
    out.config.lacp.system.system.address = *mac;
    return std::nullopt;
}

refusal take_lacp_select(start_arguments& out, std::string_view text) {
    auto const rule = lacp::parse_selection_rule(text);
    if (!rule) {
        return "stable, bandwidth or count";
    }
    out.config.lacp.system.select = *rule;
    return std::nullopt;
}

refusal take_lacp_mux(start_arguments& out, std::string_view text) {
    auto const mux = lacp::parse_mux_control(text);
    if (!mux) {
        return "independent or coupled";
    }
    out.config.lacp.system.mux = *mux;
    return std::nullopt;
}

refusal take_lacp_fallback(start_arguments& out, std::string_view text) {
    constexpr number_range delay{0, 60000};
    std::string const rule =
        "strict, one or individual, with a delay if wanted: <mode>:<" + describe(delay, " ms>");
    auto const colon = text.find(':');
    auto const mode = lacp::parse_fallback(text.substr(0, colon));
    if (!mode) {
        return rule;
    }
    if (colon != std::string_view::npos &&
        take_milliseconds(out.config.lacp.system.fallback_delay, text.substr(colon + 1), delay)) {
        return rule;
    }
    out.config.lacp.system.fallback = *mode;
    return std::nullopt;
}

lacp_member_setting& lacp_member(start_arguments& out, std::string_view name) {
    std::string const wanted = canonical_port_name(name);
    for (auto& m : out.config.lacp.members) {
        if (m.member == wanted) {
            return m;
        }
    }
    auto& added = out.config.lacp.members.emplace_back();
    added.member = wanted;
    return added;
}

refusal take_lacp_port_priority(start_arguments& out, std::string_view text) {
    std::string const rule = "<member>@<0 to 65535>";
    auto const at = text.rfind('@');
    std::uint16_t priority = 0;
    if (at == std::string_view::npos || !is_port_name(text.substr(0, at)) ||
        take_number(priority, text.substr(at + 1), {0, UINT16_MAX})) {
        return rule;
    }
    lacp_member(out, text.substr(0, at)).priority = priority;
    return std::nullopt;
}

struct key_rule {
    std::string_view key;
    bool repeated;
    refusal (*take)(start_arguments& out, std::string_view text);
    std::string_view alias_of = {};
};

constexpr number_range delay_range{0, 60000};

refusal take_poll_period(start_arguments& out, std::string_view text) {
    return take_milliseconds(out.poll_period, text, {1, 60000});
}

constexpr auto keys = std::to_array<key_rule>({
    {"policy", false, take_policy},
    {"member", true, take_member},
    {"primary", false, take_primary},
    {"hash", false, take_hash},
    {"symmetric", false,
     [](start_arguments& out, std::string_view v) {
         return take_flag(out.config.hash.symmetric, v);
     }},
    {"seed", false, take_seed},
    {"flowid", false,
     [](start_arguments& out, std::string_view v) {
         return take_flag(out.config.hash.use_flowid, v);
     }},
    {"stride", false,
     [](start_arguments& out, std::string_view v) {
         return take_number(out.config.stride, v, {1, max_stride});
     }},
    {"rx_all", false,
     [](start_arguments& out, std::string_view v) { return take_flag(out.config.rx_all, v); }},
    {"mac", false, take_mac},
    {"min_links", false,
     [](start_arguments& out, std::string_view v) {
         return take_number(out.config.min_links, v, {0, max_members});
     }},
    {"up_delay", false,
     [](start_arguments& out, std::string_view v) {
         return take_milliseconds(out.config.up_delay, v, delay_range);
     }},
    {"down_delay", false,
     [](start_arguments& out, std::string_view v) {
         return take_milliseconds(out.config.down_delay, v, delay_range);
     }},
    {"weight", true, take_weight},
    {"failback", false, take_failback},
    {"lsc_poll_period_ms", false, take_poll_period},
    {"poll_period", false, take_poll_period, "lsc_poll_period_ms"},
    {"queues", false,
     [](start_arguments& out, std::string_view v) {
         return take_number(out.queues, v, {1, RTE_MAX_QUEUES_PER_PORT});
     }},
    {"offloads", false, take_offloads},
    {"lacp_mode", false, take_lacp_mode},
    {"lacp_rate", false, take_lacp_rate},
    {"lacp_system_priority", false,
     [](start_arguments& out, std::string_view v) {
         return take_number(out.config.lacp.system.system.priority, v, {0, UINT16_MAX});
     }},
    {"lacp_system_mac", false, take_lacp_system_mac},
    {"lacp_key", false,
     [](start_arguments& out, std::string_view v) {
         return take_number(out.config.lacp.system.key, v, {1, UINT16_MAX});
     }},
    {"lacp_first_port", false,
     [](start_arguments& out, std::string_view v) {
         return take_number(out.config.lacp.first_port_number, v, {1, UINT16_MAX - max_members});
     }},
    {"lacp_port_priority", true, take_lacp_port_priority},
    {"lacp_select", false, take_lacp_select},
    {"lacp_mux", false, take_lacp_mux},
    {"lacp_fallback", false, take_lacp_fallback},
    {"lacp_wait_while", false,
     [](start_arguments& out, std::string_view v) {
         return take_milliseconds(out.config.lacp.system.wait_while, v, delay_range);
     }},
    {"lacp_damping", false,
     [](start_arguments& out, std::string_view v) {
         return take_milliseconds(out.config.lacp.system.damping.half_life, v, delay_range);
     }},
    {"lacp_steering", false,
     [](start_arguments& out, std::string_view v) { return take_flag(out.lacp_steering, v); }},
    {"max_links", false,
     [](start_arguments& out, std::string_view v) {
         return take_number(out.config.lacp.system.max_links, v, {1, max_members});
     }},
    {"reorder_guard", false,
     [](start_arguments& out, std::string_view v) {
         return take_flag(out.config.lacp.reorder_guard, v);
     }},
    {"reorder_wait", false,
     [](start_arguments& out, std::string_view v) {
         return take_milliseconds(out.config.lacp.reorder_wait, v, delay_range);
     }},
});

std::string known_keys() {
    std::string text;
    for (auto const& k : keys) {
        if (k.alias_of.empty()) {
            text.append(text.empty() ? "" : ", ").append(k.key);
        }
    }
    return text;
}

std::string complaint(std::string_view key, std::string_view value, std::string_view what,
                      std::string_view allowed) {
    std::string text;
    text.append(key).append("=").append(value).append(": ").append(what);
    return text.append("; allowed: ").append(allowed);
}

} // namespace

std::string canonical_port_name(std::string_view name) {
    std::string text(name);
    rte_pci_addr address{};
    if (rte_pci_addr_parse(text.c_str(), &address) == 0) {
        char buffer[PCI_PRI_STR_SIZE];
        rte_pci_device_name(&address, buffer, sizeof buffer);
        text = buffer;
    }
    return text;
}

result<start_arguments, std::string> parse_devargs(char const* text) {
    start_arguments out;
    std::array<bool, keys.size()> seen{};
    std::string_view rest = text == nullptr ? std::string_view{} : std::string_view{text};
    while (!rest.empty()) {
        auto const comma = rest.find(',');
        std::string_view const pair = rest.substr(0, comma);
        rest = comma == std::string_view::npos ? std::string_view{} : rest.substr(comma + 1);

        auto const equals = pair.find('=');
        std::string_view const key = pair.substr(0, equals);
        std::string_view const value =
            equals == std::string_view::npos ? std::string_view{} : pair.substr(equals + 1);
        auto const named = [&](std::string_view wanted) {
            return std::find_if(keys.begin(), keys.end(),
                                [&](key_rule const& k) { return k.key == wanted; });
        };
        auto const rule = named(key);
        if (rule == keys.end()) {
            return complaint(key, value, "unknown key", known_keys());
        }
        auto const same = rule->alias_of.empty() ? rule : named(rule->alias_of);
        bool& given = seen[static_cast<std::size_t>(same - keys.begin())];
        if (given && !rule->repeated) {
            return complaint(key, value, "given a second time", "once");
        }
        given = true;
        if (auto const allowed = rule->take(out, value)) {
            return complaint(key, value, "refused", *allowed);
        }
    }
    if (auto const ok = validate(out.config); !ok) {
        return ok.error().text;
    }
    return out;
}

} // namespace lagg::pmd
