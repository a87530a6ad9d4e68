// A burst grouped by member: which frames go to whom, in what order, and what becomes of those that
// were refused.  Works on a chunk of at most 64 frames, so that a set of frames is one word.
// Knows no mbuf and no snapshot: a frame is whatever pointer the caller has, a member is an index.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <utility>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

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

/// Who gets each frame of a chunk.  A distributor writes `member`, index into the distributing set,
/// for the first so many frames; the rest keeps `nobody`.
struct transmit_plan {
    static constexpr std::uint8_t nobody = 0xff;

    alignas(16) std::array<std::uint8_t, chunk_size> member;

    transmit_plan() noexcept { member.fill(nobody); }

    /// The frames of member `m`, below `nobody`, among the first `count` (and none beyond).
    frame_set frames_of(std::uint8_t m, std::size_t count) const noexcept {
#ifdef __SSE2__
        __m128i const wanted = _mm_set1_epi8(static_cast<char>(m));
        frame_set frames = sixteen(0, wanted) | sixteen(16, wanted);
        if (count > 32) {
            frames |= sixteen(32, wanted) | sixteen(48, wanted);
        }
        return frames;
#else
        return frames_of_generic(m, count);
#endif
    }

    /// The same for any machine.
    frame_set frames_of_generic(std::uint8_t m, std::size_t count) const noexcept {
        frame_set frames = 0;
        for (std::size_t i = 0; i < count; ++i) {
            frames |= static_cast<frame_set>(member[i] == m) << i;
        }
        return frames;
    }

private:
#ifdef __SSE2__
    frame_set sixteen(std::size_t from, __m128i wanted) const noexcept {
        __m128i const some = _mm_load_si128(reinterpret_cast<__m128i const*>(member.data() + from));
        auto const equal =
            static_cast<std::uint32_t>(_mm_movemask_epi8(_mm_cmpeq_epi8(some, wanted)));
        return static_cast<frame_set>(equal) << from;
    }
#endif
};

/// Copies the frames of the set to `group`, in the caller's order; returns how many.
/// `group`: room for all of them.
template<class Frame>
std::size_t gather(Frame const* chunk, frame_set frames, Frame* group) noexcept {
    std::size_t n = 0;
    for (; frames != 0; frames &= frames - 1) {
        group[n++] = chunk[std::countr_zero(frames)];
    }
    return n;
}

/// The reverse: puts `group` back to where its frames came from.  A driver or a callback may have
/// exchanged the frames that it did not take, and those are the caller's now.
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
