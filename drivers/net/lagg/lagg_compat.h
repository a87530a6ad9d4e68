// Where DPDK releases from 22.11 on differ, in one place.
#pragma once

#include <rte_version.h>

#include <bus_vdev_driver.h>
#include <ethdev_driver.h>
#include <ethdev_vdev.h>
#include <rte_lcore.h>
#include <rte_thread.h>

#include <memory>
#include <new>

#include <pthread.h>

namespace lagg::pmd {

#if RTE_VERSION >= RTE_VERSION_NUM(23, 11, 0, 0)
using control_thread_handle = rte_thread_t;
using control_thread_return = std::uint32_t;
#else
using control_thread_handle = pthread_t;
using control_thread_return = void*;
#endif

struct control_thread_start {
    void (*run)(void*);
    void* arg;
};

inline control_thread_return control_thread_main(void* p) {
    std::unique_ptr<control_thread_start> const start(static_cast<control_thread_start*>(p));
    start->run(start->arg);
    return {};
}

/// A thread that stays off the lcores' CPUs where there are others.  0 or -errno.
inline int start_control_thread(control_thread_handle& handle, char const* name, void (*run)(void*),
                                void* arg) {
    std::unique_ptr<control_thread_start> start(new (std::nothrow) control_thread_start{run, arg});
    if (start == nullptr) {
        return -ENOMEM;
    }
#if RTE_VERSION >= RTE_VERSION_NUM(23, 11, 0, 0)
    int const rc = rte_thread_create_control(&handle, name, control_thread_main, start.get());
#else
    int const rc = rte_ctrl_thread_create(&handle, name, nullptr, control_thread_main, start.get());
#endif
    if (rc == 0) {
        static_cast<void>(start.release());
    }
    return rc > 0 ? -rc : rc;
}

inline void join_control_thread(control_thread_handle handle) {
#if RTE_VERSION >= RTE_VERSION_NUM(23, 11, 0, 0)
    rte_thread_join(handle, nullptr);
#else
    pthread_join(handle, nullptr);
#endif
}

} // namespace lagg::pmd
