// Three steps: how many buckets each member should own, which ones the others give up for that, and
// who gets them.  A bucket moves only when its owner has too many or is gone.
#include "lagg/control/bucket_table.h"

#include "base/bounded_vector.h"

#include <algorithm>
#include <cassert>

namespace lagg {

namespace {

/// One member's account while buckets change hands.
struct account {
    member_id id = no_member;
    std::uint32_t weight = 1;
    std::uint32_t owned = 0;
    std::uint32_t quota = 0;
    std::uint64_t remainder = 0; // of quota, in parts of the sum of weights
    bool least = false;          // its part is less than one bucket, so it gets one
};

using account_list = bounded_vector<account, max_members>;
using owner_array = std::array<member_id, bucket_count>;

account_list open_accounts(std::span<share const> shares, owner_array const& owner) {
    account_list all;
    for (auto const& s : shares) {
        account a;
        a.id = s.id;
        a.weight = std::max(s.weight, 1U);
        a.owned = static_cast<std::uint32_t>(std::count(owner.begin(), owner.end(), s.id));
        [[maybe_unused]] bool const fits = all.push_back(a);
        assert(fits);
    }
    std::sort(all.begin(), all.end(),
              [](account const& a, account const& b) { return a.id < b.id; });
    return all;
}

/// Whole buckets of `pool` by weight among those that are not `least`; returns how many are over.
/// Marks, and returns nothing for, those whose part is less than one bucket: then it runs again.
bool whole_parts(account_list& all, std::uint64_t& over) {
    std::uint64_t pool = bucket_count;
    std::uint64_t sum = 0;
    for (auto const& a : all) {
        if (a.least) {
            --pool;
        } else {
            sum += a.weight;
        }
    }
    bool settled = true;
    over = pool;
    for (auto& a : all) {
        if (a.least) {
            continue;
        }
        a.quota = static_cast<std::uint32_t>(pool * a.weight / sum);
        a.remainder = pool * a.weight % sum;
        over -= a.quota;
        if (a.quota == 0) {
            a.least = true;
            a.quota = 1;
            a.remainder = 0;
            settled = false;
        }
    }
    return settled;
}

/// One more bucket for `over` of those with a remainder.  First those who own it already: that
/// saves a move.  Then the largest remainder, then the lowest id.
void round_up(account_list& all, std::uint64_t over) {
    bounded_vector<account*, max_members> order;
    for (auto& a : all) {
        if (a.remainder != 0) {
            order.push_back(&a);
        }
    }
    std::sort(order.begin(), order.end(), [](account const* a, account const* b) {
        bool const a_has = a->owned > a->quota;
        bool const b_has = b->owned > b->quota;
        if (a_has != b_has) {
            return a_has;
        }
        if (a->remainder != b->remainder) {
            return a->remainder > b->remainder;
        }
        return a->id < b->id;
    });
    assert(over <= order.size());
    for (std::size_t i = 0; i < over; ++i) {
        ++order[i]->quota;
    }
}

void set_quotas(account_list& all) {
    std::uint64_t over = 0;
    while (!whole_parts(all, over)) {
    }
    round_up(all, over);
}

/// Takes what is over from `a`, evenly from among its buckets.
void give_up(account& a, owner_array& owner) {
    if (a.owned <= a.quota) {
        return;
    }
    std::uint32_t const surplus = a.owned - a.quota;
    std::uint32_t seen = 0;  // buckets of `a` so far
    std::uint32_t taken = 0; // of these
    for (auto& o : owner) {
        if (o != a.id) {
            continue;
        }
        ++seen;
        if (taken < seen * surplus / a.owned) {
            o = no_member;
            ++taken;
        }
    }
    assert(taken == surplus);
    a.owned = a.quota;
}

/// Who is furthest from its quota, as a part of it.
account& neediest(account_list& all) {
    account* found = nullptr;
    for (auto& a : all) {
        if (a.owned >= a.quota) {
            continue;
        }
        if (found == nullptr ||
            (a.quota - a.owned) * found->quota > (found->quota - found->owned) * a.quota) {
            found = &a;
        }
    }
    assert(found != nullptr);
    return *found;
}

} // namespace

bucket_table::bucket_table() {
    owner_.fill(no_member);
}

void bucket_table::assign(std::span<share const> shares) {
    if (shares.empty()) {
        owner_.fill(no_member);
        return;
    }
    account_list all = open_accounts(shares, owner_);
    set_quotas(all);
    for (auto& o : owner_) {
        bool const stays =
            std::any_of(all.begin(), all.end(), [o](account const& a) { return a.id == o; });
        if (!stays) {
            o = no_member;
        }
    }
    for (auto& a : all) {
        give_up(a, owner_);
    }
    for (auto& o : owner_) {
        if (o == no_member) {
            account& a = neediest(all);
            o = a.id;
            ++a.owned;
        }
    }
}

std::size_t bucket_table::owned_by(member_id id) const noexcept {
    return static_cast<std::size_t>(std::count(owner_.begin(), owner_.end(), id));
}

} // namespace lagg
