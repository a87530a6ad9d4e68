// The public C API of policy lacp: checks its arguments, translates, and hands over.
#include "rte_pmd_lagg_lacp.h"

#include "lagg_api.h"
#include "lagg_args.h"
#include "lagg_device.h"
#include "lagg_lacp.h"

#include <algorithm>
#include <cerrno>
#include <chrono>

namespace {

using namespace lagg::pmd;
using std::chrono::milliseconds;

/// What enums alone can get wrong; control looks at the ranges, and says what is allowed.
bool known(rte_pmd_lagg_lacp_conf const& c) {
    return wild(c.select) <= RTE_PMD_LAGG_LACP_SELECT_COUNT &&
           wild(c.mux) <= RTE_PMD_LAGG_LACP_MUX_COUPLED &&
           wild(c.fallback) <= RTE_PMD_LAGG_LACP_FALLBACK_INDIVIDUAL;
}

void put(lagg::lacp_config& to, rte_pmd_lagg_lacp_conf const& c) {
    auto& s = to.system;
    s.system = {c.system_priority, from_ether(c.system_mac)};
    s.key = c.key;
    s.active = c.active;
    s.rate = c.fast ? lagg::lacp::lacp_rate::fast : lagg::lacp::lacp_rate::slow;
    s.select = static_cast<lagg::lacp::selection_rule>(c.select);
    s.mux = static_cast<lagg::lacp::mux_control>(c.mux);
    s.fallback = static_cast<lagg::lacp::fallback>(c.fallback);
    s.max_links = c.max_links;
    s.wait_while = milliseconds(c.wait_while_ms);
    s.fallback_delay = milliseconds(c.fallback_delay_ms);
    s.drain_wait = milliseconds(c.drain_wait_ms);
    s.damping = {milliseconds(c.damping_half_life_ms), c.damping_suppress_at, c.damping_reuse_at};
    to.first_port_number = c.first_port_number;
    to.reorder_guard = c.reorder_guard;
    to.reorder_wait = milliseconds(c.reorder_wait_ms);
}

std::uint32_t count_of(milliseconds t) {
    return static_cast<std::uint32_t>(t.count());
}

void get(lagg::lacp_config const& from, rte_pmd_lagg_lacp_conf& c) {
    auto const& s = from.system;
    c = {};
    c.system_mac = to_ether(s.system.address);
    c.system_priority = s.system.priority;
    c.key = s.key;
    c.first_port_number = from.first_port_number;
    c.active = s.active;
    c.fast = s.rate == lagg::lacp::lacp_rate::fast;
    c.select = static_cast<rte_pmd_lagg_lacp_select>(s.select);
    c.mux = static_cast<rte_pmd_lagg_lacp_mux>(s.mux);
    c.fallback = static_cast<rte_pmd_lagg_lacp_fallback>(s.fallback);
    c.max_links = s.max_links;
    c.wait_while_ms = count_of(s.wait_while);
    c.fallback_delay_ms = count_of(s.fallback_delay);
    c.drain_wait_ms = count_of(s.drain_wait);
    c.reorder_wait_ms = count_of(from.reorder_wait);
    c.damping_half_life_ms = count_of(s.damping.half_life);
    c.damping_suppress_at = s.damping.suppress_at;
    c.damping_reuse_at = s.damping.reuse_at;
    c.reorder_guard = from.reorder_guard;
}

} // namespace

int rte_pmd_lagg_lacp_get(std::uint16_t lagg, rte_pmd_lagg_lacp_conf* conf) {
    return with_published(lagg, [&](auto const& state) {
        if (conf == nullptr) {
            return -EINVAL;
        }
        get(state.lacp, *conf);
        return 0;
    });
}

int rte_pmd_lagg_lacp_set(std::uint16_t lagg, rte_pmd_lagg_lacp_conf const* conf) {
    return with_device(lagg, [&](device& d) {
        if (conf == nullptr || !known(*conf)) {
            return -EINVAL;
        }
        return d.change_config([&](auto& c) { put(c.lacp, *conf); });
    });
}

int rte_pmd_lagg_lacp_member_get(std::uint16_t lagg, char const* name,
                                 rte_pmd_lagg_lacp_member_conf* conf) {
    return with_published(lagg, [&](auto const& state) {
        if (!is_name(name) || conf == nullptr) {
            return -EINVAL;
        }
        *conf = {};
        auto const wanted = canonical_port_name(name);
        for (auto const& m : state.lacp.members) {
            if (m.member == wanted) {
                conf->priority = m.priority.value_or(0);
                conf->number = m.number.value_or(0);
                conf->key = m.key.value_or(0);
                conf->individual = !m.aggregation;
            }
        }
        return 0;
    });
}

int rte_pmd_lagg_lacp_member_set(std::uint16_t lagg, char const* name,
                                 rte_pmd_lagg_lacp_member_conf const* conf) {
    return with_device(lagg, [&](device& d) {
        if (!is_name(name) || conf == nullptr) {
            return -EINVAL;
        }
        lagg::lacp_member_setting next;
        next.member = canonical_port_name(name);
        auto const take = [](std::uint16_t value) {
            return value == 0 ? std::nullopt : std::optional(value);
        };
        next.priority = take(conf->priority);
        next.number = take(conf->number);
        next.key = take(conf->key);
        next.aggregation = !conf->individual;
        return d.change_config([&](auto& c) {
            std::erase_if(c.lacp.members, [&](auto const& m) { return m.member == next.member; });
            lagg::lacp_member_setting plain;
            plain.member = next.member;
            if (!(next == plain)) {
                c.lacp.members.push_back(next);
            }
        });
    });
}

int rte_pmd_lagg_lacp_info_get(std::uint16_t lagg, std::uint16_t member,
                               rte_pmd_lagg_lacp_info* info) {
    return with_published(lagg, [&](auto const& state) {
        if (info == nullptr) {
            return -EINVAL;
        }
        for (auto const& known : state.lacp_ports) {
            if (known.port == member) {
                *info = to_info(known.report);
                return 0;
            }
        }
        return -ENOENT;
    });
}

int rte_pmd_lagg_member_drain(std::uint16_t lagg, std::uint16_t member, unsigned timeout_ms) {
    return with_device(lagg, [&](device& d) { return d.remove_member(member, timeout_ms, true); });
}
