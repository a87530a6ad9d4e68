// One lagg port: what it owns, and which thread owns what.
//   app thread      the ethdev calls of one port, one at a time, as ethdev demands
//   control thread  aggregator, publisher, requests: decides and publishes
//   worker thread   member_port objects and port_settings: the slow calls
// A value crosses between them only as an argument of a posted job, or under a mutex named here.
//
// When memory runs out: what the application asked for is refused with -ENOMEM before anything has
// changed, or is done.  What was decided is done: the worker waits for memory (insist()), control,
// which never waits, keeps what it has not carried out and goes on with it at its next turn.
#pragma once

#include "epoch/publisher.h"
#include "lagg/control/aggregator.h"
#include "lagg_args.h"
#include "lagg_compat.h"
#include "lagg_infos.h"
#include "lagg_member_port.h"
#include "lagg_queue.h"
#include "lagg_retry.h"
#include "lagg_settings.h"
#include "lagg_slow.h"
#include "lagg_stats.h"
#include "lagg_threads.h"
#include "rte_pmd_lagg.h"

#include <array>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

namespace lagg::pmd {

/// What everybody may read without waiting for control: one consistent whole, replaced, never
/// edited.
struct published_state {
    lagg::snapshot snapshot;
    rte_pmd_lagg_status status{};
    lacp_config lacp;
    struct lacp_port {
        port_id port = no_port;
        lacp::port_report report;
    };
    std::vector<lacp_port> lacp_ports; // members on which LACP runs
};

class device final : public served {
public:
    /// Does not fail; open() makes it live.
    device(rte_eth_dev* eth, start_arguments args);
    ~device() override;

    /// nullptr when `port` is no lagg port of this process.
    static device* find(std::uint16_t port);
    /// A port was probed: owned at once by the lagg that awaits one of its name.  Inside ethdev's
    /// NEW event.
    static void port_appeared(port_id port) noexcept;

    // -- any thread, never waits for control or worker -------------------------------------------
    std::string const& name() const noexcept { return name_; }
    port_id id() const noexcept { return id_; }
    rte_eth_dev* eth() const noexcept { return eth_; }
    start_arguments const& arguments() const noexcept { return args_; }
    /// The address it begins with; the present one stands in ethdev's data.
    net::mac_address const& first_address() const noexcept { return first_address_; }
    std::shared_ptr<published_state const> published() const;
    /// The same by port, safe against a close meanwhile; nullptr when it is no lagg.
    static std::shared_ptr<published_state const> published_of(std::uint16_t port);
    lagg::pmd::statistics& statistics() noexcept { return statistics_; }
    device_infos& infos() noexcept { return infos_; }

    // -- app thread; each returns -EDEADLK where may_wait() is false, and -ENOMEM when it has
    // changed nothing for want of memory ----------------------------------------------------------
    /// Takes in the members named in devargs whose ports exist; the first that is refused is the
    /// answer.
    int open();
    int change_config(std::function<void(lagg::config&)> const& edit);
    int add_member(port_id port, unsigned timeout_ms);
    int remove_member(port_id port, unsigned timeout_ms, bool drain = false);
    int barrier(unsigned timeout_ms);
    int set_admin(bool up);
    int set_callback(rte_pmd_lagg_event_cb callback, void* arg);

    /// Members that were awaited and exist by now are members when it returns.
    int adopt_now();
    int start();
    /// No burst uses a member any more, nor begins to, before the next start or change of settings;
    /// so that what comes next does not fail half-way.  -EBUSY when a burst outlasted 100 ms: as it
    /// was.
    int quiesce();
    /// -EBUSY when a burst outlasted 100 ms: nothing is sent or received any more, members still
    /// run.
    int stop();
    /// Gives all members back, then forgets everything.  When a burst outlasts 100 ms the rest
    /// happens later, by itself: 0 either way, the object is not the caller's any more.
    int close();

    /// Runs on the worker: `edit` works on a copy of the settings, then `follow` is called for
    /// every running member in turn.  When one fails, those that followed are taken back with the
    /// old settings and the same `follow`, and the settings stay.  `follow` may be empty.  0 or
    /// -errno.
    using follow_fn = std::function<int(member_port&, port_settings const&)>;
    int change_settings(std::function<void(port_settings&)> const& edit, follow_fn const& follow);
    /// A copy.
    int settings(port_settings& out);
    /// `f` on every member, running or not, on the worker; ends with the first result that is not
    /// 0.
    int for_each_member(std::function<int(member_port&)> const& f);

    /// The queue is served from here on; its memory stays with the device.
    int attach(rx_queue* q);
    int attach(tx_queue* q);
    /// Takes the queue out of service and frees it when no burst holds its cell.
    void retire(rx_queue* q);
    void retire(tx_queue* q);

    // -- control thread
    // -----------------------------------------------------------------------------
    time_point settle(time_point at) override;

private:
    struct slot {
        port_id port = no_port;
        bool awaiting_quiescence = false;
        bool follow_link = false;               // its port runs: read its link each period
        bool kernel_known = false;              // the kernel has told of its interface
        std::uint32_t if_index = 0;             // 0: the kernel has no word about its link
        bool collecting = false;                // in the last snapshot that has it
        std::uint16_t control_queue = no_queue; // its tx queue that is reserved for control
    };
    struct barrier_wait {
        std::uint64_t version;
        std::shared_ptr<std::promise<int>> done;
    };
    /// Who waits for a request: its result is 0 or -errno.
    using waiter = std::shared_ptr<std::promise<int>>;

    struct refusal {
        port_id port;
        int error;
    };
    /// What control needs to follow a member that runs: its queues that are control's, and its
    /// interface; see member_port.
    struct reach {
        std::uint16_t tx = no_queue;
        std::uint16_t rx = no_queue;
        std::uint32_t if_index = 0;
    };

    // lagg_device.cpp: app thread
    using event_maker = std::function<any_event(request_id)>;
    std::vector<std::pair<std::string, port_id>> take_present();
    void begin_close(waiter const& done);
    int ask_control(std::function<int(waiter const&)> step, unsigned timeout_ms);
    int request(event_maker make, unsigned timeout_ms);
    int take_in(waiter const& done, event::add_member e);
    int own(port_id port);
    int describe_new(port_id port, event::add_member& e) const;
    void disown(port_id port);
    bool owned(port_id port) const;
    template<class Queue>
    int attach_queue(Queue* q);
    template<class Queue>
    void retire_queue(Queue* q);
    template<class Queue>
    bool free_queue(Queue* q) noexcept;

    // lagg_device_control.cpp: control thread
    void handle(any_event const& e);
    void ask(waiter const& w, event_maker const& make);
    bool has_member_on(port_id port) const;
    void disown_stranger(port_id port);
    void forget_former_of(port_id port);
    void prepared(event::member_prepared done, port_id port, bool running, reach by);
    void member_gone(member_id id, port_id port, bool vanished);
    void refuse(any_event const& e, refusal const& told);
    void members_reported(std::vector<member_id> const& started,
                          std::vector<event::filter_changed> const& filters,
                          std::array<reach, max_members> const& by);
    bool flush(time_point at);
    void flush_or_throw(time_point at);
    void carry_out_rest();
    void carry_out(effect::publish& e);
    void carry_out(effect::prepare_member const& e);
    void carry_out(effect::await_quiescence const& e);
    void carry_out(effect::release_member const& e);
    void carry_out(effect::await_bursts const& e);
    void carry_out(effect::send_frame const& e);
    void carry_out(effect::complete const& e);
    void carry_out(effect::report_link const& e);
    void carry_out(effect::notify_member const& e);
    void tell(rte_pmd_lagg_event_type type, port_id port, int error);
    time_point adopt_awaited(time_point at);
    bool adopt(std::string const& name, port_id port);
    void note_shortage(std::string const& name);
    void await_again(event::member_prepared const& done, std::string name);
    void leave_all();
    void free_retired_queues() noexcept;
    /// Whether a member vanished.
    bool collect_stirred();
    void act_on(any_event const& e, port_id port, std::uint32_t what);
    void poll_links(time_point now);
    void follow(member_id id, reach by);
    control_frames::receiver to_aggregator();
    /// Its port has not been handed to the worker to be given back.
    bool is_ours(member_id id) const;
    /// The driver's word and, where there is one, the kernel's.
    link_state link_of(member_id id);
    link_state with_kernels_word(member_id id, link_state link);
    void check_quiescence();
    void check_barriers();
    void renew_published();
    void fill_status(rte_pmd_lagg_status& s);
    void fill_awaited(rte_pmd_lagg_status& s);
    void fill_lacp(published_state& state);
    std::uint64_t oldest_live_version() const;
    bool live_contains(port_id port) const;
    void finish_close();

    // lagg_device_worker.cpp: worker thread
    void prepare(member_id id, port_id port);
    int prepare(member_port& m);
    void release(member_id id, port_id port, bool vanished, bool collecting);
    int start_member(member_port& m);
    void stop_member(member_port& m);
    int start_members(std::vector<member_id>& started);
    void stop_members();
    void members_changed();
    event::port_changed port_view() const;
    void hear_slow_frames(bool wanted);
    int edit_settings(std::function<void(port_settings&)> const& edit, follow_fn const& follow);
    int follow_on_all(follow_fn const& follow, port_settings const& old);
    void report(waiter const& done, std::vector<member_id> const& started);
    void hand_in(member_id id, std::vector<drained_frames> frames);

    rte_eth_dev* const eth_;
    std::string const name_;
    port_id const id_;
    start_arguments const args_;
    net::mac_address const first_address_;
    rte_eth_dev_owner owner_{};

    // control thread's own
    aggregator aggregator_;
    epoch::publisher<snapshot> publisher_;
    std::array<slot, max_members> slots_{};
    effect_list effects_;           // decided
    std::size_t carried_out_ = 0;   // so many of them
    bool behind_ = false;           // the last flush() ran out of memory
    std::vector<refusal> refusals_; // to be told when all effects are carried out
    retry_times retries_;           // of awaited members
    std::map<request_id, waiter> waiters_;
    request_id last_request_ = 0;
    std::vector<barrier_wait> barriers_;
    std::uint64_t awaited_version_ = 0; // older bursts are awaited for the aggregator; 0: none
    std::vector<std::function<bool()>>
        retired_queues_;             // each frees its queue, or false: still pinned
    bool hears_slow_frames_ = false; // as the worker was told
    time_point next_poll_{0};
    std::uint64_t kernel_changes_ = 0; // as many of the kernel's links() were looked at
    time_point rescan_after_{0};
    bool status_stale_ = true;
    rte_pmd_lagg_event_cb callback_ = nullptr;
    void* callback_arg_ = nullptr;
    std::shared_ptr<std::promise<int>> closing_; // set: give everything back, then delete this
    bool eth_gone_ = false; // ethdev's port is released: nothing of it is touched

    // worker thread's own
    port_settings settings_;
    std::array<std::unique_ptr<member_port>, max_members> members_;

    // shared
    lagg::pmd::statistics statistics_;   // its own mutex
    device_infos infos_;                 // its own mutex
    mutable std::mutex published_mutex_; // guards the pointer only
    std::shared_ptr<published_state const> published_;
    std::mutex awaited_mutex_;
    std::vector<std::string> awaited_; // names of members whose ports have not appeared

    // control thread's own; here, for it counts in statistics_
    control_frames frames_;
};

} // namespace lagg::pmd
