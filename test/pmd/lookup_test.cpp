// R13: which member a flow goes to, asked beforehand, and sending there as long as the answer
// holds.
#include "traffic.h"

#include <array>

namespace lagg::test {
namespace {

struct Lookup : testing::Test {
    unsigned before = pool_level();
    std::array<vdev, 3> sinks{sink("speed=10000"), sink("speed=25000"), sink("speed=10000")};

    void TearDown() override { EXPECT_EQ(before, pool_level()); }
    std::string members() const {
        std::string text;
        for (vdev const& v : sinks) {
            text += ",member=" + v.name();
        }
        return text;
    }
    std::size_t index_of(std::uint16_t port) const {
        for (std::size_t i = 0; i < sinks.size(); ++i) {
            if (sinks[i].port() == port) {
                return i;
            }
        }
        return sinks.size();
    }
    std::array<std::uint64_t, 3> sent() const {
        return {rte_pmd_wire_sent(sinks[0].port()), rte_pmd_wire_sent(sinks[1].port()),
                rte_pmd_wire_sent(sinks[2].port())};
    }
    /// Each flow goes where the lookup says.
    std::uint32_t const many = static_cast<std::uint32_t>(times(3'000, 100'000));
    void agrees(lagg_port const& lagg, std::uint32_t flows, std::uint16_t burst) const {
        auto const version_now = lagg.status().version;
        for (std::uint32_t f = 0; f < flows; f += burst) {
            auto list = frames(burst, f * 7);
            auto expected = sent();
            for (rte_mbuf const* const m : list) {
                std::uint64_t version = 0;
                auto const at = index_of(rte_pmd_lagg_flow_member(lagg.id(), m, &version));
                ASSERT_LT(at, sinks.size());
                ASSERT_EQ(version_now, version);
                ++expected[at];
            }
            ASSERT_EQ(burst, send(lagg.id(), list));
            ASSERT_EQ(expected, sent()) << "flow " << f;
        }
    }
};

rte_mbuf* one(std::uint32_t flow) {
    return frames(1, flow)[0];
}

std::uint16_t ask(std::uint16_t lagg, std::uint64_t* version = nullptr) {
    rte_mbuf* const m = one(1);
    auto const member = rte_pmd_lagg_flow_member(lagg, m, version);
    rte_pktmbuf_free(m);
    return member;
}

TEST_F(Lookup, R13NamesTheMemberThatTheFrameLeavesThrough) {
    lagg_port lagg("policy=loadbalance" + members());
    ASSERT_TRUE(lagg.ok());
    lagg.start();
    agrees(lagg, 2000, 1);
    agrees(lagg, 100'000, 50);
    for (std::uint32_t const fields :
         {RTE_PMD_LAGG_HASH_L2, RTE_PMD_LAGG_HASH_L3, RTE_PMD_LAGG_HASH_L4,
          RTE_PMD_LAGG_HASH_L3 | RTE_PMD_LAGG_HASH_L4}) {
        ASSERT_EQ(0, rte_pmd_lagg_hash_set(lagg.id(), fields));
        agrees(lagg, many, 30);
    }
    ASSERT_EQ(0, rte_pmd_lagg_symmetric_set(lagg.id(), true));
    agrees(lagg, many, 30);
    for (std::uint32_t seed = 1; seed < 10; ++seed) {
        ASSERT_EQ(0, rte_pmd_lagg_seed_set(lagg.id(), seed));
        agrees(lagg, 300, 30);
    }
    ASSERT_EQ(0, rte_pmd_lagg_weight_set(lagg.id(), sinks[2].name().c_str(), 200));
    agrees(lagg, many, 30);
    lagg.remove(sinks[1].port());
    agrees(lagg, many, 30);
    lagg.remove(sinks[0].port());
    agrees(lagg, many, 30);
    ASSERT_EQ(0, rte_pmd_lagg_policy_set(lagg.id(), RTE_PMD_LAGG_POLICY_FAILOVER));
    agrees(lagg, many, 30);
    lagg.add(sinks[0].port());
    ASSERT_EQ(0, rte_pmd_lagg_primary_set(lagg.id(), sinks[0].name().c_str()));
    agrees(lagg, many, 30);
}

TEST_F(Lookup, R13SaysNobodyWhereNoFlowHasAMember) {
    lagg_port lagg("policy=roundrobin" + members());
    ASSERT_TRUE(lagg.ok());
    std::uint64_t version = 0;
    EXPECT_EQ(RTE_PMD_LAGG_NO_MEMBER, ask(lagg.id())); // not started
    lagg.start();
    for (auto const policy : {RTE_PMD_LAGG_POLICY_ROUNDROBIN, RTE_PMD_LAGG_POLICY_BROADCAST,
                              RTE_PMD_LAGG_POLICY_NONE}) {
        ASSERT_EQ(0, rte_pmd_lagg_policy_set(lagg.id(), policy));
        EXPECT_EQ(RTE_PMD_LAGG_NO_MEMBER, ask(lagg.id(), &version)) << policy;
        EXPECT_EQ(lagg.status().version, version);
    }
    for (vdev const& v : sinks) {
        lagg.remove(v.port());
    }
    for (int p = RTE_PMD_LAGG_POLICY_NONE; p <= RTE_PMD_LAGG_POLICY_BROADCAST; ++p) {
        ASSERT_EQ(0, rte_pmd_lagg_policy_set(lagg.id(), static_cast<rte_pmd_lagg_policy>(p)));
        EXPECT_EQ(RTE_PMD_LAGG_NO_MEMBER, ask(lagg.id(), &version)) << p;
        EXPECT_EQ(0, send(lagg.id(), frames(3)));
    }
    lagg.add(sinks[0].port());
    ASSERT_EQ(0, rte_pmd_lagg_policy_set(lagg.id(), RTE_PMD_LAGG_POLICY_LOADBALANCE));
    EXPECT_EQ(sinks[0].port(), ask(lagg.id()));
    ASSERT_EQ(0, rte_pmd_lagg_admin_set(lagg.id(), false));
    EXPECT_EQ(RTE_PMD_LAGG_NO_MEMBER, ask(lagg.id()));
    EXPECT_EQ(RTE_PMD_LAGG_NO_MEMBER, ask(sinks[1].port())); // no lagg
    EXPECT_EQ(RTE_PMD_LAGG_NO_MEMBER, ask(60'000));
}

TEST_F(Lookup, R13AStaleAnswerSendsNothing) {
    lagg_port lagg("policy=loadbalance" + members());
    ASSERT_TRUE(lagg.ok());
    lagg.start();
    std::uint64_t version = 0;
    auto const member = ask(lagg.id(), &version);
    auto list = frames(8, 1);
    auto const all = list;
    // What the change is does not matter, nor whether this flow would move.
    std::uint16_t const leaves = sinks[index_of(member) == 2 ? 1 : 2].port();
    std::function<void()> const changes[] = {
        [&] { lagg.remove(leaves); },
        [&] { lagg.add(leaves); },
        [&] { EXPECT_EQ(0, rte_pmd_lagg_seed_set(lagg.id(), 4711)); },
        [&] { EXPECT_EQ(0, rte_pmd_lagg_policy_set(lagg.id(), RTE_PMD_LAGG_POLICY_FAILOVER)); },
        [&] { EXPECT_EQ(0, rte_pmd_lagg_policy_set(lagg.id(), RTE_PMD_LAGG_POLICY_LOADBALANCE)); },
        [&] { EXPECT_EQ(0, rte_pmd_lagg_admin_set(lagg.id(), false)); },
        [&] { EXPECT_EQ(0, rte_pmd_lagg_admin_set(lagg.id(), true)); },
    };
    for (auto const& change : changes) {
        change();
        auto const was = sent();
        EXPECT_EQ(-ESTALE, rte_pmd_lagg_tx_on(lagg.id(), 0, member, version, list.data(), 8));
        EXPECT_EQ(was, sent());
        EXPECT_EQ(all, list);
        EXPECT_EQ(before - 8, pool_level());
    }
    // Looked up again it holds; and only for members that distribute.
    auto const again = ask(lagg.id(), &version);
    EXPECT_EQ(-ESTALE, rte_pmd_lagg_tx_on(lagg.id(), 0, 31, version, list.data(), 8));
    EXPECT_EQ(-ESTALE, rte_pmd_lagg_tx_on(lagg.id(), 0, again, version + 1, list.data(), 8));
    EXPECT_EQ(-EINVAL, rte_pmd_lagg_tx_on(lagg.id(), 1, again, version, list.data(), 8));
    EXPECT_EQ(-ENODEV, rte_pmd_lagg_tx_on(again, 0, again, version, list.data(), 8));
    auto const was = rte_pmd_wire_sent(again);
    EXPECT_EQ(8, rte_pmd_lagg_tx_on(lagg.id(), 0, again, version, list.data(), 8));
    EXPECT_EQ(was + 8, rte_pmd_wire_sent(again));
    EXPECT_EQ(8u, lagg.stats().opackets);
}

TEST_F(Lookup, R13SendingOnTheAnswerNeverMissesTheMemberWhileEverythingChanges) {
    lagg_port lagg("policy=loadbalance" + members());
    ASSERT_TRUE(lagg.ok());
    lagg.start();
    std::atomic<bool> quit{false};
    std::atomic<unsigned> rounds{0};
    std::uint64_t stale = 0;
    std::uint64_t taken = 0;
    std::thread sender([&] {
        for (std::uint32_t flow = 0; !quit; ++flow) {
            rte_mbuf* list[] = {one(flow)};
            for (;;) {
                std::uint64_t version = 0;
                auto const member = rte_pmd_lagg_flow_member(lagg.id(), list[0], &version);
                if (member == RTE_PMD_LAGG_NO_MEMBER) {
                    rte_pktmbuf_free(list[0]);
                    break;
                }
                auto const was = sent();
                int const n = rte_pmd_lagg_tx_on(lagg.id(), 0, member, version, list, 1);
                auto expected = was;
                if (n == 1) {
                    ++expected[index_of(member)];
                }
                if (n == 1 || n == -ESTALE) {
                    EXPECT_EQ(expected, sent());
                } else {
                    ADD_FAILURE() << n;
                }
                if (n == 1) {
                    ++taken;
                    break;
                }
                ++stale;
            }
            ++rounds;
        }
    });
    for (int i = 0; i < 300; ++i) {
        vdev const& v = sinks[static_cast<std::size_t>(i) % 3];
        lagg.remove(v.port());
        ASSERT_EQ(0, rte_pmd_lagg_seed_set(lagg.id(), static_cast<std::uint32_t>(i)));
        lagg.add(v.port());
        if (i % 10 == 0) {
            unsigned const was = rounds;
            wait_until([&] { return rounds > was + 10; });
        }
    }
    quit = true;
    sender.join();
    auto const total = sent();
    EXPECT_EQ(taken, total[0] + total[1] + total[2]);
    EXPECT_EQ(taken, lagg.stats().opackets);
    RecordProperty("stale", static_cast<int>(stale));
}

} // namespace
} // namespace lagg::test
