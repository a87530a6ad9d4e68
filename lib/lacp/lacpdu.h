// LACPDUs between value and wire (IEEE 802.1AX-2014 6.4.2).  Whole Ethernet frames, from the
// destination address on, without FCS.  Decides nothing; what is ignored is said here.
#pragma once

#include "base/result.h"
#include "lacp/parameters.h"
#include "net/mac_address.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace lagg::lacp {

/// Slow Protocols (802.3 Annex 57A).
inline constexpr net::mac_address slow_protocols_address{{0x01, 0x80, 0xc2, 0x00, 0x00, 0x02}};
inline constexpr std::uint16_t slow_protocols_ethertype = 0x8809;
enum class subtype : std::uint8_t { lacp = 1, marker = 2 };

/// Every frame that we send: 14 bytes of header, 110 of PDU.
inline constexpr std::size_t frame_size = 124;
using frame = std::array<std::uint8_t, frame_size>;

/// As much of a received frame as is kept: enough for every TLV that is known, in any version.
inline constexpr std::size_t longest_kept_frame = 252;

struct lacpdu {
    std::uint8_t version = 1;              // what the sender speaks; we send 1
    parameters actor;                      // the sender
    parameters partner;                    // what the sender knows of us
    std::uint16_t collector_max_delay = 0; // tens of microseconds

    friend bool operator==(lacpdu const&, lacpdu const&) = default;
};

/// What became of a frame that is not a PDU of ours to act on, by the counters of the MIB.
enum class pdu_error : std::uint8_t {
    not_slow,        // not the Slow Protocols type, or too short to have a subtype: not counted
    unknown_subtype, // aAggPortStatsUnknownRx: the type is right, nobody here knows the subtype
    illegal,         // aAggPortStatsIllegalRx: a PDU of ours that is badly formed
};

/// `bytes`: a received frame, possibly cut after longest_kept_frame bytes.
/// Version 1 and later (6.4.2.3: a later version is read as the version that is known; TLVs that
/// are not known, and everything behind the terminator or the known TLVs, is skipped).  Reserved
/// bytes are ignored.  Errors: illegal when the three TLVs of version 1 are not there, in their
/// order, with their lengths, or version is 0; otherwise as named.
result<lacpdu, pdu_error> decode_lacpdu(std::span<std::uint8_t const> bytes);

/// `source`: the sending port's own individual address.
frame encode(lacpdu const& pdu, net::mac_address const& source);

/// Subtype of a Slow Protocols frame; errors: not_slow.  (unknown subtypes are returned as they
/// are.)
result<std::uint8_t, pdu_error> slow_subtype(std::span<std::uint8_t const> bytes);

} // namespace lagg::lacp
