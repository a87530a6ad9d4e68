// Bytes drive one LACP system: frames into its ports, time, links, settings, drains, removals.
// What must hold after each step holds whatever a partner, a cable or an operator does.
#include "fuzz/check.h"
#include "lacp/system.h"

#include <sanitizer/allocator_interface.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <span>
#include <vector>

using namespace lagg;
using namespace lagg::lacp;
using namespace std::chrono_literals;

namespace {

constexpr std::size_t ports = 6;
constexpr std::size_t memory_bound = 256 * 1024; // of a system and what it hands out, in bytes

class input {
public:
    explicit input(std::span<std::uint8_t const> bytes) : bytes_(bytes) {}
    bool empty() const { return bytes_.empty(); }
    std::uint8_t byte() {
        if (bytes_.empty()) {
            return 0;
        }
        std::uint8_t const b = bytes_.front();
        bytes_ = bytes_.subspan(1);
        return b;
    }
    std::span<std::uint8_t const> take(std::size_t n) {
        auto const taken = bytes_.first(std::min(n, bytes_.size()));
        bytes_ = bytes_.subspan(taken.size());
        return taken;
    }

private:
    std::span<std::uint8_t const> bytes_;
};

system_settings settings_from(input& in) {
    std::uint8_t const a = in.byte();
    std::uint8_t const b = in.byte();
    system_settings s;
    s.system = {static_cast<std::uint16_t>(a & 1U ? 1 : 40000),
                {{2, 0, 0, 0, 0, static_cast<std::uint8_t>(1 + (a >> 1 & 1U))}}};
    s.key = static_cast<std::uint16_t>(1 + (a >> 2 & 1U));
    s.active = (a & 8U) == 0;
    s.rate = a & 16U ? lacp_rate::slow : lacp_rate::fast;
    s.mux = a & 32U ? mux_control::coupled : mux_control::independent;
    s.select = static_cast<selection_rule>((a >> 6) % 3);
    s.max_links = b & 1U ? max_ports : 1 + (b >> 1 & 3U);
    s.wait_while = 1ms * (b & 8U ? 0 : 2000);
    s.fallback = static_cast<fallback>((b >> 4 & 3U) % 3);
    s.fallback_delay = 1ms * (b & 64U ? 0 : 10000);
    s.damping.half_life = 1ms * (b & 128U ? 5000 : 0);
    return s;
}

class driver {
public:
    explicit driver(input in) : in_(in), system_(settings_from(in_)) {}

    void run() {
        while (!in_.empty()) {
            step();
        }
    }

private:
    void step() {
        std::uint8_t const op = in_.byte();
        auto const i = static_cast<port_index>((op >> 4) % ports);
        switch (op % 16) {
        case 0:
        case 1: set_port(i); break;
        case 2:
        case 3: {
            std::uint8_t const how = in_.byte();
            system_.set_link(i, how & 1U, (how & 2U) == 0, how & 4U ? 0 : 10000, now_);
            break;
        }
        case 4:
        case 5:
        case 6: receive_lacpdu(i); break;
        case 7: system_.receive(i, in_.take(in_.byte()), now_); break;
        case 8: receive_marker(i); break;
        case 9:
        case 10: pass(1ms * in_.byte()); break;
        case 11: pass(1s * in_.byte()); break;
        case 12: system_.set(settings_from(in_), now_); break;
        case 13: system_.drain(i, in_.byte() & 1U, now_); break;
        case 14:
            if (system_.report(i)) {
                system_.remove_port(i, now_, in_.byte() & 1U);
                present_[i] = false;
                sent_[i].clear(); // the farewell is not counted
            }
            break;
        default:
            if (in_.byte() & 1U) {
                requests_ += system_.request_marker(i, now_) != 0 ? 1 : 0;
            } else {
                flood(i);
            }
            break;
        }
        settle();
    }

    void set_port(port_index i) {
        std::uint8_t const how = in_.byte();
        port_settings s;
        s.id = {static_cast<std::uint16_t>(how & 3U), static_cast<std::uint16_t>(i + 1)};
        s.source = {{6, 0, 0, 0, 0, i}};
        if (how & 4U) {
            s.key = static_cast<std::uint16_t>(1 + (how >> 3 & 1U));
        }
        s.aggregation = (how & 16U) == 0;
        system_.set_port(i, s, now_);
        present_[i] = true;
    }

    /// A partner that knows the port, or nearly so.
    void receive_lacpdu(port_index i) {
        std::uint8_t const who = in_.byte();
        lacpdu pdu;
        pdu.version = static_cast<std::uint8_t>(1 + (who & 1U));
        pdu.actor.system = {static_cast<std::uint16_t>(who & 2U ? 0 : 50000),
                            {{2, 0, 0, 0, 0, static_cast<std::uint8_t>(who >> 2 & 3U)}}};
        pdu.actor.key = static_cast<std::uint16_t>(who >> 4 & 1U);
        pdu.actor.port = {7, static_cast<std::uint16_t>(who & 32U ? 1 : 101 + i)};
        pdu.actor.state = in_.byte();
        if (auto const r = system_.report(i); r && (who & 64U) == 0) {
            pdu.partner = r->actor;
        }
        if (who & 128U) {
            pdu.partner.state = static_cast<std::uint8_t>(pdu.partner.state ^ in_.byte());
        }
        system_.receive(i, encode(pdu, {{2, 0, 0, 0, 0, 9}}), now_);
    }

    void receive_marker(port_index i) {
        std::uint8_t const how = in_.byte();
        marker_pdu const pdu{.response = (how & 1U) != 0,
                             .requester_port = static_cast<std::uint16_t>(how >> 1 & 7U),
                             .requester_system = system_.settings().system.address,
                             .transaction = static_cast<std::uint32_t>(how >> 4)};
        system_.receive(i, encode(pdu, {{2, 0, 0, 0, 0, 9}}), now_);
        auto const answers = system_.take_marker_answers();
        answers_ += answers.size();
        fuzz::check(answers_ <= requests_, "no more answers than requests");
    }

    void flood(port_index i) {
        auto const request = encode(marker_pdu{}, {{2, 0, 0, 0, 0, 9}});
        for (int n = 0; n < 300; ++n) {
            system_.receive(i, request, now_);
        }
    }

    void pass(time_point d) {
        time_point const end = now_ + d;
        // Each port has a handful of timers, none under 1 s but for ends of waits and of the rate
        // limit; far more stops than that is a deadline that does not move.
        std::uint64_t const most = 100 + 100 * ports * static_cast<std::uint64_t>(1 + d / 1s);
        std::uint64_t stops = 0;
        while (system_.next_deadline() <= end) {
            now_ = std::max(now_, system_.next_deadline());
            settle();
            fuzz::check(++stops < most, "time goes on");
        }
        now_ = end;
    }

    void settle() {
        system_.run(now_);
        fuzz::check(system_.settled(), "its machines come to rest");
        fuzz::check(system_.next_deadline() > now_, "after a run nothing is due");
        take_frames();
        auto const collecting = system_.collecting();
        auto const distributing = system_.distributing();
        fuzz::check((distributing & ~collecting).none(), "who distributes collects");
        for (std::size_t i = 0; i < max_ports; ++i) {
            auto const r = system_.report(static_cast<port_index>(i));
            fuzz::check(r.has_value() == (i < ports && present_[i]),
                        "ports are those that were set");
            fuzz::check(r.has_value() || !collecting[i], "a port that is gone carries nothing");
            if (!r) {
                continue;
            }
            fuzz::check(r->enabled || !collecting[i], "without link nothing is collected");
            if (distributing[i]) {
                fuzz::check(r->partner.has(state::synchronization) || r->fallback,
                            "its partner is in sync");
                fuzz::check(!r->looped && !r->suppressed && !r->draining && r->in_use,
                            "nobody distributes who is looped, damped, drained or not in use");
                fuzz::check(r->fallback || r->receive == receive_state::current,
                            "its partner was heard in time");
            }
        }
        fuzz::check(__sanitizer_get_current_allocated_bytes() < base_ + memory_bound,
                    "memory is bounded");
    }

    void take_frames() {
        std::size_t const most = ports * (most_rx_per_second + 8) + 8;
        auto const frames = system_.take_frames();
        fuzz::check(frames.size() <= most, "frames of one step are bounded");
        for (outgoing const& o : frames) {
            fuzz::check(o.port < ports, "frames are for ports that there are");
            if (decode_lacpdu(o.frame)) {
                auto& sent = sent_[o.port];
                if (!present_[o.port]) {
                    continue;
                }
                fuzz::check(sent.size() < 3 || now_ - sent.front() >= 1s,
                            "no more than three LACPDUs in a second");
                if (sent.size() == 3) {
                    sent.pop_front();
                }
                sent.push_back(now_);
            } else {
                auto const marker = decode_marker(o.frame);
                fuzz::check(marker.has_value(), "what is sent is well formed");
                auto& answered = answered_[o.port];
                if (!marker->response) {
                    continue;
                }
                fuzz::check(answered.size() < most_rx_per_second || now_ - answered.front() >= 1s ||
                                !present_[o.port],
                            "markers are answered at a bounded rate");
                if (answered.size() == most_rx_per_second) {
                    answered.pop_front();
                }
                answered.push_back(now_);
            }
        }
    }

    input in_;
    std::size_t base_ = __sanitizer_get_current_allocated_bytes();
    lacp::system system_;
    time_point now_ = 1s;
    std::array<bool, ports> present_{};
    std::array<std::deque<time_point>, ports> sent_;
    std::array<std::deque<time_point>, ports> answered_;
    std::uint64_t requests_ = 0;
    std::uint64_t answers_ = 0;
};

} // namespace

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
    driver(input({data, std::min<std::size_t>(size, 4096)})).run();
    return 0;
}
