// The two words through which one queue's lcore and control share snapshots.
// Knows neither what a snapshot contains nor when one is freed: the publisher does.
//
// Why it is right.  Control stores `current`, then fences heavily, then reads `pinned`; the burst
// stores `pinned`, then fences lightly, then reads `current` again.  So control sees the pin and
// keeps the snapshot, or the burst sees the newer one and pins that instead.  What a burst runs on
// was current after its pin was visible; test/model explores this, and every weakening named below,
// exhaustively.
#pragma once

#include "base/cache_line.h"
#include "epoch/asymmetric_fence.h"

#include <atomic>
#include <cstdint>

namespace lagg::epoch {

template<class T>
class publisher;

#ifdef LAGG_TEST_HOOKS
/// Called by the bursts of one cell, where a race would be; a null entry is skipped.  A hook may
/// park, or call the publisher (a test of one thread then sees the race every time).
struct cell_hooks {
    void (*after_load)(void* arg) = nullptr;     // `current` read, nothing announced
    void (*after_announce)(void* arg) = nullptr; // pinned and fenced, not yet rechecked
    void (*after_pin)(void* arg) = nullptr;      // pin() is about to return a snapshot
    void (*before_unpin)(void* arg) = nullptr;
    void* arg = nullptr;
};
#endif

/// One per rx and one per tx queue.  A default or zeroed cell has no snapshot: bursts get none.
/// Three parties: the thread in the queue's burst (one at a time: pin, unpin), the control thread
/// (through the publisher only), and nobody else.  Two lines: `current` is read by the burst,
/// written by control; `pinned` is the burst's, and a class that derives from the cell, or holds it
/// as
/// [[no_unique_address]], can put the queue's own words on the rest of that line.
template<class T>
class snapshot_cell {
public:
    snapshot_cell() = default;
    /// `kind`: the process's choice, constant for the life of the cell.
    explicit snapshot_cell(fence_kind kind) noexcept : kind_(kind) {}

    snapshot_cell(snapshot_cell const&) = delete;
    snapshot_cell& operator=(snapshot_cell const&) = delete;

    /// Begins a burst: the newest snapshot, which stays valid until unpin(); or null when control
    /// has the queue (borrowed, or nothing published): then the caller returns 0 and touches
    /// nothing of the queue, for its plain state is control's.  Not to be nested.  Caller: the
    /// queue's burst.
    T const* pin() noexcept {
        // [adopt] relaxed: not used before the second load, with acquire, has confirmed it
        T const* seen = current_.load(std::memory_order_relaxed);
        hook_after_load();
        if (seen == nullptr) [[unlikely]] {
            return nullptr;
        }
        for (;;) {
            // [leave] -> publisher: release, for control may read this pin instead of the null of
            // the burst before it, and must then still know that burst to be over
            pinned_.store(seen, std::memory_order_release); // [leave]
            light_fence(kind_); // [announce] <-> heavy fence: control sees our pin, or we its store
            hook_after_announce();
            // [adopt] <- install(): acquire makes the contents visible, also when the address is
            // that of an older snapshot used again, and keeps the burst's reads behind this check
            T const* const now = current_.load(std::memory_order_acquire); // [adopt]
            if (now == seen) [[likely]] {
                hook_after_pin();
                return seen;
            }
            if (now == nullptr) {
                pinned_.store(nullptr, std::memory_order_release); // [leave] -> publisher
                return nullptr;
            }
            seen = now; // pin the newer one and check again: it may be replaced, and freed, by now
        }
    }

    /// Ends the burst that pin() began.  Only after a pin() that returned a snapshot.
    void unpin() noexcept {
        hook_before_unpin();
        // [leave] -> publisher: every access of the burst is over, to the snapshot and to the queue
        pinned_.store(nullptr, std::memory_order_release);
    }

    fence_kind kind() const noexcept { return kind_; }

#ifdef LAGG_TEST_HOOKS
    /// `hooks`: outlives its use; null takes them away.  Any thread.
    void set_hooks(cell_hooks const* hooks) noexcept {
        hooks_.store(hooks, std::memory_order_release); // [hooks] -> call()
    }
    /// What the burst under way has pinned.  Caller: a hook of that burst.
    T const* pinned_by_me() const noexcept {
        return pinned_.load(std::memory_order_relaxed); // [leave] plain: its own thread's store
    }
#endif

private:
    friend class publisher<T>;

    // Control's side.  Null in `current` is the sentinel of a borrowed cell.
    void install(T const* snapshot) noexcept {
        current_.store(snapshot, std::memory_order_release); // [adopt] -> pin()
    }
    void withdraw() noexcept {
        // release though nothing is published: the word's every store belongs to [adopt]
        current_.store(nullptr, std::memory_order_release);
    }
    /// An address to compare, never to follow: it may be that of a freed snapshot, announced by a
    /// burst that is about to fail its check.
    std::uintptr_t pinned() const noexcept {
        // [leave] <- unpin(), pin(): bursts that ended before this value was stored are over
        return reinterpret_cast<std::uintptr_t>(pinned_.load(std::memory_order_acquire));
    }

#ifdef LAGG_TEST_HOOKS
    void call(void (*cell_hooks::*which)(void*)) noexcept {
        // [hooks] <- set_hooks()
        cell_hooks const* const hooks = hooks_.load(std::memory_order_acquire);
        if (hooks != nullptr && hooks->*which != nullptr) {
            (hooks->*which)(hooks->arg);
        }
    }
    void hook_after_load() noexcept {
        call(&cell_hooks::after_load);
    }
    void hook_after_announce() noexcept {
        call(&cell_hooks::after_announce);
    }
    void hook_after_pin() noexcept {
        call(&cell_hooks::after_pin);
    }
    void hook_before_unpin() noexcept {
        call(&cell_hooks::before_unpin);
    }
#else
    static void hook_after_load() noexcept {}
    static void hook_after_announce() noexcept {}
    static void hook_after_pin() noexcept {}
    static void hook_before_unpin() noexcept {}
#endif

    alignas(cache_line) std::atomic<T const*> current_{nullptr}; // written by control
#ifdef LAGG_TEST_HOOKS
    std::atomic<cell_hooks const*> hooks_{nullptr}; // written by a test
#endif
    alignas(cache_line) std::atomic<T const*> pinned_{nullptr}; // written by the queue's burst
    fence_kind kind_ = fence_kind::real;                        // plain: never changes
};

/// A burst as a scope.
template<class T>
class [[nodiscard]] pin_guard {
public:
    explicit pin_guard(snapshot_cell<T>& cell) noexcept : cell_(cell), view_(cell.pin()) {}
    ~pin_guard() {
        if (view_ != nullptr) {
            cell_.unpin();
        }
    }
    pin_guard(pin_guard const&) = delete;
    pin_guard& operator=(pin_guard const&) = delete;

    /// False: no snapshot; the burst returns 0 and touches nothing of the queue.
    explicit operator bool() const noexcept { return view_ != nullptr; }
    T const& operator*() const noexcept { return *view_; }
    T const* operator->() const noexcept { return view_; }
    T const* get() const noexcept { return view_; }

private:
    snapshot_cell<T>& cell_;
    T const* view_;
};

} // namespace lagg::epoch
