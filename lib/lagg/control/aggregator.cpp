// From what is known to what is published: decide, build, compare, hand out.
// Who joins and leaves is in aggregator_members.cpp.
#include "lagg/control/aggregator.h"

#include <algorithm>
#include <limits>
#include <new>
#include <type_traits>
#include <utility>
#include <variant>

namespace lagg {

aggregator::aggregator(config c, snapshot_maker make)
    : config_(std::move(c)), make_(std::move(make)) {
    if (!make_) {
        make_ = [] { return std::make_unique<snapshot>(); };
    }
    members_.reserve(max_members);
}

void aggregator::handle(any_event const& e, time_point now) {
    static_assert(std::is_nothrow_move_assignable_v<aggregator>);
    if (auto const* frame = std::get_if<event::slow_frame>(&e)) {
        lose_or_take(*frame, now); // the one that strangers send: no copy of all for each of theirs
        return;
    }
    aggregator next(*this);
    next.woken_ = true;
    std::visit([&next, now](auto const& known) { next.on(known, now); }, e);
    *this = std::move(next);
}

void aggregator::on(event::change_config const& e, time_point now) {
    if (auto const valid = validate(e.config); !valid) {
        finish(e.request, valid.error().code, valid.error().text);
        return;
    }
    bool const new_primary = e.config.primary != config_.primary;
    config_ = e.config;
    settle_links(now); // the delays may be others
    if (new_primary && !config_.primary.empty()) {
        // The operator's word is no failback: it waits for no hold, and `never` does not stop it.
        for (auto const& m : members_) {
            if (m.name == config_.primary && m.phase == member_phase::present && m.usable) {
                current_ = m.id;
            }
        }
    }
    finish(e.request);
}

void aggregator::on(event::run_changed const& e, time_point) {
    if (!e.started) {
        run_ = run_state::stopped;
    } else {
        run_ = e.admin_up ? run_state::running : run_state::admin_down;
    }
    finish(e.request);
}

void aggregator::on(event::port_changed const& e, time_point) {
    if (e.addresses.size() > max_addresses) {
        finish(e.request, errc::too_many,
               std::to_string(e.addresses.size()) + " addresses are too many; allowed: at most " +
                   std::to_string(max_addresses));
        return;
    }
    port_ = e;
    finish(e.request);
}

void aggregator::on(event::tick const&, time_point) {
    // flush() looks at the time.
}

// Links: what was reported counts after its delay.

time_point aggregator::settles_at(member const& m) const noexcept {
    if (m.link.up == m.usable || m.phase == member_phase::joining ||
        m.phase == member_phase::releasing) {
        return never;
    }
    return m.link_since + (m.link.up ? config_.up_delay : config_.down_delay);
}

void aggregator::settle_link(member& m, time_point now) {
    time_point const at = settles_at(m);
    if (at == never || now < at) {
        return;
    }
    tell(m, m.link.up ? effect::member_change::link_up : effect::member_change::link_down);
    m.usable = m.link.up;
    m.usable_since = now;
}

void aggregator::settle_links(time_point now) {
    for (auto& m : members_) {
        settle_link(m, now);
    }
}

void aggregator::on(event::link_changed const& e, time_point now) {
    member* const m = find(e.id);
    if (m == nullptr || m->phase == member_phase::joining || m->phase == member_phase::releasing) {
        return;
    }
    settle_link(*m, now); // a delay that ran out before this report
    if (m->link.up != e.link.up) {
        m->link_since = now;
    }
    link_state const was = m->link;
    m->link = e.link;
    if (!e.link.up && m->usable) {
        // As fast as it was until its loss counts: one that down_delay bridges moves no bucket.
        m->link.speed_mbps = was.speed_mbps;
        m->link.full_duplex = was.full_duplex;
    }
    settle_link(*m, now);
    if (!m->usable && !m->link.up) {
        m->link = e.link;
    }
}

void aggregator::on(event::filter_changed const& e, time_point) {
    if (member* const m = find(e.id); m != nullptr) {
        m->filter = e.filter;
    }
}

// Decisions.

std::uint32_t aggregator::weight_of(member const& m) const noexcept {
    if (config_.weights.empty()) {
        return std::max(m.link.speed_mbps, 1U);
    }
    for (auto const& w : config_.weights) {
        if (w.member == m.name) {
            return w.weight;
        }
    }
    return 1;
}

std::vector<share> aggregator::shares_of(std::bitset<max_members> const& distributing) const {
    std::vector<share> shares;
    for (auto const& m : members_) {
        if (!distributing.test(m.id)) {
            continue;
        }
        shares.push_back({.id = m.id, .weight = weight_of(m)});
    }
    return shares;
}

/// What applications see: up with enough members to send on, and as fast as these together.
link_state aggregator::link_of(snapshot const& s) const noexcept {
    std::size_t const needed = std::max(config_.min_links, 1U);
    link_state link;
    link.up = s.distributing.size() >= needed;
    if (!link.up) {
        return link;
    }
    std::uint64_t speed = 0;
    for (auto const& d : s.distributing) {
        auto const m = std::find_if(members_.begin(), members_.end(),
                                    [&d](member const& known) { return known.id == d.id; });
        speed += m->link.speed_mbps;
        link.full_duplex = link.full_duplex && m->link.full_duplex;
    }
    std::uint64_t const most = std::numeric_limits<std::uint32_t>::max();
    link.speed_mbps = static_cast<std::uint32_t>(std::min(speed, most));
    return link;
}

/// Flows that move while their member works wait; under other policies nobody could answer.
reorder_guard aggregator::guard_after(bucket_table const& next, time_point now) const {
    reorder_guard guard = guard_;
    if (config_.policy == policy::lacp && config_.lacp.reorder_guard) {
        guard.table_changed(table_, next, answering(), version_ + 1,
                            now + config_.lacp.reorder_wait,
                            now + std::min(config_.lacp.system.drain_wait, longest_marker_wait));
    } else {
        guard.clear();
    }
    return guard;
}

aggregator::outcome aggregator::decide_outcome(time_point now) const {
    outcome o;
    o.who = decide(config_, members_, current_, negotiated(), now, o.reconsider_at);
    // A port that is stopped uses no member: it starts with the best one.
    if (config_.policy == policy::failover && run_ != run_state::stopped) {
        for (auto const& m : members_) {
            if (o.who.distributing.test(m.id)) {
                o.current = m.id;
            }
        }
    }
    o.table = table_;
    bool const by_flow = config_.policy == policy::loadbalance || config_.policy == policy::lacp;
    o.table.assign(by_flow ? shares_of(o.who.distributing) : std::vector<share>{});
    o.guard = guard_after(o.table, now);
    o.next = build_snapshot({.config = config_,
                             .members = members_,
                             .who = o.who,
                             .table = o.table,
                             .held = o.guard.held(),
                             .port = port_,
                             .run = run_,
                             .version = version_ + 1});
    o.link = link_of(o.next);
    return o;
}

namespace {

std::bitset<max_members> distributing_in(snapshot const& s) {
    std::bitset<max_members> found;
    for (auto const& d : s.distributing) {
        found.set(d.id);
    }
    return found;
}

std::bitset<max_members> collecting_in(snapshot const& s) {
    std::bitset<max_members> found;
    for (auto const& p : s.polled) {
        if (p.collecting) {
            found.set(p.id);
        }
    }
    return found;
}

} // namespace

/// What the publication changes for listeners.
void aggregator::list_changes(outcome const& o, std::vector<waiting_effect>& out) const {
    auto const distributing = distributing_in(o.next);
    for (auto const& m : members_) {
        if (m.distributing != distributing.test(m.id)) {
            auto const change = m.distributing ? effect::member_change::standby
                                               : effect::member_change::distributing;
            out.push_back(effect::notify_member{.id = m.id, .port = m.port, .change = change});
        }
    }
    if (o.link != reported_) {
        out.push_back(effect::report_link{.link = o.link});
    }
}

/// Asked once per version, and again when a wait came after the answer; the answer may come in the
/// same breath.
void aggregator::await_bursts() {
    std::uint64_t version = guard_.awaited_version();
    for (auto& m : members_) {
        if (m.draining && m.unused_since == 0) {
            m.unused_since = version_; // it is in `distributing` of no snapshot from here on
        }
        if (m.draining && !m.unused) {
            version = std::max(version, m.unused_since);
        }
        version = std::max(version, m.idle_since);
    }
    bool const missed = version != 0 && version <= ended_version_;
    if (version > awaited_version_ || missed) {
        awaited_version_ = std::max(awaited_version_, version);
        due_.push_back(effect::await_bursts{.version = version});
    }
}

void aggregator::adopt(outcome const& o, time_point now) noexcept {
    auto const distributing = distributing_in(o.next);
    auto const collecting = collecting_in(o.next);
    for (auto& m : members_) {
        if (lacp_ && m.distributing && !distributing.test(m.id) &&
            m.phase == member_phase::present) {
            m.idle_since = version_;
            m.speak_at = now + longest_silence;
        }
        m.distributing = distributing.test(m.id);
        m.collecting = collecting.test(m.id);
        m.named = m.phase == member_phase::leaving;
    }
    table_ = o.table;
    guard_ = o.guard;
    guard_.newest_is(version_);
    current_ = o.current;
    reconsider_at_ = o.reconsider_at;
    reported_ = o.link;
}

void aggregator::publish_and_list(outcome const& o, time_point now, effect_list& out) {
    std::vector<waiting_effect> changes;
    list_changes(o, changes);
    if (version_ == 0 || !same_but_for_version(o.next, published_)) {
        auto fresh = make_();
        if (!fresh) {
            throw std::bad_alloc();
        }
        *fresh = o.next;
        append(out, effect::publish{.next = std::move(fresh)});
        published_ = o.next;
        version_ = o.next.version;
    }
    adopt(o, now);
    await_bursts();
    for (auto* const part : {&due_, &changes}) {
        for (waiting_effect const& e : *part) {
            std::visit([&out](auto const& one) { append(out, one); }, e);
        }
    }
    due_.clear();
    take_frames(now, out);
    for (effect::complete& done : completions_) {
        append(out, std::move(done));
    }
    completions_.clear();
}

errc aggregator::flush(time_point now, effect_list& out) {
    if (!woken_) {
        return errc::ok;
    }
    std::size_t const before = out.size();
    try {
        aggregator next(*this);
        next.settle_links(now);
        next.run_lacp(now);
        next.settle_drains();
        next.publish_and_list(next.decide_outcome(now), now, out);
        *this = std::move(next);
    } catch (std::bad_alloc const&) {
        out.erase(out.begin() + static_cast<std::ptrdiff_t>(before), out.end());
        return errc::out_of_memory;
    }
    return errc::ok;
}

time_point aggregator::next_deadline() const noexcept {
    time_point first = std::min(reconsider_at_, guard_.next_deadline());
    for (auto const& m : members_) {
        if (m.idle_since != 0 && !frames_.empty()) {
            first = std::min(first, m.speak_at);
        }
    }
    if (lacp_) {
        first = std::min(first, lacp_->next_deadline());
    }
    for (auto const& m : members_) {
        first = std::min(first, settles_at(m));
    }
    return first;
}

void aggregator::tell(member const& m, effect::member_change change) {
    due_.push_back(effect::notify_member{.id = m.id, .port = m.port, .change = change});
}

void aggregator::finish(request_id request, errc error, std::string text, int device_error) {
    if (request == 0) {
        return;
    }
    completions_.push_back({.request = request,
                            .error = error,
                            .text = std::move(text),
                            .device_error = device_error});
}

} // namespace lagg
