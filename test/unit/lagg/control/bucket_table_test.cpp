// Fair parts, fewest moves, none between two others.
#include "lagg/control/bucket_table.h"

#include "seed.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <vector>

namespace lagg {
namespace {

using shares = std::vector<share>;

shares equal(std::size_t n) {
    shares s;
    for (std::size_t i = 0; i < n; ++i) {
        s.push_back({.id = static_cast<member_id>(i), .weight = 1});
    }
    return s;
}

shares without(shares s, member_id id) {
    std::erase_if(s, [id](share const& one) { return one.id == id; });
    return s;
}

std::size_t moved(bucket_table const& a, bucket_table const& b) {
    std::size_t n = 0;
    for (std::size_t i = 0; i < bucket_count; ++i) {
        n += a.owner(i) != b.owner(i) ? 1U : 0U;
    }
    return n;
}

/// Each share has floor or ceiling of its part.  Only where no part is below one bucket.
void expect_fair(bucket_table const& t, shares const& s) {
    std::uint64_t sum = 0;
    for (auto const& one : s) {
        sum += one.weight;
    }
    std::size_t total = 0;
    for (auto const& one : s) {
        std::uint64_t const whole = bucket_count * one.weight / sum;
        std::uint64_t const more = bucket_count * one.weight % sum != 0 ? 1U : 0U;
        EXPECT_GE(t.owned_by(one.id), whole) << unsigned{one.id};
        EXPECT_LE(t.owned_by(one.id), whole + more) << unsigned{one.id};
        total += t.owned_by(one.id);
    }
    EXPECT_EQ(total, bucket_count);
}

/// Every way to round parts to floors and ceilings, and the fewest moves that any of them needs.
/// Floors are owned by all; `over` of those with a remainder get one more.
std::size_t fewest_moves(bucket_table const& before, shares const& s) {
    std::uint64_t sum = 0;
    for (auto const& one : s) {
        sum += one.weight;
    }
    std::size_t best = bucket_count + 1;
    for (std::uint32_t choice = 0; choice < (1U << s.size()); ++choice) {
        std::size_t total = 0;
        std::size_t kept = 0;
        bool allowed = true;
        for (std::size_t i = 0; i < s.size(); ++i) {
            std::uint64_t quota = bucket_count * s[i].weight / sum;
            if ((choice >> i & 1U) != 0) {
                allowed = allowed && bucket_count * s[i].weight % sum != 0;
                ++quota;
            }
            total += quota;
            kept += std::min<std::size_t>(quota, before.owned_by(s[i].id));
        }
        if (allowed && total == bucket_count) {
            best = std::min(best, bucket_count - kept);
        }
    }
    return best;
}

TEST(BucketTable, IsNobodysBeforeTheFirstAssignmentAndAfterAnEmptyOne) {
    bucket_table t;
    EXPECT_EQ(t.owned_by(no_member), bucket_count);
    t.assign(equal(3));
    EXPECT_EQ(t.owned_by(no_member), 0U);
    t.assign({});
    EXPECT_EQ(t.owned_by(no_member), bucket_count);
}

TEST(BucketTable, GivesEqualMembersFloorOrCeilingOfTheirPartForEveryCount) {
    for (std::size_t n = 1; n <= max_members; ++n) {
        bucket_table t;
        t.assign(equal(n));
        SCOPED_TRACE(n);
        expect_fair(t, equal(n));
    }
}

TEST(BucketTable, MovesOnlyTheBucketsOfTheMemberThatLeft) {
    for (std::size_t n = 2; n <= max_members; ++n) {
        for (std::size_t gone = 0; gone < n; ++gone) {
            auto const id = static_cast<member_id>(gone);
            bucket_table before;
            before.assign(equal(n));
            bucket_table after = before;
            after.assign(without(equal(n), id));
            EXPECT_EQ(moved(before, after), before.owned_by(id)) << n << " - " << gone;
            expect_fair(after, without(equal(n), id));
        }
    }
}

TEST(BucketTable, SpreadsTheBucketsOfTheMemberThatLeftOverAllOthers) {
    bucket_table before;
    before.assign(equal(4));
    bucket_table after = before;
    after.assign(without(equal(4), 2));
    std::map<member_id, std::size_t> gained;
    for (std::size_t i = 0; i < bucket_count; ++i) {
        if (before.owner(i) == 2) {
            ++gained[after.owner(i)];
        }
    }
    EXPECT_EQ(gained.size(), 3U);
    for (auto const& [id, n] : gained) {
        EXPECT_NEAR(static_cast<double>(n), 64.0 / 3, 1.0) << unsigned{id};
    }
}

TEST(BucketTable, MovesToAMemberThatJoinsItsShareAndNothingElse) {
    bucket_table t;
    for (std::size_t n = 1; n <= max_members; ++n) {
        bucket_table const before = t;
        t.assign(equal(n));
        auto const joined = static_cast<member_id>(n - 1);
        for (std::size_t i = 0; i < bucket_count; ++i) {
            if (t.owner(i) != before.owner(i)) {
                EXPECT_EQ(t.owner(i), joined) << "bucket " << i << " moved between two others";
            }
        }
        EXPECT_EQ(moved(before, t), t.owned_by(joined));
        EXPECT_LE(moved(before, t), bucket_count / n + bucket_count / 20);
        expect_fair(t, equal(n));
    }
}

TEST(BucketTable, TakesBucketsFromAllOverAnOwnersPart) {
    bucket_table t;
    t.assign(equal(1));
    t.assign(equal(2));
    std::size_t low = 0;
    for (std::size_t i = 0; i < bucket_count / 2; ++i) {
        low += t.owner(i) == 1 ? 1U : 0U;
    }
    EXPECT_NEAR(static_cast<double>(low), bucket_count / 4.0, 1.0);
}

TEST(BucketTable, NeverGivesOneMemberALongRunOfBuckets) {
    bucket_table t;
    t.assign(equal(4));
    for (std::size_t i = 4; i < bucket_count; ++i) {
        std::size_t const first = i - 4;
        bool const run = t.owner(first) == t.owner(first + 1) &&
                         t.owner(first) == t.owner(first + 2) && t.owner(first) == t.owner(i);
        EXPECT_FALSE(run) << "from bucket " << first;
    }
}

TEST(BucketTable, DoesNothingWhenNothingChanged) {
    bucket_table before;
    before.assign({{{.id = 4, .weight = 3}, {.id = 9, .weight = 7}, {.id = 1, .weight = 1}}});
    bucket_table after = before;
    after.assign({{{.id = 4, .weight = 3}, {.id = 9, .weight = 7}, {.id = 1, .weight = 1}}});
    EXPECT_EQ(moved(before, after), 0U);
    after.assign({{{.id = 1, .weight = 10}, {.id = 4, .weight = 30}, {.id = 9, .weight = 70}}});
    EXPECT_EQ(moved(before, after), 0U) << "the same parts, in another order and on another scale";
}

TEST(BucketTable, ForgetsNothingOfWhatItWasWhenTheSameMembersComeInAnotherOrder) {
    bucket_table a;
    bucket_table b;
    a.assign({{{.id = 0, .weight = 5}, {.id = 1, .weight = 6}, {.id = 2, .weight = 7}}});
    b.assign({{{.id = 2, .weight = 7}, {.id = 0, .weight = 5}, {.id = 1, .weight = 6}}});
    EXPECT_EQ(moved(a, b), 0U);
}

TEST(BucketTable, FollowsWeights) {
    bucket_table t;
    shares const s{
        {.id = 0, .weight = 10000}, {.id = 1, .weight = 25000}, {.id = 2, .weight = 1000}};
    t.assign(s);
    expect_fair(t, s);
    EXPECT_EQ(t.owned_by(1), 178U); // 177.8
    EXPECT_EQ(t.owned_by(0), 71U);  // 71.1
    EXPECT_EQ(t.owned_by(2), 7U);   // 7.1
}

TEST(BucketTable, GivesOneBucketToWhoeverWeighsNextToNothing) {
    bucket_table t;
    shares s = equal(max_members);
    s[7].weight = 4'000'000'000U;
    t.assign(s);
    for (auto const& one : s) {
        EXPECT_EQ(t.owned_by(one.id), one.id == 7 ? bucket_count - 31 : 1U) << unsigned{one.id};
    }
}

TEST(BucketTable, TakesTheLargestWeightsWithoutOverflow) {
    bucket_table t;
    shares s = equal(max_members);
    for (auto& one : s) {
        one.weight = 0xffffffffU;
    }
    t.assign(s);
    expect_fair(t, s);
}

TEST(BucketTable, MovesTheFewestBucketsWhenWeightsChange) {
    auto const seed = test::fresh_seed("MovesTheFewestBucketsWhenWeightsChange");
    test::dice d(seed);
    bucket_table t;
    for (int round = 0; round < 300; ++round) {
        shares s;
        for (member_id id = 0; id < 8; ++id) {
            if (!d.one_in(4)) {
                s.push_back({.id = id, .weight = 1 + d.below(16)});
            }
        }
        if (s.empty()) {
            continue;
        }
        bucket_table const before = t;
        t.assign(s);
        expect_fair(t, s);
        ASSERT_EQ(moved(before, t), fewest_moves(before, s)) << "round " << round;
    }
}

TEST(BucketTable, IsWholeAndServesEverybodyWhateverHappens) {
    auto const seed = test::fresh_seed("IsWholeAndServesEverybodyWhateverHappens");
    test::dice d(seed);
    bucket_table t;
    for (std::size_t round = 0; round < test::rounds(5000); ++round) {
        shares s;
        for (member_id id = 0; id < max_members; ++id) {
            if (d.one_in(2)) {
                s.push_back({.id = id, .weight = d.one_in(8) ? 1'000'000'000U : 1 + d.below(100)});
            }
        }
        t.assign(s);
        if (s.empty()) {
            continue;
        }
        std::size_t total = 0;
        for (auto const& one : s) {
            ASSERT_GE(t.owned_by(one.id), 1U) << "round " << round;
            total += t.owned_by(one.id);
        }
        ASSERT_EQ(total, bucket_count) << "round " << round;
    }
}

} // namespace
} // namespace lagg
