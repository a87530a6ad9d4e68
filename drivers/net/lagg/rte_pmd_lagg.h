/* Public C API of the net_lagg poll-mode driver: link aggregation whose members, policy and options
 * may change while every lcore transmits.  Usable from C and C++; link with librte_net_lagg. */
#ifndef RTE_PMD_LAGG_H
#define RTE_PMD_LAGG_H

#include <rte_ether.h>
#include <rte_mbuf.h>

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Common to all calls below, unless one says otherwise:
 *  - `lagg` is the ethdev port id of a lagg port, `member` that of a member.
 *  - A call that changes something may be made from any thread that may sleep, whatever traffic
 * runs. It is refused with -EDEADLK, unchanged, on net_lagg's own threads (so from its event
 * callbacks), on the EAL interrupt thread, and inside an rx/tx callback of a member.
 *  - -ENODEV: `lagg` is no lagg port of this process.  -ENOTSUP: called in a secondary process.
 *  - All or nothing: on any error but -EINPROGRESS nothing has changed.
 *  - -ENOMEM: so it is when memory runs out.  What has been decided when it does is done as soon as
 * there is memory again, and the call waits for that.
 *  - A time-out holds also when net_lagg's own threads get no CPU; what can be refused at once is
 * waited for at least RTE_PMD_LAGG_DEFAULT_WAIT_MS. */

#define RTE_PMD_LAGG_MAX_MEMBERS 32
#define RTE_PMD_LAGG_BUCKETS 256
#define RTE_PMD_LAGG_NAME_LEN 64
/** No member: an answer of rte_pmd_lagg_flow_member(). */
#define RTE_PMD_LAGG_NO_MEMBER UINT16_MAX
/** How long the synchronous forms wait, in milliseconds. */
#define RTE_PMD_LAGG_DEFAULT_WAIT_MS 100

enum rte_pmd_lagg_policy {
    RTE_PMD_LAGG_POLICY_NONE = 0,    /**< nobody sends or collects */
    RTE_PMD_LAGG_POLICY_ROUNDROBIN,  /**< in turn, `stride` frames each */
    RTE_PMD_LAGG_POLICY_FAILOVER,    /**< one member, the next when it fails */
    RTE_PMD_LAGG_POLICY_LOADBALANCE, /**< by flow */
    RTE_PMD_LAGG_POLICY_LACP,        /**< by flow over what IEEE 802.1AX agreed on */
    RTE_PMD_LAGG_POLICY_BROADCAST,   /**< a copy on each */
};

enum rte_pmd_lagg_failback {
    RTE_PMD_LAGG_FAILBACK_ALWAYS = 0, /**< to the primary whenever it is usable */
    RTE_PMD_LAGG_FAILBACK_BETTER,     /**< only when the primary is faster than the one in use */
    RTE_PMD_LAGG_FAILBACK_NEVER,      /**< only when the one in use fails */
};

/** Fields for rte_pmd_lagg_hash_set(). */
#define RTE_PMD_LAGG_HASH_L2 (1u << 0)
#define RTE_PMD_LAGG_HASH_L3 (1u << 1)
#define RTE_PMD_LAGG_HASH_L4 (1u << 2)

/**
 * Create a lagg port: the same as rte_vdev_init("net_lagg<...>", args).
 *
 * @param name  starts with "net_lagg"
 * @param args  devargs, e.g. "policy=loadbalance,member=net_wire0"; NULL or "" for none
 * @return the port id; -EINVAL bad name or args (logged: key, value, what is allowed); -EEXIST the
 * name is taken; -ENOMEM; -ENOSPC no free port id
 */
int rte_pmd_lagg_create(char const* name, char const* args);

/**
 * Stop, close and remove a lagg port; its members are given back as they were found.  Bursts on it
 * must have ended, as for rte_eth_dev_close().
 *
 * @return 0; -EBUSY a burst is still inside it: nothing is freed, call again; its link went down
 * and came back up meanwhile
 */
int rte_pmd_lagg_destroy(uint16_t lagg);

/**
 * Make a port a member.  It must be stopped or never configured, and owned by nobody; it is owned
 * by the lagg from here on.  A running lagg starts it first and sends to it then.
 *
 * @param timeout_ms  how long to wait for the end; 0: do not wait, the event callback tells
 * @return 0 it is a member; -EINPROGRESS not yet (a slow device): the event callback tells;
 *   -EEXIST it is one already; -EBUSY owned by someone else, or just leaving; -ELOOP it is itself a
 *   lagg; -ENOSPC 32 members already; -EINVAL no such port, or it lacks queues, an offload or the
 * MTU that the lagg was configured with (logged); or the -errno of the device that refused
 */
int rte_pmd_lagg_member_add(uint16_t lagg, uint16_t member, unsigned int timeout_ms);

/**
 * Remove a member; on 0 no burst can touch its port any more, it is stopped, has its own MAC again
 * and is owned by nobody.  Traffic avoids it from the moment of the call, waited for or not.
 *
 * @param timeout_ms  how long to wait for the end; 0: do not wait
 * @return 0; -ENOENT not a member; -EINPROGRESS a burst that may use it (or a control thread that
 * gets no CPU, and traffic does not avoid it yet) outlasted the wait: the member stays "leaving"
 * and ours until the event callback tells that it left; calling again joins the same wait; -EBUSY
 * it was added again meanwhile
 */
int rte_pmd_lagg_member_remove(uint16_t lagg, uint16_t member, unsigned int timeout_ms);

/** Change the policy under traffic.  On 0 every burst that starts from now on follows it, and after
 * rte_pmd_lagg_barrier() no burst runs on the old one.
 * @return 0; -EINVAL unknown; -ENOTSUP a policy that this build does not have */
int rte_pmd_lagg_policy_set(uint16_t lagg, enum rte_pmd_lagg_policy policy);

/** Which fields the flow hash reads, RTE_PMD_LAGG_HASH_* or'ed, at least one.  @return 0; -EINVAL
 */
int rte_pmd_lagg_hash_set(uint16_t lagg, uint32_t fields);
/** Both directions of a flow on one member.  @return 0 */
int rte_pmd_lagg_symmetric_set(uint16_t lagg, bool symmetric);
/** @return 0 */
int rte_pmd_lagg_seed_set(uint16_t lagg, uint32_t seed);
/** Reuse the NIC's RSS hash of frames that carry one.  @return 0 */
int rte_pmd_lagg_flowid_set(uint16_t lagg, bool use);
/** roundrobin: frames that a member gets in its turn.  @return 0; -EINVAL not in [1, 65535] */
int rte_pmd_lagg_stride_set(uint16_t lagg, uint32_t stride);
/** failover: the preferred member, by port name (present or not); NULL or "": none, and traffic
 * stays where it is.  @return 0; -EINVAL name too long */
int rte_pmd_lagg_primary_set(uint16_t lagg, char const* name);
/** @param hold_ms  the primary must be up for so long first.  @return 0; -EINVAL */
int rte_pmd_lagg_failback_set(uint16_t lagg, enum rte_pmd_lagg_failback mode, uint32_t hold_ms);
/** failover: collect from all members, not only from the one in use.  @return 0 */
int rte_pmd_lagg_rx_all_set(uint16_t lagg, bool rx_all);
/** The link is up with at least so many distributing members.  @return 0; -EINVAL above 32 */
int rte_pmd_lagg_min_links_set(uint16_t lagg, uint32_t min_links);
/** A member's link change counts after so many ms.  @return 0; -EINVAL above 60000 */
int rte_pmd_lagg_delays_set(uint16_t lagg, uint32_t up_ms, uint32_t down_ms);
/** A member's part of the flows, [1, 255]; 0: by its link speed again.  By name, member or not.
 * @return 0; -EINVAL */
int rte_pmd_lagg_weight_set(uint16_t lagg, char const* name, uint32_t weight);
/** Administrative state, the traffic-safe stop: down makes bursts send and receive nothing; bursts
 * may go on being called.  Same as rte_eth_dev_set_link_up/down().  @return 0 */
int rte_pmd_lagg_admin_set(uint16_t lagg, bool up);

/**
 * Act on the link events that were raised before the call, then wait until no burst runs on a
 * snapshot older than the newest one at the time of the call.
 *
 * @return 0; -ETIMEDOUT a burst outlasted the wait, nothing is wrong: call again
 */
int rte_pmd_lagg_barrier(uint16_t lagg, unsigned int timeout_ms);

struct rte_pmd_lagg_member_status {
    uint16_t port;
    char name[RTE_PMD_LAGG_NAME_LEN];
    char const* phase; /**< joining, present, leaving, releasing; a constant string */
    bool link_up;      /**< as the device reports it */
    bool usable;       /**< after up_delay and down_delay */
    bool collecting;
    bool distributing;
    bool primary;
    bool promiscuous_for_us; /**< it cannot take the lagg's MAC */
    uint32_t speed_mbps;     /**< 0: unknown */
    uint32_t weight;         /**< in force */
    uint16_t buckets;        /**< of RTE_PMD_LAGG_BUCKETS, under a policy that spreads by flow */
};

/** One consistent answer: everything in it belongs to snapshot `version`. */
struct rte_pmd_lagg_status {
    uint64_t version;
    enum rte_pmd_lagg_policy policy;
    enum rte_pmd_lagg_failback failback;
    uint32_t failback_hold_ms;
    uint32_t hash_fields;
    bool symmetric;
    bool flowid;
    bool rx_all;
    bool started;
    bool admin_up;
    bool link_up;
    uint32_t link_speed_mbps;
    uint32_t seed;
    uint32_t stride;
    uint32_t min_links;
    uint32_t up_delay_ms;
    uint32_t down_delay_ms;
    char primary[RTE_PMD_LAGG_NAME_LEN]; /**< empty: none */
    uint32_t live_snapshots;             /**< not yet reclaimed, the current one included */
    uint32_t pins;                       /**< queues seen inside a burst by the last scan */
    char const* fence;                   /**< "membarrier" or "real"; a constant string */
    uint16_t nb_members;
    struct rte_pmd_lagg_member_status members[RTE_PMD_LAGG_MAX_MEMBERS];
    /** Flow bucket -> index into members[], UINT8_MAX: nobody; valid under a policy by flow. */
    uint8_t bucket[RTE_PMD_LAGG_BUCKETS];
    /** Names of members that were asked for and whose ports have not appeared. */
    uint16_t nb_awaited;
    char awaited[RTE_PMD_LAGG_MAX_MEMBERS][RTE_PMD_LAGG_NAME_LEN];
};

/** Never waits for a change in progress, nor makes one wait; callable from any thread.  @return 0;
 * -EINVAL NULL */
int rte_pmd_lagg_status_get(uint16_t lagg, struct rte_pmd_lagg_status* status);

/**
 * Which member a transmit burst would give this frame to.  Any thread, also inside the packet loop.
 *
 * @param version  out: snapshot to which the answer belongs; may be NULL
 * @return the member's port id; RTE_PMD_LAGG_NO_MEMBER when the policy has no fixed mapping
 * (roundrobin, broadcast with several members) or no member distributes, or `lagg` is no lagg port
 */
uint16_t rte_pmd_lagg_flow_member(uint16_t lagg, const struct rte_mbuf* frame, uint64_t* version);

/**
 * Send on one given member, if the snapshot that named it still is the newest.  Under the rules of
 * rte_eth_tx_burst(lagg, queue, ...).
 *
 * @return frames taken, as rte_eth_tx_burst(); -ESTALE the snapshot is gone or the member does not
 *   distribute, nothing sent: look up again
 */
int rte_pmd_lagg_tx_on(uint16_t lagg, uint16_t queue, uint16_t member, uint64_t version,
                       struct rte_mbuf** pkts, uint16_t nb_pkts);

enum rte_pmd_lagg_event_type {
    RTE_PMD_LAGG_EVENT_MEMBER_JOINED,
    RTE_PMD_LAGG_EVENT_MEMBER_LEFT,    /**< given back: the port is the application's */
    RTE_PMD_LAGG_EVENT_MEMBER_REFUSED, /**< an add failed in the device or was overtaken by a
                                          removal, whoever waits; `error` says why */
    RTE_PMD_LAGG_EVENT_MEMBER_DISTRIBUTING,
    RTE_PMD_LAGG_EVENT_MEMBER_STANDBY,
    RTE_PMD_LAGG_EVENT_MEMBER_LINK_UP,
    RTE_PMD_LAGG_EVENT_MEMBER_LINK_DOWN,
};

struct rte_pmd_lagg_event {
    enum rte_pmd_lagg_event_type type;
    uint16_t lagg;
    uint16_t member;
    int error;        /**< 0 or -errno */
    uint64_t version; /**< snapshot in force */
};

typedef void (*rte_pmd_lagg_event_cb)(const struct rte_pmd_lagg_event* event, void* arg);

/**
 * Be told of each member change exactly once, in order, on net_lagg's control thread: return soon,
 * and make no call that changes a lagg from there.  One callback per lagg; NULL ends it, and when
 * that call returned, the old one does not run any more.
 *
 * @return 0
 */
int rte_pmd_lagg_event_callback_set(uint16_t lagg, rte_pmd_lagg_event_cb callback, void* arg);

#ifdef __cplusplus
}
#endif

#endif /* RTE_PMD_LAGG_H */
