// The public C API: checks its arguments, translates, and hands over.  Decides nothing.
#include "rte_pmd_lagg.h"

#include "lagg_api.h"
#include "lagg_device.h"
#include "lagg_errno.h"
#include "lagg_queue.h"

#include <rte_bus_vdev.h>
#include <rte_eal.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <new>

using namespace lagg::pmd;

namespace {

template<class F>
int edit_config(std::uint16_t port, F&& edit) noexcept {
    return with_device(port, [&](device& d) { return d.change_config(edit); });
}

} // namespace

int rte_pmd_lagg_create(char const* name, char const* args) {
    if (rte_eal_process_type() != RTE_PROC_PRIMARY) {
        return -ENOTSUP;
    }
    if (!is_name(name) || std::strncmp(name, "net_lagg", 8) != 0) {
        return -EINVAL;
    }
    if (!lagg::pmd::may_wait()) {
        return -EDEADLK;
    }
    if (int const rc = rte_vdev_init(name, args == nullptr ? "" : args); rc != 0) {
        return rc;
    }
    std::uint16_t port = 0;
    int const rc = rte_eth_dev_get_port_by_name(name, &port);
    return rc != 0 ? rc : port;
}

int rte_pmd_lagg_destroy(std::uint16_t lagg) {
    return with_device(lagg, [&](device& d) {
        if (!lagg::pmd::may_wait()) {
            return -EDEADLK;
        }
        std::string const name = d.name();
        if (d.eth()->data->dev_started != 0) {
            // Before ethdev takes the burst functions away: what is refused here changes nothing.
            if (int const rc = d.quiesce(); rc != 0) {
                return rc;
            }
            if (int const rc = rte_eth_dev_stop(lagg); rc != 0) {
                return rc;
            }
        }
        return rte_vdev_uninit(name.c_str());
    });
}

int rte_pmd_lagg_member_add(std::uint16_t lagg, std::uint16_t member, unsigned timeout_ms) {
    return with_device(lagg, [&](device& d) { return d.add_member(member, timeout_ms); });
}

int rte_pmd_lagg_member_remove(std::uint16_t lagg, std::uint16_t member, unsigned timeout_ms) {
    return with_device(lagg, [&](device& d) { return d.remove_member(member, timeout_ms); });
}

int rte_pmd_lagg_policy_set(std::uint16_t lagg, rte_pmd_lagg_policy policy) {
    if (wild(policy) > RTE_PMD_LAGG_POLICY_BROADCAST) {
        return -EINVAL;
    }
    return edit_config(lagg, [&](auto& c) { c.policy = static_cast<lagg::policy>(policy); });
}

int rte_pmd_lagg_hash_set(std::uint16_t lagg, std::uint32_t fields) {
    constexpr std::uint32_t known =
        RTE_PMD_LAGG_HASH_L2 | RTE_PMD_LAGG_HASH_L3 | RTE_PMD_LAGG_HASH_L4;
    if (fields == 0 || (fields & ~known) != 0) {
        return -EINVAL;
    }
    return edit_config(lagg, [&](auto& c) {
        c.hash.l2 = (fields & RTE_PMD_LAGG_HASH_L2) != 0;
        c.hash.l3 = (fields & RTE_PMD_LAGG_HASH_L3) != 0;
        c.hash.l4 = (fields & RTE_PMD_LAGG_HASH_L4) != 0;
    });
}

int rte_pmd_lagg_symmetric_set(std::uint16_t lagg, bool symmetric) {
    return edit_config(lagg, [&](auto& c) { c.hash.symmetric = symmetric; });
}

int rte_pmd_lagg_seed_set(std::uint16_t lagg, std::uint32_t seed) {
    return edit_config(lagg, [&](auto& c) { c.hash.seed = seed; });
}

int rte_pmd_lagg_flowid_set(std::uint16_t lagg, bool use) {
    return edit_config(lagg, [&](auto& c) { c.hash.use_flowid = use; });
}

int rte_pmd_lagg_stride_set(std::uint16_t lagg, std::uint32_t stride) {
    return edit_config(lagg, [&](auto& c) { c.stride = stride; });
}

int rte_pmd_lagg_primary_set(std::uint16_t lagg, char const* name) {
    if (name != nullptr && *name != 0 && !is_name(name)) {
        return -EINVAL;
    }
    return edit_config(lagg, [&](auto& c) {
        c.primary = name == nullptr ? "" : lagg::pmd::canonical_port_name(name);
    });
}

int rte_pmd_lagg_failback_set(std::uint16_t lagg, rte_pmd_lagg_failback mode,
                              std::uint32_t hold_ms) {
    if (wild(mode) > RTE_PMD_LAGG_FAILBACK_NEVER) {
        return -EINVAL;
    }
    return edit_config(lagg, [&](auto& c) {
        c.failback = static_cast<lagg::failback>(mode);
        c.failback_hold = std::chrono::milliseconds(hold_ms);
    });
}

int rte_pmd_lagg_rx_all_set(std::uint16_t lagg, bool rx_all) {
    return edit_config(lagg, [&](auto& c) { c.rx_all = rx_all; });
}

int rte_pmd_lagg_min_links_set(std::uint16_t lagg, std::uint32_t min_links) {
    return edit_config(lagg, [&](auto& c) { c.min_links = min_links; });
}

int rte_pmd_lagg_delays_set(std::uint16_t lagg, std::uint32_t up_ms, std::uint32_t down_ms) {
    return edit_config(lagg, [&](auto& c) {
        c.up_delay = std::chrono::milliseconds(up_ms);
        c.down_delay = std::chrono::milliseconds(down_ms);
    });
}

int rte_pmd_lagg_weight_set(std::uint16_t lagg, char const* name, std::uint32_t weight) {
    if (!is_name(name)) {
        return -EINVAL;
    }
    return edit_config(lagg, [&](auto& c) {
        auto const member = lagg::pmd::canonical_port_name(name);
        std::erase_if(c.weights, [&](auto const& w) { return w.member == member; });
        if (weight != 0) {
            c.weights.push_back({member, weight});
        }
    });
}

int rte_pmd_lagg_admin_set(std::uint16_t lagg, bool up) {
    return with_device(lagg, [&](device& d) { return d.set_admin(up); });
}

int rte_pmd_lagg_barrier(std::uint16_t lagg, unsigned timeout_ms) {
    return with_device(lagg, [&](device& d) { return d.barrier(timeout_ms); });
}

int rte_pmd_lagg_status_get(std::uint16_t lagg, rte_pmd_lagg_status* status) {
    return with_published(lagg, [&](auto const& state) {
        if (status == nullptr) {
            return -EINVAL;
        }
        *status = state.status;
        return 0;
    });
}

std::uint16_t rte_pmd_lagg_flow_member(std::uint16_t lagg, rte_mbuf const* frame,
                                       std::uint64_t* version) {
    std::uint16_t member = RTE_PMD_LAGG_NO_MEMBER;
    with_published(lagg, [&](auto const& state) {
        member = lagg::pmd::flow_member(state.snapshot, *frame);
        if (version != nullptr) {
            *version = state.snapshot.version;
        }
        return 0;
    });
    return member;
}

int rte_pmd_lagg_tx_on(std::uint16_t lagg, std::uint16_t queue, std::uint16_t member,
                       std::uint64_t version, rte_mbuf** pkts, std::uint16_t nb_pkts) {
    return with_device(lagg, [&](device& d) {
        rte_eth_dev_data const& data = *d.eth()->data;
        if (queue >= data.nb_tx_queues || data.tx_queues[queue] == nullptr) {
            return -EINVAL;
        }
        auto& q = *static_cast<lagg::pmd::tx_queue*>(data.tx_queues[queue]);
        int const n = lagg::pmd::tx_on(q, member, version, pkts, nb_pkts);
        return n < 0 ? -ESTALE : n;
    });
}

int rte_pmd_lagg_event_callback_set(std::uint16_t lagg, rte_pmd_lagg_event_cb callback, void* arg) {
    return with_device(lagg, [&](device& d) { return d.set_callback(callback, arg); });
}
