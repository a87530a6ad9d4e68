// One end of a wire: its queues, its settings, and the immutable passages that its transmit bursts
// run against. Control edits settings under one lock and then publishes; bursts take no lock.
// Knows no devargs and no eth_dev_ops.
#pragma once

#include "rte_pmd_wire.h"

#include <array>
#include <atomic>
#include <bitset>
#include <cstdint>

#include <ethdev_driver.h>
#include <rte_mbuf.h>
#include <rte_ring.h>
#include <rte_version.h>

/// A flow rule: the pattern is one Ethernet item, the action one queue or a drop.
struct rte_flow {
    bool used;
    bool drop;
    bool match_type;
    bool match_destination;
    std::uint16_t ether_type; ///< host byte order
    std::uint16_t queue;
    std::uint32_t priority; ///< smaller wins; among equals the older rule
    std::uint64_t age;      ///< order of creation
    std::uint64_t destination;
};

namespace wire {

inline constexpr std::uint16_t max_queues = 64;
inline constexpr std::uint16_t max_macs = 16;
inline constexpr std::uint16_t max_multicasts = 64;
inline constexpr std::uint16_t max_rules = 32;
inline constexpr std::uint16_t reta_entries = 128;
inline constexpr std::uint8_t rss_key_bytes = 40;
inline constexpr std::uint64_t rss_ipv4_types =
    RTE_ETH_RSS_IPV4 | RTE_ETH_RSS_FRAG_IPV4 | RTE_ETH_RSS_NONFRAG_IPV4_OTHER;
inline constexpr std::uint64_t rss_ipv6_types =
    RTE_ETH_RSS_IPV6 | RTE_ETH_RSS_FRAG_IPV6 | RTE_ETH_RSS_NONFRAG_IPV6_OTHER;
inline constexpr std::uint64_t rss_l4_types =
    RTE_ETH_RSS_NONFRAG_IPV4_TCP | RTE_ETH_RSS_NONFRAG_IPV4_UDP | RTE_ETH_RSS_NONFRAG_IPV6_TCP |
    RTE_ETH_RSS_NONFRAG_IPV6_UDP;

/// Six address bytes as a number, first byte on the wire most significant.
std::uint64_t address_word(std::uint8_t const* bytes);

/// What a frame without carrier, or at a full receive ring, meets.
enum class on_refusal : std::uint8_t { refuse, drop };

/// What a sink does with the frames it takes.
enum class sink_mode : std::uint8_t { free, keep };

/// Why a burst has to look closer before it does its work; 0 is the fast way.
namespace attention {
inline constexpr std::uint32_t check = 1U << 0;    ///< count bursts that overlap on a queue
inline constexpr std::uint32_t poisoned = 1U << 1; ///< stopped: no burst may come here
inline constexpr std::uint32_t removed = 1U << 2;  ///< give and take nothing
inline constexpr std::uint32_t limited = 1U << 3;  ///< take at most `limit` frames
inline constexpr std::uint32_t wired = 1U << 4;    ///< a sink that got a peer after it was started
inline constexpr std::uint32_t refuse = 1U << 5;   ///< sink without carrier
inline constexpr std::uint32_t drop = 1U << 6;     ///< sink without carrier, down=drop
inline constexpr std::uint32_t vanish = 1U << 7;   ///< sink, silently cut
} // namespace attention

/// What happens to the frames that one end transmits. Built by control, immutable while published.
struct passage {
    enum class way : std::uint8_t { refuse, drop, vanish, deliver };

    way how = way::refuse;
    on_refusal full = on_refusal::refuse;
    bool inserts_vlan = false; ///< the sender's TX_VLAN_INSERT offload is on
    bool filters_mac = true;   ///< the receiver is not promiscuous
    bool filters_multicast = true;
    bool filters_vlan = false;
    bool hashes = false;            ///< the receiver spreads by RSS
    bool reads_headers = true;      ///< any of the above or a flow rule
    std::uint32_t tx_max_bytes = 0; ///< untagged frame length that the sender's MTU allows
    std::uint32_t rx_max_bytes = 0;
    std::uint16_t rings = 0;
    std::uint16_t macs = 0;
    std::uint16_t multicasts = 0;
    std::uint16_t rules = 0;
    std::uint64_t hash_types = 0;
    std::array<std::uint8_t, max_queues> ring_of_queue{}; ///< tx queue -> ring, without steering
    std::array<rte_ring*, max_queues> ring{};
    std::array<std::uint64_t, max_macs> mac{};
    std::array<std::uint64_t, max_multicasts> multicast{};
    std::array<rte_flow, max_rules> rule{};
    std::array<std::uint8_t, reta_entries> reta{};
    std::array<std::uint8_t, rss_key_bytes> hash_key{};
    std::bitset<4096> vlan;
};

using counter = std::atomic<std::uint64_t>;

/// A reader may lag, never tear.
inline std::uint64_t value(counter const& c) {
    return c.load(std::memory_order_relaxed); // single writer
}
/// Adds without an atomic read-modify-write.
inline void add(counter& c, std::uint64_t n) {
    c.store(value(c) + n, std::memory_order_relaxed); // single writer
}

struct end;

/// Written by the queue's lcore only (single writer), read by control.
struct tx_counters {
    counter bursts, sent, sent_bytes, refused, lost_silent, lost_silent_bytes, lost_down;
    counter too_long, no_mbuf, copied, limited;
    // On behalf of the receiver, whose statistics show them.
    counter filtered_mac, filtered_vlan, filtered_flow, rx_too_long, missed;
};

struct alignas(RTE_CACHE_LINE_SIZE) tx_queue {
    std::atomic<std::uint32_t> attention{0};      // [attend] one word, means nothing but itself
    std::atomic<std::uint32_t> limit{UINT32_MAX}; // [attend]
    std::atomic<passage const*> current{nullptr}; // [cross]
    sink_mode sink = sink_mode::free;
    std::uint16_t port = 0;
    std::uint16_t index = 0;
    bool set_up = false; // control's
    std::uint16_t descriptors = 0;
    rte_eth_txconf conf{};
    /// Odd while a burst is under way.
    alignas(RTE_CACHE_LINE_SIZE) std::atomic<std::uint32_t> sequence{0}; // [cross]
    tx_counters counters{};
    alignas(RTE_CACHE_LINE_SIZE) std::atomic<bool> busy{false}; // [owner]
    std::atomic<std::uint64_t> violations{0};
};

struct alignas(RTE_CACHE_LINE_SIZE) rx_queue {
    std::atomic<std::uint32_t> attention{0}; // [attend]
    std::atomic<bool> strips_vlan{false};    // [attend]
    rte_ring* ring = nullptr;                // fixed while started
    std::uint16_t port = 0;
    std::uint16_t index = 0;
    bool set_up = false; // control's
    std::uint16_t descriptors = 0;
    rte_mempool* pool = nullptr; // used by rx=copy alone: else frames arrive in the sender's mbufs
    bool copies = false;         // rx=copy
    rte_eth_rxconf conf{};
    alignas(RTE_CACHE_LINE_SIZE) counter bursts{0}; // these five: single writer, the queue's lcore
    counter packets{0}, bytes{0}, dropped{0}, no_mbuf{0};
    counter injected{0};                                        // single writer: control
    alignas(RTE_CACHE_LINE_SIZE) std::atomic<bool> busy{false}; // [owner]
    std::atomic<std::uint64_t> violations{0};
};

/// What devargs decide.
struct options {
    std::array<char, RTE_ETH_NAME_MAX_LEN> peer{}; ///< empty: nobody named
    std::uint32_t speed_mbps = 10000;
    std::uint64_t mac = 0; ///< 0: choose one
    std::uint16_t max_rxq = 16;
    std::uint16_t max_txq = 16;
    std::uint32_t ring = 0; ///< receive ring capacity at most; 0: what rx_queue_setup asks for
    std::uint16_t mtu_max = 9216;
    bool lsc = true;
    bool fixed_mac = false;
    bool fixed_mtu = false;
    bool live_mtu = true;
    bool equal_queues = false;
    bool check = false;
    bool rx_copies = false;
    sink_mode sink = sink_mode::free;
    on_refusal down = on_refusal::refuse;
    on_refusal full = on_refusal::refuse;
};

// Per-queue statistics left rte_eth_stats in 25.11.
#if RTE_VERSION >= RTE_VERSION_NUM(25, 11, 0, 0)
using queue_stats = eth_queue_stats;
#else
using queue_stats = rte_eth_stats;
#endif

struct planned_failure {
    int err = 0;
    std::uint32_t calls = 0;
    std::uint32_t skip = 0; // calls before these
};

/// Counters of the receiver's that the sender's queues keep.
struct toward {
    std::uint64_t filtered_mac = 0, filtered_vlan = 0, filtered_flow = 0, rx_too_long = 0,
                  missed = 0;
};

/// Everything below `tx` is control's, under the control lock.
struct end {
    std::array<rx_queue, max_queues> rx;
    std::array<tx_queue, max_queues> tx;

    options opt;
    rte_eth_dev* dev = nullptr;
    std::uint16_t port = 0;
    std::array<char, RTE_ETH_NAME_MAX_LEN> name{};

    end* peer = nullptr;
    bool wired = false; ///< names a peer or had one: no sink
    bool started = false;
    bool admin_up = true;
    bool removed = false;
    bool cut = false;
    bool silent = false; ///< what this end transmits vanishes
    bool carrier = false;
    bool poison = false;
    bool check = false;
    std::uint32_t limit = UINT32_MAX;
    std::uint32_t slow_start_ms = 0;
    std::array<planned_failure, RTE_PMD_WIRE_OP_COUNT> fail{};

    bool promiscuous = false;
    bool allmulticast = false;
    bool filter_vlan = false;
    std::uint16_t mtu = RTE_ETHER_MTU;
    std::array<std::uint64_t, max_macs> macs{}; ///< 0: unused; [0] is the default address
    std::array<std::uint64_t, max_multicasts> multicasts{};
    std::uint16_t multicast_count = 0;
    std::bitset<4096> vlans;
    std::array<rte_flow, max_rules> rules{};
    std::uint64_t rules_made = 0;
    bool rss = false;
    std::uint64_t rss_types = 0;
    std::array<std::uint8_t, rss_key_bytes> rss_key{};
    std::array<std::uint8_t, reta_entries> reta{};

    std::array<passage, 2> passages; ///< one is published, the other is free for the next
    unsigned published = 0;

    rte_pmd_wire_counters events{}; ///< those that control counts itself
    toward toward_base{};           ///< the peer's numbers when it was connected
    toward toward_before{};         ///< what earlier peers left
    rte_eth_stats stats_base{};
    queue_stats queue_stats_base{};
    rte_pmd_wire_counters xstats_base{};

    end* next_kept = nullptr; ///< list of closed, poisoned ends
};

// Burst functions of ethdev's shape; `queue` is a tx_queue or an rx_queue.
std::uint16_t tx_wired(void* queue, rte_mbuf** frames, std::uint16_t count);
std::uint16_t tx_sink_free(void* queue, rte_mbuf** frames, std::uint16_t count);
std::uint16_t tx_sink_keep(void* queue, rte_mbuf** frames, std::uint16_t count);
std::uint16_t rx_ring(void* queue, rte_mbuf** frames, std::uint16_t count);

/// RSS hash of a frame in `types` (RTE_ETH_RSS_*) as NICs compute it (Toeplitz).
/// Only the first segment is read; ports only of unfragmented TCP and UDP.
/// Returns false: not an IP frame, or none of the types; `hash` is then untouched.
bool rss_hash(rte_mbuf const& frame, std::uint64_t types, std::uint8_t const* key,
              std::uint32_t& hash);

} // namespace wire
