// Who is a member, when a port is ours and when it is its owner's again, also under traffic.
#include "traffic.h"

#include <algorithm>
#include <map>

namespace lagg::test {
namespace {

using event = event_list::type;
constexpr unsigned patience = 30'000;

struct Membership : testing::Test {
    unsigned before = pool_level();
    void TearDown() override { EXPECT_EQ(before, pool_level()); }
};

/// What an application could tell apart before and after its port was a member.
struct as_found {
    explicit as_found(std::uint16_t port) : port_(port) {
        EXPECT_EQ(0, rte_eth_macaddr_get(port, &mac_));
        EXPECT_EQ(0, rte_eth_dev_get_mtu(port, &mtu_));
        promiscuous_ = rte_eth_promiscuous_get(port);
        allmulticast_ = rte_eth_allmulticast_get(port);
    }
    void check() const {
        as_found const now(port_);
        EXPECT_TRUE(rte_is_same_ether_addr(&mac_, &now.mac_));
        EXPECT_EQ(mtu_, now.mtu_);
        EXPECT_EQ(promiscuous_, now.promiscuous_);
        EXPECT_EQ(allmulticast_, now.allmulticast_);
        EXPECT_EQ("", owner_of(port_));
        EXPECT_EQ(0, rte_eth_devices[port_].data->dev_started);
    }

private:
    std::uint16_t port_;
    rte_ether_addr mac_{};
    std::uint16_t mtu_ = 0;
    int promiscuous_ = 0;
    int allmulticast_ = 0;
};

// -- stopped -------------------------------------------------------------------------------------

TEST_F(Membership, OwnsAMemberAndGivesItBackAsFound) {
    vdev a = sink();
    vdev b = sink();
    lagg_port lagg("policy=roundrobin,member=" + b.name());
    ASSERT_TRUE(lagg.ok());
    as_found const was(a.port());
    for (int i = 0; i < 3; ++i) {
        ASSERT_EQ(0, rte_pmd_lagg_member_add(lagg.id(), a.port(), patience));
        EXPECT_EQ(lagg.name(), owner_of(a.port()));
        EXPECT_EQ(2, lagg.status().nb_members);
        EXPECT_STREQ("present", lagg.member(a.port()).phase);
        EXPECT_EQ(-EEXIST, rte_pmd_lagg_member_add(lagg.id(), a.port(), patience));
        EXPECT_EQ(lagg.name(), owner_of(a.port()));
        ASSERT_EQ(0, rte_pmd_lagg_member_remove(lagg.id(), a.port(), patience));
        EXPECT_EQ(1, lagg.status().nb_members);
        EXPECT_EQ(-ENOENT, rte_pmd_lagg_member_remove(lagg.id(), a.port(), patience));
        was.check();
    }
}

TEST_F(Membership, GivesAMemberOfARunningLaggBackAsFound) {
    vdev a = sink();
    vdev b = sink();
    as_found const was_a(a.port());
    as_found const was_b(b.port());
    lagg_port lagg("policy=roundrobin,mac=02:12:34:56:78:9a");
    ASSERT_TRUE(lagg.ok());
    lagg.add(a.port());
    lagg.start();
    ASSERT_EQ(0, rte_eth_dev_set_mtu(lagg.id(), 2000));
    ASSERT_EQ(0, rte_eth_promiscuous_enable(lagg.id()));
    ASSERT_EQ(0, rte_eth_allmulticast_enable(lagg.id()));
    lagg.add(b.port());
    for (vdev const* v : {&a, &b}) {
        std::uint16_t mtu = 0;
        rte_ether_addr mac{};
        EXPECT_EQ(0, rte_eth_dev_get_mtu(v->port(), &mtu));
        EXPECT_EQ(2000, mtu);
        EXPECT_EQ(0, rte_eth_macaddr_get(v->port(), &mac));
        EXPECT_EQ(0x9a, mac.addr_bytes[5]);
        EXPECT_EQ(1, rte_eth_promiscuous_get(v->port()));
        EXPECT_EQ(1, rte_eth_allmulticast_get(v->port()));
        EXPECT_EQ(1, rte_eth_devices[v->port()].data->dev_started);
    }
    lagg.remove(b.port());
    was_b.check();
    lagg.destroy();
    was_a.check();
    // And they are any application's ports.
    bring_up(a.port());
    EXPECT_EQ(4, send(a.port(), frames(4)));
}

TEST_F(Membership, RefusesAPortThatSomebodyElseOwns) {
    vdev a = sink();
    rte_eth_dev_owner other{};
    ASSERT_EQ(0, rte_eth_dev_owner_new(&other.id));
    std::snprintf(other.name, sizeof other.name, "somebody");
    ASSERT_EQ(0, rte_eth_dev_owner_set(a.port(), &other));
    lagg_port lagg("policy=roundrobin");
    ASSERT_TRUE(lagg.ok());
    EXPECT_EQ(-EBUSY, rte_pmd_lagg_member_add(lagg.id(), a.port(), patience));
    EXPECT_EQ("somebody", owner_of(a.port()));
    EXPECT_EQ(0, lagg.status().nb_members);
    {
        lagg_port named("policy=roundrobin,member=" + a.name());
        EXPECT_EQ(-EBUSY, named.rc());
    }
    ASSERT_EQ(0, rte_eth_dev_owner_unset(a.port(), other.id));
    EXPECT_EQ(0, rte_pmd_lagg_member_add(lagg.id(), a.port(), patience));
    // A lagg is somebody, too.
    lagg_port second("policy=roundrobin");
    ASSERT_TRUE(second.ok());
    EXPECT_EQ(-EBUSY, rte_pmd_lagg_member_add(second.id(), a.port(), patience));
    EXPECT_EQ(-ENOENT, rte_pmd_lagg_member_remove(second.id(), a.port(), patience));
    EXPECT_EQ(lagg.name(), owner_of(a.port()));
}

TEST_F(Membership, RefusesWhatIsNoPortOrALagg) {
    lagg_port lagg("policy=roundrobin");
    lagg_port other("policy=roundrobin");
    vdev a = sink();
    EXPECT_EQ(-ELOOP, rte_pmd_lagg_member_add(lagg.id(), other.id(), patience));
    EXPECT_EQ(-ELOOP, rte_pmd_lagg_member_add(lagg.id(), lagg.id(), patience));
    EXPECT_EQ("", owner_of(other.id()));
    for (unsigned bad : {RTE_MAX_ETHPORTS - 1u, RTE_MAX_ETHPORTS + 0u, 40'000u, 65'535u}) {
        EXPECT_EQ(-EINVAL, rte_pmd_lagg_member_add(lagg.id(), static_cast<std::uint16_t>(bad), 10));
        EXPECT_EQ(-ENOENT,
                  rte_pmd_lagg_member_remove(lagg.id(), static_cast<std::uint16_t>(bad), 10));
    }
    EXPECT_EQ(-ENODEV, rte_pmd_lagg_member_add(a.port(), lagg.id(), patience));
    EXPECT_EQ(-ENODEV, rte_pmd_lagg_member_remove(a.port(), lagg.id(), patience));
}

TEST_F(Membership, RefusesMoreMembersThanItHasRoomFor) {
    if (RTE_MAX_ETHPORTS <= RTE_PMD_LAGG_MAX_MEMBERS + 1) {
        GTEST_SKIP() << "this DPDK has " << RTE_MAX_ETHPORTS
                     << " ports, 34 are needed; the aggregator's "
                        "unit tests count members without ports";
    }
    std::vector<vdev> all;
    lagg_port lagg("policy=roundrobin");
    for (int i = 0; i < RTE_PMD_LAGG_MAX_MEMBERS; ++i) {
        all.push_back(sink());
        lagg.add(all.back().port());
    }
    vdev const one_more = sink();
    EXPECT_EQ(-ENOSPC, rte_pmd_lagg_member_add(lagg.id(), one_more.port(), patience));
    EXPECT_EQ("", owner_of(one_more.port()));
}

TEST_F(Membership, RefusesAMemberWithLessThanTheLaggWasConfiguredWith) {
    vdev good = sink();
    vdev few_queues = sink("queues=1");
    vdev small_mtu = sink("mtu_max=1600");
    lagg_port lagg("policy=roundrobin,member=" + good.name());
    ASSERT_TRUE(lagg.ok());
    lagg.start(2);
    ASSERT_EQ(0, rte_eth_dev_set_mtu(lagg.id(), 4000));
    for (vdev const* v : {&few_queues, &small_mtu}) {
        as_found const was(v->port());
        EXPECT_EQ(-EINVAL, rte_pmd_lagg_member_add(lagg.id(), v->port(), patience));
        was.check();
        EXPECT_EQ(0u, counters_of(v->port()).starts);
    }
    EXPECT_EQ(1, lagg.status().nb_members);
    EXPECT_EQ(4, send(lagg.id(), frames(4), 1));
}

TEST_F(Membership, RefusesAMemberThatLacksAnOffload) {
    rte_eth_dev_info info{};
    vdev plain = sink();
    ASSERT_EQ(0, rte_eth_dev_info_get(plain.port(), &info));
    ASSERT_EQ(0u, info.tx_offload_capa & RTE_ETH_TX_OFFLOAD_UDP_CKSUM);
    lagg_port lagg("policy=roundrobin,offloads=TX_UDP_CKSUM");
    ASSERT_TRUE(lagg.ok());
    rte_eth_conf conf{};
    conf.txmode.offloads = RTE_ETH_TX_OFFLOAD_UDP_CKSUM;
    bring_up(lagg.id(), 1, &conf);
    as_found const was(plain.port());
    EXPECT_EQ(-EINVAL, rte_pmd_lagg_member_add(lagg.id(), plain.port(), patience));
    was.check();
}

TEST_F(Membership, RefusesAStartedPortAndLeavesItRunning) {
    vdev a = sink();
    bring_up(a.port());
    lagg_port lagg("policy=roundrobin");
    EXPECT_EQ(-EBUSY, rte_pmd_lagg_member_add(lagg.id(), a.port(), patience));
    EXPECT_EQ("", owner_of(a.port()));
    EXPECT_EQ(4, send(a.port(), frames(4)));
}

TEST_F(Membership, AnAddThatFailsHalfwayLeavesThePortAsFoundAndTheLaggAsItWas) {
    vdev good = sink();
    vdev bad = sink();
    lagg_port lagg("policy=roundrobin,member=" + good.name());
    ASSERT_TRUE(lagg.ok());
    lagg.start();
    ASSERT_EQ(0, rte_eth_dev_set_mtu(lagg.id(), 2000));
    ASSERT_EQ(0, rte_eth_promiscuous_enable(lagg.id()));
    as_found const was(bad.port());
    std::pair<rte_pmd_wire_op, int> const failures[] = {{RTE_PMD_WIRE_OP_CONFIGURE, ENOMEM},
                                                        {RTE_PMD_WIRE_OP_RXQ_SETUP, EINVAL},
                                                        {RTE_PMD_WIRE_OP_TXQ_SETUP, ENOBUFS},
                                                        {RTE_PMD_WIRE_OP_START, EIO},
                                                        {RTE_PMD_WIRE_OP_PROMISC, EIO}};
    event_list const told(lagg.id());
    for (auto const& [op, err] : failures) {
        auto const version = lagg.status().version;
        ASSERT_EQ(0, rte_pmd_wire_fail_op(bad.port(), op, err, 100));
        EXPECT_EQ(-err, rte_pmd_lagg_member_add(lagg.id(), bad.port(), patience)) << op;
        ASSERT_EQ(0, rte_pmd_wire_fail_op(bad.port(), op, err, 0));
        was.check();
        EXPECT_EQ(version, lagg.status().version);
        EXPECT_EQ(1, lagg.status().nb_members);
        EXPECT_EQ(4, send(lagg.id(), frames(4)));
    }
    EXPECT_EQ(0u, told.count(bad.port(), RTE_PMD_LAGG_EVENT_MEMBER_JOINED));
    EXPECT_EQ(0u, told.count(bad.port(), RTE_PMD_LAGG_EVENT_MEMBER_LEFT));
    EXPECT_EQ(0, rte_pmd_lagg_member_add(lagg.id(), bad.port(), patience));
    EXPECT_EQ(4, send(lagg.id(), frames(4)));
    EXPECT_EQ(2u, rte_pmd_wire_sent(bad.port()));
}

// -- by name -------------------------------------------------------------------------------------

TEST_F(Membership, TakesAMemberThatIsProbedLaterInEitherOrder) {
    // vdev numbers its ports; the next two names are known beforehand.
    vdev probe = sink();
    unsigned const number = static_cast<unsigned>(std::stoul(probe.name().substr(8)));
    std::string const first = "net_wire" + std::to_string(number + 1);
    std::string const second = "net_wire" + std::to_string(number + 2);
    for (bool const running : {false, true}) {
        lagg_port lagg("policy=roundrobin,member=" + first + ",member=" + second);
        ASSERT_TRUE(lagg.ok());
        EXPECT_EQ(2, lagg.status().nb_awaited);
        if (running) {
            lagg.start();
        }
        std::string const order[] = {running ? second : first, running ? first : second};
        std::uint16_t ports[2]{};
        for (int i = 0; i < 2; ++i) {
            ASSERT_EQ(0, rte_vdev_init(order[i].c_str(), ""));
            ASSERT_EQ(0, rte_eth_dev_get_port_by_name(order[i].c_str(), &ports[i]));
            // Ours from the first moment on.
            EXPECT_EQ(lagg.name(), owner_of(ports[i]));
            lagg.until([&](auto const& s) {
                return s.nb_members == i + 1 && s.nb_awaited == 1 - i &&
                       std::string("present") == s.members[0].phase &&
                       std::string("present") == s.members[i].phase;
            });
            EXPECT_EQ(running ? 1 : 0, rte_eth_devices[ports[i]].data->dev_started);
        }
        if (!running) {
            lagg.start();
        }
        EXPECT_EQ(8, send(lagg.id(), frames(8)));
        EXPECT_EQ(4u, rte_pmd_wire_sent(ports[0]));
        EXPECT_EQ(4u, rte_pmd_wire_sent(ports[1]));
        lagg.destroy();
        EXPECT_EQ("", owner_of(ports[0]));
        EXPECT_EQ("", owner_of(ports[1]));
        for (auto const& name : order) {
            EXPECT_EQ(0, rte_vdev_uninit(name.c_str()));
        }
    }
}

TEST_F(Membership, AnAwaitedPortOfALaggThatIsGoneIsNobodys) {
    vdev probe = sink();
    std::string const next = "net_wire" + std::to_string(std::stoul(probe.name().substr(8)) + 1);
    {
        lagg_port lagg("policy=roundrobin,member=" + next);
        ASSERT_TRUE(lagg.ok());
    }
    vdev late = sink();
    ASSERT_EQ(next, late.name());
    EXPECT_EQ("", owner_of(late.port()));
}

// -- under traffic -------------------------------------------------------------------------------

struct MembershipUnderTraffic : Membership {
    vdev stays = sink("check=1");
    vdev comes = sink("check=1");
    lagg_port lagg{"policy=loadbalance,member=" + stays.name()};

    void SetUp() override {
        ASSERT_TRUE(lagg.ok());
        ASSERT_EQ(0, rte_pmd_wire_poison_on_stop(comes.port(), true));
        lagg.start();
    }
    void TearDown() override {
        EXPECT_EQ(0u, rte_pmd_wire_in_burst_violation_count(stays.port()));
        if (comes.ok()) {
            EXPECT_EQ(0u, rte_pmd_wire_in_burst_violation_count(comes.port()));
        }
        lagg.destroy();
        Membership::TearDown();
    }
    void set_policy(int i) {
        rte_pmd_lagg_policy const by_turns[] = {RTE_PMD_LAGG_POLICY_LOADBALANCE,
                                                RTE_PMD_LAGG_POLICY_ROUNDROBIN,
                                                RTE_PMD_LAGG_POLICY_FAILOVER};
        ASSERT_EQ(0, rte_pmd_lagg_policy_set(lagg.id(), by_turns[i % 3]));
    }
};

TEST_F(MembershipUnderTraffic, R10D7NothingTouchesAMemberOnceRemoveHasReturned) {
    traffic t(lagg.id());
    for (int i = 0; i < 150; ++i) {
        set_policy(i);
        lagg.add(comes.port());
        t.rounds(3);
        ASSERT_EQ(0, rte_pmd_lagg_member_remove(lagg.id(), comes.port(), patience));
        auto const bursts = rte_pmd_wire_burst_count(comes.port());
        auto const sent = rte_pmd_wire_sent(comes.port());
        EXPECT_EQ("", owner_of(comes.port()));
        t.rounds(3);
        ASSERT_EQ(bursts, rte_pmd_wire_burst_count(comes.port()));
        ASSERT_EQ(sent, rte_pmd_wire_sent(comes.port()));
    }
    t.stop();
    EXPECT_GT(rte_pmd_wire_sent(comes.port()), 0u);
    EXPECT_EQ(t.taken(), rte_pmd_wire_sent(stays.port()) + rte_pmd_wire_sent(comes.port()));
    EXPECT_EQ(t.taken(), t.offered());
    EXPECT_EQ(t.taken(), lagg.stats().opackets);
    EXPECT_EQ(0u, t.wrong());
}

TEST_F(MembershipUnderTraffic, R10AMemberThatLeftCanBeClosedAndItsPortIdUsedAgain) {
    ASSERT_EQ(0, rte_eth_dev_stop(lagg.id()));
    lagg.start(full_traffic::queues());
    full_traffic t(lagg.id());
    std::uint64_t sent = 0;
    std::uint16_t const id = comes.port();
    event_list const told(lagg.id());
    int const cycles = times(300, 100'000);
    for (int i = 0; i < cycles; ++i) {
        set_policy(i);
        lagg.add(comes.port());
        if (i % 4 == 0) {
            t.rounds(2);
        }
        ASSERT_EQ(0, rte_pmd_lagg_member_remove(lagg.id(), comes.port(), patience));
        sent += rte_pmd_wire_sent(comes.port());
        ASSERT_EQ(0u, rte_pmd_wire_in_burst_violation_count(comes.port()));
        comes.close(); // poisoned: a burst that still came would end the process
        comes = sink("check=1");
        ASSERT_TRUE(comes.ok());
        ASSERT_EQ(id, comes.port());
        if (i % 10 == 0 && i < 1000) { // the wire keeps the memory of a poisoned end
            ASSERT_EQ(0, rte_pmd_wire_poison_on_stop(comes.port(), true));
        }
    }
    t.stop();
    EXPECT_EQ(t.taken(), rte_pmd_wire_sent(stays.port()) + sent);
    EXPECT_EQ(t.taken(), t.offered());
    EXPECT_EQ(t.taken(), lagg.stats().opackets);
    EXPECT_EQ(0u, t.wrong());
    EXPECT_EQ(static_cast<std::size_t>(cycles), told.count(id, RTE_PMD_LAGG_EVENT_MEMBER_JOINED));
    EXPECT_EQ(static_cast<std::size_t>(cycles), told.count(id, RTE_PMD_LAGG_EVENT_MEMBER_LEFT));
}

TEST_F(MembershipUnderTraffic, R1GoesToNoMemberAndBackWithoutLosingAFrame) {
    ASSERT_EQ(0, rte_eth_dev_stop(lagg.id()));
    lagg.start(full_traffic::queues());
    full_traffic t(lagg.id());
    storm flips(200);
    for (int i = 0; flips.goes_on(); ++i) {
        lagg.remove(stays.port());
        if (i % 2 == 0) {
            auto const taken = t.taken();
            t.rounds(1);
            auto const then = t.taken();
            auto const named = t.named();
            t.rounds(1);
            EXPECT_EQ(then, t.taken());
            EXPECT_EQ(named, t.named());
            EXPECT_GE(then, taken);
            EXPECT_FALSE(lagg.status().link_up);
        }
        set_policy(i);
        lagg.add(stays.port());
        t.flows();
    }
    t.stop();
    EXPECT_EQ(t.taken(), rte_pmd_wire_sent(stays.port()));
    EXPECT_EQ(t.taken(), lagg.stats().opackets);
    EXPECT_EQ(t.offered() - t.taken(), lagg.xstat("tx_given_back"));
    EXPECT_EQ(0u, t.wrong());
    RecordProperty("flips", flips.turns());
    RecordProperty("frames_offered", std::to_string(t.offered()));
    RecordProperty("traffic_threads", full_traffic::queues());
}

TEST_F(Membership, D5D6ReceiveNeverPollsARemovedMemberNorDeliversFromIt) {
    wire_pair x = wire("check=1");
    wire_pair y = wire("check=1");
    for (char const* const policy : {"failover", "roundrobin", "loadbalance", "broadcast"}) {
        lagg_port lagg("policy=" + std::string(policy) + ",rx_all=1,member=" + x.near.name() +
                       ",member=" + y.near.name());
        ASSERT_TRUE(lagg.ok());
        lagg.start();
        traffic t(lagg.id());
        for (int i = 0; i < 30; ++i) {
            wire_pair const& w = i % 2 == 0 ? x : y;
            EXPECT_EQ(4, send(w.far.port(), frames(4)));
            t.rounds(1);
            lagg.remove(w.near.port());
            auto const bursts = rte_pmd_wire_burst_count(w.near.port());
            t.rounds(2);
            ASSERT_EQ(bursts, rte_pmd_wire_burst_count(w.near.port())) << policy;
            // The application's own now: what arrives stays there.
            bring_up(w.near.port());
            auto const received = t.received();
            EXPECT_EQ(4, send(w.far.port(), frames(4)));
            t.rounds(2);
            EXPECT_EQ(received, t.received()) << policy;
            EXPECT_EQ(4u, receive_all(w.near.port()));
            EXPECT_EQ(0, rte_eth_dev_stop(w.near.port()));
            lagg.add(w.near.port());
        }
        t.stop();
        EXPECT_EQ(30u * 4, t.received() + receive_all(lagg.id())) << policy;
        EXPECT_EQ(0u, t.wrong());
        receive_all(x.far.port());
        receive_all(y.far.port());
    }
    EXPECT_EQ(0u, rte_pmd_wire_in_burst_violation_count(x.near.port()));
    EXPECT_EQ(0u, rte_pmd_wire_in_burst_violation_count(y.near.port()));
}

TEST_F(Membership, FramesThatWaitInALeavingMemberAreDelivered) {
    wire_pair x = wire();
    lagg_port lagg("policy=loadbalance,member=" + x.near.name());
    ASSERT_TRUE(lagg.ok());
    lagg.start();
    EXPECT_EQ(100, send(x.far.port(), frames(100)));
    lagg.remove(x.near.port());
    EXPECT_EQ(100u, receive_all(lagg.id()));
    EXPECT_EQ(0u, lagg.xstat("rx_dropped_drain_no_room"));
}

// -- surprise ------------------------------------------------------------------------------------

TEST_F(MembershipUnderTraffic, ASurpriseRemovalEndsWithTheDeviceGoneAndItsIdFree) {
    traffic t(lagg.id());
    event_list const told(lagg.id());
    std::uint64_t sent = 0;
    std::uint16_t const id = comes.port();
    for (std::size_t i = 1; i <= 20; ++i) {
        lagg.add(id);
        t.rounds(2);
        std::string const name = comes.name();
        ASSERT_EQ(0, rte_pmd_wire_surprise_remove(id));
        told.until(id, RTE_PMD_LAGG_EVENT_MEMBER_LEFT, i);
        // Told when all is done: port, device, membership.
        EXPECT_EQ(0, rte_eth_dev_is_valid_port(id));
        int const again = rte_vdev_uninit(name.c_str());
        // DPDK 26.11's bus remembers a device that has no driver any more.
        EXPECT_TRUE(again == -ENOENT || again == 1) << again;
        EXPECT_EQ(1, lagg.status().nb_members);
        comes = vdev();
        comes = sink("check=1");
        ASSERT_EQ(id, comes.port());
        EXPECT_EQ("", owner_of(id));
    }
    lagg.add(id);
    t.rounds(2);
    lagg.remove(id);
    sent = rte_pmd_wire_sent(id);
    EXPECT_GT(sent, 0u);
    t.stop();
    EXPECT_EQ(t.taken(), lagg.stats().opackets);
    EXPECT_EQ(0u, t.wrong());
}

TEST_F(MembershipUnderTraffic, ADeviceThatIsPulledOffItsBusLeaves) {
    traffic t(lagg.id());
    event_list const told(lagg.id());
    std::uint16_t const id = comes.port();
    lagg.add(id);
    t.rounds(2);
    // What a hot-unplug monitor raises: the device's event, none of the port's.
    rte_dev_event_callback_process(comes.name().c_str(), RTE_DEV_EVENT_REMOVE);
    told.until(id, RTE_PMD_LAGG_EVENT_MEMBER_LEFT, 1);
    EXPECT_EQ(0, rte_eth_dev_is_valid_port(id));
    EXPECT_EQ(1, lagg.status().nb_members);
    comes = vdev();
    t.stop();
    EXPECT_EQ(0u, t.wrong());
}

// -- events --------------------------------------------------------------------------------------

TEST_F(Membership, TellsEachChangeOnceAndInOrder) {
    wire_pair x = wire();
    lagg_port lagg("policy=loadbalance,lsc_poll_period_ms=60000");
    lagg.start();
    event_list told(lagg.id());
    std::uint16_t const m = x.near.port();
    std::uint64_t last = 0;
    for (int i = 0; i < 5; ++i) {
        told.clear();
        lagg.add(m);
        lagg.until([](auto const& s) { return s.link_up; });
        ASSERT_EQ(0, rte_pmd_wire_cut(m));
        lagg.until([](auto const& s) { return !s.link_up; });
        ASSERT_EQ(0, rte_pmd_wire_heal(m));
        lagg.until([](auto const& s) { return s.link_up; });
        lagg.remove(m);
        auto types = told.types_of(m);
        std::vector<event> const expected{
            RTE_PMD_LAGG_EVENT_MEMBER_JOINED,       RTE_PMD_LAGG_EVENT_MEMBER_LINK_UP,
            RTE_PMD_LAGG_EVENT_MEMBER_DISTRIBUTING, RTE_PMD_LAGG_EVENT_MEMBER_LINK_DOWN,
            RTE_PMD_LAGG_EVENT_MEMBER_STANDBY,      RTE_PMD_LAGG_EVENT_MEMBER_LINK_UP,
            RTE_PMD_LAGG_EVENT_MEMBER_DISTRIBUTING, RTE_PMD_LAGG_EVENT_MEMBER_STANDBY,
            RTE_PMD_LAGG_EVENT_MEMBER_LEFT};
        EXPECT_EQ(expected, types);
        for (auto const& e : told.all()) {
            EXPECT_EQ(lagg.id(), e.lagg);
            EXPECT_EQ(0, e.error);
            EXPECT_GE(e.version, last);
            last = e.version;
        }
        receive_all(x.far.port());
    }
}

TEST_F(Membership, RefusesChangesFromItsOwnCallback) {
    vdev a = sink();
    vdev b = sink();
    lagg_port lagg("policy=loadbalance,member=" + a.name());
    lagg.start();
    struct {
        std::map<std::string, int> rc;
        std::uint16_t b;
        std::atomic<bool> done{false};
    } seen;
    seen.b = b.port();
    auto const ask = [](rte_pmd_lagg_event const* e, void* p) {
        auto& s = *static_cast<decltype(seen)*>(p);
        if (s.done) {
            return;
        }
        s.rc["add"] = rte_pmd_lagg_member_add(e->lagg, s.b, 10);
        s.rc["remove"] = rte_pmd_lagg_member_remove(e->lagg, e->member, 10);
        s.rc["remove at once"] = rte_pmd_lagg_member_remove(e->lagg, e->member, 0);
        s.rc["policy"] = rte_pmd_lagg_policy_set(e->lagg, RTE_PMD_LAGG_POLICY_NONE);
        s.rc["barrier"] = rte_pmd_lagg_barrier(e->lagg, 10);
        s.rc["admin"] = rte_pmd_lagg_admin_set(e->lagg, false);
        s.rc["destroy"] = rte_pmd_lagg_destroy(e->lagg);
        s.rc["callback"] = rte_pmd_lagg_event_callback_set(e->lagg, nullptr, nullptr);
        s.rc["create"] = rte_pmd_lagg_create("net_lagg777", "");
        s.rc["stop"] = rte_eth_dev_set_link_down(e->lagg);
        rte_pmd_lagg_status status{};
        EXPECT_EQ(0, rte_pmd_lagg_status_get(e->lagg, &status));
        s.done = true;
    };
    ASSERT_EQ(0, rte_pmd_lagg_event_callback_set(lagg.id(), ask, &seen));
    ASSERT_EQ(0, rte_pmd_wire_cut(a.port()));
    wait_until([&] { return seen.done.load(); });
    ASSERT_EQ(0, rte_pmd_lagg_event_callback_set(lagg.id(), nullptr, nullptr));
    EXPECT_EQ(10u, seen.rc.size());
    for (auto const& [what, rc] : seen.rc) {
        EXPECT_EQ(-EDEADLK, rc) << what;
    }
    auto const s = lagg.status();
    EXPECT_EQ(1, s.nb_members);
    EXPECT_TRUE(s.admin_up);
    EXPECT_EQ(RTE_PMD_LAGG_POLICY_LOADBALANCE, s.policy);
    EXPECT_EQ("", owner_of(b.port()));
}

std::uint16_t change_from_within(std::uint16_t, std::uint16_t, rte_mbuf**, std::uint16_t n,
                                 void* rc) {
    auto* const results = static_cast<std::vector<int>*>(rc);
    results->push_back(rte_pmd_lagg_policy_set(results->front() & 0xff, RTE_PMD_LAGG_POLICY_NONE));
    return n;
}

TEST_F(Membership, RefusesChangesFromInsideABurst) {
    vdev a = sink();
    lagg_port lagg("policy=loadbalance,member=" + a.name());
    lagg.start();
    std::vector<int> results{lagg.id()};
    auto const* const callback = rte_eth_add_tx_callback(a.port(), 0, change_from_within, &results);
    ASSERT_NE(nullptr, callback);
    EXPECT_EQ(4, send(lagg.id(), frames(4)));
    ASSERT_EQ(0, rte_eth_remove_tx_callback(a.port(), 0, callback));
    EXPECT_EQ((std::vector<int>{lagg.id(), -EDEADLK}), results);
    EXPECT_EQ(0, rte_pmd_lagg_policy_set(lagg.id(), RTE_PMD_LAGG_POLICY_ROUNDROBIN));
}

// -- slow devices --------------------------------------------------------------------------------

TEST_F(Membership, ASlowMemberDelaysNoLinkLoss) {
    wire_pair x = wire();
    vdev slow = sink();
    ASSERT_EQ(0, rte_pmd_wire_slow_start_ms(slow.port(), 700));
    lagg_port lagg("policy=loadbalance,lsc_poll_period_ms=60000,member=" + x.near.name());
    lagg.start();
    event_list const told(lagg.id());
    EXPECT_EQ(-EINPROGRESS, rte_pmd_lagg_member_add(lagg.id(), slow.port(), 0));
    EXPECT_EQ(lagg.name(), owner_of(slow.port()));
    EXPECT_STREQ("joining", lagg.member(slow.port()).phase);
    ASSERT_EQ(0, rte_pmd_wire_cut(x.near.port()));
    lagg.until([](auto const& s) { return !s.link_up; });
    ASSERT_EQ(0, rte_pmd_wire_heal(x.near.port()));
    lagg.until([](auto const& s) { return s.link_up; });
    ASSERT_EQ(0, rte_pmd_lagg_policy_set(lagg.id(), RTE_PMD_LAGG_POLICY_ROUNDROBIN));
    EXPECT_EQ(4, send(lagg.id(), frames(4)));
    told.until(slow.port(), RTE_PMD_LAGG_EVENT_MEMBER_JOINED);
    EXPECT_EQ(1u, counters_of(slow.port()).slow_starts);
    // All of it was told before the slow one was done.
    auto const all = told.all();
    auto const joined = std::find_if(all.begin(), all.end(), [&](auto const& e) {
        return e.member == slow.port() && e.type == RTE_PMD_LAGG_EVENT_MEMBER_JOINED;
    });
    EXPECT_EQ(4, std::count_if(all.begin(), joined,
                               [&](auto const& e) { return e.member == x.near.port(); }));
    lagg.until(
        [](auto const& s) { return s.members[1].distributing && s.members[0].distributing; });
    EXPECT_EQ(4, send(lagg.id(), frames(4)));
    EXPECT_EQ(2u, rte_pmd_wire_sent(slow.port()));
    receive_all(x.far.port());
}

TEST_F(Membership, RemovingAMemberThatIsStillStartingCancelsTheAdd) {
    vdev slow = sink();
    as_found const was(slow.port());
    ASSERT_EQ(0, rte_pmd_wire_slow_start_ms(slow.port(), 300));
    lagg_port lagg("policy=loadbalance");
    lagg.start();
    event_list const told(lagg.id());
    int added = 1;
    std::thread adding([&] { added = rte_pmd_lagg_member_add(lagg.id(), slow.port(), patience); });
    wait_until([&] { return lagg.status().nb_members == 1; });
    EXPECT_EQ(-EINPROGRESS, rte_pmd_lagg_member_remove(lagg.id(), slow.port(), 0));
    EXPECT_EQ(-EBUSY, rte_pmd_lagg_member_add(lagg.id(), slow.port(), 0));
    EXPECT_EQ(0, rte_pmd_lagg_member_remove(lagg.id(), slow.port(), patience));
    adding.join();
    EXPECT_EQ(-EBUSY, added);
    was.check();
    EXPECT_EQ(0u, told.count(slow.port(), RTE_PMD_LAGG_EVENT_MEMBER_JOINED));
    EXPECT_EQ(0u, told.count(slow.port(), RTE_PMD_LAGG_EVENT_MEMBER_DISTRIBUTING));
    EXPECT_EQ(0, lagg.status().nb_members);
}

TEST_F(Membership, AnAddThatFailsLaterIsTold) {
    vdev bad = sink();
    lagg_port lagg("policy=loadbalance");
    lagg.start();
    event_list const told(lagg.id());
    ASSERT_EQ(0, rte_pmd_wire_fail_op(bad.port(), RTE_PMD_WIRE_OP_START, EIO, 1));
    int const rc = rte_pmd_lagg_member_add(lagg.id(), bad.port(), 0);
    EXPECT_TRUE(rc == -EINPROGRESS || rc == -EIO) << rc << ": not yet, or so soon that it is known";
    told.until(bad.port(), RTE_PMD_LAGG_EVENT_MEMBER_REFUSED);
    ASSERT_EQ(1u, told.all().size());
    EXPECT_EQ(-EIO, told.all()[0].error);
    EXPECT_EQ("", owner_of(bad.port()));
    EXPECT_EQ(0, lagg.status().nb_members);
}

/// However an add meets a removal that is under way: nobody's port is owned, a member's is.
TEST_F(MembershipUnderTraffic, OwnershipAgreesWithMembershipWhenTwoThreadsAddAndRemove) {
    traffic t(lagg.id());
    std::atomic<bool> quit{false};
    std::thread other([&] {
        for (unsigned i = 0; !quit; ++i) {
            int const rc = i % 2 == 0 ? rte_pmd_lagg_member_add(lagg.id(), comes.port(), 0)
                                      : rte_pmd_lagg_member_remove(lagg.id(), comes.port(), 0);
            EXPECT_TRUE(rc == 0 || rc == -EINPROGRESS || rc == -EEXIST || rc == -ENOENT ||
                        rc == -EBUSY)
                << rc;
        }
    });
    for (int i = 0; i < 300; ++i) {
        int rc = rte_pmd_lagg_member_add(lagg.id(), comes.port(), patience);
        EXPECT_TRUE(rc == 0 || rc == -EEXIST || rc == -EBUSY) << rc;
        rc = rte_pmd_lagg_member_remove(lagg.id(), comes.port(), patience);
        EXPECT_TRUE(rc == 0 || rc == -ENOENT || rc == -EBUSY) << rc;
    }
    quit = true;
    other.join();
    wait_until([&] {
        int const rc = rte_pmd_lagg_member_remove(lagg.id(), comes.port(), patience);
        return rc == -ENOENT;
    });
    EXPECT_EQ("", owner_of(comes.port()));
    t.stop();
    EXPECT_EQ(t.taken(), rte_pmd_wire_sent(stays.port()) + rte_pmd_wire_sent(comes.port()));
    EXPECT_EQ(0u, t.wrong());
}

} // namespace
} // namespace lagg::test
