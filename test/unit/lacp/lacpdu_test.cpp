#include "lacp/lacpdu.h"

#include "support/seed.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <random>
#include <vector>

namespace lagg::lacp {
namespace {

// The figure of 6.4.2, line by line; values that differ in each byte, so that none can change
// place.
constexpr std::array<std::uint8_t, 124> figure{
    0x01, 0x80, 0xc2, 0x00, 0x00, 0x02,             // destination: Slow_Protocols_Multicast
    0x02, 0x11, 0x22, 0x33, 0x44, 0x55,             // source
    0x88, 0x09,                                     // Slow Protocols
    0x01,                                           // subtype: LACP
    0x01,                                           // version
    0x01, 0x14,                                     // TLV: actor, 20
    0x12, 0x34,                                     // system priority
    0x02, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5,             // system
    0x56, 0x78,                                     // key
    0x9a, 0xbc,                                     // port priority
    0xde, 0xf0,                                     // port
    0x3d,                                           // state
    0x00, 0x00, 0x00,                               // reserved
    0x02, 0x14,                                     // TLV: partner, 20
    0xfe, 0xdc,                                     // system priority
    0x06, 0xb1, 0xb2, 0xb3, 0xb4, 0xb5,             // system
    0xba, 0x98,                                     // key
    0x76, 0x54,                                     // port priority
    0x32, 0x10,                                     // port
    0x47,                                           // state
    0x00, 0x00, 0x00,                               // reserved
    0x03, 0x10,                                     // TLV: collector, 16
    0x01, 0x02,                                     // max delay
    0,    0,    0,    0,    0,    0,    0, 0, 0, 0, // reserved: 12
    0,    0,                                        //
    0x00, 0x00,                                     // TLV: terminator, 0; reserved: 50
};
constexpr net::mac_address figure_source{{0x02, 0x11, 0x22, 0x33, 0x44, 0x55}};
constexpr lacpdu figure_says{
    .version = 1,
    .actor = {.system = {0x1234, {{0x02, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5}}},
              .key = 0x5678,
              .port = {0x9abc, 0xdef0},
              .state = 0x3d},
    .partner = {.system = {0xfedc, {{0x06, 0xb1, 0xb2, 0xb3, 0xb4, 0xb5}}},
                .key = 0xba98,
                .port = {0x7654, 0x3210},
                .state = 0x47},
    .collector_max_delay = 0x0102,
};

// Where the figure has what.
constexpr std::size_t subtype_at = 14;
constexpr std::size_t version_at = 15;
constexpr std::size_t actor_at = 16;
constexpr std::size_t partner_at = 36;
constexpr std::size_t collector_at = 56;
constexpr std::size_t behind_the_three = 72;

using bytes = std::vector<std::uint8_t>;

bytes figure_with(std::size_t at, std::uint8_t value) {
    bytes b(figure.begin(), figure.end());
    b[at] = value;
    return b;
}

void expect_error(bytes const& b, pdu_error error) {
    auto const pdu = decode_lacpdu(b);
    ASSERT_FALSE(pdu);
    EXPECT_EQ(pdu.error(), error);
}

TEST(Lacpdu, IsReadAsTheFigureSays) {
    auto const pdu = decode_lacpdu(figure);
    ASSERT_TRUE(pdu);
    EXPECT_EQ(*pdu, figure_says);
}

TEST(Lacpdu, IsWrittenAsTheFigureSays) {
    frame const written = encode(figure_says, figure_source);
    EXPECT_EQ(bytes(written.begin(), written.end()), bytes(figure.begin(), figure.end()));
}

TEST(Lacpdu, HasTheBitsOfItsStateWhereTheStandardNumbersThem) {
    EXPECT_EQ(state::activity | state::aggregation | state::synchronization | state::collecting |
                  state::distributing,
              0x3d);
    EXPECT_EQ(state::short_timeout, 1U << 1);
    EXPECT_EQ(state::defaulted, 1U << 6);
    EXPECT_EQ(state::expired, 1U << 7);
}

TEST(Lacpdu, MayEndBehindTheThreeTlvs) {
    for (std::size_t size = behind_the_three; size <= figure.size(); ++size) {
        auto const pdu = decode_lacpdu(std::span(figure).first(size));
        ASSERT_TRUE(pdu) << size;
        EXPECT_EQ(*pdu, figure_says);
    }
}

TEST(Lacpdu, ThatEndsBeforeTheThreeTlvsIsIllegalAndNotReadPastItsEnd) {
    for (std::size_t size = subtype_at + 1; size < behind_the_three; ++size) {
        // On the heap, in its very size: the address sanitizer sees a byte too many.
        expect_error(bytes(figure.begin(), figure.begin() + static_cast<std::ptrdiff_t>(size)),
                     pdu_error::illegal);
    }
}

TEST(Lacpdu, WithoutASubtypeIsNoSlowProtocol) {
    for (std::size_t size = 0; size <= subtype_at; ++size) {
        expect_error(bytes(figure.begin(), figure.begin() + static_cast<std::ptrdiff_t>(size)),
                     pdu_error::not_slow);
    }
}

TEST(Lacpdu, OfAnotherEthertypeIsNoSlowProtocol) {
    expect_error(figure_with(12, 0x08), pdu_error::not_slow);
    expect_error(figure_with(13, 0x08), pdu_error::not_slow);
}

TEST(Lacpdu, OfAnotherSubtypeIsUnknown) {
    for (unsigned other : {0U, 2U, 3U, 10U, 11U, 255U}) {
        expect_error(figure_with(subtype_at, static_cast<std::uint8_t>(other)),
                     pdu_error::unknown_subtype);
    }
}

TEST(Lacpdu, OfALaterVersionIsReadAsTheOneThatIsKnown) {
    for (unsigned version = 1; version <= 255; ++version) {
        auto const pdu = decode_lacpdu(figure_with(version_at, static_cast<std::uint8_t>(version)));
        ASSERT_TRUE(pdu) << version;
        EXPECT_EQ(pdu->version, version);
        EXPECT_EQ(pdu->actor, figure_says.actor);
        EXPECT_EQ(pdu->partner, figure_says.partner);
    }
    expect_error(figure_with(version_at, 0), pdu_error::illegal);
}

// A version 2 system may send Port Algorithm (4), Port Conversation ID Digest (5), Mask 1 (6) and
// so on behind the collector's TLV, and a PDU longer than version 1's.
TEST(Lacpdu, MayBeLongerAndCarryTlvsThatNobodyKnows) {
    bytes b(figure.begin(), figure.begin() + behind_the_three);
    b[version_at] = 2;
    for (std::uint8_t type = 4; type < 11; ++type) {
        b.push_back(type);
        b.push_back(19);
        b.insert(b.end(), 17, std::uint8_t{0xee});
    }
    b.insert(b.end(), {0, 0});
    ASSERT_GT(b.size(), frame_size);
    for (std::size_t const kept : {b.size(), frame_size, std::size_t{100}}) {
        auto const pdu = decode_lacpdu(std::span(b).first(kept));
        ASSERT_TRUE(pdu) << kept;
        EXPECT_EQ(pdu->version, 2);
        EXPECT_EQ(pdu->actor, figure_says.actor);
        EXPECT_EQ(pdu->partner, figure_says.partner);
        EXPECT_EQ(pdu->collector_max_delay, figure_says.collector_max_delay);
    }
}

TEST(Lacpdu, WithAWrongTypeOrLengthOfATlvIsIllegal) {
    for (std::size_t const tlv : {actor_at, partner_at, collector_at}) {
        for (std::size_t const at : {tlv, tlv + 1}) {
            for (unsigned value = 0; value <= 255; ++value) {
                if (value != figure[at]) {
                    expect_error(figure_with(at, static_cast<std::uint8_t>(value)),
                                 pdu_error::illegal);
                }
            }
        }
    }
}

TEST(Lacpdu, HasReservedBytesThatAreIgnored) {
    bytes b(figure.begin(), figure.end());
    for (std::size_t const reserved : {actor_at + 17, partner_at + 17}) {
        std::fill_n(b.begin() + static_cast<std::ptrdiff_t>(reserved), 3, std::uint8_t{0xff});
    }
    std::fill(b.begin() + collector_at + 4, b.end(), std::uint8_t{0xff});
    auto const pdu = decode_lacpdu(b);
    ASSERT_TRUE(pdu);
    EXPECT_EQ(*pdu, figure_says);
}

// Open vSwitch 3.1, lacp=active with lacp-time=fast, when it had heard a passive and slow partner.
constexpr std::array<std::uint8_t, 74> open_vswitch_sent{
    0x01, 0x80, 0xc2, 0x00, 0x00, 0x02, 0xfe, 0x39, 0xa6, 0xa9, 0x7c, 0x22, 0x88, 0x09, 0x01,
    0x01, 0x01, 0x14, 0xff, 0xfe, 0x52, 0xc6, 0x89, 0xb1, 0x1f, 0x4d, 0x00, 0x01, 0xff, 0xff,
    0x00, 0x01, 0x3f, 0x00, 0x00, 0x00, 0x02, 0x14, 0xff, 0xfe, 0x72, 0x14, 0x8c, 0xd9, 0xe8,
    0x49, 0x00, 0x01, 0xff, 0xff, 0x00, 0x02, 0x3c, 0x00, 0x00, 0x00, 0x03, 0x10, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, // and
                                                                                        // zeros, up
                                                                                        // to 124
};

TEST(Lacpdu, ThatOpenVSwitchSentIsReadAndWrittenToTheByte) {
    bytes sent(open_vswitch_sent.begin(), open_vswitch_sent.end());
    sent.resize(frame_size);
    auto const pdu = decode_lacpdu(sent);
    ASSERT_TRUE(pdu);
    EXPECT_EQ(pdu->actor.system, (system_id{65534, {{0x52, 0xc6, 0x89, 0xb1, 0x1f, 0x4d}}}));
    EXPECT_EQ(pdu->actor.port, (port_id{65535, 1}));
    EXPECT_EQ(pdu->actor.key, 1);
    EXPECT_EQ(pdu->actor.state, 0x3f);
    EXPECT_EQ(pdu->partner.port, (port_id{65535, 2}));
    EXPECT_EQ(pdu->partner.state, 0x3c);
    EXPECT_EQ(pdu->collector_max_delay, 0);
    frame const written = encode(*pdu, {{0xfe, 0x39, 0xa6, 0xa9, 0x7c, 0x22}});
    EXPECT_EQ(bytes(written.begin(), written.end()), sent);
}

TEST(Lacpdu, IsTheSameAfterWritingAndReading) {
    test::seed const seed;
    std::mt19937_64 random(seed);
    auto const byte = [&] { return static_cast<std::uint8_t>(random()); };
    auto const word = [&] { return static_cast<std::uint16_t>(random()); };
    auto const address = [&] {
        net::mac_address a;
        std::ranges::generate(a.bytes, byte);
        return a;
    };
    auto const end = [&] {
        return parameters{.system = {word(), address()},
                          .key = word(),
                          .port = {word(), word()},
                          .state = byte()};
    };
    for (int i = 0; i < 1000; ++i) {
        lacpdu const pdu{.version = static_cast<std::uint8_t>(byte() | 1U),
                         .actor = end(),
                         .partner = end(),
                         .collector_max_delay = word()};
        net::mac_address const source = address();
        frame const written = encode(pdu, source);
        EXPECT_TRUE(std::ranges::equal(std::span(written).subspan(6, 6), source.bytes));
        auto const read = decode_lacpdu(written);
        ASSERT_TRUE(read);
        EXPECT_EQ(*read, pdu);
    }
}

TEST(SlowSubtype, IsTheFirstByteOfThePdu) {
    for (unsigned value = 0; value <= 255; ++value) {
        auto const subtype =
            slow_subtype(figure_with(subtype_at, static_cast<std::uint8_t>(value)));
        ASSERT_TRUE(subtype);
        EXPECT_EQ(*subtype, value);
    }
    EXPECT_TRUE(slow_subtype(std::span(figure).first(subtype_at + 1)));
    EXPECT_FALSE(slow_subtype(std::span(figure).first(subtype_at)));
    EXPECT_FALSE(slow_subtype({}));
}

} // namespace
} // namespace lagg::lacp
