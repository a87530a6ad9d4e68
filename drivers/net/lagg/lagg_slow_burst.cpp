// What a burst does for control: LACP and Marker frames to its ring, and its frames to a member.
// Out of line and rare.  Burst side: knows neither lagg/control nor lacp.
#include "lagg_burst.h"
#include "lagg_queue.h"

#include <algorithm>
#include <cstring>

namespace lagg::pmd {

namespace {

slow_slot slot_of(member_id from, rte_mbuf const& frame) noexcept {
    slow_slot slot;
    slot.id = from;
    slot.length =
        static_cast<std::uint16_t>(std::min<std::size_t>(frame.pkt_len, longest_slow_frame));
    // null when the chain is shorter than it says
    void const* const data = rte_pktmbuf_read(&frame, 0, slot.length, slot.bytes.data());
    if (data == nullptr) {
        slot.length = std::min(slot.length, frame.data_len);
        std::memcpy(slot.bytes.data(), rte_pktmbuf_mtod(&frame, void const*), slot.length);
    } else if (data != slot.bytes.data()) {
        std::memcpy(slot.bytes.data(), data, slot.length);
    }
    return slot;
}

bool is_polled(snapshot const& s, handed_frame const& h) noexcept {
    return s.run == run_state::running &&
           std::any_of(s.polled.begin(), s.polled.end(),
                       [&h](polled_member const& m) { return m.id == h.id && m.port == h.port; });
}

} // namespace

[[gnu::noinline]] void slow_take(rx_queue& q, member_id from, rte_mbuf** frames,
                                 std::size_t count) noexcept {
    if (q.slow.empty_hint()) {
        q.slow_pushed.fill(0);
    }
    std::size_t taken = 0;
    while (taken < count && q.slow_pushed[from] < slow_frames_per_member &&
           q.slow.push(slot_of(from, *frames[taken]))) {
        ++q.slow_pushed[from];
        ++taken;
    }
    q.stats.slow_taken.add(taken);
    q.stats.drops[static_cast<std::size_t>(drop_reason::rx_slow_no_room)].add(count - taken);
    rte_pktmbuf_free_bulk(frames, static_cast<unsigned int>(count));
}

[[gnu::noinline]] void slow_send_handed(tx_queue& q, snapshot const& s) noexcept {
    handed_frame h;
    while (q.handed.pop(h)) {
        if (!is_polled(s, h) || send(h.port, q.queue_id, &h.frame, 1) == 0) {
            rte_pktmbuf_free(h.frame);
            q.stats.drops[static_cast<std::size_t>(drop_reason::tx_control_frame)].add(1);
        }
    }
}

} // namespace lagg::pmd
