// The wire driver from outside: probed as vdevs, driven through ethdev and rte_pmd_wire.h.
// Has a main of its own, because EAL is initialised once per process.

#include "rte_pmd_wire.h"

#include <array>
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <numeric>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include <unistd.h>

#include <rte_bus_vdev.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_ether.h>
#include <rte_flow.h>
#include <rte_ip.h>
#include <rte_malloc.h>
#include <rte_mbuf.h>
#include <rte_udp.h>

namespace {

constexpr unsigned pool_size = 4095;
rte_mempool* pool = nullptr;

using address = std::array<std::uint8_t, 6>;
constexpr address everybody{0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
constexpr address stranger{0x02, 0xaa, 0, 0, 0, 1};
constexpr address lacp_group{0x01, 0x80, 0xc2, 0, 0, 2};

rte_ether_addr to_dpdk(address const& from) {
    rte_ether_addr to;
    std::memcpy(to.addr_bytes, from.data(), from.size());
    return to;
}

struct setup {
    std::uint16_t rxq = 1;
    std::uint16_t txq = 1;
    std::uint16_t descriptors = 256;
    rte_eth_conf conf{};
};

setup with_lsc() {
    setup s;
    s.conf.intr_conf.lsc = 1;
    return s;
}

int plug(std::string const& name, std::string const& args) {
    return rte_vdev_init(name.c_str(), args.c_str());
}

std::uint16_t port_named(std::string const& name) {
    std::uint16_t port = RTE_MAX_ETHPORTS;
    EXPECT_EQ(rte_eth_dev_get_port_by_name(name.c_str(), &port), 0) << name;
    return port;
}

void configure(std::uint16_t port, setup const& s = {}) {
    ASSERT_EQ(rte_eth_dev_configure(port, s.rxq, s.txq, &s.conf), 0);
    for (std::uint16_t q = 0; q < s.rxq; ++q) {
        ASSERT_EQ(rte_eth_rx_queue_setup(port, q, s.descriptors, 0, nullptr, pool), 0);
    }
    for (std::uint16_t q = 0; q < s.txq; ++q) {
        ASSERT_EQ(rte_eth_tx_queue_setup(port, q, s.descriptors, 0, nullptr), 0);
    }
}

void bring_up(std::uint16_t port, setup const& s = {}) {
    ASSERT_NO_FATAL_FAILURE(configure(port, s));
    ASSERT_EQ(rte_eth_dev_start(port), 0);
}

bool link_is_up(std::uint16_t port) {
    rte_eth_link link;
    EXPECT_EQ(rte_eth_link_get_nowait(port, &link), 0);
    return link.link_status == RTE_ETH_LINK_UP;
}

rte_mbuf* new_frame(address const& to, std::uint16_t ether_type, std::uint16_t bytes,
                    std::uint8_t mark = 0) {
    rte_mbuf* const m = rte_pktmbuf_alloc(pool);
    EXPECT_NE(m, nullptr);
    auto* const data = reinterpret_cast<std::uint8_t*>(rte_pktmbuf_append(m, bytes));
    EXPECT_NE(data, nullptr);
    std::memset(data, 0, bytes);
    std::memcpy(data, to.data(), to.size());
    data[12] = static_cast<std::uint8_t>(ether_type >> 8);
    data[13] = static_cast<std::uint8_t>(ether_type);
    data[bytes - 1] = mark;
    return m;
}

rte_mbuf* new_frame(address const& to = everybody, std::uint8_t mark = 0) {
    return new_frame(to, 0x88b5, 60, mark);
}

rte_mbuf* new_udp(std::uint32_t source, std::uint16_t source_port) {
    rte_mbuf* const m = new_frame(everybody, RTE_ETHER_TYPE_IPV4, 64);
    auto* const ip = rte_pktmbuf_mtod_offset(m, rte_ipv4_hdr*, 14);
    ip->version_ihl = 0x45;
    ip->next_proto_id = 17;
    ip->src_addr = rte_cpu_to_be_32(source);
    ip->dst_addr = rte_cpu_to_be_32(0x0a000001);
    auto* const udp = rte_pktmbuf_mtod_offset(m, rte_udp_hdr*, 34);
    udp->src_port = rte_cpu_to_be_16(source_port);
    udp->dst_port = rte_cpu_to_be_16(53);
    return m;
}

std::uint8_t mark_of(rte_mbuf const* m) {
    return rte_pktmbuf_mtod(m, std::uint8_t const*)[m->data_len - 1];
}

/// Sends one frame; true when it was taken. What was not taken is freed.
bool send(std::uint16_t port, rte_mbuf* m, std::uint16_t queue = 0) {
    if (rte_eth_tx_burst(port, queue, &m, 1) == 1) {
        return true;
    }
    rte_pktmbuf_free(m);
    return false;
}

std::vector<rte_mbuf*> receive(std::uint16_t port, std::uint16_t queue = 0) {
    std::vector<rte_mbuf*> all;
    std::array<rte_mbuf*, 32> some;
    while (std::uint16_t const n = rte_eth_rx_burst(port, queue, some.data(), some.size())) {
        all.insert(all.end(), some.begin(), some.begin() + n);
    }
    return all;
}

void free_all(std::vector<rte_mbuf*> const& frames) {
    for (rte_mbuf* m : frames) {
        rte_pktmbuf_free(m);
    }
}

/// Number of frames that were waiting; they are freed.
std::size_t count_received(std::uint16_t port, std::uint16_t queue = 0) {
    auto const frames = receive(port, queue);
    free_all(frames);
    return frames.size();
}

rte_pmd_wire_counters counters(std::uint16_t port) {
    rte_pmd_wire_counters c{};
    EXPECT_EQ(rte_pmd_wire_counters_get(port, &c), 0);
    return c;
}

std::uint64_t taken(rte_pmd_wire_counters const& c) {
    return c.sent + c.lost_silent + c.lost_down + c.tx_too_long + c.tx_no_mbuf;
}

/// What became of the frames that reached this end, once its rings are empty.
std::uint64_t settled(rte_pmd_wire_counters const& c) {
    return c.received + c.filtered_mac + c.filtered_vlan + c.filtered_flow + c.rx_too_long +
           c.rx_dropped + c.rx_no_mbuf + c.missed + c.lost_stop - c.injected;
}

int count_event(std::uint16_t, rte_eth_event_type, void* count, void*) {
    static_cast<std::atomic<int>*>(count)->fetch_add(1);
    return 0;
}

class Wire : public testing::Test {
protected:
    void SetUp() override { ASSERT_EQ(rte_mempool_avail_count(pool), pool_size); }

    void TearDown() override {
        std::uint16_t port;
        RTE_ETH_FOREACH_DEV(port) {
            rte_eth_dev_stop(port);
            char name[RTE_ETH_NAME_MAX_LEN];
            EXPECT_EQ(rte_eth_dev_get_name_by_port(port, name), 0);
            EXPECT_EQ(rte_vdev_uninit(name), 0);
        }
        EXPECT_EQ(rte_mempool_avail_count(pool), pool_size) << "a frame was lost or kept";
    }

    void plug_pair(std::string const& a_more = "", std::string const& b_more = "") {
        ASSERT_EQ(plug("net_wire0", "peer=net_wire1" + a_more), 0);
        ASSERT_EQ(plug("net_wire1", b_more.empty() ? "" : b_more.substr(1)), 0);
        a = port_named("net_wire0");
        b = port_named("net_wire1");
    }

    void start_pair(setup const& s = {}, std::string const& a_more = "",
                    std::string const& b_more = "") {
        ASSERT_NO_FATAL_FAILURE(plug_pair(a_more, b_more));
        ASSERT_NO_FATAL_FAILURE(bring_up(a, s));
        ASSERT_NO_FATAL_FAILURE(bring_up(b, s));
    }

    std::uint16_t start_sink(std::string const& args = "", setup const& s = {}) {
        EXPECT_EQ(plug("net_wire9", args), 0);
        std::uint16_t const port = port_named("net_wire9");
        bring_up(port, s);
        return port;
    }

    address mac_of(std::uint16_t port) {
        rte_ether_addr mac;
        EXPECT_EQ(rte_eth_macaddr_get(port, &mac), 0);
        address out;
        std::memcpy(out.data(), mac.addr_bytes, out.size());
        return out;
    }

    std::uint16_t a = 0;
    std::uint16_t b = 0;
};

using WireProbe = Wire;
using WireLink = Wire;
using WireFrames = Wire;
using WireFilter = Wire;
using WireQueues = Wire;
using WireSink = Wire;
using WireFaults = Wire;
using WireStats = Wire;
using WireStorm = Wire;
using WireDeathTest = Wire;

// --- probe and devargs ---

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

// --- carrier ---

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

// --- frames and their ownership ---

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

// --- filters ---

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

// --- queues and steering ---

TEST_F(WireQueues, TxQueueFeedsRxQueueOfItsNumberModuloTheirCount) {
    ASSERT_NO_FATAL_FAILURE(plug_pair());
    setup s;
    s.txq = 5;
    ASSERT_NO_FATAL_FAILURE(bring_up(a, s));
    s.txq = 1;
    s.rxq = 2;
    ASSERT_NO_FATAL_FAILURE(bring_up(b, s));
    for (std::uint16_t q = 0; q < 5; ++q) {
        EXPECT_TRUE(send(a, new_frame(everybody, static_cast<std::uint8_t>(q)), q));
    }
    EXPECT_EQ(rte_eth_rx_queue_count(b, 0), 3);
    EXPECT_EQ(rte_eth_rx_descriptor_status(b, 1, 1), RTE_ETH_RX_DESC_DONE);
    EXPECT_EQ(rte_eth_rx_descriptor_status(b, 1, 2), RTE_ETH_RX_DESC_AVAIL);
    EXPECT_EQ(rte_eth_rx_descriptor_status(b, 1, 256), -EINVAL);
    EXPECT_EQ(rte_eth_tx_descriptor_status(a, 4, 0), RTE_ETH_TX_DESC_DONE);
    EXPECT_EQ(count_received(b, 0), 3U);
    auto const odd = receive(b, 1);
    ASSERT_EQ(odd.size(), 2U);
    EXPECT_EQ(mark_of(odd[0]), 1);
    EXPECT_EQ(mark_of(odd[1]), 3);
    free_all(odd);
}

TEST_F(WireQueues, CopiesIntoTheReceiversPoolWhenToldSo) {
    ASSERT_NO_FATAL_FAILURE(start_pair({}, ",rx=copy", ",rx=copy"));
    EXPECT_TRUE(send(a, new_frame(everybody, 7)));
    EXPECT_TRUE(send(a, new_frame(everybody, 8)));
    EXPECT_TRUE(send(a, new_frame(everybody, 9)));
    std::array<rte_mbuf*, 4> got{};
    ASSERT_EQ(rte_eth_rx_burst(b, 0, got.data(), 1), 1);
    EXPECT_EQ(mark_of(got[0]), 7);
    std::vector<rte_mbuf*> hoard{got[0]};
    while (rte_mbuf* const m = rte_pktmbuf_alloc(pool)) {
        hoard.push_back(m);
    }
    EXPECT_EQ(rte_eth_rx_burst(b, 0, got.data(), 1), 0);
    EXPECT_EQ(counters(b).rx_no_mbuf, 1U);
    rte_eth_stats stats{};
    EXPECT_EQ(rte_eth_stats_get(b, &stats), 0);
    EXPECT_EQ(stats.rx_nombuf, 1U);
    free_all(hoard);
    EXPECT_EQ(count_received(b), 1U) << "the third; the second's buffer is back with the sender";
}

TEST_F(WireQueues, RefusesUnequalCountsWhenToldSo) {
    ASSERT_EQ(plug("net_wire9", "equal_queues=1"), 0);
    rte_eth_conf const conf{};
    EXPECT_EQ(rte_eth_dev_configure(port_named("net_wire9"), 2, 1, &conf), -EINVAL);
    EXPECT_EQ(rte_eth_dev_configure(port_named("net_wire9"), 2, 2, &conf), 0);
}

TEST_F(WireQueues, RssKeepsAFlowOnTheQueueThatItsHashNames) {
    setup s;
    s.rxq = 4;
    s.conf.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
    s.conf.rx_adv_conf.rss_conf.rss_hf = RTE_ETH_RSS_NONFRAG_IPV4_UDP;
    ASSERT_NO_FATAL_FAILURE(start_pair(s));
    for (std::uint16_t flow = 0; flow < 64; ++flow) {
        EXPECT_TRUE(send(a, new_udp(0x0a000100U + flow, static_cast<std::uint16_t>(1000 + flow))));
        EXPECT_TRUE(send(a, new_udp(0x0a000100U + flow, static_cast<std::uint16_t>(1000 + flow))));
    }
    std::size_t total = 0;
    std::size_t busy_queues = 0;
    for (std::uint16_t q = 0; q < 4; ++q) {
        auto const got = receive(b, q);
        total += got.size();
        busy_queues += got.empty() ? 0 : 1;
        EXPECT_EQ(got.size() % 2, 0U) << "both frames of a flow";
        for (rte_mbuf const* m : got) {
            EXPECT_NE(m->ol_flags & RTE_MBUF_F_RX_RSS_HASH, 0U);
            EXPECT_EQ(m->hash.rss % 128 % 4, q);
        }
        free_all(got);
    }
    EXPECT_EQ(total, 128U);
    EXPECT_GT(busy_queues, 1U);
}

TEST_F(WireQueues, RetaMovesAllHashedFramesToOneQueue) {
    setup s;
    s.rxq = 4;
    s.conf.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
    s.conf.rx_adv_conf.rss_conf.rss_hf = RTE_ETH_RSS_IPV4;
    ASSERT_NO_FATAL_FAILURE(start_pair(s));
    std::array<rte_eth_rss_reta_entry64, 2> table{};
    for (auto& group : table) {
        group.mask = UINT64_MAX;
        std::fill(std::begin(group.reta), std::end(group.reta), std::uint16_t{3});
    }
    ASSERT_EQ(rte_eth_dev_rss_reta_update(b, table.data(), 128), 0);
    std::array<rte_eth_rss_reta_entry64, 2> back{};
    back[1].mask = 1;
    ASSERT_EQ(rte_eth_dev_rss_reta_query(b, back.data(), 128), 0);
    EXPECT_EQ(back[1].reta[0], 3);
    for (std::uint16_t flow = 0; flow < 16; ++flow) {
        EXPECT_TRUE(send(a, new_udp(flow, flow)));
    }
    EXPECT_EQ(count_received(b, 3), 16U);
    table[0].reta[0] = 4;
    EXPECT_EQ(rte_eth_dev_rss_reta_update(b, table.data(), 128), -EINVAL);
}

rte_flow* steer(std::uint16_t port, std::uint16_t ether_type, rte_flow_action action) {
    rte_flow_attr attr{};
    attr.ingress = 1;
    rte_flow_item_eth spec{};
    rte_flow_item_eth mask{};
    spec.hdr.ether_type = rte_cpu_to_be_16(ether_type);
    mask.hdr.ether_type = 0xffff;
    rte_flow_item pattern[2]{};
    pattern[0].type = RTE_FLOW_ITEM_TYPE_ETH;
    pattern[0].spec = &spec;
    pattern[0].mask = &mask;
    pattern[1].type = RTE_FLOW_ITEM_TYPE_END;
    rte_flow_action actions[2]{action, {RTE_FLOW_ACTION_TYPE_END, nullptr}};
    rte_flow_error error{};
    if (rte_flow_validate(port, &attr, pattern, actions, &error) != 0) {
        return nullptr;
    }
    return rte_flow_create(port, &attr, pattern, actions, &error);
}

TEST_F(WireQueues, AFlowRuleSteersItsEtherTypeUntilItIsDestroyed) {
    setup s;
    s.rxq = 2;
    ASSERT_NO_FATAL_FAILURE(start_pair(s));
    rte_flow_action_queue const queue{1};
    rte_flow* const rule = steer(b, 0x8809, {RTE_FLOW_ACTION_TYPE_QUEUE, &queue});
    ASSERT_NE(rule, nullptr);
    EXPECT_TRUE(send(a, new_frame(everybody, 0x8809, 60)));
    EXPECT_TRUE(send(a, new_frame()));
    EXPECT_EQ(count_received(b, 1), 1U);
    EXPECT_EQ(count_received(b, 0), 1U);
    EXPECT_TRUE(send(a, new_frame(lacp_group, 0x8809, 60)));
    EXPECT_EQ(count_received(b, 1), 0U) << "steering comes after the address filter";
    ASSERT_EQ(rte_flow_destroy(b, rule, nullptr), 0);
    EXPECT_TRUE(send(a, new_frame(everybody, 0x8809, 60)));
    EXPECT_EQ(count_received(b, 0), 1U);
}

TEST_F(WireQueues, AFlowRuleMayDrop) {
    ASSERT_NO_FATAL_FAILURE(start_pair());
    ASSERT_NE(steer(b, 0x8809, {RTE_FLOW_ACTION_TYPE_DROP, nullptr}), nullptr);
    EXPECT_TRUE(send(a, new_frame(everybody, 0x8809, 60)));
    EXPECT_EQ(count_received(b), 0U);
    EXPECT_EQ(counters(b).filtered_flow, 1U);
    EXPECT_EQ(rte_flow_flush(b, nullptr), 0);
    EXPECT_TRUE(send(a, new_frame(everybody, 0x8809, 60)));
    EXPECT_EQ(count_received(b), 1U);
}

TEST_F(WireQueues, RefusesRulesItCannotKeep) {
    ASSERT_NO_FATAL_FAILURE(start_pair());
    rte_flow_action_queue const queue{1};
    EXPECT_EQ(steer(b, 0x8809, {RTE_FLOW_ACTION_TYPE_QUEUE, &queue}), nullptr) << "no queue 1";
    EXPECT_EQ(steer(b, 0x8809, {RTE_FLOW_ACTION_TYPE_FLAG, nullptr}), nullptr);
}

// --- sinks ---

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

// --- faults ---

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

// --- statistics ---

TEST_F(WireStats, CountPacketsAndBytesOnceAndForgetThemOnReset) {
    setup s;
    s.rxq = 2;
    s.txq = 2;
    ASSERT_NO_FATAL_FAILURE(start_pair(s));
    EXPECT_TRUE(send(a, new_frame(), 1));
    EXPECT_EQ(count_received(b, 1), 1U);
    rte_eth_stats tx;
    rte_eth_stats rx;
    ASSERT_EQ(rte_eth_stats_get(a, &tx), 0);
    ASSERT_EQ(rte_eth_stats_get(b, &rx), 0);
    EXPECT_EQ(tx.opackets, 1U);
    EXPECT_EQ(tx.obytes, 60U);
    EXPECT_EQ(rx.ipackets, 1U);
    EXPECT_EQ(rx.ibytes, 60U);
    ASSERT_EQ(rte_eth_stats_reset(a), 0);
    ASSERT_EQ(rte_eth_stats_get(a, &tx), 0);
    EXPECT_EQ(tx.opackets, 0U);
    EXPECT_EQ(tx.obytes, 0U);
    EXPECT_EQ(counters(a).sent, 1U) << "the faults API counts on";
    std::uint64_t id = 0;
    std::uint64_t of_queue = 1;
    ASSERT_EQ(rte_eth_xstats_get_id_by_name(a, "tx_q1_packets", &id), 0);
    ASSERT_EQ(rte_eth_xstats_get_by_id(a, &id, &of_queue, 1), 1);
    EXPECT_EQ(of_queue, 0U);
    EXPECT_TRUE(send(a, new_frame(), 1));
    ASSERT_EQ(rte_eth_xstats_get_by_id(a, &id, &of_queue, 1), 1);
    EXPECT_EQ(of_queue, 1U);
}

TEST_F(WireStats, OutliveThePeerThatTheyAreAbout) {
    ASSERT_NO_FATAL_FAILURE(start_pair());
    EXPECT_TRUE(send(b, new_frame(stranger)));
    ASSERT_EQ(rte_eth_dev_stop(b), 0);
    ASSERT_EQ(rte_vdev_uninit("net_wire1"), 0);
    EXPECT_EQ(counters(a).filtered_mac, 1U);
    ASSERT_EQ(plug("net_wire1", ""), 0);
    b = port_named("net_wire1");
    ASSERT_NO_FATAL_FAILURE(bring_up(b));
    EXPECT_TRUE(send(b, new_frame(stranger)));
    EXPECT_EQ(counters(a).filtered_mac, 2U);
}

TEST_F(WireStats, ShowTheReasonsOfDropsAsXstats) {
    ASSERT_NO_FATAL_FAILURE(start_pair());
    EXPECT_TRUE(send(a, new_frame(stranger)));
    std::uint64_t id = 0;
    std::uint64_t value = 0;
    ASSERT_EQ(rte_eth_xstats_get_id_by_name(b, "wire_filtered_mac", &id), 0);
    ASSERT_EQ(rte_eth_xstats_get_by_id(b, &id, &value, 1), 1);
    EXPECT_EQ(value, 1U);
    ASSERT_EQ(rte_eth_xstats_reset(b), 0);
    ASSERT_EQ(rte_eth_xstats_get_by_id(b, &id, &value, 1), 1);
    EXPECT_EQ(value, 0U);
}

// --- everything at once ---

/// One thread sends from `a`, one polls `b`, this one tears at the wire. Every frame handed over is
/// given back, counted as dropped, or received; and every mbuf comes home (TearDown).
TEST_F(WireStorm, KeepsTheBooksWhileTheWireIsTornAt) {
    unsigned const seed = std::random_device{}();
    std::mt19937 random(seed);
    SCOPED_TRACE("seed " + std::to_string(seed));
    ASSERT_NO_FATAL_FAILURE(start_pair({}, ",down=drop", ",ring=64,full=drop"));

    std::atomic<bool> stop_sending{false};
    std::uint64_t handed_over = 0;
    std::uint64_t given_back = 0;
    std::thread sender([&] {
        std::array<rte_mbuf*, 16> burst;
        while (!stop_sending) {
            if (rte_pktmbuf_alloc_bulk(pool, burst.data(), burst.size()) != 0) {
                continue;
            }
            for (rte_mbuf* m : burst) {
                auto* const data = rte_pktmbuf_append(m, 60);
                std::memset(data, 0xff, 60);
            }
            if (handed_over % 5 == 0) {
                rte_mbuf_refcnt_update(burst[3], 1);
            }
            rte_mbuf* const shared = handed_over % 5 == 0 ? burst[3] : nullptr;
            std::uint16_t const n = rte_eth_tx_burst(a, 0, burst.data(), burst.size());
            handed_over += burst.size();
            given_back += burst.size() - n;
            for (std::size_t i = n; i < burst.size(); ++i) {
                rte_pktmbuf_free(burst[i]);
            }
            rte_pktmbuf_free(shared);
        }
    });
    // ethdev forbids to stop a port under a burst of its own; the receiver pauses for that.
    std::atomic<int> receiver_state{1}; // 1 polls, 2 asked to pause, 3 pauses, 0 ends
    std::thread receiver([&] {
        while (int const state = receiver_state) {
            if (state == 2) {
                receiver_state = 3;
            } else if (state == 1) {
                count_received(b);
            }
            std::this_thread::yield();
        }
    });
    auto const pause_receiver = [&] {
        receiver_state = 2;
        while (receiver_state != 3) {
            std::this_thread::yield();
        }
    };

    // Counters of ends that were closed are gone with them.
    std::uint64_t settled_before = 0;
    for (int step = 0; step < 600; ++step) {
        switch (random() % 10) {
        case 0: {
            rte_pmd_wire_cut(random() % 2 == 0 ? a : b);
            std::uint64_t const crossed = rte_pmd_wire_sent(a);
            for (int look = 0; look < 20; ++look) {
                std::this_thread::yield();
                EXPECT_EQ(rte_pmd_wire_sent(a), crossed) << "a frame crossed after the cut";
            }
            break;
        }
        case 1: rte_pmd_wire_cut_silent(b); break;
        case 2: rte_pmd_wire_refuse(a, random() % 16); break;
        case 3: rte_pmd_wire_refuse(a, UINT32_MAX); break;
        case 4:
            rte_eth_dev_set_mtu(b, static_cast<std::uint16_t>(random() % 2 == 0 ? 70 : 1500));
            break;
        case 5: rte_eth_promiscuous_enable(b); break;
        case 6: rte_eth_promiscuous_disable(b); break;
        case 7:
            pause_receiver();
            EXPECT_EQ(rte_eth_dev_stop(b), 0);
            EXPECT_EQ(rte_eth_dev_start(b), 0);
            receiver_state = 1;
            break;
        case 8:
            pause_receiver();
            EXPECT_EQ(rte_eth_dev_stop(b), 0);
            settled_before += settled(counters(b));
            EXPECT_EQ(rte_vdev_uninit("net_wire1"), 0);
            EXPECT_EQ(plug("net_wire1", "ring=64,full=drop"), 0);
            EXPECT_EQ(port_named("net_wire1"), b);
            bring_up(b);
            receiver_state = 1;
            break;
        default: rte_pmd_wire_heal(a); break;
        }
    }
    stop_sending = true;
    sender.join();
    receiver_state = 0;
    receiver.join();
    count_received(b);

    auto const at_a = counters(a);
    EXPECT_EQ(handed_over, taken(at_a) + given_back);
    EXPECT_EQ(given_back, at_a.refused);
    EXPECT_EQ(at_a.sent, settled_before + settled(counters(b)));
    EXPECT_GT(at_a.sent, 0U);
}

} // namespace

int main(int argc, char** argv) {
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
