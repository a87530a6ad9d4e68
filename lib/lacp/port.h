// One Aggregation Port: its machines, run to their common fixed point, and what feeds them:
// settings, link, frames that were decoded.  Knows no other port.
#pragma once

#include "base/bounded_vector.h"
#include "lacp/churn_machine.h"
#include "lacp/damping.h"
#include "lacp/lacpdu.h"
#include "lacp/marker.h"
#include "lacp/mux_machine.h"
#include "lacp/parameters.h"
#include "lacp/periodic_machine.h"
#include "lacp/port_variables.h"
#include "lacp/rate_limit.h"
#include "lacp/receive_machine.h"
#include "lacp/selection.h"
#include "lacp/system.h"
#include "lacp/transmit_machine.h"

#include <cstddef>
#include <cstdint>
#include <optional>

namespace lagg::lacp {

class port {
public:
    /// `earlier`: what was sent under this index by a port before, so that the limit outlives it.
    port(port_index index, system_settings const& system, port_settings const& s,
         transmit_machine const& earlier);

    void set(system_settings const& before, system_settings const& after, time_point now);
    void set(system_settings const& system, port_settings const& s);
    void set_link(system_settings const& system, bool up, bool full_duplex,
                  std::uint32_t speed_mbps, time_point now);
    void drain(bool on) noexcept { variables_.drain = on; }
    /// Its partner showed up behind another port.
    void partner_seen_elsewhere(lacpdu const& pdu);

    /// A frame came in; false: there were too many.
    bool admit(time_point now);
    /// Returns whether the PDU was taken.
    bool receive(lacpdu const& pdu, time_point now);
    /// A response came in; true, once, when it answers a request of ours.
    bool receive_response(marker_pdu const& pdu);
    port_counters& counters() noexcept { return variables_.counters; }

    /// Lets every machine follow one arrow; false when none had one to follow.
    bool step(system_settings const& system, time_point now);
    contender contends();

    /// The LACPDU to be sent now, if any; to be asked when nothing can step any more.
    std::optional<lacpdu> transmit(time_point now);
    /// The last LACPDU of a port that goes away, for a partner to hear it at once.
    std::optional<lacpdu> last_words(time_point now);
    /// The Marker request with this transaction; nullopt: nothing can be sent.
    std::optional<marker_pdu> request_marker(std::uint32_t transaction);

    bool collecting() const noexcept { return variables_.actor.has(state::collecting); }
    bool distributing() const noexcept { return variables_.actor.has(state::distributing); }
    net::mac_address const& source() const noexcept { return settings_.source; }
    bool enabled() const noexcept { return variables_.port_enabled; }
    transmit_machine const& sent() const noexcept { return transmit_; }
    time_point deadline() const noexcept;
    port_report report(system_settings const& system, time_point now) const;

private:
    /// Brings actor and rules in line with the settings and the link.
    void adopt(system_settings const& system);
    bool step_receive(system_settings const& system, time_point now);
    void count_loss(system_settings const& system, time_point now);

    static constexpr std::size_t most_markers = 64;

    port_index index_;
    port_settings settings_;
    port_variables variables_;
    receive_machine receive_;
    periodic_machine periodic_;
    mux_machine mux_;
    churn_machine actor_churn_;
    churn_machine partner_churn_;
    transmit_machine transmit_;
    damping damping_;
    rate_limit rate_limit_;
    bounded_vector<std::uint32_t, most_markers> markers_; // sent, not yet answered

    bool full_duplex_ = true;
    std::uint32_t speed_mbps_ = 0;
    bool heard_ = false;        // a LACPDU since the link came up
    bool loss_counted_ = false; // since the link came up or a LACPDU came in
    std::uint8_t told_ = 0;     // state in the LACPDU that was sent last
    time_point defaulted_since_ = never;
    time_point last_rx_ = never;
    time_point last_change_{0};
};

} // namespace lagg::lacp
