// The protocol of lib/epoch as a state machine of small steps: readers as snapshot_cell::pin(),
// control as publisher, with everything that control may choose left open.  Each step is one access
// to shared memory and what follows from it; all interleavings of steps are explored. Knows nothing
// of how memory behaves (memory.h).  A change to lib/epoch is made here too; the edges have the
// names that they have there (test/structure/edge_tags.py).
#pragma once

#include "memory.h"

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <sstream>
#include <string>
#include <vector>

namespace model {

/// One weakening of the protocol; each must be found out.
enum class mutant : u8 {
    none,
    no_recheck,                  // pin() uses what it loaded first
    recheck_relaxed,             // the second load is relaxed
    pin_relaxed,                 // pinned = s is relaxed
    no_light_fence,              // real fences: the burst's is missing
    no_heavy_fence,              // publish scans at once
    none_relaxed,                // pinned = none is relaxed
    pinned_read_relaxed,         // the scan and the borrower read relaxed
    borrow_without_heavy_fence,  //
    borrow_without_looking,      // and does not read pinned
    give_back_relaxed,           //
    newer_without_repin,         // pin() returns the newer one it met
    free_without_waiting,        // after the fence, whatever is pinned
    control_follows_pinned,      // reads through the address
    give_back_of_the_old,        // the snapshot of the time of borrowing
    publish_over_sentinel,       //
    failed_fence_trusted,        //
    fence_before_stores,         // what was staged after a fence counts as covered
    install_relaxed,             // current = next is relaxed
    queue_used_without_snapshot, // a burst that got none touches the queue's plain state
    stopped_while_retired,       // a member that only retired snapshots contain is stopped
    added_again_without_start,   // a member that was stopped is published as it is
    last,
};

struct limits {
    int cells = 1;
    int publishes = 2;
    int bursts = 2; // each reader
    int borrows = 0;
    int failures = 0; // of the heavy fence
    bool real_fences = false;
    bool member = false; // that snapshots contain or not: it leaves, is stopped, and added again
};

struct outcome {
    char const* violation = ""; // empty: none
    std::vector<std::string> trace;
    std::uint64_t states = 0;
};

/// Explores all of it, or until the first violation.
template<class Memory>
class explorer {
public:
    explorer(limits l, mutant m) : limits_(l), mutant_(m) {}

    outcome run() {
        state s = first();
        visit(s);
        result_.states = seen_.size();
        return result_;
    }

private:
    // Addresses: 0 is null, the sentinel and none; 1 + slot is a snapshot.
    enum reader_at : u8 { r_idle, r_pin, r_fence, r_check, r_use, r_unpin, r_clear, r_trespass };
    enum control_at : u8 {
        c_idle,
        c_store,
        c_fence,
        c_interrupt,
        c_scan,
        c_borrow,
        c_look,
        c_back
    };
    // Not to be met: a store that the model cannot delay as long as a machine could.
    static constexpr char const* out_of_room = "the model is too small for these bounds";

    enum purpose : u8 { for_publish, for_borrow };

    struct reader {
        u8 at;
        u8 bursts;     // still to come
        u8 seen;       // address
        u8 generation; // of what it runs on
        u8 floor;      // the newest generation whose fence was over when the burst began
    };
    struct retiree {
        u8 slot;
        u8 covered; // by a fence that succeeded
        u8 fenced;  // known to a scan
        u8 fresh;
        u8 held;
    };
    struct control {
        u8 at;
        u8 cell;
        u8 newest; // address
        u8 publishes;
        u8 borrows;
        u8 failures;
        u8 failed; // so many fences did
        u8 why;
        u8 news;
        u8 retired;
        u8 kept_cell;
        std::array<u8, max_cells> borrowed;
        std::array<u8, max_cells> lent; // address at the time of borrowing
        std::array<u8, max_cells> holds;
        std::array<retiree, max_slots> old;
    };
    struct state {
        Memory memory;
        control c;
        std::array<reader, max_cells> r;
        std::array<u8, max_slots> generation; // of what is in a slot; 0: free
        std::array<u8, max_slots> has_member; // of what is in a slot
        u8 member_runs;
        u8 last_generation;
        u8 fenced_generation;
    };

    static std::size_t at(int i) { return static_cast<std::size_t>(i); }
    bool is(mutant m) const { return mutant_ == m; }

    static state blank() {
        state s;
        std::memset(static_cast<void*>(&s), 0,
                    sizeof s); // padding too: states are compared as bytes
        return s;
    }

    state first() const {
        state s = blank();
        s.memory.begin(limits_.real_fences, is(mutant::pin_relaxed) || is(mutant::none_relaxed) ||
                                                is(mutant::install_relaxed) ||
                                                is(mutant::give_back_relaxed));
        s.generation[0] = 1;
        s.has_member[0] = s.member_runs = limits_.member;
        s.last_generation = 1;
        s.fenced_generation = 1;
        s.c.newest = 1;
        s.c.publishes = static_cast<u8>(limits_.publishes);
        s.c.borrows = static_cast<u8>(limits_.borrows);
        s.c.failures = static_cast<u8>(limits_.failures);
        for (int c = 0; c < limits_.cells && c < max_cells; ++c) {
            s.memory.initially(current_word(c), 1);
            s.memory.initially(pinned_word(c), 0);
            s.r[at(c)].bursts = static_cast<u8>(limits_.bursts);
        }
        return s;
    }

    // -- search

    /// 128 bits of a state: two different ones that agree are not to be met at these numbers.
    struct fingerprint {
        std::uint64_t a, b;
        bool operator==(fingerprint const&) const = default;
    };
    /// Open addressing: a node per state costs more than the exploration.  {0, 0} marks a free
    /// place.
    class fingerprints {
    public:
        std::size_t size() const { return size_; }
        bool insert(fingerprint f) {
            if (2 * size_ >= places_.size()) {
                grow();
            }
            return place(f);
        }

    private:
        bool place(fingerprint f) {
            std::size_t const mask = places_.size() - 1;
            for (std::size_t i = f.a & mask;; i = (i + 1) & mask) {
                if (places_[i] == f) {
                    return false;
                }
                if (places_[i] == fingerprint{0, 0}) {
                    places_[i] = f;
                    ++size_;
                    return true;
                }
            }
        }
        void grow() {
            std::vector<fingerprint> old(2 * places_.size(), fingerprint{0, 0});
            old.swap(places_);
            size_ = 0;
            for (fingerprint const& f : old) {
                if (f != fingerprint{0, 0}) {
                    place(f);
                }
            }
        }
        std::vector<fingerprint> places_{1024, fingerprint{0, 0}};
        std::size_t size_ = 0;
    };
    static std::uint64_t mix(std::uint64_t x) {
        x ^= x >> 32;
        x *= 0xd6e8feb86659fd93U;
        x ^= x >> 32;
        x *= 0xd6e8feb86659fd93U;
        return x ^ (x >> 32);
    }
    static fingerprint print_of(state const& s) {
        fingerprint f{0x9e3779b97f4a7c15U, 0xc2b2ae3d27d4eb4fU};
        unsigned char bytes[sizeof(state) + 8] = {};
        std::memcpy(bytes, static_cast<void const*>(&s), sizeof s);
        for (std::size_t i = 0; i < sizeof s; i += 8) {
            std::uint64_t word;
            std::memcpy(&word, bytes + i, 8);
            f.a = mix(f.a ^ word);
            f.b = mix(f.b + word * 0x165667b19e3779f9U);
        }
        return f;
    }

    void visit(state const& s) {
        if (done() || !seen_.insert(print_of(s))) {
            return;
        }
        for (int c = 0; c < limits_.cells; ++c) {
            reader_steps(s, c);
        }
        control_steps(s);
        for (int t = 0; t <= limits_.cells; ++t) {
            for (int i = 0; i < s.memory.flushes(t); ++i) {
                if (s.memory.can_flush(t, i)) {
                    state n = s;
                    n.memory.flush(t, i);
                    take(n, t, "a store reaches memory");
                }
            }
        }
    }

    void take(state const& n, int thread, char const* what, int number = -1) {
        if (done()) {
            return;
        }
        path_.push_back(step{thread, what, number});
        visit(n);
        path_.pop_back();
    }

    bool done() const { return *result_.violation != '\0'; }

    void wrong(int thread, char const* what, char const* violation) {
        if (done()) {
            return;
        }
        path_.push_back(step{thread, what, -1});
        for (step const& p : path_) {
            std::ostringstream line;
            if (p.thread == 0) {
                line << "control:  ";
            } else {
                line << "reader " << p.thread - 1 << ": ";
            }
            line << p.what;
            if (p.number >= 0) {
                line << ' ' << p.number;
            }
            result_.trace.push_back(line.str());
        }
        path_.pop_back();
        result_.violation = violation;
    }

    // -- a burst

    void reader_steps(state const& s, int c) {
        int const me = 1 + c;
        reader const& now = s.r[at(c)];
        switch (now.at) {
        case r_idle:
            if (now.bursts == 0) {
                return;
            }
            for (int k = 0; k < s.memory.choices(me, current_word(c), order::relaxed); ++k) {
                state n = s;
                reader& r = n.r[at(c)];
                --r.bursts;
                r.floor = s.fenced_generation;
                // [adopt] relaxed: confirmed below
                r.seen = n.memory.load(me, current_word(c), k, order::relaxed);
                r.at = r.seen != 0                               ? r_pin
                       : is(mutant::queue_used_without_snapshot) ? r_trespass
                                                                 : r_idle;
                tidy(r);
                take(n, me, "load current", n.r[at(c)].seen);
            }
            return;
        case r_pin: {
            if (!s.memory.can_store(me, pinned_word(c))) {
                return wrong(me, "store", out_of_room);
            }
            state n = s;
            // [leave] and [announce]: the pin
            n.memory.store(me, pinned_word(c), now.seen,
                           is(mutant::pin_relaxed) ? order::relaxed : order::release);
            if (!limits_.real_fences || is(mutant::no_light_fence)) {
                return pinned(n, c);
            }
            if (n.memory.can_fence(me)) {
                // [announce] light fence
                n.memory.full_fence(me);
                return pinned(n, c);
            }
            n.r[at(c)].at = r_fence;
            take(n, me, "pin, to be fenced", now.seen);
            return;
        }
        case r_fence: {
            if (s.memory.can_fence(me)) {
                state n = s;
                // [announce] light fence
                n.memory.full_fence(me);
                pinned(n, c);
            }
            return;
        }
        case r_check:
            for (int k = 0; k < s.memory.choices(me, current_word(c), recheck_order()); ++k) {
                state n = s;
                reader& r = n.r[at(c)];
                // [adopt] the second load
                u8 const met = n.memory.load(me, current_word(c), k, recheck_order());
                if (met == 0) {
                    r.at = r_clear;
                    take(n, me, "check: sentinel");
                } else if (met == now.seen || is(mutant::newer_without_repin)) {
                    begin(n, c, met, "check: begin on");
                } else {
                    r.seen = met;
                    r.at = r_pin;
                    take(n, me, "check: newer", met);
                }
            }
            return;
        case r_use: {
            state n = s;
            int const slot = now.seen - 1;
            if (!n.memory.plain(me, read_by(slot, c), written(slot))) {
                return wrong(me, "use the snapshot",
                             "race: its contents are not ordered before the burst");
            }
            if (!n.memory.plain(me, queue_used(c, false), queue_used(c, true))) {
                return wrong(me, "use the queue",
                             "race: control's use of the queue is not ordered before");
            }
            if (s.has_member[at(slot)] != 0) {
                if (s.member_runs == 0) {
                    return wrong(me, "use the member", "a burst uses a stopped member");
                }
                if (!n.memory.plain(me, read_by(the_member, c), written(the_member))) {
                    return wrong(me, "use the member",
                                 "race: its start is not ordered before the burst");
                }
            }
            n.r[at(c)].at = r_unpin;
            take(n, me, "use");
            return;
        }
        case r_trespass: {
            state n = s;
            if (s.c.borrowed[at(c)] != 0) {
                return wrong(me, "use the queue", "the queue is control's");
            }
            n.r[at(c)].at = r_idle;
            take(n, me, "use the queue");
            return;
        }
        default: { // r_unpin, r_clear
            if (!s.memory.can_store(me, pinned_word(c))) {
                return wrong(me, "store", out_of_room);
            }
            state n = s;
            // [leave]
            n.memory.store(me, pinned_word(c), 0,
                           is(mutant::none_relaxed) ? order::relaxed : order::release);
            n.r[at(c)].at = r_idle;
            tidy(n.r[at(c)]);
            take(n, me, "unpin");
            return;
        }
        }
    }

    /// After the light fence.
    void pinned(state& n, int c) {
        u8 const seen = n.r[at(c)].seen;
        if (is(mutant::no_recheck)) {
            begin(n, c, seen, "pin");
            return;
        }
        n.r[at(c)].at = r_check;
        take(n, 1 + c, "pin", seen);
    }

    order recheck_order() const {
        return is(mutant::recheck_relaxed) ? order::relaxed : order::acquire;
    }

    /// Forgets what can no longer matter, so that equal situations are equal states.
    static void tidy(reader& r) {
        if (r.at == r_idle) {
            r.seen = 0;
            r.generation = 0;
            r.floor = 0;
        }
    }

    void begin(state& n, int c, u8 address, char const* what) {
        reader& r = n.r[at(c)];
        u8 const generation = n.generation[at(address - 1)];
        if (generation == 0) {
            return wrong(1 + c, what, "a burst begins on a freed snapshot");
        }
        if (generation < r.floor) {
            return wrong(1 + c, what,
                         "a burst begins on a snapshot older than a completed publication");
        }
        if (n.c.borrowed[at(c)] != 0) {
            return wrong(1 + c, what, "a burst begins on a borrowed queue");
        }
        r.seen = address;
        r.generation = generation;
        r.at = r_use;
        take(n, 1 + c, what, address);
    }

    // -- control

    void control_steps(state const& s) {
        control const& now = s.c;
        int const c = now.cell;
        switch (now.at) {
        case c_idle: return control_choices(s);
        case c_store: {
            state n = s;
            if (now.borrowed[at(c)] == 0 || is(mutant::publish_over_sentinel)) {
                if (!s.memory.can_store(0, current_word(c))) {
                    return wrong(0, "store", out_of_room);
                }
                // [adopt]
                n.memory.store(0, current_word(c), now.newest,
                               is(mutant::install_relaxed) ? order::relaxed : order::release);
            }
            if (c + 1 < limits_.cells) {
                n.c.cell = static_cast<u8>(c + 1);
            } else if (is(mutant::fence_before_stores)) {
                start_scan(n);
            } else {
                n.c.at = c_fence;
            }
            take(n, 0, "store the newest in cell", c);
            return;
        }
        case c_fence: {
            bool const skip = (now.why == for_publish && is(mutant::no_heavy_fence)) ||
                              (now.why == for_borrow && is(mutant::borrow_without_heavy_fence));
            if (skip) {
                state n = s;
                after_fence(n, true, now.why == for_publish);
                take(n, 0, "no fence");
                return;
            }
            if (s.memory.can_fence(0)) {
                state n = s;
                if (limits_.real_fences) {
                    // [announce] heavy fence
                    n.memory.full_fence(0);
                    after_fence(n, true);
                } else {
                    // [announce] heavy fence
                    n.memory.interrupt(0);
                    n.c.at = c_interrupt;
                    n.c.cell = 0;
                    n.c.kept_cell = static_cast<u8>(c);
                }
                take(n, 0, "heavy fence");
            }
            if (now.failures > 0) {
                state n = s;
                --n.c.failures;
                ++n.c.failed;
                after_fence(n, is(mutant::failed_fence_trusted));
                take(n, 0, "heavy fence fails");
            }
            return;
        }
        case c_interrupt: {
            if (!s.memory.can_fence(1 + c)) {
                return; // an interrupted core ends what it has begun, first
            }
            state n = s;
            // [announce] it reaches a burst
            n.memory.interrupt(1 + c);
            if (c + 1 < limits_.cells) {
                n.c.cell = static_cast<u8>(c + 1);
            } else {
                n.memory.interrupt(0);
                n.c.cell = now.kept_cell;
                n.c.kept_cell = 0;
                after_fence(n, true);
            }
            take(n, 0, "heavy fence reaches reader", c);
            return;
        }
        case c_scan: return scan_step(s);
        case c_borrow: {
            if (!s.memory.can_store(0, current_word(c))) {
                return wrong(0, "store", out_of_room);
            }
            state n = s;
            // [adopt] withdrawn
            n.memory.store(0, current_word(c), 0, order::release);
            n.c.lent[at(c)] = now.newest;
            n.c.at = c_fence;
            n.c.why = for_borrow;
            take(n, 0, "store the sentinel in cell", c);
            return;
        }
        case c_look:
            for (int k = 0; k < s.memory.choices(0, pinned_word(c), read_order()); ++k) {
                state n = s;
                // [leave], after [announce]
                u8 const pinned = n.memory.load(0, pinned_word(c), k, read_order());
                if (pinned != 0 && !is(mutant::borrow_without_looking)) {
                    n.c.at = c_back;
                    take(n, 0, "borrow: refused, it pins", pinned);
                    continue;
                }
                n.c.borrowed[at(c)] = 1;
                n.c.at = c_idle;
                n.c.cell = 0;
                if (!use_queue(n, c)) {
                    return;
                }
                take(n, 0, "borrowed cell", c);
            }
            return;
        default: { // c_back
            if (!s.memory.can_store(0, current_word(c))) {
                return wrong(0, "store", out_of_room);
            }
            state n = s;
            if (now.borrowed[at(c)] != 0) {
                if (!use_queue(n, c)) {
                    return;
                }
            }
            u8 const address = is(mutant::give_back_of_the_old) ? now.lent[at(c)] : now.newest;
            // [adopt]
            n.memory.store(0, current_word(c), address,
                           is(mutant::give_back_relaxed) ? order::relaxed : order::release);
            n.c.borrowed[at(c)] = 0;
            n.c.lent[at(c)] = 0;
            n.c.at = c_idle;
            n.c.cell = 0;
            take(n, 0, "give back cell", c);
            return;
        }
        }
    }

    order read_order() const {
        return is(mutant::pinned_read_relaxed) ? order::relaxed : order::acquire;
    }

    void control_choices(state const& s) {
        control const& now = s.c;
        if (now.publishes > 0) {
            publish(s, false);
            if (limits_.member) {
                publish(s, true);
            }
        }
        if (s.member_runs != 0 && !is_live_member(s)) {
            state n = s;
            if (run_member(n, false)) {
                take(n, 0, "stop the member");
            }
        }
        if (now.retired > 0) { // the timer
            state n = s;
            start_scan(n);
            take(n, 0, "scan again");
        }
        for (int i = 0; i < now.retired; ++i) {
            if (now.old[at(i)].covered == 0) {
                state n = s;
                n.c.at = c_fence;
                n.c.why = for_publish;
                take(n, 0, "fence again");
                break;
            }
        }
        for (int c = 0; c < limits_.cells; ++c) {
            state n = s;
            n.c.cell = static_cast<u8>(c);
            if (now.borrowed[at(c)] != 0) {
                n.c.at = c_back;
                take(n, 0, "decide to give back cell", c);
            } else if (now.borrows > 0) {
                --n.c.borrows;
                n.c.at = c_borrow;
                take(n, 0, "decide to borrow cell", c);
            }
        }
    }

    /// Whether a snapshot that a burst may run on contains the member, as far as control knows.
    bool is_live_member(state const& s) const {
        bool live = s.has_member[at(s.c.newest - 1)] != 0;
        for (int i = 0; i < s.c.retired && !is(mutant::stopped_while_retired); ++i) {
            live = live || s.has_member[s.c.old[at(i)].slot] != 0;
        }
        return live;
    }

    /// Starts or stops the member.
    bool run_member(state& n, bool run) {
        knowledge users = 0;
        for (int c = 0; c < limits_.cells; ++c) {
            users |= read_by(the_member, c);
        }
        if (!n.memory.plain(0, written(the_member), users)) {
            wrong(0, run ? "start the member" : "stop the member",
                  "race: a burst's use of the member is not ordered before");
            return false;
        }
        n.member_runs = run;
        return true;
    }

    /// `with`: the member is in the next snapshot.
    void publish(state const& s, bool with) {
        if (is(mutant::fence_before_stores) && !can_fence_all(s)) {
            return;
        }
        state n = s;
        int live = 0;
        int slot = -1;
        for (int i = max_slots; i-- > 0;) {
            if (s.generation[at(i)] != 0) {
                ++live;
            } else {
                slot = i; // the lowest free: addresses are used again as soon as can be
            }
        }
        if (live + 1 > limits_.cells + 2 + s.c.failed || slot < 0) {
            return wrong(0, "publish", "more live snapshots than cells + 2");
        }
        knowledge readers = 0;
        for (int c = 0; c < limits_.cells; ++c) {
            readers |= read_by(slot, c);
        }
        if (!n.memory.plain(0, written(slot), readers)) {
            return wrong(0, "build the next snapshot",
                         "race: a burst's reads are not ordered before");
        }
        if (with && n.member_runs == 0 && !is(mutant::added_again_without_start) &&
            !run_member(n, true)) {
            return;
        }
        --n.c.publishes;
        n.has_member[at(slot)] = with;
        n.generation[at(slot)] = ++n.last_generation;
        n.c.old[n.c.retired++] = retiree{static_cast<u8>(n.c.newest - 1), 0, 0, 0, 0};
        n.c.newest = static_cast<u8>(1 + slot);
        n.c.cell = 0;
        n.c.why = for_publish;
        if (is(mutant::fence_before_stores)) {
            // The fence happens here, ahead of the stores; everything retired is then taken as
            // covered.
            if (limits_.real_fences) {
                n.memory.full_fence(0);
            } else {
                for (int t = 0; t <= limits_.cells; ++t) {
                    n.memory.interrupt(t);
                }
            }
            cover(n);
        }
        n.c.at = c_store;
        take(n, 0, with ? "publish with the member: next is" : "publish: next is", 1 + slot);
    }

    bool can_fence_all(state const& s) const {
        bool can = s.memory.can_fence(0);
        for (int t = 1; t <= limits_.cells && !limits_.real_fences; ++t) {
            can = can && s.memory.can_fence(t);
        }
        return can;
    }

    static void cover(state& n) {
        for (int i = 0; i < n.c.retired; ++i) {
            n.c.old[at(i)].covered = 1;
        }
    }

    void after_fence(state& n, bool ok, bool covers = true) {
        if (ok && covers) {
            cover(n);
            n.fenced_generation = n.generation[at(n.c.newest - 1)];
        }
        if (n.c.why == for_publish) {
            start_scan(n);
        } else {
            n.c.at = ok ? c_look : c_back;
        }
    }

    void start_scan(state& n) {
        n.c.news = 0;
        for (int i = 0; i < n.c.retired; ++i) {
            retiree& old = n.c.old[at(i)];
            old.fresh = old.fenced == 0 && old.covered != 0;
            old.fenced = old.fenced != 0 || old.fresh != 0;
            old.held = 0;
            n.c.news = n.c.news != 0 || old.fresh != 0;
        }
        n.c.at = c_scan;
        n.c.cell = 0;
        skip_clear_cells(n);
    }

    /// Cells that need not be read; at the end of them, frees.
    void skip_clear_cells(state& n) {
        while (n.c.cell < limits_.cells && n.c.news == 0 && n.c.holds[n.c.cell] == 0) {
            ++n.c.cell;
        }
    }

    void scan_step(state const& s) {
        int const c = s.c.cell;
        if (c == limits_.cells) {
            return free_step(s);
        }
        for (int k = 0; k < s.memory.choices(0, pinned_word(c), read_order()); ++k) {
            state n = s;
            // [leave], after [announce]
            u8 const pinned = n.memory.load(0, pinned_word(c), k, read_order());
            if (pinned != 0 && is(mutant::control_follows_pinned) &&
                n.generation[at(pinned - 1)] == 0) {
                return wrong(0, "read pinned", "control follows the address of a freed snapshot");
            }
            bool const still = n.c.holds[at(c)] != 0 && n.c.holds[at(c)] == pinned;
            n.c.holds[at(c)] = 0;
            for (int i = 0; pinned != 0 && i < n.c.retired; ++i) {
                retiree& old = n.c.old[at(i)];
                if (old.slot + 1 == pinned && (still || old.fresh != 0)) {
                    n.c.holds[at(c)] = pinned;
                    old.held = 1;
                }
            }
            ++n.c.cell;
            skip_clear_cells(n);
            take(n, 0, "read pinned:", pinned);
        }
    }

    void free_step(state const& s) {
        state n = s;
        u8 kept = 0;
        for (int i = 0; i < s.c.retired; ++i) {
            retiree old = s.c.old[at(i)];
            if (old.fenced != 0 && (old.held == 0 || is(mutant::free_without_waiting))) {
                if (!free_slot(n, old.slot)) {
                    return;
                }
            } else {
                old.fresh = 0;
                old.held = 0;
                n.c.old[kept++] = old;
            }
        }
        for (int i = kept; i < max_slots; ++i) {
            n.c.old[at(i)] = retiree{};
        }
        n.c.retired = kept;
        n.c.news = 0;
        n.c.at = c_idle;
        n.c.cell = 0;
        if (is(mutant::free_without_waiting)) {
            n.c.holds.fill(0);
        }
        take(n, 0, "free what nobody pins; left:", kept);
    }

    /// Frees a snapshot.
    bool free_slot(state& n, int slot) {
        knowledge readers = 0;
        for (int c = 0; c < limits_.cells; ++c) {
            readers |= read_by(slot, c);
            reader const& r = n.r[at(c)];
            if (r.at == r_use && r.seen == slot + 1 && r.generation == n.generation[at(slot)]) {
                wrong(0, "free", "a snapshot is freed under a burst");
                return false;
            }
        }
        if (!n.memory.plain(0, written(slot), readers)) {
            wrong(0, "free", "race: a burst's reads are not ordered before the freeing");
            return false;
        }
        n.generation[at(slot)] = 0;
        n.has_member[at(slot)] = 0;
        return true;
    }

    bool use_queue(state& n, int c) {
        if (n.r[at(c)].at == r_use) {
            wrong(0, "use the borrowed queue", "the queue is in a burst");
            return false;
        }
        if (!n.memory.plain(0, queue_used(c, true), queue_used(c, false))) {
            wrong(0, "use the borrowed queue", "race: the burst's use of it is not ordered before");
            return false;
        }
        return true;
    }

    struct step {
        int thread;
        char const* what;
        int number;
    };

    limits limits_;
    mutant mutant_;
    outcome result_;
    std::vector<step> path_;
    fingerprints seen_;
};

template<class Memory>
outcome explore(limits l, mutant m = mutant::none) {
    return explorer<Memory>(l, m).run();
}

} // namespace model
