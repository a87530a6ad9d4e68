#include "lacp/system.h"

#include <gtest/gtest.h>

namespace lagg::lacp {
namespace {

TEST(LacpText, ReadsTheNamesThatItPrints) {
    for (auto const r :
         {selection_rule::stable, selection_rule::bandwidth, selection_rule::count}) {
        ASSERT_TRUE(parse_selection_rule(to_string(r)));
        EXPECT_EQ(*parse_selection_rule(to_string(r)), r);
    }
    for (auto const r : {lacp_rate::slow, lacp_rate::fast}) {
        ASSERT_TRUE(parse_lacp_rate(to_string(r)));
        EXPECT_EQ(*parse_lacp_rate(to_string(r)), r);
    }
    for (auto const c : {mux_control::independent, mux_control::coupled}) {
        ASSERT_TRUE(parse_mux_control(to_string(c)));
        EXPECT_EQ(*parse_mux_control(to_string(c)), c);
    }
    for (auto const f : {fallback::strict, fallback::one, fallback::individual}) {
        ASSERT_TRUE(parse_fallback(to_string(f)));
        EXPECT_EQ(*parse_fallback(to_string(f)), f);
    }
}

TEST(LacpText, RefusesWhatItDoesNotKnow) {
    for (auto const* text : {"", "Fast", "fast ", "stabl", "none", "0"}) {
        EXPECT_FALSE(parse_selection_rule(text)) << text;
        EXPECT_FALSE(parse_lacp_rate(text)) << text;
        EXPECT_FALSE(parse_mux_control(text)) << text;
        EXPECT_FALSE(parse_fallback(text)) << text;
    }
}

TEST(LacpText, NamesEveryStateAsTheStandardDoes) {
    EXPECT_EQ(to_string(receive_state::port_disabled), "port_disabled");
    EXPECT_EQ(to_string(receive_state::current), "current");
    EXPECT_EQ(to_string(periodic_state::periodic_tx), "periodic_tx");
    EXPECT_EQ(to_string(mux_state::collecting_distributing), "collecting_distributing");
    EXPECT_EQ(to_string(mux_state::draining), "draining");
    EXPECT_EQ(to_string(selected::standby), "standby");
    EXPECT_EQ(to_string(churn_state::no_churn), "no_churn");
}

} // namespace
} // namespace lagg::lacp
