// Do lcores that send on queues of their own disturb each other: packets per second of one, two and
// more of them, and how many times that of one it is?
// Names: scaling/<pmd>/<policy>/lcores:<n>; Mpps and times_one, both measured in the same breath.
#include "support/contender.h"
#include "support/core_share.h"
#include "support/cycles.h"
#include "support/frames.h"
#include "support/setup.h"
#include "support/sink.h"

#include <benchmark/benchmark.h>

#include <rte_ethdev.h>
#include <rte_launch.h>
#include <rte_lcore.h>

#include <array>
#include <atomic>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace bench {
namespace {

constexpr std::uint16_t burst = 32;
constexpr std::size_t max_lcores = 16;

struct alignas(128) job {
    std::uint16_t port = 0;
    std::uint16_t queue = 0;
    std::unique_ptr<rotation> frames;
    std::vector<double> rates; // packets per cycle, block by block
};

/// Sends blocks of bursts and notes the rate of each that had its core for itself; of all, if
/// hardly any had.
int send(void* arg) {
    auto& j = *static_cast<job*>(arg);
    core_share const& core = core_share::instance();
    std::vector<double> shared;
    j.rates.clear();
    bool alone = core.alone();
    for (int block = 0; block < 4000; ++block) {
        constexpr int bursts = 256;
        std::uint64_t const begin = rte_rdtsc_precise();
        for (int i = 0; i < bursts; ++i) {
            rte_eth_tx_burst(j.port, j.queue, j.frames->next(burst), burst);
        }
        double const rate = bursts * burst / static_cast<double>(rte_rdtsc_precise() - begin);
        bool const before = std::exchange(alone, core.alone());
        (before && alone ? j.rates : shared).push_back(rate);
    }
    if (j.rates.size() < 100) {
        j.rates.insert(j.rates.end(), shared.begin(), shared.end());
    }
    return 0;
}

/// Packets per second of the first `lcores` of the jobs together.
double run_together(std::vector<job>& jobs, std::size_t lcores) {
    std::size_t next = 1;
    unsigned id = 0;
    RTE_LCORE_FOREACH_WORKER(id) {
        if (next < lcores) {
            must(rte_eal_remote_launch(send, &jobs[next++], id), "launch");
        }
    }
    send(&jobs[0]);
    rte_eal_mp_wait_lcore();
    double sum = 0;
    for (std::size_t i = 0; i < lcores; ++i) {
        sum += middle(jobs[i].rates);
    }
    return sum * static_cast<double>(rte_get_tsc_hz());
}

void run_case(benchmark::State& state, contender const& who, std::size_t lcores) {
    stage const& on = set_up(who);
    core_share::instance(); // looks around for a second; not while others send
    static std::vector<job> jobs(max_lcores);
    for (std::size_t i = 0; i < lcores; ++i) {
        jobs[i].port = on.port;
        jobs[i].queue = static_cast<std::uint16_t>(i);
        if (jobs[i].frames == nullptr) {
            jobs[i].frames = rotation::another(traffic::udp4, warm);
        }
    }
    double one = 0;
    double all = 0;
    for ([[maybe_unused]] auto const& _ : state) {
        one = run_together(jobs, 1);
        all = run_together(jobs, lcores);
    }
    state.counters["Mpps"] = all / 1e6;
    state.counters["times_one"] = all / one;
}

void register_all() {
    std::size_t const most = std::min<std::size_t>(rte_lcore_count(), max_lcores);
    for (char const* const policy : {"roundrobin", "loadbalance", "failover"}) {
        for (pmd const which : {pmd::net_lagg, pmd::net_bonding}) {
            for (std::size_t lcores = 1; lcores <= most; lcores *= 2) {
                contender const who{which, policy, "l34", 4, static_cast<std::uint16_t>(most)};
                std::string name = "scaling/" + name_of(which) + "/" + policy;
                name += "/lcores:" + std::to_string(lcores);
                benchmark::RegisterBenchmark(
                    name.c_str(), [=](benchmark::State& s) { run_case(s, who, lcores); });
            }
        }
    }
}

} // namespace
} // namespace bench

int main(int argc, char** argv) {
    return bench::run(argc, argv, bench::register_all, bench::max_lcores);
}
