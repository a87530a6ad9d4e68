// The burst functions on snapshots made by hand: where every frame goes, who owns it afterwards,
// what is counted.  Members are entries of ethdev's function table that the test fills itself, so
// that each refusal is scripted; a real device is needed only where ethdev's callbacks are.
#include "lagg_queue.h"

#include "epoch/publisher.h"
#include "net/flow_hash.h"
#include "support/frame_builder.h"
#include "support/mbuf_ledger.h"
#include "support/seed.h"

#include <gtest/gtest.h>

#include <rte_bus_vdev.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace lagg::pmd {
namespace {

using frames = std::vector<rte_mbuf*>;

constexpr std::uint16_t queue_in_use = 2; // not 0, to see that it is passed on
constexpr port_id lagg_port = 77;
constexpr std::size_t unlimited = SIZE_MAX;

/// A port that exists in ethdev's function table only.  It keeps what it takes, as a NIC does until
/// it has sent it.
class scripted_port {
public:
    explicit scripted_port(port_id id) : id_(id), before_(rte_eth_fp_ops[id]) {
        struct rte_eth_fp_ops& ops = rte_eth_fp_ops[id];
        queues_[queue_in_use] = this;
        ops.tx_pkt_burst = take;
        ops.tx_pkt_prepare = check;
        ops.rx_pkt_burst = hand_up;
        ops.txq = {queues_.data(), callbacks_.data()};
        ops.rxq = {queues_.data(), callbacks_.data()};
    }
    ~scripted_port() {
        sent();
        rte_eth_fp_ops[id_] = before_;
        for (rte_mbuf* const frame : arrived) {
            rte_pktmbuf_free(frame);
        }
    }
    scripted_port(scripted_port const&) = delete;
    scripted_port& operator=(scripted_port const&) = delete;

    port_id id() const noexcept { return id_; }

    /// What it holds has left: it lets go of it.
    void sent() {
        for (rte_mbuf* const frame : held) {
            rte_pktmbuf_free(frame);
        }
        held.clear();
    }

    std::size_t room = unlimited; // frames it still takes
    frames held;
    std::size_t tx_bursts = 0;

    std::deque<rte_mbuf*> arrived;
    std::size_t rx_bursts = 0;

    /// Its prepare refuses frames with this packet type; 0: none.
    std::uint32_t unsound = 0;

    /// Put in the place of the first frame that it refuses, which it frees: a driver or a callback
    /// may do so.
    rte_mbuf* instead = nullptr;

private:
    static std::uint16_t take(void* queue, rte_mbuf** burst, std::uint16_t count) {
        auto& self = *static_cast<scripted_port*>(queue);
        ++self.tx_bursts;
        auto const n = static_cast<std::uint16_t>(std::min<std::size_t>(count, self.room));
        self.held.insert(self.held.end(), burst, burst + n);
        self.room -= self.room == unlimited ? 0 : n;
        if (n < count && self.instead != nullptr) {
            rte_pktmbuf_free(burst[n]);
            burst[n] = std::exchange(self.instead, nullptr);
        }
        return n;
    }
    static std::uint16_t check(void* queue, rte_mbuf** burst, std::uint16_t count) {
        auto const& self = *static_cast<scripted_port*>(queue);
        for (std::uint16_t i = 0; i < count; ++i) {
            if (self.unsound != 0 && burst[i]->packet_type == self.unsound) {
                return i;
            }
        }
        return count;
    }
    static std::uint16_t hand_up(void* queue, rte_mbuf** burst, std::uint16_t count) {
        auto& self = *static_cast<scripted_port*>(queue);
        ++self.rx_bursts;
        std::uint16_t n = 0;
        for (; n < count && !self.arrived.empty(); ++n) {
            burst[n] = self.arrived.front();
            self.arrived.pop_front();
        }
        return n;
    }

    port_id id_;
    struct rte_eth_fp_ops before_;
    std::array<void*, queue_in_use + 1> queues_{};
    std::array<void*, queue_in_use + 1> callbacks_{};
};

class Burst : public testing::Test {
protected:
    Burst() {
        tx->queue_id = rx->queue_id = queue_in_use;
        tx->lagg_port = rx->lagg_port = lagg_port;
        EXPECT_TRUE(published.attach(tx->view));
        EXPECT_TRUE(published.attach(rx->view));
    }

    ~Burst() override {
        rte_mbuf* frame = nullptr;
        while (rx->stash.pop(frame)) {
            rte_pktmbuf_free(frame);
        }
    }

    void add_members(std::size_t count) {
        while (members.size() < count) {
            members.push_back(std::make_unique<scripted_port>(
                static_cast<port_id>(RTE_MAX_ETHPORTS - 1 - members.size())));
        }
    }

    /// All members collect and distribute; the member_id of members[i] is i + 1.  Buckets go round.
    snapshot view_of(spread how) const {
        snapshot s;
        s.how = how;
        s.run = run_state::running;
        for (std::size_t i = 0; i < members.size(); ++i) {
            auto const id = static_cast<member_id>(i + 1);
            s.polled.push_back({.port = members[i]->id(), .id = id, .collecting = true});
            s.distributing.push_back({.port = members[i]->id(), .id = id});
        }
        for (std::size_t b = 0; how == spread::by_flow && b < bucket_count; ++b) {
            s.bucket[b] = static_cast<std::uint8_t>(b % members.size());
        }
        return s;
    }

    snapshot publish(snapshot s) {
        s.version = ++version;
        EXPECT_TRUE(published.publish(std::make_unique<snapshot const>(s)));
        return s;
    }
    snapshot publish(spread how) { return publish(view_of(how)); }

    /// The n-th frame: one of `flows` UDP flows, its number in the payload, every third in two
    /// parts.
    rte_mbuf* make_frame(std::uint32_t n, std::uint32_t flows = 40) const {
        auto const flow = static_cast<std::uint16_t>(n % flows);
        test::bytes const bytes =
            test::frame_builder()
                .eth(test::mac(100), test::mac(200))
                .ipv4(test::ip4(10, 0, 0, 1), test::ip4(10, 0, 1, flow % 7U))
                .udp(static_cast<std::uint16_t>(1000 + flow), 53)
                .payload({static_cast<std::uint8_t>(n >> 8), static_cast<std::uint8_t>(n)})
                .pad_to(60)
                .build();
        return ledger.make(bytes, n % 3 == 2 ? 2 : 1);
    }
    frames make_frames(std::size_t count) {
        frames made;
        for (std::size_t i = 0; i < count; ++i) {
            made.push_back(make_frame(next_frame++));
        }
        return made;
    }

    /// A frame to `destination`, in one part.
    rte_mbuf* make_frame_to(net::mac_address const& destination) const {
        return ledger.make(
            test::frame_builder().eth(destination, test::mac(200), 0x88b5).payload(46).build());
    }

    /// Transmits; what came back is the tail of what was offered, in order, and all books agree.
    /// Returns n; `burst` is what the caller has left.
    std::uint16_t transmit(frames& burst) {
        frames const offered = burst;
        std::uint64_t const taken_before = tx->stats.packets.get();
        std::uint64_t const back_before = tx->stats.given_back.get();
        std::uint16_t const n =
            lagg_tx_burst(tx.get(), burst.data(), static_cast<std::uint16_t>(burst.size()));
        EXPECT_LE(n, offered.size());
        EXPECT_TRUE(std::is_permutation(burst.begin(), burst.end(), offered.begin()));
        burst.erase(burst.begin(), burst.begin() + n);
        auto at = offered.begin();
        for (rte_mbuf* const frame : burst) {
            at = std::find(at, offered.end(), frame);
            EXPECT_NE(at, offered.end()) << "given back out of order";
            if (at == offered.end()) {
                break;
            }
        }
        EXPECT_EQ(tx->stats.packets.get() - taken_before, n);
        EXPECT_EQ(tx->stats.given_back.get() - back_before, offered.size() - n);
        expect_accounted(burst);
        return n;
    }

    void expect_accounted(std::span<rte_mbuf* const> callers) {
        frames held;
        for (auto const& m : members) {
            held.insert(held.end(), m->held.begin(), m->held.end());
            held.insert(held.end(), m->arrived.begin(), m->arrived.end());
        }
        ledger.expect_accounted({callers, held});
    }

    frames receive(std::uint16_t count) {
        frames burst(count, nullptr);
        std::uint64_t const before = rx->stats.packets.get();
        std::uint16_t const n = lagg_rx_burst(rx.get(), burst.data(), count);
        EXPECT_LE(n, count);
        EXPECT_EQ(rx->stats.packets.get() - before, n);
        burst.resize(n);
        for (rte_mbuf const* const frame : burst) {
            EXPECT_EQ(frame->port, lagg_port);
        }
        return burst;
    }

    static void free_all(frames& burst) {
        for (rte_mbuf* const frame : burst) {
            rte_pktmbuf_free(frame);
        }
        burst.clear();
    }

    std::uint64_t dropped(drop_reason why) const {
        return tx->stats.drops[static_cast<std::size_t>(why)].get() +
               rx->stats.drops[static_cast<std::size_t>(why)].get();
    }
    std::uint64_t packets_of(std::size_t member) const {
        return tx->stats.member_packets[member + 1].get();
    }

    test::mbuf_ledger ledger{8191};
    std::vector<std::unique_ptr<scripted_port>> members;
    epoch::fence_kind const kind = epoch::choose_fence();
    epoch::control_fence fence{kind};
    std::unique_ptr<tx_queue> const tx = std::make_unique<tx_queue>(kind);
    std::unique_ptr<rx_queue> const rx = std::make_unique<rx_queue>(kind);
    epoch::publisher<snapshot> published{fence};
    std::uint64_t version = 0;
    std::uint32_t next_frame = 0;
};

using TxBurst = Burst;
using RxBurst = Burst;
using ToAll = Burst;

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
        for (unsigned int hands_on = 0; hands_on < (how == spread::to_all ? 16U : 1U); ++hands_on) {
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

TEST_F(TxBurst, StaysAccountedInAStormOfPoliciesAndRefusals) {
    test::seed const seed;
    std::mt19937_64 random(seed);
    add_members(6);
    frames waiting;
    for (int round = 0; round < 2000; ++round) {
        if (random() % 4 == 0) {
            snapshot s = view_of(static_cast<spread>(random() % 5));
            s.stride = static_cast<std::uint32_t>(1 + random() % (random() % 4 == 0 ? 100 : 9));
            for (std::size_t left = random() % 6; left > 0; --left) {
                s.distributing.erase(random() % s.distributing.size());
            }
            for (distributing_member& m : s.distributing) {
                m.hands_on = random() % 3 == 0;
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

// --- to all
// ---------------------------------------------------------------------------------------

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

// --- on one member, by the caller's choice
// --------------------------------------------------------

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

// --- prepare
// --------------------------------------------------------------------------------------

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

// --- receive
// --------------------------------------------------------------------------------------

TEST_F(RxBurst, WithoutMembersReturnsNothing) {
    publish(spread::nobody);
    EXPECT_TRUE(receive(32).empty());
}

TEST_F(RxBurst, HandsUpWhatMembersReceivedAsTheLaggsOwn) {
    add_members(3);
    publish(spread::by_flow);
    frames const sent = make_frames(9);
    for (std::size_t i = 0; i < 9; ++i) {
        sent[i]->port = members[i / 3]->id();
        members[i / 3]->arrived.push_back(sent[i]);
    }
    frames got = receive(32);
    EXPECT_EQ(got, sent);
    for (std::size_t m = 0; m < 3; ++m) {
        EXPECT_EQ(rx->stats.member_packets[m + 1].get(), 3U);
    }
    free_all(got);
}

TEST_F(RxBurst, IsFairToMembersThatAllHaveABacklog) {
    add_members(3);
    publish(spread::by_flow);
    for (auto const& m : members) {
        for (frames const more = make_frames(600); rte_mbuf* const frame : more) {
            m->arrived.push_back(frame);
        }
    }
    for (int burst = 0; burst < 30; ++burst) {
        frames got = receive(32);
        ASSERT_EQ(got.size(), 32U);
        free_all(got);
    }
    for (auto const& m : members) {
        EXPECT_EQ(m->arrived.size(), 600U - 320U);
    }
}

TEST_F(RxBurst, GivesAMemberBesideABusyOneItsWholeBurst) {
    add_members(2);
    publish(spread::by_flow);
    for (frames const more = make_frames(400); rte_mbuf* const frame : more) {
        members[1]->arrived.push_back(frame);
    }
    for (int burst = 0; burst < 20; ++burst) {
        for (frames const more = make_frames(31); rte_mbuf* const frame : more) {
            members[0]->arrived.push_back(frame);
        }
        frames got = receive(32);
        free_all(got);
    }
    EXPECT_LE(members[1]->arrived.size(), 100U);
}

// D16, and R11 for members that stopped collecting
TEST_F(RxBurst, DrainsMembersThatDoNotCollect) {
    add_members(2);
    snapshot s = view_of(spread::to_one);
    s.polled[0].collecting = false;
    publish(s);
    frames const stale = make_frames(40);
    frames const good = make_frames(5);
    members[0]->arrived.assign(stale.begin(), stale.end());
    members[1]->arrived.assign(good.begin(), good.end());
    frames got = receive(32);
    EXPECT_EQ(got, good);
    EXPECT_EQ(dropped(drop_reason::rx_not_collecting), 32U);
    free_all(got);
    EXPECT_TRUE(receive(32).empty());
    EXPECT_EQ(dropped(drop_reason::rx_not_collecting), 40U);
    EXPECT_EQ(ledger.in_use(), 0U);

    s.polled[0].collecting = true; // failover: nothing old comes up
    publish(s);
    EXPECT_TRUE(receive(32).empty());
}

// R11
TEST_F(RxBurst, DoesNotAskAMemberThatIsGone) {
    add_members(2);
    publish(spread::by_flow);
    ASSERT_TRUE(receive(32).empty());
    snapshot s = view_of(spread::by_flow);
    s.polled.erase(1);
    publish(s);
    members[0]->rx_bursts = members[1]->rx_bursts = 0;
    for (frames const more = make_frames(3); rte_mbuf* const frame : more) {
        members[1]->arrived.push_back(frame);
    }
    for (int burst = 0; burst < 4; ++burst) {
        EXPECT_TRUE(receive(32).empty());
    }
    EXPECT_EQ(members[0]->rx_bursts, 4U);
    EXPECT_EQ(members[1]->rx_bursts, 0U);

    s.polled.clear();
    publish(s);
    EXPECT_TRUE(receive(32).empty());
    EXPECT_EQ(members[0]->rx_bursts, 4U);
}

TEST_F(RxBurst, DropsForeignUnicastOfMembersThatArePromiscuousForUs) {
    add_members(2);
    snapshot s = view_of(spread::by_flow);
    s.polled[0].filter = true;
    s.accept.push_back(test::mac(1));
    s.accept.push_back(test::mac(2));
    publish(s);
    frames sent;
    for (net::mac_address const& to :
         {test::mac(9), test::mac(1), test::broadcast_mac, test::mac(8), test::mac(2),
          test::slow_protocols_mac, test::mac(7)}) {
        sent.push_back(make_frame_to(to));
    }
    members[0]->arrived.assign(sent.begin(), sent.end());
    rte_mbuf* const unfiltered = make_frame_to(test::mac(9));
    members[1]->arrived.push_back(unfiltered);
    frames got = receive(32);
    EXPECT_EQ(got, (frames{sent[1], sent[2], sent[4], sent[5], unfiltered}));
    EXPECT_EQ(dropped(drop_reason::rx_foreign_unicast), 3U);
    EXPECT_EQ(ledger.in_use(), 5U);
    free_all(got);
}

TEST_F(RxBurst, FilterDoesNotReadBehindAShortFrame) {
    add_members(1);
    snapshot s = view_of(spread::to_one);
    s.polled[0].filter = true;
    publish(s);
    rte_mbuf* const runt = ledger.make(std::vector<std::uint8_t>{0x02, 0, 0, 0, 0});
    members[0]->arrived.push_back(runt);
    frames got = receive(32);
    EXPECT_EQ(got, frames{runt});
    free_all(got);
}

TEST_F(RxBurst, DeliversTheStashFirst) {
    add_members(1);
    publish(spread::to_one);
    frames const kept = make_frames(40);
    for (rte_mbuf* const frame : kept) {
        ASSERT_TRUE(rx->stash.push(frame));
    }
    frames const fresh = make_frames(3);
    members[0]->arrived.assign(fresh.begin(), fresh.end());
    frames got = receive(32);
    EXPECT_EQ(got, frames(kept.begin(), kept.begin() + 32));
    EXPECT_EQ(members[0]->rx_bursts, 0U);
    free_all(got);
    got = receive(32);
    frames expected(kept.begin() + 32, kept.end());
    expected.insert(expected.end(), fresh.begin(), fresh.end());
    EXPECT_EQ(got, expected);
    free_all(got);
}

TEST_F(RxBurst, DeliversTheStashWhereNoMemberIsLeft) {
    snapshot s = view_of(spread::nobody);
    publish(s);
    rte_mbuf* const kept = make_frame(0);
    ASSERT_TRUE(rx->stash.push(kept));
    frames got = receive(32);
    EXPECT_EQ(got, frames{kept});
    free_all(got);
}

// R12
TEST_F(RxBurst, KeepsTheStashWhileThePortDoesNotRun) {
    rte_mbuf* const kept = make_frame(0);
    ASSERT_TRUE(rx->stash.push(kept));
    for (run_state const state : {run_state::stopped, run_state::admin_down}) {
        snapshot s = view_of(spread::nobody);
        s.run = state;
        publish(s);
        EXPECT_TRUE(receive(32).empty());
    }
    publish(spread::nobody);
    frames got = receive(32);
    EXPECT_EQ(got, frames{kept});
    free_all(got);
}

TEST_F(RxBurst, OnABorrowedQueueTouchesNothing) {
    add_members(1);
    publish(spread::to_one);
    rte_mbuf* const kept = make_frame(0);
    ASSERT_TRUE(rx->stash.push(kept));
    ASSERT_TRUE(published.try_borrow(rx->view));
    EXPECT_TRUE(receive(32).empty());
    EXPECT_EQ(members[0]->rx_bursts, 0U);
    EXPECT_FALSE(rx->stash.empty_hint());
    published.give_back(rx->view);
    frames got = receive(32);
    EXPECT_EQ(got, frames{kept});
    free_all(got);
}

TEST_F(RxBurst, PassesSlowProtocolFramesUp) {
    add_members(1);
    snapshot s = view_of(spread::to_one);
    s.policy = policy::failover;
    publish(s);
    rte_mbuf* const slow = ledger.make(test::frame_builder()
                                           .eth(test::slow_protocols_mac, test::mac(3))
                                           .slow_protocol(1)
                                           .payload(108)
                                           .build());
    members[0]->arrived.push_back(slow);
    frames got = receive(32);
    EXPECT_EQ(got, frames{slow});
    free_all(got);
}

// --- callbacks of a member, on a device of ethdev's
// -----------------------------------------------

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

} // namespace
} // namespace lagg::pmd
