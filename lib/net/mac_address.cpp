#include "net/mac_address.h"

#include <cstddef>

namespace lagg::net {
namespace {

constexpr std::string_view digits = "0123456789abcdef";

/// The value of a hex digit in either case, or 16.
constexpr unsigned hex_value(char c) noexcept {
    if (c >= '0' && c <= '9') {
        return static_cast<unsigned>(c - '0');
    }
    if (c >= 'a' && c <= 'f') {
        return static_cast<unsigned>(c - 'a') + 10;
    }
    if (c >= 'A' && c <= 'F') {
        return static_cast<unsigned>(c - 'A') + 10;
    }
    return 16;
}

} // namespace

std::optional<mac_address> parse_mac(std::string_view text) {
    constexpr std::size_t text_size = 6 * 3 - 1;
    if (text.size() != text_size) {
        return std::nullopt;
    }
    mac_address mac;
    for (std::size_t i = 0; i < mac.bytes.size(); ++i) {
        unsigned const high = hex_value(text[3 * i]);
        unsigned const low = hex_value(text[3 * i + 1]);
        bool const colon = i + 1 == mac.bytes.size() || text[3 * i + 2] == ':';
        if (high > 15 || low > 15 || !colon) {
            return std::nullopt;
        }
        mac.bytes[i] = static_cast<std::uint8_t>(high << 4 | low);
    }
    return mac;
}

std::string to_string(mac_address const& mac) {
    std::string text;
    for (std::uint8_t const byte : mac.bytes) {
        if (!text.empty()) {
            text += ':';
        }
        text += digits[byte >> 4];
        text += digits[byte & 0x0fU];
    }
    return text;
}

} // namespace lagg::net
