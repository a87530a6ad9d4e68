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

} // namespace lagg::pmd
