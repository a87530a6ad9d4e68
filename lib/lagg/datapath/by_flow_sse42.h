// Frames grouped by flow with SSE4.2: a frame in a register, four at a time; for processors that
// are as old as DPDK allows, and small ones.
// Plain frames only: TCP and UDP over IPv4 without a tag.  All others go one by one, and rules that
// put both directions together go the reference's way.
#pragma once

#include "lagg/datapath/by_flow.h"

#if defined(__x86_64__)

#include <algorithm>
#include <immintrin.h>

namespace lagg::sse42 {

// For functions, because DPDK may be built for less.
#define LAGG_SSE42 [[gnu::target("sse4.2")]]

inline constexpr std::size_t block = 4;
inline constexpr std::uint32_t readable = 38; // Ethernet, IPv4, ports

LAGG_SSE42 inline __m128i load(void const* bytes) noexcept {
    return _mm_loadu_si128(static_cast<__m128i const*>(bytes));
}

LAGG_SSE42 inline __m128i both(std::uint64_t low, std::uint64_t high) noexcept {
    return _mm_set_epi64x(static_cast<long long>(high), static_cast<long long>(low));
}

LAGG_SSE42 inline __m128i twice(std::uint64_t word) noexcept {
    return _mm_set1_epi64x(static_cast<long long>(word));
}

/// product_of() of both halves of a lane, not added yet.
LAGG_SSE42 inline __m128i products(__m128i lane, __m128i bytes, __m128i key) noexcept {
    __m128i const changed = _mm_xor_si128(_mm_and_si128(lane, bytes), key);
    return _mm_mul_epu32(changed, _mm_srli_epi64(changed, 32));
}

/// net::finish() of two sums.
LAGG_SSE42 inline __m128i finish(__m128i sum) noexcept {
    __m128i const folded = _mm_xor_si128(sum, _mm_srli_epi64(sum, 32));
    __m128i p = _mm_mul_epu32(_mm_xor_si128(folded, twice(net::finish_xor)),
                              _mm_add_epi32(folded, twice(net::finish_add)));
    p = _mm_mul_epu32(_mm_xor_si128(p, _mm_srli_epi64(p, 32)), twice(net::finish_factor));
    return _mm_xor_si128(p, _mm_srli_epi64(p, 32));
}

/// All bits set if the frame is plain IPv4, else at least one is not.  `middle`: bytes 6 to 21,
/// `end`: bytes 22 to 37.
LAGG_SSE42 inline __m128i plain(__m128i middle, __m128i end) noexcept {
    // protocol; type 0x0800, version and header length, neither MF nor an offset
    __m128i const word = _mm_blend_epi16(middle, end, 0x03);
    __m128i const found = _mm_and_si128(word, both(0xffff'0000'0000'ff00U, 0xff3f'0000'0000'00ffU));
    __m128i const tcp = both(0x0008'0000'0000'0000U | 6U << 8, 0x45U);
    __m128i const udp = both(0x0008'0000'0000'0000U | 17U << 8, 0x45U);
    return _mm_or_si128(_mm_cmpeq_epi32(found, tcp), _mm_cmpeq_epi32(found, udp));
}

/// All bits set if the frame has no tag, else at least one is not.  `begin`: its first bytes.
LAGG_SSE42 inline __m128i untagged(__m128i begin) noexcept {
    __m128i const type = _mm_shufflehi_epi16(_mm_unpackhi_epi64(begin, begin), 0xaa);
    constexpr std::uint64_t tags = 0x0081'a888'0091'0081U;
    return _mm_cmpeq_epi16(_mm_cmpeq_epi16(type, twice(tags)), _mm_setzero_si128());
}

/// Constants of a burst.
struct rule_masks {
    __m128i l2_bytes, l2_key;
    __m128i transport_bytes, transport_key;

    LAGG_SSE42 explicit rule_masks(net::hash_plan const& plan) noexcept
        : l2_bytes(both(~std::uint64_t{0}, 0xffff'ffffU)),
          l2_key(load(&plan.keys.l2)),
          transport_bytes(load(&plan.transport_bytes)),
          transport_key(load(&plan.keys.transport)) {}
};

/// Hashes by header fields.  L2, Upper: which lanes count.
template<class Read, bool L2, bool Upper>
class by_headers {
public:
    LAGG_SSE42 explicit by_headers(flow_table const& t) noexcept : table_(t), with_(t.plan) {}

    /// Of four frames.
    LAGG_SSE42 void operator()(typename Read::frame const* frames,
                               std::uint64_t* hashes) const noexcept {
        __m128i sum[block];
        __m128i usual = _mm_set1_epi8(-1);
        for (std::size_t i = 0; i < block; ++i) {
            if (Read::length(frames[i]) < readable) [[unlikely]] {
                return mend(frames, 0xf, hashes);
            }
            std::uint8_t const* const data = Read::data(frames[i]);
            usual = _mm_and_si128(usual, is_usual(data));
            sum[i] = lanes(data);
        }
        store(hashes, sum[0], sum[1]);
        store(hashes + 2, sum[2], sum[3]);
        if (_mm_movemask_epi8(usual) != 0xffff) [[unlikely]] {
            mend(frames, unusual(frames), hashes);
        }
    }

private:
    LAGG_SSE42 static __m128i is_usual(std::uint8_t const* data) noexcept {
        return Upper ? plain(load(data + 6), load(data + 22)) : untagged(load(data));
    }

    LAGG_SSE42 __m128i lanes(std::uint8_t const* data) const noexcept {
        __m128i sum = _mm_setzero_si128();
        if constexpr (Upper) {
            sum = products(load(data + 22), with_.transport_bytes, with_.transport_key);
        }
        if constexpr (L2) {
            sum = _mm_add_epi64(sum, products(load(data), with_.l2_bytes, with_.l2_key));
        }
        return sum;
    }

    LAGG_SSE42 static void store(std::uint64_t* to, __m128i a, __m128i b) noexcept {
        __m128i const sums = _mm_add_epi64(_mm_unpacklo_epi64(a, b), _mm_unpackhi_epi64(a, b));
        _mm_storeu_si128(reinterpret_cast<__m128i*>(to), finish(sums));
    }

    [[gnu::noinline]] LAGG_SSE42 static unsigned
    unusual(typename Read::frame const* frames) noexcept {
        unsigned which = 0;
        for (std::size_t i = 0; i < block; ++i) {
            bool const other = _mm_movemask_epi8(is_usual(Read::data(frames[i]))) != 0xffff;
            which |= static_cast<unsigned>(other) << i;
        }
        return which;
    }

    void mend(typename Read::frame const* frames, unsigned which,
              std::uint64_t* hashes) const noexcept {
        hash_others<Read>(table_, frames, which, hashes);
    }

    flow_table const& table_;
    rule_masks const with_;
};

/// Takes the NIC's hashes where there are.
template<class Read>
class by_flowid {
public:
    LAGG_SSE42 explicit by_flowid(flow_table const& t) noexcept
        : table_(t), key_(twice(t.plan.keys.flowid)) {}

    LAGG_SSE42 void operator()(typename Read::frame const* frames,
                               std::uint64_t* hashes) const noexcept {
        store(hashes, frames[0], frames[1]);
        store(hashes + 2, frames[2], frames[3]);
        if (!Read::all_have_flowid(frames[0], frames[1], frames[2], frames[3])) [[unlikely]] {
            unsigned without = 0;
            for (std::size_t i = 0; i < block; ++i) {
                without |= static_cast<unsigned>(!Read::has_flowid(frames[i])) << i;
            }
            hash_others<Read>(table_, frames, without, hashes);
        }
    }

private:
    LAGG_SSE42 void store(std::uint64_t* to, typename Read::frame a,
                          typename Read::frame b) const noexcept {
        __m128i const changed = _mm_xor_si128(both(Read::flowid(a), Read::flowid(b)), key_);
        __m128i const product = _mm_mul_epu32(changed, _mm_srli_epi64(changed, 32));
        _mm_storeu_si128(reinterpret_cast<__m128i*>(to), finish(product));
    }

    flow_table const& table_;
    __m128i const key_;
};

template<class Read, class Hash, class Groups>
LAGG_SSE42 void group_hashed_by(flow_table const& table, typename Read::frame const* frames,
                                std::size_t count,
                                grouped_frames<typename Read::frame>& groups) noexcept {
    Hash const hash(table);
    std::uint64_t hashes[chunk_size];
    std::size_t i = 0;
    for (; i + block <= count; i += block) {
        hash(frames + i, hashes + i);
    }
    if (i < count) {
        typename Read::frame rest[block];
        std::fill_n(rest, block, frames[i]);
        std::copy(frames + i, frames + count, rest);
        hash(rest, hashes + i);
    }
    group_hashed<Groups>(table, frames, hashes, count, groups);
}

template<class Read, class Groups>
inline constexpr group_functions<Read> by_way{
    group_hashed_by<Read, by_headers<Read, true, false>, Groups>,
    group_hashed_by<Read, by_headers<Read, false, true>, Groups>,
    group_hashed_by<Read, by_headers<Read, true, true>, Groups>,
    group_hashed_by<Read, by_headers<Read, false, true>, Groups>,
    group_hashed_by<Read, by_headers<Read, true, true>, Groups>,
    group_hashed_by<Read, by_flowid<Read>, Groups>,
    lagg::group_by_flow<Read>,
};

template<class Read>
LAGG_SSE42 void group_by_flow(flow_table const& table, typename Read::frame const* frames,
                              std::size_t count,
                              grouped_frames<typename Read::frame>& groups) noexcept {
    using frame = typename Read::frame;
    auto const& ways = table.members <= few_groups<frame>::most ? by_way<Read, few_groups<frame>>
                                                                : by_way<Read, many_groups<frame>>;
    return for_way<Read>(ways, table.plan.way)(table, frames, count, groups);
}

} // namespace lagg::sse42

#endif
