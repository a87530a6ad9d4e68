// The ring on one thread; two threads are test/torture/spsc_ring_torture.cpp.
#include "base/spsc_ring.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <deque>
#include <memory>
#include <random>

namespace lagg {
namespace {

TEST(SpscRing, GivesBackInOrderWhatItTook) {
    spsc_ring<int, 4> ring;
    int out = 0;
    EXPECT_TRUE(ring.empty_hint());
    EXPECT_FALSE(ring.pop(out));
    EXPECT_TRUE(ring.push(1));
    EXPECT_TRUE(ring.push(2));
    EXPECT_EQ(ring.size_hint(), 2U);
    ASSERT_TRUE(ring.pop(out));
    EXPECT_EQ(out, 1);
    ASSERT_TRUE(ring.pop(out));
    EXPECT_EQ(out, 2);
    EXPECT_FALSE(ring.pop(out));
    EXPECT_TRUE(ring.empty_hint());
}

TEST(SpscRing, UsesEverySlotAndRefusesOneMoreUnchanged) {
    spsc_ring<int, 4> ring;
    for (int i = 0; i < 4; ++i) {
        EXPECT_TRUE(ring.push(i));
    }
    EXPECT_FALSE(ring.push(99));
    EXPECT_EQ(ring.size_hint(), 4U);
    for (int i = 0; i < 4; ++i) {
        int out = -1;
        ASSERT_TRUE(ring.pop(out));
        EXPECT_EQ(out, i);
    }
    int untouched = -1;
    EXPECT_FALSE(ring.pop(untouched));
    EXPECT_EQ(untouched, -1);
}

TEST(SpscRing, HasRoomAgainAfterEachPopWhenItWasFull) {
    spsc_ring<int, 2> ring;
    ASSERT_TRUE(ring.push(0) && ring.push(1));
    for (int i = 2; i < 100; ++i) {
        int out = -1;
        EXPECT_FALSE(ring.push(i));
        ASSERT_TRUE(ring.pop(out));
        EXPECT_EQ(out, i - 2);
        EXPECT_TRUE(ring.push(i));
    }
}

TEST(SpscRing, AgreesWithAQueueOverManyWrapsOfRandomSteps) {
    unsigned const seed = std::random_device{}();
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    std::mt19937 random(seed);
    spsc_ring<unsigned, 8> ring;
    std::deque<unsigned> model;
    for (unsigned step = 0; step < 100000; ++step) {
        if (random() % 2 == 0) {
            bool const room = model.size() < 8;
            ASSERT_EQ(ring.push(step), room);
            if (room) {
                model.push_back(step);
            }
        } else {
            unsigned out = 0;
            ASSERT_EQ(ring.pop(out), !model.empty());
            if (!model.empty()) {
                ASSERT_EQ(out, model.front());
                model.pop_front();
            }
        }
        ASSERT_EQ(ring.size_hint(), model.size());
        ASSERT_EQ(ring.empty_hint(), model.empty());
    }
}

TEST(SpscRing, OfOneSlotWorks) {
    spsc_ring<char, 1> ring;
    char out = 0;
    for (char c = 'a'; c <= 'z'; ++c) {
        ASSERT_TRUE(ring.push(c));
        ASSERT_FALSE(ring.push('!'));
        ASSERT_TRUE(ring.pop(out));
        ASSERT_EQ(out, c);
        ASSERT_FALSE(ring.pop(out));
    }
}

TEST(SpscRing, CarriesAWholeSlowProtocolFrame) {
    struct frame {
        unsigned char bytes[124];
        std::uint16_t member;
    };
    auto ring = std::make_unique<spsc_ring<frame, 2>>();
    frame in{};
    std::memset(in.bytes, 0xa5, sizeof in.bytes);
    in.member = 3;
    ASSERT_TRUE(ring->push(in));
    frame out{};
    ASSERT_TRUE(ring->pop(out));
    EXPECT_EQ(std::memcmp(in.bytes, out.bytes, sizeof in.bytes), 0);
    EXPECT_EQ(out.member, 3);
}

} // namespace
} // namespace lagg
