// What does the flow hash cost per frame, for each rule and kind of traffic, in each form that this
// CPU runs: hash alone by the reference, hash and grouping by every variant?
// Names: flow_hash/<variant>/<hash>/<traffic>/<warm|cold>
#include "lagg_grouping.h"
#include "support/cycles.h"
#include "support/frames.h"
#include "support/setup.h"

#include <benchmark/benchmark.h>

#include <deque>
#include <memory>
#include <string>

namespace bench {
namespace {

constexpr std::uint16_t burst = 32;
constexpr std::size_t members = 4;

struct rule {
    char const* name;
    lagg::net::hash_rule fields;
};
constexpr rule rules[] = {
    {"l2", {.l3 = false, .l4 = false}},
    {"l34", {.l2 = false}},
    {"l234", {}},
    {"l34_symmetric", {.l2 = false, .symmetric = true}},
    {"rss", {.use_flowid = true}},
};

using groups = lagg::grouped_frames<rte_mbuf*>;

template<class Work>
void add(std::string const& name, Work work) {
    benchmark::RegisterBenchmark(name.c_str(), [work](benchmark::State& state) {
        double cycles = 0;
        for ([[maybe_unused]] auto const& _ : state) {
            cycles = compare(
                         work, [] {}, burst)
                         .subject;
        }
        state.counters["cycles_per_packet"] = cycles;
    });
}

void register_all() {
    static std::array<std::uint8_t, lagg::bucket_count> bucket;
    for (std::size_t i = 0; i < bucket.size(); ++i) {
        bucket[i] = static_cast<std::uint8_t>(i * 7 % members);
    }
    static auto const out = std::make_unique<groups>();
    for (bool const in_cache : {true, false}) {
        for (traffic const kind : {traffic::udp4, traffic::udp6, traffic::vlan, traffic::mixed}) {
            for (auto const& r : rules) {
                static std::deque<lagg::net::hash_plan> plans; // whose addresses stay
                lagg::flow_table const table{
                    r.fields, plans.emplace_back(lagg::net::plan_of(r.fields)), bucket, members};
                auto* const frames =
                    &rotation::of(kind, in_cache ? warm : cold, r.fields.use_flowid);
                std::string const tail = std::string("/") + r.name + "/" + name_of(kind) +
                                         (in_cache ? "/warm" : "/cold");
                add("flow_hash/hash_only" + tail, [frames, table] {
                    std::uint32_t hashes[burst];
                    lagg::hash_frames<lagg::pmd::mbuf_reader>(table, frames->next(burst), burst,
                                                              hashes);
                    benchmark::DoNotOptimize(hashes);
                });
                for (auto const& variant : lagg::pmd::group_variants()) {
                    if (variant.runs_here()) {
                        add("flow_hash/" + std::string(variant.name) + tail,
                            [frames, table, group = variant.by_flow] {
                                group(table, frames->next(burst), burst, *out);
                                benchmark::DoNotOptimize(out->frame);
                            });
                    }
                }
            }
        }
    }
}

} // namespace
} // namespace bench

int main(int argc, char** argv) {
    return bench::run(argc, argv, bench::register_all);
}
