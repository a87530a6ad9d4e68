// laggd --demo: two laggs back to back over four in-process links, which agree by LACP; traffic
// from the first to the second, and a ledger in which every frame must be found.  Main thread only.
#pragma once

#include "demo_loops.h"
#include "text.h"

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace laggd {

struct session;

using demo_clock = std::chrono::steady_clock;

/// One time between two changes.
struct demo_phase {
    std::string cause;      // the command that ended the one before
    bool stable = false;    // nothing changes: order is asserted if the policy keeps it
    bool disturbed = false; // meant to be stable, but a snapshot was published meanwhile
    bool keeps_order = false;
    bool copies_allowed = false;
    std::uint64_t version[2] = {0, 0};
};

/// Where the frames are.  At the end: taken == received + lost on the wires + dropped by the laggs.
struct demo_ledger {
    std::uint64_t offered = 0;
    std::uint64_t taken = 0;
    std::uint64_t discarded = 0;
    std::uint64_t given_back = 0;
    std::uint64_t received = 0;
    std::uint64_t copies = 0;
    std::uint64_t damaged = 0;
    std::uint64_t foreign = 0;
    std::uint64_t too_old = 0;
    std::uint64_t handed_to_wires = 0; // by the first lagg: data, copies and LACPDUs
    std::uint64_t lost_on_wires = 0;
    std::uint64_t dropped_tx = 0;      // by the first lagg
    std::uint64_t dropped_rx = 0;      // by the second
    std::uint64_t control_frames = 0;  // LACPDUs and Markers, sent by the first lagg
    std::uint64_t overtaken = 0;       // around changes, or under a policy that keeps no order
    std::uint64_t overtaken_wrong = 0; // where nothing changed and the policy keeps order
    std::uint64_t copies_wrong = 0;    // outside broadcast
    bool broadcast_used = false;

    std::uint64_t missing() const { return taken > received ? taken - received : 0; }
    std::uint64_t accounted() const { return lost_on_wires + dropped_tx + dropped_rx; }
};

class demo {
public:
    static constexpr unsigned links = 4;

    explicit demo(session& shared) : session_(shared) {}

    /// Makes wires and laggs, starts the laggs and waits until both ends distribute.
    [[nodiscard]] why_not build();
    [[nodiscard]] why_not start_traffic();
    void stop_traffic();

    /// Around every command that may move traffic.
    void change_begins(std::string const& cause);
    void change_ends();
    /// A port's counters are about to be set to zero.
    void counters_go(std::uint16_t port);

    /// Without a terminal: cuts, heals and switches by itself, as if typed.
    void play_alone(std::chrono::seconds length, std::function<void(std::string const&)> type);
    void tick(demo_clock::time_point now);
    /// It plays alone and has not come to the end of its play.
    bool plays() const;

    /// Lines of the live table.
    std::vector<std::string> table();
    /// One line for a log.
    std::string one_line();

    /// Lets everything arrive, stops, adds up.  Once.
    void finish();
    demo_ledger const& ledger() const { return ledger_; }
    std::vector<demo_phase> const& phases() const { return phases_; }
    /// What is wrong with the ledger; empty: nothing.
    std::vector<std::string> const& faults() const { return faults_; }
    demo_traffic const& traffic() const { return *traffic_; }
    /// The phase's frames that were made and did not arrive.
    std::uint64_t missing_in(std::size_t phase) const;
    std::string summary() const;

    std::uint16_t lagg(unsigned end) const { return lagg_[end]; }
    std::uint16_t wire(unsigned link, unsigned end) const { return wire_[link][end]; }

private:
    struct step {
        double at; // part of the whole
        std::string line;
        bool calm = false; // not before both ends agree and nothing changes, or a while has passed
    };

    why_not build_laggs();
    why_not build_wires();
    why_not await_agreement();
    bool agreed() const;
    void play(demo_clock::time_point now);
    bool settled(std::uint64_t (&version)[2]);
    void begin_phase(std::string const& cause, bool stable);
    void end_phase();
    void add_up();
    void judge();

    session& session_;
    std::uint16_t lagg_[2] = {};
    std::uint16_t wire_[links][2] = {};
    std::unique_ptr<demo_traffic> traffic_ = std::make_unique<demo_traffic>();
    std::vector<demo_phase> phases_;
    bool changing_ = false;
    demo_clock::time_point quiet_since_{};
    std::uint64_t last_version_[2] = {0, 0};
    std::uint64_t dropped_before_clear_[2] = {0, 0};
    std::uint64_t control_before_clear_ = 0;
    bool broadcast_before_ = false;

    std::vector<step> script_;
    std::size_t next_step_ = 0;
    bool patient_ = true;               // waits for agreement
    demo_clock::time_point step_due_{}; // the next one's time has come; zero: not yet
    demo_clock::time_point began_{};
    std::chrono::seconds length_{0};
    std::function<void(std::string const&)> type_;

    demo_clock::time_point last_look_{};
    std::uint64_t last_received_ = 0;
    std::uint64_t last_taken_ = 0;
    bool finished_ = false;
    demo_ledger ledger_;
    std::vector<std::string> faults_;
};

} // namespace laggd
