// The books of a wire, also while it is torn at.
#include "wire_fixture.h"

#include <array>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <random>
#include <string>
#include <thread>

namespace wire::test {
namespace {

using WireStats = Wire;
using WireStorm = Wire;

TEST_F(WireStats, CountPacketsAndBytesOnceAndForgetThemOnReset) {
    setup s;
    s.rxq = 2;
    s.txq = 2;
    ASSERT_NO_FATAL_FAILURE(start_pair(s));
    EXPECT_TRUE(send(a, new_frame(), 1));
    EXPECT_EQ(count_received(b, 1), 1U);
    rte_eth_stats tx;
    rte_eth_stats rx;
    ASSERT_EQ(rte_eth_stats_get(a, &tx), 0);
    ASSERT_EQ(rte_eth_stats_get(b, &rx), 0);
    EXPECT_EQ(tx.opackets, 1U);
    EXPECT_EQ(tx.obytes, 60U);
    EXPECT_EQ(rx.ipackets, 1U);
    EXPECT_EQ(rx.ibytes, 60U);
    ASSERT_EQ(rte_eth_stats_reset(a), 0);
    ASSERT_EQ(rte_eth_stats_get(a, &tx), 0);
    EXPECT_EQ(tx.opackets, 0U);
    EXPECT_EQ(tx.obytes, 0U);
    EXPECT_EQ(counters(a).sent, 1U) << "the faults API counts on";
    std::uint64_t id = 0;
    std::uint64_t of_queue = 1;
    ASSERT_EQ(rte_eth_xstats_get_id_by_name(a, "tx_q1_packets", &id), 0);
    ASSERT_EQ(rte_eth_xstats_get_by_id(a, &id, &of_queue, 1), 1);
    EXPECT_EQ(of_queue, 0U);
    EXPECT_TRUE(send(a, new_frame(), 1));
    ASSERT_EQ(rte_eth_xstats_get_by_id(a, &id, &of_queue, 1), 1);
    EXPECT_EQ(of_queue, 1U);
}

TEST_F(WireStats, OutliveThePeerThatTheyAreAbout) {
    ASSERT_NO_FATAL_FAILURE(start_pair());
    EXPECT_TRUE(send(b, new_frame(stranger)));
    ASSERT_EQ(rte_eth_dev_stop(b), 0);
    ASSERT_EQ(rte_vdev_uninit("net_wire1"), 0);
    EXPECT_EQ(counters(a).filtered_mac, 1U);
    ASSERT_EQ(plug("net_wire1", ""), 0);
    b = port_named("net_wire1");
    ASSERT_NO_FATAL_FAILURE(bring_up(b));
    EXPECT_TRUE(send(b, new_frame(stranger)));
    EXPECT_EQ(counters(a).filtered_mac, 2U);
}

TEST_F(WireStats, ShowTheReasonsOfDropsAsXstats) {
    ASSERT_NO_FATAL_FAILURE(start_pair());
    EXPECT_TRUE(send(a, new_frame(stranger)));
    std::uint64_t id = 0;
    std::uint64_t value = 0;
    ASSERT_EQ(rte_eth_xstats_get_id_by_name(b, "wire_filtered_mac", &id), 0);
    ASSERT_EQ(rte_eth_xstats_get_by_id(b, &id, &value, 1), 1);
    EXPECT_EQ(value, 1U);
    ASSERT_EQ(rte_eth_xstats_reset(b), 0);
    ASSERT_EQ(rte_eth_xstats_get_by_id(b, &id, &value, 1), 1);
    EXPECT_EQ(value, 0U);
}

/// One thread sends from `a`, one polls `b`, this one tears at the wire. Every frame handed over is
/// given back, counted as dropped, or received; and every mbuf comes home (TearDown).
TEST_F(WireStorm, KeepsTheBooksWhileTheWireIsTornAt) {
    unsigned const seed = std::random_device{}();
    std::mt19937 random(seed);
    SCOPED_TRACE("seed " + std::to_string(seed));
    ASSERT_NO_FATAL_FAILURE(start_pair({}, ",down=drop", ",ring=64,full=drop"));

    std::atomic<bool> stop_sending{false};
    std::uint64_t handed_over = 0;
    std::uint64_t given_back = 0;
    std::thread sender([&] {
        std::array<rte_mbuf*, 16> burst;
        while (!stop_sending) {
            if (rte_pktmbuf_alloc_bulk(pool, burst.data(), burst.size()) != 0) {
                continue;
            }
            for (rte_mbuf* m : burst) {
                auto* const data = rte_pktmbuf_append(m, 60);
                std::memset(data, 0xff, 60);
            }
            if (handed_over % 5 == 0) {
                rte_mbuf_refcnt_update(burst[3], 1);
            }
            rte_mbuf* const shared = handed_over % 5 == 0 ? burst[3] : nullptr;
            std::uint16_t const n = rte_eth_tx_burst(a, 0, burst.data(), burst.size());
            handed_over += burst.size();
            given_back += burst.size() - n;
            for (std::size_t i = n; i < burst.size(); ++i) {
                rte_pktmbuf_free(burst[i]);
            }
            rte_pktmbuf_free(shared);
        }
    });
    // ethdev forbids to stop a port under a burst of its own; the receiver pauses for that.
    std::atomic<int> receiver_state{1}; // 1 polls, 2 asked to pause, 3 pauses, 0 ends
    std::thread receiver([&] {
        while (int const state = receiver_state) {
            if (state == 2) {
                receiver_state = 3;
            } else if (state == 1) {
                count_received(b);
            }
            std::this_thread::yield();
        }
    });
    auto const pause_receiver = [&] {
        receiver_state = 2;
        while (receiver_state != 3) {
            std::this_thread::yield();
        }
    };

    // Counters of ends that were closed are gone with them.
    std::uint64_t settled_before = 0;
    for (int step = 0; step < 600; ++step) {
        switch (random() % 10) {
        case 0: {
            rte_pmd_wire_cut(random() % 2 == 0 ? a : b);
            std::uint64_t const crossed = rte_pmd_wire_sent(a);
            for (int look = 0; look < 20; ++look) {
                std::this_thread::yield();
                EXPECT_EQ(rte_pmd_wire_sent(a), crossed) << "a frame crossed after the cut";
            }
            break;
        }
        case 1: rte_pmd_wire_cut_silent(b); break;
        case 2: rte_pmd_wire_refuse(a, random() % 16); break;
        case 3: rte_pmd_wire_refuse(a, UINT32_MAX); break;
        case 4:
            rte_eth_dev_set_mtu(b, static_cast<std::uint16_t>(random() % 2 == 0 ? 70 : 1500));
            break;
        case 5: rte_eth_promiscuous_enable(b); break;
        case 6: rte_eth_promiscuous_disable(b); break;
        case 7:
            pause_receiver();
            EXPECT_EQ(rte_eth_dev_stop(b), 0);
            EXPECT_EQ(rte_eth_dev_start(b), 0);
            receiver_state = 1;
            break;
        case 8:
            pause_receiver();
            EXPECT_EQ(rte_eth_dev_stop(b), 0);
            settled_before += settled(counters(b));
            EXPECT_EQ(rte_vdev_uninit("net_wire1"), 0);
            EXPECT_EQ(plug("net_wire1", "ring=64,full=drop"), 0);
            EXPECT_EQ(port_named("net_wire1"), b);
            bring_up(b);
            receiver_state = 1;
            break;
        default: rte_pmd_wire_heal(a); break;
        }
    }
    stop_sending = true;
    sender.join();
    receiver_state = 0;
    receiver.join();
    count_received(b);

    auto const at_a = counters(a);
    EXPECT_EQ(handed_over, taken(at_a) + given_back);
    EXPECT_EQ(given_back, at_a.refused);
    EXPECT_EQ(at_a.sent, settled_before + settled(counters(b)));
    EXPECT_GT(at_a.sent, 0U);
}

} // namespace
} // namespace wire::test
