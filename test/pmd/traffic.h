// An application in a bottle: a thread that polls one queue of a lagg, a burst that stops half-way,
// a list of what the lagg told.  Knows no single behaviour of a lagg.
#pragma once

#include "fixture.h"
#include "lagg_compat.h"
#include "lagg_device.h"
#include "lagg_queue.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include <pthread.h>
#include <sched.h>

namespace lagg::test {

/// Waits, politely, until `what` holds; fails the test after half a minute.
inline bool wait_until(std::function<bool()> const& what, char const* name = "it") {
    auto const deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    while (!what()) {
        if (std::chrono::steady_clock::now() > deadline) {
            ADD_FAILURE() << name << " did not come true";
            return false;
        }
        std::this_thread::yield();
    }
    return true;
}

/// Polls a queue of a lagg in both directions on a thread of its own until stop(), and asks for
/// each burst where its first frame would go.  What it is given back it checks (the caller's
/// frames, in the caller's order) and frees.  `far`: ports whose received frames it takes away.
/// `cpu`: where it runs; else where the test does.
class traffic {
public:
    explicit traffic(std::uint16_t lagg, std::vector<std::uint16_t> far = {},
                     std::uint16_t queue = 0, int cpu = -1)
        : lagg_(lagg), queue_(queue), cpu_(cpu), far_(std::move(far)), thread_([this] { run(); }) {}
    ~traffic() { stop(); }
    traffic(traffic const&) = delete;
    traffic& operator=(traffic const&) = delete;

    void stop() {
        quit_.store(true, std::memory_order_relaxed);
        if (thread_.joinable()) {
            thread_.join();
        }
    }

    /// Returns when `n` more rounds of rx and tx burst have begun and ended.
    void rounds(std::uint64_t n) const {
        std::uint64_t const goal = done() + n + 1;
        wait_until([&] { return done() >= goal; }, "traffic");
    }
    /// Returns when more frames were taken.
    void flows() const {
        std::uint64_t const was = taken();
        wait_until([&] { return taken() > was; }, "taken frames");
    }

    std::uint64_t done() const { return done_.load(std::memory_order_acquire); }
    std::uint64_t offered() const { return offered_.load(std::memory_order_acquire); }
    std::uint64_t taken() const { return taken_.load(std::memory_order_acquire); }
    std::uint64_t received() const { return received_.load(std::memory_order_acquire); }
    /// Answers that named a member.
    std::uint64_t named() const { return named_.load(std::memory_order_acquire); }
    /// Frames of a returned tail that were not the caller's, or out of order, or of a foreign port.
    std::uint64_t wrong() const { return wrong_.load(std::memory_order_acquire); }

private:
    void run() {
        if (cpu_ >= 0) {
            cpu_set_t only;
            CPU_ZERO(&only);
            CPU_SET(cpu_, &only);
            EXPECT_EQ(0, pthread_setaffinity_np(pthread_self(), sizeof only, &only));
        }
        std::uint32_t flow = 0;
        while (!quit_.load(std::memory_order_relaxed)) {
            rte_mbuf* got[32];
            std::uint16_t const in = rte_eth_rx_burst(lagg_, queue_, got, 32);
            for (std::uint16_t i = 0; i < in; ++i) {
                wrong_ += got[i]->port != lagg_;
                rte_pktmbuf_free(got[i]);
            }
            received_ += in;
            for (std::uint16_t const port : far_) {
                receive_all(port);
            }

            auto const mine = frames(burst_, flow);
            flow += burst_;
            named_ += rte_pmd_lagg_flow_member(lagg_, mine[0], nullptr) != RTE_PMD_LAGG_NO_MEMBER;
            auto list = mine;
            std::uint16_t const n = rte_eth_tx_burst(lagg_, queue_, list.data(),
                                                     static_cast<std::uint16_t>(list.size()));
            auto at = mine.begin();
            for (std::size_t i = n; i < list.size(); ++i) {
                at = std::find(at, mine.end(), list[i]);
                if (at == mine.end()) {
                    ++wrong_;
                    break;
                }
                ++at;
                rte_pktmbuf_free(list[i]);
            }
            offered_ += mine.size();
            taken_ += n;
            ++done_;
        }
    }

    std::uint16_t const lagg_;
    std::uint16_t const queue_;
    int const cpu_;
    std::vector<std::uint16_t> const far_;
    static constexpr std::uint16_t burst_ = 16;
    std::atomic<bool> quit_{false};
    std::atomic<std::uint64_t> done_{0};
    std::atomic<std::uint64_t> offered_{0};
    std::atomic<std::uint64_t> taken_{0};
    std::atomic<std::uint64_t> received_{0};
    std::atomic<std::uint64_t> named_{0};
    std::atomic<std::uint64_t> wrong_{0};
    std::thread thread_;
};

/// Traffic on every CPU there is, each on a queue of its own; two queues at least.
class full_traffic {
public:
    static std::uint16_t queues() {
        return static_cast<std::uint16_t>(std::clamp<std::size_t>(cpus().size(), 2, 8));
    }
    explicit full_traffic(std::uint16_t lagg) {
        for (std::uint16_t q = 0; q < queues(); ++q) {
            each_.push_back(std::make_unique<traffic>(lagg, std::vector<std::uint16_t>{}, q,
                                                      cpus()[q % cpus().size()]));
        }
    }
    void stop() {
        for (auto& one : each_) {
            one->stop();
        }
    }
    void rounds(std::uint64_t n) const {
        for (auto const& one : each_) {
            one->rounds(n);
        }
    }
    void flows() const {
        for (auto const& one : each_) {
            one->flows();
        }
    }
    std::uint64_t offered() const { return sum(&traffic::offered); }
    std::uint64_t taken() const { return sum(&traffic::taken); }
    std::uint64_t named() const { return sum(&traffic::named); }
    std::uint64_t wrong() const { return sum(&traffic::wrong); }

private:
    std::uint64_t sum(std::uint64_t (traffic::*what)() const) const {
        std::uint64_t all = 0;
        for (auto const& one : each_) {
            all += (*one.*what)();
        }
        return all;
    }
    std::vector<std::unique_ptr<traffic>> each_;
};

inline pmd::tx_queue& tx_queue_of(std::uint16_t lagg, std::uint16_t queue = 0) {
    return *static_cast<pmd::tx_queue*>(rte_eth_devices[lagg].data->tx_queues[queue]);
}
inline pmd::rx_queue& rx_queue_of(std::uint16_t lagg, std::uint16_t queue = 0) {
    return *static_cast<pmd::rx_queue*>(rte_eth_devices[lagg].data->rx_queues[queue]);
}

/// One burst, on a thread of its own, that stops where a hook of its cell says and goes on at
/// release().
class parked_burst {
public:
    using place = void (*epoch::cell_hooks::*)(void*);

    /// `burst`: what the thread does; the first time it passes `where` in `cell` it parks there.
    /// Returns when it has.
    parked_burst(pmd::cell& cell, place where, std::function<void()> burst) : cell_(cell) {
        hooks_.*where = [](void* self) { static_cast<parked_burst*>(self)->park(); };
        hooks_.arg = this;
        cell_.set_hooks(&hooks_);
        thread_ = std::thread(std::move(burst));
        std::unique_lock hold(mutex_);
        EXPECT_TRUE(moved_.wait_for(hold, std::chrono::seconds(30), [&] { return parked_; }));
    }
    ~parked_burst() { release(); }
    parked_burst(parked_burst const&) = delete;
    parked_burst& operator=(parked_burst const&) = delete;

    /// Lets it go and waits for its end.
    void release() {
        if (!thread_.joinable()) {
            return;
        }
        {
            std::lock_guard const hold(mutex_);
            released_ = true;
        }
        moved_.notify_all();
        thread_.join();
    }

private:
    void park() {
        std::unique_lock hold(mutex_);
        if (parked_) {
            return;
        }
        parked_ = true;
        cell_.set_hooks(nullptr);
        moved_.notify_all();
        moved_.wait(hold, [&] { return released_; });
    }

    pmd::cell& cell_;
    epoch::cell_hooks hooks_;
    std::mutex mutex_;
    std::condition_variable moved_;
    bool parked_ = false;
    bool released_ = false;
    std::thread thread_;
};

/// Parks a transmit burst of `n` frames on `queue`; taken() is its result after release().
class parked_send {
public:
    parked_send(std::uint16_t lagg, std::uint16_t n, parked_burst::place where,
                std::uint16_t queue = 0)
        : parked_(tx_queue_of(lagg, queue).view, where,
                  [this, lagg, n, queue] { taken_ = send(lagg, frames(n), queue); }) {}
    void release() { parked_.release(); }
    int taken() const { return taken_; }

private:
    int taken_ = -1;
    parked_burst parked_;
};

/// What a lagg told, in order.
class event_list {
public:
    using type = rte_pmd_lagg_event_type;

    explicit event_list(std::uint16_t lagg) : lagg_(lagg) {
        EXPECT_EQ(0, rte_pmd_lagg_event_callback_set(
                         lagg_,
                         [](rte_pmd_lagg_event const* e, void* self) {
                             static_cast<event_list*>(self)->add(*e);
                         },
                         this));
    }
    /// -ENODEV when the lagg is gone: then nothing is told any more.
    ~event_list() { rte_pmd_lagg_event_callback_set(lagg_, nullptr, nullptr); }
    event_list(event_list const&) = delete;
    event_list& operator=(event_list const&) = delete;

    std::vector<rte_pmd_lagg_event> all() const {
        std::lock_guard const hold(mutex_);
        return events_;
    }
    std::vector<type> types_of(std::uint16_t member) const {
        std::vector<type> out;
        for (auto const& e : all()) {
            if (e.member == member) {
                out.push_back(e.type);
            }
        }
        return out;
    }
    std::size_t count(std::uint16_t member, type what) const {
        auto const types = types_of(member);
        return static_cast<std::size_t>(std::count(types.begin(), types.end(), what));
    }
    bool until(std::uint16_t member, type what, std::size_t times = 1) const {
        return wait_until([&] { return count(member, what) >= times; }, "an event");
    }
    void clear() {
        std::lock_guard const hold(mutex_);
        events_.clear();
    }

private:
    void add(rte_pmd_lagg_event const& e) {
        std::lock_guard const hold(mutex_);
        events_.push_back(e);
    }
    std::uint16_t const lagg_;
    mutable std::mutex mutex_;
    std::vector<rte_pmd_lagg_event> events_;
};

inline rte_pmd_wire_counters counters_of(std::uint16_t port) {
    rte_pmd_wire_counters c{};
    EXPECT_EQ(0, rte_pmd_wire_counters_get(port, &c));
    return c;
}

/// Owner's name, empty when nobody owns it.
inline std::string owner_of(std::uint16_t port) {
    rte_eth_dev_owner owner{};
    EXPECT_EQ(0, rte_eth_dev_owner_get(port, &owner));
    return owner.id == RTE_ETH_DEV_NO_OWNER ? "" : owner.name;
}

} // namespace lagg::test
