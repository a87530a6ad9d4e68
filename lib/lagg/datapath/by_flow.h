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

/// hashes[i] = hash_of(frames[i]) for the bits that are set in `which`: frames that a vector form
/// leaves aside.  `Word`: what it has its hashes in.
template<class Read, class Word>
[[gnu::noinline]] void hash_others(flow_table const& table, typename Read::frame const* frames,
                                   unsigned which, Word* hashes) noexcept {
    net::hash_rule const& rule = table.rule;
    for (; which != 0; which &= which - 1) {
        int const i = std::countr_zero(which);
        hashes[i] = rule.use_flowid && Read::has_flowid(frames[i])
                        ? net::mix_flowid(Read::flowid(frames[i]), table.plan.keys)
                        : net::flow_hash_usual(rule, table.plan, view_of<Read>(frames[i]));
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

/// Groups `count` frames, at most chunk_size, whose hashes are known.
template<class Groups, class Frame>
void group_hashed(flow_table const& table, Frame const* frames, std::uint32_t const* hashes,
                  std::size_t count, grouped_frames<Frame>& groups) noexcept {
    Groups fill(groups, table.members);
    for (std::size_t i = 0; i < count; ++i) {
        fill.put(frames[i], i, table.bucket[hashes[i] % bucket_count]);
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
