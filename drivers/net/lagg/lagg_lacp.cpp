// Field by field; every string is one of lacp's constants.
#include "lagg_lacp.h"

#include <algorithm>
#include <chrono>

namespace lagg::pmd {

namespace {

rte_pmd_lagg_lacp_end to_end(lacp::parameters const& p) {
    rte_pmd_lagg_lacp_end end{};
    end.system_mac = to_ether(p.system.address);
    end.system_priority = p.system.priority;
    end.key = p.key;
    end.port_priority = p.port.priority;
    end.port_number = p.port.number;
    end.state = p.state;
    return end;
}

rte_pmd_lagg_lacp_counters to_counters(lacp::port_counters const& c) {
    rte_pmd_lagg_lacp_counters out{};
    out.lacpdus_rx = c.lacpdus_rx;
    out.marker_pdus_rx = c.marker_pdus_rx;
    out.marker_response_pdus_rx = c.marker_response_pdus_rx;
    out.unknown_rx = c.unknown_rx;
    out.illegal_rx = c.illegal_rx;
    out.lacpdus_tx = c.lacpdus_tx;
    out.marker_pdus_tx = c.marker_pdus_tx;
    out.marker_response_pdus_tx = c.marker_response_pdus_tx;
    out.actor_churn_count = c.actor_churn_count;
    out.partner_churn_count = c.partner_churn_count;
    out.actor_sync_transitions = c.actor_sync_transitions;
    out.partner_sync_transitions = c.partner_sync_transitions;
    out.actor_changes = c.actor_changes;
    out.partner_changes = c.partner_changes;
    out.flaps = c.flaps;
    out.rate_limited_rx = c.rate_limited_rx;
    return out;
}

} // namespace

net::mac_address from_ether(rte_ether_addr const& address) {
    net::mac_address mac;
    std::copy_n(address.addr_bytes, mac.bytes.size(), mac.bytes.begin());
    return mac;
}

rte_ether_addr to_ether(net::mac_address const& address) {
    rte_ether_addr mac{};
    std::copy(address.bytes.begin(), address.bytes.end(), mac.addr_bytes);
    return mac;
}

std::uint64_t milliseconds_of(lacp::time_point at) {
    using std::chrono::duration_cast;
    return at == lacp::never
               ? 0
               : static_cast<std::uint64_t>(duration_cast<std::chrono::milliseconds>(at).count());
}

rte_pmd_lagg_lacp_info to_info(lacp::port_report const& r) {
    rte_pmd_lagg_lacp_info info{};
    info.actor = to_end(r.actor);
    info.partner = to_end(r.partner);
    info.receive = lacp::to_string(r.receive).data();
    info.periodic = lacp::to_string(r.periodic).data();
    info.mux = lacp::to_string(r.mux).data();
    info.actor_churn = lacp::to_string(r.actor_churn).data();
    info.partner_churn = lacp::to_string(r.partner_churn).data();
    info.selection = lacp::to_string(r.selection).data();
    info.aggregator = r.aggregator;
    info.in_use = r.in_use;
    info.individual = r.individual;
    info.fallback = r.fallback;
    info.looped = r.looped;
    info.suppressed = r.suppressed;
    info.draining = r.draining;
    info.penalty = r.penalty;
    info.last_change_ms = milliseconds_of(r.last_change);
    info.last_rx_ms = milliseconds_of(r.last_rx);
    info.counters = to_counters(r.counters);
    return info;
}

} // namespace lagg::pmd
