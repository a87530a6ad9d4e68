#include "lacp/mux_machine.h"

#include "two_systems.h"

#include <gtest/gtest.h>

namespace lagg::lacp {
namespace {

constexpr std::uint8_t sync = state::synchronization;
constexpr std::uint8_t all = state::synchronization | state::collecting | state::distributing;

struct MuxMachine : testing::Test {
    port_variables port;
    mux_machine machine;
    time_point now = 50s;

    MuxMachine() {
        port.port_enabled = true;
        port.individual = false;
        port.actor.set(state::defaulted, false);
        machine.begin(port);
        port.ntt = false;
    }
    /// The one arrow there is leads to `to`; returns whether it asks for a PDU.
    bool arrow(mux_state to) {
        port.ntt = false;
        EXPECT_TRUE(machine.step(port, now));
        EXPECT_EQ(machine.state(), to) << to_string(machine.state());
        return port.ntt;
    }
    void rests() { EXPECT_FALSE(machine.step(port, now)) << to_string(machine.state()); }
    std::uint8_t says() const { return port.actor.state & all; }
    void wait() {
        port.selection = selected::selected;
        arrow(mux_state::waiting);
    }
    void attach() {
        wait();
        port.ready = true;
        arrow(mux_state::attached);
    }
    void collect() {
        attach();
        port.partner.set(sync, true);
        arrow(mux_state::collecting);
    }
    void distribute() {
        collect();
        port.partner.set(state::collecting, true);
        arrow(mux_state::distributing);
    }
    void collect_and_distribute() {
        port.control = mux_control::coupled;
        attach();
        port.partner.set(sync, true);
        arrow(mux_state::collecting_distributing);
    }
};

TEST_F(MuxMachine, BeginsDetachedAndWantsToSaySo) {
    port_variables other;
    mux_machine m;
    m.begin(other);
    EXPECT_EQ(m.state(), mux_state::detached);
    EXPECT_TRUE(other.ntt);
}

TEST_F(MuxMachine, WaitsWhenSelectedAndWhenStandingBy) {
    rests();
    for (auto const s : {selected::selected, selected::standby}) {
        port.selection = s;
        EXPECT_FALSE(arrow(mux_state::waiting));
        EXPECT_EQ(machine.deadline(), now + port.wait_while);
        port.selection = selected::unselected;
        EXPECT_TRUE(arrow(mux_state::detached));
    }
}

TEST_F(MuxMachine, IsReadyWhenItHasWaitedAndAttachesOnlyWhenAllAre) {
    wait();
    now += port.wait_while - 1ns;
    rests();
    now += 1ns;
    EXPECT_TRUE(machine.step(port, now));
    EXPECT_TRUE(port.ready_n);
    EXPECT_EQ(machine.state(), mux_state::waiting);
    rests();
    port.ready = true;
    EXPECT_TRUE(arrow(mux_state::attached));
    EXPECT_EQ(says(), sync);
    EXPECT_FALSE(port.ready_n);
    EXPECT_EQ(port.counters.actor_sync_transitions, 1U);
}

TEST_F(MuxMachine, StaysInWaitingWhileStandingByHoweverReady) {
    wait();
    port.selection = selected::standby;
    port.ready = true;
    rests();
}

TEST_F(MuxMachine, DoesNotWaitForOthersWhenItIsIndividual) {
    port.individual = true;
    wait();
    EXPECT_TRUE(machine.step(port, now));
    EXPECT_TRUE(port.ready_n);
}

TEST_F(MuxMachine, DetachesFromAttachedWhenUnselectedOrStandingBy) {
    for (auto const s : {selected::unselected, selected::standby}) {
        attach();
        rests();
        port.selection = s;
        EXPECT_TRUE(arrow(mux_state::detached));
        EXPECT_EQ(says(), 0);
        port.selection = selected::unselected;
    }
    EXPECT_EQ(port.counters.actor_changes, 4U);
}

TEST_F(MuxMachine, CollectsWhenThePartnerIsInSyncAndDistributesWhenItCollects) {
    attach();
    port.partner.set(state::collecting, true);
    rests();
    port.partner.set(state::collecting, false);
    port.partner.set(sync, true);
    EXPECT_TRUE(arrow(mux_state::collecting));
    EXPECT_EQ(says(), sync | state::collecting);
    rests();
    port.partner.set(state::collecting, true);
    arrow(mux_state::distributing);
    EXPECT_EQ(says(), all);
    rests();
}

TEST_F(MuxMachine, StopsCollectingForEachReason) {
    for (int const why : {0, 1, 2}) {
        collect();
        if (why == 0) {
            port.partner.set(sync, false);
        } else {
            port.selection = why == 1 ? selected::unselected : selected::standby;
        }
        EXPECT_TRUE(arrow(mux_state::attached));
        EXPECT_EQ(says(), sync);
        port.selection = selected::unselected;
        port.partner.state = 0;
        arrow(mux_state::detached);
    }
}

TEST_F(MuxMachine, StopsDistributingForEachReason) {
    for (int const why : {0, 1, 2, 3}) {
        distribute();
        if (why < 2) {
            port.partner.set(why == 0 ? sync : state::collecting, false);
        } else {
            port.selection = why == 2 ? selected::unselected : selected::standby;
        }
        EXPECT_TRUE(arrow(mux_state::collecting));
        EXPECT_EQ(says(), sync | state::collecting);
        port.selection = selected::unselected;
        port.partner.state = 0;
        arrow(mux_state::attached);
        arrow(mux_state::detached);
    }
}

TEST_F(MuxMachine, CoupledCollectsAndDistributesAtOnceAndStopsBothForEachReason) {
    for (int const why : {0, 1, 2}) {
        collect_and_distribute();
        EXPECT_EQ(says(), all);
        rests();
        if (why == 0) {
            port.partner.set(sync, false);
        } else {
            port.selection = why == 1 ? selected::unselected : selected::standby;
        }
        EXPECT_TRUE(arrow(mux_state::attached));
        EXPECT_EQ(says(), sync);
        port.selection = selected::unselected;
        port.partner.state = 0;
        arrow(mux_state::detached);
    }
}

TEST_F(MuxMachine, ChangesControlWithoutStopping) {
    distribute();
    port.control = mux_control::coupled;
    arrow(mux_state::collecting_distributing);
    EXPECT_EQ(says(), all);
    port.control = mux_control::independent;
    arrow(mux_state::distributing);
    EXPECT_EQ(says(), all);
    port.control = mux_control::coupled;
    arrow(mux_state::collecting_distributing);
    port.partner.set(state::collecting, false);
    port.control = mux_control::independent;
    arrow(mux_state::collecting);
    port.control = mux_control::coupled;
    arrow(mux_state::collecting_distributing);
}

TEST_F(MuxMachine, DrainsFromDistributingWithSyncWithdrawnAndStillCollecting) {
    distribute();
    port.echoed_state = all;
    port.partner.set(state::distributing, true);
    port.drain = true;
    port.selection = selected::unselected;
    arrow(mux_state::collecting);
    EXPECT_TRUE(arrow(mux_state::draining));
    EXPECT_EQ(says(), state::collecting);
    rests();
    port.partner.set(state::distributing, false);
    rests(); // it may not have heard of it yet
    port.echoed_state = 0;
    EXPECT_TRUE(arrow(mux_state::detached));
    EXPECT_EQ(says(), 0);
}

TEST_F(MuxMachine, EndsDrainingWhenItWaitedEnoughOrTheLinkIsGone) {
    collect_and_distribute();
    port.echoed_state = all;
    port.drain = true;
    arrow(mux_state::draining);
    now += port.drain_wait - 1ns;
    rests();
    now += 1ns;
    port.selection = selected::unselected;
    arrow(mux_state::detached);

    port.drain = false;
    collect_and_distribute();
    port.drain = true;
    arrow(mux_state::draining);
    port.port_enabled = false;
    arrow(mux_state::detached);
}

TEST_F(MuxMachine, TakesADrainBackWithoutWaiting) {
    distribute();
    port.echoed_state = all;
    port.drain = true;
    arrow(mux_state::collecting);
    arrow(mux_state::draining);
    port.drain = false;
    arrow(mux_state::attached);
    EXPECT_EQ(says(), sync);
    arrow(mux_state::collecting);
    arrow(mux_state::distributing);
}

} // namespace
} // namespace lagg::lacp
