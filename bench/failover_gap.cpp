// How long, and for how many frames, does a sender go on to a member whose link went down, from the
// driver's link event to the first frame on the next member?
// Names: failover_gap/<pmd>/<policy>; gap_us and frames_lost, medians of the repetitions.
#include "support/background.h"
#include "support/contender.h"
#include "support/cycles.h"
#include "support/frames.h"
#include "support/setup.h"
#include "support/sink.h"

#include <benchmark/benchmark.h>

#include <rte_ethdev.h>

#include <atomic>
#include <chrono>
#include <string>
#include <thread>
#include <vector>

namespace bench {
namespace {

constexpr std::uint16_t burst = 32;

struct gap {
    double us = 0;
    double frames = 0;
};

/// Cuts one member of two while another thread sends, and watches what the members get.
gap measure(contender const& who) {
    stage const& on = set_up(who);
    auto const members = sinks(who.members);
    rotation& frames = rotation::of(traffic::udp4, warm, false);
    sink& cut = *members.front();
    gap g;
    {
        background const sender(
            [&, port = on.port] { rte_eth_tx_burst(port, 0, frames.next(burst), burst); });
        while (cut.sent() == 0 || sender.rounds() < 1000) {
        }
        std::uint64_t const before = cut.sent();
        std::uint64_t const begin = rte_rdtsc();
        cut.set_link(false);
        std::uint64_t last = begin; // when the dead member was last seen to get a frame
        std::uint64_t seen = before;
        std::uint64_t const patience = rte_get_tsc_hz() / 50; // 20 ms without one: it is over
        for (std::uint64_t now = begin; now - last < patience; now = rte_rdtsc()) {
            std::uint64_t const sent = cut.sent();
            last = sent != seen ? now : last;
            seen = sent;
            if (now - begin > 5 * rte_get_tsc_hz()) {
                break; // never, for practical purposes
            }
        }
        g.us = static_cast<double>(last - begin) * 1e6 / static_cast<double>(rte_get_tsc_hz());
        g.frames = static_cast<double>(seen - before);
    }
    cut.set_link(true);
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    return g;
}

void run_case(benchmark::State& state, contender const& who) {
    gap g;
    for ([[maybe_unused]] auto const& _ : state) {
        g = measure(who);
    }
    state.counters["gap_us"] = g.us;
    state.counters["frames_lost"] = g.frames;
}

void register_all() {
    for (char const* const policy : {"failover", "loadbalance"}) {
        for (pmd const which : {pmd::net_lagg, pmd::net_bonding}) {
            contender const who{which, policy, "l34", 2};
            std::string const name = "failover_gap/" + name_of(which) + "/" + policy;
            benchmark::RegisterBenchmark(name.c_str(),
                                         [=](benchmark::State& s) { run_case(s, who); });
        }
    }
}

} // namespace
} // namespace bench

int main(int argc, char** argv) {
    return bench::run(argc, argv, bench::register_all);
}
