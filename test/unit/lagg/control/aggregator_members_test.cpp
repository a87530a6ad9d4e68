// How members come and go, and who waits for it.
#include "rig.h"

namespace lagg::test {
namespace {

TEST(AddMember, PreparesFirstAndIsInNoSnapshotUntilThen) {
    rig r{config{}};
    r.start();
    auto const request = r.ask_to_add(7);
    r.flush();
    ASSERT_EQ(r.kinds(), lines{"prepare"});
    EXPECT_EQ(r.all<effect::prepare_member>()[0]->port, 7);
    EXPECT_EQ(r.find(7)->phase, member_phase::joining);
    r.act(event::member_prepared{.id = r.id_of(7), .link = up()});
    EXPECT_EQ(r.completed(request)->error, errc::ok);
    EXPECT_EQ(r.find(7)->phase, member_phase::present);
    EXPECT_EQ(r.distributing(), ports{7});
    EXPECT_TRUE(r.find(7)->distributing);
    EXPECT_TRUE(r.find(7)->collecting);
}

TEST(AddMember, WithItsLinkDownIsPolledAndNotUsed) {
    rig r{config{}};
    r.start();
    r.join(7, down());
    EXPECT_EQ(r.told(), lines{"wire7 joined"});
    EXPECT_EQ(r.polled(), ports{7});
    EXPECT_EQ(r.collecting(), ports{});
    EXPECT_EQ(r.distributing(), ports{});
}

TEST(AddMember, ThatCouldNotBePreparedIsForgottenAndSaysWhy) {
    rig r{config{}};
    r.start();
    auto const version = r.control.version();
    auto const request = r.ask_to_add(7);
    r.flush();
    r.act(event::member_prepared{.id = r.id_of(7), .error = errc::mtu});
    EXPECT_EQ(r.kinds(), lines{"complete"});
    EXPECT_EQ(r.completed(request)->error, errc::mtu);
    EXPECT_EQ(r.completed(request)->text, "wire7 could not be prepared");
    EXPECT_TRUE(r.control.members().empty());
    EXPECT_EQ(r.control.version(), version);
}

TEST(AddMember, HandsOnTheCodeThatTheDriverGave) {
    rig r{config{}};
    r.start();
    auto const request = r.ask_to_add(7);
    r.flush();
    r.act(event::member_prepared{.id = 0, .error = errc::device, .device_error = -22});
    EXPECT_EQ(r.completed(request)->error, errc::device);
    EXPECT_EQ(r.completed(request)->device_error, -22);
}

TEST(AddMember, IsRefusedForAMemberAndForOneThatIsJoining) {
    rig r{config{}};
    r.start();
    auto const first = r.ask_to_add(7);
    auto const second = r.ask_to_add(7);
    r.flush();
    EXPECT_EQ(r.completed(second)->error, errc::already_member);
    EXPECT_EQ(r.completed(first), nullptr) << "the first one still waits";
    r.act(event::member_prepared{.id = 0, .link = up()});
    EXPECT_EQ(r.completed(first)->error, errc::ok);
    auto const third = r.ask_to_add(7);
    r.flush();
    EXPECT_EQ(r.completed(third)->error, errc::already_member);
    EXPECT_EQ(r.completed(third)->text, "wire7 is a member already");
}

TEST(AddMember, CancelsALeavingThatIsNotOverYet) {
    rig r{config{}};
    r.start();
    r.join(7);
    auto const removed = r.ask_to_remove(7);
    auto const removed_too = r.ask_to_remove(7);
    r.flush();
    auto const added = r.ask_to_add(7);
    r.flush();
    EXPECT_EQ(r.completed(removed)->error, errc::busy);
    EXPECT_EQ(r.completed(removed)->text, "wire7 was added again before it had left");
    EXPECT_EQ(r.completed(removed_too)->error, errc::busy);
    EXPECT_EQ(r.completed(added)->error, errc::ok);
    EXPECT_EQ(r.distributing(), ports{7});
    EXPECT_EQ(r.told(), lines{"wire7 distributing"}) << "it had not left, so it does not join";
    r.act(event::member_quiescent{.id = 0});
    EXPECT_TRUE(r.last.empty()) << "the answer was overtaken";
    EXPECT_EQ(r.find(7)->phase, member_phase::present);
}

TEST(AddMember, RightAfterARemoveInTheSameBatchChangesNothingForBursts) {
    rig r{config{}};
    r.start();
    r.join(7);
    auto const removed = r.ask_to_remove(7);
    auto const added = r.ask_to_add(7);
    r.flush();
    EXPECT_EQ(r.kinds(), (lines{"complete", "complete"}));
    EXPECT_EQ(r.completed(removed)->error, errc::busy);
    EXPECT_EQ(r.completed(added)->error, errc::ok);
}

TEST(AddMember, IsBusyWhileThePortIsBeingGivenBack) {
    rig r{config{}};
    r.start();
    r.join(7);
    r.ask_to_remove(7);
    r.flush();
    r.act(event::member_quiescent{.id = 0});
    auto const request = r.ask_to_add(7);
    r.flush();
    EXPECT_EQ(r.completed(request)->error, errc::busy);
    EXPECT_EQ(r.completed(request)->text, "wire7 is being given back; add it when it has left");
    r.act(event::member_released{.id = 0});
    r.join(7);
    EXPECT_EQ(r.distributing(), ports{7});
}

TEST(AddMember, IsBusyForAPortThatVanishedAndIsNotGivenUpYet) {
    rig r{config{}};
    r.start();
    r.join(7);
    r.act(event::member_vanished{.port = 7});
    auto const request = r.ask_to_add(7);
    r.flush();
    EXPECT_EQ(r.completed(request)->error, errc::busy);
    EXPECT_EQ(r.find(7)->phase, member_phase::leaving) << "a port that is gone does not come back";
}

TEST(AddMember, RefusesTheThirtyThird) {
    rig r{config{}};
    r.start();
    for (port_id port = 0; port < max_members; ++port) {
        r.join(port);
    }
    EXPECT_EQ(r.published.distributing.size(), max_members);
    auto request = r.ask_to_add(99);
    r.flush();
    EXPECT_EQ(r.completed(request)->error, errc::too_many);
    EXPECT_EQ(r.completed(request)->text, "no room for wire99; allowed: at most 32 members");
    r.ask_to_remove(5);
    r.flush();
    request = r.ask_to_add(99);
    r.flush();
    EXPECT_EQ(r.completed(request)->error, errc::too_many) << "its place is not free yet";
    r.act(event::member_quiescent{.id = 5});
    r.act(event::member_released{.id = 5});
    EXPECT_EQ(r.join(99), 5);
}

TEST(MemberId, IsHandedOutAgainOnlyAfterRelease) {
    rig r{config{}};
    r.start();
    EXPECT_EQ(r.join(10), 0);
    EXPECT_EQ(r.join(11), 1);
    r.ask_to_remove(10);
    r.flush();
    EXPECT_EQ(r.join(12), 2) << "leaving";
    r.act(event::member_quiescent{.id = 0});
    EXPECT_EQ(r.join(13), 3) << "releasing";
    r.act(event::member_released{.id = 0});
    EXPECT_EQ(r.join(14), 0);
    EXPECT_EQ(r.polled(), (ports{14, 11, 12, 13})) << "ordered by id";
}

TEST(RemoveMember, LeavesTheSnapshotThenWaitsThenGivesBack) {
    rig r{config{}};
    r.start();
    r.join(1);
    r.join(2);
    auto const request = r.ask_to_remove(1);
    r.flush();
    EXPECT_FALSE(contains(r.published, 1));
    ASSERT_EQ(r.count<effect::await_quiescence>(), 1U);
    EXPECT_EQ(r.all<effect::await_quiescence>()[0]->port, 1);
    EXPECT_EQ(r.completed(request), nullptr);
    EXPECT_FALSE(r.find(1)->distributing);
    r.act(event::member_quiescent{.id = 0});
    ASSERT_EQ(r.count<effect::release_member>(), 1U);
    EXPECT_FALSE(r.all<effect::release_member>()[0]->vanished);
    EXPECT_EQ(r.completed(request), nullptr);
    r.act(event::member_released{.id = 0});
    EXPECT_EQ(r.completed(request)->error, errc::ok);
    EXPECT_EQ(r.find(1), nullptr);
}

TEST(RemoveMember, OfAStrangerIsNotFound) {
    rig r{config{}};
    r.start();
    auto const request = r.ask_to_remove(44);
    r.flush();
    EXPECT_EQ(r.completed(request)->error, errc::not_found);
    EXPECT_EQ(r.completed(request)->text, "port 44 is not a member");
}

TEST(RemoveMember, ASecondTimeJoinsTheSameWait) {
    rig r{config{}};
    r.start();
    r.join(1);
    auto const first = r.ask_to_remove(1);
    r.flush();
    auto const second = r.ask_to_remove(1);
    r.flush();
    EXPECT_TRUE(r.last.empty());
    r.act(event::member_quiescent{.id = 0});
    auto const third = r.ask_to_remove(1);
    r.act(event::member_released{.id = 0});
    for (auto const request : {first, second, third}) {
        ASSERT_NE(r.completed(request), nullptr);
        EXPECT_EQ(r.completed(request)->error, errc::ok);
    }
    EXPECT_EQ(r.told(), lines{"wire1 left"});
}

TEST(RemoveMember, WhileItJoinsTakesEffectAsSoonAsItIsPrepared) {
    rig r{config{}};
    r.start();
    auto const added = r.ask_to_add(1);
    r.flush();
    auto const removed = r.ask_to_remove(1);
    r.flush();
    EXPECT_TRUE(r.last.empty());
    auto const again = r.ask_to_add(1);
    r.flush();
    EXPECT_EQ(r.completed(again)->error, errc::busy);
    r.act(event::member_prepared{.id = 0, .link = up()});
    EXPECT_EQ(r.kinds(), (lines{"release", "complete"})) << "it was in no snapshot";
    EXPECT_EQ(r.completed(added)->error, errc::busy);
    EXPECT_EQ(r.completed(added)->text, "wire1 was removed before it had joined");
    r.act(event::member_released{.id = 0});
    EXPECT_EQ(r.completed(removed)->error, errc::ok);
    EXPECT_EQ(r.told(), lines{}) << "nobody was told that it joined";
}

TEST(RemoveMember, WhileItJoinsIsDoneWhenItCannotBePrepared) {
    rig r{config{}};
    r.start();
    auto const added = r.ask_to_add(1);
    auto const removed = r.ask_to_remove(1);
    r.flush();
    r.act(event::member_prepared{.id = 0, .error = errc::device});
    EXPECT_EQ(r.completed(added)->error, errc::device);
    EXPECT_EQ(r.completed(removed)->error, errc::ok);
    EXPECT_TRUE(r.control.members().empty());
}

TEST(RemoveMember, InTheBatchOfAnOldAnswerWaitsForItsOwn) {
    rig r{config{}};
    r.start();
    r.join(1);
    r.ask_to_remove(1);
    r.flush();
    r.ask_to_add(1); // back in a snapshot
    r.flush();
    r.ask_to_remove(1);
    r.handle(event::member_quiescent{.id = 0}); // of the first leaving
    r.flush();
    EXPECT_EQ(r.count<effect::release_member>(), 0U);
    EXPECT_EQ(r.count<effect::await_quiescence>(), 1U);
    r.act(event::member_quiescent{.id = 0});
    EXPECT_EQ(r.count<effect::release_member>(), 1U);
}

TEST(RemoveMember, WhileStoppedStillWaitsForQuiescence) {
    rig r{config{}};
    r.join(1);
    EXPECT_EQ(r.published.run, run_state::stopped);
    r.ask_to_remove(1);
    r.flush();
    EXPECT_EQ(r.count<effect::await_quiescence>(), 1U);
}

TEST(VanishedMember, LeavesLikeARemovedOneButIsAskedNothing) {
    rig r{config{}};
    r.start();
    r.join(1);
    r.join(2);
    r.act(event::member_vanished{.port = 1});
    EXPECT_EQ(r.kinds(), (lines{"publish", "await", "notify", "link"}));
    EXPECT_EQ(r.distributing(), ports{2});
    r.act(event::member_vanished{.port = 1});
    EXPECT_TRUE(r.last.empty());
    r.act(event::member_quiescent{.id = 0});
    ASSERT_EQ(r.count<effect::release_member>(), 1U);
    EXPECT_TRUE(r.all<effect::release_member>()[0]->vanished);
    r.act(event::member_released{.id = 0});
    EXPECT_EQ(r.told(), lines{"wire1 left"});
}

TEST(VanishedMember, WhileJoiningIsGivenUpWhenPrepareReports) {
    rig r{config{}};
    r.start();
    auto const request = r.ask_to_add(1);
    r.flush();
    r.act(event::member_vanished{.port = 1});
    EXPECT_TRUE(r.last.empty());
    r.act(event::member_prepared{.id = 0, .link = up()});
    EXPECT_EQ(r.completed(request)->error, errc::removed);
    EXPECT_EQ(r.completed(request)->text, "wire1 vanished before it had joined");
    ASSERT_EQ(r.count<effect::release_member>(), 1U);
    EXPECT_TRUE(r.all<effect::release_member>()[0]->vanished);
    r.act(event::member_released{.id = 0});
    EXPECT_TRUE(r.control.members().empty());
}

TEST(VanishedMember, WhileLeavingIsAskedNothingAnyMore) {
    rig r{config{}};
    r.start();
    r.join(1);
    auto const request = r.ask_to_remove(1);
    r.flush();
    r.act(event::member_vanished{.port = 1});
    r.act(event::member_quiescent{.id = 0});
    EXPECT_TRUE(r.all<effect::release_member>()[0]->vanished);
    r.act(event::member_released{.id = 0});
    EXPECT_EQ(r.completed(request)->error, errc::ok);
}

TEST(VanishedMember, WhileReleasingChangesNothing) {
    rig r{config{}};
    r.start();
    r.join(1);
    r.ask_to_remove(1);
    r.flush();
    r.act(event::member_quiescent{.id = 0});
    r.act(event::member_vanished{.port = 1});
    EXPECT_TRUE(r.last.empty());
    r.act(event::member_released{.id = 0});
    EXPECT_TRUE(r.control.members().empty());
}

TEST(VanishedMember, ThatIsAStrangerIsNobodysBusiness) {
    rig r{config{}};
    r.start();
    r.act(event::member_vanished{.port = 1});
    EXPECT_TRUE(r.last.empty());
}

TEST(Answers, ThatNobodyAskedForAreIgnored) {
    rig r{config{}};
    r.start();
    r.join(1);
    r.act(event::member_quiescent{.id = 0});
    r.act(event::member_released{.id = 0});
    r.act(event::member_prepared{.id = 0, .error = errc::device});
    r.act(event::member_quiescent{.id = 31});
    r.act(event::member_released{.id = 31});
    r.act(event::member_prepared{.id = 31, .link = up()});
    r.act(event::link_changed{.id = 31, .link = up()});
    EXPECT_TRUE(r.last.empty());
    EXPECT_EQ(r.distributing(), ports{1});
}

} // namespace
} // namespace lagg::test
