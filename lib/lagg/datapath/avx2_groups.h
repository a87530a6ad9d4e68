// Frames whose hashes are known, put into groups with AVX2 where frame by frame (grouped_frames.h)
// takes longer: a few frames, or many members.  Knows no mbuf and no header.
#pragma once

#include "lagg/datapath/avx2_lanes.h"
#include "lagg/datapath/by_flow.h"

#if defined(__x86_64__)

#include <array>
#include <bit>
#include <cstring>
#include <type_traits>

namespace lagg::avx2 {

/// Byte k of row `mask`: the half of a frame's pointer that comes to half k when those frames of
/// four that are not in `mask` are left out.
inline constexpr auto halves_of_those = [] {
    std::array<std::uint64_t, all_of_block + 1> rows{};
    for (unsigned mask = 0; mask < rows.size(); ++mask) {
        unsigned to = 0;
        for (std::uint64_t i = 0; i < block; ++i) {
            if ((mask >> i & 1U) != 0) {
                rows[mask] |= ((2 * i + 1) << 8 | 2 * i) << to;
                to += 16;
            }
        }
    }
    return rows;
}();

/// The members of four frames, a byte each.
LAGG_AVX2 inline std::uint32_t members_of(std::uint8_t const* bucket, __m256i hashes) noexcept {
    // not by way of memory: a burst that is this short waits for it
    __m128i const first = _mm256_castsi256_si128(hashes);
    __m128i const second = _mm256_extracti128_si256(hashes, 1);
    auto const member = [bucket](int hash) { return std::uint32_t{bucket[hash]}; };
    return member(_mm_extract_epi8(first, 0)) | member(_mm_extract_epi8(first, 8)) << 8 |
           member(_mm_extract_epi8(second, 0)) << 16 | member(_mm_extract_epi8(second, 8)) << 24;
}

/// Groups one to four frames, member by member: each one's go to a place that is known beforehand.
template<class Frame>
LAGG_AVX2 inline void group_four(flow_table const& table, Frame const* four, std::size_t count,
                                 __m256i hashes, grouped_frames<Frame>& groups) noexcept {
    static_assert(sizeof(Frame) == 8 && std::is_trivially_copyable_v<Frame> &&
                  max_members % 4 == 0);
    std::uint32_t const members = members_of(table.bucket.data(), hashes);
    std::memcpy(groups.member.data(), &members, sizeof members);
    __m256i const who = _mm256_cvtepu8_epi64(_mm_cvtsi32_si128(static_cast<int>(members)));
    __m256i const all_four = _mm256_loadu_si256(reinterpret_cast<__m256i const*>(four));
    auto const present = static_cast<unsigned>(first_frames(count));
    __m256i member = _mm256_setzero_si256();
    for (std::size_t m = 0; m < table.members; m += 4) { // four at a time, whether or not there are
        std::uint32_t sizes = 0;
        std::uint64_t firsts = 0;
#pragma GCC unroll 4
        for (std::size_t k = 0; k < 4; ++k) {
            unsigned const share = bits_of(_mm256_cmpeq_epi64(who, member)) & present;
            __m128i const halves =
                _mm_loadl_epi64(reinterpret_cast<__m128i const*>(&halves_of_those[share]));
            _mm256_storeu_si256(
                reinterpret_cast<__m256i*>(groups.frame.data() + (m + k) * chunk_size),
                _mm256_permutevar8x32_epi32(all_four, _mm256_cvtepu8_epi32(halves)));
            sizes |= static_cast<std::uint32_t>(std::popcount(share)) << 8 * k;
            firsts |= std::uint64_t{(m + k) * chunk_size} << 16 * k;
            member = _mm256_add_epi64(member, _mm256_set1_epi64x(1));
        }
        std::memcpy(groups.size.data() + m, &sizes, sizeof sizes);
        std::memcpy(groups.first.data() + m, &firsts, sizeof firsts);
    }
}

/// Where in `first` and `second`, the members of 64 frames, member `m` stands.
LAGG_AVX2 inline frame_set frames_of(__m256i first, __m256i second, std::uint8_t m) noexcept {
    __m256i const member = _mm256_set1_epi8(static_cast<char>(m));
    auto const low =
        static_cast<std::uint32_t>(_mm256_movemask_epi8(_mm256_cmpeq_epi8(first, member)));
    auto const high =
        static_cast<std::uint32_t>(_mm256_movemask_epi8(_mm256_cmpeq_epi8(second, member)));
    return frame_set{high} << 32 | low;
}

/// Groups for any number of members.  How many frames before it are its member's is counted for
/// each frame by itself: a size in memory would be stored and loaded again from frame to frame.
template<class Frame>
LAGG_AVX2 inline void group_ranked(flow_table const& table, Frame const* frames,
                                   std::uint64_t const* hashes, std::size_t count,
                                   grouped_frames<Frame>& groups) noexcept {
    for (std::size_t i = 0; i < count; ++i) {
        groups.member[i] = table.bucket[hashes[i] % bucket_count];
    }
    static_assert(chunk_size == 2 * sizeof(__m256i));
    auto const* const of_all = reinterpret_cast<__m256i const*>(groups.member.data());
    __m256i const first = _mm256_loadu_si256(of_all);
    __m256i const second = _mm256_loadu_si256(of_all + 1);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(groups.size.data()), _mm256_setzero_si256());
    for (std::size_t m = 0; m < max_members; ++m) {
        groups.first[m] = static_cast<std::uint16_t>(m * chunk_size);
    }
    for (std::size_t i = 0; i < count; ++i) {
        std::uint8_t const m = groups.member[i];
        auto const before =
            static_cast<std::size_t>(std::popcount(_bzhi_u64(frames_of(first, second, m), i)));
        groups.frame[m * chunk_size + before] = frames[i];
        groups.size[m] = static_cast<std::uint8_t>(before + 1); // the last one's stays
    }
}

} // namespace lagg::avx2

#endif
