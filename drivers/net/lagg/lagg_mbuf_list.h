// Frames in order, owned: what is not taken out is freed.  Knows no queue.
#pragma once

#include <rte_mbuf.h>

#include <cstddef>
#include <new>
#include <utility>
#include <vector>

namespace lagg::pmd {

class mbuf_list {
public:
    mbuf_list() = default;
    mbuf_list(mbuf_list&& other) noexcept : frames_(std::exchange(other.frames_, {})) {}
    mbuf_list& operator=(mbuf_list&& other) noexcept {
        std::swap(frames_, other.frames_);
        return *this;
    }
    ~mbuf_list() {
        for (rte_mbuf* const frame : frames_) {
            rte_pktmbuf_free(frame);
        }
    }

    std::size_t size() const noexcept { return frames_.size(); }
    /// False, the frame stays the caller's, when there is no memory.
    bool push(rte_mbuf* frame) noexcept {
        try {
            frames_.push_back(frame);
        } catch (std::bad_alloc const&) {
            return false;
        }
        return true;
    }
    /// All of them, the caller's now.
    std::vector<rte_mbuf*> take() noexcept { return std::exchange(frames_, {}); }

private:
    std::vector<rte_mbuf*> frames_;
};

} // namespace lagg::pmd
