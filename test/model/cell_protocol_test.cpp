// The cell's protocol, explored exhaustively under sequential consistency, x86-TSO and C++20, and
// each weakening of it found out by the memories that can show it.  One that no memory found would
// mean that the word of the protocol it removes is not needed, or that the model is blind.
//
// LAGG_MODEL_FULL=1: larger bounds (minutes, some GB).  LAGG_MODEL_TRACE=1: print how each mutant
// fails.
#include "cell_protocol.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <iostream>
#include <ostream>
#include <sstream>
#include <string>

namespace model {

// For the names of parameters in reports.
void PrintTo(limits const& l, std::ostream* out);
void PrintTo(limits const& l, std::ostream* out) {
    *out << l.cells << " cells, " << l.publishes << " publishes, " << l.bursts << " bursts, "
         << l.borrows << " borrowings, " << l.failures << " failed fences, "
         << (l.real_fences ? "real fences" : "membarrier");
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
        std::cout << Memory::name << ": " << o.states << " states\n";
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
                                         limits{2, 2, 2, 0, 0, false}));
INSTANTIATE_TEST_SUITE_P(RealFences, CellProtocol,
                         testing::Values(limits{1, 3, 3, 1, 0, true}, limits{1, 3, 2, 1, 1, true},
                                         limits{2, 1, 1, 1, 0, true}, limits{2, 3, 1, 0, 0, true}));

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
                                         limits{2, 3, 2, 0, 0, false},
                                         limits{2, 3, 2, 0, 0, true}));

/// A weakening, and which memories show it.
struct expected {
    mutant what;
    char const* name;
    bool sequential;
    bool x86;
    bool cpp;
    bool real_fences = false;
};

class Weakening : public testing::TestWithParam<expected> {
protected:
    template<class Memory>
    void is_found(bool should) {
        limits const bounds{1, 3, 2, 1, 1, GetParam().real_fences};
        outcome const o = explore<Memory>(bounds, GetParam().what);
        if (should) {
            EXPECT_STRNE(o.violation, "") << "nobody would notice";
        } else {
            // Shown so that nobody takes the weaker check for enough.
            EXPECT_STREQ(o.violation, "") << tell(o);
        }
        if (std::getenv("LAGG_MODEL_TRACE") != nullptr) {
            std::cout << Memory::name << ": " << tell(o) << '\n';
        }
    }
};

TEST_P(Weakening, IsFoundByTheMemoriesThatCanShowIt) {
    {
        SCOPED_TRACE("SC");
        is_found<sequential>(GetParam().sequential);
    }
    {
        SCOPED_TRACE("x86-TSO");
        is_found<total_store_order>(GetParam().x86);
    }
    {
        SCOPED_TRACE("C++20");
        is_found<cpp20>(GetParam().cpp);
    }
}

constexpr bool yes = true;
constexpr bool no = false;

INSTANTIATE_TEST_SUITE_P(
    Of, Weakening,
    testing::Values(
        //                                                                       SC   x86  C++
        expected{mutant::no_recheck, "NoRecheck", yes, yes, yes},
        expected{mutant::recheck_relaxed, "RecheckRelaxed", no, no, yes},
        expected{mutant::pin_relaxed, "PinRelaxed", no, no, yes},
        expected{mutant::no_light_fence, "NoLightFenceAgainstARealOne", no, yes, yes, true},
        expected{mutant::no_heavy_fence, "NoHeavyFence", no, yes, yes},
        expected{mutant::none_relaxed, "NoneRelaxed", no, no, yes},
        expected{mutant::pinned_read_relaxed, "PinnedReadRelaxed", no, no, yes},
        expected{mutant::borrow_without_heavy_fence, "BorrowWithoutHeavyFence", no, yes, yes},
        expected{mutant::borrow_without_looking, "BorrowWithoutLooking", yes, yes, yes},
        expected{mutant::give_back_relaxed, "GiveBackRelaxed", no, no, yes},
        expected{mutant::newer_without_repin, "NewerTakenWithoutPinningIt", yes, yes, yes},
        expected{mutant::free_without_waiting, "FreeWithoutWaiting", yes, yes, yes},
        expected{mutant::control_follows_pinned, "ControlFollowsPinned", yes, yes, yes},
        expected{mutant::give_back_of_the_old, "GiveBackOfTheSnapshotOfTheBorrowing", yes, yes,
                 yes},
        expected{mutant::publish_over_sentinel, "PublishOverASentinel", yes, yes, yes},
        expected{mutant::failed_fence_trusted, "FailedFenceTrusted", no, yes, yes},
        expected{mutant::fence_before_stores, "FenceBeforeTheStores", no, yes, yes},
        expected{mutant::install_relaxed, "InstallRelaxed", no, no, yes},
        expected{mutant::queue_used_without_snapshot, "QueueUsedWithoutASnapshot", yes, yes, yes}),
    [](auto const& given) { return std::string(given.param.name); });

} // namespace
} // namespace model
