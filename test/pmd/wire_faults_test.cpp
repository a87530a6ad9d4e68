// What a wire can be told to do wrong, and what it notices of those who use it wrongly.
#include "wire_fixture.h"

#include <rte_ether.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <thread>

namespace wire::test {
namespace {

using WireFaults = Wire;
using WireDeathTest = Wire;

TEST_F(WireFaults, RefuseLimitsEveryBurst) {
    ASSERT_NO_FATAL_FAILURE(start_pair());
    std::array<rte_mbuf*, 4> burst;
    for (auto& m : burst) {
        m = new_frame();
    }
    rte_pmd_wire_refuse(a, 3);
    EXPECT_EQ(rte_eth_tx_burst(a, 0, burst.data(), 4), 3);
    rte_pmd_wire_refuse(a, 0);
    EXPECT_EQ(rte_eth_tx_burst(a, 0, burst.data() + 3, 1), 0);
    EXPECT_EQ(counters(a).refused, 2U);
    EXPECT_EQ(counters(a).limited_bursts, 2U);
    EXPECT_TRUE(link_is_up(a));
    rte_pmd_wire_refuse(a, UINT32_MAX);
    EXPECT_EQ(rte_eth_tx_burst(a, 0, burst.data() + 3, 1), 1);
    EXPECT_EQ(count_received(b), 4U);
}

TEST_F(WireFaults, AnOperationFailsAsOftenAsPlanned) {
    ASSERT_NO_FATAL_FAILURE(start_pair());
    EXPECT_EQ(rte_pmd_wire_fail_op(a, RTE_PMD_WIRE_OP_MTU, EBUSY, 2), 0);
    EXPECT_EQ(rte_eth_dev_set_mtu(a, 1400), -EBUSY);
    EXPECT_EQ(rte_eth_dev_set_mtu(a, 1400), -EBUSY);
    EXPECT_EQ(rte_eth_dev_set_mtu(a, 1400), 0);
    EXPECT_EQ(counters(a).failed_ops, 2U);
    EXPECT_EQ(rte_pmd_wire_fail_op(a, RTE_PMD_WIRE_OP_COUNT, EBUSY, 1), -EINVAL);
    EXPECT_EQ(rte_pmd_wire_fail_op(a, RTE_PMD_WIRE_OP_MTU, 0, 1), -EINVAL);
}

TEST_F(WireFaults, EverySetupStepCanFail) {
    ASSERT_EQ(plug("net_wire9", ""), 0);
    std::uint16_t const port = port_named("net_wire9");
    rte_eth_conf const conf{};
    rte_pmd_wire_fail_op(port, RTE_PMD_WIRE_OP_CONFIGURE, EIO, 1);
    EXPECT_EQ(rte_eth_dev_configure(port, 1, 1, &conf), -EIO);
    ASSERT_EQ(rte_eth_dev_configure(port, 1, 1, &conf), 0);
    rte_pmd_wire_fail_op(port, RTE_PMD_WIRE_OP_RXQ_SETUP, ENOMEM, 1);
    EXPECT_EQ(rte_eth_rx_queue_setup(port, 0, 64, 0, nullptr, pool), -ENOMEM);
    ASSERT_EQ(rte_eth_rx_queue_setup(port, 0, 64, 0, nullptr, pool), 0);
    rte_pmd_wire_fail_op(port, RTE_PMD_WIRE_OP_TXQ_SETUP, ENOMEM, 1);
    EXPECT_EQ(rte_eth_tx_queue_setup(port, 0, 64, 0, nullptr), -ENOMEM);
    ASSERT_EQ(rte_eth_tx_queue_setup(port, 0, 64, 0, nullptr), 0);
    rte_pmd_wire_fail_op(port, RTE_PMD_WIRE_OP_START, ETIMEDOUT, 1);
    EXPECT_EQ(rte_eth_dev_start(port), -ETIMEDOUT);
    EXPECT_EQ(counters(port).starts, 0U);
    ASSERT_EQ(rte_eth_dev_start(port), 0);
    rte_pmd_wire_fail_op(port, RTE_PMD_WIRE_OP_PROMISC, EPERM, 1);
    EXPECT_EQ(rte_eth_promiscuous_enable(port), -EPERM);
    rte_pmd_wire_fail_op(port, RTE_PMD_WIRE_OP_MAC_SET, EPERM, 1);
    rte_ether_addr mac = to_dpdk(stranger);
    EXPECT_EQ(rte_eth_dev_default_mac_addr_set(port, &mac), -EPERM);
}

TEST_F(WireFaults, InjectedFramesAreReceived) {
    ASSERT_NO_FATAL_FAILURE(start_pair());
    rte_mbuf* m = new_frame(stranger);
    EXPECT_EQ(rte_pmd_wire_inject(b, 0, &m, 1), 1);
    auto const got = receive(b);
    ASSERT_EQ(got.size(), 1U);
    EXPECT_EQ(got[0]->port, b);
    EXPECT_EQ(rte_pmd_wire_inject(b, 1, &m, 1), -EINVAL);
    ASSERT_EQ(rte_eth_dev_stop(b), 0);
    EXPECT_EQ(rte_pmd_wire_inject(b, 0, &m, 1), -ENETDOWN);
    EXPECT_EQ(counters(b).injected, 1U);
    free_all(got);
}

TEST_F(WireFaults, ARemovedEndGivesAndTakesNothing) {
    ASSERT_NO_FATAL_FAILURE(start_pair(with_lsc()));
    std::atomic<int> removals{0};
    std::atomic<int> at_peer{0};
    rte_eth_dev_callback_register(a, RTE_ETH_EVENT_INTR_RMV, count_event, &removals);
    rte_eth_dev_callback_register(b, RTE_ETH_EVENT_INTR_LSC, count_event, &at_peer);
    ASSERT_TRUE(send(b, new_frame()));
    EXPECT_EQ(rte_pmd_wire_surprise_remove(a), 0);
    EXPECT_EQ(rte_pmd_wire_surprise_remove(a), -EALREADY);
    EXPECT_EQ(removals, 1);
    EXPECT_EQ(at_peer, 1);
    EXPECT_EQ(rte_eth_dev_is_removed(a), 1);
    EXPECT_FALSE(send(a, new_frame()));
    EXPECT_EQ(count_received(a), 0U);
    EXPECT_FALSE(link_is_up(b));
    EXPECT_EQ(rte_eth_dev_set_mtu(a, 1400), -EIO);
    rte_eth_dev_callback_unregister(a, RTE_ETH_EVENT_INTR_RMV, count_event, &removals);
    rte_eth_dev_callback_unregister(b, RTE_ETH_EVENT_INTR_LSC, count_event, &at_peer);
}

TEST_F(WireFaults, LiveMtuAndFixedMtuAreRefusedWhenToldSo) {
    ASSERT_NO_FATAL_FAILURE(start_pair({}, ",live_mtu=0", ",fixed_mtu=1"));
    EXPECT_EQ(rte_eth_dev_set_mtu(a, 1400), -EBUSY);
    EXPECT_EQ(rte_eth_dev_set_mtu(b, 1400), -ENOTSUP);
    ASSERT_EQ(rte_eth_dev_stop(a), 0);
    EXPECT_EQ(rte_eth_dev_set_mtu(a, 1400), 0);
}

TEST_F(WireFaults, ASlowStartIsCounted) {
    ASSERT_EQ(plug("net_wire9", ""), 0);
    std::uint16_t const port = port_named("net_wire9");
    rte_pmd_wire_slow_start_ms(port, 1);
    ASSERT_NO_FATAL_FAILURE(bring_up(port));
    EXPECT_EQ(counters(port).slow_starts, 1U);
    EXPECT_EQ(counters(port).starts, 1U);
}

TEST_F(WireFaults, OverlappingBurstsOnAQueueAreCounted) {
    std::uint16_t const port = start_sink("check=1");
    std::atomic<bool> stop{false};
    auto const poll = [&] {
        std::array<rte_mbuf*, 4> some;
        while (!stop && rte_pmd_wire_in_burst_violation_count(port) == 0) {
            for (int i = 0; i < 1000; ++i) {
                rte_eth_rx_burst(port, 0, some.data(), some.size());
            }
        }
    };
    std::thread first(poll);
    std::thread second(poll);
    first.join(); // both end when one has met the other
    second.join();
    EXPECT_GE(rte_pmd_wire_in_burst_violation_count(port), 1U);
}

TEST_F(WireFaults, OneBurstAfterTheOtherIsNoViolation) {
    std::uint16_t const port = start_sink("check=1");
    EXPECT_TRUE(send(port, new_frame()));
    EXPECT_TRUE(send(port, new_frame()));
    EXPECT_EQ(count_received(port), 0U);
    EXPECT_EQ(rte_pmd_wire_in_burst_violation_count(port), 0U);
    EXPECT_EQ(rte_pmd_wire_burst_count(port), 3U);
}

TEST_F(WireFaults, NothingCanBeAskedOfAPortThatIsNoWire) {
    EXPECT_EQ(rte_pmd_wire_is_wire(30), 0);
    EXPECT_EQ(rte_pmd_wire_cut(30), -ENODEV);
    EXPECT_EQ(rte_pmd_wire_cut(UINT16_MAX), -ENODEV);
    EXPECT_EQ(rte_pmd_wire_surprise_remove(30), -ENODEV);
    rte_pmd_wire_counters c;
    EXPECT_EQ(rte_pmd_wire_counters_get(30, &c), -ENODEV);
}

/// A burst through pointers taken before the stop, as a careless driver above would do.
struct stale_pointers {
    eth_tx_burst_t tx;
    eth_rx_burst_t rx;
    void* txq;
    void* rxq;
    explicit stale_pointers(std::uint16_t port)
        : tx(rte_eth_fp_ops[port].tx_pkt_burst),
          rx(rte_eth_fp_ops[port].rx_pkt_burst),
          txq(rte_eth_fp_ops[port].txq.data[0]),
          rxq(rte_eth_fp_ops[port].rxq.data[0]) {}
};

TEST_F(WireDeathTest, ABurstOnAStoppedPoisonedPortAborts) {
    ASSERT_NO_FATAL_FAILURE(start_pair());
    rte_pmd_wire_poison_on_stop(a, true);
    stale_pointers const old(a);
    rte_mbuf* m = nullptr;
    EXPECT_EQ(old.tx(old.txq, &m, 0), 0);
    ASSERT_EQ(rte_eth_dev_stop(a), 0);
    EXPECT_DEATH(old.tx(old.txq, &m, 0), "transmit burst on stopped port 0, queue 0");
    EXPECT_DEATH(old.rx(old.rxq, &m, 1), "receive burst on stopped port 0, queue 0");
    ASSERT_EQ(rte_eth_dev_start(a), 0);
    EXPECT_EQ(old.tx(old.txq, &m, 0), 0);
}

TEST_F(WireDeathTest, ABurstOnAClosedPoisonedPortAborts) {
    std::uint16_t const port = start_sink();
    rte_pmd_wire_poison_on_stop(port, true);
    stale_pointers const old(port);
    ASSERT_EQ(rte_eth_dev_stop(port), 0);
    ASSERT_EQ(rte_vdev_uninit("net_wire9"), 0);
    rte_mbuf* m = nullptr;
    EXPECT_DEATH(old.tx(old.txq, &m, 0), "transmit burst on stopped port 0, queue 0");
}

} // namespace
} // namespace wire::test
