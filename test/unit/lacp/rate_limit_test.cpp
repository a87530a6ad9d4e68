#include "lacp/rate_limit.h"

#include "two_systems.h"

#include <gtest/gtest.h>

#include <deque>

namespace lagg::lacp {
namespace {

TEST(RateLimit, AdmitsNoMoreThanItsBoundInAnySecond) {
    rate_limit limit;
    std::deque<time_point> admitted;
    std::size_t total = 0;
    for (time_point t = 0s; t < 10s; t += 1370us) {
        if (limit.admit(t)) {
            ++total;
            admitted.push_back(t);
            while (t - admitted.front() >= 1s) {
                admitted.pop_front();
            }
            ASSERT_LE(admitted.size(), most_rx_per_second);
        }
    }
    EXPECT_GE(total, 9 * most_rx_per_second);
}

TEST(RateLimit, NeverMindsARateBelowTheBound) {
    rate_limit limit;
    for (time_point t = 0s; t < 10s; t += 16ms) {
        ASSERT_TRUE(limit.admit(t));
    }
}

} // namespace
} // namespace lagg::lacp
