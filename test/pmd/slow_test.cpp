// Control's frames in and out of a lagg, whatever its application does: the class alone.  Here what
// a burst takes for control, and the queue that a member has to spare.
#include "slow_fixture.h"

#include <gmock/gmock.h>

#include <chrono>
#include <cstdint>
#include <cstring>
#include <vector>

namespace lagg::pmd {
namespace {

using namespace std::chrono_literals;
using test::vdev;
using testing::ElementsAre;
using SlowReceive = ControlFrames;

TEST_F(SlowReceive, ABurstGivesControlTheFramesAndTheApplicationTheRestInOrder) {
    arrive(0, {data(1), slow(1, 7), data(2), slow(2, 8), data(3)});
    EXPECT_THAT(poll(), ElementsAre(1, 2, 3));
    visit(1ms);
    ASSERT_EQ(2U, heard.size());
    EXPECT_EQ(id(0), heard[0].id);
    EXPECT_EQ(124, heard[0].length);
    EXPECT_EQ(1, heard[0].bytes[14]);
    EXPECT_EQ(7, heard[0].bytes[16]);
    EXPECT_EQ(2, heard[1].bytes[14]);
    EXPECT_EQ(8, heard[1].bytes[16]);
    EXPECT_EQ(2U, rx->stats.slow_taken.get());
    EXPECT_EQ(3U, rx->stats.packets.get());
}

TEST_F(SlowReceive, AMemberThatDoesNotCollectIsHeardAllTheSame) {
    publish({false, true});
    arrive(0, {slow(), data(1)});
    arrive(1, {data(2)});
    EXPECT_THAT(poll(), ElementsAre(2));
    visit(1ms);
    EXPECT_EQ(1U, heard_from(0));
    EXPECT_EQ(1U, dropped(drop_reason::rx_not_collecting));
}

TEST_F(SlowReceive, OtherSubtypesTaggedFramesAndStubsAreData) {
    rte_mbuf* const stripped = slow();
    arrive(0, {slow(0), slow(3), slow(10),
               frame_of(test::frame_builder()
                            .eth(test::slow_protocols_mac, test::mac(3))
                            .vlan(5)
                            .slow_protocol(1)
                            .pad_to(124)
                            .build()),
               frame_of(test::bytes{1, 0x80, 0xc2, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x88, 0x09})});
    EXPECT_EQ(5U, poll().size());
    EXPECT_TRUE(is_slow(*stripped));
    stripped->ol_flags |= RTE_MBUF_F_RX_VLAN | RTE_MBUF_F_RX_VLAN_STRIPPED;
    EXPECT_FALSE(is_slow(*stripped));
    rte_pktmbuf_free(stripped);
    visit(1ms);
    EXPECT_TRUE(heard.empty());
}

TEST_F(SlowReceive, WithoutLacpTheyAreDataAndControlIsInNoHurry) {
    publish({true, true}, false);
    arrive(0, {slow(), data(1)});
    EXPECT_EQ(2U, poll().size());
    EXPECT_EQ(never, visit(1ms));
    EXPECT_TRUE(heard.empty());
    EXPECT_EQ(never, visit(10s)) << "nor does it poll for anybody";
    EXPECT_EQ(0U, counters.polls.get());
}

TEST_F(SlowReceive, ALongFrameIsCutAndOneInPartsIsWhole) {
    test::mbuf_ledger ledger(64);
    auto const bytes = test::frame_builder()
                           .eth(test::slow_protocols_mac, test::mac(3))
                           .slow_protocol(1)
                           .payload(400)
                           .build();
    rte_mbuf* list[] = {ledger.make(bytes), ledger.make(bytes, 3)};
    slow_take(*rx, id(1), list, 2);
    EXPECT_EQ(0U, ledger.in_use());
    visit(1ms);
    ASSERT_EQ(2U, heard.size());
    for (auto const& e : heard) {
        EXPECT_EQ(longest_slow_frame, e.length);
        EXPECT_EQ(0, std::memcmp(e.bytes.data(), bytes.data(), e.length));
    }
}

TEST_F(SlowReceive, AFloodOnOneLinkLeavesRoomForTheOthersAndTheirData) {
    for (int round = 0; round < 3; ++round) {
        SCOPED_TRACE(round);
        heard.clear();
        std::vector<rte_mbuf*> flood;
        for (int i = 0; i < 500; ++i) {
            flood.push_back(slow());
        }
        arrive(0, flood);
        std::vector<std::uint32_t> came;
        for (std::uint32_t i = 0; i < 20; ++i) {
            arrive(1, {data(i)});
            auto const some = poll();
            came.insert(came.end(), some.begin(), some.end());
        }
        arrive(1, {slow()});
        poll();
        EXPECT_EQ(20U, came.size()) << "each burst brought the other link's frame";
        visit(time_point{1ms} * (round + 1));
        EXPECT_EQ(slow_frames_per_member, heard_from(0));
        EXPECT_EQ(1U, heard_from(1));
        EXPECT_EQ((round + 1) * (500U - slow_frames_per_member),
                  dropped(drop_reason::rx_slow_no_room));
    }
}

TEST_F(SlowReceive, ControlLooksEveryTenMillisecondsAndSoonerWhileSomebodyWaits) {
    EXPECT_EQ(time_point{11ms}, visit(1ms));
    frames->set_impatient(true);
    EXPECT_EQ(time_point{12ms}, visit(11ms));
    frames->set_impatient(false);
    EXPECT_EQ(time_point{22ms}, visit(12ms));
}

TEST(ControlQueue, AMemberHasOneMoreWhereItCan) {
    unsigned const before = test::pool_level();
    {
        vdev const able = test::sink();
        vdev const equal = test::sink("equal_queues=1");
        vdev const narrow = test::sink("queues=2");
        test::lagg_port lagg("policy=loadbalance,member=" + able.name() +
                             ",member=" + equal.name() + ",member=" + narrow.name());
        ASSERT_TRUE(lagg.ok());
        lagg.start(2);
        EXPECT_EQ(3, rte_eth_devices[able.port()].data->nb_tx_queues);
        EXPECT_EQ(2, rte_eth_devices[able.port()].data->nb_rx_queues);
        EXPECT_EQ(2, rte_eth_devices[equal.port()].data->nb_tx_queues);
        EXPECT_EQ(2, rte_eth_devices[narrow.port()].data->nb_tx_queues);
        EXPECT_EQ(48, test::send(lagg.id(), test::frames(48)));
        EXPECT_EQ(0U, lagg.xstat("control_sent_own_queue"));
        EXPECT_EQ(0U, lagg.xstat("rx_slow_taken"));
    }
    EXPECT_EQ(before, test::pool_level());
}

} // namespace
} // namespace lagg::pmd
