#include "core_share.h"

#include "setup.h"

#include <rte_cycles.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <string>
#include <vector>

#include <sched.h>

namespace bench {
namespace {

using clock = std::chrono::steady_clock;

std::atomic<bool> may_move{true}; // a flag alone

/// Instructions that need nothing: as many at a time as a core can take in.  That width a core
/// shares with whoever is on its other hyperthread, whatever that one does; loads are shared only
/// with one who loads.
void independent() {
    for (std::size_t i = 0; i < 32; ++i) {
#pragma GCC unroll 64
        for (std::size_t k = 0; k < 64; ++k) {
            asm volatile("nop");
        }
    }
}

/// Each multiplication waits for the one before.
void chain() {
    std::uint64_t x = 3;
    for (std::size_t i = 0; i < 256; ++i) {
        x *= x;
        asm volatile("" : "+r"(x));
    }
}

template<class Work>
std::uint64_t fastest_of_three(Work work) {
    std::uint64_t least = UINT64_MAX; // an interrupt hits one of them
    for (int i = 0; i < 3; ++i) {
        std::uint64_t const begin = rte_rdtsc_precise();
        work();
        least = std::min(least, rte_rdtsc_precise() - begin);
    }
    return least;
}

double load_of_the_core() {
    return static_cast<double>(fastest_of_three(independent)) /
           static_cast<double>(fastest_of_three(chain));
}

/// What load_of_the_core() is at most when alone: should the first second have no such moment.
#if defined(__x86_64__)
constexpr double expected = 0.67; // four instructions in a cycle, a multiplication in three
#else
constexpr double expected = std::numeric_limits<double>::infinity();
#endif

double patience() {
    char const* const text = std::getenv("LAGG_BENCH_PATIENCE");
    if (text == nullptr) {
        return 15;
    }
    char* end = nullptr;
    double const seconds = std::strtod(text, &end);
    if (end == text || *end != '\0' || !(seconds >= 0)) {
        fail(std::string("LAGG_BENCH_PATIENCE is \"") + text + "\", not a number of seconds");
    }
    return seconds;
}

} // namespace

core_share& core_share::instance() {
    static core_share one;
    return one;
}

core_share::core_share() : cpus_(cpus_of_process()), left_(patience()) {
    auto const here = std::find(cpus_.begin(), cpus_.end(), sched_getcpu());
    cpu_ = static_cast<std::size_t>(here - cpus_.begin()) % cpus_.size();
    std::vector<double> seen;
    auto const until = clock::now() + std::min(left_, std::chrono::duration<double>(1));
    do {
        seen.push_back(load_of_the_core());
    } while (clock::now() < until);
    // not the least: of so many, some are wrong
    auto const best = seen.begin() + static_cast<std::ptrdiff_t>(seen.size() / 50);
    std::nth_element(seen.begin(), best, seen.end());
    usual_ = std::min(*best, expected);
}

void core_share::move_on() {
    if (may_move.load(std::memory_order_relaxed) && cpus_.size() > 1) {
        cpu_ = (cpu_ + 1) % cpus_.size();
        cpu_set_t only;
        CPU_ZERO(&only);
        CPU_SET(cpus_[cpu_], &only);
        must(sched_setaffinity(0, sizeof only, &only), "sched_setaffinity");
    }
}

void core_share::stay() {
    may_move.store(false, std::memory_order_relaxed);
}

bool core_share::alone() const {
    return load_of_the_core() < 1.15 * usual_;
}

} // namespace bench
