#include "torture/traffic_oracle.h"

#include "rte_pmd_lagg.h"

#include "lacp/lacpdu.h"
#include "lacp/marker.h"

#include <ethdev_driver.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <mutex>
#include <utility>

#include <pthread.h>
#include <sched.h>

namespace lagg::torture {
namespace {

// TSan: the threads' own traffic must not order what only the driver may order.
#if defined(__SANITIZE_THREAD__)
#define TORTURE_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define TORTURE_TSAN 1
#endif
#endif
#ifdef TORTURE_TSAN
constexpr auto floor_order = std::memory_order_relaxed;
#else
constexpr auto floor_order = std::memory_order_acquire;
#endif

constexpr std::uint32_t forward_magic = 0x6c616767;
constexpr std::uint32_t reverse_magic = 0x77697265;
constexpr std::size_t header_size = 42; // Ethernet, IPv4, UDP

/// Behind the headers.  `check` is a function of all before it.
struct payload {
    std::uint32_t magic;
    std::uint32_t source; // queue; reverse: and wire
    std::uint32_t number; // reverse: in its wire and queue
    std::uint32_t flow_number;
    std::uint32_t flow;
    std::uint32_t check;
};

std::uint32_t check_of(payload const& p) noexcept {
    std::uint64_t x = mix((std::uint64_t{p.magic} << 32) | p.source);
    x = mix(x ^ ((std::uint64_t{p.number} << 32) | p.flow_number));
    return static_cast<std::uint32_t>(mix(x ^ p.flow));
}

void write_frame(rte_mbuf& m, payload p, std::uint32_t flow_key) {
    p.check = check_of(p);
    std::size_t const size = std::max<std::size_t>(header_size + sizeof p, 64 + flow_key % 100);
    auto* const b =
        reinterpret_cast<std::uint8_t*>(rte_pktmbuf_append(&m, static_cast<std::uint16_t>(size)));
    std::memset(b, 0, size);
    std::memset(b, 0xff, 6);
    b[6] = 0x02;
    b[10] = static_cast<std::uint8_t>(flow_key >> 8);
    b[11] = static_cast<std::uint8_t>(flow_key);
    b[12] = 0x08;
    b[14] = 0x45;
    b[17] = static_cast<std::uint8_t>(size - 14);
    b[22] = 64;
    b[23] = 17;
    b[26] = 10;
    b[28] = static_cast<std::uint8_t>(flow_key >> 8);
    b[29] = static_cast<std::uint8_t>(flow_key);
    b[30] = 10;
    b[33] = 1;
    b[34] = static_cast<std::uint8_t>(flow_key >> 8);
    b[35] = static_cast<std::uint8_t>(flow_key);
    b[37] = 53;
    std::memcpy(b + header_size, &p, sizeof p);
}

bool read_frame(rte_mbuf const& m, payload& p) {
    if (m.data_len < header_size + sizeof p || m.nb_segs != 1) {
        return false;
    }
    std::memcpy(&p, rte_pktmbuf_mtod_offset(&m, std::uint8_t const*, header_size), sizeof p);
    return p.check == check_of(p);
}

bool is_slow(rte_mbuf const& m) {
    auto const* const b = rte_pktmbuf_mtod(&m, std::uint8_t const*);
    return m.data_len > 14 && b[12] == 0x88 && b[13] == 0x09;
}

std::uint32_t digest_of(snapshot const& s) noexcept {
    std::array<unsigned char, sizeof s> bytes;
    std::memcpy(bytes.data(), &s, sizeof s);
    std::uint64_t x = 14695981039346656037U;
    std::size_t at = 0;
    for (; at + 8 <= bytes.size(); at += 8) {
        std::uint64_t word = 0;
        std::memcpy(&word, bytes.data() + at, 8);
        x = (x ^ word) * 1099511628211U;
        x ^= x >> 29;
    }
    for (; at < bytes.size(); ++at) {
        x = (x ^ bytes[at]) * 1099511628211U;
    }
    auto const folded = static_cast<std::uint32_t>(x ^ (x >> 32));
    return folded == 0 ? 1 : folded;
}

} // namespace

void complaints::add(std::string what) {
    std::lock_guard const hold(mutex_);
    count_.fetch_add(1, std::memory_order_relaxed);
    if (words_.size() < 20) {
        words_.push_back(std::move(what));
    }
}

std::vector<std::string> complaints::words() const {
    std::lock_guard const hold(mutex_);
    return words_;
}

bool version_register::agrees(std::uint64_t version, std::uint32_t digest) noexcept {
    auto& entry = entries_[version % entries_.size()];
    std::uint64_t const mine = (version << 32) | digest;
    std::uint64_t found = entry.load(std::memory_order_relaxed);
    while (found >> 32 != (mine >> 32)) {
        if (found >> 32 > mine >> 32) {
            return true; // a burst that was parked while the register went round
        }
        if (entry.compare_exchange_weak(found, mine, std::memory_order_relaxed)) {
            seen_.fetch_add(1, std::memory_order_relaxed);
            return true;
        }
    }
    return found == mine;
}

sums& sums::operator+=(sums const& o) noexcept {
    bursts += o.bursts;
    offered += o.offered;
    taken += o.taken;
    given_back += o.given_back;
    turned_away += o.turned_away;
    copies_due += o.copies_due;
    copies_arrived += o.copies_arrived;
    stale += o.stale;
    control_arrived += o.control_arrived;
    far_sent += o.far_sent;
    far_answers += o.far_answers;
    delivered += o.delivered;
    return *this;
}

traffic_thread::traffic_thread(common& shared, std::uint16_t queue, std::uint64_t seed, int cpu)
    : shared_(shared), queue_(queue), cpu_(cpu), random_(mix(seed)) {
    std::string const name = "torture" + std::to_string(queue);
    pool_ = rte_pktmbuf_pool_create(name.c_str(), 4095, 0, 0, RTE_PKTMBUF_HEADROOM + 256,
                                    SOCKET_ID_ANY);
    tx_.transmits = true;
    for (probe* const p : {&tx_, &rx_}) {
        p->self = this;
        p->hooks.after_pin = &after_pin;
        p->hooks.before_unpin = &before_unpin;
        p->hooks.arg = p;
    }
}

traffic_thread::~traffic_thread() {
    stop();
    rte_mempool_free(pool_);
}

void traffic_thread::complain(std::string const& what) const {
    shared_.wrong.add("queue " + std::to_string(queue_) + ", version " +
                      std::to_string(tx_.seen.version) + ": " + what);
}

std::uint32_t traffic_thread::below(std::uint32_t limit) noexcept {
    random_ = mix(random_);
    return static_cast<std::uint32_t>((random_ >> 20) % limit);
}

unsigned traffic_thread::missing() const {
    return pool_->size - rte_mempool_avail_count(pool_);
}

// --- what a burst runs on -----------------------------------------------------------------------

void traffic_thread::after_pin(void* arg) {
    auto& p = *static_cast<probe*>(arg);
    p.pinned = true;
    snapshot const& s = *p.view->pinned_by_me();
    p.self->note_snapshot(p, s);
    if (p.transmits) {
        p.self->plan(s);
    }
}

/// It must be what it was, and its members must run until the burst is over.
void traffic_thread::before_unpin(void* arg) {
    auto& p = *static_cast<probe*>(arg);
    traffic_thread const& self = *p.self;
    snapshot const& s = *p.view->pinned_by_me();
    if (s.version != p.seen.version || (self.sums_.bursts % 16 == 0 && digest_of(s) != p.digest)) {
        self.complain("the snapshot changed under the burst");
        return;
    }
    if (s.run != run_state::running) {
        return;
    }
    auto const runs = [](std::uint16_t port) {
        rte_eth_dev const& dev = rte_eth_devices[port];
        return dev.state != RTE_ETH_DEV_UNUSED && dev.data->dev_started != 0; // or REMOVED
    };
    for (distributing_member const& m : s.distributing) {
        if (!runs(m.port)) {
            self.complain("member " + std::to_string(m.port) + " was stopped under the burst");
        }
    }
    for (polled_member const& m : s.polled) {
        if (!runs(m.port)) {
            self.complain("polled " + std::to_string(m.port) + " was stopped under the burst");
        }
    }
}

void traffic_thread::note_snapshot(probe& p, snapshot const& s) {
    if (s.version < floor_) {
        complain("pinned version " + std::to_string(s.version) + ", older than " +
                 std::to_string(floor_) + ", in force before the burst began");
    }
    if (s.version < p.seen.version) {
        complain("went back to version " + std::to_string(s.version));
    }
    if (s.version == p.seen.version) {
        return;
    }
    p.digest = digest_of(s);
    std::memcpy(&p.seen, &s, sizeof s);
    if (!shared_.versions.agrees(s.version, p.digest)) {
        complain("version " + std::to_string(s.version) + " is not the same on every queue");
    }
    if (s.distributing.size() > wires || s.polled.size() > wires) {
        complain("more members than there are");
    }
}

/// Where each frame of the burst at hand may go on `s`.
void traffic_thread::plan(snapshot const& s) {
    std::uint32_t everybody = 0;
    if (s.run == run_state::running) {
        for (distributing_member const& m : s.distributing) {
            int const wire = shared_.wire_of(m.port);
            if (wire < 0) {
                complain("port " + std::to_string(m.port) + " distributes and is no wire");
                continue;
            }
            everybody |= 1U << wire;
        }
    }
    for (std::size_t i = 0; i < count_; ++i) {
        due_[i] = everybody;
        if (s.how == spread::nobody) {
            due_[i] = 0;
        } else if (everybody != 0 && s.how != spread::in_turn && s.how != spread::to_all) {
            std::uint16_t const port = pmd::flow_member(s, *frames_[i]);
            due_[i] = port == no_port ? 0 : everybody & 1U << shared_.wire_of(port);
        }
    }
}

// --- through the lagg ---------------------------------------------------------------------------

rte_mbuf* traffic_thread::make() {
    rte_mbuf* const m = rte_pktmbuf_alloc(pool_);
    if (m == nullptr) {
        return nullptr;
    }
    std::uint32_t const number = next_number_++;
    slot& s = slots_[number % remembered];
    close(s);
    s = {};
    s.number = number;
    s.flow = static_cast<std::uint8_t>(below(flows));
    s.flow_number = ++next_in_flow_[s.flow];
    s.now = state::held;
    write_frame(*m, {forward_magic, queue_, number, s.flow_number, s.flow, 0},
                queue_ * 1000U + s.flow);
    return m;
}

/// What is no longer remembered has arrived, or never will.
void traffic_thread::close(slot const& s) {
    if (s.now == state::sent) {
        sums_.copies_due += s.all ? static_cast<unsigned>(std::popcount(s.due)) : 1U;
        sums_.copies_arrived += static_cast<unsigned>(std::popcount(s.seen));
    }
}

void traffic_thread::prepare_burst() {
    std::size_t const wanted = 1 + below(below(8) == 0 ? most : 32);
    count_ = 0;
    auto const take = [&](rte_mbuf* m) {
        payload p{};
        read_frame(*m, p);
        number_[count_] = p.number;
        offered_[count_] = m;
        frames_[count_] = m;
        ++count_;
    };
    for (rte_mbuf* const m : pending_) {
        take(m); // never more than `most`
    }
    pending_.clear();
    while (count_ < wanted) {
        rte_mbuf* const m = make();
        if (m == nullptr) {
            break;
        }
        take(m);
    }
}

void traffic_thread::send_burst() {
    prepare_burst();
    if (count_ == 0) {
        return;
    }
    tx_.pinned = false;
    floor_ = shared_.floor.load(floor_order);
    std::uint16_t const taken =
        rte_eth_tx_burst(shared_.lagg, queue_, frames_.data(), static_cast<std::uint16_t>(count_));
    settle_burst(taken, count_, ~0U);
}

/// As an application that asks where a flow goes, and sends it there.
void traffic_thread::send_where_told() {
    if (!pending_.empty()) {
        return; // older frames of the flow
    }
    rte_mbuf* const m = make();
    if (m == nullptr) {
        return;
    }
    payload p{};
    read_frame(*m, p);
    number_[0] = p.number;
    offered_[0] = frames_[0] = m;
    count_ = 1;
    tx_.pinned = false;
    floor_ = shared_.floor.load(floor_order);
    std::uint64_t version = 0;
    std::uint16_t const member = rte_pmd_lagg_flow_member(shared_.lagg, m, &version);
    int rc = -ESTALE;
    std::uint32_t only = 0;
    if (member != RTE_PMD_LAGG_NO_MEMBER) {
        rc = rte_pmd_lagg_tx_on(shared_.lagg, queue_, member, version, frames_.data(), 1);
        int const wire = shared_.wire_of(member);
        only = wire < 0 ? 0 : 1U << wire;
        if (rc >= 0 && (!tx_.pinned || tx_.seen.version != version)) {
            complain("sent on another version than the one that was asked for");
        }
        if (rc > 0 && due_[0] != only) {
            complain("the answer to a lookup is not where a burst would send");
        }
    }
    sums_.stale += rc < 0;
    tx_.pinned = tx_.pinned && rc >= 0; // told so, it is not a burst that gives back
    settle_burst(static_cast<std::uint16_t>(std::max(rc, 0)), 1, only);
}

/// The books of the burst at hand, of which `taken` frames were taken.
void traffic_thread::settle_burst(std::uint16_t taken, std::size_t count, std::uint32_t only) {
    ++sums_.bursts;
    sums_.offered += count;
    if (taken > count) {
        complain("took more than it was offered");
        return;
    }
    if (!tx_.pinned && taken != 0) {
        complain("took frames without a snapshot");
    }
    snapshot const& s = tx_.seen;
    bool const to_all = tx_.pinned && s.how == spread::to_all;
    bool const ordered = !to_all && !(tx_.pinned && s.how == spread::in_turn);
    if (tx_.pinned) {
        auto& n = shared_.spreads[static_cast<std::size_t>(s.how)];
        n.fetch_add(1, std::memory_order_relaxed);
        if (s.policy == policy::lacp && s.how != spread::nobody) {
            shared_.lacp_bursts.fetch_add(1, std::memory_order_relaxed);
        }
    }

    std::size_t back = taken; // the next of those given back
    std::uint64_t flow_held = 0;
    for (std::size_t i = 0; i < count; ++i) {
        slot& frame = slots_[number_[i] % remembered];
        if (back < count && frames_[back] == offered_[i]) {
            ++back;
            pending_.push_back(offered_[i]);
            flow_held |= std::uint64_t{1} << frame.flow;
            frame.unordered |= !ordered;
            continue;
        }
        frame.now = state::sent;
        frame.all = to_all;
        frame.due = tx_.pinned ? due_[i] & only : 0;
        if (frame.due == 0) {
            complain("took a frame that nobody was to have");
        }
        if (ordered && (flow_held >> frame.flow & 1U) != 0) {
            complain("took a frame and gave back an earlier one of its flow");
        }
    }
    if (back != count) {
        complain("gave back other frames, or in another order, than it was offered");
    }
    sums_.taken += taken;
    sums_.given_back += count - taken;
    sums_.turned_away += tx_.pinned ? 0 : count - taken;
    // Some applications drop what they cannot send.
    if (!pending_.empty() && below(4) == 0) {
        for (rte_mbuf* const m : pending_) {
            payload p{};
            read_frame(*m, p);
            slots_[p.number % remembered].now = state::unused; // must never arrive
            rte_pktmbuf_free(m);
        }
        pending_.clear();
    }
}

void traffic_thread::receive_burst() {
    rte_mbuf* got[64];
    rx_.pinned = false;
    floor_ = shared_.floor.load(floor_order);
    auto const room = static_cast<std::uint16_t>(1 + below(64));
    std::uint16_t const n = rte_eth_rx_burst(shared_.lagg, queue_, got, room);
    if (n > room || (!rx_.pinned && n != 0)) {
        complain("received frames without a snapshot, or too many");
    }
    for (std::uint16_t i = 0; i < n; ++i) {
        payload p{};
        if (is_slow(*got[i])) { // data under every policy but lacp, and an answer may be late
            rte_pktmbuf_free(got[i]);
            continue;
        }
        if (!read_frame(*got[i], p) || p.magic != reverse_magic) {
            complain("received what nobody sent");
            rte_pktmbuf_free(got[i]);
            continue;
        }
        std::uint32_t const wire = p.source >> 16;
        if (got[i]->port != shared_.lagg) {
            complain("received a frame with a foreign port");
        }
        if ((p.source & 0xffff) != queue_ || wire >= wires) {
            complain("received a frame of another queue");
        } else if (p.number <= far_delivered_[wire]) {
            complain("received frame " + std::to_string(p.number) + " of wire " +
                     std::to_string(wire) + " after " + std::to_string(far_delivered_[wire]));
        } else {
            far_delivered_[wire] = p.number;
        }
        rte_pktmbuf_free(got[i]);
    }
    sums_.delivered += n;
}

// --- at the far ends ----------------------------------------------------------------------------

void traffic_thread::far_send() {
    std::size_t const wire = below(wires);
    rte_mbuf* out[16];
    auto const wanted = static_cast<std::uint16_t>(1 + below(16));
    std::uint16_t made = 0;
    while (made < wanted && (out[made] = rte_pktmbuf_alloc(pool_)) != nullptr) {
        std::uint32_t const number = far_number_[wire] + 1U + made;
        write_frame(*out[made],
                    {reverse_magic, static_cast<std::uint32_t>(wire) << 16 | queue_, number, number,
                     number % 16, 0},
                    number % 16);
        ++made;
    }
    std::uint16_t const n = rte_eth_tx_burst(shared_.far[wire], queue_, out, made);
    far_number_[wire] += n; // the others are made again, under the same numbers
    sums_.far_sent += n;
    for (std::uint16_t i = n; i < made; ++i) {
        rte_pktmbuf_free(out[i]);
    }
}

void traffic_thread::far_receive() {
    for (std::size_t w = 0; w < wires; ++w) {
        far_receive(w, queue_);
        if (queue_ == 0) {
            far_receive(w, shared_.queues);
        }
    }
}

void traffic_thread::far_receive(std::size_t wire, std::uint16_t queue) {
    rte_mbuf* got[32];
    std::uint16_t n = 0;
    do {
        n = rte_eth_rx_burst(shared_.far[wire], queue, got, 32);
        for (std::uint16_t i = 0; i < n; ++i) {
            if (is_slow(*got[i])) {
                ++sums_.control_arrived;
                answer(wire, *got[i]);
            } else {
                arrived(wire, *got[i]);
            }
            rte_pktmbuf_free(got[i]);
        }
    } while (n == 32);
}

void traffic_thread::arrived(std::size_t wire, rte_mbuf const& frame) {
    payload p{};
    if (!read_frame(frame, p) || p.magic != forward_magic || p.source != queue_) {
        complain("what arrived on wire " + std::to_string(wire) + " was not sent by this queue");
        return;
    }
    slot& s = slots_[p.number % remembered];
    std::uint32_t const here = 1U << wire;
    auto const about = [&](char const* what) {
        return "frame " + std::to_string(p.number) + " of flow " + std::to_string(s.flow) + " " +
               what + " wire " + std::to_string(wire) + "; due " + std::to_string(s.due) +
               ", seen " + std::to_string(s.seen);
    };
    if (s.number != p.number || s.now != state::sent) {
        complain(about("was given back, or is long forgotten, and arrived on"));
        return;
    }
    if ((s.due & here) == 0) {
        complain(about("has no business on"));
    }
    if ((s.seen & (s.all ? here : ~0U)) != 0) {
        complain(about("arrived again on"));
    }
    s.seen |= here;
    std::uint32_t& last = last_arrived_[s.flow][wire];
    if (s.flow_number <= last && !s.unordered) {
        complain(about("was overtaken on"));
    }
    last = std::max(last, s.flow_number);
}

/// The partner: it agrees with whatever it is told.
void traffic_thread::answer(std::size_t wire, rte_mbuf const& frame) {
    std::span<std::uint8_t const> const bytes{rte_pktmbuf_mtod(&frame, std::uint8_t const*),
                                              frame.data_len};
    net::mac_address const mine{{0x02, 0xfa, 0, 0, 0, static_cast<std::uint8_t>(wire)}};
    lacp::frame out{};
    if (auto const pdu = lacp::decode_lacpdu(bytes)) {
        namespace state = lacp::state;
        std::uint8_t const lacks = shared_.partner_lacks[wire].load(std::memory_order_relaxed);
        lacp::lacpdu reply;
        reply.actor.system = {100, {{0x02, 0xfa, 0, 0, 0, 0xff}}};
        reply.actor.key = 7;
        reply.actor.port = {1, static_cast<std::uint16_t>(wire + 1)};
        reply.actor.state = static_cast<std::uint8_t>((state::activity | state::short_timeout |
                                                       state::aggregation | state::synchronization |
                                                       state::collecting | state::distributing) &
                                                      ~lacks);
        reply.partner = pdu->actor;
        out = lacp::encode(reply, mine);
    } else if (auto const marker = lacp::decode_marker(bytes)) {
        auto const reply = lacp::respond(*marker);
        if (!reply) {
            return;
        }
        out = lacp::encode(*reply, mine);
    } else {
        complain("a slow frame that cannot be read");
        return;
    }
    rte_mbuf* m = rte_pktmbuf_alloc(pool_);
    if (m == nullptr) {
        return;
    }
    std::memcpy(rte_pktmbuf_append(m, lacp::frame_size), out.data(), out.size());
    // All answers go to the one ring of steered frames, and rte_ring's producers wait for each
    // other with a relaxed load: by the C++ model what the first one wrote is then not the
    // consumer's.
    static std::mutex one_at_a_time;
    std::lock_guard const hold(one_at_a_time);
    if (rte_eth_tx_burst(shared_.far[wire], queue_, &m, 1) == 1) {
        ++sums_.far_sent;
        ++sums_.far_answers;
    } else {
        rte_pktmbuf_free(m);
    }
}

// --- the thread ---------------------------------------------------------------------------------

void traffic_thread::start() {
    auto* const data = rte_eth_devices[shared_.lagg].data;
    tx_.view = &static_cast<pmd::tx_queue*>(data->tx_queues[queue_])->view;
    rx_.view = &static_cast<pmd::rx_queue*>(data->rx_queues[queue_])->view;
    tx_.view->set_hooks(&tx_.hooks);
    rx_.view->set_hooks(&rx_.hooks);
    thread_ = std::thread([this] { run(); });
}

void traffic_thread::run() {
    if (cpu_ >= 0) {
        cpu_set_t only;
        CPU_ZERO(&only);
        CPU_SET(cpu_, &only);
        pthread_setaffinity_np(pthread_self(), sizeof only, &only);
    }
    std::uint64_t rounds = 0;
    while (!quit_.load(std::memory_order_relaxed)) {
        std::uint64_t const wish = wish_.load(std::memory_order_acquire);
        if (wish % 2 != 0) {
            granted_.store(wish, std::memory_order_release);
            std::this_thread::yield();
            continue;
        }
        receive_burst();
        send_burst();
        if (below(16) == 0) {
            send_where_told();
        }
        if (below(3) == 0) {
            far_send();
        }
        if (below(4) != 0) {
            far_receive();
        }
        rounds_.store(++rounds, std::memory_order_relaxed);
    }
}

void traffic_thread::pause() {
    std::uint64_t const wish = wish_.load(std::memory_order_relaxed) + 1;
    wish_.store(wish, std::memory_order_release);
    while (granted_.load(std::memory_order_acquire) != wish) {
        std::this_thread::yield();
    }
}

void traffic_thread::resume() {
    wish_.store(wish_.load(std::memory_order_relaxed) + 1, std::memory_order_release);
}

void traffic_thread::stop() {
    quit_.store(true, std::memory_order_relaxed);
    if (!thread_.joinable()) {
        return;
    }
    thread_.join();
    for (rte_mbuf* const m : std::exchange(pending_, {})) {
        payload p{};
        read_frame(*m, p);
        slots_[p.number % remembered].now = state::unused;
        rte_pktmbuf_free(m);
    }
}

void traffic_thread::drain() {
    for (int i = 0; i < 100; ++i) {
        receive_burst();
        far_receive();
    }
}

sums traffic_thread::total() {
    for (slot& s : slots_) {
        close(s);
        s.now = state::unused;
    }
    return sums_;
}

} // namespace lagg::torture
