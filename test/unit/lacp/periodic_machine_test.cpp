#include "lacp/periodic_machine.h"

#include "lacp/timers.h"
#include "two_systems.h"

#include <gtest/gtest.h>

namespace lagg::lacp {
namespace {

struct PeriodicMachine : testing::Test {
    port_variables port;
    periodic_machine machine;
    time_point now = 50s;

    PeriodicMachine() {
        port.port_enabled = true;
        port.actor.set(state::activity, true);
        port.partner.set(state::short_timeout, true);
    }
    void settle() {
        while (machine.step(port, now)) {
        }
    }
    void slow() {
        port.partner.set(state::short_timeout, false);
        settle();
        ASSERT_EQ(machine.state(), periodic_state::slow_periodic);
    }
};

TEST_F(PeriodicMachine, SaysNothingWhenBothEndsArePassive) {
    port.actor.set(state::activity, false);
    settle();
    EXPECT_EQ(machine.state(), periodic_state::no_periodic);
    EXPECT_EQ(machine.deadline(), never);
    port.partner.set(state::activity, true);
    settle();
    EXPECT_EQ(machine.state(), periodic_state::fast_periodic);
}

TEST_F(PeriodicMachine, NeedsToTransmitEverySecondForAPartnerWithTheShortTimeout) {
    settle();
    for (int i = 0; i < 5; ++i) {
        ASSERT_EQ(machine.deadline(), now + fast_periodic_time);
        EXPECT_FALSE(machine.step(port, machine.deadline() - 1ns));
        now = machine.deadline();
        port.ntt = false;
        ASSERT_TRUE(machine.step(port, now));
        EXPECT_EQ(machine.state(), periodic_state::periodic_tx);
        EXPECT_TRUE(port.ntt);
        ASSERT_TRUE(machine.step(port, now));
        EXPECT_EQ(machine.state(), periodic_state::fast_periodic);
    }
}

TEST_F(PeriodicMachine, NeedsToTransmitEveryThirtySecondsForAPartnerWithTheLongTimeout) {
    slow();
    EXPECT_EQ(machine.deadline(), now + slow_periodic_time);
    now = machine.deadline();
    ASSERT_TRUE(machine.step(port, now));
    EXPECT_EQ(machine.state(), periodic_state::periodic_tx);
    EXPECT_TRUE(port.ntt);
    settle();
    EXPECT_EQ(machine.state(), periodic_state::slow_periodic);
}

TEST_F(PeriodicMachine, AnswersAtOnceWhenThePartnerWantsToHearFast) {
    slow();
    port.ntt = false;
    port.partner.set(state::short_timeout, true);
    ASSERT_TRUE(machine.step(port, now));
    EXPECT_EQ(machine.state(), periodic_state::periodic_tx);
    EXPECT_TRUE(port.ntt);
    settle();
    EXPECT_EQ(machine.state(), periodic_state::fast_periodic);
}

TEST_F(PeriodicMachine, StopsFromEveryStateWithLinkLacpOrActivity) {
    auto const stops = [&](auto off, auto on) {
        for (int const kind : {0, 1, 2}) {
            port.partner.set(state::short_timeout, kind != 1);
            settle();
            if (kind == 2) {
                now = machine.deadline();
                EXPECT_TRUE(machine.step(port, now));
                EXPECT_EQ(machine.state(), periodic_state::periodic_tx);
            }
            off();
            EXPECT_TRUE(machine.step(port, now));
            EXPECT_EQ(machine.state(), periodic_state::no_periodic);
            on();
        }
    };
    stops([&] { port.port_enabled = false; }, [&] { port.port_enabled = true; });
    stops([&] { port.lacp_enabled = false; }, [&] { port.lacp_enabled = true; });
    stops([&] { port.actor.set(state::activity, false); },
          [&] { port.actor.set(state::activity, true); });
}

} // namespace
} // namespace lagg::lacp
