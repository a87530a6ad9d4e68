// One frame of each kind that the parser tells apart, with the key it must give and where its
// layers begin.  Shared by the tests of parser and hash.
#pragma once

#include "net/flow_key.h"
#include "support/frame_builder.h"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <random>
#include <string>
#include <vector>

namespace lagg::net {

struct sample {
    std::string name;
    test::bytes frame;
    flow_key key;
    std::size_t ip_size = 0;   // bytes from the start to the end of the fixed IP header; 0: not IP
    std::size_t ports_end = 0; // bytes from the start to the end of the ports; 0: none to be found
};

inline frame_view view(test::bytes const& frame) {
    auto const size = static_cast<std::uint32_t>(frame.size());
    return {frame.data(), size, size};
}

/// The first `length` bytes in a block of exactly that size, where a sanitizer sees one byte too
/// far.
class exact_copy {
public:
    exact_copy(test::bytes const& frame, std::size_t length)
        : data_(new std::uint8_t[length]),
          length_(static_cast<std::uint32_t>(length)),
          total_(static_cast<std::uint32_t>(frame.size())) {
        std::copy_n(frame.begin(), length, data_.get());
    }
    frame_view view() const { return {data_.get(), length_, total_}; }

private:
    std::unique_ptr<std::uint8_t[]> data_;
    std::uint32_t length_;
    std::uint32_t total_;
};

/// Another one in each run, printed; LAGG_TEST_SEED repeats a run.
inline std::uint32_t random_seed() {
    static std::uint32_t const seed = [] {
        char const* const given = std::getenv("LAGG_TEST_SEED");
        std::uint32_t const value =
            given != nullptr ? static_cast<std::uint32_t>(std::strtoul(given, nullptr, 0))
                             : std::random_device{}();
        std::cout << "LAGG_TEST_SEED=" << value << std::endl;
        return value;
    }();
    return seed;
}

inline std::vector<sample> sample_frames() {
    using namespace lagg::test;
    constexpr std::uint64_t d = 0x0200'0000'0002;
    constexpr std::uint64_t s = 0x0200'0000'0001;
    constexpr std::uint32_t a4 = ip4(10, 1, 2, 3);
    constexpr std::uint32_t b4 = ip4(172, 16, 200, 1);
    constexpr ipv6_address a6 = ip6(0x2001'0db8'0000'0001, 0x1122'3344'5566'7788);
    constexpr ipv6_address b6 = ip6(0xfe80'0000'0000'0000, 0x0211'22ff'fe33'4455);
    constexpr ip_address a6n{0x2001'0db8'0000'0001, 0x1122'3344'5566'7788};
    constexpr ip_address b6n{0xfe80'0000'0000'0000, 0x0211'22ff'fe33'4455};
    auto const eth = [] { return frame_builder().eth(mac(2), mac(1)); };
    auto const four = [&](ipv4_extras const& e = {}) { return eth().ipv4(a4, b4, e); };
    auto const six = [&] { return eth().ipv6(a6, b6); };

    auto const l2_key = [&](std::uint16_t type, std::uint16_t outer = 0, std::uint16_t inner = 0) {
        return flow_key{.destination_mac = d,
                        .source_mac = s,
                        .outer_vlan = outer,
                        .inner_vlan = inner,
                        .ethertype = type};
    };
    auto const key4 = [&](std::uint8_t protocol, bool fragment = false) {
        flow_key k = l2_key(0x0800);
        k.kind = flow_kind::ipv4;
        k.protocol = protocol;
        k.fragment = fragment;
        k.source.low = a4;
        k.destination.low = b4;
        return k;
    };
    auto const key6 = [&](std::uint8_t protocol, bool fragment = false) {
        flow_key k = l2_key(0x86dd);
        k.kind = flow_kind::ipv6;
        k.protocol = protocol;
        k.fragment = fragment;
        k.source = a6n;
        k.destination = b6n;
        return k;
    };
    auto const ports = [](flow_key k, std::uint16_t from, std::uint16_t to) {
        k.has_ports = true;
        k.source_port = from;
        k.destination_port = to;
        return k;
    };
    auto const tagged = [](flow_key k, std::uint16_t outer, std::uint16_t inner = 0) {
        k.outer_vlan = outer;
        k.inner_vlan = inner;
        return k;
    };

    std::vector<sample> all;
    auto const add = [&](char const* name, frame_builder const& frame, flow_key const& key,
                         std::size_t ip_size = 0, std::size_t ports_end = 0) {
        all.push_back({name, frame.build(), key, ip_size, ports_end});
    };

    add("arp", eth().arp_request(mac(1), a4, b4).pad_to(60), l2_key(0x0806));
    add("slow protocol", eth().slow_protocol(1).payload(108), l2_key(0x8809));
    add("802.3 length", frame_builder().eth(mac(2), mac(1), 3).payload(46), l2_key(3));
    add("tagged arp", eth().vlan(100, 5).arp_request(mac(1), a4, b4), l2_key(0x0806, 100));
    add("three tags", eth().vlan(1).vlan(2).vlan(3).ipv4(a4, b4).udp(1, 2), l2_key(0x8100, 1, 2));

    add("udp", four().udp(1111, 53).payload(18), ports(key4(17), 1111, 53), 34, 38);
    add("tcp", four().tcp(0xfedc, 443), ports(key4(6), 0xfedc, 443), 34, 38);
    add("sctp", four().sctp(2905, 2906), ports(key4(132), 2905, 2906), 34, 38);
    add("udp-lite", four().udp_lite(7, 8), ports(key4(136), 7, 8), 34, 38);
    add("dccp", four().dccp(9, 10), ports(key4(33), 9, 10), 34, 38);
    add("icmp", four().icmp(), key4(1), 34);
    add("esp", four().protocol(50).payload(32), key4(50), 34);
    add("dont fragment", four({.tos = 0xb8, .dont_fragment = true}).udp(1, 2),
        ports(key4(17), 1, 2), 34, 38);
    add("options", four({.option_bytes = 4}).tcp(1, 2), ports(key4(6), 1, 2), 34, 42);
    add("all options", four({.option_bytes = 40}).udp(1, 2), ports(key4(17), 1, 2), 34, 78);
    add("first fragment", four({.more_fragments = true}).udp(1111, 53).payload(16), key4(17, true),
        34);
    add("middle fragment", four({.protocol = 17, .more_fragments = true, .offset = 3}).payload(24),
        key4(17, true), 34);
    add("last fragment", four({.protocol = 17, .offset = 0x1fff}).payload(8), key4(17, true), 34);
    add("tagged udp", eth().vlan(4095, 7).ipv4(a4, b4).udp(1, 2),
        ports(tagged(key4(17), 4095), 1, 2), 38, 42);
    add("qinq udp", eth().qinq(10, 20).ipv4(a4, b4).udp(1, 2),
        ports(tagged(key4(17), 10, 20), 1, 2), 42, 46);
    add("qinq 0x9100", eth().qinq(10, 20, 0x9100).ipv4(a4, b4).udp(1, 2),
        ports(tagged(key4(17), 10, 20), 1, 2), 42, 46);
    add("one tag 0x88a8", eth().vlan(10, 0, 0x88a8).ipv4(a4, b4).udp(1, 2),
        ports(tagged(key4(17), 10), 1, 2), 38, 42);

    add("udp6", six().udp(1111, 53).payload(10), ports(key6(17), 1111, 53), 54, 58);
    add("tcp6", six().tcp(1111, 53), ports(key6(6), 1111, 53), 54, 58);
    add("tagged udp6", eth().vlan(7).ipv6(a6, b6).udp(1, 2), ports(tagged(key6(17), 7), 1, 2), 58,
        62);
    add("qinq tcp6", eth().qinq(7, 8).ipv6(a6, b6).tcp(1, 2), ports(tagged(key6(6), 7, 8), 1, 2),
        62, 66);
    add("icmp6", six().icmp(), key6(58), 54);
    add("no next header", six(), key6(59), 54);
    add("hop-by-hop", six().hop_by_hop(2).udp(1, 2), ports(key6(17), 1, 2), 54, 54 + 16 + 4);
    add("routing", six().routing(3).tcp(1, 2), ports(key6(6), 1, 2), 54, 54 + 24 + 4);
    add("destination options", six().destination_options(256).sctp(1, 2), ports(key6(132), 1, 2),
        54, 54 + 2048 + 4);
    add("authentication", six().authentication(3).udp(1, 2), ports(key6(17), 1, 2), 54,
        54 + 24 + 4);
    add("authentication, no ICV", six().authentication(0).udp(1, 2), ports(key6(17), 1, 2), 54,
        54 + 12 + 4);
    add("all extension headers",
        six()
            .hop_by_hop()
            .destination_options()
            .routing()
            .authentication()
            .destination_options()
            .udp(1, 2),
        ports(key6(17), 1, 2), 54, 54 + 4 * 8 + 24 + 4);
    auto eight = six();
    for (int i = 0; i < 8; ++i) {
        eight.destination_options();
    }
    add("eight extension headers", frame_builder(eight).udp(1, 2), ports(key6(17), 1, 2), 54,
        54 + 64 + 4);
    add("nine extension headers", frame_builder(eight).destination_options().udp(1, 2), key6(60),
        54);
    add("first fragment6", six().ipv6_fragment(1, 0, true).udp(1, 2).payload(16), key6(44, true),
        54);
    add("last fragment6", six().ipv6_fragment(1, 9, false, 17).payload(16), key6(44, true), 54);
    add("atomic fragment6", six().ipv6_fragment(1, 0, false).udp(1, 2), key6(44, true), 54);
    add("fragment6 behind hop-by-hop",
        six().hop_by_hop().ipv6_fragment(1, 0, true).destination_options().udp(1, 2),
        key6(44, true), 54);

    auto const break_byte = [&](char const* name, frame_builder const& frame, std::size_t at,
                                std::uint8_t value, flow_key const& key, std::size_t ip_size) {
        auto bad = frame.build();
        bad[at] = value;
        all.push_back({name, bad, key, ip_size, 0});
    };
    break_byte("ipv4 with version 5", four().udp(1, 2), 14, 0x55, l2_key(0x0800), 0);
    break_byte("ipv4 with a header of 16 bytes", four().udp(1, 2), 14, 0x44, l2_key(0x0800), 0);
    break_byte("ipv4 with a header past the end", four().udp(1, 2), 14, 0x4f, key4(17), 34);
    break_byte("ipv4 reserved flag", four().icmp(), 20, 0x80, key4(1), 34);
    break_byte("ipv6 with version 4", six().udp(1, 2), 14, 0x40, l2_key(0x86dd), 0);
    break_byte("extension header past the end", six().hop_by_hop().udp(1, 2), 55, 200, key6(0), 54);
    return all;
}

} // namespace lagg::net
