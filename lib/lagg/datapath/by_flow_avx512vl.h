// Frames grouped by flow with AVX-512's new instructions (VL, VBMI, VBMI2) on registers of 256
// bits, which is as wide as EAL allows unless it is told otherwise: hashed up to 32 at a time
// (avx512vl_hashes.h), their buckets looked up in registers, each member's places picked out of all
// at once, and the frames put in that order (avx512vl_order.h).  Short bursts go AVX2's way.
#pragma once

#include "lagg/datapath/avx512vl_hashes.h"
#include "lagg/datapath/avx512vl_order.h"

#if defined(__x86_64__)

#include <algorithm>
#include <array>
#include <bit>

#pragma GCC diagnostic push
#if defined(__GNUC__) && !defined(__clang__)
// gcc 12 takes offence at its own intrinsics.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif

namespace lagg::avx512vl {

static_assert(chunk_size == 2 * half);
/// Whether AVX2 groups `count` frames sooner: this goes through all members, that through the
/// frames.
constexpr bool are_few(std::size_t count, std::size_t members) noexcept {
    return count <= block || (members > 4 && count <= half / 2);
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

/// 0, 1, 2... in bytes.
alignas(half) inline constexpr auto numbers = [] {
    std::array<std::uint8_t, chunk_size> n{};
    for (std::size_t i = 0; i < n.size(); ++i) {
        n[i] = static_cast<std::uint8_t>(i);
    }
    return n;
}();

/// The members of up to 32 frames, beginning with frame `from` of the chunk, a byte each.
template<class Read, class Hash>
[[gnu::always_inline]] LAGG_AVX512VL inline __m256i
members_from(std::size_t from, flow_table const& table, typename Read::frame const* frames,
             std::size_t count, grouped_frames<typename Read::frame>& groups) noexcept {
    Hash hash(table);
    __m256i const members =
        members_of(table.bucket.data(), low_bytes<Read>(table, hash, frames + from, count));
    store(groups.member.data() + from, members);
    return members;
}

/// Groups up to 32 frames.  In registers from first to last: what each member gets is known late,
/// and by way of memory it would be known later.
template<class Read, class Hash>
[[gnu::always_inline]] LAGG_AVX512VL inline void
group_half(flow_table const& table, typename Read::frame const* frames, std::size_t count,
           grouped_frames<typename Read::frame>& groups) noexcept {
    __m256i const members = members_from<Read, Hash>(0, table, frames, count, groups);
    auto const present = static_cast<__mmask32>(first_frames(count));
    __m256i const places_of_all = load(numbers.data());
    __m256i places = _mm256_setzero_si256();
    __m256i member = _mm256_setzero_si256();
    std::size_t at = 0;
    for (std::size_t m = 0; m < table.members; ++m) {
        frame_set const share = _mm256_mask_cmpeq_epi8_mask(present, members, member);
        auto const size = static_cast<std::size_t>(std::popcount(share));
        // and zeros behind them, where the next members' go
        places = _mm256_mask_expand_epi8(
            places, static_cast<__mmask32>(~frame_set{0} << at),
            _mm256_maskz_compress_epi8(static_cast<__mmask32>(share), places_of_all));
        groups.first[m] = static_cast<std::uint16_t>(at);
        groups.size[m] = static_cast<std::uint8_t>(size);
        at += size;
        member = _mm256_add_epi8(member, _mm256_set1_epi8(1));
    }
    write_in_order(frames, count, places, groups.frame.data());
}

/// Groups 33 to 64 frames: too many to be picked out of registers.
template<class Read, class Hash>
LAGG_AVX512VL void group_both_halves(flow_table const& table, typename Read::frame const* frames,
                                     std::size_t count,
                                     grouped_frames<typename Read::frame>& groups) noexcept {
    __m256i const first = members_from<Read, Hash>(0, table, frames, half, groups);
    __m256i const second = members_from<Read, Hash>(half, table, frames, count - half, groups);
    auto const present = static_cast<__mmask32>(first_frames(count - half));

    std::uint8_t places[chunk_size + half]; // each store writes a whole register
    std::size_t at = 0;
    __m256i member = _mm256_setzero_si256();
    for (std::size_t m = 0; m < table.members; ++m) {
        std::size_t const begin = at;
        __mmask32 const of_first = _mm256_cmpeq_epi8_mask(first, member);
        __mmask32 const of_second = _mm256_mask_cmpeq_epi8_mask(present, second, member);
        store(places + at, _mm256_maskz_compress_epi8(of_first, load(numbers.data())));
        at += static_cast<std::size_t>(std::popcount(of_first));
        store(places + at, _mm256_maskz_compress_epi8(of_second, load(numbers.data() + half)));
        at += static_cast<std::size_t>(std::popcount(of_second));
        groups.first[m] = static_cast<std::uint16_t>(begin);
        groups.size[m] = static_cast<std::uint8_t>(at - begin);
        member = _mm256_add_epi8(member, _mm256_set1_epi8(1));
    }

    std::size_t i = 0;
    for (; i + 8 <= count; i += 8) {
        for (std::size_t k = 0; k < 8; ++k) {
            groups.frame[i + k] = frames[places[i + k]];
        }
    }
    for (; i < count; ++i) {
        groups.frame[i] = frames[places[i]];
    }
}

template<class Read, class Hash>
LAGG_AVX512VL void group_hashed_by(flow_table const& table, typename Read::frame const* frames,
                                   std::size_t count,
                                   grouped_frames<typename Read::frame>& groups) noexcept {
    if (count == half) {
        group_half<Read, Hash>(table, frames, half, groups);
    } else if (count < half) {
        group_half<Read, Hash>(table, frames, count, groups);
    } else {
        group_both_halves<Read, Hash>(table, frames, count, groups);
    }
}

template<class Read>
inline constexpr group_functions<Read> by_way{
    group_hashed_by<Read, by_headers<Read, true, false, false>>,
    group_hashed_by<Read, by_headers<Read, false, true, false>>,
    group_hashed_by<Read, by_headers<Read, true, true, false>>,
    group_hashed_by<Read, by_headers<Read, false, true, true>>,
    group_hashed_by<Read, by_headers<Read, true, true, true>>,
    group_hashed_by<Read, avx2::by_flowid<Read>>,
    lagg::group_by_flow<Read>,
};

/// A burst that has no plain IPv4, as it seems.
template<class Read, bool L2>
group_function<Read>* for_kind(unsigned found) noexcept {
    return found == kind::ipv6
               ? group_hashed_by<Read, by_kind<Read, avx2::untagged_ipv6<L2>, L2, kind::ipv6>>
           : found == kind::tagged
               ? group_hashed_by<Read, by_kind<Read, avx2::tagged_ipv4<L2>, L2, kind::tagged>>
               : avx2::group_by_flow<Read, avx2::sizes::in_memory>;
}

template<class Read>
LAGG_AVX512VL void group_by_flow(flow_table const& table, typename Read::frame const* frames,
                                 std::size_t count,
                                 grouped_frames<typename Read::frame>& groups) noexcept {
    if (are_few(count, table.members)) {
        return avx2::group_by_flow<Read, avx2::sizes::in_memory>(table, frames, count, groups);
    }
    if (is_by_upper(table.plan.way) && avx2::seems_odd<Read>(frames, count)) {
        unsigned const found = kind_of<Read>(frames[0]);
        auto* const group =
            table.rule.l2 ? for_kind<Read, true>(found) : for_kind<Read, false>(found);
        return group(table, frames, count, groups);
    }
    return for_way<Read>(by_way<Read>, table.plan.way)(table, frames, count, groups);
}

} // namespace lagg::avx512vl

#pragma GCC diagnostic pop

#endif
