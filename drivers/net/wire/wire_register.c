/* Registers the vdev driver. In C, because the pmdinfo strings that dpdk-pmdinfo looks for would
 * get mangled names in C++. */
#include <bus_vdev_driver.h>

extern struct rte_vdev_driver wire_vdev_driver;

RTE_PMD_REGISTER_VDEV(net_wire, wire_vdev_driver);
RTE_PMD_REGISTER_PARAM_STRING(net_wire, "peer=<vdev name> "
                                        "speed=<Mb/s> "
                                        "mac=<xx:xx:xx:xx:xx:xx> "
                                        "queues=<1-64> rxq=<1-64> txq=<1-64> "
                                        "ring=<1-32768> "
                                        "mtu_max=<68-65000> "
                                        "lsc=<0|1> fixed_mac=<0|1> fixed_mtu=<0|1> live_mtu=<0|1> "
                                        "equal_queues=<0|1> check=<0|1> "
                                        "rx=<handover|copy> "
                                        "sink=<free|keep> down=<refuse|drop> full=<refuse|drop>");
