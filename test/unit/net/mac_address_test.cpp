#include "net/mac_address.h"

#include <gtest/gtest.h>

namespace lagg::net {
namespace {

TEST(MacAddress, ReadsSixPairsOfHexDigitsInEitherCase) {
    mac_address const expected{{0x00, 0x1b, 0x21, 0xAb, 0xcD, 0xff}};
    EXPECT_EQ(parse_mac("00:1b:21:ab:cd:ff"), expected);
    EXPECT_EQ(parse_mac("00:1B:21:AB:CD:FF"), expected);
}

TEST(MacAddress, RefusesAnythingElse) {
    for (auto const* text :
         {"", "0", "00:1b:21:ab:cd", "00:1b:21:ab:cd:ff:", "00:1b:21:ab:cd:f", "0:1b:21:ab:cd:ff0",
          " 0:1b:21:ab:cd:ff", "00-1b-21-ab-cd-ff", "001b.21ab.cdff", "00:1b:21:ab:cd:fg",
          "00:1b:21:ab:cd:+f", "00:1b:21:ab:cd: f", "00:1b:21:ab:cd:ff ", "g0:1b:21:ab:cd:ff",
          "00:1b:21:ab.cd:ff", "00:1b:21:ab:cd:ff:00"}) {
        EXPECT_FALSE(parse_mac(text)) << "'" << text << "'";
    }
    EXPECT_FALSE(parse_mac(std::string_view("00:1b:21:ab:cd:f\0", 17)));
}

TEST(MacAddress, PrintsWhatItReads) {
    for (auto const* text : {"00:00:00:00:00:00", "01:80:c2:00:00:02", "fe:dc:ba:98:76:54"}) {
        auto const mac = parse_mac(text);
        ASSERT_TRUE(mac) << text;
        EXPECT_EQ(to_string(*mac), text);
    }
}

TEST(MacAddress, OrdersByTheFirstByteOnTheWire) {
    EXPECT_LT(*parse_mac("00:ff:ff:ff:ff:ff"), *parse_mac("01:00:00:00:00:00"));
    EXPECT_LT(*parse_mac("00:00:00:00:00:7f"), *parse_mac("00:00:00:00:00:80"));
}

TEST(MacAddress, KnowsGroupAndZero) {
    EXPECT_TRUE(parse_mac("01:80:c2:00:00:02")->is_group());
    EXPECT_TRUE(parse_mac("ff:ff:ff:ff:ff:ff")->is_group());
    EXPECT_FALSE(parse_mac("02:00:00:00:00:01")->is_group());
    EXPECT_TRUE(mac_address{}.is_zero());
    EXPECT_FALSE(parse_mac("00:00:00:00:00:01")->is_zero());
}

} // namespace
} // namespace lagg::net
