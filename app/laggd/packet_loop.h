// What every forwarding loop is, and how to make each.  A loop runs on one lcore; it never sleeps.
#pragma once

#include "counter.h"
#include "options.h"

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

/// Frames.  received = sent + dropped + consumed + held, for loops that forward.
struct loop_counters {
    counter received;
    counter sent;      // taken by a tx burst
    counter dropped;   // a tx burst did not take them, and the loop has no place to keep them
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
    /// Frees what the loop still holds; after the last poll().
    virtual void finish() {}
    /// There is nothing more to do.  Any thread.
    virtual bool done() const { return false; }

    wiring const& where() const { return where_; }
    loop_counters const& counters() const { return counters_; }

protected:
    std::uint16_t receive(rte_mbuf** frames);
    /// Sends; frees and counts what is not taken.
    void send_or_drop(rte_mbuf** frames, std::uint16_t count);

    wiring where_;
    loop_counters counters_;
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
