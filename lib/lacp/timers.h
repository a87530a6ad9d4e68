// Times of the protocol (IEEE 802.1AX-2014 6.4.4) and what a timer is here: the time at which it
// ends, or never.  Reads no clock.
#pragma once

#include "lacp/parameters.h"

#include <chrono>

namespace lagg::lacp {

inline constexpr std::chrono::seconds fast_periodic_time{1};
inline constexpr std::chrono::seconds slow_periodic_time{30};
inline constexpr std::chrono::seconds short_timeout_time{3};
inline constexpr std::chrono::seconds long_timeout_time{90};
inline constexpr std::chrono::seconds churn_detection_time{60};

/// What is known of a partner lives this much longer than the timeout: the PDU that follows two
/// lost ones is sent exactly when the timeout ends, and is still to travel (doc/lacp.md).
inline constexpr std::chrono::milliseconds timeout_tolerance{250};

/// LACPDUs that a port may send in any fast_periodic_time (6.4.16).
inline constexpr unsigned most_lacpdus_per_period = 3;

/// `now` is the timer's end or later; never for a timer that does not run.
constexpr bool over(time_point timer, time_point now) noexcept {
    return now >= timer;
}

} // namespace lagg::lacp
