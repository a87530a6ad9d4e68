// One wait per member and change of the table: bursts end, Markers go out, answers come back.
#include "lagg/control/reorder_guard.h"

#include <algorithm>
#include <utility>

namespace lagg {

namespace {

/// So many Markers in a row without an answer, and the partner is taken for one that has none.
constexpr std::uint8_t patience = 2;

} // namespace

void reorder_guard::table_changed(bucket_table const& before, bucket_table const& after,
                                  member_set const& alive, std::uint64_t version,
                                  time_point hold_until, time_point wait_until) {
    came_home(after);
    std::array<bucket_set, max_members> leaving{};
    bucket_set const already = held();
    for (std::size_t b = 0; b < bucket_count; ++b) {
        member_id const from = before.owner(b);
        member_id const to = after.owner(b);
        if (from == to || from == no_member || to == no_member || already.test(b)) {
            continue; // a held one has sent nothing on `from` since it is held
        }
        if (alive.test(from)) {
            leaving[from].set(b);
        }
    }
    for (member_id id = 0; id < max_members; ++id) {
        if (leaving[id].none()) {
            continue;
        }
        bool const answers = unanswered_[id] < patience;
        waits_.push_back({.from = id,
                          .buckets = answers ? leaving[id] : bucket_set{},
                          .version = version,
                          .hold_until = hold_until,
                          .wait_until = std::max(hold_until, wait_until),
                          .stage = stage::bursts,
                          .outstanding = {}});
    }
}

/// Buckets that are to stay where they were have nothing to wait for.
void reorder_guard::came_home(bucket_table const& table) {
    for (wait& w : waits_) {
        for (std::size_t b = 0; b < bucket_count; ++b) {
            if (table.owner(b) == w.from) {
                w.buckets.reset(b);
            }
        }
    }
}

void reorder_guard::newest_is(std::uint64_t version) noexcept {
    for (wait& w : waits_) {
        w.version = std::min(w.version, version);
    }
}

std::vector<member_id> reorder_guard::bursts_ended(std::uint64_t version) {
    std::vector<member_id> ready;
    for (wait const& w : waits_) {
        bool const due = w.stage == stage::bursts && w.version <= version;
        if (due && std::find(ready.begin(), ready.end(), w.from) == ready.end()) {
            ready.push_back(w.from);
        }
    }
    for (wait& w : waits_) {
        if (w.version <= version) {
            w.stage = stage::marker;
        }
    }
    return ready;
}

void reorder_guard::sent(member_id id, std::vector<std::uint32_t> const& transactions) {
    for (wait& w : waits_) {
        if (w.from == id && w.stage == stage::marker && w.outstanding.empty()) {
            w.outstanding = transactions;
        }
    }
    if (transactions.empty()) {
        std::erase_if(waits_,
                      [id](wait const& w) { return w.from == id && w.stage == stage::marker; });
    }
}

void reorder_guard::answered(member_id id, std::uint32_t transaction) {
    for (wait& w : waits_) {
        if (w.from == id && std::erase(w.outstanding, transaction) > 0) {
            unanswered_[id] = 0;
        }
    }
    std::erase_if(waits_, [id](wait const& w) {
        return w.from == id && w.stage == stage::marker && w.outstanding.empty();
    });
}

void reorder_guard::expire(time_point now) {
    for (wait& w : waits_) {
        if (now >= w.hold_until) {
            w.buckets.reset();
        }
        if (now >= w.wait_until && w.stage == stage::marker && unanswered_[w.from] < patience) {
            ++unanswered_[w.from];
        }
    }
    std::erase_if(waits_, [now](wait const& w) { return now >= w.wait_until; });
}

void reorder_guard::forget(member_id id) {
    std::erase_if(waits_, [id](wait const& w) { return w.from == id; });
    unanswered_[id] = 0;
}

void reorder_guard::clear() {
    waits_.clear();
    unanswered_.fill(0);
}

reorder_guard::bucket_set reorder_guard::held() const noexcept {
    bucket_set all;
    for (wait const& w : waits_) {
        all |= w.buckets;
    }
    return all;
}

bool reorder_guard::waits_for(member_id id) const noexcept {
    return unanswered_[id] < patience &&
           std::any_of(waits_.begin(), waits_.end(), [id](wait const& w) { return w.from == id; });
}

std::uint64_t reorder_guard::awaited_version() const noexcept {
    std::uint64_t newest = 0;
    for (wait const& w : waits_) {
        if (w.stage == stage::bursts) {
            newest = std::max(newest, w.version);
        }
    }
    return newest;
}

time_point reorder_guard::next_deadline() const noexcept {
    time_point first = never;
    for (wait const& w : waits_) {
        first = std::min(first, w.buckets.any() ? w.hold_until : w.wait_until);
    }
    return first;
}

} // namespace lagg
