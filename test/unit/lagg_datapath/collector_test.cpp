#include "lagg/datapath/collector.h"

#include "support/frame_builder.h"
#include "support/seed.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <random>
#include <vector>

namespace lagg {
namespace {

std::vector<std::uint32_t> asked(std::uint32_t first, std::uint32_t members) {
    std::vector<std::uint32_t> order;
    poll_round round(first, members);
    do {
        order.push_back(round.member());
    } while (round.advance());
    return order;
}

TEST(PollRound, AsksEverybodyOnceFromTheFirstOn) {
    EXPECT_EQ(asked(0, 1), (std::vector{0U}));
    EXPECT_EQ(asked(2, 4), (std::vector{2U, 3U, 0U, 1U}));
}

TEST(PollRound, BeginsAnewWhenItsFirstIsGone) {
    EXPECT_EQ(asked(3, 3), (std::vector{0U, 1U, 2U}));
    EXPECT_EQ(asked(0xffff'ffffU, 2), (std::vector{0U, 1U}));
}

TEST(PollRound, MovesOnByOneWhenEverybodyGaveWhatTheyHad) {
    poll_round round(1, 3);
    while (round.advance()) {
    }
    EXPECT_EQ(round.next_first(false), 2U);
}

TEST(PollRound, MovesOnByOneWhenTheFirstFilledTheBurst) {
    EXPECT_EQ(poll_round(2, 3).next_first(true), 0U);
    EXPECT_EQ(poll_round(0, 1).next_first(true), 0U);
}

TEST(PollRound, ReturnsToAMemberThatFoundLessRoomThanTheFirst) {
    poll_round round(0, 4);
    ASSERT_TRUE(round.advance());
    ASSERT_TRUE(round.advance());
    EXPECT_EQ(round.next_first(true), 2U);
}

/// Members with a standing backlog, of which each gives at most `gives[m]` frames, and nothing when
/// asked for fewer than four, as vector drivers do.  Returns how many bursts each one began or was
/// asked for all that it gives.
std::vector<int> served(std::vector<std::uint32_t> const& gives, std::uint32_t burst, int bursts) {
    std::vector<int> count(gives.size());
    std::uint32_t first = 0;
    for (int i = 0; i < bursts; ++i) {
        std::uint32_t room = burst;
        poll_round round(first, static_cast<std::uint32_t>(gives.size()));
        do {
            std::uint32_t const got = room < 4 ? 0 : std::min(room, gives[round.member()]);
            count[round.member()] += got == gives[round.member()] || got == burst ? 1 : 0;
            room -= got;
        } while (room > 0 && round.advance());
        first = round.next_first(room == 0);
    }
    return count;
}

TEST(PollRound, StarvesNobody) {
    for (std::uint32_t const greedy : {28U, 29U, 31U, 32U, 64U}) {
        for (std::vector<std::uint32_t> const& gives :
             {std::vector{greedy, 32U}, std::vector{greedy, greedy, 8U},
              std::vector{32U, 1U + greedy, 32U, 4U}}) {
            std::vector<int> const count = served(gives, 32, 1000);
            for (std::size_t m = 0; m < gives.size(); ++m) {
                EXPECT_GE(count[m], 1000 / static_cast<int>(gives.size()) - 1)
                    << "member " << m << " beside one that gives " << greedy;
            }
        }
    }
}

TEST(IsForeign, IsUnicastToNoneOfOurAddresses) {
    snapshot s;
    s.accept.push_back(test::mac(1));
    s.accept.push_back(test::mac(2));
    EXPECT_FALSE(is_foreign(s, test::mac(1).bytes.data()));
    EXPECT_FALSE(is_foreign(s, test::mac(2).bytes.data()));
    EXPECT_TRUE(is_foreign(s, test::mac(3).bytes.data()));
    EXPECT_FALSE(is_foreign(s, test::broadcast_mac.bytes.data()));
    EXPECT_FALSE(is_foreign(s, test::slow_protocols_mac.bytes.data()));
}

TEST(IsForeign, HoldsForAllUnicastWhereNoAddressIsOurs) {
    EXPECT_TRUE(is_foreign(snapshot{}, test::mac(1).bytes.data()));
    EXPECT_FALSE(is_foreign(snapshot{}, test::broadcast_mac.bytes.data()));
}

TEST(KeepFirst, KeepsOrderAndLosesNothing) {
    test::seed const seed;
    std::mt19937_64 random(seed);
    for (int round = 0; round < 500; ++round) {
        std::vector<int> values(random() % 130);
        for (std::size_t i = 0; i < values.size(); ++i) {
            values[i] = static_cast<int>(i);
        }
        std::vector<int> const before = values;
        std::uint64_t const pattern = random();
        auto const keep = [&](int v) { return (pattern >> (v % 61) & 1U) != 0; };
        auto const kept =
            static_cast<std::ptrdiff_t>(keep_first(values.data(), values.size(), keep));

        EXPECT_TRUE(std::is_sorted(values.begin(), values.begin() + kept));
        EXPECT_TRUE(std::all_of(values.begin(), values.begin() + kept, keep));
        EXPECT_TRUE(std::none_of(values.begin() + kept, values.end(), keep));
        std::sort(values.begin(), values.end());
        EXPECT_EQ(values, before);
    }
}

} // namespace
} // namespace lagg
