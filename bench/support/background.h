// A thread that repeats something until it is no longer needed, at a given rate or without pause.
// Knows nothing of what it does.
#pragma once

#include "setup.h"

#include <atomic>
#include <chrono>
#include <thread>

namespace bench {

class background {
public:
    /// Calls `work` again and again, once per `period` when that is not zero.
    template<class Work>
    explicit background(Work work, std::chrono::nanoseconds period = {})
        : thread_([this, work, period]() mutable {
              leave_first_lcore();
              auto next = std::chrono::steady_clock::now();
              // [stop] a flag alone: nothing else is handed over
              while (!stop_.load(std::memory_order_relaxed)) {
                  work();
                  // single writer
                  rounds_.store(rounds_.load(std::memory_order_relaxed) + 1,
                                std::memory_order_relaxed);
                  if (period.count() > 0) {
                      next += period;
                      std::this_thread::sleep_until(next);
                  }
              }
          }) {}
    ~background() {
        stop_.store(true, std::memory_order_relaxed); // [stop]
        thread_.join();
    }
    background(background const&) = delete;
    background& operator=(background const&) = delete;

    std::uint64_t rounds() const { return rounds_.load(std::memory_order_relaxed); }

private:
    std::atomic<bool> stop_{false};
    std::atomic<std::uint64_t> rounds_{0};
    std::thread thread_; // the last one: it uses the others
};

} // namespace bench
