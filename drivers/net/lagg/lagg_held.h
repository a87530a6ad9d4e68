// LACP and Marker frames that may have overtaken data: one that was steered to a queue of its own,
// or came by one of several.  What a Marker asks, and what a partner withdraws, is about the data
// it sent before; so such a frame is held until every rx queue was polled past that data.  Control
// thread only.
#pragma once

#include "lagg/control/event.h"
#include "lagg/types.h"
#include "lagg_queue.h"

#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <vector>

namespace lagg::pmd {

class held_frames {
public:
    using receiver = std::function<void(event::slow_frame const&)>;

    static constexpr std::size_t most = 64;
    static constexpr std::size_t most_per_member = slow_frames_per_member;
    /// Nothing is held for longer, whatever the application does: twice as long as a queue is left
    /// alone that nobody polls, and short beside LACP's three seconds.
    static constexpr std::chrono::milliseconds longest{200};

    held_frames() { held_.reserve(most); }

    // The lagg's rx queues; one that is retired is not waited for any more.
    void attach(rx_queue& q) { queues_.push_back({&q, {}}); }
    void retire(rx_queue const& q);

    /// False: no room, the frame is not taken.  Allocates nothing.
    bool hold(event::slow_frame const& frame, time_point now) noexcept;
    /// Gives to `to`, each member's in order, the frames behind whose data every queue was polled,
    /// and those that were held for long enough.
    void release(time_point now, receiver const& to);
    /// The member is gone.
    void forget(member_id id);

    bool empty() const noexcept { return held_.empty(); }

private:
    // A queue that gave nothing twice since a round of a member's began was polled past all that
    // had come before: the first of the two may have begun earlier.
    static constexpr std::uint64_t times_dry = 2;

    struct watched {
        rx_queue* queue;
        std::array<std::uint64_t, max_members> base; // by member: ran_dry when its round began
    };
    struct held {
        event::slow_frame frame;
        std::uint64_t due; // the round of its member whose end sets it free
        time_point until;
    };

    void begin_round(member_id id) noexcept;
    bool round_is_over(member_id id) const noexcept;
    void end_rounds() noexcept;
    void watch(bool wanted) noexcept;

    std::vector<watched> queues_;
    std::vector<held> held_; // oldest first
    std::array<std::uint64_t, max_members> rounds_{};
    std::array<std::uint8_t, max_members> held_of_{};
};

} // namespace lagg::pmd
