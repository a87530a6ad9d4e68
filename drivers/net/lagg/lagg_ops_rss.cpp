// Calls about the spreading over rx queues: hash fields, key, redirection table.
#include "lagg_call.h"
#include "lagg_follow.h"
#include "lagg_infos.h"
#include "lagg_log.h"
#include "lagg_ops_calls.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace lagg::pmd::calls {

namespace {

/// The key that the members use when nobody gave one: the first member's.
int first_members_key(device& d, std::vector<std::uint8_t>& key) {
    int const rc = d.for_each_member([&](member_port& m) {
        if (!m.running()) {
            return 0;
        }
        key.assign(UINT8_MAX, 0);
        rte_eth_rss_conf conf{};
        conf.rss_key = key.data();
        conf.rss_key_len = UINT8_MAX;
        rte_eth_dev_info info{};
        if (rte_eth_dev_info_get(m.port(), &info) == 0 && info.hash_key_size != 0) {
            conf.rss_key_len = info.hash_key_size;
        }
        int const failed = rte_eth_dev_rss_hash_conf_get(m.port(), &conf);
        key.resize(failed == 0 ? conf.rss_key_len : 0);
        return failed != 0 ? failed : answered;
    });
    return rc == answered ? 0 : rc;
}

std::uint16_t& reta_entry(rte_eth_rss_reta_entry64* table, std::size_t i) {
    return table[i / RTE_ETH_RETA_GROUP_SIZE].reta[i % RTE_ETH_RETA_GROUP_SIZE];
}

bool reta_chosen(rte_eth_rss_reta_entry64 const* table, std::size_t i) {
    return (table[i / RTE_ETH_RETA_GROUP_SIZE].mask >> (i % RTE_ETH_RETA_GROUP_SIZE) & 1U) != 0;
}

std::size_t reta_groups(std::uint16_t size) {
    return (size + std::size_t{RTE_ETH_RETA_GROUP_SIZE} - 1) / RTE_ETH_RETA_GROUP_SIZE;
}

/// The table that drivers begin with.
std::vector<rte_eth_rss_reta_entry64> even_reta(std::uint16_t size, std::uint16_t queues) {
    std::vector<rte_eth_rss_reta_entry64> table(reta_groups(size));
    for (std::size_t i = 0; i < size; ++i) {
        reta_entry(table.data(), i) =
            static_cast<std::uint16_t>(i % std::max<std::size_t>(queues, 1));
    }
    return table;
}

int check_reta_size(device& d, std::uint16_t size) {
    std::uint16_t const offered = d.infos().get()->info.reta_size;
    if (offered == 0) {
        return -ENOTSUP;
    }
    if (size != offered) {
        LAGG_LOG(ERR, "%s: redirection table of %u entries: the members have %u in common",
                 d.name().c_str(), size, offered);
        return -EINVAL;
    }
    return 0;
}

/// Asks the first member for its table and keeps as much of it as ours has.
void first_members_reta(device& d, std::vector<rte_eth_rss_reta_entry64>& table) {
    static_cast<void>(d.for_each_member([&](member_port& m) {
        rte_eth_dev_info info{};
        if (!m.running() || rte_eth_dev_info_get(m.port(), &info) != 0 ||
            reta_groups(info.reta_size) < table.size()) {
            return 0;
        }
        std::vector<rte_eth_rss_reta_entry64> own(reta_groups(info.reta_size));
        for (auto& group : own) {
            group.mask = UINT64_MAX;
        }
        if (rte_eth_dev_rss_reta_query(m.port(), own.data(), info.reta_size) != 0) {
            return 0;
        }
        own.resize(table.size());
        table = std::move(own);
        return answered;
    }));
}

} // namespace

rss_setting rss_from(rte_eth_rss_conf const& conf, std::uint8_t default_key_length) {
    rss_setting rss;
    rss.fields = conf.rss_hf;
    if (conf.rss_key != nullptr) {
        std::size_t const length = conf.rss_key_len != 0 ? conf.rss_key_len : default_key_length;
        rss.key.assign(conf.rss_key, conf.rss_key + length);
    }
#if RTE_VERSION >= RTE_VERSION_NUM(23, 11, 0, 0)
    rss.algorithm = static_cast<unsigned int>(conf.algorithm);
#endif
    return rss;
}

/// How long a key is that comes without a length: what ethdev says, by release.
std::uint8_t default_key_length([[maybe_unused]] device& d) {
#if RTE_VERSION >= RTE_VERSION_NUM(23, 11, 0, 0)
    return d.infos().get()->info.hash_key_size;
#else
    return 40;
#endif
}

int rss_hash_update(rte_eth_dev* dev, rte_eth_rss_conf* conf) {
    return change(dev, [&](device& d) {
        std::uint8_t const key_length = default_key_length(d);
        return d.change_settings(
            [&](port_settings& s) {
                auto next = rss_from(*conf, key_length);
                if (next.key.empty() && s.rss) {
                    next.key = s.rss->key;
                }
                s.rss = std::move(next);
            },
            [](member_port& m, port_settings const& s) { return follow_rss(m, s); });
    });
}

int rss_hash_conf_get(rte_eth_dev* dev, rte_eth_rss_conf* conf) {
    return change(dev, [conf](device& d) {
        port_settings s;
        if (int const rc = d.settings(s); rc != 0) {
            return rc;
        }
        conf->rss_hf = s.rss ? s.rss->fields : 0;
#if RTE_VERSION >= RTE_VERSION_NUM(23, 11, 0, 0)
        conf->algorithm = static_cast<rte_eth_hash_function>(s.rss ? s.rss->algorithm : 0U);
#endif
        if (conf->rss_key == nullptr) {
            return 0;
        }
        std::vector<std::uint8_t> key = s.rss ? s.rss->key : std::vector<std::uint8_t>{};
        if (s.rss && key.empty()) {
            static_cast<void>(first_members_key(d, key));
        }
        std::size_t const room = conf->rss_key_len != 0 ? conf->rss_key_len : key.size();
        key.resize(std::min(key.size(), room));
        std::copy(key.begin(), key.end(), conf->rss_key);
        conf->rss_key_len = static_cast<std::uint8_t>(key.size());
        return 0;
    });
}

int reta_update(rte_eth_dev* dev, rte_eth_rss_reta_entry64* conf, std::uint16_t size) {
    return change(dev, [&](device& d) {
        if (int const rc = check_reta_size(d, size); rc != 0) {
            return rc;
        }
        std::uint16_t const queues = dev->data->nb_rx_queues;
        return d.change_settings(
            [&](port_settings& s) {
                if (s.reta_size != size) {
                    s.reta = even_reta(size, queues);
                    s.reta_size = size;
                }
                for (std::size_t i = 0; i < size; ++i) {
                    if (reta_chosen(conf, i)) {
                        reta_entry(s.reta.data(), i) = reta_entry(conf, i);
                    }
                }
            },
            [](member_port& m, port_settings const& s) { return follow_reta(m, s); });
    });
}

int reta_query(rte_eth_dev* dev, rte_eth_rss_reta_entry64* conf, std::uint16_t size) {
    return change(dev, [&](device& d) {
        if (int const rc = check_reta_size(d, size); rc != 0) {
            return rc;
        }
        port_settings s;
        if (int const rc = d.settings(s); rc != 0) {
            return rc;
        }
        auto table = s.reta;
        if (s.reta_size != size) {
            table = even_reta(size, dev->data->nb_rx_queues);
            first_members_reta(d, table);
        }
        for (std::size_t i = 0; i < size; ++i) {
            if (reta_chosen(conf, i)) {
                reta_entry(conf, i) = reta_entry(table.data(), i);
            }
        }
        return 0;
    });
}

} // namespace lagg::pmd::calls
