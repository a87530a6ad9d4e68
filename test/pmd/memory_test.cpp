// Memory runs out, at each allocation in turn, of control, of the worker and of the caller, in our
// code or in the libraries beneath: a change is made, or it is not and the answer is an error; what
// must be done is done when there is memory.
#include "lacp/lacpdu.h"
#include "out_of_memory.h"
#include "rte_pmd_lagg_lacp.h"
#include "traffic.h"

#include <array>
#include <atomic>
#include <climits>
#include <cstring>

namespace lagg::test {
namespace {

using out_of_memory::whose;

/// Of the allocations from now on, `many` fail after `first` were granted; until this ends.
class shortage {
public:
    shortage(whose w, long first, long many) {
        out_of_memory::failures.store(0, std::memory_order_relaxed);
        out_of_memory::failing.store(many, std::memory_order_relaxed);
        out_of_memory::wanted.store(w, std::memory_order_relaxed);
        out_of_memory::turn.store(-first, std::memory_order_relaxed);
    }
    ~shortage() { end(); }
    shortage(shortage const&) = delete;
    shortage& operator=(shortage const&) = delete;

    static void end() { out_of_memory::turn.store(out_of_memory::off, std::memory_order_relaxed); }
    /// Whether it was felt.
    static bool felt() { return out_of_memory::failures.load(std::memory_order_relaxed) != 0; }
    /// What `f` allocates counts, too.
    template<class F>
    static int on_this_thread(F&& f) {
        out_of_memory::a_caller = true;
        int const rc = f();
        out_of_memory::a_caller = false;
        return rc;
    }
};

/// How much of whose memory is missing.
struct lack {
    whose of;
    long many;
};

constexpr std::array lacks{lack{whose::ours, 1}, lack{whose::ours, 5}, lack{whose::others, 1},
                           lack{whose::others, 5}};

std::string name_of(lack const& l) {
    return std::string(l.of == whose::ours ? "Ours" : "Others") + std::to_string(l.many);
}

void PrintTo(lack const& l, std::ostream* out) {
    *out << name_of(l);
}

/// An answer that refuses for want of memory.  A library may call it otherwise.
bool refuses(lack const& l, int rc) {
    return rc == -ENOMEM || (l.of == whose::others && rc < 0);
}

/// Asks for no barrier, which a shortage refuses.
bool shows(lagg_port const& lagg, std::function<bool(rte_pmd_lagg_status const&)> const& what) {
    return wait_until([&] { return what(lagg.status()); }, "what is shown");
}

/// No operation needs so many allocations.
constexpr long most_allocations = 2000;

std::shared_ptr<pmd::published_state const> state_of(lagg_port const& lagg) {
    auto state = pmd::device::published_of(lagg.id());
    EXPECT_NE(nullptr, state);
    return state;
}

/// All that a caller can see of a lagg, but for what moves by itself; and of a port that may become
/// a member of it.
std::vector<std::string> look_at(lagg_port const& lagg, vdev const& other) {
    auto const s = lagg.status();
    std::vector<std::string> out{std::to_string(s.policy), std::to_string(s.seed),
                                 std::to_string(s.nb_members), std::to_string(s.started)};
    rte_ether_addr mac{};
    EXPECT_EQ(0, rte_eth_macaddr_get(lagg.id(), &mac));
    out.emplace_back(reinterpret_cast<char const*>(mac.addr_bytes), sizeof mac.addr_bytes);
    std::uint16_t mtu = 0;
    EXPECT_EQ(0, rte_eth_dev_get_mtu(lagg.id(), &mtu));
    out.push_back(std::to_string(mtu));
    for (std::uint16_t i = 0; i < s.nb_members; ++i) {
        auto const& m = s.members[i];
        rte_ether_addr own{};
        EXPECT_EQ(0, rte_eth_macaddr_get(m.port, &own));
        EXPECT_EQ(0, rte_eth_dev_get_mtu(m.port, &mtu));
        out.push_back(std::string(m.name) + " " + m.phase + std::to_string(m.distributing) +
                      std::to_string(m.weight) + " " + std::to_string(mtu) + " " +
                      std::to_string(rte_eth_devices[m.port].data->dev_started) + " " +
                      std::to_string(rte_eth_devices[m.port].data->nb_rx_queues) + " " +
                      std::to_string(rte_eth_devices[m.port].data->nb_tx_queues) + " " +
                      owner_of(m.port));
        out.emplace_back(reinterpret_cast<char const*>(own.addr_bytes), sizeof own.addr_bytes);
    }
    EXPECT_EQ(0, rte_eth_macaddr_get(other.port(), &mac));
    EXPECT_EQ(0, rte_eth_dev_get_mtu(other.port(), &mtu));
    out.emplace_back(reinterpret_cast<char const*>(mac.addr_bytes), sizeof mac.addr_bytes);
    out.push_back(owner_of(other.port()) + " " + std::to_string(mtu) + " " +
                  std::to_string(rte_eth_devices[other.port()].data->dev_started) + " " +
                  std::to_string(rte_eth_promiscuous_get(other.port())));
    return out;
}

struct change {
    char const* name;
    bool with_traffic;
    /// With memory, before each turn.
    void (*prepare)(lagg_port& lagg, vdev& member, unsigned turn);
    int (*make)(std::uint16_t lagg, std::uint16_t member, unsigned turn);
    bool (*made)(lagg_port& lagg, vdev& member, unsigned turn);
    /// So many in a row without a call for others' memory, and it needs no more.
    int others_turns = 3;
};

void PrintTo(change const& c, std::ostream* out) {
    *out << c.name;
}

struct OutOfMemory : testing::TestWithParam<std::tuple<change, lack>> {};

void nothing(lagg_port&, vdev&, unsigned) {}

void with_member(lagg_port& lagg, vdev& member, unsigned) {
    int const rc = rte_pmd_lagg_member_add(lagg.id(), member.port(), 10'000);
    EXPECT_TRUE(rc == 0 || rc == -EEXIST) << rc;
}

void without_member(lagg_port& lagg, vdev& member, unsigned) {
    int const rc = rte_pmd_lagg_member_remove(lagg.id(), member.port(), 10'000);
    EXPECT_TRUE(rc == 0 || rc == -ENOENT) << rc;
}

/// The change itself, in the middle of traffic: refused and unseen, or done.
TEST_P(OutOfMemory, R9AChangeIsMadeOrNotAndTheNextOneWorks) {
    auto const& what = std::get<0>(GetParam()); // clang 14 captures no structured binding
    lack const short_of = std::get<1>(GetParam());
    unsigned const before = pool_level();
    {
        vdev a = sink("check=1");
        vdev b = sink("check=1");
        lagg_port lagg("policy=loadbalance,member=" + a.name());
        ASSERT_TRUE(lagg.ok());
        lagg.start();
        std::unique_ptr<traffic> running;
        if (what.with_traffic) {
            running = std::make_unique<traffic>(lagg.id());
            running->flows();
        }
        unsigned refused = 0;
        unsigned turn_of = 0;
        long n = 0;
        int const patience = short_of.of == whose::ours ? 1 : what.others_turns;
        for (int unfelt = 0; unfelt < patience && n < most_allocations; ++turn_of) {
            what.prepare(lagg, b, turn_of);
            lagg.settle();
            auto const then = state_of(lagg);
            auto const seen = look_at(lagg, b);
            int rc = 0;
            {
                shortage const now(short_of.of, n, short_of.many);
                rc = shortage::on_this_thread(
                    [&] { return what.make(lagg.id(), b.port(), turn_of); });
            }
            bool const felt = shortage::felt();
            unfelt = felt ? 0 : unfelt + 1;
            n += felt;
            if (refuses(short_of, rc)) {
                ++refused;
                ASSERT_TRUE(felt) << "at " << n;
                ASSERT_EQ(seen, look_at(lagg, b)) << "at " << n;
                lagg.settle();
                ASSERT_TRUE(same_but_for_version(then->snapshot, state_of(lagg)->snapshot))
                    << "at " << n;
                ASSERT_EQ(seen, look_at(lagg, b)) << "at " << n << ", later";
                rc = what.make(lagg.id(), b.port(), turn_of);
            }
            ASSERT_EQ(0, rc) << "at " << n;
            ASSERT_TRUE(what.made(lagg, b, turn_of)) << "at " << n;
        }
        EXPECT_LT(n, most_allocations);
        RecordProperty("allocations", static_cast<int>(n));
        RecordProperty("refused", static_cast<int>(refused));
        std::printf("%ld allocations, %u of them refused, %u turns\n", n, refused, turn_of);
        // Whatever was given up: it works.
        if (!lagg.status().started) {
            ASSERT_EQ(0, rte_eth_dev_start(lagg.id()));
        }
        if (b.name().starts_with("net_null")) { // does not count
            without_member(lagg, b, 0);
            b = sink("check=1");
        }
        with_member(lagg, b, 0);
        ASSERT_EQ(0, rte_pmd_lagg_admin_set(lagg.id(), true));
        ASSERT_EQ(0, rte_pmd_lagg_policy_set(lagg.id(), RTE_PMD_LAGG_POLICY_ROUNDROBIN));
        if (running != nullptr) {
            running->rounds(3);
            running->stop();
            EXPECT_EQ(0u, running->wrong());
        }
        std::uint64_t const to_b = rte_pmd_wire_sent(b.port());
        EXPECT_EQ(32, send(lagg.id(), frames(32)));
        EXPECT_LT(to_b, rte_pmd_wire_sent(b.port()));
        lagg.until([](auto const& s) { return s.live_snapshots == 1; });
        EXPECT_EQ(0u, rte_pmd_wire_in_burst_violation_count(b.port()));
    }
    EXPECT_EQ(before, pool_level());
}

bool is_there(lagg_port& lagg, vdev& member) {
    auto const s = lagg.status();
    return std::any_of(s.members, s.members + s.nb_members,
                       [&](auto const& m) { return m.port == member.port(); });
}

rte_ether_addr address_of(unsigned turn_of) {
    return {{0x02, 0, 0, 0, static_cast<std::uint8_t>(turn_of >> 8U),
             static_cast<std::uint8_t>(turn_of)}};
}

std::uint16_t mtu_of(unsigned turn_of) {
    return static_cast<std::uint16_t>(1400 - turn_of % 2);
}

bool all_members(lagg_port& lagg, std::function<bool(std::uint16_t)> const& f) {
    auto const s = lagg.status();
    return std::all_of(s.members, s.members + s.nb_members,
                       [&](auto const& m) { return f(m.port); });
}

constexpr std::array changes{
    change{"ThePolicyChanges", true, nothing,
           [](std::uint16_t lagg, std::uint16_t, unsigned turn_of) {
               return rte_pmd_lagg_policy_set(lagg, turn_of % 2 == 0
                                                        ? RTE_PMD_LAGG_POLICY_BROADCAST
                                                        : RTE_PMD_LAGG_POLICY_LOADBALANCE);
           },
           [](lagg_port& lagg, vdev&, unsigned turn_of) {
               return (lagg.status().policy == RTE_PMD_LAGG_POLICY_BROADCAST) == (turn_of % 2 == 0);
           },
           80}, // a container of oneTBB takes a page of memory each 64 pushes

    change{"ThePolicyBecomesLacp", true, with_member,
           [](std::uint16_t lagg, std::uint16_t, unsigned turn_of) {
               return rte_pmd_lagg_policy_set(lagg, turn_of % 2 == 0
                                                        ? RTE_PMD_LAGG_POLICY_LACP
                                                        : RTE_PMD_LAGG_POLICY_FAILOVER);
           },
           [](lagg_port& lagg, vdev&, unsigned turn_of) {
               return (lagg.status().policy == RTE_PMD_LAGG_POLICY_LACP) == (turn_of % 2 == 0);
           }},
    change{"TheSeedChanges", true, nothing,
           [](std::uint16_t lagg, std::uint16_t, unsigned turn_of) {
               return rte_pmd_lagg_seed_set(lagg, turn_of);
           },
           [](lagg_port& lagg, vdev&, unsigned turn_of) { return lagg.status().seed == turn_of; }},
    change{"AWeightIsSet", true, with_member,
           [](std::uint16_t lagg, std::uint16_t member, unsigned turn_of) {
               return rte_pmd_lagg_weight_set(lagg, rte_eth_devices[member].data->name,
                                              1 + turn_of % 200);
           },
           [](lagg_port& lagg, vdev& member, unsigned turn_of) {
               return lagg.member(member.port()).weight == 1 + turn_of % 200;
           }},
    change{"AMemberComes", true, without_member,
           [](std::uint16_t lagg, std::uint16_t member, unsigned) {
               return rte_pmd_lagg_member_add(lagg, member, 10'000);
           },
           [](lagg_port& lagg, vdev& member, unsigned) {
               return is_there(lagg, member) && owner_of(member.port()) == lagg.name();
           }},
    change{"ANewDeviceBecomesAMember", true,
           [](lagg_port& lagg, vdev& member, unsigned turn_of) {
               without_member(lagg, member, turn_of);
               member = sink("check=1");
           },
           [](std::uint16_t lagg, std::uint16_t member, unsigned) {
               return rte_pmd_lagg_member_add(lagg, member, 10'000);
           },
           [](lagg_port& lagg, vdev& member, unsigned) {
               return is_there(lagg, member) && owner_of(member.port()) == lagg.name();
           }},
    change{"ADeviceOfAnotherDriverBecomesAMember", true,
           [](lagg_port& lagg, vdev& member, unsigned turn_of) {
               without_member(lagg, member, turn_of);
               member = vdev("net_null", "");
           },
           [](std::uint16_t lagg, std::uint16_t member, unsigned) {
               return rte_pmd_lagg_member_add(lagg, member, 10'000);
           },
           [](lagg_port& lagg, vdev& member, unsigned) {
               return is_there(lagg, member) && owner_of(member.port()) == lagg.name();
           }},
    change{"AMemberGoes", true, with_member,
           [](std::uint16_t lagg, std::uint16_t member, unsigned) {
               return rte_pmd_lagg_member_remove(lagg, member, 10'000);
           },
           [](lagg_port& lagg, vdev& member, unsigned) {
               return !is_there(lagg, member) && owner_of(member.port()).empty() &&
                      rte_eth_devices[member.port()].data->dev_started == 0;
           }},
    change{"TheAddressChanges", true, with_member,
           [](std::uint16_t lagg, std::uint16_t, unsigned turn_of) {
               auto mac = address_of(turn_of);
               return rte_eth_dev_default_mac_addr_set(lagg, &mac);
           },
           [](lagg_port& lagg, vdev&, unsigned turn_of) {
               auto const wanted = address_of(turn_of);
               return all_members(lagg, [&](std::uint16_t port) {
                   rte_ether_addr mac{};
                   EXPECT_EQ(0, rte_eth_macaddr_get(port, &mac));
                   return rte_is_same_ether_addr(&mac, &wanted) == 1;
               });
           }},
    change{"AnAddressIsAdded", true,
           [](lagg_port& lagg, vdev& member, unsigned turn_of) {
               with_member(lagg, member, turn_of);
               auto mac = address_of(0x100);
               EXPECT_EQ(0, rte_eth_dev_mac_addr_remove(lagg.id(), &mac));
           },
           [](std::uint16_t lagg, std::uint16_t, unsigned) {
               auto mac = address_of(0x100);
               return rte_eth_dev_mac_addr_add(lagg, &mac, 0);
           },
           [](lagg_port& lagg, vdev&, unsigned) {
               return state_of(lagg)->snapshot.accept.size() == 2;
           }},
    change{"TheMtuChanges", true, with_member,
           [](std::uint16_t lagg, std::uint16_t, unsigned turn_of) {
               return rte_eth_dev_set_mtu(lagg, mtu_of(turn_of));
           },
           [](lagg_port& lagg, vdev&, unsigned turn_of) {
               return all_members(lagg, [&](std::uint16_t port) {
                   std::uint16_t mtu = 0;
                   return rte_eth_dev_get_mtu(port, &mtu) == 0 && mtu == mtu_of(turn_of);
               });
           }},
    change{"ItIsSwitchedDownAndUp", true, with_member,
           [](std::uint16_t lagg, std::uint16_t, unsigned turn_of) {
               return rte_pmd_lagg_admin_set(lagg, turn_of % 2 != 0);
           },
           [](lagg_port& lagg, vdev&, unsigned turn_of) {
               return lagg.status().admin_up == (turn_of % 2 != 0);
           }},
    change{"ItStarts", false,
           [](lagg_port& lagg, vdev& member, unsigned turn_of) {
               with_member(lagg, member, turn_of);
               EXPECT_EQ(0, rte_eth_dev_stop(lagg.id()));
           },
           [](std::uint16_t lagg, std::uint16_t, unsigned) { return rte_eth_dev_start(lagg); },
           [](lagg_port& lagg, vdev&, unsigned) {
               return lagg.status().started && all_members(lagg, [](std::uint16_t port) {
                          return rte_eth_devices[port].data->dev_started == 1;
                      });
           }},
    change{"ItIsConfiguredAnew", false,
           [](lagg_port& lagg, vdev& member, unsigned turn_of) {
               with_member(lagg, member, turn_of);
               EXPECT_EQ(0, rte_eth_dev_stop(lagg.id()));
           },
           [](std::uint16_t lagg, std::uint16_t, unsigned turn_of) {
               rte_eth_conf const plain{};
               auto const queues = static_cast<std::uint16_t>(1 + turn_of % 3);
               int rc = rte_eth_dev_configure(lagg, queues, queues, &plain);
               for (std::uint16_t q = 0; q < queues && rc == 0; ++q) {
                   rc = rte_eth_rx_queue_setup(lagg, q, 512, SOCKET_ID_ANY, nullptr, pool());
                   rc = rc != 0 ? rc : rte_eth_tx_queue_setup(lagg, q, 512, SOCKET_ID_ANY, nullptr);
               }
               return rc;
           },
           [](lagg_port& lagg, vdev&, unsigned turn_of) {
               return rte_eth_devices[lagg.id()].data->nb_tx_queues == 1 + turn_of % 3 &&
                      rte_eth_dev_start(lagg.id()) == 0;
           }},
    change{"ItStops", false,
           [](lagg_port& lagg, vdev& member, unsigned turn_of) {
               with_member(lagg, member, turn_of);
               if (rte_eth_devices[lagg.id()].data->dev_started == 0) {
                   EXPECT_EQ(0, rte_eth_dev_start(lagg.id()));
               }
           },
           [](std::uint16_t lagg, std::uint16_t, unsigned) { return rte_eth_dev_stop(lagg); },
           [](lagg_port& lagg, vdev&, unsigned) {
               return !lagg.status().started && all_members(lagg, [](std::uint16_t port) {
                   return rte_eth_devices[port].data->dev_started == 0;
               });
           }},
};

INSTANTIATE_TEST_SUITE_P(While, OutOfMemory,
                         testing::Combine(testing::ValuesIn(changes), testing::ValuesIn(lacks)),
                         [](auto const& p) {
                             return std::string(std::get<0>(p.param).name) + "_Failing" +
                                    name_of(std::get<1>(p.param));
                         });

struct OutOfMemoryWhen : testing::TestWithParam<lack> {
    lack const short_of = GetParam();
    shortage after(long n) const { return {short_of.of, n, short_of.many}; }
    unsigned const before = pool_level();
    void TearDown() override { EXPECT_EQ(before, pool_level()); }

    /// `f` for each number of allocations that are granted before some fail, twice, until neither
    /// of the two felt it.
    void sweep(std::function<void(long n)> const& f) const {
        long n = 0;
        int unfelt = 0;
        for (; unfelt < 2 && n < most_allocations && !HasFatalFailure(); ++n) {
            f(n);
            unfelt = shortage::felt() ? 0 : unfelt + 1;
        }
        EXPECT_LT(n, most_allocations);
        std::printf("%ld allocations\n", n - 1);
    }
};

INSTANTIATE_TEST_SUITE_P(Failing, OutOfMemoryWhen, testing::ValuesIn(lacks),
                         [](auto const& p) { return name_of(p.param); });

TEST_P(OutOfMemoryWhen, ALinkIsLostAndComesBackControlActsOnIt) {
    vdev a = sink("check=1");
    vdev b = sink("check=1");
    lagg_port lagg("policy=loadbalance,member=" + a.name() + ",member=" + b.name());
    ASSERT_TRUE(lagg.ok());
    lagg.start();
    traffic running(lagg.id());
    running.flows();
    sweep([&](long n) {
        bool const up = n % 2 != 0;
        {
            shortage const now = after(n / 2);
            ASSERT_EQ(0, up ? rte_pmd_wire_heal(b.port()) : rte_pmd_wire_cut(b.port()));
            ASSERT_TRUE(
                shows(lagg, [up](auto const& s) { return s.members[1].distributing == up; }));
            running.rounds(2);
        }
        lagg.settle();
        ASSERT_EQ(up, lagg.member(b.port()).distributing);
    });
    running.stop();
    EXPECT_EQ(0u, running.wrong());
    lagg.until([](auto const& s) { return s.live_snapshots == 1; });
}

TEST_P(OutOfMemoryWhen, ADeviceIsPulledItIsGivenUpAndTold) {
    vdev a = sink("check=1");
    lagg_port lagg("policy=roundrobin,member=" + a.name());
    ASSERT_TRUE(lagg.ok());
    lagg.start();
    event_list told(lagg.id());
    traffic running(lagg.id());
    running.flows();
    std::vector<vdev> pulled; // their names are not used again
    sweep([&](long n) {
        vdev b = sink("check=1");
        lagg.add(b.port());
        told.clear();
        {
            shortage const now = after(n);
            ASSERT_EQ(0, rte_pmd_wire_surprise_remove(b.port()));
            std::uint16_t const port = b.port();
            ASSERT_TRUE(shows(lagg, [](auto const& s) { return s.nb_members == 1; }));
            ASSERT_TRUE(wait_until([&] { return rte_eth_dev_is_valid_port(port) == 0; }));
        }
        ASSERT_TRUE(told.until(b.port(), RTE_PMD_LAGG_EVENT_MEMBER_LEFT));
        pulled.push_back(std::move(b));
    });
    running.stop();
    EXPECT_EQ(0u, running.wrong());
}

TEST_P(OutOfMemoryWhen, AnAwaitedDeviceIsProbedItBecomesAMember) {
    sweep([&](long n) {
        std::string const name = "net_wire_awaited" + name_of(short_of) + "_" + std::to_string(n);
        lagg_port lagg("policy=roundrobin,member=" + name);
        ASSERT_TRUE(lagg.ok());
        lagg.start();
        event_list told(lagg.id());
        std::uint16_t port = 0;
        {
            shortage const now = after(n);
            ASSERT_EQ(0, rte_vdev_init(name.c_str(), ""));
            ASSERT_EQ(0, rte_eth_dev_get_port_by_name(name.c_str(), &port));
            // Nobody asks for it again: it is tried again when there is memory.
            ASSERT_TRUE(shows(lagg, [&](auto const& s) {
                return s.nb_members == 1 && s.members[0].distributing;
            }));
        }
        EXPECT_EQ(lagg.name(), owner_of(port));
        EXPECT_EQ(0u, told.count(port, RTE_PMD_LAGG_EVENT_MEMBER_REFUSED));
        lagg.until([](auto const& s) { return s.nb_members == 1 && s.members[0].distributing; });
        EXPECT_EQ(8, send(lagg.id(), frames(8)));
        lagg.destroy();
        EXPECT_EQ(0, rte_vdev_uninit(name.c_str()));
    });
}

TEST(OutOfMemoryForLong, AnAwaitedDeviceIsTriedNowAndThenAndJoinsInTheEnd) {
    unsigned const before = pool_level();
    std::string const name = "net_wire_awaited_for_long";
    lagg_port lagg("policy=roundrobin,member=" + name);
    ASSERT_TRUE(lagg.ok());
    lagg.start();
    event_list told(lagg.id());
    std::uint16_t port = 0;
    {
        shortage const now(whose::others, 0, LONG_MAX);
        ASSERT_EQ(0, rte_vdev_init(name.c_str(), ""));
        ASSERT_EQ(0, rte_eth_dev_get_port_by_name(name.c_str(), &port));
        // Its first call for memory is the one that fails, so each failure is a try.
        ASSERT_TRUE(wait_until([] { return out_of_memory::failures >= 4; }, "four tries"));
        lagg.until([](auto const& s) { return s.nb_members == 0 && s.nb_awaited == 1; });
        EXPECT_EQ(name, lagg.status().awaited[0]);
        EXPECT_EQ(lagg.name(), owner_of(port));
        EXPECT_EQ(0, rte_eth_devices[port].data->dev_started);
        std::printf("%u tries\n", out_of_memory::failures.load());
    }
    lagg.until([](auto const& s) { return s.nb_members == 1 && s.members[0].distributing; });
    EXPECT_EQ(0, lagg.status().nb_awaited);
    EXPECT_EQ(0u, told.count(port, RTE_PMD_LAGG_EVENT_MEMBER_REFUSED));
    EXPECT_EQ(8, send(lagg.id(), frames(8)));
    lagg.destroy();
    EXPECT_EQ(0, rte_vdev_uninit(name.c_str()));
    EXPECT_EQ(before, pool_level());
}

TEST(OutOfMemoryForLong, AnAwaitedDeviceIsTriedWhenTheLaggStarts) {
    std::string const name = "net_wire_awaited_for_start";
    lagg_port lagg("policy=roundrobin,member=" + name);
    ASSERT_TRUE(lagg.ok());
    lagg.start();
    {
        shortage const now(whose::others, 0, LONG_MAX);
        ASSERT_EQ(0, rte_vdev_init(name.c_str(), ""));
        ASSERT_TRUE(wait_until([] { return out_of_memory::failures >= 3; }, "three tries"));
        lagg.until([](auto const& s) { return s.nb_awaited == 1; });
    }
    ASSERT_EQ(0, rte_eth_dev_stop(lagg.id()));
    ASSERT_EQ(0, rte_eth_dev_start(lagg.id()));
    EXPECT_EQ(1, lagg.status().nb_members);
    lagg.destroy();
    EXPECT_EQ(0, rte_vdev_uninit(name.c_str()));
}

TEST(OutOfMemoryForLong, AnAwaitedDeviceIsFreeAgainWhenTheLaggIsGone) {
    std::string const name = "net_wire_awaited_in_vain";
    lagg_port lagg("policy=roundrobin,member=" + name);
    ASSERT_TRUE(lagg.ok());
    lagg.start();
    std::uint16_t port = 0;
    shortage const now(whose::others, 0, LONG_MAX);
    ASSERT_EQ(0, rte_vdev_init(name.c_str(), ""));
    ASSERT_EQ(0, rte_eth_dev_get_port_by_name(name.c_str(), &port));
    ASSERT_TRUE(wait_until([] { return out_of_memory::failures >= 2; }, "two tries"));
    lagg.destroy();
    EXPECT_EQ("", owner_of(port));
    EXPECT_EQ(0, rte_vdev_uninit(name.c_str()));
}

TEST_P(OutOfMemoryWhen, TheFirstLaggIsMadeItIsWholeOrNothingIsLeftOfIt) {
    vdev a = sink("check=1");
    std::string const args = "policy=lacp,member=" + a.name();
    sweep([&](long n) {
        std::string const name = "net_lagg_first" + name_of(short_of) + "_" + std::to_string(n);
        int port = 0;
        {
            shortage const now = after(n);
            port = shortage::on_this_thread(
                [&] { return rte_pmd_lagg_create(name.c_str(), args.c_str()); });
        }
        if (port < 0) {
            EXPECT_TRUE(shortage::felt()) << n;
            EXPECT_EQ("", owner_of(a.port())) << n;
            std::uint16_t known = 0;
            EXPECT_NE(0, rte_eth_dev_get_port_by_name(name.c_str(), &known)) << n;
            port = rte_pmd_lagg_create(name.c_str(), args.c_str());
        }
        ASSERT_LE(0, port) << n;
        EXPECT_EQ(name, owner_of(a.port())) << n;
        ASSERT_EQ(0, rte_pmd_lagg_destroy(static_cast<std::uint16_t>(port))) << n;
        EXPECT_EQ("", owner_of(a.port())) << n;
    });
}

TEST_P(OutOfMemoryWhen, ALaggIsMadeItIsWholeOrNothingIsLeftOfIt) {
    vdev a = sink("check=1");
    std::string const args = "policy=loadbalance,member=" + a.name();
    lagg_port other("policy=none"); // so that threads are there, and under their names
    sweep([&](long n) {
        std::string const name = "net_lagg_short" + name_of(short_of) + "_" + std::to_string(n);
        int port = 0;
        {
            shortage const now = after(n);
            port = shortage::on_this_thread(
                [&] { return rte_pmd_lagg_create(name.c_str(), args.c_str()); });
        }
        if (refuses(short_of, port)) {
            EXPECT_EQ("", owner_of(a.port())) << n;
            std::uint16_t known = 0;
            EXPECT_NE(0, rte_eth_dev_get_port_by_name(name.c_str(), &known)) << n;
            port = rte_pmd_lagg_create(name.c_str(), args.c_str());
        }
        ASSERT_LE(0, port) << n;
        EXPECT_EQ(name, owner_of(a.port())) << n;
        ASSERT_EQ(0, rte_pmd_lagg_destroy(static_cast<std::uint16_t>(port))) << n;
        EXPECT_EQ("", owner_of(a.port())) << n;
    });
}

TEST_P(OutOfMemoryWhen, ALaggIsDestroyedNothingIsLeftOfIt) {
    vdev a = sink("check=1");
    std::string const args = "policy=loadbalance,member=" + a.name();
    lagg_port other("policy=none");
    sweep([&](long n) {
        std::string const name = "net_lagg_ends" + name_of(short_of) + "_" + std::to_string(n);
        int const made = rte_pmd_lagg_create(name.c_str(), args.c_str());
        ASSERT_LE(0, made);
        auto const port = static_cast<std::uint16_t>(made);
        bring_up(port, 2);
        EXPECT_EQ(8, send(port, frames(8)));
        int rc = 0;
        {
            shortage const now = after(n);
            rc = shortage::on_this_thread([&] { return rte_pmd_lagg_destroy(port); });
        }
        if (refuses(short_of, rc)) { // all of it is still there
            EXPECT_EQ(8, send(port, frames(8))) << n;
            EXPECT_EQ(name, owner_of(a.port())) << n;
            rc = rte_pmd_lagg_destroy(port);
        }
        ASSERT_EQ(0, rc) << n;
        EXPECT_EQ("", owner_of(a.port())) << n;
        EXPECT_EQ(0, rte_eth_devices[a.port()].data->dev_started) << n;
    });
}

/// What a partner would say that uses the port (`in_sync`), or does not.
lacp::frame partners_word(lagg_port const& lagg, bool in_sync) {
    lacp::lacpdu pdu;
    pdu.actor.system = {32768, net::mac_address{{0x02, 0xaa, 0, 0, 0, 1}}};
    pdu.actor.key = 7;
    pdu.actor.port = {32768, 1};
    pdu.actor.set(lacp::state::activity | lacp::state::short_timeout | lacp::state::aggregation,
                  true);
    pdu.actor.set(lacp::state::synchronization | lacp::state::collecting |
                      lacp::state::distributing,
                  in_sync);
    auto const known = state_of(lagg);
    if (!known->lacp_ports.empty()) {
        pdu.partner = known->lacp_ports[0].report.actor;
    }
    return lacp::encode(pdu, pdu.actor.system.address);
}

TEST_P(OutOfMemoryWhen, ALacpFrameArrivesItIsHeededNowOrTheNextTime) {
    auto w = wire("check=1");
    lagg_port lagg("policy=lacp,lacp_wait_while=0,member=" + w.near.name());
    ASSERT_TRUE(lagg.ok());
    lagg.start();
    traffic running(lagg.id(), {w.far.port()});
    auto const say = [&](bool in_sync) {
        auto const word = partners_word(lagg, in_sync);
        rte_mbuf* m = rte_pktmbuf_alloc(pool());
        ASSERT_NE(nullptr, m);
        std::memcpy(rte_pktmbuf_append(m, word.size()), word.data(), word.size());
        ASSERT_EQ(1, rte_pmd_wire_inject(w.near.port(), 0, &m, 1));
    };
    sweep([&](long n) {
        bool const in_sync = n % 2 == 0;
        {
            shortage const now = after(n / 2);
            say(in_sync);
            running.rounds(4);
            wait_until([&] {
                return shortage::felt() || lagg.status().members[0].distributing == in_sync;
            });
        }
        // A partner says it again, once a second.
        lagg.until([&](auto const& s) {
            if (s.members[0].distributing == in_sync) {
                return true;
            }
            say(in_sync);
            running.rounds(4);
            return false;
        });
    });
    running.stop();
    EXPECT_EQ(0u, running.wrong());
}

} // namespace
} // namespace lagg::test
