// rte_flow of a wire end: one Ethernet item (type and destination, each exact or not at all) to one
// queue or to a drop. Enough to steer a control protocol to a queue of its own.

#include "wire_control.h"
#include "wire_ops.h"

#include <algorithm>
#include <cstring>

#include <rte_flow.h>

namespace wire {
namespace {

int refuse(rte_flow_error* error, rte_flow_error_type type, void const* cause, char const* why,
           int err = EINVAL) {
    return rte_flow_error_set(error, err, type, cause, why);
}

template<typename Item>
Item const* skip_void(Item const* item) {
    while (static_cast<int>(item->type) == 1) { // VOID is 1 for items and for actions
        ++item;
    }
    return item;
}
static_assert(RTE_FLOW_ITEM_TYPE_VOID == 1 && RTE_FLOW_ACTION_TYPE_VOID == 1);

bool all_bytes(void const* bytes, std::size_t count, std::uint8_t value) {
    auto const* const from = static_cast<std::uint8_t const*>(bytes);
    return std::all_of(from, from + count, [value](std::uint8_t b) { return b == value; });
}

int read_pattern(rte_flow_item const* item, rte_flow& rule, rte_flow_error* error) {
    constexpr auto type = RTE_FLOW_ERROR_TYPE_ITEM;
    item = skip_void(item);
    if (item->type != RTE_FLOW_ITEM_TYPE_ETH) {
        return refuse(error, type, item, "the pattern has to be one ETH item", ENOTSUP);
    }
    if (item->last != nullptr) {
        return refuse(error, RTE_FLOW_ERROR_TYPE_ITEM_LAST, item, "no ranges", ENOTSUP);
    }
    if (item->spec != nullptr) {
        if (item->mask == nullptr) { // the default one would cover the source
            return refuse(error, RTE_FLOW_ERROR_TYPE_ITEM_MASK, item, "a mask is needed", ENOTSUP);
        }
        auto const& spec = *static_cast<rte_flow_item_eth const*>(item->spec);
        auto const& mask = *static_cast<rte_flow_item_eth const*>(item->mask);
        constexpr std::size_t bytes = RTE_ETHER_ADDR_LEN;
        bool const any_destination = all_bytes(&mask.hdr.dst_addr, bytes, 0);
        if (!any_destination && !all_bytes(&mask.hdr.dst_addr, bytes, 0xff)) {
            return refuse(error, RTE_FLOW_ERROR_TYPE_ITEM_MASK, item,
                          "destination: all bits or none", ENOTSUP);
        }
        if (!all_bytes(&mask.hdr.src_addr, bytes, 0)) {
            return refuse(error, RTE_FLOW_ERROR_TYPE_ITEM_MASK, item, "source cannot be matched",
                          ENOTSUP);
        }
        if (mask.hdr.ether_type != 0 && mask.hdr.ether_type != 0xffff) {
            return refuse(error, RTE_FLOW_ERROR_TYPE_ITEM_MASK, item, "type: all bits or none",
                          ENOTSUP);
        }
        if (mask.has_vlan != 0) {
            return refuse(error, RTE_FLOW_ERROR_TYPE_ITEM_MASK, item, "has_vlan cannot be matched",
                          ENOTSUP);
        }
        rule.match_destination = !any_destination;
        rule.destination = address_word(spec.hdr.dst_addr.addr_bytes);
        rule.match_type = mask.hdr.ether_type != 0;
        rule.ether_type = rte_be_to_cpu_16(spec.hdr.ether_type);
    }
    item = skip_void(item + 1);
    if (item->type != RTE_FLOW_ITEM_TYPE_END) {
        return refuse(error, type, item, "nothing can follow the ETH item", ENOTSUP);
    }
    return 0;
}

int read_actions(rte_flow_action const* action, std::uint16_t queues, rte_flow& rule,
                 rte_flow_error* error) {
    constexpr auto type = RTE_FLOW_ERROR_TYPE_ACTION;
    action = skip_void(action);
    if (action->type == RTE_FLOW_ACTION_TYPE_DROP) {
        rule.drop = true;
    } else if (action->type == RTE_FLOW_ACTION_TYPE_QUEUE && action->conf != nullptr) {
        rule.queue = static_cast<rte_flow_action_queue const*>(action->conf)->index;
        if (rule.queue >= queues) {
            return refuse(error, RTE_FLOW_ERROR_TYPE_ACTION_CONF, action, "no such rx queue");
        }
    } else {
        return refuse(error, type, action, "the action has to be QUEUE or DROP", ENOTSUP);
    }
    action = skip_void(action + 1);
    if (action->type != RTE_FLOW_ACTION_TYPE_END) {
        return refuse(error, type, action, "one action at most", ENOTSUP);
    }
    return 0;
}

int read_rule(rte_eth_dev* dev, rte_flow_attr const* attr, rte_flow_item const* pattern,
              rte_flow_action const* actions, rte_flow& rule, rte_flow_error* error) {
    if (attr->ingress == 0 || attr->egress != 0 || attr->transfer != 0) {
        return refuse(error, RTE_FLOW_ERROR_TYPE_ATTR, attr, "ingress only", ENOTSUP);
    }
    if (attr->group != 0) {
        return refuse(error, RTE_FLOW_ERROR_TYPE_ATTR_GROUP, attr, "group 0 only", ENOTSUP);
    }
    rule.priority = attr->priority;
    if (int const rc = read_pattern(pattern, rule, error); rc != 0) {
        return rc;
    }
    return read_actions(actions, dev->data->nb_rx_queues, rule, error);
}

int validate(rte_eth_dev* dev, rte_flow_attr const* attr, rte_flow_item const pattern[],
             rte_flow_action const actions[], rte_flow_error* error) {
    rte_flow rule{};
    return read_rule(dev, attr, pattern, actions, rule, error);
}

rte_flow* create(rte_eth_dev* dev, rte_flow_attr const* attr, rte_flow_item const pattern[],
                 rte_flow_action const actions[], rte_flow_error* error) {
    rte_flow rule{};
    if (read_rule(dev, attr, pattern, actions, rule, error) != 0) {
        return nullptr;
    }
    control_section control;
    end& e = end_of(dev);
    if (int const rc = control.admit(e, RTE_PMD_WIRE_OP_FLOW); rc != 0) {
        refuse(error, RTE_FLOW_ERROR_TYPE_UNSPECIFIED, nullptr, "the device failed", -rc);
        return nullptr;
    }
    auto const place =
        std::find_if(e.rules.begin(), e.rules.end(), [](auto const& r) { return !r.used; });
    if (place == e.rules.end()) {
        refuse(error, RTE_FLOW_ERROR_TYPE_HANDLE, nullptr, "the rule table is full", ENOSPC);
        return nullptr;
    }
    rule.used = true;
    rule.age = ++e.rules_made;
    *place = rule;
    control.changed(e);
    return place;
}

int destroy(rte_eth_dev* dev, rte_flow* flow, rte_flow_error* error) {
    control_section control;
    end& e = end_of(dev);
    if (flow < e.rules.begin() || flow >= e.rules.end() || !flow->used) {
        return refuse(error, RTE_FLOW_ERROR_TYPE_HANDLE, flow, "no such rule", ENOENT);
    }
    flow->used = false;
    control.changed(e);
    return 0;
}

int flush(rte_eth_dev* dev, rte_flow_error*) {
    control_section control;
    end& e = end_of(dev);
    for (auto& rule : e.rules) {
        rule.used = false;
    }
    control.changed(e);
    return 0;
}

} // namespace

rte_flow_ops const flow_ops = {
    .validate = validate,
    .create = create,
    .destroy = destroy,
    .flush = flush,
};

} // namespace wire
