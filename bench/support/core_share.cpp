#include "core_share.h"

#include "setup.h"

#include <rte_cycles.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <string>
#include <vector>

namespace bench {
namespace {

using clock = std::chrono::steady_clock;

/// Independent loads: as many at a time as a core can issue.  Many for each turn of the loop: a
/// loop of one takes twice as long on some cores when it happens to lie across two lines.
void independent() {
    static std::array<std::uint64_t, 16> const words{};
    for (std::size_t i = 0; i < 1024 / words.size(); ++i) {
#pragma GCC unroll 16
        for (std::size_t k = 0; k < words.size(); ++k) {
            static_cast<void>(*const_cast<std::uint64_t const volatile*>(&words[k]));
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
constexpr double expected = 0.8; // two or three loads in a cycle, a multiplication in three
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

core_share::core_share() : left_(patience()) {
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

bool core_share::alone() const {
    return load_of_the_core() < 1.15 * usual_;
}

} // namespace bench
