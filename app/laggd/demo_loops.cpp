#include "demo_loops.h"

#include "flow_check.h"
#include "frames.h"
#include "pacer.h"

#include <algorithm>
#include <rte_cycles.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>

namespace laggd {

namespace {

constexpr unsigned most_bursts = 8;

// Makes frames for the first lagg.  What a burst gives back goes first into the next one.
class generator_loop final : public packet_loop {
public:
    generator_loop(wiring const& where, generator_settings const& settings, demo_traffic& traffic)
        : packet_loop(where),
          traffic_(traffic),
          maker_(settings, where.index, where.own_mac, where.peer_mac),
          pace_(settings.rate, rte_get_tsc_hz()) {}

    void poll() override {
        drain();
        // [phase] <- change_begins(): frames from here on carry the new number
        auto const phase = traffic_.phase.load(std::memory_order_acquire);
        if (traffic_.generate.load(std::memory_order_relaxed)) { // a flag that carries no data
            make_up(phase);
        }
        if (held_ != 0) {
            auto const taken = rte_eth_tx_burst(where_.tx_port, where_.tx_queue, frames_, held_);
            counters_.sent.add(taken);
            traffic_.taken.add(taken);
            held_ = static_cast<std::uint16_t>(held_ - taken);
            traffic_.returned.add(held_);
            std::copy_n(frames_ + taken, held_, frames_);
        }
        // [held] -> change_begins(): frames of older phases are all taken, by bursts that ended
        traffic_.oldest_held.store(oldest(phase), std::memory_order_release);
    }

    void finish() override {
        for (std::uint16_t i = 0; i < held_; ++i) {
            frame_mark mark{};
            if (read_frame(frames_[i], mark) == frame_state::whole && mark.phase < max_phases) {
                traffic_.discarded_in[mark.phase].add(1);
            }
        }
        traffic_.discarded.add(held_);
        rte_pktmbuf_free_bulk(frames_, held_);
        held_ = 0;
    }

private:
    // Nothing is sent to this end but slow protocols' frames; rings must be emptied all the same.
    void drain() {
        rte_mbuf* frames[max_burst];
        if (auto const count = receive(frames); count != 0) {
            traffic_.answers.add(count);
            rte_pktmbuf_free_bulk(frames, count);
        }
    }

    void make_up(std::uint16_t phase) {
        auto const due = pace_.due(rte_rdtsc(), static_cast<unsigned>(where_.burst - held_));
        if (due == 0) {
            return;
        }
        if (rte_pktmbuf_alloc_bulk(where_.pool, frames_ + held_, due) != 0) {
            counters_.no_mbuf.add(1);
            return;
        }
        pace_.taken(due);
        unsigned made = 0;
        while (made < due && maker_.fill(frames_[held_], phase)) {
            ++held_;
            ++made;
        }
        if (made < due) { // the demo refuses such sizes at its start
            counters_.too_long.add(due - made);
            rte_pktmbuf_free_bulk(frames_ + held_, due - made);
        }
        counters_.generated.add(made);
        traffic_.offered.add(made);
        traffic_.made_in[phase].add(made);
    }

    // Frames are made in the order of phases and given back in the order of the burst.
    std::uint16_t oldest(std::uint16_t phase) const {
        return held_ == 0 ? phase : std::min(phase, phase_of(frames_[0]));
    }

    demo_traffic& traffic_;
    frame_maker maker_;
    pacer pace_;
    std::uint16_t held_ = 0;
    rte_mbuf* frames_[max_burst] = {};
};

// Reads what the second lagg receives: content, copies, order.
class sink_loop final : public packet_loop {
public:
    sink_loop(wiring const& where, unsigned flows, demo_traffic& traffic)
        : packet_loop(where), traffic_(traffic), flows_(flows), check_(flows) {}

    // Several bursts: under broadcast more arrives than was made.
    void poll() override {
        rte_mbuf* frames[max_burst];
        for (unsigned burst = 0; burst < most_bursts; ++burst) {
            auto const count = receive(frames);
            for (std::uint16_t i = 0; i < count; ++i) {
                look(frames[i]);
            }
            counters_.consumed.add(count);
            rte_pktmbuf_free_bulk(frames, count);
            if (count < where_.burst) {
                return;
            }
        }
    }

private:
    void look(rte_mbuf const* frame) {
        frame_mark mark{};
        auto const state = read_frame(frame, mark);
        if (state == frame_state::damaged) {
            traffic_.damaged.add(1);
            return;
        }
        if (state == frame_state::foreign || mark.flow >= flows_ || mark.phase >= max_phases) {
            traffic_.foreign.add(1);
            return;
        }
        auto const how = check_.see(mark.flow, mark.sequence, mark.phase);
        switch (how) {
        case arrival::too_old: traffic_.too_old.add(1); return;
        case arrival::copy:
            traffic_.copies.add(1);
            traffic_.copies_in[mark.phase].add(1);
            return;
        case arrival::overtaken: traffic_.overtaken_in[mark.phase].add(1); break;
        case arrival::overtaken_same: traffic_.overtaken_same_in[mark.phase].add(1); break;
        case arrival::in_order: break;
        }
        traffic_.received.add(1);
        traffic_.received_in[mark.phase].add(1);
    }

    demo_traffic& traffic_;
    unsigned flows_;
    flow_check check_;
};

} // namespace

std::unique_ptr<packet_loop> make_demo_generator(wiring const& where,
                                                 generator_settings const& settings,
                                                 demo_traffic& traffic) {
    return std::make_unique<generator_loop>(where, settings, traffic);
}

std::unique_ptr<packet_loop> make_demo_sink(wiring const& where, unsigned flows,
                                            demo_traffic& traffic) {
    return std::make_unique<sink_loop>(where, flows, traffic);
}

} // namespace laggd
