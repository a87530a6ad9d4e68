// Addresses: the lagg has one, its members carry it for as long as they are members, and what a
// member hears beyond it stays out.
#include "fixture.h"

#include <array>
#include <cstring>

namespace lagg::test {
namespace {

rte_ether_addr address(std::uint8_t last) {
    return {{0x02, 0x0a, 0x0b, 0x0c, 0x0d, last}};
}

rte_ether_addr group(std::uint8_t last) {
    return {{0x01, 0x00, 0x5e, 0x01, 0x02, last}};
}

rte_ether_addr address_of(std::uint16_t port) {
    rte_ether_addr a{};
    EXPECT_EQ(0, rte_eth_macaddr_get(port, &a));
    return a;
}

std::string text(rte_ether_addr const& a) {
    char buffer[RTE_ETHER_ADDR_FMT_SIZE];
    rte_ether_format_addr(buffer, sizeof buffer, &a);
    return buffer;
}

/// As the application sees it.
std::string mac(std::uint16_t port) {
    return text(address_of(port));
}
std::string mac(vdev const& v) {
    return mac(v.port());
}

rte_pmd_wire_counters counters(vdev const& v) {
    rte_pmd_wire_counters c{};
    EXPECT_EQ(0, rte_pmd_wire_counters_get(v.port(), &c));
    return c;
}

/// `n` frames to `to`.
std::vector<rte_mbuf*> frames_to(rte_ether_addr const& to, std::size_t n = 1) {
    auto list = frames(n);
    for (rte_mbuf* const m : list) {
        std::memcpy(rte_pktmbuf_mtod(m, void*), to.addr_bytes, RTE_ETHER_ADDR_LEN);
    }
    return list;
}

/// What the lagg hands up of one frame that reaches `at` from outside.
std::size_t delivered(lagg_port const& lagg, wire_pair const& at, rte_ether_addr const& to) {
    EXPECT_EQ(1, send(at.far.port(), frames_to(to)));
    return receive_all(lagg.id());
}

struct Addresses : testing::Test {
    unsigned before = pool_level();
    wire_pair x = wire();
    wire_pair y = wire();
    wire_pair z = wire();
    std::string const x_own = mac(x.near);
    std::string const y_own = mac(y.near);
    std::string const z_own = mac(z.near);

    void TearDown() override {
        for (wire_pair* const w : {&x, &y, &z}) {
            w->near.close();
            w->far.close();
        }
        EXPECT_EQ(before, pool_level());
    }
    std::string both() const { return "member=" + x.near.name() + ",member=" + y.near.name(); }
    void expect_all_carry(lagg_port const& lagg) const {
        EXPECT_EQ(mac(lagg.id()), mac(x.near));
        EXPECT_EQ(mac(lagg.id()), mac(y.near));
    }
};

TEST_F(Addresses, TheFirstMembersAddressIsTheLaggsAndStaysIt) {
    lagg_port lagg("policy=loadbalance," + both());
    ASSERT_TRUE(lagg.ok());
    EXPECT_EQ(x_own, mac(lagg.id()));
    lagg.start();
    expect_all_carry(lagg);
    lagg.remove(x.near.port());
    EXPECT_EQ(x_own, mac(lagg.id()));
    EXPECT_EQ(x_own, mac(y.near));
    lagg.remove(y.near.port());
    EXPECT_EQ(x_own, mac(lagg.id()));
    EXPECT_EQ(y_own, mac(y.near)) << "its own is back";
}

TEST_F(Addresses, TheOperatorsAddressIsCarriedByAllAndHeardByTheDevices) {
    lagg_port lagg("policy=loadbalance,mac=02:0a:0b:0c:0d:01," + both());
    ASSERT_TRUE(lagg.ok());
    EXPECT_EQ("02:0A:0B:0C:0D:01", mac(lagg.id()));
    EXPECT_EQ(x_own, mac(x.near)) << "not before it is started";
    lagg.start();
    expect_all_carry(lagg);
    for (wire_pair const* w : {&x, &y}) {
        EXPECT_EQ(1u, delivered(lagg, *w, address(1)));
        EXPECT_EQ(0u, delivered(lagg, *w, address(2))) << "somebody else's";
        EXPECT_EQ(1u, counters(w->near).filtered_mac) << "dropped by the device";
    }
    ASSERT_EQ(0, rte_eth_dev_stop(lagg.id()));
    lagg.remove(x.near.port());
    lagg.destroy();
    EXPECT_EQ(x_own, mac(x.near));
    EXPECT_EQ(y_own, mac(y.near));
}

TEST_F(Addresses, ALaggWithoutMembersHasAnAddressOfItsOwn) {
    lagg_port lagg("policy=loadbalance");
    ASSERT_TRUE(lagg.ok());
    rte_ether_addr const own = address_of(lagg.id());
    EXPECT_TRUE(rte_is_valid_assigned_ether_addr(&own));
    lagg.start();
    lagg.add(x.near.port());
    EXPECT_EQ(text(own), mac(lagg.id())) << "it does not change with members";
    EXPECT_EQ(text(own), mac(x.near));
}

TEST_F(Addresses, D13EveryMemberCarriesItAcrossFailoverAndFailback) {
    lagg_port lagg("policy=failover,primary=" + y.near.name() + "," + both());
    ASSERT_TRUE(lagg.ok());
    lagg.start();
    auto const own = address_of(lagg.id());
    expect_all_carry(lagg);
    EXPECT_EQ(1u, delivered(lagg, y, own));
    ASSERT_EQ(0, rte_pmd_wire_cut(y.near.port()));
    lagg.settle();
    ASSERT_TRUE(lagg.member(x.near.port()).distributing);
    expect_all_carry(lagg);
    EXPECT_EQ(1u, delivered(lagg, x, own));
    ASSERT_EQ(0, rte_pmd_wire_heal(y.near.port()));
    lagg.settle();
    ASSERT_TRUE(lagg.member(y.near.port()).distributing);
    expect_all_carry(lagg);
    EXPECT_EQ(1u, delivered(lagg, y, own));
    EXPECT_EQ(0u, delivered(lagg, x, own)) << "the standby hears it too, and is not heard";
    EXPECT_EQ(1u, lagg.xstat("rx_dropped_not_collecting"));
}

TEST_F(Addresses, D14AMemberThatComesUpLaterOrIsAddedLaterCarriesItToo) {
    ASSERT_EQ(0, rte_pmd_wire_cut(y.near.port()));
    lagg_port lagg("policy=loadbalance," + both());
    ASSERT_TRUE(lagg.ok());
    lagg.start();
    auto const own = address_of(lagg.id());
    ASSERT_EQ(0, rte_pmd_wire_heal(y.near.port()));
    lagg.settle();
    expect_all_carry(lagg);
    EXPECT_EQ(1u, delivered(lagg, y, own));
    lagg.add(z.near.port());
    EXPECT_EQ(mac(lagg.id()), mac(z.near));
    EXPECT_EQ(1u, delivered(lagg, z, own));
    lagg.remove(z.near.port());
    EXPECT_EQ(z_own, mac(z.near));
}

TEST_F(Addresses, D15ANewAddressReachesAllMembersLaterOnesAndSurvivesARestart) {
    lagg_port lagg("policy=loadbalance," + both());
    ASSERT_TRUE(lagg.ok());
    lagg.start();
    auto fresh = address(7);
    ASSERT_EQ(0, rte_eth_dev_default_mac_addr_set(lagg.id(), &fresh));
    EXPECT_EQ(text(fresh), mac(lagg.id()));
    expect_all_carry(lagg);
    lagg.add(z.near.port());
    EXPECT_EQ(text(fresh), mac(z.near));
    ASSERT_EQ(0, rte_eth_dev_stop(lagg.id()));
    ASSERT_EQ(0, rte_eth_dev_start(lagg.id()));
    EXPECT_EQ(text(fresh), mac(lagg.id()));
    expect_all_carry(lagg);
    EXPECT_EQ(text(fresh), mac(z.near));
    for (wire_pair const* w : {&x, &y, &z}) {
        EXPECT_EQ(1u, delivered(lagg, *w, fresh));
    }
    lagg.remove(x.near.port());
    EXPECT_EQ(x_own, mac(x.near));
    lagg.destroy();
    EXPECT_EQ(y_own, mac(y.near));
    EXPECT_EQ(z_own, mac(z.near));
}

TEST_F(Addresses, AnAddressSetWhileStoppedIsCarriedFromTheStart) {
    lagg_port lagg("policy=loadbalance," + both());
    ASSERT_TRUE(lagg.ok());
    auto fresh = address(7);
    ASSERT_EQ(0, rte_eth_dev_default_mac_addr_set(lagg.id(), &fresh));
    EXPECT_EQ(y_own, mac(y.near));
    lagg.start();
    EXPECT_EQ(text(fresh), mac(lagg.id()));
    expect_all_carry(lagg);
}

TEST_F(Addresses, TheLaggsAddressThatIsAMembersOwnComesBackToThatMemberOnly) {
    lagg_port lagg("policy=loadbalance," + both());
    ASSERT_TRUE(lagg.ok());
    lagg.start();
    auto fresh = address(9);
    ASSERT_EQ(0, rte_eth_dev_default_mac_addr_set(lagg.id(), &fresh));
    lagg.remove(x.near.port());
    EXPECT_EQ(x_own, mac(x.near));
    EXPECT_EQ(text(fresh), mac(y.near));
    bring_up(x.near.port());
    EXPECT_EQ(x_own, mac(x.near)) << "and it works with it";
}

TEST_F(Addresses, SecondaryAddressesAreHeardByEveryMemberUntilTheyAreRemoved) {
    lagg_port lagg("policy=loadbalance," + both());
    ASSERT_TRUE(lagg.ok());
    lagg.start();
    auto first = address(21);
    auto second = address(22);
    ASSERT_EQ(0, rte_eth_dev_mac_addr_add(lagg.id(), &first, 0));
    ASSERT_EQ(0, rte_eth_dev_mac_addr_add(lagg.id(), &second, 0));
    lagg.add(z.near.port());
    for (wire_pair const* w : {&x, &y, &z}) {
        EXPECT_EQ(1u, delivered(lagg, *w, first));
        EXPECT_EQ(1u, delivered(lagg, *w, second));
        EXPECT_EQ(1u, delivered(lagg, *w, address_of(lagg.id())));
        EXPECT_FALSE(lagg.member(w->near.port()).promiscuous_for_us);
    }
    ASSERT_EQ(0, rte_eth_dev_mac_addr_remove(lagg.id(), &first));
    for (wire_pair const* w : {&x, &y, &z}) {
        EXPECT_EQ(0u, delivered(lagg, *w, first));
        EXPECT_EQ(1u, delivered(lagg, *w, second));
    }
    ASSERT_EQ(0, rte_eth_dev_stop(lagg.id()));
    ASSERT_EQ(0, rte_eth_dev_start(lagg.id()));
    EXPECT_EQ(1u, delivered(lagg, x, second)) << "after a restart";
    EXPECT_EQ(0u, delivered(lagg, x, first));
    lagg.remove(x.near.port());
    bring_up(x.near.port());
    auto const filtered = counters(x.near).filtered_mac;
    EXPECT_EQ(1, send(x.far.port(), frames_to(second)));
    EXPECT_EQ(0u, receive_all(x.near.port())) << "what it heard for the lagg is forgotten";
    EXPECT_EQ(filtered + 1, counters(x.near).filtered_mac);
}

TEST_F(Addresses, AMembersOwnAddressComesBackAlthoughTheLaggListenedToItToo) {
    lagg_port lagg("policy=loadbalance,mac=02:0a:0b:0c:0d:01," + both());
    ASSERT_TRUE(lagg.ok());
    lagg.start();
    auto theirs = address(0);
    rte_ether_unformat_addr(y_own.c_str(), &theirs);
    ASSERT_EQ(0, rte_eth_dev_mac_addr_add(lagg.id(), &theirs, 0));
    EXPECT_EQ(1u, delivered(lagg, x, theirs));
    EXPECT_EQ(1u, delivered(lagg, y, theirs));
    lagg.remove(y.near.port());
    EXPECT_EQ(y_own, mac(y.near));
    bring_up(y.near.port());
    EXPECT_EQ(1, send(y.far.port(), frames_to(theirs)));
    EXPECT_EQ(1u, receive_all(y.near.port()));
    ASSERT_EQ(0, rte_eth_dev_stop(y.near.port()));
    lagg.add(y.near.port());
    EXPECT_FALSE(lagg.member(y.near.port()).promiscuous_for_us);
    EXPECT_EQ(1u, delivered(lagg, y, theirs));
    EXPECT_EQ(1u, delivered(lagg, y, address(1)));
}

TEST_F(Addresses, ASecondaryAddressMayBecomeTheFirst) {
    lagg_port lagg("policy=loadbalance,mac=02:0a:0b:0c:0d:01," + both());
    ASSERT_TRUE(lagg.ok());
    lagg.start();
    auto extra = address(21);
    ASSERT_EQ(0, rte_eth_dev_mac_addr_add(lagg.id(), &extra, 0));
    ASSERT_EQ(0, rte_eth_dev_mac_addr_remove(lagg.id(), &extra));
    ASSERT_EQ(0, rte_eth_dev_default_mac_addr_set(lagg.id(), &extra));
    expect_all_carry(lagg);
    for (wire_pair const* w : {&x, &y}) {
        EXPECT_EQ(1u, delivered(lagg, *w, extra));
        EXPECT_EQ(0u, delivered(lagg, *w, address(1))) << "the first one before";
        EXPECT_FALSE(lagg.member(w->near.port()).promiscuous_for_us);
    }
    auto first = address(1);
    ASSERT_EQ(0, rte_eth_dev_mac_addr_add(lagg.id(), &first, 0));
    for (wire_pair const* w : {&x, &y}) {
        EXPECT_EQ(1u, delivered(lagg, *w, extra));
        EXPECT_EQ(1u, delivered(lagg, *w, first)) << "now the second one";
    }
}

TEST_F(Addresses, ASecondaryAddressThatADeviceCannotKeepIsHeardAnyway) {
    lagg_port lagg("policy=loadbalance," + both());
    ASSERT_TRUE(lagg.ok());
    lagg.start();
    ASSERT_EQ(0, rte_pmd_wire_fail_op(y.near.port(), RTE_PMD_WIRE_OP_MAC_ADD, ENOSPC, 1));
    auto extra = address(21);
    ASSERT_EQ(0, rte_eth_dev_mac_addr_add(lagg.id(), &extra, 0));
    EXPECT_FALSE(lagg.member(x.near.port()).promiscuous_for_us);
    EXPECT_TRUE(lagg.member(y.near.port()).promiscuous_for_us);
    EXPECT_EQ(1u, delivered(lagg, y, extra));
    EXPECT_EQ(0u, delivered(lagg, y, address(99)));
    EXPECT_EQ(1u, lagg.xstat("rx_dropped_foreign_unicast"));
    ASSERT_EQ(0, rte_eth_dev_mac_addr_remove(lagg.id(), &extra));
    EXPECT_FALSE(lagg.member(y.near.port()).promiscuous_for_us) << "no longer needed";
    EXPECT_EQ(0, rte_eth_promiscuous_get(y.near.port()));
    EXPECT_EQ(0u, delivered(lagg, y, extra));
}

TEST_F(Addresses, TheMulticastListIsKeptByEveryMember) {
    lagg_port lagg("policy=loadbalance," + both());
    ASSERT_TRUE(lagg.ok());
    lagg.start();
    std::array<rte_ether_addr, 2> list{group(1), group(2)};
    ASSERT_EQ(0, rte_eth_dev_set_mc_addr_list(lagg.id(), list.data(), 2));
    lagg.add(z.near.port());
    for (wire_pair const* w : {&x, &y, &z}) {
        EXPECT_EQ(1u, delivered(lagg, *w, group(1)));
        EXPECT_EQ(1u, delivered(lagg, *w, group(2)));
        EXPECT_EQ(0u, delivered(lagg, *w, group(3)));
    }
    ASSERT_EQ(0, rte_eth_dev_set_mc_addr_list(lagg.id(), list.data(), 1));
    for (wire_pair const* w : {&x, &y, &z}) {
        EXPECT_EQ(1u, delivered(lagg, *w, group(1)));
        EXPECT_EQ(0u, delivered(lagg, *w, group(2)));
    }
    ASSERT_EQ(0, rte_eth_dev_stop(lagg.id()));
    ASSERT_EQ(0, rte_eth_dev_start(lagg.id()));
    EXPECT_EQ(1u, delivered(lagg, z, group(1))) << "after a restart";
    ASSERT_EQ(0, rte_eth_dev_set_mc_addr_list(lagg.id(), nullptr, 0));
    EXPECT_EQ(0u, delivered(lagg, z, group(1)));
}

TEST_F(Addresses, AMemberThatLeftHearsTheLaggsGroupsNoMore) {
    lagg_port lagg("policy=loadbalance," + both());
    ASSERT_TRUE(lagg.ok());
    lagg.start();
    auto one = group(1);
    ASSERT_EQ(0, rte_eth_dev_set_mc_addr_list(lagg.id(), &one, 1));
    lagg.remove(x.near.port());
    bring_up(x.near.port());
    EXPECT_EQ(1, send(x.far.port(), frames_to(group(1))));
    EXPECT_EQ(0u, receive_all(x.near.port()));
    EXPECT_EQ(1u, delivered(lagg, y, group(1)));
}

TEST_F(Addresses, AMemberThatKeepsNoMulticastListHearsAllInstead) {
    lagg_port lagg("policy=loadbalance," + both());
    ASSERT_TRUE(lagg.ok());
    lagg.start();
    ASSERT_EQ(0, rte_pmd_wire_fail_op(y.near.port(), RTE_PMD_WIRE_OP_MC_LIST, ENOSPC, 1));
    auto one = group(1);
    ASSERT_EQ(0, rte_eth_dev_set_mc_addr_list(lagg.id(), &one, 1));
    EXPECT_EQ(0, rte_eth_allmulticast_get(x.near.port()));
    EXPECT_EQ(1, rte_eth_allmulticast_get(y.near.port()));
    EXPECT_EQ(1u, delivered(lagg, y, group(1)));
    ASSERT_EQ(0, rte_eth_dev_set_mc_addr_list(lagg.id(), &one, 1));
    EXPECT_EQ(0, rte_eth_allmulticast_get(y.near.port())) << "it keeps the list now";
    EXPECT_EQ(1u, delivered(lagg, y, group(1)));
}

TEST_F(Addresses, PromiscuityAndMulticastAreAsFoundAfterAMemberLeft) {
    ASSERT_EQ(0, rte_eth_promiscuous_enable(x.near.port()));
    ASSERT_EQ(0, rte_eth_allmulticast_enable(y.near.port()));
    lagg_port lagg("policy=loadbalance," + both());
    ASSERT_TRUE(lagg.ok());
    lagg.start();
    for (wire_pair const* w : {&x, &y}) {
        EXPECT_EQ(0, rte_eth_promiscuous_get(w->near.port())) << "as the lagg is";
        EXPECT_EQ(0, rte_eth_allmulticast_get(w->near.port()));
    }
    lagg.remove(x.near.port());
    lagg.remove(y.near.port());
    EXPECT_EQ(1, rte_eth_promiscuous_get(x.near.port()));
    EXPECT_EQ(0, rte_eth_allmulticast_get(x.near.port()));
    EXPECT_EQ(0, rte_eth_promiscuous_get(y.near.port()));
    EXPECT_EQ(1, rte_eth_allmulticast_get(y.near.port()));
}

// Members that cannot change their address

struct FixedAddress : testing::Test {
    unsigned before = pool_level();
    wire_pair x = wire();
    wire_pair fixed = wire("fixed_mac=1");
    std::string const own = mac(fixed.near);

    void TearDown() override {
        for (wire_pair* const w : {&x, &fixed}) {
            w->near.close();
            w->far.close();
        }
        EXPECT_EQ(before, pool_level());
    }
    std::string both() const { return "member=" + x.near.name() + ",member=" + fixed.near.name(); }
};

TEST_F(FixedAddress, IsPromiscuousForUsAndForeignUnicastIsDroppedAndCounted) {
    lagg_port lagg("policy=loadbalance," + both());
    ASSERT_TRUE(lagg.ok());
    lagg.start();
    EXPECT_FALSE(lagg.member(x.near.port()).promiscuous_for_us);
    EXPECT_TRUE(lagg.member(fixed.near.port()).promiscuous_for_us);
    EXPECT_EQ(1, rte_eth_promiscuous_get(fixed.near.port()));
    EXPECT_EQ(own, mac(fixed.near));
    EXPECT_EQ(1u, delivered(lagg, fixed, address_of(lagg.id())));
    EXPECT_EQ(1u, delivered(lagg, fixed, {{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}}));
    EXPECT_EQ(0u, delivered(lagg, fixed, address(50)));
    EXPECT_EQ(0u, delivered(lagg, fixed, address_of(fixed.near.port()))) << "not the lagg's";
    EXPECT_EQ(2u, lagg.xstat("rx_dropped_foreign_unicast"));
    EXPECT_EQ(2u, lagg.stats().ipackets);
    auto extra = address(50);
    ASSERT_EQ(0, rte_eth_dev_mac_addr_add(lagg.id(), &extra, 0));
    EXPECT_EQ(1u, delivered(lagg, fixed, address(50)));
}

TEST_F(FixedAddress, DeliversForeignUnicastWhenTheApplicationWantsIt) {
    lagg_port lagg("policy=loadbalance," + both());
    ASSERT_TRUE(lagg.ok());
    lagg.start();
    ASSERT_EQ(0, rte_eth_promiscuous_enable(lagg.id()));
    EXPECT_EQ(1u, delivered(lagg, fixed, address(50)));
    EXPECT_EQ(1u, delivered(lagg, x, address(50)));
    ASSERT_EQ(0, rte_eth_promiscuous_disable(lagg.id()));
    EXPECT_EQ(1, rte_eth_promiscuous_get(fixed.near.port())) << "still needed";
    EXPECT_EQ(0u, delivered(lagg, fixed, address(50)));
    EXPECT_EQ(1u, lagg.xstat("rx_dropped_foreign_unicast"));
    EXPECT_EQ(0u, delivered(lagg, x, address(50)));
    EXPECT_EQ(1u, lagg.xstat("rx_dropped_foreign_unicast")) << "the device of the other one drops";
}

TEST_F(FixedAddress, NeedsNoFilterWhenTheLaggTakesItsAddress) {
    lagg_port lagg("policy=loadbalance," + both());
    ASSERT_TRUE(lagg.ok());
    lagg.start();
    ASSERT_TRUE(lagg.member(fixed.near.port()).promiscuous_for_us);
    auto theirs = address_of(fixed.near.port());
    ASSERT_EQ(0, rte_eth_dev_default_mac_addr_set(lagg.id(), &theirs));
    EXPECT_FALSE(lagg.member(fixed.near.port()).promiscuous_for_us);
    EXPECT_EQ(0, rte_eth_promiscuous_get(fixed.near.port()));
    EXPECT_EQ(own, mac(x.near));
    EXPECT_EQ(1u, delivered(lagg, fixed, theirs));
    EXPECT_EQ(0u, delivered(lagg, fixed, address(50)));
}

TEST_F(FixedAddress, IsNotPromiscuousAnyMoreAfterItLeft) {
    lagg_port lagg("policy=loadbalance," + both());
    ASSERT_TRUE(lagg.ok());
    lagg.start();
    lagg.remove(fixed.near.port());
    EXPECT_EQ(0, rte_eth_promiscuous_get(fixed.near.port()));
    EXPECT_EQ(own, mac(fixed.near));
}

TEST_F(FixedAddress, WhatWaitedInAMemberThatLeavesIsFilteredToo) {
    lagg_port lagg("policy=loadbalance," + both());
    ASSERT_TRUE(lagg.ok());
    lagg.start();
    EXPECT_EQ(4, send(fixed.far.port(), frames_to(address(50), 4)));
    EXPECT_EQ(3, send(fixed.far.port(), frames_to(address_of(lagg.id()), 3)));
    lagg.remove(fixed.near.port());
    EXPECT_EQ(3u, receive_all(lagg.id()));
}

TEST_F(FixedAddress, AMemberThatCanNeitherIsRefusedAndLeftAsItWas) {
    lagg_port lagg("policy=loadbalance,member=" + x.near.name());
    ASSERT_TRUE(lagg.ok());
    lagg.start();
    auto const version = lagg.status().version;
    ASSERT_EQ(0, rte_pmd_wire_fail_op(fixed.near.port(), RTE_PMD_WIRE_OP_PROMISC, EIO, 1));
    EXPECT_EQ(-EIO, rte_pmd_lagg_member_add(lagg.id(), fixed.near.port(), 10'000));
    EXPECT_EQ(version, lagg.status().version);
    EXPECT_EQ(1u, lagg.status().nb_members);
    EXPECT_EQ(0, rte_eth_promiscuous_get(fixed.near.port()));
    EXPECT_EQ(own, mac(fixed.near));
    lagg.add(fixed.near.port());
    EXPECT_TRUE(lagg.member(fixed.near.port()).promiscuous_for_us);
}

TEST_F(FixedAddress, ANewAddressThatOneMemberCanInNoWayHearIsRefusedAndNobodyHasIt) {
    lagg_port lagg("policy=loadbalance," + both());
    ASSERT_TRUE(lagg.ok());
    auto theirs = address_of(fixed.near.port());
    ASSERT_EQ(0, rte_eth_dev_default_mac_addr_set(lagg.id(), &theirs));
    lagg.start();
    ASSERT_FALSE(lagg.member(fixed.near.port()).promiscuous_for_us);
    auto fresh = address(7);
    ASSERT_EQ(0, rte_pmd_wire_fail_op(fixed.near.port(), RTE_PMD_WIRE_OP_PROMISC, EIO, 1));
    EXPECT_EQ(-EIO, rte_eth_dev_default_mac_addr_set(lagg.id(), &fresh));
    EXPECT_EQ(own, mac(lagg.id()));
    EXPECT_EQ(own, mac(x.near));
    EXPECT_EQ(own, mac(fixed.near));
    ASSERT_EQ(0,
              rte_eth_allmulticast_enable(lagg.id())); // a change that succeeds tells control all
    EXPECT_FALSE(lagg.member(fixed.near.port()).promiscuous_for_us);
    ASSERT_EQ(0, rte_eth_dev_default_mac_addr_set(lagg.id(), &fresh));
    EXPECT_TRUE(lagg.member(fixed.near.port()).promiscuous_for_us);
    EXPECT_EQ(1, rte_eth_promiscuous_get(fixed.near.port()));
    EXPECT_EQ(1u, delivered(lagg, fixed, fresh));
    EXPECT_EQ(0u, delivered(lagg, fixed, address(50)));
}

} // namespace
} // namespace lagg::test
