// The variables of one Aggregation Port that its machines share (IEEE 802.1AX-2014 6.4.7, 6.4.8).
// Says for each who writes it; decides nothing.
#pragma once

#include "lacp/parameters.h"
#include "lacp/system.h"

#include <cstdint>

namespace lagg::lacp {

/// Partner_Admin of a port: a partner that never spoke is individual and not in sync.  It is sent
/// to at the fast rate, so that a passive one is found within a second.
inline constexpr parameters nobody{
    .system = {}, .key = 0, .port = {}, .state = state::short_timeout};

struct port_variables {
    // Written by the port, from settings and link.
    bool port_enabled = false;
    bool lacp_enabled = true;
    bool drain = false;      // ours: the port is asked to leave gracefully
    bool suppressed = false; // ours: by damping
    mux_control control = mux_control::independent;
    std::chrono::milliseconds wait_while{2000};
    std::chrono::milliseconds drain_wait{3000};

    // Actor_Oper: identity, activity, short_timeout, aggregation from settings and link;
    // synchronization, collecting, distributing by mux; defaulted, expired by receive.
    parameters actor{.system = {}, .key = 0, .port = {}, .state = state::defaulted};
    // Partner_Admin: written by selection, which makes it hopeful during fallback.
    parameters partner_admin = nobody;
    // Partner_Oper: written by receive.
    parameters partner = nobody;
    // What the partner last said of our state: written by receive.
    std::uint8_t echoed_state = 0;

    // Set by the system, when the partner shows up behind another port; cleared by receive.
    bool port_moved = false;
    // Set by receive, periodic, mux and changes of settings; cleared by transmit.
    bool ntt = false;

    // Written by mux.
    bool ready_n = false;
    time_point waiting_since = never;

    // Written by selection; receive takes `selection` back to unselected.
    lacp::selected selection = selected::unselected;
    bool ready = false;
    bool individual = true;
    bool in_use = false;
    bool fallback = false;
    std::uint16_t aggregator = 0;

    port_counters counters;

    constexpr bool has_partner() const noexcept { return !actor.has(state::defaulted); }
    /// What comes back is our own (whatever the priority that it carries).
    constexpr bool looped() const noexcept {
        return has_partner() && partner.system.address == actor.system.address;
    }
};

} // namespace lagg::lacp
