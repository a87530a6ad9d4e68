// Random tests: which seed, how many rounds.  Knows no test.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <random>
#include <string>

namespace lagg::test {

/// NET_LAGG_TEST_SEED, or a fresh one; printed, so that a failure can be repeated.
inline std::uint64_t fresh_seed(char const* what) {
    std::uint64_t seed = 0;
    if (char const* given = std::getenv("NET_LAGG_TEST_SEED")) {
        seed = std::stoull(given);
    } else {
        seed = std::random_device{}();
    }
    std::cout << what << ": NET_LAGG_TEST_SEED=" << seed << std::endl;
    return seed;
}

/// `usual`, or ten times as many when NET_LAGG_TEST_LONG=1.
inline std::size_t rounds(std::size_t usual) {
    char const* given = std::getenv("NET_LAGG_TEST_LONG");
    return given != nullptr && std::string(given) == "1" ? usual * 10 : usual;
}

/// Uniform numbers, short to write.
class dice {
public:
    explicit dice(std::uint64_t seed) : engine_(seed) {}

    /// [0, n)
    std::uint32_t below(std::uint32_t n) {
        return std::uniform_int_distribution<std::uint32_t>(0, n - 1)(engine_);
    }
    bool one_in(std::uint32_t n) { return below(n) == 0; }

private:
    std::mt19937_64 engine_;
};

} // namespace lagg::test
