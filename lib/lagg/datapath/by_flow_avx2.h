// Frames grouped by flow with AVX2: two frames in a register, four at a time.
// Hashes plain IPv4 without a tag; what else a burst has is hashed when all of that is done
// (by_flow_avx2_odd.h).  Rules that put both directions together go the reference's way.
#pragma once

#include "lagg/datapath/avx2_lanes.h"
#include "lagg/datapath/by_flow.h"
#include "lagg/datapath/by_flow_avx2_odd.h"

#if defined(__x86_64__)

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <type_traits>

namespace lagg::avx2 {

/// Where four frames begin; false when one of them is too short for what follows.
template<class Read>
[[gnu::always_inline]] inline bool locate(typename Read::frame const* frames,
                                          std::uint8_t const** data) noexcept {
    for (std::size_t i = 0; i < block; ++i) {
        data[i] = Read::data(frames[i]);
        if (Read::length(frames[i]) < readable) [[unlikely]] {
            return false;
        }
    }
    return true;
}

/// What has to be known of a frame before its bytes are hashed as those of plain IPv4.
enum class test_for : std::uint8_t {
    transport, // type 0x0800, version and header length; neither MF nor an offset; TCP or UDP
    ipv4,      // type 0x0800, version and header length
    no_tag,
};

/// Looks at four frames at a time and tells in the end whether one of them failed.
/// From: where in each frame the 16 bytes begin that it is shown; 12, or 0 for the last two.
template<test_for What, std::size_t From>
class frame_test {
public:
    LAGG_AVX2 frame_test() noexcept = default;
    /// `a`: of frames 0 and 2; `b`: of 1 and 3.
    LAGG_AVX2 void look(__m256i a, __m256i b) noexcept {
        passed_ = _mm256_and_si256(passed_, passed(a, b));
    }
    LAGG_AVX2 bool failed() const noexcept { return _mm256_movemask_epi8(passed_) != -1; }

    /// Which of the four failed: bit i, the i-th.
    LAGG_AVX2 static unsigned failures(__m256i a, __m256i b) noexcept {
        auto const words =
            static_cast<unsigned>(_mm256_movemask_ps(_mm256_castsi256_ps(passed(a, b))));
        unsigned const both = words & words >> 2; // of frames 0, 1, -, -, 2, 3, -, -
        return ~((both & 3U) | (both >> 2 & 12U)) & all_of_block;
    }

private:
    static_assert(From == 12 || (From == 0 && What != test_for::transport));

    /// Words of 32 bits: the types (bytes 12 to 15) of two frames, and either's bytes 20 to 23; the
    /// other way round, with something else for the latter, when From is 0.
    LAGG_AVX2 static __m256i words_of(__m256i a, __m256i b) noexcept {
        return From == 12 ? _mm256_blend_epi32(a, _mm256_slli_epi64(b, 32), 0xaa)
                          : _mm256_blend_epi32(_mm256_srli_epi64(a, 32), b, 0xaa);
    }
    /// Each for both frames, as a little-endian machine loads them.
    LAGG_AVX2 static __m256i pair(std::uint32_t types, std::uint32_t rest) noexcept {
        constexpr std::uint64_t both = 0x0000'0001'0000'0001U;
        return From == 12 ? twice(types * both, rest * both) : twice(rest * both, types * both);
    }

    /// All bits of a frame's two words set if it passes.
    LAGG_AVX2 static __m256i passed(__m256i a, __m256i b) noexcept {
        __m256i const words = words_of(a, b);
        constexpr std::uint32_t ipv4 = 0x0045'0008U;
        if constexpr (What == test_for::transport) {
            __m256i const found = _mm256_and_si256(words, pair(0x00ff'ffffU, 0xff00'ff3fU));
            return _mm256_or_si256(_mm256_cmpeq_epi32(found, pair(ipv4, 6U << 24)),
                                   _mm256_cmpeq_epi32(found, pair(ipv4, 17U << 24)));
        } else if constexpr (What == test_for::ipv4) {
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

    __m256i passed_ = _mm256_set1_epi64x(-1);
};

// What gives a block its hashes; classes, because a lambda does not inherit its function's target.

/// Plain IPv4.  L2, L3, L4: which layers count.
template<class Read, bool L2, bool L3, bool L4>
class by_headers {
public:
    LAGG_AVX2 explicit by_headers(flow_table const& t) noexcept : with_(masks_of(t.plan)) {}

    /// Of four frames, in the low half of each word.  What it is for those that fail the test, or
    /// where one of the four is short, means nothing.
    [[gnu::always_inline]] LAGG_AVX2 __m256i
    operator()(typename Read::frame const* frames) noexcept {
        std::uint8_t const* data[block];
        if (!locate<Read>(frames, data)) [[unlikely]] {
            short_ = true;
            return _mm256_setzero_si256();
        }
        // frames 0 and 2, 1 and 3: so that unpacking puts all four in order
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
        return finish(sum_of_halves(a, b));
    }

    LAGG_AVX2 bool left_out() const noexcept { return short_ || test_.failed(); }

    /// Hashes what was left out of `count` frames.
    /// Of no object: one whose address is known has to be in memory, with all its constants.
    [[gnu::noinline]] LAGG_AVX2 static void mend_all(flow_table const& table,
                                                     typename Read::frame const* frames,
                                                     std::size_t count,
                                                     std::uint64_t* hashes) noexcept {
        frame_set const which = those_left_out(frames, count);
        if constexpr (L3 || L4) {
            mend<Read, L2>(table, masks_of(table.plan), frames, which, hashes);
        } else {
            mend_others<Read>(table, frames, which, hashes);
        }
    }

private:
    static constexpr std::size_t from = L4 || !L2 ? 12 : 0;
    using test = frame_test<L4   ? test_for::transport
                            : L3 ? test_for::ipv4
                                 : test_for::no_tag,
                            from>;

    LAGG_AVX2 static frame_set those_left_out(typename Read::frame const* frames,
                                              std::size_t count) noexcept {
        frame_set which = 0;
        for (std::size_t i = 0; i < count; i += block) {
            typename Read::frame four[block];
            for (std::size_t k = 0; k < block; ++k) {
                four[k] = frames[std::min(i + k, count - 1)];
            }
            std::uint8_t const* data[block];
            frame_set others = all_of_block;
            if (locate<Read>(four, data)) {
                others = test::failures(two(data[0] + from, data[2] + from),
                                        two(data[1] + from, data[3] + from));
            }
            which |= others << i;
        }
        return which & first_frames(count);
    }

    rule_masks with_;
    test test_;
    bool short_ = false; // a frame was too short to look at
};

/// For bursts that seem to have no plain IPv4, if l3 or l4 counts: any frame.
template<class Read, bool L2>
struct by_odd_headers {
    flow_table const& table;
    rule_masks with;
    LAGG_AVX2 explicit by_odd_headers(flow_table const& t) noexcept
        : table(t), with(masks_of(t.plan)) {}
    [[gnu::always_inline]] LAGG_AVX2 __m256i
    operator()(typename Read::frame const* frames) noexcept {
        std::uint64_t hashes[block];
        unsigned const left = hash_odd<Read, L2>(table, with, frames, all_of_block, hashes);
        if (left != 0) {
            hash_others<Read>(table, frames, left, hashes);
        }
        return _mm256_loadu_si256(reinterpret_cast<__m256i const*>(hashes));
    }
};

/// What the NIC hashed.
template<class Read>
class by_flowid {
public:
    LAGG_AVX2 explicit by_flowid(flow_table const& t) noexcept
        : table_(t), key_(_mm256_set1_epi64x(static_cast<long long>(t.plan.keys.flowid))) {}

    [[gnu::always_inline]] LAGG_AVX2 __m256i
    operator()(typename Read::frame const* frames) noexcept {
        auto const id = [frames](std::size_t i) {
            return static_cast<long long>(Read::flowid(frames[i]));
        };
        __m256i const changed =
            _mm256_xor_si256(_mm256_set_epi64x(id(3), id(2), id(1), id(0)), key_);
        __m256i const hashes = finish(_mm256_mul_epu32(changed, _mm256_srli_epi64(changed, 32)));
        if (Read::all_have_flowid(frames[0], frames[1], frames[2], frames[3])) [[likely]] {
            return hashes;
        }
        return mended(table_, frames, hashes);
    }

private:
    /// `hashes`, put right for those that the NIC did not hash: one by one.
    [[gnu::noinline]] LAGG_AVX2 static __m256i
    mended(flow_table const& table, typename Read::frame const* frames, __m256i hashes) noexcept {
        unsigned without = 0;
        for (std::size_t i = 0; i < block; ++i) {
            without |= static_cast<unsigned>(!Read::has_flowid(frames[i])) << i;
        }
        std::uint64_t words[block];
        auto* const all_four = reinterpret_cast<__m256i*>(words);
        _mm256_storeu_si256(all_four, hashes);
        hash_others<Read>(table, frames, without, words);
        return _mm256_loadu_si256(all_four);
    }

    flow_table const& table_;
    __m256i key_;
};

/// Whether probably none of the frames is IPv4 without a tag: three of them are not.
template<class Read>
[[gnu::always_inline]] inline bool seems_odd(typename Read::frame const* frames,
                                             std::size_t count) noexcept {
    auto const is_odd = [frames](std::size_t i) {
        return Read::length(frames[i]) >= net::detail::ethernet_header_size &&
               net::detail::load_be16(Read::data(frames[i]) + 12) != net::detail::ethertype_ipv4;
    };
    return count > 0 && is_odd(0) && is_odd(count / 2) && is_odd(count - 1);
}

/// Byte k of row `mask`: the half of a frame's pointer that comes to half k when those frames of
/// four that are not in `mask` are left out.
inline constexpr auto halves_of_those = [] {
    std::array<std::uint64_t, all_of_block + 1> rows{};
    for (unsigned mask = 0; mask < rows.size(); ++mask) {
        unsigned to = 0;
        for (unsigned i = 0; i < block; ++i) {
            if ((mask >> i & 1U) != 0) {
                rows[mask] |= (std::uint64_t{2 * i + 1} << 8 | 2 * i) << to;
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
/// `low`: the low bytes of their hashes.
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

/// The first four of `count` frames, or all of them and one of them again, in `rest`.
template<class Frame>
[[gnu::always_inline]] inline Frame const* whole_block(Frame const* frames, std::size_t count,
                                                       Frame* rest) noexcept {
    if (count >= block) [[likely]] {
        return frames;
    }
    std::fill_n(rest, block, frames[0]);
    std::copy_n(frames, count, rest);
    return rest;
}

/// Hashes a chunk.  Hash: gives four frames their hashes.
template<class Read, class Hash>
LAGG_AVX2 inline void hash_chunk(flow_table const& table, typename Read::frame const* frames,
                                 std::size_t count, std::uint64_t* hashes) noexcept {
    Hash hash(table);
    for (std::size_t i = 0; i < count; i += block) {
        typename Read::frame rest[block];
        auto const* const four = whole_block(frames + i, count - i, rest);
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(hashes + i), hash(four));
    }
    if constexpr (requires { hash.left_out(); }) {
        if (hash.left_out()) [[unlikely]] {
            Hash::mend_all(table, frames, count, hashes);
        }
    }
}

template<class Read>
using group_function = void(flow_table const& table, typename Read::frame const* frames,
                            std::size_t count,
                            grouped_frames<typename Read::frame>& groups) noexcept;

// How a chunk is put into groups.

/// One to four frames.
template<class Read, class Hash>
struct of_a_block {
    LAGG_AVX2 static void group(flow_table const& table, typename Read::frame const* frames,
                                std::size_t count,
                                grouped_frames<typename Read::frame>& groups) noexcept {
        typename Read::frame rest[block];
        frames = whole_block(frames, count, rest);
        Hash hash(table);
        __m256i found = hash(frames);
        if constexpr (requires { hash.left_out(); }) {
            if (hash.left_out()) [[unlikely]] {
                std::uint64_t hashes[block];
                auto* const at = reinterpret_cast<__m256i*>(hashes);
                _mm256_storeu_si256(at, found);
                Hash::mend_all(table, frames, block, hashes);
                found = _mm256_loadu_si256(at);
            }
        }
        group_four(table, frames, count, found, groups);
    }
};

/// For up to eight members.
template<class Read, class Hash>
struct for_few {
    LAGG_AVX2 static void group(flow_table const& table, typename Read::frame const* frames,
                                std::size_t count,
                                grouped_frames<typename Read::frame>& groups) noexcept {
        std::uint64_t hashes[chunk_size];
        hash_chunk<Read, Hash>(table, frames, count, hashes);
        group_hashed<few_groups<typename Read::frame>>(table, frames, hashes, count, groups);
    }
};

/// For more.
template<class Read, class Hash>
struct for_many {
    LAGG_AVX2 static void group(flow_table const& table, typename Read::frame const* frames,
                                std::size_t count,
                                grouped_frames<typename Read::frame>& groups) noexcept {
        std::uint64_t hashes[chunk_size];
        hash_chunk<Read, Hash>(table, frames, count, hashes);
        group_ranked(table, frames, hashes, count, groups);
    }
};

template<class Read, template<class, class> class How>
group_function<Read>* group_by_rule(net::hash_rule const& rule, typename Read::frame const* frames,
                                    std::size_t count) noexcept {
    if (rule.use_flowid) {
        return How<Read, by_flowid<Read>>::group;
    }
    if (!rule.l3 && !rule.l4) {
        return How<Read, by_headers<Read, true, false, false>>::group;
    }
    if (seems_odd<Read>(frames, count)) {
        return rule.l2 ? How<Read, by_odd_headers<Read, true>>::group
                       : How<Read, by_odd_headers<Read, false>>::group;
    }
    if (rule.l4) {
        return rule.l2 ? How<Read, by_headers<Read, true, true, true>>::group
                       : How<Read, by_headers<Read, false, true, true>>::group;
    }
    return rule.l2 ? How<Read, by_headers<Read, true, true, false>>::group
                   : How<Read, by_headers<Read, false, true, false>>::group;
}

template<class Read>
LAGG_AVX2 void group_by_flow(flow_table const& table, typename Read::frame const* frames,
                             std::size_t count,
                             grouped_frames<typename Read::frame>& groups) noexcept {
    net::hash_rule const& rule = table.rule;
    if (rule.symmetric && !rule.use_flowid) {
        return lagg::group_by_flow<Read>(table, frames, count, groups);
    }
    bool const few = table.members <= few_groups<typename Read::frame>::most;
    auto const group = count - 1 < block ? group_by_rule<Read, of_a_block>(rule, frames, count)
                       : few             ? group_by_rule<Read, for_few>(rule, frames, count)
                                         : group_by_rule<Read, for_many>(rule, frames, count);
    group(table, frames, count, groups);
}

} // namespace lagg::avx2

#endif
