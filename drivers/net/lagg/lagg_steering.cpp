// One flow rule, by ethertype.
#include "lagg_steering.h"

#include "lacp/lacpdu.h"
#include "lagg_compat.h"

#include <rte_errno.h>

#include <algorithm>
#include <cerrno>
#include <string>
#include <utility>
#include <vector>

namespace lagg::pmd {

namespace {

constexpr unsigned int pool_size = 511;

/// Never freed: a member that comes back, or another on its port id, uses it again.
rte_mempool* pool_of(port_id port) {
    std::string const name = "lagg_slow_rx_" + std::to_string(port);
    if (rte_mempool* const known = rte_mempool_lookup(name.c_str()); known != nullptr) {
        return known;
    }
    return rte_pktmbuf_pool_create(name.c_str(), pool_size, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE,
                                   rte_eth_dev_socket_id(port));
}

bool has_flow_rules(port_id port) {
    rte_eth_dev const& dev = rte_eth_devices[port];
    return dev.dev_ops != nullptr && dev.dev_ops->flow_ops_get != nullptr;
}

/// Data goes to the application's queues only, whatever the device would do with one more.
int leave_out_of_rss(port_id port, std::uint16_t queues) {
    rte_eth_dev_info info{};
    if (int const rc = rte_eth_dev_info_get(port, &info); rc != 0) {
        return rc;
    }
    std::vector<rte_eth_rss_reta_entry64> table((info.reta_size + RTE_ETH_RETA_GROUP_SIZE - 1) /
                                                RTE_ETH_RETA_GROUP_SIZE);
    for (std::size_t i = 0; i < info.reta_size; ++i) {
        auto& group = table[i / RTE_ETH_RETA_GROUP_SIZE];
        group.mask |= std::uint64_t{1} << (i % RTE_ETH_RETA_GROUP_SIZE);
        group.reta[i % RTE_ETH_RETA_GROUP_SIZE] = static_cast<std::uint16_t>(i % queues);
    }
    return rte_eth_dev_rss_reta_update(port, table.data(), info.reta_size);
}

/// All frames of LACP's ethertype, to one queue.
class slow_rule {
public:
    explicit slow_rule(std::uint16_t queue) {
        attributes_.ingress = 1;
        type_.type = rte_cpu_to_be_16(lacp::slow_protocols_ethertype);
        mask_.type = rte_cpu_to_be_16(0xffff);
        pattern_[0].type = RTE_FLOW_ITEM_TYPE_ETH;
        pattern_[0].spec = &type_;
        pattern_[0].mask = &mask_;
        pattern_[1].type = RTE_FLOW_ITEM_TYPE_END;
        to_.index = queue;
        actions_[0].type = RTE_FLOW_ACTION_TYPE_QUEUE;
        actions_[0].conf = &to_;
        actions_[1].type = RTE_FLOW_ACTION_TYPE_END;
    }
    slow_rule(slow_rule const&) = delete; // it points into itself
    slow_rule& operator=(slow_rule const&) = delete;

    /// Some devices know no rule before they are started; only what says that it has none is
    /// believed.
    bool is_impossible(port_id port) const {
        rte_flow_error error{};
        int const rc = rte_flow_validate(port, &attributes_, pattern_, actions_, &error);
        return rc == -ENOSYS || rc == -ENOTSUP;
    }
    /// Null: rte_errno says why.
    rte_flow* create(port_id port) const {
        rte_flow_error error{};
        return rte_flow_create(port, &attributes_, pattern_, actions_, &error);
    }

private:
    rte_flow_attr attributes_{};
    rte_flow_item_eth type_{};
    rte_flow_item_eth mask_{};
    rte_flow_item pattern_[2]{};
    rte_flow_action_queue to_{};
    rte_flow_action actions_[2]{};
};

bool spreads_by_rss(port_settings const& s) {
    return (s.conf.rxmode.mq_mode & RTE_ETH_MQ_RX_RSS_FLAG) != 0;
}

} // namespace

bool steering::possible(port_id port, port_settings const& s, rte_eth_dev_info const& info) {
    bool const rss = spreads_by_rss(s);
    bool const plain = s.conf.rxmode.mq_mode == RTE_ETH_MQ_RX_NONE;
    return s.steering && s.slow_frames && !s.isolated && has_flow_rules(port) &&
           s.rx.size() < info.max_rx_queues && (plain || (rss && info.reta_size > 0));
}

int steering::set_up(port_id port, std::uint16_t queue, rte_eth_rxconf const& conf,
                     std::uint16_t descriptors) {
    queue_ = queue;
    rte_mempool* const pool = pool_of(port);
    if (pool == nullptr) {
        return -ENOMEM;
    }
    int const rc = rte_eth_rx_queue_setup(port, queue, descriptors,
                                          static_cast<unsigned int>(SOCKET_ID_ANY), &conf, pool);
    return rc == 0 && slow_rule(queue).is_impossible(port) ? -ENOTSUP : rc;
}

int steering::begin(port_id port, port_settings const& s) {
    if (spreads_by_rss(s)) {
        auto const queues = static_cast<std::uint16_t>(s.rx.size());
        if (int const rc = leave_out_of_rss(port, queues); rc != 0) {
            return rc;
        }
    }
    rule_ = slow_rule(queue_).create(port);
    return rule_ == nullptr ? -rte_errno : 0;
}

void steering::end(port_id port) {
    if (rule_ != nullptr) {
        rte_flow_error error{};
        rte_flow_destroy(port, std::exchange(rule_, nullptr), &error);
    }
    queue_ = no_rx_queue;
}

} // namespace lagg::pmd
