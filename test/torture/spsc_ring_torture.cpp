// One producer and one consumer on real threads: order, completeness, and no slot seen half
// written. TSan proves the edges [fill] and [drain]; the plain run the machine's reordering.
#include "base/spsc_ring.h"

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <thread>

namespace lagg {
namespace {

struct frame {
    std::array<std::uint64_t, 16> words;
};

TEST(SpscRingTorture, HandsOverEveryValueOnceInOrderAndWhole) {
    char const* const seconds = std::getenv("LAGG_TORTURE_SECONDS");
    auto const until =
        std::chrono::steady_clock::now() + std::chrono::seconds(seconds ? std::atoi(seconds) : 0);
    spsc_ring<frame, 8> ring;
    std::atomic<bool> done{false};
    std::uint64_t pushed = 0;
    std::uint64_t full = 0;

    std::thread producer([&] {
        auto const enough = [&] {
            return pushed >= 200000 &&
                   (pushed % 1024 != 0 || until <= std::chrono::steady_clock::now());
        };
        while (!enough()) {
            frame f;
            f.words.fill(pushed);
            if (ring.push(f)) {
                ++pushed;
            } else {
                ++full;
                std::this_thread::yield();
            }
        }
        done.store(true, std::memory_order_release); // [done] -> the consumer: `pushed` is final
    });

    std::uint64_t popped = 0;
    std::uint64_t wrong = 0;
    for (;;) {
        bool const last = done.load(std::memory_order_acquire); // [done] <- the producer
        frame f;
        if (ring.pop(f)) {
            for (std::uint64_t const word : f.words) {
                wrong += word != popped;
            }
            ++popped;
        } else if (last) {
            break;
        } else {
            std::this_thread::yield();
        }
        ASSERT_LE(ring.size_hint(), ring.capacity());
    }
    producer.join();
    EXPECT_EQ(popped, pushed);
    EXPECT_EQ(wrong, 0U);
    EXPECT_TRUE(ring.empty_hint());
}

} // namespace
} // namespace lagg
