// Real bursts of the real driver on every CPU, while a control thread changes everything that can
// be changed, at 1 kHz and as fast as it can; an oracle (traffic_oracle.h) judges every frame.
// Members are wires that poison themselves when they are stopped: a burst that is too late ends the
// process.
//
//   LAGG_TORTURE_SECONDS  how long it runs; without it as many operations as CI has time for
//   LAGG_TORTURE_SEED     repeats the schedule of another run
//   LAGG_TORTURE_OPS      no more than so many operations
//   LAGG_TORTURE_KINDS    only these kinds (schedule.h), such as policy,add,remove
//
// When it fails it prints the seed and its last operations; shrink.py looks for fewer that fail,
// too.
#include "torture/schedule.h"
#include "torture/traffic_oracle.h"

#include "lagg_device.h"
#include "rte_pmd_lagg.h"
#include "rte_pmd_lagg_lacp.h"
#include "rte_pmd_wire.h"

#include <gtest/gtest.h>

#include <rte_bus_vdev.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <initializer_list>
#include <iostream>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include <malloc.h>
#include <sched.h>
#include <unistd.h>

namespace lagg::torture {

unsigned slowness = 1; // without LAGG_TORTURE_SECONDS: a build that is so much slower does less

namespace {

using namespace std::chrono_literals;
using clock = std::chrono::steady_clock;

std::uint64_t number_from(char const* name, std::uint64_t otherwise) {
    char const* const value = std::getenv(name);
    return value != nullptr ? std::strtoull(value, nullptr, 0) : otherwise;
}

// --- what was done last, for whoever reads a failure --------------------------------------------

constexpr std::size_t kept = 200;
struct done_line {
    char text[120];
};
std::array<done_line, kept> journal;
std::uint64_t journal_length = 0;
std::uint64_t seed_in_use = 0;

void write_journal() { // also from a signal's handler
    char line[160];
    int n = std::snprintf(line, sizeof line, "LAGG_TORTURE_SEED=%llu, %llu operations; the last:\n",
                          static_cast<unsigned long long>(seed_in_use),
                          static_cast<unsigned long long>(journal_length));
    static_cast<void>(!write(STDERR_FILENO, line, static_cast<std::size_t>(n)));
    for (std::uint64_t i = journal_length > kept ? journal_length - kept : 0; i < journal_length;
         ++i) {
        char const* const text = journal[i % kept].text;
        static_cast<void>(!write(STDERR_FILENO, text, std::strlen(text)));
    }
}

void crashed(int signal) {
    write_journal();
    std::signal(signal, SIG_DFL);
    std::raise(signal);
}

// --- wires --------------------------------------------------------------------------------------

template<class F>
void for_each_counter(F&& f) {
    using c = rte_pmd_wire_counters;
    for (auto const member :
         {&c::sent, &c::received, &c::refused, &c::lost_silent, &c::lost_down, &c::lost_stop,
          &c::tx_too_long, &c::tx_no_mbuf, &c::filtered_mac, &c::filtered_vlan, &c::filtered_flow,
          &c::rx_too_long, &c::rx_dropped, &c::missed, &c::violations, &c::starts, &c::stops}) {
        f(member);
    }
}

/// A wire whose near end may be closed and probed again: same name, same port id.
struct wire_end_pair {
    std::string near_name;
    std::string far_name;
    std::string near_args;
    rte_pmd_wire_counters near_before{}; // of the ends that were closed
    std::uint64_t probes = 0;
};

// Members of several kinds: counting overlaps, without a queue to spare for control, with polled
// links, that drop what they have no carrier for, whose address and MTU are fixed.
constexpr std::array<char const*, wires> kinds_of_near{"check=1", "equal_queues=1,lsc=0",
                                                       "down=drop,live_mtu=0", "fixed_mac=1"};
constexpr std::array<char const*, wires> kinds_of_far{"ring=256", "ring=256,full=drop", "ring=64",
                                                      "ring=512"};

constexpr std::uint64_t most_poisoned_probes = 100; // the wire keeps their memory

class BurstTorture : public testing::Test {
protected:
    void SetUp() override;
    void TearDown() override;

    void probe_near(std::size_t w);
    void close_near(std::size_t w);
    void note_near(std::size_t w);
    void torture(kind_set enabled, std::uint64_t brief);
    void carry_out(operation const& o);
    void check_status();
    void ask();
    void change_lacp(std::uint32_t choice);
    void remove(std::size_t w, unsigned wait, bool drain);
    void pull(std::size_t w);
    void restart();
    void calm(std::chrono::milliseconds);
    bool is_member(std::size_t w) const;
    std::map<std::string, std::uint64_t> xstats() const;
    rte_pmd_wire_counters far_counters() const;
    rte_pmd_wire_counters near_counters();
    void configure_lagg();
    /// One of these, or it is a complaint.
    void expect(operation const& o, int rc, std::initializer_list<int> allowed);

    common shared;
    std::uint64_t seed = 0;
    std::vector<std::unique_ptr<traffic_thread>> threads;
    std::array<wire_end_pair, wires> wire;
    std::array<std::uint64_t, wires> bursts_when_removed{};
    rte_mempool* lagg_pool = nullptr;
    std::vector<int> cpus;
    std::uint64_t policies = 0;
    std::uint64_t pulls = 0;
    std::uint64_t reprobes = 0;
    std::uint64_t removals = 0;
    std::uint64_t restarts = 0;
    std::uint64_t injected = 0; // operations of members that failed, at most
    std::array<std::uint64_t, kinds> done{};
    std::set<std::pair<int, int>> switches;
    int policy = 0;

    std::atomic<bool> quit_asking{false};
    std::atomic<std::uint64_t> answers{0};
    std::mutex pace_mutex;
    std::condition_variable pace;
};

void BurstTorture::probe_near(std::size_t w) {
    ASSERT_EQ(0, rte_vdev_init(wire[w].near_name.c_str(), wire[w].near_args.c_str()));
    std::uint16_t port = 0;
    ASSERT_EQ(0, rte_eth_dev_get_port_by_name(wire[w].near_name.c_str(), &port));
    if (wire[w].probes > 0) { // threads read it
        ASSERT_EQ(shared.near[w], port) << "the same port id";
    } else {
        shared.near[w] = port;
    }
    if (wire[w].probes++ < most_poisoned_probes) {
        ASSERT_EQ(0, rte_pmd_wire_poison_on_stop(port, true));
    }
    bursts_when_removed[w] = 0;
}

void BurstTorture::note_near(std::size_t w) {
    rte_pmd_wire_counters now{};
    ASSERT_EQ(0, rte_pmd_wire_counters_get(shared.near[w], &now));
    for_each_counter([&](auto c) { wire[w].near_before.*c += now.*c; });
}

void BurstTorture::close_near(std::size_t w) {
    note_near(w);
    ASSERT_EQ(0, rte_vdev_uninit(wire[w].near_name.c_str()));
}

void BurstTorture::configure_lagg() {
    rte_eth_conf const conf{};
    ASSERT_EQ(0, rte_eth_dev_configure(shared.lagg, shared.queues, shared.queues, &conf));
    for (std::uint16_t q = 0; q < shared.queues; ++q) {
        ASSERT_EQ(0,
                  rte_eth_rx_queue_setup(shared.lagg, q, 256, SOCKET_ID_ANY, nullptr, lagg_pool));
        ASSERT_EQ(0, rte_eth_tx_queue_setup(shared.lagg, q, 256, SOCKET_ID_ANY, nullptr));
    }
    ASSERT_EQ(0, rte_eth_dev_start(shared.lagg));
}

void BurstTorture::SetUp() {
    seed = number_from("LAGG_TORTURE_SEED", std::random_device{}());
    seed_in_use = seed;
    std::cout << "LAGG_TORTURE_SEED=" << seed << std::endl;
    journal_length = 0;
    for (int const s : {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL}) {
        std::signal(s, crashed);
    }
    mallopt(M_PERTURB, 0xa5); // what is freed says so

    cpu_set_t set;
    CPU_ZERO(&set);
    ASSERT_EQ(0, sched_getaffinity(0, sizeof set, &set));
    for (int c = 0; c < CPU_SETSIZE; ++c) {
        if (CPU_ISSET(c, &set)) {
            cpus.push_back(c);
        }
    }
    shared.queues = static_cast<std::uint16_t>(std::clamp<std::size_t>(cpus.size(), 2, 8));
    lagg_pool =
        rte_pktmbuf_pool_create("torture_rx", 255, 0, 0, RTE_PKTMBUF_HEADROOM + 256, SOCKET_ID_ANY);
    ASSERT_NE(nullptr, lagg_pool);
    std::string const unique = std::to_string(getpid() % 10'000);
    rte_eth_conf const conf{};
    auto const far_queues = static_cast<std::uint16_t>(shared.queues + 1);
    for (std::size_t w = 0; w < wires; ++w) {
        wire[w].far_name = "net_wire" + unique + "0" + std::to_string(w);
        wire[w].near_name = "net_wire" + unique + "1" + std::to_string(w);
        wire[w].near_args = "peer=" + wire[w].far_name + "," + kinds_of_near[w];
        ASSERT_EQ(0, rte_vdev_init(wire[w].far_name.c_str(), kinds_of_far[w]));
        std::uint16_t& far = shared.far[w];
        ASSERT_EQ(0, rte_eth_dev_get_port_by_name(wire[w].far_name.c_str(), &far));
        probe_near(w);
        ASSERT_EQ(0, rte_eth_dev_configure(far, far_queues, far_queues, &conf));
        for (std::uint16_t q = 0; q < far_queues; ++q) {
            ASSERT_EQ(0, rte_eth_rx_queue_setup(far, q, 512, SOCKET_ID_ANY, nullptr, lagg_pool));
            ASSERT_EQ(0, rte_eth_tx_queue_setup(far, q, 512, SOCKET_ID_ANY, nullptr));
        }
        ASSERT_EQ(0, rte_eth_dev_start(far));
        ASSERT_EQ(0, rte_eth_promiscuous_enable(far));
    }
    int const id = rte_pmd_lagg_create("net_lagg_torture", "policy=none");
    ASSERT_GE(id, 0);
    shared.lagg = static_cast<std::uint16_t>(id);
    rte_pmd_lagg_lacp_conf lacp{};
    ASSERT_EQ(0, rte_pmd_lagg_lacp_get(shared.lagg, &lacp));
    lacp.fast = true;
    lacp.wait_while_ms = 0;
    lacp.damping_half_life_ms = 0;
    ASSERT_EQ(0, rte_pmd_lagg_lacp_set(shared.lagg, &lacp));
    configure_lagg();
    for (std::uint16_t q = 0; q < shared.queues; ++q) {
        threads.push_back(
            std::make_unique<traffic_thread>(shared, q, seed + q, cpus.size() > q ? cpus[q] : -1));
    }
}

void BurstTorture::TearDown() {
    quit_asking = true;
    threads.clear();
    EXPECT_EQ(0, rte_pmd_lagg_destroy(shared.lagg));
    for (std::size_t w = 0; w < wires; ++w) {
        rte_vdev_uninit(wire[w].near_name.c_str());
        rte_eth_dev_stop(shared.far[w]);
        rte_vdev_uninit(wire[w].far_name.c_str());
    }
    EXPECT_EQ(lagg_pool->size, rte_mempool_avail_count(lagg_pool));
    rte_mempool_free(lagg_pool);
    for (std::string const& words : shared.wrong.words()) {
        ADD_FAILURE() << words;
    }
    EXPECT_EQ(0u, shared.wrong.count());
    if (HasFailure()) {
        write_journal();
    }
}

bool BurstTorture::is_member(std::size_t w) const {
    auto const state = pmd::device::published_of(shared.lagg);
    for (std::uint16_t i = 0; i < state->status.nb_members; ++i) {
        if (state->status.members[i].port == shared.near[w]) {
            return true;
        }
    }
    return false;
}

std::map<std::string, std::uint64_t> BurstTorture::xstats() const {
    std::map<std::string, std::uint64_t> out;
    int const n = rte_eth_xstats_get(shared.lagg, nullptr, 0);
    std::vector<rte_eth_xstat> values(static_cast<std::size_t>(std::max(n, 0)));
    std::vector<rte_eth_xstat_name> names(values.size());
    EXPECT_EQ(n, rte_eth_xstats_get_names(shared.lagg, names.data(), static_cast<unsigned>(n)));
    EXPECT_EQ(n, rte_eth_xstats_get(shared.lagg, values.data(), static_cast<unsigned>(n)));
    for (std::size_t i = 0; i < values.size(); ++i) {
        out[names[values[i].id].name] = values[i].value;
    }
    return out;
}

rte_pmd_wire_counters BurstTorture::far_counters() const {
    rte_pmd_wire_counters all{};
    for (std::uint16_t const port : shared.far) {
        rte_pmd_wire_counters one{};
        EXPECT_EQ(0, rte_pmd_wire_counters_get(port, &one));
        for_each_counter([&](auto c) { all.*c += one.*c; });
    }
    return all;
}

rte_pmd_wire_counters BurstTorture::near_counters() {
    rte_pmd_wire_counters all{};
    for (std::size_t w = 0; w < wires; ++w) {
        rte_pmd_wire_counters one{};
        EXPECT_EQ(0, rte_pmd_wire_counters_get(shared.near[w], &one));
        for_each_counter([&](auto c) { all.*c += one.*c + wire[w].near_before.*c; });
    }
    return all;
}

/// What must hold in any answer, whatever goes on; empty, or what does not.
std::string contradiction(rte_pmd_lagg_status const& s) {
    unsigned distributing = 0;
    unsigned buckets = 0;
    std::set<std::uint16_t> ports;
    for (unsigned i = 0; i < s.nb_members; ++i) {
        auto const& m = s.members[i];
        if (!ports.insert(m.port).second) {
            return "a member twice";
        }
        if (m.distributing && (!m.collecting || !s.started || !s.admin_up)) {
            return "a member distributes that should not";
        }
        if (m.buckets > 0 && !m.distributing) {
            return "a member has buckets and does not distribute";
        }
        distributing += m.distributing;
        buckets += m.buckets;
    }
    unsigned in_table = 0;
    for (std::uint8_t const owner : s.bucket) {
        if (owner == UINT8_MAX) {
            continue;
        }
        if (owner >= s.nb_members || !s.members[owner].distributing) {
            return "a bucket of nobody";
        }
        ++in_table;
    }
    if (in_table != buckets) {
        return "the members' buckets are not those of the table";
    }
    if (s.policy == RTE_PMD_LAGG_POLICY_NONE && distributing != 0) {
        return "somebody distributes under none";
    }
    if (s.policy == RTE_PMD_LAGG_POLICY_FAILOVER && distributing > 1) {
        return "two distribute under failover";
    }
    if (s.link_up != (distributing >= std::max(s.min_links, 1U))) {
        return "the link is not that of the members";
    }
    if (s.nb_members > wires) {
        return "more members than there are";
    }
    return "";
}

/// A monitor that asks all the time.
void BurstTorture::ask() {
    std::uint64_t version = 0;
    std::uint64_t packets = 0;
    while (!quit_asking.load(std::memory_order_relaxed)) {
        rte_pmd_lagg_status s{};
        if (rte_pmd_lagg_status_get(shared.lagg, &s) != 0) {
            shared.wrong.add("no status");
            return;
        }
        std::string const wrong = contradiction(s);
        if (!wrong.empty()) {
            shared.wrong.add("status of version " + std::to_string(s.version) + ": " + wrong);
        }
        if (s.version < version) {
            shared.wrong.add("status went back to version " + std::to_string(s.version));
        }
        version = s.version;
        rte_eth_stats stats{};
        rte_eth_link link{};
        rte_eth_stats_get(shared.lagg, &stats);
        rte_eth_link_get_nowait(shared.lagg, &link);
        if (stats.opackets + stats.ipackets < packets) {
            shared.wrong.add("counters went back");
        }
        packets = stats.opackets + stats.ipackets;
        rte_eth_xstat some[64];
        rte_eth_xstats_get(shared.lagg, some, 64);
        rte_pmd_lagg_lacp_info info{};
        rte_pmd_lagg_lacp_info_get(shared.lagg, shared.near[version % wires], &info);
        answers.fetch_add(1, std::memory_order_relaxed);
        std::unique_lock hold(pace_mutex);
        pace.wait_for(hold, 200us);
    }
}

void BurstTorture::expect(operation const& o, int rc, std::initializer_list<int> allowed) {
    if (std::find(allowed.begin(), allowed.end(), rc) == allowed.end()) {
        shared.wrong.add(to_string(o) + " returned " + std::to_string(rc));
    }
    if (rc == 0) {
        auto const state = pmd::device::published_of(shared.lagg);
        // What a caller was told is in force for bursts that begin after.
        shared.floor.store(state->snapshot.version, std::memory_order_release);
    }
}

void BurstTorture::remove(std::size_t w, unsigned wait, bool drain) {
    operation const o{drain ? kind::drain : kind::remove, static_cast<std::uint8_t>(w), wait};
    std::uint16_t const port = shared.near[w];
    int const rc = drain ? rte_pmd_lagg_member_drain(shared.lagg, port, wait)
                         : rte_pmd_lagg_member_remove(shared.lagg, port, wait);
    expect(o, rc, {0, -ENOENT, -EINPROGRESS});
    if (rc != 0) {
        return;
    }
    ++removals;
    rte_eth_dev_owner owner{};
    rte_eth_dev_owner_get(port, &owner);
    if (owner.id != RTE_ETH_DEV_NO_OWNER) {
        shared.wrong.add("a member that left is owned still");
    }
    bursts_when_removed[w] = rte_pmd_wire_burst_count(port);
}

/// As if the NIC were taken out of its slot; another one like it is put in.
void BurstTorture::pull(std::size_t w) {
    // The counters of such a device end with it.  What it lost is known before: it loses nothing
    // more once its wire is whole, unless it drops what it has no carrier for.
    if (!is_member(w) || std::string(kinds_of_near[w]).find("down=drop") != std::string::npos) {
        return;
    }
    ++pulls;
    ASSERT_EQ(0, rte_pmd_wire_heal(shared.near[w]));
    note_near(w);
    ASSERT_EQ(0, rte_pmd_wire_surprise_remove(shared.near[w]));
    auto const deadline = clock::now() + 60s;
    auto const again = [&](char const* what) {
        ASSERT_LT(clock::now(), deadline) << what;
        std::unique_lock hold(pace_mutex);
        pace.wait_for(hold, 100us);
    };
    while (is_member(w)) { // the lagg closes it when no burst uses it
        again("the lagg keeps a device that is gone");
    }
    // It was leaving already, and the lagg was done with it?  Then it is ours to close.
    rte_vdev_uninit(wire[w].near_name.c_str());
    while (rte_vdev_init(wire[w].near_name.c_str(), wire[w].near_args.c_str()) != 0) {
        again("the bus keeps a device that is gone");
    }
    std::uint16_t port = 0;
    ASSERT_EQ(0, rte_eth_dev_get_port_by_name(wire[w].near_name.c_str(), &port));
    ASSERT_EQ(shared.near[w], port);
    bursts_when_removed[w] = 0;
}

void BurstTorture::calm(std::chrono::milliseconds ms) {
    std::unique_lock hold(pace_mutex);
    pace.wait_for(hold, ms);
}

void BurstTorture::restart() {
    ++restarts;
    for (auto& t : threads) {
        t->pause();
    }
    int rc = rte_eth_dev_stop(shared.lagg);
    expect({kind::restart, 0, 0}, rc, {0});
    // A start fails when a member's does, as it may have been told to; not for ever.
    for (int tries = 0; tries < 50 && (rc = rte_eth_dev_start(shared.lagg)) != 0; ++tries) {
    }
    expect({kind::restart, 0, 1}, rc, {0});
    for (auto& t : threads) {
        t->resume();
    }
}

void BurstTorture::change_lacp(std::uint32_t choice) {
    rte_pmd_lagg_lacp_conf c{};
    ASSERT_EQ(0, rte_pmd_lagg_lacp_get(shared.lagg, &c));
    c.fast = choice % 4 != 0;
    c.active = choice / 4 % 8 != 0;
    c.select = static_cast<rte_pmd_lagg_lacp_select>(choice / 32 % 3);
    c.mux = static_cast<rte_pmd_lagg_lacp_mux>(choice / 96 % 2);
    c.fallback = static_cast<rte_pmd_lagg_lacp_fallback>(choice / 192 % 3);
    c.fallback_delay_ms = choice % 50;
    c.max_links = choice / 600 % 3 == 0 ? 1 + choice % wires : 32;
    c.reorder_guard = choice / 2000 % 2 != 0;
    c.reorder_wait_ms = choice % 40;
    c.drain_wait_ms = choice % 30;
    c.system_priority = static_cast<std::uint16_t>(1 + choice % 3);
    expect({kind::lacp, 0, choice}, rte_pmd_lagg_lacp_set(shared.lagg, &c), {0});
}

void BurstTorture::carry_out(operation const& o) {
    std::uint16_t const lagg = shared.lagg;
    std::uint16_t const near = shared.near[o.wire];
    std::uint16_t const far = shared.far[o.wire];
    auto const settled = [&](int rc) { expect(o, rc, {0}); };
    // A member's driver may refuse what it was told to refuse.
    auto const refusable = [&](int rc) {
        expect(o, rc, {0, -EIO, -EINVAL, -ENOTSUP, -EBUSY, -ENODEV, -EAGAIN});
    };
    auto const wait = o.value % 4 == 0 ? 0 : o.value;
    auto const add = [&](std::uint16_t port, unsigned ms) {
        auto const w = static_cast<std::size_t>(shared.wire_of(port));
        if (bursts_when_removed[w] != 0 &&
            rte_pmd_wire_burst_count(port) != bursts_when_removed[w]) {
            shared.wrong.add("a burst came to a member after it had left");
        }
        bursts_when_removed[w] = 0;
        expect(o, rte_pmd_lagg_member_add(lagg, port, ms),
               {0, -EINPROGRESS, -EEXIST, -EBUSY, -EIO, -EINVAL});
    };
    ++done[static_cast<std::size_t>(o.what)];
    switch (o.what) {
    case kind::policy: {
        int const next = policy_at(policies++);
        settled(rte_pmd_lagg_policy_set(lagg, static_cast<rte_pmd_lagg_policy>(next)));
        switches.emplace(std::exchange(policy, next), next);
        if (next == RTE_PMD_LAGG_POLICY_LACP && o.value == 0) {
            calm(150ms);
        }
        break;
    }
    case kind::add: add(near, wait); break;
    case kind::remove: remove(o.wire, wait, false); break;
    case kind::drain: remove(o.wire, wait, true); break;
    case kind::add_all:
        for (std::uint16_t const port : shared.near) {
            add(port, 200);
        }
        break;
    case kind::remove_all:
        for (std::size_t w = 0; w < wires; ++w) {
            remove(w, 200, false);
        }
        break;
    case kind::hash: settled(rte_pmd_lagg_hash_set(lagg, 1 + o.value)); break;
    case kind::hash_seed: settled(rte_pmd_lagg_seed_set(lagg, o.value)); break;
    case kind::symmetric: settled(rte_pmd_lagg_symmetric_set(lagg, o.value != 0)); break;
    case kind::flowid: settled(rte_pmd_lagg_flowid_set(lagg, o.value != 0)); break;
    case kind::stride: settled(rte_pmd_lagg_stride_set(lagg, 1 + o.value / 4)); break;
    case kind::primary:
        settled(rte_pmd_lagg_primary_set(lagg,
                                         o.value == 0 ? nullptr : wire[o.wire].near_name.c_str()));
        break;
    case kind::failback:
        settled(rte_pmd_lagg_failback_set(lagg, static_cast<rte_pmd_lagg_failback>(o.value), 0));
        break;
    case kind::rx_all: settled(rte_pmd_lagg_rx_all_set(lagg, o.value != 0)); break;
    case kind::min_links: settled(rte_pmd_lagg_min_links_set(lagg, o.value)); break;
    case kind::delays: settled(rte_pmd_lagg_delays_set(lagg, o.value, o.value / 2)); break;
    case kind::weight:
        settled(rte_pmd_lagg_weight_set(lagg, wire[o.wire].near_name.c_str(), o.value));
        break;
    case kind::admin: settled(rte_pmd_lagg_admin_set(lagg, o.value != 0)); break;
    case kind::barrier: expect(o, rte_pmd_lagg_barrier(lagg, o.value), {0, -ETIMEDOUT}); break;
    case kind::cut: settled(rte_pmd_wire_cut(near)); break;
    case kind::heal:
        settled(rte_pmd_wire_heal(near));
        settled(rte_pmd_wire_refuse(near, UINT32_MAX));
        break;
    case kind::silence: settled(rte_pmd_wire_cut_tx_silent(near)); break;
    case kind::refuse: settled(rte_pmd_wire_refuse(near, o.value)); break;
    case kind::mtu:
        refusable(rte_eth_dev_set_mtu(lagg, static_cast<std::uint16_t>(1280 + o.value)));
        break;
    case kind::mac: {
        rte_ether_addr mac{{0x02, 0x1a, 0x99, 0, static_cast<std::uint8_t>(o.value >> 8),
                            static_cast<std::uint8_t>(o.value)}};
        refusable(rte_eth_dev_default_mac_addr_set(lagg, &mac));
        break;
    }
    case kind::promiscuous:
        refusable(o.value != 0 ? rte_eth_promiscuous_enable(lagg)
                               : rte_eth_promiscuous_disable(lagg));
        break;
    case kind::allmulticast:
        refusable(o.value != 0 ? rte_eth_allmulticast_enable(lagg)
                               : rte_eth_allmulticast_disable(lagg));
        break;
    case kind::lacp: change_lacp(o.value); break;
    case kind::lacp_member: {
        rte_pmd_lagg_lacp_member_conf c{};
        char const* const name = wire[o.wire].near_name.c_str();
        settled(rte_pmd_lagg_lacp_member_get(lagg, name, &c));
        c.priority = static_cast<std::uint16_t>(o.value);
        settled(rte_pmd_lagg_lacp_member_set(lagg, name, &c));
        break;
    }
    case kind::partner: {
        constexpr std::array<std::uint8_t, 8> lacking{0, 0, 0, 0, 0x08, 0x10, 0x30, 0x38};
        shared.partner_lacks[o.wire].store(lacking[o.value], std::memory_order_relaxed);
        break;
    }
    case kind::fail: {
        auto const op = static_cast<rte_pmd_wire_op>(o.value % RTE_PMD_WIRE_OP_COUNT);
        // A device that cannot stop may not be closed: its poison would be ours.
        if (op != RTE_PMD_WIRE_OP_STOP && op != RTE_PMD_WIRE_OP_CLOSE) {
            injected += o.value / 16 % 3 != 0;
            settled(rte_pmd_wire_fail_op(near, op, EIO, o.value / 16 % 3));
        }
        break;
    }
    case kind::pull: pull(o.wire); break;
    case kind::reprobe:
        remove(o.wire, 60'000, false);
        if (!is_member(o.wire)) {
            ++reprobes;
            close_near(o.wire);
            probe_near(o.wire);
        }
        break;
    case kind::rest:
        for (auto& t : threads) {
            t->pause();
        }
        calm(std::chrono::milliseconds(o.value));
        for (auto& t : threads) {
            t->resume();
        }
        break;
    case kind::restart: restart(); break;
    case kind::calm: calm(std::chrono::milliseconds(o.value)); break;
    case kind::count: break;
    }
    static_cast<void>(far);
}

void BurstTorture::torture(kind_set enabled, std::uint64_t brief) {
    std::uint64_t const seconds = number_from("LAGG_TORTURE_SECONDS", 0);
    std::uint64_t const limit =
        number_from("LAGG_TORTURE_OPS", seconds > 0 ? UINT64_MAX : brief / slowness);
    if (char const* const words = std::getenv("LAGG_TORTURE_KINDS")) {
        ASSERT_NE(0u, kinds_from(words)) << "LAGG_TORTURE_KINDS: no such kind";
        enabled &= kinds_from(words);
    }
    for (auto& t : threads) {
        t->start();
    }
    std::thread asking([this] { ask(); });

    auto const begin = clock::now();
    auto const until = begin + std::chrono::seconds(seconds);
    std::uint64_t operations = 0;
    while (operations < limit && (seconds == 0 || clock::now() < until) && !shared.wrong.any() &&
           !HasFatalFailure()) {
        operation const o = operation_at(seed, operations, enabled);
        auto const now = clock::now();
        std::snprintf(journal[operations % kept].text, sizeof journal[0].text,
                      "%8llu %9.3f ms  %s\n", static_cast<unsigned long long>(operations),
                      std::chrono::duration<double, std::milli>(now - begin).count(),
                      to_string(o).c_str());
        journal_length = ++operations;
        carry_out(o);
        // Half a second at 1 kHz, half a second as fast as it can.
        if ((now - begin) / 500ms % 2 == 0) {
            std::unique_lock hold(pace_mutex);
            pace.wait_until(hold, now + 1ms);
        }
    }
    double const took = std::chrono::duration<double>(clock::now() - begin).count();

    // Rest: nothing more is sent; every member runs and what is under way arrives.
    for (auto& t : threads) {
        t->pause();
    }
    quit_asking = true;
    asking.join();
    for (std::size_t w = 0; w < wires; ++w) {
        EXPECT_EQ(0, rte_pmd_wire_heal(shared.near[w]));
        EXPECT_EQ(0, rte_pmd_wire_refuse(shared.near[w], UINT32_MAX));
        for (int op = 0; op < RTE_PMD_WIRE_OP_COUNT; ++op) {
            rte_pmd_wire_fail_op(shared.near[w], static_cast<rte_pmd_wire_op>(op), EIO, 0);
        }
        int const rc = rte_pmd_lagg_member_remove(shared.lagg, shared.near[w], 60'000);
        EXPECT_TRUE(rc == 0 || rc == -ENOENT) << rc;
    }
    EXPECT_EQ(0, rte_pmd_lagg_admin_set(shared.lagg, true));
    EXPECT_EQ(0, rte_pmd_lagg_barrier(shared.lagg, 60'000));
    for (auto& t : threads) {
        t->resume();
    }
    for (auto& t : threads) {
        t->stop();
        t->drain();
    }
    sums all;
    for (auto& t : threads) {
        all += t->total();
        EXPECT_EQ(0u, t->missing()) << "mbufs that did not come back";
    }

    bool const may_switch = std::getenv("LAGG_TORTURE_KINDS") == nullptr;

    // Every counter that knows of a frame agrees with the books.
    auto const near = near_counters();
    auto const far = far_counters();
    auto x = xstats();
    rte_eth_stats stats{};
    EXPECT_EQ(0, rte_eth_stats_get(shared.lagg, &stats));
    EXPECT_EQ(all.taken, stats.opackets);
    EXPECT_EQ(all.given_back - all.turned_away, x["tx_given_back"]);
    EXPECT_EQ(all.delivered, stats.ipackets);
    std::uint64_t const control = x["control_sent_own_queue"] + x["control_sent_borrowed"] +
                                  x["control_handed_over"] - x["tx_dropped_control_frame"];
    std::uint64_t const copies_lost = x["tx_dropped_copy_refused"] + x["tx_dropped_copy_no_memory"];
    std::uint64_t const near_took =
        near.sent + near.lost_silent + near.lost_down + near.tx_too_long + near.tx_no_mbuf;
    if (pulls == 0) { // of a device that is gone nobody knows how much it took
        EXPECT_EQ(all.copies_due + control, near_took + copies_lost)
            << "frames that members took are those that the lagg says it gave them";
    }
    std::uint64_t const lost = near.lost_silent + near.lost_down + near.tx_too_long +
                               near.tx_no_mbuf + far.missed + far.filtered_mac + far.rx_too_long +
                               far.lost_stop + far.rx_dropped;
    EXPECT_EQ(all.copies_due + control - copies_lost - lost,
              all.copies_arrived + all.control_arrived)
        << "what did not arrive, a member has counted";
    std::uint64_t const far_took =
        far.sent + far.lost_silent + far.lost_down + far.tx_too_long + far.tx_no_mbuf;
    EXPECT_EQ(all.far_sent, far_took);
    std::uint64_t const steered = x["control_steered"];
    std::uint64_t const received =
        all.delivered + x["rx_slow_taken"] + x["rx_dropped_not_collecting"] +
        x["rx_dropped_foreign_unicast"] + x["rx_dropped_slow_no_room"] +
        x["rx_dropped_drain_no_room"] + x["rx_dropped_stash_full"] + steered;
    std::uint64_t const not_received =
        near.missed + near.filtered_mac + near.rx_too_long + near.lost_stop + near.rx_dropped;
    // What waited in a device that was pulled nobody counts; nor answers to LACPDUs that a member
    // left with, which control takes.
    std::uint64_t const uncounted = all.far_answers + pulls * 256 * (shared.queues + 1U);
    EXPECT_GE(far.sent, received + not_received);
    EXPECT_LE(far.sent, received + not_received + uncounted);
    EXPECT_EQ(0u, near.violations);
    EXPECT_EQ(1u, pmd::device::published_of(shared.lagg)->status.live_snapshots);
    if (may_switch && operations >= 500) {
        EXPECT_EQ(36u, switches.size()) << "every policy to every other";
    }
    for (std::size_t how = 0; how < shared.spreads.size(); ++how) {
        if (may_switch && operations >= 3000 && how != std::size_t(spread::by_flow_held)) {
            EXPECT_GT(shared.spreads[how].load(), 0u) << "spread " << how;
        }
    }
    if (may_switch && operations >= 8000) {
        EXPECT_GT(shared.lacp_bursts.load(), 0u) << "LACP never had members";
    }

    auto const say = [](char const* what, std::uint64_t n) {
        std::cout << "torture: " << what << ' ' << n << '\n';
    };
    std::cout << "torture: seconds " << took << '\n';
    say("seed", seed);
    say("threads", threads.size());
    say("operations", operations);
    say("versions", pmd::device::published_of(shared.lagg)->snapshot.version);
    say("versions-that-bursts-ran-on", shared.versions.seen());
    say("bursts", all.bursts);
    say("frames-offered", all.offered);
    say("frames-taken", all.taken);
    say("frames-given-back", all.given_back);
    say("frames-turned-away", all.turned_away);
    say("copies-due", all.copies_due);
    say("copies-arrived", all.copies_arrived);
    say("copies-counted-lost", copies_lost + lost - (control - all.control_arrived));
    say("control-frames-lost", control - all.control_arrived);
    say("frames-received", all.delivered);
    say("frames-from-far", all.far_sent);
    say("control-frames", control);
    say("lookups-stale", all.stale);
    say("removals", removals);
    say("reprobes", reprobes);
    say("pulls", pulls);
    say("restarts", restarts);
    say("failures-injected", injected);
    say("bursts-under-lacp-with-members", shared.lacp_bursts);
    say("policy-switches", policies);
    say("policy-pairs", switches.size());
    say("status-answers", answers);
    for (std::size_t how = 0; how < shared.spreads.size(); ++how) {
        static constexpr std::array names{"nobody",  "to_one",       "in_turn",
                                          "by_flow", "by_flow_held", "to_all"};
        std::cout << "torture: spread-" << names[how] << ' ' << shared.spreads[how].load() << '\n';
    }
    for (std::size_t k = 0; k < kinds; ++k) {
        std::cout << "torture: op-" << name_of(static_cast<kind>(k)) << ' ' << done[k] << '\n';
    }
}

TEST_F(BurstTorture, EveryFrameIsSentOnceOrGivenBackOrCountedWhateverChanges) {
    torture(all_kinds, 8000);
}

// Then every counter of every device is there in the end, and all add up exactly.
TEST_F(BurstTorture, EveryCounterAddsUpUnlessADeviceIsPulled) {
    torture(all_kinds & ~(kind_set{1} << static_cast<unsigned>(kind::pull)), 4000);
}

} // namespace
} // namespace lagg::torture
