// Everything at once, under every policy: members that come, go, are closed and probed again with
// the same port id, a second lagg that is created and destroyed, links that flap, a partner that
// answers LACP, traffic on every CPU, and somebody who asks for status, counters, LACP and
// telemetry all the time.  No frame is lost, and no answer contradicts itself.
#include "consistent.h"
#include "partner.h"
#include "telemetry_client.h"
#include "traffic.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <iostream>
#include <map>
#include <span>
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
        if (auto const whole = pmd::device::published_of(lagg_); whole != nullptr) {
            EXPECT_EQ("", contradiction(*whole)) << description(whole->status);
        }
    }

private:
    std::uint16_t lagg_;
    bool always_;
    std::uint64_t version_ = 0;
};

/// Of members that have LACP now and then.
class lacp_questions {
public:
    lacp_questions(std::uint16_t lagg, std::vector<std::uint16_t> members)
        : lagg_(lagg), members_(std::move(members)) {}

    void operator()() {
        std::uint16_t const member = members_[at_++ % members_.size()];
        rte_pmd_lagg_lacp_info info{};
        int const rc = rte_pmd_lagg_lacp_info_get(lagg_, member, &info);
        if (rc != 0) {
            EXPECT_EQ(-ENOENT, rc);
            return;
        }
        EXPECT_EQ("", contradiction(info))
            << "member " << member << ": receive " << info.receive << ", mux " << info.mux
            << ", selection " << info.selection << ", state " << unsigned(info.actor.state);
    }

private:
    std::uint16_t lagg_;
    std::vector<std::uint16_t> members_;
    std::size_t at_ = 0;
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
    bool const by_flow =
        info.at("policy").text == "loadbalance" || info.at("policy").text == "lacp";
    if (members != info.at("nb_members").number()) {
        return "members are missing";
    }
    bool const held = info.at("spread").text == "by_flow_held"; // some belong to nobody
    std::uint64_t const whole = by_flow && distributing > 0 ? RTE_PMD_LAGG_BUCKETS : 0U;
    if (held ? buckets > whole : buckets != whole) {
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

/// The same of an answer to /lagg/lacp.
std::string lacp_contradiction(json const& lacp) {
    std::uint64_t ports = 0;
    for (auto const& [name, p] : lacp.fields) {
        if (!name.starts_with("member_")) {
            continue;
        }
        ++ports;
        unsigned expected = 0;
        if (!bits_of_mux(p.at("mux").text, expected)) {
            return "no mux machine is " + p.at("mux").text;
        }
        std::string words(1, ' '); // gcc 12 warns of an overlap in " " + text + " "
        words.append(p.at("actor_state").text).append(1, ' ');
        auto const says = [&](char const* word, unsigned bit) {
            return (words.find(word) != words.npos) == ((expected & bit) != 0);
        };
        if (!says(" synchronization ", RTE_PMD_LAGG_LACP_SYNCHRONIZATION) ||
            !says(" collecting ", RTE_PMD_LAGG_LACP_COLLECTING) ||
            !says(" distributing ", RTE_PMD_LAGG_LACP_DISTRIBUTING)) {
            return "state" + words + "of a mux machine that is " + p.at("mux").text;
        }
        if (p.at("receive").text == "current" && p.at("LACPDUsRx").number() == 0) {
            return "a port knows its partner and has not heard it";
        }
    }
    if (ports != lacp.at("nb_ports").number()) {
        return "ports are missing";
    }
    if (ports != 0 && lacp.at("policy").text != "lacp") {
        return "LACP runs under another policy";
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
        ASSERT_TRUE(lacp.valid);
        EXPECT_EQ("", lacp_contradiction(lacp));
        with_lacp_ += lacp.at("nb_ports").number() != 0;
        json const stats = client_->ask("/ethdev/stats," + mine);
        EXPECT_GE(stats.at("opackets").number(), sent_);
        sent_ = stats.at("opackets").number();
        json const link = client_->ask("/ethdev/link_status," + mine);
        EXPECT_TRUE(link.at("status").text == "UP" || link.at("status").text == "DOWN");
    }

    /// Answers about LACP that had a port in it.
    std::uint64_t with_lacp() const { return with_lacp_; }

private:
    std::uint16_t id_;
    std::uint16_t other_;
    std::uint64_t with_lacp_ = 0;
    std::unique_ptr<telemetry_client> client_ = std::make_unique<telemetry_client>();
    std::uint64_t version_ = 0;
    std::uint64_t sent_ = 0;
};

/// A member that is closed and probed again under its name; its peer stays.
class returning_device {
public:
    explicit returning_device(std::string const& args) : args_(args) { probe(); }
    ~returning_device() { close(); }
    returning_device(returning_device const&) = delete;
    returning_device& operator=(returning_device const&) = delete;

    std::uint16_t port() const { return port_; }
    std::string name() const { return name_; }
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
        EXPECT_EQ(0, rte_vdev_init(name_, args_.c_str()));
        EXPECT_EQ(0, rte_eth_dev_get_port_by_name(name_, &port_));
    }
    void close() {
        EXPECT_EQ(0u, rte_pmd_wire_in_burst_violation_count(port_));
        sent_ += rte_pmd_wire_sent(port_);
        EXPECT_EQ(0, rte_vdev_uninit(name_));
    }
    std::string const args_;
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

/// One LACP conversation out of so many is waited for to its end; the others are cut short.
auto const patience = static_cast<std::uint64_t>(times(20, 1200));

/// What the storm did; rows of the report.
struct figures {
    std::uint64_t cycles = 0;
    std::uint64_t laggs = 0;
    std::uint64_t lacp_cycles = 0;
    std::uint64_t negotiated = 0;        // cycles in which all three members distributed
    std::uint64_t left_distributing = 0; // cycles whose member distributed when it left
    std::uint64_t laggs_with_lacp = 0;   // second laggs whose LACP came up
};

struct Storm : testing::Test {
    static std::uint16_t far_queues() { // one each, and control's
        return static_cast<std::uint16_t>(full_traffic::queues() + 1);
    }
    unsigned before = pool_level();
    wire_pair stays = wire("check=1", far_queues());
    wire_pair flaps = wire("check=1", far_queues());
    wire_pair x = wire("check=1", far_queues());
    wire_pair y = wire("check=1", far_queues());
    vdev far_of_comes;
    std::unique_ptr<lacp_partner> partner;

    void SetUp() override {
        far_of_comes = vdev("net_wire", "");
        bring_up(far_of_comes.port(), far_queues());
        rte_eth_promiscuous_enable(far_of_comes.port());
        partner = std::make_unique<lacp_partner>(std::vector{stays.far.port(), flaps.far.port(),
                                                             x.far.port(), y.far.port(),
                                                             far_of_comes.port()},
                                                 far_queues());
    }
    void TearDown() override {
        partner.reset();
        for (wire_pair* const w : {&stays, &flaps, &x, &y}) {
            EXPECT_EQ(0u, rte_pmd_wire_in_burst_violation_count(w->near.port()));
            w->near.close();
            w->far.close();
        }
        far_of_comes.close();
        EXPECT_EQ(before, pool_level());
    }

    static unsigned distributing(rte_pmd_lagg_status const& s) {
        return static_cast<unsigned>(std::count_if(s.members, s.members + s.nb_members,
                                                   [](auto const& m) { return m.distributing; }));
    }
    /// Waits for `what`; control has a turn between two looks of the partner.
    bool while_partner_answers(lagg_port const& lagg, std::function<bool()> const& what) const {
        auto const deadline = std::chrono::steady_clock::now() + std::chrono::minutes(1);
        for (;;) {
            partner->answer();
            if (what()) {
                return true;
            }
            if (HasFailure() || std::chrono::steady_clock::now() > deadline) {
                ADD_FAILURE() << "did not come true\n" << description(lagg.status());
                return false;
            }
            lagg.settle();
        }
    }
    /// Whether `n` members of the lagg have come to distribute.
    bool come_to_distribute(lagg_port const& lagg, unsigned n) const {
        return while_partner_answers(lagg, [&] { return distributing(lagg.status()) >= n; });
    }

    /// A lagg of its own over members whose links flap; gone when this returns.
    void create_and_destroy(std::uint64_t i, std::uint16_t id) {
        char const* const policies[] = {"roundrobin", "lacp", "loadbalance",
                                        "failover",   "none", "broadcast"};
        std::string const policy = policies[i % std::size(policies)];
        lagg_port second("policy=" + policy + ",lacp_wait_while=0,member=" + x.near.name() +
                         (i % 5 < 2 ? "" : ",member=" + y.near.name()));
        ASSERT_TRUE(second.ok());
        ASSERT_EQ(id, second.id());
        second.start(full_traffic::queues());
        if (i % 5 < 2) {
            second.add(y.near.port());
        }
        if (policy == "lacp" && i % patience == 1) { // nobody flaps meanwhile
            done.laggs_with_lacp += come_to_distribute(second, 2);
        }
        // Few: who takes frames from the pool waits for whoever was preempted while he did.
        std::uint16_t const n = send(second.id(), frames(8));
        (policy == "broadcast" ? taken_twice : taken) += n;
        if (i % 7 == 0) {
            second.remove(x.near.port());
        }
        ++done.laggs;
    }

    /// `policies`: one a cycle, in turn.
    void rage(std::span<rte_pmd_lagg_policy const> policies, int cycles);

    figures done;
    std::uint64_t taken = 0;       // by second laggs
    std::uint64_t taken_twice = 0; // by those that copy, at most
};

void Storm::rage(std::span<rte_pmd_lagg_policy const> policies, int cycles) {
    bool const copies = std::find(policies.begin(), policies.end(),
                                  RTE_PMD_LAGG_POLICY_BROADCAST) != policies.end();
    returning_device comes("check=1,peer=" + far_of_comes.name());
    lagg_port lagg("policy=none,lacp_wait_while=0,member=" + stays.near.name() +
                   ",member=" + flaps.near.name());
    ASSERT_TRUE(lagg.ok());
    lagg.start(full_traffic::queues());
    std::uint16_t const other = [] {
        lagg_port const there("policy=none");
        return there.id();
    }();

    full_traffic t(lagg.id());
    pace p;
    company links(p, 2, flaps_of({flaps.near.port(), x.near.port(), y.near.port()}));
    company status(p, 50, status_questions(lagg.id(), true));
    company status_of_other(p, 50, status_questions(other, false));
    company stats(p, 20, stats_questions(lagg.id()));
    company xstats(p, 4, xstats_questions(lagg.id()));
    company lacp(p, 50,
                 lacp_questions(lagg.id(), {stays.near.port(), flaps.near.port(), comes.port()}));
    auto const asked = std::make_shared<telemetry_questions>(lagg.id(), other);
    company telemetry(p, 1, [asked] { (*asked)(); });
    company far(p, 20, [this] { partner->take_data(); });
    auto const all = {&links, &status, &status_of_other, &stats, &xstats, &lacp, &telemetry, &far};

    for (int i = 0; i < cycles && !HasFailure(); ++i) {
        auto const policy = policies[static_cast<std::size_t>(i) % policies.size()];
        p.next();
        partner->answer();
        ASSERT_EQ(0, rte_pmd_lagg_policy_set(lagg.id(), policy));
        lagg.add(comes.port());
        if (policy == RTE_PMD_LAGG_POLICY_LACP) {
            ++done.lacp_cycles;
            if (done.lacp_cycles % patience == 1) {
                done.negotiated += come_to_distribute(lagg, 3);
                std::uint64_t const sent = comes.sent();
                while_partner_answers(lagg, [&] {
                    p.next(); // the far ends take what fills the wires
                    return comes.sent() > sent + 16;
                });
            }
            done.left_distributing += lagg.member(comes.port()).distributing;
        }
        if (i % 16 == 0) {
            t.rounds(1);
        }
        lagg.remove(comes.port());
        comes.probe_again();
        if (i % 16 == 0) {
            create_and_destroy(done.laggs, other);
        }
        ++done.cycles;
    }
    for (company* const one : all) {
        wait_until([one] { return one->done() > 0 || HasFailure(); }, "an answer");
        one->stop();
    }
    t.stop();
    EXPECT_EQ(0u, t.wrong());
    EXPECT_EQ(t.taken(), lagg.stats().opackets);
    // A burst that meets a queue that control has borrowed for a Marker gives all back, uncounted.
    EXPECT_GE(t.offered() - t.taken(), lagg.xstat("tx_given_back"));
    std::uint64_t const lost =
        lagg.xstat("tx_dropped_copy_refused") + lagg.xstat("tx_dropped_copy_no_memory");
    lagg.until([](auto const& s) { return s.live_snapshots == 1; });
    EXPECT_LT(0u, done.negotiated);
    EXPECT_LT(0u, done.left_distributing);
    EXPECT_LT(0u, done.laggs_with_lacp);
    EXPECT_TRUE(cycles < 100 || asked->with_lacp() > 0);
    std::uint64_t members_sent = 0;
    for (std::string const& name : {stays.near.name(), flaps.near.name(), comes.name()}) {
        members_sent += lagg.xstat("member_" + name + "_tx_packets");
    }
    // Busy: control had no CPU for so long that it seemed that a burst still ran.
    wait_until([&] { return rte_eth_dev_stop(lagg.id()) != -EBUSY; }, "a stop");
    lagg.destroy();

    // What members took is at their far ends, and nothing else is: what the lagg says it gave them,
    // and what control did.
    std::uint64_t const near_sent =
        rte_pmd_wire_sent(stays.near.port()) + rte_pmd_wire_sent(flaps.near.port()) +
        rte_pmd_wire_sent(x.near.port()) + rte_pmd_wire_sent(y.near.port()) + comes.sent();
    partner->answer();
    while (partner->take_data()) { // nobody sends any more
    }
    EXPECT_EQ(near_sent, partner->data() + partner->heard());
    EXPECT_EQ(0u, partner->unreadable());
    std::uint64_t const of_second = partner->data_of(x.far.port()) + partner->data_of(y.far.port());
    std::uint64_t const of_first = partner->data() - of_second;
    EXPECT_LE(taken + taken_twice, of_second);
    EXPECT_GE(taken + 2 * taken_twice, of_second);
    EXPECT_EQ(members_sent, of_first);
    if (copies) {
        EXPECT_LE(t.taken(), of_first + lost);
    } else {
        EXPECT_EQ(t.taken(), of_first);
        EXPECT_EQ(0u, lost);
    }
    std::cout << "storm: cycles-of-add-remove-close-probe " << done.cycles
              << "\nstorm: laggs-created-and-destroyed " << done.laggs << "\nstorm: link-flaps "
              << links.done() << "\nstorm: frames-offered " << t.offered()
              << "\nstorm: frames-taken " << t.taken() << "\nstorm: frames-arrived " << of_first
              << "\nstorm: cycles-under-lacp " << done.lacp_cycles
              << "\nstorm: cycles-whose-members-all-distributed-under-lacp " << done.negotiated
              << "\nstorm: cycles-whose-member-left-distributing-under-lacp "
              << done.left_distributing << "\nstorm: laggs-destroyed-while-lacp-distributed "
              << done.laggs_with_lacp << "\nstorm: lacp-frames-heard-by-the-partner "
              << partner->heard() << "\nstorm: lacp-answers-of-the-partner " << partner->answers()
              << "\nstorm: status-answers " << status.done() + status_of_other.done()
              << "\nstorm: lacp-status-answers " << lacp.done() << "\nstorm: stats-answers "
              << stats.done() << "\nstorm: xstats-answers " << xstats.done()
              << "\nstorm: telemetry-rounds-of-6-answers " << telemetry.done()
              << "\nstorm: telemetry-answers-with-lacp-ports " << asked->with_lacp() << '\n';
}

// Every frame that is taken arrives, once.
TEST_F(Storm, MembersComeBackAndLaggsComeAndGoWhileEverybodyAsks) {
    constexpr std::array policies{RTE_PMD_LAGG_POLICY_LOADBALANCE, RTE_PMD_LAGG_POLICY_LACP,
                                  RTE_PMD_LAGG_POLICY_ROUNDROBIN,  RTE_PMD_LAGG_POLICY_LACP,
                                  RTE_PMD_LAGG_POLICY_FAILOVER,    RTE_PMD_LAGG_POLICY_LACP,
                                  RTE_PMD_LAGG_POLICY_NONE,        RTE_PMD_LAGG_POLICY_LACP};
    rage(policies, times(300, many));
}

// Each at least once, and the members' books say how often.
TEST_F(Storm, AlsoWhereFramesAreCopied) {
    constexpr std::array policies{RTE_PMD_LAGG_POLICY_BROADCAST, RTE_PMD_LAGG_POLICY_LACP,
                                  RTE_PMD_LAGG_POLICY_BROADCAST, RTE_PMD_LAGG_POLICY_LOADBALANCE};
    rage(policies, times(60, many / 10));
}

} // namespace
} // namespace lagg::test
