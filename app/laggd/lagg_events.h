// Member events of laggs, from net_lagg's control thread to the console.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <mutex>
#include <string>
#include <vector>

struct rte_pmd_lagg_event;

namespace laggd {

class lagg_events {
public:
    lagg_events() = default;
    ~lagg_events();
    lagg_events(lagg_events const&) = delete;
    lagg_events& operator=(lagg_events const&) = delete;

    /// Listens to every lagg that exists now.  Main thread.
    void follow_all();
    void unfollow(std::uint16_t lagg);
    /// What happened since the last call, one line each.  Main thread.
    std::vector<std::string> take();

private:
    static void on_event(rte_pmd_lagg_event const* event, void* self);

    std::mutex mutex_; // guards the two below
    std::deque<std::string> lines_;
    std::size_t lost_ = 0;
    std::vector<std::uint16_t> followed_; // main thread only
};

} // namespace laggd
