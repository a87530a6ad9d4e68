#include "lacp/port.h"

#include <algorithm>

namespace lagg::lacp {

port::port(port_index index, system_settings const& system, port_settings const& s,
           transmit_machine const& earlier)
    : index_(index), settings_(s), transmit_(earlier) {
    adopt(system);
    receive_.begin(variables_);
    mux_.begin(variables_);
}

void port::set(system_settings const& before, system_settings const& after, time_point now) {
    damping_.change(before.damping, after.damping, now);
    adopt(after);
}

void port::set(system_settings const& system, port_settings const& s) {
    settings_ = s;
    adopt(system);
}

void port::set_link(system_settings const& system, bool up, bool full_duplex,
                    std::uint32_t speed_mbps, time_point now) {
    if (variables_.port_enabled && !up) {
        count_loss(system, now);
        markers_.clear();
    }
    if (variables_.port_enabled != up) {
        heard_ = false;
        loss_counted_ = false;
    }
    variables_.port_enabled = up;
    full_duplex_ = full_duplex;
    speed_mbps_ = speed_mbps;
    adopt(system);
}

void port::partner_seen_elsewhere(lacpdu const& pdu) {
    auto const& partner = variables_.partner;
    if (receive_.state() == receive_state::port_disabled && variables_.has_partner() &&
        partner.system == pdu.actor.system && partner.port.number == pdu.actor.port.number) {
        variables_.port_moved = true;
    }
}

bool port::admit(time_point now) {
    if (rate_limit_.admit(now)) {
        return true;
    }
    ++variables_.counters.rate_limited_rx;
    return false;
}

bool port::receive(lacpdu const& pdu, time_point now) {
    ++variables_.counters.lacpdus_rx;
    last_rx_ = now;
    auto const before = receive_.state();
    if (!receive_.receive(variables_, pdu, now)) {
        return false;
    }
    if (before != receive_.state()) {
        last_change_ = now;
    }
    defaulted_since_ = never;
    heard_ = true;
    loss_counted_ = false;
    return true;
}

bool port::receive_response(marker_pdu const& pdu) {
    if (pdu.requester_system != variables_.actor.system.address ||
        pdu.requester_port != variables_.actor.port.number) {
        return false;
    }
    auto const* found = std::find(markers_.begin(), markers_.end(), pdu.transaction);
    if (found == markers_.end()) {
        return false;
    }
    markers_.erase(static_cast<std::size_t>(found - markers_.begin()));
    return true;
}

bool port::step(system_settings const& system, time_point now) {
    bool const left_out = damping_.suppressed(now);
    bool moved = left_out != variables_.suppressed;
    variables_.suppressed = left_out;

    moved |= step_receive(system, now);
    moved |= periodic_.step(variables_, now);
    auto const mux = mux_.state();
    moved |= mux_.step(variables_, now);
    if (mux != mux_.state()) {
        last_change_ = now;
    }
    moved |= actor_churn_.step(variables_.port_enabled,
                               variables_.actor.has(state::synchronization), now);
    moved |= partner_churn_.step(variables_.port_enabled,
                                 variables_.partner.has(state::synchronization), now);
    return moved;
}

bool port::step_receive(system_settings const& system, time_point now) {
    auto const before = receive_.state();
    if (!receive_.step(variables_, now)) {
        return false;
    }
    auto const after = receive_.state();
    if (before == receive_state::current && after == receive_state::expired) {
        count_loss(system, now);
    }
    defaulted_since_ = after == receive_state::defaulted ? now : never;
    last_change_ = now;
    return true;
}

contender port::contends() {
    return {.index = index_,
            .port = &variables_,
            .receive = receive_.state(),
            .mux = mux_.state(),
            .heard = heard_,
            .defaulted_since = defaulted_since_,
            .speed_mbps = speed_mbps_};
}

std::optional<lacpdu> port::transmit(time_point now) {
    auto const pdu = transmit_.step(variables_, periodic_.state(), now);
    if (pdu) {
        told_ = pdu->actor.state;
        ++variables_.counters.lacpdus_tx;
    }
    return pdu;
}

std::optional<lacpdu> port::last_words(time_point now) {
    constexpr std::uint8_t taken_back =
        state::synchronization | state::collecting | state::distributing;
    bool const told = (told_ & taken_back) == 0;
    if (!variables_.port_enabled || !variables_.lacp_enabled || !variables_.has_partner() ||
        periodic_.state() == periodic_state::no_periodic || (told && transmit_.limited(now))) {
        return std::nullopt;
    }
    transmit_.sent(now);
    auto pdu = describe(variables_);
    pdu.actor.set(taken_back, false);
    return pdu;
}

std::optional<marker_pdu> port::request_marker(std::uint32_t transaction) {
    if (!variables_.port_enabled) {
        return std::nullopt;
    }
    if (markers_.full()) {
        markers_.erase(0); // whoever asked for it has long given up
    }
    markers_.push_back(transaction);
    ++variables_.counters.marker_pdus_tx;
    return marker_pdu{.response = false,
                      .requester_port = variables_.actor.port.number,
                      .requester_system = variables_.actor.system.address,
                      .transaction = transaction};
}

time_point port::deadline() const noexcept {
    return std::min({receive_.deadline(), periodic_.deadline(), mux_.deadline(),
                     actor_churn_.deadline(), partner_churn_.deadline(), damping_.deadline(),
                     transmit_.deadline(variables_)});
}

port_report port::report(system_settings const& system, time_point now) const {
    auto const& v = variables_;
    port_report r{.actor = v.actor,
                  .partner = v.partner,
                  .receive = receive_.state(),
                  .periodic = periodic_.state(),
                  .mux = mux_.state(),
                  .actor_churn = actor_churn_.state(),
                  .partner_churn = partner_churn_.state(),
                  .selection = v.selection,
                  .aggregator = v.aggregator,
                  .enabled = v.port_enabled,
                  .in_use = v.in_use,
                  .individual = v.individual,
                  .fallback = v.fallback,
                  .looped = v.looped(),
                  .suppressed = v.suppressed,
                  .draining = v.drain,
                  .drained = v.drain && mux_.state() == mux_state::detached,
                  .penalty = damping_.penalty(system.damping, now),
                  .counters = v.counters,
                  .last_change = last_change_,
                  .last_rx = last_rx_};
    r.counters.actor_churn_count = actor_churn_.count();
    r.counters.partner_churn_count = partner_churn_.count();
    return r;
}

void port::adopt(system_settings const& system) {
    auto& v = variables_;
    v.control = system.mux;
    v.wait_while = system.wait_while;
    v.drain_wait = system.drain_wait;

    bool const was_short = v.actor.has(state::short_timeout);
    auto actor = v.actor;
    actor.system = system.system;
    actor.key = settings_.key.value_or(system.key);
    actor.port = settings_.id;
    actor.set(state::activity, system.active);
    actor.set(state::short_timeout, system.rate == lacp_rate::fast);
    actor.set(state::aggregation, settings_.aggregation && full_duplex_);
    if (actor == v.actor) {
        return;
    }
    bool const who = actor.system != v.actor.system || actor.key != v.actor.key ||
                     actor.port != v.actor.port ||
                     actor.has(state::aggregation) != v.actor.has(state::aggregation);
    if (who && v.has_partner()) {
        // The partner was in sync with what we were; its next PDU says what it makes of this.
        v.partner.set(state::synchronization, false);
    }
    v.actor = actor;
    v.ntt = true;
    if (was_short && !actor.has(state::short_timeout)) {
        receive_.lengthen(last_rx_);
    }
}

void port::count_loss(system_settings const& system, time_point now) {
    if (!loss_counted_) {
        loss_counted_ = true;
        ++variables_.counters.flaps;
        damping_.flap(system.damping, now);
    }
}

} // namespace lagg::lacp
