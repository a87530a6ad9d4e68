// The machine-readable end of a run.
#pragma once

#include "text.h"

#include <string>

namespace laggd {

struct session;

/// What was counted so far, as JSON.  Call before ports are closed.
std::string summary_json(session& all, double seconds, int exit_code);
[[nodiscard]] why_not write_file(std::string const& path, std::string const& text);

} // namespace laggd
