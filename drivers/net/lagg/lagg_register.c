/* Registers the vdev driver.  In C, because the strings that dpdk-pmdinfo looks for would get
 * mangled names in C++. */
#include <bus_vdev_driver.h>

extern struct rte_vdev_driver lagg_vdev_driver;

RTE_PMD_REGISTER_VDEV(net_lagg, lagg_vdev_driver);
RTE_PMD_REGISTER_PARAM_STRING(
    net_lagg,
    "policy=<roundrobin|loadbalance|lacp|failover|broadcast|none> "
    "member=<port name or PCI address> "
    "primary=<member> "
    "hash=<l2|l3|l4 joined by +> "
    "symmetric=<0|1> seed=<uint32> flowid=<0|1> "
    "stride=<1-65535> rx_all=<0|1> "
    "mac=<xx:xx:xx:xx:xx:xx> min_links=<0-32> "
    "up_delay=<ms> down_delay=<ms> "
    "weight=<member>@<1-255> "
    "failback=<always|better|never>[:<hold ms>] "
    "lacp_mode=<active|passive> lacp_rate=<fast|slow> "
    "lacp_system_priority=<0-65535> lacp_system_mac=<xx:xx:xx:xx:xx:xx> "
    "lacp_key=<1-65535> lacp_first_port=<1-65503> "
    "lacp_port_priority=<member>@<0-65535> lacp_select=<stable|bandwidth|count> "
    "lacp_mux=<independent|coupled> "
    "lacp_fallback=<strict|one|individual>[:<delay ms>] lacp_wait_while=<ms> "
    "lacp_damping=<half life ms> lacp_steering=<0|1> max_links=<1-32> reorder_guard=<0|1> "
    "reorder_wait=<ms> "
    "lsc_poll_period_ms=<1-60000> queues=<n> offloads=<names joined by +>");
