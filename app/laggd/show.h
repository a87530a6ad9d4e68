// Pages that show what is: text out, nothing changed.  Main thread.
#pragma once

#include <cstdint>

namespace laggd {

struct session;

void show_port_info(std::uint16_t port);
void show_port_summary_header();
void show_port_summary(std::uint16_t port);
void show_port_stats(session& all, std::uint16_t port);
void show_port_xstats(std::uint16_t port);
void show_lagg(session& all, std::uint16_t lagg);
/// What `start` would run, or what runs.
void show_forward_config(session& all);
void show_forward_stats(session& all);
void show_cores();

char const* policy_name(int policy);
char const* failback_name(int mode);

} // namespace laggd
