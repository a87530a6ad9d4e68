#include "lagg/datapath/avx2_groups.h"

#include "support/seed.h"

#include <gtest/gtest.h>

#if defined(__x86_64__)

#include <array>
#include <cstdint>
#include <memory>
#include <random>
#include <vector>

namespace lagg::avx2 {
namespace {

using frame = std::uint64_t; // stands for a pointer
using groups = grouped_frames<frame>;

/// Hashes, and a table in which each hash is its own member.
struct sample {
    net::hash_rule rule;
    net::hash_plan plan = net::plan_of(rule);
    std::array<std::uint8_t, bucket_count> bucket{};
    std::vector<frame> frames;
    std::vector<std::uint64_t> hashes;
    std::size_t members;

    sample(std::size_t count, std::size_t n) : frames(count), hashes(count), members(n) {
        for (std::size_t i = 0; i < bucket.size(); ++i) {
            bucket[i] = static_cast<std::uint8_t>(i % members);
        }
        for (std::size_t i = 0; i < count; ++i) {
            frames[i] = 0x7f00'0000'1000U + 64 * i; // both halves of it count
        }
    }
    flow_table table() const { return {rule, plan, bucket, members}; }

    void expect_in(groups const& found) const {
        std::vector<std::vector<frame>> wanted(members);
        for (std::size_t i = 0; i < frames.size(); ++i) {
            wanted[hashes[i]].push_back(frames[i]);
            ASSERT_EQ(found.member[i], hashes[i]);
        }
        for (std::size_t m = 0; m < members; ++m) {
            auto const first = found.frame.begin() + found.first[m];
            ASSERT_EQ(std::vector<frame>(first, first + found.size[m]), wanted[m]) << m;
        }
    }
};

// An intrinsic needs a function of its own target.
LAGG_AVX2 void four(sample const& s, std::size_t count, groups& out) {
    std::array<std::uint64_t, block> hashes{};
    std::array<frame, block> all{};
    for (std::size_t i = 0; i < block; ++i) { // whoever calls fills up with one that is there
        hashes[i] = s.hashes[i < count ? i : 0];
        all[i] = s.frames[i < count ? i : 0];
    }
    group_four(s.table(), all.data(), count,
               _mm256_loadu_si256(reinterpret_cast<__m256i const*>(hashes.data())), out);
}

LAGG_AVX2 void ranked(sample const& s, groups& out) {
    group_ranked(s.table(), s.frames.data(), s.hashes.data(), s.frames.size(), out);
}

class Avx2Groups : public testing::Test {
protected:
    void SetUp() override {
        if (__builtin_cpu_supports("avx2") == 0 || __builtin_cpu_supports("bmi2") == 0) {
            GTEST_SKIP() << "this CPU has no AVX2 and BMI2";
        }
    }
    std::unique_ptr<groups> const out_ = std::make_unique<groups>();
};

TEST_F(Avx2Groups, PickEachMembersFramesOutOfFourForEveryWayToShareThem) {
    for (std::size_t const members : {1U, 2U, 3U, 4U, 5U, 8U}) {
        for (std::size_t count = 1; count <= block; ++count) {
            sample s(count, members);
            std::size_t ways = 1;
            for (std::size_t i = 0; i < count; ++i) {
                ways *= members;
            }
            for (std::size_t way = 0; way < ways; ++way) {
                std::size_t rest = way;
                for (auto& h : s.hashes) {
                    h = rest % members;
                    rest /= members;
                }
                four(s, count, *out_);
                ASSERT_NO_FATAL_FAILURE(s.expect_in(*out_)) << members << ' ' << way;
            }
        }
    }
}

TEST_F(Avx2Groups, KeepTheCallersOrderForAnyNumberOfMembersAndFrames) {
    test::seed const seed;
    std::mt19937 random(static_cast<std::uint32_t>(seed));
    for (std::size_t const members : {1U, 9U, 16U, 31U, 32U}) {
        for (std::size_t count = 0; count <= chunk_size; ++count) {
            sample s(count, members);
            for (auto& h : s.hashes) {
                h = random() % members;
            }
            ranked(s, *out_);
            ASSERT_NO_FATAL_FAILURE(s.expect_in(*out_)) << members << ' ' << count;
        }
    }
}

TEST_F(Avx2Groups, HoldAWholeChunkForTheLastMember) {
    sample s(chunk_size, max_members);
    s.hashes.assign(chunk_size, max_members - 1);
    ranked(s, *out_);
    ASSERT_NO_FATAL_FAILURE(s.expect_in(*out_));
}

} // namespace
} // namespace lagg::avx2

#endif
