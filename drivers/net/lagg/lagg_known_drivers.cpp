#include "lagg_known_drivers.h"

#include <algorithm>
#include <array>

namespace lagg::pmd {

namespace {

constexpr std::array<known_driver, 3> all_known{{
    // Says two of every chip; the older ones have one, and what the other is given is never sent.
    {.name = "net_e1000_em", .claims_a_tx_queue = true},
    {.name = "net_ring", .hands_on = true},
    {.name = "net_virtio", .paired_queues = true}, // net_virtio_user, too
}};

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
