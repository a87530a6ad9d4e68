#include "lagg_stats.h"

#include <algorithm>
#include <string_view>

namespace lagg::pmd {

namespace {

/// Ports that are remembered after they left; a record more makes the oldest of these go.
constexpr std::size_t max_records = 2 * max_members;

using field = std::uint64_t port_totals::*;

constexpr std::array all_fields{
    &port_totals::ipackets, &port_totals::opackets, &port_totals::ibytes,  &port_totals::obytes,
    &port_totals::imissed,  &port_totals::ierrors,  &port_totals::oerrors, &port_totals::rx_nombuf};

/// What the device alone can know.
constexpr std::array device_fields{&port_totals::ibytes,  &port_totals::obytes,
                                   &port_totals::imissed, &port_totals::ierrors,
                                   &port_totals::oerrors, &port_totals::rx_nombuf};

struct drop_name {
    drop_reason why;
    char const* name;
};

constexpr std::array rx_drops{
    drop_name{drop_reason::rx_not_collecting, "rx_dropped_not_collecting"},
    drop_name{drop_reason::rx_foreign_unicast, "rx_dropped_foreign_unicast"},
    drop_name{drop_reason::rx_slow_no_room, "rx_dropped_slow_no_room"},
    drop_name{drop_reason::drain_no_room, "rx_dropped_drain_no_room"},
    drop_name{drop_reason::stash_full, "rx_dropped_stash_full"}};
constexpr std::array tx_drops{
    drop_name{drop_reason::tx_copy_refused, "tx_dropped_copy_refused"},
    drop_name{drop_reason::tx_copy_no_memory, "tx_dropped_copy_no_memory"},
    drop_name{drop_reason::tx_control_frame, "tx_dropped_control_frame"}};

static_assert(rx_drops.size() + tx_drops.size() == drop_reasons, "every reason has a name");

struct member_field {
    field value;
    char const* name;
};

constexpr std::array member_fields{member_field{&port_totals::ipackets, "rx_packets"},
                                   member_field{&port_totals::opackets, "tx_packets"},
                                   member_field{&port_totals::ibytes, "rx_bytes"},
                                   member_field{&port_totals::obytes, "tx_bytes"},
                                   member_field{&port_totals::imissed, "rx_missed"},
                                   member_field{&port_totals::ierrors, "rx_errors"},
                                   member_field{&port_totals::oerrors, "tx_errors"}};

struct lacp_field {
    std::uint64_t lacp::port_counters::*value;
    char const* name;
};

constexpr std::array lacp_fields{
    lacp_field{&lacp::port_counters::lacpdus_rx, "lacpdus_rx"},
    lacp_field{&lacp::port_counters::lacpdus_tx, "lacpdus_tx"},
    lacp_field{&lacp::port_counters::marker_pdus_rx, "marker_pdus_rx"},
    lacp_field{&lacp::port_counters::marker_pdus_tx, "marker_pdus_tx"},
    lacp_field{&lacp::port_counters::marker_response_pdus_rx, "marker_response_pdus_rx"},
    lacp_field{&lacp::port_counters::marker_response_pdus_tx, "marker_response_pdus_tx"},
    lacp_field{&lacp::port_counters::unknown_rx, "unknown_rx"},
    lacp_field{&lacp::port_counters::illegal_rx, "illegal_rx"},
    lacp_field{&lacp::port_counters::rate_limited_rx, "rate_limited_rx"},
    lacp_field{&lacp::port_counters::actor_churn_count, "actor_churn_count"},
    lacp_field{&lacp::port_counters::partner_churn_count, "partner_churn_count"},
    lacp_field{&lacp::port_counters::actor_sync_transitions, "actor_sync_transitions"},
    lacp_field{&lacp::port_counters::partner_sync_transitions, "partner_sync_transitions"},
    lacp_field{&lacp::port_counters::actor_changes, "actor_changes"},
    lacp_field{&lacp::port_counters::partner_changes, "partner_changes"},
    lacp_field{&lacp::port_counters::flaps, "flaps"}};
static_assert(sizeof(lacp::port_counters) == lacp_fields.size() * sizeof(std::uint64_t),
              "every counter has a name");

struct control_field {
    counter control_counters::*value;
    char const* name;
};

constexpr std::array control_fields{
    control_field{&control_counters::sent_own_queue, "control_sent_own_queue"},
    control_field{&control_counters::sent_borrowed, "control_sent_borrowed"},
    control_field{&control_counters::handed_over, "control_handed_over"},
    control_field{&control_counters::not_sent, "control_not_sent"},
    control_field{&control_counters::steered, "control_steered"},
    control_field{&control_counters::polls, "control_polls"},
    control_field{&control_counters::stashed, "control_stashed"}};

constexpr std::size_t index(drop_reason why) {
    return static_cast<std::size_t>(why);
}

queue_totals totals_of(queue_counters const& c) noexcept {
    queue_totals t;
    t.packets = c.packets.get();
    t.given_back = c.given_back.get();
    t.bursts_without_member = c.bursts_without_member.get();
    t.slow_taken = c.slow_taken.get();
    for (std::size_t i = 0; i < drop_reasons; ++i) {
        t.drops[i] = c.drops[i].get();
    }
    for (std::size_t i = 0; i < max_members; ++i) {
        t.member_packets[i] = c.member_packets[i].get();
    }
    return t;
}

queue_totals totals_of(queue_counters const& c, rx_queue const* q) noexcept {
    queue_totals t = totals_of(c);
    if (q != nullptr) {
        for (std::size_t i = 0; i < drop_reasons; ++i) {
            t.drops[i] += q->stash_dropped[i].get();
        }
    }
    return t;
}

/// Copies of single words written by others: a later sum is never smaller, but two words of one sum
/// may be of two moments.  So a difference to an older sum is cut at zero, not trusted.
std::uint64_t since(std::uint64_t now, std::uint64_t then) {
    return now > then ? now - then : 0;
}

bool ask_device(port_id port, port_totals& out) {
    rte_eth_stats s{};
    if (rte_eth_dev_is_valid_port(port) == 0 || rte_eth_stats_get(port, &s) != 0) {
        return false;
    }
    out = port_totals{0, 0, s.ibytes, s.obytes, s.imissed, s.ierrors, s.oerrors, s.rx_nombuf};
    return true;
}

} // namespace

void queue_totals::add(queue_totals const& other) noexcept {
    packets += other.packets;
    given_back += other.given_back;
    bursts_without_member += other.bursts_without_member;
    slow_taken += other.slow_taken;
    for (std::size_t i = 0; i < drops.size(); ++i) {
        drops[i] += other.drops[i];
    }
    for (std::size_t i = 0; i < member_packets.size(); ++i) {
        member_packets[i] += other.member_packets[i];
    }
}

void statistics::add(rx_queue const& q) {
    std::lock_guard const hold(queues_mutex_);
    rx_.live[&q.stats] = {q.queue_id, &q};
}

void statistics::add(tx_queue const& q) {
    std::lock_guard const hold(queues_mutex_);
    tx_.live[&q.stats] = {q.queue_id, nullptr};
}

void statistics::retire_from(direction& d, queue_counters const& counters) {
    auto const at = d.live.find(&counters);
    if (at != d.live.end()) {
        auto const [queue_id, rx] = at->second;
        d.retired[queue_id].add(totals_of(counters, rx));
        d.live.erase(at);
    }
}

void statistics::retire(queue_counters const& counters) {
    std::lock_guard const hold(queues_mutex_);
    retire_from(rx_, counters);
    retire_from(tx_, counters);
}

queue_totals statistics::sum(direction const& d) {
    queue_totals all;
    for (auto const& [queue_id, t] : d.retired) {
        all.add(t);
    }
    for (auto const& [counters, where] : d.live) {
        all.add(totals_of(*counters, where.second));
    }
    return all;
}

std::pair<queue_totals, queue_totals> statistics::sums() {
    std::lock_guard const hold(queues_mutex_);
    return {sum(rx_), sum(tx_)};
}

std::vector<std::uint64_t> statistics::packets_by_queue(direction const& d, bool shown) {
    std::vector<std::uint64_t> by_queue;
    auto const at = [&](std::uint16_t q) -> std::uint64_t& {
        by_queue.resize(std::max<std::size_t>(by_queue.size(), q + std::size_t{1}));
        return by_queue[q];
    };
    for (auto const& [queue_id, t] : d.retired) {
        at(queue_id) += t.packets;
    }
    for (auto const& [counters, where] : d.live) {
        at(where.first) += counters->packets.get();
    }
    if (shown) {
        for (auto const& [queue_id, zero] : d.zero) {
            at(queue_id) -= zero;
        }
    }
    return by_queue;
}

std::vector<std::uint64_t> statistics::rx_queue_packets() {
    std::lock_guard const hold(queues_mutex_);
    return packets_by_queue(rx_, true);
}

std::vector<std::uint64_t> statistics::tx_queue_packets() {
    std::lock_guard const hold(queues_mutex_);
    return packets_by_queue(tx_, true);
}

statistics::record* statistics::joined(member_id id) {
    auto const at = std::find_if(records_.begin(), records_.end(),
                                 [&](record const& r) { return r.port != no_port && r.id == id; });
    return at == records_.end() ? nullptr : &*at;
}

statistics::record& statistics::record_for(std::string const& name) {
    auto at = std::find_if(records_.begin(), records_.end(),
                           [&](record const& r) { return r.name == name; });
    if (at != records_.end()) {
        return *at;
    }
    record fresh;
    fresh.name = name;
    if (records_.size() >= max_records) {
        at = std::find_if(records_.begin(), records_.end(),
                          [](record const& r) { return r.port == no_port; });
        if (at != records_.end()) {
            for (field const f : device_fields) {
                forgotten_.*f += at->total.*f;
            }
            *at = std::move(fresh);
            return *at;
        }
    }
    return records_.emplace_back(std::move(fresh));
}

/// `rx`, `tx`: taken before, so that the queues' mutex is not held while the device is asked.
void statistics::read(record& r, queue_totals const& rx, queue_totals const& tx) {
    std::uint64_t const received = rx.member_packets[r.id];
    std::uint64_t const sent = tx.member_packets[r.id];
    r.total.ipackets += since(received, r.rx_base);
    r.total.opackets += since(sent, r.tx_base);
    r.rx_base = std::max(r.rx_base, received);
    r.tx_base = std::max(r.tx_base, sent);
    port_totals present;
    if (has_vanished(r.id) || !ask_device(r.port, present)) {
        return;
    }
    for (field const f : device_fields) {
        // A counter that went back was set to zero by somebody: what it shows was counted since.
        r.total.*f += present.*f >= r.last.*f ? present.*f - r.last.*f : present.*f;
    }
    r.last = present;
}

void statistics::read_all(queue_totals const& rx, queue_totals const& tx) {
    for (record& r : records_) {
        if (r.port != no_port) {
            read(r, rx, tx);
        }
    }
}

bool statistics::has_vanished(member_id id) const noexcept {
    // plain: an advice, not an order; a reader that misses it is one that was faster
    return vanished_[id].load(std::memory_order_relaxed);
}

void statistics::vanish(member_id id) noexcept {
    vanished_[id].store(true, std::memory_order_relaxed); // plain: see has_vanished()
}

void statistics::join(member_id id, port_id port) {
    std::string const name = rte_eth_devices[port].data->name;
    std::lock_guard const hold(records_mutex_);
    record& r = record_for(name);
    if (r.port != no_port) {
        return;
    }
    {
        std::lock_guard const hold_ports(ports_mutex_);
        ports_.reserve(ports_.size() + 1); // what throws, throws before the member has joined
    }
    vanished_[id].store(false, std::memory_order_relaxed); // plain: see has_vanished()
    auto const [rx, tx] = sums();
    r.id = id;
    r.port = port;
    r.rx_base = rx.member_packets[id];
    r.tx_base = tx.member_packets[id];
    r.last = {};
    static_cast<void>(ask_device(port, r.last));
    std::lock_guard const hold_ports(ports_mutex_);
    ports_.emplace_back(id, port);
}

void statistics::refresh() {
    std::lock_guard const hold(records_mutex_);
    auto const [rx, tx] = sums();
    read_all(rx, tx);
}

void statistics::leave(member_id id, bool vanished) {
    std::lock_guard const hold(records_mutex_);
    record* const r = joined(id);
    if (r == nullptr) {
        return;
    }
    auto const [rx, tx] = sums();
    if (vanished || has_vanished(id)) {
        r->total.ipackets += since(rx.member_packets[id], r->rx_base);
        r->total.opackets += since(tx.member_packets[id], r->tx_base);
    } else {
        read(*r, rx, tx);
    }
    {
        std::lock_guard const hold_ports(ports_mutex_);
        std::erase_if(ports_, [&](auto const& p) { return p.first == id; });
    }
    r->port = no_port;
    r->id = no_member;
}

statistics::lacp_record& statistics::lacp_record_for(std::string_view name) {
    auto at = std::find_if(lacp_records_.begin(), lacp_records_.end(),
                           [&](lacp_record const& l) { return l.name == name; });
    if (at != lacp_records_.end()) {
        return *at;
    }
    if (lacp_records_.size() >= max_records) {
        at = std::find_if(lacp_records_.begin(), lacp_records_.end(),
                          [](lacp_record const& l) { return !l.present; });
        if (at != lacp_records_.end()) {
            lacp_records_.erase(at);
        }
    }
    lacp_record fresh;
    fresh.name = name;
    return lacp_records_.emplace_back(std::move(fresh));
}

void statistics::count_lacp(std::span<lacp_count const> ports) {
    std::lock_guard const hold(lacp_mutex_);
    for (lacp_record& l : lacp_records_) {
        bool const named = std::any_of(ports.begin(), ports.end(),
                                       [&](lacp_count const& c) { return c.name == l.name; });
        if (!named) {
            l.present = false;
            l.last = {};
        }
    }
    for (lacp_count const& c : ports) {
        lacp_record& l = lacp_record_for(c.name);
        for (auto const& f : lacp_fields) {
            // Lower than before: a port that left LACP and came back between two looks.
            auto const then = l.last.*f.value;
            auto const counted = c.counters.*f.value;
            l.total.*f.value += counted >= then ? counted - then : counted;
        }
        l.last = c.counters;
        l.last_change_ms = c.last_change_ms;
        l.present = true;
    }
}

/// A member on which LACP never ran has its zeros: names keep their place.
void statistics::show_lacp(std::string const& name, std::vector<named_value>& out) {
    std::lock_guard const hold(lacp_mutex_);
    auto const at = std::find_if(lacp_records_.begin(), lacp_records_.end(),
                                 [&](lacp_record const& l) { return l.name == name; });
    for (auto const& f : lacp_fields) {
        out.emplace_back(
            "member_" + name + "_lacp_" + f.name,
            at == lacp_records_.end() ? 0 : since((*at).total.*f.value, (*at).zero.*f.value));
    }
    out.emplace_back("member_" + name + "_lacp_last_change_ms",
                     at == lacp_records_.end() ? 0 : at->last_change_ms);
}

port_totals statistics::grand_total(queue_totals const& rx, queue_totals const& tx) const {
    port_totals all = forgotten_;
    for (record const& r : records_) {
        for (field const f : device_fields) {
            all.*f += r.total.*f;
        }
    }
    all.ipackets = rx.packets;
    all.opackets = tx.packets;
    all.imissed +=
        rx.drops[index(drop_reason::drain_no_room)] + rx.drops[index(drop_reason::stash_full)];
    return all;
}

port_totals statistics::totals() {
    std::lock_guard const hold(records_mutex_);
    auto const [rx, tx] = sums();
    read_all(rx, tx);
    port_totals shown = grand_total(rx, tx);
    for (field const f : all_fields) {
        shown.*f = since(shown.*f, zero_.*f);
    }
    return shown;
}

std::vector<statistics::named_value> statistics::extended(gauges const& now) {
    std::lock_guard const hold(records_mutex_);
    auto const [rx, tx] = sums();
    read_all(rx, tx);
    queue_totals rx_zero;
    queue_totals tx_zero;
    {
        std::lock_guard const hold_queues(queues_mutex_);
        rx_zero = rx_.zero_sum;
        tx_zero = tx_.zero_sum;
    }
    std::vector<named_value> out;
    out.emplace_back("snapshot_version", now.version);
    out.emplace_back("snapshots_live", now.live_snapshots);
    out.emplace_back("queues_in_burst", now.pins);
    out.emplace_back("fence_is_membarrier", now.membarrier ? 1 : 0);
    for (auto const& drop : rx_drops) {
        std::size_t const i = index(drop.why);
        out.emplace_back(drop.name, since(rx.drops[i], rx_zero.drops[i]));
    }
    for (auto const& drop : tx_drops) {
        std::size_t const i = index(drop.why);
        out.emplace_back(drop.name, since(tx.drops[i], tx_zero.drops[i]));
    }
    out.emplace_back("tx_given_back", since(tx.given_back, tx_zero.given_back));
    out.emplace_back("tx_bursts_without_member",
                     since(tx.bursts_without_member, tx_zero.bursts_without_member));
    out.emplace_back("rx_slow_taken", since(rx.slow_taken, rx_zero.slow_taken));
    for (std::size_t i = 0; i < control_fields.size(); ++i) {
        out.emplace_back(control_fields[i].name,
                         since((control_.*control_fields[i].value).get(), control_zero_[i]));
    }
    for (record const& r : records_) {
        for (auto const& f : member_fields) {
            out.emplace_back("member_" + r.name + "_" + f.name,
                             since(r.total.*f.value, r.zero.*f.value));
        }
        show_lacp(r.name, out);
    }
    return out;
}

void statistics::reset() {
    std::lock_guard const hold(records_mutex_);
    auto const [rx, tx] = sums();
    read_all(rx, tx);
    zero_ = grand_total(rx, tx);
    for (record& r : records_) {
        r.zero = r.total;
    }
    static_assert(control_fields.size() == std::tuple_size_v<decltype(control_zero_)>);
    for (std::size_t i = 0; i < control_fields.size(); ++i) {
        control_zero_[i] = (control_.*control_fields[i].value).get();
    }
    {
        std::lock_guard const hold_lacp(lacp_mutex_);
        for (lacp_record& l : lacp_records_) {
            l.zero = l.total;
        }
    }
    std::lock_guard const hold_queues(queues_mutex_);
    auto const set_zero = [](direction& d, queue_totals const& now) {
        d.zero_sum = now;
        d.zero.clear();
        auto const packets = packets_by_queue(d, false);
        for (std::size_t q = 0; q < packets.size(); ++q) {
            d.zero[static_cast<std::uint16_t>(q)] = packets[q];
        }
    };
    set_zero(rx_, rx);
    set_zero(tx_, tx);
}

} // namespace lagg::pmd
