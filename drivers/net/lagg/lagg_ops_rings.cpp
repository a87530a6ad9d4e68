// Calls about the rings behind a queue: how full they are, and freeing what was sent.
#include "lagg_burst.h"
#include "lagg_call.h"
#include "lagg_ops.h"
#include "lagg_ops_calls.h"
#include "lagg_queue.h"
#include "lagg_stats.h"

#include <algorithm>
#include <cerrno>

namespace lagg::pmd::calls {

namespace {

// The next three are asked by any thread (a console shows ring fills while lcores poll), so they
// may not pin the queue's cell as a burst does: two threads in one cell would let go of each
// other's snapshot.  They look at members under statistics' short lock instead, which keeps these
// from being stopped.

/// Sum over members and stash; -ENOTSUP when no member can say.
int waiting(rx_queue const& q) noexcept {
    device* const d = device::find(q.lagg_port);
    if (d == nullptr) {
        return -ENODEV;
    }
    int sum = -ENOTSUP;
    static_cast<void>(d->statistics().for_each_joined([&](port_id port) {
        int const n = rte_eth_rx_queue_count(port, q.queue_id);
        if (n >= 0) {
            sum = std::max(sum, 0) + n;
        }
        return 0;
    }));
    return sum < 0 ? sum : sum + static_cast<int>(q.stash.size_hint());
}

#if RTE_VERSION >= RTE_VERSION_NUM(25, 11, 0, 0)
using queue_count = int;
#else
using queue_count = std::uint32_t;
#endif

queue_count rx_queue_count(void* queue) noexcept {
    return static_cast<queue_count>(waiting(*static_cast<rx_queue*>(queue)));
}

/// DONE for as many as wait: a burst takes them from all members.
int rx_descriptor_status(void* queue, std::uint16_t offset) noexcept {
    int const n = waiting(*static_cast<rx_queue*>(queue));
    if (n < 0) {
        return n;
    }
    return offset < n ? RTE_ETH_RX_DESC_DONE : RTE_ETH_RX_DESC_AVAIL;
}

/// The worst over members: FULL when one is, for the next frame may be meant for that one.
int tx_descriptor_status(void* queue, std::uint16_t offset) noexcept {
    auto const& q = *static_cast<tx_queue*>(queue);
    device* const d = device::find(q.lagg_port);
    if (d == nullptr) {
        return -ENODEV;
    }
    int worst = -ENOTSUP;
    static_cast<void>(d->statistics().for_each_joined([&](port_id port) {
        int const status = rte_eth_tx_descriptor_status(port, q.queue_id, offset);
        if (status == RTE_ETH_TX_DESC_FULL) {
            worst = status;
            return answered;
        }
        if (status == RTE_ETH_TX_DESC_DONE) {
            worst = worst == RTE_ETH_TX_DESC_UNAVAIL ? worst : status;
        } else if (status == RTE_ETH_TX_DESC_UNAVAIL) {
            worst = status;
        }
        return 0;
    }));
    return worst;
}

} // namespace

/// Frees in rings, so it belongs to the thread that transmits on the queue: like a burst, it pins.
int tx_done_cleanup(void* queue, std::uint32_t limit) {
    if (inside_burst) {
        return -EDEADLK;
    }
    auto& q = *static_cast<tx_queue*>(queue);
    epoch::pin_guard<snapshot> const view(q.view);
    if (!view) {
        return 0;
    }
    int freed = 0;
    bool able = view->distributing.empty();
    for (auto const& m : view->distributing) {
        std::uint32_t const left = limit == 0 ? 0 : limit - static_cast<std::uint32_t>(freed);
        int const n = rte_eth_tx_done_cleanup(m.port, q.queue_id, left);
        able = able || n >= 0;
        freed += std::max(n, 0);
        if (limit != 0 && static_cast<std::uint32_t>(freed) >= limit) {
            break;
        }
    }
    return able ? freed : -ENOTSUP;
}

} // namespace lagg::pmd::calls

void lagg::pmd::install_queue_ops(rte_eth_dev& eth) {
    using namespace calls;
    eth.rx_queue_count = rx_queue_count;
    eth.rx_descriptor_status = rx_descriptor_status;
    eth.tx_descriptor_status = tx_descriptor_status;
}
