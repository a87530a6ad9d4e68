// What an aggregator wants done, as values, in the order in which it is to be done.
#pragma once

#include "base/errc.h"
#include "lagg/control/event.h"
#include "lagg/snapshot.h"

#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace lagg {

inline constexpr std::uint16_t any_queue = 0xffff;

namespace effect {

/// Bursts run against this from now on.
struct publish {
    std::unique_ptr<snapshot const> next{};
};

/// Configure and start the port (if the lagg runs), then event::member_prepared.
struct prepare_member {
    member_id id = no_member;
    port_id port = no_port;
};

/// event::member_quiescent when no live snapshot contains the member.  Follows the publish that
/// left it out.
struct await_quiescence {
    member_id id = no_member;
    port_id port = no_port;
};

/// Drain, stop, give the port its own state back and disown it, then event::member_released.
struct release_member {
    member_id id = no_member;
    port_id port = no_port;
    bool vanished = false; // ask nothing of the device
};

/// event::bursts_ended when no live snapshot is older than `version`.
struct await_bursts {
    std::uint64_t version = 0;
};

/// Put the frame on the member's wire, whatever the application does.  Follows the publish that it
/// speaks of.
struct send_frame {
    member_id id = no_member;
    port_id port = no_port;
    /// Behind what bursts have put on this queue of the member, or any_queue.
    std::uint16_t queue = any_queue;
    lacp::frame frame{};
};

/// The caller's request ended.  in_progress is never sent: the caller's own patience says that.
struct complete {
    request_id request = 0;
    errc error = errc::ok;
    std::string text{};   // one line when error is not ok
    int device_error = 0; // with errc::device: as the driver gave it
};

/// The lagg's own link as applications see it: speed is the sum over distributing members.
struct report_link {
    link_state link{};
};

enum class member_change : std::uint8_t {
    joined,       // prepared and in a published snapshot
    left,         // released
    distributing, // traffic may leave through it from now on
    standby,      // no longer
    link_up,
    link_down,
};

/// Told once per change.
struct notify_member {
    member_id id = no_member;
    port_id port = no_port;
    member_change change = member_change::joined;
};

} // namespace effect

using any_effect = std::variant<effect::publish, effect::prepare_member, effect::await_quiescence,
                                effect::await_bursts, effect::release_member, effect::send_frame,
                                effect::complete, effect::report_link, effect::notify_member>;
using effect_list = std::vector<any_effect>;

/// What arises from events, and waits for the next publication: values.
using waiting_effect =
    std::variant<effect::prepare_member, effect::await_quiescence, effect::await_bursts,
                 effect::release_member, effect::report_link, effect::notify_member>;

/// Builds `e` in place at the end of `list`.
template<class E>
void append(effect_list& list, E e) {
    list.emplace_back(std::in_place_type<E>, std::move(e));
}

} // namespace lagg
