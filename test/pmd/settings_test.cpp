// What the application tells the lagg port reaches every member, those that come later included, or
// nobody; and what the lagg says it can do is what all of them can.
#include "fixture.h"
#include "traffic.h"

#include <rte_flow.h>

#include <array>
#include <cstring>
#include <set>

namespace lagg::test {
namespace {

std::uint16_t mtu_of(std::uint16_t port) {
    std::uint16_t mtu = 0;
    EXPECT_EQ(0, rte_eth_dev_get_mtu(port, &mtu));
    return mtu;
}

rte_eth_dev_info info_of(std::uint16_t port) {
    rte_eth_dev_info info{};
    EXPECT_EQ(0, rte_eth_dev_info_get(port, &info));
    return info;
}

struct Settings : testing::Test {
    unsigned before = pool_level();
    wire_pair x = wire("", 2);
    wire_pair y = wire("", 2);
    wire_pair late = wire("", 2);

    void TearDown() override {
        for (wire_pair* const w : {&x, &y, &late}) {
            w->near.close();
            w->far.close();
        }
        EXPECT_EQ(before, pool_level());
    }
    std::string both() const {
        return "policy=loadbalance,member=" + x.near.name() + ",member=" + y.near.name();
    }
    std::array<std::uint16_t, 2> ports() const { return {x.near.port(), y.near.port()}; }
    std::array<std::uint16_t, 3> all_ports() const {
        return {x.near.port(), y.near.port(), late.near.port()};
    }
};

// MTU

struct Mtu : Settings {};

TEST_F(Mtu, ReachesEveryMemberAndThoseThatComeLater) {
    lagg_port lagg(both());
    ASSERT_TRUE(lagg.ok());
    lagg.start();
    ASSERT_EQ(0, rte_eth_dev_set_mtu(lagg.id(), 4000));
    lagg.add(late.near.port());
    for (auto const port : all_ports()) {
        EXPECT_EQ(4000, mtu_of(port));
    }
    ASSERT_EQ(0, rte_eth_dev_stop(lagg.id()));
    ASSERT_EQ(0, rte_eth_dev_start(lagg.id()));
    for (auto const port : all_ports()) {
        EXPECT_EQ(4000, mtu_of(port)) << "after a restart";
    }
    lagg.remove(x.near.port());
    EXPECT_EQ(RTE_ETHER_MTU, mtu_of(x.near.port()));
}

TEST_F(Mtu, IsRolledBackOnAllWhenOneRefuses) {
    lagg_port lagg(both() + ",member=" + late.near.name());
    ASSERT_TRUE(lagg.ok());
    lagg.start();
    ASSERT_EQ(0, rte_eth_dev_set_mtu(lagg.id(), 2000));
    ASSERT_EQ(0, rte_pmd_wire_fail_op(late.near.port(), RTE_PMD_WIRE_OP_MTU, EIO, 1));
    EXPECT_EQ(-EIO, rte_eth_dev_set_mtu(lagg.id(), 3000));
    EXPECT_EQ(2000, mtu_of(lagg.id()));
    for (auto const port : all_ports()) {
        EXPECT_EQ(2000, mtu_of(port));
    }
    ASSERT_EQ(0, rte_eth_dev_set_mtu(lagg.id(), 3000));
    EXPECT_EQ(3000, mtu_of(late.near.port()));
}

TEST_F(Mtu, OfferedIsTheLeastOfAllMembers) {
    vdev const small = sink("mtu_max=1600");
    lagg_port lagg(both() + ",member=" + small.name());
    ASSERT_TRUE(lagg.ok());
    EXPECT_EQ(1600, info_of(lagg.id()).max_mtu);
    lagg.start();
    EXPECT_EQ(-EINVAL, rte_eth_dev_set_mtu(lagg.id(), 1601));
    EXPECT_EQ(0, rte_eth_dev_set_mtu(lagg.id(), 1600));
    lagg.remove(small.port());
    EXPECT_EQ(9216, info_of(lagg.id()).max_mtu);
    EXPECT_EQ(0, rte_eth_dev_set_mtu(lagg.id(), 9000));
    EXPECT_EQ(-EINVAL, rte_pmd_lagg_member_add(lagg.id(), small.port(), 10'000));
}

TEST_F(Mtu, OfAMemberThatCannotChangeItIsRefusedWithTheOthersUnchanged) {
    vdev const fixed = sink("fixed_mtu=1");
    lagg_port lagg(both() + ",member=" + fixed.name());
    ASSERT_TRUE(lagg.ok());
    lagg.start();
    EXPECT_EQ(-ENOTSUP, rte_eth_dev_set_mtu(lagg.id(), 2000));
    for (auto const port : ports()) {
        EXPECT_EQ(RTE_ETHER_MTU, mtu_of(port));
    }
    EXPECT_EQ(RTE_ETHER_MTU, mtu_of(lagg.id()));
}

// Promiscuity and multicast

struct Filters : Settings {};

TEST_F(Filters, PromiscuityAndAllMulticastReachEveryMemberAndThoseThatComeLater) {
    lagg_port lagg(both());
    ASSERT_TRUE(lagg.ok());
    lagg.start();
    ASSERT_EQ(0, rte_eth_promiscuous_enable(lagg.id()));
    ASSERT_EQ(0, rte_eth_allmulticast_enable(lagg.id()));
    lagg.add(late.near.port());
    for (auto const port : all_ports()) {
        EXPECT_EQ(1, rte_eth_promiscuous_get(port));
        EXPECT_EQ(1, rte_eth_allmulticast_get(port));
        EXPECT_FALSE(lagg.member(port).promiscuous_for_us);
    }
    ASSERT_EQ(0, rte_eth_promiscuous_disable(lagg.id()));
    ASSERT_EQ(0, rte_eth_allmulticast_disable(lagg.id()));
    for (auto const port : all_ports()) {
        EXPECT_EQ(0, rte_eth_promiscuous_get(port));
        EXPECT_EQ(0, rte_eth_allmulticast_get(port));
    }
}

TEST_F(Filters, AChangeThatOneMemberRefusesIsNobodys) {
    lagg_port lagg(both());
    ASSERT_TRUE(lagg.ok());
    lagg.start();
    ASSERT_EQ(0, rte_pmd_wire_fail_op(y.near.port(), RTE_PMD_WIRE_OP_PROMISC, EIO, 1));
    EXPECT_EQ(-EIO, rte_eth_promiscuous_enable(lagg.id()));
    ASSERT_EQ(0, rte_pmd_wire_fail_op(y.near.port(), RTE_PMD_WIRE_OP_ALLMULTI, EPERM, 1));
    EXPECT_EQ(-EPERM, rte_eth_allmulticast_enable(lagg.id()));
    EXPECT_EQ(0, rte_eth_promiscuous_get(lagg.id()));
    EXPECT_EQ(0, rte_eth_allmulticast_get(lagg.id()));
    for (auto const port : ports()) {
        EXPECT_EQ(0, rte_eth_promiscuous_get(port));
        EXPECT_EQ(0, rte_eth_allmulticast_get(port));
    }
}

// VLAN

struct Vlans : Settings {
    /// One frame with this VLAN id that reaches `at`; how many the lagg hands up.
    static std::size_t delivered(lagg_port const& lagg, wire_pair const& at, std::uint16_t vlan) {
        auto list = frames(1);
        list[0]->vlan_tci = vlan;
        EXPECT_EQ(0, rte_vlan_insert(&list[0]));
        EXPECT_EQ(1, send(at.far.port(), list));
        return receive_all(lagg.id());
    }
};

TEST_F(Vlans, TheFilterIsKeptByEveryMemberAndThoseThatComeLater) {
    lagg_port lagg(both());
    ASSERT_TRUE(lagg.ok());
    rte_eth_conf conf{};
    conf.rxmode.offloads = RTE_ETH_RX_OFFLOAD_VLAN_FILTER;
    bring_up(lagg.id(), 1, &conf);
    ASSERT_EQ(0, rte_eth_dev_vlan_filter(lagg.id(), 100, 1));
    ASSERT_EQ(0, rte_eth_dev_vlan_filter(lagg.id(), 200, 1));
    lagg.add(late.near.port());
    for (wire_pair const* w : {&x, &y, &late}) {
        EXPECT_EQ(1u, delivered(lagg, *w, 100));
        EXPECT_EQ(1u, delivered(lagg, *w, 200));
        EXPECT_EQ(0u, delivered(lagg, *w, 300));
    }
    ASSERT_EQ(0, rte_eth_dev_vlan_filter(lagg.id(), 100, 0));
    for (wire_pair const* w : {&x, &y, &late}) {
        EXPECT_EQ(0u, delivered(lagg, *w, 100));
        EXPECT_EQ(1u, delivered(lagg, *w, 200));
    }
    ASSERT_EQ(0, rte_eth_dev_stop(lagg.id()));
    ASSERT_EQ(0, rte_eth_dev_start(lagg.id()));
    for (wire_pair const* w : {&x, &y, &late}) {
        EXPECT_EQ(0u, delivered(lagg, *w, 100)) << "after a restart";
        EXPECT_EQ(1u, delivered(lagg, *w, 200));
    }
}

TEST_F(Vlans, AMemberThatLeftHasForgottenTheFilter) {
    lagg_port lagg(both());
    ASSERT_TRUE(lagg.ok());
    rte_eth_conf conf{};
    conf.rxmode.offloads = RTE_ETH_RX_OFFLOAD_VLAN_FILTER;
    bring_up(lagg.id(), 1, &conf);
    ASSERT_EQ(0, rte_eth_dev_vlan_filter(lagg.id(), 100, 1));
    lagg.remove(x.near.port());
    bring_up(x.near.port(), 1, &conf);
    auto list = frames(1);
    list[0]->vlan_tci = 100;
    ASSERT_EQ(0, rte_vlan_insert(&list[0]));
    EXPECT_EQ(1, send(x.far.port(), list));
    EXPECT_EQ(0u, receive_all(x.near.port()));
    EXPECT_EQ(1u, delivered(lagg, y, 100)) << "the others have it still";
}

TEST_F(Vlans, AnIdThatOneMemberRefusesIsNobodys) {
    lagg_port lagg(both());
    ASSERT_TRUE(lagg.ok());
    rte_eth_conf conf{};
    conf.rxmode.offloads = RTE_ETH_RX_OFFLOAD_VLAN_FILTER;
    bring_up(lagg.id(), 1, &conf);
    ASSERT_EQ(0, rte_pmd_wire_fail_op(y.near.port(), RTE_PMD_WIRE_OP_VLAN, ENOSPC, 1));
    EXPECT_EQ(-ENOSPC, rte_eth_dev_vlan_filter(lagg.id(), 100, 1));
    EXPECT_EQ(0u, delivered(lagg, x, 100));
    EXPECT_EQ(0u, delivered(lagg, y, 100));
    lagg.add(late.near.port());
    EXPECT_EQ(0u, delivered(lagg, late, 100));
}

TEST_F(Vlans, OffloadsCanBeSwitchedOnTheRunAndReachThoseThatComeLater) {
    lagg_port lagg(both());
    ASSERT_TRUE(lagg.ok());
    lagg.start();
    EXPECT_EQ(1u, delivered(lagg, x, 300));
    ASSERT_EQ(0, rte_eth_dev_set_vlan_offload(lagg.id(), RTE_ETH_VLAN_FILTER_OFFLOAD |
                                                             RTE_ETH_VLAN_STRIP_OFFLOAD));
    ASSERT_EQ(0, rte_eth_dev_vlan_filter(lagg.id(), 100, 1));
    lagg.add(late.near.port());
    for (wire_pair const* w : {&x, &y, &late}) {
        EXPECT_EQ(RTE_ETH_VLAN_FILTER_OFFLOAD | RTE_ETH_VLAN_STRIP_OFFLOAD,
                  rte_eth_dev_get_vlan_offload(w->near.port()));
        EXPECT_EQ(0u, delivered(lagg, *w, 300));
        auto list = frames(1);
        list[0]->vlan_tci = 100;
        ASSERT_EQ(0, rte_vlan_insert(&list[0]));
        EXPECT_EQ(1, send(w->far.port(), list));
        rte_mbuf* got = nullptr;
        for (int i = 0; i < 4 && got == nullptr; ++i) {
            rte_eth_rx_burst(lagg.id(), 0, &got, 1);
        }
        ASSERT_NE(nullptr, got);
        EXPECT_NE(0u, got->ol_flags & RTE_MBUF_F_RX_VLAN_STRIPPED);
        EXPECT_EQ(100, got->vlan_tci);
        EXPECT_EQ(64u, got->pkt_len);
        rte_pktmbuf_free(got);
    }
    ASSERT_EQ(0, rte_eth_dev_set_vlan_offload(lagg.id(), 0));
    for (wire_pair const* w : {&x, &y, &late}) {
        EXPECT_EQ(0, rte_eth_dev_get_vlan_offload(w->near.port()));
        EXPECT_EQ(1u, delivered(lagg, *w, 300));
    }
}

TEST_F(Vlans, OffloadsThatOneMemberRefusesAreNobodys) {
    lagg_port lagg(both());
    ASSERT_TRUE(lagg.ok());
    lagg.start();
    ASSERT_EQ(0, rte_pmd_wire_fail_op(y.near.port(), RTE_PMD_WIRE_OP_VLAN, EIO, 1));
    EXPECT_EQ(-EIO, rte_eth_dev_set_vlan_offload(lagg.id(), RTE_ETH_VLAN_FILTER_OFFLOAD));
    EXPECT_EQ(0, rte_eth_dev_get_vlan_offload(lagg.id()));
    for (auto const port : ports()) {
        EXPECT_EQ(0, rte_eth_dev_get_vlan_offload(port));
    }
    EXPECT_EQ(1u, delivered(lagg, x, 300));
}

// RSS

struct Rss : Settings {
    std::array<std::uint8_t, 40> key{};

    rte_eth_conf by_rss() {
        for (std::size_t i = 0; i < key.size(); ++i) {
            key[i] = static_cast<std::uint8_t>(i * 7 + 3);
        }
        rte_eth_conf conf{};
        conf.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
        conf.rx_adv_conf.rss_conf.rss_hf = RTE_ETH_RSS_IPV4 | RTE_ETH_RSS_NONFRAG_IPV4_UDP;
        conf.rx_adv_conf.rss_conf.rss_key = key.data();
        conf.rx_adv_conf.rss_conf.rss_key_len = static_cast<std::uint8_t>(key.size());
        return conf;
    }
    static std::pair<std::uint64_t, std::vector<std::uint8_t>> hash_of(std::uint16_t port) {
        std::vector<std::uint8_t> present(40);
        rte_eth_rss_conf conf{};
        conf.rss_key = present.data();
        conf.rss_key_len = 40;
        EXPECT_EQ(0, rte_eth_dev_rss_hash_conf_get(port, &conf));
        return {conf.rss_hf, present};
    }
    static std::vector<std::uint16_t> table_of(std::uint16_t port) {
        std::uint16_t const size = info_of(port).reta_size;
        std::vector<rte_eth_rss_reta_entry64> groups(size / RTE_ETH_RETA_GROUP_SIZE);
        for (auto& g : groups) {
            g.mask = UINT64_MAX;
        }
        EXPECT_EQ(0, rte_eth_dev_rss_reta_query(port, groups.data(), size));
        std::vector<std::uint16_t> out;
        for (auto const& g : groups) {
            out.insert(out.end(), std::begin(g.reta), std::end(g.reta));
        }
        return out;
    }
    static int set_table(std::uint16_t port, std::uint16_t queue) {
        std::uint16_t const size = info_of(port).reta_size;
        std::vector<rte_eth_rss_reta_entry64> groups(size / RTE_ETH_RETA_GROUP_SIZE);
        for (auto& g : groups) {
            g.mask = UINT64_MAX;
            std::fill(std::begin(g.reta), std::end(g.reta), queue);
        }
        return rte_eth_dev_rss_reta_update(port, groups.data(), size);
    }
};

TEST_F(Rss, HashFieldsAndKeyReachEveryMemberAndThoseThatComeLater) {
    lagg_port lagg(both());
    ASSERT_TRUE(lagg.ok());
    auto const conf = by_rss();
    bring_up(lagg.id(), 2, &conf);
    EXPECT_EQ(conf.rx_adv_conf.rss_conf.rss_hf, hash_of(lagg.id()).first);
    EXPECT_EQ(std::vector(key.begin(), key.end()), hash_of(lagg.id()).second);
    lagg.add(late.near.port());
    for (auto const port : all_ports()) {
        EXPECT_EQ(hash_of(lagg.id()), hash_of(port));
    }
    std::array<std::uint8_t, 40> other{};
    other.fill(0x6d);
    rte_eth_rss_conf next{};
    next.rss_hf = RTE_ETH_RSS_IPV4;
    next.rss_key = other.data();
    next.rss_key_len = 40;
    ASSERT_EQ(0, rte_eth_dev_rss_hash_update(lagg.id(), &next));
    lagg.remove(late.near.port());
    lagg.add(late.near.port());
    for (auto const port : all_ports()) {
        EXPECT_EQ(RTE_ETH_RSS_IPV4, hash_of(port).first);
        EXPECT_EQ(std::vector(other.begin(), other.end()), hash_of(port).second);
    }
    ASSERT_EQ(0, rte_eth_dev_stop(lagg.id()));
    ASSERT_EQ(0, rte_eth_dev_start(lagg.id()));
    EXPECT_EQ(std::vector(other.begin(), other.end()), hash_of(x.near.port()).second)
        << "after a restart";
}

TEST_F(Rss, AHashThatOneMemberRefusesIsNobodys) {
    lagg_port lagg(both());
    ASSERT_TRUE(lagg.ok());
    auto const conf = by_rss();
    bring_up(lagg.id(), 2, &conf);
    auto const then = hash_of(lagg.id());
    rte_eth_rss_conf next{};
    next.rss_hf = RTE_ETH_RSS_IPV4;
    ASSERT_EQ(0, rte_pmd_wire_fail_op(y.near.port(), RTE_PMD_WIRE_OP_RSS, EIO, 1));
    EXPECT_EQ(-EIO, rte_eth_dev_rss_hash_update(lagg.id(), &next));
    EXPECT_EQ(then, hash_of(lagg.id()));
    EXPECT_EQ(then, hash_of(x.near.port()));
    EXPECT_EQ(then, hash_of(y.near.port()));
}

TEST_F(Rss, TheRedirectionTableReachesEveryMemberAndThoseThatComeLater) {
    lagg_port lagg(both());
    ASSERT_TRUE(lagg.ok());
    auto const conf = by_rss();
    bring_up(lagg.id(), 2, &conf);
    EXPECT_EQ(table_of(x.near.port()), table_of(lagg.id())) << "nobody chose one yet";
    ASSERT_EQ(0, set_table(lagg.id(), 1));
    lagg.add(late.near.port());
    for (auto const port : all_ports()) {
        for (auto const queue : table_of(port)) {
            EXPECT_EQ(1, queue);
        }
    }
    // All of what arrives on a member now is for queue 1.
    EXPECT_EQ(32, send(late.far.port(), frames(32)));
    EXPECT_EQ(0u, receive_all(lagg.id(), 0));
    EXPECT_EQ(32u, receive_all(lagg.id(), 1));

    ASSERT_EQ(0, rte_pmd_wire_fail_op(y.near.port(), RTE_PMD_WIRE_OP_RSS, EIO, 1));
    EXPECT_EQ(-EIO, set_table(lagg.id(), 0));
    for (auto const port : all_ports()) {
        EXPECT_EQ(1, table_of(port)[0]);
    }
    EXPECT_EQ(1, table_of(lagg.id())[0]);
    ASSERT_EQ(0, rte_eth_dev_stop(lagg.id()));
    ASSERT_EQ(0, rte_eth_dev_start(lagg.id()));
    EXPECT_EQ(1, table_of(x.near.port())[0]) << "after a restart";
}

// What it can do

struct Capabilities : Settings {};

TEST_F(Capabilities, AreTheIntersectionAndFollowTheMembers) {
    lagg_port lagg("policy=loadbalance");
    ASSERT_TRUE(lagg.ok());
    auto info = info_of(lagg.id());
    EXPECT_EQ(16, info.max_rx_queues);
    EXPECT_EQ(16, info.max_tx_queues);
    EXPECT_EQ(0u, info.rx_offload_capa);
    EXPECT_EQ(RTE_ETH_TX_OFFLOAD_MULTI_SEGS, info.tx_offload_capa);
    EXPECT_EQ(0, info.reta_size);
    EXPECT_STREQ("net_lagg", info.driver_name);

    lagg.add(x.near.port());
    info = info_of(lagg.id());
    auto const member = info_of(x.near.port());
    EXPECT_EQ(member.rx_offload_capa, info.rx_offload_capa);
    EXPECT_EQ(member.tx_offload_capa & ~RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE, info.tx_offload_capa);
    EXPECT_EQ(member.reta_size, info.reta_size);
    EXPECT_EQ(member.hash_key_size, info.hash_key_size);
    EXPECT_EQ(member.flow_type_rss_offloads, info.flow_type_rss_offloads);
    EXPECT_EQ(member.max_mtu, info.max_mtu);

    vdev const narrow = sink("rxq=4,txq=3,mtu_max=2000");
    lagg.add(narrow.port());
    info = info_of(lagg.id());
    EXPECT_EQ(4, info.max_rx_queues);
    EXPECT_EQ(3, info.max_tx_queues);
    EXPECT_EQ(2000, info.max_mtu);
    rte_eth_conf const conf{};
    EXPECT_EQ(-EINVAL, rte_eth_dev_configure(lagg.id(), 5, 1, &conf));
    EXPECT_EQ(-EINVAL, rte_eth_dev_configure(lagg.id(), 1, 4, &conf));

    lagg.remove(narrow.port());
    info = info_of(lagg.id());
    EXPECT_EQ(member.max_rx_queues, info.max_rx_queues);
    EXPECT_EQ(member.max_mtu, info.max_mtu);
    lagg.start(4);
    EXPECT_EQ(-EINVAL, rte_pmd_lagg_member_add(lagg.id(), narrow.port(), 10'000))
        << "what was configured is frozen";
}

TEST_F(Capabilities, FastFreeIsNeverOfferedNorConfiguredOnAMember) {
    ASSERT_NE(0u, info_of(x.near.port()).tx_offload_capa & RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE);
    lagg_port lagg(both());
    ASSERT_TRUE(lagg.ok());
    auto const info = info_of(lagg.id());
    EXPECT_EQ(0u, info.tx_offload_capa & RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE);
    EXPECT_EQ(0u, info.tx_queue_offload_capa & RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE);
    rte_eth_conf conf{};
    conf.txmode.offloads = RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE;
    EXPECT_EQ(-EINVAL, rte_eth_dev_configure(lagg.id(), 1, 1, &conf));
    conf.txmode.offloads = RTE_ETH_TX_OFFLOAD_MULTI_SEGS;
    bring_up(lagg.id(), 1, &conf);
    lagg.add(late.near.port());
    for (auto const port : all_ports()) {
        EXPECT_EQ(RTE_ETH_TX_OFFLOAD_MULTI_SEGS,
                  rte_eth_devices[port].data->dev_conf.txmode.offloads);
        rte_eth_txq_info queue{};
        ASSERT_EQ(0, rte_eth_tx_queue_info_get(port, 0, &queue));
        EXPECT_EQ(0u, queue.conf.offloads & RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE);
    }
}

TEST_F(Capabilities, OffloadsOfTheConfigurationReachTheMembers) {
    lagg_port lagg(both());
    ASSERT_TRUE(lagg.ok());
    rte_eth_conf conf{};
    conf.rxmode.offloads = RTE_ETH_RX_OFFLOAD_SCATTER;
    conf.txmode.offloads = RTE_ETH_TX_OFFLOAD_MULTI_SEGS | RTE_ETH_TX_OFFLOAD_VLAN_INSERT;
    bring_up(lagg.id(), 2, &conf);
    lagg.add(late.near.port());
    for (auto const port : all_ports()) {
        auto const& theirs = rte_eth_devices[port].data->dev_conf;
        EXPECT_EQ(conf.rxmode.offloads, theirs.rxmode.offloads);
        EXPECT_EQ(conf.txmode.offloads, theirs.txmode.offloads);
        EXPECT_EQ(2, rte_eth_devices[port].data->nb_rx_queues);
        EXPECT_EQ(3, rte_eth_devices[port].data->nb_tx_queues) << "one of them is control's";
    }
}

TEST_F(Capabilities, AMemberlessLaggIsWidenedByItsDevargs) {
    lagg_port lagg("queues=3,offloads=RX_VLAN_STRIP+TX_VLAN_INSERT");
    ASSERT_TRUE(lagg.ok());
    auto const info = info_of(lagg.id());
    EXPECT_EQ(3, info.max_rx_queues);
    EXPECT_EQ(RTE_ETH_RX_OFFLOAD_VLAN_STRIP, info.rx_offload_capa);
    EXPECT_EQ(RTE_ETH_TX_OFFLOAD_VLAN_INSERT | RTE_ETH_TX_OFFLOAD_MULTI_SEGS, info.tx_offload_capa);
}

TEST_F(Capabilities, PacketTypesAreWhatEveryMemberRecognises) {
    lagg_port lagg(both());
    ASSERT_TRUE(lagg.ok());
    std::array<std::uint32_t, 8> ours{};
    std::array<std::uint32_t, 8> theirs{};
    int const n = rte_eth_dev_get_supported_ptypes(x.near.port(), RTE_PTYPE_ALL_MASK, theirs.data(),
                                                   static_cast<int>(theirs.size()));
    ASSERT_LT(0, n);
    EXPECT_EQ(n, rte_eth_dev_get_supported_ptypes(lagg.id(), RTE_PTYPE_ALL_MASK, ours.data(),
                                                  static_cast<int>(ours.size())));
    EXPECT_EQ(theirs, ours);
    lagg_port empty("policy=loadbalance");
    ASSERT_TRUE(empty.ok());
    EXPECT_EQ(0, rte_eth_dev_get_supported_ptypes(empty.id(), RTE_PTYPE_ALL_MASK, ours.data(),
                                                  static_cast<int>(ours.size())));
}

// Queues

struct Queues : Settings {};

TEST_F(Queues, TellWhatTheyWereSetUpWithAndMembersHaveTheSame) {
    lagg_port lagg(both());
    ASSERT_TRUE(lagg.ok());
    rte_eth_conf const conf{};
    ASSERT_EQ(0, rte_eth_dev_configure(lagg.id(), 2, 2, &conf));
    for (std::uint16_t q = 0; q < 2; ++q) {
        auto const size = static_cast<std::uint16_t>(128 << q);
        ASSERT_EQ(0, rte_eth_rx_queue_setup(lagg.id(), q, size, SOCKET_ID_ANY, nullptr, pool()));
        ASSERT_EQ(0, rte_eth_tx_queue_setup(lagg.id(), q, size, SOCKET_ID_ANY, nullptr));
    }
    ASSERT_EQ(0, rte_eth_dev_start(lagg.id()));
    lagg.add(late.near.port());
    for (auto const port : {lagg.id(), x.near.port(), y.near.port(), late.near.port()}) {
        for (std::uint16_t q = 0; q < 2; ++q) {
            rte_eth_rxq_info rx{};
            rte_eth_txq_info tx{};
            ASSERT_EQ(0, rte_eth_rx_queue_info_get(port, q, &rx));
            ASSERT_EQ(0, rte_eth_tx_queue_info_get(port, q, &tx));
            EXPECT_EQ(128 << q, rx.nb_desc);
            EXPECT_EQ(128 << q, tx.nb_desc);
            EXPECT_EQ(pool(), rx.mp);
        }
    }
}

TEST_F(Queues, BurstModeSaysHowThePresentSnapshotSpreads) {
    lagg_port lagg(both());
    ASSERT_TRUE(lagg.ok());
    lagg.start();
    rte_eth_burst_mode mode{};
    ASSERT_EQ(0, rte_eth_tx_burst_mode_get(lagg.id(), 0, &mode));
    EXPECT_STREQ("lagg by_flow over 2 members", mode.info);
    ASSERT_EQ(0, rte_eth_rx_burst_mode_get(lagg.id(), 0, &mode));
    EXPECT_STREQ("lagg polls 2 members", mode.info);
    ASSERT_EQ(0, rte_pmd_lagg_policy_set(lagg.id(), RTE_PMD_LAGG_POLICY_FAILOVER));
    ASSERT_EQ(0, rte_eth_tx_burst_mode_get(lagg.id(), 0, &mode));
    EXPECT_STREQ("lagg to_one over 1 members", mode.info);
}

TEST_F(Queues, CountWhatWaitsInAllMembersAndInTheStash) {
    lagg_port lagg(both());
    ASSERT_TRUE(lagg.ok());
    lagg.start();
    EXPECT_EQ(0, rte_eth_rx_queue_count(lagg.id(), 0));
    EXPECT_EQ(RTE_ETH_RX_DESC_AVAIL, rte_eth_rx_descriptor_status(lagg.id(), 0, 0));
    EXPECT_EQ(5, send(x.far.port(), frames(5)));
    EXPECT_EQ(4, send(y.far.port(), frames(4)));
    EXPECT_EQ(9, rte_eth_rx_queue_count(lagg.id(), 0));
    EXPECT_EQ(RTE_ETH_RX_DESC_DONE, rte_eth_rx_descriptor_status(lagg.id(), 0, 8));
    EXPECT_EQ(RTE_ETH_RX_DESC_AVAIL, rte_eth_rx_descriptor_status(lagg.id(), 0, 9));
    lagg.remove(x.near.port());
    EXPECT_EQ(9, rte_eth_rx_queue_count(lagg.id(), 0)) << "five of them in the stash";
    EXPECT_EQ(9u, receive_all(lagg.id()));
    EXPECT_EQ(0, rte_eth_rx_queue_count(lagg.id(), 0));
}

TEST_F(Queues, TheTransmitSideIsAsFullAsItsFullestMember) {
    lagg_port lagg("policy=roundrobin,member=" + x.near.name() + ",member=" + y.near.name());
    ASSERT_TRUE(lagg.ok());
    lagg.start();
    EXPECT_EQ(RTE_ETH_TX_DESC_DONE, rte_eth_tx_descriptor_status(lagg.id(), 0, 0));
    EXPECT_LE(0, rte_eth_tx_done_cleanup(lagg.id(), 0, 0));
    lagg.remove(x.near.port());
    lagg.remove(y.near.port());
    EXPECT_EQ(0, rte_eth_tx_done_cleanup(lagg.id(), 0, 0)) << "nobody holds anything";
    EXPECT_EQ(-ENOTSUP, rte_eth_tx_descriptor_status(lagg.id(), 0, 0));
}

// Flow rules

struct FlowRules : Settings {
    rte_flow_error error{};

    /// Frames of this Ethernet type are dropped by the device (`queue` none) or go to that queue.
    rte_flow* rule(lagg_port const& lagg, std::uint16_t type, int queue = -1) {
        rte_flow_attr attr{};
        attr.ingress = 1;
        rte_flow_item_eth eth{};
        eth.type = rte_cpu_to_be_16(type);
        rte_flow_item_eth mask{};
        mask.type = 0xffff;
        std::array<rte_flow_item, 2> pattern{};
        pattern[0].type = RTE_FLOW_ITEM_TYPE_ETH;
        pattern[0].spec = &eth;
        pattern[0].mask = &mask;
        pattern[1].type = RTE_FLOW_ITEM_TYPE_END;
        rte_flow_action_queue to{};
        to.index = static_cast<std::uint16_t>(std::max(queue, 0));
        std::array<rte_flow_action, 2> actions{};
        actions[0].type = queue < 0 ? RTE_FLOW_ACTION_TYPE_DROP : RTE_FLOW_ACTION_TYPE_QUEUE;
        actions[0].conf = queue < 0 ? nullptr : &to;
        actions[1].type = RTE_FLOW_ACTION_TYPE_END;
        return rte_flow_create(lagg.id(), &attr, pattern.data(), actions.data(), &error);
    }
    static std::size_t delivered(lagg_port const& lagg, wire_pair const& at, std::uint16_t queue) {
        EXPECT_EQ(1, send(at.far.port(), frames(1)));
        return receive_all(lagg.id(), queue);
    }
};

TEST_F(FlowRules, AreMadeOnEveryMemberAndThoseThatComeLater) {
    lagg_port lagg(both());
    ASSERT_TRUE(lagg.ok());
    lagg.start(2);
    for (wire_pair const* w : {&x, &y}) {
        EXPECT_EQ(1u, delivered(lagg, *w, 0));
    }
    rte_flow* const to_one = rule(lagg, RTE_ETHER_TYPE_IPV4, 1);
    ASSERT_NE(nullptr, to_one) << error.message;
    lagg.add(late.near.port());
    for (wire_pair const* w : {&x, &y, &late}) {
        EXPECT_EQ(1u, delivered(lagg, *w, 1));
    }
    ASSERT_EQ(0, rte_eth_dev_stop(lagg.id()));
    ASSERT_EQ(0, rte_eth_dev_start(lagg.id()));
    for (wire_pair const* w : {&x, &y, &late}) {
        EXPECT_EQ(1u, delivered(lagg, *w, 1)) << "after a restart";
    }
    ASSERT_EQ(0, rte_flow_destroy(lagg.id(), to_one, &error));
    for (wire_pair const* w : {&x, &y, &late}) {
        EXPECT_EQ(1u, delivered(lagg, *w, 0));
    }
    rte_flow* const drop = rule(lagg, RTE_ETHER_TYPE_IPV4);
    ASSERT_NE(nullptr, drop);
    for (wire_pair const* w : {&x, &y, &late}) {
        EXPECT_EQ(0u, delivered(lagg, *w, 0));
        EXPECT_EQ(1u, counters_of(w->near.port()).filtered_flow);
    }
    ASSERT_EQ(0, rte_flow_flush(lagg.id(), &error));
    EXPECT_EQ(1u, delivered(lagg, late, 0));
}

TEST_F(FlowRules, ThatOneMemberRefusesAreNobodys) {
    lagg_port lagg(both());
    ASSERT_TRUE(lagg.ok());
    lagg.start(2);
    ASSERT_EQ(0, rte_pmd_wire_fail_op(y.near.port(), RTE_PMD_WIRE_OP_FLOW, ENOSPC, 1));
    EXPECT_EQ(nullptr, rule(lagg, RTE_ETHER_TYPE_IPV4));
    EXPECT_EQ(ENOSPC, rte_errno);
    for (wire_pair const* w : {&x, &y}) {
        EXPECT_EQ(1u, delivered(lagg, *w, 0));
    }
    lagg.add(late.near.port());
    EXPECT_EQ(1u, delivered(lagg, late, 0));
}

TEST_F(FlowRules, AMemberThatLeftHasNoneOfThem) {
    lagg_port lagg(both());
    ASSERT_TRUE(lagg.ok());
    lagg.start(2);
    ASSERT_NE(nullptr, rule(lagg, RTE_ETHER_TYPE_IPV4));
    lagg.remove(x.near.port());
    bring_up(x.near.port());
    EXPECT_EQ(1, send(x.far.port(), frames(1)));
    EXPECT_EQ(1u, receive_all(x.near.port()));
}

// Changes under traffic

TEST_F(Settings, ChangesUnderTrafficLoseNoFrame) {
    lagg_port lagg(both());
    ASSERT_TRUE(lagg.ok());
    lagg.start();
    traffic running(lagg.id());
    std::atomic<bool> stop{false};
    std::thread far([&] {
        while (!stop) {
            receive_all(x.far.port());
            receive_all(y.far.port());
            std::this_thread::yield();
        }
    });
    for (int i = 0; i < 20; ++i) {
        EXPECT_EQ(0, rte_eth_dev_set_mtu(lagg.id(), static_cast<std::uint16_t>(1500 + i)));
        EXPECT_EQ(0, i % 2 == 0 ? rte_eth_promiscuous_enable(lagg.id())
                                : rte_eth_promiscuous_disable(lagg.id()));
        rte_ether_addr mac{{0x02, 0, 0, 0, 0, static_cast<std::uint8_t>(i)}};
        EXPECT_EQ(0, rte_eth_dev_default_mac_addr_set(lagg.id(), &mac));
        running.rounds(1);
    }
    running.stop();
    stop = true;
    far.join();
    receive_all(x.far.port());
    receive_all(y.far.port());
    EXPECT_EQ(0u, running.wrong());
    EXPECT_EQ(running.taken(), rte_pmd_wire_sent(x.near.port()) + rte_pmd_wire_sent(y.near.port()));
}

} // namespace
} // namespace lagg::test
