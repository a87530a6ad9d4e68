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

TEST(Config, RejectsLacpNumbersThatTwoMembersWouldHave) {
    config c;
    c.lacp.first_port_number = 100;
    c.lacp.members = {{.member = "a", .number = 131}};
    EXPECT_EQ(complaint(c), "lacp port number 131 of a cannot be had; allowed: 1 to 65535, but not "
                            "100 to 131, which members get by themselves");
    c.lacp.members = {{.member = "a", .number = 132}, {.member = "b", .number = 132}};
    EXPECT_EQ(complaint(c), "lacp port number 132 is given to b and a; allowed: each number once");
    c.lacp.members = {{.member = "a", .number = 132}, {.member = "b", .number = 99}};
    EXPECT_EQ(complaint(c), "");
    c.lacp.members.push_back({.member = "a"});
    EXPECT_EQ(complaint(c), "lacp settings of a are given twice; allowed: once per member");
}

TEST(Config, NamesTheLacpSettingThatIsOutOfRange) {
    auto const complaint_of = [](auto edit) {
        config c;
        edit(c.lacp);
        return complaint(c);
    };
    EXPECT_EQ(complaint_of([](auto& l) { l.system.key = 0; }),
              "lacp key 0 is out of range; allowed: 1 to 65535");
    EXPECT_EQ(complaint_of([](auto& l) { l.system.max_links = 0; }),
              "lacp max_links 0 is out of range; allowed: 1 to 32");
    EXPECT_EQ(complaint_of([](auto& l) { l.system.max_links = 33; }),
              "lacp max_links 33 is out of range; allowed: 1 to 32");
    EXPECT_EQ(complaint_of([](auto& l) { l.system.wait_while = std::chrono::hours{1}; }),
              "lacp wait_while 3600000 is out of range; allowed: 0 to 60000 ms");
    EXPECT_EQ(complaint_of([](auto& l) { l.reorder_wait = std::chrono::milliseconds{-1}; }),
              "reorder_wait -1 is out of range; allowed: 0 to 60000 ms");
    EXPECT_EQ(complaint_of([](auto& l) { l.first_port_number = 0; }),
              "lacp first_port_number 0 is out of range; allowed: 1 to 65503");
    EXPECT_EQ(complaint_of([](auto& l) { l.system.system.address.bytes[0] = 1; }),
              "lacp system address 01:00:00:00:00:00 is a group address; allowed: a unicast "
              "address, or all zero for the port's own");
    EXPECT_EQ(complaint_of([](auto& l) {
                  l.system.damping.half_life = std::chrono::seconds{1};
                  l.system.damping.reuse_at = 3000;
              }),
              "lacp damping reuse_at 3000 is out of range; allowed: 1 to 2500");
}

TEST(Config, RejectsAPolicyThatIsNoPolicy) {
    config c;
    c.policy = static_cast<policy>(77);
    EXPECT_EQ(complaint(c), "policy 77 is unknown; allowed: roundrobin, loadbalance, lacp, "
                            "failover, broadcast, none");
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
