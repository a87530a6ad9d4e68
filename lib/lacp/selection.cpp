#include "lacp/selection.h"

#include "base/bounded_vector.h"
#include "lacp/receive_machine.h"
#include "lacp/timers.h"

#include <algorithm>
#include <cassert>
#include <tuple>
#include <vector>

namespace lagg::lacp {
namespace {

constexpr std::uint8_t hopeful_bits =
    state::synchronization | state::collecting | state::distributing;

bool individual(port_variables const& port) {
    return !port.actor.has(state::aggregation) || !port.partner.has(state::aggregation);
}

/// It could be used if it had a partner.
bool fit(port_variables const& port) {
    return port.port_enabled && !port.drain && !port.suppressed && !port.looped();
}

bool attached(mux_state s) {
    switch (s) {
    case mux_state::detached:
    case mux_state::waiting: return false;
    case mux_state::attached:
    case mux_state::collecting:
    case mux_state::distributing:
    case mux_state::collecting_distributing:
    case mux_state::draining: return true;
    }
    return false;
}

/// A partner that is not ourselves is talking on the port, or was a moment ago.
bool speaks(contender const& c) {
    auto const& port = *c.port;
    bool const here =
        c.receive == receive_state::current || (c.receive == receive_state::expired && c.heard);
    return port.port_enabled && here && port.has_partner() && !port.looped();
}

/// One end does not hear the other.
bool half_deaf(contender const& c) {
    return c.receive != receive_state::current || c.port->partner.has(state::expired) ||
           c.port->partner.has(state::defaulted);
}

/// The end with the better system id has the say (6.4.14, 6.7).
bool decides(parameters const& actor, parameters const& partner) {
    return actor.system <= partner.system;
}

port_id deciding_id(port_variables const& port) {
    return decides(port.actor, port.partner) ? port.actor.port : port.partner.port;
}

/// The order in which an aggregator's ports are used; it has room for max_links.
struct rank {
    bool deaf = false;
    bool unsettled = false; // would have to wait, and somebody else carries traffic already
    port_id decides;
    port_id own;

    // NOLINTNEXTLINE(modernize-use-nullptr): clang-tidy 14 trips over a defaulted <=>
    friend constexpr auto operator<=>(rank const&, rank const&) = default;
};

} // namespace

struct selection_logic::aggregator {
    struct entry {
        rank place;
        contender const* from = nullptr;
    };

    lag_id lag;
    bounded_vector<entry, max_ports> ports;
    std::uint16_t id = 0;        // the lowest port number
    bool live = false;           // a partner was heard within the timeout
    bool offered = false;        // and does not wait for us elsewhere
    std::uint64_t bandwidth = 0; // of the ports that would be used if all were as far
    std::uint32_t count = 0;

    void settle(std::uint32_t max_links);
    bool better_than(aggregator const& other, selection_rule rule,
                     std::optional<lag_id> const& present) const;
};

void selection_logic::aggregator::settle(std::uint32_t max_links) {
    for (auto& e : ports) {
        auto const& port = *e.from->port;
        e.place = {.deaf = half_deaf(*e.from),
                   .unsettled = false,
                   .decides = deciding_id(port),
                   .own = port.actor.port};
    }
    auto const sort = [this] {
        std::sort(ports.begin(), ports.end(),
                  [](entry const& a, entry const& b) { return a.place < b.place; });
    };
    sort();
    // What aggregators are compared by must not depend on how far our Mux machines are: being
    // chosen would change it, and two of them could take turns without an end.
    id = 0xffff;
    std::uint32_t room = max_links;
    for (auto const& e : ports) {
        id = std::min(id, e.from->port->actor.port.number);
        if (e.from->receive != receive_state::current) {
            continue;
        }
        live = true;
        offered = offered || decides(e.from->port->actor, e.from->port->partner) ||
                  e.from->port->partner.has(state::synchronization);
        if (room > 0) {
            --room;
            bandwidth += e.from->speed_mbps;
            ++count;
        }
    }
    bool const running = std::any_of(ports.begin(), ports.end(),
                                     [](entry const& e) { return attached(e.from->mux); });
    for (auto& e : ports) {
        e.place.unsettled = running && !attached(e.from->mux) && !e.from->port->ready_n;
    }
    sort();
}

bool selection_logic::aggregator::better_than(aggregator const& other, selection_rule rule,
                                              std::optional<lag_id> const& present) const {
    if (live != other.live) {
        return live;
    }
    // Both ends may have several aggregators in common and use one each.  The better system chooses
    // by its rule; the other goes where it finds the better one in SYNC, lest each waits for the
    // other's choice for ever.
    if (offered != other.offered) {
        return offered;
    }
    switch (rule) {
    case selection_rule::stable:
        if (present && (lag == *present) != (other.lag == *present)) {
            return lag == *present;
        }
        break;
    case selection_rule::bandwidth:
        if (bandwidth != other.bandwidth) {
            return bandwidth > other.bandwidth;
        }
        break;
    case selection_rule::count:
        if (count != other.count) {
            return count > other.count;
        }
        break;
    }
    return std::tie(lag.partner_system, id) < std::tie(other.lag.partner_system, other.id);
}

lag_id lag_of(port_variables const& port) {
    lag_id lag{.actor_system = port.actor.system,
               .actor_key = port.actor.key,
               .partner_system = port.partner.system,
               .partner_key = port.partner.key};
    if (individual(port)) {
        lag.actor_port = port.actor.port;
        lag.partner_port = port.partner.port;
    }
    return lag;
}

bool selection_logic::step(system_settings const& s, std::span<contender const> ports,
                           time_point now) {
    struct outcome {
        lacp::selected selection = selected::unselected;
        bool ready = false;
        bool individual = false;
        bool in_use = false;
        bool fallback = false;
        std::uint16_t aggregator = 0;
        bool operator==(outcome const&) const = default;
    };
    auto const outcome_of = [](port_variables const& p) {
        return outcome{p.selection, p.ready, p.individual, p.in_use, p.fallback, p.aggregator};
    };
    assert(ports.size() <= max_ports);
    bounded_vector<outcome, max_ports> before;
    for (auto const& c : ports) {
        before.push_back(outcome_of(*c.port));
        c.port->individual = individual(*c.port);
    }
    deadline_ = never;
    end_or_begin_fallback(s, ports, now);
    choose(s, ports);
    assert_ready(ports, now);
    for (std::size_t i = 0; i < ports.size(); ++i) {
        if (outcome_of(*ports[i].port) != before[i]) {
            return true;
        }
    }
    return false;
}

void selection_logic::forget(port_index port) {
    joined_[port].reset();
}

void selection_logic::end_or_begin_fallback(system_settings const& s,
                                            std::span<contender const> ports, time_point now) {
    bool const alone = std::none_of(ports.begin(), ports.end(), speaks);
    bool const allowed = alone && s.fallback != fallback::strict;
    auto const could = [&](contender const& c) {
        return allowed && fit(*c.port) && c.receive == receive_state::defaulted;
    };
    port_variables const* best = nullptr;
    for (auto const& c : ports) {
        if (!could(c)) {
            continue;
        }
        auto const due = c.defaulted_since + s.fallback_delay;
        if (!over(due, now)) {
            wake_at(due);
        } else if (best == nullptr || c.port->actor.port < best->actor.port) {
            best = c.port;
        }
    }
    for (auto const& c : ports) {
        bool const wanted = could(c) && over(c.defaulted_since + s.fallback_delay, now) &&
                            (s.fallback == fallback::individual || c.port == best);
        if (wanted != c.port->fallback) {
            c.port->fallback = wanted;
            c.port->partner_admin = nobody;
            c.port->partner_admin.set(hopeful_bits, wanted);
            if (c.receive == receive_state::defaulted) {
                record_default(*c.port);
            }
        }
    }
}

void selection_logic::choose(system_settings const& s, std::span<contender const> ports) {
    std::vector<aggregator> aggregators;
    aggregators.reserve(ports.size());
    bool falling_back = false;
    for (auto const& c : ports) {
        falling_back = falling_back || c.port->fallback;
        if (!fit(*c.port) || !c.port->has_partner()) {
            continue;
        }
        auto const lag = lag_of(*c.port);
        auto mine = std::find_if(aggregators.begin(), aggregators.end(),
                                 [&](aggregator const& a) { return a.lag == lag; });
        if (mine == aggregators.end()) {
            mine = aggregators.emplace(aggregators.end());
            mine->lag = lag;
        }
        mine->ports.push_back({{}, &c});
    }
    aggregator const* chosen = nullptr;
    for (auto& a : aggregators) {
        a.settle(s.max_links);
        if (!falling_back && (chosen == nullptr || a.better_than(*chosen, s.select, present_))) {
            chosen = &a;
        }
    }
    if (chosen != nullptr) {
        present_ = chosen->lag;
    }
    for (auto const& c : ports) {
        c.port->in_use = c.port->fallback;
        c.port->aggregator = c.port->fallback ? c.port->actor.port.number : std::uint16_t{0};
        if (c.port->fallback) {
            select(c, selected::selected);
        } else if (!fit(*c.port) || !c.port->has_partner()) {
            select(c, selected::unselected);
        }
    }
    for (auto const& a : aggregators) {
        std::uint32_t room = &a == chosen ? s.max_links : 0;
        for (auto const& e : a.ports) {
            e.from->port->in_use = &a == chosen;
            e.from->port->aggregator = a.id;
            select(*e.from, room > 0 ? selected::selected : selected::standby);
            room -= room > 0 ? 1 : 0;
        }
    }
}

void selection_logic::select(contender const& c, selected wanted) {
    auto& port = *c.port;
    auto& joined = joined_[c.index];
    auto const lag = lag_of(port);
    if (port.selection != selected::unselected) {
        // Another LAG is reached through UNSELECTED, so that the Mux lets go of this one.
        port.selection = joined == lag ? wanted : selected::unselected;
        return;
    }
    bool const let_go = c.mux == mux_state::detached;
    bool const comes_back = c.mux == mux_state::draining && joined == lag;
    if (wanted != selected::unselected && (let_go || comes_back)) {
        port.selection = wanted;
        joined = lag;
    }
}

void selection_logic::assert_ready(std::span<contender const> ports, time_point now) {
    auto const waits = [](contender const& c) {
        return c.mux == mux_state::waiting && c.port->selection == selected::selected;
    };
    for (auto const& c : ports) {
        if (!waits(c)) {
            c.port->ready = false;
            continue;
        }
        auto const& lag = joined_[c.index];
        bool const all = std::all_of(ports.begin(), ports.end(), [&](contender const& other) {
            return !waits(other) || joined_[other.index] != lag || other.port->ready_n;
        });
        // Who keeps on coming back cannot keep the others waiting for ever.
        auto const patience = c.port->waiting_since + 2 * c.port->wait_while;
        c.port->ready = c.port->ready_n && (all || over(patience, now));
        if (c.port->ready_n && !c.port->ready) {
            wake_at(patience);
        }
    }
}

void selection_logic::wake_at(time_point t) {
    deadline_ = std::min(deadline_, t);
}

} // namespace lagg::lacp
