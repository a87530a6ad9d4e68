// Frames grouped by flow with AVX-512 (VBMI, VBMI2) on registers of 512 bits, where there are more
// than fit into those of 256: eight frames at a time, buckets looked up in registers, and every
// member's frames picked out of the chunk at once.
// Up to 32 frames go avx512vl's way, which measured sooner, as do bursts without plain IPv4; other
// frames that are not plain IPv4, and symmetric rules, the reference's, one by one.
#pragma once

#include "lagg/datapath/avx512_order.h"
#include "lagg/datapath/by_flow_avx512vl.h"

#if defined(__x86_64__)

#include <algorithm>
#include <immintrin.h>

#include <type_traits>

#pragma GCC diagnostic push
#if defined(__GNUC__) && !defined(__clang__)
// gcc 12 takes offence at its own intrinsics.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif

namespace lagg::avx512 {

inline constexpr std::size_t block = 8;
inline constexpr unsigned all_of_block = 0xff;

inline constexpr std::uint32_t readable = 38; // Ethernet, IPv4, ports

/// Constants of a burst, each once for every frame of a register.
struct rule_masks {
    __m512i l2_bytes, l2_key;
    __m512i transport_bytes, transport_key;
};

LAGG_AVX512 inline __m512i all(std::uint64_t word) noexcept {
    return _mm512_set1_epi64(static_cast<long long>(word));
}

LAGG_AVX512 inline __m512i four_times(std::uint64_t low, std::uint64_t high) noexcept {
    return _mm512_broadcast_i32x4(
        _mm_set_epi64x(static_cast<long long>(high), static_cast<long long>(low)));
}

LAGG_AVX512 inline __m512i four_times(net::hash_lane const& lane) noexcept {
    return _mm512_broadcast_i32x4(_mm_loadu_si128(reinterpret_cast<__m128i const*>(&lane)));
}

LAGG_AVX512 inline rule_masks masks_of(net::hash_plan const& plan) noexcept {
    return {four_times(~std::uint64_t{0}, 0xffff'ffffU), four_times(plan.keys.l2),
            four_times(plan.transport_bytes), four_times(plan.keys.transport)};
}

LAGG_AVX512 inline __m128i load(std::uint8_t const* bytes) noexcept {
    return _mm_loadu_si128(reinterpret_cast<__m128i const*>(bytes));
}

/// 16 bytes from `at` on of every other frame.
LAGG_AVX512 inline __m512i four(std::uint8_t const* const* data, std::size_t at) noexcept {
    __m512i words = _mm512_castsi128_si512(load(data[0] + at));
    words = _mm512_inserti64x2(words, load(data[2] + at), 1);
    words = _mm512_inserti64x2(words, load(data[4] + at), 2);
    return _mm512_inserti64x2(words, load(data[6] + at), 3);
}

/// product_of() of both halves of each frame's lane, not added yet.
LAGG_AVX512 inline __m512i products(__m512i lane, __m512i bytes, __m512i key) noexcept {
    __m512i const changed = _mm512_xor_si512(_mm512_and_si512(lane, bytes), key);
    return _mm512_mul_epu32(changed, _mm512_srli_epi64(changed, 32));
}

LAGG_AVX512 inline __m512i finish(__m512i sum) noexcept {
    __m512i const folded = _mm512_xor_si512(sum, _mm512_srli_epi64(sum, 32));
    __m512i p = _mm512_mul_epu32(_mm512_xor_si512(folded, all(net::finish_xor)),
                                 _mm512_add_epi32(folded, all(net::finish_add)));
    p = _mm512_mul_epu32(_mm512_xor_si512(p, _mm512_srli_epi64(p, 32)), all(net::finish_factor));
    return _mm512_xor_si512(p, _mm512_srli_epi64(p, 32));
}

/// Which words of two tell that a frame is not plain IPv4.  `middle`: bytes 6 to 21, `end`: bytes
/// 22 to 37.
LAGG_AVX512 inline __mmask16 not_plain(__m512i middle, __m512i end) noexcept {
    // protocol; type 0x0800, version and header length, neither MF nor an offset
    __m512i const both = _mm512_mask_mov_epi32(middle, 0x1111, end);
    __m512i const checked = four_times(0xffff'0000'0000'ff00U, 0xff3f'0000'0000'00ffU);
    __m512i const found = _mm512_and_si512(both, checked);
    __m512i const tcp = four_times(0x0008'0000'0000'0000U | 6U << 8, 0x45U);
    __m512i const udp = four_times(0x0008'0000'0000'0000U | 17U << 8, 0x45U);
    return _mm512_mask_cmpneq_epi32_mask(_mm512_cmpneq_epi32_mask(found, tcp), found, udp);
}

/// Which words tell that a frame is not IPv4 without options.  `begin`: the first 16 bytes of four
/// frames.
LAGG_AVX512 inline __mmask16 not_ipv4(__m512i begin) noexcept {
    // type 0x0800, version and header length
    __m512i const found = _mm512_and_si512(begin, _mm512_set1_epi32(0x00ff'ffff));
    return _mm512_mask_cmpneq_epi32_mask(0x8888, found, _mm512_set1_epi32(0x0045'0008));
}

/// Which words tell that a frame has a tag.  `begin`: the first 16 bytes of four frames.
LAGG_AVX512 inline __mmask16 tagged(__m512i begin) noexcept {
    constexpr __mmask16 types = 0x8888; // the last word of each
    __m512i const type = _mm512_and_si512(begin, _mm512_set1_epi32(0xffff));
    return static_cast<__mmask16>(
        _mm512_mask_cmpeq_epi32_mask(types, type, _mm512_set1_epi32(0x0081)) |
        _mm512_mask_cmpeq_epi32_mask(types, type, _mm512_set1_epi32(0xa888)) |
        _mm512_mask_cmpeq_epi32_mask(types, type, _mm512_set1_epi32(0x0091)));
}

/// The same hashes with those of other frames put right: one bit for each in `which`.
template<class Read>
LAGG_AVX512 inline __m512i others(flow_table const& table, typename Read::frame const* frames,
                                  unsigned which, __m512i hashes) noexcept {
    alignas(64) std::uint64_t words[block];
    _mm512_store_si512(words, hashes);
    hash_others<Read>(table, frames, which, words);
    return _mm512_load_si512(words);
}

/// Puts right the hashes of frames that are not plain IPv4.
/// `even`, `odd`: four bits each for frames 0, 2, 4, 6 and 1, 3, 5, 7.
template<class Read>
LAGG_AVX512 inline __m512i mend(flow_table const& table, typename Read::frame const* frames,
                                unsigned even, unsigned odd, __m512i hashes) noexcept {
    unsigned which = 0;
    for (unsigned i = 0; i < block / 2; ++i) {
        which |= static_cast<unsigned>((even >> 4 * i & 0xfU) != 0) << 2 * i;
        which |= static_cast<unsigned>((odd >> 4 * i & 0xfU) != 0) << (2 * i + 1);
    }
    return others<Read>(table, frames, which, hashes);
}

/// The hashes of eight frames.  L2, Upper: which lanes count; L4: ports do, too.
template<class Read, bool L2, bool Upper, bool L4>
[[gnu::always_inline]] LAGG_AVX512 inline __m512i
hash_block(flow_table const& table, rule_masks const& with,
           typename Read::frame const* frames) noexcept {
    std::uint8_t const* data[block];
    for (std::size_t i = 0; i < block; ++i) {
        data[i] = Read::data(frames[i]);
        if (Read::length(frames[i]) < readable) [[unlikely]] {
            return others<Read>(table, frames, all_of_block, all(0));
        }
    }
    constexpr bool begin_tells = L2 && Upper && !L4;
    // even and odd ones: so that unpacking puts all in order
    __m512i a = _mm512_setzero_si512();
    __m512i b = _mm512_setzero_si512();
    __mmask16 even = 0;
    __mmask16 odd = 0;
    if constexpr (Upper) {
        __m512i const end_even = four(data, 22);
        __m512i const end_odd = four(data + 1, 22);
        if constexpr (!begin_tells) {
            even = not_plain(four(data, 6), end_even);
            odd = not_plain(four(data + 1, 6), end_odd);
        }
        a = products(end_even, with.transport_bytes, with.transport_key);
        b = products(end_odd, with.transport_bytes, with.transport_key);
    }
    if constexpr (L2) {
        __m512i const begin_even = four(data, 0);
        __m512i const begin_odd = four(data + 1, 0);
        if constexpr (!Upper) {
            even = tagged(begin_even);
            odd = tagged(begin_odd);
        } else if constexpr (begin_tells) {
            even = not_ipv4(begin_even);
            odd = not_ipv4(begin_odd);
        }
        a = _mm512_add_epi64(a, products(begin_even, with.l2_bytes, with.l2_key));
        b = _mm512_add_epi64(b, products(begin_odd, with.l2_bytes, with.l2_key));
    }
    __m512i const hashes =
        finish(_mm512_add_epi64(_mm512_unpacklo_epi64(a, b), _mm512_unpackhi_epi64(a, b)));
    if ((even | odd) != 0) [[unlikely]] {
        return mend<Read>(table, frames, even, odd, hashes);
    }
    return hashes;
}

/// The hashes of eight frames that the NIC may have hashed.
template<class Read>
[[gnu::always_inline]] LAGG_AVX512 inline __m512i
flowid_block(flow_table const& table, __m512i key, typename Read::frame const* frames) noexcept {
    alignas(64) std::uint64_t ids[block];
    unsigned without = 0;
    for (unsigned i = 0; i < block; ++i) {
        ids[i] = Read::flowid(frames[i]);
        without |= static_cast<unsigned>(!Read::has_flowid(frames[i])) << i;
    }
    __m512i const changed = _mm512_xor_si512(
        _mm512_set_epi64(static_cast<long long>(ids[7]), static_cast<long long>(ids[6]),
                         static_cast<long long>(ids[5]), static_cast<long long>(ids[4]),
                         static_cast<long long>(ids[3]), static_cast<long long>(ids[2]),
                         static_cast<long long>(ids[1]), static_cast<long long>(ids[0])),
        key);
    __m512i const hashes = finish(_mm512_mul_epu32(changed, _mm512_srli_epi64(changed, 32)));
    return without == 0 ? hashes : others<Read>(table, frames, without, hashes);
}

/// `low`: the low eight bits of each frame's hash, a byte each.
LAGG_AVX512 inline __m512i members_of(std::array<std::uint8_t, bucket_count> const& bucket,
                                      __m512i low) noexcept {
    __m512i const near = _mm512_permutex2var_epi8(_mm512_loadu_si512(bucket.data()), low,
                                                  _mm512_loadu_si512(bucket.data() + 64));
    __m512i const far = _mm512_permutex2var_epi8(_mm512_loadu_si512(bucket.data() + 128), low,
                                                 _mm512_loadu_si512(bucket.data() + 192));
    return _mm512_mask_mov_epi8(near, _mm512_movepi8_mask(low), far);
}

/// 0, 1, 2... in bytes.
LAGG_AVX512 inline __m512i count_up() noexcept {
    alignas(64) static constexpr std::array<std::uint8_t, 64> numbers = [] {
        std::array<std::uint8_t, 64> n{};
        for (std::size_t i = 0; i < n.size(); ++i) {
            n[i] = static_cast<std::uint8_t>(i);
        }
        return n;
    }();
    return _mm512_load_si512(numbers.data());
}

/// `low`: the low eight bits of each frame's hash, a byte each.
template<class Frame>
LAGG_AVX512 inline void group_hashed(flow_table const& table, __m512i low, Frame const* frames,
                                     std::size_t count, grouped_frames<Frame>& groups) noexcept {
    __m512i const members = members_of(table.bucket, low);
    frame_set const present = first_frames(count);
    __m512i const numbers = count_up();
    __m512i places = _mm512_setzero_si512();
    __m512i member = _mm512_setzero_si512();
    std::size_t at = 0;
    for (std::size_t m = 0; m < table.members; ++m) {
        frame_set const share = _mm512_mask_cmpeq_epi8_mask(present, members, member);
        auto const size = static_cast<std::size_t>(std::popcount(share));
        __m512i const mine = _mm512_maskz_compress_epi8(share, numbers);
        // the next `size` bytes of `places`; none when all 64 are taken
        places = _mm512_mask_expand_epi8(
            places, _bzhi_u64(~frame_set{0}, static_cast<unsigned>(size)) << (at & 63U), mine);
        groups.first[m] = static_cast<std::uint16_t>(at);
        groups.size[m] = static_cast<std::uint8_t>(size);
        at += size;
        member = _mm512_add_epi8(member, _mm512_set1_epi8(1));
    }
    _mm512_storeu_si512(groups.member.data(), members);
    write_in_order(frames, count, places, groups.frame.data());
}

/// Hashes block by block and collects the low bytes.  `hash`: eight frames -> eight hashes.
template<class Frame, class Hash>
[[gnu::always_inline]] LAGG_AVX512 inline __m512i low_bytes(Frame const* frames, std::size_t count,
                                                            Hash hash) noexcept {
    __m512i const first_byte_of_each = all(0x3830'2820'1810'0800);
    __m512i low = _mm512_setzero_si512();
    std::size_t i = 0;
    for (; i + block <= count; i += block) {
        low = _mm512_mask_permutexvar_epi8(low, frame_set{0xff} << i, first_byte_of_each,
                                           hash(frames + i));
    }
    if (i < count) {
        Frame rest[block];
        for (std::size_t k = 0; k < block; ++k) {
            rest[k] = frames[i + k < count ? i + k : i];
        }
        low =
            _mm512_mask_permutexvar_epi8(low, frame_set{0xff} << i, first_byte_of_each, hash(rest));
    }
    return low;
}

// What to do with a block; classes, because a lambda does not inherit its function's target.
template<class Read, bool L2, bool Upper, bool L4>
struct by_headers {
    flow_table const& table;
    rule_masks const& with;
    [[gnu::always_inline]] LAGG_AVX512 __m512i
    operator()(typename Read::frame const* frames) const noexcept {
        return hash_block<Read, L2, Upper, L4>(table, with, frames);
    }
};

template<class Read>
struct by_flowid {
    flow_table const& table;
    __m512i key;
    [[gnu::always_inline]] LAGG_AVX512 __m512i
    operator()(typename Read::frame const* frames) const noexcept {
        return flowid_block<Read>(table, key, frames);
    }
};

template<class Read, bool L2, bool Upper, bool L4>
LAGG_AVX512 void group_headers(flow_table const& table, typename Read::frame const* frames,
                               std::size_t count,
                               grouped_frames<typename Read::frame>& groups) noexcept {
    rule_masks const with = masks_of(table.plan);
    group_hashed(table, low_bytes(frames, count, by_headers<Read, L2, Upper, L4>{table, with}),
                 frames, count, groups);
}

template<class Read>
LAGG_AVX512 void group_flowids(flow_table const& table, typename Read::frame const* frames,
                               std::size_t count,
                               grouped_frames<typename Read::frame>& groups) noexcept {
    by_flowid<Read> const hash{table, all(table.plan.keys.flowid)};
    group_hashed(table, low_bytes(frames, count, hash), frames, count, groups);
}

template<class Read>
inline constexpr group_functions<Read> by_way{
    group_headers<Read, true, false, false>,
    group_headers<Read, false, true, true>, // not worth a form of its own
    group_headers<Read, true, true, false>,
    group_headers<Read, false, true, true>,
    group_headers<Read, true, true, true>,
    group_flowids<Read>,
    lagg::group_by_flow<Read>,
};

template<class Read>
LAGG_AVX512 void group_by_flow(flow_table const& table, typename Read::frame const* frames,
                               std::size_t count,
                               grouped_frames<typename Read::frame>& groups) noexcept {
    if (count <= avx512vl::half ||
        (is_by_upper(table.plan.way) && avx2::seems_odd<Read>(frames, count))) {
        return avx512vl::group_by_flow<Read>(table, frames, count, groups);
    }
    return for_way<Read>(by_way<Read>, table.plan.way)(table, frames, count, groups);
}

} // namespace lagg::avx512

#pragma GCC diagnostic pop

#endif
