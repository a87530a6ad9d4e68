// Failover as an operator sees it: who is used after which event.
#include "rig.h"

namespace lagg::test {
namespace {

config failover(std::string primary = {}) {
    config c = with_policy(policy::failover);
    c.primary = std::move(primary);
    return c;
}

TEST(Failover, UsesOneAndPollsAll) {
    rig r{failover()};
    r.start();
    r.join(1);
    r.join(2);
    EXPECT_EQ(r.published.how, spread::to_one);
    EXPECT_EQ(r.distributing(), ports{1});
    EXPECT_EQ(r.collecting(), ports{1});
    EXPECT_EQ(r.polled(), (ports{1, 2})) << "standby rings are drained";
}

TEST(Failover, CollectsFromAllWithRxAll) {
    config c = failover();
    rig r{c};
    r.start();
    r.join(1);
    r.join(2);
    c.rx_all = true;
    r.change(c);
    EXPECT_EQ(r.distributing(), ports{1});
    EXPECT_EQ(r.collecting(), (ports{1, 2}));
}

TEST(Failover, WithoutAPrimaryMovesAndDoesNotComeBack) {
    rig r{failover()};
    r.start();
    r.join(1);
    r.join(2);
    r.link(1, down());
    EXPECT_EQ(r.distributing(), ports{2});
    EXPECT_EQ(r.told(), (lines{"wire1 link_down", "wire1 standby", "wire2 distributing"}));
    r.link(1, up());
    EXPECT_EQ(r.distributing(), ports{2});
    EXPECT_EQ(r.told(), lines{"wire1 link_up"});
}

TEST(Failover, ReturnsToAPrimaryThatComesBack) {
    rig r{failover("wire2")};
    r.start();
    r.join(1);
    r.join(2);
    EXPECT_EQ(r.distributing(), ports{2});
    r.link(2, down());
    EXPECT_EQ(r.distributing(), ports{1});
    r.link(2, up());
    EXPECT_EQ(r.distributing(), ports{2});
}

TEST(Failover, HoldsBeforeItReturnsAndStartsAnewWhenThePrimaryFlaps) {
    config c = failover("wire2");
    c.failback_hold = 5000ms;
    rig r{c};
    r.start();
    r.join(1);
    r.join(2);
    EXPECT_EQ(r.distributing(), ports{1}) << "wire2 came second, so it has to hold";
    EXPECT_EQ(r.control.next_deadline(), r.now + 5s);
    r.run_for(4s);
    r.link(2, down());
    EXPECT_EQ(r.control.next_deadline(), never);
    r.link(2, up());
    r.run_for(4999ms);
    EXPECT_EQ(r.distributing(), ports{1});
    r.run_for(1ms);
    EXPECT_EQ(r.distributing(), ports{2});
    EXPECT_EQ(r.control.next_deadline(), never);
}

TEST(Failover, DoesNotHoldWhenTheMemberInUseFails) {
    config c = failover("wire2");
    c.failback_hold = 60000ms;
    rig r{c};
    r.start();
    r.join(1);
    r.join(2);
    r.link(1, down());
    EXPECT_EQ(r.distributing(), ports{2});
}

TEST(Failover, NeverReturnsWhenFailbackIsNever) {
    config c = failover("wire2");
    c.failback = failback::never;
    rig r{c};
    r.start();
    r.join(1);
    r.join(2);
    EXPECT_EQ(r.distributing(), ports{1});
    r.run_for(60s);
    EXPECT_EQ(r.distributing(), ports{1});
    r.link(1, down());
    EXPECT_EQ(r.distributing(), ports{2});
}

TEST(Failover, ReturnsOnlyToAFasterPrimaryWhenFailbackIsBetter) {
    config c = failover("wire2");
    c.failback = failback::better;
    rig r{c};
    r.start();
    r.join(1, up(25000));
    r.join(2, up(10000));
    EXPECT_EQ(r.distributing(), ports{1});
    r.link(2, up(40000));
    EXPECT_EQ(r.distributing(), ports{2});
}

TEST(Failover, MovesWhenThePrimaryIsRemovedAndReturnsWhenItIsAddedAgain) {
    rig r{failover("wire1")};
    r.start();
    r.join(1);
    r.join(2);
    r.ask_to_remove(1);
    r.flush();
    EXPECT_EQ(r.distributing(), ports{2});
    EXPECT_EQ(r.collecting(), ports{2});
    EXPECT_EQ(r.polled(), ports{2});
    r.act(event::member_quiescent{.id = 0});
    r.act(event::member_released{.id = 0});
    EXPECT_EQ(r.control.current_config().primary, "wire1") << "the setting stays";
    r.join(1);
    EXPECT_EQ(r.distributing(), ports{1});
}

TEST(Failover, SwitchesAtOnceWhenTheOperatorNamesAnotherPrimary) {
    config c = failover("wire1");
    c.failback = failback::never;
    c.failback_hold = 60000ms;
    rig r{c};
    r.start();
    r.join(1);
    r.join(2);
    c.primary = "wire2";
    r.change(c);
    EXPECT_EQ(r.kinds(), (lines{"publish", "notify", "notify", "complete"}));
    EXPECT_EQ(r.told(), (lines{"wire1 standby", "wire2 distributing"}));
    EXPECT_EQ(r.distributing(), ports{2}) << "no packet uses the old member from now on";
}

TEST(Failover, SwitchesAtOnceToAPrimaryThatTheSameChangeMakesUsable) {
    config c = failover();
    c.failback = failback::never;
    rig r{c};
    r.start();
    r.join(1);
    c.up_delay = 10000ms;
    r.change(c);
    r.join(2);
    r.run_for(1s);
    c.up_delay = 500ms;
    c.primary = "wire2";
    r.change(c);
    EXPECT_EQ(r.distributing(), ports{2});
}

TEST(Failover, StaysWhenTheOperatorNamesAPrimaryThatIsDownOrAway) {
    config c = failover("wire2");
    rig r{c};
    r.start();
    r.join(1);
    r.join(2, up(1000));
    r.join(3, down());
    EXPECT_EQ(r.distributing(), ports{2});
    c.primary = "wire3";
    r.change(c);
    EXPECT_EQ(r.distributing(), ports{2});
    c.primary = "wire9";
    r.change(c);
    EXPECT_EQ(r.distributing(), ports{2});
    EXPECT_EQ(r.count<effect::publish>(), 0U);
}

TEST(Failover, StaysWhenTheOperatorClearsThePrimary) {
    config c = failover("wire2");
    rig r{c};
    r.start();
    r.join(1, up(40000));
    r.join(2);
    EXPECT_EQ(r.distributing(), ports{2});
    c.primary.clear();
    r.change(c);
    EXPECT_EQ(r.distributing(), ports{2});
}

TEST(Failover, KeepsTheMemberInUseOverAdminDownAndUp) {
    config c = failover("wire1");
    c.failback = failback::never;
    rig r{c};
    r.start();
    r.join(1);
    r.join(2);
    r.link(1, down());
    r.link(1, up());
    EXPECT_EQ(r.distributing(), ports{2});
    r.act(event::run_changed{.started = true, .admin_up = false});
    r.start();
    EXPECT_EQ(r.distributing(), ports{2});
}

TEST(Failover, BeginsWithThePrimaryWhenThePortStarts) {
    config c = failover("wire2");
    c.failback = failback::never;
    rig r{c};
    r.join(1);
    r.join(2);
    r.start();
    EXPECT_EQ(r.distributing(), ports{2}) << "nothing was in use while it was stopped";
}

TEST(Failover, ChoosesAnewWhenThePolicyComesBackToIt) {
    config c = failover("wire2");
    c.failback = failback::never;
    rig r{c};
    r.start();
    r.join(1);
    r.join(2);
    EXPECT_EQ(r.distributing(), ports{1});
    c.policy = policy::broadcast;
    r.change(c);
    EXPECT_EQ(r.distributing(), (ports{1, 2}));
    c.policy = policy::failover;
    r.change(c);
    EXPECT_EQ(r.distributing(), ports{2});
}

} // namespace
} // namespace lagg::test
