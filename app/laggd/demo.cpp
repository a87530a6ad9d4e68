#include "demo.h"

#include "session.h"
#include "show.h"

#include <algorithm>
#include <cstring>
#include <rte_dev.h>
#include <rte_ethdev.h>
#include <rte_pmd_lagg.h>
#include <rte_pmd_lagg_lacp.h>
#include <rte_pmd_wire.h>
#include <thread>

namespace laggd {

namespace {

using namespace std::chrono_literals;

constexpr auto quiet_before_stable = 100ms;
constexpr auto calm_before_change = 200ms;   // of which the second half is asserted
constexpr auto quiet_without_agreement = 1s; // a standby member is no reason to wait for ever
constexpr auto longest_drain = 3s;
constexpr auto longest_agreement = 20s; // with the standard's times it takes 3
constexpr auto longest_step_wait = 5s;  // once; then somebody has broken a link for good
constexpr unsigned wait_while_ms = 200; // the standard's 2 s would be most of a short run

using number = unsigned long long;

std::string count(std::uint64_t value) {
    return grouped(value);
}

// The sum of a lagg's xstats whose names `wanted` takes.
template<class Wanted>
std::uint64_t xstats_sum(std::uint16_t lagg, Wanted const& wanted) {
    int const size = rte_eth_xstats_get_names(lagg, nullptr, 0);
    std::vector<rte_eth_xstat_name> names(static_cast<std::size_t>(std::max(size, 0)));
    std::vector<rte_eth_xstat> values(names.size());
    auto const room = static_cast<unsigned>(names.size());
    if (rte_eth_xstats_get_names(lagg, names.data(), room) != size ||
        rte_eth_xstats_get(lagg, values.data(), room) != size) {
        return 0;
    }
    std::uint64_t sum = 0;
    for (auto const& value : values) {
        if (value.id < names.size() && wanted(std::string_view(names[value.id].name))) {
            sum += value.value;
        }
    }
    return sum;
}

// Frames that a lagg dropped for a counted reason.  Copies of broadcast that a member refused are
// no frames: the frame went out on another member.  Nor are control's.
std::uint64_t drops_of(std::uint16_t lagg) {
    return xstats_sum(lagg, [](std::string_view name) {
        bool const drop = name.starts_with("rx_dropped_") || name.starts_with("tx_dropped_");
        return drop && !name.starts_with("tx_dropped_copy_") &&
               name != "tx_dropped_control_frame" && name != "rx_dropped_slow_no_room";
    });
}

// LACPDUs and Markers that may have gone out.
std::uint64_t control_frames_of(std::uint16_t lagg) {
    return xstats_sum(lagg, [](std::string_view name) {
        return name == "control_sent_own_queue" || name == "control_sent_borrowed" ||
               name == "control_handed_over";
    });
}

std::uint64_t lost_when_sent(rte_pmd_wire_counters const& c) {
    return c.lost_silent + c.lost_down + c.tx_too_long + c.tx_no_mbuf;
}

std::uint64_t lost_when_received(rte_pmd_wire_counters const& c) {
    return c.filtered_mac + c.filtered_vlan + c.filtered_flow + c.rx_too_long + c.rx_dropped +
           c.missed + c.lost_stop;
}

rte_pmd_wire_counters counters_of(std::uint16_t wire) {
    rte_pmd_wire_counters counters{};
    rte_pmd_wire_counters_get(wire, &counters);
    return counters;
}

std::unique_ptr<rte_pmd_lagg_status> status_of(std::uint16_t lagg) {
    auto status = std::make_unique<rte_pmd_lagg_status>();
    rte_pmd_lagg_status_get(lagg, status.get());
    return status;
}

bool keeps_order(rte_pmd_lagg_policy policy) {
    return policy == RTE_PMD_LAGG_POLICY_FAILOVER || policy == RTE_PMD_LAGG_POLICY_LOADBALANCE ||
           policy == RTE_PMD_LAGG_POLICY_LACP;
}

rte_pmd_lagg_member_status const* member_of(rte_pmd_lagg_status const& status, std::uint16_t port) {
    for (unsigned i = 0; i < status.nb_members; ++i) {
        if (status.members[i].port == port) {
            return &status.members[i];
        }
    }
    return nullptr;
}

bool spreads_by_flow(rte_pmd_lagg_policy policy) {
    return policy == RTE_PMD_LAGG_POLICY_LOADBALANCE || policy == RTE_PMD_LAGG_POLICY_LACP;
}

std::string share_text(rte_pmd_lagg_status const& status, std::uint16_t port) {
    auto const* const member = member_of(status, port);
    if (member == nullptr || !member->distributing) {
        return "-";
    }
    return spreads_by_flow(status.policy)
               ? strf("%5.1f%%", 100.0 * member->buckets / RTE_PMD_LAGG_BUCKETS)
               : "all";
}

// Mux state, and the partner's address and port number, of a member on which LACP runs; empty: it
// does not.
std::string lacp_text(std::uint16_t lagg, std::uint16_t port) {
    rte_pmd_lagg_lacp_info info{};
    if (rte_pmd_lagg_lacp_info_get(lagg, port, &info) != 0) {
        return {};
    }
    if ((info.actor.state & RTE_PMD_LAGG_LACP_DEFAULTED) != 0) {
        return std::string(info.mux) + " alone";
    }
    auto const* const mac = info.partner.system_mac.addr_bytes;
    return strf("%s %02x:%02x/%u", info.mux, mac[4], mac[5],
                static_cast<unsigned>(info.partner.port_number));
}

std::string end_text(rte_pmd_lagg_status const& status, std::uint16_t lagg, std::uint16_t port) {
    auto const* const member = member_of(status, port);
    if (member == nullptr) {
        return "not a member";
    }
    if (!member->usable) {
        return "unusable";
    }
    auto const lacp = lacp_text(lagg, port);
    return !lacp.empty()          ? lacp
           : member->distributing ? "distributing"
           : member->collecting   ? "collecting"
                                  : "standby";
}

} // namespace

why_not demo::build_laggs() {
    for (unsigned end = 0; end < 2; ++end) {
        auto const name = strf("net_lagg%u", end);
        auto const devargs = strf("policy=lacp,lacp_rate=fast,lacp_wait_while=%u", wait_while_ms);
        int const port = rte_pmd_lagg_create(name.c_str(), devargs.c_str());
        if (port < 0) {
            return strf("%s: %s", name.c_str(), errno_text(port).c_str());
        }
        lagg_[end] = static_cast<std::uint16_t>(port);
    }
    return {};
}

why_not demo::build_wires() {
    for (unsigned i = 0; i < 2 * links; ++i) {
        auto const name = strf("net_wire%u", i);
        auto const peer = strf("peer=net_wire%u", i ^ 1);
        if (int const error = rte_eal_hotplug_add("vdev", name.c_str(), peer.c_str()); error != 0) {
            return strf("%s: %s", name.c_str(), errno_text(error).c_str());
        }
        if (int const error = rte_eth_dev_get_port_by_name(name.c_str(), &wire_[i / 2][i % 2]);
            error != 0) {
            return strf("%s: no port: %s", name.c_str(), errno_text(error).c_str());
        }
    }
    for (unsigned i = 0; i < 2 * links; ++i) {
        int const error = rte_pmd_lagg_member_add(lagg_[i % 2], wire_[i / 2][i % 2], 1000);
        if (error != 0) {
            return strf("lagg %u: add member %s: %s", i % 2, port_text(wire_[i / 2][i % 2]).c_str(),
                        errno_text(error).c_str());
        }
    }
    return {};
}

why_not demo::build() {
    auto const largest = *std::max_element(session_.opts.generator.sizes.begin(),
                                           session_.opts.generator.sizes.end());
    if (largest > 1518) {
        return strf("--txpkts: %u was given, the demo's links carry frames of up to 1518 bytes",
                    largest);
    }
    if (forward::workers() == 0) {
        return "the demo needs a worker lcore beside the main one";
    }
    if (auto refused = build_laggs(); !refused.empty()) {
        return refused;
    }
    if (auto refused = build_wires(); !refused.empty()) {
        return refused;
    }
    // Two LACP systems are told apart by their addresses: here the laggs' own.
    if (mac_text(lagg_[0]) == mac_text(lagg_[1])) {
        return strf("both laggs have the address %s: they would be one system to LACP",
                    mac_text(lagg_[0]).c_str());
    }
    for (auto const lagg : lagg_) {
        if (auto refused = session_.all_ports.start(lagg); !refused.empty()) {
            return refused;
        }
    }
    session_.events.follow_all();
    if (auto refused = await_agreement(); !refused.empty()) {
        return refused;
    }
    begin_phase("start", false);
    return {};
}

// Where LACP decides, every member that has a link distributes; at least one does.
bool demo::agreed() const {
    for (auto const lagg : lagg_) {
        auto const status = status_of(lagg);
        unsigned linked = 0;
        unsigned distributing = 0;
        for (unsigned i = 0; i < status->nb_members; ++i) {
            rte_eth_link link{}; // the wire's: what the lagg has not yet heard of counts
            rte_eth_link_get_nowait(status->members[i].port, &link);
            linked += link.link_status == RTE_ETH_LINK_UP ? 1 : 0;
            distributing += status->members[i].distributing ? 1 : 0;
        }
        if (status->policy == RTE_PMD_LAGG_POLICY_LACP &&
            (distributing == 0 || distributing != linked)) {
            return false;
        }
    }
    return true;
}

// Nobody polls yet: LACP does not need that.
why_not demo::await_agreement() {
    say("laggs %u and %u negotiate by LACP over %u links (rate fast; wait_while %u ms, where the "
        "standard has 2000)\n",
        static_cast<unsigned>(lagg_[0]), static_cast<unsigned>(lagg_[1]), links, wait_while_ms);
    std::fflush(stdout);
    auto const begin = demo_clock::now();
    auto const members = [](std::uint16_t lagg) {
        auto const status = status_of(lagg);
        return std::count_if(status->members, status->members + status->nb_members,
                             [](auto const& member) { return member.distributing; });
    };
    while (members(lagg_[0]) != links || members(lagg_[1]) != links) {
        if (demo_clock::now() - begin > longest_agreement) {
            return strf("no agreement by LACP: %ld of %u members of lagg %u distribute, %ld of "
                        "lagg %u",
                        static_cast<long>(members(lagg_[0])), links,
                        static_cast<unsigned>(lagg_[0]), static_cast<long>(members(lagg_[1])),
                        static_cast<unsigned>(lagg_[1]));
        }
        std::this_thread::sleep_for(10ms);
    }
    auto const took =
        std::chrono::duration_cast<std::chrono::milliseconds>(demo_clock::now() - begin);
    say("agreed after %lld ms: all members distribute on both ends; show lacp all tells more\n",
        static_cast<long long>(took.count()));
    return {};
}

why_not demo::start_traffic() {
    if (session_.fwd.running()) {
        return "the traffic runs already";
    }
    if (!traffic_->generate.load(std::memory_order_relaxed)) {
        return "the demo's traffic was stopped and its frames counted off: quit shows the result";
    }
    wiring first;
    first.rx_port = first.tx_port = lagg_[0];
    first.burst = static_cast<std::uint16_t>(session_.opts.burst);
    first.pool = session_.all_ports.pool_for(rte_eth_dev_socket_id(lagg_[0]));
    rte_ether_addr mac{};
    rte_eth_macaddr_get(lagg_[0], &mac);
    std::memcpy(first.own_mac.data(), mac.addr_bytes, 6);
    rte_eth_macaddr_get(lagg_[1], &mac);
    std::memcpy(first.peer_mac.data(), mac.addr_bytes, 6);
    wiring second = first;
    second.rx_port = second.tx_port = lagg_[1];
    second.index = 1;
    std::vector<std::unique_ptr<packet_loop>> loops;
    loops.push_back(make_demo_generator(first, session_.opts.generator, *traffic_));
    loops.push_back(make_demo_sink(second, session_.opts.generator.flows, *traffic_));
    began_ = last_look_ = demo_clock::now();
    return session_.fwd.start_with(std::move(loops), 2);
}

void demo::stop_traffic() {
    traffic_->generate.store(false, std::memory_order_relaxed); // a flag that carries no data
    auto const latest = demo_clock::now() + longest_drain;
    auto quiet = demo_clock::now();
    auto seen = traffic_->received.get() + traffic_->copies.get() + traffic_->taken.get();
    // The loops go on until nothing has moved for a while: what was taken is to arrive.
    while (demo_clock::now() < latest && demo_clock::now() - quiet < 200ms) {
        std::this_thread::sleep_for(10ms);
        auto const now = traffic_->received.get() + traffic_->copies.get() + traffic_->taken.get();
        if (now != seen) {
            seen = now;
            quiet = demo_clock::now();
        }
    }
    session_.fwd.stop();
    say("the traffic stopped: %s frames taken, %s received\n", count(traffic_->taken.get()).c_str(),
        count(traffic_->received.get()).c_str());
}

void demo::begin_phase(std::string const& cause, bool stable) {
    if (phases_.size() == max_phases) {
        phases_.back().stable = false; // no number is left: order is not asserted from here on
        return;
    }
    demo_phase next;
    next.cause = cause;
    next.stable = stable;
    auto const policy = status_of(lagg_[0])->policy;
    next.keeps_order = keeps_order(policy);
    next.copies_allowed = policy == RTE_PMD_LAGG_POLICY_BROADCAST;
    ledger_.broadcast_used = ledger_.broadcast_used || next.copies_allowed;
    for (unsigned end = 0; end < 2; ++end) {
        auto const status = status_of(lagg_[end]);
        next.version[end] = status->version;
    }
    phases_.push_back(next);
    // [phase] -> generator: its next frames carry this number
    traffic_->phase.store(static_cast<std::uint16_t>(phases_.size() - 1),
                          std::memory_order_release);
}

void demo::end_phase() {
    auto& last = phases_.back();
    for (unsigned end = 0; end < 2; ++end) {
        last.disturbed = last.disturbed || status_of(lagg_[end])->version != last.version[end];
    }
}

void demo::change_begins(std::string const& cause) {
    changing_ = true;
    begin_phase(cause, false);
    // Frames of the phase before must be out before anything changes; a generator that nobody takes
    // frames from never gets there, and then that phase is not asserted.
    auto const wanted = static_cast<std::uint16_t>(phases_.size() - 1);
    auto const latest = demo_clock::now() + 200ms;
    bool out = !session_.fwd.running();
    while (!out && demo_clock::now() < latest) {
        // [held] <- generator
        out = traffic_->oldest_held.load(std::memory_order_acquire) >= wanted;
        std::this_thread::yield();
    }
    if (phases_.size() >= 2) {
        auto& before = phases_[phases_.size() - 2];
        before.disturbed = before.disturbed || !out;
        for (unsigned end = 0; end < 2; ++end) {
            before.disturbed =
                before.disturbed || status_of(lagg_[end])->version != before.version[end];
        }
    }
}

void demo::change_ends() {
    auto const policy = status_of(lagg_[0])->policy;
    auto& now = phases_.back();
    now.copies_allowed = now.copies_allowed || policy == RTE_PMD_LAGG_POLICY_BROADCAST;
    ledger_.broadcast_used = ledger_.broadcast_used || now.copies_allowed;
    changing_ = false;
    quiet_since_ = demo_clock::now();
}

void demo::counters_go(std::uint16_t port) {
    for (unsigned end = 0; end < 2; ++end) {
        if (port == lagg_[end]) {
            dropped_before_clear_[end] += drops_of(port);
            control_before_clear_ += end == 0 ? control_frames_of(port) : 0;
        }
    }
}

// Nothing is on its way: members are where they belong, links counted, no old snapshot pinned.
bool demo::settled(std::uint64_t (&version)[2]) {
    bool calm = true;
    for (unsigned end = 0; end < 2; ++end) {
        auto const status = status_of(lagg_[end]);
        version[end] = status->version;
        for (unsigned i = 0; i < status->nb_members; ++i) {
            auto const& member = status->members[i];
            calm = calm && member.link_up == member.usable && member.phase != nullptr &&
                   std::string_view(member.phase) == "present";
        }
    }
    return calm;
}

void demo::tick(demo_clock::time_point now) {
    if (finished_) {
        return;
    }
    std::uint64_t version[2] = {};
    bool const calm = settled(version);
    bool const same = std::equal(version, version + 2, last_version_);
    std::copy_n(version, 2, last_version_);
    if (!calm || !same) {
        quiet_since_ = now;
    }
    auto& current = phases_.back();
    if (current.stable && !std::equal(version, version + 2, current.version)) {
        // A change that nobody typed: LACP, a link.  What was asserted so far is not any more.
        current.disturbed = true;
        begin_phase("a change of its own", false);
    } else if (!current.stable && !changing_ && now - quiet_since_ >= quiet_before_stable &&
               (now - quiet_since_ >= quiet_without_agreement || agreed()) &&
               rte_pmd_lagg_barrier(lagg_[0], 0) == 0) {
        begin_phase("settled", true);
    }
    play(now);
}

void demo::play(demo_clock::time_point now) {
    if (!type_ || next_step_ == script_.size() || !session_.fwd.running()) {
        return;
    }
    auto const& next = script_[next_step_];
    auto const part =
        std::chrono::duration<double>(now - began_) / std::chrono::duration<double>(length_);
    if (part < next.at) {
        return;
    }
    if (step_due_ == demo_clock::time_point{}) {
        step_due_ = now;
    }
    bool const calm = agreed() && phases_.back().stable && now - quiet_since_ >= calm_before_change;
    if (next.calm && patient_ && !calm) {
        patient_ = now - step_due_ < longest_step_wait;
        return;
    }
    step_due_ = {};
    ++next_step_;
    type_(std::string(next.line));
}

bool demo::plays() const {
    return type_ && !finished_ && session_.fwd.running() &&
           (next_step_ < script_.size() || (patient_ && !agreed()));
}

// Between lacp and another policy the receiving end changes so that it collects from all while the
// sending one changes: the sender goes first to lacp, the receiver first away from it.
void demo::play_alone(std::chrono::seconds length, std::function<void(std::string const&)> type) {
    length_ = length;
    type_ = std::move(type);
    next_step_ = 0;
    auto const second = static_cast<unsigned>(wire_[1][0]);
    auto const third = static_cast<unsigned>(wire_[2][0]);
    auto const fourth = static_cast<unsigned>(wire_[3][0]);
    auto const a = static_cast<unsigned>(lagg_[0]);
    auto const b = static_cast<unsigned>(lagg_[1]);
    script_ = {
        {0.06, strf("wire cut %u", second), true},
        {0.14, strf("wire heal %u", second)},
        {0.22, strf("lagg drain %u %u", a, third), true},
        {0.30, strf("lagg add member %u %u", a, third)},
        {0.36, strf("lagg remove member %u %u", a, fourth), true},
        {0.42, strf("lagg add member %u %u", a, fourth)},
        {0.50, strf("set lagg %u policy loadbalance", b), true},
        {0.50, strf("set lagg %u policy failover", a)},
        {0.55, strf("set lagg %u policy broadcast", a)},
        {0.60, strf("set lagg %u policy roundrobin", a)},
        {0.65, strf("set lagg %u policy loadbalance", a)},
        {0.72, strf("set lagg %u policy lacp", a)},
        {0.72, strf("set lagg %u policy lacp", b)},
        {0.86, strf("wire cut %u", third), true},
        {0.92, strf("wire heal %u", third)},
    };
}

std::uint64_t demo::missing_in(std::size_t phase) const {
    auto const made = traffic_->made_in[phase].get();
    auto const gone = traffic_->received_in[phase].get() + traffic_->discarded_in[phase].get();
    return made > gone ? made - gone : 0;
}

void demo::add_up() {
    auto& l = ledger_;
    auto const& t = *traffic_;
    l.offered = t.offered.get();
    l.taken = t.taken.get();
    l.discarded = t.discarded.get();
    l.given_back = t.returned.get();
    l.received = t.received.get();
    l.copies = t.copies.get();
    l.damaged = t.damaged.get();
    l.foreign = t.foreign.get();
    l.too_old = t.too_old.get();
    l.handed_to_wires = l.lost_on_wires = 0;
    for (auto const& link : wire_) {
        auto const near = counters_of(link[0]);
        l.handed_to_wires += near.sent + lost_when_sent(near);
        l.lost_on_wires += lost_when_sent(near) + lost_when_received(counters_of(link[1]));
    }
    l.dropped_tx = dropped_before_clear_[0] + drops_of(lagg_[0]);
    l.dropped_rx = dropped_before_clear_[1] + drops_of(lagg_[1]);
    l.control_frames = control_before_clear_ + control_frames_of(lagg_[0]);
    l.overtaken = l.overtaken_wrong = l.copies_wrong = 0;
    for (std::size_t i = 0; i < phases_.size(); ++i) {
        auto const& phase = phases_[i];
        bool const asserted = phase.stable && !phase.disturbed && phase.keeps_order;
        auto const same = t.overtaken_same_in[i].get();
        (asserted ? l.overtaken_wrong : l.overtaken) += same;
        l.overtaken += t.overtaken_in[i].get();
        // A frame made just before broadcast began may have left under it.
        bool const copies =
            phase.copies_allowed || (i + 1 < phases_.size() && phases_[i + 1].copies_allowed);
        l.copies_wrong += copies ? 0 : t.copies_in[i].get();
    }
}

void demo::judge() {
    auto const& l = ledger_;
    faults_.clear();
    auto const fault = [&](bool wrong, std::string text) {
        if (wrong) {
            faults_.push_back(std::move(text));
        }
    };
    fault(l.received == 0, "nothing was received");
    fault(l.offered != l.taken + l.discarded,
          strf("%llu frames were made, %llu taken and %llu not: the rest is nowhere",
               static_cast<number>(l.offered), static_cast<number>(l.taken),
               static_cast<number>(l.discarded)));
    fault(l.received > l.taken, "more frames were received than taken");
    fault(l.missing() > l.accounted(),
          strf("%llu frames were lost, %llu are accounted for", static_cast<number>(l.missing()),
               static_cast<number>(l.accounted())));
    // Copies may be lost without a frame being lost.  Control frames are none of ours; there are no
    // more of them than the first lagg sent.
    if (!l.broadcast_used) {
        fault(l.accounted() > l.missing() + l.control_frames,
              strf("%llu frames are counted as lost, %llu are missing, %llu control frames were "
                   "sent",
                   static_cast<number>(l.accounted()), static_cast<number>(l.missing()),
                   static_cast<number>(l.control_frames)));
    }
    auto const arrived = l.received + l.copies + l.damaged + l.foreign + l.too_old;
    auto const ended = arrived + l.lost_on_wires + l.dropped_rx;
    fault(ended > l.handed_to_wires,
          strf("%llu frames came off the wires, %llu went in", static_cast<number>(ended),
               static_cast<number>(l.handed_to_wires)));
    fault(ended + l.control_frames < l.handed_to_wires,
          strf("%llu frames went into the wires, %llu came off or were counted, %llu control "
               "frames were sent",
               static_cast<number>(l.handed_to_wires), static_cast<number>(ended),
               static_cast<number>(l.control_frames)));
    fault(l.foreign > l.control_frames,
          strf("%llu frames are not ours", static_cast<number>(l.foreign)));
    fault(l.damaged != 0, strf("%llu frames were damaged", static_cast<number>(l.damaged)));
    fault(l.too_old != 0,
          strf("%llu frames came too late to be told from copies", static_cast<number>(l.too_old)));
    fault(l.copies_wrong != 0,
          strf("%llu frames came twice outside broadcast", static_cast<number>(l.copies_wrong)));
    fault(l.overtaken_wrong != 0,
          strf("%llu frames were overtaken within their flow while nothing changed",
               static_cast<number>(l.overtaken_wrong)));
}

void demo::finish() {
    if (finished_) {
        return;
    }
    if (session_.fwd.running()) {
        say("at the end: %s\n", one_line().c_str());
        stop_traffic();
    }
    end_phase();
    finished_ = true;
    // Stopped first: frames that were left in a ring are counted by the wire then.
    session_.all_ports.stop_all();
    add_up();
    judge();
}

std::string demo::summary() const {
    auto const& l = ledger_;
    std::string out = "\nphase by phase (frames by the phase they were made in)\n";
    out += strf("  %-3s %-42s %-9s %14s %12s %10s %12s\n", "no", "after", "order", "made",
                "missing", "copies", "overtaken");
    for (std::size_t i = 0; i < phases_.size(); ++i) {
        auto const& phase = phases_[i];
        bool const asserted = phase.stable && !phase.disturbed && phase.keeps_order;
        out += strf(
            "  %-3zu %-42s %-9s %14s %12s %10s %12s\n", i, phase.cause.c_str(),
            asserted ? "asserted" : "-", count(traffic_->made_in[i].get()).c_str(),
            count(missing_in(i)).c_str(), count(traffic_->copies_in[i].get()).c_str(),
            count(traffic_->overtaken_in[i].get() + traffic_->overtaken_same_in[i].get()).c_str());
    }
    out += "\nledger\n";
    out += strf("  offered        %16s   given back and offered again %s times, %s never taken\n",
                count(l.offered).c_str(), count(l.given_back).c_str(), count(l.discarded).c_str());
    out += strf("  taken          %16s\n", count(l.taken).c_str());
    out += strf("  received       %16s   and %s copies\n", count(l.received).c_str(),
                count(l.copies).c_str());
    out += strf("  missing        %16s\n", count(l.missing()).c_str());
    out += strf("  accounted for  %16s   %s lost on wires, %s dropped by lagg 0, %s by lagg 1%s\n",
                count(l.accounted()).c_str(), count(l.lost_on_wires).c_str(),
                count(l.dropped_tx).c_str(), count(l.dropped_rx).c_str(),
                l.broadcast_used ? " (copies and control frames included)"
                                 : " (control frames included)");
    out += strf("  control frames %16s   LACPDUs and Markers sent by lagg 0\n",
                count(l.control_frames).c_str());
    out += strf("  overtaken      %16s   around changes or in turn; %s where order is asserted\n",
                count(l.overtaken).c_str(), count(l.overtaken_wrong).c_str());
    out += strf("  damaged        %16s\n", count(l.damaged).c_str());
    if (faults_.empty()) {
        out += "result: every frame is accounted for\n";
    }
    for (auto const& text : faults_) {
        out += "FAULT: " + text + "\n";
    }
    return out;
}

std::vector<std::string> demo::table() {
    std::vector<std::string> lines;
    auto const now = demo_clock::now();
    auto const seconds = std::max(1e-3, std::chrono::duration<double>(now - last_look_).count());
    last_look_ = now;
    auto const taken = traffic_->taken.get();
    auto const received = traffic_->received.get();
    auto const tx_rate = static_cast<double>(taken - last_taken_) / seconds;
    auto const rx_rate = static_cast<double>(received - last_received_) / seconds;
    last_taken_ = taken;
    last_received_ = received;
    auto const near = status_of(lagg_[0]);
    auto const far = status_of(lagg_[1]);
    lines.push_back(strf("lagg %u %s snapshot %llu  ==>  lagg %u %s snapshot %llu      %.0f s",
                         static_cast<unsigned>(lagg_[0]), policy_name(near->policy),
                         static_cast<number>(near->version), static_cast<unsigned>(lagg_[1]),
                         policy_name(far->policy), static_cast<number>(far->version),
                         std::chrono::duration<double>(now - began_).count()));
    auto const title = [](std::uint16_t lagg) {
        return strf("lagg %u's end", static_cast<unsigned>(lagg));
    };
    lines.push_back(strf("%-8s %-4s %-24s %-7s %9s %9s %-24s %6s", "wire", "link",
                         title(lagg_[0]).c_str(), "buckets", "frames/s", "delivered",
                         title(lagg_[1]).c_str(), "lost"));
    for (auto const& link : wire_) {
        auto const sender = counters_of(link[0]);
        auto const receiver = counters_of(link[1]);
        rte_eth_link state{};
        rte_eth_link_get_nowait(link[0], &state);
        lines.push_back(strf(
            "%3u-%-4u %-4s %-24s %-7s %9s %9s %-24s %6s", static_cast<unsigned>(link[0]),
            static_cast<unsigned>(link[1]), state.link_status == RTE_ETH_LINK_UP ? "up" : "CUT",
            end_text(*near, lagg_[0], link[0]).c_str(), share_text(*near, link[0]).c_str(),
            scaled(session_.rates.sample(link[0]).tx_pps).c_str(),
            scaled(static_cast<double>(receiver.received)).c_str(),
            end_text(*far, lagg_[1], link[1]).c_str(),
            count(lost_when_sent(sender) + lost_when_received(receiver)).c_str()));
    }
    auto const under_way = taken > received ? taken - received : 0;
    lines.push_back(strf("taken %s (%s/s)  received %s (%s/s)  under way or lost %s  damaged %s",
                         count(taken).c_str(), scaled(tx_rate).c_str(), count(received).c_str(),
                         scaled(rx_rate).c_str(), count(under_way).c_str(),
                         count(traffic_->damaged.get()).c_str()));
    return lines;
}

std::string demo::one_line() {
    auto const lines = table();
    std::string out = lines.back();
    for (auto const lagg : lagg_) {
        auto const status = status_of(lagg);
        auto const distributing =
            std::count_if(status->members, status->members + status->nb_members,
                          [](auto const& member) { return member.distributing; });
        out += strf("  %s %ld/%u", policy_name(status->policy), static_cast<long>(distributing),
                    static_cast<unsigned>(status->nb_members));
    }
    return out;
}

} // namespace laggd
