// What every test of the wire driver stands on: a pool that misses no frame, ends probed as vdevs,
// frames by hand.  Knows no single behaviour, and no lagg.
#pragma once

#include "rte_pmd_wire.h"

#include <gtest/gtest.h>

#include <rte_bus_vdev.h>
#include <rte_ethdev.h>
#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_mbuf.h>
#include <rte_udp.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

namespace wire::test {

inline constexpr unsigned pool_size = 4095;
inline rte_mempool* pool = nullptr; // main() makes it

using address = std::array<std::uint8_t, 6>;
inline constexpr address everybody{0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
inline constexpr address stranger{0x02, 0xaa, 0, 0, 0, 1};
inline constexpr address lacp_group{0x01, 0x80, 0xc2, 0, 0, 2};

inline rte_ether_addr to_dpdk(address const& from) {
    rte_ether_addr to;
    std::memcpy(to.addr_bytes, from.data(), from.size());
    return to;
}

struct setup {
    std::uint16_t rxq = 1;
    std::uint16_t txq = 1;
    std::uint16_t descriptors = 256;
    rte_eth_conf conf{};
};

inline setup with_lsc() {
    setup s;
    s.conf.intr_conf.lsc = 1;
    return s;
}

inline int plug(std::string const& name, std::string const& args) {
    return rte_vdev_init(name.c_str(), args.c_str());
}

inline std::uint16_t port_named(std::string const& name) {
    std::uint16_t port = RTE_MAX_ETHPORTS;
    EXPECT_EQ(rte_eth_dev_get_port_by_name(name.c_str(), &port), 0) << name;
    return port;
}

inline void configure(std::uint16_t port, setup const& s = {}) {
    ASSERT_EQ(rte_eth_dev_configure(port, s.rxq, s.txq, &s.conf), 0);
    for (std::uint16_t q = 0; q < s.rxq; ++q) {
        ASSERT_EQ(rte_eth_rx_queue_setup(port, q, s.descriptors, 0, nullptr, pool), 0);
    }
    for (std::uint16_t q = 0; q < s.txq; ++q) {
        ASSERT_EQ(rte_eth_tx_queue_setup(port, q, s.descriptors, 0, nullptr), 0);
    }
}

inline void bring_up(std::uint16_t port, setup const& s = {}) {
    ASSERT_NO_FATAL_FAILURE(configure(port, s));
    ASSERT_EQ(rte_eth_dev_start(port), 0);
}

inline bool link_is_up(std::uint16_t port) {
    rte_eth_link link;
    EXPECT_EQ(rte_eth_link_get_nowait(port, &link), 0);
    return link.link_status == RTE_ETH_LINK_UP;
}

inline rte_mbuf* new_frame(address const& to, std::uint16_t ether_type, std::uint16_t bytes,
                           std::uint8_t mark = 0) {
    rte_mbuf* const m = rte_pktmbuf_alloc(pool);
    EXPECT_NE(m, nullptr);
    auto* const data = reinterpret_cast<std::uint8_t*>(rte_pktmbuf_append(m, bytes));
    EXPECT_NE(data, nullptr);
    std::memset(data, 0, bytes);
    std::memcpy(data, to.data(), to.size());
    data[12] = static_cast<std::uint8_t>(ether_type >> 8);
    data[13] = static_cast<std::uint8_t>(ether_type);
    data[bytes - 1] = mark;
    return m;
}

inline rte_mbuf* new_frame(address const& to = everybody, std::uint8_t mark = 0) {
    return new_frame(to, 0x88b5, 60, mark);
}

inline rte_mbuf* new_udp(std::uint32_t source, std::uint16_t source_port) {
    rte_mbuf* const m = new_frame(everybody, RTE_ETHER_TYPE_IPV4, 64);
    auto* const ip = rte_pktmbuf_mtod_offset(m, rte_ipv4_hdr*, 14);
    ip->version_ihl = 0x45;
    ip->next_proto_id = 17;
    ip->src_addr = rte_cpu_to_be_32(source);
    ip->dst_addr = rte_cpu_to_be_32(0x0a000001);
    auto* const udp = rte_pktmbuf_mtod_offset(m, rte_udp_hdr*, 34);
    udp->src_port = rte_cpu_to_be_16(source_port);
    udp->dst_port = rte_cpu_to_be_16(53);
    return m;
}

inline std::uint8_t mark_of(rte_mbuf const* m) {
    return rte_pktmbuf_mtod(m, std::uint8_t const*)[m->data_len - 1];
}

/// Sends one frame; true when it was taken. What was not taken is freed.
inline bool send(std::uint16_t port, rte_mbuf* m, std::uint16_t queue = 0) {
    if (rte_eth_tx_burst(port, queue, &m, 1) == 1) {
        return true;
    }
    rte_pktmbuf_free(m);
    return false;
}

inline std::vector<rte_mbuf*> receive(std::uint16_t port, std::uint16_t queue = 0) {
    std::vector<rte_mbuf*> all;
    std::array<rte_mbuf*, 32> some;
    while (std::uint16_t const n = rte_eth_rx_burst(port, queue, some.data(), some.size())) {
        all.insert(all.end(), some.begin(), some.begin() + n);
    }
    return all;
}

inline void free_all(std::vector<rte_mbuf*> const& frames) {
    for (rte_mbuf* m : frames) {
        rte_pktmbuf_free(m);
    }
}

/// Number of frames that were waiting; they are freed.
inline std::size_t count_received(std::uint16_t port, std::uint16_t queue = 0) {
    auto const frames = receive(port, queue);
    free_all(frames);
    return frames.size();
}

inline rte_pmd_wire_counters counters(std::uint16_t port) {
    rte_pmd_wire_counters c{};
    EXPECT_EQ(rte_pmd_wire_counters_get(port, &c), 0);
    return c;
}

inline std::uint64_t taken(rte_pmd_wire_counters const& c) {
    return c.sent + c.lost_silent + c.lost_down + c.tx_too_long + c.tx_no_mbuf;
}

/// What became of the frames that reached this end, once its rings are empty.
inline std::uint64_t settled(rte_pmd_wire_counters const& c) {
    return c.received + c.filtered_mac + c.filtered_vlan + c.filtered_flow + c.rx_too_long +
           c.rx_dropped + c.rx_no_mbuf + c.missed + c.lost_stop - c.injected;
}

inline int count_event(std::uint16_t, rte_eth_event_type, void* count, void*) {
    static_cast<std::atomic<int>*>(count)->fetch_add(1);
    return 0;
}

class Wire : public testing::Test {
protected:
    void SetUp() override { ASSERT_EQ(rte_mempool_avail_count(pool), pool_size); }

    void TearDown() override {
        std::uint16_t port;
        RTE_ETH_FOREACH_DEV(port) {
            rte_eth_dev_stop(port);
            char name[RTE_ETH_NAME_MAX_LEN];
            EXPECT_EQ(rte_eth_dev_get_name_by_port(port, name), 0);
            EXPECT_EQ(rte_vdev_uninit(name), 0);
        }
        EXPECT_EQ(rte_mempool_avail_count(pool), pool_size) << "a frame was lost or kept";
    }

    void plug_pair(std::string const& a_more = "", std::string const& b_more = "") {
        ASSERT_EQ(plug("net_wire0", "peer=net_wire1" + a_more), 0);
        ASSERT_EQ(plug("net_wire1", b_more.empty() ? "" : b_more.substr(1)), 0);
        a = port_named("net_wire0");
        b = port_named("net_wire1");
    }

    void start_pair(setup const& s = {}, std::string const& a_more = "",
                    std::string const& b_more = "") {
        ASSERT_NO_FATAL_FAILURE(plug_pair(a_more, b_more));
        ASSERT_NO_FATAL_FAILURE(bring_up(a, s));
        ASSERT_NO_FATAL_FAILURE(bring_up(b, s));
    }

    std::uint16_t start_sink(std::string const& args = "", setup const& s = {}) {
        EXPECT_EQ(plug("net_wire9", args), 0);
        std::uint16_t const port = port_named("net_wire9");
        bring_up(port, s);
        return port;
    }

    address mac_of(std::uint16_t port) {
        rte_ether_addr mac;
        EXPECT_EQ(rte_eth_macaddr_get(port, &mac), 0);
        address out;
        std::memcpy(out.data(), mac.addr_bytes, out.size());
        return out;
    }

    std::uint16_t a = 0;
    std::uint16_t b = 0;
};

} // namespace wire::test
