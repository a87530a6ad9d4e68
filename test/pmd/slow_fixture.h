// Control's frames between queues and wires of the test's own, without a lagg.  The test's thread
// is control, and now and then the lcore; time is an argument.
#pragma once

#include "lagg_slow.h"

#include "fixture.h"
#include "lagg_device.h"
#include "lagg_mbuf.h"
#include "support/frame_builder.h"
#include "support/mbuf_ledger.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

namespace lagg::pmd {

inline constexpr std::uint16_t lagg_id = 77;
inline constexpr std::uint16_t tx_queues = 3; // of the application; a fourth is control's
inline constexpr std::uint16_t ring = 4096;

/// One end is a member, the other the partner's.
struct link {
    test::vdev partner{"net_wire", ""};
    test::vdev member{"net_wire", "check=1,peer=" + partner.name()};
};

/// A second rx queue is as steering has it, or for a second lcore.
inline void bring_up_wide(std::uint16_t port, std::uint16_t rx_queues) {
    rte_eth_conf const plain{};
    ASSERT_EQ(0, rte_eth_dev_configure(port, rx_queues, tx_queues + 1, &plain));
    for (std::uint16_t q = 0; q < rx_queues; ++q) {
        ASSERT_EQ(0, rte_eth_rx_queue_setup(port, q, ring, SOCKET_ID_ANY, nullptr, test::pool()));
    }
    for (std::uint16_t q = 0; q <= tx_queues; ++q) {
        ASSERT_EQ(0, rte_eth_tx_queue_setup(port, q, 64, SOCKET_ID_ANY, nullptr));
    }
    ASSERT_EQ(0, rte_eth_dev_start(port));
    rte_eth_promiscuous_enable(port);
}

inline rte_mbuf* frame_of(test::bytes const& bytes) {
    rte_mbuf* const m = rte_pktmbuf_alloc(test::pool());
    if (m != nullptr) {
        std::memcpy(rte_pktmbuf_append(m, static_cast<std::uint16_t>(bytes.size())), bytes.data(),
                    bytes.size());
    }
    return m;
}

inline rte_mbuf* slow(std::uint8_t subtype = 1, std::uint8_t number = 0) {
    return frame_of(test::frame_builder()
                        .eth(test::slow_protocols_mac, test::mac(3))
                        .slow_protocol(subtype)
                        .payload(1, number)
                        .pad_to(124)
                        .build());
}

inline rte_mbuf* data(std::uint32_t number) {
    return test::frames(1, number)[0];
}

/// As fixture's frames() write it.
inline std::uint32_t number_of(rte_mbuf const& m) {
    auto const* const p = rte_pktmbuf_mtod(&m, std::uint8_t const*);
    return static_cast<std::uint32_t>(p[27] << 16 | p[28] << 8 | p[29]);
}

class ControlFrames : public testing::Test {
protected:
    ControlFrames() {
        for (link& l : links) {
            bring_up_wide(l.partner.port(), 1);
            bring_up_wide(l.member.port(), 2);
        }
        for (std::uint16_t q = 0; q < tx_queues; ++q) {
            tx.push_back(std::make_unique<tx_queue>(kind));
            tx[q]->queue_id = q;
            tx[q]->lagg_port = lagg_id;
            EXPECT_TRUE(views.attach(tx[q]->view));
            frames->attach(*tx[q]);
        }
        rx->lagg_port = lagg_id;
        rx->pool = test::pool();
        EXPECT_TRUE(views.attach(rx->view));
        frames->attach(*rx);
        publish({true, true});
    }
    ~ControlFrames() override {
        rte_mbuf* frame = nullptr;
        while (rx->stash.pop(frame)) {
            rte_pktmbuf_free(frame);
        }
        for (link& l : links) {
            test::receive_all(l.partner.port());
            EXPECT_EQ(0U, rte_pmd_wire_in_burst_violation_count(l.member.port()));
            l.member.close();
            l.partner.close();
        }
        frames.reset();
        EXPECT_EQ(before, test::pool_level());
    }

    /// Which of the links are polled, and whether their data goes up; member_id is index + 1.
    void publish(std::vector<bool> const& collecting, bool take_slow = true,
                 std::size_t first = 0) {
        auto s = std::make_unique<snapshot>();
        s->version = ++version;
        s->run = run_state::running;
        s->take_slow = take_slow;
        for (std::size_t i = first; i < collecting.size(); ++i) {
            s->polled.push_back({links[i].member.port(), id(i), collecting[i], false});
        }
        EXPECT_TRUE(views.publish(std::move(s)));
    }
    static member_id id(std::size_t link) { return static_cast<member_id>(link + 1); }

    void arrive(std::size_t link, std::vector<rte_mbuf*> list, std::uint16_t queue = 0) {
        auto const n = static_cast<std::uint16_t>(list.size());
        EXPECT_EQ(n, rte_eth_tx_burst(links[link].partner.port(), queue, list.data(), n));
    }
    void listen(std::size_t link) { frames->listen(id(link), links[link].member.port(), 1); }

    /// One burst of the application's; the numbers of the data frames that came up.
    std::vector<std::uint32_t> poll(std::uint16_t count = 32) {
        std::vector<rte_mbuf*> got(count);
        got.resize(lagg_rx_burst(rx.get(), got.data(), count));
        std::vector<std::uint32_t> numbers;
        for (rte_mbuf* const m : got) {
            EXPECT_EQ(lagg_id, m->port);
            numbers.push_back(number_of(*m));
            rte_pktmbuf_free(m);
        }
        return numbers;
    }

    time_point visit(time_point at) { return frames->visit(at, hear); }
    std::size_t heard_from(std::size_t link) const {
        return static_cast<std::size_t>(std::count_if(
            heard.begin(), heard.end(), [&](auto const& e) { return e.id == id(link); }));
    }
    std::uint64_t dropped(drop_reason why) const {
        auto const i = static_cast<std::size_t>(why);
        std::uint64_t sum = rx->stats.drops[i].get() + rx->stash_dropped[i].get();
        for (auto const& q : tx) {
            sum += q->stats.drops[i].get();
        }
        return sum;
    }

    control_frames::way to(std::size_t link, std::uint16_t queue = any_queue) const {
        return {links[link].member.port(), id(link), no_queue, queue};
    }
    control_frames::way by_own_queue(std::size_t link) const {
        return {links[link].member.port(), id(link), tx_queues, any_queue};
    }
    static lacp::frame letter(std::uint8_t number) {
        lacp::frame f{};
        f[0] = 1;
        f[lacp::frame_size - 1] = number;
        return f;
    }
    /// Last bytes of what reached the partner, in order; each came from control's pool, to which it
    /// goes back.
    std::vector<int> arrived_at_partner(std::size_t link) {
        std::vector<int> out;
        rte_mbuf* got[32];
        while (std::uint16_t const n = rte_eth_rx_burst(links[link].partner.port(), 0, got, 32)) {
            for (std::uint16_t i = 0; i < n; ++i) {
                EXPECT_EQ(lacp::frame_size, got[i]->pkt_len);
                EXPECT_NE(test::pool(), got[i]->pool);
                letters = got[i]->pool;
                out.push_back(rte_pktmbuf_mtod(got[i], std::uint8_t const*)[lacp::frame_size - 1]);
                rte_pktmbuf_free(got[i]);
            }
        }
        return out;
    }
    void expect_all_letters_back() const {
        ASSERT_NE(nullptr, letters);
        EXPECT_EQ(control_frames::pool_size, rte_mempool_avail_count(letters));
    }
    /// A burst of nothing.
    static void burst_on(tx_queue& q) { EXPECT_EQ(0, lagg_tx_burst(&q, nullptr, 0)); }

    unsigned const before = test::pool_level();
    std::vector<link> links{2};
    epoch::fence_kind const kind = epoch::choose_fence();
    epoch::control_fence fence{kind};
    std::unique_ptr<rx_queue> const rx = std::make_unique<rx_queue>(kind);
    std::vector<std::unique_ptr<tx_queue>> tx;
    epoch::publisher<snapshot> views{fence};
    control_counters counters;
    std::unique_ptr<control_frames> frames =
        std::make_unique<control_frames>("lagg", views, counters);
    std::uint64_t version = 0;
    std::vector<event::slow_frame> heard;
    control_frames::receiver const hear = [this](event::slow_frame const& e) {
        heard.push_back(e);
    };
    rte_mempool* letters = nullptr;
};

} // namespace lagg::pmd
