// How members come and go: joining -> present -> leaving -> releasing -> gone.
// What is published meanwhile is in aggregator.cpp.
#include "lagg/control/aggregator.h"

#include <algorithm>
#include <utility>

namespace lagg {

namespace {

std::string called(member const& m) {
    return m.name.empty() ? "port " + std::to_string(m.port) : m.name;
}

} // namespace

member* aggregator::find(member_id id) noexcept {
    for (auto& m : members_) {
        if (m.id == id) {
            return &m;
        }
    }
    return nullptr;
}

member* aggregator::find_port(port_id port) noexcept {
    for (auto& m : members_) {
        if (m.port == port) {
            return &m;
        }
    }
    return nullptr;
}

/// The lowest that nobody has; members_ is ordered by id.
member_id aggregator::free_id() const noexcept {
    member_id id = 0;
    for (auto const& m : members_) {
        if (m.id != id) {
            break;
        }
        ++id;
    }
    return id;
}

void aggregator::on(event::add_member const& e, time_point) {
    if (member* const known = find_port(e.port)) {
        add_again(*known, e);
        return;
    }
    if (members_.size() == max_members) {
        finish(e.request, errc::too_many,
               "no room for " + e.name + "; allowed: at most " + std::to_string(max_members) +
                   " members");
        return;
    }
    member m;
    m.id = free_id();
    m.port = e.port;
    m.name = e.name;
    m.hands_on = e.hands_on;
    m.keeps_list = e.keeps_list;
    m.order = next_order_++;
    m.adding = e.request;
    due_.push_back(effect::prepare_member{.id = m.id, .port = m.port});
    auto const place = std::find_if(members_.begin(), members_.end(),
                                    [&m](member const& other) { return other.id > m.id; });
    members_.insert(place, std::move(m));
}

/// The port has a place here already.
void aggregator::add_again(member& m, event::add_member const& e) {
    if (m.vanished) {
        finish(e.request, errc::busy, called(m) + " is gone and still being given up");
        return;
    }
    switch (m.phase) {
    case member_phase::joining:
        if (m.to_leave) {
            finish(e.request, errc::busy, called(m) + " is being removed; add it when it has left");
        } else {
            finish(e.request, errc::already_member, called(m) + " is joining already");
        }
        return;
    case member_phase::present:
        if (!m.draining) {
            finish(e.request, errc::already_member, called(m) + " is a member already");
            return;
        }
        break;
    case member_phase::releasing:
        finish(e.request, errc::busy, called(m) + " is being given back; add it when it has left");
        return;
    case member_phase::leaving: break;
    }
    // It is still configured and started, and bursts may still run on it: it just stays.
    for (request_id const request : std::exchange(m.removing, {})) {
        finish(request, errc::busy, called(m) + " was added again before it had left");
    }
    std::erase_if(due_, [&m](waiting_effect const& waiting) {
        auto const* await = std::get_if<effect::await_quiescence>(&waiting);
        return await != nullptr && await->id == m.id;
    });
    m.phase = member_phase::present;
    keep_using(m);
    finish(e.request);
}

void aggregator::on(event::member_prepared const& e, time_point now) {
    member* const m = find(e.id);
    if (m == nullptr || m->phase != member_phase::joining) {
        return;
    }
    request_id const adding = std::exchange(m->adding, 0);
    if (e.error != errc::ok) {
        finish(adding, e.error, called(*m) + " could not be prepared", e.device_error);
        forget(m->id);
        return;
    }
    if (m->to_leave) {
        finish(adding, m->vanished ? errc::removed : errc::busy,
               called(*m) + (m->vanished ? " vanished" : " was removed") + " before it had joined");
        give_back(*m);
        return;
    }
    become_present(*m, e, now);
    finish(adding);
}

void aggregator::become_present(member& m, event::member_prepared const& e, time_point now) {
    m.phase = member_phase::present;
    m.filter = e.filter;
    m.address = e.address;
    m.link = e.link;
    m.link_since = now;
    m.announced = true;
    tell(m, effect::member_change::joined);
    settle_link(m, now);
}

void aggregator::on(event::remove_member const& e, time_point) {
    member* const m = find_port(e.port);
    if (m == nullptr) {
        finish(e.request, errc::not_found, "port " + std::to_string(e.port) + " is not a member");
        return;
    }
    m->removing.push_back(e.request);
    if (e.drain && lacp_ && m->phase == member_phase::present) {
        m->draining = true; // settle_drains() goes on
        return;
    }
    keep_using(*m);
    leave(*m);
}

void aggregator::on(event::member_vanished const& e, time_point) {
    if (member* const m = find_port(e.port)) {
        m->vanished = true;
        keep_using(*m);
        leave(*m);
    }
}

void aggregator::leave(member& m) {
    switch (m.phase) {
    case member_phase::joining: m.to_leave = true; break;
    case member_phase::present:
        m.phase = member_phase::leaving;
        due_.push_back(effect::await_quiescence{.id = m.id, .port = m.port});
        break;
    case member_phase::leaving:
    case member_phase::releasing: break; // on its way
    }
}

void aggregator::on(event::member_quiescent const& e, time_point) {
    member* const m = find(e.id);
    // Not `named`: the answer to an earlier leaving that was cancelled.
    if (m != nullptr && m->phase == member_phase::leaving && m->named) {
        give_back(*m);
    }
}

void aggregator::give_back(member& m) {
    m.phase = member_phase::releasing;
    due_.push_back(effect::release_member{.id = m.id, .port = m.port, .vanished = m.vanished});
}

void aggregator::on(event::member_released const& e, time_point) {
    member const* const m = find(e.id);
    if (m != nullptr && m->phase == member_phase::releasing) {
        forget(m->id);
    }
}

/// Its id is free from now on.
void aggregator::forget(member_id id) {
    auto const m = std::find_if(members_.begin(), members_.end(),
                                [id](member const& other) { return other.id == id; });
    if (m->announced) {
        tell(*m, effect::member_change::left);
    }
    for (request_id const request : m->removing) {
        finish(request);
    }
    members_.erase(m);
}

} // namespace lagg
