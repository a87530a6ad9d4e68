// The worker's side of a lagg port: every slow call into a member's ethdev.
#include "lagg_device.h"

#include "lagg_follow.h"
#include "lagg_log.h"
#include "lagg_removal.h"

#include <rte_errno.h>

#include <algorithm>
#include <cerrno>
#include <new>

namespace lagg::pmd {

void device::prepare(member_id id, port_id port) {
    auto m = std::make_unique<member_port>(port, id);
    int const rc = prepare(*m);
    event::member_prepared const done{
        id, rc == 0 ? errc::ok : errc::device, {}, m->filter(), m->own_address(), rc};
    bool const running = m->running();
    reach const by{m->control_queue(), m->slow_queue(), m->if_index()};
    if (rc == 0) {
        members_[id] = std::move(m);
        members_changed();
    }
    insist([&] {
        post_to_control([this, done, running, by, port] { prepared(done, port, running, by); });
        return 0;
    });
}

/// On error it is as it was found.
int device::prepare(member_port& m) {
    int rc = m.adopt(settings_);
    if (rc == 0 && settings_.started) {
        rc = start_member(m);
        if (rc != 0) {
            m.give_back();
        }
    }
    return rc;
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
        insist([=, this] {
            post_to_control([=, this] { member_gone(id, port, vanished); });
            return 0;
        });
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
    std::shared_ptr<std::vector<drained_frames>> shared;
    insist([&] {
        if (shared == nullptr) {
            shared = std::make_shared<std::vector<drained_frames>>(std::move(frames));
        }
        post_to_control([this, id, shared] {
            for (drained_frames& of_queue : *shared) {
                frames_.take_in(id, of_queue, to_aggregator());
            }
        });
        return 0;
    });
}

/// On error it does not run.
int device::start_member(member_port& m) {
    int rc = -ENOMEM;
    try {
        rc = m.start(settings_);
        if (rc == 0) {
            statistics_.join(m.id(), m.port());
        }
    } catch (std::bad_alloc const&) {
        stop_member(m);
        rc = -ENOMEM;
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
    insist([this] {
        std::vector<port_id> ports;
        for (auto const& m : members_) {
            if (m != nullptr) {
                ports.push_back(m->port());
            }
        }
        infos_.recompute(ports, settings_);
        return 0;
    });
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
    if (int const rc = follow ? follow_on_all(follow, next) : 0; rc != 0) {
        std::swap(settings_, next);
        return rc;
    }
    members_changed();
    return 0;
}

/// Every running member, or, on error, none.
int device::follow_on_all(follow_fn const& follow, port_settings const& old) {
    for (std::size_t i = 0; i < members_.size(); ++i) {
        if (members_[i] == nullptr || !members_[i]->running()) {
            continue;
        }
        int rc = -ENOMEM;
        try {
            rc = follow(*members_[i], settings_);
        } catch (std::bad_alloc const&) {
            rc = -ENOMEM;
        }
        if (rc == 0) {
            continue;
        }
        for (std::size_t k = 0; k < i; ++k) {
            if (members_[k] != nullptr && members_[k]->running()) {
                insist([&] {
                    follow(*members_[k], old);
                    return 0;
                });
            }
        }
        return rc;
    }
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
void device::report(waiter const& done, std::vector<member_id> const& started) {
    insist([&] {
        std::vector<event::filter_changed> filters;
        std::array<reach, max_members> by{};
        for (auto const& m : members_) {
            if (m != nullptr) {
                filters.push_back({m->id(), m->filter()});
                by[m->id()] = {m->control_queue(), m->slow_queue(), m->if_index()};
            }
        }
        post_to_control([this, done, started, filters = std::move(filters), by, view = port_view(),
                         run = settings_.started, admin_up = settings_.admin_up] {
            members_reported(started, filters, by);
            handle(view);
            ask(done, [run, admin_up](request_id id) {
                return event::run_changed{id, run, admin_up};
            });
        });
        return 0;
    });
}

} // namespace lagg::pmd
