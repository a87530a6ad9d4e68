// Frames grouped by flow with AVX2: two frames in a register, four at a time.
// Hashes all frames as the kind that the burst seems to be of; what else it has is hashed when all
// of that is done (by_flow_avx2_odd.h).  Rules that put both directions together go the reference's
// way.
#pragma once

#include "lagg/datapath/avx2_groups.h"
#include "lagg/datapath/avx2_kinds.h"
#include "lagg/datapath/avx2_lanes.h"
#include "lagg/datapath/by_flow.h"
#include "lagg/datapath/by_flow_avx2_odd.h"

#if defined(__x86_64__)

#include <algorithm>

namespace lagg::avx2 {

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

/// Where some frames begin; false when one of them has not the bytes that are needed.
template<class Read, std::size_t Frames = block>
[[gnu::always_inline]] inline bool locate(typename Read::frame const* frames, std::uint32_t needed,
                                          std::uint8_t const** data) noexcept {
    for (std::size_t i = 0; i < Frames; ++i) {
        data[i] = Read::data(frames[i]);
        if (Read::length(frames[i]) < needed) [[unlikely]] {
            return false;
        }
    }
    return true;
}

// What gives a block its hashes; classes, because a lambda does not inherit its function's target.

/// Frames of one kind; those that are not are left out at first.
template<class Read, class Kind, bool L2, bool IsIpv4>
class by_kind {
public:
    LAGG_AVX2 explicit by_kind(flow_table const& t) noexcept : kind_(t) {}

    /// Of four frames, in the low half of each word.  What it is for those of another kind, or
    /// where one of the four is short, means nothing.
    [[gnu::always_inline]] LAGG_AVX2 __m256i
    operator()(typename Read::frame const* frames) noexcept {
        std::uint8_t const* four[block];
        if (!locate<Read>(frames, Kind::needed, four)) [[unlikely]] {
            passed_ = _mm256_setzero_si256();
            return passed_;
        }
        passed_ = Kind::passed(four);
        return finish(kind_.sums(four));
    }

    /// Whether one of the last four has no hash yet.
    LAGG_AVX2 bool left_out() const noexcept { return _mm256_movemask_epi8(passed_) != -1; }
    /// Which: bit i, the i-th.
    LAGG_AVX2 unsigned those_left_out() const noexcept { return Kind::failures(passed_); }

    /// Hashes those that were left out.
    static void mend_all(flow_table const& table, typename Read::frame const* frames,
                         frame_set which, std::uint64_t* hashes) noexcept {
        if (table.rule.l3 || table.rule.l4) {
            mend<Read, L2, IsIpv4>(table, frames, which, hashes);
        } else {
            mend_others<Read>(table, frames, which, hashes);
        }
    }

private:
    Kind kind_;
    __m256i passed_ = _mm256_setzero_si256(); // of the last four
};

template<class Read, bool L2, bool L3, bool L4>
using by_ipv4 = by_kind<Read, untagged_ipv4<L2, L3, L4>, L2, true>;
template<class Read, bool L2>
using by_ipv6 = by_kind<Read, untagged_ipv6<L2>, L2, false>;
template<class Read, bool L2>
using by_tagged = by_kind<Read, tagged_ipv4<L2>, L2, false>;

/// Any frame, if l3 or l4 counts: for bursts of none of the kinds.
template<class Read, bool L2>
struct by_odd_headers {
    flow_table const& table;
    LAGG_AVX2 explicit by_odd_headers(flow_table const& t) noexcept : table(t) {}
    [[gnu::always_inline]] LAGG_AVX2 __m256i
    operator()(typename Read::frame const* frames) noexcept {
        std::uint64_t hashes[block]{};
        unsigned const left = hash_odd<Read, L2>(table, frames, all_of_block, hashes);
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

/// Whether some frames of four may have no hash at first.
template<class Hash>
inline constexpr bool may_leave_out = requires(Hash const& hash) {
    hash.left_out();
};

/// Hashes a chunk.  Hash: gives four frames their hashes.
template<class Read, class Hash>
LAGG_AVX2 inline void hash_chunk(flow_table const& table, typename Read::frame const* frames,
                                 std::size_t count, std::uint64_t* hashes) noexcept {
    Hash hash(table);
    [[maybe_unused]] frame_set odd = 0;
    for (std::size_t i = 0; i < count; i += block) {
        if constexpr (may_leave_out<Hash>) { // it follows pointers
            fetch_ahead<4 * block, block>(frames, i, count);
        }
        typename Read::frame rest[block];
        auto const* const four = whole_block(frames + i, count - i, rest);
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(hashes + i), hash(four));
        if constexpr (may_leave_out<Hash>) {
            if (hash.left_out()) [[unlikely]] {
                odd |= frame_set{hash.those_left_out()} << i;
            }
        }
    }
    if constexpr (may_leave_out<Hash>) {
        if (odd != 0) [[unlikely]] {
            Hash::mend_all(table, frames, odd & first_frames(count), hashes);
        }
    }
}

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
        if constexpr (may_leave_out<Hash>) {
            if (hash.left_out()) [[unlikely]] {
                std::uint64_t hashes[block];
                auto* const at = reinterpret_cast<__m256i*>(hashes);
                _mm256_storeu_si256(at, found);
                Hash::mend_all(table, frames, hash.those_left_out(), hashes);
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

/// For more, where sizes are better in memory.
template<class Read, class Hash>
struct for_many_by_stores {
    LAGG_AVX2 static void group(flow_table const& table, typename Read::frame const* frames,
                                std::size_t count,
                                grouped_frames<typename Read::frame>& groups) noexcept {
        std::uint64_t hashes[chunk_size];
        hash_chunk<Read, Hash>(table, frames, count, hashes);
        group_hashed<many_groups<typename Read::frame>>(table, frames, hashes, count, groups);
    }
};

/// How: puts them into groups.
template<class Read, template<class, class> class How>
inline constexpr group_functions<Read> by_way{
    How<Read, by_ipv4<Read, true, false, false>>::group,
    How<Read, by_ipv4<Read, false, true, false>>::group,
    How<Read, by_ipv4<Read, true, true, false>>::group,
    How<Read, by_ipv4<Read, false, true, true>>::group,
    How<Read, by_ipv4<Read, true, true, true>>::group,
    How<Read, by_flowid<Read>>::group,
    lagg::group_by_flow<Read>,
};

template<class Read, template<class, class> class How, bool L2>
group_function<Read>* for_type(std::uint16_t type) noexcept {
    return type == net::detail::ethertype_ipv6 ? How<Read, by_ipv6<Read, L2>>::group
           : net::detail::is_vlan_tag(type)    ? How<Read, by_tagged<Read, L2>>::group
                                               : How<Read, by_odd_headers<Read, L2>>::group;
}

/// A burst that has no plain IPv4, as it seems.
template<class Read, template<class, class> class How>
[[gnu::noinline]] void group_odd(flow_table const& table, typename Read::frame const* frames,
                                 std::size_t count,
                                 grouped_frames<typename Read::frame>& groups) noexcept {
    std::uint16_t const type = net::detail::load_be16(Read::data(frames[0]) + 12);
    auto const group =
        table.rule.l2 ? for_type<Read, How, true>(type) : for_type<Read, How, false>(type);
    group(table, frames, count, groups);
}

/// A chunk, or a part of one.
template<class Read, template<class, class> class How>
[[gnu::always_inline]] inline void
group_by_way(flow_table const& table, typename Read::frame const* frames, std::size_t count,
             grouped_frames<typename Read::frame>& groups) noexcept {
    net::hash_way const way = table.plan.way;
    if (is_by_upper(way) && seems_odd<Read>(frames, count)) [[unlikely]] {
        return group_odd<Read, How>(table, frames, count, groups);
    }
    return for_way<Read>(by_way<Read, How>, way)(table, frames, count, groups);
}

/// Where more than eight members' sizes are while frames are put into groups.  In memory they are
/// stored and loaded again from frame to frame.  Measured with 16 members: eight frames take 56 TSC
/// cycles on Zen 5 where they are counted in 67, hashing included; on Zen 3 counting was sooner.
enum class sizes { counted, in_memory };

template<class Read, sizes Sizes = sizes::counted>
LAGG_AVX2 void group_by_flow(flow_table const& table, typename Read::frame const* frames,
                             std::size_t count,
                             grouped_frames<typename Read::frame>& groups) noexcept {
    constexpr bool by_stores = Sizes == sizes::in_memory;
    constexpr std::size_t most = few_groups<typename Read::frame>::most;
    if (count - 1 < block && (!by_stores || table.members <= most / 2)) {
        return group_by_way<Read, of_a_block>(table, frames, count, groups);
    }
    if (table.members <= most) {
        return group_by_way<Read, for_few>(table, frames, count, groups);
    }
    if constexpr (by_stores) {
        group_by_way<Read, for_many_by_stores>(table, frames, count, groups);
    } else {
        group_by_way<Read, for_many>(table, frames, count, groups);
    }
}

} // namespace lagg::avx2

#endif
