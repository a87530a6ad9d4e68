// Who collects and distributes for given members, without any history but `current`.
#include "lagg/control/eligibility.h"

#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <vector>

namespace lagg {
namespace {

using namespace std::chrono_literals;

using ids = std::vector<int>;

ids set_of(std::bitset<max_members> const& bits) {
    ids found;
    for (std::size_t i = 0; i < max_members; ++i) {
        if (bits.test(i)) {
            found.push_back(static_cast<int>(i));
        }
    }
    return found;
}

member usable(member_id id, std::uint32_t speed_mbps = 10000) {
    member m;
    m.id = id;
    m.port = static_cast<port_id>(100 + id);
    m.name = "wire" + std::to_string(id);
    m.phase = member_phase::present;
    m.link = {.up = true, .full_duplex = true, .speed_mbps = speed_mbps};
    m.usable = true;
    m.order = id;
    return m;
}

class FailoverChoice : public testing::Test {
protected:
    FailoverChoice() { c.policy = policy::failover; }

    ids chosen(member_id current, time_point now = 100s) {
        reconsider_at = never;
        return set_of(decide(c, members, current, {}, now, reconsider_at).distributing);
    }

    config c;
    std::vector<member> members{usable(0), usable(1), usable(2)};
    time_point reconsider_at = never;
};

TEST(Eligibility, OfSpreadingPoliciesIsEveryUsablePresentMember) {
    std::vector<member> members{usable(0), usable(1), usable(2), usable(3), usable(4), usable(9)};
    members[1].usable = false;
    members[2].phase = member_phase::joining;
    members[3].phase = member_phase::leaving;
    members[4].phase = member_phase::releasing;
    for (policy p : {policy::roundrobin, policy::loadbalance, policy::broadcast}) {
        config c;
        c.policy = p;
        time_point reconsider_at = never;
        eligible const who = decide(c, members, no_member, {}, 0s, reconsider_at);
        EXPECT_EQ(set_of(who.distributing), (ids{0, 9})) << to_string(p);
        EXPECT_EQ(set_of(who.collecting), (ids{0, 9})) << to_string(p);
        EXPECT_EQ(reconsider_at, never);
    }
}

TEST(Eligibility, OfPolicyNoneIsNobody) {
    std::vector<member> const members{usable(0), usable(1)};
    config c;
    c.policy = policy::none;
    time_point reconsider_at = never;
    eligible const who = decide(c, members, 0, {}, 0s, reconsider_at);
    EXPECT_TRUE(who.distributing.none());
    EXPECT_TRUE(who.collecting.none());
}

TEST(Eligibility, OfNoMembersIsNobodyUnderEveryPolicy) {
    for (std::size_t i = 0; i < policy_count; ++i) {
        config c;
        c.policy = static_cast<policy>(i);
        time_point reconsider_at = never;
        EXPECT_TRUE(decide(c, {}, no_member, {}, 0s, reconsider_at).distributing.none());
    }
}

TEST_F(FailoverChoice, ChoosesThePrimaryFirst) {
    c.primary = "wire2";
    c.failback_hold = 60s;
    EXPECT_EQ(chosen(no_member), ids{2}) << "the first choice waits for no hold";
}

TEST_F(FailoverChoice, ChoosesTheFastestThenTheFirstThatJoinedWithoutAPrimary) {
    EXPECT_EQ(chosen(no_member), ids{0});
    members[1].link.speed_mbps = members[2].link.speed_mbps = 25000;
    members[1].order = 8;
    EXPECT_EQ(chosen(no_member), ids{2});
}

TEST_F(FailoverChoice, KeepsTheMemberInUseWhileItIsUsable) {
    members[0].link.speed_mbps = 100000;
    EXPECT_EQ(chosen(1), ids{1});
    members[1].usable = false;
    EXPECT_EQ(chosen(1), ids{0});
}

TEST_F(FailoverChoice, KeepsTheMemberInUseWhileThePrimaryIsAwayOrDown) {
    c.primary = "wire9";
    EXPECT_EQ(chosen(1), ids{1});
    c.primary = "wire2";
    members[2].usable = false;
    EXPECT_EQ(chosen(1), ids{1});
    members[2].usable = true;
    members[2].phase = member_phase::leaving;
    EXPECT_EQ(chosen(1), ids{1});
}

TEST_F(FailoverChoice, ReturnsToThePrimaryOnlyAfterItHeldLongEnough) {
    c.primary = "wire2";
    c.failback_hold = 5s;
    members[2].usable_since = 96s;
    EXPECT_EQ(chosen(0, 100s), ids{0});
    EXPECT_EQ(reconsider_at, time_point{101s});
    EXPECT_EQ(chosen(0, 101s), ids{2});
    EXPECT_EQ(reconsider_at, never);
}

TEST_F(FailoverChoice, LowersReconsiderAtAndNeverRaisesIt) {
    c.primary = "wire2";
    c.failback_hold = 5s;
    members[2].usable_since = 96s;
    time_point sooner = 100s + 1ms;
    decide(c, members, 0, {}, 100s, sooner);
    EXPECT_EQ(sooner, time_point{100s + 1ms});
}

TEST_F(FailoverChoice, ReturnsToABetterPrimaryOnlyWhenFailbackIsBetter) {
    c.primary = "wire2";
    c.failback = failback::better;
    EXPECT_EQ(chosen(0), ids{0}) << "as fast is not faster";
    EXPECT_EQ(reconsider_at, never);
    members[2].link.speed_mbps = 25000;
    EXPECT_EQ(chosen(0), ids{2});
}

TEST_F(FailoverChoice, NeverReturnsByItselfWhenFailbackIsNever) {
    c.primary = "wire2";
    c.failback = failback::never;
    EXPECT_EQ(chosen(0), ids{0});
    EXPECT_EQ(reconsider_at, never);
    members[0].usable = false;
    EXPECT_EQ(chosen(0), ids{2});
}

TEST_F(FailoverChoice, CollectsFromTheOneInUseOrFromAllWithRxAll) {
    EXPECT_EQ(set_of(decide(c, members, 1, {}, 0s, reconsider_at).collecting), ids{1});
    c.rx_all = true;
    members[0].usable = false;
    EXPECT_EQ(set_of(decide(c, members, 1, {}, 0s, reconsider_at).collecting), (ids{1, 2}));
    EXPECT_EQ(set_of(decide(c, members, 1, {}, 0s, reconsider_at).distributing), ids{1});
}

TEST(Eligibility, UnderLacpIsWhatWasNegotiatedOfThePresentMembers) {
    std::vector<member> members{usable(0), usable(1), usable(2), usable(3)};
    members[2].phase = member_phase::leaving;
    members[3].usable = false;
    eligible agreed;
    for (std::size_t id : {1U, 2U, 3U}) {
        agreed.collecting.set(id);
        agreed.distributing.set(id);
    }
    agreed.collecting.set(0);
    config c;
    c.policy = policy::lacp;
    time_point reconsider_at = never;
    eligible const who = decide(c, members, no_member, agreed, 0s, reconsider_at);
    EXPECT_EQ(set_of(who.distributing), ids{1});
    EXPECT_EQ(set_of(who.collecting), (ids{0, 1}));
}

TEST_F(FailoverChoice, UsesNobodyWhenNobodyIsUsable) {
    for (auto& m : members) {
        m.usable = false;
    }
    c.rx_all = true;
    EXPECT_EQ(chosen(0), ids{});
    EXPECT_TRUE(decide(c, members, 0, {}, 0s, reconsider_at).collecting.none());
}

} // namespace
} // namespace lagg
