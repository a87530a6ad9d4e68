// Kinds of frames that AVX2 hashes four at a time: what makes a frame one of a kind, and which of
// its bytes are hashed.  Knows no mbuf: a frame is where its bytes begin.
#pragma once

#include "lagg/datapath/avx2_lanes.h"
#include "lagg/datapath/by_flow.h"

#if defined(__x86_64__)

namespace lagg::avx2 {

// Kind: what four frames are hashed as.
//   static constexpr std::uint32_t needed              bytes that each of them must have
//   explicit Kind(flow_table const&)
//   __m256i passed(std::uint8_t const* const* four)    all bits set if all of them are of the kind
//   static unsigned failures(__m256i passed)           those that are not: bit i, the i-th
//   __m256i sums(std::uint8_t const* const* four)      what finish() makes their hashes of; means
//                                                      nothing for those that are not
// Classes, because a lambda does not inherit its function's target.

/// TCP and UDP over IPv4 without options, without a tag; under a rule without l4, whatever is over
/// IPv4, and under one of l2 alone whatever has no tag.  L2, L3, L4: which layers count.
template<bool L2, bool L3, bool L4>
class untagged_ipv4 {
public:
    static constexpr std::uint32_t needed = 38; // Ethernet, IPv4, ports

    LAGG_AVX2 explicit untagged_ipv4(flow_table const& t) noexcept : with_(masks_of(t.plan)) {}

    [[gnu::always_inline]] LAGG_AVX2 static __m256i
    passed(std::uint8_t const* const* four) noexcept {
        // words of 32 bits: the types (bytes 12 to 15) of two frames, and either's bytes 20 to 23;
        // the other way round, with something else for the latter, when `from` is 0
        __m256i const a = two(four[0] + from, four[2] + from);
        __m256i const b = two(four[1] + from, four[3] + from);
        __m256i const words = from == 12 ? _mm256_blend_epi32(a, _mm256_slli_epi64(b, 32), 0xaa)
                                         : _mm256_blend_epi32(_mm256_srli_epi64(a, 32), b, 0xaa);
        constexpr std::uint32_t ipv4 = 0x0045'0008U; // type; version and header length
        if constexpr (L4) {
            // neither MF nor an offset; protocol
            __m256i const found = _mm256_and_si256(words, pair(0x00ff'ffffU, 0xff00'ff3fU));
            return _mm256_or_si256(_mm256_cmpeq_epi32(found, pair(ipv4, 6U << 24)),
                                   _mm256_cmpeq_epi32(found, pair(ipv4, 17U << 24)));
        } else if constexpr (L3) {
            return _mm256_cmpeq_epi32(_mm256_and_si256(words, pair(0x00ff'ffffU, 0)),
                                      pair(ipv4, 0));
        } else {
            __m256i const type = _mm256_and_si256(words, pair(0xffffU, 0));
            __m256i const tagged =
                _mm256_or_si256(_mm256_or_si256(_mm256_cmpeq_epi32(type, pair(0x0081, 1)),
                                                _mm256_cmpeq_epi32(type, pair(0xa888, 1))),
                                _mm256_cmpeq_epi32(type, pair(0x0091, 1)));
            return _mm256_xor_si256(tagged, _mm256_set1_epi64x(-1));
        }
    }

    LAGG_AVX2 static unsigned failures(__m256i passed) noexcept {
        auto const words = static_cast<unsigned>(_mm256_movemask_ps(_mm256_castsi256_ps(passed)));
        unsigned const both = words & words >> 2; // of frames 0, 1, -, -, 2, 3, -, -
        return ~((both & 3U) | (both >> 2 & 12U)) & all_of_block;
    }

    [[gnu::always_inline]] LAGG_AVX2 __m256i sums(std::uint8_t const* const* four) const noexcept {
        // frames 0 and 2, 1 and 3: so that unpacking puts all four in order
        __m256i a = _mm256_setzero_si256();
        __m256i b = _mm256_setzero_si256();
        if constexpr (L3 || L4) {
            a = products(two(four[0] + 22, four[2] + 22), with_.transport_bytes,
                         with_.transport_key);
            b = products(two(four[1] + 22, four[3] + 22), with_.transport_bytes,
                         with_.transport_key);
        }
        if constexpr (L2) {
            a = _mm256_add_epi64(a, products(two(four[0], four[2]), with_.l2_bytes, with_.l2_key));
            b = _mm256_add_epi64(b, products(two(four[1], four[3]), with_.l2_bytes, with_.l2_key));
        }
        return sum_of_halves(a, b);
    }

private:
    static constexpr std::size_t from = L4 || !L2 ? 12 : 0;

    /// Each for both frames, as a little-endian machine loads them.
    LAGG_AVX2 static __m256i pair(std::uint32_t types, std::uint32_t rest) noexcept {
        constexpr std::uint64_t both = 0x0000'0001'0000'0001U;
        return from == 12 ? twice(types * both, rest * both) : twice(rest * both, types * both);
    }

    rule_masks with_;
};

/// TCP and UDP over IPv4 without options, behind one tag, if l3 or l4 counts.
template<bool L2>
class tagged_ipv4 {
public:
    static constexpr std::uint32_t needed = 38 + net::detail::vlan_tag_size;

    LAGG_AVX2 explicit tagged_ipv4(flow_table const& t) noexcept : with_(masks_of(t.plan)) {}

    [[gnu::always_inline]] LAGG_AVX2 static __m256i
    passed(std::uint8_t const* const* four) noexcept {
        return both_halves(
            one(two(four[0] + middle, four[2] + middle), two(four[0] + end, four[2] + end)),
            one(two(four[1] + middle, four[3] + middle), two(four[1] + end, four[3] + end)));
    }

    LAGG_AVX2 static unsigned failures(__m256i passed) noexcept {
        return ~bits_of(passed) & all_of_block;
    }

    [[gnu::always_inline]] LAGG_AVX2 __m256i sums(std::uint8_t const* const* four) const noexcept {
        __m256i a =
            products(two(four[0] + end, four[2] + end), with_.transport_bytes, with_.transport_key);
        __m256i b =
            products(two(four[1] + end, four[3] + end), with_.transport_bytes, with_.transport_key);
        if constexpr (L2) {
            a = _mm256_add_epi64(
                a, l2(two(four[0], four[2]), two(four[0] + middle, four[2] + middle)));
            b = _mm256_add_epi64(
                b, l2(two(four[1], four[3]), two(four[1] + middle, four[3] + middle)));
        }
        return sum_of_halves(a, b);
    }

private:
    static constexpr std::size_t middle = 10; // the tag, the type, the packet up to its protocol
    static constexpr std::size_t end = 26;    // TTL, protocol, addresses, ports

    /// Which of two frames are of the kind, all bits of each such frame set.
    LAGG_AVX2 static __m256i one(__m256i middles, __m256i ends) noexcept {
        return _mm256_and_si256(tagged(middles), plain(middles, ends));
    }
    /// Those with a tag, and one only.
    LAGG_AVX2 static __m256i tagged(__m256i middles) noexcept {
        __m256i const type = _mm256_and_si256(middles, twice(0xffff'0000U, 0));
        auto const is = [](std::uint64_t tag) { return tag << 16; };
        __m256i const found =
            _mm256_or_si256(_mm256_or_si256(_mm256_cmpeq_epi64(type, twice(is(0x0081), 1)),
                                            _mm256_cmpeq_epi64(type, twice(is(0xa888), 1))),
                            _mm256_cmpeq_epi64(type, twice(is(0x0091), 1)));
        return _mm256_shuffle_epi32(found, 0x44);
    }
    LAGG_AVX2 static __m256i plain(__m256i middles, __m256i ends) noexcept {
        // protocol; type 0x0800, version and header length, neither MF nor an offset
        __m256i const both = _mm256_blend_epi32(middles, ends, 0x11);
        __m256i const checked = twice(0xffff'0000'0000'ff00U, 0xff3f'0000'0000'00ffU);
        __m256i const found = _mm256_and_si256(both, checked);
        __m256i const tcp = twice(0x0008'0000'0000'0000U | 6U << 8, 0x45U);
        __m256i const udp = twice(0x0008'0000'0000'0000U | 17U << 8, 0x45U);
        return _mm256_or_si256(_mm256_cmpeq_epi32(found, tcp), _mm256_cmpeq_epi32(found, udp));
    }

    /// Products of the L2 lanes of two frames.
    LAGG_AVX2 __m256i l2(__m256i begins, __m256i middles) const noexcept {
        constexpr std::uint64_t none = 0x8080'8080'8080'8080U;
        // the id, low byte first, to where l2_bytes has nothing
        __m256i const tag = _mm256_shuffle_epi8(middles, twice(none, 0x8080'0405'8080'8080U));
        __m256i const id = _mm256_and_si256(tag, twice(0, 0x0000'0fff'0000'0000U));
        __m256i const lanes = _mm256_or_si256(_mm256_and_si256(begins, with_.l2_bytes), id);
        __m256i const changed = _mm256_xor_si256(lanes, with_.l2_key);
        return _mm256_mul_epu32(changed, _mm256_srli_epi64(changed, 32));
    }

    rule_masks with_;
};

/// TCP and UDP over IPv6 without extension headers, without a tag, if l3 or l4 counts.
template<bool L2>
class untagged_ipv6 {
public:
    static constexpr std::uint32_t needed = 58; // Ethernet, IPv6, ports

    LAGG_AVX2 explicit untagged_ipv6(flow_table const& t) noexcept
        : table_(t),
          with_(masks_of(t.plan)),
          addresses_(_mm256_loadu_si256(reinterpret_cast<__m256i const*>(&t.plan.keys.source6))) {
        static_assert(offsetof(net::hash_keys, destination6) ==
                      offsetof(net::hash_keys, source6) + sizeof(net::hash_lane));
    }

    [[gnu::always_inline]] LAGG_AVX2 static __m256i
    passed(std::uint8_t const* const* four) noexcept {
        return both_halves(one(two(four[0] + 6, four[2] + 6)), one(two(four[1] + 6, four[3] + 6)));
    }

    LAGG_AVX2 static unsigned failures(__m256i passed) noexcept {
        return ~bits_of(passed) & all_of_block;
    }

    [[gnu::always_inline]] LAGG_AVX2 __m256i sums(std::uint8_t const* const* four) const noexcept {
        net::hash_keys const& keys = table_.plan.keys;
        __m256i sum = _mm256_setzero_si256();
        if (table_.rule.l4) {
            __m256i const next_header = _mm256_and_si256(
                _mm256_srli_epi64(_mm256_unpackhi_epi64(two(four[0] + 6, four[2] + 6),
                                                        two(four[1] + 6, four[3] + 6)),
                                  40),
                all(0xff00U));
            auto const ports = [four](std::size_t i) {
                return static_cast<long long>(net::detail::load_wire<std::uint32_t>(four[i] + 54));
            };
            __m256i const words = _mm256_set_epi64x(ports(3), ports(2), ports(1), ports(0));
            sum = _mm256_add_epi64(product(next_header, keys.transport.low),
                                   product(_mm256_slli_epi64(words, 32), keys.transport.high));
        } else {
            sum = _mm256_set1_epi64x(
                static_cast<long long>(net::product_of(net::hash_lane{}, keys.transport)));
        }
        if (table_.rule.l3) {
            sum = _mm256_add_epi64(sum, address_products(four));
        }
        if constexpr (L2) {
            sum = _mm256_add_epi64(
                sum, sum_of_halves(products(two(four[0], four[2]), with_.l2_bytes, with_.l2_key),
                                   products(two(four[1], four[3]), with_.l2_bytes, with_.l2_key)));
        }
        return sum;
    }

private:
    /// Which of two frames are of the kind, all bits of each such frame set.  `middles`: bytes 6 to
    /// 21.
    LAGG_AVX2 static __m256i one(__m256i middles) noexcept {
        // type 0x86dd; version, next header
        __m256i const checked = twice(0xffff'0000'0000'0000U, 0x00ff'0000'0000'00f0U);
        __m256i const found = _mm256_and_si256(middles, checked);
        __m256i const tcp = twice(0xdd86'0000'0000'0000U, std::uint64_t{6} << 48 | 0x60);
        __m256i const udp = twice(0xdd86'0000'0000'0000U, std::uint64_t{17} << 48 | 0x60);
        return _mm256_or_si256(_mm256_cmpeq_epi64(found, tcp), _mm256_cmpeq_epi64(found, udp));
    }

    /// product_of() of a word of each of four frames.
    LAGG_AVX2 static __m256i product(__m256i words, std::uint64_t key) noexcept {
        __m256i const changed =
            _mm256_xor_si256(words, _mm256_set1_epi64x(static_cast<long long>(key)));
        return _mm256_mul_epu32(changed, _mm256_srli_epi64(changed, 32));
    }

    /// Both addresses of one frame, not added yet.
    LAGG_AVX2 __m256i addresses_of(std::uint8_t const* frame) const noexcept {
        __m256i const changed = _mm256_xor_si256(
            _mm256_loadu_si256(reinterpret_cast<__m256i const*>(frame + 22)), addresses_);
        return _mm256_mul_epu32(changed, _mm256_srli_epi64(changed, 32));
    }
    LAGG_AVX2 __m256i address_products(std::uint8_t const* const* four) const noexcept {
        // 0 and 1, of the source; then the destination
        __m256i const first = sum_of_halves(addresses_of(four[0]), addresses_of(four[1]));
        __m256i const second = sum_of_halves(addresses_of(four[2]), addresses_of(four[3]));
        return _mm256_add_epi64(_mm256_permute2x128_si256(first, second, 0x20),
                                _mm256_permute2x128_si256(first, second, 0x31));
    }

    flow_table const& table_;
    rule_masks with_;
    __m256i addresses_; // the keys of both
};

} // namespace lagg::avx2

#endif
