#include "frames.h"

#include "setup.h"
#include "support/frame_builder.h"

#include <array>
#include <cstring>
#include <map>
#include <memory>
#include <random>
#include <tuple>

#include <sys/mman.h>

namespace bench {
namespace {

constexpr std::size_t max_burst = 1024;
constexpr std::size_t no_fcs = 60; // a frame of 64 bytes without its FCS

using lagg::test::bytes;
using lagg::test::frame_builder;

bytes frame_of(traffic kind, std::size_t i, std::mt19937& random) {
    auto const word = [&] { return static_cast<std::uint32_t>(random()); };
    auto const port = [&] { return static_cast<std::uint16_t>(random()); };
    auto const mac = [&] { return lagg::test::mac(word() & 0x00ff'ffffU); };
    auto const ip6 = [&] { return lagg::test::ip6(word(), word()); };
    frame_builder f;
    f.eth(mac(), mac());
    switch (kind) {
    case traffic::udp4: return f.ipv4(word(), word()).udp(port(), port()).pad_to(no_fcs).build();
    case traffic::udp6: return f.ipv6(ip6(), ip6()).udp(port(), port()).pad_to(no_fcs).build();
    case traffic::vlan:
        return f.vlan(static_cast<std::uint16_t>(1 + word() % 4000))
            .ipv4(word(), word())
            .udp(port(), port())
            .pad_to(no_fcs)
            .build();
    case traffic::mixed:
        switch (word() % 8) {
        case 0: return frame_of(traffic::udp6, i, random);
        case 1: return frame_of(traffic::vlan, i, random);
        case 2:
            return f.ipv4(word(), word(), {.option_bytes = 4})
                .udp(port(), port())
                .pad_to(60)
                .build();
        case 3: return f.arp_request(mac(), word(), word()).pad_to(no_fcs).build();
        case 4:
        case 5: return f.ipv4(word(), word()).tcp(port(), port()).pad_to(no_fcs).build();
        default: return frame_of(traffic::udp4, i, random);
        }
    case traffic::imix: {
        constexpr std::array<std::size_t, 12> sizes{60, 60,  60,  60,  60,  60,
                                                    60, 590, 590, 590, 590, 1514};
        return f.ipv4(word(), word())
            .udp(port(), port())
            .pad_to(sizes[word() % sizes.size()])
            .build();
    }
    case traffic::one_flow: {
        std::mt19937 same(7);
        return frame_of(traffic::udp4, i, same);
    }
    }
    return {};
}

constexpr std::size_t page = std::size_t{2} << 20;

/// Memory for the life of the process, in pages of 2 MB where the kernel has them.
void* memory(std::size_t size) {
    constexpr int how = MAP_PRIVATE | MAP_ANONYMOUS;
    void* at = mmap(nullptr, size, PROT_READ | PROT_WRITE, how | MAP_HUGETLB, -1, 0);
    if (at == MAP_FAILED) {
        at = mmap(nullptr, size + page, PROT_READ | PROT_WRITE, how, -1, 0);
        if (at == MAP_FAILED) {
            fail("no memory for frames");
        }
        auto const address = reinterpret_cast<std::uintptr_t>(at);
        at = reinterpret_cast<void*>((address + page - 1) / page * page);
        madvise(at, size, MADV_HUGEPAGE); // without it "cold" is slower, and alike for everybody
    }
    return at;
}

/// Mbufs one behind the other.  EAL without hugepages would put one into each page of 4 KB, so that
/// all of them competed for the same few cache sets.
rte_mempool* pool_of(std::size_t mbufs) {
    static unsigned pools = 0;
    std::string const name = "rotation" + std::to_string(pools++);
    rte_pktmbuf_pool_private room{};
    room.mbuf_data_room_size = RTE_MBUF_DEFAULT_BUF_SIZE;
    rte_mempool* const pool = rte_mempool_create_empty(
        name.c_str(), static_cast<unsigned>(mbufs), sizeof(rte_mbuf) + RTE_MBUF_DEFAULT_BUF_SIZE, 0,
        sizeof room, SOCKET_ID_ANY, RTE_MEMPOOL_F_NO_IOVA_CONTIG);
    if (pool == nullptr) {
        fail("no mempool " + name);
    }
    must(rte_mempool_set_ops_byname(pool, "ring_mp_mc", nullptr), "mempool ops");
    rte_pktmbuf_pool_init(pool, &room);
    std::size_t const each = pool->header_size + pool->elt_size + pool->trailer_size;
    std::size_t const size = (mbufs * each / page + 2) * page;
    int const populated = must(rte_mempool_populate_iova(pool, static_cast<char*>(memory(size)),
                                                         RTE_BAD_IOVA, size, nullptr, nullptr),
                               "mempool");
    if (static_cast<std::size_t>(populated) < mbufs) {
        fail("mempool holds " + std::to_string(populated) + " mbufs only");
    }
    rte_mempool_obj_iter(pool, rte_pktmbuf_init, nullptr);
    return pool;
}

rte_mbuf* mbuf_with(rte_mempool* pool, bytes const& frame) {
    rte_mbuf* const m = rte_pktmbuf_alloc(pool);
    if (m == nullptr) {
        fail("the mbuf pool is too small");
    }
    std::memcpy(rte_pktmbuf_append(m, static_cast<std::uint16_t>(frame.size())), frame.data(),
                frame.size());
    return m;
}

} // namespace

std::string name_of(traffic kind) {
    switch (kind) {
    case traffic::udp4: return "udp4";
    case traffic::udp6: return "udp6";
    case traffic::vlan: return "vlan";
    case traffic::mixed: return "mixed";
    case traffic::imix: return "imix";
    case traffic::one_flow: return "one_flow";
    }
    return {};
}

rotation::rotation(traffic kind, std::size_t mbufs, bool rss) : size_(mbufs) {
    rte_mempool* const pool = pool_of(mbufs);
    std::mt19937 random(20261123);
    for (std::size_t i = 0; i < mbufs; ++i) {
        rte_mbuf* const m = mbuf_with(pool, frame_of(kind, i, random));
        m->hash.rss = static_cast<std::uint32_t>(random());
        m->ol_flags |= rss ? RTE_MBUF_F_RX_RSS_HASH : 0;
        frames_.push_back(m);
    }
    for (std::size_t i = 0; i < max_burst; ++i) {
        frames_.push_back(frames_[i % mbufs]);
    }
}

rotation& rotation::of(traffic kind, std::size_t mbufs, bool rss) {
    static std::map<std::tuple<traffic, std::size_t, bool>, std::unique_ptr<rotation>> all;
    auto& one = all[{kind, mbufs, rss}];
    if (one == nullptr) {
        one.reset(new rotation(kind, mbufs, rss));
    }
    return *one;
}

std::unique_ptr<rotation> rotation::another(traffic kind, std::size_t mbufs) {
    return std::unique_ptr<rotation>(new rotation(kind, mbufs, false));
}

std::vector<rte_mbuf*> rotation::all() const {
    return {frames_.begin(), frames_.begin() + static_cast<std::ptrdiff_t>(size_)};
}

} // namespace bench
