// Frames for tests, layer by layer from the outside in; lengths, checksums and next-protocol fields
// are filled in.  Knows no mbuf and nothing of the code under test but mac_address.
#pragma once

#include "net/mac_address.h"

#include <array>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <utility>
#include <vector>

namespace lagg::test {

using bytes = std::vector<std::uint8_t>;
using ipv6_address = std::array<std::uint8_t, 16>;

inline constexpr net::mac_address broadcast_mac{{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}};
inline constexpr net::mac_address slow_protocols_mac{{0x01, 0x80, 0xc2, 0x00, 0x00, 0x02}};

/// A locally administered unicast address, another one for each n.
constexpr net::mac_address mac(std::uint32_t n) {
    return {{0x02, 0x00, static_cast<std::uint8_t>(n >> 24), static_cast<std::uint8_t>(n >> 16),
             static_cast<std::uint8_t>(n >> 8), static_cast<std::uint8_t>(n)}};
}

constexpr std::uint32_t ip4(unsigned a, unsigned b, unsigned c, unsigned d) {
    return a << 24 | b << 16 | c << 8 | d;
}

constexpr ipv6_address ip6(std::uint64_t high, std::uint64_t low) {
    ipv6_address address{};
    for (std::size_t i = 0; i < 8; ++i) {
        address[i] = static_cast<std::uint8_t>(high >> (56 - 8 * i));
        address[8 + i] = static_cast<std::uint8_t>(low >> (56 - 8 * i));
    }
    return address;
}

/// What differs from an ordinary IPv4 header.
struct ipv4_extras {
    std::uint8_t protocol = 0; // 0: that of the next layer
    std::uint8_t ttl = 64;
    std::uint8_t tos = 0;
    std::uint16_t id = 1;
    bool dont_fragment = false;
    bool more_fragments = false;
    std::uint16_t offset = 0;       // in units of 8 bytes
    std::uint16_t option_bytes = 0; // multiple of 4, at most 40; no-operation options
};

/// Each call appends one layer.  build() may be called more than once.
class frame_builder {
public:
    frame_builder& eth(net::mac_address const& destination, net::mac_address const& source,
                       std::uint16_t ethertype = 0) {
        append(destination.bytes);
        append(source.bytes);
        ethertype_at_ = frame_.size();
        append16(ethertype);
        return *this;
    }

    frame_builder& vlan(std::uint16_t id, unsigned priority = 0, std::uint16_t tpid = 0x8100) {
        set_ethertype(tpid);
        append16(priority << 13 | id);
        ethertype_at_ = frame_.size();
        append16(0);
        return *this;
    }

    frame_builder& qinq(std::uint16_t outer, std::uint16_t inner, std::uint16_t tpid = 0x88a8) {
        return vlan(outer, 0, tpid).vlan(inner);
    }

    frame_builder& ipv4(std::uint32_t source, std::uint32_t destination,
                        ipv4_extras const& extras = {}) {
        assert(extras.option_bytes % 4 == 0 && extras.option_bytes <= 40);
        set_ethertype(0x0800);
        ipv4_at_ = frame_.size();
        append8(0x45U + extras.option_bytes / 4U);
        append8(extras.tos);
        append16(0); // total length
        append16(extras.id);
        append16((extras.dont_fragment ? 0x4000U : 0U) | (extras.more_fragments ? 0x2000U : 0U) |
                 extras.offset);
        append8(extras.ttl);
        next_at_ = frame_.size();
        append8(extras.protocol);
        append16(0); // checksum
        append32(source);
        append32(destination);
        frame_.insert(frame_.end(), extras.option_bytes, std::uint8_t{1});
        return *this;
    }

    /// `next`: only needed when the next layer does not say it.
    frame_builder& ipv6(ipv6_address const& source, ipv6_address const& destination,
                        std::uint8_t next = 59, std::uint8_t hop_limit = 64) {
        set_ethertype(0x86dd);
        ipv6_at_ = frame_.size();
        append32(0x6000'0000U);
        append16(0); // payload length
        next_at_ = frame_.size();
        append8(next);
        append8(hop_limit);
        append(source);
        append(destination);
        return *this;
    }

    /// `words`: size in units of 8 bytes, at least 1.
    frame_builder& hop_by_hop(std::size_t words = 1) { return extension(0, words); }
    frame_builder& routing(std::size_t words = 1) { return extension(43, words); }
    frame_builder& destination_options(std::size_t words = 1) { return extension(60, words); }

    /// AH with `icv_words` words of 4 bytes of integrity value.
    frame_builder& authentication(std::size_t icv_words = 3) {
        begin_extension(51);
        append8(static_cast<unsigned>(1 + icv_words));
        frame_.insert(frame_.end(), 10 + 4 * icv_words, std::uint8_t{0});
        return *this;
    }

    /// `offset` in units of 8 bytes; `next` as in ipv6().
    frame_builder& ipv6_fragment(std::uint32_t id, std::uint16_t offset, bool more,
                                 std::uint8_t next = 59) {
        begin_extension(44);
        frame_[next_at_] = next;
        append8(0);
        append16(static_cast<unsigned>(offset << 3) | (more ? 1U : 0U));
        append32(id);
        return *this;
    }

    frame_builder& udp(std::uint16_t source, std::uint16_t destination) {
        begin_l4(17, 6);
        append16(source);
        append16(destination);
        append32(0); // length, checksum
        return *this;
    }

    frame_builder& udp_lite(std::uint16_t source, std::uint16_t destination) {
        begin_l4(136, 6);
        append16(source);
        append16(destination);
        append32(0); // coverage 0: all of it
        return *this;
    }

    frame_builder& tcp(std::uint16_t source, std::uint16_t destination, std::uint8_t flags = 0x10,
                       std::uint32_t sequence = 1) {
        begin_l4(6, 16);
        append16(source);
        append16(destination);
        append32(sequence);
        append32(0);
        append8(0x50);
        append8(flags);
        append16(0xffff);
        append32(0); // checksum, urgent pointer
        return *this;
    }

    /// Common header; its CRC stays 0.
    frame_builder& sctp(std::uint16_t source, std::uint16_t destination) {
        begin_l4(132, none);
        append16(source);
        append16(destination);
        append32(1);
        append32(0);
        return *this;
    }

    /// Generic header with long sequence numbers; its checksum stays 0.
    frame_builder& dccp(std::uint16_t source, std::uint16_t destination) {
        begin_l4(33, none);
        append16(source);
        append16(destination);
        append32(0x0400'0000U);
        append32(0x0100'0000U);
        append32(1);
        return *this;
    }

    /// Echo request, ICMP or ICMPv6 as the layer below asks.
    frame_builder& icmp(std::uint16_t id = 1, std::uint16_t sequence = 1) {
        begin_l4(ipv6_at_ != none ? 58 : 1, 2);
        append8(ipv6_at_ != none ? 128U : 8U);
        append8(0);
        append16(0); // checksum
        append16(id);
        append16(sequence);
        return *this;
    }

    /// Any other protocol over IP; its header is what payload() brings.
    frame_builder& protocol(std::uint8_t number) {
        begin_l4(number, none);
        return *this;
    }

    frame_builder& arp_request(net::mac_address const& sender, std::uint32_t sender_ip,
                               std::uint32_t target_ip) {
        set_ethertype(0x0806);
        append32(0x0001'0800U);
        append32(0x0604'0001U);
        append(sender.bytes);
        append32(sender_ip);
        append(net::mac_address{}.bytes);
        append32(target_ip);
        return *this;
    }

    /// Subtype 1 is LACP, 2 is Marker; the rest of the PDU is what payload() brings.
    frame_builder& slow_protocol(std::uint8_t subtype, std::uint8_t version = 1) {
        set_ethertype(0x8809);
        append8(subtype);
        append8(version);
        return *this;
    }

    frame_builder& payload(bytes const& data) {
        append(data);
        return *this;
    }

    /// Bytes that count up from `first`.
    frame_builder& payload(std::size_t size, std::uint8_t first = 0) {
        for (std::size_t i = 0; i < size; ++i) {
            append8(static_cast<unsigned>(first + i));
        }
        return *this;
    }

    /// Ethernet padding: zeros that no length field counts.
    frame_builder& pad_to(std::size_t size) {
        padded_size_ = size;
        return *this;
    }

    bytes build() const {
        frame_builder copy = *this;
        copy.fill_lengths();
        copy.fill_checksums();
        if (copy.frame_.size() < padded_size_) {
            copy.frame_.resize(padded_size_);
        }
        return std::move(copy.frame_);
    }

private:
    static constexpr std::size_t none = static_cast<std::size_t>(-1);

    void append8(unsigned v) { frame_.push_back(static_cast<std::uint8_t>(v)); }
    void append16(unsigned v) {
        append8(v >> 8);
        append8(v);
    }
    void append32(std::uint32_t v) {
        append16(v >> 16);
        append16(v & 0xffffU);
    }
    template<class Range>
    void append(Range const& range) {
        frame_.insert(frame_.end(), range.begin(), range.end());
    }
    void put16(std::size_t at, std::size_t v) {
        frame_[at] = static_cast<std::uint8_t>(v >> 8);
        frame_[at + 1] = static_cast<std::uint8_t>(v);
    }

    void set_ethertype(std::uint16_t type) {
        assert(ethertype_at_ != none);
        put16(ethertype_at_, type);
    }

    void begin_extension(std::uint8_t number) {
        assert(next_at_ != none);
        frame_[next_at_] = number;
        next_at_ = frame_.size();
        append8(59);
    }

    frame_builder& extension(std::uint8_t number, std::size_t words) {
        assert(words >= 1 && words <= 256);
        begin_extension(number);
        append8(static_cast<unsigned>(words - 1));
        frame_.insert(frame_.end(), 8 * words - 2, std::uint8_t{0});
        return *this;
    }

    void begin_l4(std::uint8_t number, std::size_t checksum_offset) {
        assert(next_at_ != none);
        frame_[next_at_] = number;
        l4_protocol_ = number;
        l4_at_ = frame_.size();
        checksum_at_ = checksum_offset == none ? none : l4_at_ + checksum_offset;
    }

    void fill_lengths() {
        if (ipv4_at_ != none) {
            put16(ipv4_at_ + 2, frame_.size() - ipv4_at_);
        }
        if (ipv6_at_ != none) {
            put16(ipv6_at_ + 4, frame_.size() - ipv6_at_ - 40);
        }
        if (l4_protocol_ == 17) {
            put16(l4_at_ + 4, frame_.size() - l4_at_);
        }
    }

    std::uint32_t sum(std::size_t from, std::size_t to) const {
        std::uint32_t total = 0;
        for (std::size_t i = from; i < to; ++i) {
            total += (i - from) % 2 == 0 ? static_cast<std::uint32_t>(frame_[i] << 8) : frame_[i];
        }
        return total;
    }

    static std::uint16_t fold(std::uint32_t total) {
        while (total >> 16 != 0) {
            total = (total & 0xffffU) + (total >> 16);
        }
        return static_cast<std::uint16_t>(~total);
    }

    void fill_checksums() {
        if (checksum_at_ != none) {
            std::uint32_t total = sum(l4_at_, frame_.size());
            if (l4_protocol_ != 1) { // all but ICMP cover a pseudo-header
                total += l4_protocol_ + static_cast<std::uint32_t>(frame_.size() - l4_at_);
                total += ipv6_at_ != none ? sum(ipv6_at_ + 8, ipv6_at_ + 40)
                                          : sum(ipv4_at_ + 12, ipv4_at_ + 20);
            }
            std::uint16_t const checksum = fold(total);
            bool const zero_means_none = l4_protocol_ == 17 || l4_protocol_ == 136;
            put16(checksum_at_, checksum == 0 && zero_means_none ? 0xffffU : checksum);
        }
        if (ipv4_at_ != none) {
            std::size_t const header_size = (frame_[ipv4_at_] & 0x0fU) * 4U;
            put16(ipv4_at_ + 10, fold(sum(ipv4_at_, ipv4_at_ + header_size)));
        }
    }

    bytes frame_;
    std::size_t padded_size_ = 0;
    std::size_t ethertype_at_ = none;
    std::size_t next_at_ = none;
    std::size_t ipv4_at_ = none;
    std::size_t ipv6_at_ = none;
    std::size_t l4_at_ = none;
    std::size_t checksum_at_ = none;
    std::uint8_t l4_protocol_ = 0;
};

/// Cuts an IPv4 frame without padding as a router would.  `ip_at`: where the IPv4 header begins.
/// `piece`: payload bytes in each fragment but the last, a multiple of 8.  Options stay in the
/// first one.
inline std::vector<bytes> fragment_ipv4(bytes const& frame, std::size_t ip_at, std::size_t piece) {
    assert(piece != 0 && piece % 8 == 0);
    auto const at = [&frame](std::size_t i) {
        return frame.begin() + static_cast<std::ptrdiff_t>(i);
    };
    std::size_t const data_at = ip_at + (frame[ip_at] & 0x0fU) * 4U;
    std::vector<bytes> fragments;
    for (std::size_t from = data_at; from < frame.size(); from += piece) {
        std::size_t const to = from + piece < frame.size() ? from + piece : frame.size();
        bytes f(frame.begin(), at(from == data_at ? data_at : ip_at + 20));
        std::size_t const header_size = f.size() - ip_at;
        std::size_t const total_length = header_size + to - from;
        std::size_t const offset = (from - data_at) / 8 | (to < frame.size() ? 0x2000U : 0U);
        f[ip_at] = static_cast<std::uint8_t>(0x40U | header_size / 4);
        f[ip_at + 2] = static_cast<std::uint8_t>(total_length >> 8);
        f[ip_at + 3] = static_cast<std::uint8_t>(total_length);
        f[ip_at + 6] = static_cast<std::uint8_t>(offset >> 8);
        f[ip_at + 7] = static_cast<std::uint8_t>(offset);
        f[ip_at + 10] = 0;
        f[ip_at + 11] = 0;
        std::uint32_t sum = 0;
        for (std::size_t i = 0; i < header_size; i += 2) {
            sum += static_cast<std::uint32_t>(f[ip_at + i] << 8 | f[ip_at + i + 1]);
        }
        sum = (sum & 0xffffU) + (sum >> 16);
        sum = ~((sum & 0xffffU) + (sum >> 16));
        f[ip_at + 10] = static_cast<std::uint8_t>(sum >> 8);
        f[ip_at + 11] = static_cast<std::uint8_t>(sum);
        f.insert(f.end(), at(from), at(to));
        fragments.push_back(std::move(f));
    }
    return fragments;
}

/// Cuts an IPv6 frame without padding as its source would: hop-by-hop and routing headers go into
/// each fragment, what follows them is cut.
inline std::vector<bytes> fragment_ipv6(bytes const& frame, std::size_t ip_at, std::size_t piece,
                                        std::uint32_t id = 7) {
    assert(piece != 0 && piece % 8 == 0);
    auto const at = [&frame](std::size_t i) {
        return frame.begin() + static_cast<std::ptrdiff_t>(i);
    };
    std::size_t next_at = ip_at + 6;
    std::size_t data_at = ip_at + 40;
    while (frame[next_at] == 0 || frame[next_at] == 43) {
        next_at = data_at;
        data_at += 8 * (frame[data_at + 1] + std::size_t{1});
    }
    std::vector<bytes> fragments;
    for (std::size_t from = data_at; from < frame.size(); from += piece) {
        std::size_t const to = from + piece < frame.size() ? from + piece : frame.size();
        bytes f(frame.begin(), at(data_at));
        f[next_at] = 44;
        std::size_t const offset = (from - data_at) | (to < frame.size() ? 1U : 0U);
        for (std::size_t const v : std::initializer_list<std::size_t>{
                 frame[next_at], 0, offset >> 8, offset, id >> 24, id >> 16, id >> 8, id}) {
            f.push_back(static_cast<std::uint8_t>(v));
        }
        f.insert(f.end(), at(from), at(to));
        std::size_t const length = f.size() - ip_at - 40;
        f[ip_at + 4] = static_cast<std::uint8_t>(length >> 8);
        f[ip_at + 5] = static_cast<std::uint8_t>(length);
        fragments.push_back(std::move(f));
    }
    return fragments;
}

} // namespace lagg::test
