// What the operator asked for, whole and validated before anything acts on it.
// Knows neither which members exist nor their links: members are named, not numbered.
#pragma once

#include "base/result.h"
#include "lacp/system.h"
#include "lagg/types.h"
#include "net/flow_hash.h"

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace lagg {

struct weight_setting {
    std::string member;       // port name
    std::uint32_t weight = 1; // [1, max_weight]

    friend bool operator==(weight_setting const&, weight_setting const&) = default;
};

inline constexpr std::uint32_t max_weight = 255;
inline constexpr std::uint32_t max_stride = 65535;
/// Of up_delay, down_delay and failback_hold; the least is 0.
inline constexpr std::chrono::milliseconds max_delay{60000};

/// What a member is in LACP where it is not as the others are.
struct lacp_member_setting {
    std::string member;                      // port name
    std::optional<std::uint16_t> priority{}; // the lower, the sooner it is used
    std::optional<std::uint16_t> number{};   // none of the numbers that are given out by themselves
    std::optional<std::uint16_t> key{};      // not 0
    bool aggregation = true;                 // false: an individual port

    friend bool operator==(lacp_member_setting const&, lacp_member_setting const&) = default;
};

/// Policy lacp.
struct lacp_config {
    /// Address all zero: the lagg port's own.
    lacp::system_settings system;
    /// A member has port number first_port_number + its id; so two laggs that are to be one System
    /// have disjoint numbers.  [1, 65535 - max_members]
    std::uint16_t first_port_number = 1;
    std::vector<lacp_member_setting> members;
    /// Flows that move away from a member that works wait until a Marker has come back on it, or
    /// this long.
    bool reorder_guard = true;
    std::chrono::milliseconds reorder_wait{50};

    friend bool operator==(lacp_config const&, lacp_config const&) = default;
};

struct config {
    lagg::policy policy = policy::loadbalance;
    net::hash_rule hash;
    std::uint32_t stride = 1; // [1, max_stride]
    /// failover: the preferred member's port name; empty: none.  Kept while that port is away.
    std::string primary;
    lagg::failback failback = failback::always;
    /// failover: the primary's link must have been up for this long before traffic returns to it.
    std::chrono::milliseconds failback_hold{0};
    /// failover: collect from every link-up member, not from the distributing one only.
    bool rx_all = false;
    /// The lagg's link is up only with at least so many distributing members, [0, max_members].
    /// 0 and 1 mean the same.
    std::uint32_t min_links = 1;
    /// A member's link change counts only after it lasted so long.
    std::chrono::milliseconds up_delay{0};
    std::chrono::milliseconds down_delay{0};
    /// Empty: members weigh what their links' speeds are.  Otherwise speeds do not count: members
    /// that are not named weigh 1.
    std::vector<weight_setting> weights;
    lacp_config lacp;

    friend bool operator==(config const&, config const&) = default;
};

/// One line for the operator: what was wrong and what is allowed.
struct config_error {
    errc code = errc::invalid_argument;
    std::string text;
};

/// The first thing wrong in `c`.
result<void, config_error> validate(config const& c);

std::string_view to_string(policy p);
std::string_view to_string(spread s);
std::string_view to_string(run_state r);
std::string_view to_string(failback f);
/// Errors: invalid_argument.
result<policy> parse_policy(std::string_view text);
result<failback> parse_failback(std::string_view text);
/// "roundrobin, loadbalance, lacp, failover, broadcast, none": for error lines.
std::string_view policy_names();

} // namespace lagg
