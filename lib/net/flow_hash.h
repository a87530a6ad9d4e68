// From a flow to 32 bits: which layers count, the seed, both directions alike or not.
// The value depends on rule and frame only: not on the burst, the CPU or its byte order.
// Knows no bucket and no member.
#pragma once

#include "base/result.h"
#include "net/flow_key.h"

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace lagg::net {

/// The layers that count.
///   l2  the two MAC addresses and the VLAN ids in the frame (a tag in mbuf metadata is not in the
///   frame) l3  the two IP addresses l4  the protocol and the two ports
/// A frame is hashed by those of the named layers that it has.  When it has none of them, by the
/// next layer below that it has: under `l4` a fragment, ICMP or ESP by its IP addresses; a frame
/// that is not IP always by l2.  The protocol counts with ports only: IPv6 does not promise that
/// fragments of one packet agree on it. So fragments of one datagram always stay together; under a
/// rule with l4 they may part from the unfragmented packets of their flow.
struct hash_fields {
    bool l2 = true;
    bool l3 = true;
    bool l4 = true;

    friend constexpr bool operator==(hash_fields const&, hash_fields const&) = default;
};

/// At least one layer is set.
struct hash_rule {
    bool l2 = true;
    bool l3 = true;
    bool l4 = true;
    /// A -> B and B -> A give the same value.  Each layer is put in order by itself, so this also
    /// holds where a router exchanged the MAC addresses.
    bool symmetric = false;
    /// Take the NIC's RSS hash, through mix_flowid(), where the mbuf has one.  The caller's
    /// business: flow_hash() does not look at it.
    bool use_flowid = false;
    /// Two bonds in series need different seeds, or the second one sees a part of the hash only.
    std::uint32_t seed = 0;

    constexpr hash_fields fields() const noexcept { return {l2, l3, l4}; }
    constexpr void set_fields(hash_fields const& f) noexcept {
        l2 = f.l2;
        l3 = f.l3;
        l4 = f.l4;
    }

    friend constexpr bool operator==(hash_rule const&, hash_rule const&) = default;
};

struct hash_fields_error {
    enum class reason : std::uint8_t { missing, unknown, duplicate };
    reason why = reason::missing;
    std::string word; // the offending part; empty when it is missing
};

/// `l2`, `l3` and `l4` in any order between plus signs, each at most once, at least one.
result<hash_fields, hash_fields_error> parse_hash_fields(std::string_view text);
/// In the order l2+l3+l4, as parse_hash_fields() reads it.  "none" when nothing is set.
std::string to_string(hash_fields const& fields);
/// One sentence for the operator, without a full stop.
std::string to_string(hash_fields_error const& error);

/// All 32 bits are usable, the low eight and the high eight as well as any others.
std::uint32_t flow_hash(hash_rule const& rule, flow_key const& key) noexcept;

/// hashes[i] = flow_hash(rule, parse_flow(frames[i])), the rule decided once.
/// `hashes`: room for frames.size() values.  Burst path.
void flow_hash_burst(hash_rule const& rule, std::span<frame_view const> frames,
                     std::uint32_t* hashes) noexcept;

/// Spreads a NIC's RSS hash over all 32 bits, differently for each seed; a bijection for each seed
/// is not promised.  Burst path.
std::uint32_t mix_flowid(std::uint32_t rss, std::uint32_t seed) noexcept;

} // namespace lagg::net
