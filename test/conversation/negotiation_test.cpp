// How two systems come together, and what each kind of them says.
#include "conversation/wire.h"

#include <gtest/gtest.h>

namespace lagg::lacp::conversation {
namespace {

constexpr std::uint8_t carrying = 0x3c; // aggregation, sync, collecting, distributing

TEST(Negotiation, OfTwoActiveFastSystemsEndsWithinThreeSecondsOfLinkUp) {
    pair_of_systems w(ordinary(1), ordinary(2), 2);
    EXPECT_TRUE(w.run_until([&] { return w.all_up(); }, 3s));
    EXPECT_EQ(w.report({0, 0}).actor.state, 0x3f);
    EXPECT_EQ(w.report({1, 1}).actor.state, 0x3f);
}

TEST(Negotiation, OfTwoActiveSlowSystemsEndsWithinThreeSecondsOfLinkUp) {
    pair_of_systems w(ordinary(1, lacp_rate::slow), ordinary(2, lacp_rate::slow), 2);
    EXPECT_TRUE(w.run_until([&] { return w.all_up(); }, 3s));
    EXPECT_EQ(w.report({0, 0}).actor.state, 0x3d);
    EXPECT_EQ(w.report({1, 0}).actor.state, 0x3d);
}

TEST(Negotiation, OfAFastAndASlowSystemKeepsEachOnesTimeout) {
    pair_of_systems w(ordinary(1, lacp_rate::fast), ordinary(2, lacp_rate::slow));
    ASSERT_TRUE(w.run_until([&] { return w.all_up(); }, 3s));
    w.run_for(2s); // DISTRIBUTING is told with the next PDU
    EXPECT_EQ(w.report({0, 0}).actor.state, 0x3f);
    EXPECT_EQ(w.report({0, 0}).partner.state, 0x3d);
    EXPECT_EQ(w.report({1, 0}).actor.state, 0x3d);
}

TEST(Negotiation, OfAnActiveAndAPassiveSystemSucceeds) {
    for (lacp_rate const rate : {lacp_rate::fast, lacp_rate::slow}) {
        pair_of_systems w(ordinary(1, rate), ordinary(2, rate, false), 2);
        EXPECT_TRUE(w.run_until([&] { return w.all_up(); }, 4s));
        EXPECT_EQ(w.report({1, 0}).actor.state & carrying, carrying);
        EXPECT_FALSE(w.report({1, 0}).actor.has(state::activity));
    }
}

TEST(Negotiation, OfTwoPassiveSystemsNeverBeginsAndSaysNothing) {
    pair_of_systems w(ordinary(1, lacp_rate::fast, false), ordinary(2, lacp_rate::fast, false), 2);
    w.run_for(300s);
    for (place const p : {place{0, 0}, place{0, 1}, place{1, 0}, place{1, 1}}) {
        EXPECT_EQ(w.seen(p).lacpdus_sent, 0U);
        EXPECT_FALSE(w.collects(p));
        EXPECT_TRUE(w.seen(p).distributing.empty());
        EXPECT_EQ(w.report(p).receive, receive_state::defaulted);
    }
}

TEST(Negotiation, BeginsWhenOneOfTwoPassiveSystemsBecomesActive) {
    pair_of_systems w(ordinary(1, lacp_rate::fast, false), ordinary(2, lacp_rate::fast, false), 2);
    w.run_for(20s);
    w.set(w.a, ordinary(1));
    // 6.4.13: at the latest with the next slow period.
    EXPECT_TRUE(w.run_until([&] { return w.all_up(); }, 33s));
}

TEST(Negotiation, SettlesTheTermsOfAnActivePairThatBecomesPassiveOnOneSide) {
    pair_of_systems w(ordinary(1), ordinary(2));
    ASSERT_TRUE(w.run_until([&] { return w.all_up(); }, 3s));
    w.set(w.b, ordinary(2, lacp_rate::fast, false));
    w.run_for(60s);
    EXPECT_TRUE(w.up(0));
    EXPECT_EQ(w.report({0, 0}).partner.state, 0x3e);
    EXPECT_EQ(w.seen({0, 0}).distributing.size(), 1U);
    EXPECT_EQ(w.seen({1, 0}).distributing.size(), 1U);
}

TEST(Negotiation, LosesNoFrameUnderIndependentControl) {
    for (time_point const delay : {1ms, 100ms, 700ms}) {
        pair_of_systems w(ordinary(1), ordinary(2));
        w.delay(0, delay);
        ASSERT_TRUE(w.run_until([&] { return w.all_up(); }, 8s)) << delay.count();
        w.run_for(5s);
        EXPECT_EQ(w.lost_data({0, 0}, {1, 0}, 12s, delay), 0ns);
        EXPECT_EQ(w.lost_data({1, 0}, {0, 0}, 12s, delay), 0ns);
    }
}

TEST(Negotiation, UnderCoupledControlNeverCollectsWithoutDistributing) {
    system_settings coupled = ordinary(1);
    coupled.mux = mux_control::coupled;
    pair_of_systems w(coupled, coupled, 2);
    system_settings other = ordinary(2);
    other.mux = mux_control::coupled;
    w.set(w.b, other);
    ASSERT_TRUE(w.run_until([&] { return w.all_up(); }, 4s));
    for (place const p : {place{0, 0}, place{0, 1}, place{1, 0}, place{1, 1}}) {
        EXPECT_EQ(w.seen(p).collecting, w.seen(p).distributing);
        EXPECT_EQ(w.report(p).mux, mux_state::collecting_distributing);
    }
}

TEST(Negotiation, BetweenCoupledAndIndependentControlSucceeds) {
    system_settings coupled = ordinary(1);
    coupled.mux = mux_control::coupled;
    pair_of_systems w(coupled, ordinary(2), 2);
    EXPECT_TRUE(w.run_until([&] { return w.all_up(); }, 4s));
    EXPECT_EQ(w.report({0, 0}).mux, mux_state::collecting_distributing);
    EXPECT_EQ(w.report({1, 0}).mux, mux_state::distributing);
}

TEST(Negotiation, WaitsForWaitWhileBeforeItAttaches) {
    system_settings patient = ordinary(1);
    patient.wait_while = 5s;
    pair_of_systems w(patient, ordinary(2), 2);
    w.run_for(4900ms);
    EXPECT_FALSE(w.distributes({0, 0}));
    EXPECT_TRUE(w.run_until([&] { return w.all_up(); }, 1s));
}

// 6.4.13, 6.4.16: a PDU each second to who wants it fast, each 30 seconds to who does not.
TEST(Periodic, RateIsTheOneThatThePartnerAsksFor) {
    pair_of_systems w(ordinary(1, lacp_rate::fast), ordinary(2, lacp_rate::slow));
    ASSERT_TRUE(w.run_until([&] { return w.all_up(); }, 3s));
    w.run_for(10s);
    auto const fast_before = w.seen({1, 0}).lacpdus_sent;
    auto const slow_before = w.seen({0, 0}).lacpdus_sent;
    w.run_for(300s);
    EXPECT_NEAR(static_cast<double>(w.seen({1, 0}).lacpdus_sent - fast_before), 300, 1);
    EXPECT_NEAR(static_cast<double>(w.seen({0, 0}).lacpdus_sent - slow_before), 10, 1);
}

TEST(Periodic, RateOfFastToSlowAndBackIsTakenUpLiveAndNothingExpires) {
    pair_of_systems w(ordinary(1), ordinary(2));
    ASSERT_TRUE(w.run_until([&] { return w.all_up(); }, 3s));
    w.run_for(10s);
    auto const changes = w.seen({0, 0}).mux_changes + w.seen({1, 0}).mux_changes;
    w.set(w.b, ordinary(2, lacp_rate::slow));
    w.run_for(5s);
    EXPECT_EQ(w.report({0, 0}).partner.state, 0x3d);
    EXPECT_EQ(w.report({0, 0}).periodic, periodic_state::slow_periodic);
    auto sent = w.seen({0, 0}).lacpdus_sent;
    w.run_for(60s);
    EXPECT_LE(w.seen({0, 0}).lacpdus_sent - sent, 3U);

    w.set(w.b, ordinary(2, lacp_rate::fast));
    w.run_for(3s);
    EXPECT_EQ(w.report({0, 0}).partner.state, 0x3f);
    EXPECT_EQ(w.report({0, 0}).periodic, periodic_state::fast_periodic);
    sent = w.seen({0, 0}).lacpdus_sent;
    w.run_for(60s);
    EXPECT_NEAR(static_cast<double>(w.seen({0, 0}).lacpdus_sent - sent), 60, 1);
    EXPECT_EQ(w.seen({0, 0}).mux_changes + w.seen({1, 0}).mux_changes, changes);
    EXPECT_EQ(w.seen({0, 0}).distributing.size(), 1U);
    EXPECT_EQ(w.seen({1, 0}).distributing.size(), 1U);
}

TEST(Periodic, RateAlsoHoldsForPortsThatJoinLater) {
    pair_of_systems w(ordinary(1), ordinary(2));
    w.run_for(5s);
    w.set(w.a, ordinary(1, lacp_rate::slow));
    w.run_for(5s);
    w.plug(w.add_port(0, 1), w.add_port(1, 1));
    ASSERT_TRUE(w.run_until([&] { return w.all_up(); }, 5s));
    EXPECT_FALSE(w.report({0, 1}).actor.has(state::short_timeout));
    EXPECT_FALSE(w.report({1, 1}).partner.has(state::short_timeout));
}

TEST(Transmit, OfChangesThatNeverEndIsThreePdusInASecond) {
    pair_of_systems w(ordinary(1), ordinary(2));
    ASSERT_TRUE(w.run_until([&] { return w.all_up(); }, 3s));
    auto const sent = w.seen({0, 0}).lacpdus_sent;
    port_settings s = ordinary_port(0, 0);
    for (std::uint16_t i = 0; i < 100; ++i) {
        s.id.priority = i;
        w.set_port({0, 0}, s);
        w.run_for(100ms);
    }
    EXPECT_LE(w.seen({0, 0}).lacpdus_sent - sent, 33U);
    EXPECT_GE(w.seen({0, 0}).lacpdus_sent - sent, 27U);
    w.run_for(2s);
    EXPECT_EQ(w.report({1, 0}).partner.port.priority, 99);
    EXPECT_TRUE(w.up(0));
}

// Version 2 (6.4.2.4) has longer PDUs with TLVs that a version 1 system does not know.
TEST(Partner, OfVersion2IsUnderstoodAndSpokenToInVersion1) {
    pair_of_systems w(ordinary(1), ordinary(2), 2);
    w.on_frame([](flight& f) {
        if (f.from.system == 1) {
            f.frame.resize(72);
            f.frame[15] = 2;
            for (std::uint8_t type : {0x04, 0x05, 0x06, 0x0a}) {
                f.frame.push_back(type);
                f.frame.push_back(20);
                f.frame.insert(f.frame.end(), 18, std::uint8_t{0xab});
            }
            f.frame.insert(f.frame.end(), 60, std::uint8_t{0});
        }
        return std::vector<time_point>{wire::default_delay};
    });
    EXPECT_TRUE(w.run_until([&] { return w.all_up(); }, 3s));
    w.run_for(60s);
    EXPECT_TRUE(w.all_up());
    EXPECT_EQ(w.seen({0, 0}).last_said->version, 1);
    EXPECT_EQ(w.report({0, 0}).counters.illegal_rx, 0U);
    EXPECT_EQ(w.report({0, 0}).counters.unknown_rx, 0U);
}

TEST(Counters, AreThoseOfTheMib) {
    pair_of_systems w(ordinary(1), ordinary(2));
    ASSERT_TRUE(w.run_until([&] { return w.all_up(); }, 3s));
    w.run_for(10s);
    auto const& c = w.report({0, 0}).counters;
    EXPECT_EQ(c.lacpdus_tx, w.seen({0, 0}).lacpdus_sent);
    EXPECT_EQ(c.lacpdus_rx, w.seen({1, 0}).lacpdus_sent);
    std::array<std::uint8_t, 124> bad{};
    bad[12] = 0x88;
    bad[13] = 0x09;
    bad[14] = 1; // LACP, version 0
    w.inject({0, 0}, bad);
    bad[14] = 2; // Marker, version 0
    w.inject({0, 0}, bad);
    bad[14] = 3; // OAM
    w.inject({0, 0}, bad);
    bad[13] = 0; // no Slow Protocol
    w.inject({0, 0}, bad);
    w.run_for(0ns);
    auto const& after = w.report({0, 0}).counters;
    EXPECT_EQ(after.lacpdus_rx, c.lacpdus_rx);
    EXPECT_EQ(after.illegal_rx, c.illegal_rx + 2);
    EXPECT_EQ(after.unknown_rx, c.unknown_rx + 1);
    EXPECT_TRUE(w.up(0));
}

} // namespace
} // namespace lagg::lacp::conversation
