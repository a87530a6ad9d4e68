// Marker PDUs between value and wire, and the responder (IEEE 802.1AX-2014 6.5).
// A Marker sent behind frames comes back when the other end has received them all.
#pragma once

#include "base/result.h"
#include "lacp/lacpdu.h"
#include "lacp/parameters.h"

#include <cstdint>
#include <optional>
#include <span>

namespace lagg::lacp {

struct marker_pdu {
    bool response = false;
    std::uint16_t requester_port = 0; // the requester's port number
    net::mac_address requester_system;
    std::uint32_t transaction = 0;

    friend bool operator==(marker_pdu const&, marker_pdu const&) = default;
};

/// `bytes`: a received frame, possibly cut.  Errors: as decode_lacpdu().
result<marker_pdu, pdu_error> decode_marker(std::span<std::uint8_t const> bytes);
frame encode(marker_pdu const& pdu, net::mac_address const& source);

/// The responder (6.5.4.2): the answer to a request, with its very fields; nothing for a response,
/// so that two responders never talk to each other for ever.
std::optional<marker_pdu> respond(marker_pdu const& received);

} // namespace lagg::lacp
