// Frames grouped by flow with AVX-512's new instructions (VL, VBMI, VBMI2) on registers of 256
// bits, which is as wide as EAL allows unless it is told otherwise.  Hashes plain IPv4 as AVX2
// does, in fewer instructions, and leaves the rest to it; buckets are looked up in registers and
// every member's frames picked out of 32 at once.
#pragma once

#include "lagg/datapath/avx512vl_order.h"
#include "lagg/datapath/by_flow_avx2.h"

#if defined(__x86_64__)

#include <algorithm>
#include <array>
#include <bit>
#include <type_traits>

#pragma GCC diagnostic push
#if defined(__GNUC__) && !defined(__clang__)
// gcc 12 takes offence at its own intrinsics.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif

namespace lagg::avx512vl {

using avx2::block;
inline constexpr std::size_t half = 32; // bytes in a register
static_assert(chunk_size == 2 * half);
/// Whether AVX2 groups `count` frames sooner: this goes through all members, that through the
/// frames.
constexpr bool are_few(std::size_t count, std::size_t members) noexcept {
    return count <= block || (members > 4 && count <= half / 2);
}

LAGG_AVX512VL inline __m256i load(std::uint8_t const* bytes) noexcept {
    return _mm256_loadu_si256(reinterpret_cast<__m256i const*>(bytes));
}

LAGG_AVX512VL inline void store(std::uint8_t* to, __m256i bytes) noexcept {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), bytes);
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

/// Four queues of bytes with one more each: the low one of a hash.
LAGG_AVX512VL inline __m256i append(__m256i queues, __m256i hashes) noexcept {
    return _mm256_shrdi_epi64(queues, hashes, 8);
}

/// Whether hashing reads more than the descriptors.
template<class Hash>
inline constexpr bool follows_pointers = avx2::may_leave_out<Hash>;

/// The low bytes of `count` hashes, at most 32.
template<class Read, class Hash>
[[gnu::always_inline]] LAGG_AVX512VL inline __m256i low_bytes(flow_table const& table, Hash& hash,
                                                              typename Read::frame const* frames,
                                                              std::size_t count) noexcept {
    // Each word is a queue of bytes: the k-th block of four ends up in the k-th byte of the words.
    constexpr std::size_t blocks = half / block;
    static_assert(blocks == sizeof(std::uint64_t));
    __m256i low = _mm256_setzero_si256();
    std::size_t i = 0;
    if constexpr (follows_pointers<Hash>) {
        // Two blocks at a time, finished after the next two have been summed up.  Nothing is
        // fetched ahead: measured on Zen 5, that costs 7 TSC cycles a burst of 32, and with frames
        // in the L3 cache 16 more when they come in the order of their pool; in no order it
        // saves 15.
        if (2 * block <= count) {
            typename Hash::two_sums pending{low, low};
            do {
                typename Hash::two_sums const next = hash.sums_of_two(frames + i);
                if (i > 0) {
                    low = hash.append_finished(low, pending);
                }
                pending = next;
                i += 2 * block;
            } while (i + 2 * block <= count);
            low = hash.append_finished(low, pending);
        }
    }
    for (; i + block <= count; i += block) {
        low = append(low, hash(frames + i));
    }
    if (i < count) {
        typename Read::frame rest[block];
        std::fill_n(rest, block, frames[i]);
        std::copy(frames + i, frames + count, rest);
        low = append(low, hash(rest));
        i += block;
    }
    if (i < half) {
        auto const missing = static_cast<long long>(half - i); // frames; of each four a byte
        low = _mm256_srl_epi64(low, _mm_cvtsi64_si128(missing * 2));
    }
    __m256i const in_order = _mm256_set_epi64x(0x1f17'0f07'1e16'0e06, 0x1d15'0d05'1c14'0c04,
                                               0x1b13'0b03'1a12'0a02, 0x1911'0901'1810'0800);
    low = _mm256_permutexvar_epi8(in_order, low);
    if constexpr (follows_pointers<Hash>) {
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
/// Type: where in what it looks at the type is, 0 or 12.
template<std::uint64_t Type>
class ipv4_test {
public:
    LAGG_AVX512VL ipv4_test() noexcept = default;
    /// `a`, `b`: as in picked_bytes.
    LAGG_AVX512VL void look(__m256i a, __m256i b) noexcept {
        // seen_ | (a ^ ipv4_), of all bytes: those that do not count are masked at the end
        seen_ = _mm256_ternarylogic_epi64(seen_, a, ipv4_, 0xf6);
        seen_ = _mm256_ternarylogic_epi64(seen_, b, ipv4_, 0xf6);
    }
    LAGG_AVX512VL bool failed() const noexcept {
        return _mm256_testz_si256(seen_, in_its_half(0x00ff'ffffU)) == 0;
    }
    /// Which of the four.
    LAGG_AVX512VL unsigned which(__m256i a, __m256i b) const noexcept {
        __m256i const halves =
            Type == 0 ? _mm256_unpacklo_epi64(a, b) : _mm256_unpackhi_epi64(a, b);
        __m256i const other = _mm256_xor_si256(halves, all(checked(0x0045'0008U)));
        return _mm256_test_epi64_mask(other, all(checked(0x00ff'ffffU)));
    }

private:
    static_assert(Type == 0 || Type == 12);
    /// The three bytes in the half where they are.
    static constexpr std::uint64_t checked(std::uint64_t bytes) noexcept {
        return Type == 0 ? bytes : bytes << 32;
    }
    LAGG_AVX512VL static __m256i in_its_half(std::uint64_t bytes) noexcept {
        return Type == 0 ? avx2::twice(checked(bytes), 0) : avx2::twice(0, checked(bytes));
    }

    __m256i ipv4_ = in_its_half(0x0045'0008U);
    __m256i seen_ = _mm256_setzero_si256();
};

/// Looks for frames that have a tag where their type would be.
class untagged_test {
public:
    LAGG_AVX512VL untagged_test() noexcept = default;
    /// `a`, `b`: as in picked_bytes, their first bytes.
    LAGG_AVX512VL void look(__m256i a, __m256i b) noexcept {
        seen_ = _mm256_or_si256(seen_, tagged(a, b));
    }
    LAGG_AVX512VL bool failed() const noexcept { return _mm256_testz_si256(seen_, seen_) == 0; }
    /// Which of the four.
    LAGG_AVX512VL unsigned which(__m256i a, __m256i b) const noexcept {
        __m256i const found = tagged(a, b);
        return _mm256_test_epi64_mask(found, found);
    }

private:
    /// A word that is not 0 for each frame that has one.
    LAGG_AVX512VL __m256i tagged(__m256i a, __m256i b) const noexcept {
        return _mm256_cmpeq_epi16(pick_(a, b), tags_);
    }

    picked_bytes pick_{0x0d0c'0d0c'0d0c'0d0cU}; // the type, four times
    __m256i tags_ = all(0x0091'0091'a888'0081U);
    __m256i seen_ = _mm256_setzero_si256();
};

/// As avx2::by_headers, for one half of a burst; but frames that are not plain IPv4 are left out
/// until all are hashed.
template<class Read, bool L2, bool L3, bool L4>
class by_headers {
public:
    [[gnu::always_inline]] LAGG_AVX512VL explicit by_headers(flow_table const& t) noexcept
        : with_(avx2::masks_of(t.plan)) {}

    /// Of four frames, in the low half of each word.
    [[gnu::always_inline]] LAGG_AVX512VL __m256i
    operator()(typename Read::frame const* frames) noexcept {
        std::uint8_t const* data[block];
        if (!avx2::locate<Read>(frames, avx2::readable, data)) [[unlikely]] {
            short_ = true;
            return _mm256_setzero_si256();
        }
        return finish(sums_of(data), last_);
    }

    /// Of two blocks, not finished yet.
    struct two_sums {
        __m256i first, second;
    };
    [[gnu::always_inline]] LAGG_AVX512VL two_sums
    sums_of_two(typename Read::frame const* frames) noexcept {
        std::uint8_t const* data[2 * block];
        if (!avx2::locate<Read, 2 * block>(frames, avx2::readable, data)) [[unlikely]] {
            short_ = true;
            return {_mm256_setzero_si256(), _mm256_setzero_si256()};
        }
        __m256i const first = sums_of(data);
        return {first, sums_of(data + block)};
    }
    [[gnu::always_inline]] LAGG_AVX512VL __m256i
    append_finished(__m256i queues, two_sums const& sums) const noexcept {
        return append(append(queues, finish(sums.first, last_)), finish(sums.second, last_));
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
    [[gnu::always_inline]] LAGG_AVX512VL __m256i sums_of(std::uint8_t const* const* data) noexcept {
        using avx2::two;
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
        return avx2::sum_of_halves(a, b);
    }

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
            if (avx2::locate<Read>(four, avx2::readable, data)) {
                which |=
                    static_cast<std::uint32_t>(test_.which(two(data[0] + from, data[2] + from),
                                                           two(data[1] + from, data[3] + from)))
                    << i;
            } else {
                which |= together(i, count);
            }
        }
        return which & static_cast<std::uint32_t>(first_frames(count));
    }

    /// What is left out where the block at `i` has a frame that is too short: two blocks, if they
    /// were hashed together.
    static std::uint32_t together(std::size_t i, std::size_t count) noexcept {
        std::size_t const first = i / (2 * block) * (2 * block);
        return first + 2 * block <= count ? std::uint32_t{0xff} << first
                                          : std::uint32_t{avx2::all_of_block} << i;
    }

    avx2::rule_masks with_;
    finish_keys last_;
    std::conditional_t<L3 || L4, upper_test, untagged_test> test_;
    bool short_ = false; // a frame was too short to look at
};

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
members_from(std::size_t from, flow_table const& table, Hash& hash,
             typename Read::frame const* frames, std::size_t count,
             grouped_frames<typename Read::frame>& groups) noexcept {
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
    Hash hash(table);
    __m256i const members = members_from<Read>(0, table, hash, frames, count, groups);
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
    Hash hash(table);
    __m256i const first = members_from<Read>(0, table, hash, frames, half, groups);
    __m256i const second = members_from<Read>(half, table, hash, frames, count - half, groups);
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

/// Whether a burst is better grouped by AVX2: it is short, or has no plain IPv4.
template<class Read>
[[gnu::always_inline]] inline bool is_for_avx2(flow_table const& table,
                                               typename Read::frame const* frames,
                                               std::size_t count) noexcept {
    return are_few(count, table.members) ||
           (is_by_upper(table.plan.way) && avx2::seems_odd<Read>(frames, count));
}

template<class Read>
LAGG_AVX512VL void group_by_flow(flow_table const& table, typename Read::frame const* frames,
                                 std::size_t count,
                                 grouped_frames<typename Read::frame>& groups) noexcept {
    if (is_for_avx2<Read>(table, frames, count)) {
        return avx2::group_by_flow<Read, avx2::sizes::in_memory>(table, frames, count, groups);
    }
    return for_way<Read>(by_way<Read>, table.plan.way)(table, frames, count, groups);
}

} // namespace lagg::avx512vl

#pragma GCC diagnostic pop

#endif
