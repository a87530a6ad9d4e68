// Mux machine of one Aggregation Port (IEEE 802.1AX-2014 6.4.15): attaches it to its aggregator,
// lets it collect and distribute.  Both figures, independent and coupled control, and one state
// more, DRAINING (doc/lacp.md).  Knows no other port.
#pragma once

#include "lacp/parameters.h"
#include "lacp/port_variables.h"
#include "lacp/system.h"

namespace lagg::lacp {

class mux_machine {
public:
    /// BEGIN: enters DETACHED.
    void begin(port_variables& port);
    /// Follows one arrow; false when there is none to follow.
    bool step(port_variables& port, time_point now);

    mux_state state() const noexcept { return state_; }
    /// wait_while_timer, or the end of draining.
    time_point deadline() const noexcept { return timer_; }

private:
    bool enter_detached(port_variables& port);
    bool enter_waiting(port_variables& port, time_point now);
    bool become_ready(port_variables& port);
    bool enter_attached(port_variables& port);
    bool enter_collecting(port_variables& port);
    bool enter_distributing(port_variables& port);
    bool enter_collecting_distributing(port_variables& port);
    bool enter_draining(port_variables& port, time_point now);
    void leave_waiting(port_variables& port);

    mux_state state_ = mux_state::detached;
    time_point timer_ = never;
};

} // namespace lagg::lacp
