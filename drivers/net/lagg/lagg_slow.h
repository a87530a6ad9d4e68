// Control's frames in and out of one lagg port, whatever its application does: brings LACP and
// Marker frames from the bursts' rings, polls for a queue that nobody polls, and puts frames on a
// member's wire.  Knows no aggregator and no clock; what a frame says is others' business.
// Control thread only.
#pragma once

#include "epoch/publisher.h"
#include "lagg/control/effect.h"
#include "lagg/control/event.h"
#include "lagg/snapshot.h"
#include "lagg_held.h"
#include "lagg_mbuf_list.h"
#include "lagg_queue.h"
#include "lagg_stats.h"

#include <array>
#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <string>
#include <vector>

namespace lagg::pmd {

inline constexpr std::uint16_t no_queue = 0xffff;

/// What the worker found in a leaving member's rx ring.
struct drained_frames {
    std::uint16_t queue = 0;
    mbuf_list frames; // what a burst would have handed up, in order
    std::array<std::uint64_t, drop_reasons> dropped{};
};

class control_frames {
public:
    /// How often rings are looked at: as a rule, and while somebody waits for an answer.
    static constexpr std::chrono::milliseconds period{10};
    static constexpr std::chrono::milliseconds impatient_period{1};
    /// An rx queue that was not polled for so long is polled from here, so often.
    static constexpr std::chrono::milliseconds patience{100};
    static constexpr std::chrono::milliseconds borrow_period{20};
    /// Whoever stays away for no longer loses nothing to us: what does not fit the stash is left
    /// with the member.  After that data is dropped to find the slow frames behind it; a third of
    /// LACP's short timeout.
    static constexpr std::chrono::milliseconds data_patience{1000};
    /// Frames that one such visit takes from a queue's members, together.
    static constexpr std::size_t most_frames_a_visit = 2048;
    /// What a leaving member had, and does not fit the stash, waits for room: at most so much.
    static constexpr std::size_t most_waiting = 4 * stash_size;
    /// A frame that no member took is tried again with so many visits, a second or so.
    static constexpr unsigned int most_attempts = 100;
    static constexpr std::size_t most_letters = 128;
    /// Queues that are tried to be borrowed before a frame is handed over.
    static constexpr std::size_t most_tries = 4;
    static constexpr unsigned int pool_size = 2047;

    using receiver = held_frames::receiver;

    /// `name`: the lagg's, for log lines.  `counters`, `views`: outlive this.
    control_frames(std::string name, epoch::publisher<snapshot>& views, control_counters& counters);
    /// Queues are gone; frames of ours may still be in somebody's hands.
    ~control_frames();
    control_frames(control_frames const&) = delete;
    control_frames& operator=(control_frames const&) = delete;

    // The queue is attached to `views` before, and detached after.
    void attach(rx_queue& q);
    void attach(tx_queue& q);
    void retire(rx_queue& q);
    void retire(tx_queue& q);

    /// While set, visit() wants to come every millisecond.
    void set_impatient(bool impatient) noexcept { impatient_ = impatient; }

    /// Gives to `to` what waits in the rings, at most a ring of each queue, and what was held until
    /// its data was polled; then, where slow frames are ours, polls for queues that nobody polls.
    /// Returns when it wants to be called next; `never`: not before somebody else wants something.
    time_point visit(time_point now, receiver const& to);

    /// The part of visit() that polls no queue of the application's: what the bursts' rings and the
    /// queues of our own have.
    void hear(time_point now, receiver const& to);

    /// Which wire, and how it is reached.
    struct way {
        port_id port = no_port;
        member_id id = no_member;
        std::uint16_t own_queue = no_queue; // the member's tx queue that is reserved for us
        std::uint16_t queue = any_queue;    // behind what bursts have put on this one
    };
    /// The member runs, and stays until send_all() returned.
    void send(way const& to, lacp::frame const& frame);
    /// A frame that send() cannot be asked for any more, for its member does not run.
    void not_sent() { counters_.not_sent.add(1); }
    /// Puts on the wires what send() was given: by the member's own queue, else by a queue that is
    /// idle at this moment, else through the next burst on one that is not.  What a member does
    /// not take, for its ring is full, is tried again by visit(); given up, it is counted.
    void send_all();
    /// The member runs, and its slow frames are steered to this rx queue of its: visit() polls it.
    void listen(member_id id, port_id port, std::uint16_t queue);
    /// The port is about to be a member that bursts poll: what it brings comes after what it left
    /// with, where that still waits for room.
    void expect(port_id port);
    /// The member stops, or is gone: nothing more is sent to it, nor polled of it.
    void forget(member_id id);

    /// To the stash of its queue, for the application's next burst; slow frames, where they are
    /// ours, to `to`.
    void take_in(member_id from, drained_frames& what, receiver const& to);

private:
    struct rx_record {
        rx_queue* queue;
        std::uint64_t polls;
        time_point polled_at;
        time_point next_borrow;
        bool borrowable;                 // its pool may be used by two threads
        std::deque<rte_mbuf*> waiting{}; // for room in the stash; older than what is stashed next
    };
    struct steered {
        member_id id;
        port_id port;
        std::uint16_t queue;
    };
    struct letter {
        way to;
        rte_mbuf* frame;
        unsigned int attempts = 0;
    };

    void hand_on(time_point now, receiver const& to);
    bool hold(rx_queue& q, event::slow_frame const& frame, time_point now);
    bool collects(member_id id) const;
    void poll_steered(steered const& from, bool take_slow, time_point now);
    void poll_for_idle(time_point now);
    void poll_for(rx_queue& q, bool may_drop);
    std::size_t poll_member(rx_queue& q, snapshot const& s, polled_member const& m,
                            std::size_t most);
    void stash(rx_queue& q, rte_mbuf* frame, drop_reason when_full);
    void stash_or_wait(rx_record& r, rte_mbuf* frame);
    static void stash_waiting(rx_record& r, control_counters& counters);
    void drop_letter(letter const& l);
    void send_handed_on_idle();
    bool send_on(std::uint16_t queue, letter& l, counter& sent);
    void send_through_borrowed(tx_queue& q);
    bool hand_over(tx_queue& q, letter& l);
    void send_by_queues();
    bool may_borrow_tx() const noexcept;
    rte_mbuf* new_frame(lacp::frame const& frame);

    std::string const name_;
    epoch::publisher<snapshot>& views_;
    control_counters& counters_;
    std::vector<rx_record> rx_;
    std::vector<tx_queue*> tx_;
    std::size_t next_tx_ = 0; // where the search for an idle queue begins, index into tx_
    std::vector<letter> outbox_;
    std::vector<steered> steered_;
    held_frames held_;
    rte_mempool* pool_ = nullptr;
    bool pool_failed_ = false; // and it was said
    time_point heard_at_{0};
    bool known_ = false; // visited while slow frames are ours; since then polls are compared
    bool impatient_ = false;
};

} // namespace lagg::pmd
