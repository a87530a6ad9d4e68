// LACP's frames of one member in an rx queue of their own, with mbufs of their own: whatever the
// application does, and however full its queues are, control hears them.  Where the device has
// rte_flow and a queue to spare; else they come with everything else.  They overtake the data in
// the other queues: lagg_held.h makes that good.  Worker thread.
#pragma once

#include "lagg/types.h"
#include "lagg_queue.h"
#include "lagg_settings.h"

#include <rte_ethdev.h>
#include <rte_flow.h>

#include <cstdint>

namespace lagg::pmd {

class steering {
public:
    /// Whether it is worth a try: not forbidden, policy lacp, a queue to spare, flow rules, and an
    /// RSS table that can be told to leave the queue out.
    static bool possible(port_id port, port_settings const& s, rte_eth_dev_info const& info);

    /// Before the start: `queue` is behind the application's.  -errno; also when the device says
    /// already now that it has no such rule.
    int set_up(port_id port, std::uint16_t queue, rte_eth_rxconf const& conf,
               std::uint16_t descriptors);
    /// After the start; -errno, and the port has to be configured again without the queue.
    int begin(port_id port, port_settings const& s);
    /// Before the stop.
    void end(port_id port);

    /// no_queue: nothing is steered.
    std::uint16_t queue() const noexcept { return rule_ == nullptr ? no_rx_queue : queue_; }

    static constexpr std::uint16_t no_rx_queue = 0xffff;

private:
    std::uint16_t queue_ = no_rx_queue;
    rte_flow* rule_ = nullptr;
};

} // namespace lagg::pmd
