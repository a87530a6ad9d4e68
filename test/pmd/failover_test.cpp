// A sender that never pauses, and members whose links are lost: from the barrier after the loss on
// no frame is put on the dead member.  Nobody looks at a clock: how long it takes is bench's to
// tell (failover_gap).
#include "traffic.h"

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <memory>
#include <ostream>
#include <string>

#include <sched.h>
#include <unistd.h>

namespace lagg::test {
namespace {

constexpr std::uint64_t many = 500; // bursts

/// Before EAL starts a thread, so that all threads are in there.  0 or errno.
int const own_space = unshare(CLONE_NEWNET) == 0 ? 0 : errno;

bool run(std::string const& command) {
    return std::system((command + " >/dev/null 2>&1").c_str()) == 0;
}

/// A member whose link can be lost.
class losable {
public:
    virtual ~losable() = default;
    std::uint16_t port() const { return device_.port(); }
    std::string const& name() const { return device_.name(); }
    bool ok() const { return device_.ok(); }
    virtual void lose() = 0;
    virtual void restore() = 0;
    /// The device raises an event before lose() returns.
    virtual bool tells_at_once() const { return false; }
    /// Frames that were handed to it, whatever became of them.
    virtual std::uint64_t handed() const = 0;

protected:
    vdev device_;
};

class losable_wire final : public losable {
public:
    explicit losable_wire(std::string const& args) : tells_(args.find("lsc=0") == args.npos) {
        device_ = sink(args);
    }
    void lose() override { EXPECT_EQ(0, rte_pmd_wire_cut(port())); }
    void restore() override { EXPECT_EQ(0, rte_pmd_wire_heal(port())); }
    bool tells_at_once() const override { return tells_; }
    std::uint64_t handed() const override {
        rte_pmd_wire_counters c{};
        EXPECT_EQ(0, rte_pmd_wire_counters_get(port(), &c));
        return c.sent + c.lost_down + c.refused;
    }

private:
    bool tells_;
};

/// On an interface of the kernel, which goes down with `switched`.
class losable_interface final : public losable {
public:
    losable_interface(std::string const& driver, std::string const& own, std::string switched)
        : switched_(std::move(switched)) {
        device_ = vdev(driver, "iface=" + own);
    }
    void lose() override { EXPECT_TRUE(run("ip link set " + switched_ + " down")); }
    void restore() override { EXPECT_TRUE(run("ip link set " + switched_ + " up")); }
    std::uint64_t handed() const override {
        rte_eth_stats s{};
        EXPECT_EQ(0, rte_eth_stats_get(port(), &s));
        return s.opackets + s.oerrors;
    }

private:
    std::string switched_;
};

struct kind {
    char const* name;
    bool of_the_kernel;
    std::unique_ptr<losable> (*make)(int number);
};
void PrintTo(kind const& k, std::ostream* out) { // as googletest spells it
    *out << k.name;
}

std::unique_ptr<losable> wire_that_tells(int /*number*/) {
    return std::make_unique<losable_wire>("down=drop");
}
std::unique_ptr<losable> wire_that_is_polled(int /*number*/) {
    return std::make_unique<losable_wire>("down=drop,lsc=0");
}
std::unique_ptr<losable> wire_that_refuses(int /*number*/) {
    return std::make_unique<losable_wire>("down=refuse");
}
std::unique_ptr<losable> af_packet(int number) {
    std::string const a = "fa" + std::to_string(number);
    std::string const b = "fb" + std::to_string(number);
    if (!run("ip link add " + a + " type veth peer name " + b + " && ip link set " + a +
             " up && ip link set " + b + " up")) {
        return nullptr;
    }
    return std::make_unique<losable_interface>("net_af_packet", a, b);
}
std::unique_ptr<losable> tap(int number) {
    if (access("/dev/net/tun", R_OK | W_OK) != 0) {
        return nullptr;
    }
    std::string const name = "ft" + std::to_string(number);
    return std::make_unique<losable_interface>("net_tap", name, name);
}

class LostLink : public testing::TestWithParam<std::tuple<kind, char const*>> {};

std::string name_of(testing::TestParamInfo<LostLink::ParamType> const& info) {
    return std::string(std::get<0>(info.param).name) + "_" + std::get<1>(info.param);
}

TEST_P(LostLink, NoFrameIsPutOnTheDeadMemberAfterTheBarrier) {
    static int number = 0;
    auto const& [what, policy] = GetParam();
    if (what.of_the_kernel && own_space != 0) {
        GTEST_SKIP() << "no network name space of our own: " << std::strerror(own_space);
    }
    if (what.of_the_kernel) {
        std::ofstream("/proc/sys/net/ipv6/conf/default/disable_ipv6") << "1";
    }
    std::vector<std::unique_ptr<losable>> members;
    for (int i = 0; i < 2; ++i) {
        members.push_back(what.make(number++));
        if (members.back() == nullptr || !members.back()->ok()) {
            GTEST_SKIP() << "no such device here";
        }
    }
    lagg_port lagg("lsc_poll_period_ms=2,policy=" + std::string(policy));
    ASSERT_TRUE(lagg.ok());
    for (auto const& member : members) {
        lagg.add(member->port());
    }
    lagg.start();
    lagg.until([](auto const& s) { return s.link_up && s.members[1].usable; });
    traffic const sender(lagg.id());
    auto const sends = [&](losable const& member) {
        auto const was = member.handed();
        return wait_until([&] { return member.handed() > was; }, "a member that is used");
    };
    for (int turn = 0; turn < times(6, 60); ++turn) {
        // Under failover the one in use; else one after the other.
        bool const one = std::string(policy) == "failover";
        std::size_t const at =
            one ? std::size_t{lagg.member(members[1]->port()).distributing} : turn % 2U;
        losable& dead = *members[at];
        losable const& other = *members[1 - at];
        ASSERT_TRUE(sends(dead));
        dead.lose();
        if (!dead.tells_at_once()) { // control is to see it by itself
            lagg.until([&](auto const&) { return !lagg.member(dead.port()).distributing; });
        }
        ASSERT_TRUE(wait_until([&] { return rte_pmd_lagg_barrier(lagg.id(), 1000) == 0; }));
        auto const then = dead.handed();
        EXPECT_FALSE(lagg.member(dead.port()).distributing);
        EXPECT_TRUE(lagg.member(other.port()).distributing);
        ASSERT_TRUE(sends(other));
        sender.rounds(many);
        ASSERT_EQ(then, dead.handed()) << "turn " << turn;
        dead.restore();
        lagg.until([&](auto const&) { return lagg.member(dead.port()).usable; });
    }
    EXPECT_EQ(0U, sender.wrong());
}

INSTANTIATE_TEST_SUITE_P(
    Of, LostLink,
    testing::Combine(testing::Values(kind{"WireThatTells", false, wire_that_tells},
                                     kind{"WireThatIsPolled", false, wire_that_is_polled},
                                     kind{"WireThatRefuses", false, wire_that_refuses},
                                     kind{"AfPacket", true, af_packet}, kind{"Tap", true, tap}),
                     testing::Values("failover", "loadbalance", "roundrobin", "broadcast")),
    name_of);

} // namespace
} // namespace lagg::test
