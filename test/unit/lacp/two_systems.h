// Two systems on one set of wires, in virtual time: frames are copied, nothing else is shared.
#pragma once

#include "lacp/system.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <vector>

namespace lagg::lacp {

using namespace std::chrono_literals;

constexpr net::mac_address mac(std::uint8_t last) {
    return {{0x02, 0, 0, 0, 0, last}};
}

inline system_settings settings_of(std::uint8_t who) {
    system_settings s;
    s.system = {.priority = 32768, .address = mac(who)};
    return s;
}

inline port_settings port_of(std::uint16_t number, std::uint16_t priority = 32768) {
    return {.id = {.priority = priority, .number = number},
            .source = mac(static_cast<std::uint8_t>(0x80 + number)),
            .key = {},
            .aggregation = true};
}

/// `a` has the better system id unless its settings say otherwise.  Port index i of one end is
/// wired to index wire[i] of the other; port number = index + 1.
struct two_systems {
    system a;
    system b;
    time_point now = 100s;
    std::array<port_index, max_ports> wire{};
    std::vector<std::uint8_t> cut_a_to_b = std::vector<std::uint8_t>(max_ports, 0);
    std::vector<std::uint8_t> cut_b_to_a = std::vector<std::uint8_t>(max_ports, 0);
    std::function<void()> each_instant = [] {};
    struct sent {
        time_point when;
        outgoing what;
    };
    std::vector<sent> from_a;
    std::vector<sent> from_b;

    explicit two_systems(port_index ports, system_settings const& sa = settings_of(0x0a),
                         system_settings const& sb = settings_of(0x0b))
        : a(sa), b(sb) {
        for (port_index i = 0; i < max_ports; ++i) {
            wire[i] = i;
        }
        for (port_index i = 0; i < ports; ++i) {
            plug(i);
        }
    }

    void plug(port_index i) {
        auto const number = static_cast<std::uint16_t>(i + 1);
        a.set_port(i, port_of(number), now);
        b.set_port(i, port_of(number), now);
        link(i, true);
    }

    void link(port_index i, bool up) {
        a.set_link(i, up, true, 10000, now);
        b.set_link(wire[i], up, true, 10000, now);
    }

    /// Everything that happens at `now`, frames that cross at once included.
    void instant() {
        for (bool moved = true; moved;) {
            moved = false;
            a.run(now);
            b.run(now);
            each_instant();
            for (auto const& f : a.take_frames()) {
                from_a.push_back({now, f});
                if (cut_a_to_b[f.port] == 0) {
                    b.receive(wire[f.port], f.frame, now);
                    moved = true;
                }
            }
            for (auto const& f : b.take_frames()) {
                from_b.push_back({now, f});
                if (cut_b_to_a[f.port] == 0) {
                    auto const to = std::find(wire.begin(), wire.end(), f.port) - wire.begin();
                    a.receive(static_cast<port_index>(to), f.frame, now);
                    moved = true;
                }
            }
        }
    }

    void pass(time_point time) {
        auto const end = now + time;
        instant();
        for (;;) {
            auto const next = std::min(a.next_deadline(), b.next_deadline());
            if (next > end) {
                break;
            }
            now = std::max(now, next);
            instant();
        }
        now = end;
        instant();
    }
};

inline std::uint64_t bits(std::bitset<max_ports> const& set) {
    return set.to_ullong();
}

} // namespace lagg::lacp
