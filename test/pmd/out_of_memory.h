// Lets memory run out on purpose: each way by which the threads of a lagg, and a caller, come to
// memory can be told to fail.  For one file of a program: it defines what others call.
//
//   ours     operator new, of the driver, lib and what they use of the standard library
//   others'  rte_malloc and its kin and rte_memzone_reserve, as libethdev, librte_mempool,
//   librte_ring,
//            librte_mbuf, members' drivers and we call them; the pages of oneTBB's containers;
//            malloc and its kin of libc, as DPDK's libraries, strdup and C++'s exceptions call them
//
// Not reached: what librte_eal does inside itself, mmap, and memory that exists already, such as
// the mbufs of a pool.  Under a sanitizer, libc is the sanitizer's, and not reached either.
#pragma once

#include <atomic>
#include <climits>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <new>
#include <utility>

#include <dlfcn.h>
#include <pthread.h>

#include <rte_errno.h>
#include <rte_malloc.h>
#include <rte_memzone.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define LAGG_TEST_LIBC_IS_NOT_OURS 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define LAGG_TEST_LIBC_IS_NOT_OURS 1
#endif
#endif

namespace out_of_memory {

enum class whose { ours, others };

inline constexpr long off = LONG_MIN;
inline std::atomic<long> turn{off};       // of the next allocation; those in [0, failing) fail
inline std::atomic<long> failing{0};      // so many in a row
inline std::atomic<unsigned> failures{0}; // so far
inline std::atomic<whose> wanted{whose::ours};
inline thread_local bool a_caller = false; // this thread is one of ours for the moment
inline thread_local bool inside = false;   // of an allocation that was counted

/// Threads that a lagg starts inherit the names of its own.
inline bool is_ours() {
    thread_local int ours = -1;
    if (ours < 0) {
        char name[16] = "";
        pthread_getname_np(pthread_self(), name, sizeof name);
        ours = std::strncmp(name, "lagg-", 5) == 0 ? 1 : 0;
    }
    return ours == 1 || a_caller;
}

inline bool fails(whose w) {
    if (turn.load(std::memory_order_relaxed) == off || inside ||
        w != wanted.load(std::memory_order_relaxed) || !is_ours()) {
        return false;
    }
    long const mine = turn.fetch_add(1, std::memory_order_relaxed);
    bool const now = mine >= 0 && mine < failing.load(std::memory_order_relaxed);
    failures.fetch_add(now ? 1 : 0, std::memory_order_relaxed);
    return now;
}

/// What `real` allocates beneath is not counted again.
template<class F>
auto counted_once(F&& real) {
    bool const was = std::exchange(inside, true);
    auto* const p = real();
    inside = was;
    return p;
}

template<class F>
F next(char const* name) {
    return reinterpret_cast<F>(dlsym(RTLD_NEXT, name));
}

} // namespace out_of_memory

// --- ours ---------------------------------------------------------------------------------------

namespace out_of_memory {

inline void* allocate(std::size_t size, std::size_t alignment) {
    if (fails(whose::ours)) {
        return nullptr;
    }
    return counted_once([=] {
        std::size_t const some = size == 0 ? 1 : size;
        return alignment <= alignof(std::max_align_t)
                   ? std::malloc(some)
                   : std::aligned_alloc(alignment, (some + alignment - 1) / alignment * alignment);
    });
}

inline void* allocate_or_throw(std::size_t size, std::size_t alignment) {
    void* const p = allocate(size, alignment);
    if (p == nullptr) {
        throw std::bad_alloc();
    }
    return p;
}

} // namespace out_of_memory

void* operator new(std::size_t size) {
    return out_of_memory::allocate_or_throw(size, 1);
}
void* operator new(std::size_t size, std::align_val_t a) {
    return out_of_memory::allocate_or_throw(size, static_cast<std::size_t>(a));
}
void* operator new(std::size_t size, std::nothrow_t const&) noexcept {
    return out_of_memory::allocate(size, 1);
}
void* operator new(std::size_t size, std::align_val_t a, std::nothrow_t const&) noexcept {
    return out_of_memory::allocate(size, static_cast<std::size_t>(a));
}
void operator delete(void* p) noexcept {
    std::free(p);
}
void operator delete(void* p, std::size_t) noexcept {
    std::free(p);
}
void operator delete(void* p, std::align_val_t) noexcept {
    std::free(p);
}
void operator delete(void* p, std::size_t, std::align_val_t) noexcept {
    std::free(p);
}
void operator delete(void* p, std::nothrow_t const&) noexcept { // after a constructor that threw
    std::free(p);
}
void operator delete(void* p, std::align_val_t, std::nothrow_t const&) noexcept {
    std::free(p);
}

// --- others': DPDK ------------------------------------------------------------------------------

namespace out_of_memory {

/// The library's own `name`, unless its turn is to fail.
template<class R, class... A>
R* dpdk(char const* name, A... a) {
    if (fails(whose::others)) {
        rte_errno = ENOMEM;
        return nullptr;
    }
    return counted_once([&] { return next<R* (*)(A...)>(name)(a...); });
}

} // namespace out_of_memory

extern "C" {
void* rte_malloc(char const* type, std::size_t size, unsigned align) {
    return out_of_memory::dpdk<void>("rte_malloc", type, size, align);
}
void* rte_zmalloc(char const* type, std::size_t size, unsigned align) {
    return out_of_memory::dpdk<void>("rte_zmalloc", type, size, align);
}
void* rte_calloc(char const* type, std::size_t n, std::size_t size, unsigned align) {
    return out_of_memory::dpdk<void>("rte_calloc", type, n, size, align);
}
void* rte_realloc(void* p, std::size_t size, unsigned align) {
    return out_of_memory::dpdk<void>("rte_realloc", p, size, align);
}
void* rte_malloc_socket(char const* type, std::size_t size, unsigned align, int socket) {
    return out_of_memory::dpdk<void>("rte_malloc_socket", type, size, align, socket);
}
void* rte_zmalloc_socket(char const* type, std::size_t size, unsigned align, int socket) {
    return out_of_memory::dpdk<void>("rte_zmalloc_socket", type, size, align, socket);
}
void* rte_calloc_socket(char const* type, std::size_t n, std::size_t size, unsigned align,
                        int socket) {
    return out_of_memory::dpdk<void>("rte_calloc_socket", type, n, size, align, socket);
}
rte_memzone const* rte_memzone_reserve(char const* name, std::size_t len, int socket,
                                       unsigned flags) {
    return out_of_memory::dpdk<rte_memzone const>("rte_memzone_reserve", name, len, socket, flags);
}
rte_memzone const* rte_memzone_reserve_aligned(char const* name, std::size_t len, int socket,
                                               unsigned flags, unsigned align) {
    return out_of_memory::dpdk<rte_memzone const>("rte_memzone_reserve_aligned", name, len, socket,
                                                  flags, align);
}
rte_memzone const* rte_memzone_reserve_bounded(char const* name, std::size_t len, int socket,
                                               unsigned flags, unsigned align, unsigned bound) {
    return out_of_memory::dpdk<rte_memzone const>("rte_memzone_reserve_bounded", name, len, socket,
                                                  flags, align, bound);
}
}

// --- others': oneTBB ----------------------------------------------------------------------------

namespace tbb::detail::r1 {

/// Declared by oneTBB's headers; its containers get their pages here.
void* cache_aligned_allocate(std::size_t size);
void* cache_aligned_allocate(std::size_t size) {
    using namespace out_of_memory;
    if (fails(whose::others)) {
        throw std::bad_alloc();
    }
    return counted_once([=] {
        return next<void* (*)(std::size_t)>("_ZN3tbb6detail2r122cache_aligned_allocateEm")(size);
    });
}

} // namespace tbb::detail::r1

// --- others': libc ------------------------------------------------------------------------------

#ifndef LAGG_TEST_LIBC_IS_NOT_OURS
extern "C" {
void* __libc_malloc(std::size_t size);
void* __libc_calloc(std::size_t n, std::size_t size);
void* __libc_realloc(void* p, std::size_t size);
void* __libc_memalign(std::size_t alignment, std::size_t size);

void* malloc(std::size_t size) noexcept {
    if (out_of_memory::fails(out_of_memory::whose::others)) {
        errno = ENOMEM;
        return nullptr;
    }
    return __libc_malloc(size);
}
void* calloc(std::size_t n, std::size_t size) noexcept {
    if (out_of_memory::fails(out_of_memory::whose::others)) {
        errno = ENOMEM;
        return nullptr;
    }
    return __libc_calloc(n, size);
}
void* realloc(void* p, std::size_t size) noexcept {
    if (out_of_memory::fails(out_of_memory::whose::others)) {
        errno = ENOMEM;
        return nullptr;
    }
    return __libc_realloc(p, size);
}
void* aligned_alloc(std::size_t alignment, std::size_t size) noexcept {
    if (out_of_memory::fails(out_of_memory::whose::others)) {
        errno = ENOMEM;
        return nullptr;
    }
    return __libc_memalign(alignment, size);
}
void* memalign(std::size_t alignment, std::size_t size) noexcept {
    return aligned_alloc(alignment, size);
}
int posix_memalign(void** p, std::size_t alignment, std::size_t size) noexcept {
    *p = aligned_alloc(alignment, size);
    return *p == nullptr ? ENOMEM : 0;
}
}
#endif
