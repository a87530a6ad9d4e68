// What all parts of a running laggd share.  Main thread only.
#pragma once

#include "forward.h"
#include "hotplug.h"
#include "lagg_events.h"
#include "options.h"
#include "ports.h"
#include "rates.h"

#include <csignal>

namespace laggd {

class demo;

struct session {
    explicit session(options wanted)
        : opts(std::move(wanted)), all_ports(opts), fwd(opts, all_ports) {}

    options opts;
    ports all_ports;
    forward fwd;
    rate_meter rates;
    lagg_events events;
    hotplug cards;
    demo* show = nullptr; ///< null: an ordinary run
    bool quit = false;
    unsigned commands_run = 0;
    unsigned commands_refused = 0;
};

} // namespace laggd
