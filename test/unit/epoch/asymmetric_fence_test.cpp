#include "epoch/asymmetric_fence.h"

#include <gtest/gtest.h>

#include <cstring>
#include <linux/membarrier.h>
#include <string>

namespace lagg::epoch {
namespace {

TEST(ChooseFence, TakesRealFencesWhenTheKernelDoesNotKnowMembarrier) {
    EXPECT_EQ(choose_fence_with([](int) { return -1; }), fence_kind::real);
}

TEST(ChooseFence, TakesRealFencesWhenTheKernelHasOnlyTheSlowMembarrier) {
    EXPECT_EQ(choose_fence_with([](int command) {
                  return command == MEMBARRIER_CMD_QUERY ? MEMBARRIER_CMD_GLOBAL : 0;
              }),
              fence_kind::real);
}

TEST(ChooseFence, TakesRealFencesWhenRegistrationIsRefused) {
    EXPECT_EQ(choose_fence_with([](int command) {
                  return command == MEMBARRIER_CMD_QUERY ? MEMBARRIER_CMD_PRIVATE_EXPEDITED : -1;
              }),
              fence_kind::real);
}

TEST(ChooseFence, TakesMembarrierWhenItIsOfferedAndRegistered) {
    static bool registered = false;
    auto const kind = choose_fence_with([](int command) {
        registered = registered || command == MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED;
        return command == MEMBARRIER_CMD_QUERY ? MEMBARRIER_CMD_PRIVATE_EXPEDITED : 0;
    });
    EXPECT_EQ(kind, fence_kind::membarrier);
    EXPECT_TRUE(registered);
}

TEST(ChooseFence, AnswersTheSameEveryTimeWithAKindThatWorks) {
    fence_kind const kind = choose_fence();
    EXPECT_EQ(choose_fence(), kind);
    EXPECT_TRUE(heavy_fence(kind));
    light_fence(kind);
}

TEST(FenceKind, OfZeroedMemoryIsTheOneThatIsAlwaysRight) {
    fence_kind kind = fence_kind::membarrier;
    std::memset(&kind, 0, sizeof kind);
    EXPECT_EQ(kind, fence_kind::real);
}

TEST(FenceKind, HasANameToShow) {
    EXPECT_EQ(std::string(to_string(fence_kind::membarrier)), "membarrier");
    EXPECT_EQ(std::string(to_string(fence_kind::real)), "real fences");
}

TEST(ControlFence, CoversOnlyWhatWasStampedBeforeItBegan) {
    control_fence fence(fence_kind::real);
    auto const before = fence.begun();
    EXPECT_FALSE(fence.covers(before));
    ASSERT_TRUE(fence.run());
    auto const after = fence.begun();
    EXPECT_TRUE(fence.covers(before));
    EXPECT_FALSE(fence.covers(after));
}

TEST(ControlFence, CoversNothingWhenItFailsAndEverythingEarlierOnceOneSucceeds) {
    bool works = false;
    control_fence fence(
        fence_kind::real, [](void* arg, fence_kind) { return *static_cast<bool*>(arg); }, &works);
    auto const first = fence.begun();
    EXPECT_FALSE(fence.run());
    auto const second = fence.begun();
    EXPECT_FALSE(fence.run());
    EXPECT_FALSE(fence.covers(first));
    EXPECT_EQ(fence.failed(), 2U);
    works = true;
    EXPECT_TRUE(fence.run());
    EXPECT_TRUE(fence.covers(first));
    EXPECT_TRUE(fence.covers(second));
    works = false;
    EXPECT_FALSE(fence.run());
    EXPECT_TRUE(fence.covers(second)); // a later failure takes nothing back
    EXPECT_EQ(fence.failed(), 3U);
}

} // namespace
} // namespace lagg::epoch
