// Devices that refuse: a change is made as a whole or not at all, the member that refused is as it
// was found, and traffic never notices.
#include "fixture.h"
#include "traffic.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <ostream>

namespace lagg::test {
namespace {

/// Everything of a port that a lagg may change and has to put back.
struct port_look {
    std::array<std::uint8_t, RTE_ETHER_ADDR_LEN> mac{};
    std::uint16_t mtu = 0;
    int promiscuous = -1;
    int allmulticast = -1;
    bool started = false;
    std::string owner;

    bool operator==(port_look const&) const = default;
};

port_look look_at(std::uint16_t port) {
    port_look look;
    rte_ether_addr mac{};
    EXPECT_EQ(0, rte_eth_macaddr_get(port, &mac));
    std::memcpy(look.mac.data(), mac.addr_bytes, look.mac.size());
    EXPECT_EQ(0, rte_eth_dev_get_mtu(port, &look.mtu));
    look.promiscuous = rte_eth_promiscuous_get(port);
    look.allmulticast = rte_eth_allmulticast_get(port);
    look.started = rte_eth_devices[port].data->dev_started != 0;
    look.owner = owner_of(port);
    return look;
}

/// A port that belongs to nobody works as any other.
void expect_usable(std::uint16_t port) {
    bring_up(port);
    std::uint64_t const then = rte_pmd_wire_sent(port);
    EXPECT_EQ(4, send(port, frames(4)));
    EXPECT_EQ(then + 4, rte_pmd_wire_sent(port));
    EXPECT_EQ(0, rte_eth_dev_stop(port));
}

pmd::published_state state_of(lagg_port const& lagg) {
    auto const state = pmd::device::published_of(lagg.id());
    EXPECT_NE(nullptr, state);
    return state != nullptr ? *state : pmd::published_state{};
}

/// The status without what moves by itself.
std::vector<std::string> summary(rte_pmd_lagg_status const& s) {
    std::vector<std::string> out{std::to_string(s.version),
                                 std::to_string(s.policy),
                                 std::to_string(s.hash_fields),
                                 std::to_string(s.seed),
                                 std::to_string(s.stride),
                                 std::to_string(s.min_links),
                                 std::to_string(s.up_delay_ms),
                                 std::to_string(s.down_delay_ms),
                                 std::to_string(s.failback),
                                 std::to_string(s.failback_hold_ms),
                                 s.primary,
                                 std::to_string(s.link_up),
                                 std::to_string(s.link_speed_mbps),
                                 std::to_string(s.started)};
    for (std::uint16_t i = 0; i < s.nb_members; ++i) {
        auto const& m = s.members[i];
        out.push_back(std::string(m.name) + " " + m.phase + " " + std::to_string(m.port) + " " +
                      std::to_string(m.distributing) + std::to_string(m.collecting) +
                      std::to_string(m.buckets) + " " + std::to_string(m.weight));
    }
    return out;
}

struct Faults : testing::Test {
    unsigned before = pool_level();
    vdev a = sink();
    vdev b = sink();
    vdev late = sink();
    void TearDown() override { EXPECT_EQ(before, pool_level()); }
    std::string members() const { return "member=" + a.name() + ",member=" + b.name(); }

    /// Adding `late` fails with `error`, and everything is as it was.
    void expect_refused(lagg_port& lagg, int error) {
        auto const found = look_at(late.port());
        auto const then = state_of(lagg);
        auto const shown = summary(lagg.status());
        std::uint64_t const sent = rte_pmd_wire_sent(late.port());
        EXPECT_EQ(error, rte_pmd_lagg_member_add(lagg.id(), late.port(), 10'000));
        auto const now = state_of(lagg);
        EXPECT_EQ(then.snapshot.version, now.snapshot.version);
        EXPECT_TRUE(same_but_for_version(then.snapshot, now.snapshot));
        EXPECT_EQ(shown, summary(lagg.status()));
        EXPECT_TRUE(found == look_at(late.port())) << "the member is not as it was found";
        EXPECT_EQ(32, send(lagg.id(), frames(32)));
        EXPECT_EQ(sent, rte_pmd_wire_sent(late.port()));
        expect_usable(late.port());
        EXPECT_EQ(0, rte_pmd_lagg_member_add(lagg.id(), late.port(), 10'000)) << "a second try";
        EXPECT_TRUE(lagg.member(late.port()).distributing);
        lagg.remove(late.port());
        EXPECT_TRUE(found == look_at(late.port()));
    }
};

struct planned {
    rte_pmd_wire_op op;
    int error;
    char const* name;
};

struct AnOperationThatFails : Faults, testing::WithParamInterface<planned> {};

TEST_P(AnOperationThatFails, R3D19RefusesAMemberAndLeavesTheSnapshotAlone) {
    lagg_port lagg("policy=loadbalance," + members());
    ASSERT_TRUE(lagg.ok());
    lagg.start(2);
    EXPECT_EQ(64, send(lagg.id(), frames(64)));
    ASSERT_EQ(0, rte_pmd_wire_fail_op(late.port(), GetParam().op, GetParam().error, 1));
    expect_refused(lagg, -GetParam().error);
}

TEST_P(AnOperationThatFails, R3RefusesAMemberUnderTraffic) {
    lagg_port lagg("policy=roundrobin," + members());
    ASSERT_TRUE(lagg.ok());
    lagg.start();
    traffic running(lagg.id());
    running.flows();
    for (int i = 0; i < 10; ++i) {
        ASSERT_EQ(0, rte_pmd_wire_fail_op(late.port(), GetParam().op, GetParam().error, 1));
        ASSERT_EQ(-GetParam().error, rte_pmd_lagg_member_add(lagg.id(), late.port(), 10'000));
    }
    running.rounds(2);
    running.stop();
    EXPECT_EQ(0u, running.wrong());
    EXPECT_EQ(running.offered(), running.taken()) << "the others took everything";
    EXPECT_EQ(running.taken(), rte_pmd_wire_sent(a.port()) + rte_pmd_wire_sent(b.port()));
    EXPECT_EQ(0u, rte_pmd_wire_sent(late.port()));
}

TEST_P(AnOperationThatFails, D20FailsTheStartAndNobodyIsLeftRunning) {
    lagg_port lagg("policy=loadbalance," + members() + ",member=" + late.name());
    ASSERT_TRUE(lagg.ok());
    rte_eth_conf const conf{};
    ASSERT_EQ(0, rte_eth_dev_configure(lagg.id(), 2, 2, &conf));
    for (std::uint16_t q = 0; q < 2; ++q) {
        ASSERT_EQ(0, rte_eth_rx_queue_setup(lagg.id(), q, 512, SOCKET_ID_ANY, nullptr, pool()));
        ASSERT_EQ(0, rte_eth_tx_queue_setup(lagg.id(), q, 512, SOCKET_ID_ANY, nullptr));
    }
    ASSERT_EQ(0, rte_pmd_wire_fail_op(late.port(), GetParam().op, GetParam().error, 1));
    EXPECT_EQ(-GetParam().error, rte_eth_dev_start(lagg.id()));
    for (vdev const* v : {&a, &b, &late}) {
        EXPECT_EQ(0, rte_eth_devices[v->port()].data->dev_started) << v->name();
        EXPECT_EQ(lagg.name(), owner_of(v->port())) << "it is a member all the same";
    }
    EXPECT_FALSE(lagg.status().started);
    EXPECT_FALSE(lagg.status().link_up);
    ASSERT_EQ(0, rte_eth_dev_start(lagg.id())) << "the second time nothing fails";
    EXPECT_TRUE(lagg.status().link_up);
    EXPECT_EQ(64, send(lagg.id(), frames(64)));
    for (vdev const* v : {&a, &b, &late}) {
        EXPECT_TRUE(lagg.member(v->port()).distributing);
        EXPECT_LT(0u, rte_pmd_wire_sent(v->port()));
    }
}

INSTANTIATE_TEST_SUITE_P(Named, AnOperationThatFails,
                         testing::Values(planned{RTE_PMD_WIRE_OP_INFOS, EIO, "Infos"},
                                         planned{RTE_PMD_WIRE_OP_CONFIGURE, EIO, "Configure"},
                                         planned{RTE_PMD_WIRE_OP_RXQ_SETUP, ENOMEM, "RxQueueSetup"},
                                         planned{RTE_PMD_WIRE_OP_TXQ_SETUP, ENOSPC, "TxQueueSetup"},
                                         planned{RTE_PMD_WIRE_OP_START, EAGAIN, "Start"}),
                         [](auto const& p) { return p.param.name; });

// --- changes of a lagg that runs ----------------------------------------------------------------

/// A change that every member has to follow, and what fails in the last one's driver.
struct live_change {
    char const* name;
    std::vector<rte_pmd_wire_op> failing;
    int (*make)(std::uint16_t lagg);
};

void PrintTo(live_change const& c, std::ostream* out) {
    *out << c.name;
}

struct ALiveChangeThatOneMemberRefuses : Faults, testing::WithParamInterface<live_change> {};

TEST_P(ALiveChangeThatOneMemberRefuses, R9IsTakenBackOnTheOthersAndTheSnapshotStays) {
    lagg_port lagg("policy=loadbalance," + members() + ",member=" + late.name());
    ASSERT_TRUE(lagg.ok());
    lagg.start();
    traffic running(lagg.id());
    running.flows();
    std::array<std::uint16_t, 4> const ports{lagg.id(), a.port(), b.port(), late.port()};
    std::array<port_look, 4> found;
    std::transform(ports.begin(), ports.end(), found.begin(), look_at);
    auto const then = state_of(lagg);
    auto const shown = summary(lagg.status());
    for (rte_pmd_wire_op const op : GetParam().failing) {
        ASSERT_EQ(0, rte_pmd_wire_fail_op(late.port(), op, EIO, 1));
    }
    EXPECT_EQ(-EIO, GetParam().make(lagg.id()));
    auto const now = state_of(lagg);
    EXPECT_TRUE(same_but_for_version(then.snapshot, now.snapshot));
    auto const shown_now = summary(lagg.status());
    EXPECT_TRUE(std::equal(shown.begin() + 1, shown.end(), shown_now.begin() + 1, shown_now.end()))
        << "all but the version";
    for (std::size_t i = 0; i < ports.size(); ++i) {
        EXPECT_TRUE(found[i] == look_at(ports[i])) << "port " << ports[i];
    }
    EXPECT_EQ(GetParam().failing.size(), counters_of(late.port()).failed_ops);
    EXPECT_EQ(0, GetParam().make(lagg.id())) << "a second try";
    running.rounds(2);
    running.stop();
    EXPECT_EQ(0u, running.wrong());
    EXPECT_EQ(running.offered(), running.taken()) << "no frame noticed";
}

INSTANTIATE_TEST_SUITE_P(
    Named, ALiveChangeThatOneMemberRefuses,
    testing::Values(
        live_change{"Mtu",
                    {RTE_PMD_WIRE_OP_MTU},
                    [](std::uint16_t lagg) { return rte_eth_dev_set_mtu(lagg, 4000); }},
        live_change{"AddressAndPromiscuity",
                    {RTE_PMD_WIRE_OP_MAC_SET, RTE_PMD_WIRE_OP_PROMISC},
                    [](std::uint16_t lagg) {
                        rte_ether_addr mac{{0x02, 0, 0, 0, 0x12, 0x34}};
                        return rte_eth_dev_default_mac_addr_set(lagg, &mac);
                    }},
        live_change{"AnotherAddressAndPromiscuity",
                    {RTE_PMD_WIRE_OP_MAC_ADD, RTE_PMD_WIRE_OP_PROMISC},
                    [](std::uint16_t lagg) {
                        rte_ether_addr mac{{0x02, 0, 0, 0, 0x12, 0x35}};
                        return rte_eth_dev_mac_addr_add(lagg, &mac, 0);
                    }},
        live_change{"Promiscuous",
                    {RTE_PMD_WIRE_OP_PROMISC},
                    [](std::uint16_t lagg) { return rte_eth_promiscuous_enable(lagg); }},
        live_change{"Allmulticast",
                    {RTE_PMD_WIRE_OP_ALLMULTI},
                    [](std::uint16_t lagg) { return rte_eth_allmulticast_enable(lagg); }},
        live_change{"MulticastList",
                    {RTE_PMD_WIRE_OP_MC_LIST, RTE_PMD_WIRE_OP_ALLMULTI},
                    [](std::uint16_t lagg) {
                        rte_ether_addr group{{0x01, 0, 0x5e, 0, 0, 7}};
                        return rte_eth_dev_set_mc_addr_list(lagg, &group, 1);
                    }}),
    [](auto const& p) { return p.param.name; });

/// At whichever of its questions the device fails: what a driver says once must not be taken for
/// what it says by failing the second time.
TEST_F(Faults, R3AMemberThatFailsToSayWhatItCanDoIsRefusedOrWhole) {
    lagg_port lagg("policy=loadbalance,lsc_poll_period_ms=60000," + members());
    ASSERT_TRUE(lagg.ok());
    rte_eth_conf conf{};
    conf.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
    conf.rx_adv_conf.rss_conf.rss_hf = RTE_ETH_RSS_IPV4;
    bring_up(lagg.id(), 2, &conf);
    int refused = 0;
    for (std::uint32_t skip = 0;; ++skip) {
        SCOPED_TRACE(skip);
        auto const found = look_at(late.port());
        auto const then = state_of(lagg);
        auto const failed = counters_of(late.port()).failed_ops;
        ASSERT_EQ(0, rte_pmd_wire_fail_op_after(late.port(), RTE_PMD_WIRE_OP_INFOS, EIO, skip, 1));
        int const rc = rte_pmd_lagg_member_add(lagg.id(), late.port(), 10'000);
        bool const felt = counters_of(late.port()).failed_ops != failed;
        ASSERT_EQ(0, rte_pmd_wire_fail_op(late.port(), RTE_PMD_WIRE_OP_INFOS, EIO, 0));
        if (rc == 0) {
            auto const& its = rte_eth_devices[late.port()].data->dev_conf;
            EXPECT_TRUE(lagg.member(late.port()).distributing);
            EXPECT_EQ(1u, its.intr_conf.lsc) << "its link events";
            EXPECT_EQ(RTE_ETH_MQ_RX_RSS, its.rxmode.mq_mode);
            lagg.remove(late.port());
        } else {
            ASSERT_EQ(-EIO, rc);
            ++refused;
            EXPECT_EQ(then.snapshot.version, state_of(lagg).snapshot.version);
            EXPECT_TRUE(same_but_for_version(then.snapshot, state_of(lagg).snapshot));
        }
        EXPECT_TRUE(found == look_at(late.port()));
        if (!felt) {
            break;
        }
    }
    EXPECT_LT(3, refused);
    EXPECT_EQ(64, send(lagg.id(), frames(64)));
}

TEST_F(Faults, ALinkThatCannotBeReadIsAsItWasLast) {
    vdev quiet = sink("lsc=0");
    lagg_port lagg("policy=loadbalance,lsc_poll_period_ms=1,member=" + quiet.name() + "," +
                   members());
    ASSERT_TRUE(lagg.ok());
    lagg.start();
    lagg.until([](auto const& s) { return s.members[0].distributing; });
    auto const then = state_of(lagg);
    auto const asked_again = [&] {
        std::uint64_t const failed = counters_of(quiet.port()).failed_ops;
        wait_until([&] { return counters_of(quiet.port()).failed_ops >= failed + 3; });
        lagg.settle();
    };
    ASSERT_EQ(0, rte_pmd_wire_fail_op(quiet.port(), RTE_PMD_WIRE_OP_LINK, EIO, UINT32_MAX));
    asked_again();
    EXPECT_EQ(then.snapshot.version, state_of(lagg).snapshot.version);
    ASSERT_EQ(0, rte_pmd_wire_cut(quiet.port()));
    asked_again();
    EXPECT_EQ(then.snapshot.version, state_of(lagg).snapshot.version) << "nobody told";
    std::uint64_t const others = rte_pmd_wire_sent(a.port()) + rte_pmd_wire_sent(b.port());
    std::uint16_t const taken = send(lagg.id(), frames(64));
    EXPECT_GT(64, taken) << "what it does not take is the caller's";
    EXPECT_EQ(others + taken, rte_pmd_wire_sent(a.port()) + rte_pmd_wire_sent(b.port()));
    ASSERT_EQ(0, rte_pmd_wire_fail_op(quiet.port(), RTE_PMD_WIRE_OP_LINK, EIO, 0));
    lagg.until([](auto const& s) { return !s.members[0].distributing; });
    EXPECT_EQ(64, send(lagg.id(), frames(64)));
}

TEST_F(Faults, ALinkThatIsNonsenseLosesNoFrame) {
    for (char const* const policy : {"loadbalance", "failover", "roundrobin", "broadcast"}) {
        SCOPED_TRACE(policy);
        lagg_port lagg("lsc_poll_period_ms=60000," + members() + ",policy=" + policy);
        ASSERT_TRUE(lagg.ok());
        lagg.start();
        traffic running(lagg.id());
        running.flows();
        for (std::uint32_t const speed : {UINT32_MAX, UINT32_MAX - 1, 1U, 0U, 0x80000000U}) {
            for (std::uint16_t const bits : {0x7, 0x4, 0x5, 0x6}) { // up, some of the rest
                rte_eth_link link{};
                link.link_speed = speed;
                link.link_duplex = bits & 1;
                link.link_autoneg = (bits >> 1) & 1;
                link.link_status = bits >> 2;
                rte_eth_dev* const dev = &rte_eth_devices[a.port()];
                static_cast<void>(rte_eth_linkstatus_set(dev, &link));
                rte_eth_dev_callback_process(dev, RTE_ETH_EVENT_INTR_LSC, nullptr);
                lagg.settle();
                EXPECT_TRUE(lagg.status().link_up);
                EXPECT_TRUE(lagg.member(a.port()).usable);
                running.rounds(2);
            }
        }
        running.stop();
        EXPECT_EQ(0u, running.wrong());
        EXPECT_EQ(running.offered(), running.taken());
    }
}

TEST_F(Faults, R3AMemberWhoseAddressAndPromiscuityFailIsRefused) {
    lagg_port lagg("policy=loadbalance," + members());
    ASSERT_TRUE(lagg.ok());
    lagg.start();
    ASSERT_EQ(0, rte_pmd_wire_fail_op(late.port(), RTE_PMD_WIRE_OP_MAC_SET, EIO, 1));
    EXPECT_EQ(0, rte_eth_promiscuous_get(late.port()));
    // An address that is refused alone is no reason to refuse the member.
    lagg.add(late.port());
    lagg.remove(late.port());
    EXPECT_EQ(0, rte_eth_promiscuous_get(late.port()));
    ASSERT_EQ(0, rte_pmd_wire_fail_op(late.port(), RTE_PMD_WIRE_OP_PROMISC, EIO, 1));
    expect_refused(lagg, -EIO);
}

TEST_F(Faults, R3AMemberThatCannotHaveTheMtuIsRefused) {
    vdev const small = sink("mtu_max=1600");
    lagg_port lagg("policy=loadbalance," + members());
    ASSERT_TRUE(lagg.ok());
    rte_eth_conf conf{};
    conf.rxmode.mtu = 4000;
    bring_up(lagg.id(), 1, &conf);
    auto const found = look_at(small.port());
    auto const version = lagg.status().version;
    EXPECT_EQ(-EINVAL, rte_pmd_lagg_member_add(lagg.id(), small.port(), 10'000));
    EXPECT_EQ(version, lagg.status().version);
    EXPECT_TRUE(found == look_at(small.port()));
    expect_usable(small.port());
    lagg.add(late.port());
    std::uint16_t mtu = 0;
    ASSERT_EQ(0, rte_eth_dev_get_mtu(late.port(), &mtu));
    EXPECT_EQ(4000, mtu);
    lagg.remove(late.port());
    ASSERT_EQ(0, rte_eth_dev_get_mtu(late.port(), &mtu));
    EXPECT_EQ(RTE_ETHER_MTU, mtu) << "its own is back";
}

TEST_F(Faults, R3AMemberWithoutEnoughQueuesIsRefused) {
    vdev const narrow = sink("queues=1");
    lagg_port lagg("policy=loadbalance," + members());
    ASSERT_TRUE(lagg.ok());
    lagg.start(2);
    auto const found = look_at(narrow.port());
    auto const version = lagg.status().version;
    EXPECT_EQ(-EINVAL, rte_pmd_lagg_member_add(lagg.id(), narrow.port(), 10'000));
    EXPECT_EQ(version, lagg.status().version);
    EXPECT_TRUE(found == look_at(narrow.port()));
    expect_usable(narrow.port());
}

TEST_F(Faults, AnAsynchronousRefusalIsToldOnce) {
    lagg_port lagg("policy=loadbalance," + members());
    ASSERT_TRUE(lagg.ok());
    lagg.start();
    event_list told(lagg.id());
    ASSERT_EQ(0, rte_pmd_wire_fail_op(late.port(), RTE_PMD_WIRE_OP_START, EIO, 1));
    int const rc = rte_pmd_lagg_member_add(lagg.id(), late.port(), 0);
    EXPECT_TRUE(rc == -EINPROGRESS || rc == -EIO) << rc << ": not yet, or so soon that it is known";
    ASSERT_TRUE(told.until(late.port(), RTE_PMD_LAGG_EVENT_MEMBER_REFUSED));
    lagg.settle();
    EXPECT_EQ(std::vector{RTE_PMD_LAGG_EVENT_MEMBER_REFUSED}, told.types_of(late.port()));
    EXPECT_EQ(-EIO, told.all().back().error);
    EXPECT_EQ("", owner_of(late.port()));
    expect_usable(late.port());
}

TEST_F(Faults, AMemberWhoseStopFailsIsGivenBackAllTheSame) {
    lagg_port lagg("policy=loadbalance," + members() + ",member=" + late.name());
    ASSERT_TRUE(lagg.ok());
    lagg.start();
    ASSERT_EQ(0, rte_pmd_wire_fail_op(late.port(), RTE_PMD_WIRE_OP_STOP, EIO, 1));
    lagg.remove(late.port());
    EXPECT_EQ("", owner_of(late.port()));
    std::uint64_t const bursts = rte_pmd_wire_burst_count(late.port());
    EXPECT_EQ(64, send(lagg.id(), frames(64)));
    EXPECT_EQ(bursts, rte_pmd_wire_burst_count(late.port()));
    ASSERT_EQ(0, rte_eth_dev_stop(late.port()));
    expect_usable(late.port());
}

TEST_F(Faults, TheLaggStopsAlthoughAMembersStopFails) {
    lagg_port lagg("policy=loadbalance," + members());
    ASSERT_TRUE(lagg.ok());
    lagg.start();
    ASSERT_EQ(0, rte_pmd_wire_fail_op(a.port(), RTE_PMD_WIRE_OP_STOP, EIO, 1));
    ASSERT_EQ(0, rte_eth_dev_stop(lagg.id()));
    EXPECT_FALSE(lagg.status().started);
    EXPECT_EQ(0, rte_eth_devices[b.port()].data->dev_started);
    ASSERT_EQ(0, rte_eth_dev_start(lagg.id())) << "it takes the device in as it is";
    EXPECT_EQ(64, send(lagg.id(), frames(64)));
    EXPECT_LT(0u, rte_pmd_wire_sent(a.port()));
}

TEST_F(Faults, AMemberThatIsOwnedOrRunsIsRefused) {
    rte_eth_dev_owner mine{};
    ASSERT_EQ(0, rte_eth_dev_owner_new(&mine.id));
    std::snprintf(mine.name, sizeof mine.name, "somebody");
    ASSERT_EQ(0, rte_eth_dev_owner_set(late.port(), &mine));
    lagg_port lagg("policy=loadbalance," + members());
    ASSERT_TRUE(lagg.ok());
    lagg.start();
    EXPECT_EQ(-EBUSY, rte_pmd_lagg_member_add(lagg.id(), late.port(), 10'000));
    EXPECT_EQ("somebody", owner_of(late.port()));
    ASSERT_EQ(0, rte_eth_dev_owner_unset(late.port(), mine.id));
    bring_up(late.port());
    EXPECT_EQ(-EBUSY, rte_pmd_lagg_member_add(lagg.id(), late.port(), 10'000));
    EXPECT_EQ("", owner_of(late.port()));
    EXPECT_EQ(4, send(late.port(), frames(4))) << "it runs on";
    ASSERT_EQ(0, rte_eth_dev_stop(late.port()));
    lagg.add(late.port());
}

// Options

struct BadOptions : Faults {};

TEST_F(BadOptions, R9AreRefusedAndTheOldOnesStayInForce) {
    lagg_port lagg("policy=roundrobin,stride=2," + members());
    ASSERT_TRUE(lagg.ok());
    lagg.start();
    traffic running(lagg.id());
    running.flows();
    auto const then = summary(lagg.status());
    auto const refused = [&](int rc, int wanted, char const* what) {
        EXPECT_EQ(wanted, rc) << what;
        EXPECT_EQ(then, summary(lagg.status())) << what;
    };
    refused(rte_pmd_lagg_stride_set(lagg.id(), 0), -EINVAL, "R19: stride 0");
    refused(rte_pmd_lagg_stride_set(lagg.id(), 65536), -EINVAL, "stride 65536");
    refused(rte_pmd_lagg_hash_set(lagg.id(), 0), -EINVAL, "hash of nothing");
    refused(rte_pmd_lagg_hash_set(lagg.id(), 8), -EINVAL, "hash of something unknown");
    refused(rte_pmd_lagg_policy_set(lagg.id(), static_cast<rte_pmd_lagg_policy>(7)), -EINVAL,
            "policy 7");
    refused(rte_pmd_lagg_policy_set(lagg.id(), static_cast<rte_pmd_lagg_policy>(6)), -EINVAL,
            "policy 6");
    refused(rte_pmd_lagg_min_links_set(lagg.id(), 33), -EINVAL, "min_links 33");
    refused(rte_pmd_lagg_delays_set(lagg.id(), 60001, 0), -EINVAL, "up_delay 60001");
    refused(rte_pmd_lagg_delays_set(lagg.id(), 0, 60001), -EINVAL, "down_delay 60001");
    refused(rte_pmd_lagg_delays_set(lagg.id(), UINT32_MAX, 0), -EINVAL, "up_delay of 49 days");
    refused(rte_pmd_lagg_failback_set(lagg.id(), RTE_PMD_LAGG_FAILBACK_ALWAYS, 60001), -EINVAL,
            "hold 60001");
    refused(rte_pmd_lagg_failback_set(lagg.id(), static_cast<rte_pmd_lagg_failback>(3), 0), -EINVAL,
            "failback 3");
    refused(rte_pmd_lagg_weight_set(lagg.id(), a.name().c_str(), 256), -EINVAL, "weight 256");
    refused(rte_pmd_lagg_weight_set(lagg.id(), "", 1), -EINVAL, "weight of nobody");
    refused(rte_pmd_lagg_weight_set(lagg.id(), nullptr, 1), -EINVAL, "weight of nobody");
    refused(rte_pmd_lagg_primary_set(lagg.id(), std::string(64, 'x').c_str()), -EINVAL,
            "primary with a long name");
    running.stop();
    EXPECT_EQ(0u, running.wrong());
    EXPECT_EQ(running.offered(), running.taken());
    EXPECT_EQ(running.taken(), rte_pmd_wire_sent(a.port()) + rte_pmd_wire_sent(b.port()));
    auto const difference = static_cast<std::int64_t>(rte_pmd_wire_sent(a.port())) -
                            static_cast<std::int64_t>(rte_pmd_wire_sent(b.port()));
    EXPECT_LE(std::abs(difference), 2) << "roundrobin by two all the time";
}

TEST_F(BadOptions, AreRefusedForPortsThatAreNoLagg) {
    EXPECT_EQ(-ENODEV, rte_pmd_lagg_policy_set(a.port(), RTE_PMD_LAGG_POLICY_NONE));
    EXPECT_EQ(-ENODEV, rte_pmd_lagg_stride_set(RTE_MAX_ETHPORTS, 1));
    rte_pmd_lagg_status s{};
    EXPECT_EQ(-ENODEV, rte_pmd_lagg_status_get(a.port(), &s));
    lagg_port lagg("policy=loadbalance");
    ASSERT_TRUE(lagg.ok());
    EXPECT_EQ(-EINVAL, rte_pmd_lagg_status_get(lagg.id(), nullptr));
    EXPECT_EQ(-EINVAL, rte_pmd_lagg_member_add(lagg.id(), RTE_MAX_ETHPORTS, 10'000));
    EXPECT_EQ(-ENOENT, rte_pmd_lagg_member_remove(lagg.id(), a.port(), 10'000));
}

TEST_F(BadOptions, D17TheDocumentedDevargsAreTaken) {
    lagg_port lagg("policy=failover,lsc_poll_period_ms=7,up_delay=11,down_delay=13," + members());
    ASSERT_TRUE(lagg.ok());
    auto const s = lagg.status();
    EXPECT_EQ(11u, s.up_delay_ms);
    EXPECT_EQ(13u, s.down_delay_ms);
    lagg.start();
    lagg.until([](auto const& now) { return now.link_up; });
    EXPECT_EQ(8, send(lagg.id(), frames(8)));
}

TEST_F(BadOptions, ALaggWithBadDevargsIsNotCreatedAndItsMembersAreFree) {
    for (char const* const bad :
         {"policy=lacpp", "policy=loadbalance,stride=0", "mac=01:00:00:00:00:01", "up_delay=-1",
          "min_links=33", "nonsense=1", "hash=l5"}) {
        lagg_port lagg(std::string(bad) + "," + members());
        EXPECT_EQ(-EINVAL, lagg.rc()) << bad;
        EXPECT_EQ("", owner_of(a.port())) << bad;
    }
    expect_usable(a.port());
    lagg_port lagg(members());
    EXPECT_TRUE(lagg.ok());
}

TEST_F(BadOptions, ALaggWhoseSecondMemberIsRefusedIsNotCreatedAndTheFirstIsFree) {
    bring_up(b.port());
    auto const found = look_at(a.port());
    {
        lagg_port lagg(members());
        EXPECT_EQ(-EBUSY, lagg.rc());
    }
    EXPECT_TRUE(found == look_at(a.port()));
    expect_usable(a.port());
    EXPECT_EQ("", owner_of(b.port()));
    EXPECT_EQ(4, send(b.port(), frames(4))) << "it runs on";
}

} // namespace
} // namespace lagg::test
