#include "lagg_member_port.h"

#include "lagg_compat.h"
#include "lagg_follow.h"
#include "lagg_known_drivers.h"
#include "lagg_log.h"

#include <rte_cycles.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <span>
#include <utility>

namespace lagg::pmd {

namespace {

rte_ether_addr to_rte(net::mac_address const& mac) {
    rte_ether_addr out;
    std::memcpy(out.addr_bytes, mac.bytes.data(), mac.bytes.size());
    return out;
}

net::mac_address from_rte(rte_ether_addr const& address) {
    net::mac_address mac;
    std::memcpy(mac.bytes.data(), address.addr_bytes, mac.bytes.size());
    return mac;
}

/// Logs a refused call by its name and gives the errno on.
int refused(port_id port, char const* call, int rc) {
    LAGG_LOG(ERR, "member %s: %s failed: %s", describe(port).c_str(), call, rte_strerror(-rc));
    return rc;
}

bool lacks(std::uint64_t wanted, std::uint64_t capable) {
    return (wanted & ~capable) != 0;
}

std::uint16_t clamp_descriptors(std::uint16_t wanted, rte_eth_desc_lim const& lim) {
    std::uint32_t n = wanted;
    if (lim.nb_align > 1) {
        n = (n + lim.nb_align - 1) / lim.nb_align * lim.nb_align;
    }
    if (lim.nb_max != 0) {
        n = std::min<std::uint32_t>(n, lim.nb_max);
    }
    return static_cast<std::uint16_t>(std::max<std::uint32_t>(n, lim.nb_min));
}

/// What a driver answers to queue counts that it does not have, tap's bare -1 included; anything
/// else is a fault of the device.
bool is_inability(int rc) {
    return rc == -EINVAL || rc == -ENOTSUP || rc == -EPERM || rc == -ENOSPC;
}

constexpr std::uint16_t control_descriptors = 64;

std::uint32_t max_mtu(rte_eth_dev_info const& info) {
    return info.max_mtu == 0 ? UINT16_MAX : info.max_mtu;
}

/// Whether a tx queue that the application has not asked for works, and changes nothing else.
bool spares_tx_queue(rte_eth_dev_info const& info, std::size_t rx_count, std::size_t tx_count) {
    known_driver const& driver = known(info);
    // The other half of a pair would be polled by nobody.
    return tx_count < info.max_tx_queues && !driver.claims_a_tx_queue &&
           (!driver.paired_queues || tx_count < rx_count);
}

} // namespace

port_label describe(port_id port) noexcept {
    char name[RTE_ETH_NAME_MAX_LEN] = "?";
    static_cast<void>(rte_eth_dev_get_name_by_port(port, name));
    port_label label;
    std::snprintf(label.text.data(), label.text.size(), "%s (port %u)", name, port);
    return label;
}

link_state read_link(port_id port) {
    rte_eth_dev* const dev = &rte_eth_devices[port];
    // One that somebody stopped behind our back is about to be closed: nothing is asked of it.
    if (dev->dev_ops != nullptr && dev->dev_ops->link_update != nullptr &&
        dev->data->dev_started != 0) {
        dev->dev_ops->link_update(dev, 0);
    }
    return told_link(port);
}

link_state told_link(port_id port) {
    rte_eth_dev* const dev = &rte_eth_devices[port];
    if (dev->state != RTE_ETH_DEV_ATTACHED) {
        return {};
    }
    rte_eth_link link{};
    static_cast<void>(rte_eth_linkstatus_get(dev, &link));
    link_state state;
    state.up = link.link_status == RTE_ETH_LINK_UP;
    state.full_duplex = link.link_duplex == RTE_ETH_LINK_FULL_DUPLEX;
    state.speed_mbps =
        state.up && link.link_speed != RTE_ETH_SPEED_NUM_UNKNOWN ? link.link_speed : 0;
    return state;
}

int member_port::check(port_settings const& s, rte_eth_dev_info const& info) const {
    auto const name = describe(port_);
    if (info.max_mtu != 0 && (s.mtu > max_mtu(info) || s.mtu < info.min_mtu)) {
        LAGG_LOG(ERR, "member %s: MTU %u is outside its range [%u, %u]", name.c_str(), s.mtu,
                 info.min_mtu, info.max_mtu);
        return -EINVAL;
    }
    if (!s.configured) {
        return 0;
    }
    if (s.rx.size() > info.max_rx_queues || s.tx.size() > info.max_tx_queues) {
        LAGG_LOG(ERR,
                 "member %s: has %u rx and %u tx queues, the lagg is configured with %zu and %zu",
                 name.c_str(), info.max_rx_queues, info.max_tx_queues, s.rx.size(), s.tx.size());
        return -EINVAL;
    }
    auto const rx_wanted = s.conf.rxmode.offloads;
    auto const tx_wanted = s.conf.txmode.offloads;
    if (lacks(rx_wanted, info.rx_offload_capa) || lacks(tx_wanted, info.tx_offload_capa)) {
        LAGG_LOG(ERR,
                 "member %s: lacks rx offloads 0x%" PRIx64 ", tx offloads 0x%" PRIx64
                 " that the lagg is configured with",
                 name.c_str(), rx_wanted & ~info.rx_offload_capa,
                 tx_wanted & ~info.tx_offload_capa);
        return -EINVAL;
    }
    return 0;
}

int member_port::adopt(port_settings const& s) {
    rte_eth_dev_info info{};
    int rc = rte_eth_dev_info_get(port_, &info);
    if (rc != 0) {
        return refused(port_, "info_get", rc);
    }
    if (rte_eth_devices[port_].data->dev_started != 0) {
        LAGG_LOG(ERR, "member %s: is started; stop it before it is added", describe(port_).c_str());
        return -EBUSY;
    }
    rc = check(s, info);
    if (rc != 0) {
        return rc;
    }
    rc = rte_eth_macaddr_get(port_, &own_mac_);
    if (rc != 0) {
        return refused(port_, "macaddr_get", rc);
    }
    static_cast<void>(rte_eth_dev_get_mtu(port_, &own_mtu_));
    was_promiscuous_ = rte_eth_promiscuous_get(port_) == 1;
    was_allmulticast_ = rte_eth_allmulticast_get(port_) == 1;
    return 0;
}

int member_port::configure(port_settings const& s, rte_eth_dev_info const& info) {
    int rc = check(s, info);
    if (rc != 0) {
        return rc;
    }
    auto const tx_count = static_cast<std::uint16_t>(s.tx.size());
    control_queue_ = no_queue;
    if (spares_tx_queue(info, s.rx.size(), s.tx.size())) {
        rc = configure(s, info, static_cast<std::uint16_t>(tx_count + 1));
        if (rc != 0 && !is_inability(rc)) {
            return refused(port_, "configure", rc);
        }
        if (rc == 0) {
            rc = set_up_queues(s, info);
            if (rc != 0) {
                return rc;
            }
            if (set_up_control_queue(s, info) == 0) {
                control_queue_ = tx_count;
                return 0;
            }
        }
        LAGG_LOG(INFO, "member %s: has no tx queue for control alone; it borrows one",
                 describe(port_).c_str());
    }
    rc = configure(s, info, tx_count);
    return rc != 0 ? refused(port_, "configure", rc) : set_up_queues(s, info);
}

int member_port::configure(port_settings const& s, rte_eth_dev_info const& info,
                           std::uint16_t tx_count) {
    rte_eth_conf const conf = conf_for(s, info);
    auto const rx_count = static_cast<std::uint16_t>(s.rx.size() + (steers_ ? 1 : 0));
    return rte_eth_dev_configure(port_, rx_count, tx_count, &conf);
}

/// A short ring: a few frames a second.
int member_port::set_up_control_queue(port_settings const& s, rte_eth_dev_info const& info) {
    rte_eth_txconf const conf = conf_for(tx_queue_setting{}, s, info);
    return rte_eth_tx_queue_setup(port_, static_cast<std::uint16_t>(s.tx.size()),
                                  clamp_descriptors(control_descriptors, info.tx_desc_lim),
                                  static_cast<unsigned int>(SOCKET_ID_ANY), &conf);
}

int member_port::set_up_queues(port_settings const& s, rte_eth_dev_info const& info) {
    auto const rx_count = static_cast<std::uint16_t>(s.rx.size());
    for (std::uint16_t q = 0; q < rx_count; ++q) {
        rte_eth_rxconf const conf = conf_for(s.rx[q], s, info);
        int const rc = rte_eth_rx_queue_setup(
            port_, q, clamp_descriptors(s.rx[q].descriptors, info.rx_desc_lim), s.rx[q].socket,
            &conf, s.rx[q].pool);
        if (rc != 0) {
            return refused(port_, "rx_queue_setup", rc);
        }
    }
    if (steers_) {
        rte_eth_rxconf const conf = conf_for(rx_queue_setting{}, s, info);
        int const rc = steering_.set_up(port_, rx_count, conf,
                                        clamp_descriptors(control_descriptors, info.rx_desc_lim));
        if (rc != 0) {
            return rc;
        }
    }
    auto const tx_count = static_cast<std::uint16_t>(s.tx.size());
    for (std::uint16_t q = 0; q < tx_count; ++q) {
        rte_eth_txconf const conf = conf_for(s.tx[q], s, info);
        int const rc = rte_eth_tx_queue_setup(
            port_, q, clamp_descriptors(s.tx[q].descriptors, info.tx_desc_lim), s.tx[q].socket,
            &conf);
        if (rc != 0) {
            return refused(port_, "tx_queue_setup", rc);
        }
    }
    return 0;
}

int member_port::start(port_settings const& s) {
    int rc = 0;
    // A device whose last stop failed still runs, and ethdev would not let it be configured.
    if (rte_eth_devices[port_].data->dev_started != 0) {
        rc = rte_eth_dev_stop(port_);
        if (rc != 0) {
            return refused(port_, "stop", rc);
        }
    }
    rte_eth_dev_info info{};
    rc = rte_eth_dev_info_get(port_, &info);
    if (rc != 0) {
        return refused(port_, "info_get", rc);
    }
    if_index_ = info.if_index;
    steers_ = steering::possible(port_, s, info);
    if (steers_) {
        rc = start_configured(s, info);
        rc = rc != 0 ? rc : steering_.begin(port_, s);
        if (rc != 0) {
            LAGG_LOG(INFO, "member %s: LACP's frames cannot have an rx queue of their own: %s",
                     describe(port_).c_str(), rte_strerror(-rc));
            stop();
            steers_ = false;
        }
    }
    if (!steers_) {
        rc = start_configured(s, info);
        if (rc != 0) {
            return rc;
        }
    }
    rc = replay(s);
    if (rc != 0) {
        stop();
    }
    return rc;
}

int member_port::start_configured(port_settings const& s, rte_eth_dev_info const& info) {
    int rc = configure(s, info);
    if (rc != 0) {
        return rc;
    }
    rc = rte_eth_dev_start(port_);
    if (rc != 0) {
        return refused(port_, "start", rc);
    }
    running_ = true;
    return 0;
}

int member_port::replay(port_settings const& s) {
    if (int const rc = follow_mtu(s); rc != 0) {
        return rc;
    }
    if (int const rc = follow_macs(s); rc != 0) {
        return rc;
    }
    for (auto const follow : {&member_port::follow_promiscuous, &member_port::follow_allmulticast,
                              &member_port::follow_multicast}) {
        int const rc = (this->*follow)(s);
        if (rc != 0 && rc != -ENOTSUP) {
            return rc;
        }
    }
    replay_settings(*this, s);
    return 0;
}

void member_port::stop() {
    if (!running_) {
        return;
    }
    steering_.end(port_);
    int const rc = rte_eth_dev_stop(port_);
    if (rc != 0) {
        refused(port_, "stop", rc);
    }
    running_ = false;
}

void member_port::vanish() {
    running_ = false;
}

void member_port::drain_tx(std::uint16_t tx_count) {
    auto const deadline = rte_get_timer_cycles() + rte_get_timer_hz() / 100;
    for (std::uint16_t q = 0; q < tx_count; ++q) {
        // The descriptor that was used last is one behind the tail; a ring whose whole length is
        // done is empty.
        rte_eth_txq_info info{};
        if (rte_eth_tx_queue_info_get(port_, q, &info) != 0 || info.nb_desc == 0) {
            continue;
        }
        auto const last = static_cast<std::uint16_t>(info.nb_desc - 1);
        while (rte_eth_tx_descriptor_status(port_, q, last) == RTE_ETH_TX_DESC_FULL &&
               rte_get_timer_cycles() < deadline) {
            rte_eth_tx_done_cleanup(port_, q, 0);
            rte_pause();
        }
    }
}

/// As a burst decides for a member that is promiscuous for our sake.
bool member_port::is_foreign(rte_mbuf const& frame, port_settings const& s) const {
    if (!filter_ || s.promiscuous || frame.data_len < sizeof(net::mac_address)) {
        return false;
    }
    net::mac_address to;
    std::memcpy(to.bytes.data(), rte_pktmbuf_mtod(&frame, void const*), to.bytes.size());
    return !to.is_group() && to != s.mac &&
           std::find(s.more_macs.begin(), s.more_macs.end(), to) == s.more_macs.end();
}

drained_frames member_port::drain_rx(std::uint16_t queue, bool collecting, port_settings const& s) {
    drained_frames to;
    to.queue = queue;
    auto const drop = [&to](rte_mbuf* frame, drop_reason why) {
        rte_pktmbuf_free(frame);
        ++to.dropped[static_cast<std::size_t>(why)];
    };
    rte_mbuf* frames[32];
    auto const deadline = rte_get_timer_cycles() + rte_get_timer_hz() / 100;
    while (rte_get_timer_cycles() < deadline) {
        std::uint16_t const n = rte_eth_rx_burst(port_, queue, frames, 32);
        if (n == 0) {
            break;
        }
        for (rte_mbuf* const frame : std::span(frames, n)) {
            if (!collecting) {
                drop(frame, drop_reason::rx_not_collecting);
            } else if (is_foreign(*frame, s)) {
                drop(frame, drop_reason::rx_foreign_unicast);
            } else if (to.frames.size() >= control_frames::most_waiting || !to.frames.push(frame)) {
                drop(frame, drop_reason::drain_no_room);
            }
        }
    }
    return to;
}

std::vector<drained_frames> member_port::drain(bool collecting, port_settings const& s) {
    std::vector<drained_frames> all;
    if (!running_) {
        return all;
    }
    drain_tx(static_cast<std::uint16_t>(s.tx.size() + (control_queue_ == no_queue ? 0 : 1)));
    all.reserve(s.rx.size());
    auto const queues = static_cast<std::uint16_t>(s.rx.size());
    for (std::uint16_t q = 0; q < queues; ++q) {
        all.push_back(drain_rx(q, collecting, s));
    }
    return all;
}

void member_port::give_back() {
    // First, for its own may be among them.
    for (auto const& extra : extra_macs_) {
        auto address = to_rte(extra);
        rte_eth_dev_mac_addr_remove(port_, &address);
    }
    rte_ether_addr mac{};
    if (rte_eth_macaddr_get(port_, &mac) == 0 && !rte_is_same_ether_addr(&mac, &own_mac_)) {
        rte_eth_dev_default_mac_addr_set(port_, &own_mac_);
    }
    std::uint16_t mtu = 0;
    if (own_mtu_ != 0 && rte_eth_dev_get_mtu(port_, &mtu) == 0 && mtu != own_mtu_) {
        rte_eth_dev_set_mtu(port_, own_mtu_);
    }
    if ((rte_eth_promiscuous_get(port_) == 1) != was_promiscuous_) {
        was_promiscuous_ ? rte_eth_promiscuous_enable(port_) : rte_eth_promiscuous_disable(port_);
    }
    if ((rte_eth_allmulticast_get(port_) == 1) != was_allmulticast_) {
        was_allmulticast_ ? rte_eth_allmulticast_enable(port_)
                          : rte_eth_allmulticast_disable(port_);
    }
}

bool member_port::take_address(net::mac_address const& mac) {
    auto address = to_rte(mac);
    rte_ether_addr present{};
    if (rte_eth_macaddr_get(port_, &present) == 0 && rte_is_same_ether_addr(&present, &address)) {
        return true;
    }
    // An address that is a secondary one already cannot become the first.
    rte_eth_dev_mac_addr_remove(port_, &address);
    return rte_eth_dev_default_mac_addr_set(port_, &address) == 0;
}

bool member_port::take_more_addresses(std::vector<net::mac_address> const& wanted) {
    std::erase_if(extra_macs_, [&](net::mac_address const& have) {
        if (std::find(wanted.begin(), wanted.end(), have) != wanted.end()) {
            return false;
        }
        auto address = to_rte(have);
        rte_eth_dev_mac_addr_remove(port_, &address);
        return true;
    });
    bool all = true;
    for (auto const& mac : wanted) {
        if (std::find(extra_macs_.begin(), extra_macs_.end(), mac) != extra_macs_.end()) {
            continue;
        }
        auto address = to_rte(mac);
        if (rte_eth_dev_mac_addr_add(port_, &address, 0) == 0) {
            extra_macs_.push_back(mac);
        } else {
            all = false;
        }
    }
    return all;
}

int member_port::follow_macs(port_settings const& s) {
    extra_macs_.reserve(extra_macs_.size() + s.more_macs.size()); // throws before the device knows
    rte_ether_addr first{};
    bool const first_known = rte_eth_macaddr_get(port_, &first) == 0;
    auto const extra = extra_macs_;
    bool const filter = filter_;

    bool const takes_first = take_address(s.mac);
    filter_ = !(take_more_addresses(s.more_macs) && takes_first);
    int const rc = follow_promiscuous(s);
    if (rc != 0 && filter_) {
        LAGG_LOG(ERR, "member %s: can neither take the lagg's address nor be promiscuous",
                 describe(port_).c_str());
        filter_ = filter;
        if (first_known) {
            take_address(from_rte(first));
        }
        take_more_addresses(extra);
        return rc == -ENOTSUP ? -EADDRNOTAVAIL : rc;
    }
    if (filter_ && !filter) {
        LAGG_LOG(NOTICE,
                 "member %s: cannot take the lagg's address; promiscuous instead, foreign "
                 "unicast frames are dropped and counted",
                 describe(port_).c_str());
    }
    return 0;
}

int member_port::follow_promiscuous(port_settings const& s) {
    bool const wanted = s.promiscuous || filter_;
    if ((rte_eth_promiscuous_get(port_) == 1) == wanted) {
        return 0;
    }
    return wanted ? rte_eth_promiscuous_enable(port_) : rte_eth_promiscuous_disable(port_);
}

int member_port::follow_allmulticast(port_settings const& s) {
    bool const groups = s.slow_frames || !s.multicast.empty();
    bool const wanted = s.allmulticast || (groups && multicast_by_all_);
    if ((rte_eth_allmulticast_get(port_) == 1) == wanted) {
        return 0;
    }
    return wanted ? rte_eth_allmulticast_enable(port_) : rte_eth_allmulticast_disable(port_);
}

int member_port::follow_multicast(port_settings const& s) {
    std::vector<rte_ether_addr> list = s.multicast;
    if (s.slow_frames) {
        list.push_back(to_ether(lacp::slow_protocols_address));
    }
    int const rc =
        rte_eth_dev_set_mc_addr_list(port_, list.data(), static_cast<std::uint32_t>(list.size()));
    multicast_by_all_ = rc != 0;
    return follow_allmulticast(s); // without a list it hears more than asked for, never less
}

int member_port::follow_mtu(port_settings const& s) {
    std::uint16_t present = 0;
    if (rte_eth_dev_get_mtu(port_, &present) == 0 && present == s.mtu) {
        return 0;
    }
    int const rc = rte_eth_dev_set_mtu(port_, s.mtu);
    return rc == 0 ? 0 : refused(port_, "mtu_set", rc);
}

} // namespace lagg::pmd
