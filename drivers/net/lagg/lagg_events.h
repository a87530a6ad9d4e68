// ethdev's events of all ports, turned into dirty bits that control collects: raised on any thread,
// never lost, never waiting.  Knows no member.
#pragma once

#include "lagg/types.h"

#include <cstdint>

namespace lagg::pmd {

inline constexpr std::uint32_t stirred_link = 1;
inline constexpr std::uint32_t stirred_removal = 2;

/// Registers for the link, removal, destroy and new events of all ports.  -errno.
int watch_ethdev_events();
/// On return no callback of ours runs.
void unwatch_ethdev_events();

/// What happened to `port` since the last call.  Control thread.
std::uint32_t take_stirred(port_id port);

/// Undoes take_stirred(): it could not be acted on.  Control thread.
void put_back_stirred(port_id port, std::uint32_t what);

/// Whoever is called `port` now is meant from here on: an earlier device with this id is forgotten,
/// what happened to the present one is not.  Control thread, before it takes the port in.
void forget_former(port_id port);

} // namespace lagg::pmd
