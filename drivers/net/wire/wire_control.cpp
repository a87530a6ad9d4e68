// See wire_control.h. One mutex for all wires of the process: control work is rare and short, and
// with one lock there is no order to get wrong between the two ends of a wire.

#include "wire_control.h"

#include <algorithm>
#include <bitset>
#include <cstdio>
#include <cstring>

#include <sched.h>

namespace wire {
namespace {

std::mutex control_lock;
std::array<end*, RTE_MAX_ETHPORTS> ends{};
end* kept_ends = nullptr; // poisoned queues that stale pointers may still reach

constexpr std::uint32_t ethernet_overhead = RTE_ETHER_HDR_LEN;

bool same_name(std::array<char, RTE_ETH_NAME_MAX_LEN> const& a,
               std::array<char, RTE_ETH_NAME_MAX_LEN> const& b) {
    return std::strncmp(a.data(), b.data(), a.size()) == 0;
}

bool end_is_up(end const& e) {
    return e.started && e.admin_up && !e.removed && !e.cut;
}

bool has_carrier(end const& e) {
    return end_is_up(e) && (e.wired ? e.peer != nullptr && end_is_up(*e.peer) : true);
}

/// Returns when no burst runs that began before the last store to q.current.
void wait_out(tx_queue const& q) {
    // [cross] <-> cross(): a burst that this load does not see under way will see the new passage.
    std::uint32_t const seen = q.sequence.load(std::memory_order_seq_cst);
    if (seen % 2 == 0) {
        return;
    }
    while (q.sequence.load(std::memory_order_acquire) == seen) { // [cross]: its reads are over
        sched_yield(); // the burst's thread may need this CPU to get on
    }
}

toward sum_toward(end const& sender) {
    toward sum;
    for (auto const& q : sender.tx) {
        sum.filtered_mac += value(q.counters.filtered_mac);
        sum.filtered_vlan += value(q.counters.filtered_vlan);
        sum.filtered_flow += value(q.counters.filtered_flow);
        sum.rx_too_long += value(q.counters.rx_too_long);
        sum.missed += value(q.counters.missed);
    }
    return sum;
}

/// What senders did on behalf of `e` so far.
toward received_by(end const& e) {
    toward sum = e.toward_before;
    if (e.peer != nullptr) {
        toward const now = sum_toward(*e.peer);
        sum.filtered_mac += now.filtered_mac - e.toward_base.filtered_mac;
        sum.filtered_vlan += now.filtered_vlan - e.toward_base.filtered_vlan;
        sum.filtered_flow += now.filtered_flow - e.toward_base.filtered_flow;
        sum.rx_too_long += now.rx_too_long - e.toward_base.rx_too_long;
        sum.missed += now.missed - e.toward_base.missed;
    }
    return sum;
}

void write_receiver(passage& p, end const& receiver) {
    p.rings = 0;
    for (auto const& q : receiver.rx) {
        if (q.index >= receiver.dev->data->nb_rx_queues || q.ring == nullptr) {
            break;
        }
        p.ring[p.rings++] = q.ring;
    }
    if (p.rings == 0) {
        p.how = passage::way::drop; // a receiver without queues: frames reach it and are lost
        return;
    }
    p.full = receiver.opt.full;
    for (std::uint16_t q = 0; q < max_queues; ++q) {
        p.ring_of_queue[q] = static_cast<std::uint8_t>(q % p.rings);
    }
    p.rx_max_bytes = receiver.mtu + ethernet_overhead;
    p.filters_mac = !receiver.promiscuous;
    p.filters_multicast = !receiver.promiscuous && !receiver.allmulticast;
    p.filters_vlan = receiver.filter_vlan;
    p.vlan = receiver.vlans;
    p.macs = 0;
    for (std::uint64_t const mac : receiver.macs) {
        if (mac != 0) {
            p.mac[p.macs++] = mac;
        }
    }
    p.multicast = receiver.multicasts;
    p.multicasts = receiver.multicast_count;
    p.rules = 0;
    for (auto const& rule : receiver.rules) {
        if (rule.used && (rule.drop || rule.queue < p.rings)) {
            p.rule[p.rules++] = rule;
        }
    }
    std::sort(p.rule.begin(), p.rule.begin() + p.rules, [](auto const& a, auto const& b) {
        return a.priority != b.priority ? a.priority < b.priority : a.age < b.age;
    });
    p.hashes = receiver.rss;
    p.hash_types = receiver.rss_types;
    p.hash_key = receiver.rss_key;
    for (std::size_t i = 0; i < p.reta.size(); ++i) {
        p.reta[i] = static_cast<std::uint8_t>(receiver.reta[i] % p.rings);
    }
    p.reads_headers = p.filters_mac || p.filters_vlan || p.hashes || p.rules != 0;
}

void write_passage(passage& p, end const& e) {
    p.inserts_vlan = (e.dev->data->dev_conf.txmode.offloads & RTE_ETH_TX_OFFLOAD_VLAN_INSERT) != 0;
    p.tx_max_bytes = e.mtu + ethernet_overhead;
    if (e.removed) {
        p.how = passage::way::refuse;
    } else if (!has_carrier(e)) {
        p.how = e.opt.down == on_refusal::drop ? passage::way::drop : passage::way::refuse;
    } else if (e.silent) {
        p.how = passage::way::vanish;
    } else {
        p.how = passage::way::deliver;
        if (e.peer != nullptr) {
            write_receiver(p, *e.peer);
        }
    }
}

std::uint32_t common_attention(end const& e) {
    return (e.check ? attention::check : 0U) | (e.removed ? attention::removed : 0U) |
           (e.poison && !e.started ? attention::poisoned : 0U);
}

std::uint32_t tx_attention(end const& e) {
    std::uint32_t flags = common_attention(e);
    if (e.limit != UINT32_MAX) {
        flags |= attention::limited;
    }
    if (e.wired) {
        flags |= attention::wired;
    } else if (!has_carrier(e)) {
        flags |= e.opt.down == on_refusal::drop && !e.removed ? attention::drop : attention::refuse;
    } else if (e.silent) {
        flags |= attention::vanish;
    }
    return flags;
}

} // namespace

control_section::control_section() : lock_(control_lock) {}

control_section::~control_section() {
    lock_.unlock();
    for (std::uint16_t port = 0; port < RTE_MAX_ETHPORTS; ++port) {
        if (link_events_[port]) {
            rte_eth_dev_callback_process(&rte_eth_devices[port], RTE_ETH_EVENT_INTR_LSC, nullptr);
        }
        if (removal_events_[port]) {
            rte_eth_dev_callback_process(&rte_eth_devices[port], RTE_ETH_EVENT_INTR_RMV, nullptr);
        }
    }
}

end* control_section::find(std::uint16_t port) const {
    return port < ends.size() ? ends[port] : nullptr;
}

end* control_section::find(char const* name) const {
    for (end* const e : ends) {
        if (e != nullptr && std::strncmp(e->name.data(), name, e->name.size()) == 0) {
            return e;
        }
    }
    return nullptr;
}

int control_section::planned(end& e, rte_pmd_wire_op op) {
    planned_failure& plan = e.fail[op];
    if (plan.calls == 0) {
        return 0;
    }
    if (plan.skip != 0) {
        --plan.skip;
        return 0;
    }
    --plan.calls;
    ++e.events.failed_ops;
    return -plan.err;
}

int control_section::admit(end& e, rte_pmd_wire_op op) {
    if (int const rc = planned(e, op); rc != 0) {
        return rc;
    }
    bool const always = op == RTE_PMD_WIRE_OP_STOP || op == RTE_PMD_WIRE_OP_CLOSE;
    return e.removed && !always ? -EIO : 0;
}

void control_section::publish(end& e) {
    e.published ^= 1;
    passage& next = e.passages[e.published];
    write_passage(next, e);
    std::uint32_t const flags = tx_attention(e);
    for (auto& q : e.tx) {
        q.limit.store(e.limit, std::memory_order_relaxed);   // [attend]
        q.attention.store(flags, std::memory_order_relaxed); // [attend]
        q.current.store(&next, std::memory_order_seq_cst);   // [cross] -> cross()
    }
    for (auto& q : e.rx) {
        q.attention.store(common_attention(e), std::memory_order_relaxed); // [attend]
    }
    for (auto const& q : e.tx) {
        wait_out(q);
    }
}

bool control_section::write_link(end& e) {
    rte_eth_link link;
    std::memset(&link, 0, sizeof(link));
    link.link_speed = e.carrier ? e.opt.speed_mbps : RTE_ETH_SPEED_NUM_NONE;
    link.link_duplex = RTE_ETH_LINK_FULL_DUPLEX;
    link.link_autoneg = RTE_ETH_LINK_FIXED;
    link.link_status = e.carrier ? RTE_ETH_LINK_UP : RTE_ETH_LINK_DOWN;
    return rte_eth_linkstatus_set(e.dev, &link) == 0;
}

void control_section::follow_carrier(end& e) {
    bool const now = has_carrier(e);
    if (now == e.carrier) {
        return;
    }
    e.carrier = now;
    if (e.opt.lsc && e.dev->data->dev_conf.intr_conf.lsc != 0) {
        write_link(e);
        link_events_.set(e.port);
        ++e.events.lsc_events;
    }
}

void control_section::changed(end& e) {
    publish(e);
    if (e.peer != nullptr) {
        publish(*e.peer);
        follow_carrier(*e.peer);
    }
    follow_carrier(e);
}

int control_section::add(end& e) {
    end* found = nullptr;
    for (end* const other : ends) {
        if (other == nullptr) {
            continue;
        }
        bool const we_name_it = same_name(e.opt.peer, other->name);
        bool const it_names_us = same_name(other->opt.peer, e.name);
        if (!we_name_it && !it_names_us) {
            continue;
        }
        char const* const our_peer = e.opt.peer.data();
        char const* const its_peer = other->opt.peer.data();
        if (our_peer[0] != '\0' && its_peer[0] != '\0' && !(we_name_it && it_names_us)) {
            WIRE_LOG(ERR,
                     "%s: peer=%s, but %s has peer=%s; allowed is that both name each other, or "
                     "that one of them names nobody\n",
                     e.name.data(), our_peer, other->name.data(), its_peer);
            return -EINVAL;
        }
        if (other->peer != nullptr || found != nullptr) {
            WIRE_LOG(ERR, "%s: peer %s is connected to %s already\n", e.name.data(),
                     other->name.data(),
                     other->peer != nullptr ? other->peer->name.data() : e.name.data());
            return -EBUSY;
        }
        if (other->opt.sink == sink_mode::keep) {
            WIRE_LOG(ERR, "%s: %s has sink=keep and cannot have a peer\n", e.name.data(),
                     other->name.data());
            return -EINVAL;
        }
        found = other;
    }
    ends[e.port] = &e;
    e.wired = e.opt.peer[0] != '\0' || found != nullptr;
    if (found != nullptr) {
        e.peer = found;
        found->peer = &e;
        found->wired = true;
        found->toward_base = sum_toward(e); // zero, but it costs nothing to say so
        e.toward_base = sum_toward(*found);
        e.cut = found->cut;
    }
    changed(e);
    return 0;
}

void control_section::drain(end& e) {
    for (auto& q : e.rx) {
        if (q.ring == nullptr) {
            continue;
        }
        void* frame = nullptr;
        while (rte_ring_sc_dequeue(q.ring, &frame) == 0) {
            rte_pktmbuf_free(static_cast<rte_mbuf*>(frame));
            ++e.events.lost_stop;
        }
    }
}

void control_section::drop(end& e) {
    e.started = false;
    changed(e);
    if (end* const other = e.peer; other != nullptr) {
        other->toward_before = received_by(*other);
        other->peer = nullptr;
        e.peer = nullptr;
        changed(*other); // after this no burst of the peer's can reach our rings
    }
    drain(e);
    for (auto& q : e.rx) {
        std::free(q.ring);
        q.ring = nullptr;
    }
    ends[e.port] = nullptr;
}

void control_section::note_removal(end& e) {
    removal_events_.set(e.port);
    ++e.events.rmv_events;
}

void discard(end* e) {
    if (e->poison) {
        e->next_kept = kept_ends;
        kept_ends = e;
        return;
    }
    delete e;
}

rte_pmd_wire_counters read_counters(end const& e) {
    rte_pmd_wire_counters c = e.events;
    for (auto const& q : e.tx) {
        auto const& from = q.counters;
        c.tx_bursts += value(from.bursts);
        c.sent += value(from.sent);
        c.refused += value(from.refused);
        c.lost_silent += value(from.lost_silent);
        c.lost_down += value(from.lost_down);
        c.tx_too_long += value(from.too_long);
        c.tx_no_mbuf += value(from.no_mbuf);
        c.tx_copied += value(from.copied);
        c.limited_bursts += value(from.limited);
        c.violations += value(q.violations);
    }
    for (auto const& q : e.rx) {
        c.rx_bursts += value(q.bursts);
        c.received += value(q.packets);
        c.rx_dropped += value(q.dropped);
        c.rx_no_mbuf += value(q.no_mbuf);
        c.injected += value(q.injected);
        c.violations += value(q.violations);
    }
    toward const t = received_by(e);
    c.filtered_mac = t.filtered_mac;
    c.filtered_vlan = t.filtered_vlan;
    c.filtered_flow = t.filtered_flow;
    c.rx_too_long = t.rx_too_long;
    c.missed = t.missed;
    return c;
}

} // namespace wire
