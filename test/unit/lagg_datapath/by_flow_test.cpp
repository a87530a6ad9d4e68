#include "lagg/datapath/by_flow.h"
#include "lagg/datapath/by_flow_avx2.h"
#include "lagg/datapath/by_flow_avx512.h"
#include "lagg/datapath/by_flow_avx512vl.h"
#include "lagg/datapath/by_flow_neon.h"
#include "lagg/datapath/by_flow_sse42.h"

#include "../net/sample_frames.h"
#include "support/seed.h"

#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <vector>

namespace lagg {
namespace {

/// A frame in a block of exactly its size, where a sanitizer sees a byte read too far.
struct sample_frame {
    std::unique_ptr<std::uint8_t[]> data;
    std::uint32_t length = 0;
    std::uint32_t flowid = 0;
    bool has_flowid = false;
};

struct reader {
    using frame = sample_frame*;
    static std::uint8_t const* data(frame f) noexcept { return f->data.get(); }
    static std::uint32_t length(frame f) noexcept { return f->length; }
    static bool has_flowid(frame f) noexcept { return f->has_flowid; }
    static bool all_have_flowid(frame a, frame b, frame c, frame d) noexcept {
        return a->has_flowid && b->has_flowid && c->has_flowid && d->has_flowid;
    }
    static std::uint32_t flowid(frame f) noexcept { return f->flowid; }
};

using groups = grouped_frames<sample_frame*>;

struct variant {
    char const* name;
    void (*group)(flow_table const&, sample_frame* const*, std::size_t, groups&) noexcept;
    bool here;
};

std::vector<variant> variants() {
    std::vector<variant> all{{"portable", group_by_flow<reader>, true}};
#if defined(__x86_64__)
    bool const avx2 = __builtin_cpu_supports("avx2") != 0 && __builtin_cpu_supports("bmi2") != 0;
    bool const avx512 =
        avx2 && __builtin_cpu_supports("avx512vl") != 0 &&
        __builtin_cpu_supports("avx512bw") != 0 && __builtin_cpu_supports("avx512dq") != 0 &&
        __builtin_cpu_supports("avx512vbmi") != 0 && __builtin_cpu_supports("avx512vbmi2") != 0;
    bool const sse42 = __builtin_cpu_supports("sse4.2") != 0;
    all.push_back({"sse42", sse42::group_by_flow<reader>, sse42});
    all.push_back({"avx2", avx2::group_by_flow<reader>, avx2});
    all.push_back({"avx512vl", avx512vl::group_by_flow<reader>, avx512});
    all.push_back({"avx512", avx512::group_by_flow<reader>, avx512});
#elif defined(__AARCH64EL__)
    all.push_back({"neon", neon::group_by_flow<reader>, true});
#endif
    return all;
}

class ByFlow : public testing::TestWithParam<variant> {
protected:
    void SetUp() override {
        if (!GetParam().here) {
            GTEST_SKIP() << "this CPU has no " << GetParam().name;
        }
    }
};

using random_source = std::mt19937_64;

std::size_t below(random_source& random, std::size_t n) {
    return random() % n;
}

test::frame_builder ethernet() {
    return test::frame_builder().eth(test::mac(2), test::mac(1));
}

test::bytes plain_frame() {
    return ethernet()
        .ipv4(test::ip4(10, 0, 0, 1), test::ip4(10, 0, 0, 2))
        .udp(1000, 53)
        .payload(18)
        .build();
}

sample_frame frame_of(random_source& random, test::bytes const& bytes, std::size_t length) {
    sample_frame f;
    f.data.reset(new std::uint8_t[length]);
    std::copy_n(bytes.begin(), length, f.data.get());
    f.length = static_cast<std::uint32_t>(length);
    f.flowid = static_cast<std::uint32_t>(random());
    f.has_flowid = below(random, 8) != 0;
    return f;
}

/// Frames like `usual`, of many flows; one in 32 has some other byte changed, one is cut short.
std::vector<sample_frame> frames_like(random_source& random, test::bytes const& usual,
                                      std::size_t count) {
    std::vector<sample_frame> frames(count);
    for (auto& f : frames) {
        test::bytes bytes = usual;
        for (std::size_t at = 30; at < 58; ++at) { // of addresses and ports, with a tag or without
            bytes[at] = static_cast<std::uint8_t>(random());
        }
        if (below(random, 32) == 0) {
            bytes[below(random, bytes.size())] = static_cast<std::uint8_t>(random());
        }
        f = frame_of(random, bytes,
                     below(random, 32) == 0 ? below(random, bytes.size() + 1) : bytes.size());
    }
    return frames;
}

/// Frames of every kind that the parser knows, some bytes of some of them changed, some cut short.
std::vector<sample_frame> frames_of_all_kinds(random_source& random, std::size_t count) {
    auto const samples = net::sample_frames();
    auto const plain = plain_frame();
    std::vector<sample_frame> frames(count);
    for (auto& f : frames) {
        // mostly plain, so that whole registers of them are seen
        test::bytes bytes =
            below(random, 4) != 0 ? plain : samples[below(random, samples.size())].frame;
        for (std::size_t n = below(random, 8); n > 0; --n) {
            std::size_t const at = below(random, 4) == 0 ? below(random, bytes.size())
                                                         : 24 + below(random, 14); // a flow
            if (at < bytes.size()) {
                bytes[at] = static_cast<std::uint8_t>(random());
            }
        }
        f = frame_of(random, bytes,
                     below(random, 16) == 0 ? below(random, bytes.size() + 1) : bytes.size());
    }
    return frames;
}

net::hash_rule random_rule(random_source& random) {
    net::hash_rule rule;
    std::size_t const layers = 1 + below(random, 7);
    rule.l2 = (layers & 1) != 0;
    rule.l3 = (layers & 2) != 0;
    rule.l4 = (layers & 4) != 0;
    rule.symmetric = below(random, 8) == 0;
    rule.use_flowid = below(random, 4) == 0;
    rule.seed = static_cast<std::uint32_t>(random());
    return rule;
}

/// What has to come out, said in the plainest way.
void expect_grouped(flow_table const& table, std::vector<sample_frame*> const& chunk,
                    groups const& found) {
    std::vector<std::vector<sample_frame*>> wanted(table.members);
    for (std::size_t i = 0; i < chunk.size(); ++i) {
        auto* const f = chunk[i];
        auto const& rule = table.rule;
        std::uint32_t const hash =
            rule.use_flowid && f->has_flowid
                ? net::mix_flowid(f->flowid, rule.seed)
                : net::flow_hash(rule, net::parse_flow({f->data.get(), f->length, f->length}));
        std::uint8_t const member = table.bucket[hash % bucket_count];
        wanted[member].push_back(f);
        ASSERT_EQ(found.member[i], member);
    }
    for (std::size_t m = 0; m < table.members; ++m) {
        auto const first = found.frame.begin() + found.first[m];
        ASSERT_EQ(std::vector<sample_frame*>(first, first + found.size[m]), wanted[m]);
    }
}

TEST_P(ByFlow, GivesTheSameGroupsAsTheReferenceWhateverTheFrames) {
    test::seed const seed;
    random_source random(seed);
    auto pool = frames_of_all_kinds(random, 20'000);
    auto const out = std::make_unique<groups>();
    std::size_t total = 0;
    while (total < 1'000'000) {
        net::hash_rule const rule = random_rule(random);
        std::size_t const members = 1 + below(random, max_members);
        std::array<std::uint8_t, bucket_count> bucket;
        for (auto& b : bucket) {
            b = static_cast<std::uint8_t>(below(random, members));
        }
        net::hash_plan const plan = net::plan_of(rule);
        flow_table const table{rule, plan, bucket, members};
        for (int burst = 0; burst < 100; ++burst) {
            std::size_t const sizes[] = {
                chunk_size, chunk_size / 2, below(random, 9), // few go other ways than many
                below(random, chunk_size + 1), below(random, chunk_size + 1)};
            std::vector<sample_frame*> chunk(sizes[below(random, std::size(sizes))]);
            for (auto& f : chunk) {
                f = &pool[below(random, pool.size())];
            }
            GetParam().group(table, chunk.data(), chunk.size(), *out);
            expect_grouped(table, chunk, *out);
            if (HasFatalFailure()) {
                return;
            }
            total += chunk.size();
        }
    }
}

TEST_P(ByFlow, GivesTheSameGroupsAsTheReferenceWhicheverTwoKindsABurstHas) {
    test::seed const seed;
    random_source random(seed);
    constexpr std::size_t each = 2'000;
    auto const far = test::ip6(0x2001, 1);
    auto const near = test::ip6(0x2001, 2);
    std::vector<sample_frame> pools[] = {
        frames_like(random, plain_frame(), each),
        frames_like(random, ethernet().ipv6(far, near).udp(1000, 53).payload(18).build(), each),
        frames_like(random,
                    ethernet()
                        .vlan(7)
                        .ipv4(test::ip4(10, 0, 0, 1), test::ip4(10, 0, 0, 2))
                        .tcp(1000, 80)
                        .payload(18)
                        .build(),
                    each),
        frames_of_all_kinds(random, each)};
    auto const out = std::make_unique<groups>();
    for (int table_number = 0; table_number < 200; ++table_number) {
        net::hash_rule const rule = random_rule(random);
        std::size_t const members = 1 + below(random, 8);
        std::array<std::uint8_t, bucket_count> bucket;
        for (auto& b : bucket) {
            b = static_cast<std::uint8_t>(below(random, members));
        }
        net::hash_plan const plan = net::plan_of(rule);
        flow_table const table{rule, plan, bucket, members};
        for (int burst = 0; burst < 100; ++burst) {
            auto& usual = pools[below(random, std::size(pools))];
            auto& other = pools[below(random, std::size(pools))];
            std::size_t const others = std::size_t{1} << below(random, 8); // of 128
            std::vector<sample_frame*> chunk(below(random, 4) == 0 ? below(random, chunk_size + 1)
                                                                   : chunk_size / 2);
            for (auto& f : chunk) {
                f = &(below(random, 128) < others ? other : usual)[below(random, each)];
            }
            GetParam().group(table, chunk.data(), chunk.size(), *out);
            ASSERT_NO_FATAL_FAILURE(expect_grouped(table, chunk, *out));
        }
    }
}

TEST_P(ByFlow, GivesEverythingToAMemberThatHasAllBuckets) {
    random_source random(7);
    auto pool = frames_of_all_kinds(random, chunk_size);
    std::vector<sample_frame*> chunk;
    for (auto& f : pool) {
        chunk.push_back(&f);
    }
    net::hash_rule const rule;
    net::hash_plan const plan = net::plan_of(rule);
    auto const out = std::make_unique<groups>();
    for (std::size_t const last : {0U, 3U, 7U, 8U, 31U}) {
        std::array<std::uint8_t, bucket_count> bucket;
        bucket.fill(static_cast<std::uint8_t>(last));
        for (std::size_t const count : {chunk_size, chunk_size / 2, std::size_t{9}}) {
            GetParam().group({rule, plan, bucket, last + 1}, chunk.data(), count, *out);
            ASSERT_EQ(out->size[last], count) << last;
            EXPECT_TRUE(std::equal(chunk.data(), chunk.data() + count,
                                   out->frame.data() + out->first[last]))
                << last;
            for (std::size_t m = 0; m < last; ++m) {
                EXPECT_EQ(out->size[m], 0) << m;
            }
        }
    }
}

INSTANTIATE_TEST_SUITE_P(Variants, ByFlow, testing::ValuesIn(variants()),
                         [](auto const& one) { return std::string(one.param.name); });

} // namespace
} // namespace lagg
