// txonly: generates flows at a rate.
#include "frames.h"
#include "pacer.h"
#include "packet_loop.h"

#include <rte_cycles.h>
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
        rte_mbuf* frames[max_burst];
        send(frames, make_up(frames));
    }

private:
    std::uint16_t make_up(rte_mbuf** frames) {
        auto const due = pace_.due(rte_rdtsc(), room());
        if (due == 0) {
            return 0;
        }
        if (rte_pktmbuf_alloc_bulk(where_.pool, frames, due) != 0) {
            counters_.no_mbuf.add(1);
            return 0;
        }
        pace_.taken(due);
        std::uint16_t made = 0;
        while (made < due && maker_.fill(frames[made], 0)) {
            ++made;
        }
        counters_.generated.add(made);
        if (made < due) { // the forwarder refuses such sizes at start
            counters_.too_long.add(1);
            rte_pktmbuf_free_bulk(frames + made, due - made);
        }
        return made;
    }

    frame_maker maker_;
    pacer pace_;
};

} // namespace

std::unique_ptr<packet_loop> make_txonly(wiring const& where, generator_settings const& settings) {
    return std::make_unique<txonly_loop>(where, settings);
}

} // namespace laggd
