// Driver-neutral checks of what frames ask a NIC to do.  Burst side: knows neither lagg/control nor
// lacp.
#include "lagg_queue.h"

#include <rte_errno.h>
#include <rte_mbuf.h>

#include <cerrno>
#include <cstdint>

namespace lagg::pmd {

namespace {

/// Whether the chain of segments is what the first one says.
bool chain_is_sound(rte_mbuf const& frame) noexcept {
    std::uint32_t length = 0;
    std::uint32_t segments = 0;
    for (rte_mbuf const* s = &frame; s != nullptr && segments <= frame.nb_segs; s = s->next) {
        length += s->data_len;
        ++segments;
    }
    return segments == frame.nb_segs && length == frame.pkt_len && length > 0;
}

/// Whether the headers that offloads are to work on lie within the frame.
bool headers_fit(rte_mbuf const& frame) noexcept {
    std::uint64_t const wanted = frame.ol_flags & RTE_MBUF_F_TX_OFFLOAD_MASK;
    std::uint32_t headers = 0;
    if ((wanted & (RTE_MBUF_F_TX_IP_CKSUM | RTE_MBUF_F_TX_L4_MASK | RTE_MBUF_F_TX_TCP_SEG |
                   RTE_MBUF_F_TX_UDP_SEG)) != 0) {
        headers = static_cast<std::uint32_t>(frame.l2_len) + frame.l3_len;
    }
    if ((wanted & (RTE_MBUF_F_TX_TCP_SEG | RTE_MBUF_F_TX_UDP_SEG)) != 0) {
        headers += frame.l4_len;
    }
    if ((wanted & (RTE_MBUF_F_TX_OUTER_IP_CKSUM | RTE_MBUF_F_TX_OUTER_UDP_CKSUM |
                   RTE_MBUF_F_TX_TUNNEL_MASK)) != 0) {
        headers += static_cast<std::uint32_t>(frame.outer_l2_len) + frame.outer_l3_len;
    }
    return headers <= frame.pkt_len;
}

} // namespace

std::uint16_t lagg_tx_prepare(void* /*queue*/, rte_mbuf** frames, std::uint16_t count) noexcept {
    for (std::uint16_t i = 0; i < count; ++i) {
        rte_mbuf const& frame = *frames[i];
        int const request = rte_validate_tx_offload(&frame);
        if (request != 0 || !chain_is_sound(frame) || !headers_fit(frame)) {
            rte_errno = request != 0 ? -request : EINVAL;
            return i;
        }
    }
    return count;
}

} // namespace lagg::pmd
