// What EAL is started with.
#pragma once

#include "text.h"

#include <string>
#include <vector>

namespace laggd {

/// The command line, split.  Before "--" is EAL's, after it laggd's; without "--" all is laggd's
/// when
/// --demo, --help or --version is in it, else EAL's.
struct split_arguments {
    std::vector<std::string> eal;
    std::vector<std::string> own;
    bool separated = false;
};
split_arguments split_command_line(int count, char** words);

/// EAL arguments for a demo that was given none: no hugepages, no NIC, no root, no file that
/// another process could share, and as many lcores as there are CPUs to use, at most three.
std::vector<std::string> demo_eal_arguments();

/// Starts EAL.
[[nodiscard]] why_not start_eal(std::string const& program, std::vector<std::string> arguments);

} // namespace laggd
