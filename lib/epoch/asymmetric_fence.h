// A store-load fence whose price the rare side pays: nothing in the burst, a system call in
// control. Knows nothing of what it orders.
#pragma once

#include <atomic>
#include <cstdint>

namespace lagg::epoch {

/// Which pair of fences a process uses.  Zeroed memory means real fences, which are always right.
enum class fence_kind : std::uint8_t {
    real = 0,   // a CPU fence on both sides
    membarrier, // light: the compiler only; heavy: membarrier(PRIVATE_EXPEDITED)
};

char const* to_string(fence_kind) noexcept;

/// Decides for the whole process, once, before the first burst: membarrier when the kernel has it
/// and takes our registration, else real fences.  Later calls return the same.  Any thread.
fence_kind choose_fence() noexcept;

/// The decision itself, for a given system call (returns a mask of commands, 0, or negative).
using membarrier_call = int (*)(int command);
fence_kind choose_fence_with(membarrier_call) noexcept;

/// The burst's side: its store before is visible to all, or the heavy fence's store is visible to
/// its load after.  `kind` is the caller's constant; with membarrier this emits no instruction.
inline void light_fence(fence_kind kind) noexcept {
    if (kind == fence_kind::membarrier) [[likely]] {
        std::atomic_signal_fence(std::memory_order_seq_cst); // [announce] <-> heavy_fence()
    } else {
        std::atomic_thread_fence(std::memory_order_seq_cst); // [announce] <-> heavy_fence()
    }
}

/// Control's side.  False: the kernel refused, nothing is ordered, and the caller must conclude
/// nothing.  About 0.3 us alone, 10 us when another core of this process is busy.
[[nodiscard]] bool heavy_fence(fence_kind) noexcept;

/// The heavy fences of one control thread, numbered, so that several publishers can share one and
/// each can tell which of its snapshots a fence covered.  Caller of everything: the control thread.
class control_fence {
public:
    using fence_call = bool (*)(void* arg, fence_kind);

    explicit control_fence(fence_kind kind) noexcept : kind_(kind) {}
    /// With another fence, for tests: `call(arg, kind)` instead of heavy_fence(kind).
    control_fence(fence_kind kind, fence_call call, void* arg) noexcept
        : kind_(kind), call_(call), arg_(arg) {}

    control_fence(control_fence const&) = delete;
    control_fence& operator=(control_fence const&) = delete;

    fence_kind kind() const noexcept { return kind_; }

    /// One heavy fence.  False: it failed (counted), and covers nothing.
    bool run() noexcept {
        std::uint64_t const number = ++begun_;
        // [announce] <-> light_fence()
        bool const ok = call_ == nullptr ? heavy_fence(kind_) : call_(arg_, kind_);
        if (ok) {
            good_ = number;
        } else {
            ++failed_;
        }
        return ok;
    }

    /// How many were begun: the stamp of a store made now.
    std::uint64_t begun() const noexcept { return begun_; }
    std::uint64_t failed() const noexcept { return failed_; }

    /// Whether a store stamped `stamp` (begun() at that time) was followed by a fence that
    /// succeeded.
    bool covers(std::uint64_t stamp) const noexcept { return good_ > stamp; }

private:
    fence_kind kind_;
    fence_call call_ = nullptr;
    void* arg_ = nullptr;
    std::uint64_t begun_ = 0;
    std::uint64_t good_ = 0; // number of the last one that succeeded
    std::uint64_t failed_ = 0;
};

} // namespace lagg::epoch
