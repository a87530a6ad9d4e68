// What each policy does with frames, and what a change of policy does to traffic.
#include "fixture.h"
#include "traffic.h"

#include <array>
#include <cstring>
#include <map>
#include <numeric>
#include <set>

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
        for (auto [now, then] :
             {std::pair{sent(a), was[0]}, std::pair{sent(b), was[1]}, std::pair{sent(c), was[2]}}) {
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

constexpr std::array all_policies{RTE_PMD_LAGG_POLICY_NONE, RTE_PMD_LAGG_POLICY_ROUNDROBIN,
                                  RTE_PMD_LAGG_POLICY_FAILOVER, RTE_PMD_LAGG_POLICY_LOADBALANCE,
                                  RTE_PMD_LAGG_POLICY_BROADCAST};

std::string name_of(rte_pmd_lagg_policy p) {
    switch (p) {
    case RTE_PMD_LAGG_POLICY_NONE: return "none";
    case RTE_PMD_LAGG_POLICY_ROUNDROBIN: return "roundrobin";
    case RTE_PMD_LAGG_POLICY_FAILOVER: return "failover";
    case RTE_PMD_LAGG_POLICY_LOADBALANCE: return "loadbalance";
    case RTE_PMD_LAGG_POLICY_LACP: return "lacp";
    case RTE_PMD_LAGG_POLICY_BROADCAST: return "broadcast";
    }
    return "?";
}

struct EachPolicy : Policies, testing::WithParamInterface<rte_pmd_lagg_policy> {
    /// Takes, gives and names nothing.
    static void expect_nobody(lagg_port const& lagg) {
        auto mine = frames(9);
        auto list = mine;
        EXPECT_EQ(0, rte_eth_tx_burst(lagg.id(), 0, list.data(), 9));
        EXPECT_EQ(mine, list) << "the caller's, in the caller's order";
        for (rte_mbuf const* m : mine) {
            EXPECT_EQ(1, rte_mbuf_refcnt_read(m));
        }
        rte_mbuf* got = nullptr;
        EXPECT_EQ(0, rte_eth_rx_burst(lagg.id(), 0, &got, 1));
        std::uint64_t version = 0;
        EXPECT_EQ(RTE_PMD_LAGG_NO_MEMBER, rte_pmd_lagg_flow_member(lagg.id(), mine[0], &version));
        EXPECT_EQ(lagg.status().version, version);
        EXPECT_EQ(-ESTALE, rte_pmd_lagg_tx_on(lagg.id(), 0, 0, version, list.data(), 9));
        EXPECT_EQ(9, rte_eth_tx_prepare(lagg.id(), 0, list.data(), 9));
        EXPECT_FALSE(lagg.status().link_up);
        free_all(mine);
    }
};

TEST_P(EachPolicy, R1WorksWithoutMembersFromTheBeginning) {
    lagg_port lagg("policy=" + name_of(GetParam()));
    ASSERT_TRUE(lagg.ok());
    lagg.start();
    expect_nobody(lagg);
    expect_nobody(lagg);
    EXPECT_EQ(2u, lagg.xstat("tx_bursts_without_member"));
    EXPECT_EQ(0u, lagg.stats().opackets);
}

TEST_P(EachPolicy, R1WorksWhenTheLastMemberLeavesOrLosesItsLink) {
    lagg_port lagg("policy=" + name_of(GetParam()) + "," + members());
    ASSERT_TRUE(lagg.ok());
    lagg.start();
    int const taken = send(lagg.id(), frames(9));
    EXPECT_EQ(GetParam() == RTE_PMD_LAGG_POLICY_NONE ? 0 : 9, taken);
    for (vdev const* v : {&a, &b, &c}) {
        ASSERT_EQ(0, rte_pmd_wire_cut(v->port()));
    }
    lagg.settle();
    expect_nobody(lagg);
    for (vdev const* v : {&a, &b, &c}) {
        ASSERT_EQ(0, rte_pmd_wire_heal(v->port()));
    }
    lagg.settle();
    EXPECT_EQ(taken, send(lagg.id(), frames(9)));
    for (vdev const* v : {&a, &b, &c}) {
        lagg.remove(v->port());
    }
    expect_nobody(lagg);
    lagg.add(b.port());
    EXPECT_EQ(taken, send(lagg.id(), frames(9)));
}

TEST_P(EachPolicy, R1MembersGoToNoneAndComeBackUnderTraffic) {
    for (vdev const* v : {&a, &b}) {
        ASSERT_EQ(0, rte_pmd_wire_poison_on_stop(v->port(), true));
        ASSERT_EQ(0, rte_pmd_wire_check(v->port(), true));
    }
    lagg_port lagg("policy=" + name_of(GetParam()) + ",member=" + a.name());
    ASSERT_TRUE(lagg.ok());
    lagg.start(full_traffic::queues());
    full_traffic running(lagg.id());
    storm flips(25);
    while (flips.goes_on()) {
        running.rounds(1);
        lagg.remove(a.port());
        running.rounds(1);
        lagg.add(b.port());
        running.rounds(1);
        lagg.add(a.port());
        lagg.remove(b.port());
    }
    running.stop();
    EXPECT_EQ(0u, running.wrong());
    EXPECT_EQ(running.taken(), lagg.stats().opackets);
    std::uint64_t const copies_refused =
        lagg.xstat("tx_dropped_copy_refused") + lagg.xstat("tx_dropped_copy_no_memory");
    EXPECT_EQ(0u, copies_refused) << "sinks take everything";
    if (GetParam() == RTE_PMD_LAGG_POLICY_NONE) {
        EXPECT_EQ(0u, running.taken());
    } else {
        EXPECT_LT(0u, running.taken());
    }
    std::uint64_t const all = sent(a) + sent(b);
    if (GetParam() == RTE_PMD_LAGG_POLICY_BROADCAST) {
        EXPECT_LE(running.taken(), all);
        EXPECT_GE(2 * running.taken(), all);
    } else {
        EXPECT_EQ(running.taken(), all) << "each on one member";
    }
    EXPECT_EQ(0u, counters_of(a.port()).violations + counters_of(b.port()).violations);
    RecordProperty("flips", 2 * flips.turns());
    RecordProperty("frames_offered", std::to_string(running.offered()));
    RecordProperty("traffic_threads", full_traffic::queues());
}

INSTANTIATE_TEST_SUITE_P(All, EachPolicy, testing::ValuesIn(all_policies),
                         [](auto const& p) { return name_of(p.param); });

TEST_F(Policies, RoundrobinGivesAsManyInARowAsItsStrideSays) {
    lagg_port lagg("policy=roundrobin,stride=8," + members());
    ASSERT_TRUE(lagg.ok());
    lagg.start();
    for (int i = 0; i < 24; ++i) {
        EXPECT_EQ(5, send(lagg.id(), frames(5))); // 120 frames, 5 turns of 8 for each
    }
    EXPECT_EQ(40u, sent(a));
    EXPECT_EQ(40u, sent(b));
    EXPECT_EQ(40u, sent(c));
    EXPECT_EQ(8, send(lagg.id(), frames(8)));
    std::multiset<std::uint64_t> const now{sent(a), sent(b), sent(c)};
    EXPECT_EQ((std::multiset<std::uint64_t>{40, 40, 48}), now) << "a burst of 8 is one turn";
    ASSERT_EQ(0, rte_pmd_lagg_stride_set(lagg.id(), 1));
    EXPECT_EQ(30, send(lagg.id(), frames(30)));
    EXPECT_EQ(158u, sent(a) + sent(b) + sent(c));
    for (vdev const* v : {&a, &b, &c}) {
        EXPECT_LE(50u, sent(*v));
    }
}

TEST_F(Policies, R19ARoundrobinStrideOfZeroIsRefused) {
    lagg_port wrong("policy=roundrobin,stride=0," + members());
    EXPECT_EQ(-EINVAL, wrong.rc());
    lagg_port lagg("policy=roundrobin," + members());
    ASSERT_TRUE(lagg.ok());
    lagg.start();
    EXPECT_EQ(-EINVAL, rte_pmd_lagg_stride_set(lagg.id(), 0));
    EXPECT_EQ(1u, lagg.status().stride);
    EXPECT_EQ(30, send(lagg.id(), frames(30)));
    EXPECT_EQ(10u, sent(a));
}

TEST_F(Policies, D1BroadcastThatNobodyTakesStaysTheCallers) {
    lagg_port lagg("policy=broadcast," + members());
    ASSERT_TRUE(lagg.ok());
    lagg.start();
    for (vdev const* v : {&a, &b, &c}) {
        ASSERT_EQ(0, rte_pmd_wire_refuse(v->port(), 0));
    }
    auto mine = frames(16);
    auto list = mine;
    unsigned const level = pool_level();
    std::vector<std::vector<std::uint8_t>> content;
    for (rte_mbuf const* m : mine) {
        auto const* const p = rte_pktmbuf_mtod(m, std::uint8_t const*);
        content.emplace_back(p, p + m->data_len);
    }
    EXPECT_EQ(0, rte_eth_tx_burst(lagg.id(), 0, list.data(), 16));
    EXPECT_EQ(level, pool_level()) << "nothing was freed";
    EXPECT_EQ(mine, list);
    for (std::size_t i = 0; i < mine.size(); ++i) {
        EXPECT_EQ(1, rte_mbuf_refcnt_read(mine[i]));
        EXPECT_EQ(0, std::memcmp(content[i].data(), rte_pktmbuf_mtod(mine[i], void*), 64));
    }
    EXPECT_EQ(0u, lagg.stats().opackets);
    EXPECT_EQ(16u, lagg.xstat("tx_given_back"));
    EXPECT_EQ(0u, lagg.xstat("tx_dropped_copy_refused"));
    // One that takes five: these are taken, and the others lack their copies.
    ASSERT_EQ(0, rte_pmd_wire_refuse(b.port(), 5));
    EXPECT_EQ(5, rte_eth_tx_burst(lagg.id(), 0, list.data(), 16));
    EXPECT_TRUE(std::equal(mine.begin() + 5, mine.end(), list.begin() + 5));
    EXPECT_EQ(5u, sent(b));
    EXPECT_EQ(10u, lagg.xstat("tx_dropped_copy_refused"));
    for (std::size_t i = 5; i < list.size(); ++i) {
        EXPECT_EQ(1, rte_mbuf_refcnt_read(list[i]));
        rte_pktmbuf_free(list[i]);
    }
}

// Flows

struct Flows : Policies {
    static constexpr std::uint32_t flows = 512;

    /// Member port of each flow.
    static std::vector<std::uint16_t> mapping(lagg_port const& lagg) {
        std::vector<std::uint16_t> out;
        for (std::uint32_t f = 0; f < flows; ++f) {
            auto one = frames(1, f);
            out.push_back(rte_pmd_lagg_flow_member(lagg.id(), one[0], nullptr));
            free_all(one);
        }
        return out;
    }
    static std::size_t moved(std::vector<std::uint16_t> const& from,
                             std::vector<std::uint16_t> const& to) {
        std::size_t n = 0;
        for (std::size_t i = 0; i < from.size(); ++i) {
            n += from[i] != to[i];
        }
        return n;
    }
    std::uint16_t member_that_sent(std::array<std::uint64_t, 3> const& then) const {
        std::uint16_t found = RTE_PMD_LAGG_NO_MEMBER;
        int changed = 0;
        std::array const members{&a, &b, &c};
        for (std::size_t i = 0; i < members.size(); ++i) {
            std::uint64_t const now = sent(*members[i]);
            EXPECT_LE(now - then[i], 1u);
            if (now != then[i]) {
                found = members[i]->port();
                ++changed;
            }
        }
        EXPECT_EQ(1, changed);
        return found;
    }
};

TEST_F(Flows, R18AChangeOfTheHashMapsEachFlowTheOldWayOrTheNewNeverAThird) {
    lagg_port lagg("policy=loadbalance,seed=1,hash=l3," + members());
    ASSERT_TRUE(lagg.ok());
    lagg.start();
    struct rule {
        std::uint32_t fields;
        std::uint32_t seed;
    };
    std::array const rules{rule{RTE_PMD_LAGG_HASH_L3, 1}, rule{RTE_PMD_LAGG_HASH_L4, 1}};
    std::array<std::vector<std::uint16_t>, 2> allowed;
    for (std::size_t i = 0; i < rules.size(); ++i) {
        ASSERT_EQ(0, rte_pmd_lagg_hash_set(lagg.id(), rules[i].fields));
        allowed[i] = mapping(lagg);
    }
    ASSERT_LT(0u, moved(allowed[0], allowed[1])) << "else this test says nothing";
    std::atomic<bool> stop{false};
    std::thread changer([&] {
        for (unsigned i = 0; !stop; ++i) {
            EXPECT_EQ(0, rte_pmd_lagg_hash_set(lagg.id(), rules[i % 2].fields));
        }
    });
    for (std::uint32_t i = 0; i < 4 * flows; ++i) {
        std::uint32_t const f = i % flows;
        std::array const then{sent(a), sent(b), sent(c)};
        ASSERT_EQ(1, send(lagg.id(), frames(1, f)));
        auto const used = member_that_sent(then);
        ASSERT_TRUE(used == allowed[0][f] || used == allowed[1][f]) << "flow " << f;
    }
    stop = true;
    changer.join();
}

TEST_F(Flows, OnlyThoseOfAMemberThatLeftMoveAndTheyComeBackToNobodyElse) {
    lagg_port lagg("policy=loadbalance,seed=7," + members());
    ASSERT_TRUE(lagg.ok());
    lagg.start();
    auto const whole = mapping(lagg);
    lagg.remove(b.port());
    auto const without = mapping(lagg);
    for (std::size_t f = 0; f < whole.size(); ++f) {
        if (whole[f] != b.port()) {
            EXPECT_EQ(whole[f], without[f]);
        }
        EXPECT_NE(b.port(), without[f]);
    }
    lagg.add(b.port());
    auto const again = mapping(lagg);
    for (std::size_t f = 0; f < whole.size(); ++f) {
        EXPECT_TRUE(again[f] == without[f] || again[f] == b.port()) << "moved to a third";
    }
    auto const share = static_cast<std::size_t>(std::count(again.begin(), again.end(), b.port()));
    EXPECT_LT(flows / 6, share);
    EXPECT_GT(flows / 2, share);
}

TEST_F(Flows, FollowTheWeights) {
    lagg_port lagg("policy=loadbalance,seed=3,weight=" + a.name() + "@2," + members());
    ASSERT_TRUE(lagg.ok());
    lagg.start();
    EXPECT_EQ(2u, lagg.member(a.port()).weight);
    EXPECT_EQ(1u, lagg.member(b.port()).weight);
    EXPECT_EQ(128, lagg.member(a.port()).buckets);
    EXPECT_EQ(64, lagg.member(b.port()).buckets);
    EXPECT_EQ(64, lagg.member(c.port()).buckets);
    EXPECT_EQ(512, send(lagg.id(), frames(512)));
    EXPECT_EQ(512u, sent(a) + sent(b) + sent(c));
    EXPECT_LT(sent(b) + 50, sent(a));
    EXPECT_LT(sent(c) + 50, sent(a));
    ASSERT_EQ(0, rte_pmd_lagg_weight_set(lagg.id(), a.name().c_str(), 0));
    EXPECT_EQ(lagg.member(b.port()).weight, lagg.member(a.port()).weight) << "by speed again";
    EXPECT_GT(87, lagg.member(a.port()).buckets);
    EXPECT_LT(83, lagg.member(a.port()).buckets);
    ASSERT_EQ(0, rte_pmd_lagg_weight_set(lagg.id(), b.name().c_str(), 6));
    EXPECT_EQ(192, lagg.member(b.port()).buckets);
    EXPECT_EQ(32, lagg.member(a.port()).buckets);
    EXPECT_EQ(32, lagg.member(c.port()).buckets);
}

TEST_F(Flows, FollowTheSpeedOfTheMembersWithoutAWord) {
    vdev const fast = sink("speed=30000");
    lagg_port lagg("policy=loadbalance,member=" + a.name() + ",member=" + fast.name());
    ASSERT_TRUE(lagg.ok());
    lagg.start();
    EXPECT_EQ(64, lagg.member(a.port()).buckets);
    EXPECT_EQ(192, lagg.member(fast.port()).buckets);
    auto const s = lagg.status();
    std::array<int, 2> owned{};
    for (std::uint8_t const owner : s.bucket) {
        ASSERT_GT(2, owner);
        ++owned[owner];
    }
    EXPECT_EQ(64, owned[0]);
    EXPECT_EQ(192, owned[1]);
}

TEST_F(Flows, SymmetricPutsBothDirectionsOnOneMember) {
    lagg_port lagg("policy=loadbalance,symmetric=1," + members());
    ASSERT_TRUE(lagg.ok());
    lagg.start();
    std::set<std::uint16_t> used;
    for (std::uint32_t f = 0; f < 64; ++f) {
        auto there = frames(1, f);
        auto back = frames(1, f);
        auto* const p = rte_pktmbuf_mtod(back[0], std::uint8_t*);
        std::swap_ranges(p, p + 6, p + 6);
        std::swap_ranges(p + 26, p + 30, p + 30);
        std::swap_ranges(p + 34, p + 36, p + 36);
        auto const one = rte_pmd_lagg_flow_member(lagg.id(), there[0], nullptr);
        EXPECT_EQ(one, rte_pmd_lagg_flow_member(lagg.id(), back[0], nullptr));
        used.insert(one);
        free_all(there);
        free_all(back);
    }
    EXPECT_EQ(3u, used.size());
}

TEST_F(Flows, AnotherSeedIsAnotherMapping) {
    lagg_port lagg("policy=loadbalance,seed=1," + members());
    ASSERT_TRUE(lagg.ok());
    lagg.start();
    auto const one = mapping(lagg);
    ASSERT_EQ(0, rte_pmd_lagg_seed_set(lagg.id(), 2));
    EXPECT_LT(flows / 3, moved(one, mapping(lagg)));
    ASSERT_EQ(0, rte_pmd_lagg_seed_set(lagg.id(), 1));
    EXPECT_EQ(0u, moved(one, mapping(lagg)));
}

// Switches under traffic

/// Sends numbered frames and takes them in at the far ends, both on one thread: what became of each
/// is known.
class numbered_traffic {
public:
    numbered_traffic(std::uint16_t lagg, std::vector<std::uint16_t> far)
        : lagg_(lagg), far_(std::move(far)), thread_([this] {
              while (!stop_.load(std::memory_order_relaxed)) {
                  burst();
                  done_.fetch_add(1, std::memory_order_release);
              }
          }) {}
    ~numbered_traffic() { stop(); }
    void stop() {
        stop_ = true;
        if (thread_.joinable()) {
            thread_.join();
        }
    }
    void rounds(std::uint64_t n) const {
        std::uint64_t const goal = done_.load(std::memory_order_acquire) + n + 1;
        wait_until([&] { return done_.load(std::memory_order_acquire) >= goal; }, "traffic");
    }
    /// After stop(): frames that were given back, on one member, on all; anything else fails the
    /// test.
    struct sums {
        std::size_t given_back = 0;
        std::size_t on_one = 0;
        std::size_t on_all = 0;
        std::size_t wrong = 0;
    };
    sums result() const {
        sums out;
        for (fate const& f : fates_) {
            unsigned const total = std::accumulate(f.seen.begin(), f.seen.end(), 0U);
            bool const each_once =
                std::all_of(f.seen.begin(), f.seen.end(), [](auto n) { return n == 1; });
            if (!f.taken && total == 0) {
                ++out.given_back;
            } else if (f.taken && total == 1) {
                ++out.on_one;
            } else if (f.taken && each_once) {
                ++out.on_all;
            } else {
                ++out.wrong;
            }
        }
        return out;
    }

private:
    struct fate {
        bool taken = false;
        std::array<std::uint8_t, 3> seen{};
    };
    static constexpr std::size_t number_at = 44;

    void burst() {
        constexpr std::uint16_t size = 16;
        auto const first = static_cast<std::uint32_t>(fates_.size());
        auto list = frames(size, first);
        for (std::uint32_t i = 0; i < size; ++i) {
            std::uint32_t const number = first + i;
            std::memcpy(rte_pktmbuf_mtod_offset(list[i], void*, number_at), &number, 4);
        }
        fates_.resize(fates_.size() + size, fate{true, {}});
        std::uint16_t const n = rte_eth_tx_burst(lagg_, 0, list.data(), size);
        for (std::size_t i = n; i < list.size(); ++i) {
            fates_[number_of(list[i])].taken = false;
            rte_pktmbuf_free(list[i]);
        }
        for (std::size_t m = 0; m < far_.size(); ++m) {
            rte_mbuf* got[32];
            while (std::uint16_t const k = rte_eth_rx_burst(far_[m], 0, got, 32)) {
                for (std::uint16_t i = 0; i < k; ++i) {
                    ++fates_[number_of(got[i])].seen[m];
                    rte_pktmbuf_free(got[i]);
                }
            }
        }
    }
    static std::uint32_t number_of(rte_mbuf const* m) {
        std::uint32_t number = 0;
        std::memcpy(&number, rte_pktmbuf_mtod_offset(m, void const*, number_at), 4);
        return number;
    }

    std::uint16_t const lagg_;
    std::vector<std::uint16_t> const far_;
    std::vector<fate> fates_;
    std::atomic<bool> stop_{false};
    std::atomic<std::uint64_t> done_{0};
    std::thread thread_;
};

struct PolicySwitch : testing::Test {
    unsigned before = pool_level();
    wire_pair x = wire();
    wire_pair y = wire();
    wire_pair z = wire();

    void TearDown() override {
        for (wire_pair* const w : {&x, &y, &z}) {
            w->near.close();
            w->far.close();
        }
        EXPECT_EQ(before, pool_level());
    }
    std::string members() const {
        return "member=" + x.near.name() + ",member=" + y.near.name() + ",member=" + z.near.name();
    }
};

TEST_F(PolicySwitch, R7FromEachToEachUnderTrafficEveryFrameIsOnOneMemberOnAllOrGivenBack) {
    lagg_port lagg("policy=none," + members());
    ASSERT_TRUE(lagg.ok());
    lagg.start();
    numbered_traffic running(lagg.id(), {x.far.port(), y.far.port(), z.far.port()});
    running.rounds(1);
    for (auto const from : all_policies) {
        for (auto const to : all_policies) {
            ASSERT_EQ(0, rte_pmd_lagg_policy_set(lagg.id(), from));
            running.rounds(1);
            ASSERT_EQ(0, rte_pmd_lagg_policy_set(lagg.id(), to));
            running.rounds(1);
        }
    }
    running.stop();
    auto const sums = running.result();
    EXPECT_EQ(0u, sums.wrong);
    EXPECT_LT(0u, sums.given_back) << "under none";
    EXPECT_LT(0u, sums.on_one);
    EXPECT_LT(0u, sums.on_all) << "under broadcast";
    EXPECT_EQ(sums.on_one + sums.on_all, lagg.stats().opackets);
    EXPECT_EQ(0u, lagg.xstat("tx_dropped_copy_refused") + lagg.xstat("tx_dropped_copy_no_memory"));
}

TEST_F(PolicySwitch, R8AfterTheBarrierNoBurstFollowsTheOldPolicy) {
    lagg_port lagg("policy=broadcast,primary=" + x.near.name() + "," + members());
    ASSERT_TRUE(lagg.ok());
    lagg.start();
    numbered_traffic running(lagg.id(), {x.far.port(), y.far.port(), z.far.port()});
    for (auto const from : {RTE_PMD_LAGG_POLICY_BROADCAST, RTE_PMD_LAGG_POLICY_ROUNDROBIN,
                            RTE_PMD_LAGG_POLICY_LOADBALANCE}) {
        for (int i = 0; i < 5; ++i) {
            ASSERT_EQ(0, rte_pmd_lagg_policy_set(lagg.id(), from));
            running.rounds(1);
            ASSERT_EQ(0, rte_pmd_lagg_policy_set(lagg.id(), RTE_PMD_LAGG_POLICY_FAILOVER));
            while (rte_pmd_lagg_barrier(lagg.id(), 1000) != 0) {
            }
            std::uint64_t const others =
                rte_pmd_wire_sent(y.near.port()) + rte_pmd_wire_sent(z.near.port());
            running.rounds(2);
            EXPECT_EQ(others, rte_pmd_wire_sent(y.near.port()) + rte_pmd_wire_sent(z.near.port()));
        }
    }
    running.stop();
    EXPECT_EQ(0u, running.result().wrong);
    EXPECT_EQ(0u, running.result().given_back);
}

TEST_F(PolicySwitch, WhileMembersComeAndGoEveryFrameIsAccountedFor) {
    lagg_port lagg("policy=loadbalance," + members());
    ASSERT_TRUE(lagg.ok());
    lagg.start();
    traffic running(lagg.id());
    std::atomic<bool> stop{false};
    std::array<std::size_t, 3> arrived{};
    std::thread far([&] {
        std::array const ends{x.far.port(), y.far.port(), z.far.port()};
        while (!stop) {
            for (std::size_t i = 0; i < ends.size(); ++i) {
                arrived[i] += receive_all(ends[i]);
            }
            std::this_thread::yield();
        }
        for (std::size_t i = 0; i < ends.size(); ++i) {
            arrived[i] += receive_all(ends[i]);
        }
    });
    std::array const single{RTE_PMD_LAGG_POLICY_ROUNDROBIN, RTE_PMD_LAGG_POLICY_FAILOVER,
                            RTE_PMD_LAGG_POLICY_LOADBALANCE, RTE_PMD_LAGG_POLICY_NONE};
    std::array const near{x.near.port(), y.near.port(), z.near.port()};
    for (std::size_t i = 0; i < 24; ++i) {
        ASSERT_EQ(0, rte_pmd_lagg_policy_set(lagg.id(), single[i % single.size()]));
        lagg.remove(near[i % near.size()]);
        running.rounds(1);
        lagg.add(near[i % near.size()]);
    }
    running.stop();
    stop = true;
    far.join();
    EXPECT_EQ(0u, running.wrong());
    EXPECT_EQ(running.taken(), arrived[0] + arrived[1] + arrived[2]);
    EXPECT_EQ(running.taken(), lagg.stats().opackets);
    EXPECT_EQ(running.offered() - running.taken(), lagg.xstat("tx_given_back"));
}

} // namespace
} // namespace lagg::test
