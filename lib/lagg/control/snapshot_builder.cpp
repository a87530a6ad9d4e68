// Turns what control knows into what a burst may know.  Decides nothing, keeps nothing.
#include "lagg/control/snapshot_builder.h"

#include <algorithm>
#include <array>
#include <cassert>

namespace lagg {

namespace {

bounded_vector<member const*, max_members> present_by_id(std::span<member const> members) {
    bounded_vector<member const*, max_members> found;
    for (auto const& m : members) {
        if (m.phase == member_phase::present) {
            [[maybe_unused]] bool const fits = found.push_back(&m);
            assert(fits);
        }
    }
    std::sort(found.begin(), found.end(),
              [](member const* a, member const* b) { return a->id < b->id; });
    return found;
}

spread spread_of(policy p, std::size_t distributing) {
    if (distributing == 0) {
        return spread::nobody;
    }
    if (distributing == 1) {
        return spread::to_one;
    }
    switch (p) {
    case policy::roundrobin: return spread::in_turn;
    case policy::loadbalance:
    case policy::lacp: return spread::by_flow;
    case policy::broadcast: return spread::to_all;
    case policy::failover: // never more than one
    case policy::none: break;
    }
    return spread::nobody;
}

/// A bucket whose owner does not distribute goes to the first that does; bucket_table leaves none.
void fill_buckets(snapshot& s, bucket_table const& table, std::bitset<bucket_count> const& held) {
    std::array<std::uint8_t, max_members> index_of{};
    for (std::size_t i = 0; i < s.distributing.size(); ++i) {
        index_of[s.distributing[i].id] = static_cast<std::uint8_t>(i);
    }
    for (std::size_t b = 0; b < bucket_count; ++b) {
        member_id const owner = table.owner(b);
        s.bucket[b] = owner < max_members ? index_of[owner] : std::uint8_t{0};
        if (held.test(b)) {
            s.bucket[b] = held_bucket;
        }
    }
}

void fill_members(snapshot& s, build_input const& in) {
    for (member const* m : present_by_id(in.members)) {
        s.polled.push_back({.port = m->port,
                            .id = m->id,
                            .collecting = in.who.collecting.test(m->id),
                            .filter = m->filter && !in.port.promiscuous});
        if (in.who.distributing.test(m->id)) {
            s.distributing.push_back({.port = m->port,
                                      .id = m->id,
                                      .hands_on = m->hands_on,
                                      .keeps_list = m->keeps_list});
        }
    }
}

} // namespace

shared_by_all what_all_share(snapshot const& s) noexcept {
    auto const all = [&s](auto has) {
        return std::all_of(s.distributing.begin(), s.distributing.end(), has);
    };
    if (s.tx_prepare || !all([](distributing_member const& m) { return !m.hands_on; })) {
        return shared_by_all::nothing;
    }
    return all([](distributing_member const& m) { return m.keeps_list; }) ? shared_by_all::list
                                                                          : shared_by_all::frames;
}

snapshot build_snapshot(build_input const& in) {
    snapshot s;
    s.version = in.version;
    s.policy = in.config.policy;
    s.run = in.run;
    s.take_slow = s.policy == policy::lacp;
    s.tx_prepare = in.port.tx_prepare;
    s.stride = std::max(in.config.stride, 1U);
    s.hash = in.config.hash;
    s.hash_plan = net::plan_of(s.hash);
    for (auto const& address : in.port.addresses) {
        s.accept.push_back(address);
    }
    if (in.run != run_state::running) {
        return s;
    }
    fill_members(s, in);
    s.shared = what_all_share(s);
    s.how = spread_of(s.policy, s.distributing.size());
    if (in.held.any() && (s.how == spread::by_flow || s.how == spread::to_one)) {
        s.how = spread::by_flow_held;
    }
    if (s.how == spread::by_flow || s.how == spread::by_flow_held) {
        fill_buckets(s, in.table, in.held);
    }
    return s;
}

bool same_but_for_version(snapshot const& a, snapshot const& b) noexcept {
    return a.policy == b.policy && a.how == b.how && a.run == b.run && a.take_slow == b.take_slow &&
           a.tx_prepare == b.tx_prepare && a.shared == b.shared && a.stride == b.stride &&
           a.hash == b.hash && a.polled == b.polled && a.distributing == b.distributing &&
           a.bucket == b.bucket && a.accept == b.accept;
}

} // namespace lagg
