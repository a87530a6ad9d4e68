// The app thread's side of a lagg port: posts, waits, translates.
#include "lagg_device.h"

#include "lagg_errno.h"
#include "lagg_log.h"
#include "lagg_ops.h"

#include <rte_errno.h>
#include <rte_malloc.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>

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

void device::port_appeared(port_id port) {
    // Not attached yet: its name stands in its data, and an owner can be set.
    std::string const name = rte_eth_devices[port].data->name;
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

void device::disown(port_id port) {
    if (owned(port)) {
        rte_eth_dev_owner_unset(port, owner_.id);
    }
}

int device::wait_for(std::future<int>& result, unsigned timeout_ms) {
    if (timeout_ms == forever) {
        return result.get();
    }
    if (result.wait_for(std::chrono::milliseconds(timeout_ms)) != std::future_status::ready) {
        return -EINPROGRESS;
    }
    return result.get();
}

/// `make` builds the event on control, from what is in force there.
int device::request(event_maker const& make, unsigned timeout_ms) {
    if (!may_wait()) {
        return -EDEADLK;
    }
    auto done = std::make_shared<std::promise<int>>();
    auto result = done->get_future();
    int const rc = call_control([&] {
        handle(make(expect(done)));
        flush(now()); // what is refused at once is known when this returns
        return 0;
    });
    return rc != 0 ? rc : wait_for(result, timeout_ms);
}

int device::open() {
    if (!may_wait()) {
        return -EDEADLK;
    }
    std::vector<std::pair<std::string, port_id>> present;
    {
        std::lock_guard const hold(awaited_mutex_);
        std::erase_if(awaited_, [&](std::string const& name) {
            std::uint16_t port = 0;
            if (rte_eth_dev_get_port_by_name(name.c_str(), &port) != 0) {
                return false; // picked up when it is probed
            }
            present.emplace_back(name, port);
            return true;
        });
    }
    call_control([this] {
        serve(*this);
        return 0;
    });
    for (auto const& [name, port] : present) {
        if (int const rc = add_member(port, forever); rc != 0) {
            LAGG_LOG(ERR, "%s: member=%s: %s", name_.c_str(), name.c_str(), rte_strerror(-rc));
            return rc;
        }
    }
    return 0;
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
    rte_eth_dev_info info{};
    event::add_member e{0, port, rte_eth_devices[port].data->name, false};
    if (rte_eth_dev_info_get(port, &info) == 0 && info.driver_name != nullptr) {
        e.hands_on = std::strcmp(info.driver_name, "net_ring") == 0;
    }
    auto done = std::make_shared<std::promise<int>>();
    auto result = done->get_future();
    // Owned on control, where members are given back too: so it never disagrees with membership.
    int const rc = call_control([&] {
        if (int const refused = own(port); refused != 0) {
            return refused;
        }
        e.request = expect(done);
        take_in(e);
        flush(now());
        return 0;
    });
    return rc != 0 ? rc : wait_for(result, timeout_ms);
}

int device::remove_member(port_id port, unsigned timeout_ms, bool drain) {
    return request(
        [=](request_id id) {
            return event::remove_member{id, port, drain};
        },
        timeout_ms);
}

int device::barrier(unsigned timeout_ms) {
    if (!may_wait()) {
        return -EDEADLK;
    }
    auto done = std::make_shared<std::promise<int>>();
    auto result = done->get_future();
    call_control([this, &done] {
        collect_stirred(); // what was raised before the call is part of what it waits for
        flush(now());
        barriers_.push_back({aggregator_.version(), done});
        check_barriers();
        return 0;
    });
    int const rc = wait_for(result, timeout_ms);
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
    call_control([this] {
        adopt_awaited();
        flush(now());
        return 0;
    });
    call_worker([] { return 0; }); // behind the members' preparation
    return call_control([this] {   // behind its report
        flush(now());
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
        int const failed = start_members(started);
        if (failed == 0) {
            report(done, std::move(started));
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
    rc = rc != 0 ? rc : barrier(RTE_PMD_LAGG_DEFAULT_WAIT_MS);
    if (rc != 0) {
        change_settings([](port_settings&) {}, {}); // and with it the run state that is in force
    }
    return rc == -ETIMEDOUT ? -EBUSY : rc;
}

int device::stop() {
    if (!may_wait()) {
        return -EDEADLK;
    }
    // First: so that no other change that ends meanwhile reports a port that runs.
    call_worker([this] {
        settings_.started = false;
        return 0;
    });
    int rc = request([](request_id id) { return event::run_changed{id, false, true}; }, forever);
    rc = rc != 0 ? rc : barrier(RTE_PMD_LAGG_DEFAULT_WAIT_MS);
    if (rc != 0) {
        LAGG_LOG(ERR, "%s: stop: a burst is still running; its members run on until it ends",
                 name_.c_str());
        return rc == -ETIMEDOUT ? -EBUSY : rc;
    }
    call_control([this] {
        for (slot& s : slots_) {
            s.follow_link = false;
            frames_.forget(static_cast<member_id>(&s - slots_.data()));
        }
        return 0;
    });
    set_queue_states(*eth_->data, RTE_ETH_QUEUE_STATE_STOPPED);
    return call_worker([this] {
        stop_members();
        return 0;
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
    auto done = std::make_shared<std::promise<int>>();
    auto result = done->get_future();
    std::string const name = name_; // the object may be gone when this returns
    call_control([this, &done] {
        closing_ = done;
        eth_gone_ = true;
        callback_ = nullptr;
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
        for (auto const& m : std::vector<member>(aggregator_.members())) {
            handle(event::remove_member{0, m.port, false});
        }
        flush(now());
        wake_control();
        return 0;
    });
    if (wait_for(result, RTE_PMD_LAGG_DEFAULT_WAIT_MS * 100) == -EINPROGRESS) {
        // Control goes on until it ends, so our threads outlive the last port.
        LAGG_LOG(WARNING, "%s: closed inside a burst; members are given back when it ends",
                 name.c_str());
        return 0;
    }
    threads::release();
    return 0;
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
        auto const ok = publisher_.attach(q->view);
        if (!ok) {
            return to_errno(ok.error());
        }
        frames_.attach(*q);
        return 0;
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

template<class Queue>
bool device::free_queue(Queue* q) {
    auto const detached = publisher_.detach(q->view);
    if (!detached && detached.error() == errc::busy) {
        return false;
    }
    statistics_.retire(q->stats);
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
        frames_.retire(*q);
        if (!free_queue(q)) {
            retired_queues_.push_back([this, q] { return free_queue(q); });
        }
        return 0;
    };
    if (on_control()) {
        job();
    } else if (may_wait()) {
        call_control(job);
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
