// What every forwarding loop is, and how to make each.  A loop runs on one lcore; it never sleeps.
#pragma once

#include "counter.h"
#include "options.h"

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

struct rte_mbuf;
struct rte_mempool;

namespace laggd {

struct wiring {
    std::uint16_t rx_port = 0;
    std::uint16_t rx_queue = 0;
    std::uint16_t tx_port = 0;
    std::uint16_t tx_queue = 0;
    std::uint16_t index = 0; ///< of this stream among all
    std::uint16_t burst = 32;
    rte_mempool* pool = nullptr; ///< for frames that the loop makes
    mac_bytes own_mac{};         ///< of the tx port
    mac_bytes peer_mac{};        ///< where mac forwarding sends
};

/// How many frames that tx bursts gave back a loop keeps; of more, the newest are dropped.
constexpr std::uint16_t max_held = 1024;

/// Frames.  received + generated = sent + dropped + consumed + held.
struct loop_counters {
    counter received;
    counter sent;      // taken by a tx burst
    counter held;      // given back by tx bursts, to be offered again: goes up and down
    counter dropped;   // given back when the loop kept max_held already, or when it ended
    counter consumed;  // ended here: rxonly, and what icmpecho does not answer
    counter generated; // made here: txonly, replay
    counter too_long;  // replay: not sendable on this port
    counter no_mbuf;   // times that the pool was empty
};

class packet_loop {
public:
    explicit packet_loop(wiring const& where) : where_(where) {}
    virtual ~packet_loop() = default;
    packet_loop(packet_loop const&) = delete;
    packet_loop& operator=(packet_loop const&) = delete;

    /// One burst.  Its lcore only.
    virtual void poll() = 0;
    /// Frees and counts what the loop still holds; its lcore only, after the last poll().
    virtual void finish();
    /// There is nothing more to do.  Any thread.
    virtual bool done() const { return false; }

    wiring const& where() const { return where_; }
    loop_counters const& counters() const { return counters_; }

protected:
    std::uint16_t receive(rte_mbuf** frames);
    /// Offers what earlier bursts gave back, then these: the order within a flow is kept, and a
    /// flow that has to wait does not stop the others.  Every poll(), also with no new frames.
    void send(rte_mbuf** frames, std::uint16_t count);
    /// How many frames a loop that makes its own may make now, without one of them being dropped.
    std::uint16_t room() const;

    wiring where_;
    loop_counters counters_;

private:
    std::uint16_t held_ = 0;
    std::array<rte_mbuf*, max_held + max_burst> waiting_{}; // the first held_, the oldest first
};

class capture;

std::unique_ptr<packet_loop> make_io(wiring const& where);
std::unique_ptr<packet_loop> make_mac(wiring const& where);
std::unique_ptr<packet_loop> make_macswap(wiring const& where);
std::unique_ptr<packet_loop> make_txonly(wiring const& where, generator_settings const& settings);
std::unique_ptr<packet_loop> make_rxonly(wiring const& where);
std::unique_ptr<packet_loop> make_icmpecho(wiring const& where);
std::unique_ptr<packet_loop> make_replay(wiring const& where, std::shared_ptr<capture const> frames,
                                         double rate, unsigned loops);

} // namespace laggd
