// A machine that executes out of order and speculates, as ARMv8 may: every store is seen by all
// others at once, nothing else is in order but what the architecture orders.  Knows threads and
// words by number; litmus_test.cpp holds it against what Arm allows, arm.h runs the protocol on it.
//
// Instructions are issued in program order, once the branches before them are decided.  To be
// issued is not to be executed:
// - a store waits, and is executed when it likes: after the waiting accesses of its own word, a
//   store-release after everything that was issued before it;
// - a load may wait as well, until its value is needed, while later stores are executed;
// - a load may have been executed long before it is issued, across branches that were not decided
//   then and loads that were not done.  So it may return what has been overwritten since, but
//   nothing that was overwritten before: a store that its own thread has read around (coherence),
//   the moment of an acquire or a fence before it, or that of the load that gave its address.
//
// Time is the number of stores executed; a load that was executed at a moment finds the newest
// store of its word not after it.  Nothing is fetched whose branch was predicted wrong: its loads
// would be thrown away and its stores never executed.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>

namespace model {

using u8 = std::uint8_t;

enum class order : u8 { relaxed, acquire, release };

/// How a compiler maps acquire: ldar waits for the thread's earlier store-releases, ldapr (ARMv8.3)
/// does not.
enum class acquire_as : u8 { ldar, ldapr };

template<int Threads, int Words, acquire_as Acquire>
struct out_of_order {
    static constexpr int depth = 12; // accesses of a thread that wait
    static constexpr int room = 24;  // stores that a load may still return, or time that matters
    static constexpr u8 nothing = 0xff;

    enum kind : u8 { store_plain, store_release, load_late };
    struct waiting_access {
        u8 kind;
        u8 word;
        u8 value;   // of a store; a load's name
        u8 address; // moment before which a store's address and data were not known
    };
    struct store_done {
        u8 word; // `nothing`: a moment that has no store
        u8 value;
    };
    /// What a load returned, and the moment before which it was not executed.
    struct seen {
        u8 value;
        u8 moment;
    };
    /// What flush() executed; `name`: of a load, else `nothing`.
    struct executed {
        u8 name;
        seen what;
    };

    std::array<u8, Words> base{}; // before the first of `log`, or `nothing`: unreadable
    std::array<store_done, room> log{};
    u8 length = 0; // now
    std::array<u8, Threads> count{};
    std::array<std::array<waiting_access, depth>, Threads> waiting{};
    std::array<u8, Threads> floor{};    // loads to come are executed at this moment or later
    std::array<u8, Threads> released{}; // the thread's last store-release
    std::array<std::array<u8, Words>, Threads> coherence{}; // the newest it has read or written

    static std::size_t at(int i) { return static_cast<std::size_t>(i); }

    /// In how many ways the load can be executed by now; 0: not yet.
    int choices(int thread, int word, order how, u8 address = 0) const {
        if (Acquire == acquire_as::ldar && how == order::acquire && waits_for_release(thread)) {
            return 0;
        }
        if (int const own = newest_waiting(thread, word); own >= 0) {
            return waiting[at(thread)][at(own)].kind == load_late ? 0 : 1;
        }
        int ways = 0;
        u8 const from = earliest(thread, how, address);
        for (int moment = 0; moment <= length; ++moment) {
            ways += readable(thread, word, moment, from);
        }
        return ways;
    }

    /// Issues a load that has been executed; `choice`: below choices().
    seen read(int thread, int word, int choice, order how, u8 address = 0) {
        u8 const from = earliest(thread, how, address);
        seen got{0, from};
        if (int const own = newest_waiting(thread, word); own >= 0) { // forwarded
            waiting_access const& mine = waiting[at(thread)][at(own)];
            got = seen{mine.value, later(from, mine.address)};
        } else {
            int moment = 0;
            while (!readable(thread, word, moment, from) || choice-- > 0) {
                ++moment;
            }
            got = seen{value_at(word, moment), later(from, moment)};
            coherence[at(thread)][at(word)] = static_cast<u8>(moment);
        }
        if (how == order::acquire) {
            floor[at(thread)] = got.moment;
        }
        return got;
    }

    bool can_wait(int thread) const { return count[at(thread)] < depth; }

    /// Issues a plain load that is executed later: flush().
    void read_later(int thread, int word, u8 name) {
        wait(thread, {load_late, as_u8(word), name, 0});
    }

    /// Issues a store.
    void write(int thread, int word, u8 v, order how, u8 address = 0) {
        wait(thread,
             {how == order::release ? store_release : store_plain, as_u8(word), v, address});
    }

    int waits(int thread) const { return count[at(thread)]; }

    bool can_flush(int thread, int i) const {
        auto const& mine = waiting[at(thread)];
        if (mine[at(i)].kind == store_release) {
            return i == 0;
        }
        for (int before = 0; before < i; ++before) {
            if (mine[at(before)].word == mine[at(i)].word) {
                return false;
            }
        }
        return true;
    }

    /// Executes a waiting access.
    executed flush(int thread, int i) {
        auto& mine = waiting[at(thread)];
        waiting_access const one = mine[at(i)];
        for (int k = i; k + 1 < depth; ++k) {
            mine[at(k)] = mine[at(k + 1)];
        }
        mine[depth - 1] = waiting_access{};
        --count[at(thread)];
        if (one.kind == load_late) {
            int moment = length;
            while (!holds(one.word, moment)) {
                --moment;
            }
            coherence[at(thread)][one.word] = static_cast<u8>(moment);
            return {one.value, {value_at(one.word, moment), as_u8(moment)}};
        }
        record(store_done{one.word, one.value});
        coherence[at(thread)][one.word] = length;
        if (one.kind == store_release) {
            released[at(thread)] = Acquire == acquire_as::ldar ? length : u8{0};
        }
        return {nothing, {}};
    }

    /// dmb ish; or a fence that another core forces between two instructions of this one.  All that
    /// was issued has been executed, and what follows has not.
    bool can_fence(int thread) const { return count[at(thread)] == 0; }
    void fence(int thread) { floor[at(thread)] = length; }

protected:
    void record(store_done one) {
        if (length == room) {
            std::abort(); // too small for these bounds; to go on would be to explore less
        }
        log[length++] = one;
    }

    static u8 as_u8(int i) { return static_cast<u8>(i); }
    static u8 later(int a, int b) { return as_u8(a > b ? a : b); }

    bool holds(int word, int moment) const {
        return moment == 0 ? base[at(word)] != nothing : log[at(moment - 1)].word == word;
    }
    u8 value_at(int word, int moment) const {
        return moment == 0 ? base[at(word)] : log[at(moment - 1)].value;
    }
    /// When what the word held at `moment` was overwritten; beyond now: it was not.
    int overwritten(int word, int moment) const {
        do {
            ++moment;
        } while (moment <= length && log[at(moment - 1)].word != word);
        return moment <= length ? moment : nothing;
    }
    bool readable(int thread, int word, int moment, int from) const {
        return holds(word, moment) && moment >= coherence[at(thread)][at(word)] &&
               overwritten(word, moment) > from;
    }
    u8 earliest(int thread, order how, u8 address) const {
        u8 const from = later(floor[at(thread)], address);
        return how == order::acquire ? later(from, released[at(thread)]) : from;
    }

private:
    void wait(int thread, waiting_access one) { waiting[at(thread)][count[at(thread)]++] = one; }
    int newest_waiting(int thread, int word) const {
        int i = count[at(thread)] - 1;
        while (i >= 0 && waiting[at(thread)][at(i)].word != word) {
            --i;
        }
        return i;
    }
    bool waits_for_release(int thread) const {
        for (int i = 0; i < count[at(thread)]; ++i) {
            if (waiting[at(thread)][at(i)].kind == store_release) {
                return true;
            }
        }
        return false;
    }
};

} // namespace model
