#include "failover_links.h"

#include "rte_pmd_wire.h"
#include "support/setup.h"
#include "support/sink.h"

#include <rte_bus_vdev.h>
#include <rte_cycles.h>
#include <rte_ethdev.h>
#include <rte_log.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

namespace bench {
namespace {

void stamp(std::atomic<std::uint64_t>& where) {
    where.store(rte_rdtsc(), std::memory_order_release); // [cut-time]
}

// --- ports of our own

/// Told by the device's event, on the thread that raises it.
class told_links : public link_pair {
public:
    void cut(std::size_t which, cut_times& times) override {
        times_ = &times;
        stamp(times.cause);
        lose(which);
        if (times.event.load(std::memory_order_relaxed) == 0) {
            fail("no link event");
        }
    }

protected:
    virtual void lose(std::size_t which) = 0;
    void listen() {
        for (auto const port : ports_) {
            must(rte_eth_dev_callback_register(port, RTE_ETH_EVENT_INTR_LSC, on_event, this),
                 "listen to link events");
        }
    }
    void listen_no_more() {
        for (auto const port : ports_) {
            rte_eth_dev_callback_unregister(port, RTE_ETH_EVENT_INTR_LSC, on_event, this);
        }
    }

private:
    static int on_event(std::uint16_t /*port*/, rte_eth_event_type /*type*/, void* self,
                        void* /*more*/) {
        cut_times* const times = std::exchange(static_cast<told_links*>(self)->times_, nullptr);
        if (times != nullptr) {
            stamp(times->event);
        }
        return 0;
    }

    cut_times* times_ = nullptr; // the thread that cuts
};

/// The cheapest port there can be, with link events.
class sink_links final : public told_links {
public:
    sink_links() : sinks_(sinks(2)) {
        ports_ = {sinks_[0]->port(), sinks_[1]->port()};
        listen();
    }
    ~sink_links() override { listen_no_more(); }
    std::uint64_t put_on(std::size_t which) const override { return sinks_[which]->sent(); }
    void heal(std::size_t which) override { sinks_[which]->set_link(true); }
    bool keeps_frames() const override { return true; }

private:
    void lose(std::size_t which) override { sinks_[which]->set_link(false); }

    std::vector<sink*> sinks_;
};

/// A virtual device for as long as this object lives.
class vdev {
public:
    vdev(std::string name, std::string const& args) : name_(std::move(name)) {
        must(rte_vdev_init(name_.c_str(), args.c_str()), "probe " + name_);
        must(rte_eth_dev_get_port_by_name(name_.c_str(), &port_), "port of " + name_);
    }
    ~vdev() { rte_vdev_uninit(name_.c_str()); }
    vdev(vdev const&) = delete;
    vdev& operator=(vdev const&) = delete;
    std::uint16_t port() const { return port_; }

private:
    std::string name_;
    std::uint16_t port_ = 0;
};

std::string numbered(std::string const& prefix) {
    static unsigned number = 0;
    return prefix + std::to_string(number++);
}

/// In-process cables.  As with a NIC, what is sent without carrier is taken and lost.
class wires {
public:
    explicit wires(std::string const& args)
        : a_(numbered("net_wire"), "down=drop" + args),
          b_(numbered("net_wire"), "down=drop" + args) {}
    std::array<std::uint16_t, 2> ports() const { return {a_.port(), b_.port()}; }
    static std::uint64_t put_on(std::uint16_t port) {
        rte_pmd_wire_counters c{};
        rte_pmd_wire_counters_get(port, &c);
        return c.sent + c.lost_down;
    }

private:
    vdev a_;
    vdev b_;
};

class told_wires final : public told_links {
public:
    told_wires() {
        ports_ = wires_.ports();
        listen();
    }
    ~told_wires() override { listen_no_more(); }
    std::uint64_t put_on(std::size_t which) const override { return wires::put_on(ports_[which]); }
    void heal(std::size_t which) override { rte_pmd_wire_heal(ports_[which]); }

private:
    void lose(std::size_t which) override { rte_pmd_wire_cut(ports_[which]); }

    wires wires_{""};
};

/// Nobody is told.
class polled_wires final : public link_pair {
public:
    polled_wires() { ports_ = wires_.ports(); }
    std::uint64_t put_on(std::size_t which) const override { return wires::put_on(ports_[which]); }
    void cut(std::size_t which, cut_times& times) override {
        stamp(times.cause);
        stamp(times.event);
        rte_pmd_wire_cut(ports_[which]);
    }
    void heal(std::size_t which) override { rte_pmd_wire_heal(ports_[which]); }

private:
    wires wires_{",lsc=0"};
};

// --- ports on interfaces of the kernel

bool run(std::string const& command) {
    return std::system((command + " >/dev/null 2>&1").c_str()) == 0;
}

void set_interface(std::string const& name, bool up) {
    int const fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    ifreq request{};
    std::snprintf(request.ifr_name, sizeof request.ifr_name, "%s", name.c_str());
    must(ioctl(fd, SIOCGIFFLAGS, &request) == 0 ? 0 : -errno, "flags of " + name);
    request.ifr_flags =
        static_cast<short>(up ? request.ifr_flags | IFF_UP : request.ifr_flags & ~IFF_UP);
    must(ioctl(fd, SIOCSIFFLAGS, &request) == 0 ? 0 : -errno, "set flags of " + name);
    close(fd);
}

/// The kernel's messages about links, for whoever wants to know when one was told of a loss.
class listener {
public:
    listener() : fd_(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE)) {
        sockaddr_nl address{};
        address.nl_family = AF_NETLINK;
        address.nl_groups = RTMGRP_LINK;
        must(bind(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0 ? 0 : -errno,
             "rtnetlink");
    }
    ~listener() { close(fd_); }
    listener(listener const&) = delete;
    listener& operator=(listener const&) = delete;

    /// False: not within a second.
    bool wait_for_loss(unsigned index) {
        alignas(nlmsghdr) char datagram[32'768];
        for (pollfd p{fd_, POLLIN, 0}; poll(&p, 1, 1000) > 0;) {
            ssize_t const got = recv(fd_, datagram, sizeof datagram, 0);
            auto left = static_cast<unsigned>(got > 0 ? got : 0);
            for (auto* h = reinterpret_cast<nlmsghdr*>(datagram); NLMSG_OK(h, left);
                 h = NLMSG_NEXT(h, left)) {
                auto const* const info = static_cast<ifinfomsg const*>(NLMSG_DATA(h));
                if (h->nlmsg_type == RTM_NEWLINK && info->ifi_family == AF_UNSPEC &&
                    static_cast<unsigned>(info->ifi_index) == index &&
                    (info->ifi_flags & IFF_RUNNING) == 0) {
                    return true;
                }
            }
        }
        return false;
    }

private:
    int fd_;
};

/// On an interface that loses its carrier, or is switched off, with another one.
class kernel_links : public link_pair {
public:
    std::uint64_t put_on(std::size_t which) const override {
        rte_eth_stats now{};
        rte_eth_stats_get(ports_[which], &now);
        return now.opackets + now.oerrors;
    }
    void cut(std::size_t which, cut_times& times) override {
        listener kernel;
        unsigned const index = if_nametoindex(own_[which].c_str());
        stamp(times.cause);
        set_interface(switch_[which], false);
        if (!kernel.wait_for_loss(index)) {
            fail("the kernel tells nothing of " + own_[which]);
        }
        stamp(times.event);
    }
    void heal(std::size_t which) override { set_interface(switch_[which], true); }

protected:
    std::array<std::string, 2> own_;    // the member's interface
    std::array<std::string, 2> switch_; // the one that is switched off
};

/// net_af_packet on veth pairs, whose other ends are switched off.
class packet_links final : public kernel_links {
public:
    packet_links() {
        for (std::size_t i = 0; i < 2; ++i) {
            own_[i] = numbered("va");
            switch_[i] = numbered("vb");
            if (!run("ip link add " + own_[i] + " type veth peer name " + switch_[i]) ||
                !run("ip link set " + own_[i] + " up") ||
                !run("ip link set " + switch_[i] + " up")) {
                fail("no veth pair");
            }
            devices_[i] = std::make_unique<vdev>(numbered("net_af_packet"), "iface=" + own_[i]);
            ports_[i] = devices_[i]->port();
        }
    }
    ~packet_links() override {
        for (std::size_t i = 0; i < 2; ++i) {
            devices_[i].reset();
            run("ip link del " + own_[i]);
        }
    }

private:
    std::array<std::unique_ptr<vdev>, 2> devices_;
};

/// net_tap, whose own interface is switched off.
class tap_links final : public kernel_links {
public:
    tap_links() {
        // It complains of flow rules, which nobody wants here.
        rte_log_set_level_pattern("pmd.net.tap", RTE_LOG_CRIT);
        for (std::size_t i = 0; i < 2; ++i) {
            own_[i] = numbered("vt");
            switch_[i] = own_[i];
            devices_[i] = std::make_unique<vdev>(numbered("net_tap"), "iface=" + own_[i]);
            ports_[i] = devices_[i]->port();
        }
    }

private:
    std::array<std::unique_ptr<vdev>, 2> devices_;
};

template<class Links>
std::unique_ptr<link_pair> make() {
    return std::make_unique<Links>();
}

void without(char const* what, char const* why) {
    std::fprintf(stderr, "bench: without %s: %s\n", what, why);
}

} // namespace

std::uint64_t link_pair::put_on(std::size_t which) const {
    rte_eth_stats now{};
    rte_eth_stats_get(ports_[which], &now);
    return now.opackets;
}

std::vector<link_kind> link_kinds() {
    std::vector<link_kind> kinds{{"sink/lsc", make<sink_links>},
                                 {"net_wire/lsc", make<told_wires>},
                                 {"net_wire/poll", make<polled_wires>}};
    if (unshare(CLONE_NEWNET) != 0) {
        without("net_af_packet and net_tap", "no network name space of our own");
        return kinds;
    }
    if (run("ip link add vx type veth peer name vy && ip link del vx")) {
        kinds.push_back({"net_af_packet/rtnetlink", make<packet_links>});
    } else {
        without("net_af_packet", "no veth pairs here");
    }
    if (access("/dev/net/tun", R_OK | W_OK) == 0) {
        kinds.push_back({"net_tap/rtnetlink", make<tap_links>});
    } else {
        without("net_tap", "no /dev/net/tun here");
    }
    return kinds;
}

} // namespace bench
