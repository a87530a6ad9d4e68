// Frames grouped by flow with AVX-512's new instructions (VL, VBMI, VBMI2) on registers of 256
// bits, which is as wide as EAL allows unless it is told otherwise.  Hashes plain IPv4 as AVX2
// does, in fewer instructions, and leaves the rest to it; buckets are looked up in registers and
// every member's frames picked out of 32 at once.
#pragma once

#include "lagg/datapath/by_flow_avx2.h"

#if defined(__x86_64__)

#include <type_traits>

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
/// So few are sooner put into groups one by one.
inline constexpr std::size_t few = 8;

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
    // Each word is a queue of bytes: the k-th block of four ends up in the k-th byte of the words.
    constexpr std::size_t blocks = half / block;
    static_assert(blocks == sizeof(std::uint64_t));
    __m256i low = _mm256_setzero_si256();
    std::size_t i = 0;
    for (; i + block <= count; i += block) {
        low = _mm256_shrdi_epi64(low, hash(frames + i), 8);
    }
    if (i < count) {
        typename Read::frame rest[block];
        std::fill_n(rest, block, frames[i]);
        std::copy(frames + i, frames + count, rest);
        low = _mm256_shrdi_epi64(low, hash(rest), 8);
        i += block;
    }
    low = _mm256_srl_epi64(low, _mm_cvtsi64_si128(static_cast<long long>(2 * (half - i))));
    __m256i const in_order = _mm256_set_epi64x(0x1f17'0f07'1e16'0e06, 0x1d15'0d05'1c14'0c04,
                                               0x1b13'0b03'1a12'0a02, 0x1911'0901'1810'0800);
    return _mm256_permutexvar_epi8(in_order, low);
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

/// Which of four frames are not plain IPv4: type 0x0800; version and header length; neither MF nor
/// an offset; protocol.  As a word of six bytes.
struct plain_test {
    picked_bytes pick{0x0000'0b09'0802'0100U};
    __m256i checked = all(0x0000'ffff'3fff'ffffU);
    __m256i tcp = all(0x0000'0600'0045'0008U);
    __m256i from_tcp_to_udp = all(0x0000'1700'0000'0000U);
    LAGG_AVX512VL plain_test() noexcept {}
    /// `a`, `b`: as in pick, from byte 12 on.
    LAGG_AVX512VL unsigned fails(__m256i a, __m256i b) const noexcept {
        __m256i const but_tcp = and_xor(pick(a, b), checked, tcp);
        __mmask8 const not_tcp = _mm256_test_epi64_mask(but_tcp, but_tcp);
        return _mm256_mask_cmpneq_epi64_mask(not_tcp, but_tcp, from_tcp_to_udp);
    }
};

/// Which of four frames have a tag where their type would be.
struct untagged_test {
    picked_bytes pick{0x0d0c'0d0c'0d0c'0d0cU}; // the type, four times
    __m256i c_tag = all(0x0081'0081'0081'0081U);
    __m256i s_tag = all(0xa888'a888'a888'a888U);
    __m256i old_tag = all(0x0091'0091'0091'0091U);
    LAGG_AVX512VL untagged_test() noexcept {}
    /// `a`, `b`: as in pick, their first bytes.
    LAGG_AVX512VL unsigned fails(__m256i a, __m256i b) const noexcept {
        __m256i const type = pick(a, b);
        __mmask8 none = _mm256_cmpneq_epi64_mask(type, c_tag);
        none = _mm256_mask_cmpneq_epi64_mask(none, type, s_tag);
        none = _mm256_mask_cmpneq_epi64_mask(none, type, old_tag);
        return ~static_cast<unsigned>(none) & avx2::all_of_block;
    }
};

/// As avx2::by_headers.
template<class Read, bool L2, bool Upper>
class by_headers {
public:
    LAGG_AVX512VL explicit by_headers(flow_table const& t) noexcept
        : table_(t), with_(avx2::masks_of(t.plan)) {}

    LAGG_AVX512VL __m256i operator()(typename Read::frame const* frames) noexcept {
        using avx2::two;
        std::uint8_t const* data[block];
        if (!avx2::locate<Read>(frames, data)) [[unlikely]] {
            return avx2::mended<Read>(table_, frames, avx2::all_of_block, _mm256_setzero_si256());
        }
        __m256i a = _mm256_setzero_si256();
        __m256i b = _mm256_setzero_si256();
        unsigned others = 0;
        if constexpr (Upper) {
            others = test_.fails(two(data[0] + 12, data[2] + 12), two(data[1] + 12, data[3] + 12));
            a = products(two(data[0] + 22, data[2] + 22), with_.transport_bytes,
                         with_.transport_key);
            b = products(two(data[1] + 22, data[3] + 22), with_.transport_bytes,
                         with_.transport_key);
        }
        if constexpr (L2) {
            __m256i const begin_a = two(data[0], data[2]);
            __m256i const begin_b = two(data[1], data[3]);
            if constexpr (!Upper) {
                others = test_.fails(begin_a, begin_b);
            }
            a = _mm256_add_epi64(a, products(begin_a, with_.l2_bytes, with_.l2_key));
            b = _mm256_add_epi64(b, products(begin_b, with_.l2_bytes, with_.l2_key));
        }
        __m256i const hashes = finish(avx2::sum_of_halves(a, b), last_);
        return others == 0 ? hashes : mended(frames, others, hashes);
    }

private:
    [[gnu::noinline, gnu::cold]] LAGG_AVX512VL __m256i mended(typename Read::frame const* frames,
                                                              unsigned others,
                                                              __m256i hashes) const noexcept {
        if constexpr (Upper) {
            return avx2::mended_odd<Read, L2>(table_, with_, frames, others, hashes);
        }
        return avx2::mended<Read>(table_, frames, others, hashes);
    }

    flow_table const& table_;
    avx2::rule_masks with_;
    finish_keys last_;
    std::conditional_t<Upper, plain_test, untagged_test> test_;
};

/// Halves: how many of them `count` frames need.
template<class Read, class Hash, std::size_t Halves>
LAGG_AVX512VL void group_halves(flow_table const& table, typename Read::frame const* frames,
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
    __m256i members[Halves];
    __mmask32 present[Halves];
    for (std::size_t h = 0; h < Halves; ++h) {
        std::size_t const here = h + 1 < Halves ? half : count - h * half;
        present[h] = static_cast<__mmask32>(first_frames(here));
        members[h] =
            members_of(table.bucket.data(), low_bytes<Read>(hash, frames + h * half, here));
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(groups.member.data() + h * half),
                            members[h]);
    }

    std::uint8_t places[chunk_size + half]; // each store writes a whole register
    std::size_t at = 0;
    __m256i member = _mm256_setzero_si256();
    for (std::size_t m = 0; m < table.members; ++m) {
        std::size_t const first = at;
        for (std::size_t h = 0; h < Halves; ++h) {
            __mmask32 const share = _mm256_mask_cmpeq_epi8_mask(present[h], members[h], member);
            _mm256_storeu_si256(reinterpret_cast<__m256i*>(places + at),
                                _mm256_maskz_compress_epi8(share, load(numbers.data() + h * half)));
            at += static_cast<std::size_t>(std::popcount(share));
        }
        groups.first[m] = static_cast<std::uint16_t>(first);
        groups.size[m] = static_cast<std::uint8_t>(at - first);
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
    if (count <= half) {
        group_halves<Read, Hash, 1>(table, frames, count, groups);
    } else {
        group_halves<Read, Hash, halves>(table, frames, count, groups);
    }
}

template<class Read>
LAGG_AVX512VL void group_by_flow(flow_table const& table, typename Read::frame const* frames,
                                 std::size_t count,
                                 grouped_frames<typename Read::frame>& groups) noexcept {
    net::hash_rule const& rule = table.rule;
    if (count <= few) {
        avx2::group_by_flow<Read>(table, frames, count, groups);
    } else if (rule.use_flowid) {
        group_hashed_by<Read, avx2::by_flowid<Read>>(table, frames, count, groups);
    } else if (rule.symmetric) {
        lagg::group_by_flow<Read>(table, frames, count, groups);
    } else if (rule.l3 || rule.l4) {
        bool const odd = avx2::begins_odd<Read>(frames, count);
        auto const group = rule.l2 ? (odd ? group_hashed_by<Read, avx2::by_odd_headers<Read, true>>
                                          : group_hashed_by<Read, by_headers<Read, true, true>>)
                                   : (odd ? group_hashed_by<Read, avx2::by_odd_headers<Read, false>>
                                          : group_hashed_by<Read, by_headers<Read, false, true>>);
        group(table, frames, count, groups);
    } else {
        group_hashed_by<Read, by_headers<Read, true, false>>(table, frames, count, groups);
    }
}

} // namespace lagg::avx512vl

#pragma GCC diagnostic pop

#endif
