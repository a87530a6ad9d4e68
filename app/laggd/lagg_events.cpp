#include "lagg_events.h"

#include "ports.h"

#include <algorithm>
#include <rte_pmd_lagg.h>

namespace laggd {

namespace {

constexpr std::size_t most_lines = 256;

char const* verb(rte_pmd_lagg_event_type type) {
    switch (type) {
    case RTE_PMD_LAGG_EVENT_MEMBER_JOINED: return "joined";
    case RTE_PMD_LAGG_EVENT_MEMBER_LEFT: return "left";
    case RTE_PMD_LAGG_EVENT_MEMBER_REFUSED: return "was refused";
    case RTE_PMD_LAGG_EVENT_MEMBER_DISTRIBUTING: return "distributes";
    case RTE_PMD_LAGG_EVENT_MEMBER_STANDBY: return "is on standby";
    case RTE_PMD_LAGG_EVENT_MEMBER_LINK_UP: return "has its link up";
    case RTE_PMD_LAGG_EVENT_MEMBER_LINK_DOWN: return "lost its link";
    }
    return "changed";
}

} // namespace

lagg_events::~lagg_events() {
    for (auto const lagg : followed_) {
        rte_pmd_lagg_event_callback_set(lagg, nullptr, nullptr);
    }
}

void lagg_events::follow_all() {
    for (auto const lagg : all_laggs()) {
        if (std::find(followed_.begin(), followed_.end(), lagg) == followed_.end() &&
            rte_pmd_lagg_event_callback_set(lagg, on_event, this) == 0) {
            followed_.push_back(lagg);
        }
    }
}

void lagg_events::unfollow(std::uint16_t lagg) {
    if (std::erase(followed_, lagg) != 0) {
        rte_pmd_lagg_event_callback_set(lagg, nullptr, nullptr);
    }
}

std::vector<std::string> lagg_events::take() {
    std::lock_guard const hold(mutex_);
    std::vector<std::string> out(lines_.begin(), lines_.end());
    if (lost_ != 0) {
        out.push_back(strf("%zu more member events were not kept", lost_));
    }
    lines_.clear();
    lost_ = 0;
    return out;
}

// On net_lagg's control thread: it only writes a line down.
void lagg_events::on_event(rte_pmd_lagg_event const* event, void* self) {
    auto line = strf("lagg %u: member %s %s", static_cast<unsigned>(event->lagg),
                     port_text(event->member).c_str(), verb(event->type));
    if (event->error != 0) {
        line += ": " + errno_text(event->error);
    }
    auto& events = *static_cast<lagg_events*>(self);
    std::lock_guard const hold(events.mutex_);
    if (events.lines_.size() < most_lines) {
        events.lines_.push_back(std::move(line));
    } else {
        ++events.lost_;
    }
}

} // namespace laggd
