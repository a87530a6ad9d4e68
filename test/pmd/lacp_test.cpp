// Two laggs back to back, policy lacp on both: what an application gets, and what it need not do.
#include "fixture.h"
#include "rte_pmd_lagg_lacp.h"
#include "traffic.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace lagg::test {
namespace {

using namespace std::chrono_literals;

std::string const brisk = "policy=lacp,lacp_wait_while=0,lsc_poll_period_ms=5"; // fast by default

/// `links` wires between two started laggs.
class pair_of_laggs {
public:
    explicit pair_of_laggs(int links = 2, std::string const& a_args = "",
                           std::string const& b_args = "", std::string const& wire_args = "") {
        std::string a = brisk + (a_args.empty() ? "" : "," + a_args);
        std::string b = brisk + (b_args.empty() ? "" : "," + b_args);
        for (int i = 0; i < links; ++i) {
            near.emplace_back("net_wire", wire_args);
            far.emplace_back("net_wire", "peer=" + near.back().name() +
                                             (wire_args.empty() ? "" : "," + wire_args));
            a += ",member=" + near.back().name();
            b += ",member=" + far.back().name();
        }
        here = std::make_unique<lagg_port>(a);
        there = std::make_unique<lagg_port>(b);
        here->start();
        there->start();
    }

    /// Both ends distribute on `links` members; nobody polls meanwhile.
    void negotiated(unsigned links) const {
        for (lagg_port const* l : {here.get(), there.get()}) {
            l->until([links](auto const& s) { return distributing(s) == links; });
        }
    }

    static unsigned distributing(rte_pmd_lagg_status const& s) {
        return static_cast<unsigned>(std::count_if(s.members, s.members + s.nb_members,
                                                   [](auto const& m) { return m.distributing; }));
    }

    static rte_pmd_lagg_lacp_info info(lagg_port const& l, vdev const& member) {
        rte_pmd_lagg_lacp_info i{};
        EXPECT_EQ(0, rte_pmd_lagg_lacp_info_get(l.id(), member.port(), &i));
        return i;
    }

    std::vector<vdev> near;
    std::vector<vdev> far;
    std::unique_ptr<lagg_port> here;
    std::unique_ptr<lagg_port> there;
};

class Lacp : public testing::Test {
protected:
    unsigned before = pool_level();
    void TearDown() override { EXPECT_EQ(before, pool_level()) << "mbufs lost or freed twice"; }
};

/// Sends all as an application that tries again what was given back.
void send_all(std::uint16_t port, std::vector<rte_mbuf*> list) {
    std::size_t done = 0;
    wait_until(
        [&] {
            done += rte_eth_tx_burst(port, 0, list.data() + done,
                                     static_cast<std::uint16_t>(list.size() - done));
            return done == list.size();
        },
        "a burst that is taken");
}

/// What a lagg says it lost, by reason.
std::string losses(std::uint16_t lagg) {
    std::vector<rte_eth_xstat_name> names(
        static_cast<std::size_t>(rte_eth_xstats_get_names(lagg, nullptr, 0)));
    std::vector<rte_eth_xstat> values(names.size());
    rte_eth_xstats_get_names(lagg, names.data(), static_cast<unsigned>(names.size()));
    rte_eth_xstats_get(lagg, values.data(), static_cast<unsigned>(values.size()));
    std::string text;
    for (auto const& v : values) {
        std::string const name = names[v.id].name;
        if (v.value != 0 && name.find("drop") != std::string::npos) {
            text += name + " " + std::to_string(v.value) + " ";
        }
    }
    return text;
}

std::size_t receive_exactly(std::uint16_t port, std::size_t wanted) {
    std::size_t got = 0;
    wait_until(
        [&] {
            got += receive_all(port);
            return got >= wanted;
        },
        "frames that arrive");
    return got;
}

TEST_F(Lacp, NegotiatesWithoutABurstOfEitherApplication) {
    pair_of_laggs p;
    p.negotiated(2);
    auto const i = pair_of_laggs::info(*p.here, p.near[0]);
    EXPECT_STREQ("current", i.receive);
    EXPECT_TRUE(i.in_use);
    EXPECT_EQ(i.aggregator, pair_of_laggs::info(*p.here, p.near[1]).aggregator);
    wait_until(
        [&] { return (pair_of_laggs::info(*p.here, p.near[0]).partner.state & 0x3d) == 0x3d; },
        "a partner that is synchronized, collecting and distributing");
    EXPECT_GT(i.last_change_ms, 0U);
    EXPECT_GT(i.last_rx_ms, 0U);
    EXPECT_GE(p.here->xstat("member_" + p.near[0].name() + "_lacp_last_change_ms"),
              i.last_change_ms);
    EXPECT_TRUE(p.here->status().link_up);
    EXPECT_EQ(20000U, p.here->status().link_speed_mbps);
}

TEST_F(Lacp, CarriesDataBothWaysAndNoSlowFrameReachesTheApplication) {
    pair_of_laggs p;
    p.negotiated(2);
    for (std::uint32_t round = 0; round < 50; ++round) {
        send_all(p.here->id(), frames(32, round * 32));
        EXPECT_EQ(32U, receive_exactly(p.there->id(), 32));
        send_all(p.there->id(), frames(32, round * 32));
        EXPECT_EQ(32U, receive_exactly(p.here->id(), 32));
    }
    auto const i = pair_of_laggs::info(*p.here, p.near[0]);
    EXPECT_GT(i.counters.lacpdus_rx, 0U);
    EXPECT_GT(i.counters.lacpdus_tx, 0U);
    EXPECT_EQ(0U, i.counters.illegal_rx);
}

TEST_F(Lacp, DropsASilentLinkWithinThreePdusAndTakesItBack) {
    pair_of_laggs p;
    p.negotiated(2);
    rte_pmd_wire_cut_silent(p.near[1].port());
    p.negotiated(1);
    EXPECT_TRUE(p.here->member(p.near[1].port()).link_up) << "its carrier never went";
    EXPECT_TRUE(p.here->member(p.near[0].port()).distributing);
    rte_pmd_wire_heal(p.near[1].port());
    p.negotiated(2);
}

TEST_F(Lacp, LeavesALinkWithoutCarrierAtOnce) {
    pair_of_laggs p;
    p.negotiated(2);
    rte_pmd_wire_cut(p.near[0].port());
    p.here->settle();
    EXPECT_EQ(1U, pair_of_laggs::distributing(p.here->status()));
    rte_pmd_wire_heal(p.near[0].port());
    p.negotiated(2);
}

TEST_F(Lacp, KeepsItsLinksForAMinuteAndTheFramesInOrderWhenNobodyPolls) {
    pair_of_laggs p(1);
    p.negotiated(1);
    constexpr std::uint32_t count = 200;
    for (std::uint32_t i = 0; i < count; ++i) {
        send_all(p.there->id(), frames(1, i));
    }
    // One PDU a second: as many as a silent partner would never have got.
    auto const heard = pair_of_laggs::info(*p.here, p.near[0]).counters.lacpdus_rx;
    auto const wanted = static_cast<std::uint64_t>(times(5, 60));
    auto const deadline = std::chrono::steady_clock::now() + std::chrono::seconds(3 * wanted);
    while (pair_of_laggs::info(*p.here, p.near[0]).counters.lacpdus_rx < heard + wanted) {
        ASSERT_LT(std::chrono::steady_clock::now(), deadline);
        ASSERT_EQ(1U, pair_of_laggs::distributing(p.here->status()));
        std::this_thread::yield();
    }
    std::uint32_t next = 0;
    wait_until(
        [&] {
            rte_mbuf* got[32];
            std::uint16_t const n = rte_eth_rx_burst(p.here->id(), 0, got, 32);
            for (std::uint16_t i = 0; i < n; ++i) {
                auto const expected = frames(1, next++);
                EXPECT_EQ(0, std::memcmp(rte_pktmbuf_mtod(got[i], char const*),
                                         rte_pktmbuf_mtod(expected[0], char const*),
                                         expected[0]->data_len))
                    << "frame " << next - 1;
                rte_pktmbuf_free(expected[0]);
                rte_pktmbuf_free(got[i]);
            }
            return next >= count;
        },
        "what was stashed");
    EXPECT_EQ(count, next);
}

TEST_F(Lacp, KeepsItsLinksAtTheSlowRateWhenNobodyPolls) {
    if (times(0, 1) == 0) {
        GTEST_SKIP() << "two minutes: four PDUs at the slow rate; with test/run.sh --long";
    }
    pair_of_laggs p(1, "lacp_rate=slow", "lacp_rate=slow");
    p.negotiated(1);
    auto const heard = pair_of_laggs::info(*p.here, p.near[0]).counters.lacpdus_rx;
    auto const deadline = std::chrono::steady_clock::now() + std::chrono::minutes(4);
    while (pair_of_laggs::info(*p.here, p.near[0]).counters.lacpdus_rx < heard + 4) {
        ASSERT_LT(std::chrono::steady_clock::now(), deadline);
        ASSERT_EQ(1U, pair_of_laggs::distributing(p.here->status()));
        ASSERT_EQ(1U, pair_of_laggs::distributing(p.there->status()));
        std::this_thread::yield();
    }
}

/// On wires that receive as a NIC does: into mbufs of the rx queue's own pool.
TEST_F(Lacp, KeepsItsLinksWhenTheApplicationsPoolIsEmpty) {
    pair_of_laggs p(2, "", "", "rx=copy");
    p.negotiated(2);
    std::vector<rte_mbuf*> hoard;
    while (rte_mbuf* const m = rte_pktmbuf_alloc(pool())) {
        hoard.push_back(m);
    }
    ASSERT_EQ(0U, pool_level());
    auto const heard = pair_of_laggs::info(*p.here, p.near[0]).counters.lacpdus_rx;
    wait_until(
        [&] {
            EXPECT_EQ(2U, pair_of_laggs::distributing(p.here->status()));
            return pair_of_laggs::info(*p.here, p.near[0]).counters.lacpdus_rx >= heard + 4;
        },
        "four more PDUs");
    free_all(hoard);
}

TEST_F(Lacp, LosesItsLinksToAnEmptyPoolWhereNothingIsSteered) {
    // What the test above would not show if its wires handed the partner's mbufs over.
    pair_of_laggs p(1, "lacp_steering=0", "lacp_steering=0", "rx=copy");
    p.negotiated(1);
    EXPECT_EQ(0U, p.here->xstat("control_steered"));
    std::vector<rte_mbuf*> hoard;
    while (rte_mbuf* const m = rte_pktmbuf_alloc(pool())) {
        hoard.push_back(m);
    }
    p.here->until([](auto const& s) { return pair_of_laggs::distributing(s) == 0; });
    free_all(hoard);
    p.negotiated(1);
}

TEST_F(Lacp, HearsItsPartnerThroughQueuesThatNobodyEmpties) {
    pair_of_laggs p(2);
    p.negotiated(2);
    ASSERT_LT(0U, p.here->xstat("control_steered")) << "a wire can steer";
    // Data until every ring at the other end is full.
    std::size_t refused = 0;
    for (int i = 0; i < 4000 && refused < 10; ++i) {
        auto list = frames(32, static_cast<std::uint32_t>(i) * 32);
        std::uint16_t const n = rte_eth_tx_burst(p.there->id(), 0, list.data(), 32);
        refused = n == 0 ? refused + 1 : 0;
        std::vector<rte_mbuf*> rest(list.begin() + n, list.end());
        free_all(rest);
    }
    ASSERT_EQ(10U, refused);
    auto const heard = pair_of_laggs::info(*p.here, p.near[0]).counters.lacpdus_rx;
    auto const deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (pair_of_laggs::info(*p.here, p.near[0]).counters.lacpdus_rx < heard + 5) {
        ASSERT_LT(std::chrono::steady_clock::now(), deadline);
        ASSERT_EQ(2U, pair_of_laggs::distributing(p.here->status()));
        std::this_thread::yield();
    }
    receive_all(p.here->id());
    wait_until([&] { return receive_all(p.here->id()) == 0; }, "empty rings");
}

/// What one lagg was given and what the other one received, by an application that sends no more
/// than the other can take.
struct both_ways {
    std::array<std::uint64_t, 2> taken{};
    std::array<std::uint64_t, 2> received{};

    // So many frames wait at each end before it receives some, so long does a round take: with
    // both, a frame is received long after it arrived.
    std::uint64_t backlog = 0;
    std::chrono::microseconds pace{0};

    void round(pair_of_laggs const& p, std::uint32_t flow) {
        std::array const laggs{p.here->id(), p.there->id()};
        auto const end = std::chrono::steady_clock::now() + pace;
        for (std::size_t from = 0; from < 2; ++from) {
            taken[from] += send(laggs[from], frames(16, flow));
            rte_mbuf* got[16];
            if (taken[from] - received[from] > backlog) {
                std::uint16_t const n = rte_eth_rx_burst(laggs[1 - from], 0, got, 16);
                rte_pktmbuf_free_bulk(got, n);
                received[from] += n;
            }
        }
        while (std::chrono::steady_clock::now() < end) {
            std::this_thread::yield();
        }
    }
};

void lose_nothing_while_a_member_drains(std::string const& args, both_ways sums = {}) {
    pair_of_laggs p(3, args, args);
    p.negotiated(3);
    std::atomic<bool> done{false};
    std::thread operator_at_work([&] {
        EXPECT_EQ(0, rte_pmd_lagg_member_drain(p.here->id(), p.near[2].port(), 20000));
        p.negotiated(2);
        p.here->add(p.near[2].port());
        p.negotiated(3);
        done.store(true);
    });
    for (std::uint32_t flow = 0; !done.load(); flow += 16) {
        sums.round(p, flow);
    }
    operator_at_work.join();
    wait_until(
        [&] {
            sums.received[1] += receive_all(p.here->id());
            sums.received[0] += receive_all(p.there->id());
            return sums.received == sums.taken;
        },
        ("every frame; lost here: " + losses(p.here->id()) + ", there: " + losses(p.there->id()))
            .c_str());
    EXPECT_GT(sums.taken[0], 0U);
}

TEST_F(Lacp, LosesNothingWhileAMemberDrainsUnderTraffic) {
    lose_nothing_while_a_member_drains("");
}

/// LACP's frames are heard before the data that their sender sent first.
TEST_F(Lacp, LosesNothingWhileAMemberDrainsAndDataWaitsToBePolled) {
    lose_nothing_while_a_member_drains("", {.backlog = 800, .pace = 500us});
}

TEST_F(Lacp, LosesNothingWhileAMemberDrainsWhereNothingIsSteered) {
    lose_nothing_while_a_member_drains("lacp_steering=0", {.backlog = 800, .pace = 500us});
}

TEST_F(Lacp, SwitchesToEveryPolicyAndBackUnderTraffic) {
    pair_of_laggs p;
    p.negotiated(2);
    traffic a(p.here->id());
    traffic b(p.there->id());
    for (auto const policy : {RTE_PMD_LAGG_POLICY_ROUNDROBIN, RTE_PMD_LAGG_POLICY_FAILOVER,
                              RTE_PMD_LAGG_POLICY_LOADBALANCE, RTE_PMD_LAGG_POLICY_BROADCAST,
                              RTE_PMD_LAGG_POLICY_NONE}) {
        ASSERT_EQ(0, rte_pmd_lagg_policy_set(p.here->id(), policy));
        a.rounds(20);
        ASSERT_EQ(0, rte_pmd_lagg_policy_set(p.here->id(), RTE_PMD_LAGG_POLICY_LACP));
        a.rounds(20);
    }
    p.negotiated(2);
    a.flows();
    a.stop();
    b.stop();
    EXPECT_EQ(0U, a.wrong() + b.wrong());
    receive_all(p.here->id());
    receive_all(p.there->id());
}

TEST_F(Lacp, UsesOneAggregatorOnlyWhenCablesGoToTwoPartners) { // D9
    std::vector<vdev> near;
    std::vector<vdev> far;
    std::string all = brisk;
    for (int i = 0; i < 4; ++i) {
        near.emplace_back("net_wire", "");
        far.emplace_back("net_wire", "peer=" + near.back().name());
        all += ",member=" + near.back().name();
    }
    lagg_port here(all);
    lagg_port first(brisk + ",member=" + far[0].name() + ",member=" + far[1].name());
    lagg_port second(brisk + ",member=" + far[2].name() + ",member=" + far[3].name());
    here.start();
    first.start();
    second.start();
    here.until([](auto const& s) { return pair_of_laggs::distributing(s) == 2; });
    here.settle();
    auto const s = here.status();
    EXPECT_EQ(s.members[0].distributing, s.members[1].distributing);
    EXPECT_EQ(s.members[2].distributing, s.members[3].distributing);
    EXPECT_NE(s.members[0].distributing, s.members[2].distributing);
}

TEST_F(Lacp, ReportsItsLinkDownWhileNothingDistributes) { // D11
    vdev lonely = sink();
    lagg_port lagg(brisk + ",member=" + lonely.name());
    lagg.start();
    lagg.settle();
    EXPECT_TRUE(lagg.member(lonely.port()).usable);
    EXPECT_FALSE(lagg.status().link_up);
    auto list = frames(4);
    EXPECT_EQ(0, rte_eth_tx_burst(lagg.id(), 0, list.data(), 4));
    free_all(list);
}

TEST_F(Lacp, AsksForTheFastRateOfMembersThatJoinLater) { // D12
    vdev near("net_wire", "");
    vdev far("net_wire", "peer=" + near.name());
    pair_of_laggs p(1);
    p.negotiated(1);
    auto const i = pair_of_laggs::info(*p.there, p.far[0]);
    EXPECT_NE(0U, i.partner.state & RTE_PMD_LAGG_LACP_SHORT_TIMEOUT);
    p.here->add(near.port());
    p.there->add(far.port());
    p.negotiated(2);
    EXPECT_NE(0U,
              pair_of_laggs::info(*p.there, far).partner.state & RTE_PMD_LAGG_LACP_SHORT_TIMEOUT);
}

TEST_F(Lacp, ChangesItsSettingsLive) {
    pair_of_laggs p;
    p.negotiated(2);
    rte_pmd_lagg_lacp_conf conf{};
    ASSERT_EQ(0, rte_pmd_lagg_lacp_get(p.here->id(), &conf));
    conf.system_priority = 100;
    conf.fast = false;
    ASSERT_EQ(0, rte_pmd_lagg_lacp_set(p.here->id(), &conf));
    wait_until(
        [&] {
            auto const i = pair_of_laggs::info(*p.there, p.far[0]);
            return i.partner.system_priority == 100 &&
                   (i.partner.state & RTE_PMD_LAGG_LACP_SHORT_TIMEOUT) == 0;
        },
        "the partner's view");
    p.negotiated(2);
    conf.max_links = 1;
    ASSERT_EQ(0, rte_pmd_lagg_lacp_set(p.here->id(), &conf));
    p.negotiated(1);
    rte_pmd_lagg_lacp_conf bad = conf;
    bad.max_links = 0;
    EXPECT_EQ(-EINVAL, rte_pmd_lagg_lacp_set(p.here->id(), &bad));
    bad = conf;
    std::memset(&bad.select, 0x5a, sizeof bad.select);
    EXPECT_EQ(-EINVAL, rte_pmd_lagg_lacp_set(p.here->id(), &bad));
    rte_pmd_lagg_lacp_conf after{};
    ASSERT_EQ(0, rte_pmd_lagg_lacp_get(p.here->id(), &after));
    EXPECT_EQ(1U, after.max_links);
}

TEST_F(Lacp, PrefersTheMemberWithTheBetterPortPriority) {
    pair_of_laggs p(2, "max_links=1");
    p.negotiated(1);
    rte_pmd_lagg_lacp_member_conf better{};
    better.priority = 1;
    auto const standby = p.here->member(p.near[0].port()).distributing ? 1U : 0U;
    ASSERT_EQ(0,
              rte_pmd_lagg_lacp_member_set(p.here->id(), p.near[standby].name().c_str(), &better));
    rte_pmd_lagg_lacp_conf conf{};
    ASSERT_EQ(0, rte_pmd_lagg_lacp_get(p.here->id(), &conf));
    conf.system_priority = 1; // our priorities count
    ASSERT_EQ(0, rte_pmd_lagg_lacp_set(p.here->id(), &conf));
    p.here->until([&](auto const& s) {
        return std::any_of(s.members, s.members + s.nb_members, [&](auto const& m) {
            return m.port == p.near[standby].port() && m.distributing;
        });
    });
    p.negotiated(1);
}

TEST_F(Lacp, FallsBackToExactlyOneMemberWithoutAPartnerAndEndsWhenOneSpeaks) {
    vdev a = sink();
    vdev b = sink();
    lagg_port lagg(brisk + ",lacp_fallback=one:0,member=" + a.name() + ",member=" + b.name());
    lagg.start();
    lagg.until([](auto const& s) { return pair_of_laggs::distributing(s) == 1; });
    EXPECT_EQ(4, send(lagg.id(), frames(4)));
}

} // namespace
} // namespace lagg::test
