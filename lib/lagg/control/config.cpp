// Names of what the operator can choose, and the complaint about what cannot be.
// One line each: what, its value, what is allowed.
#include "lagg/control/config.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

namespace lagg {

namespace {

struct policy_name {
    policy value;
    std::string_view text;
};

constexpr std::array<policy_name, policy_count> policies{{
    {policy::roundrobin, "roundrobin"},
    {policy::loadbalance, "loadbalance"},
    {policy::failover, "failover"},
    {policy::broadcast, "broadcast"},
    {policy::none, "none"},
    {policy::lacp, "lacp"},
}};

struct failback_name {
    failback value;
    std::string_view text;
};

constexpr std::array<failback_name, 3> failbacks{{
    {failback::always, "always"},
    {failback::better, "better"},
    {failback::never, "never"},
}};

using complaint = std::optional<config_error>;

config_error out_of_range(std::string_view what, std::string const& value, std::string const& low,
                          std::string const& high, std::string_view unit = "") {
    std::string text;
    text.append(what).append(" ").append(value).append(" is out of range; allowed: ");
    text.append(low).append(" to ").append(high).append(unit);
    return {errc::invalid_argument, std::move(text)};
}

complaint check_policy(policy p) {
    for (auto const& known : policies) {
        if (known.value == p) {
            return std::nullopt;
        }
    }
    std::string text =
        "policy " + std::to_string(static_cast<unsigned>(p)) + " is unknown; allowed: ";
    text.append(policy_names());
    return config_error{errc::invalid_argument, std::move(text)};
}

complaint check_hash(net::hash_rule const& hash) {
    if (hash.l2 || hash.l3 || hash.l4) {
        return std::nullopt;
    }
    return config_error{errc::invalid_argument,
                        "hash names no field; allowed: one or more of l2, l3, l4 joined by +"};
}

complaint check_failback(failback f) {
    for (auto const& known : failbacks) {
        if (known.value == f) {
            return std::nullopt;
        }
    }
    return config_error{errc::invalid_argument, "failback " +
                                                    std::to_string(static_cast<unsigned>(f)) +
                                                    " is unknown; allowed: always, better, never"};
}

complaint check_range(std::string_view what, std::uint64_t value, std::uint64_t low,
                      std::uint64_t high) {
    if (value >= low && value <= high) {
        return std::nullopt;
    }
    return out_of_range(what, std::to_string(value), std::to_string(low), std::to_string(high));
}

complaint check_delay(std::string_view what, std::chrono::milliseconds value) {
    if (value >= std::chrono::milliseconds::zero() && value <= max_delay) {
        return std::nullopt;
    }
    return out_of_range(what, std::to_string(value.count()), "0", std::to_string(max_delay.count()),
                        " ms");
}

complaint check_weights(std::vector<weight_setting> const& weights) {
    for (std::size_t i = 0; i < weights.size(); ++i) {
        auto const& w = weights[i];
        if (w.member.empty()) {
            return config_error{errc::invalid_argument,
                                "weight names no member; allowed: <member>@<weight>"};
        }
        if (auto wrong = check_range("weight of " + w.member + ":", w.weight, 1, max_weight)) {
            return wrong;
        }
        for (std::size_t k = 0; k < i; ++k) {
            if (weights[k].member == w.member) {
                return config_error{errc::invalid_argument,
                                    "weight of " + w.member + " is given twice (" +
                                        std::to_string(weights[k].weight) + " and " +
                                        std::to_string(w.weight) + "); allowed: once per member"};
            }
        }
    }
    return std::nullopt;
}

config_error refused(std::string text) {
    return {errc::invalid_argument, std::move(text)};
}

complaint check_damping(lacp::damping_settings const& d) {
    if (auto wrong = check_delay("lacp damping half_life", d.half_life)) {
        return wrong;
    }
    if (d.half_life.count() == 0) {
        return std::nullopt; // off
    }
    if (auto wrong =
            check_range("lacp damping suppress_at", d.suppress_at, 1, lacp::most_penalty)) {
        return wrong;
    }
    return check_range("lacp damping reuse_at", d.reuse_at, 1, d.suppress_at);
}

complaint check_lacp_system(lacp_config const& c) {
    lacp::system_settings const& s = c.system;
    if (s.system.address.is_group()) {
        return refused("lacp system address " + net::to_string(s.system.address) +
                       " is a group address; allowed: a unicast address, or all zero for the "
                       "port's own");
    }
    if (auto wrong = check_range("lacp key", s.key, 1, UINT16_MAX)) {
        return wrong;
    }
    if (auto wrong = check_range("lacp max_links", s.max_links, 1, max_members)) {
        return wrong;
    }
    if (auto wrong = check_delay("lacp wait_while", s.wait_while)) {
        return wrong;
    }
    if (auto wrong = check_delay("lacp fallback_delay", s.fallback_delay)) {
        return wrong;
    }
    if (auto wrong = check_delay("lacp drain_wait", s.drain_wait)) {
        return wrong;
    }
    if (auto wrong = check_delay("reorder_wait", c.reorder_wait)) {
        return wrong;
    }
    if (auto wrong = check_range("lacp first_port_number", c.first_port_number, 1,
                                 UINT16_MAX - max_members)) {
        return wrong;
    }
    return check_damping(s.damping);
}

complaint check_lacp_number(lacp_config const& c, lacp_member_setting const& m) {
    if (!m.number) {
        return std::nullopt;
    }
    std::uint32_t const first = c.first_port_number;
    if (*m.number == 0 || (*m.number >= first && *m.number < first + max_members)) {
        return refused("lacp port number " + std::to_string(*m.number) + " of " + m.member +
                       " cannot be had; allowed: 1 to 65535, but not " + std::to_string(first) +
                       " to " + std::to_string(first + max_members - 1) +
                       ", which members get by themselves");
    }
    for (auto const& other : c.members) {
        if (&other != &m && other.number == m.number) {
            return refused("lacp port number " + std::to_string(*m.number) + " is given to " +
                           other.member + " and " + m.member + "; allowed: each number once");
        }
    }
    return std::nullopt;
}

complaint check_lacp_members(lacp_config const& c) {
    for (auto const& m : c.members) {
        if (m.member.empty()) {
            return refused("a lacp setting names no member; allowed: a port name");
        }
        if (m.key && *m.key == 0) {
            return refused("lacp key 0 of " + m.member + " is out of range; allowed: 1 to 65535");
        }
        if (auto wrong = check_lacp_number(c, m)) {
            return wrong;
        }
        auto const same = [&m](auto const& other) { return other.member == m.member; };
        if (std::count_if(c.members.begin(), c.members.end(), same) > 1) {
            return refused("lacp settings of " + m.member +
                           " are given twice; allowed: once per member");
        }
    }
    return std::nullopt;
}

} // namespace

result<void, config_error> validate(config const& c) {
    if (auto wrong = check_policy(c.policy)) {
        return *wrong;
    }
    if (auto wrong = check_hash(c.hash)) {
        return *wrong;
    }
    if (auto wrong = check_range("stride", c.stride, 1, max_stride)) {
        return *wrong;
    }
    if (auto wrong = check_failback(c.failback)) {
        return *wrong;
    }
    if (auto wrong = check_delay("failback_hold", c.failback_hold)) {
        return *wrong;
    }
    if (auto wrong = check_range("min_links", c.min_links, 0, max_members)) {
        return *wrong;
    }
    if (auto wrong = check_delay("up_delay", c.up_delay)) {
        return *wrong;
    }
    if (auto wrong = check_delay("down_delay", c.down_delay)) {
        return *wrong;
    }
    if (auto wrong = check_weights(c.weights)) {
        return *wrong;
    }
    if (auto wrong = check_lacp_system(c.lacp)) {
        return *wrong;
    }
    if (auto wrong = check_lacp_members(c.lacp)) {
        return *wrong;
    }
    return {};
}

std::string_view to_string(policy p) {
    for (auto const& known : policies) {
        if (known.value == p) {
            return known.text;
        }
    }
    return "unknown";
}

std::string_view to_string(spread s) {
    switch (s) {
    case spread::nobody: return "nobody";
    case spread::to_one: return "to_one";
    case spread::in_turn: return "in_turn";
    case spread::by_flow: return "by_flow";
    case spread::by_flow_held: return "by_flow_held";
    case spread::to_all: return "to_all";
    }
    return "unknown";
}

std::string_view to_string(run_state r) {
    switch (r) {
    case run_state::stopped: return "stopped";
    case run_state::admin_down: return "admin_down";
    case run_state::running: return "running";
    }
    return "unknown";
}

std::string_view to_string(failback f) {
    for (auto const& known : failbacks) {
        if (known.value == f) {
            return known.text;
        }
    }
    return "unknown";
}

result<policy> parse_policy(std::string_view text) {
    for (auto const& known : policies) {
        if (known.text == text) {
            return known.value;
        }
    }
    return errc::invalid_argument;
}

result<failback> parse_failback(std::string_view text) {
    for (auto const& known : failbacks) {
        if (known.text == text) {
            return known.value;
        }
    }
    return errc::invalid_argument;
}

std::string_view policy_names() {
    return "roundrobin, loadbalance, lacp, failover, broadcast, none";
}

} // namespace lagg
