// Inside a guest: how long, and for how many frames, does a sender go on to a NIC whose link went
// down, from the driver's link event to the last frame that the bond put on that NIC?
// Time is the guest's TSC, and frames are seen where a bond hands them to the member, so it matters
// neither how long the emulation takes to tell of the cut nor when a frame arrives outside.
//
//   bench-nic-failover EAL WORDS -- CUTS SWITCH PORT PORT
//
// SWITCH: a file that "off N" and "on N" are written to; somebody then switches the link of the
// Nth port.  Prints a line of JSON for how fast a thread is woken here, and one for each case;
// "silent" is a driver that says it tells of its link and does not.
#include "rte_pmd_lagg.h"
#include "support/contender.h"
#include "support/frame_builder.h"
#include "support/setup.h"

#include <ethdev_driver.h>
#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_eth_bond.h>
#include <rte_ethdev.h>
#include <rte_lcore.h>
#include <rte_mbuf.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

namespace bench {
namespace {

using namespace std::chrono_literals;

constexpr std::uint16_t burst = 4;
constexpr double interval = 50e-6; // seconds from burst to burst; emulated cards keep up with it
constexpr auto period = 10ms;      // at which both PMDs look at links that nobody tells of
constexpr auto hardly_ever = 60s;  // and net_lagg at the others: drivers are to tell
constexpr auto glance = 200us;     // at which somebody else looks, to know when there was a loss
constexpr double over = 0.1;       // seconds without a frame on the dead member
constexpr double give_up = 1.0;    // seconds
constexpr double patience = 5.0;   // seconds for the driver's event, however slow the guest
constexpr unsigned wakes = 101;

std::uint64_t ticks(double seconds) {
    return static_cast<std::uint64_t>(seconds * static_cast<double>(rte_get_tsc_hz()));
}

double us_between(std::uint64_t from, std::uint64_t to) {
    return to <= from
               ? 0
               : static_cast<double>(to - from) * 1e6 / static_cast<double>(rte_get_tsc_hz());
}

/// A thread beside the sender's CPU, where control and the drivers' interrupts are, too.
class control_thread {
public:
    explicit control_thread(std::function<void()> body) : body_(std::move(body)) {
        must(rte_ctrl_thread_create(&thread_, "bench", nullptr, main, this), "a thread");
    }
    ~control_thread() { pthread_join(thread_, nullptr); }
    control_thread(control_thread const&) = delete;
    control_thread& operator=(control_thread const&) = delete;

private:
    static void* main(void* self) {
        static_cast<control_thread*>(self)->body_();
        return nullptr;
    }

    std::function<void()> body_;
    pthread_t thread_{};
};

/// A member, as the sender and its driver see it.
struct member {
    std::uint16_t port = 0;
    rte_eth_rxtx_callback const* callback = nullptr;
    std::uint64_t put = 0;               // frames that the bond handed over; sender
    std::uint64_t late = 0;              // of these, after the event; sender
    std::uint64_t last = 0;              // when it did so last; sender
    std::atomic<std::uint64_t> event{0}; // [link-event] when its link was first said to be lost
    std::atomic<bool> waiting{false};    // [link-wanted] for that event

    static std::uint16_t on_send(std::uint16_t /*port*/, std::uint16_t /*queue*/,
                                 rte_mbuf** /*frames*/, std::uint16_t count, void* self) {
        auto& m = *static_cast<member*>(self);
        m.put += count;
        m.late += m.event.load(std::memory_order_acquire) != 0 ? count : 0; // [link-event]
        m.last = rte_rdtsc();
        return count;
    }

    static int on_event(std::uint16_t port, rte_eth_event_type /*type*/, void* self,
                        void* /*more*/) {
        rte_eth_link link{};
        rte_eth_linkstatus_get(&rte_eth_devices[port], &link);
        if (link.link_status == RTE_ETH_LINK_DOWN) {
            static_cast<member*>(self)->lost();
        }
        return 0;
    }

    void lost() {
        // [link-wanted] acquire: that event is 0 again
        if (waiting.exchange(false, std::memory_order_acquire)) {
            event.store(rte_rdtsc(), std::memory_order_release); // [link-event]
        }
    }

    void expect_loss() {
        event.store(0, std::memory_order_relaxed);
        waiting.store(true, std::memory_order_release); // [link-wanted]
    }
};

std::array<member, 2> members;
std::string switch_file;

void switch_link(std::size_t which, bool on) {
    int const fd = must(open(switch_file.c_str(), O_WRONLY | O_NOCTTY | O_CLOEXEC), switch_file);
    std::string const line = (on ? "on " : "off ") + std::to_string(which) + "\n";
    if (write(fd, line.data(), line.size()) != static_cast<ssize_t>(line.size())) {
        fail("cannot write to " + switch_file);
    }
    close(fd);
}

rte_mempool* pool() {
    static rte_mempool* const p =
        rte_pktmbuf_pool_create("failover", 4095, 64, 0, 9600 + 128, SOCKET_ID_ANY);
    return p != nullptr ? p : (fail("no memory for frames"), nullptr);
}

struct test_case {
    bool told = true; // by link events; else members are polled
    pmd which = pmd::net_lagg;
    std::string policy;
};

/// A bond over both members.
class stand {
public:
    explicit stand(test_case const& c);
    ~stand();
    stand(stand const&) = delete;
    stand& operator=(stand const&) = delete;

    bool both_work() const;
    /// A burst, when its time has come.
    void send();

private:
    test_case case_;
    std::string name_;
    std::uint16_t port_ = 0;
    std::vector<lagg::test::bytes> models_;
    std::size_t at_ = 0;
    std::uint64_t due_ = 0;
};

stand::stand(test_case const& c) : case_(c) {
    static unsigned number = 0;
    bool const lagg = c.which == pmd::net_lagg;
    name_ = (lagg ? "net_lagg" : "net_bonding") + std::to_string(number++);
    if (lagg) {
        std::chrono::milliseconds const looks = c.told ? hardly_ever : period;
        std::string const args =
            "seed=1,lsc_poll_period_ms=" + std::to_string(looks.count()) + ",policy=" + c.policy;
        port_ = static_cast<std::uint16_t>(
            must(rte_pmd_lagg_create(name_.c_str(), args.c_str()), "create net_lagg"));
    } else {
        int const mode = c.policy == "failover" ? BONDING_MODE_ACTIVE_BACKUP : BONDING_MODE_BALANCE;
        port_ = static_cast<std::uint16_t>(must(
            rte_eth_bond_create(name_.c_str(), static_cast<std::uint8_t>(mode), 0), "net_bonding"));
        must(rte_eth_bond_xmit_policy_set(port_, BALANCE_XMIT_POLICY_LAYER34), "xmit policy");
        must(rte_eth_bond_link_monitoring_set(port_, static_cast<std::uint32_t>(period.count())),
             "monitoring");
    }
    for (auto& m : members) {
        // Without it a bond believes that the driver tells nothing, and polls.
        std::uint32_t& flags = rte_eth_devices[m.port].data->dev_flags;
        flags =
            c.told ? flags | RTE_ETH_DEV_INTR_LSC : flags & ~std::uint32_t{RTE_ETH_DEV_INTR_LSC};
        must(lagg ? rte_pmd_lagg_member_add(port_, m.port, 10'000)
                  : rte_eth_bond_slave_add(port_, m.port), // net_bonding's own word
             "add a member");
    }
    rte_eth_conf const conf{};
    must(rte_eth_dev_configure(port_, 1, 1, &conf), "configure");
    must(rte_eth_rx_queue_setup(port_, 0, 256, SOCKET_ID_ANY, nullptr, pool()), "rx queue");
    must(rte_eth_tx_queue_setup(port_, 0, 512, SOCKET_ID_ANY, nullptr), "tx queue");
    must(rte_eth_dev_start(port_), "start");
    for (auto& m : members) {
        m.callback = rte_eth_add_tx_callback(m.port, 0, member::on_send, &m);
        if (m.callback == nullptr) {
            fail("no callback on a member");
        }
    }
    for (std::uint16_t flow = 0; flow < 64; ++flow) {
        models_.push_back(lagg::test::frame_builder{}
                              .eth(lagg::test::mac(1), lagg::test::mac(2))
                              .ipv4(0xc612'0001U + flow, 0xc613'0001U)
                              .udp(static_cast<std::uint16_t>(5000 + flow), 9)
                              .pad_to(60)
                              .build());
    }
}

stand::~stand() {
    for (auto& m : members) {
        rte_eth_remove_tx_callback(m.port, 0, m.callback);
    }
    must(rte_eth_dev_stop(port_), "stop");
    if (case_.which == pmd::net_lagg) {
        must(rte_pmd_lagg_destroy(port_), "destroy net_lagg");
    } else {
        for (auto const& m : members) {
            must(rte_eth_bond_slave_remove(port_, m.port), "remove from net_bonding");
        }
        must(rte_eth_bond_free(name_.c_str()), "free net_bonding");
    }
    for (auto const& m : members) {
        rte_eth_dev_stop(m.port);
    }
}

bool stand::both_work() const {
    if (case_.which == pmd::net_bonding) {
        std::uint16_t active[RTE_MAX_ETHPORTS];
        return rte_eth_bond_active_slaves_get(port_, active, RTE_MAX_ETHPORTS) == 2;
    }
    rte_pmd_lagg_status s{};
    must(rte_pmd_lagg_status_get(port_, &s), "status");
    return s.link_up && s.nb_members == 2 && s.members[0].usable && s.members[1].usable;
}

void stand::send() {
    std::uint64_t const now = rte_rdtsc();
    if (now < due_) {
        return;
    }
    due_ = now + ticks(interval);
    rte_mbuf* frames[burst];
    if (rte_pktmbuf_alloc_bulk(pool(), frames, burst) != 0) {
        return; // the members hold them all for the moment
    }
    for (auto* const frame : frames) {
        auto const& model = models_[at_++ % models_.size()];
        std::memcpy(rte_pktmbuf_append(frame, static_cast<std::uint16_t>(model.size())),
                    model.data(), model.size());
    }
    std::uint16_t const taken = rte_eth_tx_burst(port_, 0, frames, burst);
    rte_pktmbuf_free_bulk(frames + taken, static_cast<unsigned>(burst - taken));
}

struct gap {
    double us = 0;
    std::uint64_t frames = 0;
    double kpps = 0;
    bool never = false;
    bool silent = false; // the driver has not told
};

void wait_until_both_work(stand& on) {
    std::uint64_t const begin = rte_rdtsc();
    while (!on.both_work()) {
        on.send();
        if (rte_rdtsc() - begin > ticks(30)) {
            fail("not both members work");
        }
    }
    for (std::uint64_t const now = rte_rdtsc(); rte_rdtsc() - now < ticks(0.2);) {
        on.send();
    }
}

/// The sender is the main lcore.
gap measure(stand& on, bool told) {
    wait_until_both_work(on);
    std::array<std::uint64_t, 2> const first{members[0].put, members[1].put};
    std::uint64_t const warm_from = rte_rdtsc();
    while (rte_rdtsc() - warm_from < ticks(0.1)) {
        on.send();
    }
    std::array<std::uint64_t, 2> const grown{members[0].put - first[0], members[1].put - first[1]};
    std::size_t const which = grown[1] > grown[0] ? 1 : 0;
    member& dead = members[which];
    gap g;
    g.kpps = static_cast<double>(grown[0] + grown[1]) * 1e3 / us_between(warm_from, rte_rdtsc());

    dead.late = 0;
    dead.expect_loss();
    control_thread cutter([&] {
        switch_link(which, false);
        rte_eth_link link{};
        // [link-wanted] relaxed: only whether to go on looking
        while (!told && dead.waiting.load(std::memory_order_relaxed)) {
            rte_eth_link_get_nowait(dead.port, &link);
            if (link.link_status == RTE_ETH_LINK_DOWN) {
                dead.lost();
            }
            std::this_thread::sleep_for(glance);
        }
    });
    std::uint64_t const asked = rte_rdtsc();
    std::uint64_t event = 0;
    std::uint64_t last = 0;
    for (;;) {
        event = dead.event.load(std::memory_order_acquire); // [link-event]
        std::uint64_t const now = rte_rdtsc();
        if (event == 0 && now - asked > ticks(patience)) {
            g.silent = true;
            dead.waiting.store(false, std::memory_order_relaxed); // [link-wanted] whoever looks
            break;
        }
        on.send();
        if (event == 0) {
            continue;
        }
        last = std::max(dead.last, event);
        if (now > last && now - last > ticks(over)) {
            break;
        }
        if (now > event && now - event > ticks(give_up)) {
            g.never = true;
            break;
        }
    }
    g.us = us_between(event, last);
    g.frames = dead.late;
    switch_link(which, true);
    return g;
}

template<class Values>
void print_list(char const* name, Values const& values, char const* format) {
    std::printf("\"%s\": [", name);
    char const* comma = "";
    for (auto const value : values) {
        std::printf("%s", comma);
        std::printf(format, static_cast<double>(value));
        comma = ", ";
    }
    std::printf("]");
}

void run_case(test_case const& c, unsigned cuts) {
    stand on(c);
    std::vector<double> us;
    std::vector<double> kpps;
    std::vector<std::uint64_t> frames;
    bool never = false;
    bool silent = false;
    // Not counted: what runs for the first time here, the emulator has to translate before.
    double first = 0;
    for (unsigned i = 0; i <= cuts && !never; ++i) {
        gap const g = measure(on, c.told);
        silent = g.silent;
        if (silent) {
            break;
        }
        if (i == 0 && !g.never) {
            first = g.us;
        } else {
            us.push_back(g.us);
            frames.push_back(g.frames);
            kpps.push_back(g.kpps);
        }
        never = g.never;
    }
    std::printf("{\"told\": \"%s\", \"policy\": \"%s\", \"pmd\": \"%s\", \"never\": %s, "
                "\"silent\": %s, \"first_us\": %.1f, ",
                c.told ? "lsc" : "poll", c.policy.c_str(), name_of(c.which).c_str(),
                never ? "true" : "false", silent ? "true" : "false", first);
    print_list("gap_us", us, "%.1f");
    std::printf(", ");
    print_list("frames", frames, "%.0f");
    std::printf(", ");
    print_list("kpps", kpps, "%.1f");
    std::printf("}\n");
    std::fflush(stdout);
}

/// From one thread beside the sender's CPU to another one there: what any control thread needs.
void measure_wakes() {
    stand on({true, pmd::net_lagg, "failover"});
    wait_until_both_work(on);
    int const bell = must(eventfd(0, EFD_CLOEXEC | EFD_SEMAPHORE), "eventfd");
    std::atomic<std::uint64_t> rung{0}; // [bell]
    std::atomic<bool> end{false};       // [wakes-end]
    std::vector<double> us;
    {
        control_thread const woken([&] {
            for (std::uint64_t count = 0; us.size() < wakes;) {
                must(static_cast<int>(read(bell, &count, sizeof count)), "eventfd");
                us.push_back(us_between(rung.load(std::memory_order_acquire), // [bell]
                                        rte_rdtsc()));
            }
            end.store(true, std::memory_order_release); // [wakes-end]
        });
        control_thread const waker([&] {
            std::uint64_t const one = 1;
            for (unsigned i = 0; i < wakes; ++i) {
                std::this_thread::sleep_for(5ms);
                rung.store(rte_rdtsc(), std::memory_order_release); // [bell]
                must(static_cast<int>(write(bell, &one, sizeof one)), "eventfd");
            }
        });
        while (!end.load(std::memory_order_acquire)) { // [wakes-end]
            on.send();
        }
    }
    close(bell);
    std::printf("{");
    print_list("wake_us", us, "%.1f");
    std::printf("}\n");
    std::fflush(stdout);
}

int run_all(int argc, char** argv) {
    int const eal = rte_eal_init(argc, argv);
    if (eal < 0) {
        fail("EAL does not start");
    }
    // As dpdk-testpmd does: pages that are touched for the first time are not what is measured.
    if (mlockall(MCL_CURRENT | MCL_FUTURE) != 0) {
        std::perror("memory is not locked, the first cut may take longer");
    }
    argc -= eal;
    argv += eal;
    if (argc != 5) {
        fail("EAL WORDS -- CUTS SWITCH PORT PORT");
    }
    auto const cuts = static_cast<unsigned>(std::strtoul(argv[1], nullptr, 10));
    switch_file = argv[2];
    for (std::size_t i = 0; i < members.size(); ++i) {
        must(rte_eth_dev_get_port_by_name(argv[3 + i], &members[i].port), argv[3 + i]);
        // Before any bond listens, so that ours is called first.
        must(rte_eth_dev_callback_register(members[i].port, RTE_ETH_EVENT_INTR_LSC,
                                           member::on_event, &members[i]),
             "listen to link events");
    }
    measure_wakes();
    for (bool const told : {true, false}) {
        for (char const* const policy : {"failover", "loadbalance"}) {
            for (pmd const which : {pmd::net_lagg, pmd::net_bonding}) {
                run_case({told, which, policy}, cuts);
            }
        }
    }
    return 0;
}

} // namespace
} // namespace bench

int main(int argc, char** argv) {
    int const code = bench::run_all(argc, argv);
    std::fflush(nullptr);
    _exit(code); // no teardown
}
