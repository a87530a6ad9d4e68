// What a fuzz target does with a broken rule: says which, and dies, so that libFuzzer keeps the
// input.
#pragma once

#include <cstdio>
#include <cstdlib>

namespace lagg::fuzz {

inline void check(bool ok, char const* rule) {
    if (!ok) {
        std::fprintf(stderr, "broken: %s\n", rule);
        std::abort();
    }
}

} // namespace lagg::fuzz
