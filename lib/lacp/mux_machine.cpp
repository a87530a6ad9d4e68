#include "lacp/mux_machine.h"

#include "lacp/timers.h"

namespace lagg::lacp {
namespace {

/// The partner knows that we are leaving, and says that it does not send any more.
bool partner_stopped(port_variables const& port) {
    return port.has_partner() && (port.echoed_state & state::synchronization) == 0 &&
           !port.partner.has(state::distributing);
}

} // namespace

void mux_machine::begin(port_variables& port) {
    enter_detached(port);
}

bool mux_machine::step(port_variables& port, time_point now) {
    bool const is_selected = port.selection == selected::selected;
    bool const partner_sync = port.partner.has(state::synchronization);
    bool const partner_collecting = port.partner.has(state::collecting);
    bool const coupled = port.control == mux_control::coupled;
    switch (state_) {
    case mux_state::detached:
        if (port.selection != selected::unselected) {
            return enter_waiting(port, now); // 6.4.15: SELECTED or STANDBY
        }
        return false;
    case mux_state::waiting:
        if (port.selection == selected::unselected) {
            return enter_detached(port); // 6.4.15: UNSELECTED
        }
        if (is_selected && port.ready) {
            return enter_attached(port); // 6.4.15: SELECTED and Ready
        }
        if (!port.ready_n && over(timer_, now)) {
            return become_ready(port); // 6.4.8, Ready_N: wait_while_timer expired
        }
        return false;
    case mux_state::attached:
        if (!is_selected) {
            return enter_detached(port); // 6.4.15: UNSELECTED or STANDBY
        }
        if (partner_sync && coupled) {
            return enter_collecting_distributing(port); // 6.4.15, coupled: Partner in sync
        }
        if (partner_sync) {
            return enter_collecting(port); // 6.4.15, independent: Partner in sync
        }
        return false;
    case mux_state::collecting:
        if (port.drain && port.port_enabled) {
            return enter_draining(port, now); // ours: drain
        }
        if (!is_selected || !partner_sync) {
            return enter_attached(port); // 6.4.15: UNSELECTED, STANDBY or Partner out of sync
        }
        if (coupled) {
            return enter_collecting_distributing(port); // ours: control was changed
        }
        if (partner_collecting) {
            return enter_distributing(port); // 6.4.15: Partner in sync and collecting
        }
        return false;
    case mux_state::distributing:
        if (coupled && is_selected && partner_sync && !port.drain) {
            return enter_collecting_distributing(port); // ours: control was changed
        }
        if (port.drain || !is_selected || !partner_sync || !partner_collecting) {
            return enter_collecting(port); // 6.4.15: UNSELECTED, STANDBY, Partner out of sync
        }                                  // or not collecting; ours: drain
        return false;
    case mux_state::collecting_distributing:
        if (port.drain && port.port_enabled) {
            return enter_draining(port, now); // ours: drain
        }
        if (!is_selected || !partner_sync) {
            return enter_attached(port); // 6.4.15: UNSELECTED, STANDBY or Partner out of sync
        }
        if (!coupled) {
            return partner_collecting ? enter_distributing(port) // ours: control was changed
                                      : enter_collecting(port);  // ours: control was changed
        }
        return false;
    case mux_state::draining:
        if (!port.port_enabled || partner_stopped(port) || over(timer_, now)) {
            return enter_detached(port); // ours: no link, partner stopped, or waited enough
        }
        if (!port.drain && is_selected) {
            return enter_attached(port); // ours: the drain was taken back
        }
        return false;
    }
    return false;
}

bool mux_machine::enter_detached(port_variables& port) {
    if (state_ != mux_state::detached && state_ != mux_state::waiting) {
        ++port.counters.actor_changes;
    }
    leave_waiting(port);
    state_ = mux_state::detached;
    timer_ = never;
    port.actor.set(state::synchronization | state::collecting | state::distributing, false);
    port.ntt = true;
    return true;
}

bool mux_machine::enter_waiting(port_variables& port, time_point now) {
    state_ = mux_state::waiting;
    port.waiting_since = now;
    // Who is alone in its aggregator by nature waits for nobody.
    timer_ = port.individual ? now : now + port.wait_while;
    return true;
}

bool mux_machine::become_ready(port_variables& port) {
    timer_ = never;
    port.ready_n = true;
    return true;
}

bool mux_machine::enter_attached(port_variables& port) {
    if (state_ == mux_state::waiting) {
        ++port.counters.actor_changes;
    }
    if (!port.actor.has(state::synchronization)) {
        ++port.counters.actor_sync_transitions;
    }
    leave_waiting(port);
    state_ = mux_state::attached;
    timer_ = never;
    port.actor.set(state::synchronization, true);
    port.actor.set(state::collecting | state::distributing, false);
    port.ntt = true;
    return true;
}

bool mux_machine::enter_collecting(port_variables& port) {
    state_ = mux_state::collecting;
    port.actor.set(state::collecting, true);
    port.actor.set(state::distributing, false);
    port.ntt = true;
    return true;
}

bool mux_machine::enter_distributing(port_variables& port) {
    state_ = mux_state::distributing;
    port.actor.set(state::collecting | state::distributing, true);
    return true;
}

bool mux_machine::enter_collecting_distributing(port_variables& port) {
    state_ = mux_state::collecting_distributing;
    port.actor.set(state::collecting | state::distributing, true);
    port.ntt = true;
    return true;
}

bool mux_machine::enter_draining(port_variables& port, time_point now) {
    state_ = mux_state::draining;
    timer_ = now + port.drain_wait;
    port.actor.set(state::synchronization | state::distributing, false);
    port.actor.set(state::collecting, true);
    port.ntt = true;
    return true;
}

void mux_machine::leave_waiting(port_variables& port) {
    port.ready_n = false;
    port.ready = false;
    port.waiting_since = never;
}

} // namespace lagg::lacp
