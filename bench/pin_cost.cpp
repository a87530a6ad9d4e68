// What does a pin cost a burst: the cell's two words with each kind of fence, against reading the
// snapshot's address and nothing else?
// Names: pin/<none|membarrier|real>; cycles_per_burst.
#include "epoch/publisher.h"
#include "epoch/snapshot_cell.h"
#include "lagg/snapshot.h"
#include "support/cycles.h"
#include "support/setup.h"

#include <benchmark/benchmark.h>

#include <atomic>
#include <memory>
#include <string>

namespace bench {
namespace {

using lagg::snapshot;
namespace epoch = lagg::epoch;

template<class Work>
void add(std::string const& name, Work work) {
    benchmark::RegisterBenchmark(name.c_str(), [work](benchmark::State& state) {
        double cycles = 0;
        for ([[maybe_unused]] auto const& _ : state) {
            cycles = compare(
                         work, [] {}, 1)
                         .subject;
        }
        state.counters["cycles_per_burst"] = cycles;
    });
}

void add_kind(epoch::fence_kind kind) {
    auto* const cell = new epoch::snapshot_cell<snapshot>(kind); // for the life of the process
    auto* const fence = new epoch::control_fence(kind);
    auto* const publisher = new epoch::publisher<snapshot>(*fence);
    if (!publisher->attach(*cell) || !publisher->publish(std::make_unique<snapshot>())) {
        fail("cannot publish");
    }
    add(std::string("pin/") + epoch::to_string(kind), [cell] {
        epoch::pin_guard const view(*cell);
        benchmark::DoNotOptimize(view->version);
    });
}

void register_all() {
    static snapshot only;
    static std::atomic<snapshot const*> current{&only};
    add("pin/none",
        [] { benchmark::DoNotOptimize(current.load(std::memory_order_acquire)->version); });
    add_kind(epoch::fence_kind::real);
    if (epoch::choose_fence() == epoch::fence_kind::membarrier) {
        add_kind(epoch::fence_kind::membarrier);
    }
}

} // namespace
} // namespace bench

int main(int argc, char** argv) {
    return bench::run(argc, argv, bench::register_all);
}
