// Bytes of a Slow Protocols PDU, one after the other, in the wire's order.
// Both ends are for whoever has compared the size with what he is going to read or write.
#pragma once

#include "lacp/lacpdu.h"
#include "net/mac_address.h"

#include <algorithm>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <span>

namespace lagg::lacp {

inline constexpr std::size_t ethertype_at = 12;
inline constexpr std::size_t pdu_at = 14; // where the subtype is

/// Head of a TLV.  `length` counts the head's own two bytes, but for the terminator's.
struct pdu_tlv {
    std::uint8_t type;
    std::uint8_t length;

    friend constexpr bool operator==(pdu_tlv const&, pdu_tlv const&) = default;
};

class pdu_reader {
public:
    explicit pdu_reader(std::span<std::uint8_t const> bytes) noexcept : bytes_(bytes) {}

    std::uint8_t u8() noexcept { return take(1)[0]; }
    std::uint16_t u16() noexcept {
        auto const b = take(2);
        return static_cast<std::uint16_t>(b[0] << 8 | b[1]);
    }
    std::uint32_t u32() noexcept {
        std::uint32_t const high = u16();
        return high << 16 | u16();
    }
    net::mac_address address() noexcept {
        net::mac_address a;
        std::ranges::copy(take(a.bytes.size()), a.bytes.begin());
        return a;
    }
    pdu_tlv tlv() noexcept {
        std::uint8_t const type = u8();
        return {type, u8()};
    }
    void skip(std::size_t n) noexcept { take(n); }

private:
    std::span<std::uint8_t const> take(std::size_t n) noexcept {
        assert(n <= bytes_.size());
        auto const taken = bytes_.first(n);
        bytes_ = bytes_.subspan(n);
        return taken;
    }

    std::span<std::uint8_t const> bytes_;
};

/// Into a frame that is all zero.
class pdu_writer {
public:
    explicit pdu_writer(frame& bytes) noexcept : bytes_(bytes) {}

    void header(net::mac_address const& source, subtype kind, std::uint8_t version) noexcept {
        address(slow_protocols_address);
        address(source);
        u16(slow_protocols_ethertype);
        u8(static_cast<std::uint8_t>(kind));
        u8(version);
    }
    void u8(std::uint8_t v) noexcept { take(1)[0] = v; }
    void u16(std::uint16_t v) noexcept {
        u8(static_cast<std::uint8_t>(v >> 8));
        u8(static_cast<std::uint8_t>(v & 0xffU));
    }
    void u32(std::uint32_t v) noexcept {
        u16(static_cast<std::uint16_t>(v >> 16));
        u16(static_cast<std::uint16_t>(v & 0xffffU));
    }
    void address(net::mac_address const& a) noexcept {
        std::ranges::copy(a.bytes, take(a.bytes.size()).begin());
    }
    void tlv(pdu_tlv head) noexcept {
        u8(head.type);
        u8(head.length);
    }
    void skip(std::size_t n) noexcept { take(n); }

private:
    std::span<std::uint8_t> take(std::size_t n) noexcept {
        assert(n <= bytes_.size());
        auto const taken = bytes_.first(n);
        bytes_ = bytes_.subspan(n);
        return taken;
    }

    std::span<std::uint8_t> bytes_;
};

} // namespace lagg::lacp
