#include "lacp/damping.h"

#include "lacp/timers.h"

#include <algorithm>
#include <chrono>

namespace lagg::lacp {
namespace {

constexpr unsigned scale_bits = 16;
constexpr std::uint64_t scale = 1U << scale_bits;

/// Halves with every half life, on a straight line within one: exact at its ends, never rises.
std::uint64_t decayed(std::uint64_t scaled, std::chrono::microseconds passed,
                      std::chrono::milliseconds half_life) {
    if (half_life.count() <= 0) {
        return 0;
    }
    if (passed.count() <= 0) {
        return scaled;
    }
    auto const half = static_cast<std::uint64_t>(std::chrono::microseconds(half_life).count());
    auto const us = static_cast<std::uint64_t>(passed.count());
    auto const halvings = us / half;
    if (halvings >= 64) {
        return 0;
    }
    auto const share = us % half * (scale / 2) / half;
    return (scaled >> halvings) * (scale - share) >> scale_bits;
}

std::chrono::microseconds between(time_point from, time_point to) {
    return std::chrono::duration_cast<std::chrono::microseconds>(to - from);
}

} // namespace

void damping::flap(damping_settings const& s, time_point now) {
    auto const so_far = decayed(scaled_, between(since_, now), s.half_life);
    since_ = now;
    scaled_ = s.half_life.count() <= 0
                  ? 0
                  : std::min(so_far + penalty_per_flap * scale, most_penalty * scale);
    decide(s, now);
}

void damping::change(damping_settings const& before, damping_settings const& after,
                     time_point now) {
    scaled_ =
        after.half_life.count() <= 0 ? 0 : decayed(scaled_, between(since_, now), before.half_life);
    since_ = now;
    decide(after, now);
}

bool damping::suppressed(time_point now) {
    if (reuse_at_ != never && over(reuse_at_, now)) {
        reuse_at_ = never;
    }
    return reuse_at_ != never;
}

std::uint32_t damping::penalty(damping_settings const& s, time_point now) const {
    return static_cast<std::uint32_t>(decayed(scaled_, between(since_, now), s.half_life) >>
                                      scale_bits);
}

void damping::decide(damping_settings const& s, time_point now) {
    bool const out = suppressed(now);
    auto const is = penalty(s, now);
    auto const below = std::max(s.reuse_at, 1U);
    if (is < below || (!out && is < s.suppress_at)) {
        reuse_at_ = never;
        return;
    }
    // The first microsecond at which it is below: it never rises, so it can be searched for.
    std::chrono::microseconds above{0};
    std::chrono::microseconds low = std::chrono::microseconds(s.half_life) * 64;
    while (low - above > std::chrono::microseconds(1)) {
        auto const middle = above + (low - above) / 2;
        bool const is_below = decayed(scaled_, middle, s.half_life) >> scale_bits < below;
        (is_below ? low : above) = middle;
    }
    reuse_at_ = since_ + low;
}

} // namespace lagg::lacp
