// Cycles per packet of a burst, beside those of a bare port in the same breath.
// Knows no PMD and no benchmark library.
#pragma once

#include "core_share.h"

#include <rte_cycles.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace bench {

/// The tenth percentile: what it takes while nobody else is in the way.  A busy neighbour makes
/// some blocks slower and none faster.
inline double undisturbed(std::vector<double> values) {
    auto const tenth = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 10);
    std::nth_element(values.begin(), tenth, values.end());
    return *tenth;
}

inline double middle(std::vector<double> values) {
    auto const half = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
    std::nth_element(values.begin(), half, values.end());
    return *half;
}

/// Cycles that `work`, called `times` times, takes for each of `packets` in a call.
template<class Work>
double cycles_each(Work&& work, std::size_t times, std::size_t packets) {
    std::uint64_t const begin = rte_rdtsc_precise();
    for (std::size_t i = 0; i < times; ++i) {
        work();
    }
    std::uint64_t const end = rte_rdtsc_precise();
    return static_cast<double>(end - begin) / static_cast<double>(times * packets);
}

struct compared {
    double subject = 0; // cycles per packet
    double over = 0;    // of these, how many more than the reference
    double shared = 0;  // part of the blocks in which somebody else used the core, too
};

/// Alternates short blocks of both, so that whoever else uses the CPU disturbs both alike, and
/// takes those in which nobody did, as long as there is patience.  `packets` in each call of
/// either.
template<class Subject, class Reference>
compared compare(Subject&& subject, Reference&& reference, std::size_t packets) {
    using clock = std::chrono::steady_clock;
    constexpr std::size_t blocks = 101;
    std::size_t const times = std::max<std::size_t>(4, 8192 / packets);
    core_share& core = core_share::instance();
    std::vector<double> subjects;
    std::vector<double> references;
    std::size_t shared = 0;
    std::size_t disturbed = 0; // in a row
    bool alone = core.alone();
    while (subjects.size() < blocks) {
        auto const begin = clock::now();
        double const beside = cycles_each(reference, times, packets);
        double const cycles = cycles_each(subject, times, packets);
        bool const before = std::exchange(alone, core.alone());
        if (before && alone) {
            references.push_back(beside);
            subjects.push_back(cycles);
            disturbed = 0;
        } else if (core.patient()) {
            core.waited(clock::now() - begin);
            if (++disturbed % 32 == 0) {
                core.move_on();
            }
        } else {
            ++shared;
            references.push_back(beside);
            subjects.push_back(cycles);
        }
    }
    double const cycles = undisturbed(subjects);
    return {cycles, cycles - undisturbed(references),
            static_cast<double>(shared) / static_cast<double>(blocks)};
}

} // namespace bench
