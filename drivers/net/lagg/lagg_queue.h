// What one rx or tx queue of a lagg port owns: the cell that names its snapshot, its cursor, its
// counters.  Everything but the cell's `current` and the stash's producer side is written by the
// lcore that polls the queue, alone.  Burst side: knows neither lagg/control nor lacp.
#pragma once

#include "base/cache_line.h"
#include "base/spsc_ring.h"
#include "epoch/snapshot_cell.h"
#include "lagg/datapath/distributor.h"
#include "lagg/snapshot.h"

#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include <array>
#include <atomic>
#include <cstdint>

namespace lagg::pmd {

/// A statistic: one lcore adds, anybody reads.  A reader may lag, it never sees a torn value.
class counter {
public:
    void add(std::uint64_t n) noexcept {
        // single writer: a plain read of our own value, no read-modify-write
        value_.store(value_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
    }
    std::uint64_t get() const noexcept {
        return value_.load(std::memory_order_relaxed); // single writer
    }

private:
    std::atomic<std::uint64_t> value_{0};
};

/// Why a frame that was taken, or received, did not get further.
enum class drop_reason : std::uint8_t {
    rx_not_collecting,  // from a member that does not collect
    rx_foreign_unicast, // a member is promiscuous for our sake; the frame is not for us
    tx_copy_refused,    // to_all: a copy that one member did not take while another did
    tx_copy_no_memory,  // to_all: no mbuf for a deep copy
    drain_no_room,      // a leaving member's received frames did not fit the stash
    count
};
inline constexpr std::size_t drop_reasons = static_cast<std::size_t>(drop_reason::count);

struct queue_counters {
    counter packets;               // rx: handed up; tx: taken
    counter given_back;            // tx: frames of a burst that stayed the caller's
    counter bursts_without_member; // tx: bursts of at least one frame that found nobody to send to
    std::array<counter, drop_reasons> drops;
    std::array<counter, max_members> member_packets; // by member_id: received from, taken by
};

using cell = epoch::snapshot_cell<snapshot>;

inline constexpr std::size_t stash_size = 1024;

struct alignas(cache_line) tx_queue {
    /// `kind`: the process's choice, as the publisher's.
    explicit tx_queue(epoch::fence_kind kind) noexcept : view(kind) {}

    [[no_unique_address]] cell view;

    // The polling lcore's own; plain.  They follow on the line of the cell's pin.
    turn_cursor turn;
    std::uint16_t queue_id = 0;
    port_id lagg_port = no_port;
    queue_counters stats;
};

struct alignas(cache_line) rx_queue {
    explicit rx_queue(epoch::fence_kind kind) noexcept : view(kind) {}

    [[no_unique_address]] cell view;

    // The polling lcore's own; plain.  They follow on the line of the cell's pin.
    std::uint32_t next_member = 0; // index into polled, where the next burst begins
    std::uint16_t queue_id = 0;
    port_id lagg_port = no_port;
    queue_counters stats;

    /// Frames that were received for this queue while its lcore was not looking: by the worker from
    /// a leaving member.  The next burst delivers them first.
    spsc_ring<rte_mbuf*, stash_size> stash;
    std::array<counter, drop_reasons>
        stash_dropped; // what did not get there; single writer: the worker
};

/// True on a thread while a member's rx/tx callbacks may run inside our burst: synchronous calls
/// are refused there.  Set only when a member's queue has callbacks, so that a plain burst does not
/// pay.
extern thread_local bool inside_burst;

// The burst functions of a port, for its whole life (ethdev copies the pointers at start).
std::uint16_t lagg_rx_burst(void* queue, rte_mbuf** frames, std::uint16_t count) noexcept;
std::uint16_t lagg_tx_burst(void* queue, rte_mbuf** frames, std::uint16_t count) noexcept;
/// Driver-neutral checks of offload requests; returns how many leading frames are sound, rte_errno
/// for the next.
std::uint16_t lagg_tx_prepare(void* queue, rte_mbuf** frames, std::uint16_t count) noexcept;

/// The member to which a burst on `s` gives this frame; no_port when the policy has no fixed
/// mapping (several members in turn or all) or nobody distributes.  Same answer as lagg_tx_burst by
/// construction.
port_id flow_member(snapshot const& s, rte_mbuf const& frame) noexcept;

/// Sends on `member` if the cell's snapshot still is `version` and lets it distribute; else -1,
/// nothing sent.
int tx_on(tx_queue& q, port_id member, std::uint64_t version, rte_mbuf** frames,
          std::uint16_t count) noexcept;

} // namespace lagg::pmd
