// Selection Logic (IEEE 802.1AX-2014 6.4.14): which ports belong together, which aggregator carries
// the traffic, which of its ports stand by, and who goes without a partner.
// Sees all ports of the system at once; knows no frame and no timer but its own.
#pragma once

#include "lacp/parameters.h"
#include "lacp/port_variables.h"
#include "lacp/system.h"

#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <span>

namespace lagg::lacp {

/// LAG ID (6.3.6.1): ports that agree in all of it can be one link.  The port ids are there when
/// one end is individual, and make it unlike any other.
struct lag_id {
    system_id actor_system;
    std::uint16_t actor_key = 0;
    port_id actor_port{0, 0};
    system_id partner_system;
    std::uint16_t partner_key = 0;
    port_id partner_port{0, 0};

    friend constexpr auto operator<=>(lag_id const&, lag_id const&) = default;
};

/// One port as the Selection Logic sees it.
struct contender {
    port_index index = no_port_index;
    port_variables* port = nullptr;
    receive_state receive = receive_state::initialize;
    mux_state mux = mux_state::detached;
    bool heard = false;                 // its partner spoke since its link came up
    time_point defaulted_since = never; // while receive is DEFAULTED
    std::uint32_t speed_mbps = 0;
};

class selection_logic {
public:
    /// Decides once, for all `ports`; false when everything is as it was.
    bool step(system_settings const& s, std::span<contender const> ports, time_point now);
    /// The port is gone.
    void forget(port_index port);

    time_point deadline() const noexcept { return deadline_; }

private:
    struct aggregator;

    void end_or_begin_fallback(system_settings const& s, std::span<contender const> ports,
                               time_point now);
    void choose(system_settings const& s, std::span<contender const> ports);
    void select(contender const& c, selected wanted);
    void assert_ready(std::span<contender const> ports, time_point now);
    void wake_at(time_point t);

    std::array<std::optional<lag_id>, max_ports> joined_{}; // since it was last unselected
    std::optional<lag_id> present_;                         // what carries the traffic
    time_point deadline_ = never;
};

/// The LAG ID that the port's operational parameters make.
lag_id lag_of(port_variables const& port);

} // namespace lagg::lacp
