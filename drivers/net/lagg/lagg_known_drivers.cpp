#include "lagg_known_drivers.h"

#include <algorithm>
#include <array>

namespace lagg::pmd {

namespace {

constexpr std::array all_known{
    known_driver{.name = "mlx5_", .keeps_list = true},
    known_driver{.name = "net_af_packet", .keeps_list = true},
    known_driver{.name = "net_af_xdp", .keeps_list = true},
    known_driver{.name = "net_bnxt", .keeps_list = true},
    // Says two of every chip; the older ones have one, and what the other is given is never sent.
    known_driver{.name = "net_e1000_em", .claims_a_tx_queue = true, .keeps_list = true},
    known_driver{.name = "net_e1000_igb", .keeps_list = true},
    known_driver{.name = "net_ena", .keeps_list = true},
    known_driver{.name = "net_i40e", .keeps_list = true},
    known_driver{.name = "net_iavf", .keeps_list = true},
    known_driver{.name = "net_ice", .keeps_list = true},
    known_driver{.name = "net_igc", .keeps_list = true},
    known_driver{.name = "net_ixgbe", .keeps_list = true},
    known_driver{.name = "net_null", .keeps_list = true},
    known_driver{.name = "net_ring", .hands_on = true},
    known_driver{.name = "net_tap", .keeps_list = true},
    // net_virtio_user, too
    known_driver{.name = "net_virtio", .paired_queues = true, .keeps_list = true},
    known_driver{.name = "net_vmxnet3", .keeps_list = true},
};

constexpr known_driver nothing_special{};

} // namespace

known_driver const& known(rte_eth_dev_info const& info) noexcept {
    std::string_view const name = info.driver_name == nullptr ? "" : info.driver_name;
    auto const* const found =
        std::find_if(all_known.begin(), all_known.end(),
                     [name](known_driver const& d) { return name.starts_with(d.name); });
    return found == all_known.end() ? nothing_special : *found;
}

} // namespace lagg::pmd
