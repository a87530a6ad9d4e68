// What ethdev calls.  Thin: translates between ethdev's words and device, decides nothing.
#pragma once

#include "lagg_compat.h"

namespace lagg::pmd {

/// In the primary process.  Calls that change something wait for control and worker, and return
/// -EDEADLK where that cannot be (may_wait()); infos, link, statistics and burst modes never wait
/// for either.
extern eth_dev_ops const lagg_ops;
/// In a secondary process: nothing but the link as the primary keeps it.
extern eth_dev_ops const lagg_secondary_ops;

/// The functions beside the bursts that ethdev calls with a queue: counts and descriptor states.
void install_queue_ops(rte_eth_dev& eth);

/// /lagg/list and /lagg/info; for the whole process, later calls do nothing.
void register_telemetry();

} // namespace lagg::pmd
