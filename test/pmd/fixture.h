// What every PMD test stands on: an EAL without hugepages, wires, a lagg, frames.  Knows no single
// behaviour.
#pragma once

#include "rte_pmd_lagg.h"
#include "rte_pmd_wire.h"

#include <gtest/gtest.h>

#include <rte_bus_vdev.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace lagg::test {

/// One pool for all tests; `pool_level()` must be the same before and after each.
rte_mempool* pool();
unsigned pool_level();

/// How often a storm does its thing: `full` with test/run.sh --long, as requirements put it; else
/// `brief`.
int times(int brief, int full);

/// The same for a storm that requirements measure in time: `brief` turns, or as many as a minute
/// has.
class storm {
public:
    explicit storm(int brief) : brief_(brief) {}
    /// Asked before each turn.
    bool goes_on();
    int turns() const { return turns_; }

private:
    int const brief_;
    int turns_ = 0;
    std::chrono::steady_clock::time_point const begin_ = std::chrono::steady_clock::now();
};

/// What this process may run on.  The test's own thread, and what it starts, is kept on one of them
/// by EAL.
std::vector<int> const& cpus();

/// A virtual device for as long as this object lives.
class vdev {
public:
    vdev() = default;
    /// `prefix`: net_wire, net_ring...; a number that was not used before is appended.
    vdev(std::string const& prefix, std::string const& args);
    ~vdev() { close(); }
    vdev(vdev&& other) noexcept { swap(other); }
    vdev& operator=(vdev&& other) noexcept {
        swap(other);
        return *this;
    }

    bool ok() const { return rc_ == 0; }
    int rc() const { return rc_; }
    std::uint16_t port() const { return port_; }
    std::string const& name() const { return name_; }
    void close();

private:
    void swap(vdev& other) noexcept {
        std::swap(name_, other.name_);
        std::swap(port_, other.port_);
        std::swap(rc_, other.rc_);
    }
    std::string name_;
    std::uint16_t port_ = RTE_MAX_ETHPORTS;
    int rc_ = -1;
};

/// A sink: frames sent there are gone and counted.  `args` as in drivers/net/wire/README.md.
inline vdev sink(std::string const& args = "") {
    return vdev("net_wire", args);
}

/// Two ends of one wire; the far one is configured and started, so that what is sent can be
/// received there.
struct wire_pair {
    vdev far;
    vdev near;
};
wire_pair wire(std::string const& near_args = "", std::uint16_t queues = 1);

/// Configures `queues` rx and tx queues and starts; what a test does with a port it holds itself.
void bring_up(std::uint16_t port, std::uint16_t queues = 1, rte_eth_conf const* conf = nullptr);

/// A lagg of its own, gone with this object.
class lagg_port {
public:
    explicit lagg_port(std::string const& args = "");
    ~lagg_port() { destroy(); }
    lagg_port(lagg_port const&) = delete;
    lagg_port& operator=(lagg_port const&) = delete;

    bool ok() const { return id_ >= 0; }
    int rc() const { return id_; }
    std::uint16_t id() const { return static_cast<std::uint16_t>(id_); }
    std::string const& name() const { return name_; }

    /// Waits as long as it takes.
    void add(std::uint16_t member);
    void remove(std::uint16_t member);
    void start(std::uint16_t queues = 1) { bring_up(id(), queues); }
    void destroy();

    rte_pmd_lagg_status status() const;
    /// Everything that was raised before this call has been acted on when it returns.
    void settle() const;
    /// Waits for `what` to become true; fails the test after ten seconds.
    void until(std::function<bool(rte_pmd_lagg_status const&)> const& what) const;
    rte_pmd_lagg_member_status member(std::uint16_t port) const;
    std::uint64_t xstat(std::string const& name) const;
    rte_eth_stats stats() const;

private:
    std::string name_;
    int id_ = -1;
};

/// `n` UDP frames of `size` bytes; frame i belongs to flow `first_flow + i`.
std::vector<rte_mbuf*> frames(std::size_t n, std::uint32_t first_flow = 0, std::uint16_t size = 64);
void free_all(std::vector<rte_mbuf*>& frames);

/// Sends all; what is given back is freed.  Returns how many were taken.
std::uint16_t send(std::uint16_t port, std::vector<rte_mbuf*> frames, std::uint16_t queue = 0);
/// Receives and frees until nothing comes any more; returns how many.
std::size_t receive_all(std::uint16_t port, std::uint16_t queue = 0);

} // namespace lagg::test
