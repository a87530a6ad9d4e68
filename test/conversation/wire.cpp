#include "conversation/wire.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <tuple>

namespace lagg::lacp {
namespace {

auto tied(port_counters const& c) {
    return std::tie(c.lacpdus_rx, c.marker_pdus_rx, c.marker_response_pdus_rx, c.unknown_rx,
                    c.illegal_rx, c.lacpdus_tx, c.marker_pdus_tx, c.marker_response_pdus_tx,
                    c.actor_churn_count, c.partner_churn_count, c.actor_sync_transitions,
                    c.partner_sync_transitions, c.actor_changes, c.partner_changes, c.flaps,
                    c.rate_limited_rx);
}

auto tied(port_report const& r) {
    return std::tie(r.actor, r.partner, r.receive, r.periodic, r.mux, r.actor_churn,
                    r.partner_churn, r.selection, r.aggregator, r.enabled, r.in_use, r.individual,
                    r.fallback, r.looped, r.suppressed, r.draining, r.drained, r.penalty,
                    r.last_change, r.last_rx);
}

} // namespace

bool operator==(port_counters const& a, port_counters const& b) {
    return tied(a) == tied(b);
}

bool operator==(port_report const& a, port_report const& b) {
    return tied(a) == tied(b) && a.counters == b.counters;
}

std::string describe(port_report const& r) {
    auto const end = [](parameters const& p) {
        char text[80];
        std::snprintf(text, sizeof text, "%u/%s key %u port %u/%u state %02x", p.system.priority,
                      net::to_string(p.system.address).c_str(), p.key, p.port.priority,
                      p.port.number, p.state);
        return std::string(text);
    };
    std::string text = "actor " + end(r.actor) + ", partner " + end(r.partner) + ", ";
    text += std::string(to_string(r.receive)) + " " + std::string(to_string(r.mux)) + " " +
            std::string(to_string(r.selection)) + " aggregator " + std::to_string(r.aggregator) +
            " churn " + std::string(to_string(r.actor_churn)) + "/" +
            std::string(to_string(r.partner_churn)) + " penalty " + std::to_string(r.penalty) +
            " changes " + std::to_string(r.counters.actor_changes) + "/" +
            std::to_string(r.counters.partner_changes) + " tx " +
            std::to_string(r.counters.lacpdus_tx) + " rx " + std::to_string(r.counters.lacpdus_rx) +
            " last change " + std::to_string(r.last_change.count());
    for (auto const& [on, name] : {std::pair{r.enabled, " enabled"},
                                   {r.in_use, " in_use"},
                                   {r.individual, " individual"},
                                   {r.fallback, " fallback"},
                                   {r.looped, " looped"},
                                   {r.suppressed, " suppressed"},
                                   {r.draining, " draining"},
                                   {r.drained, " drained"}}) {
        text += on ? name : "";
    }
    return text;
}

namespace conversation {
namespace {

constexpr time_point short_timeout_time = 3s; // 6.4.4, and its timers' tolerance
constexpr time_point long_timeout_time = 90s;
constexpr time_point tolerance = 250ms;
constexpr std::size_t pdus_per_fast_period = 3; // 6.4.16

/// recordPDU (6.4.9): is a port with `actor` the one that the PDU speaks of, and in sync with it?
bool in_sync(lacpdu const& pdu, parameters const& actor) {
    bool const same = pdu.partner.system == actor.system && pdu.partner.key == actor.key &&
                      pdu.partner.port == actor.port &&
                      pdu.partner.has(state::aggregation) == actor.has(state::aggregation);
    bool const alive = pdu.actor.has(state::activity) ||
                       (actor.has(state::activity) && pdu.partner.has(state::activity));
    return pdu.actor.has(state::synchronization) && alive &&
           (same || !pdu.actor.has(state::aggregation));
}

/// But for DISTRIBUTING.
bool knows(parameters recorded, parameters const& said) {
    recorded.set(state::distributing, said.has(state::distributing));
    return recorded == said;
}

void note(std::vector<std::pair<time_point, bool>>& changes, time_point now, bool on) {
    if (changes.empty() ? on : changes.back().second != on) {
        changes.emplace_back(now, on);
    }
}

bool was(std::vector<std::pair<time_point, bool>> const& changes, time_point when) {
    bool on = false;
    for (auto const& [at, value] : changes) {
        if (at > when) {
            break;
        }
        on = value;
    }
    return on;
}

} // namespace

wire::wire(std::optional<std::uint64_t> twins) {
    if (twins) {
        twins_.emplace(*twins);
    }
}

template<class F>
void wire::tell(system_number s, F&& f) {
    f(*speakers_[s]->main);
    if (speakers_[s]->twin) {
        f(*speakers_[s]->twin);
    }
    speakers_[s]->dirty = true;
}

system_number wire::add_system(system_settings const& s) {
    auto added = std::make_unique<speaker>();
    added->main = std::make_unique<lacp::system>(s);
    if (twins_) {
        added->twin = std::make_unique<lacp::system>(s);
    }
    added->settings = s;
    speakers_.push_back(std::move(added));
    return speakers_.size() - 1;
}

place wire::add_port(system_number system, port_index port) {
    return add_port(system, port, ordinary_port(system, port));
}

place wire::add_port(system_number system, port_index port, port_settings const& s) {
    place const p{system, port};
    set_port(p, s);
    return p;
}

void wire::set(system_number system, system_settings const& s) {
    speaker& it = *speakers_[system];
    bool const another = it.settings.system != s.system;
    for (port_index i = 0; i < max_ports; ++i) {
        bool const another_key = it.ports[i] && !it.ports[i]->key && it.settings.key != s.key;
        observed& seen = it.seen[i];
        seen.heard_in_sync = seen.heard_in_sync && !another && !another_key;
        // A partner that learns of it may leave us alone for 30 s from now on.
        seen.heard_fast = seen.heard_fast && s.rate == lacp_rate::fast;
    }
    it.settings = s;
    tell(system, [&](lacp::system& sys) { sys.set(s, now_); });
}

void wire::set_port(place p, port_settings const& s) {
    speaker& it = *speakers_[p.system];
    bool const there = it.ports[p.port].has_value();
    if (there) {
        auto const key = [&](port_settings const& of) { return of.key.value_or(it.settings.key); };
        observed& seen = it.seen[p.port];
        seen.heard_in_sync =
            seen.heard_in_sync && key(s) == key(*it.ports[p.port]) &&
            (s.aggregation == it.ports[p.port]->aggregation || !it.links[p.port].full_duplex);
    }
    it.ports[p.port] = s;
    tell(p.system, [&](lacp::system& sys) { sys.set_port(p.port, s, now_); });
    if (!there) {
        it.seen[p.port] = {};
        for (cable const& c : cables_) {
            if (c.plugged && c.has_carrier && (c.ends[0] == p || c.ends[1] == p)) {
                set_link(p, true);
            }
        }
    }
}

void wire::remove_port(place p, bool say_so) {
    tell(p.system, [&](lacp::system& it) { it.remove_port(p.port, now_, say_so); });
    speakers_[p.system]->ports[p.port].reset();
    speakers_[p.system]->links[p.port] = {};
    observed& seen = speakers_[p.system]->seen[p.port];
    seen.said_at.clear(); // the farewell is not counted
    note(seen.collecting, now_, false);
    note(seen.distributing, now_, false);
}

void wire::drain(place p, bool on) {
    tell(p.system, [&](lacp::system& it) { it.drain(p.port, on, now_); });
}

void wire::set_link(place p, bool up, bool full_duplex, std::uint32_t speed) {
    if (!speakers_[p.system]->ports[p.port]) {
        return;
    }
    speakers_[p.system]->links[p.port] = {up, full_duplex, speed};
    tell(p.system, [&](lacp::system& it) { it.set_link(p.port, up, full_duplex, speed, now_); });
}

std::uint32_t wire::request_marker(place p) {
    std::uint32_t transaction = 0;
    tell(p.system, [&](lacp::system& it) { transaction = it.request_marker(p.port, now_); });
    return transaction;
}

void wire::inject(place p, std::span<std::uint8_t const> frame) {
    flight f;
    f.to = p;
    f.frame.assign(frame.begin(), frame.end());
    deliver(f);
}

void wire::restart(system_number system) {
    speaker& it = *speakers_[system];
    it.main = std::make_unique<lacp::system>(it.settings);
    if (it.twin) {
        it.twin = std::make_unique<lacp::system>(it.settings);
    }
    for (port_index i = 0; i < max_ports; ++i) {
        if (it.ports[i]) {
            auto const link = it.links[i];
            it.seen[i] = {};
            tell(system, [&](lacp::system& sys) {
                sys.set_port(i, *it.ports[i], now_);
                sys.set_link(i, link.up, link.full_duplex, link.speed, now_);
            });
        }
    }
}

void wire::set_links(cable const& c, bool up) {
    for (place const& p : c.ends) {
        set_link(p, up, speakers_[p.system]->links[p.port].full_duplex);
    }
}

cable_number wire::plug(place a, place b) {
    cables_.push_back({.ends = {a, b}});
    set_links(cables_.back(), true);
    return cables_.size() - 1;
}

void wire::unplug(cable_number c) {
    if (cables_[c].plugged) {
        set_links(cables_[c], false);
        cables_[c].plugged = false;
        ++cables_[c].generation;
    }
}

void wire::move_silently(cable_number c, place a, place b) {
    cables_[c].ends = {a, b};
    ++cables_[c].generation;
    for (place const& p : cables_[c].ends) {
        if (!speakers_[p.system]->links[p.port].up) {
            set_link(p, true);
        }
    }
}

void wire::carrier(cable_number c, bool up) {
    if (cables_[c].plugged && cables_[c].has_carrier != up) {
        cables_[c].has_carrier = up;
        ++cables_[c].generation;
        set_links(cables_[c], up);
    }
}

void wire::cut(cable_number c, bool from_a, bool from_b) {
    cables_[c].cut = {from_a, from_b};
}

void wire::delay(cable_number c, time_point d) {
    cables_[c].delay = d;
}

bool wire::sound(cable_number c) const {
    auto const present = [&](place p) { return speakers_[p.system]->ports[p.port].has_value(); };
    cable const& it = cables_[c];
    return it.plugged && it.has_carrier && !it.cut[0] && !it.cut[1] && present(it.ends[0]) &&
           present(it.ends[1]);
}

std::optional<cable_number> wire::cable_of(place p) const {
    for (cable_number c = 0; c < cables_.size(); ++c) {
        if (cables_[c].plugged && (cables_[c].ends[0] == p || cables_[c].ends[1] == p)) {
            return c;
        }
    }
    return std::nullopt;
}

void wire::send(system_number s, outgoing const& o) {
    place const from{s, o.port};
    observed& seen = speakers_[s]->seen[o.port];
    auto const kind = slow_subtype(o.frame);
    expect(kind.has_value(), from, "what is sent is a Slow Protocols frame");
    if (auto const pdu = decode_lacpdu(o.frame)) {
        ++seen.lacpdus_sent;
        seen.last_said = *pdu;
        expect(pdu->version == 1, from, "version 1 is sent");
        if (speakers_[s]->ports[o.port]) {
            if (seen.said_at.size() == pdus_per_fast_period) {
                expect(!rate_is_checked_ || now_ - seen.said_at.front() >= 1s, from,
                       "no more than three LACPDUs in a second");
                seen.said_at.pop_front();
            }
            seen.said_at.push_back(now_);
        }
    } else if (auto const marker = decode_marker(o.frame)) {
        ++(marker->response ? seen.responses_sent : seen.markers_sent);
    } else {
        expect(false, from, "what is sent is a well formed PDU");
    }

    for (loss& l : lose_) {
        if (l.left != 0 && l.from == from && kind &&
            *kind == static_cast<std::uint8_t>(subtype::lacp)) {
            --l.left;
            return;
        }
    }
    auto const c = cable_of(from);
    if (!c || !cables_[*c].has_carrier) {
        return;
    }
    cable const& way = cables_[*c];
    std::size_t const end = way.ends[0] == from ? 0 : 1;
    if (way.cut[end]) {
        return;
    }
    flight f{.cable = *c,
             .generation = way.generation,
             .from = from,
             .to = way.ends[1 - end],
             .frame = bytes(o.frame.begin(), o.frame.end())};
    std::vector<time_point> delays{way.delay};
    if (fate_) {
        delays = fate_(f);
    }
    for (time_point const d : delays) {
        f.at = now_ + d;
        f.order = order_++;
        flights_.push(f);
    }
}

void wire::deliver(flight const& f) {
    speaker& to = *speakers_[f.to.system];
    if (!to.ports[f.to.port]) {
        return;
    }
    auto const report = to.main->report(f.to.port);
    if (auto const pdu = decode_lacpdu(f.frame); pdu && report && report->enabled) {
        observed& seen = to.seen[f.to.port];
        seen.last_heard = *pdu;
        seen.heard_at = now_;
        seen.heard_fast = report->actor.has(state::short_timeout);
        seen.heard_in_sync = in_sync(*pdu, report->actor);
    }
    tell(f.to.system, [&](lacp::system& it) { it.receive(f.to.port, f.frame, now_); });
}

void wire::expect(bool ok, place p, char const* rule) {
    if (ok || !broken_.empty()) {
        return;
    }
    auto const r = speakers_[p.system]->main->report(p.port);
    broken_ = std::string(rule) + ": system " + std::to_string(p.system) + " port " +
              std::to_string(p.port) + " at " + std::to_string(now_.count()) +
              " ns: " + (r ? describe(*r) : "no such port");
    ADD_FAILURE() << broken_;
}

void wire::check(system_number s) {
    speaker& it = *speakers_[s];
    auto const collecting = it.main->collecting();
    auto const distributing = it.main->distributing();
    for (port_index i = 0; i < max_ports; ++i) {
        place const p{s, i};
        if (!it.ports[i]) {
            expect(!collecting[i] && !distributing[i], p, "a port that is gone carries nothing");
            continue;
        }
        auto const found = it.main->report(i);
        expect(found.has_value(), p, "a port that was set is there");
        if (!found) {
            return;
        }
        port_report const& r = *found;
        observed& seen = it.seen[i];
        expect(collecting[i] || !distributing[i], p, "who distributes collects");
        expect(r.enabled || !collecting[i], p, "without link nothing is collected");
        if (distributing[i] && !r.fallback) {
            expect(r.partner.has(state::synchronization), p, "its partner is known to be in sync");
            expect(seen.heard_in_sync, p, "the partner said that it is in sync with this port");
            expect(now_ - seen.heard_at <
                       (seen.heard_fast ? short_timeout_time : long_timeout_time) + tolerance,
                   p, "the partner was heard in time");
        }
        if (distributing[i]) {
            expect(!r.looped, p, "not over a loop");
            expect(!r.suppressed, p, "not when damped");
            expect(!r.draining, p, "not when drained");
            expect(r.in_use, p, "only in the aggregator that is in use");
        }
        if (!r.fallback) {
            expect(r.actor.has(state::collecting) == collecting[i], p, "says that it collects");
            expect(r.actor.has(state::distributing) == distributing[i], p,
                   "says that it distributes");
        }
        if (r.receive != receive_state::port_disabled) { // which keeps it, as the figure does
            expect(r.actor.has(state::expired) == (r.receive == receive_state::expired), p,
                   "EXPIRED is said in that state");
        }
        if (r.receive == receive_state::current) {
            expect(!r.actor.has(state::defaulted), p, "DEFAULTED is not said when current");
        }
        if (r.receive == receive_state::defaulted) {
            expect(r.actor.has(state::defaulted), p, "DEFAULTED is said when defaulted");
        }
        expect(r.actor.system == it.settings.system, p, "speaks of its own system");
        expect(r.actor.port == it.ports[i]->id, p, "speaks of its own port");
        note(seen.collecting, now_, collecting[i]);
        note(seen.distributing, now_, distributing[i]);
        if (seen.mux != r.mux) {
            seen.mux = r.mux;
            ++seen.mux_changes;
        }
    }
    expect(it.main->settled(), {s, 0}, "its machines come to rest");
    expect(it.main->next_deadline() > now_, {s, 0}, "after a run nothing is due");
    if (it.twin) {
        expect(it.twin->next_deadline() == it.main->next_deadline(), {s, 0},
               "a twin has the same deadline");
        expect(it.twin->collecting() == collecting && it.twin->distributing() == distributing,
               {s, 0}, "a twin carries the same");
        for (port_index i = 0; i < max_ports; ++i) {
            if (it.ports[i] && broken_.empty()) {
                auto const twin = it.twin->report(i);
                bool const same = twin && *twin == *it.main->report(i);
                expect(same, {s, i}, "a twin that was run at other times reports the same");
                if (!same && twin) {
                    broken_ += " | twin: " + describe(*twin);
                    ADD_FAILURE() << "twin: " << describe(*twin);
                }
            }
        }
    }
}

void wire::run_systems() {
    for (system_number s = 0; s < speakers_.size(); ++s) {
        speaker& it = *speakers_[s];
        if (!it.dirty && it.main->next_deadline() > now_) {
            continue;
        }
        it.dirty = false;
        it.main->run(now_);
        auto const frames = it.main->take_frames();
        if (it.twin) {
            it.twin->run(now_);
            auto const said = it.twin->take_frames();
            expect(std::ranges::equal(frames, said,
                                      [](outgoing const& a, outgoing const& b) {
                                          return a.port == b.port && a.frame == b.frame;
                                      }),
                   {s, 0}, "a twin says the same");
        }
        check(s);
        std::bitset<max_ports> told;
        for (auto o = frames.rbegin(); o != frames.rend(); ++o) {
            auto const pdu = decode_lacpdu(o->frame);
            auto const r = it.main->report(o->port);
            if (pdu && r && !told[o->port]) {
                told.set(o->port);
                expect(pdu->actor == r->actor, {s, o->port}, "the last PDU says what is");
                expect(pdu->partner == r->partner, {s, o->port}, "the last PDU says what it knows");
            }
        }
        for (outgoing const& o : frames) {
            send(s, o);
        }
        for (auto const& answer : it.main->take_marker_answers()) {
            it.answers.push_back(answer);
        }
        if (it.twin) {
            (void)it.twin->take_marker_answers();
        }
    }
}

void wire::run_twins_until(time_point end) {
    if (!twins_ || end <= now_ + 1ns) {
        return;
    }
    for (system_number s = 0; s < speakers_.size(); ++s) {
        if (!speakers_[s]->twin || (*twins_)() % 4 != 0) {
            continue;
        }
        std::uniform_int_distribution<std::int64_t> between((now_ + 1ns).count(),
                                                            (end - 1ns).count());
        lacp::system& twin = *speakers_[s]->twin;
        twin.run(time_point(between(*twins_)));
        expect(twin.take_frames().empty(), {s, 0}, "nothing is said before the deadline");
    }
}

void wire::run_until(time_point end) {
    run_systems();
    while (broken_.empty()) {
        time_point next = flights_.empty() ? never : flights_.top().at;
        for (auto const& it : speakers_) {
            next = std::min(next, it->main->next_deadline());
        }
        run_twins_until(std::min(next, end));
        if (next > end) {
            break;
        }
        now_ = std::max(next, now_);
        while (!flights_.empty() && flights_.top().at <= now_) {
            flight const f = flights_.top();
            flights_.pop();
            if (cables_[f.cable].generation == f.generation) {
                deliver(f);
            }
        }
        run_systems();
    }
    now_ = std::max(now_, end);
}

bool wire::run_until(std::function<bool()> const& wanted, time_point most) {
    time_point const end = now_ + most;
    run_for(0ns);
    while (broken_.empty() && !wanted()) {
        if (now_ >= end) {
            return false;
        }
        run_until(std::min(end, now_ + 10ms));
    }
    return broken_.empty();
}

time_point wire::lost_data(place from, place to, time_point window, time_point delay) const {
    constexpr time_point grain = 100us;
    auto const& sent = seen(from).distributing;
    auto const& taken = seen(to).collecting;
    time_point lost{};
    for (time_point t = now_ - window; t + delay < now_; t += grain) {
        if (was(sent, t) && !was(taken, t + delay)) {
            lost += grain;
        }
    }
    return lost;
}

bool wire::up(cable_number c) const {
    if (!sound(c)) {
        return false;
    }
    constexpr std::uint8_t all = state::synchronization | state::collecting | state::distributing;
    auto const [x, y] = cables_[c].ends;
    auto const rx = report(x);
    auto const ry = report(y);
    return distributes(x) && distributes(y) && rx.actor.has(all) && ry.actor.has(all) &&
           knows(rx.partner, ry.actor) && knows(ry.partner, rx.actor) && !rx.fallback &&
           !ry.fallback;
}

bool wire::up_and_told(cable_number c) const {
    auto const [x, y] = cables_[c].ends;
    return up(c) && report(x).partner == report(y).actor && report(y).partner == report(x).actor;
}

std::string wire::disagreement() const {
    for (cable_number c = 0; c < cables_.size(); ++c) {
        auto const [x, y] = cables_[c].ends;
        if (!sound(c)) {
            continue;
        }
        auto const rx = report(x);
        auto const ry = report(y);
        bool const carries = collects(x) || collects(y) || distributes(x) || distributes(y);
        if (rx.fallback || ry.fallback || !carries) {
            continue;
        }
        if (!up(c)) {
            return "cable " + std::to_string(c) + "\n  " + describe(rx) + "\n  " + describe(ry);
        }
    }
    return {};
}

system_settings ordinary(std::uint8_t n, lacp_rate rate, bool active) {
    system_settings s;
    s.system = {32768, {{0x02, 0, 0, 0, 0, n}}};
    s.key = static_cast<std::uint16_t>(100 + n);
    s.rate = rate;
    s.active = active;
    return s;
}

port_settings ordinary_port(system_number system, port_index port) {
    port_settings s;
    s.id = {32768, static_cast<std::uint16_t>(port + 1)};
    s.source = {{0x06, 0, 0, 0, static_cast<std::uint8_t>(system), port}};
    return s;
}

pair_of_systems::pair_of_systems(system_settings const& first, system_settings const& second,
                                 std::size_t links) {
    add_system(first);
    add_system(second);
    for (port_index i = 0; i < links; ++i) {
        plug(add_port(a, i), add_port(b, i));
    }
}

bool pair_of_systems::all_up() const {
    for (cable_number c = 0; c < cables(); ++c) {
        if (!up(c)) {
            return false;
        }
    }
    return true;
}

} // namespace conversation
} // namespace lagg::lacp
