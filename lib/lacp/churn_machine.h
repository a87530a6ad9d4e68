// Churn detection (IEEE 802.1AX-2014 6.4.17): one end was not in sync for a minute.  The Actor's
// and the Partner's machine are the same figure; which end is meant is the caller's business.
#pragma once

#include "lacp/parameters.h"
#include "lacp/system.h"

#include <cstdint>

namespace lagg::lacp {

class churn_machine {
public:
    /// `in_sync`: Synchronization in the operational state of the end that is watched.  Follows one
    /// arrow; false when there is none to follow.
    bool step(bool port_enabled, bool in_sync, time_point now);

    churn_state state() const noexcept { return state_; }
    time_point deadline() const noexcept { return churn_timer_; }
    /// How often churn was found.
    std::uint64_t count() const noexcept { return count_; }

private:
    bool enter_monitor(bool port_enabled, time_point now);
    bool enter_churn();
    bool enter_no_churn();

    churn_state state_ = churn_state::monitor; // BEGIN
    time_point churn_timer_ = never;           // never in monitor: the port is disabled
    std::uint64_t count_ = 0;
};

} // namespace lagg::lacp
