// How long does it take from a publication until the replaced snapshot is known to be unused, by
// the number of cells and the length of the bursts that run on them; and how long do the stores
// take that make it effective? Names: grace/cells:<n>/burst_ns:<n>; publish_us and quiescent_us,
// medians of 200.
#include "epoch/publisher.h"
#include "epoch/snapshot_cell.h"
#include "lagg/snapshot.h"
#include "support/background.h"
#include "support/cycles.h"
#include "support/setup.h"

#include <benchmark/benchmark.h>

#include <deque>
#include <memory>
#include <string>
#include <vector>

namespace bench {
namespace {

using lagg::snapshot;
namespace epoch = lagg::epoch;

void run_case(benchmark::State& state, std::size_t cells, std::uint64_t burst_ns) {
    auto const kind = epoch::choose_fence();
    double const us = 1e6 / static_cast<double>(rte_get_tsc_hz());
    auto const burst_cycles = static_cast<std::uint64_t>(static_cast<double>(burst_ns) * 1e-3 / us);
    std::deque<epoch::snapshot_cell<snapshot>> all;
    epoch::control_fence fence(kind);
    epoch::publisher<snapshot> publisher(fence);
    bool ok = true;
    for (std::size_t i = 0; i < cells; ++i) {
        ok &= static_cast<bool>(publisher.attach(all.emplace_back(kind)));
    }
    ok &= static_cast<bool>(publisher.publish(std::make_unique<snapshot>()));

    std::vector<double> stores;
    std::vector<double> grace;
    for ([[maybe_unused]] auto const& _ : state) {
        background const bursts([&all, burst_cycles] {
            for (auto& cell : all) {
                epoch::pin_guard const view(cell);
                std::uint64_t const end = rte_rdtsc() + burst_cycles;
                while (rte_rdtsc() < end) {
                }
            }
        });
        for (int i = 0; i < 200; ++i) {
            auto next = std::make_unique<snapshot>();
            std::uint64_t const begin = rte_rdtsc_precise();
            ok &= static_cast<bool>(publisher.stage(std::move(next)));
            std::uint64_t const effective = rte_rdtsc_precise();
            ok &= fence.run();
            publisher.after_fence();
            while (publisher.retired() > 0) {
                publisher.scan();
            }
            std::uint64_t const end = rte_rdtsc_precise();
            stores.push_back(static_cast<double>(effective - begin) * us);
            grace.push_back(static_cast<double>(end - begin) * us);
        }
    }
    if (!ok) {
        fail("cannot publish");
    }
    state.counters["publish_us"] = middle(stores);
    state.counters["quiescent_us"] = middle(grace);
}

void register_all() {
    for (std::size_t const cells : {1U, 4U, 16U, 64U}) {
        for (std::uint64_t const burst_ns : {100U, 1'000U, 10'000U, 100'000U}) {
            std::string const name =
                "grace/cells:" + std::to_string(cells) + "/burst_ns:" + std::to_string(burst_ns);
            benchmark::RegisterBenchmark(
                name.c_str(), [=](benchmark::State& s) { run_case(s, cells, burst_ns); });
        }
    }
}

} // namespace
} // namespace bench

int main(int argc, char** argv) {
    return bench::run(argc, argv, bench::register_all);
}
