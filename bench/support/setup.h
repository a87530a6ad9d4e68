// An EAL for a bench, and how it ends when something does not work.  Knows no port and no frame.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace bench {

/// Says what is wrong and ends the process.  A bench has nobody to report an error to.
[[noreturn]] void fail(std::string const& what);

/// `rc` is 0 or more, or fail().
int must(int rc, std::string const& what);

/// Once, before any port; no hugepages needed.  `lcores`: at most so many, as the machine has them;
/// the first of them runs the caller.
void start_eal(unsigned lcores = 1);

/// The CPUs that the process had when it began.
std::vector<int> cpus_of_process();

/// Lets the calling thread run anywhere but on the CPU of the first lcore, if there is another; the
/// first lcore stays on it (core_share::stay()).
void leave_first_lcore();

/// Google Benchmark's main with EAL: median of interleaved repetitions unless the command line says
/// otherwise.  `reg`: registers what there is to measure, after EAL is up.
int run(int argc, char** argv, void (*reg)(), unsigned lcores = 1);

} // namespace bench
