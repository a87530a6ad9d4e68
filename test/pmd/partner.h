// The other end of some wires: a partner that agrees with whatever LACP tells it, and takes away,
// and counts, all that arrives.  Knows no lagg.
#pragma once

#include "fixture.h"
#include "lacp/lacpdu.h"
#include "lacp/marker.h"

#include <rte_byteorder.h>
#include <rte_ether.h>

#include <array>
#include <atomic>
#include <cstring>
#include <numeric>
#include <span>
#include <utility>
#include <vector>

namespace lagg::test {

/// LACP's frames come in on the last rx queue of each far end, as members send that spare a queue
/// for them.  Whoever waits for the conversation calls answer(), so that it does not depend on one
/// more thread that gets a CPU; data is taken away by another thread, or the same.  No state is
/// kept: whoever asks is answered, so a port that went and came back is answered at once.
class lacp_partner {
public:
    /// `far`: configured and started, `queues` rx queues each.
    lacp_partner(std::vector<std::uint16_t> far, std::uint16_t queues)
        : far_(std::move(far)), queues_(queues) {}
    ~lacp_partner() {
        EXPECT_EQ(pool_->size, rte_mempool_avail_count(pool_)) << "answers that are not back";
        rte_mempool_free(pool_);
    }
    lacp_partner(lacp_partner const&) = delete;
    lacp_partner& operator=(lacp_partner const&) = delete;

    /// Hears what LACP said meanwhile.  One thread.
    void answer() {
        for (std::uint16_t const port : far_) {
            look(port, static_cast<std::uint16_t>(queues_ - 1), 0);
        }
    }
    /// Takes data away, at most a burst from each queue, and answers Markers, which come behind it;
    /// false: there was none.  One thread.
    bool take_data() {
        bool any = false;
        for (std::uint16_t const port : far_) {
            for (std::uint16_t q = 0; q + 1 < queues_; ++q) {
                any = look(port, q, 1) || any;
            }
        }
        return any;
    }

    /// Frames of data, from all ends or from `far`, one of them.
    std::uint64_t data() const {
        return std::accumulate(data_.begin(), data_.end(), std::uint64_t{0});
    }
    std::uint64_t data_of(std::uint16_t far) const { return data_[far]; }
    /// LACPDUs and Markers that were heard.
    std::uint64_t heard() const { return heard_; }
    std::uint64_t answers() const { return answers_; }
    /// What of these it could not read.
    std::uint64_t unreadable() const { return unreadable_; }

private:
    /// Answers go out on tx queue `by`, so that two threads may look at different queues.
    bool look(std::uint16_t port, std::uint16_t queue, std::uint16_t by) {
        rte_mbuf* got[32];
        std::uint16_t const n = rte_eth_rx_burst(port, queue, got, 32);
        for (rte_mbuf* const m : std::span(got, n)) {
            auto const* const eth = rte_pktmbuf_mtod(m, rte_ether_hdr const*);
            if (eth->ether_type == rte_cpu_to_be_16(lacp::slow_protocols_ethertype)) {
                ++heard_;
                answer(port, {rte_pktmbuf_mtod(m, std::uint8_t const*), m->data_len}, by);
            } else {
                ++data_[port];
            }
        }
        // At once: who gives frames to the pool waits for whoever was preempted while he did.
        rte_pktmbuf_free_bulk(got, n);
        return n > 0;
    }

    void answer(std::uint16_t port, std::span<std::uint8_t const> bytes, std::uint16_t by) {
        namespace state = lacp::state;
        net::mac_address const mine{{0x02, 0xfa, 0, 0, 0, static_cast<std::uint8_t>(port)}};
        lacp::frame out{};
        if (auto const pdu = lacp::decode_lacpdu(bytes)) {
            lacp::lacpdu reply;
            reply.actor.system = {100, {{0x02, 0xfa, 0, 0, 0, 0xff}}};
            reply.actor.key = 7;
            reply.actor.port = {1, static_cast<std::uint16_t>(port + 1)};
            reply.actor.state = state::activity | state::short_timeout | state::aggregation |
                                state::synchronization | state::collecting | state::distributing;
            reply.partner = pdu->actor;
            out = lacp::encode(reply, mine);
        } else if (auto const marker = lacp::decode_marker(bytes)) {
            auto const reply = lacp::respond(*marker);
            if (!reply) {
                return;
            }
            out = lacp::encode(*reply, mine);
        } else {
            ++unreadable_;
            return;
        }
        rte_mbuf* m = rte_pktmbuf_alloc(pool_);
        if (m == nullptr) {
            return; // it is asked again in a second
        }
        std::memcpy(rte_pktmbuf_append(m, lacp::frame_size), out.data(), out.size());
        if (rte_eth_tx_burst(port, by, &m, 1) == 1) {
            ++answers_;
        } else {
            rte_pktmbuf_free(m); // no carrier any more
        }
    }

    std::vector<std::uint16_t> const far_;
    std::uint16_t const queues_;
    rte_mempool* const pool_ =
        rte_pktmbuf_pool_create("partner", 255, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
    std::array<std::atomic<std::uint64_t>, RTE_MAX_ETHPORTS> data_{};
    std::atomic<std::uint64_t> heard_{0};
    std::atomic<std::uint64_t> answers_{0};
    std::atomic<std::uint64_t> unreadable_{0};
};

} // namespace lagg::test
