// What does a burst feel while members come and go a thousand times a second: its duration at the
// median, the 99th and the 99.9th percentile, beside the same bursts in peace?
// Names: reconfigure/<policy>/<quiet|churn>; p50_ns, p99_ns, p999_ns, changes_per_second.
#include "rte_pmd_lagg.h"
#include "support/background.h"
#include "support/contender.h"
#include "support/cycles.h"
#include "support/frames.h"
#include "support/setup.h"

#include <benchmark/benchmark.h>

#include <rte_ethdev.h>

#include <chrono>
#include <optional>
#include <string>
#include <vector>

namespace bench {
namespace {

using namespace std::chrono_literals;
constexpr std::uint16_t burst = 32;
constexpr std::size_t bursts = 400'000;

/// The last member leaves and comes back; a change every millisecond, or as fast as it goes.
class churn {
public:
    churn(std::uint16_t lagg, std::uint16_t member)
        : thread_(
              [lagg, member, away = false]() mutable {
                  int const rc = away ? rte_pmd_lagg_member_add(lagg, member, 1000)
                                      : rte_pmd_lagg_member_remove(lagg, member, 1000);
                  away = rc == 0 ? !away : away;
              },
              1ms) {}
    std::uint64_t changes() const { return thread_.rounds(); }

private:
    background thread_;
};

void run_case(benchmark::State& state, std::string const& policy, bool churning) {
    stage const& on = set_up({pmd::net_lagg, policy, "l34", 4});
    rotation& frames = rotation::of(traffic::udp4, warm, false);
    std::vector<double> ns;
    ns.reserve(bursts);
    double seconds = 0;
    double changes = 0;
    double const hz = static_cast<double>(rte_get_tsc_hz());
    for ([[maybe_unused]] auto const& _ : state) {
        std::optional<churn> thread;
        if (churning) {
            thread.emplace(on.port, on.members.back());
        }
        std::uint64_t const begin = rte_rdtsc();
        for (std::size_t i = 0; i < bursts; ++i) {
            rte_mbuf** const list = frames.next(burst);
            std::uint64_t const from = rte_rdtsc_precise();
            rte_eth_tx_burst(on.port, 0, list, burst);
            ns.push_back(static_cast<double>(rte_rdtsc_precise() - from) / hz * 1e9);
        }
        seconds = static_cast<double>(rte_rdtsc() - begin) / hz;
        changes = thread ? static_cast<double>(thread->changes()) : 0;
    }
    if (churning) { // complete again, for whoever comes next
        rte_pmd_lagg_member_add(on.port, on.members.back(), 10'000);
    }
    std::sort(ns.begin(), ns.end());
    auto const at = [&](double share) {
        return ns[static_cast<std::size_t>(share * static_cast<double>(ns.size()))];
    };
    state.counters["p50_ns"] = at(0.5);
    state.counters["p99_ns"] = at(0.99);
    state.counters["p999_ns"] = at(0.999);
    state.counters["changes_per_second"] = changes / seconds;
}

void register_all() {
    for (std::string const policy : {"loadbalance", "roundrobin"}) {
        for (bool const churning : {false, true}) {
            std::string const name = "reconfigure/" + policy + (churning ? "/churn" : "/quiet");
            benchmark::RegisterBenchmark(
                name.c_str(), [=](benchmark::State& s) { run_case(s, policy, churning); });
        }
    }
}

} // namespace
} // namespace bench

int main(int argc, char** argv) {
    return bench::run(argc, argv, bench::register_all);
}
