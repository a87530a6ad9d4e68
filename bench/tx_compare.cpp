// What does a transmit burst cost per packet: net_lagg, net_bonding and a bare port, over the same
// members that cost nothing, for every policy, hash, number of members, burst size and traffic?
// Names: tx/<pmd>/<policy>/<hash>/members:<n>/burst:<n>/<warm|cold>, and /<traffic> unless udp4.
#include "support/contender.h"
#include "support/cycles.h"
#include "support/frames.h"
#include "support/setup.h"

#include <algorithm>
#include <benchmark/benchmark.h>

#include <rte_ethdev.h>

#include <string>
#include <vector>

namespace bench {
namespace {

struct tx_case {
    contender who;
    std::uint16_t burst = 32;
    bool in_cache = true;
    traffic kind = traffic::udp4;

    std::string name() const {
        std::string text = "tx/" + name_of(who.which) + "/" + who.policy + "/" + who.hash;
        text += "/members:" + std::to_string(who.members);
        text += "/burst:" + std::to_string(burst);
        text += in_cache ? "/warm" : "/cold";
        if (kind != traffic::udp4) {
            text += '/';
            text += name_of(kind);
        }
        return text;
    }
};

void send(std::uint16_t port, rte_mbuf** frames, std::uint16_t count) {
    if (rte_eth_tx_burst(port, 0, frames, count) != count) {
        fail("port " + std::to_string(port) + " refused frames");
    }
}

/// What NICs do when they have sent their copies; the bare port's loop does it, too.
void forget_copies(rte_mbuf* const* frames, std::uint16_t count) {
    for (std::uint16_t i = 0; i < count; ++i) {
        rte_mbuf_refcnt_set(frames[i], 1);
    }
}

/// The floor of everything that looks at frames: one word of each header.
std::uint32_t read_headers(rte_mbuf* const* frames, std::uint16_t count) {
    std::uint32_t sum = 0;
    for (std::uint16_t i = 0; i < count; ++i) {
        sum += *rte_pktmbuf_mtod_offset(frames[i], std::uint32_t const*, 12);
    }
    return sum;
}

compared measure(tx_case const& c) {
    stage const& on = set_up(c.who);
    bool const copies = c.who.policy == "broadcast";
    bool const touch = c.who.policy == "touch";
    // no frame twice in a burst
    std::size_t const mbufs = c.in_cache ? std::max<std::size_t>(warm, c.burst) : cold;
    rotation& frames = rotation::of(c.kind, mbufs, c.who.hash == "rss");
    auto const through = [&](std::uint16_t port, bool read) {
        return [&frames, port, copies, read, burst = c.burst] {
            rte_mbuf** const list = frames.next(burst);
            if (read) {
                benchmark::DoNotOptimize(read_headers(list, burst));
            }
            send(port, list, burst);
            if (copies) { // after, not before: nobody finds a count that was stored this moment
                forget_copies(list, burst);
            }
        };
    };
    return compare(through(on.port, touch), through(on.members.front(), false), c.burst);
}

void run_case(benchmark::State& state, tx_case const& c) {
    compared cycles;
    for ([[maybe_unused]] auto const& _ : state) {
        cycles = measure(c);
    }
    auto const hz = static_cast<double>(rte_get_tsc_hz());
    state.counters["cycles_per_packet"] = cycles.subject;
    state.counters["overhead_cycles"] = c.who == contender{} ? 0 : cycles.over;
    state.counters["Mpps"] = hz / cycles.subject / 1e6;
    state.counters["shared"] = cycles.shared;
}

void add(tx_case const& c) {
    benchmark::RegisterBenchmark(c.name().c_str(), [c](benchmark::State& s) { run_case(s, c); });
}

void add_both(std::string const& policy, std::string const& hash, std::size_t members,
              std::uint16_t burst, bool in_cache, traffic kind = traffic::udp4) {
    for (pmd const which : {pmd::net_lagg, pmd::net_bonding}) {
        tx_case const c{{which, policy, hash, members}, burst, in_cache, kind};
        if (has(c.who)) {
            add(c);
        }
    }
}

struct path {
    char const* policy;
    char const* hash;
};
constexpr path paths[] = {
    {"roundrobin", "none"}, {"loadbalance", "l2"},   {"loadbalance", "l23"},
    {"loadbalance", "l34"}, {"loadbalance", "l234"}, {"loadbalance", "rss"},
    {"lacp", "l34"},        {"broadcast", "none"},   {"failover", "none"},
};

void register_all() {
    for (bool const in_cache : {true, false}) {
        for (std::uint16_t const burst : {4, 8, 16, 32, 64, 128, 512}) {
            add({{}, burst, in_cache});
            add({{pmd::bare, "touch", "none", 1}, burst, in_cache});
            for (auto const& p : paths) {
                for (std::size_t const members : {2U, 4U, 8U, 16U}) {
                    add_both(p.policy, p.hash, members, burst, in_cache);
                }
            }
        }
        for (traffic const kind :
             {traffic::udp6, traffic::vlan, traffic::mixed, traffic::imix, traffic::one_flow}) {
            for (char const* const hash : {"l34", "l234"}) {
                add_both("loadbalance", hash, 4, 32, in_cache, kind);
            }
        }
        add_both("lacp_dedicated", "l34", 4, 32, in_cache);
    }
}

} // namespace
} // namespace bench

int main(int argc, char** argv) {
    return bench::run(argc, argv, bench::register_all);
}
