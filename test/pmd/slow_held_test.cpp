// Control's frames that may have overtaken data: held until the data before them was polled.
#include "slow_fixture.h"

#include <gmock/gmock.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <vector>

namespace lagg::pmd {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using HeldReceive = ControlFrames;

TEST_F(HeldReceive, ASteeredFrameWaitsUntilTheDataBeforeItWasPolled) {
    listen(0);
    std::vector<rte_mbuf*> earlier;
    for (std::uint32_t i = 0; i < 100; ++i) {
        earlier.push_back(data(i));
    }
    arrive(0, earlier);
    arrive(0, {slow()}, 1);
    EXPECT_EQ(time_point{2ms}, visit(1ms)) << "control looks again soon";
    std::size_t polled = 0;
    while (polled < 100) {
        polled += poll().size();
        visit(2ms);
        ASSERT_TRUE(heard.empty()) << polled;
    }
    poll(); // the first burst that finds little may have begun before the frame was here
    visit(3ms);
    EXPECT_EQ(1U, heard_from(0));
    EXPECT_EQ(time_point{14ms}, visit(4ms)) << "in no hurry any more";
    auto const told = rx->ran_dry[id(0)].get();
    poll();
    EXPECT_EQ(told, rx->ran_dry[id(0)].get()) << "nothing is counted while nobody asks";
}

TEST_F(HeldReceive, AMemberThatGivesLessThanAskedMayHaveMore) {
    listen(0);
    publish({true});
    arrive(0, {slow()}, 1);
    visit(1ms);
    for (int i = 0; i < 10; ++i) {
        arrive(0, {data(1), data(2), data(3), data(4), data(5)});
        EXPECT_EQ(5U, poll(8).size()); // as a driver that works in fours
        EXPECT_EQ(0U, poll(3).size()); // too few to ask such a driver for
    }
    visit(2ms);
    EXPECT_TRUE(heard.empty());
    poll(8);
    poll(8);
    visit(3ms);
    EXPECT_EQ(1U, heard_from(0));
}

TEST_F(HeldReceive, ControlsOwnPollSetsItFreeWhenNobodyElsePolls) {
    listen(0);
    visit(0ms);
    arrive(0, {data(1), data(2)});
    arrive(0, {slow()}, 1);
    visit(90ms);
    EXPECT_TRUE(heard.empty());
    visit(100ms);
    EXPECT_EQ(1U, heard_from(0));
    EXPECT_THAT(poll(), ElementsAre(1, 2));
}

TEST_F(HeldReceive, IsHeardAfterABoundedTimeWhateverTheApplicationDoes) {
    listen(0);
    visit(0ms);
    arrive(0, {slow()}, 1);
    ASSERT_NE(nullptr, rx->view.pin()); // nor can control have the queue
    visit(10ms);
    visit(10ms + held_frames::longest - 1ms);
    EXPECT_TRUE(heard.empty());
    visit(10ms + held_frames::longest);
    EXPECT_EQ(1U, heard_from(0));
    rx->view.unpin();
}

TEST_F(HeldReceive, KeepsTheOrderOfEachMember) {
    listen(0);
    listen(1);
    std::uint8_t number = 0;
    for (auto at = time_point{1ms}; at < 40ms; at += 1ms) {
        arrive(0, {slow(1, number)}, 1);
        arrive(1, {slow(1, number++)}, 1);
        visit(at);
        poll();
    }
    poll();
    visit(41ms);
    poll();
    poll();
    visit(42ms);
    std::array<std::uint8_t, 2> next{};
    for (auto const& e : heard) {
        EXPECT_EQ(next[e.id - 1U]++, e.bytes[16]);
    }
    EXPECT_THAT(next, ElementsAre(number, number));
}

TEST_F(HeldReceive, AFloodIsBoundedForEachMember) {
    listen(0);
    listen(1);
    std::vector<rte_mbuf*> flood;
    for (int i = 0; i < 40; ++i) {
        flood.push_back(slow());
    }
    arrive(0, flood, 1);
    arrive(1, {slow()}, 1);
    for (auto at = time_point{1ms}; at < 4ms; at += 1ms) {
        visit(at);
        poll();
        poll();
    }
    visit(4ms);
    EXPECT_EQ(held_frames::most_per_member, heard_from(0));
    EXPECT_EQ(1U, heard_from(1));
    EXPECT_EQ(40U - held_frames::most_per_member, dropped(drop_reason::rx_slow_no_room));
}

TEST_F(HeldReceive, AFrameOfOneQueueWaitsForTheDataOfTheOthers) {
    rx_queue other(kind);
    other.queue_id = 1;
    other.lagg_port = lagg_id;
    other.pool = test::pool();
    ASSERT_TRUE(views.attach(other.view));
    frames->attach(other);
    auto const poll_other = [&] {
        rte_mbuf* got[32];
        std::uint16_t const n = lagg_rx_burst(&other, got, 32);
        rte_pktmbuf_free_bulk(got, n);
        return n;
    };
    visit(0ms);
    arrive(0, {data(1)}, 1);
    arrive(0, {slow()});
    poll(); // control has it now
    visit(1ms);
    for (int i = 0; i < 5; ++i) {
        poll();
        visit(2ms);
    }
    EXPECT_TRUE(heard.empty());
    EXPECT_EQ(1U, poll_other());
    EXPECT_EQ(0U, poll_other());
    visit(3ms);
    EXPECT_EQ(1U, heard_from(0));
    frames->retire(other);
    EXPECT_TRUE(views.detach(other.view));
}

TEST_F(HeldReceive, WithoutLacpASteeredFrameIsTheApplications) {
    listen(0);
    publish({true, true}, false);
    arrive(0, {slow()}, 1);
    EXPECT_EQ(time_point{11ms}, visit(1ms)) << "somebody has to look";
    EXPECT_EQ(1U, poll().size());
    publish({false, true}, false);
    arrive(0, {slow()}, 1);
    visit(11ms);
    EXPECT_TRUE(poll().empty());
    EXPECT_EQ(1U, dropped(drop_reason::rx_not_collecting));
    EXPECT_TRUE(heard.empty());
}

TEST_F(HeldReceive, AMemberThatLeftIsNotHeardAnyMore) {
    listen(0);
    listen(1);
    arrive(0, {slow()}, 1);
    arrive(1, {slow()}, 1);
    visit(1ms);
    frames->forget(id(0));
    poll();
    poll();
    visit(2ms);
    EXPECT_EQ(0U, heard_from(0));
    EXPECT_EQ(1U, heard_from(1));
}

} // namespace
} // namespace lagg::pmd
