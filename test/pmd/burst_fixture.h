// Queues of a lagg on snapshots made by hand.  Members are entries of ethdev's function table that
// the test fills itself, so that each refusal is scripted.  Knows no single behaviour of a burst.
#pragma once

#include "lagg_queue.h"

#include "epoch/publisher.h"
#include "lagg/control/snapshot_builder.h"
#include "support/frame_builder.h"
#include "support/mbuf_ledger.h"

#include <gtest/gtest.h>

#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <utility>
#include <vector>

namespace lagg::pmd {

using frames = std::vector<rte_mbuf*>;

inline constexpr std::uint16_t queue_in_use = 2; // not 0, to see that it is passed on
inline constexpr port_id lagg_port = 77;
inline constexpr std::size_t unlimited = SIZE_MAX;

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

    /// Writes to the list what it likes where it took frames.
    bool scribbles = false;

    /// The lists it was given, one for each burst.
    std::vector<rte_mbuf* const*> lists;

private:
    static std::uint16_t take(void* queue, rte_mbuf** burst, std::uint16_t count) {
        auto& self = *static_cast<scripted_port*>(queue);
        ++self.tx_bursts;
        self.lists.push_back(burst);
        auto const n = static_cast<std::uint16_t>(std::min<std::size_t>(count, self.room));
        self.held.insert(self.held.end(), burst, burst + n);
        self.room -= self.room == unlimited ? 0 : n;
        if (n < count && self.instead != nullptr) {
            rte_pktmbuf_free(burst[n]);
            burst[n] = std::exchange(self.instead, nullptr);
        }
        if (self.scribbles) {
            std::fill_n(burst, n, nullptr);
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
            s.distributing.push_back(
                {.port = members[i]->id(), .id = id, .keeps_list = !members[i]->scribbles});
        }
        for (std::size_t b = 0; how == spread::by_flow && b < bucket_count; ++b) {
            s.bucket[b] = static_cast<std::uint8_t>(b % members.size());
        }
        return s;
    }

    snapshot publish(snapshot s) {
        s.version = ++version;
        s.shared = what_all_share(s);
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

} // namespace lagg::pmd
