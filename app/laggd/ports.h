// Ports as laggd runs them: configure, start, stop, close, attach, detach.  A port that belongs to
// a lagg is the lagg's business and refused here.  Knows no traffic and no console.
#pragma once

#include "options.h"

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

struct rte_eth_conf;
struct rte_eth_dev_info;
struct rte_mempool;

namespace laggd {

/// "3 (net_wire0)", for messages.
std::string port_text(std::uint16_t port);
/// Device name; empty: no such port.
std::string port_name(std::uint16_t port);
bool port_exists(std::uint16_t port);
/// Every port, members included, in order of id.
std::vector<std::uint16_t> all_ports();
bool is_lagg(std::uint16_t port);
std::vector<std::uint16_t> all_laggs();
/// Who owns the port; empty: nobody.
std::string port_owner(std::uint16_t port);
/// Link state as text: "up 10 Gbps" or "down".
std::string link_text(std::uint16_t port);
std::string mac_text(std::uint16_t port);

/// Main thread only.
class ports {
public:
    explicit ports(options const& wanted) : wanted_(wanted) {}

    /// Configures and starts every port that nobody owns.
    [[nodiscard]] why_not start_all();
    /// Stops what this object started; laggs first, so that members outlive them.
    void stop_all();
    /// Stops and closes all ports, laggs first.
    void close_all();

    [[nodiscard]] why_not start(std::uint16_t port);
    [[nodiscard]] why_not stop(std::uint16_t port);
    [[nodiscard]] why_not close(std::uint16_t port);
    [[nodiscard]] why_not attach(std::string const& devargs, std::vector<std::uint16_t>& added);
    [[nodiscard]] why_not detach(std::uint16_t port);
    [[nodiscard]] why_not set_mtu(std::uint16_t port, std::uint16_t mtu);

    bool started(std::uint16_t port) const { return started_.contains(port); }
    /// The port is gone, or somebody else's now.
    void forget(std::uint16_t port) {
        started_.erase(port);
        mtus_.erase(port);
    }
    /// Ports that can forward now: started here, owned by nobody.
    std::vector<std::uint16_t> usable() const;

    /// Pool for buffers on this NUMA node; null: there is no memory for one.
    rte_mempool* pool_for(int socket);
    unsigned mbufs_per_pool() const;

private:
    why_not refuse_if_not_ours(std::uint16_t port) const;
    why_not configure(std::uint16_t port);
    why_not set_up_queues(std::uint16_t port, rte_eth_dev_info const& info,
                          rte_eth_conf const& conf);

    options const& wanted_;
    std::set<std::uint16_t> started_;
    std::map<std::uint16_t, std::uint16_t> mtus_; // that were chosen; configure would forget them
    std::map<int, rte_mempool*> pools_;
};

} // namespace laggd
