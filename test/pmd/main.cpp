// Runs the PMD tests on an EAL of their own: no hugepages, no PCI, no shared files; telemetry only
// for the program that asks for it.
#include <gtest/gtest.h>

#include <rte_eal.h>
#include <rte_errno.h>

#include <cstdio>
#include <string>
#include <vector>

#include <unistd.h>

int main(int argc, char** argv) {
    testing::InitGoogleTest(&argc, argv);
    std::string const prefix = "--file-prefix=pmdtest" + std::to_string(getpid());
    std::vector<std::string> words{argv[0],    "--no-huge", "--no-shconf", "-m",  "256",
                                   "--no-pci", "-l",        "0",           prefix};
#ifndef LAGG_TEST_TELEMETRY
    words.emplace_back("--no-telemetry");
#endif
    std::vector<char*> eal;
    for (auto& w : words) {
        eal.push_back(w.data());
    }
    if (rte_eal_init(static_cast<int>(eal.size()), eal.data()) < 0) {
        std::fprintf(stderr, "EAL: %s\n", rte_strerror(rte_errno));
        return 1;
    }
    int const rc = RUN_ALL_TESTS();
    rte_eal_cleanup();
    return rc;
}
