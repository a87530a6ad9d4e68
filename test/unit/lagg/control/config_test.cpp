// What validate() takes and how it complains; names there and back.
#include "lagg/control/config.h"

#include "lagg/control/member.h"

#include <gtest/gtest.h>

#include <chrono>
#include <string>

namespace lagg {
namespace {

using namespace std::chrono_literals;

/// The complaint about `c`, or nothing.
std::string complaint(config const& c) {
    auto const valid = validate(c);
    return valid ? std::string{} : valid.error().text;
}

TEST(Config, IsValidAsItComes) {
    EXPECT_EQ(complaint(config{}), "");
}

TEST(Config, TakesEveryPolicyButLacp) {
    for (policy p : {policy::none, policy::roundrobin, policy::failover, policy::loadbalance,
                     policy::broadcast}) {
        config c;
        c.policy = p;
        EXPECT_EQ(complaint(c), "") << to_string(p);
    }
}

TEST(Config, SaysThatLacpIsNotAvailableAndWhatIs) {
    config c;
    c.policy = policy::lacp;
    auto const valid = validate(c);
    ASSERT_FALSE(valid);
    EXPECT_EQ(valid.error().code, errc::not_available);
    EXPECT_EQ(valid.error().text, "policy lacp is not available in this build; allowed: "
                                  "roundrobin, loadbalance, failover, broadcast, none");
}

TEST(Config, RejectsAPolicyThatIsNoPolicy) {
    config c;
    c.policy = static_cast<policy>(77);
    EXPECT_EQ(complaint(c), "policy 77 is unknown; allowed: roundrobin, loadbalance, failover, "
                            "broadcast, none");
    c.policy = policy::none;
    c.failback = static_cast<failback>(9);
    EXPECT_EQ(complaint(c), "failback 9 is unknown; allowed: always, better, never");
}

TEST(Config, RejectsStrideZeroAndStridesTooLarge) {
    config c;
    c.stride = 0;
    EXPECT_EQ(complaint(c), "stride 0 is out of range; allowed: 1 to 65535");
    c.stride = max_stride + 1;
    EXPECT_EQ(complaint(c), "stride 65536 is out of range; allowed: 1 to 65535");
    c.stride = max_stride;
    EXPECT_EQ(complaint(c), "");
}

TEST(Config, RejectsAHashOfNothing) {
    config c;
    c.hash.l2 = c.hash.l3 = c.hash.l4 = false;
    c.hash.use_flowid = true;
    EXPECT_EQ(complaint(c), "hash names no field; allowed: one or more of l2, l3, l4 joined by +");
    c.hash.l3 = true;
    EXPECT_EQ(complaint(c), "");
}

TEST(Config, RejectsMoreMinLinksThanThereCanBeMembers) {
    config c;
    c.min_links = 33;
    EXPECT_EQ(complaint(c), "min_links 33 is out of range; allowed: 0 to 32");
    c.min_links = 32;
    EXPECT_EQ(complaint(c), "");
    c.min_links = 0;
    EXPECT_EQ(complaint(c), "");
}

TEST(Config, RejectsDelaysThatAreNegativeOrLongerThanAMinute) {
    config c;
    c.up_delay = -1ms;
    EXPECT_EQ(complaint(c), "up_delay -1 is out of range; allowed: 0 to 60000 ms");
    c.up_delay = 60000ms;
    c.down_delay = 60001ms;
    EXPECT_EQ(complaint(c), "down_delay 60001 is out of range; allowed: 0 to 60000 ms");
    c.down_delay = 0ms;
    c.failback_hold = -5ms;
    EXPECT_EQ(complaint(c), "failback_hold -5 is out of range; allowed: 0 to 60000 ms");
}

TEST(Config, RejectsWeightsThatAreNoneOrTooLargeOrGivenTwiceOrToNobody) {
    config c;
    c.weights = {{"wire0", 0}};
    EXPECT_EQ(complaint(c), "weight of wire0: 0 is out of range; allowed: 1 to 255");
    c.weights = {{"wire0", 1}, {"wire1", 256}};
    EXPECT_EQ(complaint(c), "weight of wire1: 256 is out of range; allowed: 1 to 255");
    c.weights = {{"wire0", 1}, {"wire1", 2}, {"wire0", 3}};
    EXPECT_EQ(complaint(c), "weight of wire0 is given twice (1 and 3); allowed: once per member");
    c.weights = {{"", 3}};
    EXPECT_EQ(complaint(c), "weight names no member; allowed: <member>@<weight>");
    c.weights = {{"wire0", 1}, {"wire1", 255}};
    EXPECT_EQ(complaint(c), "");
}

TEST(Config, NamesTheFirstThingWrong) {
    config c;
    c.stride = 0;
    c.min_links = 99;
    EXPECT_EQ(complaint(c), "stride 0 is out of range; allowed: 1 to 65535");
}

TEST(Names, OfPoliciesAreReadAsTheyAreWritten) {
    for (std::size_t i = 0; i < policy_count; ++i) {
        auto const p = static_cast<policy>(i);
        auto const parsed = parse_policy(to_string(p));
        ASSERT_TRUE(parsed) << to_string(p);
        EXPECT_EQ(*parsed, p);
    }
    for (auto const* wrong : {"", "Failover", "failover ", "rr", "unknown"}) {
        auto const parsed = parse_policy(wrong);
        ASSERT_FALSE(parsed) << wrong;
        EXPECT_EQ(parsed.error(), errc::invalid_argument);
    }
}

TEST(Names, OfFailbacksAreReadAsTheyAreWritten) {
    for (failback f : {failback::always, failback::better, failback::never}) {
        auto const parsed = parse_failback(to_string(f));
        ASSERT_TRUE(parsed) << to_string(f);
        EXPECT_EQ(*parsed, f);
    }
    EXPECT_FALSE(parse_failback("sometimes"));
}

TEST(Names, OfSpreadsRunStatesAndPhasesAreThoseOfTheSource) {
    EXPECT_EQ(to_string(spread::nobody), "nobody");
    EXPECT_EQ(to_string(spread::to_one), "to_one");
    EXPECT_EQ(to_string(spread::in_turn), "in_turn");
    EXPECT_EQ(to_string(spread::by_flow), "by_flow");
    EXPECT_EQ(to_string(spread::to_all), "to_all");
    EXPECT_EQ(to_string(run_state::stopped), "stopped");
    EXPECT_EQ(to_string(run_state::admin_down), "admin_down");
    EXPECT_EQ(to_string(run_state::running), "running");
    EXPECT_EQ(to_string(member_phase::joining), "joining");
    EXPECT_EQ(to_string(member_phase::present), "present");
    EXPECT_EQ(to_string(member_phase::leaving), "leaving");
    EXPECT_EQ(to_string(member_phase::releasing), "releasing");
}

} // namespace
} // namespace lagg
