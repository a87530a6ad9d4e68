// Control's side of a lagg port: runs the aggregator, carries its effects out, publishes, reclaims.
#include "lagg_device.h"

#include "lagg_errno.h"
#include "lagg_events.h"
#include "lagg_log.h"
#include "lagg_netlink.h"

#include <rte_errno.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <numeric>
#include <utility>

namespace lagg::pmd {

namespace {

using namespace std::chrono_literals;

/// While something waits for a burst to end: how soon to look again.  Doubles up to the second
/// figure, for a burst either ends in microseconds or is parked for long.
constexpr time_point first_rescan = 50us;
constexpr time_point last_rescan = 10ms;

template<std::size_t N>
void copy_name(char (&to)[N], std::string const& from) {
    std::snprintf(to, N, "%s", from.c_str());
}

rte_pmd_lagg_event_type event_type(effect::member_change change) {
    switch (change) {
    case effect::member_change::joined: return RTE_PMD_LAGG_EVENT_MEMBER_JOINED;
    case effect::member_change::left: return RTE_PMD_LAGG_EVENT_MEMBER_LEFT;
    case effect::member_change::distributing: return RTE_PMD_LAGG_EVENT_MEMBER_DISTRIBUTING;
    case effect::member_change::standby: return RTE_PMD_LAGG_EVENT_MEMBER_STANDBY;
    case effect::member_change::link_up: return RTE_PMD_LAGG_EVENT_MEMBER_LINK_UP;
    case effect::member_change::link_down: return RTE_PMD_LAGG_EVENT_MEMBER_LINK_DOWN;
    }
    return RTE_PMD_LAGG_EVENT_MEMBER_JOINED;
}

} // namespace

/// Throws std::bad_alloc, and nothing happened.  No event overtakes effects of earlier ones, so
/// that what is shown with them is of one moment.
void device::handle(any_event const& e) {
    if (behind_) {
        flush_or_throw(now());
    }
    status_stale_ = true;
    aggregator_.handle(e, now());
}

/// Handles what `make` makes of `w`'s request.  Throws std::bad_alloc, and nobody asked.
void device::ask(waiter const& w, event_maker const& make) {
    request_id const id = ++last_request_;
    auto const at = waiters_.emplace(id, w).first;
    try {
        handle(make(id));
    } catch (std::bad_alloc const&) {
        waiters_.erase(at);
        throw;
    }
}

bool device::has_member_on(port_id port) const {
    auto const& all = aggregator_.members();
    return std::any_of(all.begin(), all.end(), [&](member const& m) { return m.port == port; });
}

/// A port that was owned for a member that did not become one.
void device::disown_stranger(port_id port) {
    if (!has_member_on(port)) {
        disown(port);
    }
}

/// A port is about to become a member's.  Not later: control looks for members that vanished also
/// when what was decided for one waits for memory.
void device::forget_former_of(port_id port) {
    if (!has_member_on(port)) {
        forget_former(port);
    }
}

/// Where memory runs out the rest is for the next time, soon: each step either is made or leaves
/// what it looks at as it was.
time_point device::settle(time_point at) {
    time_point const next_adoption = adopt_awaited(at);
    // LACPDUs before the timers that they hold up: control may have been without a CPU for long.
    // But a member that vanished must not be polled any more, and a loss that was told must not
    // wait for drivers that are asked: a PHY may take a millisecond to answer.
    if (collect_stirred() || behind_) {
        frames_.hear(at, to_aggregator());
        flush_or_throw(now());
    }
    if (at >= next_poll_ || kernel_changes_ != links().changes()) {
        poll_links(at);
        kernel_changes_ = links().changes();
        next_poll_ = at + args_.poll_period;
    }
    if (at >= aggregator_.next_deadline()) {
        handle(event::tick{});
    }
    if (closing_ != nullptr) {
        leave_all();
    }
    frames_.set_impatient(aggregator_.impatient());
    time_point const next_visit = frames_.visit(at, to_aggregator());
    flush(now()); // later than what was just handled: nothing may seem to lie ahead

    if (publisher_.fence_pending()) {
        publisher_.retry_fence();
    } else if (publisher_.retired() > 0) {
        publisher_.scan();
    }
    check_quiescence();
    check_barriers();
    // What is shown of reclamation follows it, changes or not.
    auto const& shown = published_->status; // control alone replaces it
    status_stale_ = status_stale_ || shown.live_snapshots != publisher_.live() ||
                    shown.pins != publisher_.holders();
    free_retired_queues();
    flush_or_throw(now()); // later than what was just handled: nothing may seem to lie ahead

    bool const waiting = publisher_.retired() > 0 || !retired_queues_.empty();
    rescan_after_ =
        waiting ? std::clamp(2 * rescan_after_, first_rescan, last_rescan) : time_point{0};
    time_point next =
        std::min({next_poll_, aggregator_.next_deadline(), next_visit, next_adoption});
    if (waiting) {
        next = std::min(next, at + rescan_after_);
    }
    if (closing_ != nullptr) {
        finish_close(); // may end the object
    }
    return next;
}

/// Carries out what was decided, as far as there is memory; false: settle() goes on with it.
bool device::flush(time_point at) {
    try {
        flush_or_throw(at);
        return true;
    } catch (std::bad_alloc const&) {
        LAGG_LOG(ERR, "%s: out of memory; what was decided waits", name_.c_str());
        return false;
    }
}

void device::flush_or_throw(time_point at) {
    behind_ = true;
    if (carried_out_ < effects_.size()) {
        carry_out_rest(); // of the last time
    }
    if (aggregator_.flush(at, effects_) != errc::ok) {
        throw std::bad_alloc();
    }
    carry_out_rest();
    frames_.send_all();
    for (refusal const& r : refusals_) {
        tell(RTE_PMD_LAGG_EVENT_MEMBER_REFUSED, r.port, r.error);
    }
    refusals_.clear();
    behind_ = false;
}

/// An effect for which there is no memory has not happened: it is the first one of the next time.
void device::carry_out_rest() {
    // The publication, if any, comes first: what is shown next is what is in force.
    if (carried_out_ < effects_.size() &&
        std::holds_alternative<effect::publish>(effects_[carried_out_])) {
        carry_out(std::get<effect::publish>(effects_[carried_out_]));
        ++carried_out_;
    }
    if (status_stale_) {
        renew_published();
    }
    for (; carried_out_ < effects_.size(); ++carried_out_) {
        std::visit([this](auto& one) { carry_out(one); }, effects_[carried_out_]);
    }
    effects_.clear();
    carried_out_ = 0;
}

control_frames::receiver device::to_aggregator() {
    return [this](event::slow_frame const& e) {
        status_stale_ = true;
        aggregator_.handle(e, now()); // never throws
    };
}

void device::carry_out(effect::publish& e) {
    for (polled_member const& p : e.next->polled) {
        slots_[p.id].collecting = p.collecting;
    }
    if (hears_slow_frames_ != e.next->take_slow) {
        bool const wanted = e.next->take_slow;
        post_to_worker([this, wanted] { hear_slow_frames(wanted); });
        hears_slow_frames_ = wanted;
    }
    if (!publisher_.publish(std::move(e.next))) {
        throw std::bad_alloc(); // it is still ours
    }
    status_stale_ = true;
}

void device::carry_out(effect::prepare_member const& e) {
    slots_[e.id] = slot{};
    slots_[e.id].port = e.port;
    {
        std::lock_guard const hold(awaited_mutex_);
        std::erase(awaited_, std::string(rte_eth_devices[e.port].data->name));
    }
    status_stale_ = true;
    post_to_worker([this, e] { prepare(e.id, e.port); });
}

void device::carry_out(effect::await_quiescence const& e) {
    slots_[e.id].awaiting_quiescence = true;
}

void device::carry_out(effect::await_bursts const& e) {
    awaited_version_ = e.version;
}

void device::carry_out(effect::release_member const& e) {
    slots_[e.id].follow_link = false;
    slots_[e.id].awaiting_quiescence = false;
    frames_.forget(e.id);
    bool const vanished = e.vanished;
    bool const collecting = slots_[e.id].collecting;
    post_to_worker(
        [this, e, vanished, collecting] { release(e.id, e.port, vanished, collecting); });
}

void device::carry_out(effect::send_frame const& e) {
    slot const& s = slots_[e.id];
    if (s.follow_link && s.port == e.port) {
        frames_.send({e.port, e.id, s.control_queue, e.queue}, e.frame);
    } else {
        frames_.not_sent(); // given to the worker meanwhile, or gone
    }
}

void device::carry_out(effect::complete const& e) {
    int const rc = e.error == errc::device ? e.device_error : to_errno(e.error);
    if (!e.text.empty()) {
        LAGG_LOG(ERR, "%s: %s", name_.c_str(), e.text.c_str());
    }
    auto const at = waiters_.find(e.request);
    if (at == waiters_.end()) {
        return;
    }
    at->second->set_value(rc);
    waiters_.erase(at);
}

void device::carry_out(effect::report_link const& e) {
    if (eth_gone_) {
        return;
    }
    rte_eth_link link{};
    link.link_status = e.link.up ? RTE_ETH_LINK_UP : RTE_ETH_LINK_DOWN;
    link.link_duplex = RTE_ETH_LINK_FULL_DUPLEX;
    link.link_autoneg = RTE_ETH_LINK_AUTONEG;
    link.link_speed =
        e.link.up && e.link.speed_mbps == 0 ? RTE_ETH_SPEED_NUM_UNKNOWN : e.link.speed_mbps;
    rte_eth_linkstatus_set(eth_, &link);
    rte_eth_dev_callback_process(eth_, RTE_ETH_EVENT_INTR_LSC, nullptr);
}

void device::carry_out(effect::notify_member const& e) {
    if (e.change == effect::member_change::left) {
        slots_[e.id] = slot{};
    }
    tell(event_type(e.change), e.port, 0);
}

/// The worker is done with preparing a member.
void device::prepared(event::member_prepared done, port_id port, bool running, reach by) {
    std::string name;
    for (member const& m : aggregator_.members()) {
        if (m.id == done.id && !m.to_leave) {
            name = m.name;
        }
    }
    if (done.device_error == -ENOMEM && closing_ == nullptr && retries_.under_way(name)) {
        await_again(done, std::move(name));
        flush(now());
        return;
    }
    if (done.error != errc::ok) {
        refuse(done, {port, done.device_error});
        retries_.forget(name);
        return;
    }
    retries_.forget(name);
    if (running) {
        follow(done.id, by);
        done.link = link_of(done.id);
    }
    handle(done);
}

/// The worker is done with a member that left.
void device::member_gone(member_id id, port_id port, bool vanished) {
    bool joined = false;
    for (member const& m : aggregator_.members()) {
        joined = joined || (m.id == id && m.announced);
    }
    if (joined) {
        handle(event::member_released{id});
        disown(port);
    } else {
        refuse(event::member_released{id}, {port, vanished ? -EIO : -EBUSY});
    }
}

/// The port is given up, here, where an add meanwhile would be owned anew.  Who is told, and asks,
/// finds it gone.
void device::refuse(any_event const& e, refusal const& told) {
    refusals_.reserve(refusals_.size() + 1); // what throws, throws before anything happened
    handle(e);
    disown(told.port);
    refusals_.push_back(told);
    flush(now());
}

/// The worker changed the port.
void device::members_reported(std::vector<member_id> const& started,
                              std::vector<event::filter_changed> const& filters,
                              std::array<reach, max_members> const& by) {
    for (member_id const id : started) {
        if (is_ours(id)) { // else released meanwhile: its port may be another's by now
            follow(id, by[id]);
            handle(event::link_changed{id, link_of(id)});
        }
    }
    for (auto const& f : filters) {
        handle(f);
    }
}

/// Everything is given back: the port closes.
void device::leave_all() {
    for (member const& m : std::vector<member>(aggregator_.members())) {
        bool const stays =
            m.phase == member_phase::present || (m.phase == member_phase::joining && !m.to_leave);
        if (stays) {
            handle(event::remove_member{0, m.port, false});
        }
    }
}

void device::free_retired_queues() noexcept {
    for (std::size_t i = retired_queues_.size(); i-- > 0;) {
        if (retired_queues_[i]()) {
            retired_queues_.erase(retired_queues_.begin() + static_cast<std::ptrdiff_t>(i));
        }
    }
}

void device::tell(rte_pmd_lagg_event_type type, port_id port, int error) {
    if (callback_ != nullptr) {
        rte_pmd_lagg_event const e{type, id_, port, error, aggregator_.version()};
        callback_(&e, callback_arg_);
    }
}

/// Those whose time has come; the time of the next one that exists.
time_point device::adopt_awaited(time_point at) {
    time_point next = never;
    std::vector<std::string> names;
    {
        std::lock_guard const hold(awaited_mutex_);
        names = awaited_;
    }
    for (auto const& name : names) {
        std::uint16_t port = 0;
        if (rte_eth_dev_get_port_by_name(name.c_str(), &port) != 0) {
            retries_.forget(name); // another device of that name is tried at once
            continue;
        }
        if (time_point const due = retries_.due(name); due > at) {
            next = std::min(next, due);
            continue;
        }
        if (adopt(name, port)) {
            std::lock_guard const hold(awaited_mutex_);
            std::erase(awaited_, name);
        } else {
            next = std::min(next, retries_.due(name));
        }
    }
    return next;
}

/// False: there was no memory, so it is awaited still.
bool device::adopt(std::string const& name, port_id port) {
    retries_.begin(name);
    try {
        event::add_member e;
        int rc = own(port);
        rc = rc != 0 ? rc : describe_new(port, e);
        if (rc == -ENOMEM) {
            note_shortage(name);
            return false;
        }
        if (rc != 0) {
            LAGG_LOG(ERR, "%s: member=%s: %s", name_.c_str(), name.c_str(), rte_strerror(-rc));
            retries_.forget(name);
            disown_stranger(port);
            status_stale_ = true;
            tell(RTE_PMD_LAGG_EVENT_MEMBER_REFUSED, port, rc);
            return true;
        }
        forget_former_of(port);
        handle(e);
    } catch (std::bad_alloc const&) {
        retries_.forget(name); // it was not begun
        throw;
    }
    disown_stranger(port);
    return true;
}

/// Says so once, however often it is tried.
void device::note_shortage(std::string const& name) {
    if (retries_.failed(name, now())) {
        LAGG_LOG(WARNING, "%s: member=%s: out of memory; it is tried again until there is some",
                 name_.c_str(), name.c_str());
    }
}

/// A member that was awaited found no memory: it is awaited again, ours meanwhile.  Throws
/// std::bad_alloc, and nothing happened.
void device::await_again(event::member_prepared const& done, std::string name) {
    {
        std::lock_guard const hold(awaited_mutex_);
        awaited_.reserve(awaited_.size() + 1);
    }
    handle(done);
    note_shortage(name);
    std::lock_guard const hold(awaited_mutex_);
    awaited_.push_back(std::move(name));
}

/// Whether there was something.
bool device::collect_stirred() {
    bool any = false;
    for (member const& m : std::vector<member>(aggregator_.members())) {
        auto const what = take_stirred(m.port);
        if ((what & stirred_removal) != 0) {
            slots_[m.id].follow_link = false;
            statistics_.vanish(m.id);
            frames_.forget(m.id);
            act_on(event::member_vanished{m.port}, m.port, what);
            any = true;
        } else if ((what & stirred_link) != 0 && slots_[m.id].follow_link) {
            act_on(event::link_changed{m.id, with_kernels_word(m.id, told_link(m.port))}, m.port,
                   what);
            any = true;
        }
    }
    return any;
}

/// Throws std::bad_alloc: then the port is stirred still.
void device::act_on(any_event const& e, port_id port, std::uint32_t what) {
    try {
        handle(e);
    } catch (std::bad_alloc const&) {
        put_back_stirred(port, what);
        throw;
    }
}

void device::poll_links(time_point) {
    for (member const& m : std::vector<member>(aggregator_.members())) {
        if (!slots_[m.id].follow_link) {
            continue;
        }
        link_state const link = link_of(m.id);
        if (!(link == m.link)) {
            handle(event::link_changed{m.id, link});
        }
    }
}

bool device::is_ours(member_id id) const {
    auto const& all = aggregator_.members();
    return std::any_of(all.begin(), all.end(), [id](member const& m) {
        return m.id == id && m.phase != member_phase::releasing;
    });
}

void device::follow(member_id id, reach by) {
    slots_[id].follow_link = true;
    slots_[id].control_queue = by.tx;
    frames_.expect(slots_[id].port);
    if (by.rx != no_queue) {
        frames_.listen(id, slots_[id].port, by.rx);
    }
    slots_[id].if_index = by.if_index;
    slots_[id].kernel_known = false;
}

link_state device::link_of(member_id id) {
    return with_kernels_word(id, read_link(slots_[id].port));
}

link_state device::with_kernels_word(member_id id, link_state link) {
    slot& s = slots_[id];
    if (s.if_index == 0) {
        return link;
    }
    auto const word = links().up(s.if_index);
    s.kernel_known = s.kernel_known || word.has_value();
    // An interface that was known and is not there any more was deleted, or moved to another name
    // space.
    if (link.up && s.kernel_known && !word.value_or(false)) {
        link.up = false;
        link.speed_mbps = 0;
    }
    return link;
}

bool device::live_contains(port_id port) const {
    bool found = false;
    publisher_.for_each_live([&](snapshot const& s) { found = found || contains(s, port); });
    return found;
}

void device::check_quiescence() {
    if (publisher_.fence_pending()) {
        return;
    }
    for (std::size_t i = 0; i < slots_.size(); ++i) {
        slot& s = slots_[i];
        if (s.awaiting_quiescence && !live_contains(s.port)) {
            handle(event::member_quiescent{static_cast<member_id>(i)});
            s.awaiting_quiescence = false;
        }
    }
}

std::uint64_t device::oldest_live_version() const {
    std::uint64_t oldest = UINT64_MAX;
    publisher_.for_each_live([&](snapshot const& s) { oldest = std::min(oldest, s.version); });
    return oldest;
}

void device::check_barriers() {
    if (publisher_.fence_pending()) {
        return;
    }
    std::uint64_t const oldest = oldest_live_version();
    if (awaited_version_ != 0 && oldest >= awaited_version_) {
        handle(event::bursts_ended{awaited_version_});
        awaited_version_ = 0;
    }
    std::erase_if(barriers_, [&](barrier_wait const& b) {
        if (oldest < b.version) {
            return false;
        }
        b.done->set_value(0);
        return true;
    });
}

void device::renew_published() {
    auto next = std::make_shared<published_state>();
    if (publisher_.newest() != nullptr) {
        next->snapshot = *publisher_.newest();
    }
    fill_status(next->status);
    fill_lacp(*next);
    status_stale_ = false;
    std::lock_guard const hold(published_mutex_);
    published_ = std::move(next);
}

namespace {

/// Which member has each bucket: its place in `s.members`, by its id in `index_of`.
void fill_buckets(rte_pmd_lagg_status& s, snapshot const& view,
                  std::array<std::uint8_t, max_members> const& index_of) {
    for (std::size_t b = 0; b < bucket_count; ++b) {
        s.bucket[b] = UINT8_MAX;
        if (view.policy != policy::loadbalance && view.policy != policy::lacp) {
            continue;
        }
        if (view.distributing.empty()) {
            continue;
        }
        bool const table = view.how == spread::by_flow || view.how == spread::by_flow_held;
        if (table && view.bucket[b] == held_bucket) {
            continue; // about to move
        }
        auto const owner = view.distributing[table ? view.bucket[b] : 0].id;
        s.bucket[b] = index_of[owner];
        if (s.bucket[b] != UINT8_MAX) {
            ++s.members[s.bucket[b]].buckets;
        }
    }
}

} // namespace

void device::fill_status(rte_pmd_lagg_status& s) {
    config const& c = aggregator_.current_config();
    snapshot const empty{};
    snapshot const& view = publisher_.newest() != nullptr ? *publisher_.newest() : empty;
    s.version = view.version;
    s.policy = static_cast<rte_pmd_lagg_policy>(c.policy);
    s.failback = static_cast<rte_pmd_lagg_failback>(c.failback);
    s.failback_hold_ms = static_cast<std::uint32_t>(c.failback_hold.count());
    s.hash_fields = (c.hash.l2 ? RTE_PMD_LAGG_HASH_L2 : 0U) |
                    (c.hash.l3 ? RTE_PMD_LAGG_HASH_L3 : 0U) |
                    (c.hash.l4 ? RTE_PMD_LAGG_HASH_L4 : 0U);
    s.symmetric = c.hash.symmetric;
    s.flowid = c.hash.use_flowid;
    s.seed = c.hash.seed;
    s.rx_all = c.rx_all;
    s.started = view.run != run_state::stopped;
    s.admin_up = view.run != run_state::admin_down;
    s.link_up = aggregator_.link().up;
    s.link_speed_mbps = aggregator_.link().speed_mbps;
    s.stride = c.stride;
    s.min_links = c.min_links;
    s.up_delay_ms = static_cast<std::uint32_t>(c.up_delay.count());
    s.down_delay_ms = static_cast<std::uint32_t>(c.down_delay.count());
    copy_name(s.primary, c.primary);
    s.live_snapshots = static_cast<std::uint32_t>(publisher_.live());
    s.pins = static_cast<std::uint32_t>(publisher_.holders());
    s.fence = fence().kind() == epoch::fence_kind::membarrier ? "membarrier" : "real";

    fill_awaited(s);

    std::array<std::uint8_t, max_members> index_of;
    index_of.fill(UINT8_MAX);
    for (member const& m : aggregator_.members()) {
        index_of[m.id] = static_cast<std::uint8_t>(s.nb_members);
        auto& out = s.members[s.nb_members++];
        out.port = m.port;
        copy_name(out.name, m.name);
        out.phase = to_string(m.phase).data();
        out.link_up = m.link.up;
        out.usable = m.usable;
        out.collecting = m.collecting;
        out.distributing = m.distributing;
        out.primary = m.name == c.primary;
        out.promiscuous_for_us = m.filter;
        out.speed_mbps = m.link.speed_mbps;
        out.weight = aggregator_.weight_of(m);
    }
    fill_buckets(s, view, index_of);
}

void device::fill_lacp(published_state& state) {
    state.lacp = aggregator_.current_config().lacp;
    std::vector<lagg::pmd::statistics::lacp_count> counts;
    for (member const& m : aggregator_.members()) {
        if (auto const report = aggregator_.lacp_report(m.id)) {
            state.lacp_ports.push_back({m.port, *report});
            counts.push_back({m.name, report->counters, milliseconds_of(report->last_change)});
        }
    }
    statistics_.count_lacp(counts);
}

void device::fill_awaited(rte_pmd_lagg_status& s) {
    std::lock_guard const hold(awaited_mutex_);
    for (auto const& name : awaited_) {
        if (s.nb_awaited < RTE_PMD_LAGG_MAX_MEMBERS) {
            copy_name(s.awaited[s.nb_awaited++], name);
        }
    }
}

void device::finish_close() {
    if (!aggregator_.members().empty() || !retired_queues_.empty() || publisher_.retired() > 0) {
        return; // a settle() that left something undone does not come here
    }
    auto const done = closing_;
    stop_serving(*this);
    delete this;
    done->set_value(0);
}

} // namespace lagg::pmd
