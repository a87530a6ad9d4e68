// What a lagg port can do: what all its members can, seen as one device.  Computed by the worker
// when a member comes or goes; read by anybody at any time, without waiting for either.
#pragma once

#include "lagg/types.h"
#include "lagg_args.h"
#include "lagg_settings.h"

#include <rte_ethdev.h>

#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

namespace lagg::pmd {

class device;

/// The intersection over `members`; without any, what `args` offers.  What `settings` was
/// configured with stays offered in any case: a member without it would have been refused. Worker,
/// or any thread while no member comes or goes: it asks the ports.
rte_eth_dev_info intersect(std::span<port_id const> members, start_arguments const& args,
                           port_settings const& settings);

/// Packet types that every one of `members` recognises, ascending.
std::vector<std::uint32_t> common_packet_types(std::span<port_id const> members);

class device_infos {
public:
    explicit device_infos(start_arguments const& args);

    /// Worker, after `members` changed or `settings` did.
    void recompute(std::vector<port_id> const& members, port_settings const& settings);

    struct answer {
        rte_eth_dev_info info{};
        std::vector<std::uint32_t> packet_types;
    };
    /// Any thread.
    std::shared_ptr<answer const> get() const;

private:
    start_arguments const args_;
    mutable std::mutex mutex_; // guards the pointer only
    std::shared_ptr<answer const> answer_;
};

/// Fills in what the driver is to fill in of `out`; ethdev's own part is left as it is.
int infos_get(device& d, rte_eth_dev_info* out);

} // namespace lagg::pmd
