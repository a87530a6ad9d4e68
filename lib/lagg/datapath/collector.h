// Frame Collector: which members a receive burst asks next, and which frames do not go up.
// Knows no mbuf, no queue, no counter.
#pragma once

#include "lagg/snapshot.h"

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace lagg {

/// The order in which one burst asks `members` members, once each, beginning with `first`; and who
/// begins the next burst.  A member that was asked for less than a whole burst and could have had
/// more begins the next one; else it moves on by one, so that everybody begins, also among members
/// that each fill nearly a burst, or give nothing when asked for a few frames.
class poll_round {
public:
    poll_round(std::uint32_t first, std::uint32_t members) noexcept
        : members_(members), first_(first < members ? first : 0), at_(first_) {}

    std::uint32_t member() const noexcept { return at_; }
    /// False when everybody was asked.
    bool advance() noexcept {
        at_ = following(at_);
        return at_ != first_;
    }

    /// The last one asked was member(); `full`: it got no further because the burst is full.
    std::uint32_t next_first(bool full) const noexcept {
        return full && at_ != first_ ? at_ : following(first_);
    }

private:
    std::uint32_t following(std::uint32_t m) const noexcept {
        return m + 1 >= members_ ? 0 : m + 1;
    }

    std::uint32_t members_;
    std::uint32_t first_;
    std::uint32_t at_;
};

/// Whether a frame is for somebody else: unicast, to none of `accept`.
/// `destination`: the first six bytes of the frame.
inline bool is_foreign(snapshot const& s, std::uint8_t const* destination) noexcept {
    if ((destination[0] & 1U) != 0) {
        return false;
    }
    for (net::mac_address const& mine : s.accept) {
        if (std::memcmp(mine.bytes.data(), destination, mine.bytes.size()) == 0) {
            return false;
        }
    }
    return true;
}

/// Brings the values that fail `keep` behind those that pass it, which stay in order; one pass.
/// Returns how many passed.
template<class T, class Keep>
std::size_t keep_first(T* values, std::size_t count, Keep keep) noexcept {
    std::size_t kept = 0;
    for (std::size_t i = 0; i < count; ++i) {
        if (keep(values[i])) {
            T const value = values[i];
            values[i] = values[kept];
            values[kept++] = value;
        }
    }
    return kept;
}

} // namespace lagg
