#include "lacp/churn_machine.h"

#include "lacp/timers.h"

namespace lagg::lacp {

bool churn_machine::step(bool port_enabled, bool in_sync, time_point now) {
    switch (state_) {
    case churn_state::monitor:
        if (port_enabled != (churn_timer_ != never)) {
            return enter_monitor(port_enabled, now); // 6.4.17: not port_enabled holds it here
        }
        if (port_enabled && in_sync) {
            return enter_no_churn(); // 6.4.17: Synchronization
        }
        if (over(churn_timer_, now)) {
            return enter_churn(); // 6.4.17: churn_timer expired
        }
        return false;
    case churn_state::churn:
        if (!port_enabled) {
            return enter_monitor(port_enabled, now); // 6.4.17: not port_enabled
        }
        if (in_sync) {
            return enter_no_churn(); // 6.4.17: Synchronization
        }
        return false;
    case churn_state::no_churn:
        if (!port_enabled || !in_sync) {
            return enter_monitor(port_enabled, now); // 6.4.17: not port_enabled; out of sync
        }
        return false;
    }
    return false;
}

bool churn_machine::enter_monitor(bool port_enabled, time_point now) {
    state_ = churn_state::monitor;
    churn_timer_ = port_enabled ? now + churn_detection_time : never;
    return true;
}

bool churn_machine::enter_churn() {
    state_ = churn_state::churn;
    churn_timer_ = never;
    ++count_;
    return true;
}

bool churn_machine::enter_no_churn() {
    state_ = churn_state::no_churn;
    churn_timer_ = never;
    return true;
}

} // namespace lagg::lacp
