// A kernel, or a sandbox, that refuses membarrier: from the start, then bursts and control fence
// for themselves; or later, as a container's new rules might, then nothing is concluded from a
// fence that did not happen.  A filter is for the life of a process, so these tests have programs
// of their own, and one argument says when the filter comes.
#include "traffic.h"

#include "epoch/asymmetric_fence.h"

#include <gtest/gtest.h>

#include <rte_eal.h>

#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace lagg::test {
namespace {

std::string when; // start or later

/// From now on membarrier fails with -EPERM, on every thread there is and will be.
bool refuse_membarrier() {
    sock_filter rules[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_membarrier, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    sock_fprog const program{static_cast<unsigned short>(std::size(rules)), rules};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program) != 0) {
        std::fprintf(stderr, "seccomp: %s\n", std::strerror(errno));
        return false;
    }
    return syscall(SYS_membarrier, 0, 0) == -1 && errno == EPERM;
}

struct RefusedFromTheStart : testing::Test {
    unsigned before = pool_level();
    vdev a = sink("check=1");
    vdev b = sink("check=1");
    void SetUp() override {
        if (when != "start") {
            GTEST_SKIP() << "of the other program";
        }
        ASSERT_EQ(0, rte_pmd_wire_poison_on_stop(a.port(), true));
        ASSERT_EQ(0, rte_pmd_wire_poison_on_stop(b.port(), true));
    }
    void TearDown() override {
        EXPECT_EQ(0u, rte_pmd_wire_in_burst_violation_count(a.port()));
        EXPECT_EQ(0u, rte_pmd_wire_in_burst_violation_count(b.port()));
        EXPECT_EQ(before, pool_level());
    }
    std::string members() const { return "member=" + a.name() + ",member=" + b.name(); }
};

TEST_F(RefusedFromTheStart, RealFencesAreUsedAndShown) {
    EXPECT_EQ(epoch::fence_kind::real, epoch::choose_fence());
    lagg_port lagg("policy=loadbalance," + members());
    ASSERT_TRUE(lagg.ok());
    lagg.start();
    EXPECT_STREQ("real", lagg.status().fence);
    EXPECT_EQ(0u, lagg.xstat("fence_is_membarrier"));
    EXPECT_EQ(32, send(lagg.id(), frames(32)));
}

TEST_F(RefusedFromTheStart, MembersComeAndGoUnderTrafficAndNothingIsLost) {
    lagg_port lagg("policy=roundrobin,member=" + a.name());
    ASSERT_TRUE(lagg.ok());
    lagg.start(full_traffic::queues());
    full_traffic t(lagg.id());
    constexpr std::array policies{RTE_PMD_LAGG_POLICY_ROUNDROBIN, RTE_PMD_LAGG_POLICY_LOADBALANCE,
                                  RTE_PMD_LAGG_POLICY_FAILOVER};
    for (int i = 0; i < 60; ++i) {
        lagg.add(b.port());
        ASSERT_EQ(0, rte_pmd_lagg_policy_set(lagg.id(), policies[i % policies.size()]));
        if (i % 4 == 0) {
            t.rounds(2);
        }
        lagg.remove(b.port());
        auto const bursts = rte_pmd_wire_burst_count(b.port());
        if (i % 4 == 1) {
            t.rounds(2);
        }
        ASSERT_EQ(bursts, rte_pmd_wire_burst_count(b.port()));
    }
    ASSERT_EQ(0, rte_pmd_lagg_barrier(lagg.id(), 10'000));
    t.stop();
    EXPECT_EQ(0u, t.wrong());
    EXPECT_EQ(t.offered(), t.taken());
    EXPECT_EQ(t.taken(), rte_pmd_wire_sent(a.port()) + rte_pmd_wire_sent(b.port()));
    lagg.until([](auto const& s) { return s.live_snapshots == 1; });
}

TEST_F(RefusedFromTheStart, R4AParkedBurstKeepsWhatItUses) {
    lagg_port lagg("policy=loadbalance," + members());
    ASSERT_TRUE(lagg.ok());
    lagg.start(2);
    parked_send burst(lagg.id(), 16, &epoch::cell_hooks::after_pin);
    for (std::uint32_t i = 0; i < 1000; ++i) {
        ASSERT_EQ(0, rte_pmd_lagg_seed_set(lagg.id(), i));
    }
    EXPECT_EQ(-EINPROGRESS, rte_pmd_lagg_member_remove(lagg.id(), a.port(), 20));
    EXPECT_EQ(-EINPROGRESS, rte_pmd_lagg_member_remove(lagg.id(), b.port(), 20));
    EXPECT_LE(lagg.status().live_snapshots, 5u); // two rx and two tx cells, and the newest
    burst.release();
    EXPECT_EQ(16, burst.taken());
    lagg.until([](auto const& s) { return s.nb_members == 0 && s.live_snapshots == 1; });
}

/// Refused once it is in use.  There is no way back, so this is the last test of its program.
TEST(RefusedLater, PublishesOnButFreesStopsAndBorrowsNothing) {
    if (when != "later") {
        GTEST_SKIP() << "of the other program";
    }
    if (epoch::choose_fence() != epoch::fence_kind::membarrier) {
        GTEST_SKIP() << "no membarrier on this kernel";
    }
    auto& a = *new vdev(sink());
    auto& b = *new vdev(sink());
    // Never destroyed: it cannot be.
    auto& lagg = *new lagg_port("policy=failover,primary=" + a.name() + ",member=" + a.name() +
                                ",member=" + b.name());
    ASSERT_TRUE(lagg.ok());
    lagg.start();
    EXPECT_STREQ("membarrier", lagg.status().fence);
    EXPECT_EQ(8, send(lagg.id(), frames(8)));
    EXPECT_EQ(8u, rte_pmd_wire_sent(a.port()));
    ASSERT_EQ(1u, lagg.status().live_snapshots);
    ASSERT_TRUE(refuse_membarrier());

    // In effect for the next burst all the same.
    ASSERT_EQ(0, rte_pmd_lagg_primary_set(lagg.id(), b.name().c_str()));
    EXPECT_EQ(8, send(lagg.id(), frames(8)));
    EXPECT_EQ(8u, rte_pmd_wire_sent(b.port()));
    for (std::uint32_t i = 0; i < 50; ++i) {
        ASSERT_EQ(0, rte_pmd_lagg_seed_set(lagg.id(), i));
    }
    EXPECT_GE(lagg.status().live_snapshots, 51u) << "what no fence covered is kept";
    EXPECT_EQ(-ETIMEDOUT, rte_pmd_lagg_barrier(lagg.id(), 50));
    // Nobody knows whether a burst is in it, so it is not stopped.
    std::uint64_t const stops = counters_of(a.port()).stops;
    EXPECT_EQ(-EINPROGRESS, rte_pmd_lagg_member_remove(lagg.id(), a.port(), 100));
    EXPECT_STREQ("leaving", lagg.member(a.port()).phase);
    EXPECT_EQ(stops, counters_of(a.port()).stops);
    EXPECT_EQ(lagg.name(), owner_of(a.port()));
    std::uint64_t const to_a = rte_pmd_wire_sent(a.port());
    EXPECT_EQ(8, send(lagg.id(), frames(8)));
    EXPECT_EQ(to_a, rte_pmd_wire_sent(a.port())) << "but nothing is sent to it any more";
    EXPECT_EQ(-EBUSY, rte_eth_dev_stop(lagg.id()));
}

} // namespace
} // namespace lagg::test

int main(int argc, char** argv) {
    testing::InitGoogleTest(&argc, argv);
    lagg::test::when = argc > 1 ? argv[1] : "start";
    if (lagg::test::when == "start" && !lagg::test::refuse_membarrier()) {
        std::fprintf(stderr, "this machine lets nobody refuse a system call\n");
        return 77;
    }
    std::string const prefix = "--file-prefix=fences" + std::to_string(getpid());
    std::vector<std::string> words{argv[0],    "--no-huge",      "--no-shconf", "-m", "256",
                                   "--no-pci", "--no-telemetry", "-l",          "0",  prefix};
    std::vector<char*> eal;
    for (auto& w : words) {
        eal.push_back(w.data());
    }
    if (rte_eal_init(static_cast<int>(eal.size()), eal.data()) < 0) {
        return 1;
    }
    int const rc = RUN_ALL_TESTS();
    if (lagg::test::when == "later") {
        std::fflush(nullptr);
        _exit(rc); // a lagg lives that cannot end
    }
    rte_eal_cleanup();
    return rc;
}
