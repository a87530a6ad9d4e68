// Transmit machine of one Aggregation Port (IEEE 802.1AX-2014 6.4.16): when a LACPDU may go out.
// What it says is what holds at that moment; nothing is queued.
#pragma once

#include "lacp/lacpdu.h"
#include "lacp/parameters.h"
#include "lacp/port_variables.h"
#include "lacp/system.h"
#include "lacp/timers.h"

#include <array>
#include <optional>

namespace lagg::lacp {

class transmit_machine {
public:
    /// The LACPDU to be sent at `now`, if any.  Takes NTT back when it is sent, or when nobody is
    /// to be sent to; keeps it while the limit is in force.
    std::optional<lacpdu> step(port_variables& port, periodic_state periodic, time_point now);
    /// One more LACPDU, beyond every limit, counts as sent: a port's last words.
    void sent(time_point now);

    /// Whether the limit is in force at `now`.
    bool limited(time_point now) const noexcept { return now < free_at(); }
    /// When a port that needs to transmit may.
    time_point deadline(port_variables const& port) const noexcept;

private:
    time_point free_at() const noexcept;

    // The last most_lacpdus_per_period times, oldest at next_; never: not yet sent so many.
    std::array<time_point, most_lacpdus_per_period> sent_{never, never, never};
    std::size_t next_ = 0;
};

/// The LACPDU that tells what the port is and knows now.
lacpdu describe(port_variables const& port);

} // namespace lagg::lacp
