// What a snapshot is before anybody built one, and what it contains.
#include "lagg/snapshot.h"

#include <gtest/gtest.h>

namespace lagg {
namespace {

TEST(Snapshot, OfNothingIsAnOrdinaryOneThatSendsNothing) {
    snapshot const s;
    EXPECT_EQ(s.how, spread::nobody);
    EXPECT_EQ(s.run, run_state::stopped);
    EXPECT_TRUE(s.polled.empty());
    EXPECT_TRUE(s.distributing.empty());
    EXPECT_GE(s.stride, 1U);
    EXPECT_FALSE(contains(s, 0));
    EXPECT_FALSE(contains(s, no_port));
}

TEST(Snapshot, ContainsWhatItPollsAndWhatItSendsTo) {
    snapshot s;
    s.polled.push_back({.port = 3, .id = 0});
    s.distributing.push_back({.port = 5, .id = 1});
    EXPECT_TRUE(contains(s, 3));
    EXPECT_TRUE(contains(s, 5));
    EXPECT_FALSE(contains(s, 4));
}

TEST(Snapshot, HoldsEveryMemberThatALaggCanHave) {
    snapshot s;
    for (std::size_t i = 0; i < max_members; ++i) {
        auto const id = static_cast<member_id>(i);
        EXPECT_TRUE(s.polled.push_back({.port = id, .id = id}));
        EXPECT_TRUE(s.distributing.push_back({.port = id, .id = id}));
    }
    EXPECT_TRUE(contains(s, static_cast<port_id>(max_members - 1)));
    EXPECT_FALSE(contains(s, static_cast<port_id>(max_members)));
}

} // namespace
} // namespace lagg
