// The frames that other tests trust, against bytes written by hand and checksums computed another
// way.
#include "support/frame_builder.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <initializer_list>
#include <utility>
#include <vector>

namespace lagg::test {
namespace {

bytes slice(bytes const& frame, std::size_t from, std::size_t to) {
    return {frame.begin() + static_cast<std::ptrdiff_t>(from),
            frame.begin() + static_cast<std::ptrdiff_t>(to)};
}

/// RFC 1071 of what is there: 0 when the checksum inside is right.
std::uint16_t internet_checksum(bytes const& data) {
    std::uint64_t total = 0;
    for (std::size_t i = 0; i < data.size(); ++i) {
        total += std::uint64_t{data[i]} << (i % 2 == 0 ? 8 : 0);
    }
    while (total > 0xffff) {
        total = total % 0x10000 + total / 0x10000;
    }
    return static_cast<std::uint16_t>(~total);
}

/// Pseudo-header and payload of an IP frame whose transport begins at `l4_at`.
bytes with_pseudo_header(bytes const& frame, bytes pseudo, std::uint8_t protocol,
                         std::size_t l4_at) {
    std::size_t const size = frame.size() - l4_at;
    for (std::size_t v : {std::size_t{0}, std::size_t{protocol}, size / 256, size % 256}) {
        pseudo.push_back(static_cast<std::uint8_t>(v));
    }
    pseudo.insert(pseudo.end(), frame.begin() + static_cast<std::ptrdiff_t>(l4_at), frame.end());
    return pseudo;
}

TEST(FrameBuilder, WritesAUdpFrameByteForByte) {
    bytes const expected{0x02, 0x00, 0x00, 0x00, 0x00, 0x02, 0x02, 0x00, 0x00, 0x00, 0x00, 0x01,
                         0x08, 0x00,                                                             //
                         0x45, 0x00, 0x00, 0x1e, 0x00, 0x01, 0x00, 0x00, 0x40, 0x11, 0x66, 0xcc, //
                         0x0a, 0x00, 0x00, 0x01, 0x0a, 0x00, 0x00, 0x02,                         //
                         0x04, 0xd2, 0x00, 0x50, 0x00, 0x0a, 0xe6, 0xb4, 0x00, 0x01,             //
                         0x00, 0x00};
    EXPECT_EQ(frame_builder()
                  .eth(mac(2), mac(1))
                  .ipv4(ip4(10, 0, 0, 1), ip4(10, 0, 0, 2))
                  .udp(1234, 80)
                  .payload(2)
                  .pad_to(46)
                  .build(),
              expected);
}

TEST(FrameBuilder, NestsTags) {
    auto const frame = frame_builder()
                           .eth(mac(2), mac(1))
                           .qinq(100, 200)
                           .arp_request(mac(1), ip4(10, 0, 0, 1), ip4(10, 0, 0, 2))
                           .build();
    EXPECT_EQ(slice(frame, 12, 22),
              (bytes{0x88, 0xa8, 0x00, 0x64, 0x81, 0x00, 0x00, 0xc8, 0x08, 0x06}));
    EXPECT_EQ(frame.size(), 14U + 8U + 28U);
}

TEST(FrameBuilder, ChecksumsHoldOverIpv4) {
    for (std::size_t const size : {0U, 1U, 7U, 100U}) {
        for (std::uint16_t const options : std::initializer_list<std::uint16_t>{0, 4, 40}) {
            auto base =
                frame_builder()
                    .eth(mac(2), mac(1))
                    .ipv4(ip4(192, 168, 1, 1), ip4(255, 254, 253, 252), {.option_bytes = options});
            std::size_t const l4_at = 34U + options;
            for (auto const& [protocol, frame] :
                 {std::pair{std::uint8_t{17}, frame_builder(base).udp(1, 2).payload(size).build()},
                  std::pair{std::uint8_t{136},
                            frame_builder(base).udp_lite(1, 2).payload(size).build()},
                  std::pair{std::uint8_t{6},
                            frame_builder(base).tcp(1, 2).payload(size).build()}}) {
                EXPECT_EQ(internet_checksum(slice(frame, 14, l4_at)), 0);
                EXPECT_EQ(internet_checksum(
                              with_pseudo_header(frame, slice(frame, 26, 34), protocol, l4_at)),
                          0)
                    << "protocol " << int{protocol} << " payload " << size;
            }
            auto const echo = frame_builder(base).icmp().payload(size).build();
            EXPECT_EQ(internet_checksum(slice(echo, l4_at, echo.size())), 0);
        }
    }
}

TEST(FrameBuilder, ChecksumsHoldOverIpv6BehindExtensionHeaders) {
    auto base = frame_builder().eth(mac(2), mac(1)).ipv6(ip6(1, 2), ip6(3, 4)).hop_by_hop(2);
    constexpr std::size_t l4_at = 14 + 40 + 16;
    auto const udp = frame_builder(base).udp(1, 2).payload(9).build();
    auto const echo = frame_builder(base).icmp().payload(9).build();
    EXPECT_EQ(udp[20], 0);
    EXPECT_EQ(udp[54], 17);
    EXPECT_EQ(echo[54], 58);
    EXPECT_EQ(internet_checksum(with_pseudo_header(udp, slice(udp, 22, 54), 17, l4_at)), 0);
    EXPECT_EQ(internet_checksum(with_pseudo_header(echo, slice(echo, 22, 54), 58, l4_at)), 0);
}

TEST(FrameBuilder, BuildsTheSameFrameTwice) {
    auto const builder = frame_builder().eth(mac(2), mac(1)).ipv4(1, 2).udp(3, 4).payload(5);
    EXPECT_EQ(builder.build(), builder.build());
}

TEST(FragmentIpv4, CutsSoThatThePiecesMakeTheWhole) {
    auto const whole = frame_builder()
                           .eth(mac(2), mac(1))
                           .vlan(5)
                           .ipv4(1, 2, {.option_bytes = 8})
                           .udp(3, 4)
                           .payload(50)
                           .build();
    auto const fragments = fragment_ipv4(whole, 18, 24);
    ASSERT_EQ(fragments.size(), 3U);
    bytes data;
    for (std::size_t i = 0; i < fragments.size(); ++i) {
        auto const& f = fragments[i];
        std::size_t const header_size = i == 0 ? 28 : 20;
        EXPECT_EQ(f[18], i == 0 ? 0x47 : 0x45);
        EXPECT_EQ(f[20] * 256U + f[21], f.size() - 18);
        EXPECT_EQ(f[24] * 256U + f[25], i * 3 + (i == 2 ? 0 : 0x2000));
        EXPECT_EQ(internet_checksum(slice(f, 18, 18 + header_size)), 0);
        data.insert(data.end(), f.begin() + static_cast<std::ptrdiff_t>(18 + header_size), f.end());
    }
    EXPECT_EQ(data, slice(whole, 18 + 28, whole.size()));
}

TEST(FragmentIpv6, CutsSoThatThePiecesMakeTheWhole) {
    auto const whole = frame_builder()
                           .eth(mac(2), mac(1))
                           .ipv6(ip6(1, 2), ip6(3, 4))
                           .hop_by_hop()
                           .destination_options()
                           .udp(3, 4)
                           .payload(50)
                           .build();
    auto const fragments = fragment_ipv6(whole, 14, 24, 0x01020304);
    ASSERT_EQ(fragments.size(), 3U);
    bytes data;
    for (std::size_t i = 0; i < fragments.size(); ++i) {
        auto const& f = fragments[i];
        EXPECT_EQ(f[18] * 256U + f[19], f.size() - 54);
        EXPECT_EQ(f[54], 44);
        std::uint8_t const offset_and_more = static_cast<std::uint8_t>(i * 24 + (i == 2 ? 0 : 1));
        EXPECT_EQ(slice(f, 62, 70), (bytes{60, 0, 0, offset_and_more, 1, 2, 3, 4}));
        data.insert(data.end(), f.begin() + 70, f.end());
    }
    EXPECT_EQ(data, slice(whole, 62, whole.size()));
}

} // namespace
} // namespace lagg::test
