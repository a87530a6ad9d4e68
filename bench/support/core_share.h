// Whether the core is ours alone.  A hyperthread beside ours, of another program or of another
// guest, takes half of what a core can issue: code that is bound by that takes up to twice as long,
// code that waits for a chain of results does not change, and so ratios do not stay either.
#pragma once

#include <chrono>
#include <cstddef>
#include <vector>

namespace bench {

class core_share {
public:
    /// The one of this process, for its only measuring thread.
    static core_share& instance();

    /// Whether many independent instructions take as long, beside a chain of dependent ones, as in
    /// the best moments of the first second.  Two microseconds.
    bool alone() const;

    /// How much longer it makes sense to wait for such moments, in all of this process: seconds in
    /// LAGG_BENCH_PATIENCE, or 15.
    bool patient() const { return left_.count() > 0; }
    void waited(std::chrono::duration<double> some) { left_ -= some; }

    /// Goes on with the next of the CPUs that the process was given, unless somebody has to know
    /// where we are.
    void move_on();
    /// We stay where we are from now on.  Any thread.
    static void stay();

private:
    core_share();
    std::vector<int> cpus_;
    std::size_t cpu_ = 0; // of cpus_
    double usual_ = 0;    // when alone
    std::chrono::duration<double> left_;
};

} // namespace bench
