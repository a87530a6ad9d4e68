// The cheapest port there can be: what is sent there is counted, what is asked for comes from a
// fixed rotation of frames.  Frames never change hands, so a bench can send the same ones again.
// Knows no PMD that uses it.
#pragma once

#include <rte_mbuf.h>

#include <cstdint>
#include <string>
#include <vector>

namespace bench {

/// An ethdev for the life of the process (an application has few, and RTE_MAX_ETHPORTS is small).
class sink {
public:
    /// `name`: not used by another port.  Ends the process when EAL has no room for it.
    explicit sink(std::string const& name);
    sink(sink const&) = delete;
    sink& operator=(sink const&) = delete;

    std::uint16_t port() const { return port_; }
    /// Receive bursts are answered with these frames, in turn, as many as asked for, but at most
    /// `at_most` at a time.
    void supply(std::vector<rte_mbuf*> frames, std::uint16_t at_most);
    std::uint64_t sent() const;
    /// Carrier, as a cable would; tells it by a link event.
    void set_link(bool up);

private:
    std::uint16_t port_;
};

/// The first `n` of the sinks that all cases of a run share; made when first asked for.
std::vector<sink*> sinks(std::size_t n);

} // namespace bench
