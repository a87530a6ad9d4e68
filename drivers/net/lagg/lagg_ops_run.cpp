// Calls that configure, start, stop and close a lagg port, and set its link up and down.
#include "lagg_call.h"
#include "lagg_log.h"
#include "lagg_ops_calls.h"

#include <rte_errno.h>

#include <cinttypes>

namespace lagg::pmd::calls {

namespace {

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

} // namespace

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

} // namespace lagg::pmd::calls
