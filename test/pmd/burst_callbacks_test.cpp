// Callbacks of a member within a burst, on a device of ethdev's: net_null.
#include "burst_fixture.h"

#include <rte_bus_vdev.h>

#include <algorithm>
#include <cstdint>
#include <utility>

namespace lagg::pmd {
namespace {

class MemberCallbacks : public Burst {
protected:
    void SetUp() override {
        ASSERT_EQ(rte_vdev_init(name, "copy=0"), 0) << "net_null is needed";
        ASSERT_EQ(rte_eth_dev_get_port_by_name(name, &port), 0);
        rte_eth_conf const conf{};
        std::uint16_t const queues = queue_in_use + 1;
        ASSERT_EQ(rte_eth_dev_configure(port, queues, queues, &conf), 0);
        for (std::uint16_t q = 0; q < queues; ++q) {
            ASSERT_EQ(rte_eth_rx_queue_setup(port, q, 64, 0, nullptr, ledger.pool()), 0);
            ASSERT_EQ(rte_eth_tx_queue_setup(port, q, 64, 0, nullptr), 0);
        }
        ASSERT_EQ(rte_eth_dev_start(port), 0);
        snapshot s = view_of(spread::to_one);
        s.polled.push_back({.port = port, .id = 1, .collecting = true});
        s.distributing.push_back({.port = port, .id = 1});
        publish(s);
    }
    void TearDown() override {
        rte_eth_dev_stop(port);
        rte_vdev_uninit(name);
    }

    static constexpr char const* name = "net_null_burst_test";
    port_id port = no_port;
    int called = 0;
};

TEST_F(MemberCallbacks, AreCalledAndKnowThatTheyAreInsideABurst) {
    auto const* const on_tx = rte_eth_add_tx_callback(
        port, queue_in_use,
        [](std::uint16_t, std::uint16_t, rte_mbuf**, std::uint16_t n, void* count) {
            *static_cast<int*>(count) += inside_burst ? n : 1000;
            return n;
        },
        &called);
    frames burst = make_frames(3);
    EXPECT_EQ(lagg_tx_burst(tx.get(), burst.data(), 3), 3U);
    EXPECT_EQ(called, 3);
    EXPECT_FALSE(inside_burst);

    auto const* const on_rx = rte_eth_add_rx_callback(
        port, queue_in_use,
        [](std::uint16_t, std::uint16_t, rte_mbuf**, std::uint16_t n, std::uint16_t, void* count) {
            *static_cast<int*>(count) += inside_burst ? n : 1000;
            return n;
        },
        &called);
    frames got = receive(4);
    EXPECT_EQ(called, 7);
    EXPECT_FALSE(inside_burst);
    free_all(got);

    rte_eth_remove_tx_callback(port, queue_in_use, on_tx);
    rte_eth_remove_rx_callback(port, queue_in_use, on_rx);
    burst = make_frames(3);
    EXPECT_EQ(lagg_tx_burst(tx.get(), burst.data(), 3), 3U);
    EXPECT_EQ(called, 7);
}

TEST_F(MemberCallbacks, MayWriteToTheListThatOtherMembersAreGiven) {
    auto const* const on_tx = rte_eth_add_tx_callback(
        port, queue_in_use,
        [](std::uint16_t, std::uint16_t, rte_mbuf** list, std::uint16_t n, void* count) {
            *static_cast<int*>(count) += n;
            std::reverse(list, list + n);
            return n;
        },
        &called);
    add_members(2);
    snapshot s = view_of(spread::to_all);
    s.distributing.push_back({.port = port, .id = 0, .keeps_list = true});
    std::swap(s.distributing[0], s.distributing[2]);
    publish(s);
    frames burst = make_frames(150);
    frames const offered = burst;
    EXPECT_EQ(lagg_tx_burst(tx.get(), burst.data(), 150), 150U);
    EXPECT_EQ(called, 150);
    EXPECT_EQ(burst, offered);
    for (auto const& m : members) {
        EXPECT_EQ(m->lists, std::vector<rte_mbuf* const*>{burst.data()});
        EXPECT_EQ(m->held, offered);
    }
    rte_eth_remove_tx_callback(port, queue_in_use, on_tx);
}

} // namespace
} // namespace lagg::pmd
