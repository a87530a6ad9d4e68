// The two threads of a process that has lagg ports: *control*, which alone builds and publishes,
// and *worker*, which alone makes the slow calls into member ethdevs.  Knows what neither of them
// does.
#pragma once

#include "epoch/asymmetric_fence.h"
#include "lagg/types.h"

#include <cerrno>
#include <cstdint>
#include <functional>
#include <new>

namespace lagg::pmd {

class kernel_links;

/// Started with the first lagg port, ended with the last.  Counted: every acquire() needs its
/// release().
class threads {
public:
    /// -errno when a thread, the epoll set or a timer cannot be had.
    static int acquire();
    static void release();
};

/// A thing that control serves: what it posts is run by control, and then settle() once per
/// wake-up.
class served {
public:
    virtual ~served() = default;
    /// Control thread, after every batch of jobs and at the deadline it returned last.  Returns the
    /// time at which it wants to be called again at the latest; `never` for not before something is
    /// posted.
    virtual time_point settle(time_point now) = 0;
};

/// Any thread; never blocks.  Jobs run in order, before the next settle().
/// A job that throws std::bad_alloc is run again after a pause, before those behind it: whatever
/// throws in it comes before what cannot be done twice.
void post_to_control(std::function<void()> job);
/// Any thread; async-signal-unsafe but never blocks: settle() of everybody soon.
void wake_control();
/// Any thread; never blocks.  Jobs run one at a time, in order; std::bad_alloc as above.
void post_to_worker(std::function<void()> job);

/// Runs `job` on that thread and returns its result when it ended; -ENOMEM when it threw
/// std::bad_alloc: it is not run again.  Precondition: may_wait().
int call_control(std::function<int()> const& job);
int call_worker(std::function<int()> const& job);

/// Sleeps for the pause between two tries.  Not on control.
void wait_for_memory();

/// For what has to be done, memory or not: runs `f`, which returns 0 or -errno, until it neither
/// throws std::bad_alloc nor returns -ENOMEM.  Not on control, which never waits.
template<class F>
int insist(F&& f) {
    for (;;) {
        int rc = -ENOMEM;
        try {
            rc = f();
        } catch (std::bad_alloc const&) {
            rc = -ENOMEM;
        }
        if (rc != -ENOMEM) {
            return rc;
        }
        wait_for_memory();
    }
}

/// False on control and worker, on the EAL interrupt thread and inside a burst: a caller that waits
/// there could wait for itself.
bool may_wait();
bool on_control();
bool on_worker();

/// Control thread only.  Again: nothing happens.
void serve(served& s);
void stop_serving(served& s);

/// The kernel's links, as drained before the settle() that asks.  Control thread only.
kernel_links const& links();

/// The heavy fences of the control thread; its kind is chosen once, before the first burst.
epoch::control_fence& fence();

/// CLOCK_MONOTONIC since boot: the one clock that is read.
time_point now();

} // namespace lagg::pmd
