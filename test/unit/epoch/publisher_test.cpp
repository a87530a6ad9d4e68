// Control's side, one thread: what is freed when, and what never is.
#include "epoch/publisher.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdlib>
#include <memory>
#include <new>
#include <random>
#include <set>
#include <utility>
#include <vector>

namespace {
bool memory_is_out = false;
}

// For the whole test program; while `memory_is_out` nothing is to be had.  Not inline: gcc would
// see malloc() meet delete, and warn.
[[gnu::noinline]] void* operator new(std::size_t size) {
    void* const memory = memory_is_out ? nullptr : std::malloc(size);
    if (memory == nullptr) {
        throw std::bad_alloc();
    }
    return memory;
}
[[gnu::noinline]] void operator delete(void* memory) noexcept {
    std::free(memory);
}
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept {
    std::free(memory);
}

namespace lagg::epoch {
namespace {

struct counted {
    explicit counted(int n) : number(n) { ++alive; }
    ~counted() {
        number = -1;
        --alive;
    }
    int number;
    static inline int alive = 0;
};

std::unique_ptr<counted const> make(int n) {
    return std::make_unique<counted const>(n);
}

class Publisher : public testing::Test {
protected:
    static constexpr std::size_t n = 4;

    Publisher() {
        for (auto& cell : cells) {
            EXPECT_TRUE(control.attach(cell));
        }
    }
    void SetUp() override { ASSERT_EQ(counted::alive, 0); }
    ~Publisher() override {
        kernel.works = true;
        for (auto& cell : cells) {
            static_cast<void>(control.detach(cell));
        }
    }
    std::vector<int> live_numbers() const {
        std::vector<int> numbers;
        control.for_each_live([&](counted const& s) { numbers.push_back(s.number); });
        std::sort(numbers.begin(), numbers.end());
        return numbers;
    }

    struct fence_switch {
        bool works = true;
        int calls = 0;
    } kernel;
    control_fence fence{fence_kind::real,
                        [](void* arg, fence_kind) {
                            auto* k = static_cast<fence_switch*>(arg);
                            ++k->calls;
                            return k->works;
                        },
                        &kernel};
    std::array<snapshot_cell<counted>, n> cells;
    publisher<counted> control{fence};
};

TEST_F(Publisher, GivesEveryCellTheNewestWithOneFence) {
    ASSERT_TRUE(control.publish(make(1)));
    EXPECT_EQ(kernel.calls, 1);
    for (auto& cell : cells) {
        EXPECT_EQ(pin_guard(cell)->number, 1);
    }
    EXPECT_EQ(control.newest()->number, 1);
    EXPECT_EQ(control.publications(), 1U);
}

TEST_F(Publisher, IsNeverHeldUpByIdleCells) {
    for (int i = 0; i < 100; ++i) {
        ASSERT_TRUE(control.publish(make(i)));
        EXPECT_EQ(control.live(), 1U);
        EXPECT_EQ(control.retired(), 0U);
        EXPECT_EQ(counted::alive, 1);
    }
}

TEST_F(Publisher, RefusesNothingAsASnapshotAndChangesNothing) {
    ASSERT_TRUE(control.publish(make(1)));
    auto const refused = control.publish(nullptr);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error(), errc::invalid_argument);
    EXPECT_EQ(control.newest()->number, 1);
    EXPECT_EQ(pin_guard(cells[0])->number, 1);
}

TEST_F(Publisher, KeepsWhatABurstRunsOnAndFreesItOnceTheBurstEnded) {
    ASSERT_TRUE(control.publish(make(1)));
    counted const* const view = cells[0].pin();
    ASSERT_TRUE(control.publish(make(2)));
    EXPECT_EQ(control.scan(), 0U);
    EXPECT_EQ(view->number, 1);
    EXPECT_EQ(live_numbers(), (std::vector<int>{1, 2}));
    EXPECT_EQ(control.holders(), 1U);
    EXPECT_EQ(control.pins(), 1U);
    cells[0].unpin();
    EXPECT_EQ(control.scan(), 1U);
    EXPECT_EQ(live_numbers(), (std::vector<int>{2}));
    EXPECT_EQ(control.holders(), 0U);
    EXPECT_EQ(control.pins(), 0U);
}

TEST_F(Publisher, DelaysNobodyElseWhileOneBurstIsParkedForAThousandPublications) {
    ASSERT_TRUE(control.publish(make(0)));
    counted const* const view = cells[0].pin();
    for (int i = 1; i <= 1000; ++i) {
        ASSERT_TRUE(control.publish(make(i)));
        EXPECT_EQ(pin_guard(cells[1])->number, i);
        ASSERT_EQ(live_numbers(), (std::vector<int>{0, i}));
    }
    EXPECT_EQ(view->number, 0);
    cells[0].unpin();
    EXPECT_EQ(control.scan(), 1U);
}

TEST_F(Publisher, KeepsAtMostOneSnapshotMoreThanThereAreCells) {
    // Every cell parks on a snapshot of its own, the worst there is, through 1,000 publications.
    for (int i = 0; i < 1000; ++i) {
        ASSERT_TRUE(control.publish(make(i)));
        if (static_cast<std::size_t>(i) < n) {
            ASSERT_EQ(cells[static_cast<std::size_t>(i)].pin()->number, i);
        }
        ASSERT_LE(control.live(), n + 1);
        ASSERT_EQ(static_cast<int>(control.live()), counted::alive);
    }
    EXPECT_EQ(live_numbers(), (std::vector<int>{0, 1, 2, 3, 999}));
    for (auto& cell : cells) {
        cell.unpin();
    }
    EXPECT_EQ(control.scan(), n);
}

TEST_F(Publisher, HoldsCellsPlusTwoBetweenTheStoresAndTheScan) {
    for (int i = 0; i <= static_cast<int>(n); ++i) {
        ASSERT_TRUE(control.publish(make(i)));
        if (static_cast<std::size_t>(i) < n) {
            ASSERT_NE(cells[static_cast<std::size_t>(i)].pin(), nullptr);
        }
    }
    ASSERT_TRUE(control.stage(make(9)));
    EXPECT_EQ(control.live(), n + 2);
    ASSERT_TRUE(fence.run());
    control.after_fence();
    EXPECT_EQ(control.live(), n + 1);
    for (auto& cell : cells) {
        cell.unpin();
    }
}

TEST_F(Publisher, TreatsACellOnceSeenClearAsClearForGood) {
    // After its fence the cell was seen idle.  That its word later shows the old address, as a
    // burst does that was overtaken between load and pin, holds nothing.
    ASSERT_TRUE(control.publish(make(1)));
    counted const* const parked = cells[0].pin(); // keeps 1 alive
    ASSERT_EQ(parked->number, 1);
    struct late {
        publisher<counted>* control;
        snapshot_cell<counted>* holder;
        std::size_t freed = 99;
        static void overtake(void* arg) {
            // Between load and pin: 2 is published, and the scan sees this cell clear of 1.
            ASSERT_TRUE(static_cast<late*>(arg)->control->publish(make(2)));
        }
        static void look(void* arg) {
            // Announced, doomed: the word shows 1.  The other cell leaves 1; nothing else holds it.
            auto* self = static_cast<late*>(arg);
            if (self->freed == 99) {
                EXPECT_EQ(self->control->pins(), 2U);
                self->holder->unpin();
                self->freed = self->control->scan();
            }
        }
    } race{&control, &cells[0]};
    cell_hooks hooks;
    hooks.arg = &race;
    hooks.after_load = late::overtake;
    hooks.after_announce = late::look;
    cells[1].set_hooks(&hooks);
    {
        pin_guard burst(cells[1]);
        ASSERT_TRUE(burst);
        EXPECT_EQ(burst->number, 2);
    }
    EXPECT_EQ(race.freed, 1U);
    EXPECT_EQ(control.live(), 1U);
}

TEST_F(Publisher, FreesNothingAndCallsNothingQuiescentUntilAFenceSucceeds) {
    ASSERT_TRUE(control.publish(make(1)));
    kernel.works = false;
    ASSERT_TRUE(control.publish(make(2))) << "published all the same";
    EXPECT_EQ(pin_guard(cells[0])->number, 2);
    EXPECT_TRUE(control.fence_pending());
    EXPECT_EQ(control.fences_failed(), 1U);
    EXPECT_EQ(live_numbers(), (std::vector<int>{1, 2}));
    EXPECT_EQ(control.scan(), 0U) << "an idle queue proves nothing without a fence";
    EXPECT_FALSE(control.retry_fence());
    EXPECT_EQ(control.retired(), 1U);
    kernel.works = true;
    EXPECT_TRUE(control.retry_fence());
    EXPECT_EQ(live_numbers(), (std::vector<int>{2}));
    EXPECT_FALSE(control.fence_pending());
    EXPECT_EQ(control.fences_failed(), 2U);
}

TEST_F(Publisher, KeepsWhatWasFencedApartFromWhatWasNot) {
    ASSERT_TRUE(control.publish(make(1)));
    counted const* const view = cells[0].pin();
    ASSERT_TRUE(control.publish(make(2)));
    kernel.works = false;
    ASSERT_TRUE(control.publish(make(3)));
    EXPECT_EQ(live_numbers(), (std::vector<int>{1, 2, 3}));
    EXPECT_EQ(view->number, 1);
    cells[0].unpin();
    EXPECT_EQ(control.scan(), 1U) << "1 was fenced before the fences failed";
    EXPECT_EQ(live_numbers(), (std::vector<int>{2, 3}));
    kernel.works = true;
    EXPECT_TRUE(control.retry_fence());
    EXPECT_EQ(live_numbers(), (std::vector<int>{3}));
}

TEST_F(Publisher, CountsAFencedSnapshotAsHeldByABurstThatPinnedItWhileFencesFailed) {
    ASSERT_TRUE(control.publish(make(1)));
    kernel.works = false;
    counted const* const view = cells[2].pin();
    ASSERT_TRUE(control.publish(make(2)));
    kernel.works = true;
    EXPECT_TRUE(control.retry_fence());
    EXPECT_EQ(view->number, 1);
    EXPECT_EQ(control.retired(), 1U);
    cells[2].unpin();
    EXPECT_EQ(control.scan(), 1U);
}

TEST_F(Publisher, DoesNotLetAFenceCoverWhatWasStagedAfterIt) {
    ASSERT_TRUE(control.publish(make(1)));
    ASSERT_TRUE(fence.run());
    ASSERT_TRUE(control.stage(make(2)));
    EXPECT_EQ(control.after_fence(), 0U) << "that fence came before the store of 2";
    EXPECT_TRUE(control.fence_pending());
    EXPECT_EQ(live_numbers(), (std::vector<int>{1, 2}));
    ASSERT_TRUE(fence.run());
    EXPECT_EQ(control.after_fence(), 1U);
}

TEST_F(Publisher, SharesOneFenceWithAnother) {
    publisher<counted> other(fence);
    snapshot_cell<counted> queue;
    ASSERT_TRUE(other.attach(queue));
    ASSERT_TRUE(control.publish(make(1)));
    ASSERT_TRUE(other.publish(make(2)));
    kernel.calls = 0;
    ASSERT_TRUE(control.stage(make(3)));
    ASSERT_TRUE(other.stage(make(4)));
    EXPECT_EQ(counted::alive, 4);
    ASSERT_TRUE(fence.run());
    EXPECT_EQ(control.after_fence(), 1U);
    EXPECT_EQ(other.after_fence(), 1U);
    EXPECT_EQ(kernel.calls, 1);
    EXPECT_EQ(counted::alive, 2);
    ASSERT_TRUE(other.detach(queue));
}

TEST_F(Publisher, BorrowsAnIdleQueueAndItsBurstsGetNothingUntilItIsGivenBack) {
    ASSERT_TRUE(control.publish(make(1)));
    ASSERT_TRUE(control.try_borrow(cells[0]));
    EXPECT_TRUE(control.borrowed(cells[0]));
    EXPECT_FALSE(control.borrowed(cells[1]));
    EXPECT_FALSE(pin_guard(cells[0]));
    EXPECT_TRUE(pin_guard(cells[1]));
    control.give_back(cells[0]);
    EXPECT_FALSE(control.borrowed(cells[0]));
    EXPECT_EQ(pin_guard(cells[0])->number, 1);
}

TEST_F(Publisher, DoesNotBorrowAQueueInABurstAndGivesItBackAtOnce) {
    ASSERT_TRUE(control.publish(make(1)));
    {
        pin_guard burst(cells[0]);
        EXPECT_FALSE(control.try_borrow(cells[0]));
        EXPECT_EQ(burst->number, 1);
    }
    EXPECT_FALSE(control.borrowed(cells[0]));
    EXPECT_EQ(pin_guard(cells[0])->number, 1);
}

TEST_F(Publisher, DoesNotBorrowTwiceNorWhatIsNotAttached) {
    ASSERT_TRUE(control.publish(make(1)));
    snapshot_cell<counted> stranger;
    EXPECT_FALSE(control.try_borrow(stranger));
    ASSERT_TRUE(control.try_borrow(cells[0]));
    EXPECT_FALSE(control.try_borrow(cells[0]));
    EXPECT_TRUE(control.borrowed(cells[0]));
}

TEST_F(Publisher, BorrowsNothingWhenTheFenceFails) {
    ASSERT_TRUE(control.publish(make(1)));
    kernel.works = false;
    EXPECT_FALSE(control.try_borrow(cells[0]));
    EXPECT_FALSE(control.borrowed(cells[0]));
    EXPECT_EQ(pin_guard(cells[0])->number, 1);
}

TEST_F(Publisher, LeavesABorrowedQueueAloneAndGivesItTheNewestWhenItReturns) {
    ASSERT_TRUE(control.publish(make(1)));
    ASSERT_TRUE(control.try_borrow(cells[0]));
    ASSERT_TRUE(control.publish(make(2)));
    EXPECT_FALSE(pin_guard(cells[0])) << "a publication must not end a borrowing";
    EXPECT_EQ(live_numbers(), (std::vector<int>{2})) << "nor does a borrowed queue hold anything";
    ASSERT_TRUE(control.publish(make(3)));
    control.give_back(cells[0]);
    EXPECT_EQ(pin_guard(cells[0])->number, 3);
}

TEST_F(Publisher, GivesALateCellTheNewest) {
    ASSERT_TRUE(control.publish(make(1)));
    snapshot_cell<counted> late;
    ASSERT_TRUE(control.attach(late));
    EXPECT_EQ(pin_guard(late)->number, 1);
    ASSERT_TRUE(control.publish(make(2)));
    EXPECT_EQ(pin_guard(late)->number, 2);
    ASSERT_TRUE(control.detach(late));
    EXPECT_FALSE(pin_guard(late));
    EXPECT_EQ(control.cells(), n);
}

TEST_F(Publisher, RefusesACellTwiceOrOfAnotherFence) {
    EXPECT_EQ(control.attach(cells[0]).error(), errc::invalid_argument);
    snapshot_cell<counted> other(fence_kind::membarrier);
    EXPECT_EQ(control.attach(other).error(), errc::invalid_argument);
    EXPECT_FALSE(pin_guard(other));
}

TEST_F(Publisher, RefusesToDetachACellInABurst) {
    ASSERT_TRUE(control.publish(make(1)));
    {
        pin_guard burst(cells[0]);
        auto const refused = control.detach(cells[0]);
        ASSERT_FALSE(refused);
        EXPECT_EQ(refused.error(), errc::busy);
        EXPECT_EQ(control.cells(), n);
        ASSERT_TRUE(control.publish(make(2)));
        EXPECT_EQ(burst->number, 1) << "still attached, so still seen";
    }
    EXPECT_EQ(pin_guard(cells[0])->number, 2);
    ASSERT_TRUE(control.detach(cells[0]));
    EXPECT_EQ(control.detach(cells[0]).error(), errc::not_found);
}

TEST_F(Publisher, RefusesToDetachWithoutAFenceAndDetachesWhatItBorrowed) {
    ASSERT_TRUE(control.publish(make(1)));
    ASSERT_TRUE(control.try_borrow(cells[1]));
    kernel.works = false;
    EXPECT_EQ(control.detach(cells[0]).error(), errc::busy);
    EXPECT_TRUE(control.detach(cells[1])) << "its fence was that of the borrowing";
    EXPECT_FALSE(pin_guard(cells[1]));
}

TEST_F(Publisher, ForgetsWhatADetachedCellOnceHeld) {
    ASSERT_TRUE(control.publish(make(1)));
    cells[0].pin();
    ASSERT_TRUE(control.publish(make(2)));
    EXPECT_EQ(control.holders(), 1U);
    cells[0].unpin();
    ASSERT_TRUE(control.detach(cells[0]));
    EXPECT_EQ(control.scan(), 1U);
    EXPECT_EQ(control.holders(), 0U);
}

/// Snapshots made in advance, to be published while there is no memory.  GoogleTest allocates, too,
/// so what came of it is looked at afterwards.
class PublisherWithoutMemory : public testing::Test {
protected:
    static constexpr std::size_t n = 20;

    PublisherWithoutMemory() {
        for (int i = 0; i < 100; ++i) {
            stock.push_back(make(i));
        }
    }
    ~PublisherWithoutMemory() override { memory_is_out = false; }

    std::unique_ptr<counted const> next() { return std::move(stock[taken++]); }

    std::vector<std::unique_ptr<counted const>> stock;
    std::size_t taken = 0;
    bool fence_works = true;
    control_fence fence{fence_kind::real,
                        [](void* works, fence_kind) { return *static_cast<bool*>(works); },
                        &fence_works};
    std::array<snapshot_cell<counted>, n> cells;
    publisher<counted> control{fence};
};

TEST_F(PublisherWithoutMemory, PublishesThoughEveryCellParksOnASnapshotOfItsOwn) {
    for (auto& cell : cells) {
        ASSERT_TRUE(control.attach(cell));
    }
    std::size_t published = 0;
    memory_is_out = true;
    for (std::size_t i = 0; i < stock.size() - 2; ++i) {
        published += control.publish(next()) ? 1U : 0U;
        if (i < n) {
            static_cast<void>(cells[i].pin());
        }
    }
    std::size_t const live = control.live();
    bool const one = bool(control.stage(next()));
    bool const another = bool(control.stage(next())); // twice, and no scan in between
    memory_is_out = false;
    ASSERT_EQ(published, stock.size() - 2);
    EXPECT_EQ(live, n + 1);
    EXPECT_TRUE(one && another);
    for (auto& cell : cells) {
        cell.unpin();
    }
}

TEST_F(PublisherWithoutMemory, PublishesForCellsThatTookThePlaceOfOthers) {
    for (std::size_t i = 0; i < n / 2; ++i) {
        ASSERT_TRUE(control.attach(cells[i]));
    }
    for (std::size_t i = 0; i < n / 2; ++i) {
        ASSERT_TRUE(control.publish(next()));
        static_cast<void>(cells[i].pin());
    }
    ASSERT_TRUE(control.publish(next()));
    ASSERT_EQ(control.retired(), n / 2);
    for (std::size_t i = 0; i < n / 2; ++i) {
        cells[i].unpin();
        ASSERT_TRUE(control.detach(cells[i]));
    }
    memory_is_out = true;
    bool const without_cells = bool(control.stage(next())); // no scan came in between
    memory_is_out = false;
    EXPECT_TRUE(without_cells);
}

TEST_F(PublisherWithoutMemory, PublishesWithoutAnyCell) {
    memory_is_out = true;
    bool const first = bool(control.publish(next()));
    bool const second = bool(control.publish(next()));
    bool const third = bool(control.stage(next()));
    memory_is_out = false;
    ASSERT_TRUE(first && second && third);
    EXPECT_EQ(control.newest()->number, 2);
}

TEST_F(PublisherWithoutMemory, AttachesNothing) {
    ASSERT_TRUE(control.publish(next()));
    memory_is_out = true;
    auto const refused = control.attach(cells[0]);
    memory_is_out = false;
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error(), errc::out_of_memory);
    EXPECT_EQ(control.cells(), 0U);
    EXPECT_FALSE(pin_guard(cells[0]));
    EXPECT_TRUE(control.attach(cells[0]));
}

TEST_F(PublisherWithoutMemory, RefusesOnlyWhenFencesFailTooAndChangesNothingThen) {
    ASSERT_TRUE(control.attach(cells[0]));
    ASSERT_TRUE(control.publish(next()));
    fence_works = false;
    errc why = errc::ok;
    memory_is_out = true;
    while (taken < stock.size() && why == errc::ok) {
        if (auto const done = control.publish(next()); !done) {
            why = done.error();
        }
    }
    memory_is_out = false;
    ASSERT_EQ(why, errc::out_of_memory);
    int const refused = static_cast<int>(taken) - 1;
    EXPECT_EQ(control.newest()->number, refused - 1);
    EXPECT_EQ(pin_guard(cells[0])->number, refused - 1);
    fence_works = true;
    EXPECT_TRUE(control.retry_fence());
    memory_is_out = true;
    bool const again = bool(control.publish(next()));
    memory_is_out = false;
    EXPECT_TRUE(again);
    EXPECT_EQ(control.live(), 1U);
}

TEST(PublisherEnd, FreesEverythingWhenItsCellsAreIdle) {
    control_fence fence(fence_kind::real);
    snapshot_cell<counted> cell;
    {
        publisher<counted> control(fence);
        ASSERT_TRUE(control.attach(cell));
        ASSERT_TRUE(control.publish(make(1)));
        ASSERT_TRUE(control.publish(make(2)));
    }
    EXPECT_EQ(counted::alive, 0);
    EXPECT_FALSE(pin_guard(cell));
}

TEST(PublisherEnd, LeaksRatherThanFreesUnderABurst) {
    control_fence fence(fence_kind::real);
    snapshot_cell<counted> cell;
    counted const* view = nullptr;
    {
        publisher<counted> control(fence);
        ASSERT_TRUE(control.attach(cell));
        ASSERT_TRUE(control.publish(make(1)));
        view = cell.pin();
    }
    ASSERT_NE(view, nullptr);
    EXPECT_EQ(view->number, 1);
    EXPECT_EQ(counted::alive, 1);
    cell.unpin();
    delete view;
}

TEST(PublisherRandom, AgreesWithASetBasedModelOverRandomSteps) {
    unsigned const seed = std::random_device{}();
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    std::mt19937 random(seed);
    struct kernel {
        bool works = true;
    } k;
    control_fence fence(
        fence_kind::real,
        [](void* arg, fence_kind) { return static_cast<struct kernel*>(arg)->works; }, &k);
    constexpr std::size_t n = 5;
    std::array<snapshot_cell<counted>, n> cells;
    publisher<counted> control(fence);
    std::array<counted const*, n> running{};
    std::array<int, n> expected{};
    std::array<bool, n> lent{};
    std::set<int> unfenced; // replaced, without a successful fence since
    for (auto& cell : cells) {
        ASSERT_TRUE(control.attach(cell));
    }
    int newest = -1;
    auto const fenced = [&] {
        if (k.works) {
            unfenced.clear();
        }
    };
    for (int step = 0; step < 50000; ++step) {
        std::size_t const q = random() % n;
        switch (random() % 6) {
        case 0: // publish
            k.works = random() % 4 != 0;
            if (newest >= 0) {
                unfenced.insert(newest);
            }
            ASSERT_TRUE(control.publish(make(newest = step)));
            fenced();
            break;
        case 1: // a burst begins
            if (running[q] == nullptr) {
                running[q] = cells[q].pin();
                ASSERT_EQ(running[q] == nullptr, lent[q] || newest < 0);
                expected[q] = newest;
            }
            break;
        case 2: // or ends
            if (running[q] != nullptr) {
                cells[q].unpin();
                running[q] = nullptr;
            }
            break;
        case 3: control.scan(); break;
        case 4: {
            k.works = random() % 4 != 0;
            bool const may = !lent[q] && running[q] == nullptr && k.works;
            bool const attempts = !lent[q];
            ASSERT_EQ(control.try_borrow(cells[q]), may);
            lent[q] = lent[q] || may;
            if (attempts) {
                fenced();
            }
            break;
        }
        default:
            if (lent[q]) {
                control.give_back(cells[q]);
                lent[q] = false;
            }
        }
        for (std::size_t i = 0; i < n; ++i) {
            if (running[i] != nullptr) {
                ASSERT_EQ(running[i]->number, expected[i]);
            }
        }
        control.scan();
        std::set<int> keep = unfenced;
        for (std::size_t i = 0; i < n; ++i) {
            if (running[i] != nullptr) {
                keep.insert(expected[i]);
            }
        }
        if (newest >= 0) {
            keep.insert(newest);
        }
        std::set<int> live;
        control.for_each_live([&](counted const& s) { live.insert(s.number); });
        ASSERT_EQ(live, keep) << "step " << step;
        ASSERT_EQ(counted::alive, static_cast<int>(keep.size()));
        ASSERT_EQ(control.fence_pending(), !unfenced.empty());
    }
    for (std::size_t i = 0; i < n; ++i) {
        if (running[i] != nullptr) {
            cells[i].unpin();
        }
        k.works = true;
        ASSERT_TRUE(control.detach(cells[i]));
    }
}

} // namespace
} // namespace lagg::epoch
