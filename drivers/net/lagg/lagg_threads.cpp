// The control and the worker thread: mailboxes, the wake-up, the timer.  Knows nothing of what is
// posted.
#include "lagg_threads.h"

#include "lagg_compat.h"
#include "lagg_events.h"
#include "lagg_log.h"
#include "lagg_mailbox.h"
#include "lagg_netlink.h"
#include "lagg_queue.h"

#include <rte_errno.h>
#include <rte_interrupts.h>
#include <rte_lcore.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <ctime>
#include <future>
#include <mutex>
#include <new>
#include <thread>
#include <vector>

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

namespace lagg::pmd {

namespace {

using job = mailbox::job;

/// How soon to try again what memory was missing for.
constexpr time_point out_of_memory_pause = std::chrono::milliseconds{10};

/// Longer without a settle(), with something to do, is late: the threads had no CPU.
constexpr time_point lateness = std::chrono::milliseconds{200};

time_point settle_guarded(served& s) {
    try {
        return s.settle(now());
    } catch (std::bad_alloc const&) {
        LAGG_LOG(ERR, "control: out of memory, trying again");
        return now() + out_of_memory_pause;
    }
}

/// A job must not take a thread down with it: the one thing that can throw here is memory.
/// False: it did, and the job is to be run again.
bool run_guarded(job const& j, char const* where) {
    try {
        j();
        return true;
    } catch (std::bad_alloc const&) {
        LAGG_LOG(ERR, "%s: out of memory, trying again", where);
        return false;
    }
}

thread_local char const* role = "";
constexpr char control_role[] = "lagg-control";
constexpr char worker_role[] = "lagg-worker";

class worker {
public:
    void post(job j) {
        {
            std::lock_guard const hold(mutex_);
            jobs_.push(std::move(j));
        }
        ready_.notify_one();
    }

    void run() {
        role = worker_role;
        for (;;) {
            job next;
            {
                std::unique_lock hold(mutex_);
                ready_.wait(hold, [&] { return quit_ || !jobs_.empty(); });
                if (!jobs_.try_pop(next)) {
                    return;
                }
            }
            while (!run_guarded(next, worker_role)) {
                wait_for_memory();
            }
        }
    }

    /// Ends run() when what was posted is done.
    void quit() {
        {
            std::lock_guard const hold(mutex_);
            quit_ = true;
        }
        ready_.notify_one();
    }

private:
    std::mutex mutex_;
    std::condition_variable ready_;
    mailbox jobs_;
    bool quit_ = false;
};

class control {
public:
    ~control() {
        for (int const fd : {poll_fd_, wake_fd_, timer_fd_}) {
            if (fd >= 0) {
                close(fd);
            }
        }
    }

    int open() {
        poll_fd_ = epoll_create1(EPOLL_CLOEXEC);
        wake_fd_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        timer_fd_ = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
        if (poll_fd_ < 0 || wake_fd_ < 0 || timer_fd_ < 0) {
            return -errno;
        }
        if (int const rc = links.open(); rc != 0) {
            LAGG_LOG(NOTICE, "no rtnetlink (%s): the drivers alone tell of members' links",
                     rte_strerror(-rc));
        }
        for (int const fd : {wake_fd_, timer_fd_, links.fd()}) {
            if (fd < 0) {
                continue;
            }
            epoll_event e{};
            e.events = EPOLLIN;
            e.data.fd = fd;
            if (epoll_ctl(poll_fd_, EPOLL_CTL_ADD, fd, &e) != 0) {
                return -errno;
            }
        }
        return 0;
    }

    void post(job j) {
        jobs_.push(std::move(j));
        wake();
    }

    void wake() {
        std::uint64_t const one = 1;
        // The counter cannot overflow, so the write cannot fail but by EAGAIN, when it is awake
        // anyway.
        [[maybe_unused]] auto const written = write(wake_fd_, &one, sizeof one);
    }

    void run() {
        role = control_role;
        while (!quit_.load(std::memory_order_acquire)) { // [quit] <- quit()
            wait();
            bool whole = run_guarded(drain_links_, control_role);
            whole = run_jobs() && whole;
            settle_all();
            if (!whole) {
                arm(now() + out_of_memory_pause);
            }
        }
        while (!run_jobs()) {
            wait_for_memory();
        }
    }

    /// Ends run() when what was posted is done.  Not a job: that would need memory.
    void quit() {
        quit_.store(true, std::memory_order_release); // [quit] -> run()
        wake();
    }

    std::vector<served*> serving;
    kernel_links links;

private:
    void wait() {
        epoll_event events[4];
        int const n = epoll_wait(poll_fd_, events, 4, -1);
        for (int i = 0; i < n; ++i) {
            std::uint64_t count = 0;
            if (events[i].data.fd != links.fd()) {
                [[maybe_unused]] auto const got = read(events[i].data.fd, &count, sizeof count);
            }
        }
    }

    /// False when memory ran out: the job that met it, and those behind it, wait for the next time.
    bool run_jobs() {
        while (job_ != nullptr || jobs_.try_pop(job_)) {
            // Whoever was away reads what came in meanwhile before he acts on the time.
            if (now() - settled_at_ > lateness) {
                settle_all();
            }
            if (!run_guarded(job_, control_role)) {
                return false;
            }
            job_ = nullptr;
        }
        return true;
    }

    void settle_all() {
        time_point at = never;
        // By index: a port may leave the list from inside its own settle().
        for (std::size_t i = serving.size(); i-- > 0;) {
            if (i < serving.size()) {
                at = std::min(at, settle_guarded(*serving[i]));
            }
        }
        arm(at);
        settled_at_ = now();
    }

    void arm(time_point at) {
        itimerspec when{};
        if (at != never) {
            auto const ns = std::max<std::int64_t>(at.count(), 1);
            when.it_value.tv_sec = ns / 1'000'000'000;
            when.it_value.tv_nsec = ns % 1'000'000'000;
        }
        timerfd_settime(timer_fd_, TFD_TIMER_ABSTIME, &when, nullptr);
    }

    int poll_fd_ = -1;
    int wake_fd_ = -1;
    int timer_fd_ = -1;
    std::atomic<bool> quit_{false}; // [quit]
    job const drain_links_ = [this] { links.drain(); };
    mailbox jobs_;
    job job_; // the one that is run
    time_point settled_at_{0};
};

/// All that exists while there is a lagg port.
struct process {
    lagg::pmd::control control;
    lagg::pmd::worker worker;
    epoch::control_fence fence{epoch::choose_fence()};
    control_thread_handle control_thread{};
    control_thread_handle worker_thread{};
};

std::mutex start_mutex; // guards `users` and the life of `self`
unsigned users = 0;
std::atomic<process*> self{nullptr};

process& running() {
    return *self.load(std::memory_order_acquire); // [threads] <- acquire()
}

template<class Post>
int call(Post post, std::function<int()> const& work) {
    std::promise<int> done;
    auto result = done.get_future();
    post([&done, &work] {
        try {
            done.set_value(work());
        } catch (std::bad_alloc const&) {
            done.set_value(-ENOMEM);
        }
    });
    return result.get();
}

} // namespace

thread_local bool inside_burst = false;

int threads::acquire() {
    std::lock_guard const hold(start_mutex);
    if (users > 0) {
        ++users;
        return 0;
    }
    std::unique_ptr<process> p(new (std::nothrow) process);
    if (p == nullptr) {
        return -ENOMEM;
    }
    int rc = p->control.open();
    if (rc != 0) {
        return rc;
    }
    rc = start_control_thread(
        p->worker_thread, worker_role, [](void* arg) { static_cast<process*>(arg)->worker.run(); },
        p.get());
    if (rc != 0) {
        return rc;
    }
    self.store(p.get(), std::memory_order_release); // [threads] -> running()
    rc = start_control_thread(
        p->control_thread, control_role,
        [](void* arg) { static_cast<process*>(arg)->control.run(); }, p.get());
    if (rc == 0) {
        rc = watch_ethdev_events();
        if (rc != 0) {
            p->control.quit();
            join_control_thread(p->control_thread);
        }
    }
    if (rc != 0) {
        p->worker.quit();
        join_control_thread(p->worker_thread);
        self.store(nullptr, std::memory_order_release); // [threads] -> running()
        return rc;
    }
    static_cast<void>(p.release());
    users = 1;
    return 0;
}

void threads::release() {
    std::lock_guard const hold(start_mutex);
    if (--users > 0) {
        return;
    }
    unwatch_ethdev_events();
    process* const p = &running();
    p->worker.quit();
    join_control_thread(p->worker_thread);
    p->control.quit();
    join_control_thread(p->control_thread);
    self.store(nullptr, std::memory_order_release); // [threads] -> running()
    delete p;
}

void post_to_control(job j) {
    running().control.post(std::move(j));
}

void wake_control() {
    process* const p = self.load(std::memory_order_acquire); // [threads] <- acquire()
    if (p != nullptr) {
        p->control.wake();
    }
}

void post_to_worker(job j) {
    running().worker.post(std::move(j));
}

int call_control(std::function<int()> const& j) {
    return call(post_to_control, j);
}

int call_worker(std::function<int()> const& j) {
    return call(post_to_worker, j);
}

void wait_for_memory() {
    std::this_thread::sleep_for(out_of_memory_pause);
}

bool on_control() {
    return role == control_role;
}

bool on_worker() {
    return role == worker_role;
}

bool may_wait() {
    return !on_control() && !on_worker() && !inside_burst && rte_thread_is_intr() == 0;
}

void serve(served& s) {
    auto& all = running().control.serving;
    if (std::find(all.begin(), all.end(), &s) == all.end()) {
        all.push_back(&s);
    }
}

void stop_serving(served& s) {
    std::erase(running().control.serving, &s);
}

kernel_links const& links() {
    return running().control.links;
}

epoch::control_fence& fence() {
    return running().fence;
}

time_point now() {
    timespec t{};
    clock_gettime(CLOCK_MONOTONIC, &t);
    return std::chrono::seconds{t.tv_sec} + std::chrono::nanoseconds{t.tv_nsec};
}

} // namespace lagg::pmd
