/* LACP (IEEE 802.1AX) of a net_lagg port: settings, both ends of a link, graceful drain.  The rules
 * common to all calls stand in rte_pmd_lagg.h. */
#ifndef RTE_PMD_LAGG_LACP_H
#define RTE_PMD_LAGG_LACP_H

#include "rte_pmd_lagg.h"

#include <rte_ether.h>

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Which aggregator carries traffic when partners differ; one with a partner beats one without. */
enum rte_pmd_lagg_lacp_select {
    RTE_PMD_LAGG_LACP_SELECT_STABLE = 0, /**< the present one while a port of it can be used */
    RTE_PMD_LAGG_LACP_SELECT_BANDWIDTH,  /**< the greatest sum of speeds */
    RTE_PMD_LAGG_LACP_SELECT_COUNT,      /**< the most ports */
};

enum rte_pmd_lagg_lacp_mux {
    RTE_PMD_LAGG_LACP_MUX_INDEPENDENT = 0, /**< collecting begins before distributing */
    RTE_PMD_LAGG_LACP_MUX_COUPLED,         /**< both at once */
};

/** What becomes of members whose partner does not speak LACP. */
enum rte_pmd_lagg_lacp_fallback {
    RTE_PMD_LAGG_LACP_FALLBACK_STRICT = 0, /**< no partner, no traffic */
    RTE_PMD_LAGG_LACP_FALLBACK_ONE,        /**< exactly one of them sends and receives */
    RTE_PMD_LAGG_LACP_FALLBACK_INDIVIDUAL, /**< each of them does, for itself */
};

/** Settings of a lagg, in force at once, also for members that join later. */
struct rte_pmd_lagg_lacp_conf {
    struct rte_ether_addr system_mac; /**< all zero: the lagg's own address */
    uint16_t system_priority;         /**< the lower, the more say */
    uint16_t key;                     /**< not 0 */
    uint16_t first_port_number;       /**< [1, 65503]; a member has this and its place */
    bool active;                      /**< speak first; else only when spoken to */
    bool fast;                        /**< ask the partner for a PDU every second, not every 30 */
    enum rte_pmd_lagg_lacp_select select;
    enum rte_pmd_lagg_lacp_mux mux;
    enum rte_pmd_lagg_lacp_fallback fallback;
    uint32_t max_links;            /**< [1, 32]; members beyond stand by, by port priority */
    uint32_t wait_while_ms;        /**< before a port attaches; [0, 60000], like the next four */
    uint32_t fallback_delay_ms;    /**< without a partner */
    uint32_t drain_wait_ms;        /**< for the partner to stop */
    uint32_t reorder_wait_ms;      /**< for a Marker to come back */
    uint32_t damping_half_life_ms; /**< 0: no flap damping */
    uint32_t damping_suppress_at;  /**< penalty; a flap costs 1000; [1, 10000] */
    uint32_t damping_reuse_at;     /**< [1, damping_suppress_at] */
    bool reorder_guard;            /**< flows that move wait for what was sent of them */
};

/** Of one member, by name; 0 where the lagg's default holds. */
struct rte_pmd_lagg_lacp_member_conf {
    uint16_t priority; /**< the lower, the sooner it is used; 0: 32768 */
    uint16_t number;   /**< 0: first_port_number and its place */
    uint16_t key;      /**< 0: the lagg's */
    bool individual;   /**< never aggregated */
};

/** The eight bits of `state` below (802.1AX 6.4.2.3). */
#define RTE_PMD_LAGG_LACP_ACTIVITY (1u << 0)
#define RTE_PMD_LAGG_LACP_SHORT_TIMEOUT (1u << 1)
#define RTE_PMD_LAGG_LACP_AGGREGATION (1u << 2)
#define RTE_PMD_LAGG_LACP_SYNCHRONIZATION (1u << 3)
#define RTE_PMD_LAGG_LACP_COLLECTING (1u << 4)
#define RTE_PMD_LAGG_LACP_DISTRIBUTING (1u << 5)
#define RTE_PMD_LAGG_LACP_DEFAULTED (1u << 6)
#define RTE_PMD_LAGG_LACP_EXPIRED (1u << 7)

struct rte_pmd_lagg_lacp_end {
    struct rte_ether_addr system_mac;
    uint16_t system_priority;
    uint16_t key;
    uint16_t port_priority;
    uint16_t port_number;
    uint8_t state;
};

/** By the names of the standard's managed objects (7.3.3, 7.3.4). */
struct rte_pmd_lagg_lacp_counters {
    uint64_t lacpdus_rx;
    uint64_t marker_pdus_rx;
    uint64_t marker_response_pdus_rx;
    uint64_t unknown_rx;
    uint64_t illegal_rx;
    uint64_t lacpdus_tx;
    uint64_t marker_pdus_tx;
    uint64_t marker_response_pdus_tx;
    uint64_t actor_churn_count;
    uint64_t partner_churn_count;
    uint64_t actor_sync_transitions;
    uint64_t partner_sync_transitions;
    uint64_t actor_changes;
    uint64_t partner_changes;
    uint64_t flaps;           /**< losses that damping counts */
    uint64_t rate_limited_rx; /**< not looked at: more than 64 in a second */
};

/** Both ends of a member's link and every machine's state; one consistent answer. */
struct rte_pmd_lagg_lacp_info {
    struct rte_pmd_lagg_lacp_end actor;
    struct rte_pmd_lagg_lacp_end partner;
    char const* receive; /**< machine states; constant strings */
    char const* periodic;
    char const* mux;
    char const* actor_churn;
    char const* partner_churn;
    char const* selection; /**< unselected, selected or standby */
    uint16_t aggregator;   /**< the lowest port number in it; 0: none */
    bool in_use;           /**< its aggregator is the one that carries traffic */
    bool individual;
    bool fallback;   /**< in use without a partner */
    bool looped;     /**< our own PDUs come back */
    bool suppressed; /**< left out because it flapped */
    bool draining;
    uint32_t penalty;
    uint64_t last_change_ms; /**< when a machine of it last changed its state; CLOCK_MONOTONIC */
    uint64_t last_rx_ms;     /**< of a LACPDU; 0: none yet */
    struct rte_pmd_lagg_lacp_counters counters;
};

/** @return 0; -EINVAL NULL */
int rte_pmd_lagg_lacp_get(uint16_t lagg, struct rte_pmd_lagg_lacp_conf* conf);
/** Change all settings at once; start from what rte_pmd_lagg_lacp_get() gives.
 * @return 0; -EINVAL a value out of range (logged: which, and what is allowed) */
int rte_pmd_lagg_lacp_set(uint16_t lagg, const struct rte_pmd_lagg_lacp_conf* conf);
/** Settings of one member, by port name, member or not.  @return 0; -EINVAL */
int rte_pmd_lagg_lacp_member_get(uint16_t lagg, char const* name,
                                 struct rte_pmd_lagg_lacp_member_conf* conf);
/** @return 0; -EINVAL a value out of range, or a number that another member has (logged) */
int rte_pmd_lagg_lacp_member_set(uint16_t lagg, char const* name,
                                 const struct rte_pmd_lagg_lacp_member_conf* conf);

/** Never waits; any thread.  @return 0; -ENOENT not a member, or LACP does not run on it; -EINVAL
 */
int rte_pmd_lagg_lacp_info_get(uint16_t lagg, uint16_t member, struct rte_pmd_lagg_lacp_info* info);

/**
 * Remove a member gracefully: SYNC is withdrawn, flows move to the others in order, what the
 * partner still sends is received until it says that it stopped (or drain_wait_ms is over); then as
 * rte_pmd_lagg_member_remove(), which is also what happens when no LACP runs on it.
 * rte_pmd_lagg_member_add() takes it back meanwhile.
 *
 * @return as rte_pmd_lagg_member_remove(); -EINPROGRESS: it goes on by itself
 */
int rte_pmd_lagg_member_drain(uint16_t lagg, uint16_t member, unsigned int timeout_ms);

#ifdef __cplusplus
}
#endif

#endif /* RTE_PMD_LAGG_LACP_H */
