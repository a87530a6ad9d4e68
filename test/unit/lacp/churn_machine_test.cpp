#include "lacp/churn_machine.h"

#include "two_systems.h"

#include <gtest/gtest.h>

namespace lagg::lacp {
namespace {

TEST(ChurnMachine, FindsChurnWhenAnEnabledPortIsOutOfSyncForAMinute) {
    churn_machine m;
    EXPECT_FALSE(m.step(false, false, 10s));
    EXPECT_EQ(m.deadline(), never);
    EXPECT_TRUE(m.step(true, false, 10s));
    EXPECT_EQ(m.deadline(), 70s);
    EXPECT_FALSE(m.step(true, false, 70s - 1ns));
    EXPECT_TRUE(m.step(true, false, 70s));
    EXPECT_EQ(m.state(), churn_state::churn);
    EXPECT_EQ(m.count(), 1U);
    EXPECT_FALSE(m.step(true, false, 700s));
}

TEST(ChurnMachine, EndsChurnWithSync) {
    churn_machine m;
    m.step(true, false, 10s);
    m.step(true, false, 70s);
    EXPECT_TRUE(m.step(true, true, 80s));
    EXPECT_EQ(m.state(), churn_state::no_churn);
    EXPECT_FALSE(m.step(true, true, 800s));
}

TEST(ChurnMachine, WatchesForAnotherMinuteWhenSyncIsLost) {
    churn_machine m;
    m.step(true, true, 10s);
    EXPECT_TRUE(m.step(true, true, 10s));
    EXPECT_EQ(m.state(), churn_state::no_churn);
    EXPECT_TRUE(m.step(true, false, 20s));
    EXPECT_EQ(m.state(), churn_state::monitor);
    EXPECT_EQ(m.deadline(), 80s);
}

TEST(ChurnMachine, BeginsAgainFromEveryStateWhenThePortWasDisabled) {
    for (int const kind : {0, 1, 2}) {
        churn_machine m;
        m.step(true, false, 10s);
        if (kind == 1) {
            m.step(true, true, 11s);
            ASSERT_EQ(m.state(), churn_state::no_churn);
        } else if (kind == 2) {
            m.step(true, false, 70s);
            ASSERT_EQ(m.state(), churn_state::churn);
        }
        EXPECT_TRUE(m.step(false, kind == 1, 71s));
        EXPECT_EQ(m.state(), churn_state::monitor);
        EXPECT_EQ(m.deadline(), never);
        EXPECT_FALSE(m.step(false, kind == 1, 500s));
        EXPECT_TRUE(m.step(true, false, 500s));
        EXPECT_EQ(m.deadline(), 560s);
    }
}

} // namespace
} // namespace lagg::lacp
