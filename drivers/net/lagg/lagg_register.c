/* Registers the vdev driver.  In C, because the strings that dpdk-pmdinfo looks for would get
 * mangled names in C++. */
#include <bus_vdev_driver.h>

extern struct rte_vdev_driver lagg_vdev_driver;

RTE_PMD_REGISTER_VDEV(net_lagg, lagg_vdev_driver);
RTE_PMD_REGISTER_PARAM_STRING(
    net_lagg, "policy=<roundrobin|loadbalance|failover|broadcast|none> "
              "member=<port name or PCI address> "
              "primary=<member> "
              "hash=<l2|l3|l4 joined by +> "
              "symmetric=<0|1> seed=<uint32> flowid=<0|1> "
              "stride=<1-65535> rx_all=<0|1> "
              "mac=<xx:xx:xx:xx:xx:xx> min_links=<0-32> "
              "up_delay=<ms> down_delay=<ms> "
              "weight=<member>@<1-255> "
              "failback=<always|better|never>[:<hold ms>] "
              "lsc_poll_period_ms=<1-60000> queues=<n> offloads=<names joined by +>");
