// The wire driver from outside, driven through ethdev and rte_pmd_wire.h: devargs, carrier, sinks.
// Has a main of its own, because EAL is initialised once per process.
#include "wire_fixture.h"

#include <unistd.h>

#include <rte_eal.h>
#include <rte_errno.h>

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

namespace wire::test {
namespace {

using WireProbe = Wire;
using WireLink = Wire;
using WireSink = Wire;

TEST_F(WireProbe, ConnectsWhenTheFirstEndNamesTheSecond) {
    ASSERT_EQ(plug("net_wire0", "peer=net_wire1"), 0);
    ASSERT_EQ(plug("net_wire1", ""), 0);
    std::uint16_t peer = 99;
    EXPECT_EQ(rte_pmd_wire_peer(port_named("net_wire0"), &peer), 0);
    EXPECT_EQ(peer, port_named("net_wire1"));
}

TEST_F(WireProbe, ConnectsWhenTheSecondEndNamesTheFirst) {
    ASSERT_EQ(plug("net_wire0", ""), 0);
    ASSERT_EQ(plug("net_wire1", "peer=net_wire0"), 0);
    std::uint16_t peer = 99;
    EXPECT_EQ(rte_pmd_wire_peer(port_named("net_wire0"), &peer), 0);
    EXPECT_EQ(peer, port_named("net_wire1"));
}

TEST_F(WireProbe, ConnectsWhenBothNameEachOther) {
    ASSERT_EQ(plug("net_wire0", "peer=net_wire1"), 0);
    ASSERT_EQ(plug("net_wire1", "peer=net_wire0"), 0);
    std::uint16_t peer = 99;
    EXPECT_EQ(rte_pmd_wire_peer(port_named("net_wire1"), &peer), 0);
    EXPECT_EQ(peer, port_named("net_wire0"));
}

TEST_F(WireProbe, RefusesAPeerWithAnotherPeerInMind) {
    ASSERT_EQ(plug("net_wire0", "peer=net_wire7"), 0);
    EXPECT_EQ(plug("net_wire1", "peer=net_wire0"), -EINVAL);
    EXPECT_EQ(rte_eth_dev_count_avail(), 1);
}

TEST_F(WireProbe, RefusesAPeerThatIsConnected) {
    ASSERT_NO_FATAL_FAILURE(plug_pair());
    EXPECT_EQ(plug("net_wire2", "peer=net_wire1"), -EBUSY);
    EXPECT_EQ(rte_eth_dev_count_avail(), 2);
}

TEST_F(WireProbe, RefusesUnknownKeysAndBadValues) {
    for (char const* args :
         {"colour=red", "speed=fast", "speed=0", "queues=0", "queues=65", "mac=01:00:00:00:00:01",
          "lsc=2", "ring=0", "ring=40000", "mtu_max=20", "down=up", "full=maybe", "sink=steel",
          "peer=net_wire9", "peer=eth0", "peer=net_wire1,sink=keep", "speed=10x"}) {
        EXPECT_LT(plug("net_wire9", args), 0) << args;
        EXPECT_EQ(rte_eth_dev_count_avail(), 0) << args;
    }
}

TEST_F(WireProbe, ShowsWhatDevargsSaid) {
    ASSERT_EQ(plug("net_wire9", "speed=25000,mac=02:00:00:00:00:77,rxq=3,txq=5,mtu_max=4000,lsc=0"),
              0);
    std::uint16_t const port = port_named("net_wire9");
    rte_eth_dev_info info;
    ASSERT_EQ(rte_eth_dev_info_get(port, &info), 0);
    EXPECT_EQ(info.max_rx_queues, 3);
    EXPECT_EQ(info.max_tx_queues, 5);
    EXPECT_EQ(info.max_mtu, 4000);
    EXPECT_EQ(info.speed_capa, RTE_ETH_LINK_SPEED_25G);
    EXPECT_EQ(*info.dev_flags & RTE_ETH_DEV_INTR_LSC, 0U);
    EXPECT_EQ(mac_of(port), (address{2, 0, 0, 0, 0, 0x77}));
    bring_up(port);
    rte_eth_link link;
    ASSERT_EQ(rte_eth_link_get_nowait(port, &link), 0);
    EXPECT_EQ(link.link_speed, 25000U);
}

TEST_F(WireProbe, GivesEveryEndAnAddressOfItsOwn) {
    ASSERT_NO_FATAL_FAILURE(plug_pair());
    EXPECT_NE(mac_of(a), mac_of(b));
    EXPECT_EQ(mac_of(a)[0], 2);
}

TEST_F(WireProbe, ReconnectsAnEndThatWasClosedAndProbedAgain) {
    ASSERT_NO_FATAL_FAILURE(start_pair());
    ASSERT_EQ(rte_eth_dev_stop(b), 0);
    ASSERT_EQ(rte_vdev_uninit("net_wire1"), 0);
    std::uint16_t peer;
    EXPECT_EQ(rte_pmd_wire_peer(a, &peer), -ENOTCONN);
    EXPECT_FALSE(link_is_up(a));
    EXPECT_FALSE(send(a, new_frame()));

    ASSERT_EQ(plug("net_wire1", ""), 0);
    b = port_named("net_wire1");
    ASSERT_NO_FATAL_FAILURE(bring_up(b));
    EXPECT_TRUE(link_is_up(a));
    EXPECT_TRUE(send(a, new_frame()));
    EXPECT_EQ(count_received(b), 1U);
}

TEST_F(WireLink, IsUpOnlyWhileBothEndsAreStarted) {
    ASSERT_NO_FATAL_FAILURE(plug_pair());
    ASSERT_NO_FATAL_FAILURE(bring_up(a));
    EXPECT_FALSE(link_is_up(a));
    ASSERT_NO_FATAL_FAILURE(bring_up(b));
    EXPECT_TRUE(link_is_up(a));
    EXPECT_TRUE(link_is_up(b));
    ASSERT_EQ(rte_eth_dev_stop(b), 0);
    EXPECT_FALSE(link_is_up(a));
}

TEST_F(WireLink, ACutIsSeenByBothEndsAndHealed) {
    ASSERT_NO_FATAL_FAILURE(start_pair(with_lsc()));
    std::atomic<int> at_a{0};
    std::atomic<int> at_b{0};
    rte_eth_dev_callback_register(a, RTE_ETH_EVENT_INTR_LSC, count_event, &at_a);
    rte_eth_dev_callback_register(b, RTE_ETH_EVENT_INTR_LSC, count_event, &at_b);

    EXPECT_EQ(rte_pmd_wire_cut(b), 0);
    EXPECT_EQ(at_a, 1);
    EXPECT_EQ(at_b, 1);
    EXPECT_FALSE(link_is_up(a));
    EXPECT_FALSE(link_is_up(b));
    EXPECT_FALSE(send(a, new_frame()));
    EXPECT_FALSE(send(b, new_frame()));
    EXPECT_EQ(rte_pmd_wire_cut(a), 0);
    EXPECT_EQ(at_a, 1) << "nothing changed";

    EXPECT_EQ(rte_pmd_wire_heal(a), 0);
    EXPECT_EQ(at_a, 2);
    EXPECT_EQ(at_b, 2);
    EXPECT_TRUE(link_is_up(a));
    EXPECT_TRUE(send(b, new_frame()));
    EXPECT_EQ(count_received(a), 1U);
    EXPECT_EQ(counters(a).cuts, 2U);
    EXPECT_EQ(counters(b).heals, 1U);
    rte_eth_dev_callback_unregister(a, RTE_ETH_EVENT_INTR_LSC, count_event, &at_a);
    rte_eth_dev_callback_unregister(b, RTE_ETH_EVENT_INTR_LSC, count_event, &at_b);
}

TEST_F(WireLink, RaisesNoInterruptThatWasNotConfigured) {
    ASSERT_NO_FATAL_FAILURE(start_pair());
    std::atomic<int> count{0};
    rte_eth_dev_callback_register(a, RTE_ETH_EVENT_INTR_LSC, count_event, &count);
    rte_pmd_wire_cut(a);
    EXPECT_EQ(count, 0);
    EXPECT_FALSE(link_is_up(a)) << "polling tells, though";
    rte_eth_dev_callback_unregister(a, RTE_ETH_EVENT_INTR_LSC, count_event, &count);
}

TEST_F(WireLink, ACallbackMayCallOperationsOfTheSameWire) {
    ASSERT_NO_FATAL_FAILURE(start_pair(with_lsc()));
    static std::atomic<int> mtu{0};
    auto const ask = [](std::uint16_t port, rte_eth_event_type, void*, void*) {
        std::uint16_t now = 0;
        rte_eth_dev_set_mtu(port, 1400);
        rte_eth_dev_get_mtu(port, &now);
        mtu = now;
        return 0;
    };
    rte_eth_dev_callback_register(a, RTE_ETH_EVENT_INTR_LSC, ask, nullptr);
    rte_pmd_wire_cut(a);
    EXPECT_EQ(mtu, 1400);
    rte_eth_dev_callback_unregister(a, RTE_ETH_EVENT_INTR_LSC, ask, nullptr);
}

TEST_F(WireLink, FramesThatArrivedBeforeTheCutStayDeliverable) {
    ASSERT_NO_FATAL_FAILURE(start_pair());
    ASSERT_TRUE(send(a, new_frame()));
    rte_pmd_wire_cut(a);
    EXPECT_EQ(count_received(b), 1U);
}

TEST_F(WireLink, SetLinkDownTakesCarrierFromBoth) {
    ASSERT_NO_FATAL_FAILURE(start_pair());
    ASSERT_EQ(rte_eth_dev_set_link_down(a), 0);
    EXPECT_FALSE(link_is_up(a));
    EXPECT_FALSE(link_is_up(b));
    ASSERT_EQ(rte_eth_dev_set_link_up(a), 0);
    EXPECT_TRUE(link_is_up(b));
}

TEST_F(WireLink, DropsWithoutCarrierWhenToldSo) {
    ASSERT_NO_FATAL_FAILURE(start_pair({}, ",down=drop"));
    rte_pmd_wire_cut(a);
    EXPECT_TRUE(send(a, new_frame()));
    EXPECT_EQ(counters(a).lost_down, 1U);
    EXPECT_FALSE(send(b, new_frame())) << "the other end refuses";
    EXPECT_EQ(counters(b).refused, 1U);
}

TEST_F(WireLink, ASilentCutKeepsCarrierAndLosesFrames) {
    ASSERT_NO_FATAL_FAILURE(start_pair());
    rte_pmd_wire_cut_silent(a);
    EXPECT_TRUE(link_is_up(a));
    EXPECT_TRUE(send(a, new_frame()));
    EXPECT_TRUE(send(b, new_frame()));
    EXPECT_EQ(count_received(a) + count_received(b), 0U);
    EXPECT_EQ(counters(a).lost_silent, 1U);
    EXPECT_EQ(counters(b).lost_silent, 1U);
    rte_pmd_wire_heal(b);
    EXPECT_TRUE(send(a, new_frame()));
    EXPECT_EQ(count_received(b), 1U);
}

TEST_F(WireLink, AOneWaySilentCutLeavesTheOtherWayAlone) {
    ASSERT_NO_FATAL_FAILURE(start_pair());
    rte_pmd_wire_cut_tx_silent(a);
    EXPECT_TRUE(send(a, new_frame()));
    EXPECT_TRUE(send(b, new_frame()));
    EXPECT_EQ(count_received(b), 0U);
    EXPECT_EQ(count_received(a), 1U);
}

TEST_F(WireSink, FreesAndCountsWhatItTakes) {
    std::uint16_t const port = start_sink();
    EXPECT_TRUE(link_is_up(port));
    EXPECT_TRUE(send(port, new_frame()));
    EXPECT_EQ(rte_mempool_avail_count(pool), pool_size);
    EXPECT_EQ(rte_pmd_wire_sent(port), 1U);
    EXPECT_EQ(count_received(port), 0U);
}

TEST_F(WireSink, LeavesFramesToTheCallerWhenToldSo) {
    std::uint16_t const port = start_sink("sink=keep");
    rte_mbuf* m = new_frame();
    EXPECT_EQ(rte_eth_tx_burst(port, 0, &m, 1), 1);
    EXPECT_EQ(rte_eth_tx_burst(port, 0, &m, 1), 1);
    EXPECT_EQ(rte_mbuf_refcnt_read(m), 1);
    rte_pktmbuf_free(m);
    EXPECT_EQ(rte_pmd_wire_sent(port), 2U);
    EXPECT_EQ(plug("net_wire8", "peer=net_wire9"), -EINVAL);
}

TEST_F(WireSink, CanBeCutSilencedAndHealed) {
    std::uint16_t const port = start_sink("", with_lsc());
    std::atomic<int> count{0};
    rte_eth_dev_callback_register(port, RTE_ETH_EVENT_INTR_LSC, count_event, &count);
    rte_pmd_wire_cut(port);
    EXPECT_EQ(count, 1);
    EXPECT_FALSE(link_is_up(port));
    EXPECT_FALSE(send(port, new_frame()));
    rte_pmd_wire_heal(port);
    EXPECT_TRUE(send(port, new_frame()));
    rte_pmd_wire_cut_silent(port);
    EXPECT_TRUE(send(port, new_frame()));
    EXPECT_EQ(counters(port).lost_silent, 1U);
    EXPECT_EQ(counters(port).sent, 1U);
    EXPECT_EQ(counters(port).refused, 1U);
    rte_eth_dev_callback_unregister(port, RTE_ETH_EVENT_INTR_LSC, count_event, &count);
}

TEST_F(WireSink, TurnsIntoAWireWhenAPeerNamesItWhileItRuns) {
    std::uint16_t const port = start_sink();
    EXPECT_TRUE(send(port, new_frame()));
    ASSERT_EQ(plug("net_wire8", "peer=net_wire9"), 0);
    EXPECT_FALSE(send(port, new_frame())) << "the peer is not started";
    std::uint16_t const peer = port_named("net_wire8");
    ASSERT_NO_FATAL_FAILURE(bring_up(peer));
    EXPECT_TRUE(send(port, new_frame()));
    EXPECT_EQ(count_received(peer), 1U);
}

} // namespace
} // namespace wire::test

int main(int argc, char** argv) {
    using namespace wire::test;
    testing::InitGoogleTest(&argc, argv);
    std::string const prefix = "wire" + std::to_string(getpid());
    std::vector<std::string> words{argv[0], "--no-huge",   "--no-shconf",           "-m",
                                   "256",   "--no-pci",    "--no-telemetry",        "--file-prefix",
                                   prefix,  "--log-level", "pmd.net.wire:emergency"};
    std::vector<char*> args;
    for (auto& word : words) {
        args.push_back(word.data());
    }
    if (rte_eal_init(static_cast<int>(args.size()), args.data()) < 0) {
        std::fprintf(stderr, "EAL: %s\n", rte_strerror(rte_errno));
        return 1;
    }
    // No cache: then the pool alone tells whether a frame is missing.
    pool = rte_pktmbuf_pool_create("frames", pool_size, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, 0);
    int const result = pool == nullptr ? 1 : RUN_ALL_TESTS();
    rte_mempool_free(pool);
    rte_eal_cleanup();
    return result;
}
