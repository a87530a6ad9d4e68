// How long, and for how many frames, does a sender go on to a member whose link went down, from the
// link event to the last frame put on that member or held up by it?
// Names: failover_gap/<members' driver>/<lsc|poll|rtnetlink>/<pmd>/<policy>.
//   gap_us      from the link event: the driver's interrupt, the cut itself where members are
//   polled,
//               the kernel's message
//   worst_us    the longest such gap of the repetition's cuts; gap_us is their median
//   cause_us    median from whatever caused the loss, the kernel's own part included
//   frames_lost put on the member since the event, median;  mpps: sent before the cut
//   disturbed   attempts that were thrown away, because the sender lost its CPU meanwhile
//   never       1: traffic did not leave the member within a second, which is then the gap
#include "failover_links.h"
#include "rte_pmd_lagg.h"
#include "support/contender.h"
#include "support/cycles.h"
#include "support/frames.h"
#include "support/setup.h"

#include <benchmark/benchmark.h>

#include <rte_eth_bond.h>
#include <rte_ethdev.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace bench {
namespace {

using namespace std::chrono_literals;

constexpr std::uint16_t burst = 32;
constexpr int most_disturbed = 12; // attempts that may come to nothing before fewer cuts will do
constexpr std::size_t cuts = 3;    // of a repetition
constexpr auto period = 10ms;      // at which both PMDs look at members that tell nothing
constexpr double give_up = 1.0;    // seconds

std::vector<link_kind> kinds;

rte_mempool* pool() {
    static rte_mempool* const p =
        rte_pktmbuf_pool_create("failover", 16'383, 64, 0, 2048 + 128, SOCKET_ID_ANY);
    return p != nullptr ? p : (fail("no memory for frames"), nullptr);
}

/// One bond over two links, with the sender's side of it.
struct stand {
    std::size_t kind = 0;
    pmd which = pmd::net_lagg;
    std::string policy;

    std::unique_ptr<link_pair> links;
    std::string name;
    std::uint16_t port = 0;

    void begin();
    void end();
    bool both_work() const;
    /// Frames that were taken, of a burst.
    std::uint16_t send();
};

void stand::begin() {
    static unsigned number = 0;
    links = kinds[kind].make();
    bool const lagg = which == pmd::net_lagg;
    name = (lagg ? "net_lagg" : "net_bonding") + std::to_string(100 + number++);
    if (lagg) {
        std::string const args =
            "seed=1,lsc_poll_period_ms=" + std::to_string(period.count()) + ",policy=" + policy;
        port = static_cast<std::uint16_t>(
            must(rte_pmd_lagg_create(name.c_str(), args.c_str()), "create net_lagg"));
    } else {
        int const mode = policy == "failover" ? BONDING_MODE_ACTIVE_BACKUP : BONDING_MODE_BALANCE;
        port = static_cast<std::uint16_t>(must(
            rte_eth_bond_create(name.c_str(), static_cast<std::uint8_t>(mode), 0), "net_bonding"));
        must(rte_eth_bond_xmit_policy_set(port, BALANCE_XMIT_POLICY_LAYER34), "xmit policy");
        must(rte_eth_bond_link_monitoring_set(port, static_cast<std::uint32_t>(period.count())),
             "monitoring");
    }
    for (auto const member : links->ports()) {
        must(lagg ? rte_pmd_lagg_member_add(port, member, 10'000)
                  : rte_eth_bond_slave_add(port, member), // net_bonding's own word
             "add a member");
    }
    rte_eth_conf const conf{};
    must(rte_eth_dev_configure(port, 1, 1, &conf), "configure");
    must(rte_eth_rx_queue_setup(port, 0, 256, SOCKET_ID_ANY, nullptr, pool()), "rx queue");
    must(rte_eth_tx_queue_setup(port, 0, 256, SOCKET_ID_ANY, nullptr), "tx queue");
    must(rte_eth_dev_start(port), "start");
}

void stand::end() {
    must(rte_eth_dev_stop(port), "stop");
    if (which == pmd::net_lagg) {
        must(rte_pmd_lagg_destroy(port), "destroy net_lagg");
    } else {
        for (auto const member : links->ports()) {
            must(rte_eth_bond_slave_remove(port, member), "remove from net_bonding");
        }
        must(rte_eth_bond_free(name.c_str()), "free net_bonding");
    }
    for (auto const member : links->ports()) {
        rte_eth_dev_stop(member);
    }
    links.reset();
}

bool stand::both_work() const {
    if (which == pmd::net_bonding) {
        std::uint16_t active[RTE_MAX_ETHPORTS];
        return rte_eth_bond_active_slaves_get(port, active, RTE_MAX_ETHPORTS) == 2;
    }
    rte_pmd_lagg_status s{};
    must(rte_pmd_lagg_status_get(port, &s), "status");
    return s.link_up && s.nb_members == 2 && s.members[0].usable && s.members[1].usable;
}

std::uint16_t stand::send() {
    static auto const& models = rotation::of(traffic::udp4, warm, false);
    static std::vector<rte_mbuf*> const all = models.all();
    static std::size_t at = 0;
    if (links->keeps_frames()) {
        return rte_eth_tx_burst(port, 0, rotation::of(traffic::udp4, warm, false).next(burst),
                                burst);
    }
    rte_mbuf* frames[burst];
    if (rte_pktmbuf_alloc_bulk(pool(), frames, burst) != 0) {
        return 0; // the members hold them all for the moment
    }
    for (auto* const frame : frames) {
        rte_mbuf const* const model = all[at++ % all.size()];
        std::memcpy(rte_pktmbuf_append(frame, model->data_len), rte_pktmbuf_mtod(model, void*),
                    model->data_len);
    }
    std::uint16_t const taken = rte_eth_tx_burst(port, 0, frames, burst);
    rte_pktmbuf_free_bulk(frames + taken, static_cast<unsigned>(burst - taken));
    return taken;
}

struct gap {
    double us = 0;
    double cause_us = 0;
    double frames = 0;
    double mpps = 0;
    bool never = false;
    bool disturbed = false; // the sender lost its CPU meanwhile: it tells nothing
};

double us_between(std::uint64_t from, std::uint64_t to) {
    return to <= from
               ? 0
               : static_cast<double>(to - from) * 1e6 / static_cast<double>(rte_get_tsc_hz());
}

/// The sender has an lcore; who cuts, and control, have the other CPU.
gap measure(stand& on) {
    auto const ticks = [](double seconds) {
        return static_cast<std::uint64_t>(seconds * static_cast<double>(rte_get_tsc_hz()));
    };
    // Which one is in use, and how fast.
    std::array<std::uint64_t, 2> const first{on.links->put_on(0), on.links->put_on(1)};
    std::uint64_t const warm_from = rte_rdtsc();
    std::uint64_t bursts = 0;
    for (; rte_rdtsc() - warm_from < ticks(0.01); ++bursts) {
        on.send();
    }
    std::uint64_t const too_long = 10 * (rte_rdtsc() - warm_from) / bursts + ticks(20e-6);
    std::array<std::uint64_t, 2> const grown{on.links->put_on(0) - first[0],
                                             on.links->put_on(1) - first[1]};
    std::size_t const dead = grown[1] > grown[0] ? 1 : 0;
    gap g;
    g.mpps = static_cast<double>(grown[0] + grown[1]) / us_between(warm_from, rte_rdtsc());

    cut_times times;
    std::thread cutter([&] {
        leave_first_lcore();
        std::this_thread::sleep_for(5ms);
        on.links->cut(dead, times);
    });
    std::uint64_t seen = on.links->put_on(dead);
    std::uint64_t last = 0; // when the member last got a frame, or a burst was not taken whole
    std::optional<std::uint64_t> at_event;
    std::uint64_t event = 0;
    std::uint64_t cause = 0;
    for (std::uint64_t before = rte_rdtsc();;) {
        event = times.event.load(std::memory_order_acquire); // [cut-time]
        cause = times.cause.load(std::memory_order_acquire); // [cut-time]
        if (event != 0 && !at_event) {
            at_event = seen;
        }
        // A frame counts as put there when its burst began.
        std::uint64_t const now = rte_rdtsc();
        if (event != 0 && before < std::max(last, event) + ticks(100e-6)) {
            g.disturbed = g.disturbed || now - before > too_long;
        }
        before = now;
        bool const whole = on.send() == burst;
        std::uint64_t const put = on.links->put_on(dead);
        last = put != seen || !whole ? now : last;
        seen = put;
        std::uint64_t const since = std::max(last, event);
        if (event != 0 && now > since && now - since > ticks(0.05)) {
            break;
        }
        if (event != 0 && now > event && now - event > ticks(give_up)) {
            g.never = true;
            break;
        }
    }
    cutter.join();
    g.us = us_between(event, last);
    g.cause_us = us_between(cause, last);
    g.frames = static_cast<double>(seen - *at_event);
    on.links->heal(dead);
    for (int tries = 0; !on.both_work() && tries < 2000; ++tries) {
        std::this_thread::sleep_for(1ms);
    }
    std::this_thread::sleep_for(20ms);
    return g;
}

void run_case(benchmark::State& state, std::size_t kind, pmd which, std::string const& policy) {
    static std::optional<stand> standing;
    if (!standing || standing->kind != kind || standing->which != which ||
        standing->policy != policy) {
        if (standing) {
            standing->end();
        }
        standing.emplace();
        standing->kind = kind;
        standing->which = which;
        standing->policy = policy;
        standing->begin();
        for (int tries = 0; !standing->both_work(); ++tries) {
            std::this_thread::sleep_for(1ms);
            if (tries == 5000) {
                fail(kinds[kind].name + ": not both members work");
            }
        }
    }
    std::vector<double> us;
    std::vector<double> cause;
    std::vector<double> frames;
    gap g;
    // Where members are polled nobody would leave the sender alone for long enough.
    bool const polled = kinds[kind].name.ends_with("/poll");
    int disturbed = 0;
    for ([[maybe_unused]] auto const& _ : state) {
        while (us.size() < cuts && !g.never) {
            g = measure(*standing);
            if (g.disturbed && !g.never && !polled) {
                ++disturbed;
                if (disturbed < most_disturbed || (us.empty() && disturbed < 3 * most_disturbed)) {
                    continue;
                }
                if (!us.empty()) {
                    break; // fewer, but of those that tell something
                }
            }
            us.push_back(g.us);
            cause.push_back(g.cause_us);
            frames.push_back(g.frames);
        }
    }
    state.counters["gap_us"] = middle(us);
    state.counters["worst_us"] = *std::max_element(us.begin(), us.end());
    state.counters["cause_us"] = middle(cause);
    state.counters["frames_lost"] = middle(frames);
    state.counters["mpps"] = g.mpps;
    state.counters["disturbed"] = disturbed;
    state.counters["never"] = g.never ? 1 : 0;
}

void register_all() {
    for (std::size_t kind = 0; kind < kinds.size(); ++kind) {
        for (char const* const policy : {"failover", "loadbalance"}) {
            for (pmd const which : {pmd::net_lagg, pmd::net_bonding}) {
                std::string const name =
                    "failover_gap/" + kinds[kind].name + "/" + name_of(which) + "/" + policy;
                benchmark::RegisterBenchmark(
                    name.c_str(), [=](benchmark::State& s) { run_case(s, kind, which, policy); });
            }
        }
    }
}

} // namespace
} // namespace bench

int main(int argc, char** argv) {
    bench::kinds = bench::link_kinds();
    return bench::run(argc, argv, bench::register_all);
}
