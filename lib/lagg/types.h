// The vocabulary of link aggregation that both planes share.  Knows no DPDK and no thread.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

namespace lagg {

/// An ethdev port number; opaque here.
using port_id = std::uint16_t;
inline constexpr port_id no_port = 0xffff;

/// A member's place in this lagg, [0, max_members): stays the same while it is a member, indexes
/// per-member counters, and is handed to another port only after no live snapshot contains it.
using member_id = std::uint8_t;
inline constexpr member_id no_member = 0xff;
inline constexpr std::size_t max_members = 32;

/// Buckets of the flow table: a power of two, so that a bucket is picked by masking the hash.
inline constexpr std::size_t bucket_count = 256;

/// Unicast addresses that a lagg port answers to: its own and sixteen more.
inline constexpr std::size_t max_addresses = 17;

/// How the operator wants members to be used.
enum class policy : std::uint8_t { none, roundrobin, failover, loadbalance, lacp, broadcast };
inline constexpr std::size_t policy_count = 6;

/// How a burst is spread over the distributing members.  Decided by control with each snapshot.
enum class spread : std::uint8_t {
    nobody,       // no distributing member: nothing is taken
    to_one,       // exactly one distributing member, whatever the policy
    in_turn,      // `stride` frames each
    by_flow,      // hash -> bucket -> member
    by_flow_held, // the same, and some buckets are held: their frames stay the caller's
    to_all,       // a copy to each
};

/// The port's run state, as published to bursts.  Anything but `running`: no member is polled and
/// nothing is sent.
enum class run_state : std::uint8_t { stopped, admin_down, running };

/// When failover returns to a primary whose link came back.
enum class failback : std::uint8_t { always, better, never };

/// Time since an arbitrary start, from whoever runs the control; nothing in lib reads a clock.
using time_point = std::chrono::nanoseconds;
inline constexpr time_point never = time_point::max();

struct link_state {
    bool up = false;
    bool full_duplex = true;
    std::uint32_t speed_mbps = 0; // 0: unknown; counts 0 in sums and 1 in weights

    friend bool operator==(link_state const&, link_state const&) = default;
};

} // namespace lagg
