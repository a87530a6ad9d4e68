// Six bytes of an Ethernet address, with order and text.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace lagg::net {

struct mac_address {
    std::array<std::uint8_t, 6> bytes{};

    // NOLINTNEXTLINE(modernize-use-nullptr): clang-tidy 14 trips over a defaulted <=>
    friend constexpr auto operator<=>(mac_address const&, mac_address const&) = default;

    constexpr bool is_zero() const noexcept { return *this == mac_address{}; }
    /// The group bit: multicast or broadcast.
    constexpr bool is_group() const noexcept { return (bytes[0] & 1U) != 0; }
};

/// Six pairs of hex digits between colons, nothing around them; anything else is nullopt.
std::optional<mac_address> parse_mac(std::string_view text);
std::string to_string(mac_address const& mac);

} // namespace lagg::net
