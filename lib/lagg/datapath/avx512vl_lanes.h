// What avx2_lanes.h is, with AVX-512's new instructions on registers of 256 bits: fewer for the
// same. Knows no frame, no rule and no group.
#pragma once

#include "lagg/datapath/avx2_lanes.h"

#if defined(__x86_64__)

#pragma GCC diagnostic push
#if defined(__GNUC__) && !defined(__clang__)
// gcc 12 takes offence at its own intrinsics.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif

namespace lagg::avx512vl {

// For functions, because the rest of the program must not presume AVX-512.
#define LAGG_AVX512VL                                                                              \
    [[gnu::target("avx512f,avx512bw,avx512vl,avx512vbmi,avx512vbmi2,bmi,bmi2,popcnt")]]

using avx2::block;
inline constexpr std::size_t half = 32; // bytes in a register

LAGG_AVX512VL inline __m256i load(std::uint8_t const* bytes) noexcept {
    return _mm256_loadu_si256(reinterpret_cast<__m256i const*>(bytes));
}

LAGG_AVX512VL inline void store(std::uint8_t* to, __m256i bytes) noexcept {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), bytes);
}

/// The word four times, as a value that gcc does not know: it would make the constant anew for
/// every block of frames.
LAGG_AVX512VL inline __m256i all(std::uint64_t word) noexcept {
    __m256i four = _mm256_set1_epi64x(static_cast<long long>(word));
    asm("" : "+x"(four));
    return four;
}

/// (a & b) ^ c
LAGG_AVX512VL inline __m256i and_xor(__m256i a, __m256i b, __m256i c) noexcept {
    return _mm256_ternarylogic_epi64(a, b, c, 0x6a);
}

/// As those of avx2, in fewer instructions.
LAGG_AVX512VL inline __m256i products(__m256i lane, __m256i bytes, __m256i key) noexcept {
    __m256i const changed = and_xor(lane, bytes, key);
    return _mm256_mul_epu32(changed, _mm256_srli_epi64(changed, 32));
}

struct finish_keys {
    __m256i changed, added, factor;
    LAGG_AVX512VL finish_keys() noexcept
        : changed(all(net::finish_xor)),
          added(all(net::finish_add)),
          factor(all(net::finish_factor)) {}
};

LAGG_AVX512VL inline __m256i finish(__m256i sum, finish_keys const& with) noexcept {
    __m256i const folded = _mm256_xor_si256(sum, _mm256_srli_epi64(sum, 32));
    __m256i p = _mm256_mul_epu32(_mm256_xor_si256(folded, with.changed),
                                 _mm256_add_epi32(folded, with.added));
    p = _mm256_mul_epu32(_mm256_xor_si256(p, _mm256_srli_epi64(p, 32)), with.factor);
    return _mm256_xor_si256(p, _mm256_srli_epi64(p, 32));
}

/// The same bytes of four frames, a word for each.  `a`: 16 bytes each of frames 0 and 2, `b`: of 1
/// and 3.
struct picked_bytes {
    __m256i places;
    /// `which`: their places in the 16, lowest first.
    LAGG_AVX512VL explicit picked_bytes(std::uint64_t which) noexcept
        : places(_mm256_add_epi8(all(which),
                                 _mm256_set_epi64x(0x3030'3030'3030'3030, 0x1010'1010'1010'1010,
                                                   0x2020'2020'2020'2020, 0))) {}
    LAGG_AVX512VL __m256i operator()(__m256i a, __m256i b) const noexcept {
        return _mm256_permutex2var_epi8(a, places, b);
    }
};

} // namespace lagg::avx512vl

#pragma GCC diagnostic pop

#endif
