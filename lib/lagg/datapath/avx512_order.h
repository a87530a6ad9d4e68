// 33 to 64 frames in a new order with AVX-512: by the word, where their addresses allow it.
// Knows no frame, no hash and no group.
#pragma once

#include "lagg/datapath/avx512vl_order.h"

#if defined(__x86_64__)

#pragma GCC diagnostic push
#if defined(__GNUC__) && !defined(__clang__)
// gcc 12 takes offence at its own intrinsics.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif

namespace lagg::avx512 {

// For functions, because the rest of the program must not presume AVX-512.
#define LAGG_AVX512                                                                                \
    [[gnu::target("avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,bmi,bmi2,popcnt")]]

/// 64 frames in registers; beyond `count` the first one again.
template<class Frame>
[[gnu::always_inline]] LAGG_AVX512 inline void load_frames(Frame const* frames, std::size_t count,
                                                           __m512i* into) noexcept {
    static_assert(sizeof(Frame) == 8 && std::is_trivially_copyable_v<Frame>);
    frame_set const there = first_frames(count);
    __m512i const first =
        _mm512_set1_epi64(static_cast<long long>(std::bit_cast<std::uint64_t>(frames[0])));
    for (std::size_t i = 0; i < 8; ++i) {
        into[i] =
            _mm512_mask_loadu_epi64(first, static_cast<__mmask8>(there >> 8 * i), frames + 8 * i);
    }
}

/// In halves: Zen 5 does not forward one frame out of a store of 64 bytes to a driver.
template<class Frame>
[[gnu::always_inline]] LAGG_AVX512 inline void store_frames(__m512i eight, Frame* to) noexcept {
    auto* const half = reinterpret_cast<__m256i*>(to);
    _mm256_storeu_si256(half, _mm512_castsi512_si256(eight));
    _mm256_storeu_si256(half + 1, _mm512_extracti64x4_epi64(eight, 1));
}

/// As avx512vl::upper_half_of(), of 64 frames.
[[gnu::always_inline]] LAGG_AVX512 inline avx512vl::upper_half
upper_half_of(__m512i const* frames) noexcept {
    __m512i const first = _mm512_broadcastq_epi64(_mm512_castsi512_si128(frames[0]));
    __m512i unlike = _mm512_setzero_si512();
    for (std::size_t i = 0; i < 8; ++i) {
        // unlike | (frames ^ first)
        unlike = _mm512_ternarylogic_epi64(unlike, frames[i], first, 0xf6);
    }
    auto const word = static_cast<std::uint64_t>(_mm_cvtsi128_si64(_mm512_castsi512_si128(first)));
    return {static_cast<std::uint32_t>(word >> 32),
            _mm512_test_epi64_mask(unlike, _mm512_set1_epi64(~0xffff'ffffLL)) == 0};
}

/// As avx512vl::frames_in_words, of 64 frames, 32 words in a register.
class frames_in_words {
public:
    [[gnu::always_inline]] LAGG_AVX512 frames_in_words(__m512i const* frames,
                                                       std::uint32_t upper) noexcept
        : upper_(_mm512_set1_epi32(static_cast<int>(upper))) {
        __m512i const low_words = words_of_halves();
        __m512i const high_words = _mm512_add_epi16(low_words, _mm512_set1_epi16(1));
        for (std::size_t i = 0; i < 2; ++i) {
            __m512i const a = lower_halves(frames[4 * i], frames[4 * i + 1]);
            __m512i const b = lower_halves(frames[4 * i + 2], frames[4 * i + 3]);
            low_[i] = _mm512_permutex2var_epi16(a, low_words, b);
            high_[i] = _mm512_permutex2var_epi16(a, high_words, b);
        }
    }

    /// to[i] is the frame at places[i].
    template<class Frame>
    [[gnu::always_inline]] LAGG_AVX512 void write(__m512i places, Frame* to) const noexcept {
        __m512i which = places_of_words();
        for (std::size_t i = 0; i < 2; ++i, to += 32) {
            __m512i const place = _mm512_permutexvar_epi8(which, places);
            __m512i const low = _mm512_permutex2var_epi16(low_[0], place, low_[1]);
            __m512i const high = _mm512_permutex2var_epi16(high_[0], place, high_[1]);
            __m512i const a = _mm512_unpacklo_epi16(low, high);
            __m512i const b = _mm512_unpackhi_epi16(low, high);
            store_frames(_mm512_unpacklo_epi32(a, upper_), to);
            store_frames(_mm512_unpackhi_epi32(a, upper_), to + 8);
            store_frames(_mm512_unpacklo_epi32(b, upper_), to + 16);
            store_frames(_mm512_unpackhi_epi32(b, upper_), to + 24);
            which = _mm512_add_epi8(which, _mm512_set1_epi8(32));
        }
    }

private:
    using words = std::array<std::uint16_t, 32>;

    [[gnu::always_inline]] LAGG_AVX512 static __m512i load(words const& w) noexcept {
        return _mm512_load_si512(w.data());
    }

    /// Lower halves of sixteen frames: each quarter has two of the first register, then two of the
    /// second.
    [[gnu::always_inline]] LAGG_AVX512 static __m512i lower_halves(__m512i a, __m512i b) noexcept {
        return _mm512_castps_si512(
            _mm512_shuffle_ps(_mm512_castsi512_ps(a), _mm512_castsi512_ps(b), 0x88));
    }

    /// Where 32 frames have their low words, in two registers of lower halves.
    [[gnu::always_inline]] LAGG_AVX512 static __m512i words_of_halves() noexcept {
        alignas(64) static constexpr words places = [] {
            words w{};
            for (std::size_t f = 0; f < w.size(); ++f) {
                std::size_t const in_eight = f % 8;
                std::size_t const half = in_eight / 2 * 4 + f % 16 / 8 * 2 + in_eight % 2;
                w[f] = static_cast<std::uint16_t>(f / 16 * 32 + half * 2);
            }
            return w;
        }();
        return load(places);
    }

    /// Which frames' words are to be where, so that unpacked twice they are in order.
    [[gnu::always_inline]] LAGG_AVX512 static __m512i places_of_words() noexcept {
        alignas(64) static constexpr words places = [] {
            words w{};
            for (std::size_t i = 0; i < w.size(); ++i) {
                w[i] = static_cast<std::uint16_t>(i % 8 / 2 * 8 + i / 8 * 2 + i % 2);
            }
            return w;
        }();
        return load(places);
    }

    __m512i upper_;
    __m512i low_[2];
    __m512i high_[2];
};

/// Eight frames by their places, which are in the low bytes of `places`.
/// `frames`: in registers, Blocks times eight.
template<std::size_t Blocks>
[[gnu::always_inline]] LAGG_AVX512 inline __m512i pick(__m512i const* frames,
                                                       __m512i places) noexcept {
    if constexpr (Blocks == 2) {
        return _mm512_permutex2var_epi64(frames[0], places, frames[1]);
    } else {
        __mmask8 const later =
            _mm512_test_epi64_mask(places, _mm512_set1_epi64(static_cast<long long>(4 * Blocks)));
        return _mm512_mask_mov_epi64(pick<Blocks / 2>(frames, places), later,
                                     pick<Blocks / 2>(frames + Blocks / 2, places));
    }
}

/// to[i] = frames[places[i]].  `count`: 1 to 64; `to`: room for 64.
template<class Frame>
[[gnu::always_inline]] LAGG_AVX512 inline void
write_in_order(Frame const* frames, std::size_t count, __m512i places, Frame* to) noexcept {
    __m512i chunk[8];
    load_frames(frames, count, chunk);
    avx512vl::upper_half const upper = upper_half_of(chunk);
    if (upper.is_common) {
        return frames_in_words(chunk, upper.word).write(places, to);
    }
    __m512i which = _mm512_cvtepu8_epi64(_mm_set_epi64x(0, 0x0706'0504'0302'0100));
    for (std::size_t i = 0; i < count; i += 8) {
        store_frames(pick<8>(chunk, _mm512_permutexvar_epi8(which, places)), to + i);
        which = _mm512_add_epi8(which, _mm512_set1_epi64(8));
    }
}

} // namespace lagg::avx512

#pragma GCC diagnostic pop

#endif
