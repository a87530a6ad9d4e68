#include "fixture.h"

#include "support/frame_builder.h"

#include <rte_ether.h>
#include <rte_malloc.h>

#include <cstdlib>
#include <cstring>

#include <sched.h>

namespace lagg::test {

rte_mempool* pool() {
    static rte_mempool* const p =
        rte_pktmbuf_pool_create("test", 8191, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
    return p;
}

int times(int brief, int full) {
    return std::getenv("LAGG_TORTURE_SECONDS") == nullptr ? brief : full;
}

bool storm::goes_on() {
    using namespace std::chrono_literals;
    bool const more = std::chrono::steady_clock::now() - begin_ < times(0, 60) * 1s;
    bool const yes = turns_ < brief_ || more;
    turns_ += yes;
    return yes;
}

namespace {
std::vector<int> const cpus_at_start = [] { // before main(), and so before EAL
    cpu_set_t set;
    CPU_ZERO(&set);
    std::vector<int> all;
    if (sched_getaffinity(0, sizeof set, &set) == 0) {
        for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
            if (CPU_ISSET(cpu, &set)) {
                all.push_back(cpu);
            }
        }
    }
    return all;
}();
} // namespace

std::vector<int> const& cpus() {
    return cpus_at_start;
}

unsigned pool_level() {
    return rte_mempool_avail_count(pool());
}

vdev::vdev(std::string const& prefix, std::string const& args) {
    static unsigned number = 0;
    name_ = prefix + std::to_string(1000 + number++);
    rc_ = rte_vdev_init(name_.c_str(), args.c_str());
    if (rc_ == 0) {
        rc_ = rte_eth_dev_get_port_by_name(name_.c_str(), &port_);
    }
}

void vdev::close() {
    if (rc_ != 0) {
        return;
    }
    rc_ = -1;
    rte_eth_dev_stop(port_);
    rte_vdev_uninit(name_.c_str());
}

wire_pair wire(std::string const& near_args, std::uint16_t queues) {
    wire_pair w;
    w.far = vdev("net_wire", "");
    // The far end was probed without a peer; the near one names it.
    w.near = vdev("net_wire", "peer=" + w.far.name() + (near_args.empty() ? "" : "," + near_args));
    EXPECT_TRUE(w.near.ok());
    bring_up(w.far.port(), queues);
    rte_eth_promiscuous_enable(w.far.port());
    return w;
}

void bring_up(std::uint16_t port, std::uint16_t queues, rte_eth_conf const* conf) {
    rte_eth_conf const plain{};
    ASSERT_EQ(0, rte_eth_dev_configure(port, queues, queues, conf == nullptr ? &plain : conf));
    for (std::uint16_t q = 0; q < queues; ++q) {
        ASSERT_EQ(0, rte_eth_rx_queue_setup(port, q, 512, SOCKET_ID_ANY, nullptr, pool()));
        ASSERT_EQ(0, rte_eth_tx_queue_setup(port, q, 512, SOCKET_ID_ANY, nullptr));
    }
    ASSERT_EQ(0, rte_eth_dev_start(port));
}

lagg_port::lagg_port(std::string const& args) {
    static unsigned number = 0;
    name_ = "net_lagg" + std::to_string(number++);
    id_ = rte_pmd_lagg_create(name_.c_str(), args.c_str());
}

void lagg_port::add(std::uint16_t member) {
    ASSERT_EQ(0, rte_pmd_lagg_member_add(id(), member, 10'000));
}

void lagg_port::remove(std::uint16_t member) {
    ASSERT_EQ(0, rte_pmd_lagg_member_remove(id(), member, 10'000));
}

void lagg_port::destroy() {
    if (id_ < 0) {
        return;
    }
    EXPECT_EQ(0, rte_pmd_lagg_destroy(id()));
    id_ = -1;
}

rte_pmd_lagg_status lagg_port::status() const {
    rte_pmd_lagg_status s{};
    EXPECT_EQ(0, rte_pmd_lagg_status_get(id(), &s));
    return s;
}

void lagg_port::settle() const {
    // The first round trip may have overtaken what was raised; control acted on it before the
    // second.
    for (int i = 0; i < 2; ++i) {
        int const rc = rte_pmd_lagg_barrier(id(), 1);
        EXPECT_TRUE(rc == 0 || rc == -ETIMEDOUT) << rc;
    }
}

void lagg_port::until(std::function<bool(rte_pmd_lagg_status const&)> const& what) const {
    auto const deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (!what(status())) {
        ASSERT_LT(std::chrono::steady_clock::now(), deadline) << "did not come true";
        settle();
    }
}

rte_pmd_lagg_member_status lagg_port::member(std::uint16_t port) const {
    auto const s = status();
    for (std::uint16_t i = 0; i < s.nb_members; ++i) {
        if (s.members[i].port == port) {
            return s.members[i];
        }
    }
    ADD_FAILURE() << "port " << port << " is not a member";
    return {};
}

std::uint64_t lagg_port::xstat(std::string const& name) const {
    std::uint64_t id_of = 0;
    std::uint64_t value = 0;
    EXPECT_EQ(0, rte_eth_xstats_get_id_by_name(id(), name.c_str(), &id_of)) << name;
    EXPECT_EQ(1, rte_eth_xstats_get_by_id(id(), &id_of, &value, 1)) << name;
    return value;
}

rte_eth_stats lagg_port::stats() const {
    rte_eth_stats s{};
    EXPECT_EQ(0, rte_eth_stats_get(id(), &s));
    return s;
}

std::vector<rte_mbuf*> frames(std::size_t n, std::uint32_t first_flow, std::uint16_t size) {
    std::vector<rte_mbuf*> out;
    for (std::size_t i = 0; i < n; ++i) {
        auto const flow = static_cast<std::uint32_t>(first_flow + i);
        rte_mbuf* const m = rte_pktmbuf_alloc(pool());
        if (m == nullptr) {
            ADD_FAILURE() << "pool is empty";
            return out;
        }
        auto* const p = reinterpret_cast<std::uint8_t*>(rte_pktmbuf_append(m, size));
        std::memset(p, 0, size);
        // Ethernet to everybody, IPv4, UDP; the flow number is in address and port.
        std::memset(p, 0xff, 6);
        p[6] = 0x02;
        p[12] = 0x08;
        p[14] = 0x45;
        p[17] = static_cast<std::uint8_t>(size - 14);
        p[22] = 64;
        p[23] = 17;
        p[26] = 10;
        p[27] = static_cast<std::uint8_t>(flow >> 16);
        p[28] = static_cast<std::uint8_t>(flow >> 8);
        p[29] = static_cast<std::uint8_t>(flow);
        p[30] = 10;
        p[33] = 1;
        p[34] = static_cast<std::uint8_t>(flow >> 8);
        p[35] = static_cast<std::uint8_t>(flow);
        p[37] = 53;
        out.push_back(m);
    }
    return out;
}

void free_all(std::vector<rte_mbuf*>& list) {
    for (rte_mbuf* const m : list) {
        rte_pktmbuf_free(m);
    }
    list.clear();
}

std::uint16_t send(std::uint16_t port, std::vector<rte_mbuf*> list, std::uint16_t queue) {
    std::uint16_t const n =
        rte_eth_tx_burst(port, queue, list.data(), static_cast<std::uint16_t>(list.size()));
    for (std::size_t i = n; i < list.size(); ++i) {
        rte_pktmbuf_free(list[i]);
    }
    return n;
}

std::size_t receive_all(std::uint16_t port, std::uint16_t queue) {
    std::size_t total = 0;
    rte_mbuf* got[32];
    while (std::uint16_t const n = rte_eth_rx_burst(port, queue, got, 32)) {
        for (std::uint16_t i = 0; i < n; ++i) {
            rte_pktmbuf_free(got[i]);
        }
        total += n;
    }
    return total;
}

} // namespace lagg::test
