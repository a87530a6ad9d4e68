// Bursts that receive: fairness among members, what is dropped, the stash.
#include "burst_fixture.h"

#include "support/frame_builder.h"

#include <cstdint>
#include <vector>

namespace lagg::pmd {
namespace {

using RxBurst = Burst;

TEST_F(RxBurst, WithoutMembersReturnsNothing) {
    publish(spread::nobody);
    EXPECT_TRUE(receive(32).empty());
}

TEST_F(RxBurst, HandsUpWhatMembersReceivedAsTheLaggsOwn) {
    add_members(3);
    publish(spread::by_flow);
    frames const sent = make_frames(9);
    for (std::size_t i = 0; i < 9; ++i) {
        sent[i]->port = members[i / 3]->id();
        members[i / 3]->arrived.push_back(sent[i]);
    }
    frames got = receive(32);
    EXPECT_EQ(got, sent);
    for (std::size_t m = 0; m < 3; ++m) {
        EXPECT_EQ(rx->stats.member_packets[m + 1].get(), 3U);
    }
    free_all(got);
}

TEST_F(RxBurst, IsFairToMembersThatAllHaveABacklog) {
    add_members(3);
    publish(spread::by_flow);
    for (auto const& m : members) {
        for (frames const more = make_frames(600); rte_mbuf* const frame : more) {
            m->arrived.push_back(frame);
        }
    }
    for (int burst = 0; burst < 30; ++burst) {
        frames got = receive(32);
        ASSERT_EQ(got.size(), 32U);
        free_all(got);
    }
    for (auto const& m : members) {
        EXPECT_EQ(m->arrived.size(), 600U - 320U);
    }
}

TEST_F(RxBurst, GivesAMemberBesideABusyOneItsWholeBurst) {
    add_members(2);
    publish(spread::by_flow);
    for (frames const more = make_frames(400); rte_mbuf* const frame : more) {
        members[1]->arrived.push_back(frame);
    }
    for (int burst = 0; burst < 20; ++burst) {
        for (frames const more = make_frames(31); rte_mbuf* const frame : more) {
            members[0]->arrived.push_back(frame);
        }
        frames got = receive(32);
        free_all(got);
    }
    EXPECT_LE(members[1]->arrived.size(), 100U);
}

// D16, and R11 for members that stopped collecting
TEST_F(RxBurst, DrainsMembersThatDoNotCollect) {
    add_members(2);
    snapshot s = view_of(spread::to_one);
    s.polled[0].collecting = false;
    publish(s);
    frames const stale = make_frames(40);
    frames const good = make_frames(5);
    members[0]->arrived.assign(stale.begin(), stale.end());
    members[1]->arrived.assign(good.begin(), good.end());
    frames got = receive(32);
    EXPECT_EQ(got, good);
    EXPECT_EQ(dropped(drop_reason::rx_not_collecting), 32U);
    free_all(got);
    EXPECT_TRUE(receive(32).empty());
    EXPECT_EQ(dropped(drop_reason::rx_not_collecting), 40U);
    EXPECT_EQ(ledger.in_use(), 0U);

    s.polled[0].collecting = true; // failover: nothing old comes up
    publish(s);
    EXPECT_TRUE(receive(32).empty());
}

// R11
TEST_F(RxBurst, DoesNotAskAMemberThatIsGone) {
    add_members(2);
    publish(spread::by_flow);
    ASSERT_TRUE(receive(32).empty());
    snapshot s = view_of(spread::by_flow);
    s.polled.erase(1);
    publish(s);
    members[0]->rx_bursts = members[1]->rx_bursts = 0;
    for (frames const more = make_frames(3); rte_mbuf* const frame : more) {
        members[1]->arrived.push_back(frame);
    }
    for (int burst = 0; burst < 4; ++burst) {
        EXPECT_TRUE(receive(32).empty());
    }
    EXPECT_EQ(members[0]->rx_bursts, 4U);
    EXPECT_EQ(members[1]->rx_bursts, 0U);

    s.polled.clear();
    publish(s);
    EXPECT_TRUE(receive(32).empty());
    EXPECT_EQ(members[0]->rx_bursts, 4U);
}

TEST_F(RxBurst, DropsForeignUnicastOfMembersThatArePromiscuousForUs) {
    add_members(2);
    snapshot s = view_of(spread::by_flow);
    s.polled[0].filter = true;
    s.accept.push_back(test::mac(1));
    s.accept.push_back(test::mac(2));
    publish(s);
    frames sent;
    for (net::mac_address const& to :
         {test::mac(9), test::mac(1), test::broadcast_mac, test::mac(8), test::mac(2),
          test::slow_protocols_mac, test::mac(7)}) {
        sent.push_back(make_frame_to(to));
    }
    members[0]->arrived.assign(sent.begin(), sent.end());
    rte_mbuf* const unfiltered = make_frame_to(test::mac(9));
    members[1]->arrived.push_back(unfiltered);
    frames got = receive(32);
    EXPECT_EQ(got, (frames{sent[1], sent[2], sent[4], sent[5], unfiltered}));
    EXPECT_EQ(dropped(drop_reason::rx_foreign_unicast), 3U);
    EXPECT_EQ(ledger.in_use(), 5U);
    free_all(got);
}

TEST_F(RxBurst, FilterDoesNotReadBehindAShortFrame) {
    add_members(1);
    snapshot s = view_of(spread::to_one);
    s.polled[0].filter = true;
    publish(s);
    rte_mbuf* const runt = ledger.make(std::vector<std::uint8_t>{0x02, 0, 0, 0, 0});
    members[0]->arrived.push_back(runt);
    frames got = receive(32);
    EXPECT_EQ(got, frames{runt});
    free_all(got);
}

TEST_F(RxBurst, DeliversTheStashFirst) {
    add_members(1);
    publish(spread::to_one);
    frames const kept = make_frames(40);
    for (rte_mbuf* const frame : kept) {
        ASSERT_TRUE(rx->stash.push(frame));
    }
    frames const fresh = make_frames(3);
    members[0]->arrived.assign(fresh.begin(), fresh.end());
    frames got = receive(32);
    EXPECT_EQ(got, frames(kept.begin(), kept.begin() + 32));
    EXPECT_EQ(members[0]->rx_bursts, 0U);
    free_all(got);
    got = receive(32);
    frames expected(kept.begin() + 32, kept.end());
    expected.insert(expected.end(), fresh.begin(), fresh.end());
    EXPECT_EQ(got, expected);
    free_all(got);
}

TEST_F(RxBurst, DeliversTheStashWhereNoMemberIsLeft) {
    snapshot s = view_of(spread::nobody);
    publish(s);
    rte_mbuf* const kept = make_frame(0);
    ASSERT_TRUE(rx->stash.push(kept));
    frames got = receive(32);
    EXPECT_EQ(got, frames{kept});
    free_all(got);
}

// R12
TEST_F(RxBurst, KeepsTheStashWhileThePortDoesNotRun) {
    rte_mbuf* const kept = make_frame(0);
    ASSERT_TRUE(rx->stash.push(kept));
    for (run_state const state : {run_state::stopped, run_state::admin_down}) {
        snapshot s = view_of(spread::nobody);
        s.run = state;
        publish(s);
        EXPECT_TRUE(receive(32).empty());
    }
    publish(spread::nobody);
    frames got = receive(32);
    EXPECT_EQ(got, frames{kept});
    free_all(got);
}

TEST_F(RxBurst, OnABorrowedQueueTouchesNothing) {
    add_members(1);
    publish(spread::to_one);
    rte_mbuf* const kept = make_frame(0);
    ASSERT_TRUE(rx->stash.push(kept));
    ASSERT_TRUE(published.try_borrow(rx->view));
    EXPECT_TRUE(receive(32).empty());
    EXPECT_EQ(members[0]->rx_bursts, 0U);
    EXPECT_FALSE(rx->stash.empty_hint());
    published.give_back(rx->view);
    frames got = receive(32);
    EXPECT_EQ(got, frames{kept});
    free_all(got);
}

TEST_F(RxBurst, PassesSlowProtocolFramesUp) {
    add_members(1);
    snapshot s = view_of(spread::to_one);
    s.policy = policy::failover;
    publish(s);
    rte_mbuf* const slow = ledger.make(test::frame_builder()
                                           .eth(test::slow_protocols_mac, test::mac(3))
                                           .slow_protocol(1)
                                           .payload(108)
                                           .build());
    members[0]->arrived.push_back(slow);
    frames got = receive(32);
    EXPECT_EQ(got, frames{slow});
    free_all(got);
}

} // namespace
} // namespace lagg::pmd
