// LACP of one System with one lagg's ports (IEEE 802.1AX-2014 clause 6) as a value machine:
// frames, links, settings and time in; frames, collecting and distributing out.
// Knows no thread, clock, socket, mbuf, snapshot or policy.
#pragma once

#include "base/result.h"
#include "lacp/lacpdu.h"
#include "lacp/marker.h"
#include "lacp/parameters.h"

#include <array>
#include <bitset>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

namespace lagg::lacp {

/// Which aggregator carries traffic when there is more than one (6.4.14: implementation's choice).
/// Each is a total order: whatever it compares first, then better partner system, then lower
/// aggregator id.  An aggregator with a partner beats one without, under each.
enum class selection_rule : std::uint8_t {
    stable,    // the present one while it has a port that can be used
    bandwidth, // the greatest sum of speeds
    count,     // the most ports
};

enum class lacp_rate : std::uint8_t { slow, fast };

/// 6.4.15: independent: collecting begins before distributing; coupled: both at once.
enum class mux_control : std::uint8_t { independent, coupled };

/// What becomes of ports whose partner does not speak LACP.
enum class fallback : std::uint8_t {
    strict,     // no partner, no traffic
    one,        // after fallback_delay exactly one port, the best by port id, sends and receives
    individual, // after fallback_delay every such port does, each for itself
};

/// A port that loses its partner or link again and again is left out until it calmed down: each
/// loss adds `penalty_per_flap`, which decays by half every half_life.
struct damping_settings {
    std::chrono::milliseconds half_life{0}; // 0: no damping
    std::uint32_t suppress_at = 2500;       // left out from here on
    std::uint32_t reuse_at = 1000;          // and used again below
    friend bool operator==(damping_settings const&, damping_settings const&) = default;
};
inline constexpr std::uint32_t penalty_per_flap = 1000;
inline constexpr std::uint32_t most_penalty = 10000;

struct system_settings {
    system_id system;      // an individual address; not all zero
    std::uint16_t key = 1; // actor admin key of every port that has none of its own; not 0
    bool active = true;    // speak first
    lacp_rate rate = lacp_rate::fast; // what we ask the partner to send at
    selection_rule select = selection_rule::stable;
    mux_control mux = mux_control::independent;
    std::uint32_t max_links = max_ports; // [1, max_ports]; further ports stand by, by port id
    std::chrono::milliseconds wait_while{2000};
    lacp::fallback fallback = lacp::fallback::strict;
    std::chrono::milliseconds fallback_delay{10000}; // since the partner was defaulted
    std::chrono::milliseconds drain_wait{3000}; // how long a drain waits for the partner to stop
    damping_settings damping{};

    friend bool operator==(system_settings const&, system_settings const&) = default;
};

struct port_settings {
    lacp::port_id id;                   // number not 0, distinct within the system
    net::mac_address source;            // LACPDUs are sent from here
    std::optional<std::uint16_t> key{}; // instead of the system's
    bool aggregation = true;            // false: an individual port
    friend bool operator==(port_settings const&, port_settings const&) = default;
};

struct outgoing {
    port_index port = no_port_index;
    lacp::frame frame{};
};

// Machine states as they are shown; each is the enum of its machine.
enum class receive_state : std::uint8_t {
    initialize,
    port_disabled,
    expired,
    lacp_disabled,
    defaulted,
    current
};
enum class periodic_state : std::uint8_t { no_periodic, fast_periodic, slow_periodic, periodic_tx };
enum class mux_state : std::uint8_t {
    detached,
    waiting,
    attached,
    collecting,
    distributing,            // independent control: collecting and distributing
    collecting_distributing, // coupled control
    draining, // ours: SYNC withdrawn, still collecting, until the partner stopped (doc/lacp.md)
};
enum class selected : std::uint8_t { unselected, selected, standby };
enum class churn_state : std::uint8_t { monitor, churn, no_churn };

/// Names as in the standard's managed objects (7.3.3, 7.3.4).
struct port_counters {
    std::uint64_t lacpdus_rx = 0;
    std::uint64_t marker_pdus_rx = 0;
    std::uint64_t marker_response_pdus_rx = 0;
    std::uint64_t unknown_rx = 0;
    std::uint64_t illegal_rx = 0;
    std::uint64_t lacpdus_tx = 0;
    std::uint64_t marker_pdus_tx = 0;
    std::uint64_t marker_response_pdus_tx = 0;
    std::uint64_t actor_churn_count = 0;
    std::uint64_t partner_churn_count = 0;
    std::uint64_t actor_sync_transitions = 0;
    std::uint64_t partner_sync_transitions = 0;
    std::uint64_t actor_changes = 0;   // of our view: port left or entered an aggregation
    std::uint64_t partner_changes = 0; // of the partner's parameters
    std::uint64_t flaps = 0;           // losses that damping counts
    std::uint64_t rate_limited_rx = 0; // frames not looked at: more than limits::rx_per_second
};

/// Everything that `show lacp` prints of a port; one consistent answer.
struct port_report {
    parameters actor;
    parameters partner;
    receive_state receive = receive_state::initialize;
    periodic_state periodic = periodic_state::no_periodic;
    mux_state mux = mux_state::detached;
    churn_state actor_churn = churn_state::monitor;
    churn_state partner_churn = churn_state::monitor;
    lacp::selected selection = selected::unselected;
    std::uint16_t aggregator = 0; // the lowest port number in it; 0: none
    bool enabled = false;         // link up, full duplex or not
    bool in_use = false;          // its aggregator is the one that carries traffic
    bool individual = false;      // alone in its aggregator by nature
    bool fallback = false;        // in use without a partner
    bool looped = false;          // our own system id came back
    bool suppressed = false;      // by damping
    bool draining = false;
    bool drained = false; // the partner has stopped, or drain_wait is over
    std::uint32_t penalty = 0;
    port_counters counters;
    time_point last_change{0};  // when mux or receive last changed state
    time_point last_rx = never; // of a LACPDU; never: none yet
};

/// At most this many received frames of a port are looked at in a second, the rest is counted: no
/// partner that keeps the standard's rates comes near.
inline constexpr std::uint32_t most_rx_per_second = 64;

class system {
public:
    explicit system(system_settings const& s);
    ~system();
    /// A value: the copy goes on from here by itself.
    system(system const& other);
    system& operator=(system const& other);
    system(system&&) noexcept;
    system& operator=(system&&) noexcept;

    /// Effective at once and live: rate, activity, priorities and keys go out with the next PDU and
    /// to ports that join later; a change of system id or key renegotiates.
    /// `s` has been validated by the caller.
    void set(system_settings const& s, time_point now);
    system_settings const& settings() const noexcept;

    /// A port that is there already gets the settings.  Its link is down until set_link().
    void set_port(port_index port, port_settings const& s, time_point now);
    /// Forgets it; one PDU without SYNC, COLLECTING and DISTRIBUTING goes out first when a partner
    /// is there and `say_so`.
    void remove_port(port_index port, time_point now, bool say_so = true);
    /// A half-duplex link is individual (6.4.14.1).  `speed_mbps` 0: unknown.
    void set_link(port_index port, bool up, bool full_duplex, std::uint32_t speed_mbps,
                  time_point now);
    /// A frame of the Slow Protocols that came in on `port`.  Wrong ones are counted.
    void receive(port_index port, std::span<std::uint8_t const> bytes, time_point now);

    /// Begins, or takes back, a graceful leave: SYNC is withdrawn, the port stops distributing at
    /// once and goes on collecting until the partner stopped distributing or drain_wait is over;
    /// report().drained tells.
    void drain(port_index port, bool on, time_point now);

    /// Sends a Marker request on `port`; returns its transaction, 0 when the port cannot send.
    std::uint32_t request_marker(port_index port, time_point now);
    /// Responses that came back since the last call, each once.
    struct marker_answer {
        port_index port = no_port_index;
        std::uint32_t transaction = 0;
    };
    std::vector<marker_answer> take_marker_answers();

    /// Runs every machine to its fixed point at `now`, timers included.  To be called after events
    /// and when next_deadline() has come.
    void run(time_point now);
    time_point next_deadline() const noexcept;
    /// False: there was no fixed point, which is a bug of ours; the machines go on a second later.
    bool settled() const noexcept;

    /// As of the last run().  distributing is a subset of collecting.
    std::bitset<max_ports> collecting() const noexcept;
    std::bitset<max_ports> distributing() const noexcept;
    /// Frames to be sent, oldest first, since the last call; to be fetched after what
    /// collecting() and distributing() say has taken effect.
    std::vector<outgoing> take_frames();

    /// nullopt when there is no such port.
    std::optional<port_report> report(port_index port) const;

private:
    class machinery;
    std::unique_ptr<machinery> machinery_;
};

std::string_view to_string(receive_state s);
std::string_view to_string(periodic_state s);
std::string_view to_string(mux_state s);
std::string_view to_string(selected s);
std::string_view to_string(churn_state s);
std::string_view to_string(selection_rule r);
std::string_view to_string(lacp_rate r);
std::string_view to_string(mux_control c);
std::string_view to_string(fallback f);
result<selection_rule> parse_selection_rule(std::string_view text);
result<lacp_rate> parse_lacp_rate(std::string_view text);
result<mux_control> parse_mux_control(std::string_view text);
result<fallback> parse_fallback(std::string_view text);

} // namespace lagg::lacp
