// rxonly: frames are counted and freed.
#include "packet_loop.h"

#include <rte_mbuf.h>

namespace laggd {

namespace {

class rxonly_loop final : public packet_loop {
public:
    using packet_loop::packet_loop;

    void poll() override {
        rte_mbuf* frames[max_burst];
        if (auto const count = receive(frames); count != 0) {
            counters_.consumed.add(count);
            rte_pktmbuf_free_bulk(frames, count);
        }
    }
};

} // namespace

std::unique_ptr<packet_loop> make_rxonly(wiring const& where) {
    return std::make_unique<rxonly_loop>(where);
}

} // namespace laggd
