// A member that leaves with more frames than a stash takes, and is back before they were read.
#include "traffic.h"

#include <cstring>

namespace lagg::test {
namespace {

std::uint32_t number_of(rte_mbuf const& m) {
    auto const* const p = rte_pktmbuf_mtod(&m, std::uint8_t const*);
    return static_cast<std::uint32_t>(p[27]) << 16 | static_cast<std::uint32_t>(p[28]) << 8 | p[29];
}

// Known by burst-torture: "received frame 12011 of wire 0 after 12098".
TEST(ReturningMember, BringsNoFrameBeforeThoseItLeftWith) {
    unsigned const before = pool_level();
    {
        wire_pair w = wire("ring=4096,check=1");
        lagg_port lagg("policy=loadbalance,member=" + w.near.name());
        ASSERT_TRUE(lagg.ok());
        rte_eth_conf const conf{};
        ASSERT_EQ(0, rte_eth_dev_configure(lagg.id(), 1, 1, &conf));
        ASSERT_EQ(0, rte_eth_rx_queue_setup(lagg.id(), 0, 4096, SOCKET_ID_ANY, nullptr, pool()));
        ASSERT_EQ(0, rte_eth_tx_queue_setup(lagg.id(), 0, 512, SOCKET_ID_ANY, nullptr));
        ASSERT_EQ(0, rte_eth_dev_start(lagg.id()));
        std::uint32_t sent = 0;
        auto const send_more = [&](unsigned n) {
            for (unsigned i = 0; i < n; i += 32) {
                sent += send(w.far.port(), frames(32, sent));
            }
        };
        std::uint32_t last = 0;
        std::size_t got = 0;
        std::size_t overtaken = 0;
        auto const receive = [&] {
            rte_mbuf* in[32];
            std::uint16_t const n = rte_eth_rx_burst(lagg.id(), 0, in, 32);
            for (std::uint16_t i = 0; i < n; ++i) {
                std::uint32_t const number = number_of(*in[i]) + 1;
                overtaken += number <= last;
                last = std::max(last, number);
                rte_pktmbuf_free(in[i]);
            }
            got += n;
            return n;
        };
        for (int turn = 0; turn < 5; ++turn) {
            send_more(3008); // the stash has room for 1024
            lagg.remove(w.near.port());
            lagg.add(w.near.port());
            send_more(320);
            while (receive() != 0) {
            }
            // What waits comes later, when it still may.
            wait_until(
                [&] {
                    receive();
                    return got + lagg.xstat("rx_dropped_drain_no_room") == sent;
                },
                "every frame");
            EXPECT_EQ(0u, overtaken);
        }
        EXPECT_EQ(5u * 3328u, sent);
        EXPECT_EQ(0u, rte_pmd_wire_in_burst_violation_count(w.near.port()));
        EXPECT_EQ(lagg.xstat("rx_dropped_drain_no_room"), lagg.stats().imissed);
    }
    EXPECT_EQ(before, pool_level());
}

// Frames of others need not make way: no order holds between members.
TEST(ReturningMember, CostsOthersNothing) {
    unsigned const before = pool_level();
    {
        wire_pair x = wire("ring=4096");
        wire_pair y = wire("ring=4096");
        lagg_port lagg("policy=loadbalance,member=" + x.near.name());
        ASSERT_TRUE(lagg.ok());
        rte_eth_conf const conf{};
        ASSERT_EQ(0, rte_eth_dev_configure(lagg.id(), 1, 1, &conf));
        ASSERT_EQ(0, rte_eth_rx_queue_setup(lagg.id(), 0, 4096, SOCKET_ID_ANY, nullptr, pool()));
        ASSERT_EQ(0, rte_eth_tx_queue_setup(lagg.id(), 0, 512, SOCKET_ID_ANY, nullptr));
        ASSERT_EQ(0, rte_eth_dev_start(lagg.id()));
        std::size_t sent = 0;
        for (int i = 0; i < 94; ++i) {
            sent += send(x.far.port(), frames(32));
        }
        ASSERT_EQ(3008u, sent);
        lagg.remove(x.near.port());
        lagg.add(y.near.port());
        lagg.remove(y.near.port());
        lagg.add(y.near.port());
        std::size_t got = 0;
        wait_until(
            [&] {
                got += receive_all(lagg.id());
                return got == sent;
            },
            "every frame");
        EXPECT_EQ(0u, lagg.xstat("rx_dropped_drain_no_room"));
    }
    EXPECT_EQ(before, pool_level());
}

} // namespace
} // namespace lagg::test
