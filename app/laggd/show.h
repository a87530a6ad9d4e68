// Pages that show what is: text out, nothing changed.  Main thread.
#pragma once

#include <cstdint>
#include <string>

struct rte_pmd_lagg_lacp_info;

namespace laggd {

struct session;

void show_port_info(std::uint16_t port);
void show_port_summary_header();
void show_port_summary(std::uint16_t port);
void show_port_stats(session& all, std::uint16_t port);
void show_port_xstats(std::uint16_t port);
void show_lagg(session& all, std::uint16_t lagg);
void show_lacp(std::uint16_t lagg);
/// What `start` would run, or what runs.
void show_forward_config(session& all);
void show_forward_stats(session& all);
void show_cores();

/// individual, fallback, looped, suppressed, draining, as far as they are so; empty: none.
std::string lacp_flags(rte_pmd_lagg_lacp_info const& info);
char const* policy_name(int policy);
char const* failback_name(int mode);

} // namespace laggd
