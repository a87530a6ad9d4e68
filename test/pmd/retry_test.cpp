// When an awaited member is tried again that found no memory; time is an argument.
#include "lagg_retry.h"

#include <gtest/gtest.h>

namespace lagg::pmd {
namespace {

using namespace std::chrono_literals;

TEST(RetryTimes, WhatNeverFailedIsDueAtOnce) {
    retry_times r;
    EXPECT_EQ(time_point{0}, r.due("a"));
    EXPECT_FALSE(r.under_way("a"));
    r.begin("a");
    EXPECT_TRUE(r.under_way("a"));
    EXPECT_EQ(never, r.due("a")) << "not twice at a time";
}

TEST(RetryTimes, PausesDoubleUpToTheLongest) {
    retry_times r;
    time_point now = 5s;
    time_point expected = retry_times::first_pause;
    for (int i = 0; i < 20; ++i) {
        r.begin("a");
        EXPECT_EQ(i == 0, r.failed("a", now)) << "the first one is news";
        EXPECT_FALSE(r.under_way("a"));
        ASSERT_EQ(now + expected, r.due("a"));
        now = r.due("a");
        expected = std::min(2 * expected, retry_times::last_pause);
    }
    EXPECT_EQ(retry_times::last_pause, expected);
}

TEST(RetryTimes, AnHourWithoutMemoryIsAFewHundredTries) {
    retry_times r;
    int tries = 0;
    for (time_point now = 0s; now < 1h; now = r.due("a"), ++tries) {
        r.begin("a");
        r.failed("a", now);
    }
    EXPECT_LT(tries, 370);
    EXPECT_GT(tries, 350);
}

TEST(RetryTimes, WhatSucceededBeginsAnewAndOthersDoNotCare) {
    retry_times r;
    for (char const* const name : {"a", "b"}) {
        r.begin(name);
        r.failed(name, 1s);
        r.begin(name);
        r.failed(name, 2s);
    }
    r.forget("a");
    EXPECT_EQ(time_point{0}, r.due("a"));
    EXPECT_EQ(2s + 2 * retry_times::first_pause, r.due("b"));
    r.begin("a");
    EXPECT_TRUE(r.failed("a", 3s));
}

TEST(RetryTimes, AFailureOfWhatWasNeverTriedIsNotRemembered) {
    retry_times r;
    EXPECT_FALSE(r.failed("a", 1s));
    EXPECT_EQ(time_point{0}, r.due("a"));
}

} // namespace
} // namespace lagg::pmd
