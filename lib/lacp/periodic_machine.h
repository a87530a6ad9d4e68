// Periodic Transmission machine of one Aggregation Port (IEEE 802.1AX-2014 6.4.13): how often the
// partner hears from us, which the partner chooses.  Sends nothing itself.
#pragma once

#include "lacp/parameters.h"
#include "lacp/port_variables.h"
#include "lacp/system.h"

namespace lagg::lacp {

class periodic_machine {
public:
    /// Follows one arrow; false when there is none to follow.
    bool step(port_variables& port, time_point now);

    periodic_state state() const noexcept { return state_; }
    time_point deadline() const noexcept { return periodic_timer_; }

private:
    bool enter_no_periodic();
    bool enter_fast_periodic(time_point now);
    bool enter_slow_periodic(time_point now);
    bool enter_periodic_tx(port_variables& port);

    periodic_state state_ = periodic_state::no_periodic; // BEGIN
    time_point periodic_timer_ = never;
};

} // namespace lagg::lacp
