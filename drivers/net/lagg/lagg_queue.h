// What one rx or tx queue of a lagg port owns: the cell that names its snapshot, its cursor, its
// counters, and its rings to and from control.  Everything but the cell's `current` and control's
// ends of the rings is written by the lcore that polls the queue, alone; by control while it has
// borrowed the cell.  Burst side: knows neither lagg/control nor lacp.
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

// gcc defines __SANITIZE_THREAD__; clang has to be asked.
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define LAGG_TSAN_LOOKS 1
#endif
#elif defined(__SANITIZE_THREAD__)
#define LAGG_TSAN_LOOKS 1
#endif

namespace lagg::pmd {

/// A statistic: one lcore adds, anybody reads.  A reader may lag, it never sees a torn value.
class counter {
public:
    void add(std::uint64_t n) noexcept {
#if defined(__x86_64__) && !defined(LAGG_TSAN_LOOKS)
        // single writer: the lines below in the one instruction that compilers do not make of them
        asm("addq %1, %0" : "+m"(value_) : "er"(n) : "cc");
#else
        // single writer: a plain read of our own value, no atomic read-modify-write
        value_.store(value_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
#endif
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
    rx_slow_no_room,    // a LACP or Marker frame more than control takes at a time
    tx_control_frame,   // control's frame, handed over: its member is gone or did not take it
    drain_no_room,      // a leaving member's received frames did not fit the stash
    stash_full,         // received by control for an application that does not poll
    count
};
inline constexpr std::size_t drop_reasons = static_cast<std::size_t>(drop_reason::count);

struct queue_counters {
    counter packets;               // rx: handed up; tx: taken
    counter given_back;            // tx: frames of a burst that stayed the caller's
    counter bursts_without_member; // tx: bursts of at least one frame that found nobody to send to
    counter slow_taken;            // rx: LACP and Marker frames given to control
    std::array<counter, drop_reasons> drops;
    std::array<counter, max_members> member_packets; // by member_id: received from, taken by
};

using cell = epoch::snapshot_cell<snapshot>;

inline constexpr std::size_t stash_size = 1024;

/// As much of a LACP or Marker frame as control gets to see.
inline constexpr std::size_t longest_slow_frame = 252;

/// A LACP or Marker frame on its way to control.
struct slow_slot {
    member_id id;
    std::uint16_t length; // valid bytes
    std::array<std::uint8_t, longest_slow_frame> bytes;
};
inline constexpr std::size_t slow_ring_size = 64;
/// Slots that one member may fill before control has emptied the ring: a flood on one link leaves
/// room for the others.
inline constexpr std::uint8_t slow_frames_per_member = 8;

/// A frame of control's on its way to a member, through somebody else's burst.
struct handed_frame {
    rte_mbuf* frame;
    port_id port;
    member_id id;
};
inline constexpr std::size_t handed_ring_size = 16;

struct alignas(cache_line) tx_queue {
    /// `kind`: the process's choice, as the publisher's.
    explicit tx_queue(epoch::fence_kind kind) noexcept : view(kind) {}

    [[no_unique_address]] cell view;

    // The polling lcore's own; plain.  They follow on the line of the cell's pin.
    turn_cursor turn;
    std::uint16_t queue_id = 0;
    port_id lagg_port = no_port;
    queue_counters stats;

    /// What control wants sent while it cannot have the queue itself.  The next burst sends it
    /// first.
    spsc_ring<handed_frame, handed_ring_size> handed;
};

namespace burst_wish {
/// Members are not to be asked before all that waits for room in the stash was read: one of them
/// left with it and is back.
inline constexpr std::uint32_t stash_first = 1;
/// Count in `ran_dry`.
inline constexpr std::uint32_t tell_dry = 2;
} // namespace burst_wish

struct alignas(cache_line) rx_queue {
    explicit rx_queue(epoch::fence_kind kind) noexcept : view(kind) {}

    [[no_unique_address]] cell view;

    // The polling lcore's own; plain.  They follow on the line of the cell's pin.
    std::uint32_t next_member = 0; // index into polled, where the next burst begins
    std::uint16_t queue_id = 0;
    port_id lagg_port = no_port;
    /// Bursts that were begun, also those that found the cell borrowed: single writer, the lcore,
    /// always.
    counter polls;
    queue_counters stats;

    /// Frames that were received for this queue while its lcore was not looking: from a leaving
    /// member, or by control while the application does not poll.  Control alone fills it; the next
    /// burst delivers them first.
    spsc_ring<rte_mbuf*, stash_size> stash;
    std::array<counter, drop_reasons>
        stash_dropped; // what did not get there; single writer: control

    /// What control asks of the next bursts, bits of burst_wish.  Written by control alone.
    std::atomic<std::uint32_t> wishes{0};
    void wish(std::uint32_t what, bool wanted, std::memory_order order) noexcept {
        // single writer: a plain read of our own value
        std::uint32_t const others = wishes.load(std::memory_order_relaxed) & ~what;
        wishes.store(wanted ? others | what : others, order); // [refill] where the caller says so
    }
    /// By member_id: how often it gave so little that no more can have been there; counted while
    /// asked for.
    std::array<counter, max_members> ran_dry{};

    /// LACP and Marker frames for control.
    spsc_ring<slow_slot, slow_ring_size> slow;
    std::array<std::uint8_t, max_members> slow_pushed{}; // by member_id, since `slow` was empty

    /// Where its buffers come from; plain: set before the queue is in service.
    rte_mempool const* pool = nullptr;
};

/// True on a thread while a member's rx/tx callbacks may run inside our burst: synchronous calls
/// are refused there.  Set only when a member's queue has callbacks, so that a plain burst does not
/// pay.
extern thread_local bool inside_burst;

// The burst functions of a port, for its whole life (ethdev copies the pointers at start).
std::uint16_t lagg_rx_burst(void* queue, rte_mbuf** frames, std::uint16_t count) noexcept;
std::uint16_t lagg_tx_burst(void* queue, rte_mbuf** frames, std::uint16_t count) noexcept;
/// What a member gave: frames [0, kept) go up, the rest was taken out.
struct received {
    std::uint16_t got;
    std::uint16_t kept;
};
/// Asks one member for at most `count` frames, as a burst does, which this is not: for control,
/// when it has borrowed the queue.
received receive_from(rx_queue& q, snapshot const& s, polled_member const& m, rte_mbuf** frames,
                      std::uint16_t count) noexcept;

// lagg_slow_burst.cpp: out of line, for they free mbufs.
/// Frames [0, count) are LACP or Marker frames from `from`: to control's ring, as long as there is
/// room, and freed.
void slow_take(rx_queue& q, member_id from, rte_mbuf** frames, std::size_t count) noexcept;
/// Sends what control has handed over; what cannot be sent on `s` is freed and counted.
void slow_send_handed(tx_queue& q, snapshot const& s) noexcept;

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
