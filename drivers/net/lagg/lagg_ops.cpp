#include "lagg_ops.h"

#include "lagg_burst.h"
#include "lagg_device.h"
#include "lagg_flow.h"
#include "lagg_follow.h"
#include "lagg_infos.h"
#include "lagg_log.h"
#include "lagg_queue.h"
#include "lagg_stats.h"
#include "lagg_threads.h"

#include <rte_errno.h>
#include <rte_malloc.h>

#include <algorithm>
#include <cerrno>
#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <new>
#include <string>
#include <string_view>
#include <vector>

namespace lagg::pmd {

namespace {

device* device_or_null(rte_eth_dev* dev) {
    return static_cast<device*>(dev->process_private);
}

/// For what never waits for control or worker.
template<class F>
int ask(rte_eth_dev* dev, F&& f) noexcept {
    device* const d = device_or_null(dev);
    if (d == nullptr) {
        return -ENOTSUP; // a secondary process
    }
    try {
        return f(*d);
    } catch (std::bad_alloc const&) {
        return -ENOMEM;
    }
}

/// For what does.
template<class F>
int change(rte_eth_dev* dev, F&& f) noexcept {
    if (!may_wait()) {
        return -EDEADLK;
    }
    return ask(dev, static_cast<F&&>(f));
}

net::mac_address from_rte(rte_ether_addr const& address) {
    net::mac_address mac;
    std::memcpy(mac.bytes.data(), address.addr_bytes, mac.bytes.size());
    return mac;
}

// -- configure, start, stop
// ------------------------------------------------------------------------

int refuse(device& d, char const* what) {
    LAGG_LOG(ERR, "%s: configure: %s", d.name().c_str(), what);
    return -ENOTSUP;
}

/// What a lagg port has no meaning for, whatever its members can.
int check_modes(device& d, rte_eth_conf const& conf) {
    if ((static_cast<unsigned int>(conf.rxmode.mq_mode) & ~RTE_ETH_MQ_RX_RSS_FLAG) != 0) {
        return refuse(d, "rx mq_mode other than NONE and RSS");
    }
    if (conf.txmode.mq_mode != RTE_ETH_MQ_TX_NONE) {
        return refuse(d, "tx mq_mode other than NONE");
    }
    if (conf.lpbk_mode != 0) {
        return refuse(d, "loopback");
    }
    if (conf.dcb_capability_en != 0) {
        return refuse(d, "DCB");
    }
    return 0;
}

/// Names the member that cannot do it; ethdev compared with the intersection only.
int check_member(member_port const& m, rte_eth_conf const& conf, std::uint16_t rx,
                 std::uint16_t tx) {
    rte_eth_dev_info info{};
    if (int const rc = rte_eth_dev_info_get(m.port(), &info); rc != 0) {
        LAGG_LOG(ERR, "configure: member %s: info_get: %s", describe(m.port()).c_str(),
                 rte_strerror(-rc));
        return rc;
    }
    if (rx > info.max_rx_queues || tx > info.max_tx_queues) {
        LAGG_LOG(ERR, "configure: member %s: has %u rx and %u tx queues, %u and %u are asked for",
                 describe(m.port()).c_str(), info.max_rx_queues, info.max_tx_queues, rx, tx);
        return -EINVAL;
    }
    std::uint64_t const no_rx = conf.rxmode.offloads & ~info.rx_offload_capa;
    std::uint64_t const no_tx = conf.txmode.offloads & ~info.tx_offload_capa;
    if (no_rx != 0 || no_tx != 0) {
        LAGG_LOG(ERR,
                 "configure: member %s: lacks rx offloads 0x%" PRIx64 ", tx offloads 0x%" PRIx64,
                 describe(m.port()).c_str(), no_rx, no_tx);
        return -EINVAL;
    }
    if (conf.rxmode.mtu != 0 && info.max_mtu != 0 &&
        (conf.rxmode.mtu > info.max_mtu || conf.rxmode.mtu < info.min_mtu)) {
        LAGG_LOG(ERR, "configure: member %s: MTU %u is outside its range [%u, %u]",
                 describe(m.port()).c_str(), conf.rxmode.mtu, info.min_mtu, info.max_mtu);
        return -EINVAL;
    }
    return 0;
}

rss_setting rss_from(rte_eth_rss_conf const& conf, std::uint8_t default_key_length) {
    rss_setting rss;
    rss.fields = conf.rss_hf;
    if (conf.rss_key != nullptr) {
        std::size_t const length = conf.rss_key_len != 0 ? conf.rss_key_len : default_key_length;
        rss.key.assign(conf.rss_key, conf.rss_key + length);
    }
#if RTE_VERSION >= RTE_VERSION_NUM(23, 11, 0, 0)
    rss.algorithm = static_cast<unsigned int>(conf.algorithm);
#endif
    return rss;
}

/// How long a key is that comes without a length: what ethdev says, by release.
std::uint8_t default_key_length([[maybe_unused]] device& d) {
#if RTE_VERSION >= RTE_VERSION_NUM(23, 11, 0, 0)
    return d.infos().get()->info.hash_key_size;
#else
    return 40;
#endif
}

int configure(rte_eth_dev* dev) {
    return change(dev, [dev](device& d) {
        rte_eth_conf const& conf = dev->data->dev_conf;
        std::uint16_t const rx = dev->data->nb_rx_queues;
        std::uint16_t const tx = dev->data->nb_tx_queues;
        if (int const rc = check_modes(d, conf); rc != 0) {
            return rc;
        }
        int const rc =
            d.for_each_member([&](member_port& m) { return check_member(m, conf, rx, tx); });
        if (rc != 0) {
            return rc;
        }
        bool const by_rss = (conf.rxmode.mq_mode & RTE_ETH_MQ_RX_RSS_FLAG) != 0;
        std::uint8_t const key_length = default_key_length(d);
        return d.change_settings(
            [&](port_settings& s) {
                s.configured = true;
                s.conf = conf;
                s.conf.txmode.offloads &=
                    ~static_cast<std::uint64_t>(RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE);
                s.conf.rx_adv_conf.rss_conf = {}; // its key is the application's memory: kept below
                s.rss.reset();
                if (by_rss) {
                    s.rss = rss_from(conf.rx_adv_conf.rss_conf, key_length);
                }
                if (!by_rss || s.rx.size() != rx) {
                    s.reta.clear();
                    s.reta_size = 0;
                }
                s.rx.resize(rx);
                s.tx.resize(tx);
                s.vlan_strip_by_queue.clear();
                s.mtu = dev->data->mtu;
            },
            {});
    });
}

int start(rte_eth_dev* dev) {
    return change(dev, [](device& d) { return d.start(); });
}

int stop(rte_eth_dev* dev) {
    return change(dev, [](device& d) { return d.stop(); });
}

int set_link_up(rte_eth_dev* dev) {
    return change(dev, [](device& d) { return d.set_admin(true); });
}

int set_link_down(rte_eth_dev* dev) {
    return change(dev, [](device& d) { return d.set_admin(false); });
}

int close(rte_eth_dev* dev) {
    if (device_or_null(dev) == nullptr) {
        return 0; // a secondary process: the port is the primary's
    }
    return change(dev, [](device& d) { return d.close(); });
}

int secondary_close(rte_eth_dev*) {
    return 0;
}

/// What the port was given, for dpdk-dumpcap and the like; what it could be given only the primary
/// process knows.
int secondary_infos_get(rte_eth_dev* dev, rte_eth_dev_info* out) {
    out->max_rx_queues = dev->data->nb_rx_queues;
    out->max_tx_queues = dev->data->nb_tx_queues;
    out->max_mac_addrs = 1;
    out->min_mtu = dev->data->mtu;
    out->max_mtu = dev->data->mtu;
    return 0;
}

/// data->dev_link is kept current by control.
int link_update(rte_eth_dev*, int) {
    return 0;
}

/// A lagg is a piece of software; its members' removal is theirs.
int is_removed(rte_eth_dev*) {
    return 0;
}

// -- filters and addresses
// -------------------------------------------------------------------------

int set_promiscuous(rte_eth_dev* dev, bool on) {
    return change(dev, [on](device& d) {
        return d.change_settings(
            [on](port_settings& s) { s.promiscuous = on; },
            [](member_port& m, port_settings const& s) { return m.follow_promiscuous(s); });
    });
}

int promiscuous_enable(rte_eth_dev* dev) {
    return set_promiscuous(dev, true);
}

int promiscuous_disable(rte_eth_dev* dev) {
    return set_promiscuous(dev, false);
}

int set_allmulticast(rte_eth_dev* dev, bool on) {
    return change(dev, [on](device& d) {
        return d.change_settings(
            [on](port_settings& s) { s.allmulticast = on; },
            [](member_port& m, port_settings const& s) { return m.follow_allmulticast(s); });
    });
}

int allmulticast_enable(rte_eth_dev* dev) {
    return set_allmulticast(dev, true);
}

int allmulticast_disable(rte_eth_dev* dev) {
    return set_allmulticast(dev, false);
}

int change_macs(device& d, std::function<void(port_settings&)> const& edit) {
    return d.change_settings(
        edit, [](member_port& m, port_settings const& s) { return m.follow_macs(s); });
}

int mac_addr_set(rte_eth_dev* dev, rte_ether_addr* address) {
    return change(dev, [address](device& d) {
        auto const mac = from_rte(*address);
        return change_macs(d, [mac](port_settings& s) { s.mac = mac; });
    });
}

int mac_addr_add(rte_eth_dev* dev, rte_ether_addr* address, std::uint32_t, std::uint32_t pool) {
    return change(dev, [&](device& d) {
        if (pool != 0) {
            return -ENOTSUP;
        }
        auto const mac = from_rte(*address);
        return change_macs(d, [mac](port_settings& s) {
            // Again for one that is known: ethdev repeats its list at every start.
            bool const known =
                std::find(s.more_macs.begin(), s.more_macs.end(), mac) != s.more_macs.end();
            if (!known && s.more_macs.size() + 1 < max_addresses) {
                s.more_macs.push_back(mac);
            }
        });
    });
}

void mac_addr_remove(rte_eth_dev* dev, std::uint32_t index) {
    int const rc = change(dev, [&](device& d) {
        auto const mac = from_rte(dev->data->mac_addrs[index]);
        return change_macs(d, [mac](port_settings& s) { std::erase(s.more_macs, mac); });
    });
    if (rc != 0) {
        LAGG_LOG(ERR, "%s: mac_addr_remove: %s", dev->data->name, rte_strerror(-rc));
    }
}

int set_mc_addr_list(rte_eth_dev* dev, rte_ether_addr* list, std::uint32_t count) {
    return change(dev, [&](device& d) {
        return d.change_settings(
            [&](port_settings& s) { s.multicast.assign(list, list + count); },
            [](member_port& m, port_settings const& s) { return m.follow_multicast(s); });
    });
}

int mtu_set(rte_eth_dev* dev, std::uint16_t mtu) {
    return change(dev, [mtu](device& d) {
        return d.change_settings(
            [mtu](port_settings& s) { s.mtu = mtu; },
            [](member_port& m, port_settings const& s) { return m.follow_mtu(s); });
    });
}

int vlan_filter_set(rte_eth_dev* dev, std::uint16_t vlan, int on) {
    return change(dev, [&](device& d) {
        return d.change_settings([&](port_settings& s) { s.vlans.set(vlan & 0x0fffU, on != 0); },
                                 [&](member_port& m, port_settings const& s) {
                                     return follow_vlan_filter(m, s, vlan & 0x0fffU);
                                 });
    });
}

int vlan_tpid_set(rte_eth_dev* dev, rte_vlan_type type, std::uint16_t tpid) {
    return change(dev, [&](device& d) {
        return d.change_settings(
            [&](port_settings& s) {
                std::erase_if(s.vlan_tpids,
                              [&](vlan_tpid_setting const& t) { return t.type == type; });
                s.vlan_tpids.push_back({type, tpid});
            },
            [&](member_port& m, port_settings const& s) { return follow_vlan_tpid(m, s, type); });
    });
}

void vlan_strip_queue_set(rte_eth_dev* dev, std::uint16_t queue, int on) {
    int const rc = change(dev, [&](device& d) {
        return d.change_settings(
            [&](port_settings& s) { s.vlan_strip_by_queue[queue] = on != 0; },
            [&](member_port& m, port_settings const& s) { return follow_vlan_strip(m, s, queue); });
    });
    if (rc != 0) {
        LAGG_LOG(ERR, "%s: vlan_strip_queue_set: %s", dev->data->name, rte_strerror(-rc));
    }
}

/// ethdev has the new offloads in data->dev_conf when it calls; the mask says which of them are
/// new.
int vlan_offload_set(rte_eth_dev* dev, int) {
    return change(dev, [dev](device& d) {
        return d.change_settings(
            [dev](port_settings& s) {
                s.conf.rxmode.offloads = dev->data->dev_conf.rxmode.offloads;
            },
            [](member_port& m, port_settings const& s) { return follow_vlan_offload(m, s); });
    });
}

// -- spreading over rx queues
// ----------------------------------------------------------------------

int rss_hash_update(rte_eth_dev* dev, rte_eth_rss_conf* conf) {
    return change(dev, [&](device& d) {
        std::uint8_t const key_length = default_key_length(d);
        return d.change_settings(
            [&](port_settings& s) {
                auto next = rss_from(*conf, key_length);
                if (next.key.empty() && s.rss) {
                    next.key = s.rss->key;
                }
                s.rss = std::move(next);
            },
            [](member_port& m, port_settings const& s) { return follow_rss(m, s); });
    });
}

constexpr int answered = 1; // ends for_each_member()

/// The key that the members use when nobody gave one: the first member's.
int first_members_key(device& d, std::vector<std::uint8_t>& key) {
    int const rc = d.for_each_member([&](member_port& m) {
        if (!m.running()) {
            return 0;
        }
        key.assign(UINT8_MAX, 0);
        rte_eth_rss_conf conf{};
        conf.rss_key = key.data();
        conf.rss_key_len = UINT8_MAX;
        rte_eth_dev_info info{};
        if (rte_eth_dev_info_get(m.port(), &info) == 0 && info.hash_key_size != 0) {
            conf.rss_key_len = info.hash_key_size;
        }
        int const failed = rte_eth_dev_rss_hash_conf_get(m.port(), &conf);
        key.resize(failed == 0 ? conf.rss_key_len : 0);
        return failed != 0 ? failed : answered;
    });
    return rc == answered ? 0 : rc;
}

int rss_hash_conf_get(rte_eth_dev* dev, rte_eth_rss_conf* conf) {
    return change(dev, [conf](device& d) {
        port_settings s;
        if (int const rc = d.settings(s); rc != 0) {
            return rc;
        }
        conf->rss_hf = s.rss ? s.rss->fields : 0;
#if RTE_VERSION >= RTE_VERSION_NUM(23, 11, 0, 0)
        conf->algorithm = static_cast<rte_eth_hash_function>(s.rss ? s.rss->algorithm : 0U);
#endif
        if (conf->rss_key == nullptr) {
            return 0;
        }
        std::vector<std::uint8_t> key = s.rss ? s.rss->key : std::vector<std::uint8_t>{};
        if (s.rss && key.empty()) {
            static_cast<void>(first_members_key(d, key));
        }
        std::size_t const room = conf->rss_key_len != 0 ? conf->rss_key_len : key.size();
        key.resize(std::min(key.size(), room));
        std::copy(key.begin(), key.end(), conf->rss_key);
        conf->rss_key_len = static_cast<std::uint8_t>(key.size());
        return 0;
    });
}

std::uint16_t& reta_entry(rte_eth_rss_reta_entry64* table, std::size_t i) {
    return table[i / RTE_ETH_RETA_GROUP_SIZE].reta[i % RTE_ETH_RETA_GROUP_SIZE];
}

bool reta_chosen(rte_eth_rss_reta_entry64 const* table, std::size_t i) {
    return (table[i / RTE_ETH_RETA_GROUP_SIZE].mask >> (i % RTE_ETH_RETA_GROUP_SIZE) & 1U) != 0;
}

std::size_t reta_groups(std::uint16_t size) {
    return (size + std::size_t{RTE_ETH_RETA_GROUP_SIZE} - 1) / RTE_ETH_RETA_GROUP_SIZE;
}

/// The table that drivers begin with.
std::vector<rte_eth_rss_reta_entry64> even_reta(std::uint16_t size, std::uint16_t queues) {
    std::vector<rte_eth_rss_reta_entry64> table(reta_groups(size));
    for (std::size_t i = 0; i < size; ++i) {
        reta_entry(table.data(), i) =
            static_cast<std::uint16_t>(i % std::max<std::size_t>(queues, 1));
    }
    return table;
}

int check_reta_size(device& d, std::uint16_t size) {
    std::uint16_t const offered = d.infos().get()->info.reta_size;
    if (offered == 0) {
        return -ENOTSUP;
    }
    if (size != offered) {
        LAGG_LOG(ERR, "%s: redirection table of %u entries: the members have %u in common",
                 d.name().c_str(), size, offered);
        return -EINVAL;
    }
    return 0;
}

int reta_update(rte_eth_dev* dev, rte_eth_rss_reta_entry64* conf, std::uint16_t size) {
    return change(dev, [&](device& d) {
        if (int const rc = check_reta_size(d, size); rc != 0) {
            return rc;
        }
        std::uint16_t const queues = dev->data->nb_rx_queues;
        return d.change_settings(
            [&](port_settings& s) {
                if (s.reta_size != size) {
                    s.reta = even_reta(size, queues);
                    s.reta_size = size;
                }
                for (std::size_t i = 0; i < size; ++i) {
                    if (reta_chosen(conf, i)) {
                        reta_entry(s.reta.data(), i) = reta_entry(conf, i);
                    }
                }
            },
            [](member_port& m, port_settings const& s) { return follow_reta(m, s); });
    });
}

/// Asks the first member for its table and keeps as much of it as ours has.
void first_members_reta(device& d, std::vector<rte_eth_rss_reta_entry64>& table) {
    static_cast<void>(d.for_each_member([&](member_port& m) {
        rte_eth_dev_info info{};
        if (!m.running() || rte_eth_dev_info_get(m.port(), &info) != 0 ||
            reta_groups(info.reta_size) < table.size()) {
            return 0;
        }
        std::vector<rte_eth_rss_reta_entry64> own(reta_groups(info.reta_size));
        for (auto& group : own) {
            group.mask = UINT64_MAX;
        }
        if (rte_eth_dev_rss_reta_query(m.port(), own.data(), info.reta_size) != 0) {
            return 0;
        }
        own.resize(table.size());
        table = std::move(own);
        return answered;
    }));
}

int reta_query(rte_eth_dev* dev, rte_eth_rss_reta_entry64* conf, std::uint16_t size) {
    return change(dev, [&](device& d) {
        if (int const rc = check_reta_size(d, size); rc != 0) {
            return rc;
        }
        port_settings s;
        if (int const rc = d.settings(s); rc != 0) {
            return rc;
        }
        auto table = s.reta;
        if (s.reta_size != size) {
            table = even_reta(size, dev->data->nb_rx_queues);
            first_members_reta(d, table);
        }
        for (std::size_t i = 0; i < size; ++i) {
            if (reta_chosen(conf, i)) {
                reta_entry(conf, i) = reta_entry(table.data(), i);
            }
        }
        return 0;
    });
}

// -- flow control
// ----------------------------------------------------------------------------------

int flow_ctrl_get(rte_eth_dev* dev, rte_eth_fc_conf* conf) {
    return change(dev, [conf](device& d) {
        port_settings s;
        if (int const rc = d.settings(s); rc != 0) {
            return rc;
        }
        if (s.flow_control) {
            *conf = *s.flow_control;
            return 0;
        }
        int const rc = d.for_each_member([conf](member_port& m) {
            int const failed = rte_eth_dev_flow_ctrl_get(m.port(), conf);
            return failed != 0 ? failed : answered;
        });
        return rc == answered ? 0 : rc == 0 ? -ENOTSUP : rc;
    });
}

int flow_ctrl_set(rte_eth_dev* dev, rte_eth_fc_conf* conf) {
    return change(dev, [conf](device& d) {
        return d.change_settings(
            [conf](port_settings& s) { s.flow_control = *conf; },
            [](member_port& m, port_settings const& s) { return follow_flow_control(m, s); });
    });
}

int flow_ops_get(rte_eth_dev*, rte_flow_ops const** ops) {
    *ops = &lagg_flow_ops;
    return 0;
}

// -- queues
// ----------------------------------------------------------------------------------------

template<class Queue>
Queue* new_queue(std::uint16_t queue, port_id port, unsigned int socket) {
    void* memory =
        rte_zmalloc_socket("net_lagg", sizeof(Queue), alignof(Queue), static_cast<int>(socket));
    if (memory == nullptr) {
        memory = rte_zmalloc("net_lagg", sizeof(Queue), alignof(Queue));
    }
    if (memory == nullptr) {
        return nullptr;
    }
    Queue* const q = new (memory) Queue(fence().kind());
    q->queue_id = queue;
    q->lagg_port = port;
    return q;
}

void set_pool(rx_queue& q, rte_mempool const* pool) {
    q.pool = pool;
}
void set_pool(tx_queue&, rte_mempool const*) {}

/// Puts a new queue into service, counted, and into `place`.
template<class Queue>
int open_queue(device& d, std::uint16_t queue, unsigned int socket, rte_mempool const* pool,
               void*& place) {
    Queue* const q = new_queue<Queue>(queue, d.id(), socket);
    if (q == nullptr) {
        return -ENOMEM;
    }
    set_pool(*q, pool);
    int rc = d.attach(q);
    if (rc != 0) {
        q->~Queue();
        rte_free(q);
        return rc;
    }
    try {
        d.statistics().add(*q);
    } catch (std::bad_alloc const&) {
        d.retire(q);
        return -ENOMEM;
    }
    place = q;
    return 0;
}

bool sound(rte_eth_rxconf const& conf, rte_mempool const* pool) {
#if RTE_VERSION >= RTE_VERSION_NUM(22, 11, 0, 0)
    if (conf.rx_nmempool != 0) {
        return false;
    }
#endif
    return pool != nullptr && conf.rx_nseg == 0 && conf.rx_deferred_start == 0 &&
           conf.share_group == 0;
}

int rx_queue_setup(rte_eth_dev* dev, std::uint16_t queue, std::uint16_t descriptors,
                   unsigned int socket, rte_eth_rxconf const* conf, rte_mempool* pool) {
    return change(dev, [&](device& d) {
        if (!sound(*conf, pool)) {
            LAGG_LOG(
                ERR,
                "%s: rx queue %u: deferred start, shared queues, several pools and buffer split "
                "are not offered",
                d.name().c_str(), queue);
            return -ENOTSUP;
        }
        int const rc = d.change_settings(
            [&](port_settings& s) {
                s.rx.resize(std::max<std::size_t>(s.rx.size(), queue + std::size_t{1}));
                s.rx[queue] = {true, descriptors, socket, *conf, pool};
            },
            {});
        return rc != 0 ? rc
                       : open_queue<rx_queue>(d, queue, socket, pool, dev->data->rx_queues[queue]);
    });
}

int tx_queue_setup(rte_eth_dev* dev, std::uint16_t queue, std::uint16_t descriptors,
                   unsigned int socket, rte_eth_txconf const* conf) {
    return change(dev, [&](device& d) {
        if (conf->tx_deferred_start != 0) {
            LAGG_LOG(ERR, "%s: tx queue %u: deferred start is not offered", d.name().c_str(),
                     queue);
            return -ENOTSUP;
        }
        int const rc = d.change_settings(
            [&](port_settings& s) {
                s.tx.resize(std::max<std::size_t>(s.tx.size(), queue + std::size_t{1}));
                s.tx[queue] = {true, descriptors, socket, *conf};
            },
            {});
        return rc != 0
                   ? rc
                   : open_queue<tx_queue>(d, queue, socket, nullptr, dev->data->tx_queues[queue]);
    });
}

/// ethdev clears the place itself.
template<class Queue>
void release_queue(rte_eth_dev* dev, void* q) {
    static_cast<void>(ask(dev, [q](device& d) {
        d.retire(static_cast<Queue*>(q));
        return 0;
    }));
}

void rx_queue_release(rte_eth_dev* dev, std::uint16_t queue) {
    release_queue<rx_queue>(dev, dev->data->rx_queues[queue]);
}

void tx_queue_release(rte_eth_dev* dev, std::uint16_t queue) {
    release_queue<tx_queue>(dev, dev->data->tx_queues[queue]);
}

void rxq_info_get(rte_eth_dev* dev, std::uint16_t queue, rte_eth_rxq_info* info) {
    static_cast<void>(change(dev, [&](device& d) {
        port_settings s;
        if (d.settings(s) == 0 && queue < s.rx.size()) {
            info->mp = s.rx[queue].pool;
            info->conf = s.rx[queue].conf;
            info->nb_desc = s.rx[queue].descriptors;
            info->scattered_rx = (s.conf.rxmode.offloads & RTE_ETH_RX_OFFLOAD_SCATTER) != 0 ? 1 : 0;
        }
        return 0;
    }));
}

void txq_info_get(rte_eth_dev* dev, std::uint16_t queue, rte_eth_txq_info* info) {
    static_cast<void>(change(dev, [&](device& d) {
        port_settings s;
        if (d.settings(s) == 0 && queue < s.tx.size()) {
            info->conf = s.tx[queue].conf;
            info->nb_desc = s.tx[queue].descriptors;
        }
        return 0;
    }));
}

int burst_mode_get(rte_eth_dev* dev, rte_eth_burst_mode* mode, bool tx) {
    return ask(dev, [&](device& d) {
        auto const now = d.published();
        mode->flags = 0;
        if (now == nullptr) {
            std::snprintf(mode->info, sizeof mode->info, "lagg");
        } else if (tx) {
            auto const how = to_string(now->snapshot.how);
            std::snprintf(mode->info, sizeof mode->info, "lagg %.*s over %zu members",
                          static_cast<int>(how.size()), how.data(),
                          now->snapshot.distributing.size());
        } else {
            std::snprintf(mode->info, sizeof mode->info, "lagg polls %zu members",
                          now->snapshot.polled.size());
        }
        return 0;
    });
}

int rx_burst_mode_get(rte_eth_dev* dev, std::uint16_t, rte_eth_burst_mode* mode) {
    return burst_mode_get(dev, mode, false);
}

int tx_burst_mode_get(rte_eth_dev* dev, std::uint16_t, rte_eth_burst_mode* mode) {
    return burst_mode_get(dev, mode, true);
}

/// On the lcore of the queue, so without the worker: all members or none.
int rx_queue_intr_enable(rte_eth_dev* dev, std::uint16_t queue) {
    return ask(dev, [queue](device& d) {
        std::vector<port_id> done;
        return d.statistics().for_each_joined([&](port_id port) {
            int const rc = rte_eth_dev_rx_intr_enable(port, queue);
            if (rc != 0) {
                for (port_id const other : done) {
                    rte_eth_dev_rx_intr_disable(other, queue);
                }
                return rc;
            }
            done.push_back(port);
            return 0;
        });
    });
}

int rx_queue_intr_disable(rte_eth_dev* dev, std::uint16_t queue) {
    return ask(dev, [queue](device& d) {
        int first_failure = 0;
        static_cast<void>(d.statistics().for_each_joined([&](port_id port) {
            int const rc = rte_eth_dev_rx_intr_disable(port, queue);
            first_failure = first_failure != 0 ? first_failure : rc;
            return 0;
        }));
        return first_failure;
    });
}

// The next three are asked by any thread (a console shows ring fills while lcores poll), so they
// may not pin the queue's cell as a burst does: two threads in one cell would let go of each
// other's snapshot.  They look at members under statistics' short lock instead, which keeps these
// from being stopped.

/// Sum over members and stash; -ENOTSUP when no member can say.
int waiting(rx_queue const& q) noexcept {
    device* const d = device::find(q.lagg_port);
    if (d == nullptr) {
        return -ENODEV;
    }
    int sum = -ENOTSUP;
    static_cast<void>(d->statistics().for_each_joined([&](port_id port) {
        int const n = rte_eth_rx_queue_count(port, q.queue_id);
        if (n >= 0) {
            sum = std::max(sum, 0) + n;
        }
        return 0;
    }));
    return sum < 0 ? sum : sum + static_cast<int>(q.stash.size_hint());
}

#if RTE_VERSION >= RTE_VERSION_NUM(25, 11, 0, 0)
using queue_count = int;
#else
using queue_count = std::uint32_t;
#endif

queue_count rx_queue_count(void* queue) noexcept {
    return static_cast<queue_count>(waiting(*static_cast<rx_queue*>(queue)));
}

/// DONE for as many as wait: a burst takes them from all members.
int rx_descriptor_status(void* queue, std::uint16_t offset) noexcept {
    int const n = waiting(*static_cast<rx_queue*>(queue));
    if (n < 0) {
        return n;
    }
    return offset < n ? RTE_ETH_RX_DESC_DONE : RTE_ETH_RX_DESC_AVAIL;
}

/// The worst over members: FULL when one is, for the next frame may be meant for that one.
int tx_descriptor_status(void* queue, std::uint16_t offset) noexcept {
    auto const& q = *static_cast<tx_queue*>(queue);
    device* const d = device::find(q.lagg_port);
    if (d == nullptr) {
        return -ENODEV;
    }
    int worst = -ENOTSUP;
    static_cast<void>(d->statistics().for_each_joined([&](port_id port) {
        int const status = rte_eth_tx_descriptor_status(port, q.queue_id, offset);
        if (status == RTE_ETH_TX_DESC_FULL) {
            worst = status;
            return answered;
        }
        if (status == RTE_ETH_TX_DESC_DONE) {
            worst = worst == RTE_ETH_TX_DESC_UNAVAIL ? worst : status;
        } else if (status == RTE_ETH_TX_DESC_UNAVAIL) {
            worst = status;
        }
        return 0;
    }));
    return worst;
}

/// Frees in rings, so it belongs to the thread that transmits on the queue: like a burst, it pins.
int tx_done_cleanup(void* queue, std::uint32_t limit) {
    if (inside_burst) {
        return -EDEADLK;
    }
    auto& q = *static_cast<tx_queue*>(queue);
    epoch::pin_guard<snapshot> const view(q.view);
    if (!view) {
        return 0;
    }
    int freed = 0;
    bool able = view->distributing.empty();
    for (auto const& m : view->distributing) {
        std::uint32_t const left = limit == 0 ? 0 : limit - static_cast<std::uint32_t>(freed);
        int const n = rte_eth_tx_done_cleanup(m.port, q.queue_id, left);
        able = able || n >= 0;
        freed += std::max(n, 0);
        if (limit != 0 && static_cast<std::uint32_t>(freed) >= limit) {
            break;
        }
    }
    return able ? freed : -ENOTSUP;
}

// -- what the port is and did
// ----------------------------------------------------------------------

int dev_infos_get(rte_eth_dev* dev, rte_eth_dev_info* out) {
    return ask(dev, [out](device& d) { return infos_get(d, out); });
}

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

#if RTE_VERSION >= RTE_VERSION_NUM(24, 11, 0, 0)
/// Members are told by us at each start.
std::uint64_t restore_flags(rte_eth_dev*, rte_eth_dev_operation) {
    return 0;
}
#endif

} // namespace

// By assignment, not by designated initialisers: members differ between releases.
constinit eth_dev_ops const lagg_ops = [] {
    eth_dev_ops ops{};
    ops.dev_configure = configure;
    ops.dev_start = start;
    ops.dev_stop = stop;
    ops.dev_set_link_up = set_link_up;
    ops.dev_set_link_down = set_link_down;
    ops.dev_close = close;
    ops.link_update = link_update;
    ops.is_removed = is_removed;
    ops.promiscuous_enable = promiscuous_enable;
    ops.promiscuous_disable = promiscuous_disable;
    ops.allmulticast_enable = allmulticast_enable;
    ops.allmulticast_disable = allmulticast_disable;
    ops.mac_addr_remove = mac_addr_remove;
    ops.mac_addr_add = mac_addr_add;
    ops.mac_addr_set = mac_addr_set;
    ops.set_mc_addr_list = set_mc_addr_list;
    ops.mtu_set = mtu_set;
    ops.stats_get = stats_get;
    ops.stats_reset = stats_reset;
    ops.xstats_get = xstats_get;
    ops.xstats_reset = stats_reset;
    ops.xstats_get_names = xstats_get_names;
    ops.dev_infos_get = dev_infos_get;
    ops.rxq_info_get = rxq_info_get;
    ops.txq_info_get = txq_info_get;
    ops.rx_burst_mode_get = rx_burst_mode_get;
    ops.tx_burst_mode_get = tx_burst_mode_get;
    ops.dev_supported_ptypes_get = supported_ptypes_get;
    ops.vlan_filter_set = vlan_filter_set;
    ops.vlan_tpid_set = vlan_tpid_set;
    ops.vlan_strip_queue_set = vlan_strip_queue_set;
    ops.vlan_offload_set = vlan_offload_set;
    ops.rx_queue_setup = rx_queue_setup;
    ops.rx_queue_release = rx_queue_release;
    ops.rx_queue_intr_enable = rx_queue_intr_enable;
    ops.rx_queue_intr_disable = rx_queue_intr_disable;
    ops.tx_queue_setup = tx_queue_setup;
    ops.tx_queue_release = tx_queue_release;
    ops.tx_done_cleanup = tx_done_cleanup;
    ops.flow_ctrl_get = flow_ctrl_get;
    ops.flow_ctrl_set = flow_ctrl_set;
    ops.rss_hash_update = rss_hash_update;
    ops.rss_hash_conf_get = rss_hash_conf_get;
    ops.reta_update = reta_update;
    ops.reta_query = reta_query;
    ops.flow_ops_get = flow_ops_get;
    ops.eth_dev_priv_dump = priv_dump;
#if RTE_VERSION >= RTE_VERSION_NUM(24, 11, 0, 0)
    ops.get_restore_flags = restore_flags;
#endif
    return ops;
}();

constinit eth_dev_ops const lagg_secondary_ops = [] {
    eth_dev_ops ops{};
    ops.dev_close = secondary_close;
    ops.dev_infos_get = secondary_infos_get;
    ops.link_update = link_update;
    return ops;
}();

void install_queue_ops(rte_eth_dev& eth) {
    eth.rx_queue_count = rx_queue_count;
    eth.rx_descriptor_status = rx_descriptor_status;
    eth.tx_descriptor_status = tx_descriptor_status;
}

} // namespace lagg::pmd
