// Probe and removal of the vdevs named net_wire<n>, and their devargs.

#include "wire_control.h"
#include "wire_ops.h"

#include <charconv>
#include <cstring>
#include <memory>
#include <new>
#include <string_view>

#include <bus_vdev_driver.h>
#include <ethdev_vdev.h>
#include <rte_ether.h>
#include <rte_kvargs.h>
#include <rte_log.h>
#include <rte_malloc.h>

namespace wire {
namespace {

/// One devarg: its key, what may be said, and how it is read. `read` returns false for a bad value.
struct devarg {
    char const* key;
    char const* allowed;
    bool (*read)(std::string_view value, options& opt);
};

template<typename Number>
bool read_number(std::string_view value, Number min, Number max, Number& out) {
    Number number{};
    auto const [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
    if (error != std::errc{} || end != value.data() + value.size() || number < min ||
        number > max) {
        return false;
    }
    out = number;
    return true;
}

bool read_switch(std::string_view value, bool& out) {
    out = value == "1";
    return value == "0" || value == "1";
}

template<typename Enum>
bool read_word(std::string_view value, std::string_view first, Enum a, std::string_view second,
               Enum b, Enum& out) {
    out = value == first ? a : b;
    return value == first || value == second;
}

bool read_peer(std::string_view value, options& opt) {
    if (value.empty() || value.size() >= opt.peer.size() || !value.starts_with("net_wire")) {
        return false;
    }
    value.copy(opt.peer.data(), value.size());
    return true;
}

bool read_mac(std::string_view value, options& opt) {
    char text[RTE_ETHER_ADDR_FMT_SIZE] = {};
    rte_ether_addr mac;
    if (value.size() >= sizeof(text)) {
        return false;
    }
    value.copy(text, value.size());
    if (rte_ether_unformat_addr(text, &mac) != 0 || !rte_is_valid_assigned_ether_addr(&mac)) {
        return false;
    }
    opt.mac = address_word(mac.addr_bytes);
    return true;
}

constexpr char const* queue_range = "1 to 64";
constexpr char const* zero_or_one = "0 or 1";
constexpr std::uint16_t one = 1;

constexpr devarg devargs[] = {
    {"peer", "the name of another net_wire vdev", read_peer},
    {"speed", "1 to 800000 Mb/s",
     [](std::string_view v, options& o) { return read_number(v, 1U, 800000U, o.speed_mbps); }},
    {"mac", "a unicast address, xx:xx:xx:xx:xx:xx", read_mac},
    {"queues", queue_range,
     [](std::string_view v, options& o) {
         return read_number(v, one, max_queues, o.max_rxq) &&
                read_number(v, one, max_queues, o.max_txq);
     }},
    {"rxq", queue_range,
     [](std::string_view v, options& o) { return read_number(v, one, max_queues, o.max_rxq); }},
    {"txq", queue_range,
     [](std::string_view v, options& o) { return read_number(v, one, max_queues, o.max_txq); }},
    {"ring", "1 to 32768 frames",
     [](std::string_view v, options& o) { return read_number(v, 1U, 32768U, o.ring); }},
    {"mtu_max", "68 to 65000 bytes",
     [](std::string_view v, options& o) {
         return read_number<std::uint16_t>(v, RTE_ETHER_MIN_MTU, 65000, o.mtu_max);
     }},
    {"lsc", zero_or_one, [](std::string_view v, options& o) { return read_switch(v, o.lsc); }},
    {"fixed_mac", zero_or_one,
     [](std::string_view v, options& o) { return read_switch(v, o.fixed_mac); }},
    {"fixed_mtu", zero_or_one,
     [](std::string_view v, options& o) { return read_switch(v, o.fixed_mtu); }},
    {"live_mtu", zero_or_one,
     [](std::string_view v, options& o) { return read_switch(v, o.live_mtu); }},
    {"equal_queues", zero_or_one,
     [](std::string_view v, options& o) { return read_switch(v, o.equal_queues); }},
    {"check", zero_or_one, [](std::string_view v, options& o) { return read_switch(v, o.check); }},
    {"rx", "handover or copy",
     [](std::string_view v, options& o) {
         return read_word(v, "handover", false, "copy", true, o.rx_copies);
     }},
    {"sink", "free or keep",
     [](std::string_view v, options& o) {
         return read_word(v, "free", sink_mode::free, "keep", sink_mode::keep, o.sink);
     }},
    {"down", "refuse or drop",
     [](std::string_view v, options& o) {
         return read_word(v, "refuse", on_refusal::refuse, "drop", on_refusal::drop, o.down);
     }},
    {"full", "refuse or drop",
     [](std::string_view v, options& o) {
         return read_word(v, "refuse", on_refusal::refuse, "drop", on_refusal::drop, o.full);
     }},
};

bool read_devargs(char const* name, char const* text, options& opt) {
    std::unique_ptr<rte_kvargs, void (*)(rte_kvargs*)> const pairs(rte_kvargs_parse(text, nullptr),
                                                                   rte_kvargs_free);
    if (pairs == nullptr) {
        WIRE_LOG(ERR, "%s: cannot read \"%s\": key=value pairs joined by commas are allowed\n",
                 name, text);
        return false;
    }
    for (unsigned i = 0; i < pairs->count; ++i) {
        char const* const key = pairs->pairs[i].key;
        char const* const value = pairs->pairs[i].value;
        devarg const* known = nullptr;
        for (auto const& arg : devargs) {
            if (std::strcmp(arg.key, key) == 0) {
                known = &arg;
            }
        }
        if (known == nullptr) {
            WIRE_LOG(ERR,
                     "%s: unknown key %s (value %s); allowed are peer, speed, mac, queues, rxq, "
                     "txq, ring, mtu_max, lsc, fixed_mac, fixed_mtu, live_mtu, equal_queues, "
                     "check, rx, sink, down, full\n",
                     name, key, value == nullptr ? "none" : value);
            return false;
        }
        if (value == nullptr || !known->read(value, opt)) {
            WIRE_LOG(ERR, "%s: %s=%s: allowed is %s\n", name, key, value == nullptr ? "" : value,
                     known->allowed);
            return false;
        }
    }
    if (std::strncmp(opt.peer.data(), name, opt.peer.size()) == 0) {
        WIRE_LOG(ERR, "%s: peer=%s: allowed is another wire, not this one\n", name,
                 opt.peer.data());
        return false;
    }
    if (opt.peer[0] != '\0' && opt.sink == sink_mode::keep) {
        WIRE_LOG(ERR, "%s: sink=keep: allowed only without peer\n", name);
        return false;
    }
    return true;
}

std::uint64_t next_address() {
    static std::atomic<std::uint32_t> count{0};
    // plain: only uniqueness matters
    return 0x0257'4900'0000 | (count.fetch_add(1, std::memory_order_relaxed) & 0xff'ffff);
}

void write_address(std::uint64_t word, rte_ether_addr& mac) {
    for (int i = RTE_ETHER_ADDR_LEN - 1; i >= 0; --i, word >>= 8) {
        mac.addr_bytes[i] = static_cast<std::uint8_t>(word);
    }
}

void set_up(end& e, rte_eth_dev* dev, char const* name, options const& opt) {
    e.opt = opt;
    e.dev = dev;
    e.port = dev->data->port_id;
    std::string_view(name).copy(e.name.data(), e.name.size() - 1);
    e.check = opt.check;
    e.macs[0] = opt.mac != 0 ? opt.mac : next_address();
    for (std::size_t i = 0; i < e.rss_key.size(); ++i) { // equal for both directions of a flow
        e.rss_key[i] = i % 2 == 0 ? 0x6d : 0x5a;
    }
    for (std::uint16_t i = 0; i < max_queues; ++i) {
        e.rx[i].port = e.tx[i].port = e.port;
        e.rx[i].index = e.tx[i].index = i;
        e.tx[i].sink = opt.sink;
    }
}

int probe(rte_vdev_device* vdev) {
    char const* const name = rte_vdev_device_name(vdev);
    char const* const text = rte_vdev_device_args(vdev);
    if (rte_eal_process_type() != RTE_PROC_PRIMARY) {
        WIRE_LOG(ERR, "%s: wires live in the primary process only\n", name);
        return -ENOTSUP;
    }
    options opt;
    if (text != nullptr && !read_devargs(name, text, opt)) {
        return -EINVAL;
    }
    std::unique_ptr<end> e(new (std::nothrow) end);
    rte_eth_dev* const dev = e == nullptr ? nullptr : rte_eth_vdev_allocate(vdev, sizeof(end*));
    if (dev == nullptr) {
        return -ENOMEM;
    }
    auto* const macs = static_cast<rte_ether_addr*>(
        rte_zmalloc("wire macs", sizeof(rte_ether_addr) * max_macs, 0));
    if (macs == nullptr) {
        rte_eth_dev_release_port(dev);
        return -ENOMEM;
    }
    set_up(*e, dev, name, opt);
    write_address(e->macs[0], macs[0]);
    dev->data->mac_addrs = macs;
    dev->data->dev_flags |= RTE_ETH_DEV_INTR_RMV | RTE_ETH_DEV_AUTOFILL_QUEUE_XSTATS |
                            (opt.lsc ? RTE_ETH_DEV_INTR_LSC : 0);
    dev->data->mtu = e->mtu;
    dev->dev_ops = &end_ops;
    *static_cast<end**>(dev->data->dev_private) = e.get();
    {
        control_section control;
        if (int const rc = control.add(*e); rc != 0) {
            rte_eth_dev_release_port(dev); // frees macs, too
            return rc;
        }
        choose_bursts(*e);
        control.write_link(*e);
    }
    static_cast<void>(e.release()); // the port's from here, until close
    rte_eth_dev_probing_finish(dev);
    return 0;
}

int remove(rte_vdev_device* vdev) {
    rte_eth_dev* const dev = rte_eth_dev_allocated(rte_vdev_device_name(vdev));
    return dev == nullptr ? 0 : rte_eth_dev_close(dev->data->port_id);
}

} // namespace

RTE_LOG_REGISTER(log_type, pmd.net.wire, NOTICE)

} // namespace wire

extern "C" {
extern rte_vdev_driver wire_vdev_driver;
rte_vdev_driver wire_vdev_driver = {
    .probe = wire::probe,
    .remove = wire::remove,
};
}
