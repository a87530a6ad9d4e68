// The demo's generator and its sink, and what they tell the main thread while they run.
#pragma once

#include "counter.h"
#include "packet_loop.h"

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>

namespace laggd {

inline constexpr std::size_t max_phases = 4096;

/// Each counter has one writer, the generator's or the sink's lcore.
struct demo_traffic {
    // A phase lasts from one change to the next; frames carry the number of the one they were made
    // in.
    std::atomic<std::uint16_t> phase{0};
    std::atomic<std::uint16_t> oldest_held{0};
    std::atomic<bool> generate{true};

    // generator
    counter offered;   // frames made
    counter taken;     // by tx bursts
    counter returned;  // frames given back by tx bursts, each time anew
    counter discarded; // made, never taken, freed at the end
    counter answers;   // received by the generator's lagg
    std::array<counter, max_phases> made_in{};
    std::array<counter, max_phases> discarded_in{};

    // sink
    counter received; // first copies
    counter copies;
    counter damaged;
    counter foreign;
    counter too_old;
    std::array<counter, max_phases> received_in{};
    std::array<counter, max_phases> copies_in{};
    std::array<counter, max_phases> overtaken_in{};      // by a frame of another phase
    std::array<counter, max_phases> overtaken_same_in{}; // by one of the same
};

std::unique_ptr<packet_loop>
make_demo_generator(wiring const& where, generator_settings const& settings, demo_traffic& traffic);
std::unique_ptr<packet_loop> make_demo_sink(wiring const& where, unsigned flows,
                                            demo_traffic& traffic);

} // namespace laggd
