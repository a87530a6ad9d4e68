#include "eal.h"

#include <algorithm>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_pdump.h>
#include <sched.h>
#include <unistd.h>

namespace laggd {

namespace {

std::vector<unsigned> usable_cpus() {
    cpu_set_t set;
    CPU_ZERO(&set);
    std::vector<unsigned> cpus;
    if (sched_getaffinity(0, sizeof(set), &set) == 0) {
        for (unsigned cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
            if (CPU_ISSET(cpu, &set)) {
                cpus.push_back(cpu);
            }
        }
    }
    return cpus;
}

/// Processes that look in from outside, such as dpdk-dumpcap and dpdk-pdump, ask whoever has the
/// ports; without hugepages or shared files there are none.
void let_others_capture() {
    std::string const shared = std::string(rte_eal_get_runtime_dir()) + "/config";
    if (rte_eal_has_hugepages() != 0 && access(shared.c_str(), F_OK) == 0) {
        rte_pdump_init(); // laggd is none the worse for it when EAL refuses
    }
}

} // namespace

split_arguments split_command_line(int count, char** words) {
    std::vector<std::string> const all(words + std::min(count, 1), words + count);
    auto const bar = std::find(all.begin(), all.end(), "--");
    split_arguments out;
    if (bar != all.end()) {
        out.separated = true;
        out.eal.assign(all.begin(), bar);
        out.own.assign(bar + 1, all.end());
        return out;
    }
    auto const ours = [](std::string const& word) {
        return word == "--demo" || word == "--help" || word == "-h" || word == "--version";
    };
    (std::any_of(all.begin(), all.end(), ours) ? out.own : out.eal) = all;
    return out;
}

std::vector<std::string> demo_eal_arguments() {
    auto const cpus = usable_cpus();
    // Lcore 0 is the console's; with one CPU, traffic shares it.
    std::string lcores = "0@0,1@0";
    if (cpus.size() == 1) {
        lcores = strf("0@%u,1@%u", cpus[0], cpus[0]);
    } else if (cpus.size() == 2) {
        lcores = strf("0@%u,1@%u", cpus[0], cpus[1]);
    } else if (cpus.size() > 2) {
        lcores = strf("0@%u,1@%u,2@%u", cpus[0], cpus[1], cpus[2]);
    }
    return {"--no-huge",
            "--no-shconf",
            "--no-pci",
            "--no-telemetry",
            "-m",
            "256",
            "--lcores=" + lcores,
            "--log-level=lib.eal:warning",
            strf("--file-prefix=laggd_demo_%d", static_cast<int>(getpid()))};
}

why_not start_eal(std::string const& program, std::vector<std::string> arguments) {
    // EAL keeps pointers into its arguments and reorders them: they live as long as the process.
    static std::vector<std::string> texts;
    static std::vector<char*> words;
    texts = {program};
    texts.insert(texts.end(), arguments.begin(), arguments.end());
    words.reserve(texts.size() + 1);
    for (auto& text : texts) {
        words.push_back(text.data());
    }
    words.push_back(nullptr);
    int const taken = rte_eal_init(static_cast<int>(texts.size()), words.data());
    if (taken < 0) {
        return strf("EAL did not start: %s; its own message stands above, laggd --help tells how "
                    "arguments are given",
                    rte_strerror(rte_errno));
    }
    if (static_cast<std::size_t>(taken) + 1 < texts.size()) {
        return strf("'%s' is no EAL option; laggd's own options follow a --",
                    words[static_cast<std::size_t>(taken) + 1]);
    }
    let_others_capture();
    return {};
}

} // namespace laggd
