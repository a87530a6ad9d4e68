// policy x members -> who collects, who distributes.  Decides nothing about how a burst is spread.
#pragma once

#include "lagg/control/config.h"
#include "lagg/control/member.h"

#include <bitset>
#include <span>

namespace lagg {

struct eligible {
    std::bitset<max_members> collecting; // by member_id
    std::bitset<max_members> distributing;
};

/// `members`: any phase; only present and usable ones qualify.
/// `current`: the failover member in use, or no_member; kept unless config says to go back to the
/// primary.  `now` decides whether the primary has held long enough.
/// `negotiated`: what LACP agreed on; the answer under policy lacp, but for members that left.
/// `reconsider_at`: lowered to the time at which the answer may change by itself.
eligible decide(config const& c, std::span<member const> members, member_id current,
                eligible const& negotiated, time_point now, time_point& reconsider_at);

} // namespace lagg
