#include "summary.h"

#include "demo.h"
#include "session.h"
#include "show.h"

#include <cstdio>
#include <memory>
#include <rte_ethdev.h>
#include <rte_pmd_lagg.h>
#include <rte_pmd_lagg_lacp.h>
#include <rte_version.h>

namespace laggd {

namespace {

std::string quoted(std::string_view text) {
    std::string out = "\"";
    for (char const c : text) {
        if (c == '"' || c == '\\') {
            out += '\\';
            out += c;
        } else if (static_cast<unsigned char>(c) < 0x20) {
            out += strf("\\u%04x", static_cast<unsigned>(c));
        } else {
            out += c;
        }
    }
    return out + "\"";
}

// An object or array under construction: knows where commas go.
class json {
public:
    explicit json(char open) : text_(1, open), close_(open == '{' ? '}' : ']') {}

    json& raw(std::string_view key, std::string const& value) {
        if (text_.size() > 1) {
            text_ += ',';
        }
        if (!key.empty()) {
            text_ += quoted(key) + ':';
        }
        text_ += value;
        return *this;
    }
    json& number(std::string_view key, std::uint64_t value) {
        return raw(key, std::to_string(value));
    }
    json& flag(std::string_view key, bool value) { return raw(key, value ? "true" : "false"); }
    json& text(std::string_view key, std::string_view value) { return raw(key, quoted(value)); }
    std::string end() const { return text_ + close_; }

private:
    std::string text_;
    char close_;
};

std::string port_json(std::uint16_t port) {
    rte_eth_stats stats{};
    rte_eth_stats_get(port, &stats);
    rte_eth_dev_info info{};
    rte_eth_dev_info_get(port, &info);
    rte_eth_link link{};
    rte_eth_link_get_nowait(port, &link);
    return json('{')
        .number("id", port)
        .text("name", port_name(port))
        .text("driver", info.driver_name == nullptr ? "" : info.driver_name)
        .text("owner", port_owner(port))
        .flag("link_up", link.link_status == RTE_ETH_LINK_UP)
        .number("rx_packets", stats.ipackets)
        .number("tx_packets", stats.opackets)
        .number("rx_bytes", stats.ibytes)
        .number("tx_bytes", stats.obytes)
        .number("rx_missed", stats.imissed)
        .number("rx_errors", stats.ierrors)
        .number("tx_errors", stats.oerrors)
        .number("rx_nombuf", stats.rx_nombuf)
        .end();
}

// "null" for a member on which LACP does not run.
std::string lacp_json(std::uint16_t lagg, std::uint16_t member) {
    rte_pmd_lagg_lacp_info info{};
    if (rte_pmd_lagg_lacp_info_get(lagg, member, &info) != 0) {
        return "null";
    }
    auto const end = [](rte_pmd_lagg_lacp_end const& e) {
        auto const* const b = e.system_mac.addr_bytes;
        return json('{')
            .text("system",
                  strf("%02x:%02x:%02x:%02x:%02x:%02x", b[0], b[1], b[2], b[3], b[4], b[5]))
            .number("system_priority", e.system_priority)
            .number("key", e.key)
            .number("port_priority", e.port_priority)
            .number("port", e.port_number)
            .number("state", e.state)
            .end();
    };
    return json('{')
        .raw("actor", end(info.actor))
        .raw("partner", end(info.partner))
        .text("receive", info.receive)
        .text("periodic", info.periodic)
        .text("mux", info.mux)
        .text("selection", info.selection)
        .number("aggregator", info.aggregator)
        .flag("in_use", info.in_use)
        .text("flags", lacp_flags(info))
        .number("lacpdus_rx", info.counters.lacpdus_rx)
        .number("lacpdus_tx", info.counters.lacpdus_tx)
        .end();
}

std::string lagg_json(std::uint16_t lagg) {
    auto const status = std::make_unique<rte_pmd_lagg_status>();
    if (rte_pmd_lagg_status_get(lagg, status.get()) != 0) {
        return "null";
    }
    json members('[');
    for (unsigned i = 0; i < status->nb_members; ++i) {
        auto const& member = status->members[i];
        members.raw("", json('{')
                            .number("port", member.port)
                            .text("name", member.name)
                            .text("phase", member.phase == nullptr ? "" : member.phase)
                            .flag("link_up", member.link_up)
                            .flag("usable", member.usable)
                            .flag("collecting", member.collecting)
                            .flag("distributing", member.distributing)
                            .number("speed_mbps", member.speed_mbps)
                            .number("weight", member.weight)
                            .number("buckets", member.buckets)
                            .raw("lacp", lacp_json(lagg, member.port))
                            .end());
    }
    return json('{')
        .number("port", lagg)
        .text("name", port_name(lagg))
        .text("policy", policy_name(status->policy))
        .number("snapshot", status->version)
        .flag("link_up", status->link_up)
        .number("live_snapshots", status->live_snapshots)
        .text("fence", status->fence == nullptr ? "" : status->fence)
        .raw("members", members.end())
        .end();
}

std::string loop_json(forward::placed const& one) {
    auto const& w = one.loop->where();
    auto const& c = one.loop->counters();
    return json('{')
        .number("lcore", one.lcore)
        .number("rx_port", w.rx_port)
        .number("rx_queue", w.rx_queue)
        .number("tx_port", w.tx_port)
        .number("tx_queue", w.tx_queue)
        .number("received", c.received.get())
        .number("sent", c.sent.get())
        .number("held", c.held.get())
        .number("dropped", c.dropped.get())
        .number("consumed", c.consumed.get())
        .number("generated", c.generated.get())
        .number("no_mbuf", c.no_mbuf.get())
        .end();
}

std::string demo_json(demo const& run) {
    auto const& l = run.ledger();
    auto const& t = run.traffic();
    json phases('[');
    for (std::size_t i = 0; i < run.phases().size(); ++i) {
        auto const& phase = run.phases()[i];
        phases.raw(
            "", json('{')
                    .text("after", phase.cause)
                    .flag("order_asserted", phase.stable && !phase.disturbed && phase.keeps_order)
                    .number("made", t.made_in[i].get())
                    .number("missing", run.missing_in(i))
                    .number("copies", t.copies_in[i].get())
                    .number("overtaken", t.overtaken_in[i].get() + t.overtaken_same_in[i].get())
                    .end());
    }
    json faults('[');
    for (auto const& fault : run.faults()) {
        faults.raw("", quoted(fault));
    }
    return json('{')
        .number("offered", l.offered)
        .number("taken", l.taken)
        .number("given_back", l.given_back)
        .number("never_taken", l.discarded)
        .number("received", l.received)
        .number("copies", l.copies)
        .number("missing", l.missing())
        .number("accounted", l.accounted())
        .number("lost_on_wires", l.lost_on_wires)
        .number("dropped_tx", l.dropped_tx)
        .number("dropped_rx", l.dropped_rx)
        .number("control_frames", l.control_frames)
        .number("damaged", l.damaged)
        .number("foreign", l.foreign)
        .number("overtaken", l.overtaken)
        .number("overtaken_wrong", l.overtaken_wrong)
        .number("copies_wrong", l.copies_wrong)
        .raw("faults", faults.end())
        .raw("phases", phases.end())
        .end();
}

} // namespace

std::string summary_json(session& all, double seconds, int exit_code) {
    json ports_list('[');
    for (auto const port : all_ports()) {
        ports_list.raw("", port_json(port));
    }
    json laggs('[');
    for (auto const lagg : all_laggs()) {
        laggs.raw("", lagg_json(lagg));
    }
    json loops('[');
    for (auto const& one : all.fwd.loops()) {
        loops.raw("", loop_json(one));
    }
    json top('{');
    top.text("program", "laggd")
        .text("dpdk", rte_version())
        .raw("seconds", strf("%.3f", seconds))
        .number("exit_code", static_cast<std::uint64_t>(exit_code))
        .text("mode", all.show != nullptr ? "demo" : name_of(all.opts.mode))
        .number("commands_run", all.commands_run)
        .number("commands_refused", all.commands_refused)
        .raw("ports", ports_list.end())
        .raw("laggs", laggs.end())
        .raw("forwarding", loops.end());
    if (all.show != nullptr) {
        top.raw("demo", demo_json(*all.show));
    }
    return top.end() + "\n";
}

why_not write_file(std::string const& path, std::string const& text) {
    std::FILE* const file = std::fopen(path.c_str(), "w");
    if (file == nullptr) {
        return strf("--json: '%s' cannot be written: %s", path.c_str(), errno_text(errno).c_str());
    }
    bool const written = std::fwrite(text.data(), 1, text.size(), file) == text.size();
    if (std::fclose(file) != 0 || !written) {
        return strf("--json: '%s' cannot be written: %s", path.c_str(), errno_text(errno).c_str());
    }
    return {};
}

} // namespace laggd
