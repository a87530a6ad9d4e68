// A statistic that one thread writes and others may read at any time.
#pragma once

#include <atomic>
#include <cstdint>

namespace laggd {

class counter {
public:
    /// The one writer only.
    void add(std::uint64_t n) noexcept {
        // single writer: a reader may lag, never tear
        value_.store(value_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
    }
    /// The one writer only: of a number that also falls.
    void set(std::uint64_t n) noexcept {
        value_.store(n, std::memory_order_relaxed); // single writer
    }
    std::uint64_t get() const noexcept {
        return value_.load(std::memory_order_relaxed); // single writer
    }

private:
    std::atomic<std::uint64_t> value_{0};
};

} // namespace laggd
