// Start, stop and the administrative state.
#include "fixture.h"

namespace lagg::test {
namespace {

TEST(RunState, MarksItsQueuesAsStartedAndStopped) {
    vdev const member = sink();
    lagg_port lagg("policy=loadbalance,member=" + member.name());
    ASSERT_TRUE(lagg.ok());
    lagg.start();
    rte_eth_rxq_info rx{};
    rte_eth_txq_info tx{};
    ASSERT_EQ(0, rte_eth_rx_queue_info_get(lagg.id(), 0, &rx));
    ASSERT_EQ(0, rte_eth_tx_queue_info_get(lagg.id(), 0, &tx));
    EXPECT_EQ(RTE_ETH_QUEUE_STATE_STARTED, rx.queue_state);
    EXPECT_EQ(RTE_ETH_QUEUE_STATE_STARTED, tx.queue_state);
    ASSERT_EQ(0, rte_eth_dev_stop(lagg.id()));
    ASSERT_EQ(0, rte_eth_rx_queue_info_get(lagg.id(), 0, &rx));
    EXPECT_EQ(RTE_ETH_QUEUE_STATE_STOPPED, rx.queue_state);
}

}  // namespace
}  // namespace lagg::test
