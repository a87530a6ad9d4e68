// Counters of a lagg port that never go back: packets and drops from the queues' own, bytes and
// device errors from the members' since each joined.  A queue that is freed and a member that
// leaves keep their part. Any thread may ask.  Two mutexes: asking a member's device can be slow,
// and control must never wait for that.
#pragma once

#include "lacp/system.h"
#include "lagg/types.h"
#include "lagg_compat.h"
#include "lagg_queue.h"

#include <rte_ethdev.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <deque>
#include <map>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace lagg::pmd {

/// What one rte_eth_stats_get() answers, queues apart.
struct port_totals {
    std::uint64_t ipackets = 0;
    std::uint64_t opackets = 0;
    std::uint64_t ibytes = 0;
    std::uint64_t obytes = 0;
    std::uint64_t imissed = 0;
    std::uint64_t ierrors = 0;
    std::uint64_t oerrors = 0;
    std::uint64_t rx_nombuf = 0;
};

/// The sums of one direction, over one or more queues.
struct queue_totals {
    std::uint64_t packets = 0;
    std::uint64_t given_back = 0;
    std::uint64_t bursts_without_member = 0;
    std::uint64_t slow_taken = 0;
    std::array<std::uint64_t, drop_reasons> drops{};
    std::array<std::uint64_t, max_members> member_packets{};

    void add(queue_totals const& other) noexcept;
};

/// What control does with frames of its own: single writer, control.
struct control_counters {
    counter sent_own_queue; // by the tx queue that a member has for control
    counter sent_borrowed;  // by a queue of the application's that was idle
    counter handed_over;    // through the next burst on a queue that was not
    counter not_sent;       // no member took it, no room, no memory
    counter steered;        // LACP frames by members' rx queues that are control's
    counter polls;          // of an rx queue for an application that does not
    counter stashed;        // frames left for the application's next burst
};

class statistics {
public:
    control_counters& control() noexcept { return control_; }

    // -- queues; short, never asks a device
    // --------------------------------------------------------
    /// Counted from here on.  The queue outlives its retire().
    void add(rx_queue const& q);
    void add(tx_queue const& q);
    /// Keeps what the queue counted and forgets the queue.  Harmless for one that was never added.
    void retire(queue_counters const& counters);

    // -- members; worker
    // ---------------------------------------------------------------------------
    /// The port's counters belong to the lagg from here on.  Again for the same port: nothing
    /// happens.
    void join(member_id id, port_id port);
    /// Takes in what the members' devices counted so far: to be called before anything that may set
    /// a device's counters back (stop, start).
    void refresh();
    /// Last reading, then the port is forgotten; before it is stopped for good.  `vanished`:
    /// without a reading.
    void leave(member_id id, bool vanished);
    /// Its device is gone or going: nothing is asked of it any more, but for a reading that is
    /// under way.  Any thread, never blocks; leave() follows.
    void vanish(member_id id) noexcept;
    /// f(port) for every member between join() and leave(), which wait for it: so `f` is quick. Any
    /// thread.  Ends with the first result that is not 0.
    template<class F>
    int for_each_joined(F&& f) {
        std::lock_guard const hold(ports_mutex_);
        for (auto const& [id, port] : ports_) {
            if (has_vanished(id)) {
                continue;
            }
            if (int const rc = f(port); rc != 0) {
                return rc;
            }
        }
        return 0;
    }

    // -- LACP; control, short
    // ------------------------------------------------------------------------
    struct lacp_count {
        std::string_view name; // the member's
        lacp::port_counters counters;
        std::uint64_t last_change_ms = 0;
    };
    /// What LACP counts on each of its ports at present, all of them.  A port that is missing has
    /// left LACP: when it is named again, its counters have begun anew.
    void count_lacp(std::span<lacp_count const> ports);

    // -- readers; any thread
    // -----------------------------------------------------------------------
    /// Totals since the last reset().
    port_totals totals();
    /// By queue id, since the last reset().
    std::vector<std::uint64_t> rx_queue_packets();
    std::vector<std::uint64_t> tx_queue_packets();

    struct gauges {
        std::uint64_t version = 0;
        std::uint64_t live_snapshots = 0;
        std::uint64_t pins = 0;
        bool membarrier = false;
    };
    using named_value = std::pair<std::string, std::uint64_t>;
    /// xstats: names keep their place; those of a member that joins for the first time come last.
    std::vector<named_value> extended(gauges const& now);

    /// Readers count from zero again; the accounts go on.
    void reset();

private:
    /// One port as a member, under its name: a member that comes back goes on where it was.
    struct record {
        std::string name;
        member_id id = no_member; // while it is a member
        port_id port = no_port;
        port_totals last;          // its device's counters at the last reading
        port_totals total;         // what it counted as a member; packets are the queues' word
        std::uint64_t rx_base = 0; // member_packets of its id when it joined
        std::uint64_t tx_base = 0;
        port_totals zero; // subtracted from what is shown
    };
    /// LACP's counters of one member, under its name, over all the times that it ran there.
    struct lacp_record {
        std::string name;
        bool present = false; // named by the last count_lacp()
        lacp::port_counters last;
        lacp::port_counters total;
        lacp::port_counters zero; // subtracted from what is shown
        std::uint64_t last_change_ms = 0;
    };
    struct direction {
        std::map<queue_counters const*, std::pair<std::uint16_t, rx_queue const*>> live;
        std::map<std::uint16_t, queue_totals> retired; // by queue id
        std::map<std::uint16_t, std::uint64_t> zero;   // packets by queue id at the last reset
        queue_totals zero_sum;
    };

    static void retire_from(direction& d, queue_counters const& counters);
    static queue_totals sum(direction const& d);
    static std::vector<std::uint64_t> packets_by_queue(direction const& d, bool shown);
    std::pair<queue_totals, queue_totals> sums();
    void read(record& r, queue_totals const& rx, queue_totals const& tx);
    void read_all(queue_totals const& rx, queue_totals const& tx);
    port_totals grand_total(queue_totals const& rx, queue_totals const& tx) const;
    record& record_for(std::string const& name);
    record* joined(member_id id);
    lacp_record& lacp_record_for(std::string_view name);
    void show_lacp(std::string const& name, std::vector<named_value>& out);

    control_counters control_;

    std::mutex queues_mutex_; // guards rx_, tx_; held for loads and sums only
    direction rx_;
    direction tx_;

    std::mutex records_mutex_;   // guards what follows; held while devices are asked
    std::deque<record> records_; // in the order of first joining
    port_totals forgotten_;      // of records that made room for others
    port_totals zero_;
    std::array<std::uint64_t, 7> control_zero_{}; // what control_ showed at the last reset

    std::mutex lacp_mutex_; // guards lacp_records_; taken last, held for sums only
    std::vector<lacp_record> lacp_records_;

    std::mutex ports_mutex_; // guards ports_; the last of the three to be taken
    std::vector<std::pair<member_id, port_id>> ports_;

    bool has_vanished(member_id id) const noexcept;
    std::array<std::atomic<bool>, max_members> vanished_{}; // set by control, cleared by join()
};

} // namespace lagg::pmd
