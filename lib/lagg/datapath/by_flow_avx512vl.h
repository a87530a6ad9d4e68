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
LAGG_AVX512VL inline __m256i low_bytes(flow_table const& table, Hash& hash,
                                       typename Read::frame const* frames,
                                       std::size_t count) noexcept {
    // Each word is a queue of bytes: the k-th block of four ends up in the k-th byte of the words.
    constexpr std::size_t blocks = half / block;
    static_assert(blocks == sizeof(std::uint64_t));
    __m256i low = _mm256_setzero_si256();
    std::size_t i = 0;
    for (; i + block <= count; i += block) {
        if constexpr (!std::is_same_v<Hash, avx2::by_flowid<Read>>) { // which follows no pointer
            // measured: nearer and farther is slower, and so is fetching a frame's bytes as well
            fetch_ahead<3 * block, block>(frames, i, count);
        }
        low = _mm256_shrdi_epi64(low, hash(frames + i), 8);
    }
    if (i < count) {
        typename Read::frame rest[block];
        std::fill_n(rest, block, frames[i]);
        std::copy(frames + i, frames + count, rest);
        low = _mm256_shrdi_epi64(low, hash(rest), 8);
        i += block;
    }
    auto const missing = static_cast<long long>(half - i); // frames; of each four a byte
    low = _mm256_srl_epi64(low, _mm_cvtsi64_si128(missing * 2));
    __m256i const in_order = _mm256_set_epi64x(0x1f17'0f07'1e16'0e06, 0x1d15'0d05'1c14'0c04,
                                               0x1b13'0b03'1a12'0a02, 0x1911'0901'1810'0800);
    low = _mm256_permutexvar_epi8(in_order, low);
    if constexpr (requires { hash.left_out(); }) {
        if (hash.left_out()) [[unlikely]] {
            low = Hash::mended(table, frames, count, low);
        }
    }
    return low;
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

/// Looks for frames that are not plain IPv4: type 0x0800; version and header length; neither MF nor
/// an offset; protocol.  As a word of six bytes.
class plain_test {
public:
    LAGG_AVX512VL plain_test() noexcept = default;
    /// `a`, `b`: as in picked_bytes, from byte 12 on.
    LAGG_AVX512VL void look(__m256i a, __m256i b) noexcept {
        seen_ = _mm256_or_si256(seen_, unlike(a, b));
    }
    LAGG_AVX512VL bool failed() const noexcept { return _mm256_testz_si256(seen_, seen_) == 0; }
    /// Which of the four.
    LAGG_AVX512VL unsigned which(__m256i a, __m256i b) const noexcept {
        __m256i const other = unlike(a, b);
        return _mm256_test_epi64_mask(other, other);
    }

private:
    /// A word that is not 0 for each frame that is not plain.
    LAGG_AVX512VL __m256i unlike(__m256i a, __m256i b) const noexcept {
        __m256i const but_tcp = and_xor(pick_(a, b), checked_, tcp_);
        return _mm256_min_epu64(but_tcp, _mm256_xor_si256(but_tcp, from_tcp_to_udp_));
    }

    picked_bytes pick_{0x0000'0b09'0802'0100U};
    __m256i checked_ = all(0x0000'ffff'3fff'ffffU);
    __m256i tcp_ = all(0x0000'0600'0045'0008U);
    __m256i from_tcp_to_udp_ = all(0x0000'1700'0000'0000U);
    __m256i seen_ = _mm256_setzero_si256();
};

/// The same where ports do not count: type; version and header length.
/// Type: where in what it looks at the type is.
template<std::uint64_t Type>
class ipv4_test {
public:
    LAGG_AVX512VL ipv4_test() noexcept = default;
    /// `a`, `b`: as in picked_bytes.
    LAGG_AVX512VL void look(__m256i a, __m256i b) noexcept {
        // seen_ | (picked ^ ipv4_)
        seen_ = _mm256_ternarylogic_epi64(seen_, pick_(a, b), ipv4_, 0xf6);
    }
    LAGG_AVX512VL bool failed() const noexcept { return _mm256_testz_si256(seen_, seen_) == 0; }
    /// Which of the four.
    LAGG_AVX512VL unsigned which(__m256i a, __m256i b) const noexcept {
        __m256i const other = _mm256_xor_si256(pick_(a, b), ipv4_);
        return _mm256_test_epi64_mask(other, other);
    }

private:
    static constexpr std::uint64_t twice = 0x0000'0001'0000'0001U;
    static constexpr std::uint64_t bytes = 0x01'01'01'01U * Type + 0x02'02'01'00U;

    picked_bytes pick_{bytes * twice};
    __m256i ipv4_ = all(0x4545'0008U * twice);
    __m256i seen_ = _mm256_setzero_si256();
};

/// Looks for frames that have a tag where their type would be.
class untagged_test {
public:
    LAGG_AVX512VL untagged_test() noexcept = default;
    /// `a`, `b`: as in picked_bytes, their first bytes.
    LAGG_AVX512VL void look(__m256i a, __m256i b) noexcept {
        seen_ = _mm256_min_epu64(seen_, untagged(a, b));
    }
    LAGG_AVX512VL bool failed() const noexcept {
        return _mm256_testn_epi64_mask(seen_, seen_) != 0;
    }
    /// Which of the four.
    LAGG_AVX512VL unsigned which(__m256i a, __m256i b) const noexcept {
        __m256i const other = untagged(a, b);
        return _mm256_testn_epi64_mask(other, other);
    }

private:
    /// A word that is 0 for each frame that has one.
    LAGG_AVX512VL __m256i untagged(__m256i a, __m256i b) const noexcept {
        __m256i const type = pick_(a, b);
        return _mm256_min_epu64(
            _mm256_min_epu64(_mm256_xor_si256(type, c_tag_), _mm256_xor_si256(type, s_tag_)),
            _mm256_xor_si256(type, old_tag_));
    }

    picked_bytes pick_{0x0d0c'0d0c'0d0c'0d0cU}; // the type, four times
    __m256i c_tag_ = all(0x0081'0081'0081'0081U);
    __m256i s_tag_ = all(0xa888'a888'a888'a888U);
    __m256i old_tag_ = all(0x0091'0091'0091'0091U);
    __m256i seen_ = _mm256_set1_epi64x(-1);
};

/// As avx2::by_headers, for one half of a burst; but frames that are not plain IPv4 are left out
/// until all are hashed.
template<class Read, bool L2, bool L3, bool L4>
class by_headers {
public:
    LAGG_AVX512VL explicit by_headers(flow_table const& t) noexcept
        : with_(avx2::masks_of(t.plan)) {}

    LAGG_AVX512VL __m256i operator()(typename Read::frame const* frames) noexcept {
        using avx2::two;
        std::uint8_t const* data[block];
        if (!avx2::locate<Read>(frames, avx2::readable, data)) [[unlikely]] {
            short_ = true;
            return _mm256_setzero_si256();
        }
        __m256i a = _mm256_setzero_si256();
        __m256i b = _mm256_setzero_si256();
        if constexpr (from != 0) {
            test_.look(two(data[0] + from, data[2] + from), two(data[1] + from, data[3] + from));
        }
        if constexpr (L3 || L4) {
            a = products(two(data[0] + 22, data[2] + 22), with_.transport_bytes,
                         with_.transport_key);
            b = products(two(data[1] + 22, data[3] + 22), with_.transport_bytes,
                         with_.transport_key);
        }
        if constexpr (L2) {
            __m256i const begin_a = two(data[0], data[2]);
            __m256i const begin_b = two(data[1], data[3]);
            if constexpr (from == 0) {
                test_.look(begin_a, begin_b);
            }
            a = _mm256_add_epi64(a, products(begin_a, with_.l2_bytes, with_.l2_key));
            b = _mm256_add_epi64(b, products(begin_b, with_.l2_bytes, with_.l2_key));
        }
        return finish(avx2::sum_of_halves(a, b), last_);
    }

    LAGG_AVX512VL bool left_out() const noexcept { return short_ || test_.failed(); }

    /// Hashes what was left out of `count` frames.  `low`: one byte of each hash, in order.
    /// Of no object: one whose address is known has to be in memory, with all its constants.
    [[gnu::noinline]] LAGG_AVX512VL static __m256i mended(flow_table const& table,
                                                          typename Read::frame const* frames,
                                                          std::size_t count, __m256i low) noexcept {
        by_headers const like(table);
        std::uint32_t const which = like.those_left_out(frames, count);
        alignas(half) std::uint8_t bytes[half];
        _mm256_store_si256(reinterpret_cast<__m256i*>(bytes), low);
        if constexpr (L3 || L4) {
            avx2::mend<Read, L2, true>(table, frames, which, bytes);
        } else {
            avx2::mend_others<Read>(table, frames, which, bytes);
        }
        return _mm256_load_si256(reinterpret_cast<__m256i const*>(bytes));
    }

private:
    /// Where in a frame its test begins.
    static constexpr std::size_t from = L4 || !L2 ? 12 : 0;
    using upper_test = std::conditional_t<L4, plain_test, ipv4_test<12 - from>>;

    LAGG_AVX512VL std::uint32_t those_left_out(typename Read::frame const* frames,
                                               std::size_t count) const noexcept {
        using avx2::two;
        std::uint32_t which = 0;
        for (std::size_t i = 0; i < count; i += block) {
            typename Read::frame four[block];
            for (std::size_t k = 0; k < block; ++k) {
                four[k] = frames[std::min(i + k, count - 1)];
            }
            std::uint8_t const* data[block];
            std::uint32_t others = avx2::all_of_block;
            if (avx2::locate<Read>(four, avx2::readable, data)) {
                others = test_.which(two(data[0] + from, data[2] + from),
                                     two(data[1] + from, data[3] + from));
            }
            which |= others << i;
        }
        return which & static_cast<std::uint32_t>(first_frames(count));
    }

    avx2::rule_masks with_;
    finish_keys last_;
    std::conditional_t<L3 || L4, upper_test, untagged_test> test_;
    bool short_ = false; // a frame was too short to look at
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
            members_of(table.bucket.data(), low_bytes<Read>(table, hash, frames + h * half, here));
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

/// For a rule with l3 or l4.
template<class Read>
avx2::group_function<Read>* group_odd(net::hash_rule const& rule) noexcept {
    return rule.l2 ? group_hashed_by<Read, avx2::by_odd_headers<Read, true>>
                   : group_hashed_by<Read, avx2::by_odd_headers<Read, false>>;
}

template<class Read>
avx2::group_function<Read>* group_plain(net::hash_rule const& rule) noexcept {
    if (rule.l4) {
        return rule.l2 ? group_hashed_by<Read, by_headers<Read, true, true, true>>
                       : group_hashed_by<Read, by_headers<Read, false, true, true>>;
    }
    return rule.l2 ? group_hashed_by<Read, by_headers<Read, true, true, false>>
                   : group_hashed_by<Read, by_headers<Read, false, true, false>>;
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
        bool const odd = avx2::seems_odd<Read>(frames, count);
        auto const group = odd ? group_odd<Read>(rule) : group_plain<Read>(rule);
        group(table, frames, count, groups);
    } else {
        group_hashed_by<Read, by_headers<Read, true, false, false>>(table, frames, count, groups);
    }
}

} // namespace lagg::avx512vl

#pragma GCC diagnostic pop

#endif
