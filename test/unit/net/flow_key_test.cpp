#include "net/flow_key.h"

#include "sample_frames.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <ostream>
#include <random>

namespace lagg::net {

void PrintTo(flow_key const& k, std::ostream* out) {
    *out << std::hex << "{dst " << k.destination_mac << " src " << k.source_mac << " vlan "
         << k.outer_vlan << "." << k.inner_vlan << " type " << k.ethertype << " kind "
         << static_cast<int>(k.kind) << " proto " << int{k.protocol} << " frag " << k.fragment
         << " ports " << k.has_ports << " " << k.source_port << ">" << k.destination_port << " ip "
         << k.source.high << ":" << k.source.low << ">" << k.destination.high << ":"
         << k.destination.low << std::dec << "}";
}

namespace {

TEST(FlowKey, ReadsEachKindOfFrame) {
    for (auto const& s : sample_frames()) {
        EXPECT_EQ(parse_flow(view(s.frame)), s.key) << s.name;
    }
}

TEST(FlowKey, FallsBackToTheDeepestLayerThatIsEntirelyThereAtEveryLength) {
    for (auto const& s : sample_frames()) {
        for (std::size_t length = 0; length <= s.frame.size(); ++length) {
            SCOPED_TRACE(testing::Message() << s.name << " cut to " << length);
            exact_copy const cut(s.frame, length);
            flow_key const key = parse_flow(cut.view());
            if (length < 14) {
                ASSERT_EQ(key, flow_key{});
                continue;
            }
            ASSERT_EQ(key.destination_mac, s.key.destination_mac);
            ASSERT_EQ(key.source_mac, s.key.source_mac);
            ASSERT_EQ(key.outer_vlan, length >= 18 ? s.key.outer_vlan : 0);
            ASSERT_EQ(key.inner_vlan, length >= 22 ? s.key.inner_vlan : 0);
            bool const ip = s.ip_size != 0 && length >= s.ip_size;
            ASSERT_EQ(key.kind, ip ? s.key.kind : flow_kind::l2);
            ASSERT_EQ(key.source, ip ? s.key.source : ip_address{});
            ASSERT_EQ(key.destination, ip ? s.key.destination : ip_address{});
            bool const ports = s.ports_end != 0 && length >= s.ports_end;
            ASSERT_EQ(key.has_ports, ports);
            ASSERT_EQ(key.source_port, ports ? s.key.source_port : 0);
            ASSERT_EQ(key.destination_port, ports ? s.key.destination_port : 0);
        }
    }
}

TEST(FlowKey, DoesNotDependOnWhatLiesBehindTheFirstSegment) {
    for (auto const& s : sample_frames()) {
        for (std::size_t length = 0; length < s.frame.size(); ++length) {
            auto other = s.frame;
            std::for_each(other.begin() + static_cast<std::ptrdiff_t>(length), other.end(),
                          [](std::uint8_t& b) { b = static_cast<std::uint8_t>(~b); });
            auto const size = static_cast<std::uint32_t>(length);
            auto const total = static_cast<std::uint32_t>(s.frame.size());
            ASSERT_EQ(parse_flow({s.frame.data(), size, total}),
                      parse_flow({other.data(), size, size}))
                << s.name << " cut to " << length;
        }
    }
}

TEST(FlowKey, SeesNoPortsInAnyFragmentOfADatagram) {
    auto const four = test::frame_builder()
                          .eth(test::mac(2), test::mac(1))
                          .vlan(3)
                          .ipv4(1, 2, {.option_bytes = 12})
                          .udp(3, 4)
                          .payload(200)
                          .build();
    auto const six = test::frame_builder()
                         .eth(test::mac(2), test::mac(1))
                         .ipv6(test::ip6(1, 2), test::ip6(3, 4))
                         .hop_by_hop()
                         .destination_options()
                         .udp(3, 4)
                         .payload(200)
                         .build();
    auto fragments = test::fragment_ipv4(four, 18, 16);
    auto const more = test::fragment_ipv6(six, 14, 16);
    fragments.insert(fragments.end(), more.begin(), more.end());
    ASSERT_EQ(fragments.size(), 13U + 14U);
    for (auto const& f : fragments) {
        flow_key const key = parse_flow(view(f));
        EXPECT_TRUE(key.fragment);
        EXPECT_FALSE(key.has_ports);
    }
    EXPECT_TRUE(parse_flow(view(four)).has_ports);
    EXPECT_TRUE(parse_flow(view(six)).has_ports);
}

TEST(FlowKey, GivesTheSameKeyByTheShortWayForPlainFrames) {
    int plain = 0;
    for (auto const& s : sample_frames()) {
        for (std::size_t length = 0; length <= s.frame.size(); ++length) {
            exact_copy const cut(s.frame, length);
            if (is_plain_ipv4(cut.view())) {
                ++plain;
                ASSERT_EQ(parse_plain_ipv4(cut.view()), parse_flow(cut.view())) << s.name;
            }
        }
    }
    EXPECT_GT(plain, 0);
}

/// Random bytes behind the beginning of a real frame, with some bytes of the beginning changed too.
TEST(FlowKey, SurvivesRandomBytes) {
    auto const samples = sample_frames();
    std::mt19937 random(random_seed());
    auto const below = [&random](std::size_t n) {
        return std::uniform_int_distribution<std::size_t>(0, n - 1)(random);
    };
    for (int round = 0; round < 200'000; ++round) {
        auto frame = samples[below(samples.size())].frame;
        frame.resize(below(160));
        std::size_t const random_from = below(160);
        for (std::size_t i = random_from; i < frame.size(); ++i) {
            frame[i] = static_cast<std::uint8_t>(random());
        }
        for (std::size_t n = frame.empty() ? 0 : below(4); n > 0; --n) {
            frame[below(frame.size())] = static_cast<std::uint8_t>(random());
        }
        exact_copy const exact(frame, frame.size());
        flow_key const key = parse_flow(exact.view());
        if (key.has_ports) {
            ASSERT_NE(key.kind, flow_kind::l2);
            ASSERT_FALSE(key.fragment);
        }
        if (key.kind == flow_kind::l2) {
            ASSERT_EQ(key.source, ip_address{});
            ASSERT_EQ(key.destination, ip_address{});
            ASSERT_EQ(key.protocol, 0);
        }
        ASSERT_LT(key.outer_vlan, 4096);
        ASSERT_LT(key.inner_vlan, 4096);
        if (is_plain_ipv4(exact.view())) {
            ASSERT_EQ(parse_plain_ipv4(exact.view()), key);
        }
        frame.resize(frame.size() + 100, 0x5a);
        ASSERT_EQ(parse_flow({frame.data(), exact.view().length, 0}), key);
    }
}

} // namespace
} // namespace lagg::net
