// The distance that keeps two words of two writers from sharing a cache line.
#pragma once

#include <cstddef>

namespace lagg {

/// Fixed, because layouts depend on it: the library's own constant may differ between compilers and
/// -march values, and two objects of one program would then disagree on the offsets of a queue.
inline constexpr std::size_t cache_line = 64;

} // namespace lagg
