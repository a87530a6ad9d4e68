// Registers of AVX2 that hold bytes of two frames or a word for each of four, and what the flow
// hash does with them.  Knows no frame, no rule and no group.
#pragma once

#include "net/flow_mix.h"

#if defined(__x86_64__)

#include <cstddef>
#include <cstdint>
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

} // namespace lagg::avx2

#endif
