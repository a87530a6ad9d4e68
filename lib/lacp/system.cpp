#include "lacp/system.h"

#include "base/bounded_vector.h"
#include "lacp/port.h"
#include "lacp/selection.h"
#include "lacp/timers.h"

#include <algorithm>
#include <cassert>
#include <cstddef>
#include <utility>

namespace lagg::lacp {

class system::machinery {
public:
    explicit machinery(system_settings const& s) : settings_(s) {}

    port* find(port_index i) noexcept { return i < max_ports && ports_[i] ? &*ports_[i] : nullptr; }
    port const* find(port_index i) const noexcept {
        return i < max_ports && ports_[i] ? &*ports_[i] : nullptr;
    }

    void set(system_settings const& s, time_point now);
    void set_port(port_index i, port_settings const& s, time_point now);
    void remove_port(port_index i, time_point now, bool say_so);
    void receive(port_index i, std::span<std::uint8_t const> bytes, time_point now);
    std::uint32_t request_marker(port_index i);

    /// Every machine of every port, and the Selection Logic, until none has an arrow to follow.
    void settle(time_point now);
    void transmit(time_point now);
    void publish();
    time_point deadline() const noexcept;
    bool settled() const noexcept { return settled_; }

    system_settings const& settings() const noexcept { return settings_; }
    std::bitset<max_ports> collecting() const noexcept { return collecting_; }
    std::bitset<max_ports> distributing() const noexcept { return distributing_; }
    std::vector<outgoing> take_frames() { return std::exchange(frames_, {}); }
    std::vector<marker_answer> take_answers() { return std::exchange(answers_, {}); }
    time_point now() const noexcept { return now_; }

private:
    void receive_lacp(port_index i, std::span<std::uint8_t const> bytes, time_point now);
    void receive_marker(port_index i, std::span<std::uint8_t const> bytes);

    system_settings settings_;
    std::array<std::optional<port>, max_ports> ports_;
    std::array<transmit_machine, max_ports> sent_; // by ports that are gone
    selection_logic selection_;
    std::uint32_t transaction_ = 0;
    std::vector<outgoing> frames_;
    std::vector<marker_answer> answers_;
    std::bitset<max_ports> collecting_;
    std::bitset<max_ports> distributing_;
    time_point now_{0}; // of the last event or run
    bool settled_ = true;
};

void system::machinery::set(system_settings const& s, time_point now) {
    auto const before = std::exchange(settings_, s);
    for (auto& p : ports_) {
        if (p) {
            p->set(before, settings_, now);
        }
    }
}

void system::machinery::set_port(port_index i, port_settings const& s, time_point now) {
    (void)now;
    if (i >= max_ports) {
        return;
    }
    if (ports_[i]) {
        ports_[i]->set(settings_, s);
    } else {
        ports_[i].emplace(i, settings_, s, sent_[i]);
    }
}

void system::machinery::remove_port(port_index i, time_point now, bool say_so) {
    auto* const p = find(i);
    if (p == nullptr) {
        return;
    }
    if (say_so) {
        if (auto const pdu = p->last_words(now)) {
            frames_.push_back({i, encode(*pdu, p->source())});
        }
    }
    sent_[i] = p->sent();
    ports_[i].reset();
    selection_.forget(i);
    collecting_.reset(i);
    distributing_.reset(i);
    std::erase_if(answers_, [i](marker_answer const& a) { return a.port == i; });
}

void system::machinery::receive(port_index i, std::span<std::uint8_t const> bytes, time_point now) {
    auto* const p = find(i);
    if (p == nullptr || !p->admit(now)) {
        return;
    }
    auto const kind = slow_subtype(bytes);
    if (!kind) {
        return;
    }
    switch (*kind) {
    case static_cast<std::uint8_t>(subtype::lacp): receive_lacp(i, bytes, now); break;
    case static_cast<std::uint8_t>(subtype::marker): receive_marker(i, bytes); break;
    default: ++p->counters().unknown_rx; break;
    }
}

void system::machinery::receive_lacp(port_index i, std::span<std::uint8_t const> bytes,
                                     time_point now) {
    auto const pdu = decode_lacpdu(bytes);
    if (!pdu) {
        ++ports_[i]->counters().illegal_rx;
        return;
    }
    if (!ports_[i]->receive(*pdu, now)) {
        return;
    }
    for (std::size_t k = 0; k < max_ports; ++k) {
        if (k != i && ports_[k]) {
            ports_[k]->partner_seen_elsewhere(*pdu);
        }
    }
    settle(now);
}

void system::machinery::receive_marker(port_index i, std::span<std::uint8_t const> bytes) {
    auto& p = *ports_[i];
    auto const pdu = decode_marker(bytes);
    if (!pdu) {
        ++p.counters().illegal_rx;
        return;
    }
    ++(pdu->response ? p.counters().marker_response_pdus_rx : p.counters().marker_pdus_rx);
    if (pdu->response && p.receive_response(*pdu)) {
        answers_.push_back({i, pdu->transaction});
    }
    if (auto const answer = respond(*pdu); answer && p.enabled()) {
        frames_.push_back({i, encode(*answer, p.source())});
        ++p.counters().marker_response_pdus_tx;
    }
}

std::uint32_t system::machinery::request_marker(port_index i) {
    auto* const p = find(i);
    std::uint32_t const transaction = transaction_ + 1 == 0 ? 1 : transaction_ + 1;
    auto const request = p != nullptr ? p->request_marker(transaction) : std::nullopt;
    if (!request) {
        return 0;
    }
    transaction_ = transaction;
    frames_.push_back({i, encode(*request, p->source())});
    return transaction;
}

void system::machinery::settle(time_point now) {
    now_ = now;
    // Each round follows at least one arrow or decides something new.  Down from DISTRIBUTING, up
    // again, and one promotion per port are far fewer rounds than this; more is our bug.
    constexpr std::size_t most_rounds = 64 * max_ports;
    bool moved = true;
    for (std::size_t rounds = 0; moved && rounds < most_rounds; ++rounds) {
        moved = false;
        bounded_vector<contender, max_ports> contenders;
        for (auto& p : ports_) {
            if (p) {
                moved |= p->step(settings_, now);
                contenders.push_back(p->contends());
            }
        }
        moved |= selection_.step(settings_, {contenders.data(), contenders.size()}, now);
    }
    settled_ = !moved; // no reason to end the process: what a partner says may have brought us here
}

void system::machinery::transmit(time_point now) {
    for (std::size_t i = 0; i < max_ports; ++i) {
        if (!ports_[i]) {
            continue;
        }
        if (auto const pdu = ports_[i]->transmit(now)) {
            frames_.push_back({static_cast<port_index>(i), encode(*pdu, ports_[i]->source())});
        }
    }
}

void system::machinery::publish() {
    for (std::size_t i = 0; i < max_ports; ++i) {
        collecting_[i] = ports_[i] && ports_[i]->collecting();
        distributing_[i] = ports_[i] && ports_[i]->distributing();
    }
    assert((distributing_ & ~collecting_).none());
}

time_point system::machinery::deadline() const noexcept {
    if (!settled_) {
        return now_ + fast_periodic_time;
    }
    auto first = selection_.deadline();
    for (auto const& p : ports_) {
        if (p) {
            first = std::min(first, p->deadline());
        }
    }
    return first;
}

system::system(system_settings const& s) : machinery_(std::make_unique<machinery>(s)) {}
system::~system() = default;
system::system(system const& other) : machinery_(std::make_unique<machinery>(*other.machinery_)) {}
system& system::operator=(system const& other) {
    return *this = system(other);
}
system::system(system&&) noexcept = default;
system& system::operator=(system&&) noexcept = default;

void system::set(system_settings const& s, time_point now) {
    machinery_->set(s, now);
    machinery_->settle(now);
}

system_settings const& system::settings() const noexcept {
    return machinery_->settings();
}

void system::set_port(port_index port, port_settings const& s, time_point now) {
    machinery_->set_port(port, s, now);
    machinery_->settle(now);
}

void system::remove_port(port_index port, time_point now, bool say_so) {
    machinery_->remove_port(port, now, say_so);
    machinery_->settle(now);
}

void system::set_link(port_index port, bool up, bool full_duplex, std::uint32_t speed_mbps,
                      time_point now) {
    if (auto* const p = machinery_->find(port)) {
        p->set_link(settings(), up, full_duplex, speed_mbps, now);
        machinery_->settle(now);
    }
}

void system::receive(port_index port, std::span<std::uint8_t const> bytes, time_point now) {
    machinery_->receive(port, bytes, now);
}

void system::drain(port_index port, bool on, time_point now) {
    if (auto* const p = machinery_->find(port)) {
        p->drain(on);
        machinery_->settle(now);
    }
}

std::uint32_t system::request_marker(port_index port, time_point now) {
    (void)now;
    return machinery_->request_marker(port);
}

std::vector<system::marker_answer> system::take_marker_answers() {
    return machinery_->take_answers();
}

void system::run(time_point now) {
    machinery_->settle(now);
    machinery_->transmit(now);
    machinery_->publish();
}

time_point system::next_deadline() const noexcept {
    return machinery_->deadline();
}

bool system::settled() const noexcept {
    return machinery_->settled();
}

std::bitset<max_ports> system::collecting() const noexcept {
    return machinery_->collecting();
}

std::bitset<max_ports> system::distributing() const noexcept {
    return machinery_->distributing();
}

std::vector<outgoing> system::take_frames() {
    return machinery_->take_frames();
}

std::optional<port_report> system::report(port_index port) const {
    auto const* const p = machinery_->find(port);
    if (p == nullptr) {
        return std::nullopt;
    }
    return p->report(machinery_->settings(), machinery_->now());
}

} // namespace lagg::lacp
