// Receive-side scaling hash of a frame, computed in software as a NIC would.
// Knows the frame and the key; not the queues.

#include "wire_end.h"

#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_thash.h>

namespace wire {
namespace {

constexpr std::uint8_t protocol_tcp = 6;
constexpr std::uint8_t protocol_udp = 17;

std::uint32_t load_be32(std::uint8_t const* bytes) {
    return static_cast<std::uint32_t>(bytes[0]) << 24 | static_cast<std::uint32_t>(bytes[1]) << 16 |
           static_cast<std::uint32_t>(bytes[2]) << 8 | bytes[3];
}

std::uint64_t l4_type(bool ipv4, std::uint8_t protocol) {
    switch (protocol) {
    case protocol_tcp: return ipv4 ? RTE_ETH_RSS_NONFRAG_IPV4_TCP : RTE_ETH_RSS_NONFRAG_IPV6_TCP;
    case protocol_udp: return ipv4 ? RTE_ETH_RSS_NONFRAG_IPV4_UDP : RTE_ETH_RSS_NONFRAG_IPV6_UDP;
    default: return 0;
    }
}

} // namespace

bool rss_hash(rte_mbuf const& frame, std::uint64_t types, std::uint8_t const* key,
              std::uint32_t& hash) {
    auto const* const data = rte_pktmbuf_mtod(&frame, std::uint8_t const*);
    std::uint32_t const length = frame.data_len;
    std::uint32_t at = 12;
    for (int tags = 0; tags < 3; ++tags) {
        if (length < at + 2) {
            return false;
        }
        auto const type = static_cast<std::uint16_t>(data[at] << 8 | data[at + 1]);
        if (type != RTE_ETHER_TYPE_VLAN && type != RTE_ETHER_TYPE_QINQ) {
            break;
        }
        at += 4;
    }
    if (length < at + 2) {
        return false;
    }
    auto const type = static_cast<std::uint16_t>(data[at] << 8 | data[at + 1]);
    at += 2;

    std::uint32_t tuple[9];
    std::uint32_t words = 0;
    std::uint32_t ports_at = 0;
    bool fragment = false;
    bool ipv4 = false;
    std::uint8_t protocol = 0;
    if (type == RTE_ETHER_TYPE_IPV4 && length >= at + 20) {
        ipv4 = true;
        std::uint8_t const* const ip = data + at;
        for (std::uint32_t offset = 12; offset < 20; offset += 4) {
            tuple[words++] = load_be32(ip + offset);
        }
        fragment = ((ip[6] << 8 | ip[7]) & 0x3fff) != 0;
        protocol = ip[9];
        ports_at = at + 4U * (ip[0] & 0xf);
    } else if (type == RTE_ETHER_TYPE_IPV6 && length >= at + 40) {
        std::uint8_t const* const ip = data + at;
        for (std::uint32_t offset = 8; offset < 40; offset += 4) {
            tuple[words++] = load_be32(ip + offset);
        }
        protocol = ip[6];
        ports_at = at + 40;
    } else {
        return false;
    }

    std::uint64_t const with_ports = l4_type(ipv4, protocol);
    if (!fragment && (types & with_ports) != 0 && length >= ports_at + 4) {
        tuple[words++] = load_be32(data + ports_at);
    } else if ((types & (ipv4 ? rss_ipv4_types : rss_ipv6_types)) == 0) {
        return false;
    }
    hash = rte_softrss(tuple, words, key);
    return true;
}

} // namespace wire
