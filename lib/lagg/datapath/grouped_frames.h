// A chunk of frames sorted by member: what each one gets, in the caller's order.  Knows no mbuf, no
// hash and no snapshot.
#pragma once

#include "lagg/datapath/frame_set.h"
#include "lagg/types.h"

#include <array>
#include <cstddef>
#include <cstdint>

namespace lagg {

/// Frames of member m: frame[first[m]] to frame[first[m] + size[m]), in the caller's order.  Which
/// part of the array is used is the writer's business; none of it is ever cleared.
template<class Frame>
struct grouped_frames {
    std::array<Frame, max_members * chunk_size> frame;
    std::array<std::uint16_t, max_members> first;
    std::array<std::uint8_t, max_members> size;
    /// Who gets each frame: needed only when some are refused.
    std::array<std::uint8_t, chunk_size> member;
};

/// The frames of member `m`, of the first `count` in the chunk, but its first `taken`.
template<class Frame>
frame_set refused_of(grouped_frames<Frame> const& groups, std::size_t m, std::size_t taken,
                     std::size_t count) noexcept {
    frame_set set = 0;
    for (std::size_t i = 0; i < count; ++i) {
        set |= static_cast<frame_set>(groups.member[i] == m) << i;
    }
    return without_first(set, taken);
}

/// Fills frame, first and size of a grouped_frames frame by frame, for up to eight members: all
/// sizes in one register.  A size in memory would have to be stored before the next frame of that
/// member could load it.
template<class Frame>
class few_groups {
public:
    static constexpr std::size_t most = 8;
    static_assert(chunk_size < 256);

    few_groups(grouped_frames<Frame>& groups, std::size_t /*members*/) noexcept
        : groups_(&groups) {}

    [[gnu::always_inline]] void put(Frame frame, std::size_t member) noexcept {
        static_assert(chunk_size == 64);
        std::size_t const shift = member * 8;
        groups_->frame[shift * 8 + static_cast<std::uint8_t>(sizes_ >> shift)] = frame;
        sizes_ += std::uint64_t{1} << shift;
    }

    [[gnu::always_inline]] void finish() noexcept {
        for (std::size_t m = 0; m < most; ++m) {
            groups_->first[m] = static_cast<std::uint16_t>(m * chunk_size);
            groups_->size[m] = static_cast<std::uint8_t>(sizes_ >> (m * 8));
        }
    }

private:
    grouped_frames<Frame>* groups_;
    std::uint64_t sizes_ = 0; // a byte each
};

/// The same for any number of members.
template<class Frame>
class many_groups {
public:
    many_groups(grouped_frames<Frame>& groups, std::size_t members) noexcept : groups_(&groups) {
        for (std::size_t m = 0; m < members; ++m) {
            groups_->first[m] = static_cast<std::uint16_t>(m * chunk_size);
            groups_->size[m] = 0;
        }
    }

    [[gnu::always_inline]] void put(Frame frame, std::size_t member) noexcept {
        groups_->frame[member * chunk_size + groups_->size[member]++] = frame;
    }

    void finish() noexcept {}

private:
    grouped_frames<Frame>* groups_;
};

} // namespace lagg
