// R16: every answer belongs to one snapshot, and neither the asker nor the writer waits for the
// other.
#include "consistent.h"
#include "traffic.h"

#include "support/seed.h"

#include <random>

namespace lagg::test {
namespace {

struct Status : testing::Test {
    unsigned before = pool_level();
    void TearDown() override { EXPECT_EQ(before, pool_level()); }
};

class askers {
public:
    askers(std::uint16_t lagg, unsigned n) {
        for (unsigned i = 0; i < n; ++i) {
            threads_.emplace_back([this, lagg] {
                std::uint64_t version = 0;
                while (!quit_) {
                    rte_pmd_lagg_status s{};
                    EXPECT_EQ(0, rte_pmd_lagg_status_get(lagg, &s));
                    std::string const wrong = contradiction(s);
                    if (!wrong.empty()) {
                        ADD_FAILURE() << wrong << " in version " << s.version;
                        return;
                    }
                    EXPECT_GE(s.version, version);
                    version = s.version;
                    ++answers_;
                }
            });
        }
    }
    ~askers() { stop(); }
    void stop() {
        quit_ = true;
        for (auto& t : threads_) {
            t.join();
        }
        threads_.clear();
    }
    std::uint64_t answers() const { return answers_; }

private:
    std::atomic<bool> quit_{false};
    std::atomic<std::uint64_t> answers_{0};
    std::vector<std::thread> threads_;
};

TEST_F(Status, R16EveryAnswerAgreesWithItselfWhileEverythingChanges) {
    seed const s;
    std::mt19937_64 random(s);
    std::vector<wire_pair> wires;
    for (char const* const speed : {"speed=1000", "speed=10000", "speed=25000", "speed=40000"}) {
        wires.push_back(wire(speed));
    }
    lagg_port lagg("policy=loadbalance,lsc_poll_period_ms=60000");
    ASSERT_TRUE(lagg.ok());
    lagg.start();
    askers asking(lagg.id(), 2);
    std::uint64_t const policies = 6;
    for (int i = 0; i < 3000; ++i) {
        wire_pair const& w = wires[random() % wires.size()];
        switch (random() % 6) {
        case 0: rte_pmd_lagg_member_add(lagg.id(), w.near.port(), 10'000); break;
        case 1: rte_pmd_lagg_member_remove(lagg.id(), w.near.port(), 10'000); break;
        case 2:
            rte_pmd_lagg_policy_set(lagg.id(),
                                    static_cast<rte_pmd_lagg_policy>(random() % policies));
            break;
        case 3: rte_pmd_wire_cut(w.near.port()); break;
        case 4: rte_pmd_wire_heal(w.near.port()); break;
        case 5: rte_pmd_lagg_admin_set(lagg.id(), random() % 4 != 0); break;
        }
        if (i % 100 == 0) {
            auto const was = asking.answers();
            wait_until([&] { return asking.answers() > was + 2 || testing::Test::HasFailure(); });
        }
    }
    asking.stop();
    EXPECT_GT(asking.answers(), 60u);
}

TEST_F(Status, R16NeitherAParkedBurstNorASlowDeviceDelaysAnAnswer) {
    vdev a = sink();
    vdev slow = sink();
    ASSERT_EQ(0, rte_pmd_wire_slow_start_ms(slow.port(), 300));
    lagg_port lagg("policy=loadbalance,member=" + a.name());
    ASSERT_TRUE(lagg.ok());
    lagg.start();
    event_list const told(lagg.id());
    parked_send burst(lagg.id(), 4, &epoch::cell_hooks::after_pin);
    ASSERT_EQ(-EINPROGRESS, rte_pmd_lagg_member_add(lagg.id(), slow.port(), 0));
    ASSERT_EQ(-EINPROGRESS, rte_pmd_lagg_member_remove(lagg.id(), a.port(), 0));
    for (int i = 0; i < 1000; ++i) {
        EXPECT_EQ("", contradiction(lagg.status()));
    }
    // And others ask and change meanwhile.
    askers asking(lagg.id(), 2);
    for (std::uint32_t i = 0; i < 200; ++i) {
        ASSERT_EQ(0, rte_pmd_lagg_stride_set(lagg.id(), i + 1));
        EXPECT_EQ(i + 1, lagg.status().stride);
    }
    asking.stop();
    EXPECT_STREQ("leaving", lagg.member(a.port()).phase);
    burst.release();
    told.until(slow.port(), RTE_PMD_LAGG_EVENT_MEMBER_JOINED);
    told.until(a.port(), RTE_PMD_LAGG_EVENT_MEMBER_LEFT);
}

TEST_F(Status, R16CanBeAskedWhileThePortIsCreatedAndDestroyed) {
    vdev a = sink();
    std::uint16_t id = 0;
    {
        lagg_port const first("policy=roundrobin");
        id = first.id();
    }
    std::atomic<bool> quit{false};
    std::atomic<unsigned> answers{0};
    std::atomic<unsigned> absent{0};
    std::thread asking([&] {
        rte_mbuf* const frame = frames(1)[0];
        while (!quit) {
            rte_pmd_lagg_status s{};
            int const rc = rte_pmd_lagg_status_get(id, &s);
            if (rc == 0) {
                EXPECT_EQ("", contradiction(s));
                ++answers;
            } else {
                EXPECT_EQ(-ENODEV, rc);
                ++absent;
            }
            auto const member = rte_pmd_lagg_flow_member(id, frame, nullptr);
            EXPECT_TRUE(member == RTE_PMD_LAGG_NO_MEMBER || member == a.port());
        }
        rte_pktmbuf_free(frame);
    });
    for (unsigned i = 0; i < 100 || ((answers < 10 || absent < 10) && i < 5000); ++i) {
        lagg_port lagg("policy=loadbalance,member=" + a.name());
        ASSERT_EQ(id, lagg.id());
        lagg.start();
        EXPECT_EQ(1, send(lagg.id(), frames(1)));
    }
    quit = true;
    asking.join();
    EXPECT_GT(answers, 0u);
}

TEST_F(Status, ShowsWhatWasSet) {
    vdev a = sink();
    lagg_port lagg(
        "policy=failover,stride=7,seed=99,min_links=1,up_delay=10,down_delay=20,rx_all=1,"
        "failback=better:500,hash=l3+l4,primary=" +
        a.name() + ",member=" + a.name());
    ASSERT_TRUE(lagg.ok());
    auto s = lagg.status();
    EXPECT_EQ(RTE_PMD_LAGG_POLICY_FAILOVER, s.policy);
    EXPECT_EQ(7u, s.stride);
    EXPECT_EQ(99u, s.seed);
    EXPECT_EQ(1u, s.min_links);
    EXPECT_EQ(10u, s.up_delay_ms);
    EXPECT_EQ(20u, s.down_delay_ms);
    EXPECT_TRUE(s.rx_all);
    EXPECT_EQ(RTE_PMD_LAGG_FAILBACK_BETTER, s.failback);
    EXPECT_EQ(500u, s.failback_hold_ms);
    EXPECT_EQ(RTE_PMD_LAGG_HASH_L3 | RTE_PMD_LAGG_HASH_L4, s.hash_fields);
    EXPECT_EQ(a.name(), s.primary);
    EXPECT_TRUE(s.members[0].primary);
    EXPECT_FALSE(s.started);
    EXPECT_EQ(-EINVAL, rte_pmd_lagg_status_get(lagg.id(), nullptr));
    EXPECT_EQ(-ENODEV, rte_pmd_lagg_status_get(a.port(), &s));
    EXPECT_EQ(-ENODEV, rte_pmd_lagg_status_get(65'535, &s));
    auto const version = lagg.status().version;
    EXPECT_EQ(-EINVAL, rte_pmd_lagg_stride_set(lagg.id(), 0));
    EXPECT_EQ(-EINVAL, rte_pmd_lagg_stride_set(lagg.id(), 65'536));
    EXPECT_EQ(-EINVAL, rte_pmd_lagg_min_links_set(lagg.id(), 33));
    EXPECT_EQ(-EINVAL, rte_pmd_lagg_delays_set(lagg.id(), 60'001, 0));
    EXPECT_EQ(-EINVAL, rte_pmd_lagg_hash_set(lagg.id(), 0));
    EXPECT_EQ(-EINVAL, rte_pmd_lagg_hash_set(lagg.id(), 8));
    EXPECT_EQ(-EINVAL, rte_pmd_lagg_policy_set(lagg.id(), static_cast<rte_pmd_lagg_policy>(6)));
    EXPECT_EQ(-EINVAL, rte_pmd_lagg_weight_set(lagg.id(), a.name().c_str(), 256));
    EXPECT_EQ(-EINVAL, rte_pmd_lagg_weight_set(lagg.id(), "", 1));
    EXPECT_EQ(version, lagg.status().version);
    EXPECT_EQ(7u, lagg.status().stride);
}

} // namespace
} // namespace lagg::test
