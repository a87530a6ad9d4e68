// What a frame says about the flow it belongs to: addresses, VLAN ids, protocol and ports.
// Reads the first contiguous bytes of a frame and never past their end.  Knows no mbuf, no tunnel,
// no hash.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>

namespace lagg::net {

/// A frame as the parser sees it.
/// `data`: the first contiguous segment, from the destination address on; never read at or past
/// `data + length`.  `length`: bytes in that segment.  `total`: bytes in the frame, FCS excluded;
/// the parser does not look at it, so padding and further segments change no key.
struct frame_view {
    std::uint8_t const* data = nullptr;
    std::uint32_t length = 0;
    std::uint32_t total = 0;
};

/// The deepest layer whose addresses were found.
enum class flow_kind : std::uint8_t { l2, ipv4, ipv6 };

/// 128 bits of address in host order; an IPv4 address is the low 32 bits of `low`.
struct ip_address {
    std::uint64_t high = 0;
    std::uint64_t low = 0;

    friend constexpr bool operator==(ip_address const&, ip_address const&) = default;
};

/// Numbers are in host order, so they are the same on every machine.  What was not found is zero; a
/// frame shorter than an Ethernet header gives the default key.
struct flow_key {
    std::uint64_t destination_mac = 0; // 48 bits, the first byte on the wire highest
    std::uint64_t source_mac = 0;
    std::uint16_t outer_vlan = 0; // 12 bits of id, priority left out; the only tag counts as outer
    std::uint16_t inner_vlan = 0;
    std::uint16_t ethertype = 0; // behind the tags that were understood
    flow_kind kind = flow_kind::l2;
    /// IP: the last protocol number reached.  IPv6 fragments: 44, whatever they carry, because RFC
    /// 8200 lets that number differ between the fragments of one packet.
    std::uint8_t protocol = 0;
    /// IPv4: MF or an offset.  IPv6: a fragment header, also one that says "the whole packet".
    bool fragment = false;
    /// Never with `fragment`: all fragments of one datagram give the same addresses and no ports.
    bool has_ports = false;
    std::uint16_t source_port = 0;
    std::uint16_t destination_port = 0;
    ip_address source{};
    ip_address destination{};

    friend constexpr bool operator==(flow_key const&, flow_key const&) = default;
};

/// IPv6 extension headers looked behind; ports after more than these are not found.
inline constexpr int max_extension_headers = 8;

namespace detail {

inline constexpr std::uint16_t ethertype_ipv4 = 0x0800;
inline constexpr std::uint16_t ethertype_ipv6 = 0x86dd;
inline constexpr std::uint32_t ethernet_header_size = 14;
inline constexpr std::uint32_t vlan_tag_size = 4;
inline constexpr std::uint32_t ipv4_header_size = 20;
inline constexpr std::uint32_t ipv6_header_size = 40;
inline constexpr std::uint32_t ports_size = 4;

inline std::uint16_t load_be16(std::uint8_t const* p) noexcept {
    return static_cast<std::uint16_t>((p[0] << 8) | p[1]);
}

inline std::uint32_t load_be32(std::uint8_t const* p) noexcept {
    std::uint32_t v;
    std::memcpy(&v, p, sizeof v);
    return std::endian::native == std::endian::little ? __builtin_bswap32(v) : v;
}

inline std::uint64_t load_be64(std::uint8_t const* p) noexcept {
    std::uint64_t v;
    std::memcpy(&v, p, sizeof v);
    return std::endian::native == std::endian::little ? __builtin_bswap64(v) : v;
}

inline bool is_vlan_tag(std::uint16_t ethertype) noexcept {
    return ethertype == 0x8100 || ethertype == 0x88a8 || ethertype == 0x9100;
}

/// TCP, UDP, DCCP, SCTP and UDP-Lite begin with the source and the destination port.
inline bool begins_with_ports(std::uint8_t protocol) noexcept {
    return protocol == 6 || protocol == 17 || protocol == 33 || protocol == 132 || protocol == 136;
}

inline void read_ports(frame_view const& frame, std::uint32_t at, flow_key& key) noexcept {
    if (!begins_with_ports(key.protocol) || frame.length - at < ports_size) {
        return;
    }
    std::uint32_t const ports = load_be32(frame.data + at);
    key.source_port = static_cast<std::uint16_t>(ports >> 16);
    key.destination_port = static_cast<std::uint16_t>(ports);
    key.has_ports = true;
}

/// `at` <= frame.length: where the IPv4 header begins.
/// Options are needed for the ports only: the first fragment may carry options that later ones
/// lack.
inline void read_ipv4(frame_view const& frame, std::uint32_t at, flow_key& key) noexcept {
    if (frame.length - at < ipv4_header_size) {
        return;
    }
    std::uint8_t const* const ip = frame.data + at;
    std::uint32_t const header_size = (ip[0] & 0x0fU) * 4;
    if (ip[0] >> 4 != 4 || header_size < ipv4_header_size) {
        return;
    }
    std::uint64_t const addresses = load_be64(ip + 12);
    key.kind = flow_kind::ipv4;
    key.protocol = ip[9];
    key.source.low = addresses >> 32;
    key.destination.low = addresses & 0xffff'ffffU;
    key.fragment = (load_be16(ip + 6) & 0x3fffU) != 0; // MF and offset; DF is no fragment
    if (!key.fragment && frame.length - at >= header_size) {
        read_ports(frame, at + header_size, key);
    }
}

/// Where the chain of IPv6 headers ends, or where we stop to follow it.
struct ipv6_payload {
    std::uint32_t at;
    std::uint8_t protocol;
    bool fragment;
    bool reached; // `at` is the first byte of `protocol`'s own header
};

/// `at` <= frame.length: behind the fixed header.  `next`: the header that is expected there.
inline ipv6_payload follow_extension_headers(frame_view const& frame, std::uint32_t at,
                                             std::uint8_t next) noexcept {
    for (int followed = 0;; ++followed) {
        std::uint32_t unit = 8;
        std::uint32_t extra = 1;
        switch (next) {
        case 44: // fragment
            return {at, next, true, false};
        case 51: // authentication, counts in words of 4 bytes
            unit = 4;
            extra = 2;
            break;
        case 0:  // hop-by-hop options
        case 43: // routing
        case 60: // destination options
            break;
        default: return {at, next, false, true};
        }
        std::uint32_t const left = frame.length - at;
        if (followed == max_extension_headers || left < 8) {
            return {at, next, false, false};
        }
        std::uint32_t const size = (frame.data[at + 1] + extra) * unit;
        if (size > left) {
            return {at, next, false, false};
        }
        next = frame.data[at];
        at += size;
    }
}

inline void read_ipv6(frame_view const& frame, std::uint32_t at, flow_key& key) noexcept {
    if (frame.length - at < ipv6_header_size) {
        return;
    }
    std::uint8_t const* const ip = frame.data + at;
    if (ip[0] >> 4 != 6) {
        return;
    }
    key.kind = flow_kind::ipv6;
    key.source = {load_be64(ip + 8), load_be64(ip + 16)};
    key.destination = {load_be64(ip + 24), load_be64(ip + 32)};
    ipv6_payload const payload = follow_extension_headers(frame, at + ipv6_header_size, ip[6]);
    key.protocol = payload.protocol;
    key.fragment = payload.fragment;
    if (payload.reached) {
        read_ports(frame, payload.at, key);
    }
}

} // namespace detail

/// Reads a frame as deep as its first segment allows: Ethernet, at most two tags (0x8100, 0x88a8,
/// 0x9100), IPv4 or IPv6, ports of TCP, UDP, UDP-Lite, SCTP and DCCP.  A header that is cut short
/// or makes no sense leaves the key at the layer before it.  Any bytes are allowed; burst path.
inline flow_key parse_flow(frame_view const& frame) noexcept {
    flow_key key;
    if (frame.length < detail::ethernet_header_size) {
        return key;
    }
    std::uint64_t const source_and_type = detail::load_be64(frame.data + 6);
    key.destination_mac = detail::load_be64(frame.data) >> 16;
    key.source_mac = source_and_type >> 16;
    key.ethertype = static_cast<std::uint16_t>(source_and_type);

    std::uint32_t at = detail::ethernet_header_size;
    if (detail::is_vlan_tag(key.ethertype) && frame.length - at >= detail::vlan_tag_size) {
        key.outer_vlan = detail::load_be16(frame.data + at) & 0x0fffU;
        key.ethertype = detail::load_be16(frame.data + at + 2);
        at += detail::vlan_tag_size;
        if (detail::is_vlan_tag(key.ethertype) && frame.length - at >= detail::vlan_tag_size) {
            key.inner_vlan = detail::load_be16(frame.data + at) & 0x0fffU;
            key.ethertype = detail::load_be16(frame.data + at + 2);
            at += detail::vlan_tag_size;
        }
    }

    if (key.ethertype == detail::ethertype_ipv4) {
        detail::read_ipv4(frame, at, key);
    } else if (key.ethertype == detail::ethertype_ipv6) {
        detail::read_ipv6(frame, at, key);
    }
    return key;
}

/// Most frames are untagged TCP or UDP over IPv4 without options, not fragmented.
inline bool is_plain_ipv4(frame_view const& frame) noexcept {
    constexpr std::uint32_t needed =
        detail::ethernet_header_size + detail::ipv4_header_size + detail::ports_size;
    if (frame.length < needed) {
        return false;
    }
    std::uint32_t const fragment_to_protocol = detail::load_be32(frame.data + 20);
    std::uint32_t const protocol = fragment_to_protocol & 0xffU;
    // The protocols without a branch, because they alternate; the rest hardly ever differs.
    return (detail::load_be32(frame.data + 12) & 0xffff'ff00U) == 0x0800'4500U &&
           (fragment_to_protocol & 0x3fff'0000U) == 0 && ((protocol == 6) | (protocol == 17)) != 0;
}

/// What parse_flow() gives for a frame of which is_plain_ipv4() is true, without a branch.
inline flow_key parse_plain_ipv4(frame_view const& frame) noexcept {
    std::uint64_t const addresses = detail::load_be64(frame.data + 26);
    std::uint32_t const ports = detail::load_be32(frame.data + 34);
    return {.destination_mac = detail::load_be64(frame.data) >> 16,
            .source_mac = detail::load_be64(frame.data + 6) >> 16,
            .ethertype = detail::ethertype_ipv4,
            .kind = flow_kind::ipv4,
            .protocol = frame.data[23],
            .has_ports = true,
            .source_port = static_cast<std::uint16_t>(ports >> 16),
            .destination_port = static_cast<std::uint16_t>(ports),
            .source = {0, addresses >> 32},
            .destination = {0, addresses & 0xffff'ffffU}};
}

} // namespace lagg::net
