// An aggregator with its clock and a list of what it last wanted done.
// Plays the driver as far as a test says so; answers nothing by itself.
#pragma once

#include "lagg/control/aggregator.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace lagg::test {

using namespace std::chrono_literals;

inline link_state up(std::uint32_t speed_mbps = 10000) {
    return {.up = true, .full_duplex = true, .speed_mbps = speed_mbps};
}

inline link_state down() {
    return {};
}

inline config with_policy(policy p) {
    config c;
    c.policy = p;
    return c;
}

class rig {
public:
    explicit rig(config c, aggregator::snapshot_maker make = {})
        : control(std::move(c), std::move(make)) {}

    aggregator control;
    time_point now{1s};
    effect_list last;   // of the last flush
    snapshot published; // the newest

    void handle(any_event const& e) { control.handle(e, now); }

    errc flush() {
        last.clear();
        errc const error = control.flush(now, last);
        for (auto const& e : last) {
            if (auto const* p = std::get_if<effect::publish>(&e)) {
                published = *p->next;
            }
        }
        return error;
    }

    void act(any_event const& e) {
        handle(e);
        EXPECT_EQ(flush(), errc::ok);
    }

    void run_for(time_point d) {
        now += d;
        act(event::tick{});
    }

    void start() { act(event::run_changed{.started = true, .admin_up = true}); }

    static std::string name_of(port_id port) { return "wire" + std::to_string(port); }

    request_id ask_to_add(port_id port) {
        handle(event::add_member{.request = ++asked, .port = port, .name = name_of(port)});
        return asked;
    }
    request_id ask_to_remove(port_id port) {
        handle(event::remove_member{.request = ++asked, .port = port});
        return asked;
    }
    request_id ask_for(config const& c) {
        handle(event::change_config{.request = ++asked, .config = c});
        return asked;
    }
    void change(config const& c) {
        ask_for(c);
        EXPECT_EQ(flush(), errc::ok);
    }

    /// A member that is present, with this link.
    member_id join(port_id port, link_state link = up()) {
        ask_to_add(port);
        EXPECT_EQ(flush(), errc::ok);
        member_id const id = id_of(port);
        act(event::member_prepared{.id = id, .link = link});
        return id;
    }

    /// All the way out.
    void remove(port_id port) {
        member_id const id = id_of(port);
        ask_to_remove(port);
        EXPECT_EQ(flush(), errc::ok);
        act(event::member_quiescent{.id = id});
        act(event::member_released{.id = id});
    }

    void link(port_id port, link_state link) {
        act(event::link_changed{.id = id_of(port), .link = link});
    }

    member const* find(port_id port) const {
        for (auto const& m : control.members()) {
            if (m.port == port) {
                return &m;
            }
        }
        return nullptr;
    }
    member_id id_of(port_id port) const {
        member const* m = find(port);
        return m != nullptr ? m->id : no_member;
    }

    /// Ports of the published snapshot.
    std::vector<port_id> distributing() const {
        std::vector<port_id> ports;
        for (auto const& d : published.distributing) {
            ports.push_back(d.port);
        }
        return ports;
    }
    std::vector<port_id> collecting() const {
        std::vector<port_id> ports;
        for (auto const& p : published.polled) {
            if (p.collecting) {
                ports.push_back(p.port);
            }
        }
        return ports;
    }
    std::vector<port_id> polled() const {
        std::vector<port_id> ports;
        for (auto const& p : published.polled) {
            ports.push_back(p.port);
        }
        return ports;
    }

    /// Of the last flush.
    template<class E>
    std::vector<E const*> all() const {
        std::vector<E const*> found;
        for (auto const& e : last) {
            if (auto const* wanted = std::get_if<E>(&e)) {
                found.push_back(wanted);
            }
        }
        return found;
    }
    template<class E>
    std::size_t count() const {
        return all<E>().size();
    }

    effect::complete const* completed(request_id request) const {
        for (auto const* c : all<effect::complete>()) {
            if (c->request == request) {
                return c;
            }
        }
        return nullptr;
    }

    /// "wire1 joined" and the like, of the last flush.
    std::vector<std::string> told() const {
        std::vector<std::string> lines;
        for (auto const* n : all<effect::notify_member>()) {
            lines.push_back(name_of(n->port) + " " + word(n->change));
        }
        return lines;
    }

    /// The kinds of effects of the last flush, in their order.
    std::vector<std::string> kinds() const {
        static constexpr char const* names[] = {"publish",      "prepare", "await",
                                                "await_bursts", "release", "send_frame",
                                                "complete",     "link",    "notify"};
        std::vector<std::string> found;
        for (auto const& e : last) {
            found.emplace_back(names[e.index()]);
        }
        return found;
    }

    static char const* word(effect::member_change c) {
        switch (c) {
        case effect::member_change::joined: return "joined";
        case effect::member_change::left: return "left";
        case effect::member_change::distributing: return "distributing";
        case effect::member_change::standby: return "standby";
        case effect::member_change::link_up: return "link_up";
        case effect::member_change::link_down: return "link_down";
        }
        return "?";
    }

    request_id asked = 0;
};

using ports = std::vector<port_id>;
using lines = std::vector<std::string>;

} // namespace lagg::test
