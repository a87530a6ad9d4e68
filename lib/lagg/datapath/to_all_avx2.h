// A list of the frames for each member with AVX2.
#pragma once

#include "lagg/datapath/distributor.h"

#if defined(__x86_64__)

#include "lagg/datapath/in_turn_avx2.h"

namespace lagg::avx2 {

/// As lagg::copy_to_each().
template<class Frame>
LAGG_AVX2_IN_TURN void copy_to_each(std::size_t members, Frame const* frames, std::size_t count,
                                    Frame* columns) noexcept {
    static_assert(sizeof(Frame) == 8 && std::is_trivially_copyable_v<Frame>);
    std::size_t at = 0;
    for (; at + 16 <= count; at += 16) {
        __m256i const a = four_at(frames + at);
        __m256i const b = four_at(frames + at + 4);
        __m256i const c = four_at(frames + at + 8);
        __m256i const d = four_at(frames + at + 12);
        Frame* to = columns + at;
        for (std::size_t m = members; m > 0; --m, to += chunk_size) {
            store_four(to, a);
            store_four(to + 4, b);
            store_four(to + 8, c);
            store_four(to + 12, d);
        }
    }
    for (; at + 4 <= count; at += 4) {
        __m256i const a = four_at(frames + at);
        Frame* to = columns + at;
        for (std::size_t m = members; m > 0; --m, to += chunk_size) {
            store_four(to, a);
        }
    }
    if (at < count) {
        copy_rest_to_each(members, frames, at, count, columns);
    }
}

} // namespace lagg::avx2

#endif
