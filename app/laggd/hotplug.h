// Cards that are pulled or plugged while laggd runs (--hot-plug).  A lagg lets its member go by
// itself, once the kernel's news is listened to; here that is begun, and ports that are no members
// are taken care of.
#pragma once

#include "text.h"

#include <mutex>
#include <string>
#include <vector>

namespace laggd {

struct session;

/// Main thread only, unless said otherwise.
class hotplug {
public:
    hotplug() = default;
    ~hotplug() { stop(); }
    hotplug(hotplug const&) = delete;
    hotplug& operator=(hotplug const&) = delete;

    [[nodiscard]] why_not start();
    void stop();
    /// Closes the ports of what was pulled since the last call; what happened, one line each.
    std::vector<std::string> settle(session& all);
    /// Any thread.
    void note(char const* device, bool pulled);

private:
    struct change {
        std::string device;
        bool pulled;
    };
    std::mutex mutex_; // guards the list: the interrupt thread writes it
    std::vector<change> changes_;
    bool listening_ = false;
};

} // namespace laggd
