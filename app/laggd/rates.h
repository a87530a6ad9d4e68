// Frames and bits per second of ports, between two looks at their counters.
#pragma once

#include <cstdint>
#include <map>

namespace laggd {

struct port_rate {
    double rx_pps = 0;
    double tx_pps = 0;
    double rx_bps = 0;
    double tx_bps = 0;
};

class rate_meter {
public:
    /// Since the last call for this port; zeros at the first.
    port_rate sample(std::uint16_t port);
    void forget(std::uint16_t port) { last_.erase(port); }

private:
    struct look {
        std::uint64_t cycles = 0;
        std::uint64_t rx = 0;
        std::uint64_t tx = 0;
        std::uint64_t rx_bytes = 0;
        std::uint64_t tx_bytes = 0;
    };
    std::map<std::uint16_t, look> last_;
};

} // namespace laggd
