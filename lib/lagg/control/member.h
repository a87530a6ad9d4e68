// What control knows of one member.
#pragma once

#include "lagg/control/event.h"
#include "lagg/types.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace lagg {

/// joining: being prepared by the driver, in no snapshot.  present: may be in snapshots.
/// leaving: in no new snapshot; waits for quiescence.  releasing: with the driver, to be given
/// back.
enum class member_phase : std::uint8_t { joining, present, leaving, releasing };

struct member {
    member_id id = no_member;
    port_id port = no_port;
    std::string name;
    member_phase phase = member_phase::joining;
    bool hands_on = false;
    bool keeps_list = false;
    bool filter = false;
    bool vanished = false;
    net::mac_address address; // its own, as it was found

    link_state link;          // last reported
    bool usable = false;      // link up for up_delay; link down for less than down_delay
    time_point link_since{0}; // when `link.up` last changed
    time_point usable_since{0};

    bool collecting = false; // as in the published snapshot
    bool distributing = false;

    std::uint64_t order = 0;          // join order, for ties
    request_id adding = 0;            // who waits for it to join
    std::vector<request_id> removing; // who waits for it to leave

    /// Present, and to leave when its partner and its flows have gone.  Nothing is sent from the
    /// snapshot `unused_since` on (0: not yet published); `unused`: no burst on an older one runs.
    bool draining = false;
    bool unused = false;
    std::uint64_t unused_since = 0;
    /// It was in `distributing` before snapshot `idle_since`, and bursts on older ones may still
    /// send: its frames, which say that it stopped, wait for them, until `speak_at` at the latest.
    std::uint64_t idle_since = 0; // 0: they do not wait
    time_point speak_at{0};

    bool to_leave = false;  // joining: removed meanwhile; is released as soon as it is prepared
    bool announced = false; // member_change::joined was told, so `left` will be
    bool named = false;     // leaving: await_quiescence was handed out, so it may be answered
};

std::string_view to_string(member_phase p);

} // namespace lagg
