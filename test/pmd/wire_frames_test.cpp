// Frames on a wire: whose they are, their order, who hears them.
#include "wire_fixture.h"

#include <rte_ether.h>

#include <array>
#include <cstdint>
#include <vector>

namespace wire::test {
namespace {

using WireFrames = Wire;
using WireFilter = Wire;

TEST_F(WireFrames, ChangeHandsWithoutACopyAndBearThePortOfTheReceiver) {
    ASSERT_NO_FATAL_FAILURE(start_pair());
    rte_mbuf* const m = new_frame();
    m->ol_flags |= RTE_MBUF_F_RX_RSS_HASH | RTE_MBUF_F_TX_IP_CKSUM | RTE_MBUF_F_TX_IPV4;
    m->port = 31;
    ASSERT_TRUE(send(a, m));
    auto const got = receive(b);
    ASSERT_EQ(got.size(), 1U);
    EXPECT_EQ(got[0], m);
    EXPECT_EQ(got[0]->port, b);
    EXPECT_EQ(got[0]->ol_flags, 0U);
    free_all(got);
}

TEST_F(WireFrames, ArriveInOrderAcrossChunksOfABurst) {
    setup s;
    s.descriptors = 512;
    ASSERT_NO_FATAL_FAILURE(start_pair(s));
    std::vector<rte_mbuf*> out;
    for (int i = 0; i < 200; ++i) {
        out.push_back(new_frame(everybody, static_cast<std::uint8_t>(i)));
    }
    ASSERT_EQ(rte_eth_tx_burst(a, 0, out.data(), 200), 200);
    auto const got = receive(b);
    ASSERT_EQ(got.size(), 200U);
    for (std::size_t i = 0; i < got.size(); ++i) {
        EXPECT_EQ(mark_of(got[i]), i);
    }
    free_all(got);
}

TEST_F(WireFrames, WithASharedSegmentAreDeepCopied) {
    ASSERT_NO_FATAL_FAILURE(start_pair());
    rte_mbuf* const m = new_frame(everybody, 7);
    rte_mbuf_refcnt_update(m, 1); // ours
    rte_mbuf* const clone = rte_pktmbuf_clone(m, pool);
    ASSERT_NE(clone, nullptr);
    ASSERT_TRUE(send(a, m));
    ASSERT_TRUE(send(a, clone));
    auto const got = receive(b);
    ASSERT_EQ(got.size(), 2U);
    for (rte_mbuf* copy : got) {
        EXPECT_NE(copy, m);
        EXPECT_TRUE(RTE_MBUF_DIRECT(copy));
        EXPECT_EQ(mark_of(copy), 7);
        EXPECT_EQ(copy->pkt_len, 60U);
    }
    EXPECT_EQ(rte_mbuf_refcnt_read(m), 1) << "the references of both were given up";
    EXPECT_EQ(counters(a).tx_copied, 2U);
    free_all(got);
    rte_pktmbuf_free(m);
}

TEST_F(WireFrames, ThatCannotBeCopiedAreDroppedAndCounted) {
    ASSERT_NO_FATAL_FAILURE(start_pair());
    std::array<rte_mbuf*, 3> burst{new_frame(everybody, 1), new_frame(everybody, 2),
                                   new_frame(everybody, 3)};
    rte_mbuf* const shared = burst[1];
    rte_mbuf_refcnt_update(shared, 1);
    std::vector<rte_mbuf*> hoard;
    while (rte_mbuf* const m = rte_pktmbuf_alloc(pool)) {
        hoard.push_back(m);
    }
    EXPECT_EQ(rte_eth_tx_burst(a, 0, burst.data(), 3), 3);
    EXPECT_EQ(counters(a).tx_no_mbuf, 1U);
    rte_eth_stats stats;
    rte_eth_stats_get(a, &stats);
    EXPECT_EQ(stats.oerrors, 1U);
    auto const got = receive(b);
    ASSERT_EQ(got.size(), 2U);
    EXPECT_EQ(mark_of(got[0]), 1);
    EXPECT_EQ(mark_of(got[1]), 3);
    EXPECT_EQ(rte_mbuf_refcnt_read(shared), 1);
    free_all(got);
    free_all(hoard);
    rte_pktmbuf_free(shared);
}

TEST_F(WireFrames, ThatFindAFullRingStayTheCallersUntouched) {
    ASSERT_NO_FATAL_FAILURE(start_pair({}, "", ",ring=4"));
    std::array<rte_mbuf*, 6> burst;
    for (std::size_t i = 0; i < burst.size(); ++i) {
        burst[i] = new_frame(everybody, static_cast<std::uint8_t>(i));
        burst[i]->ol_flags |= RTE_MBUF_F_TX_IPV4;
        burst[i]->hash.rss = 0x1234;
    }
    rte_mbuf_refcnt_update(burst[5], 1);
    ASSERT_EQ(rte_eth_tx_burst(a, 0, burst.data(), 6), 4);
    EXPECT_EQ(counters(a).refused, 2U);
    EXPECT_EQ(mark_of(burst[4]), 4);
    EXPECT_EQ(burst[4]->ol_flags, RTE_MBUF_F_TX_IPV4);
    EXPECT_EQ(burst[5]->ol_flags, RTE_MBUF_F_TX_IPV4);
    EXPECT_EQ(burst[4]->hash.rss, 0x1234U);
    EXPECT_EQ(rte_mbuf_refcnt_read(burst[5]), 2);
    rte_mbuf_refcnt_update(burst[5], -1);
    rte_pktmbuf_free(burst[4]);
    rte_pktmbuf_free(burst[5]);
    EXPECT_EQ(count_received(b), 4U);
}

TEST_F(WireFrames, AreMissedAtAFullRingWhenToldSo) {
    ASSERT_NO_FATAL_FAILURE(start_pair({}, "", ",ring=4,full=drop"));
    std::array<rte_mbuf*, 6> burst;
    for (auto& m : burst) {
        m = new_frame();
    }
    EXPECT_EQ(rte_eth_tx_burst(a, 0, burst.data(), 6), 6);
    EXPECT_EQ(counters(a).sent, 6U);
    EXPECT_EQ(counters(b).missed, 2U);
    rte_eth_stats stats;
    rte_eth_stats_get(b, &stats);
    EXPECT_EQ(stats.imissed, 2U);
    EXPECT_EQ(count_received(b), 4U);
}

TEST_F(WireFrames, InTheRingAtAStopAreFreedAndCounted) {
    ASSERT_NO_FATAL_FAILURE(start_pair());
    ASSERT_TRUE(send(a, new_frame()));
    ASSERT_EQ(rte_eth_dev_stop(b), 0);
    EXPECT_EQ(rte_mempool_avail_count(pool), pool_size);
    EXPECT_EQ(counters(b).lost_stop, 1U);
    ASSERT_EQ(rte_eth_dev_start(b), 0);
    EXPECT_EQ(count_received(b), 0U);
}

TEST_F(WireFrames, LongerThanTheMtuOfEitherEndAreDropped) {
    ASSERT_NO_FATAL_FAILURE(start_pair());
    ASSERT_EQ(rte_eth_dev_set_mtu(a, 1000), 0);
    ASSERT_EQ(rte_eth_dev_set_mtu(b, 900), 0);
    EXPECT_TRUE(send(a, new_frame(everybody, 0x88b5, 914)));
    EXPECT_EQ(count_received(b), 1U);
    EXPECT_TRUE(send(a, new_frame(everybody, 0x88b5, 915)));
    EXPECT_EQ(counters(b).rx_too_long, 1U);
    EXPECT_TRUE(send(a, new_frame(everybody, 0x8100, 918)));
    EXPECT_EQ(count_received(b), 1U) << "a tag is not payload";
    EXPECT_TRUE(send(a, new_frame(everybody, 0x88b5, 1015)));
    EXPECT_EQ(counters(a).tx_too_long, 1U);
    EXPECT_EQ(count_received(b), 0U);
}

TEST_F(WireFilter, HearsItsOwnAddressBroadcastAndNothingElse) {
    ASSERT_NO_FATAL_FAILURE(start_pair());
    EXPECT_TRUE(send(a, new_frame(mac_of(b))));
    EXPECT_TRUE(send(a, new_frame(everybody)));
    EXPECT_EQ(count_received(b), 2U);
    EXPECT_TRUE(send(a, new_frame(stranger)));
    EXPECT_TRUE(send(a, new_frame(lacp_group)));
    EXPECT_EQ(count_received(b), 0U);
    EXPECT_EQ(counters(b).filtered_mac, 2U);
    EXPECT_EQ(counters(a).filtered_mac, 0U);
}

TEST_F(WireFilter, HearsEverythingWhilePromiscuous) {
    ASSERT_NO_FATAL_FAILURE(start_pair());
    ASSERT_EQ(rte_eth_promiscuous_enable(b), 0);
    EXPECT_TRUE(send(a, new_frame(stranger)));
    EXPECT_TRUE(send(a, new_frame(lacp_group)));
    EXPECT_EQ(count_received(b), 2U);
    ASSERT_EQ(rte_eth_promiscuous_disable(b), 0);
    EXPECT_TRUE(send(a, new_frame(stranger)));
    EXPECT_EQ(count_received(b), 0U);
}

TEST_F(WireFilter, HearsAddressesThatWereAddedUntilTheyAreRemoved) {
    ASSERT_NO_FATAL_FAILURE(start_pair());
    rte_ether_addr mac = to_dpdk(stranger);
    ASSERT_EQ(rte_eth_dev_mac_addr_add(b, &mac, 0), 0);
    EXPECT_TRUE(send(a, new_frame(stranger)));
    EXPECT_EQ(count_received(b), 1U);
    ASSERT_EQ(rte_eth_dev_mac_addr_remove(b, &mac), 0);
    EXPECT_TRUE(send(a, new_frame(stranger)));
    EXPECT_EQ(count_received(b), 0U);
}

TEST_F(WireFilter, FollowsAChangedDefaultAddress) {
    ASSERT_NO_FATAL_FAILURE(start_pair());
    address const old = mac_of(b);
    rte_ether_addr mac = to_dpdk(stranger);
    ASSERT_EQ(rte_eth_dev_default_mac_addr_set(b, &mac), 0);
    EXPECT_TRUE(send(a, new_frame(stranger)));
    EXPECT_TRUE(send(a, new_frame(old)));
    EXPECT_EQ(count_received(b), 1U);
}

TEST_F(WireFilter, KeepsItsAddressWhenItIsFixed) {
    ASSERT_NO_FATAL_FAILURE(start_pair({}, "", ",fixed_mac=1"));
    rte_ether_addr mac = to_dpdk(stranger);
    EXPECT_EQ(rte_eth_dev_default_mac_addr_set(b, &mac), -ENOTSUP);
}

TEST_F(WireFilter, HearsGroupsOfItsListOrAllOfThem) {
    ASSERT_NO_FATAL_FAILURE(start_pair());
    rte_ether_addr group = to_dpdk(lacp_group);
    ASSERT_EQ(rte_eth_dev_set_mc_addr_list(b, &group, 1), 0);
    EXPECT_TRUE(send(a, new_frame(lacp_group)));
    EXPECT_TRUE(send(a, new_frame({0x01, 0, 0x5e, 0, 0, 1})));
    EXPECT_EQ(count_received(b), 1U);
    ASSERT_EQ(rte_eth_allmulticast_enable(b), 0);
    EXPECT_TRUE(send(a, new_frame({0x01, 0, 0x5e, 0, 0, 1})));
    EXPECT_EQ(count_received(b), 1U);
}

TEST_F(WireFilter, PassesOnlyVlansOfItsTable) {
    setup s;
    s.conf.rxmode.offloads = RTE_ETH_RX_OFFLOAD_VLAN_FILTER;
    ASSERT_NO_FATAL_FAILURE(start_pair(s));
    ASSERT_EQ(rte_eth_dev_vlan_filter(b, 5, 1), 0);
    for (std::uint8_t id : {5, 6}) {
        rte_mbuf* const m = new_frame(everybody, 0x8100, 64);
        rte_pktmbuf_mtod(m, std::uint8_t*)[15] = id;
        EXPECT_TRUE(send(a, m));
    }
    EXPECT_TRUE(send(a, new_frame()));
    EXPECT_EQ(count_received(b), 2U) << "VLAN 5 and the untagged one";
    EXPECT_EQ(counters(b).filtered_vlan, 1U);
}

TEST_F(WireFilter, InsertsAndStripsTags) {
    setup s;
    s.conf.txmode.offloads = RTE_ETH_TX_OFFLOAD_VLAN_INSERT;
    ASSERT_NO_FATAL_FAILURE(start_pair(s));
    rte_mbuf* m = new_frame();
    m->ol_flags |= RTE_MBUF_F_TX_VLAN;
    m->vlan_tci = 9;
    ASSERT_TRUE(send(a, m));
    auto got = receive(b);
    ASSERT_EQ(got.size(), 1U);
    auto const* const data = rte_pktmbuf_mtod(got[0], std::uint8_t const*);
    EXPECT_EQ(got[0]->pkt_len, 64U);
    EXPECT_EQ(data[12] << 8 | data[13], 0x8100);
    EXPECT_EQ(data[15], 9);
    EXPECT_EQ(data[16] << 8 | data[17], 0x88b5);

    ASSERT_EQ(rte_eth_dev_stop(b), 0);
    s.conf.rxmode.offloads = RTE_ETH_RX_OFFLOAD_VLAN_STRIP;
    ASSERT_NO_FATAL_FAILURE(bring_up(b, s));
    ASSERT_TRUE(send(a, got[0])); // tagged in band
    m = new_frame();
    m->ol_flags |= RTE_MBUF_F_TX_VLAN;
    m->vlan_tci = 9;
    ASSERT_TRUE(send(a, m));
    got = receive(b);
    ASSERT_EQ(got.size(), 2U);
    for (rte_mbuf* stripped : got) {
        EXPECT_EQ(stripped->pkt_len, 60U);
        EXPECT_EQ(stripped->vlan_tci, 9);
        EXPECT_EQ(stripped->ol_flags, RTE_MBUF_F_RX_VLAN | RTE_MBUF_F_RX_VLAN_STRIPPED);
    }
    free_all(got);
}

} // namespace
} // namespace wire::test
