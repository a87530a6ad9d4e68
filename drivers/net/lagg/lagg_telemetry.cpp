// /lagg/list, /lagg/info,<port> and /lagg/lacp,<port> for dpdk-telemetry.py.  Reads published state
// only: a change in progress delays no answer, and an answer no change.
#include "lagg_device.h"
#include "lagg_lacp.h"
#include "lagg_ops.h"

#include <rte_telemetry.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

namespace lagg::pmd {

namespace {

struct free_data {
    void operator()(rte_tel_data* d) const noexcept { rte_tel_data_free(d); }
};
using owned_data = std::unique_ptr<rte_tel_data, free_data>;

void add(rte_tel_data* d, char const* name, std::uint64_t value) {
#if RTE_VERSION >= RTE_VERSION_NUM(23, 3, 0, 0)
    rte_tel_data_add_dict_uint(d, name, value);
#else
    rte_tel_data_add_dict_u64(d, name, value);
#endif
}

void add(rte_tel_data* d, char const* name, std::string_view value) {
    rte_tel_data_add_dict_string(d, name, std::string(value).c_str());
}

/// `inner` becomes the container's, which frees it when it was printed.
void add(rte_tel_data* d, char const* name, owned_data inner) {
    if (rte_tel_data_add_dict_container(d, name, inner.get(), 0) == 0) {
        static_cast<void>(inner.release());
    }
}

owned_data new_dict() {
    owned_data d(rte_tel_data_alloc());
    if (d != nullptr && rte_tel_data_start_dict(d.get()) != 0) {
        d.reset();
    }
    return d;
}

std::string hash_text(std::uint32_t fields) {
    net::hash_fields f;
    f.l2 = (fields & RTE_PMD_LAGG_HASH_L2) != 0;
    f.l3 = (fields & RTE_PMD_LAGG_HASH_L3) != 0;
    f.l4 = (fields & RTE_PMD_LAGG_HASH_L4) != 0;
    return net::to_string(f);
}

owned_data member_dict(rte_pmd_lagg_member_status const& m) {
    auto d = new_dict();
    if (d != nullptr) {
        add(d.get(), "name", m.name);
        add(d.get(), "port", m.port);
        add(d.get(), "phase", m.phase);
        add(d.get(), "link_up", m.link_up ? 1U : 0U);
        add(d.get(), "usable", m.usable ? 1U : 0U);
        add(d.get(), "collecting", m.collecting ? 1U : 0U);
        add(d.get(), "distributing", m.distributing ? 1U : 0U);
        add(d.get(), "primary", m.primary ? 1U : 0U);
        add(d.get(), "promiscuous_for_us", m.promiscuous_for_us ? 1U : 0U);
        add(d.get(), "speed_mbps", m.speed_mbps);
        add(d.get(), "weight", m.weight);
        add(d.get(), "buckets", m.buckets);
    }
    return d;
}

owned_data awaited_list(rte_pmd_lagg_status const& s) {
    owned_data d(rte_tel_data_alloc());
    if (d == nullptr || rte_tel_data_start_array(d.get(), RTE_TEL_STRING_VAL) != 0) {
        return nullptr;
    }
    for (std::size_t i = 0; i < s.nb_awaited; ++i) {
        rte_tel_data_add_array_string(d.get(), s.awaited[i]);
    }
    return d;
}

void fill(rte_tel_data* d, published_state const& state) {
    auto const& s = state.status;
    add(d, "version", s.version);
    add(d, "policy", to_string(static_cast<lagg::policy>(s.policy)));
    add(d, "spread", to_string(state.snapshot.how));
    add(d, "run", to_string(state.snapshot.run));
    add(d, "started", s.started ? 1U : 0U);
    add(d, "admin_up", s.admin_up ? 1U : 0U);
    add(d, "link_up", s.link_up ? 1U : 0U);
    add(d, "link_speed_mbps", s.link_speed_mbps);
    add(d, "hash", hash_text(s.hash_fields));
    add(d, "symmetric", s.symmetric ? 1U : 0U);
    add(d, "flowid", s.flowid ? 1U : 0U);
    add(d, "seed", s.seed);
    add(d, "stride", s.stride);
    add(d, "primary", s.primary);
    add(d, "failback", to_string(static_cast<lagg::failback>(s.failback)));
    add(d, "failback_hold_ms", s.failback_hold_ms);
    add(d, "rx_all", s.rx_all ? 1U : 0U);
    add(d, "min_links", s.min_links);
    add(d, "up_delay_ms", s.up_delay_ms);
    add(d, "down_delay_ms", s.down_delay_ms);
    add(d, "live_snapshots", s.live_snapshots);
    add(d, "pins", s.pins);
    add(d, "fence", s.fence == nullptr ? "" : s.fence);
    add(d, "nb_members", s.nb_members);
    for (std::size_t i = 0; i < s.nb_members; ++i) {
        if (auto inner = member_dict(s.members[i]); inner != nullptr) {
            add(d, ("member_" + std::to_string(i)).c_str(), std::move(inner));
        }
    }
    if (s.nb_awaited > 0) {
        if (auto inner = awaited_list(s); inner != nullptr) {
            add(d, "awaited", std::move(inner));
        }
    }
}

struct state_bit {
    std::uint8_t bit;
    char const* name;
};

constexpr std::array state_bits{state_bit{lacp::state::activity, "activity"},
                                state_bit{lacp::state::short_timeout, "timeout"},
                                state_bit{lacp::state::aggregation, "aggregation"},
                                state_bit{lacp::state::synchronization, "synchronization"},
                                state_bit{lacp::state::collecting, "collecting"},
                                state_bit{lacp::state::distributing, "distributing"},
                                state_bit{lacp::state::defaulted, "defaulted"},
                                state_bit{lacp::state::expired, "expired"}};

/// The names of the bits that are set, in the order of the standard, between blanks.
std::string state_text(std::uint8_t state) {
    std::string text;
    for (auto const& b : state_bits) {
        if ((state & b.bit) != 0) {
            text.append(text.empty() ? "" : " ").append(b.name);
        }
    }
    return text;
}

void add_end(rte_tel_data* d, std::string const& whose, lacp::parameters const& p) {
    add(d, (whose + "_system").c_str(), net::to_string(p.system.address));
    add(d, (whose + "_system_priority").c_str(), p.system.priority);
    add(d, (whose + "_key").c_str(), p.key);
    add(d, (whose + "_port").c_str(), p.port.number);
    add(d, (whose + "_port_priority").c_str(), p.port.priority);
    add(d, (whose + "_state").c_str(), state_text(p.state));
}

/// By the names of the standard's managed objects (7.3.3, 7.3.4) without aAggPortStats and
/// aAggPortDebug; the last two are ours.
void add_counters(rte_tel_data* d, lacp::port_counters const& c) {
    add(d, "LACPDUsRx", c.lacpdus_rx);
    add(d, "MarkerPDUsRx", c.marker_pdus_rx);
    add(d, "MarkerResponsePDUsRx", c.marker_response_pdus_rx);
    add(d, "UnknownRx", c.unknown_rx);
    add(d, "IllegalRx", c.illegal_rx);
    add(d, "LACPDUsTx", c.lacpdus_tx);
    add(d, "MarkerPDUsTx", c.marker_pdus_tx);
    add(d, "MarkerResponsePDUsTx", c.marker_response_pdus_tx);
    add(d, "ActorChurnCount", c.actor_churn_count);
    add(d, "PartnerChurnCount", c.partner_churn_count);
    add(d, "ActorSyncTransitionCount", c.actor_sync_transitions);
    add(d, "PartnerSyncTransitionCount", c.partner_sync_transitions);
    add(d, "ActorChangeCount", c.actor_changes);
    add(d, "PartnerChangeCount", c.partner_changes);
    add(d, "flaps", c.flaps);
    add(d, "rate_limited_rx", c.rate_limited_rx);
}

owned_data lacp_dict(published_state::lacp_port const& p, char const* name) {
    auto d = new_dict();
    if (d == nullptr) {
        return d;
    }
    auto const& r = p.report;
    add(d.get(), "name", name);
    add(d.get(), "port", p.port);
    add_end(d.get(), "actor", r.actor);
    add_end(d.get(), "partner", r.partner);
    add(d.get(), "receive", to_string(r.receive));
    add(d.get(), "periodic", to_string(r.periodic));
    add(d.get(), "mux", to_string(r.mux));
    add(d.get(), "actor_churn", to_string(r.actor_churn));
    add(d.get(), "partner_churn", to_string(r.partner_churn));
    add(d.get(), "selection", to_string(r.selection));
    add(d.get(), "aggregator", r.aggregator);
    add(d.get(), "in_use", r.in_use ? 1U : 0U);
    add(d.get(), "individual", r.individual ? 1U : 0U);
    add(d.get(), "fallback", r.fallback ? 1U : 0U);
    add(d.get(), "looped", r.looped ? 1U : 0U);
    add(d.get(), "suppressed", r.suppressed ? 1U : 0U);
    add(d.get(), "draining", r.draining ? 1U : 0U);
    add(d.get(), "penalty", r.penalty);
    add(d.get(), "last_change_ms", milliseconds_of(r.last_change));
    add(d.get(), "last_rx_ms", milliseconds_of(r.last_rx));
    add_counters(d.get(), r.counters);
    return d;
}

/// `wanted`: that member only.
void fill_lacp(rte_tel_data* d, published_state const& state, std::optional<std::uint16_t> wanted) {
    auto const& s = state.status;
    add(d, "policy", to_string(static_cast<lagg::policy>(s.policy)));
    add(d, "nb_ports", state.lacp_ports.size());
    for (std::size_t i = 0; i < s.nb_members; ++i) {
        auto const& m = s.members[i];
        for (auto const& p : state.lacp_ports) {
            if (p.port != m.port || (wanted && *wanted != p.port)) {
                continue;
            }
            if (auto inner = lacp_dict(p, m.name); inner != nullptr) {
                add(d, ("member_" + std::to_string(i)).c_str(), std::move(inner));
            }
        }
    }
}

/// A callback's exceptions end here: telemetry is C.
template<class F>
int guarded(F&& f) noexcept {
    try {
        return f();
    } catch (std::bad_alloc const&) {
        return -ENOMEM;
    }
}

int list(char const*, char const*, rte_tel_data* d) {
    return guarded([d] {
        rte_tel_data_start_array(d, RTE_TEL_INT_VAL);
        for (std::uint16_t port = 0; port < RTE_MAX_ETHPORTS; ++port) {
            if (device::published_of(port) != nullptr) {
                rte_tel_data_add_array_int(d, port);
            }
        }
        return 0;
    });
}

/// The number at the beginning of `text`, which is cut off; nullopt: there is none.
std::optional<std::uint16_t> take_port(std::string_view& text) {
    std::uint16_t port = 0;
    auto const [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
    if (error != std::errc{}) {
        return std::nullopt;
    }
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
    return port;
}

int info(char const*, char const* params, rte_tel_data* d) {
    return guarded([params, d] {
        std::string_view text = params == nullptr ? "" : params;
        auto const port = take_port(text);
        if (!port || !text.empty()) {
            return -EINVAL;
        }
        auto const state = device::published_of(*port);
        if (state == nullptr) {
            return -ENODEV;
        }
        rte_tel_data_start_dict(d);
        fill(d, *state);
        return 0;
    });
}

int lacp_info(char const*, char const* params, rte_tel_data* d) {
    return guarded([params, d] {
        std::string_view text = params == nullptr ? "" : params;
        auto const port = take_port(text);
        std::optional<std::uint16_t> member;
        if (port && text.starts_with(',')) {
            text.remove_prefix(1);
            member = take_port(text);
            if (!member) {
                return -EINVAL;
            }
        }
        if (!port || !text.empty()) {
            return -EINVAL;
        }
        auto const state = device::published_of(*port);
        if (state == nullptr) {
            return -ENODEV;
        }
        rte_tel_data_start_dict(d);
        fill_lacp(d, *state, member);
        return 0;
    });
}

} // namespace

void register_telemetry() {
    static std::once_flag once;
    std::call_once(once, [] {
        rte_telemetry_register_cmd("/lagg/list", list,
                                   "Ports of lagg devices. Takes no parameters");
        rte_telemetry_register_cmd("/lagg/info", info,
                                   "State of a lagg port and its members. Parameters: int port_id");
        rte_telemetry_register_cmd("/lagg/lacp", lacp_info,
                                   "LACP of a lagg port, all members or one. Parameters: int "
                                   "port_id, int member_port_id (optional)");
    });
}

} // namespace lagg::pmd
