// How a call of ethdev finds its lagg: by a look at what is published, or by waiting for control
// and worker.  For the lagg_ops*.cpp only.
#pragma once

#include "lagg_compat.h"
#include "lagg_device.h"
#include "lagg_threads.h"

#include <cerrno>
#include <new>

namespace lagg::pmd::calls {

inline device* device_or_null(rte_eth_dev* dev) {
    return static_cast<device*>(dev->process_private);
}

/// For what never waits for control or worker.
template<class F>
int ask(rte_eth_dev* dev, F&& f) noexcept {
    device* const d = device_or_null(dev);
    if (d == nullptr) {
        return -ENOTSUP; // a secondary process
    }
    try {
        return f(*d);
    } catch (std::bad_alloc const&) {
        return -ENOMEM;
    }
}

/// For what does.
template<class F>
int change(rte_eth_dev* dev, F&& f) noexcept {
    if (!may_wait()) {
        return -EDEADLK;
    }
    return ask(dev, static_cast<F&&>(f));
}

inline constexpr int answered = 1; // ends for_each_member()

} // namespace lagg::pmd::calls
