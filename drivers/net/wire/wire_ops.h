// What ethdev calls on a wire end. Knows no devargs.
#pragma once

#include "wire_end.h"

#include <rte_flow_driver.h>

namespace wire {

extern eth_dev_ops const end_ops;
extern rte_flow_ops const flow_ops;

end& end_of(rte_eth_dev* dev);

/// Sets the burst functions that fit what the end is now.
void choose_bursts(end& e);

} // namespace wire
