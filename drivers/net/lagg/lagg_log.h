// One log type for the driver, and the macro that writes to it.  Never used on a burst.
#pragma once

#include <rte_log.h>

namespace lagg::pmd {
extern int log_type; // set once by the constructor in lagg_probe.cpp
}

#define LAGG_LOG(level, fmt, ...)                                                                  \
    rte_log(RTE_LOG_##level, ::lagg::pmd::log_type,                                                \
            "net_lagg: " fmt "\n" __VA_OPT__(, ) __VA_ARGS__)
