// Everything that can happen to an aggregator, as values.
#pragma once

#include "lacp/lacpdu.h"
#include "lagg/control/config.h"
#include "lagg/types.h"
#include "net/mac_address.h"

#include <array>
#include <cstdint>
#include <string>
#include <variant>
#include <vector>

namespace lagg {

/// Names a caller's request; the driver keeps the promise behind it.  0: nobody waits.
using request_id = std::uint64_t;

namespace event {

/// An owned port shall become a member.
struct add_member {
    request_id request = 0;
    port_id port = no_port;
    std::string name{};
    bool hands_on = false;
    bool keeps_list = false;
};

/// The driver is done with effect::prepare_member.  `error` other than ok: the port is as it was
/// found.
struct member_prepared {
    member_id id = no_member;
    errc error = errc::ok;
    link_state link{};
    bool filter = false;        // it is promiscuous only because it cannot take our address
    net::mac_address address{}; // its own, as it was found: LACPDUs are sent from there
    int device_error = 0;       // the driver's own code, handed on to effect::complete
};

/// `drain`: under policy lacp the partner is asked to stop first, flows move away in order, and
/// only then does it leave; what is on its way in is still collected.
struct remove_member {
    request_id request = 0;
    port_id port = no_port;
    bool drain = false;
};

/// The port is gone or about to be (hot-unplug).  Like remove_member, but nothing can be asked of
/// it.
struct member_vanished {
    port_id port = no_port;
};

/// No live snapshot contains the member: answer to effect::await_quiescence.
struct member_quiescent {
    member_id id = no_member;
};

/// No burst runs on a snapshot older than `version`: answer to effect::await_bursts.
struct bursts_ended {
    std::uint64_t version = 0;
};

/// The driver is done with effect::release_member; the id may be used again.
struct member_released {
    member_id id = no_member;
};

/// The port's promiscuity for our sake began or ended, after a change of addresses.
struct filter_changed {
    member_id id = no_member;
    bool filter = false;
};

struct link_changed {
    member_id id = no_member;
    link_state link{};
};

/// A LACP or Marker frame came in on the member, from its destination address on; what is longer
/// than `bytes` was cut.
struct slow_frame {
    member_id id = no_member;
    std::uint16_t length = 0; // valid bytes
    std::array<std::uint8_t, lacp::longest_kept_frame> bytes{};
};

/// The whole configuration is replaced, or, when it does not validate, stays.
struct change_config {
    request_id request = 0;
    lagg::config config{};
};

/// dev_start, dev_stop (`started`) and dev_set_link_up/down (`admin_up`); members of a starting
/// port are prepared before.
struct run_changed {
    request_id request = 0;
    bool started = false;
    bool admin_up = true;
};

/// What rx filters by and whether tx prepares; follows the port's settings.
struct port_changed {
    request_id request = 0;
    bool promiscuous = false;
    bool tx_prepare = false;
    std::uint16_t tx_queues = 1;
    std::vector<net::mac_address> addresses{}; // own first, at most max_addresses
};

/// Time passed; see aggregator::next_deadline().
struct tick {};

} // namespace event

using any_event = std::variant<event::add_member, event::member_prepared, event::remove_member,
                               event::member_vanished, event::member_quiescent, event::bursts_ended,
                               event::member_released, event::link_changed, event::slow_frame,
                               event::filter_changed, event::change_config, event::run_changed,
                               event::port_changed, event::tick>;

} // namespace lagg
