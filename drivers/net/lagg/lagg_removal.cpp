#include "lagg_removal.h"

#include "lagg_compat.h"
#include "lagg_log.h"
#include "lagg_threads.h"

#include <rte_dev.h>
#include <rte_errno.h>
#include <rte_ethdev.h>

#include <cerrno>
#include <string>
#include <system_error>
#include <thread>

namespace lagg::pmd {

namespace {

void discard(port_id port, std::string const& name) {
    std::uint16_t present = 0;
    if (rte_eth_dev_get_port_by_name(name.c_str(), &present) != 0 || present != port) {
        return; // somebody closed it meanwhile
    }
    // Not by info_get: a device that is gone need not answer.
    rte_device* const device = rte_eth_devices[port].device;
    static_cast<void>(rte_eth_dev_stop(port));
    static_cast<void>(rte_eth_dev_close(port));
    if (device == nullptr) {
        return;
    }
    if (int const rc = rte_dev_remove(device); rc != 0) {
        LAGG_LOG(WARNING, "removed port %s: its device stays on the bus: %s", name.c_str(),
                 rte_strerror(-rc));
    }
}

} // namespace

void discard_port(port_id port, std::function<void()> done) {
    char name[RTE_ETH_NAME_MAX_LEN] = "";
    if (rte_eth_dev_get_name_by_port(port, name) != 0) {
        done();
        return;
    }
    insist([&] {
        try {
            std::thread([port, kept = std::string(name), done] {
                discard(port, kept);
                done();
            }).detach();
        } catch (std::system_error const&) {
            return -ENOMEM; // no thread to be had at the moment
        }
        return 0;
    });
}

} // namespace lagg::pmd
