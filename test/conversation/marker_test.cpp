// Marker over the wire, and what a flood of Slow Protocols frames does.
#include "conversation/wire.h"

#include "lacp/marker.h"

#include <gtest/gtest.h>

#include <vector>

namespace lagg::lacp::conversation {
namespace {

constexpr place a0{0, 0};
constexpr place a1{0, 1};
constexpr place b0{1, 0};

TEST(Marker, RequestComesBackOnTheSameLinkWithTheSameFields) {
    pair_of_systems w(ordinary(1), ordinary(2), 2);
    ASSERT_TRUE(w.run_until([&] { return w.all_up(); }, 4s));
    std::vector<std::pair<place, marker_pdu>> markers;
    w.on_frame([&markers](flight& f) {
        if (auto const m = decode_marker(f.frame)) {
            markers.emplace_back(f.from, *m);
        }
        return std::vector<time_point>{wire::default_delay};
    });
    std::uint32_t const transaction = w.request_marker(a0);
    ASSERT_NE(transaction, 0U);
    w.run_for(3s);
    ASSERT_EQ(markers.size(), 2U); // and no answer to the answer
    EXPECT_EQ(markers[0].first, a0);
    EXPECT_FALSE(markers[0].second.response);
    EXPECT_EQ(markers[0].second.requester_system, ordinary(1).system.address);
    EXPECT_EQ(markers[0].second.requester_port, 1);
    EXPECT_EQ(markers[0].second.transaction, transaction);
    EXPECT_EQ(markers[1].first, b0);
    EXPECT_EQ(markers[1].second, *respond(markers[0].second));
    auto const answers = w.answers(0);
    ASSERT_EQ(answers.size(), 1U);
    EXPECT_EQ(answers[0].port, 0);
    EXPECT_EQ(answers[0].transaction, transaction);
    EXPECT_TRUE(w.answers(1).empty());
    auto const& ca = w.report(a0).counters;
    auto const& cb = w.report(b0).counters;
    EXPECT_EQ(ca.marker_pdus_tx, 1U);
    EXPECT_EQ(ca.marker_response_pdus_rx, 1U);
    EXPECT_EQ(cb.marker_pdus_rx, 1U);
    EXPECT_EQ(cb.marker_response_pdus_tx, 1U);
    EXPECT_EQ(cb.marker_pdus_tx, 0U);
}

TEST(Marker, TransactionsOfTheSystemAreDistinct) {
    pair_of_systems w(ordinary(1), ordinary(2), 2);
    ASSERT_TRUE(w.run_until([&] { return w.all_up(); }, 4s));
    auto const first = w.request_marker(a0);
    auto const second = w.request_marker(a1);
    auto const third = w.request_marker(a0);
    EXPECT_NE(first, second);
    EXPECT_NE(second, third);
    EXPECT_NE(first, third);
    w.run_for(1s);
    EXPECT_EQ(w.answers(0).size(), 3U);
}

TEST(Marker, CannotBeSentWithoutLinkOrPort) {
    pair_of_systems w(ordinary(1), ordinary(2), 1);
    ASSERT_TRUE(w.run_until([&] { return w.all_up(); }, 4s));
    EXPECT_EQ(w.at(0).request_marker(7, w.now()), 0U);
    w.carrier(0, false);
    EXPECT_EQ(w.request_marker(a0), 0U);
    w.run_for(1s);
    EXPECT_EQ(w.seen(a0).markers_sent, 0U);
}

TEST(Marker, ResponseThatNobodyAskedForIsNeitherAnsweredNorReported) {
    pair_of_systems w(ordinary(1), ordinary(2), 1);
    ASSERT_TRUE(w.run_until([&] { return w.all_up(); }, 4s));
    marker_pdu stray{.response = true,
                     .requester_port = 1,
                     .requester_system = ordinary(1).system.address,
                     .transaction = 4711};
    w.inject(a0, encode(stray, ordinary_port(1, 0).source));
    stray.requester_system = ordinary(7).system.address; // for somebody else
    w.inject(a0, encode(stray, ordinary_port(1, 0).source));
    w.run_for(1s);
    EXPECT_TRUE(w.answers(0).empty());
    EXPECT_EQ(w.seen(a0).markers_sent + w.seen(a0).responses_sent, 0U);
    EXPECT_EQ(w.report(a0).counters.marker_response_pdus_rx, 2U);
}

TEST(Marker, AnswerThatArrivesTwiceIsReportedOnce) {
    pair_of_systems w(ordinary(1), ordinary(2), 1);
    ASSERT_TRUE(w.run_until([&] { return w.all_up(); }, 4s));
    w.on_frame([](flight&) { return std::vector<time_point>{1ms, 2ms}; });
    w.request_marker(a0);
    w.run_for(1s);
    EXPECT_EQ(w.answers(0).size(), 1U);
}

TEST(Marker, AnswerOnAnotherPortIsNotTheAnswer) {
    pair_of_systems w(ordinary(1), ordinary(2), 2);
    ASSERT_TRUE(w.run_until([&] { return w.all_up(); }, 4s));
    w.cut(0, true, false);
    auto const transaction = w.request_marker(a0);
    w.run_for(1ms);
    marker_pdu const answer{.response = true,
                            .requester_port = 1,
                            .requester_system = ordinary(1).system.address,
                            .transaction = transaction};
    w.inject(a1, encode(answer, ordinary_port(1, 1).source));
    w.run_for(1s);
    EXPECT_TRUE(w.answers(0).empty());
}

// 6.5.4.2: frames behind a marker are not reordered by it; the responder asks no state of LACP.
TEST(Marker, IsAnsweredByAPortThatStandsBy) {
    system_settings one = ordinary(2);
    one.max_links = 1;
    pair_of_systems w(ordinary(1), one, 2);
    w.run_for(10s);
    ASSERT_FALSE(w.collects({1, 1}));
    ASSERT_NE(w.request_marker(a1), 0U);
    w.run_for(1s);
    EXPECT_EQ(w.answers(0).size(), 1U);
}

TEST(Flood, OfMarkersIsAnsweredABoundedNumberOfTimes) {
    pair_of_systems w(ordinary(1), ordinary(2), 2);
    ASSERT_TRUE(w.run_until([&] { return w.all_up(); }, 4s));
    auto const request = encode(marker_pdu{.requester_port = 1,
                                           .requester_system = ordinary(1).system.address,
                                           .transaction = 1},
                                ordinary_port(1, 0).source);
    for (int i = 0; i < 20000; ++i) {
        w.inject(a0, request);
        if (i % 100 == 0) {
            w.run_for(10ms);
        }
    }
    EXPECT_LE(w.seen(a0).responses_sent, std::uint64_t{3} * most_rx_per_second);
    auto const c = w.report(a0).counters;
    EXPECT_GE(c.rate_limited_rx, 20000U - 3 * most_rx_per_second);
    EXPECT_EQ(w.seen({0, 1}).distributing.size(), 1U);
    EXPECT_TRUE(w.up(1));
}

TEST(Flood, OfLacpdusOnOnePortDisturbsNoOtherAndEnds) {
    pair_of_systems w(ordinary(1), ordinary(2), 3);
    ASSERT_TRUE(w.run_until([&] { return w.all_up(); }, 4s));
    w.run_for(3s);
    auto const before = w.seen(a1).lacpdus_sent;
    for (int i = 0; i < 50000; ++i) { // each from another partner
        lacpdu pdu;
        pdu.actor = {.system = {1,
                                {{0x02, 1, 2, 3, static_cast<std::uint8_t>(i / 256),
                                  static_cast<std::uint8_t>(i)}}},
                     .key = 1,
                     .port = {1, static_cast<std::uint16_t>(i + 1)},
                     .state = 0x3f};
        w.inject(a0, encode(pdu, ordinary_port(1, 0).source));
        if (i % 100 == 0) {
            w.run_for(10ms);
        }
    }
    EXPECT_GT(w.report(a0).counters.rate_limited_rx, 40000U);
    EXPECT_NEAR(static_cast<double>(w.seen(a1).lacpdus_sent - before), 5, 2);
    EXPECT_EQ(w.seen(a1).distributing.size(), 1U);
    EXPECT_EQ(w.seen({0, 2}).distributing.size(), 1U);
    EXPECT_TRUE(w.run_until([&] { return w.all_up(); }, 15s));
}

TEST(Flood, OfFramesThatAreWrongDoesNotExpireThePortThatGetsThem) {
    pair_of_systems w(ordinary(1), ordinary(2), 1);
    ASSERT_TRUE(w.run_until([&] { return w.all_up(); }, 4s));
    std::array<std::uint8_t, 60> oam{};
    oam[12] = 0x88;
    oam[13] = 0x09;
    oam[14] = 3;
    for (int i = 0; i < 1000; ++i) { // 10 a second: what Annex 57A allows each of them
        w.inject(a0, oam);
        w.run_for(100ms);
    }
    EXPECT_TRUE(w.up(0));
    EXPECT_EQ(w.seen(a0).distributing.size(), 1U);
    EXPECT_EQ(w.report(a0).counters.rate_limited_rx, 0U);
}

} // namespace
} // namespace lagg::lacp::conversation
