// The burst's side, one thread.  The hooks run control in the middle of pin(), where another core
// would be, so that each race of the protocol happens every time.
#include "epoch/snapshot_cell.h"

#include "epoch/publisher.h"

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <new>
#include <string>
#include <utility>

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

class SnapshotCell : public testing::TestWithParam<fence_kind> {
protected:
    void SetUp() override {
        if (GetParam() == fence_kind::membarrier && choose_fence() != fence_kind::membarrier) {
            GTEST_SKIP() << "no membarrier on this kernel";
        }
    }
    fence_kind kind() const { return GetParam(); }
};

INSTANTIATE_TEST_SUITE_P(BothKinds, SnapshotCell,
                         testing::Values(fence_kind::real, fence_kind::membarrier),
                         [](auto const& given) {
                             return given.param == fence_kind::real ? "RealFences" : "Membarrier";
                         });

/// Runs `what` once, at one of the hooks of a cell.
struct once {
    std::function<void()> what;
    cell_hooks hooks;
    static void run(void* arg) {
        auto* self = static_cast<once*>(arg);
        if (auto const todo = std::exchange(self->what, nullptr)) {
            todo();
        }
    }
    once(void (*cell_hooks::*where)(void*), std::function<void()> f) : what(std::move(f)) {
        hooks.*where = run;
        hooks.arg = this;
    }
};

TEST_P(SnapshotCell, OfZeroedMemoryHasNoSnapshotAndPinsNothing) {
    alignas(snapshot_cell<counted>) unsigned char memory[sizeof(snapshot_cell<counted>)];
    std::memset(memory, 0, sizeof memory);
    auto* cell = new (memory) snapshot_cell<counted>(kind());
    EXPECT_EQ(cell->pin(), nullptr);
    pin_guard burst(*cell);
    EXPECT_FALSE(burst);
    cell->~snapshot_cell();
}

TEST_P(SnapshotCell, KeepsItsTwoWordsOnTwoLines) {
    EXPECT_EQ(alignof(snapshot_cell<counted>), cache_line);
    EXPECT_EQ(sizeof(snapshot_cell<counted>), 2 * cache_line);
}

TEST_P(SnapshotCell, LeavesTheRestOfTheBurstsLineToAQueueThatDerivesFromIt) {
    struct queue : snapshot_cell<counted> {
        std::uint64_t cursor = 0;
        std::uint64_t frames = 0;
    };
    EXPECT_EQ(sizeof(queue), sizeof(snapshot_cell<counted>));
}

TEST_P(SnapshotCell, GivesABurstTheNewestSnapshotForAsLongAsTheBurstRuns) {
    control_fence fence(kind());
    publisher<counted> control(fence);
    snapshot_cell<counted> cell(kind());
    ASSERT_TRUE(control.attach(cell));
    ASSERT_TRUE(control.publish(make(1)));
    {
        pin_guard burst(cell);
        ASSERT_TRUE(burst);
        EXPECT_EQ(burst->number, 1);
        ASSERT_TRUE(control.publish(make(2)));
        EXPECT_EQ((*burst).number, 1);
        EXPECT_EQ(counted::alive, 2);
    }
    {
        pin_guard burst(cell);
        ASSERT_TRUE(burst);
        EXPECT_EQ(burst->number, 2);
    }
    control.scan();
    EXPECT_EQ(counted::alive, 1);
    ASSERT_TRUE(control.detach(cell));
}

TEST_P(SnapshotCell, RunsOnTheNewerSnapshotWhenOneIsPublishedBetweenLoadAndPin) {
    control_fence fence(kind());
    publisher<counted> control(fence);
    snapshot_cell<counted> cell(kind());
    ASSERT_TRUE(control.attach(cell));
    ASSERT_TRUE(control.publish(make(1)));
    once race(&cell_hooks::after_load, [&] { ASSERT_TRUE(control.publish(make(2))); });
    cell.set_hooks(&race.hooks);
    {
        pin_guard burst(cell);
        ASSERT_TRUE(burst);
        EXPECT_EQ(counted::alive, 1) << "nothing was pinned, so the first was free to go";
        EXPECT_EQ(burst->number, 2);
    }
    ASSERT_TRUE(control.detach(cell));
}

TEST_P(SnapshotCell, RunsOnTheNewerSnapshotWhenOneIsPublishedBetweenPinAndCheck) {
    control_fence fence(kind());
    publisher<counted> control(fence);
    snapshot_cell<counted> cell(kind());
    ASSERT_TRUE(control.attach(cell));
    ASSERT_TRUE(control.publish(make(1)));
    once race(&cell_hooks::after_announce, [&] { ASSERT_TRUE(control.publish(make(2))); });
    cell.set_hooks(&race.hooks);
    {
        pin_guard burst(cell);
        ASSERT_TRUE(burst);
        EXPECT_EQ(burst->number, 2);
        ASSERT_TRUE(control.publish(make(3)));
        EXPECT_EQ(burst->number, 2) << "the newer one was pinned too";
        EXPECT_EQ(control.live(), 2U) << "the doomed pin of the first holds nothing any more";
    }
    ASSERT_TRUE(control.detach(cell));
}

TEST_P(SnapshotCell, PinsAgainAsOftenAsItIsOvertaken) {
    control_fence fence(kind());
    publisher<counted> control(fence);
    snapshot_cell<counted> cell(kind());
    ASSERT_TRUE(control.attach(cell));
    ASSERT_TRUE(control.publish(make(0)));
    struct state {
        publisher<counted>* control;
        int next = 1;
    } overtaker{&control};
    cell_hooks hooks;
    hooks.arg = &overtaker;
    hooks.after_announce = [](void* arg) {
        auto* s = static_cast<state*>(arg);
        if (s->next <= 5) {
            ASSERT_TRUE(s->control->publish(make(s->next++)));
        }
    };
    cell.set_hooks(&hooks);
    {
        pin_guard burst(cell);
        ASSERT_TRUE(burst);
        EXPECT_EQ(burst->number, 5);
    }
    control.scan();
    EXPECT_EQ(counted::alive, 1);
    ASSERT_TRUE(control.detach(cell));
}

TEST_P(SnapshotCell, GivesNothingAndPinsNothingWhenTheQueueIsBorrowedBetweenLoadAndPin) {
    control_fence fence(kind());
    publisher<counted> control(fence);
    snapshot_cell<counted> cell(kind());
    ASSERT_TRUE(control.attach(cell));
    ASSERT_TRUE(control.publish(make(1)));
    bool got = false;
    once race(&cell_hooks::after_load, [&] { got = control.try_borrow(cell); });
    cell.set_hooks(&race.hooks);
    EXPECT_EQ(cell.pin(), nullptr);
    EXPECT_TRUE(got);
    EXPECT_EQ(control.pins(), 0U);
    control.give_back(cell);
    EXPECT_EQ(pin_guard(cell)->number, 1);
    ASSERT_TRUE(control.detach(cell));
}

TEST_P(SnapshotCell, RefusesToBeBorrowedOnceItHasAnnouncedABurst) {
    control_fence fence(kind());
    publisher<counted> control(fence);
    snapshot_cell<counted> cell(kind());
    ASSERT_TRUE(control.attach(cell));
    ASSERT_TRUE(control.publish(make(1)));
    bool got = true;
    once race(&cell_hooks::after_announce, [&] { got = control.try_borrow(cell); });
    cell.set_hooks(&race.hooks);
    {
        pin_guard burst(cell);
        EXPECT_FALSE(got);
        ASSERT_TRUE(burst) << "given back at once";
        EXPECT_EQ(burst->number, 1);
    }
    ASSERT_TRUE(control.detach(cell));
}

/// Lives in one of two places, so that every second one has the address of the first.
struct reused {
    explicit reused(int n) : number(n) {}
    int number;

    static void* operator new(std::size_t) {
        for (auto& place : places) {
            if (!place.taken) {
                place.taken = true;
                return place.bytes;
            }
        }
        throw std::bad_alloc();
    }
    static void operator delete(void* memory) {
        for (auto& place : places) {
            place.taken = place.taken && memory != place.bytes;
        }
    }
    struct place {
        alignas(std::max_align_t) unsigned char bytes[16];
        bool taken;
    };
    static inline place places[2];
};

TEST_P(SnapshotCell, ConfirmsANewSnapshotThatHasTheAddressOfTheFreedOneItLoaded) {
    control_fence fence(kind());
    publisher<reused> control(fence);
    snapshot_cell<reused> cell(kind());
    ASSERT_TRUE(control.attach(cell));
    ASSERT_TRUE(control.publish(std::make_unique<reused>(1)));
    reused const* const first = control.newest();
    once race(&cell_hooks::after_load, [&] {
        ASSERT_TRUE(control.publish(std::make_unique<reused>(2))); // the first is freed
        ASSERT_TRUE(control.publish(std::make_unique<reused>(3)));
        ASSERT_EQ(control.newest(), first);
    });
    cell.set_hooks(&race.hooks);
    {
        pin_guard burst(cell);
        ASSERT_TRUE(burst);
        EXPECT_EQ(burst->number, 3);
        ASSERT_TRUE(control.publish(std::make_unique<reused>(4)));
        EXPECT_EQ(burst->number, 3);
        EXPECT_EQ(control.live(), 2U);
    }
    control.scan();
    ASSERT_TRUE(control.detach(cell));
}

TEST_P(SnapshotCell, CallsTheHooksOfAParkedBurstInOrder) {
    control_fence fence(kind());
    publisher<counted> control(fence);
    snapshot_cell<counted> cell(kind());
    ASSERT_TRUE(control.attach(cell));
    std::string order;
    cell_hooks hooks;
    hooks.arg = &order;
    hooks.after_load = [](void* s) { *static_cast<std::string*>(s) += "load "; };
    hooks.after_announce = [](void* s) { *static_cast<std::string*>(s) += "announce "; };
    hooks.after_pin = [](void* s) { *static_cast<std::string*>(s) += "pin "; };
    hooks.before_unpin = [](void* s) { *static_cast<std::string*>(s) += "unpin "; };
    cell.set_hooks(&hooks);
    EXPECT_FALSE(pin_guard(cell));
    EXPECT_EQ(order, "load ");
    order.clear();
    ASSERT_TRUE(control.publish(make(1)));
    EXPECT_TRUE(pin_guard(cell));
    EXPECT_EQ(order, "load announce pin unpin ");
    ASSERT_TRUE(control.detach(cell));
}

} // namespace
} // namespace lagg::epoch
