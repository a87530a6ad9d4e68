#include "lagg_flow.h"

#include "lagg_device.h"
#include "lagg_log.h"
#include "lagg_threads.h"

#include <rte_errno.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <mutex>
#include <new>

namespace lagg::pmd {

struct flow_rule {
    std::vector<std::uint64_t> storage; // one deep copy by rte_flow_conv(), `parts` in front
    rte_flow_conv_rule* parts = nullptr;
    bool counts = false;

    // worker thread's own
    std::array<rte_flow*, max_members> on{}; // by member_id: the member's handle

    std::mutex gone_mutex; // guards what follows: counts of members that left
    std::uint64_t gone_hits = 0;
    std::uint64_t gone_bytes = 0;
};

namespace {

using rule_ptr = std::shared_ptr<flow_rule>;

/// What a member said of a request, in words that outlive its call.
struct answer {
    rte_flow_error_type type = RTE_FLOW_ERROR_TYPE_UNSPECIFIED;
    char const* text = nullptr;
};

int fail(rte_flow_error* error, int rc, char const* text,
         rte_flow_error_type type = RTE_FLOW_ERROR_TYPE_UNSPECIFIED) {
    rte_flow_error_set(error, -rc, type, nullptr, text);
    return rc;
}

int fail(rte_flow_error* error, int rc, answer const& why) {
    return fail(error, rc, why.text != nullptr ? why.text : "a member refused", why.type);
}

device* device_of(rte_eth_dev* dev) {
    return static_cast<device*>(dev->process_private);
}

/// The application's handle is the address of our rule; it is looked up before it is followed.
rte_flow* handle_of(flow_rule* rule) {
    return reinterpret_cast<rte_flow*>(rule);
}

rule_ptr find(port_settings const& s, rte_flow const* handle) {
    auto const at = std::find_if(s.flow_rules.begin(), s.flow_rules.end(),
                                 [&](rule_ptr const& r) { return handle_of(r.get()) == handle; });
    return at == s.flow_rules.end() ? nullptr : *at;
}

rte_flow_action const* count_action(rte_flow_action const* actions) {
    for (; actions->type != RTE_FLOW_ACTION_TYPE_END; ++actions) {
        if (actions->type == RTE_FLOW_ACTION_TYPE_COUNT) {
            return actions;
        }
    }
    return nullptr;
}

/// Handles that belong to one device cannot be handed to several.
bool portable(rte_flow_action const* actions) {
    for (; actions->type != RTE_FLOW_ACTION_TYPE_END; ++actions) {
        switch (actions->type) {
        case RTE_FLOW_ACTION_TYPE_INDIRECT:
        case RTE_FLOW_ACTION_TYPE_METER:
        case RTE_FLOW_ACTION_TYPE_SECURITY: return false;
        default: break;
        }
    }
    return true;
}

rule_ptr copy_of(rte_flow_attr const* attr, rte_flow_item const* pattern,
                 rte_flow_action const* actions, rte_flow_error* error) {
    rte_flow_conv_rule source{};
    source.attr_ro = attr;
    source.pattern_ro = pattern;
    source.actions_ro = actions;
    int const size = rte_flow_conv(RTE_FLOW_CONV_OP_RULE, nullptr, 0, &source, error);
    if (size < 0) {
        return nullptr;
    }
    auto rule = std::make_shared<flow_rule>();
    rule->storage.resize((static_cast<std::size_t>(size) + 7) / 8);
    if (rte_flow_conv(RTE_FLOW_CONV_OP_RULE, rule->storage.data(), static_cast<std::size_t>(size),
                      &source, error) < 0) {
        return nullptr;
    }
    rule->parts = reinterpret_cast<rte_flow_conv_rule*>(rule->storage.data());
    rule->counts = count_action(rule->parts->actions_ro) != nullptr;
    return rule;
}

int install(member_port const& m, flow_rule& rule, answer& why) {
    rte_flow_error e{};
    rte_flow* const made = rte_flow_create(m.port(), rule.parts->attr_ro, rule.parts->pattern_ro,
                                           rule.parts->actions_ro, &e);
    if (made == nullptr) {
        why = {e.type, e.message};
        return rte_errno > 0 ? -rte_errno : -EIO;
    }
    rule.on[m.id()] = made;
    return 0;
}

int query_count(member_port const& m, flow_rule& rule, rte_flow_query_count& out, bool reset,
                answer& why) {
    rte_flow_error e{};
    rte_flow_query_count one{};
    one.reset = reset ? 1 : 0;
    int const rc =
        rte_flow_query(m.port(), rule.on[m.id()], count_action(rule.parts->actions_ro), &one, &e);
    if (rc != 0) {
        why = {e.type, e.message};
        return rc;
    }
    out.hits_set |= one.hits_set;
    out.bytes_set |= one.bytes_set;
    out.hits += one.hits;
    out.bytes += one.bytes;
    return 0;
}

/// Takes the rule off, keeping what it counted there.
int uninstall(member_port const& m, flow_rule& rule, answer& why) {
    if (rule.counts) {
        rte_flow_query_count last{};
        answer ignored;
        if (query_count(m, rule, last, false, ignored) == 0) {
            std::lock_guard const hold(rule.gone_mutex);
            rule.gone_hits += last.hits;
            rule.gone_bytes += last.bytes;
        }
    }
    rte_flow_error e{};
    int const rc = rte_flow_destroy(m.port(), rule.on[m.id()], &e);
    if (rc != 0) {
        why = {e.type, e.message};
        return rc;
    }
    rule.on[m.id()] = nullptr;
    return 0;
}

/// Makes the member have the rule exactly when the settings have it.
int follow_rule(member_port const& m, port_settings const& s, rule_ptr const& rule, answer& why) {
    bool const wanted = find(s, handle_of(rule.get())) != nullptr;
    bool const present = rule->on[m.id()] != nullptr;
    if (wanted == present) {
        return 0;
    }
    return wanted ? install(m, *rule, why) : uninstall(m, *rule, why);
}

int validate_on_members(device& d, rte_flow_attr const* attr, rte_flow_item const* pattern,
                        rte_flow_action const* actions, rte_flow_error* error) {
    if (!portable(actions)) {
        return fail(error, -ENOTSUP, "an action that belongs to one device",
                    RTE_FLOW_ERROR_TYPE_ACTION);
    }
    bool asked = false;
    rte_flow_error e{}; // its cause points into the application's own arrays
    int const rc = d.for_each_member([&](member_port& m) {
        if (!m.running()) {
            return 0;
        }
        asked = true;
        return rte_flow_validate(m.port(), attr, pattern, actions, &e);
    });
    if (rc != 0) {
        if (error != nullptr) {
            *error = e;
        }
        return rc;
    }
    if (!asked) {
        return fail(error, -ENOTSUP, "no running member: add members and start the port first");
    }
    return 0;
}

/// Every entry from ethdev goes through here.
template<class F>
int guarded(rte_eth_dev* dev, rte_flow_error* error, F&& f) noexcept {
    device* const d = device_of(dev);
    if (d == nullptr) {
        return fail(error, -ENOTSUP, "not in a secondary process");
    }
    if (!may_wait()) {
        return fail(error, -EDEADLK, "not from this thread");
    }
    try {
        return f(*d);
    } catch (std::bad_alloc const&) {
        return fail(error, -ENOMEM, "out of memory");
    }
}

int flow_validate(rte_eth_dev* dev, rte_flow_attr const* attr, rte_flow_item const pattern[],
                  rte_flow_action const actions[], rte_flow_error* error) {
    return guarded(dev, error, [&](device& d) {
        return validate_on_members(d, attr, pattern, actions, error);
    });
}

rte_flow* flow_create(rte_eth_dev* dev, rte_flow_attr const* attr, rte_flow_item const pattern[],
                      rte_flow_action const actions[], rte_flow_error* error) {
    rule_ptr rule;
    int const rc = guarded(dev, error, [&](device& d) {
        if (int const refused = validate_on_members(d, attr, pattern, actions, error);
            refused != 0) {
            return refused;
        }
        rule = copy_of(attr, pattern, actions, error);
        if (rule == nullptr) {
            return -rte_errno;
        }
        answer why;
        int const failed = d.change_settings(
            [&](port_settings& s) { s.flow_rules.push_back(rule); },
            [&](member_port& m, port_settings const& s) { return follow_rule(m, s, rule, why); });
        return failed == 0 ? 0 : fail(error, failed, why);
    });
    if (rc != 0) {
        rte_errno = -rc;
        return nullptr;
    }
    return handle_of(rule.get());
}

int flow_destroy(rte_eth_dev* dev, rte_flow* flow, rte_flow_error* error) {
    return guarded(dev, error, [&](device& d) {
        rule_ptr rule;
        answer why;
        int const rc = d.change_settings(
            [&](port_settings& s) {
                rule = find(s, flow);
                std::erase(s.flow_rules, rule);
            },
            [&](member_port& m, port_settings const& s) {
                return rule == nullptr ? 0 : follow_rule(m, s, rule, why);
            });
        if (rc != 0) {
            return fail(error, rc, why);
        }
        return rule != nullptr ? 0
                               : fail(error, -ENOENT, "no such rule", RTE_FLOW_ERROR_TYPE_HANDLE);
    });
}

int flow_flush(rte_eth_dev* dev, rte_flow_error* error) {
    return guarded(dev, error, [&](device& d) {
        std::vector<rule_ptr> all;
        answer why;
        int const rc = d.change_settings(
            [&](port_settings& s) {
                all = s.flow_rules;
                s.flow_rules.clear();
            },
            [&](member_port& m, port_settings const& s) {
                for (std::size_t i = 0; i < all.size(); ++i) {
                    int const failed = follow_rule(m, s, all[i], why);
                    if (failed == 0) {
                        continue;
                    }
                    answer ignored;
                    for (std::size_t k = 0; k < i; ++k) { // this member is to be as it was
                        static_cast<void>(install(m, *all[k], ignored));
                    }
                    return failed;
                }
                return 0;
            });
        return rc == 0 ? 0 : fail(error, rc, why);
    });
}

int flow_query(rte_eth_dev* dev, rte_flow* flow, rte_flow_action const* action, void* data,
               rte_flow_error* error) {
    return guarded(dev, error, [&](device& d) {
        if (action == nullptr || action->type != RTE_FLOW_ACTION_TYPE_COUNT) {
            return fail(error, -ENOTSUP, "COUNT only", RTE_FLOW_ERROR_TYPE_ACTION);
        }
        port_settings present;
        if (int const rc = d.settings(present); rc != 0) {
            return fail(error, rc, "not from this thread");
        }
        rule_ptr const rule = find(present, flow);
        if (rule == nullptr) {
            return fail(error, -ENOENT, "no such rule", RTE_FLOW_ERROR_TYPE_HANDLE);
        }
        if (!rule->counts) {
            return fail(error, -EINVAL, "the rule does not count", RTE_FLOW_ERROR_TYPE_HANDLE);
        }
        auto& out = *static_cast<rte_flow_query_count*>(data);
        rte_flow_query_count sum{};
        answer why;
        int const rc = d.for_each_member([&](member_port& m) {
            return rule->on[m.id()] == nullptr ? 0
                                               : query_count(m, *rule, sum, out.reset != 0, why);
        });
        if (rc != 0) {
            return fail(error, rc, why);
        }
        std::lock_guard const hold(rule->gone_mutex);
        out.hits_set = sum.hits_set;
        out.bytes_set = sum.bytes_set;
        out.hits = sum.hits + rule->gone_hits;
        out.bytes = sum.bytes + rule->gone_bytes;
        if (out.reset != 0) {
            rule->gone_hits = 0;
            rule->gone_bytes = 0;
        }
        return 0;
    });
}

int flow_isolate(rte_eth_dev* dev, int set, rte_flow_error* error) {
    return guarded(dev, error, [&](device& d) {
        answer why;
        int const rc = d.change_settings([&](port_settings& s) { s.isolated = set != 0; },
                                         [&](member_port& m, port_settings const& s) {
                                             rte_flow_error e{};
                                             int const failed =
                                                 rte_flow_isolate(m.port(), s.isolated ? 1 : 0, &e);
                                             why = {e.type, e.message};
                                             return failed;
                                         });
        return rc == 0 ? 0 : fail(error, rc, why);
    });
}

} // namespace

constinit rte_flow_ops const lagg_flow_ops = [] {
    rte_flow_ops ops{};
    ops.validate = flow_validate;
    ops.create = flow_create;
    ops.destroy = flow_destroy;
    ops.flush = flow_flush;
    ops.query = flow_query;
    ops.isolate = flow_isolate;
    return ops;
}();

void replay_flows(member_port& m, port_settings const& s) {
    if (s.isolated) {
        rte_flow_error e{};
        if (rte_flow_isolate(m.port(), 1, &e) != 0) {
            LAGG_LOG(WARNING, "member %s: does not take over isolated mode: %s",
                     describe(m.port()).c_str(),
                     e.message != nullptr ? e.message : "no reason given");
        }
    }
    std::size_t refused = 0;
    answer why;
    for (auto const& rule : s.flow_rules) {
        rule->on[m.id()] = nullptr; // a handle from an earlier life of this place
        refused += install(m, *rule, why) != 0 ? 1U : 0U;
    }
    if (refused > 0) {
        LAGG_LOG(WARNING,
                 "member %s: does not take over %zu of %zu flow rules, the last because: %s",
                 describe(m.port()).c_str(), refused, s.flow_rules.size(),
                 why.text != nullptr ? why.text : "no reason given");
    }
}

void retract_flows(member_port& m, port_settings const& s, bool vanished) {
    for (auto const& rule : s.flow_rules) {
        if (rule->on[m.id()] == nullptr) {
            continue;
        }
        answer why;
        if (!vanished && uninstall(m, *rule, why) != 0) {
            LAGG_LOG(WARNING, "member %s: does not give up a flow rule: %s",
                     describe(m.port()).c_str(),
                     why.text != nullptr ? why.text : "no reason given");
        }
        rule->on[m.id()] = nullptr;
    }
    if (s.isolated && !vanished) {
        rte_flow_error e{};
        static_cast<void>(rte_flow_isolate(m.port(), 0, &e));
    }
}

} // namespace lagg::pmd
