// The burst functions on snapshots made by hand.  Here what is sent to one, in turn and by flow:
// where every frame goes, who owns it afterwards, what is counted.
#include "burst_fixture.h"

#include "support/seed.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <map>
#include <random>
#include <string>
#include <vector>

namespace lagg::pmd {
namespace {

using TxBurst = Burst;

constexpr std::array<std::size_t, 7> burst_sizes{1, 4, 32, 64, 65, 128, 512};

std::string name_of(spread how) {
    switch (how) {
    case spread::nobody: return "nobody";
    case spread::to_one: return "to_one";
    case spread::in_turn: return "in_turn";
    case spread::by_flow: return "by_flow";
    case spread::by_flow_held: return "by_flow_held";
    case spread::to_all: return "to_all";
    }
    return "?";
}

TEST_F(TxBurst, OwnsEachFrameOnceWhateverMembersTake) {
    add_members(4);
    std::vector<std::vector<std::size_t>> const rooms{{unlimited, unlimited, unlimited, unlimited},
                                                      {0, 0, 0, 0},
                                                      {unlimited, 0, 0, 0},
                                                      {0, 0, 0, unlimited},
                                                      {5, 0, unlimited, 40},
                                                      {1, 2, 3, 4},
                                                      {70, 70, 70, 70}};
    for (spread const how : {spread::to_one, spread::in_turn, spread::by_flow, spread::to_all}) {
        // to_all: 0 to 15: who hands frames on; 16: nobody, and one scribbles over its list
        for (unsigned int hands_on = 0; hands_on < (how == spread::to_all ? 17U : 1U); ++hands_on) {
            members[1]->scribbles = hands_on == 16;
            snapshot s = view_of(how);
            for (std::size_t m = 0; m < 4; ++m) {
                s.distributing[m].hands_on = (hands_on >> m & 1U) != 0;
            }
            while (how == spread::to_one && s.distributing.size() > 1) {
                s.distributing.erase(1);
            }
            publish(s);
            for (auto const& room : rooms) {
                for (std::size_t const size : burst_sizes) {
                    SCOPED_TRACE(name_of(how) + ", burst of " + std::to_string(size) + ", room " +
                                 testing::PrintToString(room) + ", hands on " +
                                 std::to_string(hands_on));
                    for (std::size_t m = 0; m < 4; ++m) {
                        members[m]->room = room[m];
                    }
                    frames burst = make_frames(size);
                    std::uint16_t const n = transmit(burst);
                    if (room[0] == unlimited && (room[1] == unlimited || how == spread::to_one)) {
                        ASSERT_EQ(n, size);
                    }
                    free_all(burst);
                    for (auto const& m : members) {
                        m->sent();
                    }
                    ASSERT_EQ(ledger.in_use(), 0U);
                    ASSERT_FALSE(HasFailure());
                }
            }
        }
    }
    EXPECT_EQ(dropped(drop_reason::tx_copy_no_memory), 0U);
}

// R1
TEST_F(TxBurst, WithoutMembersTakesNothingAndCountsTheBurst) {
    publish(spread::nobody);
    frames burst = make_frames(5);
    EXPECT_EQ(transmit(burst), 0U);
    EXPECT_EQ(tx->stats.bursts_without_member.get(), 1U);
    EXPECT_EQ(lagg_tx_burst(tx.get(), burst.data(), 0), 0U);
    EXPECT_EQ(tx->stats.bursts_without_member.get(), 1U);
    EXPECT_EQ(flow_member(view_of(spread::nobody), *burst[0]), no_port);
    free_all(burst);
}

TEST_F(TxBurst, OnABorrowedQueueTouchesNothing) {
    add_members(1);
    publish(spread::to_one);
    ASSERT_TRUE(published.try_borrow(tx->view));
    frames burst = make_frames(3);
    EXPECT_EQ(lagg_tx_burst(tx.get(), burst.data(), 3), 0U);
    EXPECT_EQ(tx->stats.given_back.get(), 0U);
    EXPECT_EQ(members[0]->tx_bursts, 0U);
    published.give_back(tx->view);
    EXPECT_EQ(transmit(burst), 3U);
}

TEST_F(TxBurst, PassesAnEmptyBurstToASingleMember) {
    add_members(1);
    publish(spread::to_one);
    EXPECT_EQ(lagg_tx_burst(tx.get(), nullptr, 0), 0U);
    EXPECT_EQ(members[0]->tx_bursts, 1U);
}

class TxStride : public TxBurst, public testing::WithParamInterface<std::uint32_t> {};

TEST_P(TxStride, IsFollowedAcrossBursts) {
    std::uint32_t const stride = GetParam();
    add_members(3);
    snapshot s = view_of(spread::in_turn);
    s.stride = stride;
    publish(s);
    frames all;
    for (std::size_t const size : {5U, 64U, 1U, 130U}) {
        frames burst = make_frames(size);
        all.insert(all.end(), burst.begin(), burst.end());
        ASSERT_EQ(transmit(burst), size);
    }
    std::vector<frames> expected(3);
    for (std::size_t i = 0; i < all.size(); ++i) {
        expected[i / stride % 3].push_back(all[i]);
    }
    for (std::size_t m = 0; m < 3; ++m) {
        EXPECT_EQ(members[m]->held, expected[m]);
        EXPECT_EQ(packets_of(m), expected[m].size());
    }
}

// One frame each, frames that are sorted, turns that are handed over as they lie, longer than a
// chunk.
INSTANTIATE_TEST_SUITE_P(Strides, TxStride, testing::Values(1U, 2U, 7U, 8U, 100U));

TEST_F(TxBurst, InTurnKeepsItsCursorWhenMembersLeaveAndJoin) {
    add_members(3);
    publish(spread::in_turn);
    frames burst = make_frames(2);
    ASSERT_EQ(transmit(burst), 2U);

    snapshot two = view_of(spread::in_turn);
    two.distributing.erase(2);
    publish(two);
    burst = make_frames(1);
    frames const first_again = burst;
    ASSERT_EQ(transmit(burst), 1U);
    EXPECT_EQ(members[0]->held.back(), first_again[0]);

    publish(spread::in_turn);
    burst = make_frames(2);
    frames const rest = burst;
    ASSERT_EQ(transmit(burst), 2U);
    EXPECT_EQ(members[1]->held.back(), rest[0]);
    EXPECT_EQ(members[2]->held.back(), rest[1]);
}

TEST_F(TxBurst, ByFlowSendsWhereTheLookupSays) {
    add_members(5);
    snapshot const s = publish(spread::by_flow);
    for (std::size_t const size : burst_sizes) {
        frames burst = make_frames(size);
        std::map<port_id, frames> expected;
        for (rte_mbuf* const frame : burst) {
            expected[flow_member(s, *frame)].push_back(frame);
        }
        ASSERT_EQ(transmit(burst), size);
        for (auto const& m : members) {
            ASSERT_EQ(m->held, expected[m->id()]) << "order of a member's frames";
            m->sent();
        }
    }
    for (std::size_t m = 0; m < members.size(); ++m) {
        EXPECT_GT(packets_of(m), 0U);
    }
}

TEST_F(TxBurst, ByFlowDoesNotDependOnTheBurstAFrameIsIn) {
    add_members(5);
    publish(spread::by_flow);
    for (std::uint32_t flow = 0; flow < 40; ++flow) {
        frames alone{make_frame(flow)};
        ASSERT_EQ(transmit(alone), 1U);
        auto const member = std::find_if(members.begin(), members.end(),
                                         [](auto const& m) { return !m->held.empty(); });
        frames among = make_frames(70);
        among.insert(among.begin() + 66, make_frame(flow));
        rte_mbuf* const other = among[66];
        ASSERT_EQ(transmit(among), 71U);
        EXPECT_EQ(std::count((*member)->held.begin(), (*member)->held.end(), other), 1);
        for (auto const& m : members) {
            m->sent();
        }
    }
}

TEST_F(TxBurst, SendsAtMostOneMemberBurstPerMemberAndChunk) {
    add_members(4);
    for (spread const how : {spread::in_turn, spread::by_flow}) {
        publish(how);
        frames burst = make_frames(64);
        ASSERT_EQ(transmit(burst), 64U);
        for (auto const& m : members) {
            EXPECT_EQ(m->tx_bursts, 1U);
            m->tx_bursts = 0;
        }
    }
}

// A later frame of a flow must not pass an earlier one that its caller will try again.
TEST_F(TxBurst, GivesNothingMoreOfABurstToAMemberThatRefused) {
    add_members(3);
    snapshot const s = publish(spread::by_flow);
    frames burst = make_frames(512);
    frames const offered = burst;
    members[1]->room = 3;
    transmit(burst);
    EXPECT_EQ(members[1]->held.size(), 3U);
    EXPECT_EQ(members[1]->tx_bursts, 1U);
    frames refused;
    for (rte_mbuf* const frame : offered) {
        if (flow_member(s, *frame) == members[1]->id()) {
            refused.push_back(frame);
        }
    }
    refused.erase(refused.begin(), refused.begin() + 3);
    EXPECT_EQ(burst, refused);

    members[1]->room = unlimited;
    EXPECT_EQ(transmit(burst), refused.size());
    EXPECT_EQ(std::vector(members[1]->held.begin() + 3, members[1]->held.end()), refused);
}

// Then it is gone from frame to frame, not from member to member.
TEST_F(TxBurst, ByFlowWithFarMoreMembersThanFramesSendsEachWhatTheLookupSays) {
    test::seed const seed;
    std::mt19937_64 random(seed);
    add_members(16);
    snapshot const s = publish(spread::by_flow);
    for (int round = 0; round < 500; ++round) {
        for (auto const& m : members) {
            m->room = random() % 3 == 0 ? random() % 3 : unlimited;
        }
        frames burst;
        for (std::size_t left = 1 + random() % 4; left > 0; --left) {
            burst.push_back(make_frame(static_cast<std::uint32_t>(random() % 8))); // few flows
        }
        std::vector<frames> sent(members.size());
        frames back;
        for (rte_mbuf* const frame : burst) {
            std::size_t const m = members[0]->id() - flow_member(s, *frame);
            if (sent.at(m).size() < members[m]->room) {
                sent[m].push_back(frame);
            } else {
                back.push_back(frame);
            }
        }
        transmit(burst);
        EXPECT_EQ(burst, back);
        for (std::size_t m = 0; m < members.size(); ++m) {
            EXPECT_EQ(members[m]->held, sent[m]) << m;
            members[m]->sent();
        }
        free_all(burst);
        ASSERT_FALSE(HasFailure()) << "round " << round;
    }
}

TEST_F(TxBurst, GoesOnWithTheOtherMembers) {
    add_members(2);
    publish(spread::in_turn);
    members[0]->room = 0;
    frames burst = make_frames(512);
    EXPECT_EQ(transmit(burst), 256U);
    EXPECT_EQ(members[1]->held.size(), 256U);
    free_all(burst);
}

TEST_F(TxBurst, GivesBackTheFrameThatAMemberPutInPlaceOfARefusedOne) {
    add_members(2);
    publish(spread::in_turn);
    rte_mbuf* const other = make_frame(1);
    members[1]->room = 1;
    members[1]->instead = other;
    frames burst = make_frames(8);
    frames const offered = burst;
    ASSERT_EQ(lagg_tx_burst(tx.get(), burst.data(), 8), 5U);
    burst.erase(burst.begin(), burst.begin() + 5);
    EXPECT_EQ(burst, (frames{other, offered[5], offered[7]}));
    expect_accounted(burst);
    free_all(burst);
}

TEST_F(TxBurst, UsesTheNicsHashOnlyWhereTheRuleWantsItAndTheFrameHasOne) {
    add_members(4);
    snapshot s = view_of(spread::by_flow);
    s.hash.seed = 99;
    s.hash.use_flowid = true;
    s.hash_plan = net::plan_of(s.hash);
    snapshot parsed = s;
    parsed.hash.use_flowid = false;

    frames burst;
    for (std::uint32_t i = 0; i < 200; ++i) {
        rte_mbuf* const frame = make_frame(i);
        frame->hash.rss = i * 0x9e37'79b9U;
        if (i % 3 != 0) {
            frame->ol_flags |= RTE_MBUF_F_RX_RSS_HASH;
        }
        burst.push_back(frame);
        std::uint32_t const mixed = net::mix_flowid(frame->hash.rss, 99);
        port_id const by_nic = members[s.bucket[mixed % bucket_count]]->id();
        ASSERT_EQ(flow_member(s, *frame), i % 3 != 0 ? by_nic : flow_member(parsed, *frame));
    }
    publish(s);
    frames const offered = burst;
    ASSERT_EQ(transmit(burst), offered.size());
    for (auto const& m : members) {
        for (rte_mbuf const* const frame : m->held) {
            ASSERT_EQ(flow_member(s, *frame), m->id());
        }
    }
}

TEST_F(TxBurst, StaysAccountedInAStormOfPoliciesAndRefusals) {
    test::seed const seed;
    std::mt19937_64 random(seed);
    add_members(6);
    frames waiting;
    for (int round = 0; round < 2000; ++round) {
        if (random() % 4 == 0) {
            auto const how = static_cast<spread>(random() % 6);
            for (auto const& m : members) { // else it may be the caller's list
                m->scribbles = how == spread::to_all && random() % 10 == 0;
            }
            snapshot s = view_of(how);
            s.stride = static_cast<std::uint32_t>(1 + random() % (random() % 4 == 0 ? 100 : 9));
            for (std::size_t left = random() % 6; left > 0; --left) {
                s.distributing.erase(random() % s.distributing.size());
            }
            bool const some_hand_on = random() % 2 == 0;
            for (distributing_member& m : s.distributing) {
                m.hands_on = some_hand_on && random() % 3 == 0;
            }
            for (std::uint8_t& owner : s.bucket) {
                owner = static_cast<std::uint8_t>(random() % s.distributing.size());
            }
            s.tx_prepare = random() % 2 == 0;
            publish(s);
        }
        for (auto const& m : members) {
            m->room = random() % 3 == 0 ? random() % 50 : unlimited;
            m->unsound = random() % 5 == 0 ? 7 : 0;
            if (random() % 2 == 0) {
                m->sent();
            }
        }
        frames const more = make_frames(random() % 100);
        waiting.insert(waiting.end(), more.begin(), more.end());
        if (!waiting.empty() && random() % 10 == 0) {
            waiting[random() % waiting.size()]->packet_type = 7;
        }
        if (version > 0) {
            transmit(waiting);
        }
        ASSERT_FALSE(HasFailure()) << "round " << round;
        if (waiting.size() > 600) {
            free_all(waiting);
        }
    }
    free_all(waiting);
}

TEST_F(TxBurst, OnAMemberSendsThereAndNowhereElse) {
    add_members(3);
    snapshot const s = publish(spread::by_flow);
    frames burst = make_frames(20);
    members[1]->room = 15;
    EXPECT_EQ(tx_on(*tx, members[1]->id(), s.version, burst.data(), 20), 15);
    EXPECT_EQ(members[1]->held.size(), 15U);
    EXPECT_EQ(packets_of(1), 15U);
    EXPECT_EQ(tx->stats.packets.get(), 15U);
    EXPECT_EQ(tx->stats.given_back.get(), 5U);
    frames rest(burst.begin() + 15, burst.end());
    expect_accounted(rest);
    free_all(rest);
}

// R13
TEST_F(TxBurst, OnAMemberSendsNothingWhenTheAnswerIsStale) {
    add_members(2);
    snapshot const old = publish(spread::by_flow);
    snapshot next = view_of(spread::by_flow);
    next.distributing.erase(1);
    next.bucket = {};
    snapshot const now = publish(next);
    frames burst = make_frames(4);
    EXPECT_EQ(tx_on(*tx, members[0]->id(), old.version, burst.data(), 4), -1);
    EXPECT_EQ(tx_on(*tx, members[1]->id(), now.version, burst.data(), 4), -1);
    ASSERT_TRUE(published.try_borrow(tx->view));
    EXPECT_EQ(tx_on(*tx, members[0]->id(), now.version, burst.data(), 4), -1);
    published.give_back(tx->view);
    expect_accounted(burst);
    EXPECT_EQ(tx->stats.given_back.get(), 0U);
    free_all(burst);
}

TEST_F(TxBurst, LookupHasNoAnswerWhereAFlowHasNoMember) {
    add_members(2);
    frames burst = make_frames(1);
    EXPECT_EQ(flow_member(view_of(spread::in_turn), *burst[0]), no_port);
    EXPECT_EQ(flow_member(view_of(spread::to_all), *burst[0]), no_port);
    EXPECT_EQ(flow_member(view_of(spread::to_one), *burst[0]), members[0]->id());
    free_all(burst);
}

} // namespace
} // namespace lagg::pmd
