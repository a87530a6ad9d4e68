// What does it cost to sort a burst by member, hashing left out: in turn and by flow, for every
// number of members and burst size, a flow after the other or all of one flow?
// Names: distribute/<in_turn[_avx2]|few|many>/members:<n>/burst:<n>[/one_flow]
#include "lagg/datapath/by_flow.h"
#include "lagg/datapath/distributor.h"
#include "lagg/datapath/in_turn_avx2.h"
#include "support/cycles.h"
#include "support/setup.h"

#include <benchmark/benchmark.h>

#include <array>
#include <cstdint>
#include <memory>
#include <random>
#include <string>

namespace bench {
namespace {

using frame = std::uint64_t;
using groups = lagg::grouped_frames<frame>;

std::array<frame, lagg::chunk_size> chunk;
std::array<std::uint32_t, lagg::chunk_size> hashes;
lagg::snapshot view;

template<class Work>
void add(std::string const& name, std::size_t members, std::size_t burst, bool one_flow,
         Work work) {
    std::string const full = "distribute/" + name + "/members:" + std::to_string(members) +
                             "/burst:" + std::to_string(burst) + (one_flow ? "/one_flow" : "");
    benchmark::RegisterBenchmark(full.c_str(), [=](benchmark::State& state) {
        for (std::size_t i = 0; i < view.bucket.size(); ++i) {
            view.bucket[i] = static_cast<std::uint8_t>(i % members);
        }
        std::mt19937 random(1);
        for (auto& h : hashes) {
            h = one_flow ? 1 : static_cast<std::uint32_t>(random());
        }
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
    static auto const out = std::make_unique<groups>();
    static lagg::net::hash_rule const rule;
    static lagg::net::hash_plan const plan = lagg::net::plan_of(rule);
    for (std::size_t const members : {2U, 4U, 8U, 16U, 32U}) {
        for (std::size_t const burst : {4U, 8U, 16U, 32U, 64U}) {
            add("in_turn_avx2", members, burst, false, [=] {
                lagg::avx2::deal_columns(members, chunk.data(), burst, out->frame.data());
                benchmark::DoNotOptimize(out->frame);
            });
            add("in_turn", members, burst, false, [=] {
                lagg::deal_columns(members, chunk.data(), burst, out->frame.data());
                benchmark::DoNotOptimize(out->frame);
            });
            for (bool const one_flow : {false, true}) {
                auto const scatter = [=]<class Groups>(Groups*) {
                    lagg::flow_table const table{rule, plan, view.bucket, members};
                    lagg::group_hashed<Groups>(table, chunk.data(), hashes.data(), burst, *out);
                    benchmark::DoNotOptimize(out->frame);
                };
                if (members <= lagg::few_groups<frame>::most) {
                    add("few", members, burst, one_flow,
                        [=] { scatter(static_cast<lagg::few_groups<frame>*>(nullptr)); });
                }
                add("many", members, burst, one_flow,
                    [=] { scatter(static_cast<lagg::many_groups<frame>*>(nullptr)); });
            }
        }
    }
}

} // namespace
} // namespace bench

int main(int argc, char** argv) {
    return bench::run(argc, argv, bench::register_all);
}
