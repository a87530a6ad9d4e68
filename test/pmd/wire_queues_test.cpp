// Queues of a wire: which one feeds which, RSS, flow rules.
#include "wire_fixture.h"

#include <rte_flow.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

namespace wire::test {
namespace {

using WireQueues = Wire;

TEST_F(WireQueues, TxQueueFeedsRxQueueOfItsNumberModuloTheirCount) {
    ASSERT_NO_FATAL_FAILURE(plug_pair());
    setup s;
    s.txq = 5;
    ASSERT_NO_FATAL_FAILURE(bring_up(a, s));
    s.txq = 1;
    s.rxq = 2;
    ASSERT_NO_FATAL_FAILURE(bring_up(b, s));
    for (std::uint16_t q = 0; q < 5; ++q) {
        EXPECT_TRUE(send(a, new_frame(everybody, static_cast<std::uint8_t>(q)), q));
    }
    EXPECT_EQ(rte_eth_rx_queue_count(b, 0), 3);
    EXPECT_EQ(rte_eth_rx_descriptor_status(b, 1, 1), RTE_ETH_RX_DESC_DONE);
    EXPECT_EQ(rte_eth_rx_descriptor_status(b, 1, 2), RTE_ETH_RX_DESC_AVAIL);
    EXPECT_EQ(rte_eth_rx_descriptor_status(b, 1, 256), -EINVAL);
    EXPECT_EQ(rte_eth_tx_descriptor_status(a, 4, 0), RTE_ETH_TX_DESC_DONE);
    EXPECT_EQ(count_received(b, 0), 3U);
    auto const odd = receive(b, 1);
    ASSERT_EQ(odd.size(), 2U);
    EXPECT_EQ(mark_of(odd[0]), 1);
    EXPECT_EQ(mark_of(odd[1]), 3);
    free_all(odd);
}

TEST_F(WireQueues, CopiesIntoTheReceiversPoolWhenToldSo) {
    ASSERT_NO_FATAL_FAILURE(start_pair({}, ",rx=copy", ",rx=copy"));
    EXPECT_TRUE(send(a, new_frame(everybody, 7)));
    EXPECT_TRUE(send(a, new_frame(everybody, 8)));
    EXPECT_TRUE(send(a, new_frame(everybody, 9)));
    std::array<rte_mbuf*, 4> got{};
    ASSERT_EQ(rte_eth_rx_burst(b, 0, got.data(), 1), 1);
    EXPECT_EQ(mark_of(got[0]), 7);
    std::vector<rte_mbuf*> hoard{got[0]};
    while (rte_mbuf* const m = rte_pktmbuf_alloc(pool)) {
        hoard.push_back(m);
    }
    EXPECT_EQ(rte_eth_rx_burst(b, 0, got.data(), 1), 0);
    EXPECT_EQ(counters(b).rx_no_mbuf, 1U);
    rte_eth_stats stats{};
    EXPECT_EQ(rte_eth_stats_get(b, &stats), 0);
    EXPECT_EQ(stats.rx_nombuf, 1U);
    free_all(hoard);
    EXPECT_EQ(count_received(b), 1U) << "the third; the second's buffer is back with the sender";
}

TEST_F(WireQueues, RefusesUnequalCountsWhenToldSo) {
    ASSERT_EQ(plug("net_wire9", "equal_queues=1"), 0);
    rte_eth_conf const conf{};
    EXPECT_EQ(rte_eth_dev_configure(port_named("net_wire9"), 2, 1, &conf), -EINVAL);
    EXPECT_EQ(rte_eth_dev_configure(port_named("net_wire9"), 2, 2, &conf), 0);
}

TEST_F(WireQueues, RssKeepsAFlowOnTheQueueThatItsHashNames) {
    setup s;
    s.rxq = 4;
    s.conf.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
    s.conf.rx_adv_conf.rss_conf.rss_hf = RTE_ETH_RSS_NONFRAG_IPV4_UDP;
    ASSERT_NO_FATAL_FAILURE(start_pair(s));
    for (std::uint16_t flow = 0; flow < 64; ++flow) {
        EXPECT_TRUE(send(a, new_udp(0x0a000100U + flow, static_cast<std::uint16_t>(1000 + flow))));
        EXPECT_TRUE(send(a, new_udp(0x0a000100U + flow, static_cast<std::uint16_t>(1000 + flow))));
    }
    std::size_t total = 0;
    std::size_t busy_queues = 0;
    for (std::uint16_t q = 0; q < 4; ++q) {
        auto const got = receive(b, q);
        total += got.size();
        busy_queues += got.empty() ? 0 : 1;
        EXPECT_EQ(got.size() % 2, 0U) << "both frames of a flow";
        for (rte_mbuf const* m : got) {
            EXPECT_NE(m->ol_flags & RTE_MBUF_F_RX_RSS_HASH, 0U);
            EXPECT_EQ(m->hash.rss % 128 % 4, q);
        }
        free_all(got);
    }
    EXPECT_EQ(total, 128U);
    EXPECT_GT(busy_queues, 1U);
}

TEST_F(WireQueues, RetaMovesAllHashedFramesToOneQueue) {
    setup s;
    s.rxq = 4;
    s.conf.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
    s.conf.rx_adv_conf.rss_conf.rss_hf = RTE_ETH_RSS_IPV4;
    ASSERT_NO_FATAL_FAILURE(start_pair(s));
    std::array<rte_eth_rss_reta_entry64, 2> table{};
    for (auto& group : table) {
        group.mask = UINT64_MAX;
        std::fill(std::begin(group.reta), std::end(group.reta), std::uint16_t{3});
    }
    ASSERT_EQ(rte_eth_dev_rss_reta_update(b, table.data(), 128), 0);
    std::array<rte_eth_rss_reta_entry64, 2> back{};
    back[1].mask = 1;
    ASSERT_EQ(rte_eth_dev_rss_reta_query(b, back.data(), 128), 0);
    EXPECT_EQ(back[1].reta[0], 3);
    for (std::uint16_t flow = 0; flow < 16; ++flow) {
        EXPECT_TRUE(send(a, new_udp(flow, flow)));
    }
    EXPECT_EQ(count_received(b, 3), 16U);
    table[0].reta[0] = 4;
    EXPECT_EQ(rte_eth_dev_rss_reta_update(b, table.data(), 128), -EINVAL);
}

rte_flow* steer(std::uint16_t port, std::uint16_t ether_type, rte_flow_action action) {
    rte_flow_attr attr{};
    attr.ingress = 1;
    rte_flow_item_eth spec{};
    rte_flow_item_eth mask{};
    spec.hdr.ether_type = rte_cpu_to_be_16(ether_type);
    mask.hdr.ether_type = 0xffff;
    rte_flow_item pattern[2]{};
    pattern[0].type = RTE_FLOW_ITEM_TYPE_ETH;
    pattern[0].spec = &spec;
    pattern[0].mask = &mask;
    pattern[1].type = RTE_FLOW_ITEM_TYPE_END;
    rte_flow_action actions[2]{action, {RTE_FLOW_ACTION_TYPE_END, nullptr}};
    rte_flow_error error{};
    if (rte_flow_validate(port, &attr, pattern, actions, &error) != 0) {
        return nullptr;
    }
    return rte_flow_create(port, &attr, pattern, actions, &error);
}

TEST_F(WireQueues, AFlowRuleSteersItsEtherTypeUntilItIsDestroyed) {
    setup s;
    s.rxq = 2;
    ASSERT_NO_FATAL_FAILURE(start_pair(s));
    rte_flow_action_queue const queue{1};
    rte_flow* const rule = steer(b, 0x8809, {RTE_FLOW_ACTION_TYPE_QUEUE, &queue});
    ASSERT_NE(rule, nullptr);
    EXPECT_TRUE(send(a, new_frame(everybody, 0x8809, 60)));
    EXPECT_TRUE(send(a, new_frame()));
    EXPECT_EQ(count_received(b, 1), 1U);
    EXPECT_EQ(count_received(b, 0), 1U);
    EXPECT_TRUE(send(a, new_frame(lacp_group, 0x8809, 60)));
    EXPECT_EQ(count_received(b, 1), 0U) << "steering comes after the address filter";
    ASSERT_EQ(rte_flow_destroy(b, rule, nullptr), 0);
    EXPECT_TRUE(send(a, new_frame(everybody, 0x8809, 60)));
    EXPECT_EQ(count_received(b, 0), 1U);
}

TEST_F(WireQueues, AFlowRuleMayDrop) {
    ASSERT_NO_FATAL_FAILURE(start_pair());
    ASSERT_NE(steer(b, 0x8809, {RTE_FLOW_ACTION_TYPE_DROP, nullptr}), nullptr);
    EXPECT_TRUE(send(a, new_frame(everybody, 0x8809, 60)));
    EXPECT_EQ(count_received(b), 0U);
    EXPECT_EQ(counters(b).filtered_flow, 1U);
    EXPECT_EQ(rte_flow_flush(b, nullptr), 0);
    EXPECT_TRUE(send(a, new_frame(everybody, 0x8809, 60)));
    EXPECT_EQ(count_received(b), 1U);
}

TEST_F(WireQueues, RefusesRulesItCannotKeep) {
    ASSERT_NO_FATAL_FAILURE(start_pair());
    rte_flow_action_queue const queue{1};
    EXPECT_EQ(steer(b, 0x8809, {RTE_FLOW_ACTION_TYPE_QUEUE, &queue}), nullptr) << "no queue 1";
    EXPECT_EQ(steer(b, 0x8809, {RTE_FLOW_ACTION_TYPE_FLAG, nullptr}), nullptr);
}

} // namespace
} // namespace wire::test
