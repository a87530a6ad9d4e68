#include "lacp/marker.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <vector>

namespace lagg::lacp {
namespace {

// The figure of 6.5.3, line by line.
constexpr std::array<std::uint8_t, 124> figure{
    0x01, 0x80, 0xc2, 0x00, 0x00, 0x02, // destination: Slow_Protocols_Multicast
    0x02, 0x11, 0x22, 0x33, 0x44, 0x55, // source
    0x88, 0x09,                         // Slow Protocols
    0x02,                               // subtype: Marker
    0x01,                               // version
    0x01, 0x10,                         // TLV: Marker Information, 16
    0x12, 0x34,                         // requester's port
    0x02, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5, // requester's system
    0x56, 0x78, 0x9a, 0xbc,             // requester's transaction
    0x00, 0x00,                         // pad
    0x00, 0x00,                         // TLV: terminator, 0; reserved: 90
};
constexpr net::mac_address figure_source{{0x02, 0x11, 0x22, 0x33, 0x44, 0x55}};
constexpr marker_pdu figure_says{.response = false,
                                 .requester_port = 0x1234,
                                 .requester_system = {{0x02, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5}},
                                 .transaction = 0x56789abc};
constexpr std::size_t subtype_at = 14;
constexpr std::size_t version_at = 15;
constexpr std::size_t tlv_at = 16;
constexpr std::size_t behind_the_tlv = 32;

using bytes = std::vector<std::uint8_t>;

bytes figure_with(std::size_t at, std::uint8_t value) {
    bytes b(figure.begin(), figure.end());
    b[at] = value;
    return b;
}

void expect_error(bytes const& b, pdu_error error) {
    auto const pdu = decode_marker(b);
    ASSERT_FALSE(pdu);
    EXPECT_EQ(pdu.error(), error);
}

TEST(Marker, IsReadAsTheFigureSays) {
    auto const pdu = decode_marker(figure);
    ASSERT_TRUE(pdu);
    EXPECT_EQ(*pdu, figure_says);
}

TEST(Marker, IsWrittenAsTheFigureSays) {
    frame const written = encode(figure_says, figure_source);
    EXPECT_EQ(bytes(written.begin(), written.end()), bytes(figure.begin(), figure.end()));
}

TEST(Marker, AndItsResponseDifferInTheTypeOfTheTlvOnly) {
    marker_pdu response = figure_says;
    response.response = true;
    frame const written = encode(response, figure_source);
    EXPECT_EQ(bytes(written.begin(), written.end()), figure_with(tlv_at, 2));
    auto const read = decode_marker(written);
    ASSERT_TRUE(read);
    EXPECT_EQ(*read, response);
}

TEST(Marker, IsAnsweredWithItsVeryFields) {
    auto const answer = respond(figure_says);
    ASSERT_TRUE(answer);
    EXPECT_TRUE(answer->response);
    EXPECT_EQ(answer->requester_port, figure_says.requester_port);
    EXPECT_EQ(answer->requester_system, figure_says.requester_system);
    EXPECT_EQ(answer->transaction, figure_says.transaction);
}

TEST(Marker, ResponseIsNeverAnswered) {
    EXPECT_FALSE(respond(*respond(figure_says)));
}

TEST(Marker, MayEndBehindItsTlv) {
    for (std::size_t size = behind_the_tlv; size <= figure.size(); ++size) {
        auto const pdu = decode_marker(std::span(figure).first(size));
        ASSERT_TRUE(pdu) << size;
        EXPECT_EQ(*pdu, figure_says);
    }
}

TEST(Marker, ThatEndsWithinItsTlvIsIllegalAndNotReadPastItsEnd) {
    for (std::size_t size = subtype_at + 1; size < behind_the_tlv; ++size) {
        expect_error(bytes(figure.begin(), figure.begin() + static_cast<std::ptrdiff_t>(size)),
                     pdu_error::illegal);
    }
    for (std::size_t size = 0; size <= subtype_at; ++size) {
        expect_error(bytes(figure.begin(), figure.begin() + static_cast<std::ptrdiff_t>(size)),
                     pdu_error::not_slow);
    }
}

TEST(Marker, OfAnotherSubtypeOrEthertypeIsNone) {
    expect_error(figure_with(subtype_at, 1), pdu_error::unknown_subtype);
    expect_error(figure_with(subtype_at, 3), pdu_error::unknown_subtype);
    expect_error(figure_with(13, 0x08), pdu_error::not_slow);
}

TEST(Marker, OfALaterVersionIsReadAndOfVersionZeroIsIllegal) {
    auto const pdu = decode_marker(figure_with(version_at, 7));
    ASSERT_TRUE(pdu);
    EXPECT_EQ(*pdu, figure_says);
    expect_error(figure_with(version_at, 0), pdu_error::illegal);
}

TEST(Marker, WithAWrongTypeOrLengthOfItsTlvIsIllegal) {
    for (unsigned value = 0; value <= 255; ++value) {
        if (value != 1 && value != 2) {
            expect_error(figure_with(tlv_at, static_cast<std::uint8_t>(value)), pdu_error::illegal);
        }
        if (value != 16) {
            expect_error(figure_with(tlv_at + 1, static_cast<std::uint8_t>(value)),
                         pdu_error::illegal);
        }
    }
}

TEST(Marker, HasPadAndReservedBytesThatAreIgnored) {
    bytes b(figure.begin(), figure.end());
    std::fill(b.begin() + behind_the_tlv - 2, b.end(), std::uint8_t{0xff});
    auto const pdu = decode_marker(b);
    ASSERT_TRUE(pdu);
    EXPECT_EQ(*pdu, figure_says);
}

} // namespace
} // namespace lagg::lacp
