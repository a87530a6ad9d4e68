// The arithmetic of the flow hash, in one place for the reference and for every vector form of it:
// which words of a frame make a lane, the keys that a seed gives, and the mixing at the end.
// Knows no parser.
#pragma once

#include "net/flow_hash.h"
#include "net/flow_key.h"

#include <bit>
#include <cstdint>

namespace lagg::net {

/// Four words of 32 bits, as a little-endian machine loads them from the wire; two in each half.
/// What does not count is zero.
struct hash_lane {
    std::uint64_t low = 0;
    std::uint64_t high = 0;

    friend constexpr bool operator==(hash_lane const&, hash_lane const&) = default;
};

/// Where words stand in a lane:
///   l2           the first twelve bytes of the frame; the two VLAN ids
///   transport    the 16 bytes of an IPv4 frame that begin with the TTL: (TTL) protocol (checksum),
///                source, destination, ports.  IPv6 leaves the addresses out, they have own lanes.
///   source6, destination6   the address
/// Each lane is multiplied with keys of its own, and the products are added, so lanes that do not
/// count cost nothing and their order is free.
struct hash_keys {
    hash_lane l2;
    hash_lane transport;
    hash_lane source6;
    hash_lane destination6;
    std::uint64_t flowid = 0;

    friend constexpr bool operator==(hash_keys const&, hash_keys const&) = default;
};

/// Random, odd, about half of their bits set.  Changing one changes every mapping.
inline constexpr std::uint32_t finish_xor = 0x9966'bd35U;
inline constexpr std::uint32_t finish_add = 0xfe0a'6095U;
inline constexpr std::uint32_t finish_factor = 0xd6e8'feb9U;

/// Eight keys and one.  Multiplied, so that keys of two seeds have nothing in common.
constexpr hash_keys keys_of(std::uint32_t seed) noexcept {
    constexpr std::uint64_t step = 0x9e37'79b9'7f4a'7c15U;
    auto const key = [seed](std::uint64_t number) noexcept {
        std::uint64_t k = (seed + number * step) * 0xf049'823f'fe0a'6095U;
        k = (k ^ (k >> 32)) * 0x9b4c'807a'9966'bd35U;
        return k ^ (k >> 29);
    };
    return {{key(1), key(2)},
            {key(3), key(4)},
            {key(5), key(6)},
            {key(7), key(8)},
            key(9) | 1U << 31 | std::uint64_t{1} << 32};
}

/// How frames are hashed under a rule, as far as that decides which code does it.  Tables of
/// functions follow this order (lagg::group_functions).
enum class hash_way : std::uint8_t {
    l2,        // addresses and tags alone
    l3,        // l3 alone
    l2_l3,     // both
    l4,        // l4, with l3 or not; hash_plan::transport_bytes tells
    l2_l4,     // the same, and l2
    flowid,    // what the NIC has hashed
    symmetric, // both directions alike
};
inline constexpr std::size_t hash_ways = 7;

/// Whether it asks what is behind the Ethernet header.
constexpr bool is_by_upper(hash_way way) noexcept {
    return way >= hash_way::l3 && way <= hash_way::l2_l4;
}

constexpr hash_way way_of(hash_rule const& rule) noexcept {
    if (rule.use_flowid) {
        return hash_way::flowid;
    }
    if (rule.symmetric) {
        return hash_way::symmetric;
    }
    if (rule.l4) {
        return rule.l2 ? hash_way::l2_l4 : hash_way::l4;
    }
    if (rule.l3) {
        return rule.l2 ? hash_way::l2_l3 : hash_way::l3;
    }
    return hash_way::l2;
}

/// What a burst needs of a rule, worked out once for all bursts.  Of rules that are equal it is
/// equal.
struct hash_plan {
    hash_keys keys;
    hash_lane transport_bytes; // the bits of an IPv4 frame's transport lane that count
    hash_way way;

    friend constexpr bool operator==(hash_plan const&, hash_plan const&) = default;
};

constexpr hash_plan plan_of(hash_rule const& rule) noexcept {
    std::uint64_t const addresses = rule.l3 ? 0xffff'ffffU : 0;
    std::uint64_t const protocol = rule.l4 ? 0xff00 : 0;
    std::uint64_t const ports = rule.l4 ? 0xffff'ffffU : 0;
    return {
        keys_of(rule.seed), {addresses << 32 | protocol, ports << 32 | addresses}, way_of(rule)};
}

/// Both words of a half, each changed by its key, multiplied: 64 bits.
constexpr std::uint64_t product_of(std::uint64_t words, std::uint64_t key) noexcept {
    std::uint64_t const changed = words ^ key;
    return (changed & 0xffff'ffffU) * (changed >> 32);
}

constexpr std::uint64_t product_of(hash_lane const& lane, hash_lane const& key) noexcept {
    return product_of(lane.low, key.low) + product_of(lane.high, key.high);
}

/// 32 bits of a sum of products.  A product is linear in what one word alone changes, and
/// neighbours would stay neighbours; the square-like first step ends that, the second one spreads
/// it over all bits.
constexpr std::uint32_t finish(std::uint64_t sum) noexcept {
    auto const folded = static_cast<std::uint32_t>(sum ^ (sum >> 32));
    std::uint64_t p = static_cast<std::uint64_t>(folded ^ finish_xor) *
                      static_cast<std::uint32_t>(folded + finish_add);
    p = static_cast<std::uint64_t>(static_cast<std::uint32_t>(p ^ (p >> 32))) * finish_factor;
    return static_cast<std::uint32_t>(p ^ (p >> 32));
}

constexpr std::uint32_t mix_flowid(std::uint32_t rss, hash_keys const& keys) noexcept {
    return finish(product_of(rss, keys.flowid));
}

namespace detail {

constexpr std::uint32_t wire_order(std::uint32_t host) noexcept {
    return __builtin_bswap32(host); // the value that a little-endian machine loads
}

constexpr std::uint64_t wire_order(std::uint64_t host) noexcept {
    return __builtin_bswap64(host);
}

} // namespace detail

} // namespace lagg::net
