// Frames of a burst that were refused, and how they become its tail.  A burst is looked at in
// chunks of at most 64 frames, so that a set of frames is one word. Knows no mbuf and no snapshot:
// a frame is whatever pointer the caller has.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <utility>

namespace lagg {

/// Frames of one chunk: bit i is the i-th.
using frame_set = std::uint64_t;
inline constexpr std::size_t chunk_size = 64;

/// The first `n` frames of a chunk.  `n`: at most chunk_size.
constexpr frame_set first_frames(std::size_t n) noexcept {
    return n == 0 ? 0 : ~frame_set{0} >> (chunk_size - n);
}

/// `frames` without its first `n`, in the caller's order.  `n`: at most the size of the set.
constexpr frame_set without_first(frame_set frames, std::size_t n) noexcept {
    for (; n > 0; --n) {
        frames &= frames - 1;
    }
    return frames;
}

/// Puts `group`, one frame for each of the set, back to where they came from.  A driver or a
/// callback may have exchanged the frames that it did not take, and those are the caller's now.
template<class Frame>
void put_back(Frame* chunk, frame_set frames, Frame const* group) noexcept {
    for (; frames != 0; frames &= frames - 1) {
        chunk[std::countr_zero(frames)] = *group++;
    }
}

/// Brings what was refused of a burst to its tail, order kept.  Until finish() the refused frames
/// are at the burst's front, so that a burst of any size needs no memory beyond itself, each
/// refused frame is moved twice and a burst without one is not touched.
template<class Frame>
class leftovers {
public:
    explicit leftovers(Frame* burst) noexcept : burst_(burst) {}

    /// Frames that stay the caller's.  `chunk`: index of the set's first frame, beyond all before.
    void keep(std::size_t chunk, frame_set refused) noexcept {
        for (; refused != 0; refused &= refused - 1) {
            std::size_t const at = chunk + static_cast<std::size_t>(std::countr_zero(refused));
            std::swap(burst_[kept_++], burst_[at]); // what it displaces was taken
        }
    }

    /// The same for frames [from, to) of the burst.
    void keep_run(std::size_t from, std::size_t to) noexcept {
        for (std::size_t at = from; at < to; ++at) {
            std::swap(burst_[kept_++], burst_[at]);
        }
    }

    /// After the whole burst of `count` frames; returns how many of them were taken.
    std::size_t finish(std::size_t count) noexcept {
        std::size_t const taken = count - kept_;
        if (taken > 0) {
            for (std::size_t i = kept_; i-- > 0;) { // from the end: burst_[taken + i] was taken
                std::swap(burst_[taken + i], burst_[i]);
            }
        }
        return taken;
    }

private:
    Frame* burst_;
    std::size_t kept_ = 0;
};

} // namespace lagg
