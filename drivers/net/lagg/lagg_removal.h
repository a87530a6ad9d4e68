// What becomes of a member's port whose device is gone.
#pragma once

#include "lagg/types.h"

#include <functional>

namespace lagg::pmd {

/// Closes the port and takes its device off the bus, on a thread of its own: the bus has a lock
/// that a caller of ours may hold while it waits for the worker.  Harmless for a port that is gone
/// already. `done` is called there when nothing is left of it.  Worker; the port is quiescent.
void discard_port(port_id port, std::function<void()> done);

} // namespace lagg::pmd
