// Everything that is done to a member's ethdev outside a burst: prepare, change, drain, give back.
// Worker thread only, except where a function says otherwise.  Decides nothing.
#pragma once

#include "lagg/types.h"
#include "lagg_lacp.h"
#include "lagg_queue.h"
#include "lagg_settings.h"
#include "lagg_slow.h"
#include "lagg_steering.h"

#include <rte_ethdev.h>

#include <array>
#include <vector>

namespace lagg::pmd {

/// Asks the device itself (its link_update op), not ethdev's cache; the kernel's word for ports
/// with an if_index is the caller's business.  Control thread, while the member is present and the
/// port started.
link_state read_link(port_id port);
/// What the driver left in ethdev's cache when it raised its last link event.  Asks nothing of the
/// device, which may be on its way out: a driver that is stopped or closed raises that event, too.
link_state told_link(port_id port);

class member_port {
public:
    member_port(port_id port, member_id id) : port_(port), id_(id) {}

    port_id port() const noexcept { return port_; }
    member_id id() const noexcept { return id_; }
    /// It cannot take our address, or not all of them, and is promiscuous instead.
    bool filter() const noexcept { return filter_; }
    /// Its own, as it was found by adopt().
    net::mac_address own_address() const { return from_ether(own_mac_); }
    bool running() const noexcept { return running_; }
    /// The tx queue, behind those of the application, that control alone uses; no_queue when the
    /// device has none to spare.  As of the last start().
    std::uint16_t control_queue() const noexcept { return control_queue_; }
    /// The rx queue to which LACP's frames are steered; no_queue when they come with the others.
    std::uint16_t slow_queue() const noexcept { return steering_.queue(); }
    /// The kernel interface that the port stands on; 0: none.  As of the last start().
    std::uint32_t if_index() const noexcept { return if_index_; }

    /// First contact: remembers what the port is like, so that give_back() can restore it, and
    /// refuses with a logged reason and -EINVAL what can never work: fewer queues, an offload or
    /// MTU that it lacks.
    int adopt(port_settings const& s);

    /// Configures and starts it for `s`; what fails undoes what was done.  -errno, logged with the
    /// call's name.
    int start(port_settings const& s);
    /// Stops it.  No live snapshot contains it.
    void stop();
    /// The device is gone: nothing is asked of it from here on.
    void vanish();

    /// After quiescence, before stop(): lets its tx rings run empty (bounded) and takes what its rx
    /// rings hold, as far as a burst would have handed it up and a stash has room: nothing unless
    /// `collecting`, and no unicast that is foreign to `s`.  The rest is freed and counted.
    std::vector<drained_frames> drain(bool collecting, port_settings const& s);

    /// Address, promiscuity and MTU as found.  Stopped before.
    void give_back();

    // A running member follows a change of one setting; 0 or -errno, unchanged on error.
    int follow_macs(port_settings const& s);
    int follow_promiscuous(port_settings const& s);
    int follow_allmulticast(port_settings const& s);
    int follow_multicast(port_settings const& s);
    int follow_mtu(port_settings const& s);

private:
    int check(port_settings const& s, rte_eth_dev_info const& info) const;
    int configure(port_settings const& s, rte_eth_dev_info const& info);
    int configure(port_settings const& s, rte_eth_dev_info const& info, std::uint16_t tx_count);
    int start_configured(port_settings const& s, rte_eth_dev_info const& info);
    int set_up_queues(port_settings const& s, rte_eth_dev_info const& info);
    int set_up_control_queue(port_settings const& s, rte_eth_dev_info const& info);
    int replay(port_settings const& s);
    bool take_address(net::mac_address const& mac);
    bool take_more_addresses(std::vector<net::mac_address> const& wanted);
    void drain_tx(std::uint16_t tx_count);
    drained_frames drain_rx(std::uint16_t queue, bool collecting, port_settings const& s);
    bool is_foreign(rte_mbuf const& frame, port_settings const& s) const;

    port_id port_;
    member_id id_;
    bool running_ = false;
    bool filter_ = false;
    std::uint16_t control_queue_ = no_queue;
    std::uint32_t if_index_ = 0;
    bool steers_ = false; // configured with an rx queue more than the application has
    steering steering_;
    bool multicast_by_all_ = false; // it keeps no list: all multicast while there is one
    std::vector<net::mac_address> extra_macs_;
    rte_ether_addr own_mac_{};
    std::uint16_t own_mtu_ = 0;
    bool was_promiscuous_ = false;
    bool was_allmulticast_ = false;
};

/// "name (port n)" for log lines, which are written when memory is missing, too.
struct port_label {
    std::array<char, RTE_ETH_NAME_MAX_LEN + 16> text{};
    char const* c_str() const noexcept { return text.data(); }
};
port_label describe(port_id port) noexcept;

} // namespace lagg::pmd
