// Which flows wait when they move, for what, and for how long at most.
#include "lagg/control/reorder_guard.h"

#include <gtest/gtest.h>

#include <chrono>
#include <initializer_list>
#include <vector>

namespace lagg {
namespace {

using namespace std::chrono_literals;

bucket_table shared_by(std::initializer_list<member_id> ids, bucket_table table = {}) {
    std::vector<share> shares;
    for (member_id const id : ids) {
        shares.push_back({.id = id, .weight = 1});
    }
    table.assign(shares);
    return table;
}

reorder_guard::member_set alive(std::initializer_list<member_id> ids) {
    reorder_guard::member_set set;
    for (member_id const id : ids) {
        set.set(id);
    }
    return set;
}

/// Member 1 joins member 0: half of the buckets move.
struct join {
    bucket_table before = shared_by({0});
    bucket_table after = shared_by({0, 1}, before);
    reorder_guard guard;

    join() { guard.table_changed(before, after, alive({0, 1}), 5, 50ms, 50ms); }
};

TEST(ReorderGuard, HoldsExactlyTheBucketsThatMoveFromAMemberThatWorks) {
    join j;
    auto const held = j.guard.held();
    for (std::size_t b = 0; b < bucket_count; ++b) {
        EXPECT_EQ(held.test(b), j.after.owner(b) == 1) << b;
    }
    EXPECT_TRUE(j.guard.waits_for(0));
    EXPECT_FALSE(j.guard.waits_for(1));
}

TEST(ReorderGuard, NeverWaitsForAMemberWhoseLinkDied) {
    bucket_table const before = shared_by({0, 1});
    reorder_guard guard;
    guard.table_changed(before, shared_by({1}, before), alive({1}), 5, 50ms, 50ms);
    EXPECT_TRUE(guard.idle());
    EXPECT_TRUE(guard.held().none());
}

TEST(ReorderGuard, HoldsNothingWhenTheFirstMemberComes) {
    reorder_guard guard;
    guard.table_changed(bucket_table{}, shared_by({0}), alive({0}), 1, 50ms, 50ms);
    EXPECT_TRUE(guard.idle());
}

TEST(ReorderGuard, SendsTheMarkerOnlyAfterTheBurstsThatSentThere) {
    join j;
    EXPECT_EQ(j.guard.awaited_version(), 5U);
    EXPECT_TRUE(j.guard.bursts_ended(4).empty());
    EXPECT_EQ(j.guard.bursts_ended(5), std::vector<member_id>{0});
    EXPECT_EQ(j.guard.awaited_version(), 0U);
    EXPECT_TRUE(j.guard.bursts_ended(6).empty()) << "once";
}

TEST(ReorderGuard, EndsWhenEveryQueuesMarkerCameBack) {
    join j;
    j.guard.bursts_ended(5);
    j.guard.sent(0, {7, 8});
    j.guard.answered(0, 8);
    EXPECT_TRUE(j.guard.held().any());
    j.guard.answered(1, 7);
    EXPECT_TRUE(j.guard.held().any()) << "somebody else's answer";
    j.guard.answered(0, 7);
    EXPECT_TRUE(j.guard.idle());
}

TEST(ReorderGuard, EndsAtItsBoundWhateverComesBack) {
    join j;
    EXPECT_EQ(j.guard.next_deadline(), time_point{50ms});
    j.guard.expire(49ms);
    EXPECT_TRUE(j.guard.held().any());
    j.guard.expire(50ms);
    EXPECT_TRUE(j.guard.idle());
    EXPECT_EQ(j.guard.next_deadline(), never);
}

TEST(ReorderGuard, GoesOnWaitingForTheAnswerAfterTheFlowsWereLetGo) {
    bucket_table const before = shared_by({0});
    reorder_guard guard;
    guard.table_changed(before, shared_by({0, 1}, before), alive({0, 1}), 5, 50ms, 3s);
    guard.bursts_ended(5);
    guard.sent(0, {7});
    guard.expire(50ms);
    EXPECT_TRUE(guard.held().none());
    EXPECT_TRUE(guard.waits_for(0));
    EXPECT_EQ(guard.next_deadline(), time_point{3s});
    guard.answered(0, 7);
    EXPECT_FALSE(guard.waits_for(0));
}

TEST(ReorderGuard, EndsAtOnceWhenNoMarkerCanBeSentOrTheMemberDies) {
    join unsent;
    unsent.guard.bursts_ended(5);
    unsent.guard.sent(0, {});
    EXPECT_TRUE(unsent.guard.idle());

    join died;
    died.guard.forget(0);
    EXPECT_TRUE(died.guard.idle());
}

TEST(ReorderGuard, LetsBucketsGoThatReturnToWhereTheyWere) {
    join j;
    j.guard.table_changed(j.after, shared_by({0}, j.after), alive({0}), 6, 60ms, 60ms);
    EXPECT_TRUE(j.guard.held().none());
}

TEST(ReorderGuard, KeepsHeldBucketsThatMoveOnWaitingForTheirFirstMemberOnly) {
    join j;
    auto const held = j.guard.held();
    bucket_table const next = shared_by({0, 2}, j.after); // 1 leaves, 2 comes
    j.guard.table_changed(j.after, next, alive({0, 1, 2}), 6, 60ms, 60ms);
    EXPECT_FALSE(j.guard.waits_for(1)) << "nothing of theirs was sent there";
    for (std::size_t b = 0; b < bucket_count; ++b) {
        EXPECT_TRUE(!held.test(b) || next.owner(b) == 0 || j.guard.held().test(b)) << b;
    }
}

TEST(ReorderGuard, AsksAPartnerThatNeverAnswersButWaitsForItNoMore) {
    reorder_guard guard;
    bucket_table one = shared_by({0});
    bucket_table const two = shared_by({0, 1}, one);
    for (std::uint64_t version = 1; version <= 2; ++version) {
        guard.table_changed(one, two, alive({0, 1}), version, 50ms, 50ms);
        EXPECT_TRUE(guard.held().any()) << version;
        guard.bursts_ended(version);
        guard.sent(0, {static_cast<std::uint32_t>(version)});
        guard.expire(50ms);
    }
    guard.table_changed(one, two, alive({0, 1}), 3, 50ms, 50ms);
    EXPECT_TRUE(guard.held().none());
    EXPECT_EQ(guard.bursts_ended(3), std::vector<member_id>{0}) << "it is asked all the same";
    guard.sent(0, {3});
    guard.answered(0, 3);
    guard.table_changed(one, two, alive({0, 1}), 4, 50ms, 50ms);
    EXPECT_TRUE(guard.held().any()) << "it answers now";
}

} // namespace
} // namespace lagg
