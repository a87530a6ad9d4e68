// Per flow: was this sequence number seen, and does it come in order?  Knows no frame and no clock.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

namespace laggd {

enum class arrival : std::uint8_t {
    in_order,
    overtaken,      // a later frame of the flow, made in another phase, came before
    overtaken_same, // the same, and both were made in one phase
    copy,           // seen before
    too_old,        // further back than what is remembered: it cannot be told from a copy
};

class flow_check {
public:
    /// How far back of a flow is remembered, in frames.
    static constexpr std::uint32_t window = 4096;

    explicit flow_check(std::size_t flows) : flows_(flows) {}

    /// `flow` below the number of flows.
    arrival see(std::size_t flow, std::uint32_t sequence, std::uint16_t phase) {
        auto& known = flows_[flow];
        auto const ahead = static_cast<std::int32_t>(sequence - known.next);
        if (ahead >= 0) {
            known.forget(known.next, static_cast<std::uint32_t>(ahead) + 1);
            known.mark(sequence);
            known.next = sequence + 1;
            known.newest_phase = phase;
            return arrival::in_order;
        }
        if (static_cast<std::uint32_t>(-static_cast<std::int64_t>(ahead)) > window) {
            return arrival::too_old;
        }
        if (known.has(sequence)) {
            return arrival::copy;
        }
        known.mark(sequence);
        return phase == known.newest_phase ? arrival::overtaken_same : arrival::overtaken;
    }

private:
    struct flow_state {
        std::uint32_t next = 0;
        std::uint16_t newest_phase = 0;
        std::array<std::uint64_t, window / 64> seen{};

        bool has(std::uint32_t s) const { return (seen[word(s)] >> (s % 64) & 1) != 0; }
        void mark(std::uint32_t s) { seen[word(s)] |= std::uint64_t{1} << (s % 64); }
        void forget(std::uint32_t from, std::uint32_t count) {
            if (count >= window) {
                seen.fill(0);
                return;
            }
            for (std::uint32_t i = 0; i < count; ++i) {
                seen[word(from + i)] &= ~(std::uint64_t{1} << ((from + i) % 64));
            }
        }
        static std::size_t word(std::uint32_t s) { return s / 64 % (window / 64); }
    };
    std::vector<flow_state> flows_;
};

} // namespace laggd
