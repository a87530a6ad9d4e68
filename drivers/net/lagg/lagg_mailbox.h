// Jobs for one thread, posted by any.  oneTBB's queue, but for its memory: a push that finds none
// while the queue grows leaves it broken for good (and its next pop reads through an address of 1).
// So the page that a push may need is had before it.  Knows nothing of what is posted.
#pragma once

#include <oneapi/tbb/concurrent_queue.h>

#include <cstddef>
#include <functional>
#include <new>
#include <utility>

namespace lagg::pmd {

class mailbox {
public:
    using job = std::function<void()>;

    /// Any thread.  Throws std::bad_alloc, and nothing is posted.
    void push(job j) {
        spare = ::operator new(page_bytes, page_alignment);
        jobs_.push(std::move(j));
        if (void* const unused = std::exchange(spare, nullptr); unused != nullptr) {
            ::operator delete(unused, page_alignment);
        }
    }
    /// The one reader.  False: there is none.
    bool try_pop(job& j) { return jobs_.try_pop(j); }
    bool empty() const { return jobs_.empty(); }

private:
    static constexpr std::size_t page_bytes = 512;
    static constexpr std::align_val_t page_alignment{64};

    /// For the push that this thread is about to make.
    inline static thread_local void* spare = nullptr;

    /// The queue's pages: each is a thread's spare one.  A push wants one at most.
    template<class T>
    struct from_spare {
        using value_type = T;

        from_spare() = default;
        template<class U>
        from_spare(from_spare<U> const&) noexcept {}

        T* allocate(std::size_t n) {
            static_assert(alignof(T) <= static_cast<std::size_t>(page_alignment));
            if (n * sizeof(T) > page_bytes || spare == nullptr) {
                throw std::bad_alloc();
            }
            return static_cast<T*>(std::exchange(spare, nullptr));
        }
        void deallocate(T* p, std::size_t) noexcept { ::operator delete(p, page_alignment); }
        friend bool operator==(from_spare, from_spare) noexcept { return true; }
    };

    tbb::concurrent_queue<job, from_spare<job>> jobs_;
};

} // namespace lagg::pmd
