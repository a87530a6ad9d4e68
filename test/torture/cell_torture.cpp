// Bursts and control on real threads.  Every field of a snapshot encodes its generation, and a
// freed snapshot is poisoned before its memory is used again, so that a burst on anything but one
// whole, live snapshot says so.
//
// What a run proves depends on how it was built:
// - plain, either kind of fence: the machine's own reordering, at full speed; a missing fence shows
// here
//   (and only here: what a sanitizer adds to each access drains the store buffer);
// - TSan: every access of a burst happens-before the freeing, and every write of control before the
//   burst that sees it, through acquire and release alone.  TSan knows no fence, and needs none for
//   these edges; it runs both kinds too, because both are compiled.
//
// LAGG_TORTURE_SECONDS: run each test for so long (default: fixed counts of publications and
// bursts). LAGG_TORTURE_SEED: repeat a seed; the threads' interleaving is not repeated with it.
#include "base/cache_line.h"
#include "epoch/publisher.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <new>
#include <random>
#include <string>
#include <thread>
#include <vector>

namespace lagg::epoch {
namespace {

#if defined(__SANITIZE_THREAD__)
constexpr bool slow = true;
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
constexpr bool slow = true;
#else
constexpr bool slow = false;
#endif
#else
constexpr bool slow = false;
#endif

constexpr std::uint64_t default_publications = slow ? 5000 : 100000;
constexpr std::uint64_t default_bursts = slow ? 20000 : 1000000; // each thread, at least
constexpr std::size_t most_queues = 8;
constexpr std::uint64_t poison = 0xdeaddeaddeaddeadU;

struct limit {
    std::chrono::steady_clock::time_point until{};

    limit() {
        if (char const* seconds = std::getenv("LAGG_TORTURE_SECONDS")) {
            until = std::chrono::steady_clock::now() + std::chrono::seconds(std::atoi(seconds));
        }
    }
    template<class Tallies>
    bool reached(std::uint64_t published, Tallies const& counts) const {
        if (until.time_since_epoch().count() != 0) {
            return std::chrono::steady_clock::now() >= until;
        }
        return published >= default_publications &&
               std::all_of(counts.begin(), counts.end(),
                           [](auto const& t) { return t.bursts.load() >= default_bursts; });
    }
};

unsigned choose_seed() {
    char const* const given = std::getenv("LAGG_TORTURE_SEED");
    unsigned const seed = given != nullptr ? static_cast<unsigned>(std::strtoul(given, nullptr, 10))
                                           : std::random_device{}();
    std::cout << "seed " << seed << '\n';
    return seed;
}

/// Several cache lines of fields that all say the same.  Memory comes from a few slots, so that
/// addresses are used again at once.
struct generation {
    explicit generation(std::uint64_t n) {
        for (auto& field : fields) {
            field = n;
        }
        members = n;
        ++alive;
    }
    ~generation() {
        for (auto& field : fields) {
            field = poison;
        }
        members = poison;
        --alive;
    }
    bool whole() const {
        for (auto const& field : fields) {
            if (field != fields[0]) {
                return false;
            }
        }
        return members == fields[0] && fields[0] != poison;
    }

    static void* operator new(std::size_t) {
        for (auto& s : slots) {
            if (!s.taken) {
                s.taken = true;
                return s.memory;
            }
        }
        throw std::bad_alloc();
    }
    static void operator delete(void* memory) {
        for (auto& s : slots) {
            if (s.memory == memory) {
                // The destructor's poison may be optimized away as dead; this is not.
                auto volatile* words = static_cast<std::uint64_t volatile*>(memory);
                for (std::size_t i = 0; i < sizeof(generation) / sizeof(std::uint64_t); ++i) {
                    words[i] = poison;
                }
                s.taken = false;
            }
        }
    }

    std::array<std::uint64_t, 24> fields;
    std::uint64_t members;

    // Plain: only control builds and frees.  8 cells at most: cells + 2 live at most.
    struct alignas(cache_line) slot {
        std::uint64_t memory[32];
        bool taken;
    };
    static inline std::array<slot, 10> slots{};
    static inline std::size_t alive = 0;
};
static_assert(sizeof(generation) <= sizeof(generation::slot::memory));

/// A queue: its cell and plain state that belongs to whoever runs the burst or has borrowed it.
struct queue {
    explicit queue(fence_kind kind) : cell(kind) {}
    snapshot_cell<generation> cell;
    std::uint64_t entered = 0; // plain: the burst, or the borrower
    std::uint64_t left = 0;
    std::uint64_t newest_seen = 0;
};

struct tally {
    std::atomic<std::uint64_t> bursts{0}; // single writer each
    std::atomic<std::uint64_t> wrong{0};
    std::atomic<std::uint64_t> backwards{0};
    std::atomic<std::uint64_t> shared{0};
};

class CellTorture : public testing::TestWithParam<fence_kind> {
protected:
    void SetUp() override {
        if (GetParam() == fence_kind::membarrier && choose_fence() != fence_kind::membarrier) {
            GTEST_SKIP() << "no membarrier on this kernel";
        }
    }
};

INSTANTIATE_TEST_SUITE_P(BothKinds, CellTorture,
                         testing::Values(fence_kind::real, fence_kind::membarrier),
                         [](auto const& given) {
                             return given.param == fence_kind::real ? "RealFences" : "Membarrier";
                         });

/// Threads that end with the test, also when an assertion leaves it early.
struct lcores {
    std::atomic<bool> stop{false};
    std::vector<std::thread> threads;
    void join() {
        stop = true;
        for (auto& thread : threads) {
            thread.join();
        }
        threads.clear();
    }
    ~lcores() { join(); }
};

/// One lcore: bursts on its queues in turn; now and then it lingers inside one.
void run_bursts(std::vector<queue*> queues, unsigned seed, std::atomic<bool> const& stop,
                tally& count) {
    std::mt19937 random(seed);
    std::uint64_t bursts = 0;
    std::uint64_t wrong = 0;
    std::uint64_t backwards = 0;
    std::uint64_t shared = 0;
    while (!stop.load(std::memory_order_relaxed)) { // no edge: a late look costs one more burst
        for (queue* q : queues) {
            pin_guard burst(q->cell);
            if (!burst) {
                continue;
            }
            // Plain words: whoever else were here at the same time would be a race, and shows.
            shared += q->entered++ != q->left;
            wrong += !burst->whole();
            backwards += burst->members < q->newest_seen;
            q->newest_seen = burst->members;
            unsigned const r = random();
            if (r % 256 == 0) {
                std::this_thread::yield(); // parked inside, for as long as the scheduler likes
            }
            for (unsigned spin = r % 64; spin != 0; --spin) {
                wrong += burst->fields[spin % burst->fields.size()] != burst->members;
            }
            wrong += !burst->whole();
            shared += ++q->left != q->entered;
            ++bursts;
        }
        count.bursts.store(bursts, std::memory_order_relaxed); // single writer
    }
    count.wrong = wrong;
    count.backwards = backwards;
    count.shared = shared;
}

TEST_P(CellTorture, EveryBurstRunsOnOneWholeSnapshotThatIsNotFreedUnderIt) {
    unsigned const seed = choose_seed();
    std::mt19937 random(seed);
    fence_kind const kind = GetParam();
    constexpr std::size_t threads = 3;
    constexpr std::size_t queues_each = 2;
    static_assert(threads * queues_each <= most_queues);

    std::vector<std::unique_ptr<queue>> queues;
    control_fence fence(kind);
    publisher<generation> control(fence);
    std::vector<std::vector<queue*>> of_thread(threads);
    for (std::size_t i = 0; i < threads * queues_each; ++i) {
        queues.push_back(std::make_unique<queue>(kind));
        ASSERT_TRUE(control.attach(queues.back()->cell));
        of_thread[i / queues_each].push_back(queues.back().get());
    }
    std::uint64_t number = 1;
    ASSERT_TRUE(control.publish(std::make_unique<generation>(number)));

    std::array<tally, threads> counts;
    lcores running;
    for (std::size_t t = 0; t < threads; ++t) {
        unsigned const thread_seed = static_cast<unsigned>(random());
        running.threads.emplace_back([&, t, thread_seed] {
            run_bursts(of_thread[t], thread_seed, running.stop, counts[t]);
        });
    }

    limit const end;
    std::size_t most_live = 0;
    std::uint64_t borrowings = 0;
    std::uint64_t refusals = 0;
    std::uint64_t torn_queues = 0;
    while (!end.reached(number, counts)) {
        switch (random() % 8) {
        case 0: { // borrow, use the queue's plain state as a burst would, give back
            queue& q = *queues[random() % queues.size()];
            if (control.try_borrow(q.cell)) {
                ++borrowings;
                torn_queues += q.entered++ != q.left;
                if (random() % 2 == 0) {
                    ASSERT_TRUE(control.publish(std::make_unique<generation>(++number)));
                }
                torn_queues += ++q.left != q.entered;
                control.give_back(q.cell);
            } else {
                ++refusals;
            }
            break;
        }
        case 1: control.scan(); break;
        case 2: std::this_thread::yield(); break;
        default: ASSERT_TRUE(control.publish(std::make_unique<generation>(++number)));
        }
        most_live = std::max(most_live, control.live());
        ASSERT_LE(control.live(), queues.size() + 1);
        ASSERT_EQ(control.live(), generation::alive);
        ASSERT_EQ(fence.failed(), 0U);
    }
    running.join();
    std::uint64_t bursts = 0;
    for (std::size_t t = 0; t < threads; ++t) {
        bursts += counts[t].bursts;
        EXPECT_EQ(counts[t].wrong, 0U) << "a burst met a freed or a mixed snapshot";
        EXPECT_EQ(counts[t].backwards, 0U) << "a queue went back to an older snapshot";
        EXPECT_EQ(counts[t].shared, 0U) << "a borrowed queue was in a burst";
    }
    EXPECT_EQ(torn_queues, 0U) << "a queue in a burst was lent";
    EXPECT_GT(bursts, 0U);
    control.scan();
    EXPECT_EQ(control.live(), 1U) << "no queue is in a burst, so nothing old is left";
    for (auto& q : queues) {
        ASSERT_TRUE(control.detach(q->cell));
    }
    std::cout << to_string(kind) << ": " << number << " publications, " << bursts << " bursts, "
              << borrowings << " borrowings, " << refusals << " refused, at most " << most_live
              << " snapshots\n";
}

TEST_P(CellTorture, NoBurstTouchesAMemberThatNoLiveSnapshotContains) {
    // A snapshot names one member; control stops that member once no live snapshot contains it,
    // then uses its state (as dev_stop would) and starts it again for a later snapshot.
    unsigned const seed = choose_seed();
    std::mt19937 random(seed);
    fence_kind const kind = GetParam();
    constexpr std::size_t threads = 2;

    struct alignas(cache_line) member {
        std::atomic<bool> running{false}; // relaxed on purpose: the pin alone must order it
        std::uint64_t state = 0; // plain: control while stopped, read by bursts while running
    };
    std::array<member, 4> members;
    std::vector<std::unique_ptr<queue>> queues;
    control_fence fence(kind);
    publisher<generation> control(fence);
    for (std::size_t i = 0; i < threads; ++i) {
        queues.push_back(std::make_unique<queue>(kind));
        ASSERT_TRUE(control.attach(queues.back()->cell));
    }
    auto const member_of = [&](std::uint64_t n) -> member& { return members[n % members.size()]; };
    auto const start = [&](std::uint64_t n) {
        member& m = member_of(n);
        if (!m.running.load(std::memory_order_relaxed)) {
            m.state = n % members.size();
            m.running.store(true, std::memory_order_relaxed);
        }
    };
    std::uint64_t number = 0;
    start(number);
    ASSERT_TRUE(control.publish(std::make_unique<generation>(number)));

    std::array<tally, threads> counts;
    lcores running;
    for (std::size_t t = 0; t < threads; ++t) {
        running.threads.emplace_back([&, t] {
            std::uint64_t bursts = 0;
            std::uint64_t wrong = 0;
            while (!running.stop.load(std::memory_order_relaxed)) {
                pin_guard burst(queues[t]->cell);
                if (!burst) {
                    continue;
                }
                member& m = member_of(burst->members);
                wrong += !m.running.load(std::memory_order_relaxed);
                wrong += m.state != burst->members % members.size();
                if (++bursts % 128 == 0) {
                    counts[t].bursts.store(bursts, std::memory_order_relaxed); // single writer
                    std::this_thread::yield();
                }
                wrong += m.state != burst->members % members.size();
                wrong += !m.running.load(std::memory_order_relaxed);
            }
            counts[t].bursts = bursts;
            counts[t].wrong = wrong;
        });
    }

    limit const end;
    std::uint64_t stops = 0;
    while (!end.reached(number, counts)) {
        number += 1 + random() % 3;
        start(number);
        ASSERT_TRUE(control.publish(std::make_unique<generation>(number)));
        std::array<bool, 4> contained{};
        control.for_each_live(
            [&](generation const& s) { contained[s.members % members.size()] = true; });
        for (std::size_t i = 0; i < members.size(); ++i) {
            if (!contained[i] && members[i].running.load(std::memory_order_relaxed)) {
                members[i].running.store(false, std::memory_order_relaxed);
                members[i].state = poison;
                ++stops;
            }
        }
    }
    running.join();
    std::uint64_t bursts = 0;
    for (std::size_t t = 0; t < threads; ++t) {
        bursts += counts[t].bursts;
        EXPECT_EQ(counts[t].wrong, 0U) << "a burst touched a stopped member";
    }
    EXPECT_GT(stops, 0U);
    for (auto& q : queues) {
        ASSERT_TRUE(control.detach(q->cell));
    }
    std::cout << to_string(kind) << ": " << number << " generations, " << stops << " stops, "
              << bursts << " bursts\n";
}

} // namespace
} // namespace lagg::epoch
