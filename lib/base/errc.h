// What can go wrong, as values.  Knows no errno: drivers/net/lagg translates, in one place.
#pragma once

#include <cstdint>

namespace lagg {

enum class errc : std::uint8_t {
    ok = 0,
    invalid_argument, // a value outside what is allowed
    unknown_key,      // a name that nobody knows
    not_available,    // known, but this build or device does not have it
    not_found,        // no such member, port or request
    already_member,   // the port is a member of this lagg
    owned_elsewhere,  // somebody else owns the port
    nested_lagg,      // a lagg cannot be a member
    too_many,         // a fixed limit is reached
    capability,       // the port lacks an offload or RSS that was configured
    queue_count,      // the port has fewer queues than were configured
    mtu,              // the port cannot carry the MTU in force
    busy,             // refused now, unchanged
    in_progress,      // in effect, not yet complete
    would_deadlock,   // a synchronous call from a thread it would wait for
    stale,            // the answer belongs to a snapshot that is gone
    out_of_memory,
    device, // the port itself refused; the driver keeps its errno beside this
    not_supported,
    removed, // the device is gone
};

} // namespace lagg
