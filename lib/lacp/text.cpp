// Names of states and settings, one table each, for both directions.
#include "lacp/system.h"

#include <array>
#include <cstddef>

namespace lagg::lacp {
namespace {

constexpr std::array<std::string_view, 6> receive_names{
    "initialize", "port_disabled", "expired", "lacp_disabled", "defaulted", "current"};
constexpr std::array<std::string_view, 4> periodic_names{"no_periodic", "fast_periodic",
                                                         "slow_periodic", "periodic_tx"};
constexpr std::array<std::string_view, 7> mux_names{
    "detached", "waiting", "attached", "collecting", "distributing", "collecting_distributing",
    "draining"};
constexpr std::array<std::string_view, 3> selected_names{"unselected", "selected", "standby"};
constexpr std::array<std::string_view, 3> churn_names{"monitor", "churn", "no_churn"};
constexpr std::array<std::string_view, 3> rule_names{"stable", "bandwidth", "count"};
constexpr std::array<std::string_view, 2> rate_names{"slow", "fast"};
constexpr std::array<std::string_view, 2> control_names{"independent", "coupled"};
constexpr std::array<std::string_view, 3> fallback_names{"strict", "one", "individual"};

template<std::size_t n, class E>
std::string_view name_of(std::array<std::string_view, n> const& names, E value) {
    auto const i = static_cast<std::size_t>(value);
    return i < n ? names[i] : std::string_view{};
}

template<class E, std::size_t n>
result<E> value_of(std::array<std::string_view, n> const& names, std::string_view text) {
    for (std::size_t i = 0; i < n; ++i) {
        if (names[i] == text) {
            return static_cast<E>(i);
        }
    }
    return errc::invalid_argument;
}

} // namespace

std::string_view to_string(receive_state s) {
    return name_of(receive_names, s);
}
std::string_view to_string(periodic_state s) {
    return name_of(periodic_names, s);
}
std::string_view to_string(mux_state s) {
    return name_of(mux_names, s);
}
std::string_view to_string(selected s) {
    return name_of(selected_names, s);
}
std::string_view to_string(churn_state s) {
    return name_of(churn_names, s);
}
std::string_view to_string(selection_rule r) {
    return name_of(rule_names, r);
}
std::string_view to_string(lacp_rate r) {
    return name_of(rate_names, r);
}
std::string_view to_string(mux_control c) {
    return name_of(control_names, c);
}
std::string_view to_string(fallback f) {
    return name_of(fallback_names, f);
}

result<selection_rule> parse_selection_rule(std::string_view text) {
    return value_of<selection_rule>(rule_names, text);
}
result<lacp_rate> parse_lacp_rate(std::string_view text) {
    return value_of<lacp_rate>(rate_names, text);
}
result<mux_control> parse_mux_control(std::string_view text) {
    return value_of<mux_control>(control_names, text);
}
result<fallback> parse_fallback(std::string_view text) {
    return value_of<fallback>(fallback_names, text);
}

} // namespace lagg::lacp
