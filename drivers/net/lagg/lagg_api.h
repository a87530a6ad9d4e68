// What the files of the public C API share: finding the device behind a port, and arguments that a
// C caller may have filled with anything.
#pragma once

#include "lagg_device.h"
#include "rte_pmd_lagg.h"

#include <rte_eal.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <new>

namespace lagg::pmd {

/// The one place where an exception of ours could meet C: memory.
template<class F>
int with_device(std::uint16_t port, F&& f) noexcept {
    if (rte_eal_process_type() != RTE_PROC_PRIMARY) {
        return -ENOTSUP;
    }
    device* const d = device::find(port);
    if (d == nullptr) {
        return -ENODEV;
    }
    try {
        return f(*d);
    } catch (std::bad_alloc const&) {
        return -ENOMEM;
    }
}

/// For what may meet a destroy on another thread.
template<class F>
int with_published(std::uint16_t port, F&& f) noexcept {
    if (rte_eal_process_type() != RTE_PROC_PRIMARY) {
        return -ENOTSUP;
    }
    auto const state = device::published_of(port);
    try {
        return state == nullptr ? -ENODEV : f(*state);
    } catch (std::bad_alloc const&) {
        return -ENOMEM;
    }
}

/// The number in an enum that a C caller may have filled with anything: C++ may presume that it is
/// one of the named ones, so it is not looked at as an enum.
template<class Enum>
unsigned wild(Enum const& value) noexcept {
    static_assert(sizeof value == sizeof(unsigned));
    unsigned number = 0;
    std::memcpy(&number, &value, sizeof number);
    return number;
}

inline bool is_name(char const* name) {
    return name != nullptr && *name != 0 && std::strlen(name) < RTE_PMD_LAGG_NAME_LEN;
}

} // namespace lagg::pmd
