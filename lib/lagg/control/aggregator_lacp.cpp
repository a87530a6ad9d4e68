// Policy lacp: the aggregator tells lacp::system what it knows of members, and asks it who may
// collect and distribute; flows that move wait for their Markers; members drain.
#include "lagg/control/aggregator.h"

#include <algorithm>
#include <new>
#include <utility>

namespace lagg {

/// Machines take one arrow after the other: where memory ends is a place they can go on from.
void aggregator::lose_or_take(event::slow_frame const& e, time_point now) noexcept {
    woken_ = true;
    try {
        on(e, now);
    } catch (std::bad_alloc const&) {
        // lost
    }
}

void aggregator::on(event::slow_frame const& e, time_point now) {
    member const* const m = find(e.id);
    if (m == nullptr || !lacp_ || !in_lacp_[e.id]) {
        return;
    }
    std::size_t const length = std::min<std::size_t>(e.length, e.bytes.size());
    lacp_->receive(e.id, std::span(e.bytes).first(length), now);
    for (auto const& answer : lacp_->take_marker_answers()) {
        guard_.answered(answer.port, answer.transaction);
    }
}

/// Markers follow what bursts have sent on the queues of members whose flows move.
void aggregator::on(event::bursts_ended const& e, time_point now) {
    ended_version_ = std::max(ended_version_, e.version);
    for (auto& m : members_) {
        m.unused = m.unused || (m.unused_since != 0 && m.unused_since <= e.version);
        if (m.idle_since <= e.version) {
            m.idle_since = 0;
        }
    }
    for (member_id const id : guard_.bursts_ended(e.version)) {
        std::vector<std::uint32_t> transactions;
        for (std::uint16_t q = 0; lacp_ && in_lacp_[id] && q < port_.tx_queues; ++q) {
            std::uint32_t const transaction = lacp_->request_marker(id, now);
            if (transaction == 0) {
                break;
            }
            transactions.push_back(transaction);
            marker_queues_.push_back({.transaction = transaction, .queue = q});
        }
        guard_.sent(id, transactions);
    }
}

lacp::port_settings aggregator::lacp_port_of(member const& m) const {
    lacp::port_settings s;
    s.id.number = static_cast<std::uint16_t>(config_.lacp.first_port_number + m.id);
    s.source = m.address.is_zero() ? lacp_->settings().system.address : m.address;
    for (auto const& named : config_.lacp.members) {
        if (named.member == m.name) {
            s.id.priority = named.priority.value_or(s.id.priority);
            s.id.number = named.number.value_or(s.id.number);
            s.key = named.key;
            s.aggregation = named.aggregation;
        }
    }
    return s;
}

lacp::system_settings aggregator::lacp_system() const {
    lacp::system_settings s = config_.lacp.system;
    if (s.system.address.is_zero() && !port_.addresses.empty()) {
        s.system.address = port_.addresses.front();
    }
    return s;
}

/// Takes everybody out; partners are told.
void aggregator::end_lacp(time_point now) {
    if (!lacp_) {
        return;
    }
    for (auto& m : members_) {
        leave_lacp(m.id, now);
        if (m.draining) {
            keep_using(m);
            leave(m); // nobody is left to wait for
        }
    }
    collect_frames();
    guard_.clear();
    lacp_.reset();
}

void aggregator::leave_lacp(member_id id, time_point now) {
    if (lacp_ && in_lacp_[id]) {
        member const* const m = find(id);
        lacp_->remove_port(id, now, m != nullptr && !m->vanished);
        in_lacp_[id].reset();
        guard_.forget(id);
    }
}

/// What is known of members goes to LACP, and every machine runs.
void aggregator::run_lacp(time_point now) {
    if (config_.policy != policy::lacp || run_ != run_state::running) {
        end_lacp(now);
        return;
    }
    auto const settings = lacp_system();
    if (!lacp_) {
        lacp_.emplace(settings);
    } else if (!(lacp_->settings() == settings)) {
        lacp_->set(settings, now);
    }
    for (auto const& m : members_) {
        if (m.phase != member_phase::present) {
            leave_lacp(m.id, now);
            continue;
        }
        auto const port = lacp_port_of(m);
        if (in_lacp_[m.id] != port) {
            lacp_->set_port(m.id, port, now);
            in_lacp_[m.id] = port;
        }
        lacp_->set_link(m.id, m.usable, m.link.full_duplex, m.link.speed_mbps, now);
        // SYNC is withdrawn behind our last frame, for the partner then stops to collect.
        lacp_->drain(m.id, m.draining && m.unused && !guard_.waits_for(m.id), now);
        if (!m.usable) {
            guard_.forget(m.id);
        }
    }
    lacp_->run(now);
    guard_.expire(now);
    collect_frames();
}

void aggregator::collect_frames() {
    for (auto& out : lacp_->take_frames()) {
        member const* const m = find(out.port);
        if (m == nullptr || m->vanished || m->phase == member_phase::joining ||
            m->phase == member_phase::releasing) {
            continue;
        }
        std::uint16_t queue = any_queue;
        if (auto const marker = lacp::decode_marker(out.frame); marker && !marker->response) {
            queue = queue_of_marker(marker->transaction);
        }
        frames_.push_back({.id = m->id, .port = m->port, .queue = queue, .frame = out.frame});
    }
}

/// A PDU that says that a member stopped distributing goes out behind its last frame.
void aggregator::take_frames(time_point now, effect_list& out) {
    for (auto& m : members_) {
        if (!lacp_ || m.phase != member_phase::present || now >= m.speak_at) {
            m.idle_since = 0;
        }
    }
    std::size_t waiting = 0;
    for (auto& frame : frames_) {
        member const* const m = find(frame.id);
        if (m != nullptr && m->idle_since != 0) {
            std::swap(frames_[waiting++], frame);
        } else {
            append(out, frame);
        }
    }
    frames_.erase(frames_.begin() + static_cast<std::ptrdiff_t>(waiting), frames_.end());
}

std::uint16_t aggregator::queue_of_marker(std::uint32_t transaction) {
    for (auto const& known : marker_queues_) {
        if (known.transaction == transaction) {
            std::uint16_t const queue = known.queue;
            std::erase_if(marker_queues_,
                          [&](marker_queue const& q) { return q.transaction == transaction; });
            return queue;
        }
    }
    return any_queue;
}

eligible aggregator::negotiated() const {
    eligible who;
    if (lacp_) {
        who.collecting = lacp_->collecting();
        who.distributing = lacp_->distributing();
    }
    for (auto const& m : members_) {
        if (m.draining) {
            who.distributing.reset(m.id);
        }
    }
    return who;
}

/// Members whose frames will still arrive: their flows are worth waiting for.
std::bitset<max_members> aggregator::answering() const {
    std::bitset<max_members> alive;
    for (auto const& m : members_) {
        if (m.phase != member_phase::present || !m.usable || !lacp_ || !in_lacp_[m.id]) {
            continue;
        }
        auto const report = lacp_->report(m.id);
        alive.set(m.id, report && report->receive == lacp::receive_state::current);
    }
    return alive;
}

/// It drains no more.
void aggregator::keep_using(member& m) noexcept {
    m.draining = false;
    m.unused = false;
    m.unused_since = 0;
}

/// Members that drain leave when the partner has stopped, and their flows have moved in order.
void aggregator::settle_drains() {
    for (auto& m : members_) {
        if (!m.draining) {
            continue;
        }
        auto const report = lacp_ ? lacp_->report(m.id) : std::nullopt;
        if (!report || report->drained) {
            keep_using(m);
            leave(m);
            woken_ = true;
        }
    }
}

std::optional<lacp::port_report> aggregator::lacp_report(member_id id) const {
    return lacp_ ? lacp_->report(id) : std::nullopt;
}

bool aggregator::impatient() const noexcept {
    return !guard_.idle() || std::any_of(members_.begin(), members_.end(),
                                         [](member const& m) { return m.draining; });
}

} // namespace lagg
