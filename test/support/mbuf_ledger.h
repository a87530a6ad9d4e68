// Where every mbuf of a test is: the pool's own count against what the test can point at.  A frame
// that was freed twice, leaked, or freed while somebody still owns it makes the two disagree.
// Knows no lagg.
#pragma once

#include <gtest/gtest.h>

#include <rte_errno.h>
#include <rte_mbuf.h>

#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <set>
#include <span>
#include <string>
#include <vector>

namespace lagg::test {

/// One pool and its books.  The pool has no cache, so that its count is exact.  EAL is running.
class mbuf_ledger {
public:
    explicit mbuf_ledger(unsigned int size, std::string const& name = "ledger") : size_(size) {
        static int made = 0;
        std::string const unique = name + std::to_string(made++);
        pool_ = rte_pktmbuf_pool_create(unique.c_str(), size, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, -1);
        EXPECT_NE(pool_, nullptr) << rte_strerror(rte_errno);
    }
    ~mbuf_ledger() {
        EXPECT_EQ(in_use(), 0U) << "mbufs that did not come back";
        rte_mempool_free(pool_);
    }
    mbuf_ledger(mbuf_ledger const&) = delete;
    mbuf_ledger& operator=(mbuf_ledger const&) = delete;

    rte_mempool* pool() const noexcept { return pool_; }
    unsigned int in_use() const noexcept { return size_ - rte_mempool_avail_count(pool_); }

    /// A frame of these bytes, in `segments` parts, the first as long as the others or longer.
    /// The caller's; null when the pool is empty.
    rte_mbuf* make(std::span<std::uint8_t const> data, unsigned int segments = 1) const {
        rte_mbuf* frame = nullptr;
        std::size_t at = 0;
        for (unsigned int i = 0; i < segments; ++i) {
            std::size_t const left = data.size() - at;
            std::size_t const part =
                i == 0 ? left - (left / segments) * (segments - 1) : left / (segments - i);
            rte_mbuf* const segment = rte_pktmbuf_alloc(pool_);
            if (segment == nullptr) {
                rte_pktmbuf_free(frame);
                return nullptr;
            }
            std::memcpy(rte_pktmbuf_append(segment, static_cast<std::uint16_t>(part)),
                        data.data() + at, part);
            at += part;
            if (frame == nullptr) {
                frame = segment;
            } else {
                EXPECT_EQ(rte_pktmbuf_chain(frame, segment), 0);
            }
        }
        return frame;
    }

    /// Everybody who owns frames of this pool: in_use() is the number of their segments, a shared
    /// one counted once, and each reference is somebody's.
    void expect_accounted(std::initializer_list<std::span<rte_mbuf* const>> owners) const {
        std::multiset<rte_mbuf const*> references;
        for (std::span<rte_mbuf* const> const owned : owners) {
            for (rte_mbuf const* frame : owned) {
                for (; frame != nullptr; frame = frame->next) {
                    references.insert(frame);
                }
            }
        }
        unsigned int segments = 0;
        for (auto at = references.begin(); at != references.end();
             at = references.upper_bound(*at)) {
            ++segments;
            ASSERT_EQ(rte_mbuf_refcnt_read(*at), references.count(*at));
        }
        ASSERT_EQ(in_use(), segments);
    }

private:
    unsigned int size_;
    rte_mempool* pool_;
};

/// The bytes of a frame, of all its segments.
inline std::vector<std::uint8_t> bytes_of(rte_mbuf const& frame) {
    std::vector<std::uint8_t> all;
    for (rte_mbuf const* s = &frame; s != nullptr; s = s->next) {
        auto const* const data = rte_pktmbuf_mtod(s, std::uint8_t const*);
        all.insert(all.end(), data, data + s->data_len);
    }
    return all;
}

} // namespace lagg::test
