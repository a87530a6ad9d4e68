#include "lagg/datapath/grouped_frames.h"

#include "support/seed.h"

#include <gtest/gtest.h>

#include <memory>
#include <numeric>
#include <random>
#include <vector>

namespace lagg {
namespace {

using frame = std::size_t; // stands for a pointer

std::vector<frame> numbered(std::size_t count) {
    std::vector<frame> frames(count);
    std::iota(frames.begin(), frames.end(), 100);
    return frames;
}

template<class Groups>
void expect_groups_of(std::size_t members) {
    test::seed const seed;
    std::mt19937 random(static_cast<std::uint32_t>(seed));
    auto const out = std::make_unique<grouped_frames<frame>>();
    for (int round = 0; round < 200; ++round) {
        auto const frames = numbered(random() % (chunk_size + 1));
        std::vector<std::vector<frame>> wanted(members);
        Groups fill(*out, members);
        for (std::size_t i = 0; i < frames.size(); ++i) {
            std::size_t const member = random() % members;
            wanted[member].push_back(frames[i]);
            fill.put(frames[i], member);
            out->member[i] = static_cast<std::uint8_t>(member);
        }
        fill.finish();
        for (std::size_t m = 0; m < members; ++m) {
            auto const first = out->frame.begin() + out->first[m];
            ASSERT_EQ(std::vector<frame>(first, first + out->size[m]), wanted[m]);
            frame_set refused = 0; // all but the first one
            for (std::size_t k = 1; k < wanted[m].size(); ++k) {
                refused |= frame_set{1} << (wanted[m][k] - 100);
            }
            std::size_t const taken = wanted[m].empty() ? 0 : 1;
            ASSERT_EQ(refused_of(*out, m, taken, frames.size()), refused);
        }
    }
}

TEST(GroupedFrames, KeepTheCallersOrderForAFewMembers) {
    for (std::size_t members = 1; members <= few_groups<frame>::most; ++members) {
        expect_groups_of<few_groups<frame>>(members);
    }
}

TEST(GroupedFrames, KeepTheCallersOrderForManyMembers) {
    for (std::size_t const members : {1U, 2U, 9U, 31U, 32U}) {
        expect_groups_of<many_groups<frame>>(members);
    }
}

TEST(GroupedFrames, HoldAWholeChunkForOneMember) {
    auto const out = std::make_unique<grouped_frames<frame>>();
    auto const frames = numbered(chunk_size);
    few_groups<frame> fill(*out, 8);
    for (std::size_t i = 0; i < chunk_size; ++i) {
        fill.put(frames[i], 7);
    }
    fill.finish();
    EXPECT_EQ(out->size[7], chunk_size);
    EXPECT_EQ(out->size[6], 0);
    EXPECT_EQ(out->frame[out->first[7] + chunk_size - 1], frames.back());
}

} // namespace
} // namespace lagg
