// Everything at once: members that come, go, are closed and probed again with the same port id, a
// second lagg that is created and destroyed, links that flap, traffic on every CPU, and somebody
// who asks for status, counters and telemetry all the time.  No frame is lost, and no answer
// contradicts itself.
#include "consistent.h"
#include "telemetry_client.h"
#include "traffic.h"

#include <array>
#include <atomic>
#include <iostream>
#include <map>
#include <sstream>
#include <thread>

#include <pthread.h>
#include <sched.h>

namespace lagg::test {
namespace {

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define LAGG_TEST_SLOW 1
#endif
#endif
#ifdef LAGG_TEST_SLOW
constexpr int many = 10'000; // a sanitizer makes hours of what takes minutes
#else
constexpr int many = 100'000;
#endif

/// What the others keep step with: the cycles of the test's own thread.  Without, whoever asks
/// would take the CPUs, and the locks, that the storm needs.
class pace {
public:
    void next() {
        ++turn_;
        turn_.notify_all();
    }
    std::uint64_t turn() const { return turn_; }
    void wait(std::uint64_t turn) const { turn_.wait(turn); }

private:
    std::atomic<std::uint64_t> turn_{0};
};

/// A thread that does something `often` times a turn until stop().
class company {
public:
    company(pace& p, unsigned often, std::function<void()> what)
        : pace_(p), thread_([this, often, what = std::move(what)] { run(often, what); }) {}
    ~company() { stop(); }
    company(company const&) = delete;
    company& operator=(company const&) = delete;

    void stop() {
        quit_ = true;
        pace_.next();
        if (thread_.joinable()) {
            thread_.join();
        }
    }
    std::uint64_t done() const { return done_; }

private:
    void run(unsigned often, std::function<void()> const& what) {
        cpu_set_t all; // EAL keeps the test's own thread on one CPU
        CPU_ZERO(&all);
        for (int const cpu : cpus()) {
            CPU_SET(cpu, &all);
        }
        EXPECT_EQ(0, pthread_setaffinity_np(pthread_self(), sizeof all, &all));
        while (!quit_ && !testing::Test::HasFailure()) {
            std::uint64_t const turn = pace_.turn();
            for (unsigned i = 0; i < often && !quit_; ++i) {
                what();
                ++done_;
            }
            if (!quit_) {
                pace_.wait(turn);
            }
        }
    }

    pace& pace_;
    std::atomic<bool> quit_{false};
    std::atomic<std::uint64_t> done_{0};
    std::thread thread_;
};

std::string description(rte_pmd_lagg_status const& s) {
    std::ostringstream text;
    text << "version " << s.version << ", policy " << s.policy << ", started " << s.started
         << ", admin_up " << s.admin_up << ", link_up " << s.link_up;
    for (unsigned i = 0; i < s.nb_members; ++i) {
        auto const& m = s.members[i];
        text << "\n  " << m.name << ' ' << m.phase << ", link_up " << m.link_up << ", usable "
             << m.usable << ", collecting " << m.collecting << ", distributing " << m.distributing;
    }
    return text.str();
}

/// Of one port id over the life of several laggs.
class status_questions {
public:
    explicit status_questions(std::uint16_t lagg, bool always) : lagg_(lagg), always_(always) {}

    void operator()() {
        rte_pmd_lagg_status s{};
        int const rc = rte_pmd_lagg_status_get(lagg_, &s);
        if (rc != 0) {
            EXPECT_TRUE(!always_ && rc == -ENODEV) << rc;
            return;
        }
        EXPECT_EQ("", contradiction(s)) << description(s);
        EXPECT_TRUE(!always_ || s.version >= version_) << s.version << " after " << version_;
        version_ = s.version;
    }

private:
    std::uint16_t lagg_;
    bool always_;
    std::uint64_t version_ = 0;
};

class stats_questions {
public:
    explicit stats_questions(std::uint16_t lagg) : lagg_(lagg) {}

    void operator()() {
        rte_eth_stats s{};
        EXPECT_EQ(0, rte_eth_stats_get(lagg_, &s));
        using counter = std::uint64_t rte_eth_stats::*;
        for (counter const c :
             {&rte_eth_stats::ipackets, &rte_eth_stats::opackets, &rte_eth_stats::ibytes,
              &rte_eth_stats::obytes, &rte_eth_stats::imissed, &rte_eth_stats::ierrors,
              &rte_eth_stats::oerrors, &rte_eth_stats::rx_nombuf}) {
            EXPECT_GE(s.*c, last_.*c) << "a counter went back";
        }
#if RTE_VERSION < RTE_VERSION_NUM(25, 11, 0, 0) // later, xstats alone tell of queues
        std::uint64_t of_queues = 0;
        for (std::uint64_t const q : s.q_opackets) {
            of_queues += q;
        }
        EXPECT_LE(s.opackets, of_queues) << "queues are read after the sum";
#endif
        last_ = s;
    }

private:
    std::uint16_t lagg_;
    rte_eth_stats last_{};
};

class xstats_questions {
public:
    explicit xstats_questions(std::uint16_t lagg) : lagg_(lagg) {}

    void operator()() {
        int const n = rte_eth_xstats_get_names(lagg_, nullptr, 0);
        ASSERT_LT(0, n);
        auto const room = static_cast<unsigned>(n);
        std::vector<rte_eth_xstat_name> names(room);
        std::vector<rte_eth_xstat> values(room);
        if (rte_eth_xstats_get_names(lagg_, names.data(), room) != n ||
            rte_eth_xstats_get(lagg_, values.data(), room) != n) {
            return; // a member that joined for the first time has brought its own
        }
        std::map<std::string, std::uint64_t> now;
        for (rte_eth_xstat const& v : values) {
            ASSERT_LT(v.id, room);
            EXPECT_TRUE(now.emplace(names[v.id].name, v.value).second) << names[v.id].name;
        }
        for (auto const& [name, value] : last_) {
            ASSERT_TRUE(now.contains(name)) << name;
            EXPECT_TRUE(is_gauge(name) || now.at(name) >= value)
                << name << ": " << now.at(name) << " after " << value;
        }
        last_ = std::move(now);
    }

private:
    static bool is_gauge(std::string const& name) {
        return name == "snapshots_live" || name == "queues_in_burst" ||
               name == "fence_is_membarrier" || name.ends_with("_ms");
    }
    std::uint16_t lagg_;
    std::map<std::string, std::uint64_t> last_;
};

/// What must hold in an answer to /lagg/info; empty, or the first thing that does not.
std::string contradiction(json const& info) {
    std::uint64_t distributing = 0;
    std::uint64_t buckets = 0;
    std::uint64_t speed = 0;
    std::uint64_t members = 0;
    while (info.has("member_" + std::to_string(members))) {
        json const& m = info.at("member_" + std::to_string(members++));
        bool const sends = m.at("distributing").number() != 0;
        if (sends && (m.at("phase").text != "present" || m.at("collecting").number() == 0 ||
                      m.at("usable").number() == 0 || info.at("started").number() == 0)) {
            return "a distributing member is not collecting, usable and present";
        }
        if (!sends && m.at("buckets").number() != 0) {
            return "a member has buckets and does not distribute";
        }
        distributing += sends;
        buckets += m.at("buckets").number();
        speed += sends ? m.at("speed_mbps").number() : 0;
    }
    bool const by_flow = info.at("policy").text == "loadbalance";
    if (members != info.at("nb_members").number()) {
        return "members are missing";
    }
    if (buckets != (by_flow && distributing > 0 ? RTE_PMD_LAGG_BUCKETS : 0u)) {
        return "the table is not whole";
    }
    if ((info.at("link_up").number() != 0) != (distributing > 0)) {
        return "the link is not that of the members";
    }
    if (info.at("link_speed_mbps").number() != speed) {
        return "the speed is not that of the members";
    }
    return "";
}

/// `id`: a lagg that is always there; `other`: a port id that sometimes is one.
class telemetry_questions {
public:
    telemetry_questions(std::uint16_t id, std::uint16_t other) : id_(id), other_(other) {}

    void operator()() {
        ASSERT_TRUE(client_->ok());
        std::string const mine = std::to_string(id_);
        json const info = client_->ask("/lagg/info," + mine);
        ASSERT_TRUE(info.valid);
        EXPECT_EQ("", contradiction(info)) << "version " << info.at("version").text;
        EXPECT_GE(info.at("version").number(), version_);
        version_ = info.at("version").number();

        json const list = client_->ask("/lagg/list");
        EXPECT_TRUE(std::any_of(list.items.begin(), list.items.end(),
                                [&](json const& one) { return one.text == mine; }));
        json const sometimes = client_->ask("/lagg/info," + std::to_string(other_));
        ASSERT_TRUE(sometimes.valid);
        EXPECT_TRUE(sometimes.text == "null" || contradiction(sometimes).empty())
            << contradiction(sometimes);

        json const lacp = client_->ask("/lagg/lacp," + mine);
        EXPECT_EQ(0u, lacp.at("nb_ports").number()) << "no policy here is LACP";
        json const stats = client_->ask("/ethdev/stats," + mine);
        EXPECT_GE(stats.at("opackets").number(), sent_);
        sent_ = stats.at("opackets").number();
        json const link = client_->ask("/ethdev/link_status," + mine);
        EXPECT_TRUE(link.at("status").text == "UP" || link.at("status").text == "DOWN");
    }

private:
    std::uint16_t id_;
    std::uint16_t other_;
    std::unique_ptr<telemetry_client> client_ = std::make_unique<telemetry_client>();
    std::uint64_t version_ = 0;
    std::uint64_t sent_ = 0;
};

/// A member that is closed and probed again under its name.
class returning_device {
public:
    returning_device() { probe(); }
    ~returning_device() { close(); }
    returning_device(returning_device const&) = delete;
    returning_device& operator=(returning_device const&) = delete;

    std::uint16_t port() const { return port_; }
    std::uint64_t sent() const { return sent_ + rte_pmd_wire_sent(port_); }
    void probe_again() {
        close();
        std::uint16_t const was = port_;
        probe();
        ASSERT_EQ(was, port_);
    }

private:
    static constexpr char const* name_ = "net_wire_returning";
    void probe() {
        EXPECT_EQ(0, rte_vdev_init(name_, "check=1"));
        EXPECT_EQ(0, rte_eth_dev_get_port_by_name(name_, &port_));
    }
    void close() {
        EXPECT_EQ(0u, rte_pmd_wire_in_burst_violation_count(port_));
        sent_ += rte_pmd_wire_sent(port_);
        EXPECT_EQ(0, rte_vdev_uninit(name_));
    }
    std::uint16_t port_ = RTE_MAX_ETHPORTS;
    std::uint64_t sent_ = 0;
};

/// Cuts and heals the links of some wires in turn.
class flaps_of {
public:
    explicit flaps_of(std::vector<std::uint16_t> ports) : ports_(std::move(ports)) {}
    void operator()() {
        std::uint16_t const port = ports_[at_++ % ports_.size()];
        EXPECT_EQ(0, rte_pmd_wire_cut(port));
        std::this_thread::yield();
        EXPECT_EQ(0, rte_pmd_wire_heal(port));
    }

private:
    std::vector<std::uint16_t> ports_;
    std::size_t at_ = 0;
};

struct Storm : testing::Test {
    unsigned before = pool_level();
    vdev stays = sink("check=1");
    vdev flaps = sink("check=1");
    vdev x = sink("check=1");
    vdev y = sink("check=1");

    void TearDown() override {
        for (vdev const* v : {&stays, &flaps, &x, &y}) {
            EXPECT_EQ(0u, rte_pmd_wire_in_burst_violation_count(v->port()));
        }
        EXPECT_EQ(before, pool_level());
    }
    /// A lagg of its own over members whose links flap; gone when this returns.
    void create_and_destroy(int i, std::uint16_t id) {
        char const* const policies[] = {"roundrobin", "loadbalance", "failover", "none"};
        lagg_port second("policy=" + std::string(policies[i % 4]) + ",member=" + x.name() +
                         (i % 3 == 0 ? "" : ",member=" + y.name()));
        ASSERT_TRUE(second.ok());
        ASSERT_EQ(id, second.id());
        second.start();
        if (i % 3 == 0) {
            second.add(y.port());
        }
        // Few: who takes frames from the pool waits for whoever was preempted while he did.
        taken += send(second.id(), frames(8));
        if (i % 5 == 0) {
            second.remove(x.port());
        }
    }
    std::uint64_t taken = 0; // by the second lagg
};

TEST_F(Storm, MembersComeBackAndLaggsComeAndGoWhileEverybodyAsks) {
    returning_device comes;
    lagg_port lagg("policy=loadbalance,member=" + stays.name() + ",member=" + flaps.name());
    ASSERT_TRUE(lagg.ok());
    lagg.start(full_traffic::queues());
    std::uint16_t const other = [] {
        lagg_port const there("policy=none");
        return there.id();
    }();
    constexpr std::array policies{RTE_PMD_LAGG_POLICY_LOADBALANCE, RTE_PMD_LAGG_POLICY_ROUNDROBIN,
                                  RTE_PMD_LAGG_POLICY_FAILOVER};
    int const cycles = times(300, many);

    full_traffic t(lagg.id());
    pace p;
    company links(p, 2, flaps_of({flaps.port(), x.port(), y.port()}));
    company status(p, 50, status_questions(lagg.id(), true));
    company status_of_other(p, 50, status_questions(other, false));
    company stats(p, 20, stats_questions(lagg.id()));
    company xstats(p, 4, xstats_questions(lagg.id()));
    auto const asked = std::make_shared<telemetry_questions>(lagg.id(), other);
    company telemetry(p, 1, [asked] { (*asked)(); });
    auto const all = {&links, &status, &status_of_other, &stats, &xstats, &telemetry};

    for (int i = 0; i < cycles && !HasFailure(); ++i) {
        p.next();
        ASSERT_EQ(0, rte_pmd_lagg_policy_set(
                         lagg.id(), policies[static_cast<std::size_t>(i) % policies.size()]));
        lagg.add(comes.port());
        if (i % 16 == 0) {
            t.rounds(1);
        }
        lagg.remove(comes.port());
        comes.probe_again();
        if (i % 16 == 0) {
            create_and_destroy(i / 16, other);
        }
    }
    for (company* const one : all) {
        wait_until([one] { return one->done() > 0 || HasFailure(); }, "an answer");
        one->stop();
    }
    t.stop();
    EXPECT_EQ(0u, t.wrong());
    EXPECT_EQ(t.taken(), lagg.stats().opackets);
    EXPECT_EQ(t.taken(),
              rte_pmd_wire_sent(stays.port()) + rte_pmd_wire_sent(flaps.port()) + comes.sent());
    EXPECT_EQ(t.offered() - t.taken(), lagg.xstat("tx_given_back"));
    EXPECT_EQ(taken, rte_pmd_wire_sent(x.port()) + rte_pmd_wire_sent(y.port()));
    lagg.until([](auto const& s) { return s.live_snapshots == 1; });
    std::cout << "storm: cycles-of-add-remove-close-probe " << cycles
              << "\nstorm: laggs-created-and-destroyed " << (cycles + 15) / 16
              << "\nstorm: link-flaps " << links.done() << "\nstorm: frames-offered " << t.offered()
              << "\nstorm: frames-taken " << t.taken() << "\nstorm: status-answers "
              << status.done() + status_of_other.done() << "\nstorm: stats-answers " << stats.done()
              << "\nstorm: xstats-answers " << xstats.done()
              << "\nstorm: telemetry-rounds-of-6-answers " << telemetry.done() << '\n';
}

} // namespace
} // namespace lagg::test
