#include "lacp/receive_machine.h"

#include "lacp/timers.h"

namespace lagg::lacp {
namespace {

/// Port, port priority, system, system priority, key, and the Aggregation bit.
bool same_identity(parameters const& a, parameters const& b) {
    return a.port == b.port && a.system == b.system && a.key == b.key &&
           a.has(state::aggregation) == b.has(state::aggregation);
}

} // namespace

void record_pdu(port_variables& port, lacpdu const& pdu) {
    bool const kept_alive = pdu.actor.has(state::activity) ||
                            (port.actor.has(state::activity) && pdu.partner.has(state::activity));
    bool const agreed =
        same_identity(pdu.partner, port.actor) || !pdu.actor.has(state::aggregation);
    bool const in_sync = pdu.actor.has(state::synchronization) && agreed && kept_alive;
    if (in_sync && !port.partner.has(state::synchronization)) {
        ++port.counters.partner_sync_transitions;
    }
    port.partner = pdu.actor;
    port.partner.set(state::synchronization, in_sync);
    port.echoed_state = pdu.partner.state;
    port.actor.set(state::defaulted, false);
}

void record_default(port_variables& port) {
    port.partner = port.partner_admin;
    port.echoed_state = 0;
    port.actor.set(state::defaulted, true);
}

void update_selected(port_variables& port, lacpdu const& pdu) {
    if (!same_identity(pdu.actor, port.partner)) {
        port.selection = selected::unselected;
        ++port.counters.partner_changes;
    }
}

void update_default_selected(port_variables& port) {
    if (!same_identity(port.partner_admin, port.partner)) {
        port.selection = selected::unselected;
        ++port.counters.partner_changes;
    }
}

void update_ntt(port_variables& port, lacpdu const& pdu) {
    constexpr std::uint8_t compared =
        state::activity | state::short_timeout | state::synchronization | state::aggregation;
    bool const known = same_identity(pdu.partner, port.actor) &&
                       ((pdu.partner.state ^ port.actor.state) & compared) == 0;
    if (!known) {
        port.ntt = true;
    }
}

void receive_machine::begin(port_variables& port) {
    enter_initialize(port);
}

bool receive_machine::step(port_variables& port, time_point now) {
    switch (state_) {
    case receive_state::initialize: return enter_port_disabled(port); // 6.4.12: UCT
    case receive_state::port_disabled:
        if (port.port_moved) {
            return enter_initialize(port); // 6.4.12: port_moved
        }
        if (port.port_enabled && port.lacp_enabled) {
            return enter_expired(port, now); // 6.4.12: port_enabled and LACP_Enabled
        }
        if (port.port_enabled) {
            return enter_lacp_disabled(port); // 6.4.12: port_enabled and not LACP_Enabled
        }
        return false;
    case receive_state::expired:
        if (!port.port_enabled) {
            return enter_port_disabled(port); // 6.4.12: not port_enabled
        }
        if (over(current_while_, now)) {
            return enter_defaulted(port); // 6.4.12: current_while_timer expired
        }
        return false;
    case receive_state::lacp_disabled:
        if (!port.port_enabled || port.lacp_enabled) {
            return enter_port_disabled(port); // 6.4.12: not port_enabled; LACP_Enabled
        }
        return false;
    case receive_state::defaulted:
        if (!port.port_enabled) {
            return enter_port_disabled(port); // 6.4.12: not port_enabled
        }
        return false;
    case receive_state::current:
        if (!port.port_enabled) {
            return enter_port_disabled(port); // 6.4.12: not port_enabled
        }
        if (over(current_while_, now)) {
            return enter_expired(port, now); // 6.4.12: current_while_timer expired
        }
        return false;
    }
    return false;
}

bool receive_machine::receive(port_variables& port, lacpdu const& pdu, time_point now) {
    switch (state_) {
    case receive_state::initialize:
    case receive_state::port_disabled:
    case receive_state::lacp_disabled: return false;
    case receive_state::expired:
    case receive_state::defaulted:
    case receive_state::current: return enter_current(port, pdu, now); // 6.4.12: LACPDU received
    }
    return false;
}

void receive_machine::lengthen(time_point last_rx) {
    if (state_ == receive_state::current) {
        current_while_ = last_rx + long_timeout_time + timeout_tolerance;
    }
}

bool receive_machine::enter_initialize(port_variables& port) {
    state_ = receive_state::initialize;
    port.selection = selected::unselected;
    record_default(port);
    port.actor.set(state::expired, false);
    port.port_moved = false;
    current_while_ = never;
    return true;
}

bool receive_machine::enter_port_disabled(port_variables& port) {
    state_ = receive_state::port_disabled;
    port.partner.set(state::synchronization, false);
    current_while_ = never;
    return true;
}

bool receive_machine::enter_expired(port_variables& port, time_point now) {
    state_ = receive_state::expired;
    port.partner.set(state::synchronization, false);
    port.partner.set(state::short_timeout, true);
    current_while_ = now + short_timeout_time;
    port.actor.set(state::expired, true);
    return true;
}

bool receive_machine::enter_lacp_disabled(port_variables& port) {
    state_ = receive_state::lacp_disabled;
    port.selection = selected::unselected;
    record_default(port);
    port.partner.set(state::aggregation, false);
    port.actor.set(state::expired, false);
    current_while_ = never;
    return true;
}

bool receive_machine::enter_defaulted(port_variables& port) {
    state_ = receive_state::defaulted;
    update_default_selected(port);
    record_default(port);
    port.actor.set(state::expired, false);
    current_while_ = never;
    return true;
}

bool receive_machine::enter_current(port_variables& port, lacpdu const& pdu, time_point now) {
    state_ = receive_state::current;
    update_selected(port, pdu);
    update_ntt(port, pdu);
    record_pdu(port, pdu);
    current_while_ =
        now + timeout_tolerance +
        (port.actor.has(state::short_timeout) ? short_timeout_time : long_timeout_time);
    port.actor.set(state::expired, false);
    return true;
}

} // namespace lagg::lacp
