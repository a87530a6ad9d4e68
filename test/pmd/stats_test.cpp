// Counters: they agree with what was sent, name each reason of a loss, and never go back.
#include "fixture.h"
#include "traffic.h"

#include <algorithm>
#include <array>
#include <map>

namespace lagg::test {
namespace {

using all_counters = std::map<std::string, std::uint64_t>;

/// Generic counters and xstats of a port by name.
all_counters read_all(std::uint16_t port) {
    int const n = rte_eth_xstats_get_names(port, nullptr, 0);
    EXPECT_LT(0, n);
    std::vector<rte_eth_xstat_name> names(static_cast<std::size_t>(n));
    std::vector<rte_eth_xstat> values(names.size());
    EXPECT_EQ(n, rte_eth_xstats_get_names(port, names.data(), static_cast<unsigned>(n)));
    EXPECT_EQ(n, rte_eth_xstats_get(port, values.data(), static_cast<unsigned>(n)));
    all_counters out;
    for (auto const& v : values) {
        out[names[v.id].name] = v.value;
    }
    EXPECT_EQ(static_cast<std::size_t>(n), out.size()) << "each name once";
    return out;
}

bool is_gauge(std::string const& name) {
    return name == "snapshots_live" || name == "queues_in_burst" || name == "fence_is_membarrier";
}

/// No counter went back, none is gone.
void expect_no_step_back(all_counters const& then, all_counters const& now) {
    for (auto const& [name, value] : then) {
        auto const at = now.find(name);
        ASSERT_NE(now.end(), at) << name;
        if (!is_gauge(name)) {
            EXPECT_LE(value, at->second) << name;
        }
    }
}

void receive_at_far(wire_pair const& w, std::uint16_t queue = 0) {
    receive_all(w.far.port(), queue);
}

struct Stats : testing::Test {
    unsigned before = pool_level();
    vdev a = sink();
    vdev b = sink();
    std::string members() const { return "member=" + a.name() + ",member=" + b.name(); }
    void TearDown() override { EXPECT_EQ(before, pool_level()); }
    static std::string of(vdev const& v, char const* what) {
        return "member_" + v.name() + "_" + what;
    }
};

TEST_F(Stats, B1FramesAndBytesAreExact) {
    lagg_port lagg("policy=loadbalance," + members());
    ASSERT_TRUE(lagg.ok());
    lagg.start();
    EXPECT_EQ(2, send(lagg.id(), frames(2, 0, 142)));
    auto s = lagg.stats();
    EXPECT_EQ(2u, s.opackets);
    EXPECT_EQ(284u, s.obytes);
    EXPECT_EQ(100, send(lagg.id(), frames(100)));
    s = lagg.stats();
    EXPECT_EQ(102u, s.opackets);
    EXPECT_EQ(284u + 6400u, s.obytes);
    EXPECT_EQ(0u, s.oerrors);
    EXPECT_EQ(102u, lagg.xstat(of(a, "tx_packets")) + lagg.xstat(of(b, "tx_packets")));
    EXPECT_EQ(s.obytes, lagg.xstat(of(a, "tx_bytes")) + lagg.xstat(of(b, "tx_bytes")));
    for (vdev const* v : {&a, &b}) {
        rte_eth_stats device{};
        ASSERT_EQ(0, rte_eth_stats_get(v->port(), &device));
        EXPECT_EQ(device.opackets, lagg.xstat(of(*v, "tx_packets")));
        EXPECT_EQ(device.obytes, lagg.xstat(of(*v, "tx_bytes")));
    }
}

TEST_F(Stats, OfReceptionAreExactToo) {
    wire_pair x = wire();
    wire_pair y = wire();
    {
        lagg_port lagg("policy=loadbalance,member=" + x.near.name() + ",member=" + y.near.name());
        ASSERT_TRUE(lagg.ok());
        lagg.start();
        EXPECT_EQ(10, send(x.far.port(), frames(10)));
        EXPECT_EQ(7, send(y.far.port(), frames(7, 0, 200)));
        EXPECT_EQ(17u, receive_all(lagg.id()));
        auto const s = lagg.stats();
        EXPECT_EQ(17u, s.ipackets);
        EXPECT_EQ(640u + 1400u, s.ibytes);
        EXPECT_EQ(10u, lagg.xstat(of(x.near, "rx_packets")));
        EXPECT_EQ(640u, lagg.xstat(of(x.near, "rx_bytes")));
        EXPECT_EQ(7u, lagg.xstat(of(y.near, "rx_packets")));
        EXPECT_EQ(1400u, lagg.xstat(of(y.near, "rx_bytes")));
    }
}

TEST_F(Stats, OfQueuesAddUpToThoseOfThePort) {
    lagg_port lagg("policy=loadbalance," + members());
    ASSERT_TRUE(lagg.ok());
    lagg.start(3);
    EXPECT_EQ(5, send(lagg.id(), frames(5), 0));
    EXPECT_EQ(6, send(lagg.id(), frames(6), 1));
    EXPECT_EQ(7, send(lagg.id(), frames(7), 2));
    auto const s = lagg.stats();
    EXPECT_EQ(18u, s.opackets);
    auto const x = read_all(lagg.id());
    EXPECT_EQ(5u, x.at("tx_q0_packets"));
    EXPECT_EQ(6u, x.at("tx_q1_packets"));
    EXPECT_EQ(7u, x.at("tx_q2_packets"));
#if RTE_VERSION < RTE_VERSION_NUM(25, 11, 0, 0) // later, xstats alone tell of queues
    EXPECT_EQ(5u, s.q_opackets[0]);
    EXPECT_EQ(6u, s.q_opackets[1]);
    EXPECT_EQ(7u, s.q_opackets[2]);
    EXPECT_EQ(0u, s.q_opackets[3]);
#endif
}

TEST_F(Stats, BroadcastCountsAFrameOnceAndItsBytesOnEachMember) {
    lagg_port lagg("policy=broadcast," + members());
    ASSERT_TRUE(lagg.ok());
    lagg.start();
    EXPECT_EQ(10, send(lagg.id(), frames(10)));
    EXPECT_EQ(10u, lagg.stats().opackets);
    EXPECT_EQ(1280u, lagg.stats().obytes);
    EXPECT_EQ(10u, lagg.xstat(of(a, "tx_packets")));
    EXPECT_EQ(10u, lagg.xstat(of(b, "tx_packets")));
    EXPECT_EQ(0u, lagg.xstat("tx_dropped_copy_refused"));
    ASSERT_EQ(0, rte_pmd_wire_refuse(b.port(), 4));
    EXPECT_EQ(10, send(lagg.id(), frames(10)));
    EXPECT_EQ(20u, lagg.xstat(of(a, "tx_packets")));
    EXPECT_EQ(14u, lagg.xstat(of(b, "tx_packets")));
    EXPECT_EQ(6u, lagg.xstat("tx_dropped_copy_refused"));
    EXPECT_EQ(20u, lagg.stats().opackets);
    EXPECT_EQ(0u, lagg.xstat("tx_given_back"));
}

TEST_F(Stats, FramesGivenBackAreCountedAndNotAsSent) {
    lagg_port lagg("policy=failover,member=" + a.name());
    ASSERT_TRUE(lagg.ok());
    lagg.start();
    ASSERT_EQ(0, rte_pmd_wire_refuse(a.port(), 3));
    EXPECT_EQ(3, send(lagg.id(), frames(10)));
    EXPECT_EQ(7u, lagg.xstat("tx_given_back"));
    EXPECT_EQ(3u, lagg.stats().opackets);
    EXPECT_EQ(3u, lagg.xstat(of(a, "tx_packets")));
    EXPECT_EQ(0u, lagg.xstat("tx_bursts_without_member"));
    lagg.remove(a.port());
    EXPECT_EQ(0, send(lagg.id(), frames(10)));
    EXPECT_EQ(0, send(lagg.id(), frames(10)));
    EXPECT_EQ(2u, lagg.xstat("tx_bursts_without_member")) << "bursts, not frames";
    EXPECT_EQ(3u, lagg.stats().opackets);
}

TEST_F(Stats, D8R17NothingGoesBackWhenMembersLeaveAndReturn) {
    lagg_port lagg("policy=roundrobin," + members());
    ASSERT_TRUE(lagg.ok());
    lagg.start();
    EXPECT_EQ(32, send(lagg.id(), frames(32)));
    auto last = read_all(lagg.id());
    auto const step = [&] {
        auto now = read_all(lagg.id());
        expect_no_step_back(last, now);
        last = std::move(now);
    };
    lagg.remove(a.port());
    step();
    EXPECT_EQ(32u, lagg.stats().opackets);
    EXPECT_EQ(2048u, lagg.stats().obytes);
    EXPECT_EQ(16u, lagg.xstat(of(a, "tx_packets"))) << "kept after it left";
    EXPECT_EQ(1024u, lagg.xstat(of(a, "tx_bytes")));
    EXPECT_EQ(32, send(lagg.id(), frames(32)));
    step();
    // Whatever the port counts on its own account is not ours.
    bring_up(a.port());
    EXPECT_EQ(50, send(a.port(), frames(50)));
    ASSERT_EQ(0, rte_eth_dev_stop(a.port()));
    EXPECT_EQ(16u, lagg.xstat(of(a, "tx_packets")));
    lagg.add(a.port());
    step();
    EXPECT_EQ(64u, lagg.stats().opackets);
    EXPECT_EQ(4096u, lagg.stats().obytes);
    EXPECT_EQ(32, send(lagg.id(), frames(32)));
    step();
    EXPECT_EQ(96u, lagg.stats().opackets);
    EXPECT_EQ(6144u, lagg.stats().obytes);
    EXPECT_EQ(32u, lagg.xstat(of(a, "tx_packets"))) << "it goes on where it was";
    EXPECT_EQ(64u, lagg.xstat(of(b, "tx_packets")));
}

TEST_F(Stats, R17NothingGoesBackOverAPolicySwitchARestartAndOtherQueues) {
    lagg_port lagg("policy=roundrobin," + members());
    ASSERT_TRUE(lagg.ok());
    lagg.start(2);
    EXPECT_EQ(32, send(lagg.id(), frames(32), 0));
    EXPECT_EQ(32, send(lagg.id(), frames(32), 1));
    auto last = read_all(lagg.id());
    auto const step = [&](bool same_queues = true) {
        auto now = read_all(lagg.id());
        if (same_queues) {
            expect_no_step_back(last, now);
        }
        last = std::move(now);
    };
    ASSERT_EQ(0, rte_pmd_lagg_policy_set(lagg.id(), RTE_PMD_LAGG_POLICY_FAILOVER));
    EXPECT_EQ(32, send(lagg.id(), frames(32), 1));
    step();
    ASSERT_EQ(0, rte_eth_dev_stop(lagg.id()));
    step();
    EXPECT_EQ(96u, lagg.stats().opackets);
    ASSERT_EQ(0, rte_eth_dev_start(lagg.id()));
    step();
    EXPECT_EQ(96u * 64u, lagg.stats().obytes);
    ASSERT_EQ(0, rte_eth_dev_stop(lagg.id()));
    lagg.start(1);
    step(false);
    EXPECT_EQ(96u, lagg.stats().opackets);
    EXPECT_EQ(32u, lagg.xstat("tx_q0_packets"));
#if RTE_VERSION < RTE_VERSION_NUM(25, 11, 0, 0)
    EXPECT_EQ(64u, lagg.stats().q_opackets[1]) << "a queue that is gone keeps its part";
#endif
    EXPECT_EQ(32, send(lagg.id(), frames(32)));
    step();
    EXPECT_EQ(128u, lagg.stats().opackets);
    EXPECT_EQ(128u * 64u, lagg.stats().obytes);
    EXPECT_EQ(64u, lagg.xstat("tx_q0_packets"));
}

TEST_F(Stats, AResetStartsFromZeroAndLaterValuesAreRight) {
    lagg_port lagg("policy=roundrobin," + members());
    ASSERT_TRUE(lagg.ok());
    lagg.start(2);
    EXPECT_EQ(32, send(lagg.id(), frames(32), 1));
    ASSERT_EQ(0, rte_pmd_wire_refuse(a.port(), 1));
    EXPECT_GT(32, send(lagg.id(), frames(32)));
    ASSERT_EQ(0, rte_pmd_wire_refuse(a.port(), UINT32_MAX));
    rte_eth_stats device{};
    ASSERT_EQ(0, rte_eth_stats_get(a.port(), &device));
    std::uint64_t const kept = device.opackets;
    ASSERT_EQ(0, rte_eth_stats_reset(lagg.id()));
    for (auto const& [name, value] : read_all(lagg.id())) {
        if (!is_gauge(name) && name != "snapshot_version") {
            EXPECT_EQ(0u, value) << name;
        }
    }
    ASSERT_EQ(0, rte_eth_stats_get(a.port(), &device));
    EXPECT_EQ(kept, device.opackets) << "the members' own are left alone";

    EXPECT_EQ(10, send(lagg.id(), frames(10), 1));
    auto s = lagg.stats();
    EXPECT_EQ(10u, s.opackets);
    EXPECT_EQ(640u, s.obytes);
    EXPECT_EQ(0u, lagg.xstat("tx_q0_packets"));
    EXPECT_EQ(10u, lagg.xstat("tx_q1_packets"));
    EXPECT_EQ(5u, lagg.xstat(of(a, "tx_packets")));
    lagg.remove(a.port());
    EXPECT_EQ(10u, lagg.stats().opackets);
    EXPECT_EQ(640u, lagg.stats().obytes);
    EXPECT_EQ(5u, lagg.xstat(of(a, "tx_packets")));
    ASSERT_EQ(0, rte_eth_xstats_reset(lagg.id()));
    EXPECT_EQ(0u, lagg.xstat(of(a, "tx_packets"))) << "also of one that left";
}

TEST_F(Stats, AMembersOwnResetNeverLowersOurs) {
    lagg_port lagg("policy=roundrobin," + members());
    ASSERT_TRUE(lagg.ok());
    lagg.start();
    EXPECT_EQ(32, send(lagg.id(), frames(32)));
    EXPECT_EQ(2048u, lagg.stats().obytes);
    ASSERT_EQ(0, rte_eth_stats_reset(a.port()));
    EXPECT_EQ(2048u, lagg.stats().obytes);
    EXPECT_EQ(32u, lagg.stats().opackets);
    EXPECT_EQ(8, send(lagg.id(), frames(8)));
    EXPECT_EQ(2048u + 512u, lagg.stats().obytes);
    ASSERT_EQ(0, rte_eth_stats_reset(a.port()));
    ASSERT_EQ(0, rte_eth_stats_reset(b.port()));
    lagg.remove(a.port());
    EXPECT_EQ(2048u + 512u, lagg.stats().obytes);
    EXPECT_EQ(20u * 64u, lagg.xstat(of(a, "tx_bytes")));
}

TEST_F(Stats, WhatAMemberMissedOrCouldNotSendIsOurs) {
    wire_pair x = wire("ring=8,full=drop");
    vdev const lossy = sink("down=drop,lsc=0");
    {
        lagg_port lagg("policy=failover,lsc_poll_period_ms=60000,member=" + x.near.name() +
                       ",member=" + lossy.name());
        ASSERT_TRUE(lagg.ok());
        lagg.start();
        EXPECT_EQ(20, send(x.far.port(), frames(20)));
        EXPECT_EQ(8u, receive_all(lagg.id()));
        auto const missed = counters_of(x.near.port()).missed;
        EXPECT_EQ(12u, missed);
        EXPECT_EQ(missed, lagg.stats().imissed);
        EXPECT_EQ(missed, lagg.xstat(of(x.near, "rx_missed")));
        ASSERT_EQ(0, rte_pmd_lagg_primary_set(lagg.id(), lossy.name().c_str()));
        ASSERT_EQ(0, rte_pmd_wire_cut(lossy.port()));
        EXPECT_EQ(9, send(lagg.id(), frames(9)));
        EXPECT_EQ(9u, lagg.stats().oerrors);
        EXPECT_EQ(9u, lagg.xstat(of(lossy, "tx_errors")));
        lagg.remove(lossy.port());
        lagg.remove(x.near.port());
        EXPECT_EQ(9u, lagg.stats().oerrors);
        EXPECT_EQ(12u, lagg.stats().imissed);
    }
}

TEST_F(Stats, WhatADeviceReceivedIsHandedUpOrNamedAsDropped) {
    wire_pair x = wire();
    wire_pair y = wire("fixed_mac=1");
    {
        lagg_port lagg("policy=failover,primary=" + y.near.name() + ",member=" + x.near.name() +
                       ",member=" + y.near.name());
        ASSERT_TRUE(lagg.ok());
        lagg.start();
        auto foreign = frames(5);
        for (rte_mbuf* const m : foreign) {
            rte_pktmbuf_mtod(m, std::uint8_t*)[0] = 0x02;
        }
        EXPECT_EQ(5, send(y.far.port(), foreign));
        EXPECT_EQ(6, send(y.far.port(), frames(6)));
        EXPECT_EQ(7, send(x.far.port(), frames(7)));
        EXPECT_EQ(6u, receive_all(lagg.id()));
        EXPECT_EQ(6u, lagg.stats().ipackets);
        EXPECT_EQ(5u, lagg.xstat("rx_dropped_foreign_unicast"));
        EXPECT_EQ(7u, lagg.xstat("rx_dropped_not_collecting"));
        EXPECT_EQ(0u, lagg.xstat("rx_dropped_drain_no_room"));
        EXPECT_EQ(18u, counters_of(x.near.port()).received + counters_of(y.near.port()).received);
        EXPECT_EQ(11u, lagg.xstat(of(y.near, "rx_packets")));
        EXPECT_EQ(7u, lagg.xstat(of(x.near, "rx_packets")));
        EXPECT_EQ(18u * 64u, lagg.stats().ibytes) << "bytes include what was dropped afterwards";
    }
}

TEST_F(Stats, FramesOfLeavingMembersWaitForRoomAndAreCountedAsMissedWhenThereIsNone) {
    std::array wires{wire("ring=4096"), wire("ring=4096")};
    for (bool const both : {false, true}) {
        lagg_port lagg("policy=loadbalance,member=" + wires[0].near.name() +
                       ",member=" + wires[1].near.name());
        ASSERT_TRUE(lagg.ok());
        rte_eth_conf const conf{};
        ASSERT_EQ(0, rte_eth_dev_configure(lagg.id(), 1, 1, &conf));
        ASSERT_EQ(0, rte_eth_rx_queue_setup(lagg.id(), 0, 4096, SOCKET_ID_ANY, nullptr, pool()));
        ASSERT_EQ(0, rte_eth_tx_queue_setup(lagg.id(), 0, 512, SOCKET_ID_ANY, nullptr));
        ASSERT_EQ(0, rte_eth_dev_start(lagg.id()));
        std::size_t crossed = 0;
        for (std::size_t w = 0; w < (both ? 2U : 1U); ++w) {
            for (int i = 0; i < 95; ++i) {
                crossed += send(wires[w].far.port(), frames(32));
            }
        }
        ASSERT_EQ(both ? 6080u : 3040u, crossed);
        for (wire_pair const& w : wires) {
            lagg.remove(w.near.port());
        }
        std::size_t got = 0;
        wait_until(
            [&] {
                got += receive_all(lagg.id());
                return got + lagg.xstat("rx_dropped_drain_no_room") == crossed;
            },
            "every frame");
        std::uint64_t const lost = lagg.xstat("rx_dropped_drain_no_room");
        EXPECT_EQ(both ? 6080u - 1024u - 4096u : 0u, lost);
        EXPECT_EQ(lost, lagg.stats().imissed);
        EXPECT_EQ(got, lagg.stats().ipackets);
    }
}

TEST_F(Stats, WhatWaitsInAMemberThatLeavesIsDeliveredAndCountedOnce) {
    wire_pair x = wire();
    {
        lagg_port lagg("policy=loadbalance,member=" + x.near.name());
        ASSERT_TRUE(lagg.ok());
        lagg.start();
        EXPECT_EQ(30, send(x.far.port(), frames(30)));
        lagg.remove(x.near.port());
        EXPECT_EQ(30u, receive_all(lagg.id()));
        EXPECT_EQ(30u, lagg.stats().ipackets);
        EXPECT_EQ(30u * 64u, lagg.stats().ibytes);
    }
}

TEST_F(Stats, NamesKeepTheirPlaceWhileMembersComeAndGo) {
    vdev const c = sink();
    lagg_port lagg("policy=roundrobin," + members());
    ASSERT_TRUE(lagg.ok());
    lagg.start();
    auto const id_of = [&](std::string const& name) {
        std::uint64_t id = UINT64_MAX;
        EXPECT_EQ(0, rte_eth_xstats_get_id_by_name(lagg.id(), name.c_str(), &id)) << name;
        return id;
    };
    std::array const names{of(a, "tx_packets"), of(b, "tx_errors"), std::string("tx_given_back")};
    std::array const ids{id_of(names[0]), id_of(names[1]), id_of(names[2])};
    lagg.remove(a.port());
    lagg.add(c.port());
    lagg.add(a.port());
    lagg.remove(b.port());
    for (std::size_t i = 0; i < names.size(); ++i) {
        EXPECT_EQ(ids[i], id_of(names[i])) << names[i];
    }
    EXPECT_LT(id_of(of(b, "tx_errors")), id_of(of(c, "rx_packets")));
}

TEST_F(Stats, AllPortsThatWereEverMembersStayInTheSums) {
    lagg_port lagg("policy=failover");
    ASSERT_TRUE(lagg.ok());
    lagg.start();
    std::uint64_t total = 0;
    for (int i = 0; i < 80; ++i) {
        vdev const passing = sink();
        lagg.add(passing.port());
        total += send(lagg.id(), frames(2));
        lagg.remove(passing.port());
        ASSERT_EQ(total, lagg.stats().opackets);
        ASSERT_EQ(total * 64, lagg.stats().obytes);
    }
    EXPECT_EQ(160u, total);
}

TEST_F(Stats, R17SampledUnderTrafficAndChangesNothingEverGoesBack) {
    wire_pair x = wire();
    wire_pair y = wire();
    {
        lagg_port lagg("policy=loadbalance,member=" + x.near.name() + ",member=" + y.near.name());
        ASSERT_TRUE(lagg.ok());
        lagg.start();
        traffic running(lagg.id());
        std::atomic<bool> stop{false};
        std::thread sampler([&] {
            auto last = read_all(lagg.id());
            auto first = lagg.stats();
            while (!stop) {
                auto now = read_all(lagg.id());
                expect_no_step_back(last, now);
                last = std::move(now);
                auto const s = lagg.stats();
                EXPECT_LE(first.opackets, s.opackets);
                EXPECT_LE(first.obytes, s.obytes);
                EXPECT_LE(first.ipackets, s.ipackets);
                EXPECT_LE(first.ibytes, s.ibytes);
                first = s;
                receive_at_far(x);
                receive_at_far(y);
                send(x.far.port(), frames(4));
                send(y.far.port(), frames(4));
                std::this_thread::yield();
            }
        });
        std::array const policies{RTE_PMD_LAGG_POLICY_ROUNDROBIN, RTE_PMD_LAGG_POLICY_BROADCAST,
                                  RTE_PMD_LAGG_POLICY_FAILOVER, RTE_PMD_LAGG_POLICY_LOADBALANCE};
        for (int i = 0; i < 16; ++i) {
            running.rounds(1);
            switch (i % 4) {
            case 0: lagg.remove(x.near.port()); break;
            case 1: ASSERT_EQ(0, rte_pmd_lagg_policy_set(lagg.id(), policies[i / 4 % 4])); break;
            case 2: lagg.add(x.near.port()); break;
            case 3: ASSERT_EQ(0, rte_eth_stats_reset(y.near.port())); break;
            }
        }
        running.stop();
        stop = true;
        sampler.join();
        EXPECT_EQ(0u, running.wrong());
        EXPECT_EQ(running.taken(), lagg.stats().opackets);
        receive_at_far(x);
        receive_at_far(y);
        std::size_t const late = receive_all(lagg.id());
        EXPECT_EQ(running.received() + late, lagg.stats().ipackets);
    }
}

} // namespace
} // namespace lagg::test
