// Links of members, delays, the lagg's own link, and whose buckets move.
#include "rig.h"

#include <set>

namespace lagg::test {
namespace {

TEST(LaggLink, IsDownWithoutMembersThatDistributeThoughItRuns) {
    rig r{config{}};
    r.start();
    EXPECT_FALSE(r.control.link().up);
    r.join(1, down());
    r.join(2, down());
    EXPECT_FALSE(r.control.link().up);
    EXPECT_EQ(r.control.link().speed_mbps, 0U);
    r.link(2, up());
    EXPECT_TRUE(r.control.link().up) << "the first live member brings it up";
    r.link(1, up());
    EXPECT_EQ(r.control.link().speed_mbps, 20000U);
    r.link(2, down());
    EXPECT_TRUE(r.control.link().up) << "one of two is enough";
    EXPECT_EQ(r.control.link().speed_mbps, 10000U);
    r.link(1, down());
    EXPECT_FALSE(r.control.link().up) << "the last one took it down";
}

TEST(LaggLink, IsDownUnderPolicyNoneWhateverTheMembersLinks) {
    rig r{with_policy(policy::none)};
    r.start();
    r.join(1);
    r.join(2);
    EXPECT_EQ(r.count<effect::report_link>(), 0U);
    EXPECT_FALSE(r.control.link().up);
    EXPECT_EQ(r.control.link().speed_mbps, 0U);
}

TEST(LaggLink, IsDownWhileAdminDownAndUpAtOnceAfterwards) {
    rig r{config{}};
    r.start();
    r.join(1);
    r.act(event::run_changed{.request = 9, .started = true, .admin_up = false});
    EXPECT_EQ(r.control.run(), run_state::admin_down);
    EXPECT_FALSE(r.control.link().up);
    EXPECT_TRUE(r.published.polled.empty());
    EXPECT_EQ(r.completed(9)->error, errc::ok);
    EXPECT_EQ(r.told(), lines{"wire1 standby"});
    r.start();
    EXPECT_TRUE(r.control.link().up);
    EXPECT_EQ(r.distributing(), ports{1});
}

TEST(LaggLink, StaysDownWhenAMemberWentDownWhileAdminDown) {
    rig r{config{}};
    r.start();
    r.join(1);
    r.act(event::run_changed{.started = true, .admin_up = false});
    r.link(1, down());
    r.start();
    EXPECT_FALSE(r.control.link().up);
    EXPECT_EQ(r.count<effect::report_link>(), 0U);
    r.remove(1);
    EXPECT_EQ(r.told(), lines{"wire1 left"});
    EXPECT_FALSE(r.control.link().up);
}

TEST(LaggLink, IsDownWhenStopped) {
    rig r{config{}};
    r.start();
    r.join(1);
    r.act(event::run_changed{.started = false, .admin_up = true});
    EXPECT_EQ(r.control.run(), run_state::stopped);
    EXPECT_FALSE(r.control.link().up);
    EXPECT_EQ(r.published.how, spread::nobody);
}

TEST(LaggLink, NeedsMinLinksDistributingMembers) {
    config c;
    c.min_links = 2;
    rig r{c};
    r.start();
    r.join(1);
    EXPECT_FALSE(r.control.link().up);
    EXPECT_EQ(r.distributing(), ports{1}) << "traffic is not stopped";
    r.join(2);
    EXPECT_TRUE(r.control.link().up);
    EXPECT_EQ(r.control.link().speed_mbps, 20000U);
    c.min_links = 3;
    r.change(c);
    EXPECT_FALSE(r.control.link().up) << "the option acts at once";
    EXPECT_EQ(r.count<effect::publish>(), 0U) << "and bursts do not care";
    c.min_links = 0;
    r.change(c);
    EXPECT_TRUE(r.control.link().up);
}

TEST(LaggLink, IsReportedOnlyWhenItChanged) {
    rig r{config{}};
    r.start();
    r.join(1);
    ASSERT_EQ(r.count<effect::report_link>(), 1U);
    EXPECT_EQ(r.all<effect::report_link>()[0]->link, up(10000));
    r.join(2, down());
    EXPECT_EQ(r.count<effect::report_link>(), 0U);
    r.link(1, up(25000));
    ASSERT_EQ(r.count<effect::report_link>(), 1U);
    EXPECT_EQ(r.control.link().speed_mbps, 25000U);
}

TEST(LaggLink, CountsUnknownSpeedsAsZeroAndStopsAtTheLargest) {
    rig r{config{}};
    r.start();
    r.join(1, up(0));
    EXPECT_EQ(r.control.link(), up(0));
    r.join(2, up(0xffffffffU));
    r.join(3, up(0xffffffffU));
    EXPECT_EQ(r.control.link().speed_mbps, 0xffffffffU);
}

TEST(LaggLink, IsHalfDuplexWithAMemberThatIs) {
    rig r{config{}};
    r.start();
    r.join(1);
    r.join(2, {.up = true, .full_duplex = false, .speed_mbps = 100});
    EXPECT_FALSE(r.control.link().full_duplex);
    r.remove(2);
    EXPECT_TRUE(r.control.link().full_duplex);
}

TEST(LaggLink, OfFailoverIsAsFastAsTheOneInUse) {
    rig r{with_policy(policy::failover)};
    r.start();
    r.join(1, up(10000));
    r.join(2, up(40000));
    EXPECT_EQ(r.control.link().speed_mbps, 10000U);
    r.link(1, down());
    EXPECT_EQ(r.control.link().speed_mbps, 40000U);
}

TEST(MemberLink, IsToldExactlyOncePerChange) {
    rig r{config{}};
    r.start();
    r.join(1);
    r.join(2);
    r.link(1, down());
    EXPECT_EQ(r.told(), (lines{"wire1 link_down", "wire1 standby"}));
    r.link(1, down());
    EXPECT_EQ(r.told(), lines{});
    r.run_for(5s);
    EXPECT_EQ(r.told(), lines{});
    r.link(1, up());
    EXPECT_EQ(r.told(), (lines{"wire1 link_up", "wire1 distributing"}));
    r.link(1, up());
    EXPECT_EQ(r.told(), lines{});
}

TEST(MemberLink, CountsAsUpOnlyAfterUpDelay) {
    config c;
    c.up_delay = 200ms;
    rig r{c};
    r.start();
    r.join(1);
    EXPECT_EQ(r.distributing(), ports{});
    EXPECT_EQ(r.control.next_deadline(), r.now + 200ms);
    r.run_for(199ms);
    EXPECT_EQ(r.distributing(), ports{});
    r.run_for(1ms);
    EXPECT_EQ(r.distributing(), ports{1});
    EXPECT_EQ(r.told(), (lines{"wire1 link_up", "wire1 distributing"}));
    EXPECT_EQ(r.control.next_deadline(), never);
}

TEST(MemberLink, StartsItsUpDelayAnewWhenItFlaps) {
    config c;
    c.up_delay = 200ms;
    rig r{c};
    r.start();
    r.join(1);
    r.run_for(150ms);
    r.link(1, down());
    EXPECT_EQ(r.control.next_deadline(), never);
    r.run_for(10ms);
    r.link(1, up());
    r.run_for(150ms);
    EXPECT_EQ(r.distributing(), ports{});
    EXPECT_EQ(r.told(), lines{});
    r.run_for(50ms);
    EXPECT_EQ(r.distributing(), ports{1});
}

TEST(MemberLink, IsNotHeldUpByReportsThatSayNothingNew) {
    config c;
    c.up_delay = 200ms;
    rig r{c};
    r.start();
    r.join(1);
    for (int report = 0; report < 4; ++report) {
        r.now += 50ms;
        r.link(1, up());
    }
    EXPECT_EQ(r.distributing(), ports{1});
}

TEST(MemberLink, CountsAsDownOnlyAfterDownDelay) {
    config c;
    c.down_delay = 50ms;
    rig r{c};
    r.start();
    r.join(1);
    r.join(2);
    r.link(1, down());
    EXPECT_EQ(r.distributing(), (ports{1, 2}));
    EXPECT_EQ(r.control.next_deadline(), r.now + 50ms);
    r.run_for(30ms);
    r.link(1, up()); // a glitch that nobody shall notice
    r.run_for(30ms);
    EXPECT_EQ(r.distributing(), (ports{1, 2}));
    EXPECT_EQ(r.told(), lines{});
    r.link(1, down());
    r.run_for(50ms);
    EXPECT_EQ(r.distributing(), ports{2});
    EXPECT_EQ(r.told(), (lines{"wire1 link_down", "wire1 standby"}));
}

TEST(MemberLink, IsAsFastAsItWasUntilItsLossCounts) {
    config c;
    c.down_delay = 50ms;
    rig r{c};
    r.start();
    r.join(1);
    r.join(2);
    r.link(1, down()); // drivers report no speed with it
    EXPECT_TRUE(r.last.empty()) << "no bucket moves and the sum stays";
    EXPECT_EQ(r.control.link().speed_mbps, 20000U);
    r.run_for(10ms);
    r.link(1, up());
    EXPECT_TRUE(r.last.empty());
    r.link(1, down());
    r.run_for(50ms);
    EXPECT_EQ(r.distributing(), ports{2});
    EXPECT_EQ(r.control.link().speed_mbps, 10000U);
}

TEST(MemberLink, ThatComesBackAfterItsDownDelayRanOutWasDown) {
    config c;
    c.down_delay = 50ms;
    rig r{c};
    r.start();
    r.join(1);
    r.link(1, down());
    r.now += 60ms; // nobody ticked in between
    r.link(1, up());
    EXPECT_EQ(r.told(), (lines{"wire1 link_down", "wire1 link_up"}));
}

TEST(MemberLink, FollowsADelayThatWasShortened) {
    config c;
    c.up_delay = 60s;
    rig r{c};
    r.start();
    r.join(1);
    r.run_for(1s);
    c.up_delay = 500ms;
    r.change(c);
    EXPECT_EQ(r.distributing(), ports{1});
}

TEST(MemberLink, NamesTheEarliestOfSeveralDeadlines) {
    config c;
    c.up_delay = 300ms;
    c.down_delay = 100ms;
    rig r{c};
    r.start();
    r.join(1);
    r.run_for(300ms);
    r.join(2);
    r.run_for(10ms);
    time_point const second_up = r.now + 290ms;
    EXPECT_EQ(r.control.next_deadline(), second_up);
    r.link(1, down());
    EXPECT_EQ(r.control.next_deadline(), r.now + 100ms);
    r.run_for(100ms);
    EXPECT_EQ(r.control.next_deadline(), second_up);
}

TEST(MemberLink, IsOfNoInterestWhileThePortIsGivenBack) {
    rig r{config{}};
    r.start();
    r.join(1);
    r.ask_to_remove(1);
    r.flush();
    r.act(event::member_quiescent{.id = 0});
    r.link(1, down());
    EXPECT_TRUE(r.last.empty());
    EXPECT_EQ(r.control.next_deadline(), never);
}

TEST(MemberLink, SettlesNoMoreOnceThePortIsGivenBack) {
    config c;
    c.down_delay = 100ms;
    rig r{c};
    r.start();
    r.join(1);
    r.link(1, down());
    r.ask_to_remove(1);
    r.flush();
    EXPECT_EQ(r.control.next_deadline(), r.now + 100ms);
    r.act(event::member_quiescent{.id = 0});
    EXPECT_EQ(r.control.next_deadline(), never);
    r.run_for(1s);
    EXPECT_TRUE(r.last.empty());
}

TEST(MemberLink, IsFollowedWhileLeavingSoThatACancelledLeavingKnowsIt) {
    rig r{config{}};
    r.start();
    r.join(1);
    r.ask_to_remove(1);
    r.flush();
    r.link(1, down());
    r.ask_to_add(1);
    r.flush();
    EXPECT_EQ(r.polled(), ports{1});
    EXPECT_EQ(r.distributing(), ports{});
}

// Buckets.

std::size_t moved(bucket_table const& a, bucket_table const& b) {
    std::size_t n = 0;
    for (std::size_t i = 0; i < bucket_count; ++i) {
        n += a.owner(i) != b.owner(i) ? 1U : 0U;
    }
    return n;
}

TEST(Buckets, OfAMemberThatWentDownAllMoveAtOnceAndNoOthers) {
    rig r{config{}};
    r.start();
    for (port_id port = 1; port <= 3; ++port) {
        r.join(port);
    }
    bucket_table const before = r.control.table();
    r.link(2, down());
    EXPECT_EQ(r.control.table().owned_by(1), 0U);
    EXPECT_EQ(moved(before, r.control.table()), before.owned_by(1));
    EXPECT_EQ(r.published.how, spread::by_flow);
    r.link(2, up());
    EXPECT_NEAR(static_cast<double>(r.control.table().owned_by(1)), 256.0 / 3, 1.0);
}

TEST(Buckets, AreSpreadAfterAllMembersWereDownAndCameBack) {
    rig r{config{}};
    r.start();
    for (port_id port = 1; port <= 3; ++port) {
        r.join(port);
    }
    for (port_id port = 1; port <= 3; ++port) {
        r.link(port, down());
    }
    EXPECT_EQ(r.published.how, spread::nobody);
    for (port_id port = 1; port <= 3; ++port) {
        r.link(port, up());
    }
    for (member_id id = 0; id < 3; ++id) {
        EXPECT_GE(r.control.table().owned_by(id), 85U);
    }
}

TEST(Buckets, GiveEachOfThreeMembersAFairPartOfAnyFlows) {
    rig r{config{}};
    r.start();
    for (port_id port = 1; port <= 3; ++port) {
        r.join(port);
    }
    std::array<std::size_t, 3> flows{};
    for (std::size_t b = 0; b < bucket_count; ++b) {
        ++flows[r.published.bucket[b]];
    }
    for (std::size_t const n : flows) {
        EXPECT_GT(n, 24U);
    }
    config c = r.control.current_config();
    c.hash.seed = 99;
    bucket_table const before = r.control.table();
    r.change(c);
    EXPECT_EQ(moved(before, r.control.table()), 0U) << "another hash moves no bucket";
}

TEST(Buckets, StayWhereTheyAreWhileAdminDown) {
    rig r{config{}};
    r.start();
    r.join(1);
    r.join(2);
    bucket_table const before = r.control.table();
    r.act(event::run_changed{.started = true, .admin_up = false});
    r.start();
    EXPECT_EQ(moved(before, r.control.table()), 0U);
}

TEST(Buckets, FollowLinkSpeedsUntilTheOperatorSaysOtherwise) {
    rig r{config{}};
    r.start();
    r.join(1, up(10000));
    r.join(2, up(30000));
    EXPECT_EQ(r.control.table().owned_by(0), 64U);
    EXPECT_EQ(r.control.table().owned_by(1), 192U);
    EXPECT_EQ(r.control.weight_of(*r.find(2)), 30000U);
    config c = r.control.current_config();
    c.weights = {{"wire1", 3}};
    r.change(c);
    EXPECT_EQ(r.control.table().owned_by(0), 192U) << "who is not named weighs 1";
    EXPECT_EQ(r.control.weight_of(*r.find(1)), 3U);
    EXPECT_EQ(r.control.weight_of(*r.find(2)), 1U);
    EXPECT_EQ(r.control.table().owned_by(1), 64U);
    c.weights = {};
    r.change(c);
    EXPECT_EQ(r.control.table().owned_by(0), 64U);
    r.link(1, up(30000));
    EXPECT_EQ(r.control.table().owned_by(0), 128U) << "a link that renegotiated its speed";
}

TEST(Buckets, OfMembersOfUnknownSpeedAreAsManyAsOfOneMegabit) {
    rig r{config{}};
    r.start();
    r.join(1, up(0));
    r.join(2, up(0));
    EXPECT_EQ(r.control.table().owned_by(0), 128U);
    r.link(1, up(3));
    EXPECT_EQ(r.control.table().owned_by(0), 192U);
}

TEST(Buckets, AreNobodysUnderOtherPolicies) {
    rig r{config{}};
    r.start();
    r.join(1);
    r.join(2);
    config c = r.control.current_config();
    c.policy = policy::broadcast;
    r.change(c);
    EXPECT_EQ(r.control.table().owned_by(no_member), bucket_count);
    EXPECT_EQ(r.published.bucket, (std::array<std::uint8_t, bucket_count>{}));
}

} // namespace
} // namespace lagg::test
