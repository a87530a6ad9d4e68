// Turns of one frame each with AVX2: sixteen pointers at a time change from the order of the burst
// to the order of members.
#pragma once

#include "lagg/datapath/distributor.h"

#if defined(__x86_64__)

#include <immintrin.h>

#include <type_traits>

namespace lagg::avx2 {

// For functions, because the rest of the program must not presume AVX2.
#define LAGG_AVX2_IN_TURN [[gnu::target("avx2")]]

LAGG_AVX2_IN_TURN inline __m256i four_at(void const* p) noexcept {
    return _mm256_loadu_si256(static_cast<__m256i const*>(p));
}

LAGG_AVX2_IN_TURN inline void store_four(void* p, __m256i four) noexcept {
    _mm256_storeu_si256(static_cast<__m256i*>(p), four);
}

/// Four rounds of four neighbours: frames of the k-th go to to + k * chunk_size.
template<class Frame>
LAGG_AVX2_IN_TURN inline void four_rounds(Frame const* from, std::size_t members,
                                          Frame* to) noexcept {
    __m256i const a = four_at(from);
    __m256i const b = four_at(from + members);
    __m256i const c = four_at(from + 2 * members);
    __m256i const d = four_at(from + 3 * members);
    __m256i const even_ab = _mm256_unpacklo_epi64(a, b); // neighbours 0 and 2
    __m256i const even_cd = _mm256_unpacklo_epi64(c, d);
    __m256i const odd_ab = _mm256_unpackhi_epi64(a, b); // 1 and 3
    __m256i const odd_cd = _mm256_unpackhi_epi64(c, d);
    store_four(to, _mm256_permute2x128_si256(even_ab, even_cd, 0x20));
    store_four(to + chunk_size, _mm256_permute2x128_si256(odd_ab, odd_cd, 0x20));
    store_four(to + 2 * chunk_size, _mm256_permute2x128_si256(even_ab, even_cd, 0x31));
    store_four(to + 3 * chunk_size, _mm256_permute2x128_si256(odd_ab, odd_cd, 0x31));
}

/// Four rounds of two.
template<class Frame>
LAGG_AVX2_IN_TURN inline void four_rounds_of_two(Frame const* from, Frame* to) noexcept {
    __m256i const a = four_at(from);
    __m256i const b = four_at(from + 4);
    store_four(to, _mm256_permute4x64_epi64(_mm256_unpacklo_epi64(a, b), 0xd8));
    store_four(to + chunk_size, _mm256_permute4x64_epi64(_mm256_unpackhi_epi64(a, b), 0xd8));
}

/// Four neighbouring columns, as many rounds as come in fours; `from`: the first frame of the first
/// one.  Returns how many rounds.
template<class Frame>
LAGG_AVX2_IN_TURN inline std::size_t rounds_by_four(std::size_t members, Frame const* from,
                                                    std::size_t count, Frame* to) noexcept {
    std::size_t rounds = 0;
    for (std::size_t const step = 4 * members; count >= step; count -= step) {
        four_rounds(from, members, to + rounds);
        rounds += 4;
        from += step;
    }
    return rounds;
}

/// Two or four members, which most have: everything but `count` is a constant.  Returns how many
/// rounds were dealt.
template<std::size_t Members, class Frame>
LAGG_AVX2_IN_TURN inline std::size_t rounds_of(Frame const* frames, std::size_t count,
                                               Frame* columns) noexcept {
    static_assert(Members == 2 || Members == 4);
    std::size_t rounds = 0;
    for (; (rounds + 4) * Members <= count; rounds += 4) {
        if constexpr (Members == 2) {
            four_rounds_of_two(frames + rounds * 2, columns + rounds);
        } else {
            four_rounds(frames + rounds * 4, 4, columns + rounds);
        }
    }
    return rounds;
}

/// deal_columns() for any other number of members, at least four, and at least four rounds.  Out of
/// line, and called last: the usual numbers need no stack.
template<class Frame>
[[gnu::noinline]] LAGG_AVX2_IN_TURN dealt deal_to_many(std::size_t members, Frame const* frames,
                                                       std::size_t count, Frame* columns) noexcept {
    std::size_t const last = members - 4; // these may overlap the columns before
    std::size_t const rounds =
        rounds_by_four(members, frames + last, count, columns + last * chunk_size);
    for (std::size_t c = 0; c < last; c += 4) {
        rounds_by_four(members, frames + c, count, columns + c * chunk_size);
    }
    return finish_columns(members, frames, count, rounds, columns);
}

/// As lagg::deal_columns().
template<class Frame>
LAGG_AVX2_IN_TURN dealt deal_columns(std::size_t members, Frame const* frames, std::size_t count,
                                     Frame* columns) noexcept {
    static_assert(sizeof(Frame) == 8 && std::is_trivially_copyable_v<Frame>);
    std::size_t rounds = 0;
    if (members == 4) {
        rounds = rounds_of<4>(frames, count, columns);
    } else if (members == 2) {
        rounds = rounds_of<2>(frames, count, columns);
    } else if (members > 4 && count >= 4 * members) {
        return deal_to_many(members, frames, count, columns);
    }
    if (rounds * members == count) [[likely]] {
        return {rounds, 0};
    }
    return finish_columns(members, frames, count, rounds, columns);
}

} // namespace lagg::avx2

#endif
