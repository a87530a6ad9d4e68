// One switch over the policies; failover alone remembers whom it uses, through `current`.
// Knows no flow table and no snapshot.
#include "lagg/control/eligibility.h"

#include <algorithm>

namespace lagg {

namespace {

bool qualifies(member const& m) {
    return m.phase == member_phase::present && m.usable;
}

/// The faster one; between equals the one that joined first.
bool better(member const& a, member const& b) {
    if (a.link.speed_mbps != b.link.speed_mbps) {
        return a.link.speed_mbps > b.link.speed_mbps;
    }
    return a.order < b.order;
}

/// True when traffic is to leave `used` for `primary`, now or at a time that `reconsider_at`
/// learns.
bool goes_back(config const& c, member const& used, member const& primary, time_point now,
               time_point& reconsider_at) {
    switch (c.failback) {
    case failback::never: return false;
    case failback::better:
        if (primary.link.speed_mbps <= used.link.speed_mbps) {
            return false;
        }
        break;
    case failback::always: break;
    }
    time_point const held_at = primary.usable_since + c.failback_hold;
    if (now >= held_at) {
        return true;
    }
    reconsider_at = std::min(reconsider_at, held_at);
    return false;
}

/// The one member that failover uses, or nullptr.
member const* choose_one(config const& c, std::span<member const> members, member_id current,
                         time_point now, time_point& reconsider_at) {
    member const* used = nullptr;
    member const* primary = nullptr;
    member const* best = nullptr;
    for (auto const& m : members) {
        if (!qualifies(m)) {
            continue;
        }
        if (m.id == current) {
            used = &m;
        }
        if (!c.primary.empty() && m.name == c.primary) {
            primary = &m;
        }
        if (best == nullptr || better(m, *best)) {
            best = &m;
        }
    }
    if (used == nullptr) {
        return primary != nullptr ? primary : best;
    }
    if (primary != nullptr && primary != used &&
        goes_back(c, *used, *primary, now, reconsider_at)) {
        return primary;
    }
    return used;
}

} // namespace

eligible decide(config const& c, std::span<member const> members, member_id current,
                eligible const& negotiated, time_point now, time_point& reconsider_at) {
    std::bitset<max_members> usable;
    for (auto const& m : members) {
        if (qualifies(m)) {
            usable.set(m.id);
        }
    }
    eligible who;
    switch (c.policy) {
    case policy::roundrobin:
    case policy::loadbalance:
    case policy::broadcast:
        who.collecting = usable;
        who.distributing = usable;
        break;
    case policy::failover:
        if (member const* one = choose_one(c, members, current, now, reconsider_at)) {
            who.distributing.set(one->id);
            who.collecting = c.rx_all ? usable : who.distributing;
        }
        break;
    case policy::lacp:
        who.collecting = negotiated.collecting & usable;
        who.distributing = negotiated.distributing & usable;
        break;
    case policy::none: break;
    }
    return who;
}

} // namespace lagg
