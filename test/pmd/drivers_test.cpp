// Members that other drivers drive: rings, null, tap, packet sockets, capture files.  Each joins,
// carries frames both ways and is given back as found.  Interfaces are made in a network name space
// of this process's own.
#include "traffic.h"

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <memory>
#include <set>
#include <string>

#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

namespace lagg::test {
namespace {

constexpr unsigned patience = 30'000;
constexpr std::uint16_t frame_bytes = 64;

/// Before EAL starts a thread, so that all threads are in there.  0 or errno.
int const own_space = unshare(CLONE_NEWNET) == 0 ? 0 : errno;

bool run(std::string const& command) {
    return std::system((command + " >/dev/null 2>&1").c_str()) == 0;
}

/// Empty, or why there can be no interface here.
std::string no_interfaces() {
    static std::string const reason = [] {
        if (own_space != 0) {
            return std::string("no network name space of our own: ") + std::strerror(own_space);
        }
        // Nothing but the tests' frames is to cross.
        std::ofstream("/proc/sys/net/ipv6/conf/default/disable_ipv6") << "1";
        std::ofstream("/proc/sys/net/ipv6/conf/all/disable_ipv6") << "1";
        return run("ip link set lo up") ? std::string() : std::string("no ip command");
    }();
    return reason;
}

/// A frame of frames(), as bytes.
std::vector<char> frame(std::uint32_t flow) {
    auto list = frames(1, flow, frame_bytes);
    auto const* const p = rte_pktmbuf_mtod(list[0], char const*);
    std::vector<char> out(p, p + frame_bytes);
    free_all(list);
    return out;
}

bool is_ours(char const* data, std::size_t size) {
    constexpr char head[] = "\xff\xff\xff\xff\xff\xff\x02\0\0\0\0\0\x08\0\x45";
    return size >= frame_bytes && std::memcmp(data, head, sizeof head - 1) == 0;
}

/// A kernel interface: sends into it and hears what arrives on it.
class kernel_end {
public:
    explicit kernel_end(std::string const& name)
        : fd_(socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, htons(ETH_P_ALL))) {
        sockaddr_ll address{};
        address.sll_family = AF_PACKET;
        address.sll_protocol = htons(ETH_P_ALL);
        address.sll_ifindex = static_cast<int>(if_nametoindex(name.c_str()));
        EXPECT_EQ(0, bind(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address))
            << name << ": " << std::strerror(errno);
    }
    ~kernel_end() { close(fd_); }
    kernel_end(kernel_end const&) = delete;
    kernel_end& operator=(kernel_end const&) = delete;

    void send(std::size_t n) {
        for (std::size_t i = 0; i < n; ++i) {
            auto const data = frame(static_cast<std::uint32_t>(i));
            EXPECT_TRUE(wait_until(
                [&] {
                    return ::send(fd_, data.data(), data.size(), 0) ==
                           static_cast<ssize_t>(data.size());
                },
                "a frame sent by the kernel"));
        }
    }
    /// All that arrived so far.
    std::size_t arrived() {
        char data[2048];
        sockaddr_ll from{};
        socklen_t size = sizeof from;
        for (;;) {
            ssize_t const n =
                recvfrom(fd_, data, sizeof data, 0, reinterpret_cast<sockaddr*>(&from), &size);
            if (n < 0) {
                return arrived_;
            }
            arrived_ +=
                from.sll_pkttype != PACKET_OUTGOING && is_ours(data, static_cast<std::size_t>(n));
        }
    }

private:
    int fd_;
    std::size_t arrived_ = 0;
};

/// A port of another driver, and what is behind it.
class real_member {
public:
    virtual ~real_member() = default;
    std::uint16_t port() const { return device_.port(); }
    std::string const& name() const { return device_.name(); }
    bool ok() const { return device_.ok(); }

    /// `n` frames are to be received by it.
    virtual void send_to_it(std::size_t n) = 0;
    /// How many of the frames that it transmitted arrived behind it.
    virtual std::size_t arrived() = 0;
    /// arrived() is known only when the port has been stopped.
    virtual bool tells_when_stopped() const { return false; }
    /// More may be received than was sent to it.
    virtual bool makes_frames() const { return false; }

protected:
    vdev device_;
};

/// One ring, read where it is written: what it transmits, it receives.
class ring_member final : public real_member {
public:
    ring_member() { device_ = vdev("net_ring", ""); }
    void send_to_it(std::size_t) override {}
    std::size_t arrived() override {
        rte_eth_stats s{};
        rte_eth_stats_get(port(), &s);
        return s.opackets;
    }
};

class null_member final : public real_member {
public:
    null_member() { device_ = vdev("net_null", "size=64"); }
    void send_to_it(std::size_t) override {}
    std::size_t arrived() override {
        rte_eth_stats s{};
        rte_eth_stats_get(port(), &s);
        return s.opackets;
    }
    bool makes_frames() const override { return true; }
};

class tap_member final : public real_member {
public:
    tap_member() {
        static int number = 0;
        interface_ = "lt" + std::to_string(number++);
        device_ = vdev("net_tap", "iface=" + interface_);
        if (ok()) {
            kernel_ = std::make_unique<kernel_end>(interface_);
        }
    }
    void send_to_it(std::size_t n) override { kernel_->send(n); }
    std::size_t arrived() override { return kernel_->arrived(); }
    std::string const& interface() const { return interface_; }

private:
    std::string interface_;
    std::unique_ptr<kernel_end> kernel_;
};

/// A packet socket on one end of a veth pair.
class packet_member final : public real_member {
public:
    packet_member() {
        static int number = 0;
        auto const suffix = std::to_string(number++);
        near_ = "la" + suffix;
        far_ = "lb" + suffix;
        EXPECT_TRUE(run("ip link add " + near_ + " type veth peer name " + far_));
        EXPECT_TRUE(run("ip link set " + near_ + " up") && run("ip link set " + far_ + " up"));
        device_ = vdev("net_af_packet", "iface=" + near_);
        kernel_ = std::make_unique<kernel_end>(far_);
    }
    ~packet_member() override {
        device_.close();
        run("ip link del " + near_);
    }
    void send_to_it(std::size_t n) override { kernel_->send(n); }
    std::size_t arrived() override { return kernel_->arrived(); }
    std::string const& near() const { return near_; }
    std::string const& far() const { return far_; }

private:
    std::string near_;
    std::string far_;
    std::unique_ptr<kernel_end> kernel_;
};

/// Reads one capture file and writes another.
class capture_member final : public real_member {
public:
    static constexpr std::size_t recorded = 40;

    capture_member() {
        folder_ = testing::TempDir() + "net_lagg-capture-XXXXXX";
        EXPECT_NE(nullptr, mkdtemp(folder_.data()));
        write();
        device_ = vdev("net_pcap", "rx_pcap=" + folder_ + "/in,tx_pcap=" + folder_ + "/out");
    }
    ~capture_member() override {
        device_.close();
        for (char const* const file : {"/in", "/out"}) {
            unlink((folder_ + file).c_str());
        }
        rmdir(folder_.c_str());
    }
    void send_to_it(std::size_t n) override { EXPECT_EQ(recorded, n); }
    bool tells_when_stopped() const override { return true; }
    std::size_t arrived() override {
        std::ifstream file(folder_ + "/out", std::ios::binary);
        std::vector<char> const data((std::istreambuf_iterator<char>(file)),
                                     std::istreambuf_iterator<char>());
        std::size_t n = 0;
        for (std::size_t at = 24; at + 16 <= data.size();) {
            std::uint32_t length = 0;
            std::memcpy(&length, data.data() + at + 8, sizeof length);
            at += 16;
            if (at + length > data.size()) {
                ADD_FAILURE() << "the capture ends inside a frame";
                break;
            }
            n += is_ours(data.data() + at, length);
            at += length;
        }
        return n;
    }

private:
    void write() {
        std::ofstream file(folder_ + "/in", std::ios::binary);
        auto const put = [&file](auto value) {
            file.write(reinterpret_cast<char const*>(&value), sizeof value);
        };
        put(std::uint32_t{0xa1b2c3d4});
        put(std::uint16_t{2});
        put(std::uint16_t{4});
        put(std::uint64_t{0});
        put(std::uint32_t{65535});
        put(std::uint32_t{1});
        for (std::uint32_t i = 0; i < recorded; ++i) {
            put(i);
            put(std::uint32_t{0});
            put(std::uint32_t{frame_bytes});
            put(std::uint32_t{frame_bytes});
            auto const data = frame(i);
            file.write(data.data(), static_cast<std::streamsize>(data.size()));
        }
    }
    std::string folder_;
};

struct kind {
    char const* name;
    bool fixed_mac;
    bool needs_interfaces;
    std::unique_ptr<real_member> (*make)();
};

template<class T>
std::unique_ptr<real_member> make() {
    return std::make_unique<T>();
}

constexpr kind kinds[] = {
    {"ring", true, false, make<ring_member>},    {"null", false, false, make<null_member>},
    {"tap", false, true, make<tap_member>},      {"af_packet", false, true, make<packet_member>},
    {"pcap", true, false, make<capture_member>},
};

/// What is logged while this object lives.
class log_text {
public:
    log_text() : stream_(open_memstream(&text_, &size_)) { rte_openlog_stream(stream_); }
    ~log_text() {
        rte_openlog_stream(nullptr);
        std::fclose(stream_);
        std::free(text_);
    }
    log_text(log_text const&) = delete;
    log_text& operator=(log_text const&) = delete;

    std::size_t count(std::string const& words) {
        std::fflush(stream_);
        std::string const all(text_, size_);
        std::size_t n = 0;
        for (std::size_t at = all.find(words); at != std::string::npos;
             at = all.find(words, at + 1)) {
            ++n;
        }
        return n;
    }
    std::string all() {
        std::fflush(stream_);
        return {text_, size_};
    }

private:
    char* text_ = nullptr;
    std::size_t size_ = 0;
    FILE* stream_;
};

/// What an application could tell apart before and after its port was a member.
struct as_found {
    explicit as_found(std::uint16_t port)
        : promiscuous(rte_eth_promiscuous_get(port)), allmulticast(rte_eth_allmulticast_get(port)) {
        EXPECT_EQ(0, rte_eth_macaddr_get(port, &mac));
        EXPECT_EQ(0, rte_eth_dev_get_mtu(port, &mtu));
    }
    void check(std::uint16_t port) const {
        as_found const now(port);
        EXPECT_TRUE(rte_is_same_ether_addr(&mac, &now.mac));
        EXPECT_EQ(mtu, now.mtu);
        EXPECT_EQ(promiscuous, now.promiscuous);
        EXPECT_EQ(allmulticast, now.allmulticast);
        EXPECT_EQ("", owner_of(port));
        EXPECT_EQ(0, rte_eth_devices[port].data->dev_started);
    }
    rte_ether_addr mac{};
    std::uint16_t mtu = 0;
    int promiscuous;
    int allmulticast;
};

/// Offers frames until `n` were taken.
void send_all(std::uint16_t port, std::size_t n) {
    std::size_t taken = 0;
    EXPECT_TRUE(wait_until(
        [&] {
            auto const left = std::min<std::size_t>(n - taken, 16);
            taken += send(port, frames(left, static_cast<std::uint32_t>(taken), frame_bytes));
            return taken == n;
        },
        "frames taken"));
}

/// Receives until `n` frames of ours came; foreign ones are passed over.
void receive_some(std::uint16_t port, std::size_t n, bool any) {
    std::size_t got = 0;
    EXPECT_TRUE(wait_until(
        [&] {
            rte_mbuf* list[16];
            auto const room = static_cast<std::uint16_t>(std::min<std::size_t>(n - got, 16));
            std::uint16_t const m = rte_eth_rx_burst(port, 0, list, room);
            for (std::uint16_t i = 0; i < m; ++i) {
                EXPECT_EQ(port, list[i]->port);
                got += any || is_ours(rte_pktmbuf_mtod(list[i], char const*), list[i]->data_len);
                rte_pktmbuf_free(list[i]);
            }
            return got == n;
        },
        "frames received"));
}

struct Drivers : testing::TestWithParam<kind> {
    void SetUp() override {
        if (auto const reason = no_interfaces(); GetParam().needs_interfaces && !reason.empty()) {
            GTEST_SKIP() << reason;
        }
        pool();
        before = pool_level();
    }
    void TearDown() override {
        if (!IsSkipped()) {
            EXPECT_EQ(before, pool_level());
        }
    }
    unsigned before = 0;
};

void carry_both_ways(lagg_port const& lagg, real_member& m) {
    std::size_t const n = capture_member::recorded;
    std::size_t const behind = m.arrived();
    send_all(lagg.id(), n);
    EXPECT_EQ(n, lagg.stats().opackets);
    if (!m.tells_when_stopped()) {
        EXPECT_TRUE(
            wait_until([&] { return m.arrived() == behind + n; }, "frames behind the member"));
    }
    m.send_to_it(n);
    receive_some(lagg.id(), n, m.makes_frames());
    EXPECT_GE(lagg.stats().ipackets, n);
}

TEST_P(Drivers, CarryFramesBothWaysAndAreGivenBackAsFound) {
    auto const m = GetParam().make();
    ASSERT_TRUE(m->ok());
    as_found const was(m->port());
    log_text log;
    {
        lagg_port lagg("policy=loadbalance,mac=02:11:22:33:44:55");
        ASSERT_TRUE(lagg.ok());
        lagg.add(m->port());
        lagg.start();
        lagg.until(
            [](auto const& s) { return s.members[0].distributing && s.members[0].collecting; });
        EXPECT_EQ(GetParam().fixed_mac, lagg.member(m->port()).promiscuous_for_us);
        EXPECT_EQ(GetParam().fixed_mac ? 1U : 0U, log.count(m->name() + " (port")) << log.all();
        carry_both_ways(lagg, *m);

        ASSERT_EQ(0, rte_pmd_lagg_member_remove(lagg.id(), m->port(), patience));
        was.check(m->port());
        if (m->tells_when_stopped()) {
            EXPECT_EQ(capture_member::recorded, m->arrived());
        }
        // Frames that it held when it left are handed up, then nothing more.
        receive_all(lagg.id());
        EXPECT_EQ(0U, send(lagg.id(), frames(4)));
    }
    was.check(m->port());
}

TEST_P(Drivers, JoinUnderTrafficAndAreGivenBackByDestroy) {
    auto const m = GetParam().make();
    ASSERT_TRUE(m->ok());
    as_found const was(m->port());
    vdev other("net_null", "no-rx=1");
    ASSERT_TRUE(other.ok());
    {
        lagg_port lagg("policy=roundrobin,mac=02:11:22:33:44:55");
        lagg.add(other.port());
        lagg.start();
        lagg.until([](auto const& status) { return status.members[0].distributing; });
        {
            traffic application(lagg.id());
            for (int i = 0; i < 3; ++i) {
                application.flows();
                ASSERT_EQ(0, rte_pmd_lagg_member_add(lagg.id(), m->port(), patience));
                lagg.until([&](auto const&) { return lagg.member(m->port()).distributing; });
                application.flows();
                ASSERT_EQ(0, rte_pmd_lagg_member_remove(lagg.id(), m->port(), patience));
                was.check(m->port());
            }
            ASSERT_EQ(0, rte_pmd_lagg_member_add(lagg.id(), m->port(), patience));
            application.flows();
            application.stop();
            EXPECT_EQ(0U, application.wrong());
        }
        if (!m->makes_frames()) {
            receive_all(lagg.id()); // a ring keeps what it holds when it is stopped, and loses it
                                    // when it is closed
        }
        ASSERT_EQ(0, rte_eth_dev_stop(lagg.id()));
    }
    was.check(m->port());
}

INSTANTIATE_TEST_SUITE_P(Kind, Drivers, testing::ValuesIn(kinds),
                         [](testing::TestParamInfo<kind> const& one) {
                             return std::string(one.param.name);
                         });

// -- copies ---------------------------------------------------------------------------------------

TEST(Broadcast, GivesEachReceiverOfARingACopyOfItsOwn) {
    unsigned const before = pool_level();
    {
        ring_member a;
        ring_member b;
        ring_member c;
        lagg_port lagg("policy=broadcast");
        for (auto const* const m : {&a, &b, &c}) {
            lagg.add(m->port());
        }
        lagg.start();
        lagg.until([](auto const& s) {
            return s.members[0].distributing && s.members[1].distributing &&
                   s.members[2].distributing;
        });
        EXPECT_EQ(4U, send(lagg.id(), frames(4)));
        std::vector<rte_mbuf*> copies;
        EXPECT_TRUE(wait_until(
            [&] {
                rte_mbuf* got[16];
                auto const n = rte_eth_rx_burst(lagg.id(), 0, got, 16);
                copies.insert(copies.end(), got, got + n);
                return copies.size() == 12;
            },
            "all copies"));
        std::set<char const*> buffers;
        for (rte_mbuf* const m : copies) {
            EXPECT_EQ(1, rte_mbuf_refcnt_read(m));
            EXPECT_TRUE(is_ours(rte_pktmbuf_mtod(m, char const*), m->data_len));
            buffers.insert(rte_pktmbuf_mtod(m, char const*));
            std::memset(rte_pktmbuf_mtod(m, char*), 0xa5, m->data_len); // theirs to change
        }
        EXPECT_EQ(copies.size(), buffers.size());
        free_all(copies);
    }
    EXPECT_EQ(before, pool_level());
}

// -- links that only the kernel tells of
// ------------------------------------------------------------

struct KernelLink : testing::Test {
    void SetUp() override {
        if (auto const reason = no_interfaces(); !reason.empty()) {
            GTEST_SKIP() << reason;
        }
    }
};

/// Every frame that is sent from here on arrives behind `m`.
void expect_all_on(lagg_port const& lagg, real_member& m) {
    auto const behind = m.arrived();
    send_all(lagg.id(), 64);
    EXPECT_TRUE(wait_until([&] { return m.arrived() == behind + 64; }, "all frames on one member"));
}

void expect_some_on(lagg_port const& lagg, real_member& m) {
    auto const behind = m.arrived();
    send_all(lagg.id(), 64);
    EXPECT_TRUE(wait_until([&] { return m.arrived() > behind; }, "frames on a member"));
}

void until_usable(lagg_port const& lagg, real_member const& m, bool usable) {
    lagg.until([&](auto const&) { return lagg.member(m.port()).usable == usable; });
}

TEST_F(KernelLink, OfAPacketSocketIsLostAndComesBack) {
    unsigned const before = pool_level();
    {
        packet_member a;
        packet_member b;
        ASSERT_TRUE(a.ok() && b.ok());
        // Nothing is polled for a minute: what is seen here came from the kernel.
        lagg_port lagg("policy=loadbalance,lsc_poll_period_ms=60000");
        lagg.add(a.port());
        lagg.add(b.port());
        lagg.start();
        for (int i = 0; i < 3; ++i) {
            until_usable(lagg, a, true);
            until_usable(lagg, b, true);
            expect_some_on(lagg, a);
            expect_some_on(lagg, b);
            ASSERT_TRUE(run("ip link set " + a.far() + " down"));
            until_usable(lagg, a, false);
            expect_all_on(lagg, b);
            ASSERT_TRUE(run("ip link set " + a.far() + " up"));
        }
        until_usable(lagg, a, true);
        expect_some_on(lagg, a);
        // Our own end switched off is no link either.
        ASSERT_TRUE(run("ip link set " + b.near() + " down"));
        until_usable(lagg, b, false);
        expect_all_on(lagg, a);
    }
    EXPECT_EQ(before, pool_level());
}

TEST_F(KernelLink, IsDownFromTheBeginningWhereThereIsNoCarrier) {
    packet_member a;
    packet_member b;
    ASSERT_TRUE(run("ip link set " + a.far() + " down"));
    lagg_port lagg("policy=failover,primary=" + a.name() + ",lsc_poll_period_ms=60000");
    lagg.add(a.port());
    lagg.start();
    lagg.settle();
    EXPECT_FALSE(lagg.member(a.port()).link_up);
    EXPECT_EQ(0U, send(lagg.id(), frames(4)));
    lagg.add(b.port()); // to one that runs
    until_usable(lagg, b, true);
    expect_all_on(lagg, b);
    ASSERT_TRUE(run("ip link set " + a.far() + " up"));
    until_usable(lagg, a, true);
    expect_all_on(lagg, a);
}

TEST_F(KernelLink, IsDownWhenTheInterfaceIsDeleted) {
    packet_member a;
    packet_member b;
    lagg_port lagg("policy=loadbalance,lsc_poll_period_ms=60000");
    lagg.add(a.port());
    lagg.add(b.port());
    lagg.start();
    until_usable(lagg, a, true);
    until_usable(lagg, b, true);
    ASSERT_TRUE(run("ip link del " + a.near()));
    until_usable(lagg, a, false);
    expect_all_on(lagg, b);
}

TEST_F(KernelLink, OfATapIsLostAndComesBack) {
    tap_member a;
    tap_member b;
    ASSERT_TRUE(a.ok() && b.ok());
    lagg_port lagg("policy=loadbalance,lsc_poll_period_ms=60000");
    lagg.add(a.port());
    lagg.add(b.port());
    lagg.start();
    until_usable(lagg, a, true);
    until_usable(lagg, b, true);
    ASSERT_TRUE(run("ip link set " + a.interface() + " down"));
    until_usable(lagg, a, false);
    expect_all_on(lagg, b);
    ASSERT_TRUE(run("ip link set " + a.interface() + " up"));
    until_usable(lagg, a, true);
    expect_some_on(lagg, a);
}

} // namespace
} // namespace lagg::test
