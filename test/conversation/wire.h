// Systems that talk LACP over simulated cables, in virtual time.
// After each step every rule that must always hold is checked; what is said and what is heard is
// taken from the frames themselves.  Knows nothing of what is behind lacp/system.h.
#pragma once

#include "lacp/system.h"

#include <array>
#include <bitset>
#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <queue>
#include <random>
#include <span>
#include <string>
#include <vector>

namespace lagg::lacp {

bool operator==(port_counters const& a, port_counters const& b);
bool operator==(port_report const& a, port_report const& b);
std::string describe(port_report const& r);

namespace conversation {

using namespace std::chrono_literals;
using system_number = std::size_t;
using cable_number = std::size_t;
using bytes = std::vector<std::uint8_t>;

/// A port of a system.
struct place {
    system_number system = 0;
    port_index port = 0;

    friend bool operator==(place const&, place const&) = default;
};

/// A frame that a port sent, or one that arrives.
struct flight {
    time_point at{}; // arrival
    std::uint64_t order = 0;
    cable_number cable = 0;
    std::size_t generation = 0; // of the cable; a frame dies with the cable that carried it
    place from;
    place to;
    bytes frame;
};

/// What became of a port, as seen from outside.
struct observed {
    std::optional<lacpdu> last_said;
    std::optional<lacpdu> last_heard;
    time_point heard_at{};
    bool heard_fast = false;    // the port asked for fast PDUs when it heard
    bool heard_in_sync = false; // the PDU said SYNC, and spoke of this very port as it is
    std::uint64_t lacpdus_sent = 0;
    std::uint64_t markers_sent = 0;
    std::uint64_t responses_sent = 0;
    std::deque<time_point> said_at; // the last three LACPDUs
    std::vector<std::pair<time_point, bool>> collecting;
    std::vector<std::pair<time_point, bool>> distributing;
    std::uint64_t mux_changes = 0;
    mux_state mux = mux_state::detached;
};

class wire {
public:
    static constexpr time_point default_delay = 1ms;

    /// `twins`: each system gets a twin that hears the same, and is run at `random` further times;
    /// both must say the same at all times.
    explicit wire(std::optional<std::uint64_t> twins = std::nullopt);

    // Systems and ports.
    system_number add_system(system_settings const& s);
    /// Port `port` with number port + 1 unless said otherwise.
    place add_port(system_number system, port_index port);
    place add_port(system_number system, port_index port, port_settings const& s);
    void set(system_number system, system_settings const& s);
    void set_port(place p, port_settings const& s);
    void remove_port(place p, bool say_so = true);
    void drain(place p, bool on = true);
    void set_link(place p, bool up, bool full_duplex = true, std::uint32_t speed = 10000);
    std::uint32_t request_marker(place p);
    /// A frame out of nowhere.
    void inject(place p, std::span<std::uint8_t const> frame);
    /// As after a crash: the ports are there, their links as they were, nothing else is known.
    void restart(system_number system);

    // Cables.  A cable that is plugged brings the link up at both ends.
    cable_number plug(place a, place b);
    void unplug(cable_number c);
    /// To other ends, so fast that no end saw its link go down.
    void move_silently(cable_number c, place a, place b);
    /// Carrier is lost or comes back at both ends.
    void carrier(cable_number c, bool up);
    /// Nothing arrives from its end a (or b) any more; carrier stays.
    void cut(cable_number c, bool from_a, bool from_b);
    void delay(cable_number c, time_point d);

    /// What the wire does with a frame: the delays of its copies; none: lost.  May change bytes.
    using fate = std::function<std::vector<time_point>(flight&)>;
    void on_frame(fate f) { fate_ = std::move(f); }
    /// The next `n` LACPDUs that `from` sends are lost.
    void lose_next(place from, unsigned n) { lose_.push_back({from, n}); }

    // Time.
    time_point now() const noexcept { return now_; }
    void run_for(time_point d) { run_until(now_ + d); }
    void run_until(time_point end);
    /// False when `wanted` did not become true in `most`.
    bool run_until(std::function<bool()> const& wanted, time_point most);

    // What there is to see.
    lacp::system& at(system_number s) { return *speakers_[s]->main; }
    port_report report(place p) const { return *speakers_[p.system]->main->report(p.port); }
    bool has(place p) const { return speakers_[p.system]->main->report(p.port).has_value(); }
    bool collects(place p) const { return speakers_[p.system]->main->collecting()[p.port]; }
    bool distributes(place p) const { return speakers_[p.system]->main->distributing()[p.port]; }
    observed const& seen(place p) const { return speakers_[p.system]->seen[p.port]; }
    std::vector<system::marker_answer> answers(system_number s) const {
        return speakers_[s]->answers;
    }
    system_settings const& settings(system_number s) const { return speakers_[s]->settings; }
    port_settings const& port(place p) const { return *speakers_[p.system]->ports[p.port]; }
    std::size_t systems() const { return speakers_.size(); }
    std::size_t cables() const { return cables_.size(); }
    std::array<place, 2> ends(cable_number c) const { return cables_[c].ends; }
    /// Plugged, with carrier, and nothing is cut.
    bool sound(cable_number c) const;
    std::optional<cable_number> cable_of(place p) const;

    /// How long `from` sent data that did not find `to` collecting, `delay` later; in the past
    /// `window`.
    time_point lost_data(place from, place to, time_point window,
                         time_point delay = default_delay) const;

    /// Both ends of the cable carry traffic, and each knows the other as it is; but for
    /// DISTRIBUTING, which 6.4.15 tells with the next PDU only.
    bool up(cable_number c) const;
    /// Also in that.
    bool up_and_told(cable_number c) const;
    /// Empty when the ends of all sound cables agree: both carry traffic or neither does; else what
    /// is wrong.
    std::string disagreement() const;

    /// The first rule that was broken, empty as long as none was; it failed the test as well.
    std::string const& broken() const noexcept { return broken_; }
    void allow_more_than_three_a_second() { rate_is_checked_ = false; }

private:
    struct speaker {
        std::unique_ptr<lacp::system> main;
        std::unique_ptr<lacp::system> twin;
        system_settings settings;
        std::array<std::optional<port_settings>, max_ports> ports;
        struct link {
            bool up = false;
            bool full_duplex = true;
            std::uint32_t speed = 0;
        };
        std::array<link, max_ports> links;
        std::array<observed, max_ports> seen;
        std::vector<system::marker_answer> answers;
        bool dirty = true;
    };
    struct cable {
        std::array<place, 2> ends;
        bool plugged = true;
        bool has_carrier = true;
        std::array<bool, 2> cut{};
        time_point delay = default_delay;
        std::size_t generation = 0;
    };
    struct later {
        bool operator()(flight const& a, flight const& b) const {
            return a.at != b.at ? a.at > b.at : a.order > b.order;
        }
    };
    struct loss {
        place from;
        unsigned left;
    };

    template<class F>
    void tell(system_number s, F&& f);
    void run_systems();
    void run_twins_until(time_point end);
    void send(system_number s, outgoing const& o);
    void deliver(flight const& f);
    void check(system_number s);
    void expect(bool ok, place p, char const* rule);
    void set_links(cable const& c, bool up);

    time_point now_{1s};
    std::uint64_t order_ = 0;
    std::optional<std::mt19937_64> twins_;
    std::vector<std::unique_ptr<speaker>> speakers_;
    std::vector<cable> cables_;
    std::priority_queue<flight, std::vector<flight>, later> flights_;
    std::vector<loss> lose_;
    fate fate_;
    std::string broken_;
    bool rate_is_checked_ = true;
};

/// Ordinary settings of a system with address 02:00:00:00:00:`n`.
system_settings ordinary(std::uint8_t n, lacp_rate rate = lacp_rate::fast, bool active = true);
port_settings ordinary_port(system_number system, port_index port);

/// Two systems and `links` cables between ports of the same index.
struct pair_of_systems : wire {
    pair_of_systems(system_settings const& first, system_settings const& second,
                    std::size_t links = 1);

    static constexpr system_number a = 0;
    static constexpr system_number b = 1;
    bool all_up() const;
};

} // namespace conversation
} // namespace lagg::lacp
