// Receive machine of one Aggregation Port (IEEE 802.1AX-2014 6.4.12) and its functions (6.4.9).
// In: LACPDUs, the link, time.  Out: what is known of the partner.  Knows no other port.
#pragma once

#include "lacp/lacpdu.h"
#include "lacp/parameters.h"
#include "lacp/port_variables.h"
#include "lacp/system.h"

namespace lagg::lacp {

class receive_machine {
public:
    /// BEGIN: enters INITIALIZE.
    void begin(port_variables& port);
    /// Follows one arrow that needs no PDU; false when there is none to follow.
    bool step(port_variables& port, time_point now);
    /// A valid LACPDU came in.  Returns whether it was taken: a disabled port takes none.
    bool receive(port_variables& port, lacpdu const& pdu, time_point now);
    /// Actor_Oper.LACP_Timeout became long: the partner may fall silent for so long from now on.
    void lengthen(time_point last_rx);

    receive_state state() const noexcept { return state_; }
    time_point deadline() const noexcept { return current_while_; }

private:
    bool enter_initialize(port_variables& port);
    bool enter_port_disabled(port_variables& port);
    bool enter_expired(port_variables& port, time_point now);
    bool enter_lacp_disabled(port_variables& port);
    bool enter_defaulted(port_variables& port);
    bool enter_current(port_variables& port, lacpdu const& pdu, time_point now);

    receive_state state_ = receive_state::initialize;
    time_point current_while_ = never;
};

// 6.4.9.

/// Takes the sender's parameters for the partner's.  Its SYNC counts only when it knows us as we
/// are, or is individual, and when one of both will keep on talking.
void record_pdu(port_variables& port, lacpdu const& pdu);
void record_default(port_variables& port);
/// Unselects when the sender is not the partner that was selected.
void update_selected(port_variables& port, lacpdu const& pdu);
void update_default_selected(port_variables& port);
/// Needs to transmit when the sender does not know us as we are.
void update_ntt(port_variables& port, lacpdu const& pdu);

} // namespace lagg::lacp
