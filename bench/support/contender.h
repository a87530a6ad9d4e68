// The ports that are compared: net_lagg, net_bonding, or a member by itself, over the same sinks.
// One is set up at a time; to set up the next one the sinks change hands.
// Knows nothing of what is measured.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace bench {

enum class pmd { net_lagg, net_bonding, bare };
std::string name_of(pmd which);

/// What stands for what, by our names: net_bonding's mode and transmit policy follow from these.
/// `policy`: roundrobin, loadbalance, lacp, lacp_dedicated (net_bonding with queues of its own for
/// LACP), broadcast, failover, or none for a bare port.  `hash`: l2, l23, l34, l234, rss or none.
struct contender {
    pmd which = pmd::bare;
    std::string policy = "none";
    std::string hash = "none";
    std::size_t members = 1;
    std::uint16_t queues = 1;

    friend bool operator==(contender const&, contender const&) = default;
};

/// False: `which` has no such policy or hash.
bool has(contender const& c);

struct stage {
    std::uint16_t port = 0;             // to send to and to receive from
    std::vector<std::uint16_t> members; // running, too: a bare port is the first one
};

/// Sets it up unless it stands already; what stood before is taken down.
stage const& set_up(contender const& c);

} // namespace bench
