// devargs -> what to start with.  Knows no port and no thread.
#pragma once

#include "base/result.h"
#include "lagg/control/config.h"
#include "net/mac_address.h"

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace lagg::pmd {

struct start_arguments {
    lagg::config config;
    std::vector<std::string> members; // port names or PCI addresses, in the order given, distinct
    std::optional<net::mac_address> mac;        // unicast
    std::chrono::milliseconds poll_period{100}; // how often members' links are asked for
    std::uint16_t queues = 16;                  // offered rx and tx queues while there is no member
    bool lacp_steering = true; // members' LACP frames to an rx queue of their own, where they can
    std::uint64_t rx_offloads = 0; // offered while there is no member
    std::uint64_t tx_offloads = 0;
    bool seed_given =
        false; // else the caller chooses config.hash.seed: two bonds in series must differ
};

/// `text`: the devargs of one vdev, key=value between commas, or null.
/// The error is one line that names the key, the value and what is allowed.  Any thread.
result<start_arguments, std::string> parse_devargs(char const* text);

/// A PCI address in its long form (0000:03:00.0); any other name as it is.
std::string canonical_port_name(std::string_view name);

} // namespace lagg::pmd
