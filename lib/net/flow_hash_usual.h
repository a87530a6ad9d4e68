// The flow hash of the frames that are usual besides plain IPv4: TCP and UDP over IPv4 without
// options or IPv6 without extension headers, behind up to two tags.  Everything else goes the
// reference's way.  Knows no mbuf.
#pragma once

#include "net/flow_hash.h"
#include "net/flow_mix.h"

#include <bit>
#include <cstdint>
#include <cstring>

namespace lagg::net {

namespace detail {

/// As a little-endian machine loads it.
template<class Word>
Word load_wire(std::uint8_t const* p) noexcept {
    Word w;
    std::memcpy(&w, p, sizeof w);
    if constexpr (std::endian::native == std::endian::big) {
        w = sizeof(Word) == 8 ? static_cast<Word>(__builtin_bswap64(w))
            : sizeof(Word) == 4
                ? static_cast<Word>(__builtin_bswap32(static_cast<std::uint32_t>(w)))
                : static_cast<Word>(__builtin_bswap16(static_cast<std::uint16_t>(w)));
    }
    return w;
}

inline bool tcp_or_udp(std::uint8_t protocol) noexcept {
    return ((protocol == 6) | (protocol == 17)) != 0; // they alternate: no branch
}

} // namespace detail

/// What flow_hash(rule, parse_flow(frame)) gives.  `plan`: plan_of(rule).  Burst path.
inline std::uint32_t flow_hash_usual(hash_rule const& rule, hash_plan const& plan,
                                     frame_view const& frame) noexcept {
    using namespace detail;
    hash_keys const& keys = plan.keys;
    constexpr std::uint32_t longest_link_header = ethernet_header_size + 2 * vlan_tag_size;
    if (rule.symmetric || frame.length < longest_link_header) {
        return flow_hash(rule, parse_flow(frame));
    }
    std::uint8_t const* const p = frame.data;
    std::uint32_t at = ethernet_header_size;
    std::uint16_t type = load_be16(p + 12);
    std::uint64_t vlans = 0;
    if (is_vlan_tag(type)) {
        vlans = load_be16(p + at) & 0x0fffU;
        type = load_be16(p + at + 2);
        at += vlan_tag_size;
        if (is_vlan_tag(type)) {
            vlans |= (load_be16(p + at) & 0x0fffU) << 16;
            type = load_be16(p + at + 2);
            at += vlan_tag_size;
        }
    }

    std::uint64_t const l2 = product_of(
        {load_wire<std::uint64_t>(p), load_wire<std::uint32_t>(p + 8) | vlans << 32}, keys.l2);
    if (type != ethertype_ipv4 && type != ethertype_ipv6) {
        return finish(rule.l3 || rule.l4 ? l2 + product_of(hash_lane{}, keys.transport) : l2);
    }
    std::uint8_t const* const ip = p + at;
    std::uint64_t const protocol = rule.l4 ? 0xff00 : 0;
    std::uint64_t const ports = rule.l4 ? 0xffff'ffffU : 0;
    std::uint64_t sum = 0;
    if (type == ethertype_ipv4 && frame.length >= at + ipv4_header_size + ports_size &&
        (load_be16(ip + 6) & 0x3fffU) == 0 && tcp_or_udp(ip[9])) {
        std::uint32_t const header_size = (ip[0] & 0x0fU) * 4; // with its options
        if (ip[0] >> 4 != 4 || header_size < ipv4_header_size ||
            frame.length < at + header_size + ports_size) {
            return flow_hash(rule, parse_flow(frame));
        }
        std::uint64_t const both_ports = load_wire<std::uint32_t>(ip + header_size);
        sum = product_of(
            {load_wire<std::uint64_t>(ip + 8) & plan.transport_bytes.low,
             (load_wire<std::uint32_t>(ip + 16) | both_ports << 32) & plan.transport_bytes.high},
            keys.transport);
    } else if (type == ethertype_ipv6 && frame.length >= at + ipv6_header_size + ports_size &&
               ip[0] >> 4 == 6 && tcp_or_udp(ip[6])) {
        sum = product_of({std::uint64_t{ip[6]} << 8 & protocol,
                          (load_wire<std::uint32_t>(ip + ipv6_header_size) & ports) << 32},
                         keys.transport);
        if (rule.l3) {
            sum += product_of({load_wire<std::uint64_t>(ip + 8), load_wire<std::uint64_t>(ip + 16)},
                              keys.source6);
            sum +=
                product_of({load_wire<std::uint64_t>(ip + 24), load_wire<std::uint64_t>(ip + 32)},
                           keys.destination6);
        }
    } else {
        return flow_hash(rule, parse_flow(frame));
    }
    if (!rule.l3 && !rule.l4) {
        sum = 0;
    }
    return finish(rule.l2 ? sum + l2 : sum);
}

} // namespace lagg::net
