// Hashes of up to 32 frames with AVX-512 on registers of 256 bits: the low byte of each, in one
// register.  Plain IPv4 in fewer instructions than AVX2's; what a burst has besides is hashed when
// the others are, kind by kind, the rest one by one.  Knows no mbuf and no group.
#pragma once

#include "lagg/datapath/avx512vl_lanes.h"
#include "lagg/datapath/by_flow_avx2.h"

#if defined(__x86_64__)

#include <algorithm>
#include <bit>
#include <type_traits>

#pragma GCC diagnostic push
#if defined(__GNUC__) && !defined(__clang__)
// gcc 12 takes offence at its own intrinsics.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif

namespace lagg::avx512vl {

/// Four queues of bytes with one more each: the low one of a hash.
LAGG_AVX512VL inline __m256i append(__m256i queues, __m256i hashes) noexcept {
    return _mm256_shrdi_epi64(queues, hashes, 8);
}

// Hash: gives four frames their hashes, in the low half of each word.
//   explicit Hash(flow_table const&)
//   __m256i operator()(Read::frame const* frames)
// and, if it may leave some out,
//   bool left_out()                                      it did
//   __m256i mended(flow_table const&, frames, count, others, low)   static: `low`, put right
//   std::uint32_t others()                               those left out, as far as it knows

/// Whether it sums up two blocks before it finishes them.
template<class Hash>
inline constexpr bool sums_first = requires {
    typename Hash::two_sums;
};

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
    if constexpr (sums_first<Hash>) {
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
    if constexpr (avx2::may_leave_out<Hash>) {
        if (hash.left_out()) [[unlikely]] {
            low = Hash::mended(table, frames, count, hash.others(), low);
        }
    }
    return low;
}

/// Frames of one of the kinds that AVX2 knows.
template<class Read, class Kind>
class of_a_kind {
public:
    [[gnu::always_inline]] LAGG_AVX512VL explicit of_a_kind(flow_table const& t) noexcept
        : kind_(t) {}

    /// Of four frames; means nothing for those that are of another kind.
    [[gnu::always_inline]] LAGG_AVX512VL __m256i
    operator()(typename Read::frame const* frames) noexcept {
        std::uint8_t const* data[block];
        std::uint32_t failures = avx2::all_of_block;
        __m256i sums = _mm256_setzero_si256();
        if (avx2::locate<Read>(frames, Kind::needed, data)) [[likely]] {
            failures = Kind::failures(Kind::passed(data));
            sums = kind_.sums(data);
        }
        others_ |= failures << at_;
        at_ += block;
        return finish(sums, last_);
    }

    /// Those of another kind: bit i, the i-th; one that fills up the last four may be among them.
    std::uint32_t others() const noexcept { return others_; }

private:
    Kind kind_;
    finish_keys last_;
    std::uint32_t others_ = 0;
    unsigned at_ = 0;
};

/// Puts the hashes of those frames `which` that are of a kind into `low`; returns the others.
/// `list`: frames `which`, one behind the other.
template<class Read, class Kind>
[[gnu::noinline]] LAGG_AVX512VL std::uint32_t
mend_kind(flow_table const& table, typename Read::frame const* list, std::uint32_t which,
          __m256i& low) noexcept {
    of_a_kind<Read, Kind> hash(table);
    __m256i const bytes =
        low_bytes<Read>(table, hash, list, static_cast<std::size_t>(std::popcount(which)));
    low = _mm256_mask_expand_epi8(low, which, bytes);
    return _pdep_u32(hash.others(), which);
}

/// A set of kinds, by their types.
namespace kind {
inline constexpr unsigned ipv4 = 1;
inline constexpr unsigned ipv6 = 2;
inline constexpr unsigned tagged = 4;
} // namespace kind

template<class Read>
[[gnu::always_inline]] inline unsigned kind_of(typename Read::frame frame) noexcept {
    if (Read::length(frame) < net::detail::ethernet_header_size) {
        return 0;
    }
    std::uint16_t const type = net::detail::load_be16(Read::data(frame) + 12);
    return type == net::detail::ethertype_ipv4   ? kind::ipv4
           : type == net::detail::ethertype_ipv6 ? kind::ipv6
           : net::detail::is_vlan_tag(type)      ? kind::tagged
                                                 : 0;
}

/// The kind that most of some frames probably are of: three of them are.  0 if there is none.
template<class Read>
[[gnu::always_inline]] inline unsigned usual_kind(typename Read::frame const* list,
                                                  std::size_t count) noexcept {
    return kind_of<Read>(list[0]) & kind_of<Read>(list[count / 2]) & kind_of<Read>(list[count - 1]);
}

/// Puts the hashes of frames `which` into `low`, one by one.
template<class Read>
[[gnu::always_inline]] LAGG_AVX512VL inline __m256i
mend_others(flow_table const& table, typename Read::frame const* frames, std::uint32_t which,
            __m256i low) noexcept {
    for (; which != 0; which &= which - 1) {
        auto const hash = hash_left_over<Read>(table, frames[std::countr_zero(which)]);
        low = _mm256_mask_set1_epi8(low, which & -which, static_cast<char>(hash));
    }
    return low;
}

/// From so many frames on they are hashed kind by kind.
inline constexpr int enough = 4;

/// Puts the hashes of frames `which` into `low`: kind by kind, the rest one by one.
/// `tried`: kinds that none of them is of.
template<class Read, bool L2>
[[gnu::noinline]] LAGG_AVX512VL __m256i mend(flow_table const& table,
                                             typename Read::frame const* frames,
                                             std::uint32_t which, unsigned tried,
                                             __m256i low) noexcept {
    while (std::popcount(which) >= enough) {
        typename Read::frame list[half];
        std::size_t count = 0;
        for (std::uint32_t left = which; left != 0; left &= left - 1) {
            list[count++] = frames[std::countr_zero(left)];
        }
        unsigned const next = usual_kind<Read>(list, count) & ~tried;
        if (next == kind::ipv6) {
            which = mend_kind<Read, avx2::untagged_ipv6<L2>>(table, list, which, low);
        } else if (next == kind::tagged) {
            which = mend_kind<Read, avx2::tagged_ipv4<L2>>(table, list, which, low);
        } else if (next == kind::ipv4) {
            which = mend_kind<Read, avx2::untagged_ipv4<L2, true, true>>(table, list, which, low);
        } else {
            break;
        }
        tried |= next;
    }
    return mend_others<Read>(table, frames, which, low);
}

/// Frames that seem to be of a kind; the others are left out until all are hashed.
template<class Read, class Kind, bool L2, unsigned Tried>
class by_kind : public of_a_kind<Read, Kind> {
public:
    [[gnu::always_inline]] LAGG_AVX512VL explicit by_kind(flow_table const& t) noexcept
        : of_a_kind<Read, Kind>(t) {}

    bool left_out() const noexcept { return this->others() != 0; }

    LAGG_AVX512VL static __m256i mended(flow_table const& table, typename Read::frame const* frames,
                                        std::size_t count, std::uint32_t others,
                                        __m256i low) noexcept {
        auto const present = static_cast<std::uint32_t>(first_frames(count));
        return mend<Read, L2>(table, frames, others & present, Tried, low);
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

    /// Not known yet.
    static std::uint32_t others() noexcept { return 0; }

    /// Hashes what was left out of `count` frames.  `low`: one byte of each hash, in order.
    /// Of no object: one whose address is known has to be in memory, with all its constants.
    [[gnu::noinline]] LAGG_AVX512VL static __m256i
    mended(flow_table const& table, typename Read::frame const* frames, std::size_t count,
           std::uint32_t /*others*/, __m256i low) noexcept {
        by_headers const like(table);
        std::uint32_t const which = like.those_left_out(frames, count);
        if constexpr (L3 || L4) {
            return mend<Read, L2>(table, frames, which, kind::ipv4, low);
        } else {
            return mend_others<Read>(table, frames, which, low);
        }
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
        std::uint32_t which = 0;
        std::size_t i = 0;
        for (; i + block <= count; i += block) {
            which |= left_out_of_four(frames + i, i, count);
        }
        if (i < count) {
            typename Read::frame four[block];
            which |= left_out_of_four(avx2::whole_block(frames + i, count - i, four), i, count);
        }
        return which & static_cast<std::uint32_t>(first_frames(count));
    }

    /// `four`: the block at `i` of `count` frames.
    [[gnu::always_inline]] LAGG_AVX512VL std::uint32_t
    left_out_of_four(typename Read::frame const* four, std::size_t i,
                     std::size_t count) const noexcept {
        using avx2::two;
        std::uint8_t const* data[block];
        if (!avx2::locate<Read>(four, avx2::readable, data)) [[unlikely]] {
            return together(i, count);
        }
        return static_cast<std::uint32_t>(test_.which(two(data[0] + from, data[2] + from),
                                                      two(data[1] + from, data[3] + from)))
               << i;
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

} // namespace lagg::avx512vl

#pragma GCC diagnostic pop

#endif
