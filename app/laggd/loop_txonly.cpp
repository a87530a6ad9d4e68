// txonly: generates flows at a rate.  What a burst does not take goes first into the next one, so
// the order within a flow is kept.
#include "frames.h"
#include "pacer.h"
#include "packet_loop.h"

#include <algorithm>
#include <rte_cycles.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>

namespace laggd {

namespace {

class txonly_loop final : public packet_loop {
public:
    txonly_loop(wiring const& where, generator_settings const& settings)
        : packet_loop(where),
          maker_(settings, where.index, where.own_mac, where.peer_mac),
          pace_(settings.rate, rte_get_tsc_hz()) {}

    void poll() override {
        make_up();
        if (held_ == 0) {
            return;
        }
        auto const taken = rte_eth_tx_burst(where_.tx_port, where_.tx_queue, frames_, held_);
        counters_.sent.add(taken);
        held_ = static_cast<std::uint16_t>(held_ - taken);
        std::copy_n(frames_ + taken, held_, frames_);
    }

    void finish() override {
        counters_.dropped.add(held_);
        rte_pktmbuf_free_bulk(frames_, held_);
        held_ = 0;
    }

private:
    void make_up() {
        auto const room = static_cast<unsigned>(where_.burst - held_);
        auto const due = pace_.due(rte_rdtsc(), room);
        if (due == 0) {
            return;
        }
        if (rte_pktmbuf_alloc_bulk(where_.pool, frames_ + held_, due) != 0) {
            counters_.no_mbuf.add(1);
            return;
        }
        pace_.taken(due);
        for (unsigned i = 0; i < due; ++i) {
            if (maker_.fill(frames_[held_], 0)) {
                counters_.generated.add(1);
                ++held_;
            } else { // the forwarder refuses such sizes at start
                counters_.too_long.add(1);
                rte_pktmbuf_free_bulk(frames_ + held_, due - i);
                break;
            }
        }
    }

    frame_maker maker_;
    pacer pace_;
    std::uint16_t held_ = 0;
    rte_mbuf* frames_[max_burst] = {};
};

} // namespace

std::unique_ptr<packet_loop> make_txonly(wiring const& where, generator_settings const& settings) {
    return std::make_unique<txonly_loop>(where, settings);
}

} // namespace laggd
