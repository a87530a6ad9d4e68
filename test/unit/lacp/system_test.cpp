#include "lacp/system.h"

#include "two_systems.h"

#include "lacp/timers.h"

#include <gtest/gtest.h>

#include <random>

namespace lagg::lacp {
namespace {

parameters said(outgoing const& o) {
    auto const pdu = decode_lacpdu(o.frame);
    return pdu ? pdu->actor : parameters{};
}

TEST(System, TwoEndsNegotiateOneLinkOfAllPortsThatComeTogether) {
    two_systems w(4);
    w.pass(1900ms);
    EXPECT_EQ(bits(w.a.collecting()), 0U);
    w.pass(200ms);
    EXPECT_EQ(bits(w.a.collecting()), 0xfU);
    EXPECT_EQ(bits(w.a.distributing()), 0xfU);
    EXPECT_EQ(bits(w.b.distributing()), 0xfU);
    auto const r = w.a.report(2);
    ASSERT_TRUE(r);
    EXPECT_EQ(r->receive, receive_state::current);
    EXPECT_EQ(r->mux, mux_state::distributing);
    EXPECT_EQ(r->aggregator, 1);
    EXPECT_TRUE(r->in_use);
    EXPECT_EQ(r->partner.system.address, mac(0x0b));
}

TEST(System, APortThatComesLaterWaitsAndStopsNobody) {
    two_systems w(2);
    w.pass(3s);
    w.each_instant = [&] { EXPECT_EQ(bits(w.a.distributing()) & 3U, 3U); };
    w.plug(2);
    w.pass(1900ms);
    EXPECT_EQ(bits(w.a.distributing()), 3U);
    w.pass(200ms);
    EXPECT_EQ(bits(w.a.distributing()), 7U);
    w.link(2, false);
    w.pass(1s);
    w.link(2, true);
    w.pass(3s);
    EXPECT_EQ(bits(w.b.distributing()), 7U);
}

TEST(System, LosesTwoPdusInARowWithoutNoticeAndNotThree) {
    two_systems w(1);
    w.pass(10s);
    w.cut_a_to_b[0] = 1;
    w.pass(2500ms);
    w.cut_a_to_b[0] = 0;
    w.pass(5s);
    EXPECT_EQ(w.b.report(0)->counters.flaps, 0U);
    w.cut_a_to_b[0] = 1;
    w.pass(3900ms);
    EXPECT_EQ(w.b.report(0)->receive, receive_state::expired);
    EXPECT_EQ(bits(w.b.collecting()), 0U);
}

TEST(System, StopsDistributingBeforeTheFrameThatSaysSoIsFetched) {
    two_systems w(2);
    w.pass(5s);
    w.a.set_link(0, false, true, 10000, w.now);
    w.a.run(w.now);
    EXPECT_EQ(bits(w.a.distributing()), 2U);
    w.b.set_link(0, false, true, 10000, w.now);
    w.a.drain(1, true, w.now);
    w.a.run(w.now);
    EXPECT_EQ(bits(w.a.distributing()), 0U);
    EXPECT_EQ(bits(w.a.collecting()), 2U);
    auto const frames = w.a.take_frames();
    ASSERT_FALSE(frames.empty());
    EXPECT_FALSE(said(frames.back()).has(state::distributing));
    EXPECT_TRUE(said(frames.back()).has(state::collecting));
}

TEST(System, DrainsAPortAndKnowsWhenThePartnerStopped) {
    two_systems w(2);
    w.pass(5s);
    w.a.drain(0, true, w.now);
    w.pass(100ms);
    EXPECT_TRUE(w.a.report(0)->drained);
    EXPECT_EQ(w.a.report(0)->selection, selected::unselected);
    EXPECT_EQ(bits(w.a.distributing()), 2U);
    EXPECT_EQ(bits(w.b.distributing()), 2U);
    w.a.drain(0, false, w.now);
    w.pass(3s);
    EXPECT_EQ(bits(w.a.distributing()), 3U);
    EXPECT_FALSE(w.a.report(0)->draining);
}

TEST(System, SaysGoodbyeForARemovedPort) {
    two_systems w(2);
    w.pass(5s);
    w.a.remove_port(0, w.now);
    w.a.run(w.now);
    EXPECT_EQ(bits(w.a.collecting()), 2U);
    EXPECT_FALSE(w.a.report(0));
    auto const frames = w.a.take_frames();
    ASSERT_EQ(frames.size(), 1U);
    EXPECT_EQ(frames[0].port, 0);
    EXPECT_FALSE(said(frames[0]).has(state::synchronization));
    w.b.receive(0, frames[0].frame, w.now);
    w.b.run(w.now);
    EXPECT_EQ(bits(w.b.distributing()), 2U);
    w.a.remove_port(1, w.now, false);
    EXPECT_TRUE(w.a.take_frames().empty());
}

TEST(System, SeesItsOwnLoopAndForgetsItWithThePdus) {
    system s(settings_of(0x0a));
    time_point now = 100s;
    s.set_port(0, port_of(1), now);
    s.set_link(0, true, true, 10000, now);
    for (int i = 0; i < 100; ++i) {
        s.run(now);
        for (auto const& f : s.take_frames()) {
            s.receive(0, f.frame, now);
        }
        now += 100ms;
    }
    EXPECT_TRUE(s.report(0)->looped);
    EXPECT_EQ(s.report(0)->selection, selected::unselected);
    EXPECT_EQ(bits(s.collecting()), 0U);
    for (int i = 0; i < 80; ++i) {
        s.run(now);
        now += 100ms;
    }
    EXPECT_FALSE(s.report(0)->looped);
}

TEST(System, SendsAtMostThreePdusASecondWhateverHappens) {
    auto const seed = std::random_device{}();
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    two_systems w(3);
    auto s = w.a.settings();
    for (int i = 0; i < 2000; ++i) {
        s.key = static_cast<std::uint16_t>(1 + random() % 3);
        s.system.priority = static_cast<std::uint16_t>(random() % 4);
        w.a.set(s, w.now);
        w.pass(std::chrono::milliseconds(random() % 50));
    }
    for (port_index p = 0; p < 3; ++p) {
        std::vector<time_point> times;
        for (auto const& f : w.from_a) {
            if (f.what.port == p) {
                times.push_back(f.when);
            }
        }
        ASSERT_GT(times.size(), 10U);
        for (std::size_t i = 3; i < times.size(); ++i) {
            ASSERT_GE(times[i] - times[i - 3], fast_periodic_time);
        }
    }
}

TEST(System, FindsTheSameWhenItRunsMoreOftenThanItMust) {
    auto const seed = std::random_device{}();
    SCOPED_TRACE(seed);
    two_systems lazy(3);
    two_systems eager(3);
    std::mt19937 random(seed);
    for (int i = 0; i < 300; ++i) {
        auto const what = random() % 4;
        auto const port = static_cast<port_index>(random() % 3);
        for (auto* w : {&lazy, &eager}) {
            switch (what) {
            case 0: w->link(port, false); break;
            case 1: w->link(port, true); break;
            case 2: w->a.drain(port, i % 2 == 0, w->now); break;
            default: w->cut_b_to_a[port] ^= 1; break;
            }
        }
        auto const time = std::chrono::milliseconds(random() % 3000);
        lazy.pass(time);
        for (auto left = time; left > 0ms; left -= std::min(left, 7ms)) {
            eager.pass(std::min(left, 7ms));
        }
        ASSERT_EQ(lazy.now, eager.now);
        ASSERT_EQ(lazy.a.distributing(), eager.a.distributing());
        ASSERT_EQ(lazy.b.collecting(), eager.b.collecting());
        ASSERT_EQ(lazy.from_a.size(), eager.from_a.size());
        ASSERT_EQ(lazy.a.next_deadline(), eager.a.next_deadline());
    }
    for (std::size_t i = 0; i < lazy.from_a.size(); ++i) {
        ASSERT_EQ(lazy.from_a[i].when, eager.from_a[i].when);
        ASSERT_EQ(lazy.from_a[i].what.frame, eager.from_a[i].what.frame);
    }
}

TEST(System, AsksForNoTimeThatHasPassed) {
    two_systems w(4);
    w.each_instant = [&] {
        EXPECT_GT(w.a.next_deadline(), w.now);
        EXPECT_GT(w.b.next_deadline(), w.now);
    };
    w.pass(10s);
    w.link(1, false);
    w.pass(70s);
    w.cut_a_to_b[2] = 1;
    w.pass(100s);
}

TEST(System, CountsWhatIsNotAPdu) {
    system s(settings_of(0x0a));
    s.set_port(0, port_of(1), 1s);
    s.set_link(0, true, true, 10000, 1s);
    frame f = encode(lacpdu{}, mac(1));
    f[14] = 10; // subtype of somebody else
    s.receive(0, f, 1s);
    f[14] = 1;
    f[16] = 9; // no Actor TLV
    s.receive(0, f, 1s);
    f[12] = 8;
    f[13] = 0;
    s.receive(0, f, 1s);
    auto const c = s.report(0)->counters;
    EXPECT_EQ(c.unknown_rx, 1U);
    EXPECT_EQ(c.illegal_rx, 1U);
    EXPECT_EQ(c.lacpdus_rx, 0U);
    for (int i = 0; i < 1000; ++i) {
        s.receive(0, f, 1s);
    }
    EXPECT_EQ(s.report(0)->counters.rate_limited_rx, 1003U - most_rx_per_second);
}

TEST(System, IgnoresPortsThatItDoesNotHave) {
    system s(settings_of(0x0a));
    s.set_port(max_ports, port_of(1), 1s);
    s.set_link(5, true, true, 10000, 1s);
    s.receive(no_port_index, {}, 1s);
    s.drain(5, true, 1s);
    s.remove_port(5, 1s);
    EXPECT_EQ(s.request_marker(5, 1s), 0U);
    s.run(1s);
    EXPECT_EQ(s.next_deadline(), never);
    EXPECT_FALSE(s.report(5));
}

TEST(System, AnswersMarkersAndHearsItsOwnAnsweredOnce) {
    two_systems w(1);
    w.pass(3s);
    auto const id = w.a.request_marker(0, w.now);
    ASSERT_NE(id, 0U);
    w.pass(0s);
    auto const answers = w.a.take_marker_answers();
    ASSERT_EQ(answers.size(), 1U);
    EXPECT_EQ(answers[0].transaction, id);
    EXPECT_EQ(answers[0].port, 0);
    EXPECT_TRUE(w.a.take_marker_answers().empty());
    EXPECT_EQ(w.b.report(0)->counters.marker_pdus_rx, 1U);
    EXPECT_EQ(w.b.report(0)->counters.marker_response_pdus_tx, 1U);
    EXPECT_EQ(w.a.report(0)->counters.marker_response_pdus_rx, 1U);
}

} // namespace
} // namespace lagg::lacp
