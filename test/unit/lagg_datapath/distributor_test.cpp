#include "lagg/datapath/distributor.h"

#include "lagg/datapath/in_turn_avx2.h"
#include "lagg/datapath/to_all_avx2.h"
#include "support/seed.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <numeric>
#include <random>
#include <string>
#include <vector>

namespace lagg {
namespace {

/// Who got the frames of bursts of the given sizes.
std::vector<int> deal(turn_cursor& cursor, std::uint32_t members, std::uint32_t stride,
                      std::vector<std::size_t> const& bursts) {
    std::vector<int> sequence;
    for (std::size_t const count : bursts) {
        std::uint8_t member[chunk_size];
        deal_in_turn(cursor, members, stride, count, member);
        sequence.insert(sequence.end(), member, member + count);
    }
    return sequence;
}

TEST(DealInTurn, GoesRoundOneFrameEach) {
    turn_cursor cursor;
    EXPECT_EQ(deal(cursor, 3, 1, {7}), (std::vector{0, 1, 2, 0, 1, 2, 0}));
}

TEST(DealInTurn, GivesEachMemberItsWholeStride) {
    turn_cursor cursor;
    EXPECT_EQ(deal(cursor, 2, 3, {8}), (std::vector{0, 0, 0, 1, 1, 1, 0, 0}));
}

TEST(DealInTurn, ContinuesAnUnfinishedTurnInTheNextBurst) {
    turn_cursor cursor;
    EXPECT_EQ(deal(cursor, 3, 3, {2, 2, 5}), (std::vector{0, 0, 0, 1, 1, 1, 2, 2, 2}));
}

TEST(DealInTurn, DoesNotDependOnHowFramesAreCutIntoBursts) {
    test::seed const seed;
    std::mt19937_64 random(seed);
    for (std::uint32_t const stride : {1U, 3U, 7U, 64U, 65U, 1000U}) {
        for (std::uint32_t members = 1; members <= max_members; ++members) {
            turn_cursor cursor;
            std::uint64_t frame = 0;
            for (int burst = 0; burst < 50; ++burst) {
                std::size_t const count = random() % (chunk_size + 1);
                std::uint64_t const from = frame;
                for (int const member : deal(cursor, members, stride, {count})) {
                    ASSERT_EQ(static_cast<std::uint64_t>(member), frame / stride % members);
                    ++frame;
                }
                ASSERT_EQ(frame, from + count);
            }
        }
    }
}

TEST(DealInTurn, LeavesTheTurnOfAMemberThatIsGoneToTheFirst) {
    turn_cursor cursor;
    ASSERT_EQ(deal(cursor, 4, 2, {7}), (std::vector{0, 0, 1, 1, 2, 2, 3}));
    EXPECT_EQ(deal(cursor, 2, 2, {5}), (std::vector{0, 0, 1, 1, 0}));
}

TEST(DealInTurn, KeepsTheTurnOfAMemberThatIsStillThere) {
    turn_cursor cursor;
    ASSERT_EQ(deal(cursor, 4, 3, {4}), (std::vector{0, 0, 0, 1}));
    EXPECT_EQ(deal(cursor, 2, 3, {4}), (std::vector{1, 1, 0, 0}));
}

TEST(DealInTurn, GivesNewMembersTheirTurn) {
    turn_cursor cursor;
    ASSERT_EQ(deal(cursor, 1, 1, {3}), (std::vector{0, 0, 0}));
    EXPECT_EQ(deal(cursor, 3, 1, {4}), (std::vector{0, 1, 2, 0}));
}

TEST(DealInTurn, CutsTheRunningTurnToAShorterStride) {
    turn_cursor cursor;
    ASSERT_EQ(deal(cursor, 2, 7, {1}), (std::vector{0}));
    EXPECT_EQ(deal(cursor, 2, 2, {5}), (std::vector{0, 0, 1, 1, 0}));
}

// Whatever the cursor says, turns are whole and in order: no counter is there to run over.
TEST(DealInTurn, RecoversFromAnyCursor) {
    std::uint32_t const most = std::numeric_limits<std::uint32_t>::max();
    for (std::uint32_t const member : {0U, 2U, 3U, most - 1, most}) {
        for (std::uint32_t const left : {0U, 1U, 2U, 3U, most - 1, most}) {
            turn_cursor cursor{member, left};
            std::vector<int> const sequence = deal(cursor, 3, 2, {6, 6});
            int const first = member < 3 ? static_cast<int>(member) : 0;
            EXPECT_EQ(sequence.front(), first);
            std::size_t const rest_of_turn = member < 3 && left == 1 ? 1 : 2;
            for (std::size_t i = 0; i < sequence.size(); ++i) {
                std::size_t const turns = (i + 2 - rest_of_turn) / 2;
                EXPECT_EQ(sequence[i], (first + static_cast<int>(turns)) % 3)
                    << member << ' ' << left;
            }
        }
    }
}

TEST(DealInTurn, TakesTheLongestStrideThereIs) {
    std::uint32_t const most = std::numeric_limits<std::uint32_t>::max();
    turn_cursor cursor{0, 2};
    EXPECT_EQ(deal(cursor, 2, most, {4}), (std::vector{0, 0, 1, 1}));
    EXPECT_EQ(cursor.left, most - 2);
}

using frame = std::size_t; // stands for a pointer

struct column_variant {
    char const* name;
    dealt (*deal)(std::size_t, frame const*, std::size_t, frame*) noexcept;
    bool here;
};

std::vector<column_variant> column_variants() {
    std::vector<column_variant> all{{"portable", deal_columns<frame>, true}};
#if defined(__x86_64__)
    all.push_back({"avx2", avx2::deal_columns<frame>, __builtin_cpu_supports("avx2") != 0});
#endif
    return all;
}

class DealColumns : public testing::TestWithParam<column_variant> {
protected:
    void SetUp() override {
        if (!GetParam().here) {
            GTEST_SKIP() << "this CPU has no " << GetParam().name;
        }
    }
};

TEST_P(DealColumns, GivesEachColumnEveryFrameOfItsTurn) {
    std::vector<frame> columns(max_members * chunk_size);
    for (std::size_t members = 1; members <= max_members; ++members) {
        for (std::size_t count = 0; count <= chunk_size; ++count) {
            std::vector<frame> frames(count);
            std::iota(frames.begin(), frames.end(), 100U);
            dealt const turns = GetParam().deal(members, frames.data(), count, columns.data());
            ASSERT_EQ(turns.rounds, count / members);
            ASSERT_EQ(turns.rest, count % members);
            for (std::size_t c = 0; c < members; ++c) {
                std::vector<frame> wanted;
                for (std::size_t i = c; i < count; i += members) {
                    wanted.push_back(frames[i]);
                }
                auto const first = columns.begin() + static_cast<std::ptrdiff_t>(c * chunk_size);
                ASSERT_EQ(
                    std::vector<frame>(first, first + static_cast<std::ptrdiff_t>(wanted.size())),
                    wanted)
                    << members << " members, " << count << " frames, column " << c;
            }
        }
    }
}

INSTANTIATE_TEST_SUITE_P(Variants, DealColumns, testing::ValuesIn(column_variants()),
                         [](auto const& one) { return std::string(one.param.name); });

TEST(CopyToEach, GivesEveryMemberAllFramesInOrderAndWritesNothingElse) {
    using copy = void (*)(std::size_t, frame const*, std::size_t, frame*) noexcept;
    std::vector<copy> ways{copy_to_each<frame>};
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2") != 0) {
        ways.push_back(avx2::copy_to_each<frame>);
    }
#endif
    for (copy const way : ways) {
        for (std::size_t members = 1; members <= max_members; ++members) {
            for (std::size_t count = 0; count <= chunk_size; ++count) {
                std::vector<frame> frames(count);
                std::iota(frames.begin(), frames.end(), 100U);
                std::vector<frame> columns(max_members * chunk_size, 7);
                way(members, frames.data(), count, columns.data());
                for (std::size_t i = 0; i < columns.size(); ++i) {
                    bool const given = i / chunk_size < members && i % chunk_size < count;
                    ASSERT_EQ(columns[i], given ? frames[i % chunk_size] : 7)
                        << members << " members, " << count << " frames, " << i;
                }
            }
        }
    }
}

TEST(RefusedOfColumn, IsWhatWasNotTakenOfEveryFrameOfTheColumn) {
    EXPECT_EQ(refused_of_column(3, 1, 0, 8), frame_set{0b1001'0010});
    EXPECT_EQ(refused_of_column(3, 1, 2, 8), frame_set{0b1000'0000});
    EXPECT_EQ(refused_of_column(3, 1, 3, 8), 0U);
    EXPECT_EQ(refused_of_column(1, 0, 63, 64), frame_set{1} << 63);
}

} // namespace
} // namespace lagg
