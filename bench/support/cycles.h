// Cycles per packet of a burst, beside those of a bare port in the same breath.
// Knows no PMD and no benchmark library.
#pragma once

#include <rte_cycles.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
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
};

/// Alternates short blocks of both, so that whoever else uses the CPU disturbs both alike.
/// `packets` in each call of either.
template<class Subject, class Reference>
compared compare(Subject&& subject, Reference&& reference, std::size_t packets) {
    constexpr std::size_t blocks = 101;
    std::size_t const times = std::max<std::size_t>(4, 2048 / packets);
    std::vector<double> subjects;
    std::vector<double> references;
    for (std::size_t i = 0; i < blocks; ++i) {
        references.push_back(cycles_each(reference, times, packets));
        subjects.push_back(cycles_each(subject, times, packets));
    }
    double const cycles = undisturbed(subjects);
    return {cycles, cycles - undisturbed(references)};
}

} // namespace bench
