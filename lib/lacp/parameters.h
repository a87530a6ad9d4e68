// What two ends of a link tell each other: the parameters of a System, an Aggregation Port and its
// state (IEEE 802.1AX-2014 6.3, 6.4.2.3).  Values in host order; the wire's order is lacpdu.cpp's.
#pragma once

#include "net/mac_address.h"

#include <chrono>
#include <compare>
#include <cstddef>
#include <cstdint>

namespace lagg::lacp {

/// Since an arbitrary start, from whoever runs this; nothing here reads a clock.
using time_point = std::chrono::nanoseconds;
inline constexpr time_point never = time_point::max();

/// A port's place among those of this System, [0, max_ports): opaque, the caller's numbering.
using port_index = std::uint8_t;
inline constexpr port_index no_port_index = 0xff;
inline constexpr std::size_t max_ports = 32;

/// System ID (6.3.2): the lower, the more say it has in a choice that both ends must agree on.
struct system_id {
    std::uint16_t priority = 32768;
    net::mac_address address;

    // NOLINTNEXTLINE(modernize-use-nullptr): clang-tidy 14 trips over a defaulted <=>
    friend constexpr auto operator<=>(system_id const&, system_id const&) = default;
};

/// Port ID (6.3.4): the lower, the sooner a port is used.  Port number 0 is not valid.
struct port_id {
    std::uint16_t priority = 32768;
    std::uint16_t number = 0;

    // NOLINTNEXTLINE(modernize-use-nullptr): clang-tidy 14 trips over a defaulted <=>
    friend constexpr auto operator<=>(port_id const&, port_id const&) = default;
};

/// The eight bits of Actor_State and Partner_State (6.4.2.3).
namespace state {
inline constexpr std::uint8_t activity = 0x01;        // active LACP; else passive
inline constexpr std::uint8_t short_timeout = 0x02;   // wants to be sent to at the fast rate
inline constexpr std::uint8_t aggregation = 0x04;     // aggregatable; else individual
inline constexpr std::uint8_t synchronization = 0x08; // in the right aggregation
inline constexpr std::uint8_t collecting = 0x10;
inline constexpr std::uint8_t distributing = 0x20;
inline constexpr std::uint8_t defaulted = 0x40; // partner's parameters are defaults
inline constexpr std::uint8_t expired = 0x80;
} // namespace state

/// One end of a link, as a LACPDU carries it.
struct parameters {
    system_id system;
    std::uint16_t key = 0;
    lacp::port_id port;
    std::uint8_t state = 0;

    constexpr bool has(std::uint8_t bits) const noexcept { return (state & bits) == bits; }
    constexpr void set(std::uint8_t bits, bool on) noexcept {
        state = static_cast<std::uint8_t>(on ? state | bits : state & ~bits);
    }

    friend constexpr bool operator==(parameters const&, parameters const&) = default;
};

} // namespace lagg::lacp
