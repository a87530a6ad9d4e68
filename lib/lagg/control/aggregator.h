// The control of one lagg port as a value machine: (event, now) -> effects.
// Sole owner of its members, configuration and flow table.  Knows no thread, clock, port or mbuf.
// A value that can be copied: each step is taken on a copy, which takes the place of the value when
// the step is whole.  So memory that runs out half-way leaves no half of anything.
#pragma once

#include "lacp/system.h"
#include "lagg/control/bucket_table.h"
#include "lagg/control/config.h"
#include "lagg/control/effect.h"
#include "lagg/control/eligibility.h"
#include "lagg/control/event.h"
#include "lagg/control/member.h"
#include "lagg/control/reorder_guard.h"
#include "lagg/control/snapshot_builder.h"
#include "lagg/snapshot.h"

#include <array>
#include <bitset>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace lagg {

class aggregator {
public:
    /// A drain waits no longer than this for a Marker, lest it wait for a partner that answers
    /// none.
    static constexpr std::chrono::milliseconds longest_marker_wait{1000};
    /// A burst that is parked for longer does not keep LACP from speaking.
    static constexpr std::chrono::milliseconds longest_silence{100};

    /// Memory for one snapshot; nullptr or std::bad_alloc when there is none.
    using snapshot_maker = std::function<std::unique_ptr<snapshot>()>;

    /// `c` must have been validated.  Nothing is published before the first event.
    /// `make`: where snapshots come from; empty: operator new.
    explicit aggregator(config c, snapshot_maker make = {});

    /// Takes one event in.  Any number may be handled before their effects are fetched: they then
    /// share one publication.  An event about a member that is not there, or not in the phase that
    /// the event answers, is ignored: it was overtaken.
    /// Throws std::bad_alloc: then nothing happened.  Never for a slow_frame: one that there is no
    /// memory for is lost, as it could have been on its wire.
    void handle(any_event const& e, time_point now);

    /// Appends to `out` all that has to be done since the last flush, in this order: at most one
    /// publish (none when the snapshot would be the same but for its version), then everything else
    /// in the order in which it arose, what the publish itself changed (distributing, standby,
    /// report_link) behind it, then frames, and completions last.  So a member is left out of the
    /// published snapshot before await_quiescence names it, and a change is in effect, and told,
    /// before its `complete`. Errors: out_of_memory: this and `out` are as they were, nothing is
    /// lost, flush again later.
    errc flush(time_point now, effect_list& out);

    /// When tick should come at the latest: delays and holds that run out.  `never` when nothing is
    /// pending.  As of the last flush.
    time_point next_deadline() const noexcept;

    config const& current_config() const noexcept { return config_; }
    /// All phases, by member_id.
    std::vector<member> const& members() const noexcept { return members_; }
    /// Who owns which bucket under loadbalance; nobody owns any under other policies.
    bucket_table const& table() const noexcept { return table_; }
    /// The member's part of the flows against the others': the operator's, else its link speed.
    std::uint32_t weight_of(member const& m) const noexcept;
    /// Version of the last snapshot handed out; 0 before the first.
    std::uint64_t version() const noexcept { return version_; }
    /// As last reported.
    link_state link() const noexcept { return reported_; }
    run_state run() const noexcept { return run_; }

    /// Both ends of the member's link; nullopt when LACP does not run on it.  As of the last flush.
    std::optional<lacp::port_report> lacp_report(member_id id) const;
    /// As LACP runs with now, the lagg's own address filled in.
    lacp::system_settings lacp_system() const;
    /// Something waits for an answer from a wire: slow frames are to be brought soon.
    bool impatient() const noexcept;
    /// Members whose flows wait; see reorder_guard.
    reorder_guard const& guard() const noexcept { return guard_; }

private:
    /// What bursts, listeners and the lagg's link should be like from the next flush on.
    struct outcome {
        eligible who;
        member_id current = no_member;
        time_point reconsider_at = never;
        bucket_table table;
        reorder_guard guard;
        snapshot next;
        link_state link;
    };

    void lose_or_take(event::slow_frame const& e, time_point now) noexcept;
    void on(event::add_member const& e, time_point now);
    void on(event::member_prepared const& e, time_point now);
    void on(event::remove_member const& e, time_point now);
    void on(event::member_vanished const& e, time_point now);
    void on(event::member_quiescent const& e, time_point now);
    void on(event::bursts_ended const& e, time_point now);
    void on(event::member_released const& e, time_point now);
    void on(event::link_changed const& e, time_point now);
    void on(event::slow_frame const& e, time_point now);
    void on(event::filter_changed const& e, time_point now);
    void on(event::change_config const& e, time_point now);
    void on(event::run_changed const& e, time_point now);
    void on(event::port_changed const& e, time_point now);
    void on(event::tick const& e, time_point now);

    member* find(member_id id) noexcept;
    member* find_port(port_id port) noexcept;
    member_id free_id() const noexcept;
    void add_again(member& m, event::add_member const& e);
    void become_present(member& m, event::member_prepared const& e, time_point now);
    void leave(member& m);
    void give_back(member& m);
    void forget(member_id id);

    // aggregator_lacp.cpp
    struct marker_queue {
        std::uint32_t transaction = 0;
        std::uint16_t queue = 0;
    };
    void run_lacp(time_point now);
    void end_lacp(time_point now);
    void leave_lacp(member_id id, time_point now);
    lacp::port_settings lacp_port_of(member const& m) const;
    void collect_frames();
    void take_frames(time_point now, effect_list& out);
    std::uint16_t queue_of_marker(std::uint32_t transaction);
    eligible negotiated() const;
    std::bitset<max_members> answering() const;
    void settle_drains();
    static void keep_using(member& m) noexcept;

    void settle_links(time_point now);
    void settle_link(member& m, time_point now);
    time_point settles_at(member const& m) const noexcept;

    outcome decide_outcome(time_point now) const;
    reorder_guard guard_after(bucket_table const& next, time_point now) const;
    std::vector<share> shares_of(std::bitset<max_members> const& distributing) const;
    link_state link_of(snapshot const& s) const noexcept;
    void list_changes(outcome const& o, std::vector<waiting_effect>& out) const;
    void adopt(outcome const& o, time_point now) noexcept;
    void publish_and_list(outcome const& o, time_point now, effect_list& out);
    void await_bursts();

    void tell(member const& m, effect::member_change change);
    void finish(request_id request, errc error = errc::ok, std::string text = {},
                int device_error = 0);

    config config_;
    snapshot_maker make_;
    std::vector<member> members_; // by id
    bucket_table table_;
    event::port_changed port_; // as last set; its request is of no interest
    run_state run_ = run_state::stopped;
    member_id current_ = no_member; // the one that failover uses
    time_point reconsider_at_ = never;
    std::uint64_t next_order_ = 0;

    snapshot published_; // a copy of the last one handed out
    std::uint64_t version_ = 0;
    link_state reported_;

    std::optional<lacp::system> lacp_; // while the policy is lacp and the port runs
    std::array<std::optional<lacp::port_settings>, max_members> in_lacp_; // as LACP was told
    reorder_guard guard_;
    std::vector<marker_queue> marker_queues_; // of Markers not yet handed out
    std::uint64_t awaited_version_ = 0;       // bursts older than this were asked to be awaited
    std::uint64_t ended_version_ = 0;         // bursts older than this are known to be over
    std::vector<effect::send_frame> frames_;  // to be sent after the next publication

    bool woken_ = false;              // an event came
    std::vector<waiting_effect> due_; // what arose since the last flush, but for completions
    std::vector<effect::complete> completions_;
};

} // namespace lagg
