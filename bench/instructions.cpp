// How many instructions does each path execute per packet?  To be run under callgrind, which
// bench/instructions.py does: stable on a noisy machine, so growth can fail a test.
#include "support/contender.h"
#include "support/frames.h"
#include "support/setup.h"

#include <rte_ethdev.h>
#include <valgrind/callgrind.h>

#include <cstdio>
#include <string>

#include <unistd.h>

namespace {

constexpr std::uint16_t burst = 32;
constexpr int bursts = 64; // twice through the rotation
constexpr struct {
    char const* policy;
    char const* hash;
    bench::traffic kind;
} paths[] = {
    {"roundrobin", "none", bench::traffic::udp4},  {"failover", "none", bench::traffic::udp4},
    {"broadcast", "none", bench::traffic::udp4},   {"loadbalance", "l2", bench::traffic::udp4},
    {"loadbalance", "l34", bench::traffic::udp4},  {"loadbalance", "l234", bench::traffic::udp4},
    {"loadbalance", "rss", bench::traffic::udp4},  {"loadbalance", "l34", bench::traffic::udp6},
    {"loadbalance", "l34", bench::traffic::vlan},  {"loadbalance", "l23", bench::traffic::udp4},
    {"loadbalance", "l34", bench::traffic::mixed},
};

} // namespace

/// Prints one line per path: its name, and the packets that were sent while callgrind counted.
int main() {
    bench::start_eal();
    for (auto const& p : paths) {
        auto const& on = bench::set_up({bench::pmd::net_lagg, p.policy, p.hash, 4});
        auto& frames = bench::rotation::of(p.kind, bench::warm, std::string(p.hash) == "rss");
        CALLGRIND_ZERO_STATS;
        CALLGRIND_TOGGLE_COLLECT;
        for (int i = 0; i < bursts; ++i) {
            rte_mbuf** const list = frames.next(burst);
            for (int k = 0; k < burst; ++k) {
                rte_mbuf_refcnt_set(list[k], 1); // broadcast's copies are gone
            }
            rte_eth_tx_burst(on.port, 0, list, burst);
        }
        CALLGRIND_TOGGLE_COLLECT;
        std::string const name =
            std::string(p.policy) + "/" + p.hash + "/" + bench::name_of(p.kind);
        CALLGRIND_DUMP_STATS_AT(name.c_str());
        std::printf("%s %d\n", name.c_str(), bursts * burst);
    }
    std::fflush(nullptr);
    _exit(0);
}
