// Frames that can be told apart at the far end: Ethernet, IPv4, UDP, then magic, stream, flow,
// phase, sequence number and a checksum.  Knows no port.
#pragma once

#include "options.h"

#include <cstdint>
#include <optional>
#include <vector>

struct rte_mbuf;

namespace laggd {

/// What a frame says about itself.
struct frame_mark {
    std::uint16_t stream;
    std::uint16_t flow;
    std::uint16_t phase;    ///< of the demo; 0 elsewhere
    std::uint32_t sequence; ///< per stream and flow, from 0, wraps
};

/// Addresses of a flow, all headers ready but for the length.
struct flow_header {
    std::uint8_t bytes[42];
    std::uint16_t partial_sum; ///< IPv4 header sum, total length 0
};

enum class frame_state : std::uint8_t { whole, damaged, foreign };

/// One generator: fills mbufs, flow after flow, size after size.  One thread.
class frame_maker {
public:
    frame_maker(generator_settings const& settings, std::uint16_t stream, mac_bytes const& source,
                mac_bytes const& destination);

    /// Writes the next frame into an empty mbuf.  False: the mbuf has no room for it.
    bool fill(rte_mbuf* frame, std::uint16_t phase);

private:
    std::vector<flow_header> flows_;
    std::vector<std::uint32_t> sequence_;
    std::vector<unsigned> sizes_;
    std::uint16_t stream_;
    std::size_t next_flow_ = 0;
    std::size_t next_size_ = 0;
};

/// Of a frame that frame_maker filled and nobody else touched.
std::uint16_t phase_of(rte_mbuf const* frame);

/// Reads and checks a frame.  `mark` is filled when the answer is whole.
frame_state read_frame(rte_mbuf const* frame, frame_mark& mark);

} // namespace laggd
