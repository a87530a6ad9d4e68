// AVX2 for bursts that are not all plain IPv4 without a tag: TCP and UDP over IPv6, and over IPv4
// behind one tag, four of a kind at a time; all others one by one.
#pragma once

#include "lagg/datapath/avx2_lanes.h"
#include "lagg/datapath/by_flow.h"

#if defined(__x86_64__)

#include <algorithm>
#include <bit>

namespace lagg::avx2 {

/// Which of two frames are plain IPv4, all bits of each such frame set.  `middle`: bytes 6 to 21,
/// `end`: bytes 22 to 37.
LAGG_AVX2 inline __m256i plain(__m256i middle, __m256i end) noexcept {
    // protocol; type 0x0800, version and header length, neither MF nor an offset
    __m256i const both = _mm256_blend_epi32(middle, end, 0x11);
    __m256i const checked = twice(0xffff'0000'0000'ff00U, 0xff3f'0000'0000'00ffU);
    __m256i const found = _mm256_and_si256(both, checked);
    __m256i const tcp = twice(0x0008'0000'0000'0000U | 6U << 8, 0x45U);
    __m256i const udp = twice(0x0008'0000'0000'0000U | 17U << 8, 0x45U);
    return _mm256_or_si256(_mm256_cmpeq_epi32(found, tcp), _mm256_cmpeq_epi32(found, udp));
}

/// Four frames of which not all are plain IPv4 without a tag.
struct odd_block {
    std::uint8_t const* const* data;
    std::uint32_t shortest; // bytes that each of them has
    rule_masks const& with;
    flow_table const& table;
    std::uint64_t* hashes;

    /// Writes the hashes of `which` and returns them as bits.
    LAGG_AVX2 unsigned keep(__m256i which, __m256i sums) const noexcept {
        auto* const all_four =
            reinterpret_cast<__m256i*>(hashes); // a masked store takes far longer
        __m256i const others = _mm256_loadu_si256(all_four);
        _mm256_storeu_si256(all_four, _mm256_blendv_epi8(others, finish(sums), which));
        return bits_of(which);
    }
};

/// product_of() of a word of each of four frames.
LAGG_AVX2 inline __m256i product(__m256i words, std::uint64_t key) noexcept {
    __m256i const changed =
        _mm256_xor_si256(words, _mm256_set1_epi64x(static_cast<long long>(key)));
    return _mm256_mul_epu32(changed, _mm256_srli_epi64(changed, 32));
}

/// Which of two frames are TCP or UDP over IPv6 without extension headers and without a tag, all
/// bits of each such frame set.  `middle`: bytes 6 to 21.
LAGG_AVX2 inline __m256i plain_ipv6(__m256i middle) noexcept {
    // type 0x86dd; version, next header
    __m256i const checked = twice(0xffff'0000'0000'0000U, 0x00ff'0000'0000'00f0U);
    __m256i const found = _mm256_and_si256(middle, checked);
    __m256i const tcp = twice(0xdd86'0000'0000'0000U, std::uint64_t{6} << 48 | 0x60);
    __m256i const udp = twice(0xdd86'0000'0000'0000U, std::uint64_t{17} << 48 | 0x60);
    return _mm256_or_si256(_mm256_cmpeq_epi64(found, tcp), _mm256_cmpeq_epi64(found, udp));
}

/// Both IPv6 addresses of four frames.
LAGG_AVX2 inline __m256i address_products(net::hash_keys const& keys,
                                          std::uint8_t const* const* data) noexcept {
    __m256i const key = _mm256_set_epi64x(static_cast<long long>(keys.destination6.high),
                                          static_cast<long long>(keys.destination6.low),
                                          static_cast<long long>(keys.source6.high),
                                          static_cast<long long>(keys.source6.low));
    __m256i of[block];
    for (std::size_t i = 0; i < block; ++i) {
        __m256i const changed = _mm256_xor_si256(
            _mm256_loadu_si256(reinterpret_cast<__m256i const*>(data[i] + 22)), key);
        of[i] = _mm256_mul_epu32(changed, _mm256_srli_epi64(changed, 32));
    }
    __m256i const first = sum_of_halves(of[0], of[1]); // 0 and 1, of the source; then the other
    __m256i const second = sum_of_halves(of[2], of[3]);
    return _mm256_add_epi64(_mm256_permute2x128_si256(first, second, 0x20),
                            _mm256_permute2x128_si256(first, second, 0x31));
}

/// Hashes those that are plain IPv6 without a tag, and returns which they are.
template<bool L2>
LAGG_AVX2 inline unsigned hash_ipv6(odd_block const& b) noexcept {
    constexpr std::uint32_t needed = 58; // Ethernet, IPv6, ports
    if (b.shortest < needed) {
        return 0;
    }
    std::uint8_t const* const* const data = b.data;
    net::hash_rule const& rule = b.table.rule;
    net::hash_keys const& keys = b.table.plan.keys;
    __m256i const middle_a = two(data[0] + 6, data[2] + 6);
    __m256i const middle_b = two(data[1] + 6, data[3] + 6);
    __m256i const next_header = _mm256_srli_epi64(_mm256_unpackhi_epi64(middle_a, middle_b), 40);
    auto const ports = [data](std::size_t i) {
        return static_cast<long long>(net::detail::load_wire<std::uint32_t>(data[i] + 54));
    };
    __m256i const words = _mm256_set_epi64x(ports(3), ports(2), ports(1), ports(0));
    __m256i const counted = all(rule.l4 ? 0xffff'ffffU : 0);
    __m256i sum = _mm256_add_epi64(
        product(_mm256_and_si256(next_header, all(rule.l4 ? 0xff00U : 0)), keys.transport.low),
        product(_mm256_slli_epi64(_mm256_and_si256(words, counted), 32), keys.transport.high));
    if (rule.l3) {
        sum = _mm256_add_epi64(sum, address_products(keys, data));
    }
    if constexpr (L2) {
        sum = _mm256_add_epi64(
            sum, sum_of_halves(products(two(data[0], data[2]), b.with.l2_bytes, b.with.l2_key),
                               products(two(data[1], data[3]), b.with.l2_bytes, b.with.l2_key)));
    }
    return b.keep(both_halves(plain_ipv6(middle_a), plain_ipv6(middle_b)), sum);
}

/// Which of two frames have a tag where their type would be.  `middle`: bytes 10 to 25.
LAGG_AVX2 inline __m256i is_tagged(__m256i middle) noexcept {
    __m256i const type = _mm256_and_si256(middle, twice(0xffff'0000U, 0));
    auto const is = [](std::uint64_t tag) { return tag << 16; };
    __m256i const tagged =
        _mm256_or_si256(_mm256_or_si256(_mm256_cmpeq_epi64(type, twice(is(0x0081), 1)),
                                        _mm256_cmpeq_epi64(type, twice(is(0xa888), 1))),
                        _mm256_cmpeq_epi64(type, twice(is(0x0091), 1)));
    return _mm256_shuffle_epi32(tagged, 0x44);
}

/// The L2 lanes of two frames with a tag.  `begin`: their first bytes; `middle`: bytes 10 to 25.
LAGG_AVX2 inline __m256i tagged_l2(rule_masks const& with, __m256i begin, __m256i middle) noexcept {
    constexpr std::uint64_t none = 0x8080'8080'8080'8080U;
    // the id, low byte first, to where l2_bytes has nothing
    __m256i const tag = _mm256_shuffle_epi8(middle, twice(none, 0x8080'0405'8080'8080U));
    __m256i const id = _mm256_and_si256(tag, twice(0, 0x0000'0fff'0000'0000U));
    __m256i const changed =
        _mm256_xor_si256(_mm256_or_si256(_mm256_and_si256(begin, with.l2_bytes), id), with.l2_key);
    return _mm256_mul_epu32(changed, _mm256_srli_epi64(changed, 32));
}

/// Hashes those that are plain IPv4 behind one tag, and returns which they are.
template<bool L2>
LAGG_AVX2 inline unsigned hash_tagged(odd_block const& b) noexcept {
    constexpr std::uint32_t tag = net::detail::vlan_tag_size;
    if (b.shortest < readable + tag) {
        return 0;
    }
    std::uint8_t const* const* const data = b.data;
    __m256i const middle_a = two(data[0] + 6 + tag, data[2] + 6 + tag);
    __m256i const middle_b = two(data[1] + 6 + tag, data[3] + 6 + tag);
    __m256i const end_a = two(data[0] + 22 + tag, data[2] + 22 + tag);
    __m256i const end_b = two(data[1] + 22 + tag, data[3] + 22 + tag);
    __m256i sum = sum_of_halves(products(end_a, b.with.transport_bytes, b.with.transport_key),
                                products(end_b, b.with.transport_bytes, b.with.transport_key));
    if constexpr (L2) {
        sum = _mm256_add_epi64(sum,
                               sum_of_halves(tagged_l2(b.with, two(data[0], data[2]), middle_a),
                                             tagged_l2(b.with, two(data[1], data[3]), middle_b)));
    }
    return b.keep(both_halves(_mm256_and_si256(is_tagged(middle_a), plain(middle_a, end_a)),
                              _mm256_and_si256(is_tagged(middle_b), plain(middle_b, end_b))),
                  sum);
}

/// Hashes those that are plain IPv4 without a tag, and returns which they are.
template<bool L2>
LAGG_AVX2 inline unsigned hash_untagged(odd_block const& b) noexcept {
    std::uint8_t const* const* const data = b.data;
    __m256i const end_a = two(data[0] + 22, data[2] + 22);
    __m256i const end_b = two(data[1] + 22, data[3] + 22);
    __m256i sum = sum_of_halves(products(end_a, b.with.transport_bytes, b.with.transport_key),
                                products(end_b, b.with.transport_bytes, b.with.transport_key));
    if constexpr (L2) {
        sum = _mm256_add_epi64(
            sum, sum_of_halves(products(two(data[0], data[2]), b.with.l2_bytes, b.with.l2_key),
                               products(two(data[1], data[3]), b.with.l2_bytes, b.with.l2_key)));
    }
    return b.keep(both_halves(plain(two(data[0] + 6, data[2] + 6), end_a),
                              plain(two(data[1] + 6, data[3] + 6), end_b)),
                  sum);
}

/// Hashes those of the frames `which` of four that are of one of the three kinds; returns the
/// others.
template<class Read, bool L2>
[[gnu::noinline]] LAGG_AVX2 unsigned hash_odd(flow_table const& table, rule_masks const& with,
                                              typename Read::frame const* frames, unsigned which,
                                              std::uint64_t* hashes) noexcept {
    std::uint8_t const* data[block];
    std::uint32_t shortest = Read::length(frames[0]);
    for (std::size_t i = 0; i < block; ++i) {
        data[i] = Read::data(frames[i]);
        shortest = std::min(shortest, Read::length(frames[i]));
    }
    if (shortest < readable) {
        return which;
    }
    odd_block const b{data, shortest, with, table, hashes};
    // of the kind of the first one that is left: each kind at most once
    for (int kind = 0; kind < 3 && which != 0; ++kind) {
        std::uint16_t const type = net::detail::load_be16(data[std::countr_zero(which)] + 12);
        unsigned const hashed =
            which & (type == net::detail::ethertype_ipv6   ? hash_ipv6<L2>(b)
                     : type == net::detail::ethertype_ipv4 ? hash_untagged<L2>(b)
                                                           : hash_tagged<L2>(b));
        if (hashed == 0) {
            break;
        }
        which &= ~hashed;
    }
    return which;
}

/// Some frames of a chunk.
template<class Frame>
struct some_frames {
    std::uint8_t place[chunk_size];
    std::size_t count = 0;

    /// Without a branch: which kind comes next, nobody can predict.
    void add_if(bool wanted, std::size_t at) noexcept {
        place[count] = static_cast<std::uint8_t>(at);
        count += static_cast<std::size_t>(wanted);
    }
};

/// Hashes frames one by one.  `hashes`: of all frames; a byte takes the low one.
template<class Read, class Word>
void mend_others(flow_table const& table, typename Read::frame const* frames, frame_set which,
                 Word* hashes) noexcept {
    for (; which != 0; which &= which - 1) {
        int const i = std::countr_zero(which);
        hashes[i] = static_cast<Word>(hash_left_over<Read>(table, frames[i]));
    }
}

/// Hashes frames of one kind four at a time.
template<class Read, bool L2, class Word>
LAGG_AVX2 void mend_kind(flow_table const& table, rule_masks const& with,
                         typename Read::frame const* frames,
                         some_frames<typename Read::frame> const& kind, Word* hashes) noexcept {
    for (std::size_t at = 0; at < kind.count; at += block) {
        std::size_t const here = std::min(block, kind.count - at);
        typename Read::frame four[block];
        for (std::size_t k = 0; k < block; ++k) {
            four[k] = frames[kind.place[at + std::min(k, here - 1)]];
        }
        std::uint64_t words[block];
        unsigned const left = hash_odd<Read, L2>(table, with, four, all_of_block, words);
        hash_others<Read>(table, four, left, words);
        for (std::size_t k = 0; k < here; ++k) {
            hashes[kind.place[at + k]] = static_cast<Word>(words[k]);
        }
    }
}

/// Hashes frames `which`, none of which is plain IPv4 without a tag: IPv6 together, tagged ones
/// together, the others one by one.  `hashes`: of all frames; a byte takes the low one.
template<class Read, bool L2, class Word>
[[gnu::noinline]] LAGG_AVX2 void mend(flow_table const& table, rule_masks const& with,
                                      typename Read::frame const* frames, frame_set which,
                                      Word* hashes) noexcept {
    some_frames<typename Read::frame> ipv6;
    some_frames<typename Read::frame> tagged;
    frame_set rest = 0;
    for (; which != 0; which &= which - 1) {
        auto const i = static_cast<std::size_t>(std::countr_zero(which));
        bool const long_enough = Read::length(frames[i]) >= readable;
        std::uint16_t const type =
            long_enough ? net::detail::load_be16(Read::data(frames[i]) + 12) : std::uint16_t{0};
        bool const is_ipv6 = type == net::detail::ethertype_ipv6;
        bool const is_tagged = net::detail::is_vlan_tag(type);
        ipv6.add_if(is_ipv6, i);
        tagged.add_if(is_tagged, i);
        rest |= static_cast<frame_set>(!is_ipv6 & !is_tagged) << i;
    }
    mend_kind<Read, L2>(table, with, frames, ipv6, hashes);
    mend_kind<Read, L2>(table, with, frames, tagged, hashes);
    mend_others<Read>(table, frames, rest, hashes);
}

} // namespace lagg::avx2

#endif
