// What one burst may know.  Built by control/, read by datapath/, changed by nobody after it was
// published.  Counters, cursors and rate state live in the queues: a mutable word here is a bug.
#pragma once

#include "base/bounded_vector.h"
#include "base/cache_line.h"
#include "lagg/types.h"
#include "net/flow_hash.h"
#include "net/flow_mix.h"
#include "net/mac_address.h"

#include <array>
#include <cstdint>
#include <type_traits>

namespace lagg {

/// A member that a burst may send to.
struct distributing_member {
    port_id port = no_port;
    member_id id = no_member;
    /// The port passes the very mbuf on to another reader (net_ring): a copy that shares data with
    /// other members' copies must be a deep one.
    bool hands_on : 1 = false;
    /// Its driver leaves the list of frames that it is given to send as it is: several members may
    /// be given the same one.
    bool keeps_list : 1 = false;

    friend bool operator==(distributing_member const&, distributing_member const&) = default;
};
static_assert(sizeof(distributing_member) == 4);

/// to_all: what of a burst all distributing members may have in common.
enum class shared_by_all : std::uint8_t {
    nothing, // one hands frames on, or prepares them before it sends
    frames,  // with a reference and a list for each
    list,    // even the caller's list
};

/// A member that a burst receives from, whether or not its data goes up.
struct polled_member {
    port_id port = no_port;
    member_id id = no_member;
    /// Data frames go up; otherwise they are freed and counted.
    bool collecting = false;
    /// Promiscuous for our sake only: unicast frames to none of `accept` are freed and counted.
    bool filter = false;

    friend bool operator==(polled_member const&, polled_member const&) = default;
};

/// In snapshot::bucket: the flows are about to move to another member, and what was sent of them
/// has not arrived yet.
inline constexpr std::uint8_t held_bucket = 0xff;

struct snapshot {
    /// Counts publications of this lagg from 1; the same in status, lookups and telemetry.
    std::uint64_t version = 0;

    lagg::policy policy = policy::none;
    spread how = spread::nobody;
    run_state run = run_state::stopped;
    /// LACP and Marker frames are taken out of what is received: they are control's.
    bool take_slow = false;
    /// A member's prepare runs before its burst (the port was configured with tx offloads).
    bool tx_prepare = false;
    /// Follows from `distributing` and `tx_prepare`.
    shared_by_all shared = shared_by_all::nothing;
    /// in_turn: frames that one member gets before the next one's turn, at least 1.
    std::uint32_t stride = 1;
    /// by_flow: which fields are hashed, and how; and what of that can be worked out beforehand.
    net::hash_rule hash;
    net::hash_plan hash_plan = net::plan_of({});

    bounded_vector<polled_member, max_members> polled;
    bounded_vector<distributing_member, max_members> distributing;

    /// by_flow: flow bucket -> index into `distributing`, all valid; by_flow_held: or held_bucket.
    /// Otherwise all zero.  From the begin of a cache line on: looked up a register at a time.
    alignas(cache_line) std::array<std::uint8_t, bucket_count> bucket{};

    /// The lagg port's own unicast addresses, for members with `filter`.
    bounded_vector<net::mac_address, max_addresses> accept;
};

static_assert(std::is_trivially_copyable_v<snapshot>);

/// True when a burst on `s` could touch `port`.
constexpr bool contains(snapshot const& s, port_id port) noexcept {
    for (auto const& m : s.polled) {
        if (m.port == port) {
            return true;
        }
    }
    for (auto const& m : s.distributing) {
        if (m.port == port) {
            return true;
        }
    }
    return false;
}

} // namespace lagg
