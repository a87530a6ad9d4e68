/* net_wire: in-process Ethernet links between two ethdev ports, and the faults one can cause on
 * them. This is the public C API of librte_net_wire.so: for tests, demos and benches, never needed
 * to carry frames. What a vdev named net_wire<n> understands as devargs is said in README.md beside
 * this file.
 *
 * For all functions: any thread, also while bursts run on either end; they may wait for a transmit
 * burst that is under way on the peer to end (microseconds), so they are not for rx/tx callbacks on
 * a wire. -ENODEV: port is not (or no longer) a wire. When a function that changes the state of the
 * link returns, no frame crosses under the old state any more. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct rte_mbuf;

/* Device operations that rte_pmd_wire_fail_op() can make fail. */
enum rte_pmd_wire_op {
    RTE_PMD_WIRE_OP_CONFIGURE,
    RTE_PMD_WIRE_OP_RXQ_SETUP,
    RTE_PMD_WIRE_OP_TXQ_SETUP,
    RTE_PMD_WIRE_OP_START,
    RTE_PMD_WIRE_OP_STOP,
    RTE_PMD_WIRE_OP_CLOSE,
    RTE_PMD_WIRE_OP_MAC_SET, /* mac_addr_set */
    RTE_PMD_WIRE_OP_MAC_ADD, /* mac_addr_add */
    RTE_PMD_WIRE_OP_MC_LIST, /* set_mc_addr_list */
    RTE_PMD_WIRE_OP_MTU,
    RTE_PMD_WIRE_OP_PROMISC,  /* promiscuous_enable and _disable */
    RTE_PMD_WIRE_OP_ALLMULTI, /* allmulticast_enable and _disable */
    RTE_PMD_WIRE_OP_SET_LINK, /* dev_set_link_up and _down */
    RTE_PMD_WIRE_OP_VLAN,     /* vlan_filter_set and vlan_offload_set */
    RTE_PMD_WIRE_OP_RSS,      /* reta_update and rss_hash_update */
    RTE_PMD_WIRE_OP_FLOW,     /* rte_flow create */
    RTE_PMD_WIRE_OP_INFOS,    /* dev_infos_get */
    RTE_PMD_WIRE_OP_LINK,     /* link_update: the link that ethdev shows stays as it was */
    RTE_PMD_WIRE_OP_COUNT
};

/* What happened at one end since it was probed; never reset (ethdev's stats_reset leaves it alone).
 * Unit: frames, unless said otherwise. A reader may lag behind running bursts, it never sees a torn
 * number. For frames handed to the transmit burst:
 *   handed over = sent + lost_silent + lost_down + tx_too_long + tx_no_mbuf   (these were taken)
 *               + refused                                                     (these were given
 * back) and for those that the peer sent while connected to this end: peer's sent + injected =
 * received + filtered_mac + filtered_vlan + filtered_flow + rx_too_long
 *               + rx_dropped + rx_no_mbuf + missed + lost_stop + what still is in the receive rings
 */
struct rte_pmd_wire_counters {
    uint64_t tx_bursts;     /* transmit burst calls, all queues */
    uint64_t rx_bursts;     /* receive burst calls, all queues */
    uint64_t sent;          /* crossed to the peer's receiver, or taken by the sink */
    uint64_t received;      /* handed up by receive bursts */
    uint64_t injected;      /* entered by rte_pmd_wire_inject() */
    uint64_t refused;       /* given back to the caller: no carrier, limit, full ring, removed */
    uint64_t lost_silent;   /* taken, vanished: rte_pmd_wire_cut_silent(), _cut_tx_silent() */
    uint64_t lost_down;     /* taken without carrier and dropped: devarg down=drop */
    uint64_t lost_stop;     /* were in this end's receive rings when it was stopped or closed */
    uint64_t tx_too_long;   /* taken, longer than this end's MTU allows, dropped */
    uint64_t tx_no_mbuf;    /* taken, shared buffers, no mbuf left for the copy, dropped */
    uint64_t tx_copied;     /* sent as a deep copy because a segment was shared */
    uint64_t filtered_mac;  /* unicast or multicast that this end does not listen to, dropped */
    uint64_t filtered_vlan; /* VLAN ids outside this end's filter, dropped */
    uint64_t filtered_flow; /* dropped by a flow rule with the DROP action */
    uint64_t rx_too_long;   /* longer than this end's MTU allows, dropped */
    uint64_t rx_dropped;    /* no headroom for a VLAN tag to be put in band, dropped */
    uint64_t rx_no_mbuf;    /* devarg rx=copy: the rx queue's pool was empty */
    uint64_t missed;        /* this end's receive ring was full: devarg full=drop */
    uint64_t cuts;          /* rte_pmd_wire_cut() calls that named this end or its peer */
    uint64_t silent_cuts;
    uint64_t heals;
    uint64_t failed_ops;     /* operations failed by rte_pmd_wire_fail_op() */
    uint64_t lsc_events;     /* RTE_ETH_EVENT_INTR_LSC raised for this port */
    uint64_t rmv_events;     /* RTE_ETH_EVENT_INTR_RMV raised for this port */
    uint64_t starts;         /* successful dev_start */
    uint64_t stops;          /* successful dev_stop */
    uint64_t slow_starts;    /* dev_start calls that slept */
    uint64_t violations;     /* see rte_pmd_wire_in_burst_violation_count() */
    uint64_t limited_bursts; /* transmit bursts cut short by rte_pmd_wire_refuse() */
};

/** Is this port an end of a wire?  @return 1 or 0. */
int rte_pmd_wire_is_wire(uint16_t port);

/** The port at the other end.
 * @return 0; -ENODEV; -ENOTCONN no peer (a sink, or the peer is not probed or was closed);
 *   -EINVAL peer is NULL. */
int rte_pmd_wire_peer(uint16_t port, uint16_t* peer);

/** Cut the wire: both ends lose carrier, RTE_ETH_EVENT_INTR_LSC is raised on both, in the calling
 * thread, before the function returns. Frames that already are in the receive rings stay
 * deliverable, as in a NIC. A second cut changes nothing but the counter.
 * LSC is raised on an end only if it was probed with lsc=1 (the default) AND configured with
 * intr_conf.lsc, as NICs do; else its link_update op tells.
 * @return 0; -ENODEV. */
int rte_pmd_wire_cut(uint16_t port);

/** Undo rte_pmd_wire_cut(), _cut_silent() and _cut_tx_silent(), on both ends and in both
 * directions.
 * @return 0; -ENODEV. */
int rte_pmd_wire_heal(uint16_t port);

/** Carrier stays up, frames vanish in both directions: taken from the sender, freed, counted as
 * lost_silent. Nobody is told.
 * @return 0; -ENODEV. */
int rte_pmd_wire_cut_silent(uint16_t port);

/** As rte_pmd_wire_cut_silent() for what this end transmits only: a unidirectional link.
 * @return 0; -ENODEV. */
int rte_pmd_wire_cut_tx_silent(uint16_t port);

/** Take at most `limit` frames per transmit burst of this end; the rest stays the caller's.
 * 0 refuses everything, UINT32_MAX (the initial state) sets no limit. Carrier is not affected.
 * @return 0; -ENODEV. */
int rte_pmd_wire_refuse(uint16_t port, uint32_t limit);

/** Let the next `count` calls of `op` on this end fail with -err and no effect. A new call replaces
 * what was set for the same op; count 0 clears it. `err` is a positive errno.
 * A failing CLOSE still closes (ethdev has no way back), it returns -err.
 * @return 0; -ENODEV; -EINVAL unknown op, err not positive. */
int rte_pmd_wire_fail_op(uint16_t port, enum rte_pmd_wire_op op, int err, uint32_t count);

/** As rte_pmd_wire_fail_op(), for the `count` calls that follow on `skip` calls that do not fail.
 */
int rte_pmd_wire_fail_op_after(uint16_t port, enum rte_pmd_wire_op op, int err, uint32_t skip,
                               uint32_t count);

/** Put frames into receive ring `queue` of this end as if the peer had sent them and this end's
 * filters and steering had let them pass to that queue: filters are not applied. Carrier is not
 * looked at. Ownership: frames [0, returned) are the receiver's, the others stay the caller's.
 * @return number of frames entered; -ENODEV; -EINVAL no such rx queue, pkts is NULL;
 *   -ENETDOWN this end is not started or was removed. */
int rte_pmd_wire_inject(uint16_t port, uint16_t queue, struct rte_mbuf** pkts, uint16_t n);

/** As if the NIC had been pulled: carrier is lost (LSC on the peer), is_removed says so, bursts
 * take and give nothing, every operation but stop and close fails with -EIO, RTE_ETH_EVENT_INTR_RMV
 * is raised on this port in the calling thread. There is no way back but close and probe.
 * @return 0; -ENODEV; -EALREADY. */
int rte_pmd_wire_surprise_remove(uint16_t port);

/** While on, dev_stop poisons the queues of this end and a burst that still arrives through an old
 * queue pointer (after stop, after close, too) aborts the process with a message that names the
 * port and queue. dev_start makes them usable again. Memory of ends closed in this mode is kept.
 * @return 0; -ENODEV. */
int rte_pmd_wire_poison_on_stop(uint16_t port, bool on);

/** dev_start on this end takes at least `ms` milliseconds from now on; 0: as fast as it can.
 * @return 0; -ENODEV. */
int rte_pmd_wire_slow_start_ms(uint16_t port, uint32_t ms);

/** Check mode, as devarg check=1: a burst that meets another burst on the same queue is counted as
 * a violation, touches nothing and returns 0. Costs an atomic exchange per burst. Take effect for
 * bursts that begin later: switch it while the port is idle.
 * @return 0; -ENODEV. */
int rte_pmd_wire_check(uint16_t port, bool on);

/** Burst calls (rx and tx, empty ones included) on this end.  @return the number; 0 if not a wire.
 */
uint64_t rte_pmd_wire_burst_count(uint16_t port);

/** Bursts that ran concurrently with another one on the same queue (check mode only).
 * @return the number; 0 if not a wire. */
uint64_t rte_pmd_wire_in_burst_violation_count(uint16_t port);

/** Frames that crossed to the peer or were taken by the sink.  @return the number; 0 if not a wire.
 */
uint64_t rte_pmd_wire_sent(uint16_t port);

/** All counters of one end.  @return 0; -ENODEV; -EINVAL counters is NULL. */
int rte_pmd_wire_counters_get(uint16_t port, struct rte_pmd_wire_counters* counters);

#ifdef __cplusplus
}
#endif
