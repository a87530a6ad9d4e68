// The transmit and receive bursts of a wire. They read the published passage and a few one-word
// settings, take no lock and know nothing of the control side. Frames change hands without a copy,
// except those whose buffers somebody else still refers to.
//
// Ownership: a transmit burst returns n; frames [0, n) are taken (sent, or dropped and counted),
// [n, count) are the caller's and as they were.

#include "wire_end.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <span>

#include <rte_ether.h>

namespace wire {
namespace {

constexpr std::uint16_t chunk = 64;
constexpr std::uint64_t broadcast = 0xffff'ffff'ffff;

// What becomes of one frame: the number of a ring, or one of these.
using verdict = std::uint8_t;
enum drop_reason : verdict {
    too_long = max_queues,
    no_mbuf,
    not_my_address,
    not_my_vlan,
    dropped_by_rule,
    too_long_for_receiver,
};

struct judged_frames {
    std::array<verdict, chunk> where;
    std::array<bool, chunk> shared;
    std::array<bool, chunk> hashed;
    std::array<std::uint32_t, chunk> hash;
    std::array<std::uint32_t, chunk> bytes;
};

std::uint16_t load_be16(std::uint8_t const* bytes) {
    return static_cast<std::uint16_t>(bytes[0] << 8 | bytes[1]);
}

bool is_tag(std::uint16_t ether_type) {
    return ether_type == RTE_ETHER_TYPE_VLAN || ether_type == RTE_ETHER_TYPE_QINQ;
}

/// May somebody else still read or write a buffer of this frame?
bool is_shared(rte_mbuf const* frame) {
    for (rte_mbuf const* segment = frame; segment != nullptr; segment = segment->next) {
        if (rte_mbuf_refcnt_read(segment) != 1 || (segment->ol_flags & RTE_MBUF_F_INDIRECT) != 0 ||
            ((segment->ol_flags & RTE_MBUF_F_EXTERNAL) != 0 &&
             !RTE_MBUF_HAS_PINNED_EXTBUF(segment))) {
            return true;
        }
    }
    return false;
}

rte_mbuf* deep_copy(rte_mbuf* frame) {
    rte_mempool* const pool =
        RTE_MBUF_CLONED(frame) ? rte_mbuf_from_indirect(frame)->pool : frame->pool;
    return rte_pktmbuf_copy(frame, pool, 0, UINT32_MAX);
}

/// Tags in band, at most two.
std::uint32_t tags_of(rte_mbuf const* frame) {
    std::uint32_t tags = 0;
    while (tags < 2) {
        std::uint8_t scratch[2];
        auto const* const type = static_cast<std::uint8_t const*>(
            rte_pktmbuf_read(frame, 12 + 4 * tags, sizeof(scratch), scratch));
        if (type == nullptr || !is_tag(load_be16(type))) {
            break;
        }
        ++tags;
    }
    return tags;
}

bool fits(rte_mbuf const* frame, std::uint32_t max_bytes) {
    return frame->pkt_len <= max_bytes || frame->pkt_len <= max_bytes + 4 * tags_of(frame);
}

template<std::size_t N>
bool contains(std::array<std::uint64_t, N> const& words, std::uint16_t count, std::uint64_t word) {
    return std::find(words.begin(), words.begin() + count, word) != words.begin() + count;
}

bool hears(passage const& p, std::uint64_t destination) {
    if (!p.filters_mac || destination == broadcast) {
        return true;
    }
    bool const group = (destination >> 40 & 1) != 0;
    if (group) {
        return !p.filters_multicast || contains(p.multicast, p.multicasts, destination);
    }
    return contains(p.mac, p.macs, destination);
}

bool passes_vlan(passage const& p, rte_mbuf const* frame, std::uint8_t const* header) {
    std::uint16_t id = 0;
    if (p.inserts_vlan && (frame->ol_flags & RTE_MBUF_F_TX_VLAN) != 0) {
        id = frame->vlan_tci & 0xfff;
    } else if (is_tag(load_be16(header + 12))) {
        std::uint8_t scratch[2];
        auto const* const tci =
            static_cast<std::uint8_t const*>(rte_pktmbuf_read(frame, 14, 2, scratch));
        id = tci == nullptr ? 0 : load_be16(tci) & 0xfff;
    }
    return id == 0 || p.vlan[id]; // untagged and priority-tagged frames always pass
}

verdict steer(passage const& p, rte_mbuf const* frame, std::uint8_t const* header,
              std::uint64_t destination, verdict otherwise, bool& hashed, std::uint32_t& hash) {
    std::uint16_t const type = load_be16(header + 12);
    for (auto const& rule : std::span(p.rule).first(p.rules)) {
        if ((!rule.match_type || rule.ether_type == type) &&
            (!rule.match_destination || rule.destination == destination)) {
            return rule.drop ? verdict{dropped_by_rule} : static_cast<verdict>(rule.queue);
        }
    }
    if (!p.hashes) {
        return otherwise;
    }
    hashed = rss_hash(*frame, p.hash_types, p.hash_key.data(), hash);
    return hashed ? p.reta[hash % reta_entries] : verdict{0};
}

verdict judge_headers(passage const& p, rte_mbuf const* frame, verdict otherwise, bool& hashed,
                      std::uint32_t& hash) {
    std::uint8_t scratch[RTE_ETHER_HDR_LEN];
    auto const* const header =
        static_cast<std::uint8_t const*>(rte_pktmbuf_read(frame, 0, RTE_ETHER_HDR_LEN, scratch));
    if (header == nullptr) { // a runt has no address anybody listens to
        return p.filters_mac ? verdict{not_my_address} : otherwise;
    }
    std::uint64_t const destination = address_word(header);
    if (!hears(p, destination)) {
        return not_my_address;
    }
    if (p.filters_vlan && !passes_vlan(p, frame, header)) {
        return not_my_vlan;
    }
    return steer(p, frame, header, destination, otherwise, hashed, hash);
}

void judge(passage const& p, verdict otherwise, std::span<rte_mbuf* const> frames,
           judged_frames& out) {
    for (std::size_t i = 0; i < frames.size(); ++i) {
        rte_mbuf const* const frame = frames[i];
        out.bytes[i] = frame->pkt_len;
        out.shared[i] = is_shared(frame);
        out.hashed[i] = false;
        if (!fits(frame, p.tx_max_bytes)) {
            out.where[i] = too_long;
        } else if (!fits(frame, p.rx_max_bytes)) {
            out.where[i] = too_long_for_receiver;
        } else if (p.reads_headers) {
            out.where[i] = judge_headers(p, frame, otherwise, out.hashed[i], out.hash[i]);
        } else {
            out.where[i] = otherwise;
        }
    }
}

void count_sent(tx_queue& q, std::uint64_t bytes) {
    add(q.counters.sent, 1);
    add(q.counters.sent_bytes, bytes);
}

void drop_one(tx_queue& q, rte_mbuf* frame, verdict why, std::uint64_t bytes) {
    switch (why) {
    case too_long: add(q.counters.too_long, 1); break;
    case no_mbuf: add(q.counters.no_mbuf, 1); break;
    case not_my_vlan: add(q.counters.filtered_vlan, 1); break;
    case dropped_by_rule: add(q.counters.filtered_flow, 1); break;
    case too_long_for_receiver: add(q.counters.rx_too_long, 1); break;
    default: add(q.counters.filtered_mac, 1); break;
    }
    if (why != too_long && why != no_mbuf) { // it did cross; the receiver would not have it
        count_sent(q, bytes);
    }
    rte_pktmbuf_free(frame);
}

/// Enters frames [from, to), which all go to one ring. Returns how many entered. A copy that could
/// not be made ends the run before it and turns the frame's verdict into no_mbuf.
std::uint16_t enter(tx_queue& q, passage const& p, std::span<rte_mbuf* const> frames,
                    judged_frames& judged, std::uint16_t from, std::uint16_t to) {
    std::array<rte_mbuf*, chunk> out;
    std::array<std::uint64_t, chunk> flags;
    std::array<std::uint32_t, chunk> hashes;
    std::uint64_t const kept =
        RTE_MBUF_F_INDIRECT | RTE_MBUF_F_EXTERNAL | (p.inserts_vlan ? RTE_MBUF_F_TX_VLAN : 0);
    std::uint16_t n = 0;
    for (std::uint16_t i = from; i < to; ++i, ++n) {
        rte_mbuf* frame = frames[i];
        if (judged.shared[i]) {
            frame = deep_copy(frame);
            if (frame == nullptr) {
                judged.where[i] = no_mbuf;
                break;
            }
        }
        flags[n] = frame->ol_flags;
        hashes[n] = frame->hash.rss;
        frame->ol_flags &= kept;
        if (judged.hashed[i]) {
            frame->hash.rss = judged.hash[i];
            frame->ol_flags |= RTE_MBUF_F_RX_RSS_HASH;
        }
        out[n] = frame;
    }
    auto const entered = static_cast<std::uint16_t>(rte_ring_enqueue_burst(
        p.ring[judged.where[from]], reinterpret_cast<void**>(out.data()), n, nullptr));
    std::uint64_t bytes = 0;
    std::uint64_t copied = 0;
    for (std::uint16_t k = 0; k < entered; ++k) {
        bytes += judged.bytes[from + k];
        if (judged.shared[from + k]) {
            rte_pktmbuf_free(frames[from + k]);
            ++copied;
        }
    }
    for (std::uint16_t k = entered; k < n; ++k) {
        if (judged.shared[from + k]) {
            rte_pktmbuf_free(out[k]);
        } else {
            out[k]->ol_flags = flags[k];
            out[k]->hash.rss = hashes[k];
        }
    }
    add(q.counters.sent, entered);
    add(q.counters.sent_bytes, bytes);
    add(q.counters.copied, copied);
    return entered;
}

std::uint16_t deliver_chunk(tx_queue& q, passage const& p, std::span<rte_mbuf* const> frames) {
    judged_frames judged;
    judge(p, p.ring_of_queue[q.index], frames, judged);
    auto const count = static_cast<std::uint16_t>(frames.size());
    std::uint16_t i = 0;
    while (i < count) {
        verdict const where = judged.where[i];
        if (where >= max_queues) {
            drop_one(q, frames[i], where, judged.bytes[i]);
            ++i;
            continue;
        }
        auto to = static_cast<std::uint16_t>(i + 1);
        while (to < count && judged.where[to] == where) {
            ++to;
        }
        i = static_cast<std::uint16_t>(i + enter(q, p, frames, judged, i, to));
        if (i == to || judged.where[i] == no_mbuf) {
            continue;
        }
        if (p.full == on_refusal::refuse) {
            break;
        }
        for (; i < to && judged.where[i] == where; ++i) {
            add(q.counters.missed, 1);
            count_sent(q, judged.bytes[i]);
            rte_pktmbuf_free(frames[i]);
        }
    }
    return i;
}

std::uint16_t deliver(tx_queue& q, passage const& p, std::span<rte_mbuf* const> frames) {
    std::uint16_t taken = 0;
    while (taken < frames.size()) {
        auto const part =
            frames.subspan(taken, std::min<std::size_t>(chunk, frames.size() - taken));
        std::uint16_t const n = deliver_chunk(q, p, part);
        taken = static_cast<std::uint16_t>(taken + n);
        if (n < part.size()) {
            break;
        }
    }
    return taken;
}

std::uint64_t bytes_of(std::span<rte_mbuf* const> frames) {
    std::uint64_t bytes = 0;
    for (rte_mbuf const* frame : frames) {
        bytes += frame->pkt_len;
    }
    return bytes;
}

void vanish(tx_queue& q, std::span<rte_mbuf*> frames) {
    add(q.counters.lost_silent, frames.size());
    add(q.counters.lost_silent_bytes, bytes_of(frames));
    rte_pktmbuf_free_bulk(frames.data(), static_cast<unsigned>(frames.size()));
}

void lose_down(tx_queue& q, std::span<rte_mbuf*> frames) {
    add(q.counters.lost_down, frames.size());
    rte_pktmbuf_free_bulk(frames.data(), static_cast<unsigned>(frames.size()));
}

std::uint16_t within_limit(tx_queue& q, std::uint32_t flags, std::uint16_t count) {
    if ((flags & attention::limited) != 0) {
        std::uint32_t const limit = q.limit.load(std::memory_order_relaxed); // [attend]
        if (count > limit) {
            add(q.counters.limited, 1);
            return static_cast<std::uint16_t>(limit);
        }
    }
    return count;
}

/// A burst on a wire with a peer.
std::uint16_t cross(tx_queue& q, std::uint32_t flags, rte_mbuf** frames, std::uint16_t count) {
    auto const before = q.sequence.load(std::memory_order_relaxed); // plain: ours alone
    // [cross] <-> wait_out(): either it sees this burst under way and waits, or we see its passage.
    q.sequence.store(before + 1, std::memory_order_seq_cst);
    passage const& p = *q.current.load(std::memory_order_seq_cst); // [cross]
    std::uint16_t const wanted = within_limit(q, flags, count);
    std::uint16_t taken = 0;
    switch (p.how) {
    case passage::way::refuse: break;
    case passage::way::deliver: taken = deliver(q, p, {frames, wanted}); break;
    case passage::way::vanish:
        vanish(q, {frames, wanted});
        taken = wanted;
        break;
    case passage::way::drop:
        lose_down(q, {frames, wanted});
        taken = wanted;
        break;
    }
    add(q.counters.bursts, 1);
    add(q.counters.refused, static_cast<std::uint64_t>(count - taken));
    q.sequence.store(before + 2, std::memory_order_release); // [cross]: our reads of p are over
    return taken;
}

[[noreturn]] void die(char const* what, std::uint16_t port, std::uint16_t queue) {
    std::fprintf(stderr, "net_wire: %s burst on stopped port %u, queue %u\n", what, port, queue);
    std::abort();
}

/// Runs a burst under the checks that `flags` ask for.
template<typename Queue, typename Burst>
std::uint16_t guarded(Queue& q, std::uint32_t flags, char const* what, Burst burst) {
    if ((flags & attention::poisoned) != 0) {
        die(what, q.port, q.index);
    }
    if ((flags & attention::check) == 0) {
        return burst();
    }
    if (q.busy.exchange(true, std::memory_order_acquire)) { // [owner]
        q.violations.fetch_add(1, std::memory_order_relaxed);
        return 0;
    }
    std::uint16_t const done = burst();
    q.busy.store(false, std::memory_order_release); // [owner]
    return done;
}

void take_free(tx_queue& q, std::span<rte_mbuf*> frames) {
    add(q.counters.sent, frames.size());
    add(q.counters.sent_bytes, bytes_of(frames));
    rte_pktmbuf_free_bulk(frames.data(), static_cast<unsigned>(frames.size()));
}

void take_keep(tx_queue& q, std::uint16_t count) {
    add(q.counters.sent, count); // bytes would mean to touch the frames
}

std::uint16_t sink_closer(tx_queue& q, std::uint32_t flags, rte_mbuf** frames,
                          std::uint16_t count) {
    if ((flags & attention::wired) != 0) {
        return cross(q, flags, frames, count);
    }
    std::uint16_t taken = within_limit(q, flags, count);
    std::span<rte_mbuf*> const part{frames, taken};
    if ((flags & (attention::removed | attention::refuse)) != 0) {
        taken = 0;
    } else if (q.sink == sink_mode::keep) {
        if ((flags & (attention::drop | attention::vanish)) == 0) {
            take_keep(q, taken);
        } else { // the frames stay the caller's in any case
            add((flags & attention::drop) != 0 ? q.counters.lost_down : q.counters.lost_silent,
                taken);
        }
    } else if ((flags & attention::drop) != 0) {
        lose_down(q, part);
    } else if ((flags & attention::vanish) != 0) {
        vanish(q, part);
    } else {
        take_free(q, part);
    }
    add(q.counters.bursts, 1);
    add(q.counters.refused, static_cast<std::uint64_t>(count - taken));
    return taken;
}

/// VLAN work on one received frame. False: it could not be done.
bool settle_tag(rte_mbuf* frame, bool strips) {
    if ((frame->ol_flags & RTE_MBUF_F_TX_VLAN) != 0) {
        if (strips) {
            frame->ol_flags &= ~RTE_MBUF_F_TX_VLAN;
            frame->ol_flags |= RTE_MBUF_F_RX_VLAN | RTE_MBUF_F_RX_VLAN_STRIPPED;
            return true;
        }
        return rte_vlan_insert(&frame) == 0;
    }
    if (frame->data_len >= RTE_ETHER_HDR_LEN + RTE_VLAN_HLEN) {
        rte_vlan_strip(frame); // leaves untagged frames alone
    }
    return true;
}

/// As a NIC, which fills its ring from the queue's pool: a frame for which that has no buffer is
/// missed.  Null then; the sender's frame is freed in any case.
rte_mbuf* into_own_pool(rx_queue& q, rte_mbuf* frame) {
    rte_mbuf* const copy = rte_pktmbuf_copy(frame, q.pool, 0, UINT32_MAX);
    rte_pktmbuf_free(frame);
    add(q.no_mbuf, copy == nullptr ? 1 : 0);
    return copy;
}

std::uint16_t receive(rx_queue& q, rte_mbuf** frames, std::uint16_t count) {
    auto const n = static_cast<std::uint16_t>(
        rte_ring_sc_dequeue_burst(q.ring, reinterpret_cast<void**>(frames), count, nullptr));
    bool const strips = q.strips_vlan.load(std::memory_order_relaxed); // [attend]
    std::uint64_t bytes = 0;
    std::uint16_t kept = 0;
    std::uint16_t dropped = 0;
    for (std::uint16_t i = 0; i < n; ++i) {
        rte_mbuf* const frame = q.copies ? into_own_pool(q, frames[i]) : frames[i];
        if (frame == nullptr) {
            continue;
        }
        if ((strips || (frame->ol_flags & RTE_MBUF_F_TX_VLAN) != 0) && !settle_tag(frame, strips)) {
            rte_pktmbuf_free(frame);
            ++dropped;
            continue;
        }
        frame->port = q.port;
        frame->packet_type = RTE_PTYPE_L2_ETHER;
        bytes += frame->pkt_len;
        frames[kept++] = frame;
    }
    add(q.bursts, 1);
    add(q.packets, kept);
    add(q.bytes, bytes);
    add(q.dropped, dropped);
    return kept;
}

} // namespace

std::uint64_t address_word(std::uint8_t const* bytes) {
    std::uint64_t word = 0;
    for (int i = 0; i < RTE_ETHER_ADDR_LEN; ++i) {
        word = word << 8 | bytes[i];
    }
    return word;
}

std::uint16_t tx_wired(void* queue, rte_mbuf** frames, std::uint16_t count) {
    auto& q = *static_cast<tx_queue*>(queue);
    std::uint32_t const flags = q.attention.load(std::memory_order_relaxed); // [attend]
    return guarded(q, flags, "transmit", [&] { return cross(q, flags, frames, count); });
}

std::uint16_t tx_sink_free(void* queue, rte_mbuf** frames, std::uint16_t count) {
    auto& q = *static_cast<tx_queue*>(queue);
    std::uint32_t const flags = q.attention.load(std::memory_order_relaxed); // [attend]
    if (flags != 0) [[unlikely]] {
        return guarded(q, flags, "transmit", [&] { return sink_closer(q, flags, frames, count); });
    }
    take_free(q, {frames, count});
    add(q.counters.bursts, 1);
    return count;
}

std::uint16_t tx_sink_keep(void* queue, rte_mbuf** frames, std::uint16_t count) {
    auto& q = *static_cast<tx_queue*>(queue);
    std::uint32_t const flags = q.attention.load(std::memory_order_relaxed); // [attend]
    if (flags != 0) [[unlikely]] {
        return guarded(q, flags, "transmit", [&] { return sink_closer(q, flags, frames, count); });
    }
    take_keep(q, count);
    add(q.counters.bursts, 1);
    return count;
}

std::uint16_t rx_ring(void* queue, rte_mbuf** frames, std::uint16_t count) {
    auto& q = *static_cast<rx_queue*>(queue);
    std::uint32_t const flags = q.attention.load(std::memory_order_relaxed); // [attend]
    if (flags != 0) [[unlikely]] {
        return guarded(q, flags, "receive", [&]() -> std::uint16_t {
            return (flags & attention::removed) != 0 ? 0 : receive(q, frames, count);
        });
    }
    return receive(q, frames, count);
}

} // namespace wire
