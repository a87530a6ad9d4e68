// LACP's values as the public API has them.  Knows no thread and no port.
#pragma once

#include "lacp/system.h"
#include "rte_pmd_lagg_lacp.h"

#include <rte_ether.h>

#include <cstdint>

namespace lagg::pmd {

net::mac_address from_ether(rte_ether_addr const& address);
rte_ether_addr to_ether(net::mac_address const& address);
/// As `last_change_ms` and `last_rx_ms` have it; never: 0.
std::uint64_t milliseconds_of(lacp::time_point at);
rte_pmd_lagg_lacp_info to_info(lacp::port_report const& report);

} // namespace lagg::pmd
