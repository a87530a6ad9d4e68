// What does a burst pay to see a consistent snapshot: ours, against rte_rcu_qsbr, a reader-writer
// lock, and a copy under a spinlock; while nobody publishes, and while somebody does at 1 kHz?
// Names: snapshot/<cell|qsbr|rwlock|spinlock_copy>/<quiet|1khz>; cycles_per_burst.
#include "epoch/publisher.h"
#include "epoch/snapshot_cell.h"
#include "lagg/snapshot.h"
#include "support/background.h"
#include "support/core_share.h"
#include "support/cycles.h"
#include "support/setup.h"

#include <benchmark/benchmark.h>

#include <rte_malloc.h>
#include <rte_rcu_qsbr.h>
#include <rte_rwlock.h>
#include <rte_spinlock.h>

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>

namespace bench {
namespace {

using lagg::snapshot;
namespace epoch = lagg::epoch;
using namespace std::chrono_literals;

void use(snapshot const& s) {
    benchmark::DoNotOptimize(s.version);
    benchmark::DoNotOptimize(s.bucket[0]);
}

template<class Read, class Publish>
void add(std::string const& scheme, Read read, Publish publish) {
    for (bool const busy : {false, true}) {
        std::string const name = "snapshot/" + scheme + (busy ? "/1khz" : "/quiet");
        benchmark::RegisterBenchmark(name.c_str(), [=](benchmark::State& state) {
            double cycles = 0;
            for ([[maybe_unused]] auto const& _ : state) {
                std::optional<background> control;
                if (busy) {
                    control.emplace(publish, 1ms);
                }
                cycles = compare(
                             read, [] {}, 1)
                             .subject;
            }
            state.counters["cycles_per_burst"] = cycles;
        });
    }
}

void add_cell() {
    auto const kind = epoch::choose_fence();
    static epoch::snapshot_cell<snapshot> cell(kind);
    static epoch::control_fence fence(kind);
    static epoch::publisher<snapshot> publisher(fence);
    auto const publish = [] {
        if (!publisher.publish(std::make_unique<snapshot>())) {
            fail("cannot publish");
        }
    };
    if (!publisher.attach(cell)) {
        fail("cannot attach");
    }
    publish();
    add(
        "cell",
        [] {
            epoch::pin_guard const view(cell);
            use(*view);
        },
        publish);
}

/// The reader reports itself quiescent after each burst, which the application would have to do.
void add_qsbr() {
    auto* const readers = static_cast<rte_rcu_qsbr*>(
        rte_zmalloc("qsbr", rte_rcu_qsbr_get_memsize(1), RTE_CACHE_LINE_SIZE));
    must(rte_rcu_qsbr_init(readers, 1), "qsbr");
    must(rte_rcu_qsbr_thread_register(readers, 0), "qsbr thread");
    static std::atomic<snapshot*> current{new snapshot};
    add(
        "qsbr",
        [readers] {
            rte_rcu_qsbr_thread_online(readers, 0);        // an idle queue must not block control
            use(*current.load(std::memory_order_acquire)); // [qsbr]
            rte_rcu_qsbr_thread_offline(readers, 0);
        },
        [readers] {
            snapshot* const old = current.exchange(new snapshot); // [qsbr]
            rte_rcu_qsbr_synchronize(readers, RTE_QSBR_THRID_INVALID);
            delete old;
        });
}

void add_rwlock() {
    static rte_rwlock_t lock = RTE_RWLOCK_INITIALIZER;
    static snapshot shared;
    add(
        "rwlock",
        [] {
            rte_rwlock_read_lock(&lock);
            use(shared);
            rte_rwlock_read_unlock(&lock);
        },
        [] {
            snapshot const next;
            rte_rwlock_write_lock(&lock);
            shared = next;
            rte_rwlock_write_unlock(&lock);
        });
}

void add_spinlock() {
    static rte_spinlock_t lock = RTE_SPINLOCK_INITIALIZER;
    static snapshot shared;
    add(
        "spinlock_copy",
        [] {
            snapshot copy;
            rte_spinlock_lock(&lock);
            copy = shared;
            rte_spinlock_unlock(&lock);
            use(copy);
        },
        [] {
            snapshot const next;
            rte_spinlock_lock(&lock);
            shared = next;
            rte_spinlock_unlock(&lock);
        });
}

void register_all() {
    core_share::stay(); // or it might move to where the writer is
    add_cell();
    add_qsbr();
    add_rwlock();
    add_spinlock();
}

} // namespace
} // namespace bench

int main(int argc, char** argv) {
    return bench::run(argc, argv, bench::register_all);
}
