// replay: sends the frames of a capture, in order, at a rate, a number of times.
#include "capture.h"
#include "pacer.h"
#include "packet_loop.h"

#include <algorithm>
#include <cstring>
#include <rte_cycles.h>
#include <rte_mbuf.h>

namespace laggd {

namespace {

class replay_loop final : public packet_loop {
public:
    replay_loop(wiring const& where, std::shared_ptr<capture const> frames, double rate,
                unsigned loops)
        : packet_loop(where),
          capture_(std::move(frames)),
          pace_(rate, rte_get_tsc_hz()),
          loops_(loops) {}

    void poll() override {
        rte_mbuf* frames[max_burst];
        send(frames, make_up(frames));
        if (ended() && counters_.held.get() == 0) {
            done_.store(true, std::memory_order_relaxed); // a flag that carries no data
        }
    }

    bool done() const override { return done_.load(std::memory_order_relaxed); }

private:
    bool ended() const { return loops_ != 0 && round_ == loops_; }

    std::uint16_t make_up(rte_mbuf** frames) {
        auto const due = pace_.due(rte_rdtsc(), room());
        std::uint16_t made = 0;
        for (; made < due && !ended(); ++made) {
            frames[made] = copy(capture_->frame(next_));
            if (frames[made] == nullptr) {
                counters_.no_mbuf.add(1);
                break;
            }
            if (++next_ == capture_->size()) {
                next_ = 0;
                ++round_;
            }
        }
        counters_.generated.add(made);
        pace_.taken(made);
        return made;
    }

    // Over as many segments as it takes.
    rte_mbuf* copy(std::span<std::uint8_t const> bytes) {
        rte_mbuf* const first = rte_pktmbuf_alloc(where_.pool);
        rte_mbuf* last = first;
        while (last != nullptr) {
            auto const length = std::min<std::size_t>(rte_pktmbuf_tailroom(last), bytes.size());
            std::memcpy(rte_pktmbuf_mtod(last, void*), bytes.data(), length);
            last->data_len = static_cast<std::uint16_t>(length);
            first->pkt_len += static_cast<std::uint32_t>(length);
            bytes = bytes.subspan(length);
            if (bytes.empty()) {
                return first;
            }
            last->next = rte_pktmbuf_alloc(where_.pool);
            last = last->next;
            if (last != nullptr) {
                ++first->nb_segs;
            }
        }
        rte_pktmbuf_free(first);
        return nullptr;
    }

    std::shared_ptr<capture const> capture_;
    pacer pace_;
    unsigned loops_;
    unsigned round_ = 0;
    std::size_t next_ = 0;
    std::atomic<bool> done_{false};
};

} // namespace

std::unique_ptr<packet_loop> make_replay(wiring const& where, std::shared_ptr<capture const> frames,
                                         double rate, unsigned loops) {
    return std::make_unique<replay_loop>(where, std::move(frames), rate, loops);
}

} // namespace laggd
