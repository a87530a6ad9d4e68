// /lagg/list and /lagg/info,<port> for dpdk-telemetry.py.  Reads published state only: a change in
// progress delays no answer, and an answer no change.
#include "lagg_device.h"
#include "lagg_ops.h"

#include <rte_telemetry.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <memory>
#include <mutex>
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

int info(char const*, char const* params, rte_tel_data* d) {
    return guarded([params, d] {
        std::string_view const text = params == nullptr ? "" : params;
        std::uint16_t port = 0;
        auto const [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
        if (error != std::errc{} || end != text.data() + text.size()) {
            return -EINVAL;
        }
        auto const state = device::published_of(port);
        if (state == nullptr) {
            return -ENODEV;
        }
        rte_tel_data_start_dict(d);
        fill(d, *state);
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
    });
}

} // namespace lagg::pmd
