// Three memories for the explorer: what a load may return, and what it lets a thread know; arm.h
// has a fourth.  Knows threads and words by number; not what the words are for.
//
// Every shared word here has one writer and one reader (`current[c]`: control to reader c;
// `pinned[c]`: reader c to control), so a word's modification order is its writer's program order,
// and coherence is "never older than what was read before".  A new word with a second writer needs
// another model.
//
// Plain data (a snapshot's contents, a member, a queue's state) is not stored: a memory says
// whether an access to it is ordered after the accesses it conflicts with.  Two threads, 0 =
// control and 1 + c = reader c.
#pragma once

#include "out_of_order.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace model {

inline constexpr int max_cells = 2;
inline constexpr int max_threads = 1 + max_cells;
inline constexpr int max_words = 2 * max_cells;
inline constexpr int max_slots = 5;
// What plain accesses touch besides queues: the snapshots' slots, and one member port, whose driver
// a burst reads and control starts and stops.
inline constexpr int the_member = max_slots;
inline constexpr int max_objects = max_slots + 1;

constexpr int current_word(int cell) {
    return cell;
}
constexpr int pinned_word(int cell) {
    return max_cells + cell;
}
constexpr int writer_of(int word) {
    return word < max_cells ? 0 : 1 + word - max_cells;
}
constexpr int reader_of(int word) {
    return word < max_cells ? 1 + word : 0;
}

/// Plain accesses, each the last of its kind: bits of what a thread knows to have happened before.
using knowledge = std::uint32_t;
constexpr knowledge written(int object) {
    return knowledge{1} << object;
}
constexpr knowledge read_by(int object, int cell) {
    return knowledge{1} << (max_objects * (1 + cell) + object);
}
constexpr knowledge queue_used(int cell, bool by_control) {
    return knowledge{1} << (max_objects * (1 + max_cells) + 2 * cell + (by_control ? 1 : 0));
}

/// Stores are seen by all at once, in one order.
struct sequential {
    static constexpr char const* name = "SC";
    std::array<u8, max_words> value{};

    void begin(bool, bool) {}
    int choices(int, int, order) const { return 1; }
    u8 load(int, int word, int, order) { return value[static_cast<std::size_t>(word)]; }
    bool can_store(int, int) const { return true; }
    void store(int, int word, u8 v, order) { value[static_cast<std::size_t>(word)] = v; }
    bool can_fence(int) const { return true; }
    void full_fence(int) {}
    void interrupt(int) {}
    int flushes(int) const { return 0; }
    bool can_flush(int, int) const { return false; }
    void flush(int, int) {}
    bool plain(int, knowledge, knowledge) { return true; }
    void initially(int word, u8 v) { value[static_cast<std::size_t>(word)] = v; }
};

/// x86: each thread's stores wait in a buffer, in order, while its loads overtake them.
struct total_store_order {
    static constexpr char const* name = "x86-TSO";
    static constexpr int depth = 12;
    struct entry {
        u8 word;
        u8 value;
    };
    std::array<u8, max_words> value{};
    std::array<u8, max_threads> waiting{};
    std::array<std::array<entry, depth>, max_threads> buffer{};

    void begin(bool, bool) {}
    int choices(int, int, order) const { return 1; }
    // No forwarding: nobody loads a word that it writes itself.
    u8 load(int, int word, int, order) { return value[static_cast<std::size_t>(word)]; }
    bool can_store(int thread, int) const {
        return waiting[static_cast<std::size_t>(thread)] < depth;
    }
    void store(int thread, int word, u8 v, order) {
        auto const t = static_cast<std::size_t>(thread);
        buffer[t][waiting[t]++] = entry{static_cast<u8>(word), v};
    }
    bool can_fence(int) const { return true; }
    void full_fence(int thread) {
        while (flushes(thread) > 0) {
            flush(thread, 0);
        }
    }
    void interrupt(int thread) { full_fence(thread); }
    int flushes(int thread) const { return waiting[static_cast<std::size_t>(thread)] > 0; }
    bool can_flush(int, int) const { return true; }
    void flush(int thread, int) {
        auto const t = static_cast<std::size_t>(thread);
        value[buffer[t][0].word] = buffer[t][0].value;
        for (std::size_t i = 1; i < depth; ++i) {
            buffer[t][i - 1] = buffer[t][i];
        }
        buffer[t][depth - 1] = entry{};
        --waiting[t];
    }
    bool plain(int, knowledge, knowledge) { return true; }
    void initially(int word, u8 v) { value[static_cast<std::size_t>(word)] = v; }
};

/// C++20 (without load buffering, which race detection makes irrelevant here: a plain access that
/// could move past a store is one that this store does not order, and that is reported).  A load
/// may return any store not older than what its thread has read or was fenced to; a release store
/// carries what its thread knows, an acquire load learns it; a plain access whose conflicting ones
/// are not known is a race.
struct cpp20 {
    static constexpr char const* name = "C++20";
    static constexpr int depth = 16;
    struct word_state {
        u8 count;  // stores the reader may still see; [0] is the oldest
        u8 fenced; // what a sequentially consistent fence of the reader would at least make it see
        std::array<u8, depth> value;
        std::array<u8, 2> zero; // no padding: states are compared as bytes
        std::array<knowledge, depth> carried;
    };
    std::array<word_state, max_words> words{};
    std::array<knowledge, max_threads> knows{};
    std::array<knowledge, max_threads> released{}; // by its last release fence
    std::array<knowledge, max_threads> read{};     // to be known at its next acquire fence
    std::uint16_t acquiring;
    std::uint16_t releasing;

    static std::size_t at(int i) { return static_cast<std::size_t>(i); }

    /// What cannot matter is not kept, so that fewer states differ: `read` without fences that
    /// teach, `released` without relaxed stores too.
    void begin(bool real_fences, bool relaxed_stores) {
        acquiring = real_fences;
        releasing = real_fences && relaxed_stores;
        for (int t = 0; t < max_threads; ++t) {
            knows[at(t)] = matters_to(t);
        }
    }
    int choices(int, int word, order) const { return words[at(word)].count; }
    u8 load(int thread, int word, int choice, order how) {
        auto& w = words[at(word)];
        drop(w, choice);
        if (how == order::acquire) {
            knows[at(thread)] |= w.carried[0];
        }
        if (acquiring) {
            read[at(thread)] = (read[at(thread)] | w.carried[0]) & ~knows[at(thread)];
        }
        return w.value[0];
    }
    bool can_store(int, int word) const { return words[at(word)].count < depth; }
    void store(int thread, int word, u8 v, order how) {
        auto& w = words[at(word)];
        w.value[w.count] = v;
        w.carried[w.count] = (how == order::release ? knows[at(thread)] : released[at(thread)]) &
                             matters_to(reader_of(word));
        ++w.count;
    }
    bool can_fence(int) const { return true; }
    void full_fence(int thread) {
        interrupt(thread);
        knows[at(thread)] |= read[at(thread)];
        read[at(thread)] = 0;
        if (releasing) {
            released[at(thread)] = knows[at(thread)];
        }
    }
    /// What a heavy fence does to another thread, and to its own when the light side is no fence:
    /// it orders, but teaches nothing (the standard gives it no synchronizes-with).
    void interrupt(int thread) {
        for (int word = 0; word < max_words; ++word) {
            auto& w = words[at(word)];
            if (w.count == 0) {
                continue;
            }
            if (reader_of(word) == thread) {
                drop(w, w.fenced);
            }
            if (writer_of(word) == thread) {
                w.fenced = static_cast<u8>(w.count - 1);
            }
        }
    }
    int flushes(int) const { return 0; }
    bool can_flush(int, int) const { return false; }
    void flush(int, int) {}

    /// A plain access that leaves `mark`, after all of `needs`.  False: a race.
    bool plain(int thread, knowledge mark, knowledge needs) {
        if ((knows[at(thread)] & needs) != needs) {
            return false;
        }
        for (auto& k : knows) {
            k &= ~mark;
        }
        for (auto& k : released) {
            k &= ~mark;
        }
        for (auto& k : read) {
            k &= ~mark;
        }
        for (auto& w : words) {
            for (auto& k : w.carried) {
                k &= ~mark;
            }
        }
        knows[at(thread)] |= mark; // handed on by its release stores
        return true;
    }
    void initially(int word, u8 v) {
        auto& w = words[at(word)];
        w.count = 1;
        w.value[0] = v;
        w.carried[0] = matters_to(reader_of(word));
    }

private:
    /// What a thread ever needs to know, besides what it did itself.  Dropping the rest loses
    /// nothing: a reader could only hand on what it had learned from control, and to control.
    static knowledge matters_to(int thread) {
        knowledge k = 0;
        for (int object = 0; object < max_objects; ++object) {
            for (int c = 0; c < max_cells; ++c) {
                k |= thread == 0 ? read_by(object, c) : written(object);
            }
        }
        for (int c = 0; c < max_cells; ++c) {
            k |= thread == 0 ? queue_used(c, false) : thread == 1 + c ? queue_used(c, true) : 0;
        }
        return k;
    }

    static void drop(word_state& w, int n) {
        if (n == 0) {
            return;
        }
        for (int i = 0; i < depth; ++i) {
            bool const there = i + n < depth;
            w.value[at(i)] = there ? w.value[at(i + n)] : u8{0};
            w.carried[at(i)] = there ? w.carried[at(i + n)] : knowledge{0};
        }
        w.count = static_cast<u8>(w.count - n);
        w.fenced = static_cast<u8>(w.fenced > n ? w.fenced - n : 0);
    }
};

} // namespace model
