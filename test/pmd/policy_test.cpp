// What each policy does with frames, and what a change of policy does to traffic.
#include "fixture.h"

#include <array>
#include <cstring>

namespace lagg::test {
namespace {

struct Policies : testing::Test {
    unsigned before = pool_level();
    vdev a = sink();
    vdev b = sink();
    vdev c = sink();

    void TearDown() override { EXPECT_EQ(before, pool_level()); }
    std::string members() const {
        return "member=" + a.name() + ",member=" + b.name() + ",member=" + c.name();
    }
    static std::uint64_t sent(vdev const& v) { return rte_pmd_wire_sent(v.port()); }
};

TEST_F(Policies, RoundrobinGivesEachMemberTheSameNumberOfFrames) {
    lagg_port lagg("policy=roundrobin," + members());
    ASSERT_TRUE(lagg.ok());
    lagg.start();
    for (int i = 0; i < 10; ++i) {
        EXPECT_EQ(30, send(lagg.id(), frames(30)));
    }
    EXPECT_EQ(100u, sent(a));
    EXPECT_EQ(100u, sent(b));
    EXPECT_EQ(100u, sent(c));
}

TEST_F(Policies, LoadbalanceKeepsAFlowOnOneMember) {
    lagg_port lagg("policy=loadbalance," + members());
    ASSERT_TRUE(lagg.ok());
    lagg.start();
    for (int i = 0; i < 10; ++i) {
        auto const was = std::array{sent(a), sent(b), sent(c)};
        auto burst = frames(1, 77);
        auto more = frames(15, 77);
        for (std::size_t k = 0; k < more.size(); ++k) {
            // all of flow 77
            std::memcpy(rte_pktmbuf_mtod(more[k], void*), rte_pktmbuf_mtod(burst[0], void*), 64);
        }
        burst.insert(burst.end(), more.begin(), more.end());
        EXPECT_EQ(16, send(lagg.id(), burst));
        int moved = 0;
        for (auto [now, then] : {std::pair{sent(a), was[0]}, std::pair{sent(b), was[1]},
                 std::pair{sent(c), was[2]}}) {
            EXPECT_TRUE(now == then || now == then + 16);
            moved += now != then;
        }
        EXPECT_EQ(1, moved);
    }
}

TEST_F(Policies, BroadcastPutsEachFrameOnEveryMemberAndCountsItOnce) {
    lagg_port lagg("policy=broadcast," + members());
    ASSERT_TRUE(lagg.ok());
    lagg.start();
    EXPECT_EQ(32, send(lagg.id(), frames(32)));
    EXPECT_EQ(32u, sent(a));
    EXPECT_EQ(32u, sent(b));
    EXPECT_EQ(32u, sent(c));
    EXPECT_EQ(32u, lagg.stats().opackets);
}

TEST_F(Policies, FailoverUsesThePrimaryAlone) {
    lagg_port lagg("policy=failover,primary=" + b.name() + "," + members());
    ASSERT_TRUE(lagg.ok());
    lagg.start();
    EXPECT_EQ(32, send(lagg.id(), frames(32)));
    EXPECT_EQ(0u, sent(a));
    EXPECT_EQ(32u, sent(b));
    EXPECT_EQ(0u, sent(c));
}

TEST_F(Policies, D4ASwitchIsInEffectForTheNextBurstWithoutAStop) {
    lagg_port lagg("policy=roundrobin," + members());
    ASSERT_TRUE(lagg.ok());
    lagg.start();
    EXPECT_EQ(3, send(lagg.id(), frames(3)));
    EXPECT_EQ(3u, sent(a) + sent(b) + sent(c));
    ASSERT_EQ(0, rte_pmd_lagg_policy_set(lagg.id(), RTE_PMD_LAGG_POLICY_BROADCAST));
    EXPECT_EQ(3, send(lagg.id(), frames(3)));
    EXPECT_EQ(12u, sent(a) + sent(b) + sent(c));
}

}  // namespace
}  // namespace lagg::test
