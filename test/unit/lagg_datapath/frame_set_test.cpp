#include "lagg/datapath/frame_set.h"

#include "support/seed.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <random>
#include <vector>

namespace lagg {
namespace {

using random_source = std::mt19937_64;

std::size_t below(random_source& random, std::size_t bound) {
    return std::uniform_int_distribution<std::size_t>(0, bound - 1)(random);
}

/// A frame is a number here; distinct in a burst.
using frame = std::uint32_t;

std::vector<frame> numbered(std::size_t count) {
    std::vector<frame> frames(count);
    std::iota(frames.begin(), frames.end(), 1000U);
    return frames;
}

std::vector<std::size_t> indices(frame_set set) {
    std::vector<std::size_t> found;
    for (std::size_t i = 0; i < chunk_size; ++i) {
        if ((set >> i & 1U) != 0) {
            found.push_back(i);
        }
    }
    return found;
}

TEST(FirstFrames, HoldsSoManyAndNoOther) {
    for (std::size_t n = 0; n <= chunk_size; ++n) {
        std::vector<std::size_t> expected(n);
        std::iota(expected.begin(), expected.end(), 0U);
        EXPECT_EQ(indices(first_frames(n)), expected);
    }
}

TEST(WithoutFirst, LeavesTheLaterFramesOfTheSet) {
    frame_set const set = 0x8000'0000'0001'0112U;
    EXPECT_EQ(without_first(set, 0), set);
    EXPECT_EQ(without_first(set, 2), 0x8000'0000'0001'0100U);
    EXPECT_EQ(without_first(set, 5), 0U);
}

TEST(PutBack, PutsFramesWhereTheSetSaysAndTouchesNothingElse) {
    std::vector<frame> chunk = numbered(chunk_size);
    frame_set const set = 0x8001'0000'0000'0006U;
    frame const exchanged[] = {1, 2, 3, 4};
    put_back(chunk.data(), set, exchanged);
    std::vector<frame> expected = numbered(chunk_size);
    expected[1] = 1;
    expected[2] = 2;
    expected[48] = 3;
    expected[63] = 4;
    EXPECT_EQ(chunk, expected);
}

TEST(Leftovers, LeavesABurstThatWasTakenAsItIs) {
    std::vector<frame> burst = numbered(100);
    leftovers<frame> left(burst.data());
    left.keep(0, 0);
    left.keep(chunk_size, 0);
    EXPECT_EQ(left.finish(burst.size()), 100U);
    EXPECT_EQ(burst, numbered(100));
}

TEST(Leftovers, LeavesABurstThatNobodyTookAsItIs) {
    std::vector<frame> burst = numbered(100);
    leftovers<frame> left(burst.data());
    left.keep(0, ~frame_set{0});
    left.keep(chunk_size, first_frames(36));
    EXPECT_EQ(left.finish(burst.size()), 0U);
    EXPECT_EQ(burst, numbered(100));
}

TEST(Leftovers, AreTheBurstsTailInTheCallersOrderForEveryPatternOfEightFrames) {
    for (frame_set refused = 0; refused < 256; ++refused) {
        std::vector<frame> burst = numbered(8);
        leftovers<frame> left(burst.data());
        left.keep(0, refused);
        std::size_t const taken = left.finish(burst.size());

        std::vector<frame> expected;
        for (std::size_t const i : indices(refused)) {
            expected.push_back(numbered(8)[i]);
        }
        ASSERT_EQ(taken, 8 - expected.size());
        ASSERT_EQ(
            std::vector<frame>(burst.begin() + static_cast<std::ptrdiff_t>(taken), burst.end()),
            expected);
        std::sort(burst.begin(), burst.end());
        ASSERT_EQ(burst, numbered(8));
    }
}

/// What a burst does: it deals frames to members, which take the first so many of all that they
/// get.
TEST(Leftovers, OfBurstsOfAnySizeLoseNoFrameAndDoubleNone) {
    test::seed const seed;
    random_source random(seed);
    for (int round = 0; round < 3000; ++round) {
        std::size_t const count = below(random, 700);
        std::size_t const members = 1 + below(random, 8);
        std::vector<std::size_t> room(members);
        for (std::size_t& r : room) {
            r = below(random, 3) == 0 ? 0 : below(random, 200);
        }
        std::vector<frame> burst = numbered(count);
        std::vector<std::vector<frame>> sent(members);
        std::vector<std::vector<frame>> dealt(members);
        std::vector<frame> expected_left;

        leftovers<frame> left(burst.data());
        for (std::size_t at = 0; at < count; at += chunk_size) {
            std::size_t const n = std::min(chunk_size, count - at);
            std::vector<frame_set> share(members);
            for (std::size_t i = 0; i < n; ++i) {
                std::size_t const m = below(random, members);
                share[m] |= frame_set{1} << i;
                dealt[m].push_back(burst[at + i]);
                if (dealt[m].size() > room[m]) {
                    expected_left.push_back(burst[at + i]);
                }
            }
            frame_set refused = 0;
            for (std::size_t m = 0; m < members; ++m) {
                auto const mine = indices(share[m]);
                std::size_t const taken = std::min(mine.size(), room[m] - sent[m].size());
                for (std::size_t i = 0; i < taken; ++i) {
                    sent[m].push_back(burst[at + mine[i]]);
                }
                refused |= without_first(share[m], taken);
            }
            left.keep(at, refused);
        }
        std::size_t const taken = left.finish(count);

        ASSERT_EQ(
            std::vector<frame>(burst.begin() + static_cast<std::ptrdiff_t>(taken), burst.end()),
            expected_left);
        std::vector<frame> all_sent;
        for (std::size_t m = 0; m < members; ++m) {
            ASSERT_TRUE(std::is_sorted(sent[m].begin(), sent[m].end()));
            all_sent.insert(all_sent.end(), sent[m].begin(), sent[m].end());
        }
        std::sort(all_sent.begin(), all_sent.end());
        std::sort(burst.begin(), burst.begin() + static_cast<std::ptrdiff_t>(taken));
        burst.resize(taken);
        ASSERT_EQ(burst, all_sent);
    }
}

TEST(Leftovers, OfRunsAreTheBurstsTailInTheCallersOrder) {
    std::vector<frame> burst = numbered(200);
    leftovers<frame> left(burst.data());
    left.keep_run(0, 3);
    left.keep_run(90, 190);
    ASSERT_EQ(left.finish(burst.size()), 97U);
    std::vector<frame> expected = numbered(200);
    std::rotate(expected.begin() + 90, expected.begin() + 190, expected.end());
    std::rotate(expected.begin(), expected.begin() + 3, expected.end() - 100);
    EXPECT_EQ(std::vector<frame>(burst.begin() + 97, burst.end()),
              std::vector<frame>(expected.begin() + 97, expected.end()));
}

} // namespace
} // namespace lagg
