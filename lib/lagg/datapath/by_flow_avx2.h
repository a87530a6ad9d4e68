// Frames grouped by flow with AVX2: two frames in a register, four at a time.
// Plain frames only: TCP and UDP, over IPv4 with one tag or none, or over IPv6.  All others, and
// rules that put both directions together, go the reference's way one by one.
#pragma once

#include "lagg/datapath/by_flow.h"

#if defined(__x86_64__)

#include <algorithm>
#include <bit>
#include <immintrin.h>

namespace lagg::avx2 {

// For functions, because the rest of the program must not presume AVX2.
#define LAGG_AVX2 [[gnu::target("avx2,bmi,bmi2,popcnt")]]

inline constexpr std::size_t block = 4;
inline constexpr unsigned all_of_block = 0xf;

inline constexpr std::uint32_t readable = 38; // Ethernet, IPv4, ports

/// Constants of a burst, each once for every frame of a register.
struct rule_masks {
    __m256i l2_bytes, l2_key;
    __m256i transport_bytes, transport_key;
};

LAGG_AVX2 inline __m256i twice(std::uint64_t low, std::uint64_t high) noexcept {
    return _mm256_set_epi64x(static_cast<long long>(high), static_cast<long long>(low),
                             static_cast<long long>(high), static_cast<long long>(low));
}

LAGG_AVX2 inline __m256i twice(net::hash_lane const& lane) noexcept {
    return _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<__m128i const*>(&lane)));
}

LAGG_AVX2 inline rule_masks masks_of(net::hash_plan const& plan) noexcept {
    return {twice(~std::uint64_t{0}, 0xffff'ffffU), twice(plan.keys.l2),
            twice(plan.transport_bytes), twice(plan.keys.transport)};
}

LAGG_AVX2 inline __m256i two(std::uint8_t const* a, std::uint8_t const* b) noexcept {
    return _mm256_inserti128_si256(
        _mm256_castsi128_si256(_mm_loadu_si128(reinterpret_cast<__m128i const*>(a))),
        _mm_loadu_si128(reinterpret_cast<__m128i const*>(b)), 1);
}

/// product_of() of both halves of each frame's lane, not added yet.
LAGG_AVX2 inline __m256i products(__m256i lane, __m256i bytes, __m256i key) noexcept {
    __m256i const changed = _mm256_xor_si256(_mm256_and_si256(lane, bytes), key);
    return _mm256_mul_epu32(changed, _mm256_srli_epi64(changed, 32));
}

LAGG_AVX2 inline __m256i all(std::uint32_t word) noexcept {
    return _mm256_set1_epi64x(static_cast<long long>(word));
}

LAGG_AVX2 inline __m256i finish(__m256i sum) noexcept {
    __m256i const folded = _mm256_xor_si256(sum, _mm256_srli_epi64(sum, 32));
    __m256i p = _mm256_mul_epu32(_mm256_xor_si256(folded, all(net::finish_xor)),
                                 _mm256_add_epi32(folded, all(net::finish_add)));
    p = _mm256_mul_epu32(_mm256_xor_si256(p, _mm256_srli_epi64(p, 32)), all(net::finish_factor));
    return _mm256_xor_si256(p, _mm256_srli_epi64(p, 32));
}

/// Which of two frames are plain IPv4, all bits of each such frame set.  `middle`: bytes 6 to 21,
/// `end`: bytes 22 to 37.
LAGG_AVX2 inline __m256i plain(__m256i middle, __m256i end) noexcept {
    // protocol; type 0x0800, version and header length, neither MF nor an offset
    __m256i const both = _mm256_blend_epi32(middle, end, 0x11);
    __m256i const checked = twice(0xffff'0000'0000'ff00U, 0xff3f'0000'0000'00ffU);
    __m256i const found = _mm256_and_si256(both, checked);
    __m256i const tcp = twice(0x0008'0000'0000'0000U | 6U << 8, 0x45U);
    __m256i const udp = twice(0x0008'0000'0000'0000U | 17U << 8, 0x45U);
    return _mm256_or_si256(_mm256_cmpeq_epi32(found, tcp), _mm256_cmpeq_epi32(found, udp));
}

/// Which of two frames have no tag, all bits of each such frame set.  `begin`: their first bytes.
LAGG_AVX2 inline __m256i untagged(__m256i begin) noexcept {
    __m256i const type = _mm256_and_si256(begin, twice(0, 0x0000'ffff'0000'0000U));
    auto const is = [](std::uint64_t tag) { return tag << 32; };
    __m256i const tagged =
        _mm256_or_si256(_mm256_or_si256(_mm256_cmpeq_epi64(type, twice(1, is(0x0081))),
                                        _mm256_cmpeq_epi64(type, twice(1, is(0xa888)))),
                        _mm256_cmpeq_epi64(type, twice(1, is(0x0091))));
    __m256i const either = _mm256_shuffle_epi32(tagged, 0xee);
    return _mm256_xor_si256(either, _mm256_set1_epi64x(-1));
}

/// For each of four frames one word of two registers' halves: all ones where both are.
LAGG_AVX2 inline __m256i both_halves(__m256i a, __m256i b) noexcept {
    __m256i const halves =
        _mm256_and_si256(_mm256_unpacklo_epi64(a, b), _mm256_unpackhi_epi64(a, b));
    return _mm256_and_si256(halves, _mm256_shuffle_epi32(halves, 0xb1));
}

/// The same, added.
LAGG_AVX2 inline __m256i sum_of_halves(__m256i a, __m256i b) noexcept {
    return _mm256_add_epi64(_mm256_unpacklo_epi64(a, b), _mm256_unpackhi_epi64(a, b));
}

/// Bit i for the i-th word.
LAGG_AVX2 inline unsigned bits_of(__m256i words) noexcept {
    return static_cast<unsigned>(_mm256_movemask_pd(_mm256_castsi256_pd(words)));
}

/// Four frames of which not all are plain IPv4 without a tag.
struct odd_block {
    std::uint8_t const* const* data;
    std::uint32_t shortest; // bytes that each of them has
    rule_masks const& with;
    flow_table const& table;
    std::uint64_t* hashes;

    /// Writes the hashes of `which` and returns them as bits.
    LAGG_AVX2 unsigned keep(__m256i which, __m256i sums) const noexcept {
        auto* const all_four =
            reinterpret_cast<__m256i*>(hashes); // a masked store takes far longer
        __m256i const others = _mm256_loadu_si256(all_four);
        _mm256_storeu_si256(all_four, _mm256_blendv_epi8(others, finish(sums), which));
        return bits_of(which);
    }
};

/// product_of() of a word of each of four frames.
LAGG_AVX2 inline __m256i product(__m256i words, std::uint64_t key) noexcept {
    __m256i const changed =
        _mm256_xor_si256(words, _mm256_set1_epi64x(static_cast<long long>(key)));
    return _mm256_mul_epu32(changed, _mm256_srli_epi64(changed, 32));
}

/// Which of two frames are TCP or UDP over IPv6 without extension headers and without a tag, all
/// bits of each such frame set.  `middle`: bytes 6 to 21.
LAGG_AVX2 inline __m256i plain_ipv6(__m256i middle) noexcept {
    // type 0x86dd; version, next header
    __m256i const checked = twice(0xffff'0000'0000'0000U, 0x00ff'0000'0000'00f0U);
    __m256i const found = _mm256_and_si256(middle, checked);
    __m256i const tcp = twice(0xdd86'0000'0000'0000U, std::uint64_t{6} << 48 | 0x60);
    __m256i const udp = twice(0xdd86'0000'0000'0000U, std::uint64_t{17} << 48 | 0x60);
    return _mm256_or_si256(_mm256_cmpeq_epi64(found, tcp), _mm256_cmpeq_epi64(found, udp));
}

/// Both IPv6 addresses of four frames.
LAGG_AVX2 inline __m256i address_products(net::hash_keys const& keys,
                                          std::uint8_t const* const* data) noexcept {
    __m256i const key = _mm256_set_epi64x(static_cast<long long>(keys.destination6.high),
                                          static_cast<long long>(keys.destination6.low),
                                          static_cast<long long>(keys.source6.high),
                                          static_cast<long long>(keys.source6.low));
    __m256i of[block];
    for (std::size_t i = 0; i < block; ++i) {
        __m256i const changed = _mm256_xor_si256(
            _mm256_loadu_si256(reinterpret_cast<__m256i const*>(data[i] + 22)), key);
        of[i] = _mm256_mul_epu32(changed, _mm256_srli_epi64(changed, 32));
    }
    __m256i const first = sum_of_halves(of[0], of[1]); // 0 and 1, of the source; then the other
    __m256i const second = sum_of_halves(of[2], of[3]);
    return _mm256_add_epi64(_mm256_permute2x128_si256(first, second, 0x20),
                            _mm256_permute2x128_si256(first, second, 0x31));
}

/// Hashes those that are plain IPv6 without a tag, and returns which they are.
template<bool L2>
LAGG_AVX2 inline unsigned hash_ipv6(odd_block const& b) noexcept {
    constexpr std::uint32_t needed = 58; // Ethernet, IPv6, ports
    if (b.shortest < needed) {
        return 0;
    }
    std::uint8_t const* const* const data = b.data;
    net::hash_rule const& rule = b.table.rule;
    net::hash_keys const& keys = b.table.plan.keys;
    __m256i const middle_a = two(data[0] + 6, data[2] + 6);
    __m256i const middle_b = two(data[1] + 6, data[3] + 6);
    __m256i const next_header = _mm256_srli_epi64(_mm256_unpackhi_epi64(middle_a, middle_b), 40);
    auto const ports = [data](std::size_t i) {
        return static_cast<long long>(net::detail::load_wire<std::uint32_t>(data[i] + 54));
    };
    __m256i const words = _mm256_set_epi64x(ports(3), ports(2), ports(1), ports(0));
    __m256i const counted = all(rule.l4 ? 0xffff'ffffU : 0);
    __m256i sum = _mm256_add_epi64(
        product(_mm256_and_si256(next_header, all(rule.l4 ? 0xff00U : 0)), keys.transport.low),
        product(_mm256_slli_epi64(_mm256_and_si256(words, counted), 32), keys.transport.high));
    if (rule.l3) {
        sum = _mm256_add_epi64(sum, address_products(keys, data));
    }
    if constexpr (L2) {
        sum = _mm256_add_epi64(
            sum, sum_of_halves(products(two(data[0], data[2]), b.with.l2_bytes, b.with.l2_key),
                               products(two(data[1], data[3]), b.with.l2_bytes, b.with.l2_key)));
    }
    return b.keep(both_halves(plain_ipv6(middle_a), plain_ipv6(middle_b)), sum);
}

/// Which of two frames have a tag where their type would be.  `middle`: bytes 10 to 25.
LAGG_AVX2 inline __m256i is_tagged(__m256i middle) noexcept {
    __m256i const type = _mm256_and_si256(middle, twice(0xffff'0000U, 0));
    auto const is = [](std::uint64_t tag) { return tag << 16; };
    __m256i const tagged =
        _mm256_or_si256(_mm256_or_si256(_mm256_cmpeq_epi64(type, twice(is(0x0081), 1)),
                                        _mm256_cmpeq_epi64(type, twice(is(0xa888), 1))),
                        _mm256_cmpeq_epi64(type, twice(is(0x0091), 1)));
    return _mm256_shuffle_epi32(tagged, 0x44);
}

/// The L2 lanes of two frames with a tag.  `begin`: their first bytes; `middle`: bytes 10 to 25.
LAGG_AVX2 inline __m256i tagged_l2(rule_masks const& with, __m256i begin, __m256i middle) noexcept {
    constexpr std::uint64_t none = 0x8080'8080'8080'8080U;
    // the id, low byte first, to where l2_bytes has nothing
    __m256i const tag = _mm256_shuffle_epi8(middle, twice(none, 0x8080'0405'8080'8080U));
    __m256i const id = _mm256_and_si256(tag, twice(0, 0x0000'0fff'0000'0000U));
    __m256i const changed =
        _mm256_xor_si256(_mm256_or_si256(_mm256_and_si256(begin, with.l2_bytes), id), with.l2_key);
    return _mm256_mul_epu32(changed, _mm256_srli_epi64(changed, 32));
}

/// Hashes those that are plain IPv4 behind one tag, and returns which they are.
template<bool L2>
LAGG_AVX2 inline unsigned hash_tagged(odd_block const& b) noexcept {
    constexpr std::uint32_t tag = net::detail::vlan_tag_size;
    if (b.shortest < readable + tag) {
        return 0;
    }
    std::uint8_t const* const* const data = b.data;
    __m256i const middle_a = two(data[0] + 6 + tag, data[2] + 6 + tag);
    __m256i const middle_b = two(data[1] + 6 + tag, data[3] + 6 + tag);
    __m256i const end_a = two(data[0] + 22 + tag, data[2] + 22 + tag);
    __m256i const end_b = two(data[1] + 22 + tag, data[3] + 22 + tag);
    __m256i sum = sum_of_halves(products(end_a, b.with.transport_bytes, b.with.transport_key),
                                products(end_b, b.with.transport_bytes, b.with.transport_key));
    if constexpr (L2) {
        sum = _mm256_add_epi64(sum,
                               sum_of_halves(tagged_l2(b.with, two(data[0], data[2]), middle_a),
                                             tagged_l2(b.with, two(data[1], data[3]), middle_b)));
    }
    return b.keep(both_halves(_mm256_and_si256(is_tagged(middle_a), plain(middle_a, end_a)),
                              _mm256_and_si256(is_tagged(middle_b), plain(middle_b, end_b))),
                  sum);
}

/// Hashes those of the frames `which` of four that are plain but not IPv4 without a tag; returns
/// the others.
template<class Read, bool L2>
[[gnu::noinline]] LAGG_AVX2 unsigned hash_odd(flow_table const& table, rule_masks const& with,
                                              typename Read::frame const* frames, unsigned which,
                                              std::uint64_t* hashes) noexcept {
    std::uint8_t const* data[block];
    std::uint32_t shortest = Read::length(frames[0]);
    for (std::size_t i = 0; i < block; ++i) {
        data[i] = Read::data(frames[i]);
        shortest = std::min(shortest, Read::length(frames[i]));
    }
    if (shortest < readable) {
        return which;
    }
    odd_block const b{data, shortest, with, table, hashes};
    // of the kind of the first one that is left: each of the two at most once
    for (int kind = 0; kind < 2 && which != 0; ++kind) {
        bool const ipv6 = net::detail::load_be16(data[std::countr_zero(which)] + 12) ==
                          net::detail::ethertype_ipv6;
        unsigned const hashed = which & (ipv6 ? hash_ipv6<L2>(b) : hash_tagged<L2>(b));
        if (hashed == 0) {
            break;
        }
        which &= ~hashed;
    }
    return which;
}

/// `hashes`, put right for those of the four frames that are in `which`: one by one.
template<class Read>
[[gnu::noinline]] LAGG_AVX2 __m256i mended(flow_table const& table,
                                           typename Read::frame const* frames, unsigned which,
                                           __m256i hashes) noexcept {
    std::uint64_t words[block];
    auto* const all_four = reinterpret_cast<__m256i*>(words);
    _mm256_storeu_si256(all_four, hashes);
    hash_others<Read>(table, frames, which, words);
    return _mm256_loadu_si256(all_four);
}

/// The same, together where they are of the same kind.
template<class Read, bool L2>
[[gnu::noinline]] LAGG_AVX2 __m256i mended_odd(flow_table const& table, rule_masks const& with,
                                               typename Read::frame const* frames, unsigned which,
                                               __m256i hashes) noexcept {
    std::uint64_t words[block];
    auto* const all_four = reinterpret_cast<__m256i*>(words);
    _mm256_storeu_si256(all_four, hashes);
    which = hash_odd<Read, L2>(table, with, frames, which, words);
    hash_others<Read>(table, frames, which, words);
    return _mm256_loadu_si256(all_four);
}

/// Where four frames begin; false when one of them is too short for what follows.
template<class Read>
[[gnu::always_inline]] inline bool locate(typename Read::frame const* frames,
                                          std::uint8_t const** data) noexcept {
    for (std::size_t i = 0; i < block; ++i) {
        data[i] = Read::data(frames[i]);
        if (Read::length(frames[i]) < readable) [[unlikely]] {
            return false;
        }
    }
    return true;
}

/// The hashes of four frames, in the low half of each word.  L2, Upper: which lanes count.
template<class Read, bool L2, bool Upper>
LAGG_AVX2 inline __m256i hash_block(flow_table const& table, rule_masks const& with,
                                    typename Read::frame const* frames) noexcept {
    std::uint8_t const* data[block];
    if (!locate<Read>(frames, data)) [[unlikely]] {
        return mended<Read>(table, frames, all_of_block, _mm256_setzero_si256());
    }
    // frames 0 and 2, 1 and 3: so that unpacking puts all four in order
    __m256i a = _mm256_setzero_si256();
    __m256i b = _mm256_setzero_si256();
    __m256i plain_a;
    __m256i plain_b;
    if constexpr (Upper) {
        __m256i const end_a = two(data[0] + 22, data[2] + 22);
        __m256i const end_b = two(data[1] + 22, data[3] + 22);
        plain_a = plain(two(data[0] + 6, data[2] + 6), end_a);
        plain_b = plain(two(data[1] + 6, data[3] + 6), end_b);
        a = products(end_a, with.transport_bytes, with.transport_key);
        b = products(end_b, with.transport_bytes, with.transport_key);
    }
    if constexpr (L2) {
        __m256i const begin_a = two(data[0], data[2]);
        __m256i const begin_b = two(data[1], data[3]);
        if constexpr (!Upper) {
            plain_a = untagged(begin_a);
            plain_b = untagged(begin_b);
        }
        a = _mm256_add_epi64(a, products(begin_a, with.l2_bytes, with.l2_key));
        b = _mm256_add_epi64(b, products(begin_b, with.l2_bytes, with.l2_key));
    }
    __m256i const hashes = finish(sum_of_halves(a, b));
    if (_mm256_movemask_epi8(_mm256_and_si256(plain_a, plain_b)) == -1) [[likely]] {
        return hashes;
    }
    unsigned const others = ~bits_of(both_halves(plain_a, plain_b)) & all_of_block;
    if constexpr (Upper) {
        return mended_odd<Read, L2>(table, with, frames, others, hashes);
    }
    return mended<Read>(table, frames, others, hashes);
}

/// The hashes of four frames that the NIC may have hashed.
template<class Read>
LAGG_AVX2 inline __m256i flowid_block(flow_table const& table, __m256i key,
                                      typename Read::frame const* frames) noexcept {
    auto const id = [frames](std::size_t i) {
        return static_cast<long long>(Read::flowid(frames[i]));
    };
    __m256i const changed = _mm256_xor_si256(_mm256_set_epi64x(id(3), id(2), id(1), id(0)), key);
    __m256i const hashes = finish(_mm256_mul_epu32(changed, _mm256_srli_epi64(changed, 32)));
    if (Read::all_have_flowid(frames[0], frames[1], frames[2], frames[3])) [[likely]] {
        return hashes;
    }
    unsigned without = 0;
    for (std::size_t i = 0; i < block; ++i) {
        without |= static_cast<unsigned>(!Read::has_flowid(frames[i])) << i;
    }
    return mended<Read>(table, frames, without, hashes);
}

// What gives a block its hashes; classes, because a lambda does not inherit its function's target.
template<class Read, bool L2, bool Upper>
struct by_headers {
    flow_table const& table;
    rule_masks with;
    LAGG_AVX2 explicit by_headers(flow_table const& t) noexcept
        : table(t), with(masks_of(t.plan)) {}
    LAGG_AVX2 __m256i operator()(typename Read::frame const* frames) noexcept {
        return hash_block<Read, L2, Upper>(table, with, frames);
    }
};

/// The same for a burst that begins with something else than plain IPv4, and may go on so.
template<class Read, bool L2>
struct by_odd_headers {
    flow_table const& table;
    rule_masks with;
    LAGG_AVX2 explicit by_odd_headers(flow_table const& t) noexcept
        : table(t), with(masks_of(t.plan)) {}
    LAGG_AVX2 __m256i operator()(typename Read::frame const* frames) noexcept {
        std::uint64_t hashes[block];
        if (hash_odd<Read, L2>(table, with, frames, all_of_block, hashes) != 0) {
            return hash_block<Read, L2, true>(table, with, frames);
        }
        return _mm256_loadu_si256(reinterpret_cast<__m256i const*>(hashes));
    }
};

template<class Read>
bool begins_odd(typename Read::frame const* frames, std::size_t count) noexcept {
    return count > 0 && Read::length(frames[0]) >= net::detail::ethernet_header_size &&
           net::detail::load_be16(Read::data(frames[0]) + 12) != net::detail::ethertype_ipv4;
}

template<class Read>
struct by_flowid {
    flow_table const& table;
    __m256i key;
    LAGG_AVX2 explicit by_flowid(flow_table const& t) noexcept
        : table(t), key(_mm256_set1_epi64x(static_cast<long long>(t.plan.keys.flowid))) {}
    LAGG_AVX2 __m256i operator()(typename Read::frame const* frames) noexcept {
        return flowid_block<Read>(table, key, frames);
    }
};

template<class Read, class Hash, class Groups>
LAGG_AVX2 void group_hashed_by(flow_table const& table, typename Read::frame const* frames,
                               std::size_t count,
                               grouped_frames<typename Read::frame>& groups) noexcept {
    Hash hash(table);
    std::uint8_t const* const bucket = table.bucket.data();
    Groups fill(groups, table.members);
    std::uint64_t hashes[block];
    auto* const all_four = reinterpret_cast<__m256i*>(hashes);
    std::size_t i = 0;
    for (; i + block <= count; i += block) {
        _mm256_storeu_si256(all_four, hash(frames + i));
        for (std::size_t k = 0; k < block; ++k) {
            fill.put(frames[i + k], i + k, bucket[hashes[k] % bucket_count]);
        }
    }
    if (i < count) {
        typename Read::frame rest[block];
        std::fill_n(rest, block, frames[i]);
        std::copy(frames + i, frames + count, rest);
        _mm256_storeu_si256(all_four, hash(rest));
        for (std::size_t k = 0; i + k < count; ++k) {
            fill.put(rest[k], i + k, bucket[hashes[k] % bucket_count]);
        }
    }
    fill.finish();
}

template<class Read, class Groups>
LAGG_AVX2 void group_by_rule(flow_table const& table, typename Read::frame const* frames,
                             std::size_t count,
                             grouped_frames<typename Read::frame>& groups) noexcept {
    net::hash_rule const& rule = table.rule;
    if (rule.use_flowid) {
        group_hashed_by<Read, by_flowid<Read>, Groups>(table, frames, count, groups);
    } else if (rule.l3 || rule.l4) {
        bool const odd = begins_odd<Read>(frames, count);
        auto const group =
            rule.l2 ? (odd ? group_hashed_by<Read, by_odd_headers<Read, true>, Groups>
                           : group_hashed_by<Read, by_headers<Read, true, true>, Groups>)
                    : (odd ? group_hashed_by<Read, by_odd_headers<Read, false>, Groups>
                           : group_hashed_by<Read, by_headers<Read, false, true>, Groups>);
        group(table, frames, count, groups);
    } else {
        group_hashed_by<Read, by_headers<Read, true, false>, Groups>(table, frames, count, groups);
    }
}

template<class Read>
LAGG_AVX2 void group_by_flow(flow_table const& table, typename Read::frame const* frames,
                             std::size_t count,
                             grouped_frames<typename Read::frame>& groups) noexcept {
    using frame = typename Read::frame;
    if (table.rule.symmetric && !table.rule.use_flowid) {
        lagg::group_by_flow<Read>(table, frames, count, groups);
    } else if (table.members <= few_groups<frame>::most) {
        group_by_rule<Read, few_groups<frame>>(table, frames, count, groups);
    } else {
        group_by_rule<Read, many_groups<frame>>(table, frames, count, groups);
    }
}

} // namespace lagg::avx2

#endif
