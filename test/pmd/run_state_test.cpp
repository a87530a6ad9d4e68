// Start, stop and the administrative state.
#include "traffic.h"

namespace lagg::test {
namespace {

struct RunState : testing::Test {
    unsigned before = pool_level();
    void TearDown() override { EXPECT_EQ(before, pool_level()); }
};

TEST_F(RunState, MarksItsQueuesAsStartedAndStopped) {
    vdev const member = sink();
    lagg_port lagg("policy=loadbalance,member=" + member.name());
    ASSERT_TRUE(lagg.ok());
    lagg.start();
    rte_eth_rxq_info rx{};
    rte_eth_txq_info tx{};
    ASSERT_EQ(0, rte_eth_rx_queue_info_get(lagg.id(), 0, &rx));
    ASSERT_EQ(0, rte_eth_tx_queue_info_get(lagg.id(), 0, &tx));
    EXPECT_EQ(RTE_ETH_QUEUE_STATE_STARTED, rx.queue_state);
    EXPECT_EQ(RTE_ETH_QUEUE_STATE_STARTED, tx.queue_state);
    ASSERT_EQ(0, rte_eth_dev_stop(lagg.id()));
    ASSERT_EQ(0, rte_eth_rx_queue_info_get(lagg.id(), 0, &rx));
    EXPECT_EQ(RTE_ETH_QUEUE_STATE_STOPPED, rx.queue_state);
}

/// The three ways to say it.
int set_admin(std::uint16_t lagg, bool up, int way) {
    if (way == 0) {
        return rte_pmd_lagg_admin_set(lagg, up);
    }
    return up ? rte_eth_dev_set_link_up(lagg) : rte_eth_dev_set_link_down(lagg);
}

TEST_F(RunState, R12AdminDownUnderTrafficAcceptsAndDeliversNothing) {
    wire_pair x = wire("check=1");
    vdev b = sink("check=1");
    for (char const* const policy : {"roundrobin", "loadbalance", "failover", "broadcast"}) {
        lagg_port lagg("policy=" + std::string(policy) + ",member=" + x.near.name() +
                       ",member=" + b.name());
        ASSERT_TRUE(lagg.ok());
        lagg.start();
        auto const starts = counters_of(b.port()).starts;
        traffic t(lagg.id(), {x.far.port()});
        std::uint64_t put_in = 0;
        for (int i = 0; i < 50; ++i) {
            ASSERT_EQ(0, set_admin(lagg.id(), false, i % 2));
            ASSERT_EQ(0, rte_pmd_lagg_barrier(lagg.id(), 30'000));
            auto const taken = t.taken();
            put_in += send(x.far.port(), frames(2));
            // The round that was under way may have counted late; what follows may not move at all.
            t.rounds(1);
            auto const then = t.taken();
            auto const received = t.received();
            auto const bursts =
                rte_pmd_wire_burst_count(x.near.port()) + rte_pmd_wire_burst_count(b.port());
            t.rounds(2);
            EXPECT_LE(then, taken + 16) << policy;
            EXPECT_EQ(then, t.taken()) << policy;
            EXPECT_EQ(received, t.received()) << policy;
            EXPECT_EQ(bursts,
                      rte_pmd_wire_burst_count(x.near.port()) + rte_pmd_wire_burst_count(b.port()))
                << policy;
            auto const s = lagg.status();
            EXPECT_FALSE(s.admin_up);
            EXPECT_FALSE(s.link_up);
            EXPECT_TRUE(s.started);
            ASSERT_EQ(0, set_admin(lagg.id(), true, i % 2));
            EXPECT_TRUE(lagg.status().admin_up);
            t.flows();
        }
        // Without a stop of anybody.
        EXPECT_EQ(starts, counters_of(b.port()).starts);
        t.rounds(2);
        t.stop();
        EXPECT_EQ(put_in, t.received() + receive_all(lagg.id()));
        EXPECT_EQ(0u, t.wrong());
        auto const s = lagg.stats();
        EXPECT_EQ(t.taken(), s.opackets);
        EXPECT_EQ(t.offered() - t.taken(), lagg.xstat("tx_given_back"));
        receive_all(x.far.port());
    }
    EXPECT_EQ(0u, rte_pmd_wire_in_burst_violation_count(x.near.port()));
    EXPECT_EQ(0u, rte_pmd_wire_in_burst_violation_count(b.port()));
}

TEST_F(RunState, AMemberDownWhenAdminComesUpStaysDown) {
    wire_pair x = wire();
    lagg_port lagg("policy=loadbalance,member=" + x.near.name());
    lagg.start();
    lagg.until([](auto const& s) { return s.link_up; });
    ASSERT_EQ(0, rte_pmd_lagg_admin_set(lagg.id(), false));
    EXPECT_FALSE(lagg.status().link_up);
    ASSERT_EQ(0, rte_pmd_wire_cut(x.near.port()));
    ASSERT_EQ(0, rte_pmd_lagg_admin_set(lagg.id(), true));
    lagg.until([](auto const& s) { return !s.members[0].usable; });
    EXPECT_FALSE(lagg.status().link_up);
    ASSERT_EQ(0, rte_pmd_wire_heal(x.near.port()));
    lagg.until([](auto const& s) { return s.link_up; });
    ASSERT_EQ(0, rte_pmd_lagg_admin_set(lagg.id(), false));
    lagg.remove(x.near.port());
    EXPECT_EQ(0, lagg.status().nb_members);
}

TEST_F(RunState, R12StartsAndStopsAsOftenAsOneLikes) {
    vdev a = sink("check=1");
    vdev b = sink("check=1");
    lagg_port lagg("policy=roundrobin,member=" + a.name());
    ASSERT_TRUE(lagg.ok());
    lagg.start();
    std::uint64_t taken = 0;
    for (int i = 0; i < 50; ++i) {
        taken += send(lagg.id(), frames(10));
        EXPECT_EQ(0, rte_eth_dev_stop(lagg.id()));
        EXPECT_FALSE(lagg.status().started);
        EXPECT_FALSE(lagg.status().link_up);
        EXPECT_EQ(0, rte_eth_devices[a.port()].data->dev_started);
        // Members come and go while it is stopped, too.
        if (i % 2 == 0) {
            lagg.add(b.port());
        } else {
            lagg.remove(b.port());
        }
        EXPECT_EQ(0, rte_eth_devices[b.port()].data->dev_started);
        EXPECT_EQ(0, rte_eth_dev_start(lagg.id()));
        EXPECT_TRUE(lagg.status().started);
        EXPECT_EQ(i % 2 == 0 ? 1 : 0, rte_eth_devices[b.port()].data->dev_started);
        lagg.until([](auto const& s) { return s.link_up; });
    }
    EXPECT_EQ(500u, taken);
    EXPECT_EQ(500u, rte_pmd_wire_sent(a.port()) + rte_pmd_wire_sent(b.port()));
    EXPECT_EQ(500u, lagg.stats().opackets);
}

TEST_F(RunState, StartsAgainWithOtherQueueCounts) {
    wire_pair x = wire("", 8);
    vdev b = sink();
    lagg_port lagg("policy=loadbalance,member=" + x.near.name() + ",member=" + b.name());
    ASSERT_TRUE(lagg.ok());
    std::uint64_t taken = 0;
    for (std::uint16_t const queues : {1, 4, 2, 8, 1, 3}) {
        lagg.start(queues);
        lagg.until(
            [](auto const& s) { return s.members[0].distributing && s.members[1].distributing; });
        for (std::uint16_t q = 0; q < queues; ++q) {
            EXPECT_EQ(64, send(lagg.id(), frames(64), q));
            taken += 64;
            EXPECT_EQ(2, send(x.far.port(), frames(2), q));
            EXPECT_EQ(2u, receive_all(lagg.id(), q));
        }
        rte_eth_dev_info info{};
        ASSERT_EQ(0, rte_eth_dev_info_get(b.port(), &info));
        EXPECT_EQ(queues + 1, info.nb_tx_queues) << "one is control's";
        EXPECT_EQ(taken, lagg.stats().opackets);
        EXPECT_EQ(0, rte_eth_dev_stop(lagg.id()));
        for (std::uint16_t q = 0; q < 8; ++q) {
            receive_all(x.far.port(), q);
        }
    }
}

TEST_F(RunState, AFailedStartLeavesAllMembersStoppedAndCanBeRepeated) {
    vdev a = sink();
    vdev b = sink();
    lagg_port lagg("policy=roundrobin,member=" + a.name() + ",member=" + b.name());
    ASSERT_TRUE(lagg.ok());
    lagg.start();
    ASSERT_EQ(0, rte_eth_dev_stop(lagg.id()));
    ASSERT_EQ(0, rte_pmd_wire_fail_op(b.port(), RTE_PMD_WIRE_OP_START, EIO, 1));
    EXPECT_EQ(-EIO, rte_eth_dev_start(lagg.id()));
    EXPECT_FALSE(lagg.status().started);
    EXPECT_EQ(0, rte_eth_devices[a.port()].data->dev_started);
    EXPECT_EQ(0, rte_eth_devices[b.port()].data->dev_started);
    EXPECT_EQ(0, rte_eth_dev_start(lagg.id()));
    EXPECT_EQ(4, send(lagg.id(), frames(4)));
}

TEST_F(RunState, MembersComeAndGoWhileItStartsAndStops) {
    vdev a = sink("check=1");
    vdev b = sink();
    lagg_port lagg("policy=roundrobin,lsc_poll_period_ms=1,member=" + a.name());
    ASSERT_TRUE(lagg.ok());
    lagg.start();
    std::atomic<bool> quit{false};
    std::thread starter([&] {
        while (!quit) {
            EXPECT_EQ(0, rte_eth_dev_stop(lagg.id()));
            EXPECT_EQ(0, rte_eth_dev_start(lagg.id()));
        }
    });
    for (int i = 0; i < 200; ++i) {
        EXPECT_EQ(0, rte_pmd_lagg_member_add(lagg.id(), b.port(), 30'000));
        EXPECT_EQ(0, rte_pmd_lagg_member_remove(lagg.id(), b.port(), 30'000));
        EXPECT_EQ("", owner_of(b.port()));
        EXPECT_EQ(0, rte_eth_devices[b.port()].data->dev_started);
        b.close();
        b = sink();
        ASSERT_TRUE(b.ok());
    }
    quit = true;
    starter.join();
    EXPECT_EQ(4, send(lagg.id(), frames(4)));
    EXPECT_EQ(4u, rte_pmd_wire_sent(a.port()));
}

TEST_F(RunState, StopWinsOverAnAdministratorWhoMeddles) {
    vdev a = sink("check=1");
    ASSERT_EQ(0, rte_pmd_wire_poison_on_stop(a.port(), true));
    lagg_port lagg("policy=roundrobin,member=" + a.name());
    ASSERT_TRUE(lagg.ok());
    lagg.start();
    std::atomic<bool> quit{false};
    std::thread administrator([&] {
        for (unsigned i = 0; !quit; ++i) {
            EXPECT_EQ(0, rte_pmd_lagg_admin_set(lagg.id(), i % 2 == 0));
        }
    });
    for (int i = 0; i < 100; ++i) {
        EXPECT_EQ(0, rte_eth_dev_stop(lagg.id()));
        for (int k = 0; k < 3; ++k) {
            auto const s = lagg.status();
            EXPECT_FALSE(s.started);
            EXPECT_FALSE(s.link_up);
            // Past ethdev, which has taken the burst functions away: nobody may be in there.
            auto* const frame = frames(1)[0];
            rte_mbuf* list[] = {frame};
            EXPECT_EQ(0, pmd::lagg_tx_burst(&tx_queue_of(lagg.id()), list, 1));
            rte_pktmbuf_free(frame);
            lagg.settle();
        }
        EXPECT_EQ(0, rte_eth_dev_start(lagg.id()));
    }
    quit = true;
    administrator.join();
    EXPECT_EQ(0, rte_pmd_lagg_admin_set(lagg.id(), true));
    EXPECT_EQ(4, send(lagg.id(), frames(4)));
}

} // namespace
} // namespace lagg::test
