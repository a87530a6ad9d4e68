// What tx_prepare refuses, the lagg's own and its members'.
#include "burst_fixture.h"

#include <rte_errno.h>

#include <cerrno>
#include <cstdint>

namespace lagg::pmd {
namespace {

using TxBurst = Burst;

TEST_F(TxBurst, PrepareStopsAtTheFirstFrameThatIsNotSound) {
    struct flaw {
        char const* what;
        void (*make)(rte_mbuf&);
        int error;
    };
    flaw const flaws[] = {
        {"segments not counted", [](rte_mbuf& m) { m.nb_segs = 3; }, EINVAL},
        {"a segment too many", [](rte_mbuf& m) { m.nb_segs = 1; }, EINVAL},
        {"a wrong length", [](rte_mbuf& m) { ++m.pkt_len; }, EINVAL},
        {"checksum of an unknown protocol",
         [](rte_mbuf& m) { m.ol_flags |= RTE_MBUF_F_TX_TCP_CKSUM; }, EINVAL},
        {"TSO without a segment size",
         [](rte_mbuf& m) { m.ol_flags |= RTE_MBUF_F_TX_TCP_SEG | RTE_MBUF_F_TX_IPV6; }, EINVAL},
        {"headers beyond the frame",
         [](rte_mbuf& m) {
             m.ol_flags |= RTE_MBUF_F_TX_UDP_CKSUM | RTE_MBUF_F_TX_IPV4;
             m.l2_len = 14;
             m.l3_len = 60;
         },
         EINVAL},
    };
    for (flaw const& f : flaws) {
        SCOPED_TRACE(f.what);
        frames burst{make_frame(0), make_frame(2), make_frame(1)};
        rte_mbuf& bad = *burst[1];
        std::uint64_t const flags = bad.ol_flags;
        std::uint16_t const segments = bad.nb_segs;
        std::uint32_t const length = bad.pkt_len;
        EXPECT_EQ(lagg_tx_prepare(tx.get(), burst.data(), 3), 3U);
        f.make(bad);
        rte_errno = 0;
        EXPECT_EQ(lagg_tx_prepare(tx.get(), burst.data(), 3), 1U);
        EXPECT_EQ(rte_errno, f.error);
        bad.ol_flags = flags;
        bad.nb_segs = segments;
        bad.pkt_len = length;
        free_all(burst);
    }
}

TEST_F(TxBurst, PreparePassesWellFormedOffloads) {
    frames burst = make_frames(1);
    burst[0]->ol_flags |= RTE_MBUF_F_TX_UDP_CKSUM | RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IP_CKSUM;
    burst[0]->l2_len = 14;
    burst[0]->l3_len = 20;
    EXPECT_EQ(lagg_tx_prepare(tx.get(), burst.data(), 1), 1U);
    free_all(burst);
}

TEST_F(TxBurst, GivesBackWhatAMembersPrepareRefuses) {
    add_members(2);
    snapshot s = view_of(spread::in_turn);
    s.tx_prepare = true;
    publish(s);
    members[0]->unsound = 7;
    frames burst = make_frames(8);
    frames const offered = burst;
    burst[2]->packet_type = 7; // the second one of member 0
    EXPECT_EQ(transmit(burst), 5U);
    EXPECT_EQ(burst, (frames{offered[2], offered[4], offered[6]}));
    EXPECT_EQ(members[1]->held, (frames{offered[1], offered[3], offered[5], offered[7]}));
    free_all(burst);
}

TEST_F(TxBurst, LeavesPrepareAloneWhereNoOffloadWasConfigured) {
    add_members(1);
    publish(spread::to_one);
    members[0]->unsound = 7;
    frames burst = make_frames(3);
    burst[0]->packet_type = 7;
    EXPECT_EQ(transmit(burst), 3U);
}

} // namespace
} // namespace lagg::pmd
