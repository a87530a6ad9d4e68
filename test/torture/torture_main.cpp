// EAL for the burst torture: no hugepages, no PCI, no shared files.
//
// Under TSan every mempool is one that TSan understands: DPDK's rings are compiled without it, so
// that a buffer which one thread freed and another one allocated would look shared.  Nothing of
// ours is silenced.
#include <gtest/gtest.h>

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_mempool.h>

#include <cstdio>
#include <mutex>
#include <new>
#include <string>
#include <vector>

#include <unistd.h>

namespace lagg::torture {
extern unsigned slowness;
}

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define TORTURE_TSAN 1
#endif
#endif
#if defined(__SANITIZE_THREAD__)
#define TORTURE_TSAN 1
#endif

#ifdef TORTURE_TSAN
namespace {

struct guarded_stack {
    std::mutex mutex;
    std::vector<void*> free;
};

guarded_stack& stack_of(rte_mempool const* mp) {
    return *static_cast<guarded_stack*>(mp->pool_data);
}

int stack_alloc(rte_mempool* mp) {
    mp->pool_data = new (std::nothrow) guarded_stack;
    return mp->pool_data == nullptr ? -ENOMEM : 0;
}

void stack_free(rte_mempool* mp) {
    delete static_cast<guarded_stack*>(mp->pool_data);
}

int stack_enqueue(rte_mempool* mp, void* const* objects, unsigned n) {
    guarded_stack& s = stack_of(mp);
    std::lock_guard const hold(s.mutex);
    s.free.insert(s.free.end(), objects, objects + n);
    return 0;
}

int stack_dequeue(rte_mempool* mp, void** objects, unsigned n) {
    guarded_stack& s = stack_of(mp);
    std::lock_guard const hold(s.mutex);
    if (s.free.size() < n) {
        return -ENOBUFS;
    }
    for (unsigned i = 0; i < n; ++i) {
        objects[i] = s.free.back();
        s.free.pop_back();
    }
    return 0;
}

unsigned stack_count(rte_mempool const* mp) {
    guarded_stack& s = stack_of(mp);
    std::lock_guard const hold(s.mutex);
    return static_cast<unsigned>(s.free.size());
}

bool register_guarded_stack() {
    rte_mempool_ops ops{};
    std::snprintf(ops.name, sizeof ops.name, "guarded");
    ops.alloc = stack_alloc;
    ops.free = stack_free;
    ops.enqueue = stack_enqueue;
    ops.dequeue = stack_dequeue;
    ops.get_count = stack_count;
    return rte_mempool_register_ops(&ops) >= 0;
}

} // namespace
#endif

int main(int argc, char** argv) {
    testing::InitGoogleTest(&argc, argv);
    std::string const prefix = "--file-prefix=torture" + std::to_string(getpid());
    std::vector<std::string> words{argv[0], "--no-huge", "--no-shconf",    "-m",
                                   "256",   "--no-pci",  "--no-telemetry", "--log-level=*:critical",
                                   prefix};
    cpu_set_t all; // EAL keeps its main thread on one CPU; traffic wants each
    sched_getaffinity(0, sizeof all, &all);
    int first = 0;
    while (!CPU_ISSET(first, &all)) {
        ++first;
    }
    words.insert(words.end(), {"-l", std::to_string(first)});
#ifdef TORTURE_TSAN
    lagg::torture::slowness = 2;
    if (!register_guarded_stack()) {
        std::fprintf(stderr, "mempool operations cannot be registered\n");
        return 1;
    }
    words.emplace_back("--mbuf-pool-ops-name=guarded");
#endif
    std::vector<char*> eal;
    for (auto& w : words) {
        eal.push_back(w.data());
    }
    if (rte_eal_init(static_cast<int>(eal.size()), eal.data()) < 0) {
        std::fprintf(stderr, "EAL: %s\n", rte_strerror(rte_errno));
        return 1;
    }
    sched_setaffinity(0, sizeof all, &all); // control calls may run anywhere
    int const rc = RUN_ALL_TESTS();
    rte_eal_cleanup();
    return rc;
}
