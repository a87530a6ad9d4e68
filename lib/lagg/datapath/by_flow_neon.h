// Frames grouped by flow with NEON, which every 64-bit Arm processor has: four frames at a time,
// the hashes of all four in one register.
// Plain frames only: TCP and UDP over IPv4 without a tag.  All others go one by one, and rules that
// put both directions together go the reference's way.
#pragma once

#include "lagg/datapath/by_flow.h"

// Little-endian: words of a lane stand as flow_mix.h has them.
#if defined(__AARCH64EL__)

#include <algorithm>
#include <arm_neon.h>

namespace lagg::neon {

inline constexpr std::size_t block = 4;
inline constexpr std::uint32_t readable = 38; // Ethernet, IPv4, ports

inline uint32x4_t load(std::uint8_t const* bytes) noexcept {
    return vreinterpretq_u32_u8(vld1q_u8(bytes));
}

/// The same words of two frames' lanes, (word 0, word 2) of both and (word 1, word 3) of both:
/// product_of() multiplies what stands at the same place.
struct lane_pair {
    uint32x4_t even, odd;

    lane_pair(uint32x4_t a, uint32x4_t b) noexcept
        : even(vuzp1q_u32(a, b)), odd(vuzp2q_u32(a, b)) {}
    explicit lane_pair(net::hash_lane const& lane) noexcept : lane_pair(both(lane), both(lane)) {}

    static uint32x4_t both(net::hash_lane const& lane) noexcept {
        return vreinterpretq_u32_u64(vcombine_u64(vcreate_u64(lane.low), vcreate_u64(lane.high)));
    }
};

inline lane_pair operator&(lane_pair lanes, lane_pair const& bytes) noexcept {
    lanes.even = vandq_u32(lanes.even, bytes.even);
    lanes.odd = vandq_u32(lanes.odd, bytes.odd);
    return lanes;
}

inline lane_pair operator^(lane_pair lanes, lane_pair const& key) noexcept {
    lanes.even = veorq_u32(lanes.even, key.even);
    lanes.odd = veorq_u32(lanes.odd, key.odd);
    return lanes;
}

/// Products of two frames, those of the halves not added yet.
struct product_pair {
    uint64x2_t a, b;

    explicit product_pair(lane_pair const& changed) noexcept
        : a(vmull_u32(vget_low_u32(changed.even), vget_low_u32(changed.odd))),
          b(vmull_high_u32(changed.even, changed.odd)) {}

    void add(lane_pair const& changed) noexcept {
        a = vmlal_u32(a, vget_low_u32(changed.even), vget_low_u32(changed.odd));
        b = vmlal_high_u32(b, changed.even, changed.odd);
    }

    uint64x2_t sums() const noexcept { return vpaddq_u64(a, b); }
};

/// The upper half of each of four words of 64 bits, xor the lower one.
inline uint32x4_t fold(uint64x2_t low, uint64x2_t high) noexcept {
    lane_pair const halves(vreinterpretq_u32_u64(low), vreinterpretq_u32_u64(high));
    return veorq_u32(halves.even, halves.odd);
}

/// The folded products of four words and four others.
inline uint32x4_t fold_product(uint32x4_t a, uint32x4_t b) noexcept {
    return fold(vmull_u32(vget_low_u32(a), vget_low_u32(b)), vmull_high_u32(a, b));
}

/// net::finish() of four sums.
inline uint32x4_t finish(uint64x2_t low, uint64x2_t high) noexcept {
    uint32x4_t const folded = fold(low, high);
    uint32x4_t const squared = fold_product(veorq_u32(folded, vdupq_n_u32(net::finish_xor)),
                                            vaddq_u32(folded, vdupq_n_u32(net::finish_add)));
    return fold_product(squared, vdupq_n_u32(net::finish_factor));
}

/// All bits of a frame's word set if it is plain IPv4, none if not.
inline uint32x4_t plain(std::uint8_t const* const* data) noexcept {
    lane_pair const first(load(data[0] + 12), load(data[1] + 12));
    lane_pair const second(load(data[2] + 12), load(data[3] + 12));
    lane_pair const words(first.even, second.even);
    // type 0x0800, version and header length
    uint32x4_t const ipv4 =
        vceqq_u32(vandq_u32(words.even, vdupq_n_u32(0x00ff'ffffU)), vdupq_n_u32(0x0045'0008U));
    // neither MF nor an offset; protocol
    uint32x4_t const word = vandq_u32(words.odd, vdupq_n_u32(0xff00'ff3fU));
    uint32x4_t const tcp = vceqq_u32(word, vdupq_n_u32(6U << 24));
    uint32x4_t const udp = vceqq_u32(word, vdupq_n_u32(17U << 24));
    return vandq_u32(ipv4, vorrq_u32(tcp, udp));
}

/// All bits of a frame's word set if it has no tag, none if it has.
inline uint32x4_t untagged(std::uint8_t const* const* data) noexcept {
    lane_pair const first(load(data[0]), load(data[1]));
    lane_pair const second(load(data[2]), load(data[3]));
    // without the two bytes behind the type
    uint32x4_t const type = vshlq_n_u32(vuzp2q_u32(first.odd, second.odd), 16);
    uint32x4_t const tagged = vorrq_u32(vceqq_u32(type, vdupq_n_u32(0x0081'0000U)),
                                        vorrq_u32(vceqq_u32(type, vdupq_n_u32(0xa888'0000U)),
                                                  vceqq_u32(type, vdupq_n_u32(0x0091'0000U))));
    return vmvnq_u32(tagged);
}

/// Constants of a burst.
struct rule_masks {
    lane_pair l2_bytes, l2_key;
    lane_pair transport_bytes, transport_key;

    explicit rule_masks(net::hash_plan const& plan) noexcept
        : l2_bytes(net::hash_lane{~std::uint64_t{0}, 0xffff'ffffU}),
          l2_key(plan.keys.l2),
          transport_bytes(plan.transport_bytes),
          transport_key(plan.keys.transport) {}
};

/// Hashes by header fields.  L2, Upper: which lanes count.
template<class Read, bool L2, bool Upper>
class by_headers {
public:
    explicit by_headers(flow_table const& t) noexcept : table_(t), with_(t.plan) {}

    /// Of four frames.
    void operator()(typename Read::frame const* frames, std::uint32_t* hashes) const noexcept {
        std::uint32_t shortest = Read::length(frames[0]);
        std::uint8_t const* data[block];
        for (std::size_t i = 0; i < block; ++i) {
            shortest = std::min(shortest, Read::length(frames[i]));
            data[i] = Read::data(frames[i]);
        }
        if (shortest < readable) [[unlikely]] {
            return hash_others<Read>(table_, frames, 0xf, hashes);
        }
        uint32x4_t const usual = Upper ? plain(data) : untagged(data);
        vst1q_u32(hashes, finish(sums(data[0], data[1]), sums(data[2], data[3])));
        if (vminvq_u32(usual) == 0) [[unlikely]] {
            hash_others<Read>(table_, frames, unusual(usual), hashes);
        }
    }

private:
    uint64x2_t sums(std::uint8_t const* a, std::uint8_t const* b) const noexcept {
        if constexpr (!Upper) {
            return l2_products(a, b).sums();
        } else {
            lane_pair const lanes(load(a + 22), load(b + 22));
            lane_pair const changed = (lanes & with_.transport_bytes) ^ with_.transport_key;
            if constexpr (!L2) {
                return product_pair(changed).sums();
            } else {
                product_pair products = l2_products(a, b);
                products.add(changed);
                return products.sums();
            }
        }
    }

    product_pair l2_products(std::uint8_t const* a, std::uint8_t const* b) const noexcept {
        lane_pair const lanes(load(a), load(b));
        return product_pair((lanes & with_.l2_bytes) ^ with_.l2_key);
    }

    static unsigned unusual(uint32x4_t usual) noexcept {
        constexpr std::uint32_t bits[block] = {1, 2, 4, 8};
        return vaddvq_u32(vbicq_u32(vld1q_u32(bits), usual));
    }

    flow_table const& table_;
    rule_masks const with_;
};

/// Takes the NIC's hashes where there are.
template<class Read>
class by_flowid {
public:
    explicit by_flowid(flow_table const& t) noexcept
        : table_(t),
          key_(vdupq_n_u32(static_cast<std::uint32_t>(t.plan.keys.flowid))),
          factor_(vdupq_n_u32(static_cast<std::uint32_t>(t.plan.keys.flowid >> 32))) {}

    void operator()(typename Read::frame const* frames, std::uint32_t* hashes) const noexcept {
        uint32x4_t flowids = vdupq_n_u32(Read::flowid(frames[0]));
        flowids = vsetq_lane_u32(Read::flowid(frames[1]), flowids, 1);
        flowids = vsetq_lane_u32(Read::flowid(frames[2]), flowids, 2);
        flowids = vsetq_lane_u32(Read::flowid(frames[3]), flowids, 3);
        uint32x4_t const changed = veorq_u32(flowids, key_);
        vst1q_u32(hashes, finish(vmull_u32(vget_low_u32(changed), vget_low_u32(factor_)),
                                 vmull_high_u32(changed, factor_)));
        if (!Read::all_have_flowid(frames[0], frames[1], frames[2], frames[3])) [[unlikely]] {
            unsigned without = 0;
            for (std::size_t i = 0; i < block; ++i) {
                without |= static_cast<unsigned>(!Read::has_flowid(frames[i])) << i;
            }
            hash_others<Read>(table_, frames, without, hashes);
        }
    }

private:
    flow_table const& table_;
    uint32x4_t const key_;
    uint32x4_t const factor_; // the key's upper half: a flow id is one word, the other one is zero
};

template<class Read, class Hash, class Groups>
void group_hashed_by(flow_table const& table, typename Read::frame const* frames, std::size_t count,
                     grouped_frames<typename Read::frame>& groups) noexcept {
    Hash const hash(table);
    std::uint32_t hashes[chunk_size];
    std::size_t i = 0;
    for (; i + block <= count; i += block) {
        hash(frames + i, hashes + i);
    }
    if (i < count) {
        typename Read::frame rest[block];
        std::fill_n(rest, block, frames[i]);
        std::copy(frames + i, frames + count, rest);
        hash(rest, hashes + i);
    }
    group_hashed<Groups>(table, frames, hashes, count, groups);
}

template<class Read, class Groups>
inline constexpr group_functions<Read> by_way{
    group_hashed_by<Read, by_headers<Read, true, false>, Groups>,
    group_hashed_by<Read, by_headers<Read, false, true>, Groups>,
    group_hashed_by<Read, by_headers<Read, true, true>, Groups>,
    group_hashed_by<Read, by_headers<Read, false, true>, Groups>,
    group_hashed_by<Read, by_headers<Read, true, true>, Groups>,
    group_hashed_by<Read, by_flowid<Read>, Groups>,
    lagg::group_by_flow<Read>,
};

template<class Read>
void group_by_flow(flow_table const& table, typename Read::frame const* frames, std::size_t count,
                   grouped_frames<typename Read::frame>& groups) noexcept {
    using frame = typename Read::frame;
    auto const& ways = table.members <= few_groups<frame>::most ? by_way<Read, few_groups<frame>>
                                                                : by_way<Read, many_groups<frame>>;
    return for_way<Read>(ways, table.plan.way)(table, frames, count, groups);
}

} // namespace lagg::neon

#endif
