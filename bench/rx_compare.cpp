// What does a receive burst cost per packet: net_lagg, net_bonding and a bare port, over the same
// members, each of which has as many frames as it is asked for, or every other time none?
// Names: rx/<pmd>/<policy>/members:<n>/burst:<n>/<warm|cold>, and /sparse when members are idle.
#include "support/contender.h"
#include "support/cycles.h"
#include "support/frames.h"
#include "support/setup.h"
#include "support/sink.h"

#include <benchmark/benchmark.h>

#include <rte_ethdev.h>

#include <string>

namespace bench {
namespace {

struct rx_case {
    contender who;
    std::uint16_t burst = 32;
    bool in_cache = true;
    bool sparse = false; // a quarter of a burst at each member: all of them have to be asked

    std::string name() const {
        std::string text = "rx/" + name_of(who.which) + "/" + who.policy;
        text += "/members:" + std::to_string(who.members);
        text += "/burst:" + std::to_string(burst);
        text += in_cache ? "/warm" : "/cold";
        text += sparse ? "/sparse" : "";
        return text;
    }
};

void receive(std::uint16_t port, std::uint16_t burst) {
    rte_mbuf* frames[1024];
    benchmark::DoNotOptimize(rte_eth_rx_burst(port, 0, frames, burst));
    benchmark::ClobberMemory();
}

compared measure(rx_case const& c) {
    stage const& on = set_up(c.who);
    auto const frames = rotation::of(traffic::udp4, c.in_cache ? warm : cold, false).all();
    auto const at_most = static_cast<std::uint16_t>(c.sparse ? c.burst / c.who.members : 1024);
    for (auto* const member : sinks(c.who.members)) {
        member->supply(frames, at_most);
    }
    return compare([&] { receive(on.port, c.burst); },
                   [&] { receive(on.members.front(), at_most < c.burst ? at_most : c.burst); },
                   c.burst);
}

void run_case(benchmark::State& state, rx_case const& c) {
    compared cycles;
    for ([[maybe_unused]] auto const& _ : state) {
        cycles = measure(c);
    }
    state.counters["cycles_per_packet"] = cycles.subject;
    state.counters["overhead_cycles"] = c.who == contender{} ? 0 : cycles.over;
    state.counters["Mpps"] = static_cast<double>(rte_get_tsc_hz()) / cycles.subject / 1e6;
    state.counters["shared"] = cycles.shared;
}

void add(rx_case const& c) {
    benchmark::RegisterBenchmark(c.name().c_str(), [c](benchmark::State& s) { run_case(s, c); });
}

void register_all() {
    for (bool const in_cache : {true, false}) {
        for (std::uint16_t const burst : {4, 32, 64, 512}) {
            add({{}, burst, in_cache});
            for (char const* const policy : {"lacp", "loadbalance", "roundrobin"}) {
                for (std::size_t const members : {2U, 4U, 8U}) {
                    for (pmd const which : {pmd::net_lagg, pmd::net_bonding}) {
                        contender const who{which, policy, "l34", members};
                        add({who, burst, in_cache});
                        if (burst >= 32) {
                            add({who, burst, in_cache, true});
                        }
                    }
                }
            }
        }
    }
}

} // namespace
} // namespace bench

int main(int argc, char** argv) {
    return bench::run(argc, argv, bench::register_all);
}
