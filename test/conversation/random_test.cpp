// Random schedules of faults and settings on two or three systems.  The wire checks its rules after
// each step; when the faults stop, both ends of each cable must agree within a bound and be quiet.
// Each schedule has a number; NET_LAGG_TEST_SEED repeats a run, LAGG_SCHEDULE=<n> one schedule of
// it.  LAGG_MODEL_FULL=1 runs twenty times as many, LAGG_TORTURE_SECONDS=<s> as many as fit.
#include "conversation/wire.h"

#include "support/seed.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <random>
#include <string>

namespace lagg::lacp::conversation {
namespace {

/// All that is random about one schedule, and what was done so far.
class schedule {
public:
    schedule(std::uint64_t seed, bool twins)
        : random_(seed), wire_(twins ? std::optional(seed) : std::nullopt) {
        wire_.on_frame([this](flight& f) { return noise(f); });
        build();
    }

    void run() {
        unsigned const steps = 4 + below(20);
        for (unsigned i = 0; i < steps && wire_.broken().empty(); ++i) {
            act();
            wire_.run_for(pause());
        }
        stop_faults();
        settle();
    }

    std::string const& story() const { return story_; }

private:
    std::uint32_t below(std::uint32_t n) { return static_cast<std::uint32_t>(random_() % n); }
    bool one_in(std::uint32_t n) { return below(n) == 0; }
    template<class T>
    T any_of(std::initializer_list<T> values) {
        return *(values.begin() + below(static_cast<std::uint32_t>(values.size())));
    }
    void tell(std::string const& what) {
        story_ += "\n  " + std::to_string(wire_.now() / 1ms) + " ms: " + what;
    }
    static std::string name(place p) {
        return std::to_string(p.system) + "." + std::to_string(p.port);
    }

    time_point pause() {
        switch (below(5)) {
        case 0: return 0ns;
        case 1: return time_point(below(1'000'000));
        case 2: return 1ms * below(500);
        case 3: return 1ms * below(4000);
        default: return 1ms * below(20000);
        }
    }

    system_settings any_settings(system_number n) {
        system_settings s = ordinary(static_cast<std::uint8_t>(n + 1));
        s.active = !one_in(4);
        s.rate = one_in(4) ? lacp_rate::slow : lacp_rate::fast;
        s.mux = one_in(3) ? mux_control::coupled : mux_control::independent;
        s.select =
            any_of({selection_rule::stable, selection_rule::bandwidth, selection_rule::count});
        s.max_links = one_in(2) ? max_ports : 1 + below(4);
        s.wait_while = 1ms * any_of({2000U, 2000U, 0U, 1U, 500U, 3000U});
        s.fallback = one_in(2) ? fallback::strict : any_of({fallback::one, fallback::individual});
        s.fallback_delay = 1ms * any_of({10000U, 0U, 1000U});
        s.system.priority = static_cast<std::uint16_t>(any_of({32768, 32768, 1, 65535}));
        s.key = static_cast<std::uint16_t>(1 + below(3));
        s.damping.half_life = one_in(4) ? 5000ms : 0ms;
        return s;
    }

    void build() {
        system_number const systems = one_in(3) ? 3 : 2;
        for (system_number n = 0; n < systems; ++n) {
            system_settings const s = any_settings(n);
            wire_.add_system(s);
            slow_ = slow_ || s.rate == lacp_rate::slow;
            tell("system " + std::to_string(n) + ": " + describe_settings(n));
        }
        unsigned const cables = 1 + std::min(below(8), below(8));
        std::array<port_index, 3> next{};
        for (unsigned i = 0; i < cables; ++i) {
            system_number const x = below(static_cast<std::uint32_t>(systems));
            system_number const y =
                (x + 1 + below(static_cast<std::uint32_t>(systems - 1))) % systems;
            place const px = add_port(x, next[x]++);
            place const py = add_port(y, next[y]++);
            wire_.plug(px, py);
            wire_.delay(wire_.cables() - 1, delay_ = 1us * (1 + below(20000)));
            tell("plug " + name(px) + " " + name(py));
        }
    }

    void set(system_number n, system_settings const& s) {
        slow_ = slow_ || s.rate == lacp_rate::slow;
        wire_.set(n, s);
    }

    place add_port(system_number s, port_index i) {
        port_settings settings = ordinary_port(s, i);
        settings.id.priority = static_cast<std::uint16_t>(one_in(3) ? below(4) : 32768);
        return wire_.add_port(s, i, settings);
    }

    std::string describe_settings(system_number n) const {
        system_settings const& s = wire_.settings(n);
        return std::string(s.active ? "active " : "passive ") + std::string(to_string(s.rate)) +
               " " + std::string(to_string(s.mux)) + " " + std::string(to_string(s.select)) +
               " max " + std::to_string(s.max_links) + " wait " +
               std::to_string(s.wait_while.count()) + " " + std::string(to_string(s.fallback)) +
               " " + std::to_string(s.fallback_delay.count()) + " priority " +
               std::to_string(s.system.priority) + " address " +
               std::to_string(s.system.address.bytes[5]) + " key " + std::to_string(s.key) +
               " half-life " + std::to_string(s.damping.half_life.count());
    }

    std::vector<time_point> noise(flight& f) {
        if (below(100) < loss_) {
            return {};
        }
        time_point const base = wire_.ends(f.cable)[0] == f.from ? delay_ : delay_ / 2 + 1us;
        std::vector<time_point> delays{
            base + (jitter_ > 0ns ? time_point(random_() % jitter_.count()) : 0ns)};
        if (below(100) < duplicates_) {
            delays.push_back(base + 1ms * below(300));
        }
        return delays;
    }

    cable_number any_cable() { return below(static_cast<std::uint32_t>(wire_.cables())); }
    place any_place() { return wire_.ends(any_cable())[below(2)]; }

    void act() {
        cable_number const c = any_cable();
        place const p = any_place();
        auto const cable = "cable " + std::to_string(c);
        switch (below(19)) {
        case 0:
        case 1: {
            bool const up = one_in(2);
            tell(cable + (up ? " carrier" : " no carrier"));
            wire_.carrier(c, up);
            break;
        }
        case 2:
        case 3: {
            bool const from_a = one_in(2);
            bool const from_b = one_in(2);
            tell(cable + " cut " + (from_a ? "a" : "") + (from_b ? "b" : ""));
            wire_.cut(c, from_a, from_b);
            break;
        }
        case 4:
            loss_ = one_in(2) ? 0 : below(60);
            duplicates_ = one_in(2) ? 0 : below(60);
            jitter_ = one_in(2) ? time_point{} : 1ms * (1 + below(900));
            tell("loss " + std::to_string(loss_) + " duplicates " + std::to_string(duplicates_) +
                 " jitter " + std::to_string(jitter_ / 1ms));
            break;
        case 5:
        case 6:
        case 7: {
            system_settings s = any_settings(p.system);
            if (!one_in(3)) { // else all of it
                system_settings const others = s;
                s = wire_.settings(p.system);
                switch (below(8)) {
                case 0: s.active = others.active; break;
                case 1: s.rate = others.rate; break;
                case 2: s.mux = others.mux; break;
                case 3: s.max_links = others.max_links; break;
                case 4: s.system.priority = others.system.priority; break;
                case 5: s.key = others.key; break;
                case 6: s.select = others.select; break;
                default: s.system.address.bytes[4] = static_cast<std::uint8_t>(below(3)); break;
                }
            }
            set(p.system, s);
            tell("set " + std::to_string(p.system) + ": " + describe_settings(p.system));
            break;
        }
        case 8:
        case 9: {
            if (!wire_.has(p)) {
                break;
            }
            port_settings s = wire_.port(p);
            switch (below(3)) {
            case 0: s.id.priority = static_cast<std::uint16_t>(below(4)); break;
            case 1:
                s.key = one_in(2) ? std::nullopt
                                  : std::optional(static_cast<std::uint16_t>(1 + below(3)));
                break;
            default: s.aggregation = one_in(2); break;
            }
            tell("set port " + name(p) + " priority " + std::to_string(s.id.priority) + " key " +
                 (s.key ? std::to_string(*s.key) : "-") + (s.aggregation ? "" : " individual"));
            wire_.set_port(p, s);
            break;
        }
        case 10: {
            bool const up = !one_in(3);
            bool const full = !one_in(3);
            std::uint32_t const speed = any_of({0U, 1000U, 10000U, 100000U});
            tell("link of " + name(p) + (up ? " up" : " down") + (full ? "" : " half") + " " +
                 std::to_string(speed));
            wire_.set_link(p, up, full, speed);
            break;
        }
        case 11:
        case 12:
            if (wire_.has(p)) {
                bool const say_so = one_in(2);
                tell("remove " + name(p) + (say_so ? "" : " without a word"));
                wire_.remove_port(p, say_so);
            } else {
                tell("add " + name(p));
                wire_.add_port(p.system, p.port);
            }
            break;
        case 13: {
            bool const on = one_in(2);
            tell((on ? "drain " : "do not drain ") + name(p));
            if (wire_.has(p)) {
                wire_.drain(p, on);
            }
            break;
        }
        case 14:
            tell("restart " + std::to_string(p.system));
            wire_.restart(p.system);
            break;
        case 15: {
            cable_number const d = any_cable();
            auto const [x, y] = wire_.ends(c);
            auto const [v, u] = wire_.ends(d);
            // Also with two ends at one system: a loop.
            if (c != d && wire_.sound(c) && wire_.sound(d)) {
                tell("cross " + cable + " with " + std::to_string(d));
                wire_.move_silently(c, x, u);
                wire_.move_silently(d, v, y);
            }
            break;
        }
        case 16:
            if (wire_.has(p)) {
                tell("marker on " + name(p));
                (void)wire_.request_marker(p);
            }
            break;
        case 17: {
            if (!wire_.has(p)) {
                break;
            }
            bytes garbage(below(160));
            std::ranges::generate(garbage, [&] { return static_cast<std::uint8_t>(random_()); });
            if (garbage.size() > 20) {
                garbage[12] = 0x88;
                garbage[13] = 0x09;
                garbage[14] = static_cast<std::uint8_t>(below(4));
            }
            tell("garbage to " + name(p));
            wire_.inject(p, garbage);
            break;
        }
        default:
            tell("restart both ends of " + cable);
            wire_.restart(wire_.ends(c)[0].system);
            wire_.restart(wire_.ends(c)[1].system);
            break;
        }
    }

    /// Everything that is plugged works from here on, and nobody waits for anything but LACP.
    void stop_faults() {
        loss_ = duplicates_ = 0;
        jitter_ = {};
        bool any_active = false;
        for (system_number n = 0; n < wire_.systems(); ++n) {
            system_settings s = wire_.settings(n);
            s.damping = {};
            any_active = any_active || s.active;
            wire_.set(n, s);
        }
        if (!any_active) {
            system_settings s = wire_.settings(0);
            s.active = true;
            wire_.set(0, s);
        }
        one_group_ = wire_.systems() == 2 && one_in(2);
        for (cable_number c = 0; c < wire_.cables(); ++c) {
            wire_.carrier(c, true);
            wire_.cut(c, false, false);
            for (place const p : wire_.ends(c)) {
                if (!wire_.has(p)) {
                    wire_.add_port(p.system, p.port);
                }
                wire_.drain(p, false);
                wire_.set_link(p, true, true);
                if (one_group_) {
                    port_settings s = wire_.port(p);
                    s.key.reset();
                    s.aggregation = true;
                    wire_.set_port(p, s);
                }
            }
        }
        tell(one_group_ ? "faults stop, one group" : "faults stop");
    }

    bool could_carry(cable_number c) const {
        auto const [x, y] = wire_.ends(c);
        return x.system != y.system &&
               (wire_.settings(x.system).active || wire_.settings(y.system).active);
    }

    /// What two systems with one group of links must use: the best by the port ids of the better
    /// system, as many as both allow.
    std::vector<cable_number> expected() const {
        std::vector<cable_number> candidates;
        for (cable_number c = 0; c < wire_.cables(); ++c) {
            if (could_carry(c)) {
                candidates.push_back(c);
            }
        }
        system_number const better = wire_.settings(0).system < wire_.settings(1).system ? 0 : 1;
        std::ranges::sort(candidates, {}, [&](cable_number c) {
            auto const [x, y] = wire_.ends(c);
            return wire_.port(x.system == better ? x : y).id;
        });
        std::size_t const most = std::min(wire_.settings(0).max_links, wire_.settings(1).max_links);
        candidates.resize(std::min(candidates.size(), most));
        std::ranges::sort(candidates);
        return candidates;
    }

    std::vector<cable_number> carrying() const {
        std::vector<cable_number> up;
        for (cable_number c = 0; c < wire_.cables(); ++c) {
            if (wire_.up(c)) {
                up.push_back(c);
            }
        }
        return up;
    }

    void settle() {
        // An end that believes in a partner that is gone speaks to it until its timer ends, and
        // starts that of whoever listens.
        time_point const bound = slow_ ? 220s : 60s;
        wire_.run_for(bound);
        if (!wire_.broken().empty()) {
            return;
        }
        EXPECT_EQ(wire_.disagreement(), "") << everyone();
        bool possible = false;
        for (cable_number c = 0; c < wire_.cables(); ++c) {
            possible = possible || could_carry(c);
        }
        auto const up = carrying();
        for (cable_number const c : up) {
            EXPECT_TRUE(wire_.up_and_told(c)) << everyone();
        }
        EXPECT_EQ(possible, !up.empty()) << everyone();
        if (one_group_) {
            EXPECT_EQ(up, expected()) << everyone();
        }
        // And stay like this.
        struct before {
            place p;
            std::uint64_t mux;
            std::uint64_t sent;
            std::size_t changes;
        };
        std::vector<before> all;
        for (cable_number c = 0; c < wire_.cables(); ++c) {
            for (place const p : wire_.ends(c)) {
                auto const& seen = wire_.seen(p);
                all.push_back({p, seen.mux_changes, seen.lacpdus_sent, seen.distributing.size()});
            }
        }
        wire_.run_for(35s);
        for (before const& b : all) {
            auto const& seen = wire_.seen(b.p);
            EXPECT_EQ(seen.mux_changes, b.mux) << name(b.p) << everyone();
            EXPECT_EQ(seen.distributing.size(), b.changes) << name(b.p);
            EXPECT_LE(seen.lacpdus_sent - b.sent, 37U) << name(b.p) << everyone();
        }
    }

    std::string everyone() const {
        std::string text;
        for (cable_number c = 0; c < wire_.cables(); ++c) {
            for (place const p : wire_.ends(c)) {
                text += "\n  " + name(p) + " " + describe(wire_.report(p));
            }
        }
        return text;
    }

    std::mt19937_64 random_;
    wire wire_;
    unsigned loss_ = 0;
    unsigned duplicates_ = 0;
    time_point jitter_{};
    time_point delay_ = 1ms;
    bool slow_ = false; // at any time: a timer of 90 s may be running
    bool one_group_ = false;
    std::string story_;
};

bool run_schedule(std::uint64_t seed, std::uint64_t number) {
    schedule s(seed * 0x9e3779b97f4a7c15U + number, number % 4 == 0);
    s.run();
    if (testing::Test::HasFailure()) {
        ADD_FAILURE() << "LAGG_SCHEDULE=" << number << s.story();
        return false;
    }
    return true;
}

TEST(RandomSchedules, KeepEveryRuleAndEndInAgreement) {
    test::seed const seed;
    if (char const* const only = std::getenv("LAGG_SCHEDULE")) {
        run_schedule(seed, std::strtoull(only, nullptr, 0));
        return;
    }
    char const* const seconds = std::getenv("LAGG_TORTURE_SECONDS");
    std::uint64_t const least = std::getenv("LAGG_MODEL_FULL") != nullptr ? 40000 : 2000;
    auto const until =
        std::chrono::steady_clock::now() + std::chrono::seconds(seconds ? std::atoi(seconds) : 0);
    std::uint64_t number = 0;
    while (number < least || std::chrono::steady_clock::now() < until) {
        if (!run_schedule(seed, number++)) {
            return;
        }
    }
    std::cout << "schedules: " << number << ", seed " << seed << '\n';
}

} // namespace
} // namespace lagg::lacp::conversation
