// When to try again what memory was missing for, by name: soon, then less and less often.  Time is
// an argument.  Knows nothing of what is tried.
#pragma once

#include "lagg/types.h"

#include <algorithm>
#include <chrono>
#include <map>
#include <string>

namespace lagg::pmd {

class retry_times {
public:
    static constexpr time_point first_pause = std::chrono::milliseconds{100};
    static constexpr time_point last_pause = std::chrono::seconds{10};

    /// It is tried now; until failed() or forget() it is under way.  Throws std::bad_alloc, and
    /// nothing happened.
    void begin(std::string const& name) { all_[name].at = never; }
    bool under_way(std::string const& name) const {
        auto const known = all_.find(name);
        return known != all_.end() && known->second.at == never;
    }
    /// What was under way failed.  True: for the first time.
    bool failed(std::string const& name, time_point at) noexcept {
        auto const known = all_.find(name);
        if (known == all_.end()) {
            return false;
        }
        attempt& a = known->second;
        bool const first = a.pause == time_point{0};
        a.pause = first ? first_pause : std::min(2 * a.pause, last_pause);
        a.at = at + a.pause;
        return first;
    }
    /// It succeeded, or is not to be tried again.
    void forget(std::string const& name) noexcept {
        if (auto const known = all_.find(name); known != all_.end()) {
            all_.erase(known);
        }
    }
    /// Not before this; the beginning of time when it never failed.
    time_point due(std::string const& name) const {
        auto const known = all_.find(name);
        return known == all_.end() ? time_point{0} : known->second.at;
    }

private:
    struct attempt {
        time_point pause{0};
        time_point at{0};
    };
    std::map<std::string, attempt> all_;
};

} // namespace lagg::pmd
