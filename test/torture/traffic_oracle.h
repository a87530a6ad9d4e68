// One application thread of the burst torture and its books: it sends on its queue of the lagg and
// from the far ends of the wires, takes what arrives on either side, and says of every frame
// whether that may be.  What a burst was allowed to do it knows from the snapshot that the burst
// pinned, read by a hook between pin and use.
//
// It has the far end of each wire on the same queue number, so what it sends is seen by no other
// thread, and everything here but the counters is plain.
#pragma once

#include "torture/schedule.h"

#include "lagg_queue.h"

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <mutex>
#include <span>
#include <string>
#include <thread>
#include <vector>

namespace lagg::torture {

/// What went wrong, of all threads; the first ones in words.
class complaints {
public:
    void add(std::string what);
    bool any() const noexcept { return count_.load(std::memory_order_relaxed) != 0; }
    std::uint64_t count() const noexcept { return count_.load(std::memory_order_relaxed); }
    std::vector<std::string> words() const;

private:
    std::atomic<std::uint64_t> count_{0};
    mutable std::mutex mutex_;
    std::vector<std::string> words_;
};

/// The same version is the same snapshot on every queue.
class version_register {
public:
    /// False: another queue saw this version with other contents.
    bool agrees(std::uint64_t version, std::uint32_t digest) noexcept;
    /// How many versions at least one burst ran on.
    std::uint64_t seen() const noexcept { return seen_.load(std::memory_order_relaxed); }

private:
    std::array<std::atomic<std::uint64_t>, 1U << 16> entries_{}; // version above, digest below
    std::atomic<std::uint64_t> seen_{0};
};

/// What all threads share; outlives them.  Ports keep their numbers when they are probed again.
struct common {
    std::uint16_t lagg = 0;
    std::array<std::uint16_t, wires> near{};
    std::array<std::uint16_t, wires> far{};
    std::uint16_t queues =
        0; // of the lagg; the far ends have one more, where control's frames come

    complaints wrong;
    version_register versions;
    /// A burst that begins now runs on this version or a later one.
    std::atomic<std::uint64_t> floor{0};
    /// State bits that the far end of each wire withholds from its LACPDUs.
    std::array<std::atomic<std::uint8_t>, wires> partner_lacks{};
    /// How many bursts ran on each spread.
    std::array<std::atomic<std::uint64_t>, 6> spreads{};
    /// Of these, under lacp with a member that distributes.
    std::atomic<std::uint64_t> lacp_bursts{0};

    int wire_of(std::uint16_t near_port) const noexcept {
        for (std::size_t w = 0; w < wires; ++w) {
            if (near[w] == near_port) {
                return static_cast<int>(w);
            }
        }
        return -1;
    }
};

/// Frames, unless it says otherwise.
struct sums {
    std::uint64_t bursts = 0;
    std::uint64_t offered = 0;
    std::uint64_t taken = 0;
    std::uint64_t given_back = 0;
    std::uint64_t turned_away = 0;     // of these: the queue was control's, or the lookup stale
    std::uint64_t copies_due = 0;      // one per frame taken, under broadcast one per member
    std::uint64_t copies_arrived = 0;  // at far ends
    std::uint64_t stale = 0;           // calls of tx_on() that were told so
    std::uint64_t control_arrived = 0; // LACPDUs and Markers at far ends
    std::uint64_t far_sent = 0;        // taken by far ends, answers to LACPDUs included
    std::uint64_t far_answers = 0;     // of these
    std::uint64_t delivered = 0;       // by the lagg's rx bursts

    sums& operator+=(sums const& o) noexcept;
};

class traffic_thread {
public:
    traffic_thread(common& shared, std::uint16_t queue, std::uint64_t seed, int cpu);
    ~traffic_thread();
    traffic_thread(traffic_thread const&) = delete;
    traffic_thread& operator=(traffic_thread const&) = delete;

    void start();
    /// Returns when it is in no burst and begins none before resume().
    void pause();
    void resume();
    /// Ends the thread; frames that were given back are freed.
    void stop();
    /// After stop(): takes what still arrives, on this thread.
    void drain();
    /// After drain(): closes the books on frames that never arrived.
    sums total();
    /// Rounds so far; any thread.
    std::uint64_t rounds() const noexcept { return rounds_.load(std::memory_order_relaxed); }
    /// Mbufs that are missing from its pool; 0 when all came back.
    unsigned missing() const;

private:
    static constexpr std::size_t flows = 48;
    static constexpr std::size_t most = 96;               // frames of a burst
    static constexpr std::uint32_t remembered = 1U << 14; // slots

    enum class state : std::uint8_t { unused, held, sent };
    /// What is known of one frame that was made.
    struct slot {
        std::uint32_t number = 0;
        std::uint32_t flow_number = 0;
        std::uint32_t due = 0;  // wires; of `all` each, else exactly one
        std::uint32_t seen = 0; // wires on which it arrived
        std::uint8_t flow = 0;
        state now = state::unused;
        bool all = false;
        bool unordered = false; // a later frame of its flow may have been sent before it
    };
    /// What a hook needs, and leaves.
    struct probe {
        traffic_thread* self = nullptr;
        pmd::cell* view = nullptr;
        snapshot seen{}; // a copy of what the burst runs on
        std::uint32_t digest = 0;
        bool pinned = false;
        bool transmits = false;
        epoch::cell_hooks hooks{};
    };

    void run();
    static void after_pin(void* arg);
    static void before_unpin(void* arg);
    void note_snapshot(probe& p, snapshot const& s);
    void plan(snapshot const& s);
    void complain(std::string const& what) const;

    rte_mbuf* make();
    void prepare_burst();
    void send_burst();
    void send_where_told();
    void settle_burst(std::uint16_t taken, std::size_t count, std::uint32_t only);
    void receive_burst();
    void far_send();
    void far_receive();
    void far_receive(std::size_t wire, std::uint16_t queue);
    void arrived(std::size_t wire, rte_mbuf const& frame);
    void answer(std::size_t wire, rte_mbuf const& frame);
    void close(slot const& s);
    std::uint32_t below(std::uint32_t limit) noexcept;

    common& shared_;
    std::uint16_t const queue_;
    int const cpu_;
    std::uint64_t random_;
    rte_mempool* pool_ = nullptr;

    probe tx_;
    probe rx_;
    std::uint64_t floor_ = 0; // read before the burst began

    std::vector<slot> slots_{remembered};
    std::uint32_t next_number_ = 1;
    std::array<std::uint32_t, flows> next_in_flow_{};
    std::array<std::array<std::uint32_t, wires>, flows> last_arrived_{};
    std::vector<rte_mbuf*> pending_; // given back, to be offered again first

    // The burst at hand.
    std::array<rte_mbuf*, most> frames_{};
    std::array<rte_mbuf*, most> offered_{};
    std::array<std::uint32_t, most> number_{};
    std::array<std::uint32_t, most> due_{};
    std::size_t count_ = 0;

    std::array<std::uint32_t, wires> far_number_{};
    std::array<std::uint32_t, wires> far_delivered_{};
    sums sums_;

    std::atomic<std::uint64_t> rounds_{0};
    std::atomic<bool> quit_{false};
    std::atomic<std::uint64_t> wish_{0};    // odd: to pause
    std::atomic<std::uint64_t> granted_{0}; // the wish that was
    std::thread thread_;
};

} // namespace lagg::torture
