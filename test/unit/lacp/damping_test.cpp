#include "lacp/damping.h"

#include "two_systems.h"

#include <gtest/gtest.h>

namespace lagg::lacp {
namespace {

constexpr damping_settings fifteen{.half_life = 15s, .suppress_at = 2500, .reuse_at = 1000};

TEST(Damping, CostsNothingWithoutAHalfLife) {
    damping d;
    for (int i = 0; i < 50; ++i) {
        d.flap({}, 1s);
    }
    EXPECT_EQ(d.penalty({}, 1s), 0U);
    EXPECT_FALSE(d.suppressed(1s));
    EXPECT_EQ(d.deadline(), never);
}

TEST(Damping, HalvesThePenaltyWithEachHalfLife) {
    damping d;
    d.flap(fifteen, 100s);
    EXPECT_EQ(d.penalty(fifteen, 100s), 1000U);
    EXPECT_EQ(d.penalty(fifteen, 115s), 500U);
    EXPECT_EQ(d.penalty(fifteen, 130s), 250U);
    EXPECT_EQ(d.penalty(fifteen, 100s + 15s * 20), 0U);
    EXPECT_EQ(d.penalty(fifteen, 500h), 0U);
}

TEST(Damping, NeverRisesByItself) {
    damping d;
    for (int i = 0; i < 7; ++i) {
        d.flap(fifteen, 100s);
    }
    auto last = d.penalty(fifteen, 100s);
    for (time_point t = 100s; t < 400s; t += 37ms) {
        auto const p = d.penalty(fifteen, t);
        ASSERT_LE(p, last) << t.count();
        last = p;
    }
}

TEST(Damping, LeavesOutAtTheThresholdAndUsesAgainBelowTheOther) {
    damping d;
    d.flap(fifteen, 100s);
    d.flap(fifteen, 100s);
    EXPECT_FALSE(d.suppressed(100s));
    d.flap(fifteen, 100s);
    EXPECT_TRUE(d.suppressed(100s));
    auto const end = d.deadline();
    EXPECT_EQ(d.penalty(fifteen, end - 1us), fifteen.reuse_at);
    EXPECT_EQ(d.penalty(fifteen, end), fifteen.reuse_at - 1);
    EXPECT_TRUE(d.suppressed(end - 1ns));
    EXPECT_FALSE(d.suppressed(end));
    EXPECT_EQ(d.deadline(), never);
}

TEST(Damping, KeepsTheEndWhateverItIsAskedMeanwhile) {
    damping a;
    damping b;
    for (int i = 0; i < 3; ++i) {
        a.flap(fifteen, 100s);
        b.flap(fifteen, 100s);
    }
    for (time_point t = 100s; t < 110s; t += 1ms) {
        b.suppressed(t);
        (void)b.penalty(fifteen, t);
    }
    a.flap(fifteen, 110s);
    b.flap(fifteen, 110s);
    EXPECT_EQ(a.deadline(), b.deadline());
}

TEST(Damping, HasABound) {
    damping d;
    for (int i = 0; i < 100; ++i) {
        d.flap(fifteen, 100s);
    }
    EXPECT_EQ(d.penalty(fifteen, 100s), most_penalty);
    EXPECT_LT(d.deadline(), 100s + 4 * 15s);
}

TEST(Damping, KeepsWhatWasGatheredWhenSettingsChange) {
    damping d;
    for (int i = 0; i < 4; ++i) {
        d.flap(fifteen, 100s);
    }
    damping_settings slower = fifteen;
    slower.half_life = 150s;
    d.change(fifteen, slower, 115s);
    EXPECT_EQ(d.penalty(slower, 115s), 2000U);
    EXPECT_TRUE(d.suppressed(115s));
    EXPECT_GT(d.deadline(), 115s + 150s - 1s);
    d.change(slower, {}, 116s);
    EXPECT_FALSE(d.suppressed(116s));
    EXPECT_EQ(d.penalty({}, 116s), 0U);
}

} // namespace
} // namespace lagg::lacp
