// The cell's protocol, explored exhaustively under sequential consistency, x86-TSO, on a machine
// that executes out of order as Arm's, and in C++20, and each weakening of it found out by the
// memories that can show it.  One that no memory found would mean that the word of the protocol it
// removes is not needed, or that the model is blind.
//
// LAGG_MODEL_FULL=1: larger bounds (minutes, some GB).  LAGG_MODEL_TRACE=1: print how each mutant
// fails.
#include "arm.h"
#include "cell_protocol.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <iostream>
#include <ostream>
#include <set>
#include <sstream>
#include <string>

namespace model {

// For the names of parameters in reports.
void PrintTo(limits const& l, std::ostream* out);
void PrintTo(limits const& l, std::ostream* out) {
    *out << l.cells << " cells, " << l.publishes << " publishes, " << l.bursts << " bursts, "
         << l.borrows << " borrowings, " << l.failures << " failed fences, "
         << (l.real_fences ? "real fences" : "membarrier")
         << (l.member ? ", a member that leaves and is added again" : "");
}

namespace {

std::string tell(outcome const& o) {
    std::ostringstream text;
    text << o.violation;
    for (auto const& line : o.trace) {
        text << "\n    " << line;
    }
    return text.str();
}

// Acquire is compiled to ldar, or, for ARMv8.3, to ldapr, which orders less: what holds there holds
// everywhere.
using arm_ldar = arm<acquire_as::ldar>;
using arm_ldapr = arm<acquire_as::ldapr>;

bool full() {
    return std::getenv("LAGG_MODEL_FULL") != nullptr;
}

class CellProtocol : public testing::TestWithParam<limits> {
protected:
    template<class Memory>
    void holds() {
        outcome const o = explore<Memory>(GetParam());
        EXPECT_STREQ(o.violation, "") << tell(o);
        EXPECT_GT(o.states, 1000U);
        RecordProperty("states", std::to_string(o.states));
        std::cout << "model: " << Memory::name << "; ";
        PrintTo(GetParam(), &std::cout);
        std::cout << "; " << o.states << " states\n";
    }
};

TEST_P(CellProtocol, HoldsUnderSequentialConsistency) {
    holds<sequential>();
}
TEST_P(CellProtocol, HoldsOnX86) {
    holds<total_store_order>();
}
TEST_P(CellProtocol, HoldsInCpp20WithoutARace) {
    holds<cpp20>();
}

//                              cells publishes bursts borrows failures
INSTANTIATE_TEST_SUITE_P(Membarrier, CellProtocol,
                         testing::Values(limits{1, 3, 3, 1, 0, false}, limits{1, 3, 2, 1, 1, false},
                                         limits{2, 1, 1, 1, 0, false}, limits{2, 3, 1, 0, 0, false},
                                         limits{2, 2, 2, 0, 0, false},
                                         limits{1, 3, 2, 1, 0, false, true},
                                         limits{2, 2, 1, 0, 0, false, true}));
INSTANTIATE_TEST_SUITE_P(RealFences, CellProtocol,
                         testing::Values(limits{1, 3, 3, 1, 0, true}, limits{1, 3, 2, 1, 1, true},
                                         limits{2, 1, 1, 1, 0, true}, limits{2, 3, 1, 0, 0, true},
                                         limits{1, 3, 2, 1, 0, true, true}));

class CellProtocolOutOfOrder : public CellProtocol {};

TEST_P(CellProtocolOutOfOrder, HoldsOnArm) {
    holds<arm_ldar>();
}
TEST_P(CellProtocolOutOfOrder, HoldsOnArmWithWeakerAcquires) {
    holds<arm_ldapr>();
}

INSTANTIATE_TEST_SUITE_P(Membarrier, CellProtocolOutOfOrder,
                         testing::Values(limits{1, 3, 3, 1, 0, false}, limits{1, 3, 2, 1, 1, false},
                                         limits{2, 1, 1, 1, 0, false}, limits{2, 2, 1, 0, 0, false},
                                         limits{1, 3, 2, 1, 0, false, true}));
INSTANTIATE_TEST_SUITE_P(RealFences, CellProtocolOutOfOrder,
                         testing::Values(limits{1, 3, 3, 1, 0, true}, limits{1, 3, 2, 1, 1, true},
                                         limits{2, 1, 1, 1, 0, true}, limits{2, 2, 1, 0, 0, true},
                                         limits{1, 3, 2, 1, 0, true, true}));

class CellProtocolInFull : public CellProtocol {
    void SetUp() override {
        if (!full()) {
            GTEST_SKIP() << "LAGG_MODEL_FULL is not set";
        }
    }
};

TEST_P(CellProtocolInFull, HoldsUnderSequentialConsistency) {
    holds<sequential>();
}
TEST_P(CellProtocolInFull, HoldsOnX86) {
    holds<total_store_order>();
}
TEST_P(CellProtocolInFull, HoldsInCpp20WithoutARace) {
    holds<cpp20>();
}

INSTANTIATE_TEST_SUITE_P(BothFences, CellProtocolInFull,
                         testing::Values(limits{1, 3, 3, 2, 1, false}, limits{1, 3, 3, 2, 1, true},
                                         limits{2, 2, 2, 1, 0, false}, limits{2, 2, 2, 1, 0, true},
                                         limits{2, 3, 2, 0, 0, false}, limits{2, 3, 2, 0, 0, true},
                                         limits{1, 3, 2, 1, 1, false, true},
                                         limits{1, 3, 2, 1, 1, true, true}));

class CellProtocolOutOfOrderInFull : public CellProtocolInFull {};

TEST_P(CellProtocolOutOfOrderInFull, HoldsOnArm) {
    holds<arm_ldar>();
}
TEST_P(CellProtocolOutOfOrderInFull, HoldsOnArmWithWeakerAcquires) {
    holds<arm_ldapr>();
}

INSTANTIATE_TEST_SUITE_P(BothFences, CellProtocolOutOfOrderInFull,
                         testing::Values(limits{1, 3, 3, 2, 1, false}, limits{1, 3, 3, 2, 1, true},
                                         limits{2, 3, 1, 0, 0, false}, limits{2, 3, 1, 0, 0, true},
                                         limits{2, 2, 1, 0, 0, false, true},
                                         limits{1, 3, 2, 1, 1, true, true}));

/// A weakening, and which memories show it.
struct expected {
    mutant what;
    char const* name;
    bool sequential;
    bool x86;
    bool arm;
    bool ldapr;
    bool cpp;
    bool real_fences = false;
    bool member = false;
};

class Weakening : public testing::TestWithParam<expected> {
protected:
    template<class Memory>
    void is_found(bool should) {
        SCOPED_TRACE(Memory::name);
        limits const bounds{1, 3, 2, 1, 1, GetParam().real_fences, GetParam().member};
        outcome const o = explore<Memory>(bounds, GetParam().what);
        if (should) {
            EXPECT_STRNE(o.violation, "") << "nobody would notice";
        } else {
            // Shown so that nobody takes the weaker check for enough.
            EXPECT_STREQ(o.violation, "") << tell(o);
        }
        if (*o.violation != '\0') {
            found_by_ += std::string(found_by_.empty() ? "" : "; ") + Memory::name;
        }
        if (std::getenv("LAGG_MODEL_TRACE") != nullptr) {
            std::cout << Memory::name << ": " << tell(o) << '\n';
        }
    }
    std::string found_by_;
};

TEST_P(Weakening, IsFoundByTheMemoriesThatCanShowIt) {
    is_found<sequential>(GetParam().sequential);
    is_found<total_store_order>(GetParam().x86);
    is_found<arm_ldar>(GetParam().arm);
    is_found<arm_ldapr>(GetParam().ldapr);
    is_found<cpp20>(GetParam().cpp);
    EXPECT_NE(found_by_, "") << "not needed, or not seen";
    std::cout << "mutant " << GetParam().name << ": " << found_by_ << '\n';
}

constexpr bool yes = true;
constexpr bool no = false;

// clang-format off
expected const weakenings[] = {
    //                                                                            SC   x86  Arm  ldapr C++
    {mutant::no_recheck, "NoRecheck",                                             yes, yes, yes, yes, yes},
    {mutant::recheck_relaxed, "RecheckRelaxed",                                   no,  no,  yes, yes, yes},
    {mutant::pin_relaxed, "PinRelaxed",                                           no,  no,  no,  no,  yes},
    {mutant::no_light_fence, "NoLightFenceAgainstARealOne",                       no,  yes, no,  yes, yes, true},
    {mutant::no_heavy_fence, "NoHeavyFence",                                      no,  yes, yes, yes, yes},
    {mutant::none_relaxed, "NoneRelaxed",                                         no,  no,  yes, yes, yes},
    {mutant::pinned_read_relaxed, "PinnedReadRelaxed",                            no,  no,  yes, yes, yes},
    {mutant::borrow_without_heavy_fence, "BorrowWithoutHeavyFence",               no,  yes, no,  yes, yes},
    {mutant::borrow_without_looking, "BorrowWithoutLooking",                      yes, yes, yes, yes, yes},
    {mutant::give_back_relaxed, "GiveBackRelaxed",                                no,  no,  yes, yes, yes},
    {mutant::newer_without_repin, "NewerTakenWithoutPinningIt",                   yes, yes, yes, yes, yes},
    {mutant::free_without_waiting, "FreeWithoutWaiting",                          yes, yes, yes, yes, yes},
    {mutant::control_follows_pinned, "ControlFollowsPinned",                      yes, yes, yes, yes, yes},
    {mutant::give_back_of_the_old, "GiveBackOfTheSnapshotOfTheBorrowing",         yes, yes, yes, yes, yes},
    {mutant::publish_over_sentinel, "PublishOverASentinel",                       yes, yes, yes, yes, yes},
    {mutant::failed_fence_trusted, "FailedFenceTrusted",                          no,  yes, yes, yes, yes},
    {mutant::fence_before_stores, "FenceBeforeTheStores",                         no,  yes, no,  yes, yes},
    {mutant::install_relaxed, "InstallRelaxed",                                   no,  no,  yes, yes, yes},
    {mutant::queue_used_without_snapshot, "QueueUsedWithoutASnapshot",            yes, yes, yes, yes, yes},
    {mutant::stopped_while_retired, "MemberStoppedWhileARetiredSnapshotHasIt",    yes, yes, yes, yes, yes, false, true},
    {mutant::added_again_without_start, "StoppedMemberAddedAgainWithoutStart",    yes, yes, yes, yes, yes, false, true},
};
// clang-format on

INSTANTIATE_TEST_SUITE_P(Of, Weakening, testing::ValuesIn(weakenings),
                         [](auto const& given) { return std::string(given.param.name); });

TEST(Weakenings, AreAllTried) {
    std::set<mutant> tried;
    for (expected const& e : weakenings) {
        EXPECT_TRUE(tried.insert(e.what).second) << e.name;
    }
    EXPECT_EQ(static_cast<std::size_t>(mutant::last) - 1, tried.size());
}

} // namespace
} // namespace model
