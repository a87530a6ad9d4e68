// Frames in a new order with AVX-512 on registers of 256 bits: by the word, where their addresses
// allow it.  Knows no frame, no hash and no group.
#pragma once

#if defined(__x86_64__)

#include "lagg/datapath/avx512vl_lanes.h"
#include "lagg/datapath/frame_set.h"

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <immintrin.h>
#include <type_traits>

#pragma GCC diagnostic push
#if defined(__GNUC__) && !defined(__clang__)
// gcc 12 takes offence at its own intrinsics.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif

namespace lagg::avx512vl {

/// Frames in registers, Blocks times four; beyond `count` the first one again.
template<std::size_t Blocks, class Frame>
[[gnu::always_inline]] LAGG_AVX512VL inline void load_frames(Frame const* frames, std::size_t count,
                                                             __m256i* into) noexcept {
    static_assert(sizeof(Frame) == 8 && std::is_trivially_copyable_v<Frame>);
    bool const all = count == 4 * Blocks;
    auto const there = static_cast<std::uint32_t>(first_frames(count));
    __m256i const first =
        _mm256_set1_epi64x(static_cast<long long>(std::bit_cast<std::uint64_t>(frames[0])));
    for (std::size_t i = 0; i < Blocks; ++i) {
        auto const* const from = reinterpret_cast<__m256i const*>(frames + 4 * i);
        into[i] = all ? _mm256_loadu_si256(from)
                      : _mm256_mask_loadu_epi64(first, static_cast<__mmask8>(there >> 4 * i), from);
    }
}

/// The upper half of the first frame's address, if it is that of all of them.
struct upper_half {
    std::uint32_t word;
    bool is_common;
};

template<std::size_t Blocks>
[[gnu::always_inline]] LAGG_AVX512VL inline upper_half
upper_half_of(__m256i const* frames) noexcept {
    __m256i const first = _mm256_broadcastq_epi64(_mm256_castsi256_si128(frames[0]));
    __m256i unlike = _mm256_setzero_si256();
    for (std::size_t i = 0; i < Blocks; ++i) {
        // unlike | (frames ^ first)
        unlike = _mm256_ternarylogic_epi64(unlike, frames[i], first, 0xf6);
    }
    auto const word = static_cast<std::uint64_t>(_mm_cvtsi128_si64(_mm256_castsi256_si128(first)));
    return {static_cast<std::uint32_t>(word >> 32),
            _mm256_testz_si256(unlike, _mm256_set1_epi64x(~0xffff'ffffLL)) != 0};
}

/// Frames whose addresses have their upper halves in common, as two words each, sixteen of one kind
/// in a register.  Where whole addresses are looked up, four by four, three times the instructions
/// wait for their places; Zen 5 takes vector instructions into its schedulers in program order, and
/// the next burst's stand behind those that wait: 20 TSC cycles a burst of 32.
/// Parts: how many times sixteen, 1 or 2.
template<std::size_t Parts>
class frames_in_words {
public:
    /// `frames`: Parts times four registers.
    [[gnu::always_inline]] LAGG_AVX512VL frames_in_words(__m256i const* frames,
                                                         std::uint32_t upper) noexcept
        : upper_(_mm256_set1_epi32(static_cast<int>(upper))) {
        // eight lower halves come as those of frames 0, 1, 4, 5 and 2, 3, 6, 7
        __m256i const low_words = _mm256_setr_epi16(0, 2, 8, 10, 4, 6, 12, 14, //
                                                    16, 18, 24, 26, 20, 22, 28, 30);
        __m256i const high_words = _mm256_add_epi16(low_words, _mm256_set1_epi16(1));
        for (std::size_t i = 0; i < Parts; ++i) {
            __m256i const a = lower_halves(frames[4 * i], frames[4 * i + 1]);
            __m256i const b = lower_halves(frames[4 * i + 2], frames[4 * i + 3]);
            low_[i] = _mm256_permutex2var_epi16(a, low_words, b);
            high_[i] = _mm256_permutex2var_epi16(a, high_words, b);
        }
    }

    /// Writes 16 frames for each part: to[i] is the one at places[i].
    template<class Frame>
    [[gnu::always_inline]] LAGG_AVX512VL void write(__m256i places, Frame* to) const noexcept {
        // unpacked twice they are in order; the upper bytes of words do not count
        __m256i which = _mm256_setr_epi16(0x00, 0x01, 0x04, 0x05, 0x08, 0x09, 0x0c, 0x0d, //
                                          0x02, 0x03, 0x06, 0x07, 0x0a, 0x0b, 0x0e, 0x0f);
        auto* out = reinterpret_cast<__m256i*>(to);
        for (std::size_t i = 0; i < Parts; ++i, out += 4) {
            __m256i const place = _mm256_permutexvar_epi8(which, places);
            __m256i const low = _mm256_permutex2var_epi16(low_[0], place, low_[Parts - 1]);
            __m256i const high = _mm256_permutex2var_epi16(high_[0], place, high_[Parts - 1]);
            __m256i const a = _mm256_unpacklo_epi16(low, high);
            __m256i const b = _mm256_unpackhi_epi16(low, high);
            _mm256_storeu_si256(out, _mm256_unpacklo_epi32(a, upper_));
            _mm256_storeu_si256(out + 1, _mm256_unpackhi_epi32(a, upper_));
            _mm256_storeu_si256(out + 2, _mm256_unpacklo_epi32(b, upper_));
            _mm256_storeu_si256(out + 3, _mm256_unpackhi_epi32(b, upper_));
            which = _mm256_add_epi8(which, _mm256_set1_epi8(16));
        }
    }

private:
    [[gnu::always_inline]] LAGG_AVX512VL static __m256i lower_halves(__m256i a,
                                                                     __m256i b) noexcept {
        return _mm256_castps_si256(
            _mm256_shuffle_ps(_mm256_castsi256_ps(a), _mm256_castsi256_ps(b), 0x88));
    }

    __m256i upper_;
    __m256i low_[Parts];
    __m256i high_[Parts];
};

/// Four frames by their places, which are in the low bytes of `places`.
/// `frames`: in registers, Blocks times four.
template<std::size_t Blocks>
[[gnu::always_inline]] LAGG_AVX512VL inline __m256i pick(__m256i const* frames,
                                                         __m256i places) noexcept {
    if constexpr (Blocks == 2) {
        return _mm256_permutex2var_epi64(frames[0], places, frames[1]);
    } else {
        __mmask8 const later =
            _mm256_test_epi64_mask(places, _mm256_set1_epi64x(static_cast<long long>(2 * Blocks)));
        return _mm256_mask_mov_epi64(pick<Blocks / 2>(frames, places), later,
                                     pick<Blocks / 2>(frames + Blocks / 2, places));
    }
}

/// The same for `count` frames, and as many more as complete a register.
template<std::size_t Blocks, class Frame>
[[gnu::always_inline]] LAGG_AVX512VL inline void
write_picked(__m256i const* frames, std::size_t count, __m256i places, Frame* to) noexcept {
    __m256i which = _mm256_set_epi64x(3, 2, 1, 0);
    for (std::size_t i = 0; i < count; i += 4) {
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + i),
                            pick<Blocks>(frames, _mm256_permutexvar_epi8(which, places)));
        which = _mm256_add_epi8(which, _mm256_set1_epi64x(4));
    }
}

/// to[i] = frames[places[i]].  `count`: 1 to 32; `to`: room for 32.
template<class Frame>
[[gnu::always_inline]] LAGG_AVX512VL inline void
write_in_order(Frame const* frames, std::size_t count, __m256i places, Frame* to) noexcept {
    __m256i chunk[8];
    if (count <= 8) {
        load_frames<2>(frames, count, chunk);
        return write_picked<2>(chunk, count, places, to);
    }
    if (count <= 16) {
        load_frames<4>(frames, count, chunk);
        upper_half const upper = upper_half_of<4>(chunk);
        return upper.is_common ? frames_in_words<1>(chunk, upper.word).write(places, to)
                               : write_picked<4>(chunk, count, places, to);
    }
    load_frames<8>(frames, count, chunk);
    upper_half const upper = upper_half_of<8>(chunk);
    return upper.is_common ? frames_in_words<2>(chunk, upper.word).write(places, to)
                           : write_picked<8>(chunk, count, places, to);
}

} // namespace lagg::avx512vl

#pragma GCC diagnostic pop

#endif
