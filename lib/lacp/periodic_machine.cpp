#include "lacp/periodic_machine.h"

#include "lacp/timers.h"

namespace lagg::lacp {
namespace {

/// Nobody wants to hear from us, or nobody can.
bool silent(port_variables const& port) {
    return !port.lacp_enabled || !port.port_enabled ||
           (!port.actor.has(state::activity) && !port.partner.has(state::activity));
}

} // namespace

bool periodic_machine::step(port_variables& port, time_point now) {
    bool const fast = port.partner.has(state::short_timeout);
    switch (state_) {
    case periodic_state::no_periodic:
        if (!silent(port)) {
            return enter_fast_periodic(now); // 6.4.13: UCT
        }
        return false;
    case periodic_state::fast_periodic:
        if (silent(port)) {
            return enter_no_periodic(); // 6.4.13: both passive, or no LACP here
        }
        if (over(periodic_timer_, now)) {
            return enter_periodic_tx(port); // 6.4.13: periodic_timer expired
        }
        if (!fast) {
            return enter_slow_periodic(now); // 6.4.13: Partner_Oper.LACP_Timeout is long
        }
        return false;
    case periodic_state::slow_periodic:
        if (silent(port)) {
            return enter_no_periodic(); // 6.4.13: both passive, or no LACP here
        }
        if (fast || over(periodic_timer_, now)) {
            return enter_periodic_tx(port); // 6.4.13: LACP_Timeout is short; timer expired
        }
        return false;
    case periodic_state::periodic_tx:
        if (silent(port)) {
            return enter_no_periodic(); // 6.4.13: both passive, or no LACP here
        }
        return fast ? enter_fast_periodic(now)  // 6.4.13: LACP_Timeout is short
                    : enter_slow_periodic(now); // 6.4.13: LACP_Timeout is long
    }
    return false;
}

bool periodic_machine::enter_no_periodic() {
    state_ = periodic_state::no_periodic;
    periodic_timer_ = never;
    return true;
}

bool periodic_machine::enter_fast_periodic(time_point now) {
    state_ = periodic_state::fast_periodic;
    periodic_timer_ = now + fast_periodic_time;
    return true;
}

bool periodic_machine::enter_slow_periodic(time_point now) {
    state_ = periodic_state::slow_periodic;
    periodic_timer_ = now + slow_periodic_time;
    return true;
}

bool periodic_machine::enter_periodic_tx(port_variables& port) {
    state_ = periodic_state::periodic_tx;
    periodic_timer_ = never;
    port.ntt = true;
    return true;
}

} // namespace lagg::lacp
