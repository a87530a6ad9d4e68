// Frames grouped by flow with AVX-512's new instructions (VL, VBMI, VBMI2) on registers of 256
// bits, which is as wide as EAL allows unless it is told otherwise.  Hashes as AVX2 does; buckets
// are looked up in registers and every member's frames picked out of 32 at once.
#pragma once

#include "lagg/datapath/by_flow_avx2.h"

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
inline constexpr std::size_t halves = chunk_size / half;

LAGG_AVX512VL inline __m256i load(std::uint8_t const* bytes) noexcept {
    return _mm256_loadu_si256(reinterpret_cast<__m256i const*>(bytes));
}

/// `low`: the low eight bits of 32 hashes, a byte each.
LAGG_AVX512VL inline __m256i members_of(std::uint8_t const* bucket, __m256i low) noexcept {
    __m256i found[4];
    for (std::size_t i = 0; i < 4; ++i) {
        found[i] = _mm256_permutex2var_epi8(load(bucket + 64 * i), low, load(bucket + 64 * i + 32));
    }
    __mmask32 const odd = _mm256_test_epi8_mask(low, _mm256_set1_epi8(0x40));
    __m256i const near = _mm256_mask_mov_epi8(found[0], odd, found[1]);
    __m256i const far = _mm256_mask_mov_epi8(found[2], odd, found[3]);
    return _mm256_mask_mov_epi8(near, _mm256_movepi8_mask(low), far);
}

/// The low bytes of `count` hashes, at most 32.
template<class Read, class Hash>
LAGG_AVX512VL inline __m256i low_bytes(Hash& hash, typename Read::frame const* frames,
                                       std::size_t count) noexcept {
    __m256i const first_of_each = _mm256_set1_epi32(0x1810'0800);
    __m256i low = _mm256_setzero_si256();
    std::uint64_t hashes[block];
    std::size_t i = 0;
    for (; i + block <= count; i += block) {
        hash(frames + i, hashes);
        low = _mm256_mask_permutexvar_epi8(
            low, 0xfU << i, first_of_each,
            _mm256_loadu_si256(reinterpret_cast<__m256i const*>(hashes)));
    }
    if (i < count) {
        typename Read::frame rest[block];
        std::fill_n(rest, block, frames[i]);
        std::copy(frames + i, frames + count, rest);
        hash(rest, hashes);
        low = _mm256_mask_permutexvar_epi8(
            low, 0xfU << i, first_of_each,
            _mm256_loadu_si256(reinterpret_cast<__m256i const*>(hashes)));
    }
    return low;
}

template<class Read, class Hash>
LAGG_AVX512VL void group_hashed_by(flow_table const& table, typename Read::frame const* frames,
                                   std::size_t count,
                                   grouped_frames<typename Read::frame>& groups) noexcept {
    Hash hash(table);
    alignas(64) static constexpr std::array<std::uint8_t, chunk_size> numbers = [] {
        std::array<std::uint8_t, chunk_size> n{};
        for (std::size_t i = 0; i < n.size(); ++i) {
            n[i] = static_cast<std::uint8_t>(i);
        }
        return n;
    }();
    __m256i members[halves];
    __mmask32 present[halves];
    std::size_t used = 0;
    for (; used * half < count; ++used) {
        std::size_t const here = std::min(half, count - used * half);
        present[used] = static_cast<__mmask32>(first_frames(here));
        members[used] =
            members_of(table.bucket.data(), low_bytes<Read>(hash, frames + used * half, here));
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(groups.member.data() + used * half),
                            members[used]);
    }

    std::uint8_t places[chunk_size + half]; // each store writes a whole register
    std::size_t at = 0;
    for (std::size_t m = 0; m < table.members; ++m) {
        __m256i const member = _mm256_set1_epi8(static_cast<char>(m));
        std::size_t const first = at;
        for (std::size_t h = 0; h < used; ++h) {
            __mmask32 const share = _mm256_mask_cmpeq_epi8_mask(present[h], members[h], member);
            _mm256_storeu_si256(reinterpret_cast<__m256i*>(places + at),
                                _mm256_maskz_compress_epi8(share, load(numbers.data() + h * half)));
            at += static_cast<std::size_t>(std::popcount(share));
        }
        groups.first[m] = static_cast<std::uint16_t>(first);
        groups.size[m] = static_cast<std::uint8_t>(at - first);
    }

    std::size_t i = 0;
    for (; i + 4 <= count; i += 4) {
        groups.frame[i] = frames[places[i]];
        groups.frame[i + 1] = frames[places[i + 1]];
        groups.frame[i + 2] = frames[places[i + 2]];
        groups.frame[i + 3] = frames[places[i + 3]];
    }
    for (; i < count; ++i) {
        groups.frame[i] = frames[places[i]];
    }
}

template<class Read>
LAGG_AVX512VL void group_by_flow(flow_table const& table, typename Read::frame const* frames,
                                 std::size_t count,
                                 grouped_frames<typename Read::frame>& groups) noexcept {
    net::hash_rule const& rule = table.rule;
    if (rule.use_flowid) {
        group_hashed_by<Read, avx2::by_flowid<Read>>(table, frames, count, groups);
    } else if (rule.symmetric) {
        lagg::group_by_flow<Read>(table, frames, count, groups);
    } else if (rule.l3 || rule.l4) {
        bool const odd = avx2::begins_odd<Read>(frames, count);
        auto const group = rule.l2
                               ? (odd ? group_hashed_by<Read, avx2::by_odd_headers<Read, true>>
                                      : group_hashed_by<Read, avx2::by_headers<Read, true, true>>)
                               : (odd ? group_hashed_by<Read, avx2::by_odd_headers<Read, false>>
                                      : group_hashed_by<Read, avx2::by_headers<Read, false, true>>);
        group(table, frames, count, groups);
    } else {
        group_hashed_by<Read, avx2::by_headers<Read, true, false>>(table, frames, count, groups);
    }
}

} // namespace lagg::avx512vl

#pragma GCC diagnostic pop

#endif
