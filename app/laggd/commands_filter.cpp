// Console: which frames a port takes in, and what it makes of VLAN tags.
#include "console.h"
#include "options.h"
#include "session.h"

#include <cstring>
#include <rte_ethdev.h>

namespace laggd {

namespace {

why_not refuse_if_owned(std::uint16_t port) {
    auto const owner = port_owner(port);
    return owner.empty() ? why_not{}
                         : strf("port %s belongs to %s", port_text(port).c_str(), owner.c_str());
}

why_not outcome(std::uint16_t port, std::string const& what, int error, char const* hint = "") {
    return error == 0 ? why_not{}
                      : strf("port %s: %s: %s%s%s", port_text(port).c_str(), what.c_str(),
                             errno_text(error).c_str(), *hint == '\0' ? "" : "; ", hint);
}

why_not set_allmulticast(session&, arguments const& given) {
    bool const every = given[0] == "all";
    for (auto const port : every ? all_ports() : std::vector{port_of(given[0])}) {
        if (auto refused = refuse_if_owned(port); !refused.empty()) {
            if (every) {
                continue;
            }
            return refused;
        }
        int const error = given[1] == "on" ? rte_eth_allmulticast_enable(port)
                                           : rte_eth_allmulticast_disable(port);
        if (auto refused = outcome(port, "allmulti " + given[1], error); !refused.empty()) {
            return refused;
        }
    }
    return {};
}

why_not change_address(session&, arguments const& given) {
    auto const& verb = given[0];
    auto const port = port_of(given[1]);
    mac_bytes bytes{};
    if (auto const refused = parse_mac(given[2], bytes); !refused.empty()) {
        return strf("'%s' was given, %s", given[2].c_str(), refused.c_str());
    }
    if (auto refused = refuse_if_owned(port); !refused.empty()) {
        return refused;
    }
    rte_ether_addr address{};
    std::memcpy(address.addr_bytes, bytes.data(), bytes.size());
    int const error = verb == "add"      ? rte_eth_dev_mac_addr_add(port, &address, 0)
                      : verb == "remove" ? rte_eth_dev_mac_addr_remove(port, &address)
                                         : rte_eth_dev_default_mac_addr_set(port, &address);
    return outcome(port, verb + " " + given[2], error,
                   error == -EADDRINUSE ? "the address that it has of its own is replaced by set"
                   : error == -ENOSPC   ? "it holds no more addresses"
                                        : "");
}

why_not set_vlan(session&, arguments const& given) {
    auto const port = port_of(given[2]);
    if (auto refused = refuse_if_owned(port); !refused.empty()) {
        return refused;
    }
    int const bit = given[0] == "strip"    ? RTE_ETH_VLAN_STRIP_OFFLOAD
                    : given[0] == "filter" ? RTE_ETH_VLAN_FILTER_OFFLOAD
                    : given[0] == "extend" ? RTE_ETH_VLAN_EXTEND_OFFLOAD
                                           : RTE_ETH_QINQ_STRIP_OFFLOAD;
    int const present = rte_eth_dev_get_vlan_offload(port);
    if (present < 0) {
        return outcome(port, "VLAN offloads", present);
    }
    int const wanted = given[1] == "on" ? present | bit : present & ~bit;
    int const error = rte_eth_dev_set_vlan_offload(port, wanted);
    return outcome(port, "vlan " + given[0] + " " + given[1], error,
                   error == -EINVAL || error == -ENOTSUP ? "its driver cannot do this" : "");
}

why_not change_vlan_filter(session&, arguments const& given) {
    auto const port = port_of(given[2]);
    if (auto refused = refuse_if_owned(port); !refused.empty()) {
        return refused;
    }
    auto const vlan = static_cast<std::uint16_t>(to_number(given[1]).value_or(0));
    int const error = rte_eth_dev_vlan_filter(port, vlan, given[0] == "add" ? 1 : 0);
    return outcome(port, "rx_vlan " + given[0] + " " + given[1], error,
                   error == -ENOSYS ? "vlan set filter on comes first" : "");
}

} // namespace

void add_filter_commands(command_list& commands) {
    commands.push_back(
        {"set allmulti <port|all> on|off", "Every multicast frame is taken in", set_allmulticast});
    commands.push_back({"mac_addr add|remove|set <port> <address>",
                        "A further address; set: the port's own", change_address});
    commands.push_back({"vlan set strip|filter|extend|qinq_strip on|off <port>",
                        "What the device does with VLAN tags", set_vlan});
    commands.push_back(
        {"rx_vlan add|rm <0..4095> <port>", "VLANs that a filter lets in", change_vlan_filter});
}

} // namespace laggd
