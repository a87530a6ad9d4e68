// How much of a flood is looked at: at most most_rx_per_second frames in any second, in the memory
// of that many times.
#pragma once

#include "lacp/parameters.h"
#include "lacp/system.h"

#include <array>
#include <chrono>
#include <cstddef>

namespace lagg::lacp {

class rate_limit {
public:
    /// A frame came in; false: it is not looked at.
    bool admit(time_point now) noexcept {
        auto& oldest = admitted_[next_];
        if (full_ && now - oldest < std::chrono::seconds(1)) {
            return false;
        }
        oldest = now;
        next_ = (next_ + 1) % admitted_.size();
        full_ = full_ || next_ == 0;
        return true;
    }

private:
    std::array<time_point, most_rx_per_second> admitted_{};
    std::size_t next_ = 0;
    bool full_ = false;
};

} // namespace lagg::lacp
