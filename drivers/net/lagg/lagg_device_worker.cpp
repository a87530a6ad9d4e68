// The worker's side of a lagg port: every slow call into a member's ethdev.
#include "lagg_device.h"

#include "lagg_follow.h"
#include "lagg_log.h"
#include "lagg_removal.h"

#include <rte_errno.h>

#include <algorithm>

namespace lagg::pmd {

void device::prepare(member_id id, port_id port) {
    auto m = std::make_unique<member_port>(port, id);
    int rc = m->adopt(settings_);
    if (rc == 0 && settings_.started) {
        rc = start_member(*m);
        if (rc != 0) {
            m->give_back();
        }
    }
    event::member_prepared done{
        id, rc == 0 ? errc::ok : errc::device, {}, m->filter(), m->own_address(), rc};
    bool const running = m->running();
    own_queues const queues{m->control_queue(), m->slow_queue()};
    if (rc == 0) {
        members_[id] = std::move(m);
        members_changed();
    }
    post_to_control([this, done, running, queues, port]() mutable {
        if (done.error != errc::ok) {
            disown(port); // here, where an add meanwhile would be owned anew
            handle(done);
            flush(now()); // who is told, and asks, finds it gone
            tell(RTE_PMD_LAGG_EVENT_MEMBER_REFUSED, port, done.device_error);
            return;
        }
        if (running) {
            follow(done.id, queues);
            done.link = link_of(done.id);
        }
        handle(done);
    });
}

void device::release(member_id id, port_id port, bool vanished, bool collecting) {
    auto& m = members_[id];
    if (m != nullptr) {
        if (vanished) {
            statistics_.leave(id, true);
            retract_settings(*m, settings_, true);
            m->vanish();
        } else if (m->running()) {
            if (settings_.started) {
                hand_in(id, m->drain(collecting, settings_));
            }
            stop_member(*m);
        }
        if (!vanished) {
            m->give_back();
        }
        m.reset();
        members_changed();
    }
    auto const given_back = [this, id, port, vanished] {
        post_to_control([this, id, port, vanished] { member_gone(id, port, vanished); });
    };
    // Unless somebody else closed the port and another device has its id by now.
    if (vanished && owned(port)) {
        discard_port(port, given_back);
    } else {
        given_back();
    }
}

/// Before the member is reported as gone: jobs arrive in order.
void device::hand_in(member_id id, std::vector<drained_frames> frames) {
    auto const shared = std::make_shared<std::vector<drained_frames>>(std::move(frames));
    post_to_control([this, id, shared] {
        for (drained_frames& of_queue : *shared) {
            frames_.take_in(id, of_queue, to_aggregator());
        }
    });
}

int device::start_member(member_port& m) {
    int const rc = m.start(settings_);
    if (rc == 0) {
        statistics_.join(m.id(), m.port());
    }
    return rc;
}

void device::stop_member(member_port& m) {
    if (m.running()) {
        statistics_.leave(m.id(), false);
        retract_settings(m, settings_, false);
        m.stop();
    }
}

int device::start_members(std::vector<member_id>& started) {
    settings_.started = true;
    for (auto& m : members_) {
        if (m == nullptr) {
            continue;
        }
        if (int const rc = start_member(*m); rc != 0) {
            LAGG_LOG(ERR, "%s: not started: member %s could not be: %s", name_.c_str(),
                     describe(m->port()).c_str(), rte_strerror(-rc));
            stop_members();
            return rc;
        }
        started.push_back(m->id());
    }
    return 0;
}

void device::stop_members() {
    for (auto& m : members_) {
        if (m != nullptr) {
            stop_member(*m);
        }
    }
    settings_.started = false;
}

void device::members_changed() {
    std::vector<port_id> ports;
    for (auto const& m : members_) {
        if (m != nullptr) {
            ports.push_back(m->port());
        }
    }
    infos_.recompute(ports, settings_);
}

event::port_changed device::port_view() const {
    event::port_changed view;
    view.promiscuous = settings_.promiscuous;
    constexpr std::uint64_t prepared_offloads =
        RTE_ETH_TX_OFFLOAD_IPV4_CKSUM | RTE_ETH_TX_OFFLOAD_UDP_CKSUM |
        RTE_ETH_TX_OFFLOAD_TCP_CKSUM | RTE_ETH_TX_OFFLOAD_SCTP_CKSUM | RTE_ETH_TX_OFFLOAD_TCP_TSO |
        RTE_ETH_TX_OFFLOAD_UDP_TSO | RTE_ETH_TX_OFFLOAD_VLAN_INSERT |
        RTE_ETH_TX_OFFLOAD_QINQ_INSERT | RTE_ETH_TX_OFFLOAD_OUTER_IPV4_CKSUM;
    view.tx_prepare = (settings_.conf.txmode.offloads & prepared_offloads) != 0;
    view.tx_queues = static_cast<std::uint16_t>(settings_.tx.size());
    view.addresses.push_back(settings_.mac);
    view.addresses.insert(view.addresses.end(), settings_.more_macs.begin(),
                          settings_.more_macs.end());
    return view;
}

int device::edit_settings(std::function<void(port_settings&)> const& edit,
                          follow_fn const& follow) {
    port_settings next = settings_;
    edit(next);
    std::swap(settings_, next);
    port_settings const& old = next;
    for (std::size_t i = 0; follow && i < members_.size(); ++i) {
        if (members_[i] == nullptr || !members_[i]->running()) {
            continue;
        }
        int const rc = follow(*members_[i], settings_);
        if (rc == 0) {
            continue;
        }
        for (std::size_t k = 0; k < i; ++k) {
            if (members_[k] != nullptr && members_[k]->running()) {
                follow(*members_[k], old);
            }
        }
        settings_ = old;
        return rc;
    }
    members_changed();
    return 0;
}

/// LACP's group address reaches members from the moment when it is wanted.
void device::hear_slow_frames(bool wanted) {
    settings_.slow_frames = wanted;
    for (auto& m : members_) {
        if (m != nullptr && m->running()) {
            m->follow_multicast(settings_);
        }
    }
}

/// Tells control what the port is like now; jobs of one thread arrive in order, so the last word is
/// the newest. `started`: members that were just started.  `done` completes when bursts follow.
void device::report(waiter done, std::vector<member_id> started) {
    std::vector<event::filter_changed> filters;
    std::array<own_queues, max_members> queues{};
    for (auto const& m : members_) {
        if (m != nullptr) {
            filters.push_back({m->id(), m->filter()});
            queues[m->id()] = {m->control_queue(), m->slow_queue()};
        }
    }
    post_to_control([this, done = std::move(done), started = std::move(started),
                     filters = std::move(filters), queues, view = port_view(),
                     run = settings_.started, admin_up = settings_.admin_up] {
        for (member_id const id : started) {
            if (!is_ours(id)) {
                continue; // released meanwhile: its port may be another's by now
            }
            follow(id, queues[id]);
            handle(event::link_changed{id, link_of(id)});
        }
        for (auto const& f : filters) {
            handle(f);
        }
        handle(view);
        handle(event::run_changed{expect(done), run, admin_up});
    });
}

} // namespace lagg::pmd
