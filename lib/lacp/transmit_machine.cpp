#include "lacp/transmit_machine.h"

namespace lagg::lacp {

std::optional<lacpdu> transmit_machine::step(port_variables& port, periodic_state periodic,
                                             time_point now) {
    if (!port.lacp_enabled || !port.port_enabled || periodic == periodic_state::no_periodic) {
        port.ntt = false; // 6.4.16: nothing is sent, and nothing is kept
        return std::nullopt;
    }
    if (!port.ntt || limited(now)) {
        return std::nullopt; // 6.4.16: delayed until the restriction is no longer in force
    }
    port.ntt = false; // 6.4.16: transmitted
    sent(now);
    return describe(port);
}

void transmit_machine::sent(time_point now) {
    sent_[next_] = now;
    next_ = (next_ + 1) % sent_.size();
}

time_point transmit_machine::deadline(port_variables const& port) const noexcept {
    return port.ntt ? free_at() : never;
}

time_point transmit_machine::free_at() const noexcept {
    auto const oldest = sent_[next_];
    return oldest == never ? time_point::min() : oldest + fast_periodic_time;
}

lacpdu describe(port_variables const& port) {
    return {.version = 1, .actor = port.actor, .partner = port.partner, .collector_max_delay = 0};
}

} // namespace lagg::lacp
