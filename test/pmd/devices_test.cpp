// Lagg ports as devices: how they come, how they go, and in which order.
#include "traffic.h"

#include <array>

namespace lagg::test {
namespace {

struct Devices : testing::Test {
    unsigned before = pool_level();
    unsigned ports = rte_eth_dev_count_total();
    void TearDown() override {
        EXPECT_EQ(before, pool_level());
        EXPECT_EQ(ports, rte_eth_dev_count_total());
    }
};

TEST_F(Devices, ABadNameIsRefused) {
    std::string const long_name = "net_lagg" + std::string(RTE_PMD_LAGG_NAME_LEN, '1');
    for (char const* const name : {static_cast<char const*>(nullptr), "", "lagg0", "net_ring0",
                                   "net_lag", "NET_LAGG0", long_name.c_str()}) {
        EXPECT_EQ(-EINVAL, rte_pmd_lagg_create(name, "")) << (name == nullptr ? "null" : name);
        EXPECT_EQ(ports, rte_eth_dev_count_total());
    }
}

TEST_F(Devices, BadArgumentsAreRefusedAndLeaveNothingBehind) {
    for (char const* const args :
         {"policy=active-backup", "policy=", "nonsense=1", "stride=0", "stride", "mac=1:2",
          "mac=ff:ff:ff:ff:ff:ff", "min_links=33", "up_delay=-1", "weight=x@0", "hash=l5",
          "policy=roundrobin,policy=none", "queues=0", "member="}) {
        EXPECT_EQ(-EINVAL, rte_pmd_lagg_create("net_lagg500", args)) << args;
        EXPECT_EQ(ports, rte_eth_dev_count_total());
    }
    int const id = rte_pmd_lagg_create("net_lagg500", nullptr);
    ASSERT_GE(id, 0);
    EXPECT_EQ(0, rte_pmd_lagg_destroy(static_cast<std::uint16_t>(id)));
}

TEST_F(Devices, ANameIsTakenOnce) {
    lagg_port const lagg("policy=none");
    ASSERT_TRUE(lagg.ok());
    EXPECT_EQ(-EEXIST, rte_pmd_lagg_create(lagg.name().c_str(), ""));
    EXPECT_EQ(RTE_PMD_LAGG_POLICY_NONE, lagg.status().policy);
}

TEST_F(Devices, WhatIsNoLaggCannotBeDestroyedAsOne) {
    vdev a = sink();
    EXPECT_EQ(-ENODEV, rte_pmd_lagg_destroy(a.port()));
    EXPECT_EQ(-ENODEV, rte_pmd_lagg_destroy(RTE_MAX_ETHPORTS));
    EXPECT_EQ(-ENODEV, rte_pmd_lagg_destroy(65'535));
    lagg_port lagg("");
    auto const id = lagg.id();
    lagg.destroy();
    EXPECT_EQ(-ENODEV, rte_pmd_lagg_destroy(id));
}

TEST_F(Devices, AMemberThatRefusesEndsTheCreationAndTheOthersAreGivenBack) {
    vdev a = sink();
    vdev b = sink();
    bring_up(b.port()); // started: refused
    EXPECT_EQ(-EBUSY,
              rte_pmd_lagg_create(
                  "net_lagg501",
                  ("policy=roundrobin,member=" + a.name() + ",member=" + b.name()).c_str()));
    EXPECT_EQ("", owner_of(a.port()));
    EXPECT_EQ("", owner_of(b.port()));
    EXPECT_EQ(4, send(b.port(), frames(4)));
    EXPECT_EQ(ports + 2, rte_eth_dev_count_total());
    EXPECT_EQ(0, rte_eth_dev_stop(b.port()));
    lagg_port lagg("policy=roundrobin,member=" + a.name() + ",member=" + b.name());
    EXPECT_TRUE(lagg.ok());
}

TEST_F(Devices, ThereAreAsManyAsPortIds) {
    std::vector<std::uint16_t> all;
    for (unsigned i = 0; i <= RTE_MAX_ETHPORTS; ++i) {
        int const id = rte_pmd_lagg_create(("net_lagg6" + std::to_string(i)).c_str(), "");
        if (id < 0) {
            EXPECT_EQ(-ENOSPC, id);
            break;
        }
        all.push_back(static_cast<std::uint16_t>(id));
    }
    EXPECT_EQ(RTE_MAX_ETHPORTS, rte_eth_dev_count_total());
    for (auto const id : all) {
        EXPECT_EQ(0, rte_pmd_lagg_destroy(id));
    }
}

TEST_F(Devices, TwoDoNotKnowEachOther) {
    vdev a = sink();
    vdev b = sink();
    lagg_port one("policy=roundrobin,member=" + a.name());
    lagg_port two("policy=failover,member=" + b.name());
    ASSERT_TRUE(one.ok() && two.ok());
    one.start();
    two.start(2);
    traffic t(one.id());
    for (int i = 0; i < 30; ++i) {
        two.remove(b.port());
        EXPECT_EQ(0, send(two.id(), frames(2), 1));
        two.add(b.port());
        EXPECT_EQ(2, send(two.id(), frames(2), 1));
    }
    two.destroy();
    EXPECT_EQ("", owner_of(b.port()));
    t.flows();
    one.add(b.port());
    t.rounds(2);
    t.stop();
    EXPECT_EQ(t.taken() + 60, rte_pmd_wire_sent(a.port()) + rte_pmd_wire_sent(b.port()));
    EXPECT_EQ(t.offered(), t.taken());
}

TEST_F(Devices, LaggAndMembersGoInAnyOrder) {
    std::array order{0, 1, 2};
    do {
        for (bool const started : {false, true}) {
            vdev a = sink();
            vdev b = sink();
            lagg_port lagg("policy=loadbalance,member=" + a.name() + ",member=" + b.name());
            ASSERT_TRUE(lagg.ok());
            if (started) {
                lagg.start();
                EXPECT_EQ(8, send(lagg.id(), frames(8)));
            }
            bool gone = false;
            std::uint16_t members = 2;
            for (int const what : order) {
                if (what == 0) {
                    lagg.destroy();
                    gone = true;
                } else {
                    vdev& v = what == 1 ? a : b;
                    v.close();
                    --members;
                    if (!gone) {
                        lagg.until([&](auto const& s) { return s.nb_members == members; });
                    }
                }
            }
        }
        EXPECT_EQ(ports, rte_eth_dev_count_total());
    } while (std::next_permutation(order.begin(), order.end()));
}

TEST_F(Devices, SurviveAStormOfCreationAndDestructionWithFlappingMembers) {
    wire_pair x = wire("check=1");
    wire_pair y = wire("check=1");
    std::atomic<bool> quit{false};
    std::atomic<unsigned> flaps{0};
    std::thread flapping([&] {
        while (!quit) {
            rte_pmd_wire_cut(x.near.port());
            rte_pmd_wire_heal(x.near.port());
            rte_pmd_wire_cut(y.far.port());
            rte_pmd_wire_heal(y.far.port());
            ++flaps;
        }
    });
    std::uint64_t taken = 0;
    std::uint64_t arrived = 0;
    char const* const policies[] = {"roundrobin", "loadbalance", "failover", "none"};
    for (int i = 0; i < 200; ++i) {
        lagg_port lagg("policy=" + std::string(policies[i % 4]) + ",lsc_poll_period_ms=1,member=" +
                       x.near.name() + (i % 3 == 0 ? "" : ",member=" + y.near.name()));
        ASSERT_TRUE(lagg.ok());
        lagg.start();
        if (i % 3 == 0) {
            EXPECT_EQ(0, rte_pmd_lagg_member_add(lagg.id(), y.near.port(), 30'000));
        }
        for (std::uint32_t f = 0; f < 4; ++f) {
            taken += send(lagg.id(), frames(8, f * 8));
        }
        if (i % 5 == 0) {
            lagg.remove(x.near.port());
        }
        arrived += receive_all(x.far.port()) + receive_all(y.far.port());
    }
    quit = true;
    flapping.join();
    EXPECT_EQ(taken, arrived);
    EXPECT_GT(flaps, 0u);
    EXPECT_EQ("", owner_of(x.near.port()));
    EXPECT_EQ("", owner_of(y.near.port()));
    EXPECT_EQ(0u, rte_pmd_wire_in_burst_violation_count(x.near.port()));
    EXPECT_EQ(0u, rte_pmd_wire_in_burst_violation_count(y.near.port()));
}

} // namespace
} // namespace lagg::test
