// Calls that ask what a lagg port can do and what it did: infos, packet types, statistics, dump.
#include "lagg_call.h"
#include "lagg_infos.h"
#include "lagg_ops_calls.h"
#include "lagg_stats.h"

#include <algorithm>
#include <cerrno>
#include <cinttypes>
#include <cstdio>
#include <iterator>
#include <vector>

namespace lagg::pmd::calls {

namespace {

/// A list that lasts until this thread asks again.
std::uint32_t const* packet_types(rte_eth_dev* dev, std::size_t& count) noexcept {
    thread_local std::vector<std::uint32_t> list;
    int const rc = ask(dev, [](device& d) {
        list = d.infos().get()->packet_types;
        list.push_back(RTE_PTYPE_UNKNOWN); // the end, up to 24.03
        return 0;
    });
    count = rc == 0 ? list.size() - 1 : 0;
    return rc == 0 && count > 0 ? list.data() : nullptr;
}

template<class Stats>
void fill_queue_stats(device& d, Stats& out) {
    auto const rx = d.statistics().rx_queue_packets();
    auto const tx = d.statistics().tx_queue_packets();
    std::copy_n(rx.begin(), std::min(rx.size(), std::size(out.q_ipackets)), out.q_ipackets);
    std::copy_n(tx.begin(), std::min(tx.size(), std::size(out.q_opackets)), out.q_opackets);
}

void fill_stats(device& d, rte_eth_stats& out) {
    auto const t = d.statistics().totals();
    out.ipackets = t.ipackets;
    out.opackets = t.opackets;
    out.ibytes = t.ibytes;
    out.obytes = t.obytes;
    out.imissed = t.imissed;
    out.ierrors = t.ierrors;
    out.oerrors = t.oerrors;
    out.rx_nombuf += t.rx_nombuf;
}

std::vector<statistics::named_value> extended(device& d) {
    statistics::gauges now;
    if (auto const state = d.published(); state != nullptr) {
        now.version = state->snapshot.version;
        now.live_snapshots = state->status.live_snapshots;
        now.pins = state->status.pins;
    }
    now.membarrier = fence().kind() == epoch::fence_kind::membarrier;
    return d.statistics().extended(now);
}

} // namespace

int dev_infos_get(rte_eth_dev* dev, rte_eth_dev_info* out) {
    return ask(dev, [out](device& d) { return infos_get(d, out); });
}

#if RTE_VERSION >= RTE_VERSION_NUM(24, 3, 0, 0)
std::uint32_t const* supported_ptypes_get(rte_eth_dev* dev, std::size_t* count) {
    return packet_types(dev, *count);
}
#else
std::uint32_t const* supported_ptypes_get(rte_eth_dev* dev) {
    std::size_t count = 0;
    return packet_types(dev, count);
}
#endif

#if RTE_VERSION >= RTE_VERSION_NUM(25, 11, 0, 0)
int stats_get(rte_eth_dev* dev, rte_eth_stats* out, eth_queue_stats* by_queue) {
    return ask(dev, [&](device& d) {
        fill_stats(d, *out);
        if (by_queue != nullptr) {
            fill_queue_stats(d, *by_queue);
        }
        return 0;
    });
}
#else
int stats_get(rte_eth_dev* dev, rte_eth_stats* out) {
    return ask(dev, [out](device& d) {
        fill_stats(d, *out);
        fill_queue_stats(d, *out);
        return 0;
    });
}
#endif

int stats_reset(rte_eth_dev* dev) {
    return ask(dev, [](device& d) {
        d.statistics().reset();
        return 0;
    });
}

int xstats_get(rte_eth_dev* dev, rte_eth_xstat* out, unsigned int room) {
    return ask(dev, [&](device& d) {
        auto const all = extended(d);
        if (out != nullptr && room >= all.size()) {
            for (std::size_t i = 0; i < all.size(); ++i) {
                out[i].id = i;
                out[i].value = all[i].second;
            }
        }
        return static_cast<int>(all.size());
    });
}

int xstats_get_names(rte_eth_dev* dev, rte_eth_xstat_name* out, unsigned int room) {
    return ask(dev, [&](device& d) {
        auto const all = extended(d);
        if (out != nullptr && room >= all.size()) {
            for (std::size_t i = 0; i < all.size(); ++i) {
                std::snprintf(out[i].name, sizeof out[i].name, "%s", all[i].first.c_str());
            }
        }
        return static_cast<int>(all.size());
    });
}

int priv_dump(rte_eth_dev* dev, FILE* file) {
    return ask(dev, [file](device& d) {
        auto const state = d.published();
        if (state == nullptr) {
            return -EAGAIN;
        }
        auto const& s = state->status;
        auto const policy = to_string(static_cast<lagg::policy>(s.policy));
        std::fprintf(file, "policy %.*s, snapshot %" PRIu64 ", %u live, fence %s\n",
                     static_cast<int>(policy.size()), policy.data(), s.version, s.live_snapshots,
                     s.fence);
        for (std::size_t i = 0; i < s.nb_members; ++i) {
            auto const& m = s.members[i];
            std::fprintf(file, "member %s (port %u): %s%s%s%s, %u Mb/s, weight %u, %u buckets\n",
                         m.name, m.port, m.phase, m.usable ? ", usable" : "",
                         m.collecting ? ", collecting" : "", m.distributing ? ", distributing" : "",
                         m.speed_mbps, m.weight, m.buckets);
        }
        return 0;
    });
}

} // namespace lagg::pmd::calls
