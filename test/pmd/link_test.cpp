// The link of the lagg port and what its members' links do to traffic: loss and return, delays,
// failover.
#include "fixture.h"

#include <ethdev_driver.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <thread>

namespace lagg::test {
namespace {

rte_eth_link link_of(lagg_port const& lagg) {
    rte_eth_link link{};
    EXPECT_EQ(0, rte_eth_link_get_nowait(lagg.id(), &link));
    return link;
}

bool is_up(lagg_port const& lagg) {
    rte_eth_link const link = link_of(lagg);
    rte_pmd_lagg_status const s = lagg.status();
    EXPECT_EQ(link.link_status == RTE_ETH_LINK_UP, s.link_up);
    EXPECT_EQ(link.link_speed, s.link_speed_mbps);
    return s.link_up;
}

std::uint64_t sent(vdev const& v) {
    return rte_pmd_wire_sent(v.port());
}

rte_pmd_wire_counters counters(vdev const& v) {
    rte_pmd_wire_counters c{};
    EXPECT_EQ(0, rte_pmd_wire_counters_get(v.port(), &c));
    return c;
}

/// Cuts, and control has acted on it.
void cut(lagg_port const& lagg, vdev const& v) {
    ASSERT_EQ(0, rte_pmd_wire_cut(v.port()));
    lagg.settle();
}

void heal(lagg_port const& lagg, vdev const& v) {
    ASSERT_EQ(0, rte_pmd_wire_heal(v.port()));
    lagg.settle();
}

/// The number of the lagg's link events while it lives.
class link_events {
public:
    explicit link_events(lagg_port const& lagg) : port_(lagg.id()) {
        EXPECT_EQ(0, rte_eth_dev_callback_register(port_, RTE_ETH_EVENT_INTR_LSC, &link_events::on,
                                                   this));
    }
    ~link_events() {
        int rc = -EAGAIN;
        while (rc == -EAGAIN) {
            rc = rte_eth_dev_callback_unregister(port_, RTE_ETH_EVENT_INTR_LSC, &link_events::on,
                                                 this);
        }
        EXPECT_EQ(0, rc);
    }
    link_events(link_events const&) = delete;
    link_events& operator=(link_events const&) = delete;

    unsigned count() const { return count_; }

private:
    static int on(std::uint16_t, rte_eth_event_type, void* self, void*) {
        ++static_cast<link_events*>(self)->count_;
        return 0;
    }
    std::uint16_t port_;
    std::atomic<unsigned> count_{0};
};

struct TestOfLinks : testing::Test {
    unsigned before = pool_level();
    void TearDown() override { EXPECT_EQ(before, pool_level()); }
};

struct BondLink : TestOfLinks {
    vdev a = sink("speed=10000");
    vdev b = sink("speed=25000");
    std::string members() const { return "member=" + a.name() + ",member=" + b.name(); }
};

TEST_F(BondLink, D11IsDownWhileNothingDistributes) {
    lagg_port lagg("policy=none," + members());
    ASSERT_TRUE(lagg.ok());
    EXPECT_FALSE(is_up(lagg));
    lagg.start();
    EXPECT_TRUE(lagg.member(a.port()).link_up);
    EXPECT_TRUE(lagg.member(b.port()).link_up);
    EXPECT_FALSE(is_up(lagg));
    EXPECT_EQ(0u, link_of(lagg).link_speed);
    EXPECT_EQ(0, send(lagg.id(), frames(8)));

    ASSERT_EQ(0, rte_pmd_lagg_policy_set(lagg.id(), RTE_PMD_LAGG_POLICY_LOADBALANCE));
    EXPECT_TRUE(is_up(lagg));
    ASSERT_EQ(0, rte_pmd_lagg_policy_set(lagg.id(), RTE_PMD_LAGG_POLICY_NONE));
    EXPECT_FALSE(is_up(lagg));
    EXPECT_EQ(0u, link_of(lagg).link_speed);
}

TEST_F(BondLink, D11ItsSpeedIsTheSumOfTheMembersThatDistribute) {
    lagg_port lagg("policy=loadbalance," + members());
    ASSERT_TRUE(lagg.ok());
    lagg.start();
    EXPECT_TRUE(is_up(lagg));
    EXPECT_EQ(35000u, link_of(lagg).link_speed);
    cut(lagg, b);
    EXPECT_EQ(10000u, link_of(lagg).link_speed);
    heal(lagg, b);
    EXPECT_EQ(35000u, link_of(lagg).link_speed);
    ASSERT_EQ(0, rte_pmd_lagg_policy_set(lagg.id(), RTE_PMD_LAGG_POLICY_FAILOVER));
    EXPECT_EQ(25000u, link_of(lagg).link_speed) << "the fastest alone";
    lagg.remove(b.port());
    EXPECT_EQ(10000u, link_of(lagg).link_speed);
    lagg.remove(a.port());
    EXPECT_FALSE(is_up(lagg));
    EXPECT_EQ(0u, link_of(lagg).link_speed);
}

TEST_F(BondLink, IsDownWhenStoppedAndUpWhenStartedAgain) {
    lagg_port lagg("policy=loadbalance," + members());
    ASSERT_TRUE(lagg.ok());
    lagg.start();
    EXPECT_TRUE(is_up(lagg));
    ASSERT_EQ(0, rte_eth_dev_stop(lagg.id()));
    lagg.settle();
    EXPECT_FALSE(is_up(lagg));
    ASSERT_EQ(0, rte_eth_dev_start(lagg.id()));
    EXPECT_TRUE(is_up(lagg));
}

TEST_F(BondLink, B4IsDownUntilItsFirstLiveMemberAndWithTheLossOfItsLast) {
    lagg_port lagg("policy=loadbalance");
    ASSERT_TRUE(lagg.ok());
    lagg.start();
    EXPECT_FALSE(is_up(lagg));
    ASSERT_EQ(0, rte_pmd_wire_cut(a.port()));
    ASSERT_EQ(0, rte_pmd_wire_cut(b.port()));
    lagg.add(a.port());
    lagg.add(b.port());
    lagg.settle();
    EXPECT_FALSE(is_up(lagg)) << "members that are down keep it down";
    heal(lagg, a);
    EXPECT_TRUE(is_up(lagg));
    heal(lagg, b);
    EXPECT_TRUE(is_up(lagg));
    cut(lagg, a);
    EXPECT_TRUE(is_up(lagg));
    cut(lagg, b);
    EXPECT_FALSE(is_up(lagg));
    EXPECT_EQ(0, send(lagg.id(), frames(4)));
    heal(lagg, b);
    EXPECT_TRUE(is_up(lagg));
    EXPECT_EQ(4, send(lagg.id(), frames(4)));
}

TEST_F(BondLink, B5IsDownByOrderWhateverItsMembersAre) {
    lagg_port lagg("policy=loadbalance," + members());
    ASSERT_TRUE(lagg.ok());
    lagg.start();
    ASSERT_EQ(0, rte_eth_dev_set_link_down(lagg.id()));
    EXPECT_FALSE(is_up(lagg));
    EXPECT_FALSE(lagg.status().admin_up);
    EXPECT_EQ(0, send(lagg.id(), frames(8)));
    ASSERT_EQ(0, rte_eth_dev_set_link_up(lagg.id()));
    EXPECT_TRUE(is_up(lagg));
    EXPECT_EQ(8, send(lagg.id(), frames(8)));

    ASSERT_EQ(0, rte_pmd_lagg_admin_set(lagg.id(), false));
    cut(lagg, a);
    cut(lagg, b);
    ASSERT_EQ(0, rte_pmd_lagg_admin_set(lagg.id(), true));
    EXPECT_FALSE(is_up(lagg)) << "its members are down";
    lagg.remove(a.port());
    EXPECT_EQ(1u, lagg.status().nb_members);
    EXPECT_FALSE(is_up(lagg));
    heal(lagg, b);
    EXPECT_TRUE(is_up(lagg));
}

TEST_F(BondLink, IsUpOnlyWithMinLinksMembers) {
    lagg_port lagg("policy=loadbalance,min_links=2," + members());
    ASSERT_TRUE(lagg.ok());
    lagg.start();
    EXPECT_TRUE(is_up(lagg));
    cut(lagg, a);
    EXPECT_FALSE(is_up(lagg));
    EXPECT_EQ(0u, link_of(lagg).link_speed);
    ASSERT_EQ(0, rte_pmd_lagg_min_links_set(lagg.id(), 1));
    EXPECT_TRUE(is_up(lagg));
    EXPECT_EQ(25000u, link_of(lagg).link_speed);
    ASSERT_EQ(0, rte_pmd_lagg_min_links_set(lagg.id(), 3));
    heal(lagg, a);
    EXPECT_FALSE(is_up(lagg));
    ASSERT_EQ(0, rte_pmd_lagg_min_links_set(lagg.id(), 0));
    EXPECT_TRUE(is_up(lagg));
}

TEST_F(BondLink, RaisesOneLinkEventPerChange) {
    lagg_port lagg("policy=loadbalance,member=" + a.name());
    ASSERT_TRUE(lagg.ok());
    link_events events(lagg);
    lagg.start();
    EXPECT_EQ(1u, events.count());
    lagg.settle();
    EXPECT_EQ(1u, events.count());
    cut(lagg, a);
    EXPECT_EQ(2u, events.count());
    cut(lagg, a);
    EXPECT_EQ(2u, events.count()) << "it was down already";
    heal(lagg, a);
    EXPECT_EQ(3u, events.count());
    lagg.add(b.port());
    EXPECT_EQ(4u, events.count()) << "faster";
    cut(lagg, a);
    EXPECT_EQ(5u, events.count()) << "slower";
    ASSERT_EQ(0, rte_pmd_lagg_hash_set(lagg.id(), RTE_PMD_LAGG_HASH_L2));
    ASSERT_EQ(0, rte_pmd_lagg_policy_set(lagg.id(), RTE_PMD_LAGG_POLICY_ROUNDROBIN));
    lagg.settle();
    EXPECT_EQ(5u, events.count()) << "nothing that the link shows has changed";
    ASSERT_EQ(0, rte_pmd_lagg_admin_set(lagg.id(), false));
    EXPECT_EQ(6u, events.count());
    cut(lagg, b);
    EXPECT_EQ(6u, events.count());
}

struct MemberLink : BondLink {};

TEST_F(MemberLink, ALossReportedByTheDeviceMovesAllTraffic) {
    lagg_port lagg("policy=loadbalance,lsc_poll_period_ms=60000," + members());
    ASSERT_TRUE(lagg.ok());
    lagg.start();
    EXPECT_EQ(64, send(lagg.id(), frames(64)));
    EXPECT_LT(0u, sent(a));
    EXPECT_LT(0u, sent(b));
    cut(lagg, a);
    EXPECT_FALSE(lagg.member(a.port()).link_up);
    EXPECT_FALSE(lagg.member(a.port()).distributing);
    auto const dead = counters(a);
    EXPECT_EQ(64, send(lagg.id(), frames(64)));
    auto const now = counters(a);
    EXPECT_EQ(dead.tx_bursts, now.tx_bursts) << "the dead member is not even asked";
    EXPECT_EQ(dead.refused, now.refused);
    EXPECT_EQ(128u, sent(a) + sent(b));
}

/// A member whose driver takes longer than the poll period to say what its link is, and meanwhile
/// another one tells of a loss.
class slow_to_answer {
public:
    slow_to_answer(std::uint16_t lagg, std::uint16_t member, std::uint16_t other)
        : device_(rte_eth_devices[member]), own_(device_.dev_ops) {
        lagg_ = lagg;
        other_ = other;
        asks_ = 0;
        ops_ = *own_;
        ops_.link_update = answer;
        original_ = own_->link_update;
        __atomic_store_n(&device_.dev_ops, &ops_, __ATOMIC_RELEASE); // control reads it
    }
    ~slow_to_answer() { __atomic_store_n(&device_.dev_ops, own_, __ATOMIC_RELEASE); }
    slow_to_answer(slow_to_answer const&) = delete;
    slow_to_answer& operator=(slow_to_answer const&) = delete;

    /// What the lagg said of the other member's link when it was asked again.
    static bool asked_again() { return asks_ >= 2; }
    static bool other_was_up() { return other_up_; }

private:
    static int answer(rte_eth_dev* dev, int wait) {
        using clock = std::chrono::steady_clock;
        if (asks_ == 0) {
            EXPECT_EQ(0, rte_pmd_wire_cut(other_));
            rte_eth_link link{};
            EXPECT_EQ(0, rte_eth_link_get_nowait(other_, &link)); // as its driver leaves it
            rte_eth_dev_callback_process(&rte_eth_devices[other_], RTE_ETH_EVENT_INTR_LSC, nullptr);
            for (auto const begin = clock::now(); clock::now() - begin < 5 * period;) {
            }
        } else if (asks_ == 1) {
            rte_pmd_lagg_status s{};
            EXPECT_EQ(0, rte_pmd_lagg_status_get(lagg_, &s));
            other_up_ = std::any_of(s.members, s.members + s.nb_members, [](auto const& m) {
                return m.port == other_ && (m.link_up || m.distributing);
            });
        }
        ++asks_;
        return original_(dev, wait);
    }

    static constexpr std::chrono::milliseconds period{1};
    static inline std::uint16_t lagg_ = 0;
    static inline std::uint16_t other_ = 0;
    static inline std::atomic<unsigned> asks_{0};
    static inline std::atomic<bool> other_up_{false};
    static inline eth_link_update_t original_ = nullptr;
    static inline eth_dev_ops ops_{}; // control may be about to read it when this object ends

    rte_eth_dev& device_;
    eth_dev_ops const* own_;
};

TEST_F(MemberLink, ALossThatWasToldIsActedUponBeforeOtherDriversAreAsked) {
    lagg_port lagg("policy=loadbalance,lsc_poll_period_ms=1," + members());
    ASSERT_TRUE(lagg.ok());
    lagg.start();
    EXPECT_TRUE(lagg.member(a.port()).distributing);
    slow_to_answer const b_takes_long(lagg.id(), b.port(), a.port());
    while (!slow_to_answer::asked_again()) { // until() would have control act on all events
        std::this_thread::yield();
    }
    EXPECT_FALSE(slow_to_answer::other_was_up());
    heal(lagg, a);
}

TEST_F(MemberLink, ALossThatTheDeviceDoesNotReportIsFoundByAsking) {
    vdev const silent = sink("lsc=0");
    lagg_port lagg("policy=loadbalance,lsc_poll_period_ms=1,member=" + silent.name() +
                   ",member=" + a.name());
    ASSERT_TRUE(lagg.ok());
    lagg.start();
    EXPECT_TRUE(lagg.member(silent.port()).distributing);
    ASSERT_EQ(0, rte_pmd_wire_cut(silent.port()));
    lagg.until([&](auto const&) { return !lagg.member(silent.port()).distributing; });
    EXPECT_EQ(0u, counters(silent).lsc_events);
    auto const dead = counters(silent);
    EXPECT_EQ(64, send(lagg.id(), frames(64)));
    EXPECT_EQ(dead.tx_bursts, counters(silent).tx_bursts);
    ASSERT_EQ(0, rte_pmd_wire_heal(silent.port()));
    lagg.until([&](auto const&) { return lagg.member(silent.port()).distributing; });
}

TEST_F(MemberLink, FramesForAMemberWhoseLossIsNotKnownYetAreGivenBack) {
    vdev const silent = sink("lsc=0");
    lagg_port lagg("policy=loadbalance,lsc_poll_period_ms=60000,member=" + silent.name() +
                   ",member=" + a.name());
    ASSERT_TRUE(lagg.ok());
    lagg.start();
    ASSERT_EQ(0, rte_pmd_wire_cut(silent.port()));
    auto const taken = send(lagg.id(), frames(64));
    EXPECT_LT(0, taken);
    EXPECT_GT(64, taken);
    EXPECT_EQ(taken, sent(a));
    EXPECT_EQ(64u - taken, counters(silent).refused);
    EXPECT_EQ(64u - taken, lagg.xstat("tx_given_back"));
    EXPECT_EQ(taken, lagg.stats().opackets);
}

TEST_F(MemberLink, FramesThatADeadMemberSwallowsAreCountedAsItsErrors) {
    vdev const silent = sink("lsc=0,down=drop");
    lagg_port lagg("policy=loadbalance,lsc_poll_period_ms=60000,member=" + silent.name() +
                   ",member=" + a.name());
    ASSERT_TRUE(lagg.ok());
    lagg.start();
    ASSERT_EQ(0, rte_pmd_wire_cut(silent.port()));
    EXPECT_EQ(64, send(lagg.id(), frames(64)));
    std::uint64_t const lost = counters(silent).lost_down;
    EXPECT_LT(0u, lost);
    EXPECT_EQ(64u, sent(a) + lost);
    EXPECT_EQ(lost, lagg.stats().oerrors);
    EXPECT_EQ(lost, lagg.xstat("member_" + silent.name() + "_tx_errors"));
}

TEST_F(MemberLink, UpDelayKeepsAMemberOutUntilItHasBeenUpLongEnough) {
    lagg_port lagg("policy=loadbalance,up_delay=60000," + members());
    ASSERT_TRUE(lagg.ok());
    lagg.start();
    lagg.settle();
    EXPECT_TRUE(lagg.member(a.port()).link_up);
    EXPECT_FALSE(lagg.member(a.port()).usable);
    EXPECT_FALSE(lagg.member(a.port()).distributing);
    EXPECT_FALSE(is_up(lagg));
    EXPECT_EQ(0, send(lagg.id(), frames(4)));
    ASSERT_EQ(0, rte_pmd_lagg_delays_set(lagg.id(), 1, 0));
    lagg.until([&](auto const& s) { return s.link_speed_mbps == 35000; });
    EXPECT_EQ(4, send(lagg.id(), frames(4)));
    cut(lagg, a);
    ASSERT_EQ(0, rte_pmd_lagg_delays_set(lagg.id(), 60000, 0));
    heal(lagg, a);
    EXPECT_TRUE(lagg.member(a.port()).link_up);
    EXPECT_FALSE(lagg.member(a.port()).distributing);
    cut(lagg, a);
    ASSERT_EQ(0, rte_pmd_lagg_delays_set(lagg.id(), 0, 0));
    EXPECT_FALSE(lagg.member(a.port()).distributing) << "it is down again";
}

TEST_F(MemberLink, DownDelayBridgesAShortLoss) {
    lagg_port lagg("policy=loadbalance,down_delay=60000," + members());
    ASSERT_TRUE(lagg.ok());
    link_events events(lagg);
    lagg.start();
    unsigned const raised = events.count();
    cut(lagg, a);
    EXPECT_FALSE(lagg.member(a.port()).link_up);
    EXPECT_TRUE(lagg.member(a.port()).usable);
    EXPECT_TRUE(lagg.member(a.port()).distributing);
    auto const taken = send(lagg.id(), frames(64));
    EXPECT_GT(64, taken) << "what is meant for the dead member comes back";
    EXPECT_EQ(64u - taken, counters(a).refused);
    heal(lagg, a);
    EXPECT_EQ(64, send(lagg.id(), frames(64)));
    EXPECT_EQ(raised, events.count()) << "nobody was told";

    ASSERT_EQ(0, rte_pmd_lagg_delays_set(lagg.id(), 0, 1));
    cut(lagg, a);
    lagg.until([&](auto const&) { return !lagg.member(a.port()).distributing; });
    EXPECT_EQ(64, send(lagg.id(), frames(64)));
}

struct Failover : TestOfLinks {
    vdev a = sink();
    vdev b = sink();
    std::string members() const { return "member=" + a.name() + ",member=" + b.name(); }
    std::string with_primary(vdev const& v) const {
        return "policy=failover,primary=" + v.name() + "," + members();
    }
    /// All of a burst goes there, and nothing elsewhere.
    static void expect_used(lagg_port const& lagg, vdev const& used, vdev const& other) {
        auto const here = sent(used);
        auto const there = sent(other);
        EXPECT_EQ(32, send(lagg.id(), frames(32)));
        EXPECT_EQ(here + 32, sent(used)) << used.name() << " should be the one in use";
        EXPECT_EQ(there, sent(other));
    }
};

TEST_F(Failover, ReturnsToThePrimaryAtOnceByDefault) {
    lagg_port lagg(with_primary(b));
    ASSERT_TRUE(lagg.ok());
    lagg.start();
    expect_used(lagg, b, a);
    cut(lagg, b);
    expect_used(lagg, a, b);
    heal(lagg, b);
    expect_used(lagg, b, a);
}

TEST_F(Failover, WithFailbackNeverStaysUntilTheOneInUseFails) {
    lagg_port lagg("failback=never," + with_primary(b));
    ASSERT_TRUE(lagg.ok());
    lagg.start();
    cut(lagg, b);
    heal(lagg, b);
    expect_used(lagg, a, b);
    cut(lagg, a);
    expect_used(lagg, b, a);
}

TEST_F(Failover, WithFailbackBetterReturnsOnlyToAFasterPrimary) {
    vdev const fast = sink("speed=100000");
    lagg_port lagg("failback=better,member=" + fast.name() + "," + with_primary(b));
    ASSERT_TRUE(lagg.ok());
    lagg.start();
    cut(lagg, b);
    expect_used(lagg, fast, a);
    heal(lagg, b);
    expect_used(lagg, fast, b);
    ASSERT_EQ(0, rte_pmd_lagg_primary_set(lagg.id(), fast.name().c_str()));
    cut(lagg, fast);
    cut(lagg, a);
    expect_used(lagg, b, a);
    heal(lagg, fast);
    expect_used(lagg, fast, b);
}

TEST_F(Failover, ThePrimaryIsOnHoldUntilItHasBeenUpLongEnough) {
    lagg_port lagg("failback=always:60000," + with_primary(b));
    ASSERT_TRUE(lagg.ok());
    lagg.start();
    cut(lagg, b);
    heal(lagg, b);
    EXPECT_TRUE(lagg.member(b.port()).usable);
    expect_used(lagg, a, b);
    ASSERT_EQ(0, rte_pmd_lagg_failback_set(lagg.id(), RTE_PMD_LAGG_FAILBACK_ALWAYS, 1));
    lagg.until([&](auto const&) { return lagg.member(b.port()).distributing; });
    expect_used(lagg, b, a);
    ASSERT_EQ(0, rte_pmd_lagg_failback_set(lagg.id(), RTE_PMD_LAGG_FAILBACK_ALWAYS, 60000));
    cut(lagg, b);
    heal(lagg, b);
    cut(lagg, a);
    expect_used(lagg, b, a); // no hold when there is nobody else
}

TEST_F(Failover, B13RemovingThePrimaryMovesTrafficAndAddingItAgainBringsItBack) {
    lagg_port lagg(with_primary(b));
    ASSERT_TRUE(lagg.ok());
    lagg.start();
    lagg.remove(b.port());
    expect_used(lagg, a, b);
    EXPECT_EQ(1u, lagg.status().nb_members);
    EXPECT_EQ(b.name(), lagg.status().primary) << "the wish stays";
    lagg.add(b.port());
    EXPECT_TRUE(lagg.member(b.port()).primary);
    expect_used(lagg, b, a);
    ASSERT_EQ(0, rte_pmd_lagg_primary_set(lagg.id(), a.name().c_str()));
    expect_used(lagg, a, b);
    ASSERT_EQ(0, rte_pmd_lagg_primary_set(lagg.id(), nullptr));
    EXPECT_STREQ("", lagg.status().primary);
    expect_used(lagg, a, b); // nobody asked for another one
}

TEST_F(Failover, B13AnotherPrimaryIsUsedAtOnceWhateverFailbackSays) {
    lagg_port lagg("failback=never," + with_primary(b));
    ASSERT_TRUE(lagg.ok());
    lagg.start();
    expect_used(lagg, b, a);
    ASSERT_EQ(0, rte_pmd_lagg_primary_set(lagg.id(), a.name().c_str()));
    expect_used(lagg, a, b);
}

TEST_F(Failover, B14WithoutAPrimaryThereIsNoWayBack) {
    lagg_port lagg("policy=failover," + members());
    ASSERT_TRUE(lagg.ok());
    lagg.start();
    expect_used(lagg, a, b);
    cut(lagg, a);
    expect_used(lagg, b, a);
    heal(lagg, a);
    expect_used(lagg, b, a);
}

/// Bursts on one queue in a thread of its own until it is told to stop.
class sender {
public:
    explicit sender(std::uint16_t port)
        : thread_([this, port] {
              while (!stop_.load(std::memory_order_relaxed)) {
                  std::uint16_t const n = send(port, frames(16, bursts_ * 16));
                  taken_ += n;
                  offered_ += 16;
                  bursts_.fetch_add(1, std::memory_order_release);
              }
          }) {}
    ~sender() { stop(); }
    void stop() {
        stop_ = true;
        if (thread_.joinable()) {
            thread_.join();
        }
    }
    /// Returns after `n` more whole bursts.
    void await_bursts(std::uint32_t n) const {
        std::uint32_t const first = bursts_.load(std::memory_order_acquire);
        while (bursts_.load(std::memory_order_acquire) - first < n + 1) {
            std::this_thread::yield();
        }
    }
    std::uint64_t taken() const { return taken_; }
    std::uint64_t offered() const { return offered_; }

private:
    std::atomic<bool> stop_{false};
    std::atomic<std::uint32_t> bursts_{0};
    std::atomic<std::uint64_t> taken_{0};
    std::uint64_t offered_ = 0;
    std::thread thread_;
};

TEST_F(Failover, B15NoFrameUsesTheOldMemberAfterThePrimaryChanged) {
    lagg_port lagg(with_primary(b));
    ASSERT_TRUE(lagg.ok());
    lagg.start();
    sender traffic(lagg.id());
    vdev* to = &a;
    vdev* from = &b;
    for (int i = 0; i < 50; ++i) {
        ASSERT_EQ(0, rte_pmd_lagg_primary_set(lagg.id(), to->name().c_str()));
        while (rte_pmd_lagg_barrier(lagg.id(), 1000) != 0) {
        }
        std::uint64_t const old = sent(*from);
        traffic.await_bursts(4);
        ASSERT_EQ(old, sent(*from));
        std::swap(to, from);
    }
    traffic.stop();
    EXPECT_EQ(traffic.offered(), traffic.taken()) << "a healthy member takes them all";
    EXPECT_EQ(traffic.taken(), sent(a) + sent(b));
}

// Reception

struct FailoverReception : TestOfLinks {
    wire_pair x = wire();
    wire_pair y = wire();
    std::string args(std::string const& more = "") const {
        return "policy=failover,primary=" + x.near.name() + ",member=" + x.near.name() +
               ",member=" + y.near.name() + more;
    }
    void TearDown() override {
        x.near.close();
        x.far.close();
        y.near.close();
        y.far.close();
        TestOfLinks::TearDown();
    }
};

TEST_F(FailoverReception, IsFromTheMemberInUseOnly) {
    lagg_port lagg(args());
    ASSERT_TRUE(lagg.ok());
    lagg.start();
    EXPECT_EQ(8, send(x.far.port(), frames(8)));
    EXPECT_EQ(5, send(y.far.port(), frames(5)));
    EXPECT_EQ(8u, receive_all(lagg.id()));
    EXPECT_EQ(5u, lagg.xstat("rx_dropped_not_collecting"));
    EXPECT_EQ(8u, lagg.stats().ipackets);
}

TEST_F(FailoverReception, D16WhatArrivedOnTheStandbyIsNotDeliveredAfterTheFailover) {
    lagg_port lagg(args());
    ASSERT_TRUE(lagg.ok());
    lagg.start();
    EXPECT_EQ(40, send(y.far.port(), frames(40)));
    EXPECT_EQ(0u, receive_all(lagg.id()));
    EXPECT_EQ(0u, receive_all(lagg.id()));
    cut(lagg, x.near);
    EXPECT_TRUE(lagg.member(y.near.port()).distributing);
    EXPECT_EQ(0u, receive_all(lagg.id()));
    EXPECT_EQ(40u, lagg.xstat("rx_dropped_not_collecting"));
    EXPECT_EQ(7, send(y.far.port(), frames(7)));
    EXPECT_EQ(7u, receive_all(lagg.id()));
    EXPECT_EQ(40u, lagg.xstat("rx_dropped_not_collecting"));
}

TEST_F(FailoverReception, RxAllDeliversFromEveryMemberWithItsPortAsTheirs) {
    lagg_port lagg(args(",rx_all=1"));
    ASSERT_TRUE(lagg.ok());
    lagg.start();
    EXPECT_EQ(8, send(x.far.port(), frames(8)));
    EXPECT_EQ(5, send(y.far.port(), frames(5)));
    rte_mbuf* got[32];
    std::uint16_t n = 0;
    while (std::uint16_t const more =
               rte_eth_rx_burst(lagg.id(), 0, got + n, static_cast<std::uint16_t>(32 - n))) {
        n = static_cast<std::uint16_t>(n + more);
    }
    EXPECT_EQ(13, n);
    for (std::uint16_t i = 0; i < n; ++i) {
        EXPECT_EQ(lagg.id(), got[i]->port);
        rte_pktmbuf_free(got[i]);
    }
    ASSERT_EQ(0, rte_pmd_lagg_rx_all_set(lagg.id(), false));
    EXPECT_EQ(5, send(y.far.port(), frames(5)));
    EXPECT_EQ(0u, receive_all(lagg.id()));
    EXPECT_EQ(5u, lagg.xstat("rx_dropped_not_collecting"));
}

TEST_F(FailoverReception, AStandbyThatLeavesDeliversNothing) {
    lagg_port lagg(args());
    ASSERT_TRUE(lagg.ok());
    lagg.start();
    EXPECT_EQ(40, send(y.far.port(), frames(40)));
    lagg.remove(y.near.port());
    EXPECT_EQ(0u, receive_all(lagg.id())) << "it was not collecting";
}

TEST_F(FailoverReception, D6ARemovedMemberIsNotPolledAnyMore) {
    lagg_port lagg(args());
    ASSERT_TRUE(lagg.ok());
    lagg.start();
    lagg.remove(y.near.port());
    lagg.remove(x.near.port());
    EXPECT_EQ(0u, lagg.status().nb_members);
    bring_up(x.near.port());
    bring_up(y.near.port());
    EXPECT_EQ(8, send(x.far.port(), frames(8)));
    EXPECT_EQ(8, send(y.far.port(), frames(8)));
    EXPECT_EQ(0u, receive_all(lagg.id()));
    EXPECT_EQ(8u, receive_all(x.near.port())) << "it is the application's own again";
    EXPECT_EQ(8u, receive_all(y.near.port()));
}

TEST_F(FailoverReception, R11MembersLeaveWhileBurstsReceive) {
    lagg_port lagg(args());
    ASSERT_TRUE(lagg.ok());
    for (wire_pair const* w : {&x, &y}) {
        ASSERT_EQ(0, rte_pmd_wire_poison_on_stop(w->near.port(), true));
        ASSERT_EQ(0, rte_pmd_wire_check(w->near.port(), true));
    }
    lagg.start();
    std::atomic<bool> stop{false};
    std::uint64_t received = 0;
    std::thread receiver([&] {
        while (!stop.load(std::memory_order_relaxed)) {
            received += receive_all(lagg.id());
        }
        received += receive_all(lagg.id());
    });
    std::uint64_t offered = 0;
    std::uint64_t crossed = 0;
    for (int i = 0; i < 30; ++i) {
        for (wire_pair const* w : {&x, &y}) {
            offered += 16;
            crossed += send(w->far.port(), frames(16));
            lagg.remove(w->near.port());
        }
        EXPECT_EQ(0u, lagg.status().nb_members);
        for (wire_pair const* w : {&y, &x}) {
            lagg.add(w->near.port());
            offered += 16;
            crossed += send(w->far.port(), frames(16));
        }
    }
    stop = true;
    receiver.join();
    EXPECT_LE(crossed, offered);
    EXPECT_EQ(received, lagg.stats().ipackets);
    EXPECT_EQ(crossed, received + lagg.xstat("rx_dropped_not_collecting") +
                           lagg.xstat("rx_dropped_drain_no_room"))
        << "each frame is received or counted";
    EXPECT_EQ(0u, counters(x.near).violations);
    EXPECT_EQ(0u, counters(y.near).violations);
}

} // namespace
} // namespace lagg::test
