// Frames grouped by member, by their flow or in turn, by the widest instructions that this CPU has
// and EAL was allowed to use.  Burst side: knows neither lagg/control nor lacp.
#pragma once

#include "lagg_mbuf.h"

#include "lagg/datapath/by_flow.h"
#include "lagg/datapath/distributor.h"

#include <rte_mbuf.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

namespace lagg::pmd {

/// How the data path reads an mbuf.
struct mbuf_reader {
    using frame = rte_mbuf*;
    static std::uint8_t const* data(rte_mbuf const* m) noexcept { return first_byte(*m); }
    static std::uint32_t length(rte_mbuf const* m) noexcept { return m->data_len; }
    static bool has_flowid(rte_mbuf const* m) noexcept { return has_flow_id(*m); }
    static bool all_have_flowid(rte_mbuf const* a, rte_mbuf const* b, rte_mbuf const* c,
                                rte_mbuf const* d) noexcept {
        return (a->ol_flags & b->ol_flags & c->ol_flags & d->ol_flags & RTE_MBUF_F_RX_RSS_HASH) !=
               0;
    }
    static std::uint32_t flowid(rte_mbuf const* m) noexcept { return m->hash.rss; }
};

/// One way to group and to copy; all of them give the same.
struct group_variant {
    char const* name;
    void (*by_flow)(flow_table const&, rte_mbuf* const*, std::size_t,
                    grouped_frames<rte_mbuf*>&) noexcept;
    /// Turns of one frame each.
    dealt (*in_turn)(std::size_t members, rte_mbuf* const*, std::size_t, rte_mbuf**) noexcept;
    /// For all of them.
    void (*to_each)(std::size_t members, rte_mbuf* const*, std::size_t, rte_mbuf**) noexcept;
    bool (*runs_here)() noexcept; // on this CPU, within EAL's limit of register width
};

/// The widest first; the last one runs everywhere.
std::span<group_variant const> group_variants() noexcept;

/// Chooses for all ports of the process.  Whoever probes one calls it, before its first burst.
void choose_group_variant() noexcept;

// [group] written by probes, always with the same value; read by every burst, which needs no order:
// the code was there before the process began
extern std::atomic<group_variant const*> chosen_group;

/// The one that was chosen.
inline group_variant const& grouping() noexcept {
    return *chosen_group.load(std::memory_order_relaxed); // [group]
}

} // namespace lagg::pmd
