// How many frames are due at a rate.  Time is an argument, in TSC cycles; knows no frame.
#pragma once

#include <algorithm>
#include <cstdint>

namespace laggd {

class pacer {
public:
    /// `per_second` 0: no limit.  `cycles_per_second`: of the clock that due() is given.
    pacer(double per_second, std::uint64_t cycles_per_second)
        : per_cycle_(per_second / static_cast<double>(cycles_per_second)),
          most_behind_(cycles_per_second / 20) {}

    /// At most `most`; the answer is what is owed, taken() says how many really went.
    unsigned due(std::uint64_t now, unsigned most) noexcept {
        if (per_cycle_ <= 0.0) {
            return most;
        }
        if (last_ == 0) {
            last_ = now;
            credit_ = 1.0;
        }
        // A stall longer than 50 ms is not made up for: the rate is a limit, not a debt.
        credit_ += static_cast<double>(std::min(now - last_, most_behind_)) * per_cycle_;
        credit_ = std::min(credit_, std::max(1.0, static_cast<double>(most_behind_) * per_cycle_));
        last_ = now;
        return static_cast<unsigned>(std::min(credit_, static_cast<double>(most)));
    }

    void taken(unsigned frames) noexcept { credit_ -= static_cast<double>(frames); }

private:
    double per_cycle_;
    std::uint64_t most_behind_;
    std::uint64_t last_ = 0;
    double credit_ = 0.0;
};

} // namespace laggd
