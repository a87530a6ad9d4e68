// Frames grouped by flow with AVX2: two frames in a register, four at a time.
// Frames that are not plain IPv4, and rules that put both directions together, go the reference's
// way one by one.
#pragma once

#include "lagg/datapath/by_flow.h"

#if defined(__x86_64__)

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

/// The hashes of four frames, in the low half of each word.  L2, Upper: which lanes count.
template<class Read, bool L2, bool Upper>
LAGG_AVX2 inline void hash_block(flow_table const& table, rule_masks const& with,
                                 typename Read::frame const* frames,
                                 std::uint64_t* hashes) noexcept {
    std::uint8_t const* data[block];
    for (std::size_t i = 0; i < block; ++i) {
        data[i] = Read::data(frames[i]);
        if (Read::length(frames[i]) < readable) [[unlikely]] {
            return hash_others<Read>(table, frames, all_of_block, hashes);
        }
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
    __m256i const sum = _mm256_add_epi64(_mm256_unpacklo_epi64(a, b), _mm256_unpackhi_epi64(a, b));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(hashes), finish(sum));

    if (_mm256_movemask_epi8(_mm256_and_si256(plain_a, plain_b)) != -1) [[unlikely]] {
        __m256i const halves = _mm256_and_si256(_mm256_unpacklo_epi64(plain_a, plain_b),
                                                _mm256_unpackhi_epi64(plain_a, plain_b));
        __m256i const whole = _mm256_and_si256(halves, _mm256_shuffle_epi32(halves, 0xb1));
        auto const good = static_cast<unsigned>(_mm256_movemask_pd(_mm256_castsi256_pd(whole)));
        hash_others<Read>(table, frames, ~good & all_of_block, hashes);
    }
}

/// The hashes of four frames that the NIC may have hashed.
template<class Read>
LAGG_AVX2 inline void flowid_block(flow_table const& table, __m256i key,
                                   typename Read::frame const* frames,
                                   std::uint64_t* hashes) noexcept {
    std::uint64_t ids[block];
    unsigned without = 0;
    for (std::size_t i = 0; i < block; ++i) {
        ids[i] = Read::flowid(frames[i]);
        without |= static_cast<unsigned>(!Read::has_flowid(frames[i])) << i;
    }
    __m256i const changed = _mm256_xor_si256(
        _mm256_set_epi64x(static_cast<long long>(ids[3]), static_cast<long long>(ids[2]),
                          static_cast<long long>(ids[1]), static_cast<long long>(ids[0])),
        key);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(hashes),
                        finish(_mm256_mul_epu32(changed, _mm256_srli_epi64(changed, 32))));
    if (without != 0) [[unlikely]] {
        hash_others<Read>(table, frames, without, hashes);
    }
}

// What gives a block its hashes; classes, because a lambda does not inherit its function's target.
template<class Read, bool L2, bool Upper>
struct by_headers {
    flow_table const& table;
    rule_masks with;
    LAGG_AVX2 explicit by_headers(flow_table const& t) noexcept
        : table(t), with(masks_of(t.plan)) {}
    LAGG_AVX2 void operator()(typename Read::frame const* frames, std::uint64_t* hashes) noexcept {
        hash_block<Read, L2, Upper>(table, with, frames, hashes);
    }
};

template<class Read>
struct by_flowid {
    flow_table const& table;
    __m256i key;
    LAGG_AVX2 explicit by_flowid(flow_table const& t) noexcept
        : table(t), key(_mm256_set1_epi64x(static_cast<long long>(t.plan.keys.flowid))) {}
    LAGG_AVX2 void operator()(typename Read::frame const* frames, std::uint64_t* hashes) noexcept {
        flowid_block<Read>(table, key, frames, hashes);
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
    std::size_t i = 0;
    for (; i + block <= count; i += block) {
        hash(frames + i, hashes);
        for (std::size_t k = 0; k < block; ++k) {
            fill.put(frames[i + k], i + k, bucket[hashes[k] % bucket_count]);
        }
    }
    if (i < count) {
        typename Read::frame rest[block];
        std::fill_n(rest, block, frames[i]);
        std::copy(frames + i, frames + count, rest);
        hash(rest, hashes);
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
    } else if (!rule.l2) {
        group_hashed_by<Read, by_headers<Read, false, true>, Groups>(table, frames, count, groups);
    } else if (rule.l3 || rule.l4) {
        group_hashed_by<Read, by_headers<Read, true, true>, Groups>(table, frames, count, groups);
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
