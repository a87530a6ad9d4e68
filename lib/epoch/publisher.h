// Gives every cell the newest snapshot, and frees the old ones once no burst can see them.
// Knows no thread, no lock and no clock: one control thread makes every call here, and decides
// when.
//
// Publishing never waits.  It is done when the stores are; what follows, the fence and the scan,
// only decides what may be freed.  Three facts carry the scan (test/model has each, and what
// happens without):
// - after the fence a burst pins the replaced snapshot visibly, or will not run on it;
// - so a cell once seen not pinning it, after that fence, is clear of it for good: a pin seen later
//   belongs to a burst that is about to fail its check;
// - a cell pins one snapshot at a time, so after a scan at most one retired snapshot lives per
// cell.
#pragma once

#include "base/errc.h"
#include "base/result.h"
#include "epoch/asymmetric_fence.h"
#include "epoch/snapshot_cell.h"

#include <algorithm>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <utility>
#include <vector>

namespace lagg::epoch {

/// Owns the snapshots of one lagg port.  Caller of everything: the one control thread.
/// Live snapshots: at most cells + 1 after a scan and cells + 2 while publishing, however many were
/// published, as long as fences succeed; each fence that fails keeps one more until one succeeds.
/// Room for that many is there before they are: a publication needs no memory unless fences fail.
template<class T>
class publisher {
public:
    using cell = snapshot_cell<T>;

    /// `fence`: of the same control thread, shared by its publishers; outlives this.  Throws
    /// std::bad_alloc.
    explicit publisher(control_fence& fence) : fence_(fence) { reserve_for(0); }

    publisher(publisher const&) = delete;
    publisher& operator=(publisher const&) = delete;

    /// Cells are detached before.  Should one still be pinned, its snapshots are leaked: a burst is
    /// worse off with a freed one.
    ~publisher() {
        while (!cells_.empty()) {
            if (!detach(*cells_.back().cell)) {
                for (retiree& old : retired_) {
                    static_cast<void>(old.snapshot.release());
                }
                static_cast<void>(newest_.release());
                return;
            }
        }
    }

    /// From now on the cell gets what is published, and has the newest at once.
    /// Errors: invalid_argument (attached already, or made for another kind of fence),
    /// out_of_memory.
    result<void> attach(cell& c) {
        if (find(c) != cells_.end() || c.kind() != fence_.kind()) {
            return errc::invalid_argument;
        }
        try {
            reserve_for(cells_.size() + 1);
            cells_.push_back(entry{&c, 0, false});
        } catch (std::bad_alloc const&) {
            return errc::out_of_memory;
        }
        c.install(newest_.get());
        return {};
    }

    /// Takes the cell back; on success no burst holds a snapshot through it and none will get one,
    /// so that its memory is the caller's (who knows that no burst is still to come).  Borrowed
    /// cells too. Errors: busy (pinned, or the fence failed: unchanged), not_found.
    result<void> detach(cell& c) {
        auto const at = find(c);
        if (at == cells_.end()) {
            return errc::not_found;
        }
        if (!at->borrowed && !try_borrow(c)) {
            return errc::busy;
        }
        cells_.erase(at);
        return {};
    }

    std::size_t cells() const noexcept { return cells_.size(); }

    /// stage() and all that should follow.  In effect for every cell when it returns, whatever
    /// became of the fence (fence_pending()).  Errors: as stage().
    result<void> publish(std::unique_ptr<T const>&& next) {
        auto staged = stage(std::move(next));
        if (staged) {
            fence_.run();
            after_fence();
        }
        return staged;
    }

    /// The stores alone: in effect at once; nothing is freed until a fence has succeeded and
    /// after_fence() or scan() was called.  For several publishers that share one fence:
    ///     a.stage(...); b.stage(...); fence.run(); a.after_fence(); b.after_fence();
    /// Errors: invalid_argument (null), out_of_memory (only after failed fences, or a third stage()
    /// without after_fence()); nothing is published then, and `next` is still the caller's.
    result<void> stage(std::unique_ptr<T const>&& next) {
        if (next == nullptr) {
            return errc::invalid_argument;
        }
        try {
            if (retired_.size() == retired_.capacity()) {
                retired_.reserve(2 * retired_.size()); // what reserve_for() foresaw is used up
            }
        } catch (std::bad_alloc const&) {
            return errc::out_of_memory;
        }
        std::unique_ptr<T const> old = std::exchange(newest_, std::move(next));
        T const* const snapshot = newest_.get();
        for (entry& e : cells_) {
            if (!e.borrowed) { // a store here would hand the queue back behind the borrower's back
                e.cell->install(snapshot);
            }
        }
        ++publications_;
        if (old != nullptr) {
            retired_.push_back(retiree{std::move(old), fence_.begun(), false, false, false});
        }
        return {};
    }

    /// To be called after control_fence::run(), successful or not.  Returns how many were freed.
    std::size_t after_fence() noexcept { return scan(); }

    /// One more fence, for what a failed one left behind.  Returns whether it succeeded.
    bool retry_fence() noexcept {
        bool const ok = fence_.run();
        scan();
        return ok;
    }

    /// Frees the retired snapshots that a fence covered and no cell pins; no new fence.  Reads each
    /// `pinned` at most once.  To be repeated by timer while retired() is not 0.  Returns how many.
    std::size_t scan() noexcept {
        bool news = false;
        for (retiree& old : retired_) {
            old.fresh = !old.fenced && fence_.covers(old.stamp);
            old.fenced = old.fenced || old.fresh;
            old.held = false;
            news = news || old.fresh;
        }
        for (entry& e : cells_) {
            if (!news && e.holds == 0) {
                continue; // clear of every fenced one for good
            }
            std::uintptr_t const seen = e.cell->pinned(); // once: a second read may differ
            bool const still = e.holds != 0 && seen == e.holds;
            e.holds = 0;
            if (seen == 0) {
                continue;
            }
            for (retiree& old : retired_) {
                if (address(old.snapshot) == seen && (still || old.fresh)) {
                    e.holds = seen;
                    old.held = true;
                    break;
                }
            }
        }
        return std::erase_if(retired_, [](retiree const& old) { return old.fenced && !old.held; });
    }

    /// What bursts that begin now run on; null before the first publication.
    T const* newest() const noexcept { return newest_.get(); }

    /// Snapshots that exist: the newest and the retired.
    std::size_t live() const noexcept { return retired_.size() + (newest_ != nullptr ? 1 : 0); }
    std::size_t retired() const noexcept { return retired_.size(); }

    /// f(T const&) for every snapshot that a burst may still run on.  What none of them contains,
    /// after a scan that left no fence pending, no burst can touch.
    template<class F>
    void for_each_live(F&& f) const {
        if (newest_ != nullptr) {
            f(std::as_const(*newest_));
        }
        for (retiree const& old : retired_) {
            f(std::as_const(*old.snapshot));
        }
    }

    /// True while a retired snapshot waits for a fence that succeeds: retry_fence().
    bool fence_pending() const noexcept {
        return std::any_of(retired_.begin(), retired_.end(),
                           [](retiree const& old) { return !old.fenced; });
    }

    /// Cells in a burst at this moment, a sample for statistics.
    std::size_t pins() const noexcept {
        return static_cast<std::size_t>(std::count_if(
            cells_.begin(), cells_.end(), [](entry const& e) { return e.cell->pinned() != 0; }));
    }
    /// Cells that the last scan saw in a burst on a retired snapshot.
    std::size_t holders() const noexcept {
        return static_cast<std::size_t>(std::count_if(cells_.begin(), cells_.end(),
                                                      [](entry const& e) { return e.holds != 0; }));
    }
    std::uint64_t publications() const noexcept { return publications_; }
    std::uint64_t fences_failed() const noexcept { return fence_.failed(); }

    /// Takes an idle queue: on true its burst returns 0, and its plain state is control's, until
    /// give_back().  False: in a burst, the fence failed, borrowed already or not attached; the
    /// cell is as it was.  Never waits; a heavy fence per call.
    bool try_borrow(cell& c) noexcept {
        auto const at = find(c);
        if (at == cells_.end() || at->borrowed) {
            return false;
        }
        c.withdraw();
        // [announce]: after the fence a burst meets the sentinel, or its pin is visible below.
        // [leave] in pinned(): what bursts before wrote to the queue's plain state is ours to read.
        if (fence_.run() && c.pinned() == 0) {
            at->borrowed = true;
            return true;
        }
        c.install(newest_.get());
        return false;
    }

    /// Ends a borrowing: the queue has the newest snapshot, which may be another than it was.
    void give_back(cell& c) noexcept {
        auto const at = find(c);
        assert(at != cells_.end() && at->borrowed);
        if (at != cells_.end() && at->borrowed) {
            at->borrowed = false;
            c.install(newest_.get()); // [adopt]: what control did to the queue comes with it
        }
    }

    bool borrowed(cell const& c) const noexcept {
        return std::any_of(cells_.begin(), cells_.end(),
                           [&](entry const& e) { return e.cell == &c && e.borrowed; });
    }

private:
    struct entry {
        snapshot_cell<T>* cell;
        std::uintptr_t holds; // the fenced, retired snapshot it was seen to pin, or 0
        bool borrowed;
    };
    struct retiree {
        std::unique_ptr<T const> snapshot;
        std::uint64_t stamp; // fences begun before it was replaced
        bool fenced;
        bool fresh; // fenced since the last scan: every cell must be looked at
        bool held;
    };

    /// After a scan each of the cells holds at most one; a second stage() finds room, too.  It
    /// never shrinks, so that what detached cells held until the next scan fits as well.
    void reserve_for(std::size_t cells) { retired_.reserve(cells + 2); }

    static std::uintptr_t address(std::unique_ptr<T const> const& snapshot) noexcept {
        return reinterpret_cast<std::uintptr_t>(snapshot.get());
    }
    auto find(cell const& c) noexcept {
        return std::find_if(cells_.begin(), cells_.end(),
                            [&](entry const& e) { return e.cell == &c; });
    }

    control_fence& fence_;
    std::vector<entry> cells_;
    std::unique_ptr<T const> newest_;
    std::vector<retiree> retired_; // oldest first
    std::uint64_t publications_ = 0;
};

} // namespace lagg::epoch
