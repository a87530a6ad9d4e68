// Control is late, by seconds: bursts go on, links are cut, callers lose their patience; and when
// it is back everything is as it was asked for.
#include "lacp/lacpdu.h"
#include "rte_pmd_lagg_lacp.h"
#include "traffic.h"

#include <cstring>

namespace lagg::test {
namespace {

/// The control thread of this process, stopped between two jobs until release().
class parked_control {
public:
    parked_control() {
        pmd::post_to_control([this] { park(); });
        std::unique_lock hold(mutex_);
        EXPECT_TRUE(moved_.wait_for(hold, std::chrono::seconds(30), [&] { return parked_; }));
    }
    ~parked_control() { release(); }
    parked_control(parked_control const&) = delete;
    parked_control& operator=(parked_control const&) = delete;

    void release() {
        std::unique_lock hold(mutex_);
        released_ = true;
        moved_.notify_all();
        moved_.wait(hold, [&] { return !parked_; });
    }

private:
    void park() {
        std::unique_lock hold(mutex_);
        parked_ = true;
        moved_.notify_all();
        moved_.wait(hold, [&] { return released_; });
        parked_ = false;
        moved_.notify_all();
    }
    std::mutex mutex_;
    std::condition_variable moved_;
    bool parked_ = false;
    bool released_ = false;
};

/// True when `d` has passed since the first call for it.
class elapsed {
public:
    explicit elapsed(std::chrono::milliseconds d) : end_(std::chrono::steady_clock::now() + d) {}
    bool operator()() const { return std::chrono::steady_clock::now() >= end_; }

private:
    std::chrono::steady_clock::time_point const end_;
};

struct Late : testing::Test {
    unsigned before = pool_level();
    vdev a = sink("check=1");
    vdev b = sink("check=1");
    vdev c = sink("check=1");
    void TearDown() override { EXPECT_EQ(before, pool_level()); }
};

TEST_F(Late, R4BurstsGoOnAndCallersAreAnsweredInTheirTime) {
    lagg_port lagg("policy=roundrobin,member=" + a.name() + ",member=" + b.name());
    ASSERT_TRUE(lagg.ok());
    lagg.start();
    event_list told(lagg.id());
    traffic running(lagg.id());
    running.flows();
    {
        parked_control late;
        elapsed const seconds(std::chrono::milliseconds(2'000));
        EXPECT_EQ(-EINPROGRESS, rte_pmd_lagg_member_add(lagg.id(), c.port(), 20));
        EXPECT_EQ(-EINPROGRESS, rte_pmd_lagg_member_remove(lagg.id(), a.port(), 20));
        EXPECT_EQ(-EINPROGRESS, rte_pmd_lagg_member_remove(lagg.id(), a.port(), 0))
            << "joins the same wait";
        EXPECT_EQ(-ETIMEDOUT, rte_pmd_lagg_barrier(lagg.id(), 20));
        ASSERT_EQ(0, rte_pmd_wire_cut(b.port()));
        std::thread patient([&] {
            EXPECT_EQ(0, rte_pmd_lagg_policy_set(lagg.id(), RTE_PMD_LAGG_POLICY_LOADBALANCE));
        });
        EXPECT_EQ(2, lagg.status().nb_members) << "what is asked for status never waits";
        while (!seconds()) {
            running.rounds(100);
        }
        EXPECT_TRUE(told.all().empty());
        late.release();
        patient.join();
    }
    EXPECT_TRUE(told.until(c.port(), RTE_PMD_LAGG_EVENT_MEMBER_JOINED));
    EXPECT_TRUE(told.until(a.port(), RTE_PMD_LAGG_EVENT_MEMBER_LEFT));
    lagg.settle();
    auto const s = lagg.status();
    EXPECT_EQ(2, s.nb_members);
    EXPECT_EQ(RTE_PMD_LAGG_POLICY_LOADBALANCE, s.policy);
    EXPECT_FALSE(lagg.member(b.port()).distributing);
    EXPECT_TRUE(lagg.member(c.port()).distributing);
    EXPECT_EQ("", owner_of(a.port()));
    std::uint64_t const to_b = rte_pmd_wire_sent(b.port());
    running.flows();
    running.stop();
    EXPECT_EQ(0u, running.wrong());
    EXPECT_EQ(to_b, rte_pmd_wire_sent(b.port()));
    EXPECT_EQ(running.taken(), rte_pmd_wire_sent(a.port()) + rte_pmd_wire_sent(b.port()) +
                                   rte_pmd_wire_sent(c.port()));
    lagg.until([](auto const& now) { return now.live_snapshots == 1; });
}

TEST_F(Late, WhatIsRefusedAtOnceIsKnownWithoutPatience) {
    lagg_port lagg("policy=roundrobin,member=" + a.name());
    ASSERT_TRUE(lagg.ok());
    EXPECT_EQ(-EEXIST, rte_pmd_lagg_member_add(lagg.id(), a.port(), 0));
    EXPECT_EQ(-ENOENT, rte_pmd_lagg_member_remove(lagg.id(), b.port(), 0));
    lagg_port other("policy=none");
    EXPECT_EQ(-EBUSY, rte_pmd_lagg_member_add(other.id(), a.port(), 0));
}

TEST_F(Late, ALinkThatFlappedMeanwhileIsAsItIsInTheEnd) {
    lagg_port lagg("policy=failover,primary=" + a.name() + ",member=" + a.name() +
                   ",member=" + b.name());
    ASSERT_TRUE(lagg.ok());
    lagg.start();
    traffic running(lagg.id());
    running.flows();
    {
        parked_control late;
        for (int i = 0; i < 100; ++i) {
            ASSERT_EQ(0, rte_pmd_wire_cut(a.port()));
            ASSERT_EQ(0, rte_pmd_wire_heal(a.port()));
        }
        ASSERT_EQ(0, rte_pmd_wire_cut(a.port()));
        running.rounds(10);
    }
    lagg.settle();
    EXPECT_TRUE(lagg.member(b.port()).distributing);
    running.flows();
    running.stop();
    EXPECT_EQ(0u, running.wrong());
    EXPECT_EQ(running.taken(), rte_pmd_wire_sent(a.port()) + rte_pmd_wire_sent(b.port()));
}

TEST_F(Late, ADeviceThatWasPulledMeanwhileIsGivenUp) {
    lagg_port lagg("policy=roundrobin,member=" + a.name() + ",member=" + b.name());
    ASSERT_TRUE(lagg.ok());
    lagg.start();
    event_list told(lagg.id());
    traffic running(lagg.id());
    running.flows();
    std::uint16_t const port = b.port();
    {
        parked_control late;
        ASSERT_EQ(0, rte_pmd_wire_surprise_remove(port));
        running.rounds(10);
        EXPECT_EQ(1, rte_eth_dev_is_valid_port(port)) << "bursts may use it";
    }
    EXPECT_TRUE(told.until(port, RTE_PMD_LAGG_EVENT_MEMBER_LEFT));
    EXPECT_EQ(0, rte_eth_dev_is_valid_port(port));
    running.stop();
    EXPECT_EQ(0u, running.wrong());
}

/// A partner that is played by the test, at the far end of one wire.
struct LateWithAPartner : testing::Test {
    unsigned before = pool_level();
    std::unique_ptr<wire_pair> w = std::make_unique<wire_pair>(wire());
    std::unique_ptr<lagg_port> lagg;
    std::unique_ptr<traffic> running;

    void SetUp() override {
        lagg =
            std::make_unique<lagg_port>("policy=lacp,lacp_wait_while=0,member=" + w->near.name());
        ASSERT_TRUE(lagg->ok());
        lagg->start();
        running = std::make_unique<traffic>(lagg->id(), std::vector{w->far.port()});
        settle_in();
    }
    void TearDown() override {
        running.reset();
        lagg.reset();
        w.reset();
        EXPECT_EQ(before, pool_level());
    }

    void speak() const {
        lacp::lacpdu pdu;
        pdu.actor.system = {32768, net::mac_address{{0x02, 0xaa, 0, 0, 0, 1}}};
        pdu.actor.key = 7;
        pdu.actor.port = {32768, 1};
        pdu.actor.set(lacp::state::activity | lacp::state::short_timeout |
                          lacp::state::aggregation | lacp::state::synchronization |
                          lacp::state::collecting | lacp::state::distributing,
                      true);
        auto const known = pmd::device::published_of(lagg->id());
        if (!known->lacp_ports.empty()) {
            pdu.partner = known->lacp_ports[0].report.actor;
        }
        auto const bytes = lacp::encode(pdu, pdu.actor.system.address);
        rte_mbuf* m = rte_pktmbuf_alloc(pool());
        ASSERT_NE(nullptr, m);
        std::memcpy(rte_pktmbuf_append(m, bytes.size()), bytes.data(), bytes.size());
        ASSERT_EQ(1, rte_eth_tx_burst(w->far.port(), 0, &m, 1));
    }
    void settle_in() const {
        lagg->until([this](auto const& s) {
            if (s.members[0].distributing) {
                return true;
            }
            speak();
            running->rounds(4);
            return false;
        });
    }
};

TEST_F(LateWithAPartner, WhatThePartnerSaidMeanwhileCountsBeforeItsSilence) {
    auto const version = lagg->status().version;
    {
        parked_control late;
        // Twice as long as the partner may be silent: it speaks each second.
        for (int i = 0; i < 7; ++i) {
            elapsed const second(std::chrono::milliseconds(1'000));
            speak();
            while (!second()) {
                running->rounds(10);
            }
        }
    }
    lagg->settle();
    speak();
    running->rounds(4);
    lagg->settle();
    auto const s = lagg->status();
    EXPECT_TRUE(s.members[0].distributing);
    EXPECT_EQ(version, s.version) << "nothing happened";
}

TEST_F(LateWithAPartner, AlsoWhenAnotherMemberWasPulled) {
    vdev other = sink();
    lagg->add(other.port());
    event_list told(lagg->id());
    {
        parked_control late;
        for (int i = 0; i < 5; ++i) {
            elapsed const second(std::chrono::milliseconds(1'000));
            speak();
            while (!second()) {
                running->rounds(10);
            }
        }
        ASSERT_EQ(0, rte_pmd_wire_surprise_remove(other.port()));
    }
    EXPECT_TRUE(told.until(other.port(), RTE_PMD_LAGG_EVENT_MEMBER_LEFT));
    lagg->settle();
    EXPECT_TRUE(lagg->status().members[0].distributing);
    EXPECT_EQ(0u, told.count(w->near.port(), RTE_PMD_LAGG_EVENT_MEMBER_STANDBY));
}

TEST_F(LateWithAPartner, APartnerThatWasSilentIsExpiredAndHeals) {
    {
        parked_control late;
        elapsed const seconds(std::chrono::milliseconds(4'000));
        while (!seconds()) {
            running->rounds(100);
        }
        EXPECT_TRUE(lagg->status().members[0].distributing) << "nobody could say otherwise";
    }
    lagg->until([](auto const& s) { return !s.members[0].distributing; });
    running->rounds(2);
    std::uint64_t const taken = running->taken();
    running->rounds(20);
    EXPECT_EQ(taken, running->taken()) << "nothing goes where nobody collects";
    settle_in();
    running->flows();
    running->stop();
    EXPECT_EQ(0u, running->wrong());
}

} // namespace
} // namespace lagg::test
