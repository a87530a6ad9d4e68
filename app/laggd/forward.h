// Which loop runs where: streams from ports, queues and topology, spread over lcores as testpmd
// does. Main thread only.  Knows no console.
#pragma once

#include "capture.h"
#include "packet_loop.h"
#include "ports.h"

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

namespace laggd {

struct stream_place {
    unsigned lcore;
    wiring where;
};

class forward {
public:
    forward(options& wanted, ports& all) : wanted_(wanted), ports_(all) {}
    ~forward() { stop(); }
    forward(forward const&) = delete;
    forward& operator=(forward const&) = delete;

    /// Streams as start() would run them now.
    [[nodiscard]] why_not plan(std::vector<stream_place>& places) const;
    [[nodiscard]] why_not start();
    /// Runs these loops instead of those of the forwarding mode, spread over at most `cores`
    /// workers.
    [[nodiscard]] why_not start_with(std::vector<std::unique_ptr<packet_loop>> loops,
                                     unsigned cores);
    /// Ends the loops and waits for the lcores; their counters stay readable until the next start.
    void stop();
    bool running() const { return running_; }
    /// All loops say that there is nothing more to do.
    bool done() const;
    /// A running loop receives from, or sends to, this port.
    bool uses(std::uint16_t port) const;

    [[nodiscard]] why_not load_replay(std::string const& file);

    /// Loops of the running or of the last run, with their lcores.
    struct placed {
        unsigned lcore;
        packet_loop const* loop;
    };
    std::vector<placed> loops() const;

    static unsigned workers();

private:
    struct lcore_work {
        unsigned lcore = 0;
        std::atomic<bool> const* stop = nullptr;
        std::vector<packet_loop*> loops;
    };
    static int run(void* argument);
    why_not forwarding_ports(std::vector<std::uint16_t>& list) const;
    std::unique_ptr<packet_loop> make(wiring const& where) const;
    why_not launch();

    options& wanted_;
    ports& ports_;
    std::shared_ptr<capture const> capture_;
    std::vector<std::unique_ptr<packet_loop>> loops_;
    std::vector<std::unique_ptr<lcore_work>> work_;
    std::atomic<bool> stop_{false};
    bool running_ = false;
};

} // namespace laggd
