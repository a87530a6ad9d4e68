// Control's frames in and out of a lagg, whatever its application does: the class alone, between
// queues and wires of the test's own.  The test's thread is control, and now and then the lcore;
// time is an argument.
#include "lagg_slow.h"

#include "fixture.h"
#include "lagg_device.h"
#include "lagg_mbuf.h"
#include "support/frame_builder.h"
#include "support/mbuf_ledger.h"

#include <gmock/gmock.h>

#include <rte_errno.h>

#include <cstring>
#include <memory>
#include <string>
#include <vector>

namespace lagg::pmd {
namespace {

using namespace std::chrono_literals;
using test::vdev;
using testing::ElementsAre;

constexpr std::uint16_t lagg_id = 77;
constexpr std::uint16_t tx_queues = 3; // of the application; a fourth is control's
constexpr std::uint16_t ring = 4096;

/// One end is a member, the other the partner's.
struct link {
    vdev partner{"net_wire", ""};
    vdev member{"net_wire", "check=1,peer=" + partner.name()};
};

/// A second rx queue is as steering has it, or for a second lcore.
void bring_up_wide(std::uint16_t port, std::uint16_t rx_queues) {
    rte_eth_conf const plain{};
    ASSERT_EQ(0, rte_eth_dev_configure(port, rx_queues, tx_queues + 1, &plain));
    for (std::uint16_t q = 0; q < rx_queues; ++q) {
        ASSERT_EQ(0, rte_eth_rx_queue_setup(port, q, ring, SOCKET_ID_ANY, nullptr, test::pool()));
    }
    for (std::uint16_t q = 0; q <= tx_queues; ++q) {
        ASSERT_EQ(0, rte_eth_tx_queue_setup(port, q, 64, SOCKET_ID_ANY, nullptr));
    }
    ASSERT_EQ(0, rte_eth_dev_start(port));
    rte_eth_promiscuous_enable(port);
}

rte_mbuf* frame_of(test::bytes const& bytes) {
    rte_mbuf* const m = rte_pktmbuf_alloc(test::pool());
    if (m != nullptr) {
        std::memcpy(rte_pktmbuf_append(m, static_cast<std::uint16_t>(bytes.size())), bytes.data(),
                    bytes.size());
    }
    return m;
}

rte_mbuf* slow(std::uint8_t subtype = 1, std::uint8_t number = 0) {
    return frame_of(test::frame_builder()
                        .eth(test::slow_protocols_mac, test::mac(3))
                        .slow_protocol(subtype)
                        .payload(1, number)
                        .pad_to(124)
                        .build());
}

rte_mbuf* data(std::uint32_t number) {
    return test::frames(1, number)[0];
}

/// As fixture's frames() write it.
std::uint32_t number_of(rte_mbuf const& m) {
    auto const* const p = rte_pktmbuf_mtod(&m, std::uint8_t const*);
    return static_cast<std::uint32_t>(p[27] << 16 | p[28] << 8 | p[29]);
}

class ControlFrames : public testing::Test {
protected:
    ControlFrames() {
        for (link& l : links) {
            bring_up_wide(l.partner.port(), 1);
            bring_up_wide(l.member.port(), 2);
        }
        for (std::uint16_t q = 0; q < tx_queues; ++q) {
            tx.push_back(std::make_unique<tx_queue>(kind));
            tx[q]->queue_id = q;
            tx[q]->lagg_port = lagg_id;
            EXPECT_TRUE(views.attach(tx[q]->view));
            frames->attach(*tx[q]);
        }
        rx->lagg_port = lagg_id;
        rx->pool = test::pool();
        EXPECT_TRUE(views.attach(rx->view));
        frames->attach(*rx);
        publish({true, true});
    }
    ~ControlFrames() override {
        rte_mbuf* frame = nullptr;
        while (rx->stash.pop(frame)) {
            rte_pktmbuf_free(frame);
        }
        for (link& l : links) {
            test::receive_all(l.partner.port());
            EXPECT_EQ(0U, rte_pmd_wire_in_burst_violation_count(l.member.port()));
            l.member.close();
            l.partner.close();
        }
        frames.reset();
        EXPECT_EQ(before, test::pool_level());
    }

    /// Which of the links are polled, and whether their data goes up; member_id is index + 1.
    void publish(std::vector<bool> const& collecting, bool take_slow = true,
                 std::size_t first = 0) {
        auto s = std::make_unique<snapshot>();
        s->version = ++version;
        s->run = run_state::running;
        s->take_slow = take_slow;
        for (std::size_t i = first; i < collecting.size(); ++i) {
            s->polled.push_back({links[i].member.port(), id(i), collecting[i], false});
        }
        EXPECT_TRUE(views.publish(std::move(s)));
    }
    static member_id id(std::size_t link) { return static_cast<member_id>(link + 1); }

    void arrive(std::size_t link, std::vector<rte_mbuf*> list, std::uint16_t queue = 0) {
        auto const n = static_cast<std::uint16_t>(list.size());
        EXPECT_EQ(n, rte_eth_tx_burst(links[link].partner.port(), queue, list.data(), n));
    }
    void listen(std::size_t link) { frames->listen(id(link), links[link].member.port(), 1); }

    /// One burst of the application's; the numbers of the data frames that came up.
    std::vector<std::uint32_t> poll(std::uint16_t count = 32) {
        std::vector<rte_mbuf*> got(count);
        got.resize(lagg_rx_burst(rx.get(), got.data(), count));
        std::vector<std::uint32_t> numbers;
        for (rte_mbuf* const m : got) {
            EXPECT_EQ(lagg_id, m->port);
            numbers.push_back(number_of(*m));
            rte_pktmbuf_free(m);
        }
        return numbers;
    }

    time_point visit(time_point at) { return frames->visit(at, hear); }
    std::size_t heard_from(std::size_t link) const {
        return static_cast<std::size_t>(std::count_if(
            heard.begin(), heard.end(), [&](auto const& e) { return e.id == id(link); }));
    }
    std::uint64_t dropped(drop_reason why) const {
        auto const i = static_cast<std::size_t>(why);
        std::uint64_t sum = rx->stats.drops[i].get() + rx->stash_dropped[i].get();
        for (auto const& q : tx) {
            sum += q->stats.drops[i].get();
        }
        return sum;
    }

    control_frames::way to(std::size_t link, std::uint16_t queue = any_queue) const {
        return {links[link].member.port(), id(link), no_queue, queue};
    }
    control_frames::way by_own_queue(std::size_t link) const {
        return {links[link].member.port(), id(link), tx_queues, any_queue};
    }
    static lacp::frame letter(std::uint8_t number) {
        lacp::frame f{};
        f[0] = 1;
        f[lacp::frame_size - 1] = number;
        return f;
    }
    /// Last bytes of what reached the partner, in order; each came from control's pool, to which it
    /// goes back.
    std::vector<int> arrived_at_partner(std::size_t link) {
        std::vector<int> out;
        rte_mbuf* got[32];
        while (std::uint16_t const n = rte_eth_rx_burst(links[link].partner.port(), 0, got, 32)) {
            for (std::uint16_t i = 0; i < n; ++i) {
                EXPECT_EQ(lacp::frame_size, got[i]->pkt_len);
                EXPECT_NE(test::pool(), got[i]->pool);
                letters = got[i]->pool;
                out.push_back(rte_pktmbuf_mtod(got[i], std::uint8_t const*)[lacp::frame_size - 1]);
                rte_pktmbuf_free(got[i]);
            }
        }
        return out;
    }
    void expect_all_letters_back() const {
        ASSERT_NE(nullptr, letters);
        EXPECT_EQ(control_frames::pool_size, rte_mempool_avail_count(letters));
    }
    /// A burst of nothing.
    static void burst_on(tx_queue& q) { EXPECT_EQ(0, lagg_tx_burst(&q, nullptr, 0)); }

    unsigned const before = test::pool_level();
    std::vector<link> links{2};
    epoch::fence_kind const kind = epoch::choose_fence();
    epoch::control_fence fence{kind};
    std::unique_ptr<rx_queue> const rx = std::make_unique<rx_queue>(kind);
    std::vector<std::unique_ptr<tx_queue>> tx;
    epoch::publisher<snapshot> views{fence};
    control_counters counters;
    std::unique_ptr<control_frames> frames =
        std::make_unique<control_frames>("lagg", views, counters);
    std::uint64_t version = 0;
    std::vector<event::slow_frame> heard;
    control_frames::receiver const hear = [this](event::slow_frame const& e) {
        heard.push_back(e);
    };
    rte_mempool* letters = nullptr;
};

using SlowReceive = ControlFrames;
using UnpolledReceive = ControlFrames;
using HeldReceive = ControlFrames;
using ControlTransmit = ControlFrames;

// -- what a burst takes for control
// ----------------------------------------------------------------

TEST_F(SlowReceive, ABurstGivesControlTheFramesAndTheApplicationTheRestInOrder) {
    arrive(0, {data(1), slow(1, 7), data(2), slow(2, 8), data(3)});
    EXPECT_THAT(poll(), ElementsAre(1, 2, 3));
    visit(1ms);
    ASSERT_EQ(2U, heard.size());
    EXPECT_EQ(id(0), heard[0].id);
    EXPECT_EQ(124, heard[0].length);
    EXPECT_EQ(1, heard[0].bytes[14]);
    EXPECT_EQ(7, heard[0].bytes[16]);
    EXPECT_EQ(2, heard[1].bytes[14]);
    EXPECT_EQ(8, heard[1].bytes[16]);
    EXPECT_EQ(2U, rx->stats.slow_taken.get());
    EXPECT_EQ(3U, rx->stats.packets.get());
}

TEST_F(SlowReceive, AMemberThatDoesNotCollectIsHeardAllTheSame) {
    publish({false, true});
    arrive(0, {slow(), data(1)});
    arrive(1, {data(2)});
    EXPECT_THAT(poll(), ElementsAre(2));
    visit(1ms);
    EXPECT_EQ(1U, heard_from(0));
    EXPECT_EQ(1U, dropped(drop_reason::rx_not_collecting));
}

TEST_F(SlowReceive, OtherSubtypesTaggedFramesAndStubsAreData) {
    rte_mbuf* const stripped = slow();
    arrive(0, {slow(0), slow(3), slow(10),
               frame_of(test::frame_builder()
                            .eth(test::slow_protocols_mac, test::mac(3))
                            .vlan(5)
                            .slow_protocol(1)
                            .pad_to(124)
                            .build()),
               frame_of(test::bytes{1, 0x80, 0xc2, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x88, 0x09})});
    EXPECT_EQ(5U, poll().size());
    EXPECT_TRUE(is_slow(*stripped));
    stripped->ol_flags |= RTE_MBUF_F_RX_VLAN | RTE_MBUF_F_RX_VLAN_STRIPPED;
    EXPECT_FALSE(is_slow(*stripped));
    rte_pktmbuf_free(stripped);
    visit(1ms);
    EXPECT_TRUE(heard.empty());
}

TEST_F(SlowReceive, WithoutLacpTheyAreDataAndControlIsInNoHurry) {
    publish({true, true}, false);
    arrive(0, {slow(), data(1)});
    EXPECT_EQ(2U, poll().size());
    EXPECT_EQ(never, visit(1ms));
    EXPECT_TRUE(heard.empty());
    EXPECT_EQ(never, visit(10s)) << "nor does it poll for anybody";
    EXPECT_EQ(0U, counters.polls.get());
}

TEST_F(SlowReceive, ALongFrameIsCutAndOneInPartsIsWhole) {
    test::mbuf_ledger ledger(64);
    auto const bytes = test::frame_builder()
                           .eth(test::slow_protocols_mac, test::mac(3))
                           .slow_protocol(1)
                           .payload(400)
                           .build();
    rte_mbuf* list[] = {ledger.make(bytes), ledger.make(bytes, 3)};
    slow_take(*rx, id(1), list, 2);
    EXPECT_EQ(0U, ledger.in_use());
    visit(1ms);
    ASSERT_EQ(2U, heard.size());
    for (auto const& e : heard) {
        EXPECT_EQ(longest_slow_frame, e.length);
        EXPECT_EQ(0, std::memcmp(e.bytes.data(), bytes.data(), e.length));
    }
}

TEST_F(SlowReceive, AFloodOnOneLinkLeavesRoomForTheOthersAndTheirData) {
    for (int round = 0; round < 3; ++round) {
        SCOPED_TRACE(round);
        heard.clear();
        std::vector<rte_mbuf*> flood;
        for (int i = 0; i < 500; ++i) {
            flood.push_back(slow());
        }
        arrive(0, flood);
        std::vector<std::uint32_t> came;
        for (std::uint32_t i = 0; i < 20; ++i) {
            arrive(1, {data(i)});
            auto const some = poll();
            came.insert(came.end(), some.begin(), some.end());
        }
        arrive(1, {slow()});
        poll();
        EXPECT_EQ(20U, came.size()) << "each burst brought the other link's frame";
        visit(time_point{1ms} * (round + 1));
        EXPECT_EQ(slow_frames_per_member, heard_from(0));
        EXPECT_EQ(1U, heard_from(1));
        EXPECT_EQ((round + 1) * (500U - slow_frames_per_member),
                  dropped(drop_reason::rx_slow_no_room));
    }
}

TEST_F(SlowReceive, ControlLooksEveryTenMillisecondsAndSoonerWhileSomebodyWaits) {
    EXPECT_EQ(time_point{11ms}, visit(1ms));
    frames->set_impatient(true);
    EXPECT_EQ(time_point{12ms}, visit(11ms));
    frames->set_impatient(false);
    EXPECT_EQ(time_point{22ms}, visit(12ms));
}

// -- frames that may have overtaken data
// ---------------------------------------------------------

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

// -- an application that does not poll
// -------------------------------------------------------------

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

// -- transmit
// --------------------------------------------------------------------------------------

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

// -- the member's queue
// ----------------------------------------------------------------------------

TEST(ControlQueue, AMemberHasOneMoreWhereItCan) {
    unsigned const before = test::pool_level();
    {
        vdev const able = test::sink();
        vdev const equal = test::sink("equal_queues=1");
        vdev const narrow = test::sink("queues=2");
        test::lagg_port lagg("policy=loadbalance,member=" + able.name() +
                             ",member=" + equal.name() + ",member=" + narrow.name());
        ASSERT_TRUE(lagg.ok());
        lagg.start(2);
        EXPECT_EQ(3, rte_eth_devices[able.port()].data->nb_tx_queues);
        EXPECT_EQ(2, rte_eth_devices[able.port()].data->nb_rx_queues);
        EXPECT_EQ(2, rte_eth_devices[equal.port()].data->nb_tx_queues);
        EXPECT_EQ(2, rte_eth_devices[narrow.port()].data->nb_tx_queues);
        EXPECT_EQ(48, test::send(lagg.id(), test::frames(48)));
        EXPECT_EQ(0U, lagg.xstat("control_sent_own_queue"));
        EXPECT_EQ(0U, lagg.xstat("rx_slow_taken"));
    }
    EXPECT_EQ(before, test::pool_level());
}

} // namespace
} // namespace lagg::pmd
