// Bursts under broadcast: one frame for many members, and the references to it.
#include "burst_fixture.h"

#include <algorithm>
#include <cstdint>

namespace lagg::pmd {
namespace {

using ToAll = Burst;

TEST_F(ToAll, GivesEachMemberTheSameFramesAndCountsThemOnce) {
    add_members(4);
    publish(spread::to_all);
    frames burst = make_frames(100);
    frames const offered = burst;
    EXPECT_EQ(transmit(burst), 100U);
    for (std::size_t m = 0; m < 4; ++m) {
        EXPECT_EQ(members[m]->held, offered);
        EXPECT_EQ(packets_of(m), 100U);
    }
    EXPECT_EQ(rte_mbuf_refcnt_read(offered[0]), 4U);
}

TEST_F(ToAll, HandsOutTheCallersWholeListWhereAllDriversKeepIt) {
    add_members(3);
    publish(spread::to_all);
    frames burst = make_frames(150);
    rte_mbuf** const list = burst.data();
    EXPECT_EQ(lagg_tx_burst(tx.get(), list, 150), 150U);
    for (auto const& m : members) {
        EXPECT_EQ(m->lists, std::vector<rte_mbuf* const*>{list});
    }
}

TEST_F(ToAll, GivesEachMemberAListOfItsOwnWhereOneScribblesOverIt) {
    add_members(3);
    members[1]->scribbles = true;
    publish(spread::to_all);
    frames burst = make_frames(100);
    frames const offered = burst;
    EXPECT_EQ(lagg_tx_burst(tx.get(), burst.data(), 100), 100U);
    EXPECT_EQ(burst, offered);
    for (auto const& m : members) {
        EXPECT_EQ(m->held, offered);
    }
}

// D1
TEST_F(ToAll, LeavesFramesThatNobodyTookUntouched) {
    add_members(4);
    publish(spread::to_all);
    for (auto const& m : members) {
        m->room = 0;
    }
    frames burst = make_frames(70);
    frames const offered = burst;
    unsigned int const in_use = ledger.in_use();
    EXPECT_EQ(transmit(burst), 0U);
    EXPECT_EQ(burst, offered);
    EXPECT_EQ(ledger.in_use(), in_use);
    for (rte_mbuf const* const frame : burst) {
        EXPECT_EQ(rte_mbuf_refcnt_read(frame), 1U);
    }
    EXPECT_EQ(dropped(drop_reason::tx_copy_refused), 0U);
    free_all(burst);
}

TEST_F(ToAll, RestoresTheReferencesThatAnApplicationHadAdded) {
    add_members(3);
    publish(spread::to_all);
    for (auto const& m : members) {
        m->room = 0;
    }
    frames burst{make_frame(2)}; // of two segments
    rte_pktmbuf_refcnt_update(burst[0], 2);
    EXPECT_EQ(lagg_tx_burst(tx.get(), burst.data(), 1), 0U);
    EXPECT_EQ(rte_mbuf_refcnt_read(burst[0]), 3U);
    EXPECT_EQ(rte_mbuf_refcnt_read(burst[0]->next), 3U);
    rte_pktmbuf_refcnt_update(burst[0], -2);
    free_all(burst);
}

// Owners are counted of several frames together: the one that is unlike the others may be any.
TEST_F(ToAll, CountsItsOwnersWhereverAFrameOfSeveralOwnersOrSegmentsIs) {
    add_members(3);
    publish(spread::to_all);
    for (std::size_t size = 1; size <= 23; ++size) {
        for (std::size_t odd = 0; odd <= size; ++odd) { // size: all are alike
            for (bool const in_parts : {false, true}) {
                frames burst;
                for (std::size_t i = 0; i < size; ++i) {
                    bool const two = i == odd && in_parts;
                    burst.push_back(two ? make_frame(2) : make_frame_to(test::mac(100)));
                }
                std::uint16_t const before = in_parts ? 1 : 3;
                if (odd < size) {
                    rte_mbuf_refcnt_set(burst[odd], before);
                }
                ASSERT_EQ(lagg_tx_burst(tx.get(), burst.data(), static_cast<std::uint16_t>(size)),
                          size);
                for (std::size_t i = 0; i < size; ++i) {
                    for (rte_mbuf* part = burst[i]; part != nullptr; part = part->next) {
                        ASSERT_EQ(rte_mbuf_refcnt_read(part), (i == odd ? before : 1) + 2)
                            << i << " of " << size << ", " << odd << " is odd";
                    }
                    rte_mbuf_refcnt_set(burst[i], 3); // the members' own
                }
                for (auto const& m : members) {
                    m->sent();
                }
            }
        }
    }
}

TEST_F(ToAll, TakesWhatTheMostSuccessfulMemberTookAndCountsTheMissingCopies) {
    add_members(3);
    publish(spread::to_all);
    members[0]->room = 2;
    members[1]->room = 9;
    members[2]->room = 0;
    frames burst = make_frames(12);
    EXPECT_EQ(transmit(burst), 9U);
    EXPECT_EQ(burst.size(), 3U);
    EXPECT_EQ(dropped(drop_reason::tx_copy_refused), (9U - 2U) + 9U);
    free_all(burst);
}

TEST_F(ToAll, GivesMembersThatHandFramesOnCopiesOfTheirOwn) {
    add_members(4);
    snapshot s = view_of(spread::to_all);
    s.distributing[1].hands_on = true;
    s.distributing[3].hands_on = true;
    publish(s);
    frames burst = make_frames(65);
    frames const offered = burst;
    ASSERT_EQ(transmit(burst), 65U);
    EXPECT_EQ(members[0]->held, offered);
    EXPECT_EQ(members[2]->held, offered);
    for (std::size_t const m : {1U, 3U}) {
        ASSERT_EQ(members[m]->held.size(), 65U);
        for (std::size_t i = 0; i < 65; ++i) {
            rte_mbuf const* const copy = members[m]->held[i];
            EXPECT_EQ(test::bytes_of(*copy), test::bytes_of(*offered[i]));
            EXPECT_EQ(rte_mbuf_refcnt_read(copy), 1U);
            EXPECT_TRUE(RTE_MBUF_DIRECT(copy));
            EXPECT_EQ(std::count(offered.begin(), offered.end(), copy), 0);
        }
    }
}

TEST_F(ToAll, SparesOneCopyWhereAllMembersHandFramesOn) {
    add_members(3);
    snapshot s = view_of(spread::to_all);
    for (distributing_member& m : s.distributing) {
        m.hands_on = true;
    }
    publish(s);
    rte_mbuf* const frame = make_frame(0); // of one segment
    frames burst{frame};
    ASSERT_EQ(transmit(burst), 1U);
    EXPECT_EQ(ledger.in_use(), 3U);
    EXPECT_EQ(members[0]->held, frames{frame});
}

TEST_F(ToAll, TreatsACopyThatCannotBeMadeAsRefusedByThatMember) {
    add_members(2);
    snapshot s = view_of(spread::to_all);
    s.distributing[1].hands_on = true;
    publish(s);
    frames burst;
    for (std::uint32_t i = 0; i < 10; ++i) {
        burst.push_back(make_frame(3 * i)); // of one segment
    }
    frames rest;
    while (ledger.in_use() < 8191 - 4) {
        rest.push_back(rte_pktmbuf_alloc(ledger.pool()));
    }
    EXPECT_EQ(lagg_tx_burst(tx.get(), burst.data(), 10), 10U);
    EXPECT_EQ(members[0]->held.size(), 10U);
    EXPECT_EQ(members[1]->held.size(), 4U);
    EXPECT_EQ(dropped(drop_reason::tx_copy_no_memory), 6U);
    EXPECT_EQ(dropped(drop_reason::tx_copy_refused), 0U);
    free_all(rest);
}

TEST_F(ToAll, CopiesIndirectFramesIntoThePoolOfTheirData) {
    test::mbuf_ledger handles(15, "handles");
    add_members(2);
    snapshot s = view_of(spread::to_all);
    s.distributing[1].hands_on = true;
    publish(s);
    rte_mbuf* const data = make_frame(0);
    frames burst{rte_pktmbuf_clone(data, handles.pool())};
    test::bytes const bytes = test::bytes_of(*data);
    ASSERT_EQ(lagg_tx_burst(tx.get(), burst.data(), 1), 1U);
    ASSERT_EQ(members[1]->held.size(), 1U);
    EXPECT_EQ(members[1]->held[0]->pool, ledger.pool());
    EXPECT_EQ(test::bytes_of(*members[1]->held[0]), bytes);
    members[0]->sent();
    members[1]->sent();
    EXPECT_EQ(rte_mbuf_refcnt_read(data), 1U);
    rte_pktmbuf_free(data);
}

TEST_F(ToAll, PreparesForAllMembersBeforeAnyOfThemSends) {
    add_members(3);
    snapshot s = view_of(spread::to_all);
    s.tx_prepare = true;
    publish(s);
    members[2]->unsound = 7;
    frames burst = make_frames(6);
    burst[4]->packet_type = 7;
    EXPECT_EQ(transmit(burst), 6U);
    EXPECT_EQ(members[2]->held.size(), 4U);
    EXPECT_EQ(dropped(drop_reason::tx_copy_refused), 2U);
}

} // namespace
} // namespace lagg::pmd
