#include "lagg_held.h"

#include <algorithm>

namespace lagg::pmd {

void held_frames::retire(rx_queue const& q) {
    std::erase_if(queues_, [&q](watched const& w) { return w.queue == &q; });
}

bool held_frames::hold(event::slow_frame const& frame, time_point now) noexcept {
    std::uint8_t& count = held_of_[frame.id];
    if (held_.size() == most || count == most_per_member) {
        return false;
    }
    if (held_.empty()) {
        watch(true);
    }
    // A round that is under way began before this frame's data was here: the next one is its own.
    std::uint64_t const due = rounds_[frame.id] + (count == 0 ? 1 : 2);
    if (count == 0) {
        begin_round(frame.id);
    }
    held_.push_back({frame, due, now + longest});
    ++count;
    return true;
}

void held_frames::release(time_point now, receiver const& to) {
    if (held_.empty()) {
        return;
    }
    end_rounds();
    auto const is_free = [this, now](held const& h) {
        return h.due <= rounds_[h.frame.id] || h.until <= now;
    };
    // From the beginning each time: what `to` does with a frame may end in forget().
    for (auto at = held_.begin();
         (at = std::find_if(held_.begin(), held_.end(), is_free)) != held_.end();) {
        event::slow_frame const frame = at->frame;
        held_.erase(at);
        --held_of_[frame.id];
        to(frame);
    }
    if (held_.empty()) {
        watch(false);
    }
}

void held_frames::forget(member_id id) {
    std::erase_if(held_, [id](held const& h) { return h.frame.id == id; });
    held_of_[id] = 0;
}

void held_frames::begin_round(member_id id) noexcept {
    for (watched& w : queues_) {
        w.base[id] = w.queue->ran_dry[id].get();
    }
}

bool held_frames::round_is_over(member_id id) const noexcept {
    return std::all_of(queues_.begin(), queues_.end(), [id](watched const& w) {
        return w.queue->ran_dry[id].get() - w.base[id] >= times_dry;
    });
}

void held_frames::end_rounds() noexcept {
    for (std::size_t i = 0; i < max_members; ++i) {
        auto const id = static_cast<member_id>(i);
        if (held_of_[id] > 0 && round_is_over(id)) {
            ++rounds_[id];
            begin_round(id);
        }
    }
}

void held_frames::watch(bool wanted) noexcept {
    for (watched const& w : queues_) {
        // [refill] relaxed: only whether it counts; what it counts is read after it was told to
        w.queue->wish(burst_wish::tell_dry, wanted, std::memory_order_relaxed);
    }
}

} // namespace lagg::pmd
