// rte_flow on a lagg port: each rule on every running member, or on none.  The rules are kept, so
// that members that join later get them.
#pragma once

#include "lagg_member_port.h"
#include "lagg_settings.h"

#include <rte_flow.h>
#include <rte_flow_driver.h>

namespace lagg::pmd {

extern rte_flow_ops const lagg_flow_ops;

// Worker, through lagg_follow: see there.
void replay_flows(member_port& m, port_settings const& s);
void retract_flows(member_port& m, port_settings const& s, bool vanished);

} // namespace lagg::pmd
