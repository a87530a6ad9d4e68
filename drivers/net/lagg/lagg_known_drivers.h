// What we had to find out about other drivers, because they do not say it: by their names, all in
// one place.
#pragma once

#include <rte_ethdev.h>

#include <string_view>

namespace lagg::pmd {

struct known_driver {
    std::string_view name; // how it begins, for all of a family

    /// Says that it has one more tx queue than it sends from.
    bool claims_a_tx_queue = false;

    /// Queues come in pairs: with one more to send there is one more to receive, to which the host
    /// sends the answers to what came by it.
    bool paired_queues = false;

    /// Gives the mbufs that it is handed on to a receiver instead of freeing them, so that two
    /// members must not share one.
    bool hands_on = false;

    /// Its tx burst leaves the list of frames as it is, so that several members may be given the
    /// same one.  Read in the sources of DPDK 22.11 and of its main branch.  Others may write to
    /// it, as net_vhost and net_bonding do.
    bool keeps_list = false;
};

/// Of the driver that `info` names; nothing special for one that is not known.
known_driver const& known(rte_eth_dev_info const& info) noexcept;

} // namespace lagg::pmd
