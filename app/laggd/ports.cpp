#include "ports.h"

#include "packet_loop.h"

#include <algorithm>
#include <rte_dev.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_lcore.h>
#include <rte_mbuf.h>
#include <rte_pmd_lagg.h>

namespace laggd {

namespace {

constexpr unsigned pool_cache = 256;

} // namespace

bool port_exists(std::uint16_t port) {
    return rte_eth_dev_is_valid_port(port) != 0;
}

std::string port_name(std::uint16_t port) {
    char name[RTE_ETH_NAME_MAX_LEN] = {};
    return port_exists(port) && rte_eth_dev_get_name_by_port(port, name) == 0 ? name : "";
}

std::string port_text(std::uint16_t port) {
    auto const name = port_name(port); // none: it is gone
    return name.empty() ? std::to_string(port)
                        : strf("%u (%s)", static_cast<unsigned>(port), name.c_str());
}

std::vector<std::uint16_t> all_ports() {
    std::vector<std::uint16_t> all;
    for (std::uint16_t port = 0; port < RTE_MAX_ETHPORTS; ++port) {
        if (port_exists(port)) {
            all.push_back(port);
        }
    }
    return all;
}

bool is_lagg(std::uint16_t port) {
    rte_pmd_lagg_status status;
    return port_exists(port) && rte_pmd_lagg_status_get(port, &status) == 0;
}

std::vector<std::uint16_t> all_laggs() {
    auto laggs = all_ports();
    std::erase_if(laggs, [](std::uint16_t port) { return !is_lagg(port); });
    return laggs;
}

std::string port_owner(std::uint16_t port) {
    rte_eth_dev_owner owner{};
    if (rte_eth_dev_owner_get(port, &owner) != 0 || owner.id == RTE_ETH_DEV_NO_OWNER) {
        return {};
    }
    owner.name[sizeof(owner.name) - 1] = '\0';
    return owner.name[0] == '\0' ? "somebody" : owner.name;
}

std::string link_text(std::uint16_t port) {
    rte_eth_link link{};
    if (rte_eth_link_get_nowait(port, &link) != 0) {
        return "unknown";
    }
    if (link.link_status == RTE_ETH_LINK_DOWN) {
        return "down";
    }
    return link.link_speed == RTE_ETH_SPEED_NUM_UNKNOWN || link.link_speed == 0
               ? "up"
               : strf("up %u Mbps", link.link_speed);
}

std::string mac_text(std::uint16_t port) {
    rte_ether_addr mac{};
    if (rte_eth_macaddr_get(port, &mac) != 0) {
        return "unknown";
    }
    auto const* const b = mac.addr_bytes;
    return strf("%02x:%02x:%02x:%02x:%02x:%02x", b[0], b[1], b[2], b[3], b[4], b[5]);
}

unsigned ports::mbufs_per_pool() const {
    if (wanted_.total_mbufs != 0) {
        return wanted_.total_mbufs;
    }
    // Members of a lagg have as many queues as the lagg, filled from the lagg's pool.
    auto const count = static_cast<unsigned>(std::max<std::size_t>(all_ports().size(), 4));
    return 8192 + count * (wanted_.rxq * (wanted_.rxd + max_held) + wanted_.txq * wanted_.txd) +
           rte_lcore_count() * pool_cache * 2;
}

rte_mempool* ports::pool_for(int socket) {
    if (socket < 0) { // a device of no node, as vdevs are: it shares the pool of where we run
        socket = static_cast<int>(rte_lcore_to_socket_id(rte_get_main_lcore()));
    }
    auto const known = pools_.find(socket);
    if (known != pools_.end()) {
        return known->second;
    }
    auto const name = strf("laggd_mbufs_%d", socket);
    auto const size = static_cast<std::uint16_t>(wanted_.mbuf_size);
    rte_mempool* pool = nullptr;
    for (int const node : {socket, SOCKET_ID_ANY}) { // memory of another node is better than none
        if (pool == nullptr) {
            pool =
                rte_pktmbuf_pool_create(name.c_str(), mbufs_per_pool(), pool_cache, 0, size, node);
        }
    }
    if (pool != nullptr) {
        pools_[socket] = pool;
    }
    return pool;
}

why_not ports::refuse_if_not_ours(std::uint16_t port) const {
    if (!port_exists(port)) {
        return strf("port %u does not exist", static_cast<unsigned>(port));
    }
    if (auto const owner = port_owner(port); !owner.empty()) {
        return strf("port %s belongs to %s, which starts and stops it", port_text(port).c_str(),
                    owner.c_str());
    }
    return {};
}

why_not ports::configure(std::uint16_t port) {
    auto const text = port_text(port);
    rte_eth_dev_info info{};
    if (int const error = rte_eth_dev_info_get(port, &info); error != 0) {
        return strf("port %s: no answer about it: %s", text.c_str(), errno_text(error).c_str());
    }
    if (wanted_.rxq > info.max_rx_queues || wanted_.txq > info.max_tx_queues) {
        return strf("port %s: --rxq %u --txq %u were asked for, it has %u and %u", text.c_str(),
                    wanted_.rxq, wanted_.txq, info.max_rx_queues, info.max_tx_queues);
    }
    rte_eth_conf conf{};
    conf.txmode.offloads = info.tx_offload_capa & RTE_ETH_TX_OFFLOAD_MULTI_SEGS;
    conf.intr_conf.lsc = *info.dev_flags & RTE_ETH_DEV_INTR_LSC ? 1 : 0;
    if (auto const chosen = mtus_.find(port); chosen != mtus_.end()) {
        conf.rxmode.mtu = chosen->second;
    }
    if (wanted_.rxq > 1) {
        auto const hash =
            (RTE_ETH_RSS_IP | RTE_ETH_RSS_TCP | RTE_ETH_RSS_UDP) & info.flow_type_rss_offloads;
        if (hash != 0) {
            conf.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
            conf.rx_adv_conf.rss_conf.rss_hf = hash;
        }
    }
    auto const rxq = static_cast<std::uint16_t>(wanted_.rxq);
    auto const txq = static_cast<std::uint16_t>(wanted_.txq);
    if (int const error = rte_eth_dev_configure(port, rxq, txq, &conf); error != 0) {
        return strf("port %s: configure with %u rx and %u tx queues: %s", text.c_str(), wanted_.rxq,
                    wanted_.txq, errno_text(error).c_str());
    }
    return set_up_queues(port, info, conf);
}

why_not ports::set_up_queues(std::uint16_t port, rte_eth_dev_info const& info,
                             rte_eth_conf const& conf) {
    auto const text = port_text(port);
    auto rxd = static_cast<std::uint16_t>(wanted_.rxd);
    auto txd = static_cast<std::uint16_t>(wanted_.txd);
    if (int const error = rte_eth_dev_adjust_nb_rx_tx_desc(port, &rxd, &txd); error != 0) {
        return strf("port %s: descriptors: %s", text.c_str(), errno_text(error).c_str());
    }
    int const socket = rte_eth_dev_socket_id(port);
    rte_mempool* const pool = pool_for(socket);
    if (pool == nullptr) {
        return strf("a pool of %u mbufs of %u bytes: %s: give EAL more (-m, hugepages) or use "
                    "--total-num-mbufs",
                    mbufs_per_pool(), wanted_.mbuf_size, errno_text(rte_errno).c_str());
    }
    auto const numa = static_cast<unsigned>(socket);
    for (std::uint16_t queue = 0; queue < wanted_.rxq; ++queue) {
        auto setup = info.default_rxconf;
        setup.offloads = conf.rxmode.offloads;
        if (int const error = rte_eth_rx_queue_setup(port, queue, rxd, numa, &setup, pool);
            error != 0) {
            return strf("port %s: rx queue %u: %s", text.c_str(), static_cast<unsigned>(queue),
                        errno_text(error).c_str());
        }
    }
    for (std::uint16_t queue = 0; queue < wanted_.txq; ++queue) {
        auto setup = info.default_txconf;
        setup.offloads = conf.txmode.offloads;
        if (int const error = rte_eth_tx_queue_setup(port, queue, txd, numa, &setup); error != 0) {
            return strf("port %s: tx queue %u: %s", text.c_str(), static_cast<unsigned>(queue),
                        errno_text(error).c_str());
        }
    }
    return {};
}

why_not ports::start(std::uint16_t port) {
    if (auto refused = refuse_if_not_ours(port); !refused.empty()) {
        return refused;
    }
    if (started(port)) {
        return strf("port %s is started already", port_text(port).c_str());
    }
    if (auto refused = configure(port); !refused.empty()) {
        return refused;
    }
    if (int const error = rte_eth_dev_start(port); error != 0) {
        return strf("port %s: start: %s", port_text(port).c_str(), errno_text(error).c_str());
    }
    started_.insert(port);
    if (wanted_.promiscuous) {
        int const error = rte_eth_promiscuous_enable(port);
        if (error != 0 && error != -ENOTSUP) {
            say("port %s: promiscuous mode refused: %s\n", port_text(port).c_str(),
                errno_text(error).c_str());
        }
    }
    return {};
}

why_not ports::stop(std::uint16_t port) {
    if (auto refused = refuse_if_not_ours(port); !refused.empty()) {
        return refused;
    }
    if (!started(port)) {
        return strf("port %s is not started", port_text(port).c_str());
    }
    if (int const error = rte_eth_dev_stop(port); error != 0) {
        return strf("port %s: stop: %s", port_text(port).c_str(), errno_text(error).c_str());
    }
    started_.erase(port);
    return {};
}

why_not ports::close(std::uint16_t port) {
    if (auto refused = refuse_if_not_ours(port); !refused.empty()) {
        return refused;
    }
    auto const text = port_text(port);
    if (started(port)) {
        return strf("port %s is started: port stop %u first", text.c_str(),
                    static_cast<unsigned>(port));
    }
    int const error = is_lagg(port) ? rte_pmd_lagg_destroy(port) : rte_eth_dev_close(port);
    if (error != 0) {
        return strf("port %s: close: %s", text.c_str(), errno_text(error).c_str());
    }
    return {};
}

why_not ports::attach(std::string const& devargs, std::vector<std::uint16_t>& added) {
    auto const before = all_ports();
    if (int const error = rte_dev_probe(devargs.c_str()); error != 0) {
        return strf(
            "'%s': probe: %s; a PCI address or a vdev with its arguments is expected, as in "
            "0000:03:00.0 or net_tap0,iface=t0",
            devargs.c_str(), errno_text(error).c_str());
    }
    added = all_ports();
    std::erase_if(added, [&](std::uint16_t port) {
        return std::find(before.begin(), before.end(), port) != before.end();
    });
    return added.empty() ? strf("'%s': a device was found, but no port", devargs.c_str())
                         : why_not{};
}

why_not ports::detach(std::uint16_t port) {
    if (auto refused = refuse_if_not_ours(port); !refused.empty()) {
        return refused;
    }
    auto const text = port_text(port);
    if (started(port)) {
        return strf("port %s is started: port stop %u first", text.c_str(),
                    static_cast<unsigned>(port));
    }
    rte_eth_dev_info info{};
    if (int const error = rte_eth_dev_info_get(port, &info); error != 0 || info.device == nullptr) {
        return strf("port %s: its device is not known: %s", text.c_str(),
                    errno_text(error).c_str());
    }
    if (int const error = rte_dev_remove(info.device); error != 0) {
        return strf("port %s: remove: %s", text.c_str(), errno_text(error).c_str());
    }
    return {};
}

why_not ports::set_mtu(std::uint16_t port, std::uint16_t mtu) {
    if (auto refused = refuse_if_not_ours(port); !refused.empty()) {
        return refused;
    }
    if (int const error = rte_eth_dev_set_mtu(port, mtu); error != 0) {
        rte_eth_dev_info info{};
        rte_eth_dev_info_get(port, &info);
        return strf("port %s: MTU %u: %s; it says %u to %u", port_text(port).c_str(),
                    static_cast<unsigned>(mtu), errno_text(error).c_str(),
                    static_cast<unsigned>(info.min_mtu), static_cast<unsigned>(info.max_mtu));
    }
    mtus_[port] = mtu;
    return {};
}

std::vector<std::uint16_t> ports::usable() const {
    std::vector<std::uint16_t> out;
    for (auto const port : started_) {
        if (port_exists(port) && port_owner(port).empty()) {
            out.push_back(port);
        }
    }
    return out;
}

why_not ports::start_all() {
    for (auto const port : all_ports()) {
        if (port_owner(port).empty()) {
            if (auto refused = start(port); !refused.empty()) {
                return refused;
            }
        }
    }
    return {};
}

void ports::stop_all() {
    auto const running = started_;
    for (bool const laggs : {true, false}) {
        for (auto const port : running) {
            if (port_exists(port) && is_lagg(port) == laggs) {
                if (auto const refused = stop(port); !refused.empty()) {
                    say("%s\n", refused.c_str());
                }
            }
        }
    }
    started_.clear();
}

void ports::close_all() {
    stop_all();
    for (auto const port : all_laggs()) {
        if (int const error = rte_pmd_lagg_destroy(port); error != 0) {
            say("port %s: destroy: %s\n", port_text(port).c_str(), errno_text(error).c_str());
        }
    }
    for (auto const port : all_ports()) {
        if (port_owner(port).empty()) {
            rte_eth_dev_close(port);
        }
    }
}

} // namespace laggd
