#include "lagg/datapath/avx512_order.h"
#include "lagg/datapath/avx512vl_order.h"

#include "support/seed.h"

#include <gtest/gtest.h>

#if defined(__x86_64__)

#include <algorithm>
#include <array>
#include <cstdint>
#include <random>
#include <vector>

namespace lagg {
namespace {

using frame = std::uint64_t; // stands for a pointer

// An intrinsic needs a function of its own target.

LAGG_AVX512VL void order_32(frame const* frames, std::size_t count, std::uint8_t const* places,
                            frame* to) {
    avx512vl::write_in_order(frames, count,
                             _mm256_loadu_si256(reinterpret_cast<__m256i const*>(places)), to);
}

LAGG_AVX512 void order_64(frame const* frames, std::size_t count, std::uint8_t const* places,
                          frame* to) {
    avx512::write_in_order(frames, count, _mm512_loadu_si512(places), to);
}

struct width {
    char const* name;
    std::size_t most;
    void (*order)(frame const*, std::size_t, std::uint8_t const*, frame*);
};

class Avx512Order : public testing::TestWithParam<width> {
protected:
    void SetUp() override {
        if (__builtin_cpu_supports("avx512vbmi") == 0 || __builtin_cpu_supports("avx512vl") == 0) {
            GTEST_SKIP() << "this CPU has no AVX-512 VBMI";
        }
    }

    /// Puts `frames` into an order of its own choice.  They lie in a block of exactly their size,
    /// where a sanitizer sees one read too many.
    void expect_ordered(std::vector<frame> const& frames) {
        std::size_t const count = frames.size();
        std::array<std::uint8_t, 64> places{};
        for (std::size_t i = 0; i < count; ++i) {
            places[i] = static_cast<std::uint8_t>(i);
        }
        std::shuffle(places.begin(), places.begin() + static_cast<std::ptrdiff_t>(count), random_);
        std::vector<frame> found(GetParam().most);
        GetParam().order(frames.data(), count, places.data(), found.data());
        for (std::size_t i = 0; i < count; ++i) {
            ASSERT_EQ(found[i], frames[places[i]]) << i << " of " << count;
        }
    }

    std::vector<frame> frames_at(frame base, std::size_t count) {
        std::vector<frame> frames(count);
        for (frame& f : frames) {
            f = base + (random_() & 0xffff'ffffU);
        }
        return frames;
    }

    test::seed const seed_;
    std::mt19937_64 random_{seed_};
};

TEST_P(Avx512Order, IsThatOfThePlacesWhenUpperHalvesAreAlike) {
    for (int round = 0; round < 1000; ++round) {
        for (std::size_t count = 1; count <= GetParam().most; ++count) {
            ASSERT_NO_FATAL_FAILURE(expect_ordered(frames_at(random_() << 32, count)));
        }
    }
}

TEST_P(Avx512Order, IsThatOfThePlacesWhenOneFrameLiesElsewhere) {
    for (std::size_t count = 1; count <= GetParam().most; ++count) {
        for (std::size_t odd = 0; odd < count; ++odd) {
            for (unsigned bit = 32; bit < 64; ++bit) {
                auto frames = frames_at(0x7f12'0000'0000U, count);
                frames[odd] ^= frame{1} << bit;
                ASSERT_NO_FATAL_FAILURE(expect_ordered(frames)) << odd;
            }
        }
    }
}

TEST_P(Avx512Order, IsThatOfThePlacesWhereverTheFramesLie) {
    for (int round = 0; round < 1000; ++round) {
        for (std::size_t count = 1; count <= GetParam().most; ++count) {
            std::vector<frame> frames(count);
            for (frame& f : frames) {
                f = random_();
            }
            ASSERT_NO_FATAL_FAILURE(expect_ordered(frames));
        }
    }
}

INSTANTIATE_TEST_SUITE_P(Widths, Avx512Order,
                         testing::Values(width{"avx512vl", 32, order_32},
                                         width{"avx512", 64, order_64}),
                         [](auto const& one) { return std::string(one.param.name); });

} // namespace
} // namespace lagg

#endif
