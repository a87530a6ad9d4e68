// Which ports carry traffic: settings that change live, standby, selection, fallback, damping,
// drain.
#include "conversation/wire.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <bit>

namespace lagg::lacp::conversation {
namespace {

constexpr place a0{0, 0};
constexpr place a1{0, 1};
constexpr place a2{0, 2};
constexpr place a3{0, 3};
constexpr place b0{1, 0};
constexpr place b1{1, 1};
constexpr place b2{1, 2};
constexpr place b3{1, 3};

void settle(pair_of_systems& w) {
    ASSERT_TRUE(w.run_until([&] { return w.all_up(); }, 4s));
    w.run_for(5s);
}

bool stayed_up(wire const& w, place p) {
    return w.seen(p).distributing.size() == 1 && w.distributes(p);
}

/// The cables that carry traffic at both ends, as bits; no cable may carry it at one end only.
std::uint32_t carrying(wire const& w) {
    EXPECT_EQ(w.disagreement(), "");
    std::uint32_t bits = 0;
    for (cable_number c = 0; c < w.cables(); ++c) {
        bits |= w.up(c) ? 1U << c : 0U;
    }
    return bits;
}

TEST(Change, OfTheKeyRenegotiatesAndComesUp) {
    pair_of_systems w(ordinary(1), ordinary(2), 2);
    settle(w);
    system_settings s = ordinary(1);
    s.key = 777;
    w.set(w.a, s);
    w.run_for(10ms);
    EXPECT_FALSE(w.report(a0).actor.has(state::synchronization)); // 6.4.14: UNSELECTED
    EXPECT_EQ(w.report(b0).partner.key, 777);
    EXPECT_FALSE(w.report(b0).partner.has(state::synchronization));
    EXPECT_FALSE(w.distributes(a0));
    EXPECT_FALSE(w.distributes(b0));
    EXPECT_TRUE(w.run_until([&] { return w.all_up(); }, 5s));
    EXPECT_EQ(w.report(b0).partner.key, 777);
}

TEST(Change, OfOnePortsKeyTakesThatPortOutOfTheAggregateOnly) {
    pair_of_systems w(ordinary(1), ordinary(2), 3);
    settle(w);
    port_settings s = ordinary_port(0, 1);
    s.key = 888;
    w.set_port(a1, s);
    w.run_for(0ns);
    EXPECT_FALSE(w.report(a1).actor.has(state::synchronization));
    w.run_for(20s);
    EXPECT_EQ(carrying(w), 0b101U);
    EXPECT_TRUE(stayed_up(w, a0));
    EXPECT_TRUE(stayed_up(w, {0, 2}));
    EXPECT_FALSE(w.distributes(a1));
    EXPECT_FALSE(w.distributes(b1));
    w.set_port(a1, ordinary_port(0, 1));
    EXPECT_TRUE(w.run_until([&] { return w.all_up(); }, 5s));
    EXPECT_TRUE(stayed_up(w, a0));
}

TEST(Change, OfTheSystemIdRenegotiatesAndComesUp) {
    pair_of_systems w(ordinary(1), ordinary(2), 2);
    settle(w);
    system_settings s = ordinary(1);
    s.system = {100, {{0x02, 9, 9, 9, 9, 9}}};
    w.set(w.a, s);
    w.run_for(10ms);
    EXPECT_FALSE(w.distributes(a0));
    EXPECT_FALSE(w.distributes(b0));
    EXPECT_TRUE(w.run_until([&] { return w.all_up(); }, 5s));
    EXPECT_EQ(w.report(b0).partner.system, s.system);
}

TEST(Change, OfPortPrioritiesIsToldAndAllPortsComeUpAgain) {
    pair_of_systems w(ordinary(1), ordinary(2), 2);
    settle(w);
    port_settings s = ordinary_port(0, 0);
    s.id.priority = 5;
    w.set_port(a0, s);
    w.run_for(10s);
    EXPECT_TRUE(w.all_up());
    EXPECT_EQ(w.report(b0).partner.port.priority, 5);
    EXPECT_TRUE(stayed_up(w, a1));
    EXPECT_TRUE(stayed_up(w, b1));
}

TEST(Change, OfTheSystemPriorityIsToldAndComesUpAgain) {
    pair_of_systems w(ordinary(1), ordinary(2), 2);
    settle(w);
    system_settings s = ordinary(2);
    s.system.priority = 5;
    w.set(w.b, s);
    w.run_for(10s);
    EXPECT_TRUE(w.all_up());
    EXPECT_EQ(w.report(a0).partner.system.priority, 5);
}

// Numbers on the wire are compared as numbers: 256 is more than 1.
TEST(Standby, ComparesPrioritiesAsNumbers) {
    system_settings one = ordinary(1);
    one.max_links = 1;
    pair_of_systems w(one, ordinary(2), 2);
    port_settings s = ordinary_port(0, 0);
    s.id.priority = 256;
    w.set_port(a0, s);
    s = ordinary_port(0, 1);
    s.id.priority = 1;
    w.set_port(a1, s);
    w.run_for(20s);
    EXPECT_EQ(carrying(w), 0b10U);
}

TEST(Standby, IsLeftToTheSamePortsByBothEnds) {
    for (auto const& [most_a, most_b, expected] :
         {std::tuple{2U, 32U, 0b0011U}, {32U, 2U, 0b0011U}, {2U, 3U, 0b0011U}, {1U, 1U, 0b0001U}}) {
        system_settings sa = ordinary(1);
        sa.max_links = most_a;
        system_settings sb = ordinary(2);
        sb.max_links = most_b;
        pair_of_systems w(sa, sb, 4);
        w.run_for(20s);
        EXPECT_EQ(carrying(w), expected) << most_a << ' ' << most_b;
        EXPECT_EQ(w.report(most_a <= most_b ? a3 : b3).selection, selected::standby);
    }
}

// 6.7.1: the system with the better id says whose port numbers count.
TEST(Standby, IsDecidedByThePortIdsOfTheSystemWithTheBetterId) {
    for (bool const a_is_better : {true, false}) {
        system_settings sa = ordinary(1);
        sa.max_links = 2;
        sa.system.priority = a_is_better ? 1 : 3;
        system_settings sb = ordinary(2);
        sb.max_links = 2;
        sb.system.priority = 2;
        pair_of_systems w(sa, sb, 0);
        for (port_index i = 0; i < 4; ++i) {
            w.plug(w.add_port(0, i), w.add_port(1, static_cast<port_index>(3 - i)));
        }
        w.run_for(20s);
        EXPECT_EQ(carrying(w), a_is_better ? 0b0011U : 0b1100U);
    }
}

TEST(Standby, IsPromotedWhenASelectedPortLosesItsLink) {
    system_settings sa = ordinary(1);
    sa.max_links = 2;
    system_settings sb = ordinary(2);
    sb.max_links = 2;
    pair_of_systems w(sa, sb, 4);
    w.run_for(20s);
    ASSERT_EQ(carrying(w), 0b0011U);
    w.carrier(0, false);
    EXPECT_TRUE(w.run_until([&] { return carrying(w) == 0b0110U; }, 4s));
    EXPECT_TRUE(stayed_up(w, a1));
    EXPECT_TRUE(stayed_up(w, b1));
    w.run_for(30s);
    EXPECT_EQ(carrying(w), 0b0110U);
    w.carrier(0, true);
    w.run_for(20s);
    EXPECT_EQ(carrying(w), 0b0011U);
    EXPECT_TRUE(stayed_up(w, a1));
}

TEST(Standby, IsPromotedWhenASelectedPortIsCutSilently) {
    system_settings sa = ordinary(1);
    sa.max_links = 2;
    pair_of_systems w(sa, ordinary(2), 3);
    w.run_for(20s);
    ASSERT_EQ(carrying(w), 0b011U);
    w.cut(1, true, true);
    EXPECT_TRUE(w.run_until([&] { return w.up(2); }, 12s));
    EXPECT_TRUE(w.up(0));
    EXPECT_TRUE(stayed_up(w, a0));
}

TEST(Standby, FollowsAPortPriorityThatChanges) {
    system_settings sa = ordinary(1);
    sa.max_links = 1;
    pair_of_systems w(sa, ordinary(2), 2);
    w.run_for(20s);
    ASSERT_EQ(carrying(w), 0b01U);
    port_settings s = ordinary_port(0, 1);
    s.id.priority = 1;
    w.set_port(a1, s);
    w.run_for(20s);
    EXPECT_EQ(carrying(w), 0b10U);
}

TEST(Standby, FollowsMaxLinksThatChanges) {
    pair_of_systems w(ordinary(1), ordinary(2), 4);
    settle(w);
    system_settings s = ordinary(1);
    s.max_links = 1;
    w.set(w.a, s);
    w.run_for(20s);
    EXPECT_EQ(carrying(w), 0b0001U);
    EXPECT_TRUE(stayed_up(w, a0));
    s.max_links = 3;
    w.set(w.a, s);
    w.run_for(20s);
    EXPECT_EQ(carrying(w), 0b0111U);
    EXPECT_TRUE(stayed_up(w, a0));
    EXPECT_TRUE(stayed_up(w, b0));
}

TEST(Individual, PortsEachMakeAnAggregateAndBothEndsUseTheSame) {
    pair_of_systems w(ordinary(1), ordinary(2), 0);
    for (port_index i = 0; i < 3; ++i) {
        port_settings s = ordinary_port(0, i);
        s.aggregation = false;
        w.plug(w.add_port(0, i, s), w.add_port(1, static_cast<port_index>(2 - i)));
    }
    w.run_for(120s);
    EXPECT_EQ(std::popcount(carrying(w)), 1);
    for (port_index i = 0; i < 3; ++i) {
        EXPECT_TRUE(w.report({0, i}).individual);
    }
}

TEST(Individual, IsAHalfDuplexLinkBesideAnAggregateThatGoesOn) {
    pair_of_systems w(ordinary(1), ordinary(2), 3);
    settle(w);
    w.set_link(a2, true, false);
    w.set_link(b2, true, false);
    w.run_for(20s);
    EXPECT_EQ(carrying(w), 0b011U);
    EXPECT_TRUE(stayed_up(w, a0));
    EXPECT_TRUE(w.report(a2).individual);
    EXPECT_FALSE(w.report(a2).actor.has(state::aggregation));
}

/// a has ports 0, 1 to b; 2, 3, 4 to c.
struct two_partners : wire {
    explicit two_partners(selection_rule rule) {
        system_settings s = ordinary(1);
        s.select = rule;
        add_system(s);
        add_system(ordinary(2));
        add_system(ordinary(3));
        for (port_index i = 0; i < 5; ++i) {
            plug(add_port(0, i), add_port(i < 2 ? 1 : 2, i));
        }
    }
};

TEST(Selection, ByCountTakesTheAggregatorWithTheMostPorts) {
    two_partners w(selection_rule::count);
    w.run_for(20s);
    EXPECT_EQ(carrying(w), 0b11100U);
    w.carrier(2, false);
    w.carrier(3, false);
    w.run_for(20s);
    EXPECT_EQ(carrying(w), 0b00011U);
    w.carrier(2, true);
    w.carrier(3, true);
    w.run_for(20s);
    EXPECT_EQ(carrying(w), 0b11100U);
}

TEST(Selection, ByBandwidthTakesTheGreatestSumOfSpeeds) {
    two_partners w(selection_rule::bandwidth);
    for (port_index i = 0; i < 5; ++i) {
        w.set_link({0, i}, true, true, i < 2 ? 100000 : 10000);
    }
    w.run_for(20s);
    EXPECT_EQ(carrying(w), 0b00011U);
    w.set_link(a0, true, true, 10000);
    w.set_link(a1, true, true, 10000);
    w.run_for(20s);
    EXPECT_EQ(carrying(w), 0b11100U);
}

TEST(Selection, StableStaysWithThePresentPartnerWhileAPortOfItIsUp) {
    two_partners w(selection_rule::stable);
    w.run_for(20s);
    std::uint32_t const first = carrying(w);
    ASSERT_TRUE(first == 0b00011U || first == 0b11100U);
    for (cable_number c = 0; c < 5; ++c) { // all but one of the present ones
        if ((first >> c & 1U) != 0 && c != 1 && c != 4) {
            w.carrier(c, false);
        }
    }
    w.run_for(60s);
    std::uint32_t const left = first & 0b10010U;
    EXPECT_EQ(carrying(w), left);
    w.carrier(left == 0b10U ? 1 : 4, false);
    w.run_for(20s);
    EXPECT_EQ(carrying(w), ~first & 0b11111U);
    for (cable_number c = 0; c < 5; ++c) { // and stays when the first comes back
        w.carrier(c, true);
    }
    w.run_for(60s);
    EXPECT_EQ(carrying(w), ~first & 0b11111U);
}

TEST(Selection, PrefersWhoeverHasAPartner) {
    for (selection_rule const rule :
         {selection_rule::stable, selection_rule::bandwidth, selection_rule::count}) {
        system_settings s = ordinary(1);
        s.select = rule;
        pair_of_systems w(s, ordinary(2), 0);
        for (port_index i = 0; i < 3; ++i) {
            w.set_link(w.add_port(0, i), true); // nobody there
        }
        w.run_for(30s);
        cable_number const c = w.plug(w.add_port(0, 3), w.add_port(1, 0));
        w.run_for(20s);
        EXPECT_TRUE(w.up(c)) << to_string(rule);
    }
}

// Each end uses one aggregator, and must not wait for ever for the other to come to it.
TEST(Selection, OfTwoEndsThatHaveSeveralAggregatorsInCommonIsTheSame) {
    constexpr std::array rules{selection_rule::stable, selection_rule::bandwidth,
                               selection_rule::count};
    for (selection_rule const of_a : rules) {
        for (selection_rule const of_b : rules) {
            for (bool const a_is_better : {true, false}) {
                system_settings sa = ordinary(1);
                sa.select = of_a;
                sa.system.priority = a_is_better ? 1 : 3;
                system_settings sb = ordinary(2);
                sb.select = of_b;
                sb.system.priority = 2;
                pair_of_systems w(sa, sb, 0);
                for (port_index i = 0; i < 3; ++i) { // two links, and one of another key
                    port_settings s = ordinary_port(0, i);
                    s.key = i < 2 ? std::uint16_t{10} : std::uint16_t{20};
                    w.plug(w.add_port(0, i, s), w.add_port(1, static_cast<port_index>(2 - i)));
                }
                w.set_link(b0, true, true, 100000); // what the ends think of speed differs
                w.run_for(60s);
                std::uint32_t const used = carrying(w);
                EXPECT_TRUE(used == 0b011U || used == 0b100U)
                    << used << ' ' << to_string(of_a) << ' ' << to_string(of_b);
                auto const changes = w.seen(a0).mux_changes + w.seen(a2).mux_changes;
                w.run_for(60s);
                EXPECT_EQ(w.seen(a0).mux_changes + w.seen(a2).mux_changes, changes);
                EXPECT_EQ(carrying(w), used);
            }
        }
    }
}

// What EVPN multihoming needs: two devices that say the same system, key and distinct port numbers.
TEST(SharedSystemId, OfTwoDevicesIsOneAggregateForTheirPartner) {
    wire w;
    w.add_system(ordinary(1));
    w.add_system(ordinary(2));
    w.add_system(ordinary(2));
    for (port_index i = 0; i < 4; ++i) {
        port_settings s = ordinary_port(i < 2 ? 1 : 2, i);
        s.id.number = static_cast<std::uint16_t>(i < 2 ? 1 + i : 1001 + i);
        w.plug(w.add_port(0, i), w.add_port(i < 2 ? 1 : 2, i, s));
    }
    w.run_for(20s);
    EXPECT_EQ(carrying(w), 0b1111U);
    for (place const p : {a1, a2, a3}) {
        EXPECT_EQ(w.report(p).aggregator, w.report(a0).aggregator);
        EXPECT_FALSE(w.report(p).looped);
    }
    w.carrier(0, false);
    w.carrier(1, false); // one device is gone
    w.run_for(20s);
    EXPECT_EQ(carrying(w), 0b1100U);
    EXPECT_TRUE(stayed_up(w, a2));
}

/// One system, ports 0..2 with link, nobody who speaks at their other ends.
struct silent_partner : wire {
    explicit silent_partner(fallback f) {
        system_settings s = ordinary(1);
        s.fallback = f;
        add_system(s);
        for (port_index i = 0; i < 3; ++i) {
            add_port(0, i);
            set_link({0, i}, true);
        }
    }
    int used() const {
        int n = 0;
        for (port_index i = 0; i < 3; ++i) {
            n += distributes({0, i}) && collects({0, i}) ? 1 : 0;
        }
        return n;
    }
};

TEST(Fallback, StrictUsesNoPortWithoutPartner) {
    silent_partner w(fallback::strict);
    w.run_for(300s);
    EXPECT_EQ(w.used(), 0);
    EXPECT_TRUE(w.seen(a0).collecting.empty());
}

TEST(Fallback, OneUsesTheBestPortAfterItsDelay) {
    silent_partner w(fallback::one);
    port_settings best = ordinary_port(0, 1);
    best.id.priority = 1;
    w.set_port(a1, best);
    w.run_for(12s); // 3 s until defaulted, and 10 s
    EXPECT_EQ(w.used(), 0);
    w.run_for(2s);
    EXPECT_EQ(w.used(), 1);
    EXPECT_TRUE(w.distributes(a1));
    EXPECT_TRUE(w.report(a1).fallback);
    w.set_link(a1, false);
    w.run_for(0ns);
    EXPECT_EQ(w.used(), 1); // the next one, which has waited as long
    EXPECT_TRUE(w.distributes(a0));
}

TEST(Fallback, IndividualUsesEachPortAfterItsDelay) {
    silent_partner w(fallback::individual);
    w.run_for(12s);
    EXPECT_EQ(w.used(), 0);
    w.run_for(2s);
    EXPECT_EQ(w.used(), 3);
}

TEST(Fallback, EndsWhenAPartnerSpeaks) {
    for (fallback const f : {fallback::one, fallback::individual}) {
        silent_partner w(f);
        w.run_for(30s);
        ASSERT_GE(w.used(), 1);
        w.add_system(ordinary(2));
        cable_number const c = w.plug(a2, w.add_port(1, 0));
        ASSERT_TRUE(w.run_until([&] { return w.up(c); }, 36s));
        w.run_for(1s);
        EXPECT_EQ(w.used(), 1) << to_string(f); // one with a partner beats all without
        EXPECT_FALSE(w.report(a0).fallback);
        EXPECT_FALSE(w.report(a2).fallback);
    }
}

TEST(Fallback, IsNotWhatAPortDoesWhosePartnerIsKnown) {
    system_settings s = ordinary(1);
    s.fallback = fallback::individual;
    pair_of_systems w(s, ordinary(2), 2);
    settle(w);
    w.cut(0, false, true);
    w.run_for(300s);
    EXPECT_TRUE(stayed_up(w, a1));
    EXPECT_FALSE(w.distributes(a0)); // an aggregator with a partner is there
}

TEST(Damping, LeavesAPortOutThatFlapsAndUsesItAgainWhenItCalmedDown) {
    system_settings s = ordinary(1);
    s.damping.half_life = 10s;
    pair_of_systems w(s, ordinary(2), 2);
    settle(w);
    for (int i = 0; i < 3; ++i) {
        ASSERT_TRUE(w.run_until([&] { return w.up(0); }, 4s)) << i;
        w.carrier(0, false);
        w.run_for(10ms);
        w.carrier(0, true);
        w.run_for(10ms);
    }
    EXPECT_TRUE(w.report(a0).suppressed);
    EXPECT_EQ(w.report(a0).counters.flaps, 3U);
    EXPECT_GE(w.report(a0).penalty, 2500U);
    w.run_for(10s);
    EXPECT_FALSE(w.distributes(a0));
    EXPECT_FALSE(w.distributes(b0));
    EXPECT_TRUE(w.report(a0).suppressed);
    EXPECT_TRUE(w.run_until([&] { return w.up(0); }, 12s));
    EXPECT_LT(w.report(a0).penalty, 1000U);
    EXPECT_TRUE(stayed_up(w, a1));
}

TEST(Damping, CountsALostPartnerAsItCountsALostLink) {
    system_settings s = ordinary(1);
    s.damping.half_life = 100s;
    pair_of_systems w(s, ordinary(2), 2);
    settle(w);
    w.lose_next(b0, 3);
    w.run_for(10s);
    EXPECT_EQ(w.report(a0).counters.flaps, 1U);
    EXPECT_EQ(w.report(a1).counters.flaps, 0U);
}

TEST(Damping, OffSuppressesNothing) {
    pair_of_systems w(ordinary(1), ordinary(2), 1);
    settle(w);
    for (int i = 0; i < 20; ++i) {
        w.carrier(0, false);
        w.run_for(10ms);
        w.carrier(0, true);
        ASSERT_TRUE(w.run_until([&] { return w.up(0); }, 4s)) << i;
    }
    EXPECT_FALSE(w.report(a0).suppressed);
}

TEST(Drain, StopsThePartnerBeforeItStopsCollectingAndLosesNothing) {
    for (lacp_rate const rate : {lacp_rate::fast, lacp_rate::slow}) {
        pair_of_systems w(ordinary(1, rate), ordinary(2, rate), 2);
        w.delay(0, 20ms);
        w.delay(1, 20ms);
        settle(w);
        w.drain(a0);
        w.run_for(0ns);
        EXPECT_FALSE(w.distributes(a0));
        EXPECT_TRUE(w.collects(a0));
        EXPECT_TRUE(w.report(a0).draining);
        EXPECT_FALSE(w.report(a0).drained);
        EXPECT_TRUE(w.distributes(b0)); // has not heard of it
        EXPECT_TRUE(w.run_until([&] { return w.report(a0).drained; }, 1s));
        EXPECT_FALSE(w.distributes(b0));
        w.run_for(1s);
        EXPECT_EQ(w.lost_data(a0, b0, 10s, 20ms), 0ns);
        EXPECT_EQ(w.lost_data(b0, a0, 10s, 20ms), 0ns);
        EXPECT_TRUE(stayed_up(w, a1));
        EXPECT_TRUE(stayed_up(w, b1));

        w.remove_port(a0);
        w.run_for(100ms);
        auto const sent = w.seen(a0).lacpdus_sent;
        w.run_for(100s);
        EXPECT_EQ(w.seen(a0).lacpdus_sent, sent);
        EXPECT_TRUE(stayed_up(w, a1));
        EXPECT_EQ(w.lost_data(b0, a0, 110s, 20ms), 0ns);
    }
}

TEST(Drain, EndsAfterDrainWaitWhenThePartnerDoesNotStop) {
    pair_of_systems w(ordinary(1, lacp_rate::slow), ordinary(2, lacp_rate::slow), 2);
    settle(w);
    w.cut(0, true, false); // our PDUs are lost, the partner goes on to distribute
    w.drain(a0);
    w.run_for(2900ms);
    EXPECT_TRUE(w.collects(a0));
    EXPECT_FALSE(w.report(a0).drained);
    w.run_for(200ms);
    EXPECT_TRUE(w.report(a0).drained);
    EXPECT_TRUE(stayed_up(w, a1));
}

TEST(Drain, CanBeTakenBack) {
    pair_of_systems w(ordinary(1), ordinary(2), 2);
    settle(w);
    w.drain(a0);
    w.run_for(10s);
    EXPECT_EQ(carrying(w), 0b10U);
    w.drain(a0, false);
    EXPECT_TRUE(w.run_until([&] { return w.all_up(); }, 5s));
    EXPECT_FALSE(w.report(a0).draining);
    EXPECT_FALSE(w.report(a0).drained);
}

TEST(Drain, OfTheLastPortIsPossible) {
    pair_of_systems w(ordinary(1), ordinary(2), 1);
    settle(w);
    w.drain(a0);
    EXPECT_TRUE(w.run_until([&] { return w.report(a0).drained; }, 4s));
    w.run_for(1s);
    EXPECT_EQ(w.lost_data(b0, a0, 8s), 0ns);
}

TEST(Drain, PromotesAPortThatStandsBy) {
    system_settings s = ordinary(1);
    s.max_links = 1;
    pair_of_systems w(s, ordinary(2), 2);
    w.run_for(10s);
    w.drain(a0);
    EXPECT_TRUE(w.run_until([&] { return w.up(1) && w.report(a0).drained; }, 6s));
}

} // namespace
} // namespace lagg::lacp::conversation
