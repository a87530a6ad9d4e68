// Frames grouped by the member that their flow belongs to: the reference, for any machine.  Its
// vector forms, by_flow_<instructions>.h, give the same groups.
// Knows no mbuf: a frame is what `Read` can read.  Knows no snapshot.
#pragma once

#include "lagg/datapath/grouped_frames.h"
#include "net/flow_hash.h"
#include "net/flow_hash_usual.h"
#include "net/flow_mix.h"

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace lagg {

// Read: how to read a frame.
//   using frame = ...;                                 cheap to copy, a pointer
//   static std::uint8_t const* data(frame);            its first byte
//   static std::uint32_t length(frame);                bytes that may be read from there on
//   static bool has_flowid(frame);                     the NIC has hashed it
//   static bool all_have_flowid(frame, ...);           all of four
//   static std::uint32_t flowid(frame);

/// What is needed to group; `plan`: of `rule`; `bucket`: by the hash's low eight bits, all values
/// below `members`.
struct flow_table {
    net::hash_rule const& rule;
    net::hash_plan const& plan;
    std::array<std::uint8_t, bucket_count> const& bucket;
    std::size_t members;
};

/// Fills `groups` with `count` frames, at most chunk_size.
template<class Read>
using group_function = void(flow_table const& table, typename Read::frame const* frames,
                            std::size_t count,
                            grouped_frames<typename Read::frame>& groups) noexcept;

/// One for each net::hash_way, in their order.
template<class Read>
using group_functions = std::array<group_function<Read>*, net::hash_ways>;

template<class Read>
group_function<Read>* for_way(group_functions<Read> const& all, net::hash_way way) noexcept {
    return all[static_cast<std::size_t>(way)];
}

template<class Read>
net::frame_view view_of(typename Read::frame frame) noexcept {
    return {Read::data(frame), Read::length(frame), 0};
}

/// The hash of one frame of any kind.  Out of line: the loops are for frames of the usual kind.
template<class Read>
[[gnu::noinline]] std::uint32_t hash_of(net::hash_rule const& rule,
                                        typename Read::frame frame) noexcept {
    if (rule.use_flowid && Read::has_flowid(frame)) {
        return net::mix_flowid(Read::flowid(frame), rule.seed);
    }
    return net::flow_hash(rule, net::parse_flow(view_of<Read>(frame)));
}

/// hash_of() of a frame that a vector form leaves aside.
template<class Read>
[[gnu::always_inline]] inline std::uint32_t hash_left_over(flow_table const& table,
                                                           typename Read::frame frame) noexcept {
    net::hash_rule const& rule = table.rule;
    return rule.use_flowid && Read::has_flowid(frame)
               ? net::mix_flowid(Read::flowid(frame), table.plan.keys)
               : net::flow_hash_usual(rule, table.plan, view_of<Read>(frame));
}

/// hashes[i] = hash_of(frames[i]) for the bits that are set in `which`.  `Word`: what a vector form
/// has its hashes in.
template<class Read, class Word>
[[gnu::noinline]] void hash_others(flow_table const& table, typename Read::frame const* frames,
                                   unsigned which, Word* hashes) noexcept {
    for (; which != 0; which &= which - 1) {
        int const i = std::countr_zero(which);
        hashes[i] = hash_left_over<Read>(table, frames[i]);
    }
}

/// hashes[i] = hash_of(frames[i]).  `count`: at most chunk_size.
template<class Read>
void hash_frames(flow_table const& table, typename Read::frame const* frames, std::size_t count,
                 std::uint32_t* hashes) noexcept {
    net::hash_rule const& rule = table.rule;
    if (rule.use_flowid) {
        net::hash_keys const& keys = table.plan.keys;
        for (std::size_t i = 0; i < count; ++i) {
            hashes[i] = Read::has_flowid(frames[i]) ? net::mix_flowid(Read::flowid(frames[i]), keys)
                                                    : hash_of<Read>(rule, frames[i]);
        }
        return;
    }
    net::frame_view views[chunk_size];
    for (std::size_t i = 0; i < count; ++i) {
        views[i] = view_of<Read>(frames[i]);
        __builtin_prefetch(views[i].data);
    }
    net::flow_hash_burst(rule, std::span(views, count), hashes);
}

/// Fetches the descriptors of `Frames` frames that are hashed `Ahead` frames after those at `at`.
template<std::size_t Ahead, std::size_t Frames, class Frame>
[[gnu::always_inline]] inline void fetch_ahead(Frame const* frames, std::size_t at,
                                               std::size_t count) noexcept {
    if (at + Ahead + Frames <= count) {
#pragma GCC unroll 4
        for (std::size_t k = 0; k < Frames; ++k) {
            __builtin_prefetch(frames[at + Ahead + k]);
        }
    }
}

/// Groups `count` frames, at most chunk_size, whose hashes are known.
/// Whoever hashes does so for all frames first.  Where hashing and grouping took turns, Zen 3
/// needed twice the time of both: loads waited for stores whose addresses hang on a hash.
template<class Groups, class Frame, class Word>
[[gnu::always_inline]] inline void group_hashed(flow_table const& table, Frame const* frames,
                                                Word const* hashes, std::size_t count,
                                                grouped_frames<Frame>& groups) noexcept {
    // Their members in one store: stores that alternate between lines are slow.
    constexpr std::size_t together = 8;
    std::uint8_t const* const bucket = table.bucket.data();
    Groups fill(groups, table.members);
    std::size_t i = 0;
    for (; i + together <= count; i += together) {
        std::uint64_t members = 0;
#pragma GCC unroll 8
        for (std::size_t k = 0; k < together; ++k) {
            std::uint64_t const member = bucket[hashes[i + k] % bucket_count];
            members |= member << (std::endian::native == std::endian::little ? 8 * k : 56 - 8 * k);
            fill.put(frames[i + k], member);
        }
        std::memcpy(groups.member.data() + i, &members, sizeof members);
    }
    for (; i < count; ++i) {
        groups.member[i] = bucket[hashes[i] % bucket_count];
        fill.put(frames[i], groups.member[i]);
    }
    fill.finish();
}

/// Fills `groups` with `count` frames, at most chunk_size.  Burst path.
template<class Read>
void group_by_flow(flow_table const& table, typename Read::frame const* frames, std::size_t count,
                   grouped_frames<typename Read::frame>& groups) noexcept {
    using frame = typename Read::frame;
    std::uint32_t hashes[chunk_size];
    hash_frames<Read>(table, frames, count, hashes);
    if (table.members <= few_groups<frame>::most) {
        group_hashed<few_groups<frame>>(table, frames, hashes, count, groups);
    } else {
        group_hashed<many_groups<frame>>(table, frames, hashes, count, groups);
    }
}

} // namespace lagg
