#include "hotplug.h"

#include "session.h"

#include <rte_dev.h>
#include <rte_ethdev.h>
#include <sched.h>
#include <utility>

namespace laggd {

namespace {

constexpr std::size_t most_changes = 256;

// On EAL's interrupt thread: it only writes down.
void on_event(char const* device, rte_dev_event_type type, void* self) {
    if (device != nullptr && type != RTE_DEV_EVENT_MAX) {
        static_cast<hotplug*>(self)->note(device, type == RTE_DEV_EVENT_REMOVE);
    }
}

std::string discard(session& all, std::uint16_t port, rte_device* device) {
    auto line = strf("port %s was pulled: closed", port_text(port).c_str());
    if (all.fwd.uses(port)) {
        all.fwd.stop();
        line += ", forwarding is stopped";
    }
    all.all_ports.forget(port);
    all.rates.forget(port);
    static_cast<void>(rte_eth_dev_stop(port)); // of a device that is gone: either answer will do
    static_cast<void>(rte_eth_dev_close(port));
    if (int const error = rte_dev_remove(device); error != 0) {
        line += "; its device stays on the bus: " + errno_text(error);
    }
    return line;
}

rte_device* device_of(std::uint16_t port) {
    rte_eth_dev_info info{};
    return rte_eth_dev_info_get(port, &info) == 0 ? info.device : nullptr;
}

} // namespace

why_not hotplug::start() {
    // The handler keeps a burst alive that touches registers which are there no more.
    int error = rte_dev_hotplug_handle_enable();
    error = error != 0 ? error : rte_dev_event_monitor_start();
    if (error == 0) {
        error = rte_dev_event_callback_register(nullptr, on_event, this);
        listening_ = error == 0;
    }
    return error == 0 ? why_not{} : "--hot-plug: the kernel's news: " + errno_text(error);
}

void hotplug::stop() {
    if (!std::exchange(listening_, false)) {
        return;
    }
    static_cast<void>(rte_dev_event_monitor_stop());
    // -EAGAIN while the callback runs: it ends soon.
    while (rte_dev_event_callback_unregister(nullptr, on_event, this) == -EAGAIN) {
        sched_yield();
    }
    static_cast<void>(rte_dev_hotplug_handle_disable());
}

void hotplug::note(char const* device, bool pulled) {
    std::lock_guard const hold(mutex_);
    if (changes_.size() < most_changes) {
        changes_.push_back({device, pulled});
    }
}

std::vector<std::string> hotplug::settle(session& all) {
    std::vector<change> changes;
    {
        std::lock_guard const hold(mutex_);
        changes.swap(changes_);
    }
    std::vector<std::string> lines;
    for (auto const& [name, pulled] : changes) {
        if (!pulled) {
            lines.push_back(strf("device %s is there; when a driver for user space has it: port "
                                 "attach %s",
                                 name.c_str(), name.c_str()));
            continue;
        }
        // Ours alone: a member is just being closed by its lagg, and must not be asked anything.
        for (auto const port : all.all_ports.usable()) {
            auto* const device = device_of(port);
            if (device != nullptr && name == rte_dev_name(device)) {
                lines.push_back(discard(all, port, device));
            }
        }
    }
    return lines;
}

} // namespace laggd
