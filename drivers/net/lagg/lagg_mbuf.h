// What the data path reads of an mbuf.  Knows no queue and no snapshot.
#pragma once

#include "net/flow_key.h"

#include <rte_mbuf.h>
#include <rte_prefetch.h>

#include <cstdint>

namespace lagg::pmd {

inline std::uint8_t const* first_byte(rte_mbuf const& m) noexcept {
    return rte_pktmbuf_mtod(&m, std::uint8_t const*);
}

/// What the flow parser may read: the first segment.
inline net::frame_view view_of(rte_mbuf const& m) noexcept {
    return {first_byte(m), m.data_len, m.pkt_len};
}

/// Whether `hash.rss` is the NIC's.
inline bool has_flow_id(rte_mbuf const& m) noexcept {
    return (m.ol_flags & RTE_MBUF_F_RX_RSS_HASH) != 0;
}

/// A LACP or Marker frame: Slow Protocols (802.3 Annex 57A), subtype 1 or 2, without a tag, be it
/// in the frame or stripped from it.
inline bool is_slow(rte_mbuf const& m) noexcept {
    constexpr std::uint16_t header = 15; // addresses, type, subtype
    if (m.data_len < header) {
        return false;
    }
    std::uint8_t const* const p = first_byte(m);
    bool const slow_type = ((p[12] ^ 0x88U) | (p[13] ^ 0x09U)) == 0;
    return slow_type && (p[14] == 1 || p[14] == 2) &&
           (m.ol_flags & (RTE_MBUF_F_RX_VLAN_STRIPPED | RTE_MBUF_F_RX_QINQ_STRIPPED)) == 0;
}

} // namespace lagg::pmd
