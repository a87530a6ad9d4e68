#include "lacp/transmit_machine.h"

#include "two_systems.h"

#include <gtest/gtest.h>

namespace lagg::lacp {
namespace {

struct TransmitMachine : testing::Test {
    port_variables port;
    transmit_machine machine;
    time_point now = 50s;

    TransmitMachine() { port.port_enabled = true; }
    bool sends() {
        port.ntt = true;
        return machine.step(port, periodic_state::fast_periodic, now).has_value();
    }
};

TEST_F(TransmitMachine, SendsOnlyWhenItNeedsTo) {
    EXPECT_FALSE(machine.step(port, periodic_state::fast_periodic, now));
    EXPECT_EQ(machine.deadline(port), never);
    EXPECT_TRUE(sends());
    EXPECT_FALSE(port.ntt);
}

TEST_F(TransmitMachine, SendsAtMostThreeInAnySecondAndKeepsTheNeedMeanwhile) {
    EXPECT_TRUE(sends());
    now += 300ms;
    EXPECT_TRUE(sends());
    EXPECT_TRUE(sends());
    EXPECT_FALSE(sends());
    EXPECT_TRUE(port.ntt);
    EXPECT_EQ(machine.deadline(port), 51s);
    now = 51s - 1ns;
    EXPECT_FALSE(sends());
    now = 51s;
    EXPECT_TRUE(sends());
    EXPECT_FALSE(sends());
    now = 51300ms;
    EXPECT_TRUE(sends());
    EXPECT_TRUE(sends());
    EXPECT_FALSE(sends());
}

TEST_F(TransmitMachine, SaysWhatHoldsWhenItSendsNotWhenItWasAsked) {
    sends();
    sends();
    sends();
    EXPECT_FALSE(sends());
    port.actor.key = 77;
    port.partner.key = 78;
    now += 1s;
    auto const pdu = machine.step(port, periodic_state::fast_periodic, now);
    ASSERT_TRUE(pdu);
    EXPECT_EQ(pdu->actor.key, 77);
    EXPECT_EQ(pdu->partner.key, 78);
    EXPECT_EQ(pdu->version, 1);
}

TEST_F(TransmitMachine, ForgetsTheNeedWhenNobodyIsToBeSentTo) {
    port.ntt = true;
    EXPECT_FALSE(machine.step(port, periodic_state::no_periodic, now));
    EXPECT_FALSE(port.ntt);
    port.port_enabled = false;
    EXPECT_FALSE(sends());
    EXPECT_FALSE(port.ntt);
    port.port_enabled = true;
    port.lacp_enabled = false;
    EXPECT_FALSE(sends());
    EXPECT_FALSE(port.ntt);
}

TEST_F(TransmitMachine, CountsLastWordsAsSent) {
    machine.sent(now);
    machine.sent(now);
    machine.sent(now);
    EXPECT_TRUE(machine.limited(now));
    EXPECT_FALSE(sends());
}

} // namespace
} // namespace lagg::lacp
