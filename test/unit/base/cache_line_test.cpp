#include "base/cache_line.h"

#include "base/spsc_ring.h"

#include <gtest/gtest.h>

namespace lagg {
namespace {

TEST(CacheLine, SeparatesTheProducerTheConsumerAndTheSlotsOfARing) {
    // Three lines: the producer's, the consumer's, and at least one of slots.
    EXPECT_EQ(alignof(spsc_ring<int, 4>), cache_line);
    EXPECT_EQ(sizeof(spsc_ring<int, 4>), 3 * cache_line);
}

} // namespace
} // namespace lagg
