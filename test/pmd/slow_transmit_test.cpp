// Control's frames on their way out: by which queue, in what order, and what is refused.
#include "slow_fixture.h"

#include <gmock/gmock.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <vector>

namespace lagg::pmd {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using ControlTransmit = ControlFrames;

TEST_F(ControlTransmit, TheMembersOwnQueueIsUsedWhateverTheOthersDo) {
    for (auto const& q : tx) {
        ASSERT_NE(nullptr, q->view.pin());
    }
    frames->send(by_own_queue(0), letter(1));
    frames->send(by_own_queue(1), letter(2));
    frames->send(by_own_queue(0), letter(3));
    frames->send_all();
    EXPECT_THAT(arrived_at_partner(0), ElementsAre(1, 3));
    EXPECT_THAT(arrived_at_partner(1), ElementsAre(2));
    EXPECT_EQ(3U, counters.sent_own_queue.get());
    expect_all_letters_back();
    for (auto const& q : tx) {
        q->view.unpin();
    }
}

TEST_F(ControlTransmit, AnIdleQueueIsBorrowedForAllFramesAtOnce) {
    ASSERT_NE(nullptr, tx[0]->view.pin());
    frames->send(to(0), letter(1));
    frames->send(to(1), letter(2));
    frames->send(to(0), letter(3));
    frames->send_all();
    EXPECT_THAT(arrived_at_partner(0), ElementsAre(1, 3));
    EXPECT_THAT(arrived_at_partner(1), ElementsAre(2));
    EXPECT_EQ(3U, counters.sent_borrowed.get());
    for (auto const& q : tx) {
        EXPECT_FALSE(views.borrowed(q->view));
    }
    tx[0]->view.unpin();
    expect_all_letters_back();
}

TEST_F(ControlTransmit, InUseAllOfThemTheNextBurstOfEachTakesItAlong) {
    for (auto const& q : tx) {
        ASSERT_NE(nullptr, q->view.pin());
    }
    for (std::uint8_t i = 0; i < 6; ++i) {
        frames->send(to(i % 2), letter(i));
    }
    frames->send_all();
    EXPECT_EQ(6U, counters.handed_over.get());
    EXPECT_TRUE(arrived_at_partner(0).empty());
    for (auto const& q : tx) {
        q->view.unpin();
        EXPECT_EQ(2U, q->handed.size_hint()) << "they take turns";
    }
    for (auto const& q : tx) {
        burst_on(*q);
    }
    EXPECT_THAT(arrived_at_partner(0), testing::UnorderedElementsAre(0, 2, 4));
    EXPECT_THAT(arrived_at_partner(1), testing::UnorderedElementsAre(1, 3, 5));
    EXPECT_EQ(0U, dropped(drop_reason::tx_control_frame));
    expect_all_letters_back();
}

TEST_F(ControlTransmit, WhatWasHandedToAQueueThatFellIdleIsSentByTheNextVisit) {
    for (auto const& q : tx) {
        ASSERT_NE(nullptr, q->view.pin());
    }
    frames->send(to(0), letter(1));
    frames->send_all();
    visit(1ms);
    EXPECT_TRUE(arrived_at_partner(0).empty());
    for (auto const& q : tx) {
        q->view.unpin();
    }
    visit(2ms);
    EXPECT_THAT(arrived_at_partner(0), ElementsAre(1));
    expect_all_letters_back();
}

TEST_F(ControlTransmit, WhatFollowsTheFramesOfAQueueGoesByThatQueue) {
    ASSERT_NE(nullptr, tx[1]->view.pin());
    auto own = by_own_queue(0);
    own.queue = 1;
    frames->send(own, letter(1));
    frames->send(to(0, 2), letter(2));
    frames->send_all();
    EXPECT_THAT(arrived_at_partner(0), ElementsAre(2));
    EXPECT_EQ(1U, tx[1]->handed.size_hint());
    tx[1]->view.unpin();
    burst_on(*tx[1]);
    EXPECT_THAT(arrived_at_partner(0), ElementsAre(1));

    frames->send(to(0, 40), letter(3));
    frames->send_all();
    frames->forget(id(0));
    EXPECT_EQ(1U, counters.not_sent.get()) << "no such queue";
    expect_all_letters_back();
}

TEST_F(ControlTransmit, AFrameForAMemberThatLeftIsFreedByTheBurst) {
    for (auto const& q : tx) {
        ASSERT_NE(nullptr, q->view.pin());
    }
    frames->send(to(0), letter(1));
    frames->send(to(1), letter(2));
    frames->send_all();
    for (auto const& q : tx) {
        q->view.unpin();
    }
    publish({true, true}, true, 1); // the second one alone
    for (auto const& q : tx) {
        burst_on(*q);
    }
    EXPECT_TRUE(arrived_at_partner(0).empty());
    EXPECT_THAT(arrived_at_partner(1), ElementsAre(2));
    EXPECT_EQ(1U, dropped(drop_reason::tx_control_frame));
    expect_all_letters_back();
}

TEST_F(ControlTransmit, MoreThanTheRingsHoldGoesWithTheNextVisit) {
    for (auto const& q : tx) {
        ASSERT_NE(nullptr, q->view.pin());
    }
    constexpr std::size_t room = tx_queues * handed_ring_size;
    for (std::size_t i = 0; i < room + 5; ++i) {
        frames->send(to(0), letter(1));
    }
    frames->send_all();
    EXPECT_EQ(room, counters.handed_over.get());
    EXPECT_EQ(0U, counters.not_sent.get());
    for (auto const& q : tx) {
        q->view.unpin();
    }
    visit(1ms);
    EXPECT_EQ(room + 5, arrived_at_partner(0).size());
    expect_all_letters_back();
}

TEST_F(ControlTransmit, WhatAMemberRefusesIsTriedAgainThenCountedAndFreed) {
    ASSERT_EQ(0, rte_pmd_wire_refuse(links[0].member.port(), 0));
    frames->send(to(0), letter(2));
    frames->send(by_own_queue(0), letter(3));
    frames->send_all();
    EXPECT_TRUE(arrived_at_partner(0).empty());
    ASSERT_EQ(0, rte_pmd_wire_refuse(links[0].member.port(), UINT32_MAX));
    visit(1ms);
    EXPECT_THAT(arrived_at_partner(0), testing::UnorderedElementsAre(2, 3));
    EXPECT_EQ(0U, counters.not_sent.get());

    ASSERT_EQ(0, rte_pmd_wire_cut(links[0].member.port()));
    frames->send(to(0), letter(4));
    for (unsigned i = 0; i < control_frames::most_attempts; ++i) {
        frames->send_all();
    }
    EXPECT_EQ(1U, counters.not_sent.get());
    frames->send(to(0), letter(5));
    frames->send_all();
    frames->forget(id(0));
    EXPECT_EQ(2U, counters.not_sent.get());
    expect_all_letters_back();
}

TEST_F(ControlTransmit, NeedsNothingOfTheApplicationsPool) {
    std::vector<rte_mbuf*> hoard;
    while (rte_mbuf* const m = rte_pktmbuf_alloc(test::pool())) {
        hoard.push_back(m);
    }
    frames->send(by_own_queue(0), letter(1));
    frames->send(to(1), letter(2));
    frames->send_all();
    EXPECT_THAT(arrived_at_partner(0), ElementsAre(1));
    EXPECT_THAT(arrived_at_partner(1), ElementsAre(2));
    test::free_all(hoard);
}

TEST_F(ControlTransmit, APoolForOneThreadKeepsItFromBorrowing) {
    rte_mempool lone{};
    lone.flags = RTE_MEMPOOL_F_SP_PUT;
    rx->pool = &lone;
    frames->send(to(0), letter(1));
    frames->send_all();
    visit(1ms);
    EXPECT_EQ(1U, counters.handed_over.get());
    burst_on(*tx[0]);
    EXPECT_THAT(arrived_at_partner(0), ElementsAre(1));
    rx->pool = test::pool();
}

TEST_F(ControlTransmit, APoolWithFramesStillOutIsNotTheNextLaggs) {
    frames->send(by_own_queue(0), letter(1));
    frames->send_all();
    frames = std::make_unique<control_frames>("next", views, counters);
    frames->send(by_own_queue(1), letter(2));
    frames->send_all();
    EXPECT_THAT(arrived_at_partner(1), ElementsAre(2));
    rte_mempool* const second = letters;
    EXPECT_THAT(arrived_at_partner(0), ElementsAre(1));
    EXPECT_NE(second, letters);
    expect_all_letters_back();
}

} // namespace
} // namespace lagg::pmd
