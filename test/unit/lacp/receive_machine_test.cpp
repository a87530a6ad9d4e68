#include "lacp/receive_machine.h"

#include "lacp/timers.h"
#include "two_systems.h"

#include <gtest/gtest.h>

namespace lagg::lacp {
namespace {

constexpr parameters us{.system = {100, mac(1)},
                        .key = 7,
                        .port = {32768, 3},
                        .state = state::activity | state::short_timeout | state::aggregation};
constexpr parameters them{.system = {200, mac(2)},
                          .key = 9,
                          .port = {32768, 5},
                          .state = state::activity | state::aggregation | state::synchronization};

struct ReceiveMachine : testing::Test {
    port_variables port;
    receive_machine machine;
    time_point now = 50s;

    ReceiveMachine() {
        port.actor = us;
        machine.begin(port);
    }
    void settle() {
        while (machine.step(port, now)) {
        }
    }
    void enable() {
        port.port_enabled = true;
        settle();
    }
    lacpdu hello() const { return {.version = 1, .actor = them, .partner = port.actor}; }
    void make_current() {
        enable();
        ASSERT_TRUE(machine.receive(port, hello(), now));
        ASSERT_EQ(machine.state(), receive_state::current);
        port.selection = selected::selected;
        port.ntt = false;
    }
};

TEST_F(ReceiveMachine, BeginsInInitializeWithDefaultsAndGoesToPortDisabled) {
    EXPECT_EQ(machine.state(), receive_state::initialize);
    EXPECT_TRUE(port.actor.has(state::defaulted));
    EXPECT_FALSE(port.actor.has(state::expired));
    EXPECT_EQ(port.selection, selected::unselected);
    EXPECT_TRUE(machine.step(port, now));
    EXPECT_EQ(machine.state(), receive_state::port_disabled);
    EXPECT_FALSE(machine.step(port, now));
    EXPECT_EQ(machine.deadline(), never);
}

TEST_F(ReceiveMachine, TakesNoPduBeforeThePortIsEnabled) {
    EXPECT_FALSE(machine.receive(port, hello(), now));
    settle();
    EXPECT_FALSE(machine.receive(port, hello(), now));
    EXPECT_FALSE(port.has_partner());
}

TEST_F(ReceiveMachine, ExpiresAtOnceWhenThePortIsEnabledAndAsksToBeHeardFast) {
    enable();
    EXPECT_EQ(machine.state(), receive_state::expired);
    EXPECT_TRUE(port.actor.has(state::expired));
    EXPECT_TRUE(port.partner.has(state::short_timeout));
    EXPECT_EQ(machine.deadline(), now + short_timeout_time);
}

TEST_F(ReceiveMachine, GoesToLacpDisabledAndBackWhenLacpIsSwitched) {
    port.lacp_enabled = false;
    port.selection = selected::selected;
    enable();
    EXPECT_EQ(machine.state(), receive_state::lacp_disabled);
    EXPECT_EQ(port.selection, selected::unselected);
    EXPECT_FALSE(port.partner.has(state::aggregation));
    EXPECT_FALSE(machine.receive(port, hello(), now));
    port.lacp_enabled = true;
    ASSERT_TRUE(machine.step(port, now));
    EXPECT_EQ(machine.state(), receive_state::port_disabled);
    settle();
    EXPECT_EQ(machine.state(), receive_state::expired);
}

TEST_F(ReceiveMachine, DefaultsThePartnerWhenASecondTimeoutPassesInSilence) {
    make_current();
    now += short_timeout_time + timeout_tolerance;
    ASSERT_TRUE(machine.step(port, now));
    EXPECT_EQ(machine.state(), receive_state::expired);
    EXPECT_FALSE(port.partner.has(state::synchronization));
    EXPECT_TRUE(port.has_partner());
    EXPECT_EQ(port.selection, selected::selected);
    now += short_timeout_time;
    ASSERT_TRUE(machine.step(port, now));
    EXPECT_EQ(machine.state(), receive_state::defaulted);
    EXPECT_EQ(port.partner, nobody);
    EXPECT_FALSE(port.has_partner());
    EXPECT_FALSE(port.actor.has(state::expired));
    EXPECT_EQ(port.selection, selected::unselected);
    EXPECT_FALSE(machine.step(port, now + 1000s));
}

TEST_F(ReceiveMachine, WaitsForTheTimeoutThatTheActorAskedFor) {
    make_current();
    EXPECT_EQ(machine.deadline(), now + short_timeout_time + timeout_tolerance);
    port.actor.set(state::short_timeout, false);
    machine.receive(port, hello(), now);
    EXPECT_EQ(machine.deadline(), now + long_timeout_time + timeout_tolerance);
}

TEST_F(ReceiveMachine, StaysCurrentJustBeforeTheTimeoutEnds) {
    make_current();
    EXPECT_FALSE(machine.step(port, machine.deadline() - 1ns));
    EXPECT_EQ(machine.state(), receive_state::current);
}

TEST_F(ReceiveMachine, BecomesCurrentFromExpiredAndFromDefaulted) {
    enable();
    EXPECT_TRUE(machine.receive(port, hello(), now));
    EXPECT_EQ(machine.state(), receive_state::current);
    EXPECT_FALSE(port.actor.has(state::expired));
    now += 10s;
    settle();
    now += 10s;
    settle();
    ASSERT_EQ(machine.state(), receive_state::defaulted);
    EXPECT_TRUE(machine.receive(port, hello(), now));
    EXPECT_EQ(machine.state(), receive_state::current);
}

TEST_F(ReceiveMachine, IsDisabledFromEveryStateWhenTheLinkGoes) {
    for (int const steps : {0, 1, 2}) {
        enable();
        machine.receive(port, hello(), now);
        for (int i = 0; i < steps; ++i) {
            now = machine.deadline();
            ASSERT_TRUE(machine.step(port, now));
        }
        port.port_enabled = false;
        ASSERT_TRUE(machine.step(port, now));
        EXPECT_EQ(machine.state(), receive_state::port_disabled);
        EXPECT_FALSE(port.partner.has(state::synchronization));
    }
    port.lacp_enabled = false;
    enable();
    ASSERT_EQ(machine.state(), receive_state::lacp_disabled);
    port.port_enabled = false;
    ASSERT_TRUE(machine.step(port, now));
    EXPECT_EQ(machine.state(), receive_state::port_disabled);
}

TEST_F(ReceiveMachine, RemembersThePartnerWhileDisabledUntilItMoved) {
    make_current();
    port.port_enabled = false;
    settle();
    EXPECT_TRUE(port.has_partner());
    port.port_moved = true;
    ASSERT_TRUE(machine.step(port, now));
    EXPECT_EQ(machine.state(), receive_state::initialize);
    EXPECT_FALSE(port.port_moved);
    EXPECT_FALSE(port.has_partner());
}

TEST_F(ReceiveMachine, LivesLongerAtOnceWhenTheTimeoutBecomesLong) {
    make_current();
    auto const heard = now;
    machine.lengthen(heard);
    EXPECT_EQ(machine.deadline(), heard + long_timeout_time + timeout_tolerance);
    now = machine.deadline();
    settle();
    auto const expired_until = machine.deadline();
    machine.lengthen(heard);
    EXPECT_EQ(machine.deadline(), expired_until);
}

TEST_F(ReceiveMachine, BelievesSyncWhenThePartnerKnowsUsAsWeAre) {
    enable();
    machine.receive(port, hello(), now);
    EXPECT_TRUE(port.partner.has(state::synchronization));
    EXPECT_EQ(port.counters.partner_sync_transitions, 1U);
}

TEST_F(ReceiveMachine, DoubtsSyncWhenAnyParameterOfOursIsOutOfDate) {
    enable();
    auto const doubts = [&](auto change) {
        auto pdu = hello();
        change(pdu.partner);
        machine.receive(port, pdu, now);
        return !port.partner.has(state::synchronization);
    };
    EXPECT_TRUE(doubts([](parameters& p) { p.port.number = 4; }));
    EXPECT_TRUE(doubts([](parameters& p) { p.port.priority = 1; }));
    EXPECT_TRUE(doubts([](parameters& p) { p.system.address = mac(9); }));
    EXPECT_TRUE(doubts([](parameters& p) { p.system.priority = 1; }));
    EXPECT_TRUE(doubts([](parameters& p) { p.key = 8; }));
    EXPECT_TRUE(doubts([](parameters& p) { p.set(state::aggregation, false); }));
    EXPECT_FALSE(doubts([](parameters& p) { p.set(state::collecting, true); }));
}

TEST_F(ReceiveMachine, NeverBelievesSyncThatThePduDoesNotSay) {
    enable();
    auto pdu = hello();
    pdu.actor.set(state::synchronization, false);
    machine.receive(port, pdu, now);
    EXPECT_FALSE(port.partner.has(state::synchronization));
    pdu.actor.set(state::aggregation, false);
    machine.receive(port, pdu, now);
    EXPECT_FALSE(port.partner.has(state::synchronization));
}

TEST_F(ReceiveMachine, BelievesSyncOfAnIndividualPartnerWhateverItKnowsOfUs) {
    enable();
    auto pdu = hello();
    pdu.actor.set(state::aggregation, false);
    pdu.partner = {};
    machine.receive(port, pdu, now);
    EXPECT_TRUE(port.partner.has(state::synchronization));
}

TEST_F(ReceiveMachine, DoubtsSyncOfAPassivePartnerThatTakesUsForPassive) {
    enable();
    auto pdu = hello();
    pdu.actor.set(state::activity, false);
    machine.receive(port, pdu, now);
    EXPECT_TRUE(port.partner.has(state::synchronization)) << "we are active, and it knows";
    pdu.partner.set(state::activity, false);
    machine.receive(port, pdu, now);
    EXPECT_FALSE(port.partner.has(state::synchronization)) << "it does not know";
    pdu.partner.set(state::activity, true);
    port.actor.set(state::activity, false);
    machine.receive(port, pdu, now);
    EXPECT_FALSE(port.partner.has(state::synchronization)) << "it thinks so, but we are not";
}

TEST_F(ReceiveMachine, UnselectsWhenAnotherPartnerSpeaks) {
    auto const unselects = [&](auto change) {
        machine.receive(port, hello(), now);
        port.selection = selected::selected;
        auto pdu = hello();
        change(pdu.actor);
        machine.receive(port, pdu, now);
        return port.selection == selected::unselected;
    };
    enable();
    EXPECT_TRUE(unselects([](parameters& p) { p.port.number = 6; }));
    EXPECT_TRUE(unselects([](parameters& p) { p.port.priority = 6; }));
    EXPECT_TRUE(unselects([](parameters& p) { p.system.address = mac(6); }));
    EXPECT_TRUE(unselects([](parameters& p) { p.system.priority = 6; }));
    EXPECT_TRUE(unselects([](parameters& p) { p.key = 6; }));
    EXPECT_TRUE(unselects([](parameters& p) { p.set(state::aggregation, false); }));
    EXPECT_FALSE(unselects([](parameters& p) { p.set(state::synchronization, false); }));
}

TEST_F(ReceiveMachine, NeedsToTransmitWhenThePartnerIsOutOfDate) {
    make_current();
    machine.receive(port, hello(), now);
    EXPECT_FALSE(port.ntt);
    for (std::uint8_t const bit :
         {state::activity, state::short_timeout, state::synchronization, state::aggregation}) {
        port.ntt = false;
        auto pdu = hello();
        pdu.partner.state ^= bit;
        machine.receive(port, pdu, now);
        EXPECT_TRUE(port.ntt) << int{bit};
    }
    port.ntt = false;
    auto pdu = hello();
    pdu.partner.key = 1;
    machine.receive(port, pdu, now);
    EXPECT_TRUE(port.ntt);
}

} // namespace
} // namespace lagg::lacp
