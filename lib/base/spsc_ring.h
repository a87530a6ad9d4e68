// A bounded queue from one producer thread to one consumer thread; never blocks, never allocates.
// Knows nothing of what it carries; what does not fit is the producer's to count.
#pragma once

#include "base/cache_line.h"

#include <array>
#include <atomic>
#include <cstddef>
#include <type_traits>

namespace lagg {

/// Holds up to `Capacity` values by copy, in order.  `Capacity`: a power of two.
/// push(): the one producer; pop(): the one consumer; the hints: anybody.
/// The roles may move to another thread when something else orders the two (joining, borrowing).
template<class T, std::size_t Capacity>
class spsc_ring {
    static_assert(Capacity > 0 && (Capacity & (Capacity - 1)) == 0, "a power of two");
    static_assert(std::is_trivially_copyable_v<T>);

public:
    using value_type = T;

    static constexpr std::size_t capacity() noexcept { return Capacity; }

    /// False, nothing copied, when full.  Caller: the producer.
    bool push(T const& value) noexcept {
        std::size_t const at = filled_.load(std::memory_order_relaxed); // plain: our own word
        if (at - drained_seen_ == Capacity) {
            // [drain] <- pop(): its copy out of the slot is over before we write there again
            drained_seen_ = drained_.load(std::memory_order_acquire);
            if (at - drained_seen_ == Capacity) {
                return false;
            }
        }
        slots_[at & (Capacity - 1)] = value;
        filled_.store(at + 1,
                      std::memory_order_release); // [fill] -> pop(): it sees the slot filled
        return true;
    }

    /// False, `out` untouched, when empty.  Caller: the consumer.
    bool pop(T& out) noexcept {
        std::size_t const at = drained_.load(std::memory_order_relaxed); // plain: our own word
        if (at == filled_seen_) {
            // [fill] <- push(): the slots below this count are complete
            filled_seen_ = filled_.load(std::memory_order_acquire);
            if (at == filled_seen_) {
                return false;
            }
        }
        out = slots_[at & (Capacity - 1)];
        drained_.store(at + 1, std::memory_order_release); // [drain] -> push(): the slot is free
        return true;
    }

    /// How many values there were at some moment near now: exact for nobody, good enough to decide
    /// whether to look.  No edge: nothing may be concluded about the slots.
    std::size_t size_hint() const noexcept {
        // [drain], [fill] relaxed: a hint reads no slot
        std::size_t const drained = drained_.load(std::memory_order_relaxed); // [drain]
        std::size_t const filled = filled_.load(std::memory_order_relaxed);   // [fill]
        std::size_t const n = filled - drained;
        return n <= Capacity ? n : Capacity; // the two loads are of two moments
    }
    bool empty_hint() const noexcept { return size_hint() == 0; }

private:
    // Counts run freely and wrap; only their difference and their low bits are used.
    alignas(cache_line) std::atomic<std::size_t> filled_{0}; // written by the producer
    std::size_t drained_seen_ = 0;                           // plain: the producer only

    alignas(cache_line) std::atomic<std::size_t> drained_{0}; // written by the consumer
    std::size_t filled_seen_ = 0;                             // plain: the consumer only

    alignas(cache_line) std::array<T, Capacity> slots_{};
};

} // namespace lagg
