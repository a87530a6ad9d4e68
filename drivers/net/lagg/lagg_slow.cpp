#include "lagg_slow.h"

#include "lagg_burst.h"
#include "lagg_log.h"
#include "lagg_mbuf.h"

#include <rte_ethdev.h>
#include <rte_mempool.h>

#include <algorithm>
#include <cassert>
#include <cstring>
#include <mutex>
#include <new>
#include <span>
#include <utility>

namespace lagg::pmd {

static_assert(longest_slow_frame == lacp::longest_kept_frame);
static_assert(any_queue == no_queue);

namespace {

/// Pools of laggs that are gone.  A frame of theirs may be on its way, or in the hands of an
/// application at the other end of a software link, so none is ever freed: one whose frames all
/// came back serves the next lagg.
class pool_shelf {
public:
    /// Null, rte_errno says why, when there is no memory.
    rte_mempool* take() {
        std::lock_guard const hold(mutex_);
        auto const at = std::find_if(pools_.begin(), pools_.end(),
                                     [](rte_mempool* p) { return rte_mempool_full(p) == 1; });
        if (at != pools_.end()) {
            rte_mempool* const p = *at;
            pools_.erase(at);
            return p;
        }
        static_assert(lacp::frame_size <= 128);
        // no cache: control is no lcore, and what an lcore's cache holds would be missing here
        return rte_pktmbuf_pool_create(("lagg_control_" + std::to_string(made_++)).c_str(),
                                       control_frames::pool_size, 0, 0, RTE_PKTMBUF_HEADROOM + 128,
                                       SOCKET_ID_ANY);
    }
    void put(rte_mempool* p) {
        std::lock_guard const hold(mutex_);
        pools_.push_back(p);
    }

private:
    std::mutex mutex_; // guards both; a lagg may be given up by the thread that failed to probe it
    std::vector<rte_mempool*> pools_;
    unsigned int made_ = 0;
};

pool_shelf& shelf() {
    static pool_shelf one;
    return one;
}

event::slow_frame to_event(slow_slot const& slot) {
    event::slow_frame e;
    e.id = slot.id;
    e.length = slot.length;
    std::copy_n(slot.bytes.begin(), slot.length, e.bytes.begin());
    return e;
}

event::slow_frame to_event(member_id from, rte_mbuf const& frame) {
    event::slow_frame e;
    e.id = from;
    e.length =
        static_cast<std::uint16_t>(std::min<std::size_t>(frame.data_len, longest_slow_frame));
    std::copy_n(first_byte(frame), e.length, e.bytes.begin());
    return e;
}

bool has(rx_queue const& q, unsigned int flags) noexcept {
    return q.pool != nullptr && (q.pool->flags & flags) != 0;
}

/// False when there is no memory.
bool push(std::deque<rte_mbuf*>& waiting, rte_mbuf* frame) noexcept {
    try {
        waiting.push_back(frame);
        return true;
    } catch (std::bad_alloc const&) {
        return false;
    }
}

void count(std::array<counter, drop_reasons>& drops, drop_reason why, std::uint64_t n = 1) {
    drops[static_cast<std::size_t>(why)].add(n);
}

} // namespace

control_frames::control_frames(std::string name, epoch::publisher<snapshot>& views,
                               control_counters& counters)
    : name_(std::move(name)), views_(views), counters_(counters) {}

control_frames::~control_frames() {
    for (letter const& l : outbox_) {
        rte_pktmbuf_free(l.frame);
    }
    for (rx_record const& r : rx_) {
        for (rte_mbuf* const frame : r.waiting) {
            rte_pktmbuf_free(frame);
        }
    }
    if (pool_ != nullptr) {
        shelf().put(pool_);
    }
}

void control_frames::attach(rx_queue& q) {
    // Both, for what control receives for the queue it may also free.
    bool const borrowable = !has(q, RTE_MEMPOOL_F_SC_GET | RTE_MEMPOOL_F_SP_PUT);
    if (!borrowable) {
        LAGG_LOG(NOTICE,
                 "%s: rx queue %u: its mempool is for one thread: while the application does not "
                 "poll, LACP does not hear either",
                 name_.c_str(), q.queue_id);
    }
    rx_.push_back({&q, q.polls.get(), time_point{0}, time_point{0}, borrowable});
    held_.attach(q);
    known_ = false;
}

void control_frames::attach(tx_queue& q) {
    tx_.push_back(&q);
}

void control_frames::retire(rx_queue& q) {
    for (rx_record const& r : rx_) {
        if (r.queue == &q) {
            for (rte_mbuf* const frame : r.waiting) {
                rte_pktmbuf_free(frame);
            }
            q.stash_dropped[static_cast<std::size_t>(drop_reason::drain_no_room)].add(
                r.waiting.size());
        }
    }
    std::erase_if(rx_, [&q](rx_record const& r) { return r.queue == &q; });
    held_.retire(q);
}

void control_frames::retire(tx_queue& q) {
    std::erase(tx_, &q);
    next_tx_ = 0;
}

// -- receive
// --------------------------------------------------------------------------------------

time_point control_frames::visit(time_point now, receiver const& to) {
    send_handed_on_idle();
    send_all();
    bool anybody_waits = !outbox_.empty();
    bool held = false; // a burst gets nothing else until we refill its stash
    for (rx_record& r : rx_) {
        stash_waiting(r, counters_);
        anybody_waits = anybody_waits || !r.waiting.empty();
        auto const wishes = r.queue->wishes.load(std::memory_order_relaxed); // [refill] our own
        held = held || (wishes & burst_wish::stash_first) != 0;
    }
    // Also under other policies: what a late burst left must not wait for the next lacp.
    hear(now, to);
    snapshot const* const s = views_.newest();
    bool const running = s != nullptr && s->run == run_state::running;
    if (!running || !s->take_slow) {
        known_ = false;
        anybody_waits = anybody_waits || (running && !steered_.empty());
        return held ? now + impatient_period : anybody_waits ? now + period : never;
    }
    poll_for_idle(now);
    hand_on(now, to);
    return now + (impatient_ || held || !held_.empty() ? impatient_period : period);
}

void control_frames::hear(time_point now, receiver const& to) {
    bool const late = now - heard_at_ > held_frames::longest;
    heard_at_ = now;
    hand_on(now, to);
    snapshot const* const s = views_.newest();
    bool const running = s != nullptr && s->run == run_state::running;
    for (std::size_t i = 0; running && i < steered_.size(); ++i) {
        poll_steered(steered_[i], s->take_slow, now);
    }
    if (late) { // they have lain there for as long as any is held: LACP's timers are not to be
                // first
        held_.release(now + held_frames::longest, to);
    }
}

/// Of each queue at most what fits the ring: a burst that fills it meanwhile does not keep us here.
/// A frame of the only queue came behind its data; one of several may have overtaken some.
void control_frames::hand_on(time_point now, receiver const& to) {
    bool const in_order = rx_.size() == 1 && steered_.empty() && held_.empty();
    for (rx_record const& r : rx_) {
        slow_slot slot;
        for (std::size_t i = 0; i < slow_ring_size && r.queue->slow.pop(slot); ++i) {
            if (in_order) {
                to(to_event(slot));
            } else {
                hold(*r.queue, to_event(slot), now);
            }
        }
    }
    held_.release(now, to);
}

/// Or counts it as one too many.
bool control_frames::hold(rx_queue& q, event::slow_frame const& frame, time_point now) {
    bool const held = held_.hold(frame, now);
    count(q.stash_dropped, drop_reason::rx_slow_no_room, held ? 0 : 1);
    return held;
}

bool control_frames::collects(member_id id) const {
    snapshot const* const s = views_.newest();
    return s != nullptr && std::any_of(s->polled.begin(), s->polled.end(),
                                       [id](auto const& p) { return p.id == id && p.collecting; });
}

/// At most two bursts: a flood is left to the device, which drops it.
void control_frames::poll_steered(steered const& from, bool take_slow, time_point now) {
    rte_mbuf* frames[32];
    for (int i = 0; i < 2 && !rx_.empty(); ++i) {
        std::uint16_t const n = pmd::receive(from.port, from.queue, frames, 32);
        for (rte_mbuf* const frame : std::span(frames, n)) {
            if (take_slow && is_slow(*frame)) {
                bool const held = hold(*rx_.front().queue, to_event(from.id, *frame), now);
                counters_.steered.add(held ? 1 : 0);
                rte_pktmbuf_free(frame);
            } else if (collects(from.id)) {
                stash_or_wait(rx_.front(), frame); // OAM and the like are the application's
            } else {
                rte_pktmbuf_free(frame);
                count(rx_.front().queue->stash_dropped, drop_reason::rx_not_collecting);
            }
        }
        if (n < std::size(frames)) {
            return;
        }
    }
}

void control_frames::listen(member_id id, port_id port, std::uint16_t queue) {
    std::erase_if(steered_, [id](steered const& known) { return known.id == id; });
    steered_.push_back({id, port, queue});
}

void control_frames::poll_for_idle(time_point now) {
    for (rx_record& r : rx_) {
        std::uint64_t const polls = r.queue->polls.get();
        if (!known_ || polls != r.polls) {
            r.polls = polls;
            r.polled_at = now;
            continue;
        }
        if (!r.borrowable || !r.waiting.empty() || now - r.polled_at < patience ||
            now < r.next_borrow) {
            continue;
        }
        r.next_borrow = now + borrow_period;
        // [leave]: its plain state and the rings' other ends are ours until [adopt] gives them back
        if (views_.try_borrow(r.queue->view)) {
            poll_for(*r.queue, now - r.polled_at >= data_patience);
            views_.give_back(r.queue->view);
        }
    }
    known_ = true;
}

/// The queue is borrowed.
void control_frames::poll_for(rx_queue& q, bool may_drop) {
    snapshot const& s = *views_.newest();
    counters_.polls.add(1);
    for (polled_member const& m : s.polled) {
        std::size_t const most = most_frames_a_visit / s.polled.size();
        for (std::size_t got = 0; got < most;) {
            std::size_t const room = stash_size - q.stash.size_hint(); // we fill it: no less
            std::size_t const more =
                poll_member(q, s, m, std::min(most - got, may_drop ? most : room));
            if (more == 0) {
                break;
            }
            got += more;
        }
    }
}

std::size_t control_frames::poll_member(rx_queue& q, snapshot const& s, polled_member const& m,
                                        std::size_t most) {
    rte_mbuf* frames[32];
    received const r = receive_from(q, s, m, frames,
                                    static_cast<std::uint16_t>(std::min(most, std::size(frames))));
    for (std::size_t i = 0; i < r.kept; ++i) {
        stash(q, frames[i], drop_reason::stash_full);
    }
    return r.got;
}

void control_frames::stash(rx_queue& q, rte_mbuf* frame, drop_reason when_full) {
    if (q.stash.push(frame)) {
        counters_.stashed.add(1);
    } else {
        rte_pktmbuf_free(frame);
        count(q.stash_dropped, when_full);
    }
}

/// Behind what waits already.
void control_frames::stash_or_wait(rx_record& r, rte_mbuf* frame) {
    stash_waiting(r, counters_);
    if (r.waiting.empty() && r.queue->stash.push(frame)) {
        counters_.stashed.add(1);
    } else if (r.waiting.size() < most_waiting && push(r.waiting, frame)) {
        // later
    } else {
        rte_pktmbuf_free(frame);
        count(r.queue->stash_dropped, drop_reason::drain_no_room);
    }
}

void control_frames::stash_waiting(rx_record& r, control_counters& counters) {
    if (r.waiting.empty()) {
        return;
    }
    while (!r.waiting.empty() && r.queue->stash.push(r.waiting.front())) {
        r.waiting.pop_front();
        counters.stashed.add(1);
    }
    if (r.waiting.empty()) {
        // [refill] -> the rx burst: who reads no finds all that waited in the stash
        r.queue->wish(burst_wish::stash_first, false, std::memory_order_release);
    }
}

void control_frames::expect(port_id port) {
    for (rx_record& r : rx_) {
        if (std::any_of(r.waiting.begin(), r.waiting.end(),
                        [port](rte_mbuf const* frame) { return frame->port == port; })) {
            // [refill] [adopt] relaxed: the snapshot that lets bursts poll the port comes later
            r.queue->wish(burst_wish::stash_first, true, std::memory_order_relaxed);
        }
    }
}

void control_frames::take_in(member_id from, drained_frames& what, receiver const& to) {
    auto const at = std::find_if(rx_.begin(), rx_.end(), [&what](rx_record const& r) {
        return r.queue->queue_id == what.queue;
    });
    if (at == rx_.end()) {
        return; // nobody will ever ask for them: freed with the list
    }
    rx_queue& q = *at->queue;
    snapshot const* const s = views_.newest();
    bool const take_slow = s != nullptr && s->take_slow;
    for (rte_mbuf* const frame : what.frames.take()) {
        if (take_slow && is_slow(*frame)) {
            to(to_event(from, *frame));
            rte_pktmbuf_free(frame);
        } else {
            stash_or_wait(*at, frame);
        }
    }
    for (std::size_t i = 0; i < drop_reasons; ++i) {
        q.stash_dropped[i].add(what.dropped[i]);
    }
}

// -- transmit
// -------------------------------------------------------------------------------------

rte_mbuf* control_frames::new_frame(lacp::frame const& frame) {
    if (pool_ == nullptr) {
        pool_ = shelf().take();
    }
    if (pool_ == nullptr) {
        if (!std::exchange(pool_failed_, true)) {
            LAGG_LOG(ERR, "%s: no memory for a pool of LACP frames", name_.c_str());
        }
        return nullptr;
    }
    rte_mbuf* const m = rte_pktmbuf_alloc(pool_);
    if (m == nullptr) {
        return nullptr;
    }
    std::memcpy(rte_pktmbuf_append(m, lacp::frame_size), frame.data(), lacp::frame_size);
    return m;
}

void control_frames::send(way const& to, lacp::frame const& frame) {
    outbox_.reserve(outbox_.size() + 1); // what throws, throws before there is a frame
    if (outbox_.size() >= most_letters) {
        drop_letter(outbox_.front());
        outbox_.erase(outbox_.begin());
    }
    if (rte_mbuf* const m = new_frame(frame); m != nullptr) {
        outbox_.push_back({to, m});
    } else {
        counters_.not_sent.add(1);
    }
}

void control_frames::send_all() {
    if (outbox_.empty()) {
        return;
    }
    for (letter& l : outbox_) {
        if (l.frame != nullptr && l.to.own_queue != no_queue && l.to.queue == any_queue) {
            send_on(l.to.own_queue, l, counters_.sent_own_queue);
        }
    }
    send_by_queues();
    std::erase_if(outbox_, [](letter const& l) { return l.frame == nullptr; });
    for (letter& l : outbox_) {
        if (++l.attempts == most_attempts) {
            drop_letter(l);
            l.frame = nullptr;
        }
    }
    std::erase_if(outbox_, [](letter const& l) { return l.frame == nullptr; });
}

void control_frames::drop_letter(letter const& l) {
    rte_pktmbuf_free(l.frame);
    counters_.not_sent.add(1);
}

void control_frames::forget(member_id id) {
    held_.forget(id);
    std::erase_if(steered_, [id](steered const& known) { return known.id == id; });
    for (letter const& l : outbox_) {
        if (l.to.id == id) {
            drop_letter(l);
        }
    }
    std::erase_if(outbox_, [id](letter const& l) { return l.to.id == id; });
}

/// The queue is ours, or borrowed.
bool control_frames::send_on(std::uint16_t queue, letter& l, counter& sent) {
    // Drivers let go of sent frames when they want the room for others: on a queue that carries
    // nothing but ours that is long after.
    if (rte_mempool_avail_count(pool_) < pool_size / 4) {
        static_cast<void>(rte_eth_tx_done_cleanup(l.to.port, queue, 0));
    }
    if (pmd::send(l.to.port, queue, &l.frame, 1) == 0) {
        return false;
    }
    l.frame = nullptr;
    sent.add(1);
    return true;
}

/// Frames that are completed on a borrowed queue are the application's, and freed here.
bool control_frames::may_borrow_tx() const noexcept {
    return std::none_of(rx_.begin(), rx_.end(),
                        [](rx_record const& r) { return has(*r.queue, RTE_MEMPOOL_F_SP_PUT); });
}

void control_frames::send_handed_on_idle() {
    for (tx_queue* const q : tx_) {
        // [leave], [adopt]: the consumer's end of the ring is ours meanwhile
        if (!q->handed.empty_hint() && may_borrow_tx() && views_.try_borrow(q->view)) {
            if (views_.newest() != nullptr) {
                slow_send_handed(*q, *views_.newest());
            }
            views_.give_back(q->view);
        }
    }
}

/// `q` is borrowed.  What must go by it, and what may go by any.
void control_frames::send_through_borrowed(tx_queue& q) {
    if (!q.handed.empty_hint()) {
        slow_send_handed(q, *views_.newest()); // older ones first
    }
    for (letter& l : outbox_) {
        bool const by_this =
            l.to.queue == q.queue_id || (l.to.queue == any_queue && l.to.own_queue == no_queue);
        if (l.frame != nullptr && by_this) {
            send_on(q.queue_id, l, counters_.sent_borrowed);
        }
    }
}

bool control_frames::hand_over(tx_queue& q, letter& l) {
    if (!q.handed.push({l.frame, l.to.port, l.to.id})) {
        return false;
    }
    l.frame = nullptr;
    counters_.handed_over.add(1);
    return true;
}

void control_frames::send_by_queues() {
    bool const may_borrow = may_borrow_tx() && views_.newest() != nullptr;
    auto const borrowed = [&](tx_queue& q) {
        if (!may_borrow || !views_.try_borrow(q.view)) {
            return false;
        }
        send_through_borrowed(q);
        views_.give_back(q.view);
        return true;
    };
    auto const left_for = [&](std::uint16_t queue) {
        return std::any_of(outbox_.begin(), outbox_.end(), [&](letter const& l) {
            return l.frame != nullptr && l.to.queue == queue &&
                   (queue != any_queue || l.to.own_queue == no_queue);
        });
    };
    for (tx_queue* const q : tx_) {
        if (!left_for(q->queue_id) || borrowed(*q)) {
            continue;
        }
        for (letter& l : outbox_) {
            if (l.frame != nullptr && l.to.queue == q->queue_id) {
                hand_over(*q, l);
            }
        }
    }
    if (!left_for(any_queue)) {
        return;
    }
    std::size_t const tries = std::min(most_tries, tx_.size());
    for (std::size_t i = 0; i < tries; ++i) {
        std::size_t const at = (next_tx_ + i) % tx_.size();
        if (borrowed(*tx_[at])) {
            next_tx_ = at;
            return;
        }
    }
    // All of these are in a burst, so each will soon begin another.
    for (letter& l : outbox_) {
        for (std::size_t i = 0; i < tries && l.frame != nullptr && l.to.queue == any_queue &&
                                l.to.own_queue == no_queue;
             ++i) {
            hand_over(*tx_[next_tx_], l);
            next_tx_ = (next_tx_ + 1) % tx_.size();
        }
    }
}

} // namespace lagg::pmd
