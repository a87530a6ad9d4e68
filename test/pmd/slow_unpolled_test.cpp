// Control's frames while the application does not poll: control does, and stashes the data.
#include "slow_fixture.h"

#include <gmock/gmock.h>

#include <chrono>
#include <cstdint>
#include <vector>

namespace lagg::pmd {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using UnpolledReceive = ControlFrames;

TEST_F(UnpolledReceive, ControlPollsAfterATenthOfASecondAndTheDataWaitsInOrder) {
    visit(0ms);
    arrive(0, {data(1), slow(), data(2)});
    arrive(1, {data(3), data(4)});
    visit(90ms);
    EXPECT_TRUE(heard.empty());
    EXPECT_EQ(0U, counters.polls.get());
    visit(100ms);
    EXPECT_EQ(1U, heard_from(0)) << "in the same visit";
    EXPECT_EQ(1U, counters.polls.get());
    arrive(0, {data(5), slow()});
    visit(110ms);
    EXPECT_EQ(1U, counters.polls.get()) << "not so soon again";
    visit(120ms);
    EXPECT_EQ(2U, counters.polls.get());
    EXPECT_EQ(2U, heard_from(0));
    EXPECT_EQ(5U, counters.stashed.get());
    EXPECT_EQ(0U, rx->stats.packets.get()) << "not handed up yet";

    arrive(1, {data(6)});
    EXPECT_THAT(poll(3), ElementsAre(1, 2, 3));
    EXPECT_THAT(poll(), ElementsAre(4, 5, 6)) << "what waited goes first";
    EXPECT_EQ(6U, rx->stats.packets.get());
}

TEST_F(UnpolledReceive, ForAMinuteEveryFrameIsHeard) {
    visit(0ms);
    for (int second = 1; second <= 60; ++second) {
        arrive(0, {slow()});
        for (auto at = time_point{second * 1s}; at < time_point{second * 1s} + 50ms; at += 10ms) {
            visit(at);
        }
    }
    EXPECT_EQ(60U, heard_from(0));
}

TEST_F(UnpolledReceive, WhoPollsIsLeftAlone) {
    for (auto at = time_point{0ms}; at < 1s; at += 10ms) {
        if (at.count() % time_point{90ms}.count() == 0) {
            poll();
        }
        visit(at);
    }
    EXPECT_EQ(0U, counters.polls.get());
}

TEST_F(UnpolledReceive, AQueueInABurstIsNotTakenAway) {
    visit(0ms);
    ASSERT_NE(nullptr, rx->view.pin());
    arrive(0, {slow()});
    visit(200ms);
    EXPECT_EQ(0U, counters.polls.get());
    rx->view.unpin();
    visit(220ms);
    EXPECT_EQ(1U, heard_from(0));
    EXPECT_FALSE(views.borrowed(rx->view)) << "given back";
}

TEST_F(UnpolledReceive, WhatDoesNotFitTheStashIsCountedAndSlowFramesAreHeardStill) {
    publish({true, false});
    visit(0ms);
    auto at = time_point{1s};
    std::uint32_t number = 0;
    for (std::size_t i = 0; i < stash_size / 512 + 1; ++i, at += 20ms) {
        std::vector<rte_mbuf*> list;
        for (int k = 0; k < 512; ++k) {
            list.push_back(data(number++));
        }
        list.push_back(slow());
        arrive(0, list);
        arrive(1, {data(0)});
        visit(at);
    }
    EXPECT_EQ(stash_size / 512 + 1, heard_from(0));
    EXPECT_EQ(512U, dropped(drop_reason::stash_full));
    EXPECT_EQ(3U, dropped(drop_reason::rx_not_collecting)) << "as in a burst";
    std::uint32_t next = 0;
    while (next < stash_size) {
        for (std::uint32_t const n : poll()) {
            ASSERT_EQ(next++, n);
        }
    }
    EXPECT_TRUE(poll().empty());
}

TEST_F(UnpolledReceive, AShortAbsenceCostsNoFrame) {
    constexpr std::uint32_t more = 300;
    visit(0ms);
    std::vector<rte_mbuf*> list;
    for (std::uint32_t i = 0; i < stash_size + more; ++i) {
        list.push_back(data(i));
    }
    arrive(0, list);
    for (auto at = time_point{100ms}; at < 1s; at += 10ms) {
        visit(at);
    }
    EXPECT_EQ(stash_size, counters.stashed.get());
    EXPECT_EQ(0U, dropped(drop_reason::stash_full));
    std::uint32_t next = 0;
    while (next < stash_size + more) {
        auto const some = poll();
        ASSERT_FALSE(some.empty());
        for (std::uint32_t const n : some) {
            ASSERT_EQ(next++, n) << "what stayed with the member follows";
        }
    }
}

TEST_F(UnpolledReceive, OneVisitTakesABoundedNumberOfFrames) {
    publish({true});
    visit(0ms);
    std::vector<rte_mbuf*> list;
    for (std::uint32_t i = 0; i < 3000; ++i) {
        list.push_back(data(i));
    }
    arrive(0, list);
    visit(1s);
    auto const taken = [this] { return counters.stashed.get() + dropped(drop_reason::stash_full); };
    EXPECT_EQ(control_frames::most_frames_a_visit, taken());
    visit(1020ms);
    EXPECT_EQ(3000U, taken());
}

TEST_F(UnpolledReceive, APoolForOneThreadIsLeftAlone) {
    for (unsigned const flag : {RTE_MEMPOOL_F_SC_GET, RTE_MEMPOOL_F_SP_PUT}) {
        rte_mempool lone{};
        lone.flags = flag;
        frames->retire(*rx);
        rx->pool = &lone;
        testing::internal::CaptureStderr();
        frames->attach(*rx);
        testing::internal::GetCapturedStderr();
        arrive(0, {slow()});
        visit(0ms);
        visit(10s);
        EXPECT_EQ(0U, counters.polls.get());
        rx->pool = test::pool();
        EXPECT_TRUE(poll().empty());
    }
}

TEST_F(UnpolledReceive, ALeavingMembersFramesAreStashedAndItsSlowOnesHeard) {
    drained_frames drained;
    constexpr std::size_t room = stash_size + control_frames::most_waiting;
    for (std::uint32_t i = 0; i < room + 1; ++i) {
        ASSERT_TRUE(drained.frames.push(data(i)));
        if (i == 3) {
            ASSERT_TRUE(drained.frames.push(slow()));
        }
    }
    drained.dropped[static_cast<std::size_t>(drop_reason::rx_foreign_unicast)] = 5;
    frames->take_in(id(1), drained, hear);
    EXPECT_EQ(1U, heard_from(1));
    EXPECT_EQ(1U, dropped(drop_reason::drain_no_room));
    EXPECT_EQ(5U, dropped(drop_reason::rx_foreign_unicast));
    std::uint32_t next = 0;
    for (time_point at = 1ms; next < room; at += 1ms) {
        auto const got = poll(64);
        if (got.empty()) {
            frames->visit(at, hear); // there is room in the stash for what waits
            ASSERT_FALSE(rx->stash.empty_hint()) << next;
        }
        for (auto const number : got) {
            ASSERT_EQ(next++, number);
        }
    }

    drained_frames nobodys;
    nobodys.queue = 9;
    ASSERT_TRUE(nobodys.frames.push(data(0)));
    frames->take_in(id(1), nobodys, hear); // freed with the list
}

} // namespace
} // namespace lagg::pmd
