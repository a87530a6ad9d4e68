// AVX2 for what a burst has besides frames of its usual kind: those of another kind four at a time,
// all others one by one.
#pragma once

#include "lagg/datapath/avx2_kinds.h"

#if defined(__x86_64__)

#include <algorithm>
#include <bit>

namespace lagg::avx2 {

/// Hashes those of four frames that are of a kind, and returns which they are.
template<class Kind>
LAGG_AVX2 inline unsigned hash_as(flow_table const& table, std::uint8_t const* const* four,
                                  std::uint32_t shortest, std::uint64_t* hashes) noexcept {
    if (shortest < Kind::needed) {
        return 0;
    }
    std::uint64_t found[block];
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(found), finish(Kind(table).sums(four)));
    unsigned const which = ~Kind::failures(Kind::passed(four)) & all_of_block;
    for (std::size_t i = 0; i < block; ++i) {
        hashes[i] = (which >> i & 1U) != 0 ? found[i] : hashes[i];
    }
    return which;
}

/// Hashes those of the frames `which` of four that are of one of the kinds; returns the others.
template<class Read, bool L2>
[[gnu::noinline]] LAGG_AVX2 unsigned hash_odd(flow_table const& table,
                                              typename Read::frame const* frames, unsigned which,
                                              std::uint64_t* hashes) noexcept {
    std::uint8_t const* four[block];
    std::uint32_t shortest = Read::length(frames[0]);
    for (std::size_t i = 0; i < block; ++i) {
        four[i] = Read::data(frames[i]);
        shortest = std::min(shortest, Read::length(frames[i]));
    }
    if (shortest < net::detail::ethernet_header_size) {
        return which;
    }
    // of the kind of the first one that is left: each kind at most once
    for (int kind = 0; kind < 3 && which != 0; ++kind) {
        std::uint16_t const type = net::detail::load_be16(four[std::countr_zero(which)] + 12);
        unsigned const hashed =
            which & (type == net::detail::ethertype_ipv6
                         ? hash_as<untagged_ipv6<L2>>(table, four, shortest, hashes)
                     : type == net::detail::ethertype_ipv4
                         ? hash_as<untagged_ipv4<L2, true, true>>(table, four, shortest, hashes)
                         : hash_as<tagged_ipv4<L2>>(table, four, shortest, hashes));
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
LAGG_AVX2 void mend_kind(flow_table const& table, typename Read::frame const* frames,
                         some_frames<typename Read::frame> const& kind, Word* hashes) noexcept {
    for (std::size_t at = 0; at < kind.count; at += block) {
        std::size_t const here = std::min(block, kind.count - at);
        typename Read::frame four[block];
        for (std::size_t k = 0; k < block; ++k) {
            four[k] = frames[kind.place[at + std::min(k, here - 1)]];
        }
        std::uint64_t words[block]{};
        unsigned const left = hash_odd<Read, L2>(table, four, all_of_block, words);
        hash_others<Read>(table, four, left, words);
        for (std::size_t k = 0; k < here; ++k) {
            hashes[kind.place[at + k]] = static_cast<Word>(words[k]);
        }
    }
}

/// Hashes frames `which`: each kind together, the others one by one.  NoUntaggedIpv4: none of them
/// is of that kind.  `hashes`: of all frames; a byte takes the low one.
template<class Read, bool L2, bool NoUntaggedIpv4, class Word>
[[gnu::noinline]] LAGG_AVX2 void mend(flow_table const& table, typename Read::frame const* frames,
                                      frame_set which, Word* hashes) noexcept {
    some_frames<typename Read::frame> ipv6;
    some_frames<typename Read::frame> tagged;
    some_frames<typename Read::frame> ipv4;
    frame_set rest = 0;
    for (; which != 0; which &= which - 1) {
        auto const i = static_cast<std::size_t>(std::countr_zero(which));
        bool const long_enough = Read::length(frames[i]) >= net::detail::ethernet_header_size;
        std::uint16_t const type =
            long_enough ? net::detail::load_be16(Read::data(frames[i]) + 12) : std::uint16_t{0};
        bool const is_ipv6 = type == net::detail::ethertype_ipv6;
        bool const is_tagged = net::detail::is_vlan_tag(type);
        bool const is_ipv4 = !NoUntaggedIpv4 && type == net::detail::ethertype_ipv4;
        ipv6.add_if(is_ipv6, i);
        tagged.add_if(is_tagged, i);
        if constexpr (!NoUntaggedIpv4) {
            ipv4.add_if(is_ipv4, i);
        }
        rest |= static_cast<frame_set>(!is_ipv6 & !is_tagged & !is_ipv4) << i;
    }
    mend_kind<Read, L2>(table, frames, ipv6, hashes);
    mend_kind<Read, L2>(table, frames, tagged, hashes);
    mend_kind<Read, L2>(table, frames, ipv4, hashes);
    mend_others<Read>(table, frames, rest, hashes);
}

} // namespace lagg::avx2

#endif
