// Calls that set up and release queues, say how they were set up, and let rx queues interrupt.
#include "lagg_call.h"
#include "lagg_log.h"
#include "lagg_ops_calls.h"
#include "lagg_queue.h"
#include "lagg_stats.h"

#include <rte_malloc.h>

#include <algorithm>
#include <cstdio>
#include <new>
#include <vector>

namespace lagg::pmd::calls {

namespace {

template<class Queue>
Queue* new_queue(std::uint16_t queue, port_id port, unsigned int socket) {
    void* memory =
        rte_zmalloc_socket("net_lagg", sizeof(Queue), alignof(Queue), static_cast<int>(socket));
    if (memory == nullptr) {
        memory = rte_zmalloc("net_lagg", sizeof(Queue), alignof(Queue));
    }
    if (memory == nullptr) {
        return nullptr;
    }
    Queue* const q = new (memory) Queue(fence().kind());
    q->queue_id = queue;
    q->lagg_port = port;
    return q;
}

void set_pool(rx_queue& q, rte_mempool const* pool) {
    q.pool = pool;
}
void set_pool(tx_queue&, rte_mempool const*) {}

/// Puts a new queue into service, counted, and into `place`.
template<class Queue>
int open_queue(device& d, std::uint16_t queue, unsigned int socket, rte_mempool const* pool,
               void*& place) {
    Queue* const q = new_queue<Queue>(queue, d.id(), socket);
    if (q == nullptr) {
        return -ENOMEM;
    }
    set_pool(*q, pool);
    int rc = d.attach(q);
    if (rc != 0) {
        q->~Queue();
        rte_free(q);
        return rc;
    }
    try {
        d.statistics().add(*q);
    } catch (std::bad_alloc const&) {
        d.retire(q);
        return -ENOMEM;
    }
    place = q;
    return 0;
}

bool sound(rte_eth_rxconf const& conf, rte_mempool const* pool) {
#if RTE_VERSION >= RTE_VERSION_NUM(22, 11, 0, 0)
    if (conf.rx_nmempool != 0) {
        return false;
    }
#endif
    return pool != nullptr && conf.rx_nseg == 0 && conf.rx_deferred_start == 0 &&
           conf.share_group == 0;
}

/// ethdev clears the place itself.
template<class Queue>
void release_queue(rte_eth_dev* dev, void* q) {
    static_cast<void>(ask(dev, [q](device& d) {
        d.retire(static_cast<Queue*>(q));
        return 0;
    }));
}

int burst_mode_get(rte_eth_dev* dev, rte_eth_burst_mode* mode, bool tx) {
    return ask(dev, [&](device& d) {
        auto const now = d.published();
        mode->flags = 0;
        if (now == nullptr) {
            std::snprintf(mode->info, sizeof mode->info, "lagg");
        } else if (tx) {
            auto const how = to_string(now->snapshot.how);
            std::snprintf(mode->info, sizeof mode->info, "lagg %.*s over %zu members",
                          static_cast<int>(how.size()), how.data(),
                          now->snapshot.distributing.size());
        } else {
            std::snprintf(mode->info, sizeof mode->info, "lagg polls %zu members",
                          now->snapshot.polled.size());
        }
        return 0;
    });
}

} // namespace

int rx_queue_setup(rte_eth_dev* dev, std::uint16_t queue, std::uint16_t descriptors,
                   unsigned int socket, rte_eth_rxconf const* conf, rte_mempool* pool) {
    return change(dev, [&](device& d) {
        if (!sound(*conf, pool)) {
            LAGG_LOG(
                ERR,
                "%s: rx queue %u: deferred start, shared queues, several pools and buffer split "
                "are not offered",
                d.name().c_str(), queue);
            return -ENOTSUP;
        }
        int const rc = d.change_settings(
            [&](port_settings& s) {
                s.rx.resize(std::max<std::size_t>(s.rx.size(), queue + std::size_t{1}));
                s.rx[queue] = {true, descriptors, socket, *conf, pool};
            },
            {});
        return rc != 0 ? rc
                       : open_queue<rx_queue>(d, queue, socket, pool, dev->data->rx_queues[queue]);
    });
}

int tx_queue_setup(rte_eth_dev* dev, std::uint16_t queue, std::uint16_t descriptors,
                   unsigned int socket, rte_eth_txconf const* conf) {
    return change(dev, [&](device& d) {
        if (conf->tx_deferred_start != 0) {
            LAGG_LOG(ERR, "%s: tx queue %u: deferred start is not offered", d.name().c_str(),
                     queue);
            return -ENOTSUP;
        }
        int const rc = d.change_settings(
            [&](port_settings& s) {
                s.tx.resize(std::max<std::size_t>(s.tx.size(), queue + std::size_t{1}));
                s.tx[queue] = {true, descriptors, socket, *conf};
            },
            {});
        return rc != 0
                   ? rc
                   : open_queue<tx_queue>(d, queue, socket, nullptr, dev->data->tx_queues[queue]);
    });
}

void rx_queue_release(rte_eth_dev* dev, std::uint16_t queue) {
    release_queue<rx_queue>(dev, dev->data->rx_queues[queue]);
}

void tx_queue_release(rte_eth_dev* dev, std::uint16_t queue) {
    release_queue<tx_queue>(dev, dev->data->tx_queues[queue]);
}

void rxq_info_get(rte_eth_dev* dev, std::uint16_t queue, rte_eth_rxq_info* info) {
    static_cast<void>(change(dev, [&](device& d) {
        port_settings s;
        if (d.settings(s) == 0 && queue < s.rx.size()) {
            info->mp = s.rx[queue].pool;
            info->conf = s.rx[queue].conf;
            info->nb_desc = s.rx[queue].descriptors;
            info->scattered_rx = (s.conf.rxmode.offloads & RTE_ETH_RX_OFFLOAD_SCATTER) != 0 ? 1 : 0;
        }
        return 0;
    }));
}

void txq_info_get(rte_eth_dev* dev, std::uint16_t queue, rte_eth_txq_info* info) {
    static_cast<void>(change(dev, [&](device& d) {
        port_settings s;
        if (d.settings(s) == 0 && queue < s.tx.size()) {
            info->conf = s.tx[queue].conf;
            info->nb_desc = s.tx[queue].descriptors;
        }
        return 0;
    }));
}

int rx_burst_mode_get(rte_eth_dev* dev, std::uint16_t, rte_eth_burst_mode* mode) {
    return burst_mode_get(dev, mode, false);
}

int tx_burst_mode_get(rte_eth_dev* dev, std::uint16_t, rte_eth_burst_mode* mode) {
    return burst_mode_get(dev, mode, true);
}

/// On the lcore of the queue, so without the worker: all members or none.
int rx_queue_intr_enable(rte_eth_dev* dev, std::uint16_t queue) {
    return ask(dev, [queue](device& d) {
        std::vector<port_id> done;
        return d.statistics().for_each_joined([&](port_id port) {
            int const rc = rte_eth_dev_rx_intr_enable(port, queue);
            if (rc != 0) {
                for (port_id const other : done) {
                    rte_eth_dev_rx_intr_disable(other, queue);
                }
                return rc;
            }
            done.push_back(port);
            return 0;
        });
    });
}

int rx_queue_intr_disable(rte_eth_dev* dev, std::uint16_t queue) {
    return ask(dev, [queue](device& d) {
        int first_failure = 0;
        static_cast<void>(d.statistics().for_each_joined([&](port_id port) {
            int const rc = rte_eth_dev_rx_intr_disable(port, queue);
            first_failure = first_failure != 0 ? first_failure : rc;
            return 0;
        }));
        return first_failure;
    });
}

} // namespace lagg::pmd::calls
