// config x members x table -> snapshot; pure.
#pragma once

#include "lagg/control/bucket_table.h"
#include "lagg/control/config.h"
#include "lagg/control/eligibility.h"
#include "lagg/control/event.h"
#include "lagg/control/member.h"
#include "lagg/snapshot.h"

#include <bitset>
#include <span>

namespace lagg {

struct build_input {
    lagg::config const& config;
    std::span<member const> members;
    eligible const& who;
    bucket_table const& table;
    std::bitset<bucket_count> const& held; // their frames stay the caller's for the moment
    event::port_changed const& port;
    run_state run;
    std::uint64_t version;
};

/// Builds the snapshot that bursts run against next; its sets are ordered by member_id, present
/// members only.  A port that does not run has empty sets.  No member is not an error.
/// `in.table`: every bucket of a by_flow policy is owned by a distributing member.
snapshot build_snapshot(build_input const& in);

/// What build_snapshot() puts into `shared`; its own value does not matter.
shared_by_all what_all_share(snapshot const& s) noexcept;

/// True when bursts could not tell `a` from `b` but by their version.
bool same_but_for_version(snapshot const& a, snapshot const& b) noexcept;

} // namespace lagg
