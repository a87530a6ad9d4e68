#include "setup.h"

#include "core_share.h"

#include <benchmark/benchmark.h>

#include <rte_eal.h>
#include <rte_errno.h>

#include <cstdio>
#include <cstdlib>
#include <vector>

#include <sched.h>
#include <unistd.h>

namespace bench {
namespace {

cpu_set_t ours;   // those that we may use
cpu_set_t others; // without the first lcore's

/// CPUs that we may use, the last one first: the first one has most of the interrupts.
std::string cpu_list(unsigned lcores) {
    CPU_ZERO(&ours);
    must(sched_getaffinity(0, sizeof ours, &ours), "sched_getaffinity");
    others = ours;
    std::string list;
    unsigned taken = 0;
    for (int cpu = CPU_SETSIZE; cpu-- > 0 && taken < lcores;) {
        if (CPU_ISSET(cpu, &ours)) {
            list += list.empty() ? "" : ",";
            if (taken == 0) {
                CPU_CLR(cpu, &others);
            }
            list += std::to_string(taken++);
            list += '@';
            list += std::to_string(cpu);
        }
    }
    return list;
}

} // namespace

void fail(std::string const& what) {
    std::fprintf(stderr, "bench: %s\n", what.c_str());
    std::exit(1);
}

int must(int rc, std::string const& what) {
    if (rc < 0) {
        fail(what + ": " + rte_strerror(-rc));
    }
    return rc;
}

void start_eal(unsigned lcores) {
    std::vector<std::string> words{"bench",
                                   "--no-pci",
                                   "--no-telemetry",
                                   "--no-huge",
                                   "--no-shconf",
                                   "-m",
                                   "256",
                                   "--lcores",
                                   cpu_list(lcores),
                                   "--log-level=*:error",
                                   "--file-prefix=bench" + std::to_string(getpid())};
    if (char const* const bits = std::getenv("LAGG_BENCH_SIMD_BITS")) { // EAL allows 256 of itself
        words.insert(words.end(), "--force-max-simd-bitwidth=" + std::string(bits));
    }
    std::vector<char*> eal;
    for (auto& word : words) {
        eal.push_back(word.data());
    }
    if (rte_eal_init(static_cast<int>(eal.size()), eal.data()) < 0) {
        fail(std::string("EAL: ") + rte_strerror(rte_errno));
    }
}

std::vector<int> cpus_of_process() {
    std::vector<int> cpus;
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
        if (CPU_ISSET(cpu, &ours)) {
            cpus.push_back(cpu);
        }
    }
    return cpus;
}

void leave_first_lcore() {
    core_share::stay();
    if (CPU_COUNT(&others) > 0) {
        must(sched_setaffinity(0, sizeof others, &others), "sched_setaffinity");
    }
}

int run(int argc, char** argv, void (*reg)(), unsigned lcores) {
    std::vector<char*> words(argv, argv + argc);
    std::vector<std::string> defaults{"--benchmark_min_time=0", // one iteration is a whole measure
                                      "--benchmark_repetitions=9",
                                      "--benchmark_enable_random_interleaving=true",
                                      "--benchmark_report_aggregates_only=true"};
    for (auto& word : defaults) { // what the caller says comes later and wins
        words.insert(words.begin() + 1, word.data());
    }
    int count = static_cast<int>(words.size());
    start_eal(lcores);
    if (lcores > 1) {
        core_share::stay();
    }
    benchmark::Initialize(&count, words.data());
    if (benchmark::ReportUnrecognizedArguments(count, words.data())) {
        return 1;
    }
    reg();
    benchmark::RunSpecifiedBenchmarks();
    benchmark::Shutdown();
    std::fflush(nullptr);
    _exit(0); // no teardown: sinks and bonds last as long as the process
}

} // namespace bench
