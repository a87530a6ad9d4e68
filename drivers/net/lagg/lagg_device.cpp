// The app thread's side of a lagg port: posts, waits, translates.
#include "lagg_device.h"

#include "lagg_errno.h"
#include "lagg_known_drivers.h"
#include "lagg_log.h"
#include "lagg_ops.h"

#include <rte_errno.h>
#include <rte_malloc.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <new>

namespace lagg::pmd {

namespace {

std::mutex registry_mutex; // guards `registry`: who awaits what, asked inside ethdev's NEW event
std::vector<device*> registry;

/// A waiter without a limit: the slow calls of a device end by themselves.
constexpr unsigned forever = UINT_MAX;

net::mac_address from_rte(rte_ether_addr const& a) {
    net::mac_address mac;
    std::memcpy(mac.bytes.data(), a.addr_bytes, mac.bytes.size());
    return mac;
}

/// The address for a lagg whose operator named none: that of the first member that exists, else a
/// random one. It does not change when members come and go.
net::mac_address choose_address(std::vector<std::string> const& members) {
    rte_ether_addr address{};
    for (auto const& name : members) {
        std::uint16_t port = 0;
        if (rte_eth_dev_get_port_by_name(name.c_str(), &port) == 0 &&
            rte_eth_macaddr_get(port, &address) == 0) {
            return from_rte(address);
        }
    }
    rte_eth_random_addr(address.addr_bytes);
    return from_rte(address);
}

/// Applications (testpmd) skip a queue that is not marked as started.
void set_queue_states(rte_eth_dev_data& data, std::uint8_t state) {
    std::fill_n(data.rx_queue_state, data.nb_rx_queues, state);
    std::fill_n(data.tx_queue_state, data.nb_tx_queues, state);
}

} // namespace

device::device(rte_eth_dev* eth, start_arguments args)
    : eth_(eth),
      name_(eth->data->name),
      id_(eth->data->port_id),
      args_(std::move(args)),
      first_address_(args_.mac ? *args_.mac : choose_address(args_.members)),
      aggregator_(args_.config),
      publisher_(fence()),
      infos_(args_),
      awaited_(args_.members),
      frames_(name_, publisher_, statistics_.control()) {
    rte_eth_dev_owner_new(&owner_.id);
    std::snprintf(owner_.name, sizeof owner_.name, "%s", name_.c_str());
    settings_.mac = first_address_;
    settings_.steering = args_.lacp_steering;
    renew_published();
    std::lock_guard const hold(registry_mutex);
    registry.push_back(this);
}

device::~device() {
    std::lock_guard const hold(registry_mutex);
    std::erase(registry, this);
}

device* device::find(std::uint16_t port) {
    if (rte_eth_dev_is_valid_port(port) == 0 || rte_eth_devices[port].dev_ops != &lagg_ops) {
        return nullptr;
    }
    return static_cast<device*>(rte_eth_devices[port].process_private);
}

void device::port_appeared(port_id port) noexcept {
    // Not attached yet: its name stands in its data, and an owner can be set.
    char const* const name = rte_eth_devices[port].data->name; // no copy: nothing may throw here
    std::lock_guard const hold(registry_mutex);
    for (device* const d : registry) {
        bool awaited = false;
        {
            std::lock_guard const hold_names(d->awaited_mutex_);
            awaited = std::find(d->awaited_.begin(), d->awaited_.end(), name) != d->awaited_.end();
        }
        if (awaited) {
            d->own(port);
            wake_control();
        }
    }
}

std::shared_ptr<published_state const> device::published() const {
    std::lock_guard const hold(published_mutex_);
    return published_;
}

std::shared_ptr<published_state const> device::published_of(std::uint16_t port) {
    std::lock_guard const hold(registry_mutex);
    for (device const* const d : registry) {
        if (d->id_ == port && find(port) == d) {
            return d->published();
        }
    }
    return nullptr;
}

bool device::owned(port_id port) const {
    rte_eth_dev_owner present{};
    return rte_eth_dev_is_valid_port(port) != 0 && rte_eth_dev_owner_get(port, &present) == 0 &&
           present.id == owner_.id;
}

int device::own(port_id port) {
    rte_eth_dev_owner present{};
    if (rte_eth_dev_owner_get(port, &present) == 0 && present.id == owner_.id) {
        return 0;
    }
    int const rc = rte_eth_dev_owner_set(port, &owner_);
    return rc == -EPERM ? -EBUSY : rc;
}

/// -errno of a device that does not say what it is.
int device::describe_new(port_id port, event::add_member& e) const {
    rte_eth_dev_info info{};
    if (int const rc = rte_eth_dev_info_get(port, &info); rc != 0) {
        LAGG_LOG(ERR, "%s: member %s: info_get failed: %s", name_.c_str(), describe(port).c_str(),
                 rte_strerror(-rc));
        return rc;
    }
    e.port = port;
    e.name = rte_eth_devices[port].data->name;
    e.hands_on = known(info).hands_on;
    e.keeps_list = known(info).keeps_list;
    return 0;
}

void device::disown(port_id port) {
    if (owned(port)) {
        rte_eth_dev_owner_unset(port, owner_.id);
    }
}

namespace {

std::chrono::milliseconds patience(unsigned timeout_ms) {
    return std::chrono::milliseconds(timeout_ms);
}

/// -EINPROGRESS when it takes longer.
int wait_for(std::future<int>& result, unsigned timeout_ms) {
    if (timeout_ms == forever) {
        return result.get();
    }
    if (result.wait_for(patience(timeout_ms)) != std::future_status::ready) {
        return -EINPROGRESS;
    }
    return result.get();
}

} // namespace

/// Runs `step` on control: its error, or what the waiter that it was given comes to hear, or
/// -EINPROGRESS.  Also where nobody wants to wait, what is refused at once is known, unless control
/// itself is late.  `step` may run when this has returned.
int device::ask_control(std::function<int(waiter const&)> step, unsigned timeout_ms) {
    if (!may_wait()) {
        return -EDEADLK;
    }
    auto const done = std::make_shared<std::promise<int>>();
    auto const begun = std::make_shared<std::promise<void>>();
    auto result = done->get_future();
    auto const seen = begun->get_future();
    auto const start = std::chrono::steady_clock::now();
    post_to_control([done, begun, step = std::move(step)] {
        int rc = -ENOMEM;
        try {
            rc = step(done);
        } catch (std::bad_alloc const&) {
            rc = -ENOMEM;
        }
        if (rc != 0) {
            done->set_value(rc);
        }
        begun->set_value();
    });
    if (timeout_ms == forever) {
        return result.get();
    }
    unsigned const at_least = std::max<unsigned>(timeout_ms, RTE_PMD_LAGG_DEFAULT_WAIT_MS);
    seen.wait_until(start + patience(at_least));
    if (result.wait_until(start + patience(timeout_ms)) != std::future_status::ready) {
        return -EINPROGRESS;
    }
    return result.get();
}

/// `make` builds the event on control, from what is in force there.
int device::request(event_maker make, unsigned timeout_ms) {
    return ask_control(
        [this, make = std::move(make)](waiter const& done) {
            ask(done, make);
            flush(now()); // what is refused at once is known when this returns
            return 0;
        },
        timeout_ms);
}

int device::open() {
    if (!may_wait()) {
        return -EDEADLK;
    }
    // Before control looks for them: those that are missing it picks up when they are probed.
    auto const present = take_present();
    if (int const rc = call_control([this] {
            serve(*this);
            return 0;
        });
        rc != 0) {
        return rc;
    }
    for (auto const& [name, port] : present) {
        if (int const rc = add_member(port, forever); rc != 0) {
            LAGG_LOG(ERR, "%s: member=%s: %s", name_.c_str(), name.c_str(), rte_strerror(-rc));
            return rc;
        }
    }
    return 0;
}

/// The awaited members that exist are awaited no more.
std::vector<std::pair<std::string, port_id>> device::take_present() {
    std::vector<std::pair<std::string, port_id>> present;
    std::lock_guard const hold(awaited_mutex_);
    std::erase_if(awaited_, [&](std::string const& name) {
        std::uint16_t port = 0;
        if (rte_eth_dev_get_port_by_name(name.c_str(), &port) != 0) {
            return false;
        }
        present.emplace_back(name, port);
        return true;
    });
    return present;
}

int device::change_config(std::function<void(lagg::config&)> const& edit) {
    return request(
        [&](request_id id) {
            lagg::config next = aggregator_.current_config();
            edit(next);
            return event::change_config{id, std::move(next)};
        },
        forever);
}

int device::add_member(port_id port, unsigned timeout_ms) {
    if (!may_wait()) {
        return -EDEADLK;
    }
    if (rte_eth_dev_is_valid_port(port) == 0) {
        return -EINVAL;
    }
    if (rte_eth_devices[port].dev_ops == &lagg_ops) {
        return -ELOOP;
    }
    event::add_member e;
    if (int const rc = describe_new(port, e); rc != 0) {
        return rc;
    }
    return ask_control([this, e](waiter const& done) { return take_in(done, e); }, timeout_ms);
}

/// Owned on control, where members are given back too: so it never disagrees with membership.
int device::take_in(waiter const& done, event::add_member e) {
    bool const same = rte_eth_dev_is_valid_port(e.port) != 0 &&
                      e.name == static_cast<char const*>(rte_eth_devices[e.port].data->name);
    int const refused = same ? own(e.port) : -ENODEV;
    if (refused != 0) {
        return refused;
    }
    forget_former_of(e.port);
    try {
        ask(done, [&e](request_id id) {
            e.request = id;
            return e;
        });
    } catch (std::bad_alloc const&) {
        disown_stranger(e.port);
        throw;
    }
    disown_stranger(e.port);
    flush(now());
    return 0;
}

int device::remove_member(port_id port, unsigned timeout_ms, bool drain) {
    return request(
        [=](request_id id) {
            return event::remove_member{id, port, drain};
        },
        timeout_ms);
}

int device::barrier(unsigned timeout_ms) {
    int const rc = ask_control(
        [this](waiter const& done) {
            collect_stirred(); // what was raised before the call is part of what it waits for
            flush_or_throw(now());
            barriers_.push_back({aggregator_.version(), done});
            return 0;
        },
        timeout_ms);
    return rc == -EINPROGRESS ? -ETIMEDOUT : rc;
}

int device::set_admin(bool up) {
    return change_settings([up](port_settings& s) { s.admin_up = up; }, {});
}

int device::set_callback(rte_pmd_lagg_event_cb callback, void* arg) {
    if (!may_wait()) {
        return -EDEADLK;
    }
    return call_control([this, callback, arg] {
        callback_ = callback;
        callback_arg_ = arg;
        return 0;
    });
}

int device::adopt_now() {
    if (!may_wait()) {
        return -EDEADLK;
    }
    int rc = call_control([this] {
        adopt_awaited(never - time_point{1}); // also those that wait for their time
        flush_or_throw(now());
        return 0;
    });
    rc = rc != 0 ? rc : call_worker([] { return 0; }); // behind the members' preparation
    return rc != 0 ? rc : call_control([this] {        // behind its report
        flush_or_throw(now());
        return 0;
    });
}

int device::start() {
    int rc = adopt_now();
    if (rc != 0) {
        return rc;
    }
    auto done = std::make_shared<std::promise<int>>();
    auto result = done->get_future();
    rc = call_worker([&] {
        std::vector<member_id> started;
        started.reserve(max_members); // what throws, throws before anybody is started
        int const failed = start_members(started);
        if (failed == 0) {
            report(done, started);
        }
        return failed;
    });
    rc = rc != 0 ? rc : result.get();
    if (rc == 0) {
        set_queue_states(*eth_->data, RTE_ETH_QUEUE_STATE_STARTED);
    }
    return rc;
}

int device::quiesce() {
    int rc = request([](request_id id) { return event::run_changed{id, false, true}; }, forever);
    rc = rc != 0 ? rc : insist([this] { return barrier(RTE_PMD_LAGG_DEFAULT_WAIT_MS); });
    if (rc != 0) { // reports the port, and with it the run state that is in force
        insist([this] { return change_settings([](port_settings&) {}, {}); });
    }
    return rc == -ETIMEDOUT ? -EBUSY : rc;
}

int device::stop() {
    if (!may_wait()) {
        return -EDEADLK;
    }
    // First: so that no other change that ends meanwhile reports a port that runs.
    insist([this] {
        return call_worker([this] {
            settings_.started = false;
            return 0;
        });
    });
    // From here on there is no way back.
    int rc = insist([this] {
        return request([](request_id id) { return event::run_changed{id, false, true}; }, forever);
    });
    rc = rc != 0 ? rc : insist([this] { return barrier(RTE_PMD_LAGG_DEFAULT_WAIT_MS); });
    if (rc != 0) {
        LAGG_LOG(ERR, "%s: stop: a burst is still running; its members run on until it ends",
                 name_.c_str());
        return rc == -ETIMEDOUT ? -EBUSY : rc;
    }
    insist([this] {
        return call_control([this] {
            for (slot& s : slots_) {
                s.follow_link = false;
                frames_.forget(static_cast<member_id>(&s - slots_.data()));
            }
            return 0;
        });
    });
    set_queue_states(*eth_->data, RTE_ETH_QUEUE_STATE_STOPPED);
    return insist([this] {
        return call_worker([this] {
            stop_members();
            return 0;
        });
    });
}

int device::close() {
    if (!may_wait()) {
        return -EDEADLK;
    }
    for (std::uint16_t q = 0; q < eth_->data->nb_rx_queues; ++q) {
        retire(static_cast<rx_queue*>(std::exchange(eth_->data->rx_queues[q], nullptr)));
    }
    for (std::uint16_t q = 0; q < eth_->data->nb_tx_queues; ++q) {
        retire(static_cast<tx_queue*>(std::exchange(eth_->data->tx_queues[q], nullptr)));
    }
    waiter done;
    std::string name; // the object may be gone when this returns
    insist([&] {
        done = std::make_shared<std::promise<int>>();
        name = name_;
        return call_control([&] {
            begin_close(done);
            return 0;
        });
    });
    auto result = done->get_future();
    if (wait_for(result, RTE_PMD_LAGG_DEFAULT_WAIT_MS * 100) == -EINPROGRESS) {
        // Control goes on until it ends, so our threads outlive the last port.
        LAGG_LOG(WARNING, "%s: closed inside a burst; members are given back when it ends",
                 name.c_str());
        return 0;
    }
    threads::release();
    return 0;
}

/// Control thread; settle() goes on with it.
void device::begin_close(waiter const& done) {
    serve(*this); // it may never have been opened
    std::vector<std::string> awaited;
    {
        std::lock_guard const hold(awaited_mutex_);
        awaited.swap(awaited_);
    }
    for (auto const& wanted : awaited) { // owned when it appeared, not taken in yet
        std::uint16_t port = 0;
        if (rte_eth_dev_get_port_by_name(wanted.c_str(), &port) == 0) {
            disown(port);
        }
    }
    eth_gone_ = true;
    callback_ = nullptr;
    closing_ = done;
    wake_control();
}

int device::change_settings(std::function<void(port_settings&)> const& edit,
                            follow_fn const& follow) {
    if (!may_wait()) {
        return -EDEADLK;
    }
    auto done = std::make_shared<std::promise<int>>();
    auto result = done->get_future();
    int const rc = call_worker([&] {
        int const failed = edit_settings(edit, follow);
        if (failed == 0) {
            report(done, {});
        }
        return failed;
    });
    return rc != 0 ? rc : result.get();
}

int device::settings(port_settings& out) {
    if (!may_wait()) {
        return -EDEADLK;
    }
    return call_worker([&] {
        out = settings_;
        return 0;
    });
}

int device::for_each_member(std::function<int(member_port&)> const& f) {
    if (!may_wait()) {
        return -EDEADLK;
    }
    return call_worker([&] {
        for (auto const& m : members_) {
            if (m != nullptr) {
                if (int const rc = f(*m); rc != 0) {
                    return rc;
                }
            }
        }
        return 0;
    });
}

template<class Queue>
int device::attach_queue(Queue* q) {
    if (!may_wait()) {
        return -EDEADLK;
    }
    return call_control([this, q] {
        int rc = -ENOMEM;
        try {
            frames_.attach(*q);
            auto const ok = publisher_.attach(q->view);
            rc = ok ? 0 : to_errno(ok.error());
        } catch (std::bad_alloc const&) {
            rc = -ENOMEM;
        }
        if (rc != 0) {
            frames_.retire(*q);
        }
        return rc;
    });
}

int device::attach(rx_queue* q) {
    return attach_queue(q);
}

int device::attach(tx_queue* q) {
    return attach_queue(q);
}

namespace {

void empty(rx_queue& q) {
    rte_mbuf* frame = nullptr;
    while (q.stash.pop(frame)) {
        rte_pktmbuf_free(frame);
    }
}

void empty(tx_queue& q) {
    handed_frame handed;
    while (q.handed.pop(handed)) {
        rte_pktmbuf_free(handed.frame);
    }
}

} // namespace

/// False: it is in a burst, or there is no memory for what it counted.
template<class Queue>
bool device::free_queue(Queue* q) noexcept {
    auto const detached = publisher_.detach(q->view);
    if (!detached && detached.error() == errc::busy) {
        return false;
    }
    try {
        statistics_.retire(q->stats);
    } catch (std::bad_alloc const&) {
        return false;
    }
    empty(*q);
    q->~Queue();
    rte_free(q);
    return true;
}

template<class Queue>
void device::retire_queue(Queue* q) {
    if (q == nullptr) {
        return;
    }
    // Not while a burst is in it: then control tries again.  On control itself (its own teardown)
    // directly.
    auto const job = [this, q] {
        retired_queues_.reserve(retired_queues_.size() + 1); // throws before it is out of service
        frames_.retire(*q);
        if (!free_queue(q)) {
            retired_queues_.push_back([this, q] { return free_queue(q); });
        }
        return 0;
    };
    if (on_control()) {
        job();
    } else if (may_wait()) {
        insist([&job] { return call_control(job); });
    } else {
        post_to_control([job] { job(); });
    }
}

void device::retire(rx_queue* q) {
    retire_queue(q);
}

void device::retire(tx_queue* q) {
    retire_queue(q);
}

} // namespace lagg::pmd
