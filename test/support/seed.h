// The seed of a random test: another one each run, printed when the test fails.
// NET_LAGG_TEST_SEED=<n> repeats a run.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <cstdlib>
#include <random>
#include <string>

namespace lagg::test {

/// Lives as long as the test: its trace is what a failure prints.
class seed {
public:
    seed()
        : value_(choose()),
          trace_(__FILE__, __LINE__, "NET_LAGG_TEST_SEED=" + std::to_string(value_)) {}

    operator std::uint64_t() const noexcept { return value_; }

private:
    static std::uint64_t choose() {
        char const* const wanted = std::getenv("NET_LAGG_TEST_SEED");
        return wanted != nullptr ? std::strtoull(wanted, nullptr, 0) : std::random_device{}();
    }

    std::uint64_t value_;
    testing::ScopedTrace trace_;
};

} // namespace lagg::test
