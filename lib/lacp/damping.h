// Flap damping of one port: a penalty that losses add to and time takes from, and whether the port
// is left out for it.  Integers only, so that every machine and compiler finds the same times.
#pragma once

#include "lacp/parameters.h"
#include "lacp/system.h"

#include <cstdint>

namespace lagg::lacp {

class damping {
public:
    /// A loss.  Without a half life it costs nothing.
    void flap(damping_settings const& s, time_point now);
    /// The settings were changed from `before`: what was gathered under them stays, as of now.
    void change(damping_settings const& before, damping_settings const& after, time_point now);
    /// The port is used again when its time has come.  Returns whether it is left out.
    bool suppressed(time_point now);

    std::uint32_t penalty(damping_settings const& s, time_point now) const;
    /// When a port that is left out is used again; never: it is not left out.
    time_point deadline() const noexcept { return reuse_at_; }

private:
    void decide(damping_settings const& s, time_point now);

    std::uint64_t scaled_ = 0; // the penalty at since_, in 1/65536
    time_point since_{0};
    time_point reuse_at_ = never;
};

} // namespace lagg::lacp
