// The kernel's word on links: messages as values first, then a socket in a name space of its own.
#include "lagg_netlink.h"

#include "traffic.h"

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

namespace lagg::test {
namespace {

using pmd::kernel_links;
using pmd::link_table;
using bytes = std::vector<std::byte>;

constexpr unsigned running = IFF_UP | IFF_RUNNING;

template<class T>
void append(bytes& to, T const& value) {
    auto const* const p = reinterpret_cast<std::byte const*>(&value);
    to.insert(to.end(), p, p + sizeof value);
}

bytes message(std::uint16_t type, bytes const& body, std::uint32_t sequence = 0,
              std::uint16_t flags = 0) {
    nlmsghdr header{};
    header.nlmsg_len = static_cast<std::uint32_t>(sizeof header + body.size());
    header.nlmsg_type = type;
    header.nlmsg_flags = flags;
    header.nlmsg_seq = sequence;
    bytes out;
    append(out, header);
    out.insert(out.end(), body.begin(), body.end());
    out.resize(NLMSG_ALIGN(out.size()));
    return out;
}

/// `more`: attributes, which nobody reads, so that lengths are not all the same.
bytes link(int index, unsigned flags, std::uint16_t type = RTM_NEWLINK,
           unsigned char family = AF_UNSPEC, std::size_t more = 0) {
    ifinfomsg info{};
    info.ifi_family = family;
    info.ifi_index = index;
    info.ifi_flags = flags;
    bytes body;
    append(body, info);
    body.resize(body.size() + more);
    return message(type, body);
}

bytes operator+(bytes a, bytes const& b) {
    a.insert(a.end(), b.begin(), b.end());
    return a;
}

bytes done(std::uint32_t sequence, std::uint16_t flags = 0) {
    bytes body;
    append(body, 0);
    return message(NLMSG_DONE, body, sequence, flags);
}

TEST(LinkTable, KnowsNothingAtFirst) {
    link_table const t;
    EXPECT_EQ(std::nullopt, t.up(1));
    EXPECT_EQ(0U, t.changes());
    EXPECT_FALSE(t.in_step());
}

TEST(LinkTable, CallsALinkUpThatIsSwitchedOnAndHasCarrier) {
    link_table t;
    t.take(link(1, running) + link(2, IFF_UP) + link(3, IFF_RUNNING) + link(4, 0) +
           link(5, running | IFF_PROMISC, RTM_NEWLINK, AF_UNSPEC, 13));
    EXPECT_EQ(true, t.up(1));
    EXPECT_EQ(false, t.up(2));
    EXPECT_EQ(false, t.up(3));
    EXPECT_EQ(false, t.up(4));
    EXPECT_EQ(true, t.up(5));
    EXPECT_EQ(std::nullopt, t.up(6));
}

TEST(LinkTable, CountsWhatChangedAndNothingElse) {
    link_table t;
    t.take(link(7, running));
    EXPECT_EQ(1U, t.changes());
    t.take(link(7, running | IFF_ALLMULTI));
    EXPECT_EQ(1U, t.changes());
    t.take(link(7, IFF_UP));
    EXPECT_EQ(2U, t.changes());
    t.take(link(7, 0, RTM_DELLINK));
    EXPECT_EQ(3U, t.changes());
    EXPECT_EQ(std::nullopt, t.up(7));
    t.take(link(7, 0, RTM_DELLINK));
    EXPECT_EQ(3U, t.changes());
}

TEST(LinkTable, DoesNotTakeAPortThatLeavesABridgeForOneThatIsGone) {
    link_table t;
    t.take(link(3, running));
    t.take(link(3, 0, RTM_DELLINK, AF_BRIDGE));
    t.take(link(3, 0, RTM_NEWLINK, AF_BRIDGE));
    EXPECT_EQ(true, t.up(3));
    EXPECT_EQ(1U, t.changes());
}

TEST(LinkTable, TakesWholeMessagesOnlyWhereverADatagramIsCut) {
    bytes const first = link(1, running, RTM_NEWLINK, AF_UNSPEC, 5);
    bytes const second = link(2, running);
    bytes const all = first + second;
    std::size_t const whole_first = sizeof(nlmsghdr) + sizeof(ifinfomsg) + 5;
    for (std::size_t n = 0; n <= all.size(); ++n) {
        link_table t;
        bytes const cut(all.begin(),
                        all.begin() + static_cast<std::ptrdiff_t>(n)); // its end is ASan's to watch
        t.take(cut);
        EXPECT_EQ(n >= whole_first, t.up(1).has_value()) << n;
        EXPECT_EQ(n == all.size(), t.up(2).has_value()) << n;
    }
}

TEST(LinkTable, EndsAtALengthThatIsWrong) {
    for (std::uint32_t const length : {0U, 1U, 15U, 33U, 0xffffffffU}) {
        bytes datagram = link(1, running);
        std::memcpy(datagram.data(), &length, sizeof length);
        link_table t;
        t.take(datagram + link(2, running));
        // 33 reaches into the second message, whose rest is none.
        EXPECT_EQ(length == 33, t.up(1).has_value()) << length;
        EXPECT_EQ(std::nullopt, t.up(2)) << length;
    }
}

TEST(LinkTable, PassesOverMessagesTooShortForALinkAndWithoutAnIndex) {
    link_table t;
    t.take(message(RTM_NEWLINK, bytes(sizeof(ifinfomsg) - 1)) + link(0, running) +
           link(-1, running) + message(RTM_NEWADDR, bytes(40)) + link(9, running));
    EXPECT_EQ(1U, t.changes());
    EXPECT_EQ(true, t.up(9));
}

TEST(LinkTable, ForgetsAtTheEndOfADumpWhatItDidNotList) {
    link_table t;
    t.take(link(1, running) + link(2, running) + link(3, running));
    t.begin_dump(5);
    EXPECT_FALSE(t.in_step());
    t.take(link(1, running));
    t.take(link(2, IFF_UP)); // a change that was told meanwhile
    t.take(done(4));         // of another request
    EXPECT_FALSE(t.in_step());
    EXPECT_EQ(true, t.up(3));
    t.take(done(5));
    EXPECT_TRUE(t.in_step());
    EXPECT_EQ(true, t.up(1));
    EXPECT_EQ(false, t.up(2));
    EXPECT_EQ(std::nullopt, t.up(3));
    EXPECT_EQ(5U, t.changes());
    t.take(done(5));
    EXPECT_EQ(true, t.up(1));
}

TEST(LinkTable, TrustsNoDumpThatWasDisturbed) {
    for (bytes const& end : {done(5, NLM_F_DUMP_INTR), message(NLMSG_ERROR, bytes(20), 5)}) {
        link_table t;
        t.take(link(1, running));
        t.begin_dump(5);
        t.take(end);
        EXPECT_FALSE(t.in_step());
        EXPECT_EQ(true, t.up(1));
        t.begin_dump(6);
        t.take(done(6));
        EXPECT_TRUE(t.in_step());
        EXPECT_EQ(std::nullopt, t.up(1));
    }
}

TEST(LinkTable, IsOutOfStepAfterALossUntilTheNextDump) {
    link_table t;
    t.begin_dump(1);
    t.take(done(1));
    EXPECT_TRUE(t.in_step());
    t.lost();
    EXPECT_FALSE(t.in_step());
    t.begin_dump(2);
    t.lost(); // while it was under way
    t.take(done(2));
    EXPECT_FALSE(t.in_step());
    t.begin_dump(3);
    t.take(done(3));
    EXPECT_TRUE(t.in_step());
}

// -- with a socket -------------------------------------------------------------------------------

/// Runs `body` on a thread in a network name space of its own, or says why not.
void in_own_space(std::function<void()> const& body) {
    std::string reason;
    std::thread([&] {
        if (unshare(CLONE_NEWNET) != 0) {
            reason = std::string("no network name space of our own: ") + std::strerror(errno);
            return;
        }
        body();
    }).join();
    if (!reason.empty()) {
        GTEST_SKIP() << reason;
    }
}

bool run(std::string const& command) {
    return std::system((command + " >/dev/null 2>&1").c_str()) == 0;
}

void set_loopback(bool up) {
    int const fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    ifreq request{};
    std::strcpy(request.ifr_name, "lo");
    request.ifr_flags = up ? IFF_UP : 0;
    EXPECT_EQ(0, ioctl(fd, SIOCSIFFLAGS, &request)) << std::strerror(errno);
    close(fd);
}

short ready(kernel_links const& links) {
    pollfd p{links.fd(), POLLIN, 0};
    poll(&p, 1, 0);
    return p.revents;
}

TEST(KernelLinks, AreKnownFromTheBeginningAndFollowed) {
    in_own_space([] {
        set_loopback(true);
        kernel_links links;
        ASSERT_EQ(0, links.open());
        EXPECT_EQ(true, links.up(1));
        EXPECT_EQ(std::nullopt, links.up(999));
        for (bool const up : {false, true, false}) {
            auto const before = links.changes();
            EXPECT_EQ(0, ready(links));
            set_loopback(up);
            EXPECT_NE(0, ready(links) & POLLIN);
            links.drain();
            EXPECT_EQ(up, links.up(1));
            EXPECT_EQ(before + 1, links.changes());
        }
    });
}

TEST(KernelLinks, LoseTheirCarrierWithThePeerAndAreGoneWhenDeleted) {
    in_own_space([] {
        if (!run("ip link add a0 type veth peer name a1 && ip link set a0 up && ip link set a1 "
                 "up")) {
            GTEST_SKIP() << "no veth here";
        }
        kernel_links links;
        ASSERT_EQ(0, links.open());
        unsigned const a0 = if_nametoindex("a0");
        auto const drained_until = [&](std::optional<bool> what) {
            return wait_until(
                [&] {
                    links.drain();
                    return links.up(a0) == what;
                },
                "the kernel's word");
        };
        EXPECT_TRUE(drained_until(true));
        ASSERT_TRUE(run("ip link set a1 down"));
        EXPECT_TRUE(drained_until(false));
        ASSERT_TRUE(run("ip link set a1 up"));
        EXPECT_TRUE(drained_until(true));
        ASSERT_TRUE(run("ip link del a0"));
        EXPECT_TRUE(drained_until(std::nullopt));
    });
}

TEST(KernelLinks, AreRightAgainAfterMessagesWereLost) {
    in_own_space([] {
        kernel_links links;
        ASSERT_EQ(0, links.open());
        EXPECT_EQ(false, links.up(1));
        int const small = 1; // the kernel rounds up
        ASSERT_EQ(0, setsockopt(links.fd(), SOL_SOCKET, SO_RCVBUF, &small, sizeof small));
        for (bool const last : {true, false}) {
            // Until the socket tells of a loss, and then the change that was lost with certainty.
            for (int i = 0; (ready(links) & POLLERR) == 0; ++i) {
                ASSERT_LT(i, 100'000) << "the socket never overflows";
                set_loopback(i % 2 != 0);
            }
            set_loopback(!last);
            set_loopback(last);
            links.drain();
            EXPECT_EQ(last, links.up(1));
            EXPECT_EQ(0, ready(links));
        }
    });
}

} // namespace
} // namespace lagg::test
