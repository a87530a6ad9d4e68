// The explorer's fourth memory: the out-of-order machine, and plain data on it.
//
// A plain access is not executed at one moment that is chosen, but at any moment that nothing
// forbids.  A load: from the floor of its thread (it may have been executed early) until the
// thread's next store-release or fence is executed.  A store: from its issue until then.  Where two
// accesses that conflict may be executed in either order, the wrong order is found: a burst that
// reads what is not written yet or freed already, a queue's state that is read old.  So a plain
// access takes no choices and no values, but what is in order is the machine's order alone, not
// what a language promises.
#pragma once

#include "memory.h"
#include "out_of_order.h"

#include <array>
#include <bit>
#include <cstddef>

namespace model {

template<acquire_as Acquire>
struct arm : out_of_order<max_threads, max_words, Acquire> {
    using machine = out_of_order<max_threads, max_words, Acquire>;
    static constexpr char const* name = Acquire == acquire_as::ldar ? "Arm" : "Arm with ldapr";

    void begin(bool, bool) { this->base.fill(machine::nothing); }
    void initially(int word, u8 v) {
        this->base[at(word)] = v;
        present[at(writer_of(word))] = present[at(reader_of(word))] = 1;
    }

    u8 load(int thread, int word, int choice, order how) {
        u8 const value = this->read(thread, word, choice, how).value;
        forget();
        return value;
    }
    bool can_store(int thread, int) const { return this->can_wait(thread); }
    void store(int thread, int word, u8 v, order how) { this->write(thread, word, v, how); }

    int flushes(int thread) const { return this->waits(thread); }
    void flush(int thread, int i) {
        bool const release = this->waiting[at(thread)][at(i)].kind == machine::store_release;
        machine::flush(thread, i);
        for (int a = 0; a < accesses; ++a) {
            if (!is_open(a) || thread_of(a) != thread) {
                continue;
            }
            if (issued_after(a) > i) {
                --access[at(a)]; // one fewer waits before it
            } else if (release) {
                access[at(a)] = this->length; // before the store, so over by now
            }
        }
        forget();
    }

    void full_fence(int thread) {
        end_accesses(thread);
        machine::fence(thread);
        forget();
    }
    void interrupt(int thread) { full_fence(thread); }

    /// A plain access that leaves `mark`, after all of `needs`.  False: they may change places.
    bool plain(int thread, knowledge mark, knowledge needs) {
        int const me = std::countr_zero(mark);
        bool const only_stores = me < max_objects;
        u8 const from = only_stores ? this->length : this->floor[at(thread)];
        for (int a = 0; a < accesses; ++a) {
            if ((needs >> a & 1U) != 0 && (is_open(a) || access[at(a)] > from)) {
                return false;
            }
        }
        access[at(me)] = as_u8(open | this->count[at(thread)]);
        return true;
    }

private:
    using machine::as_u8;
    using machine::at;
    using machine::nothing;

    static constexpr int accesses = max_objects * (1 + max_cells) + 2 * max_cells;
    static constexpr u8 open = 0x80;

    /// By bit of knowledge.  Open: | how many accesses of its thread waited when it was issued.
    /// Else the moment at which it was over, 0 when nobody can have been earlier.
    std::array<u8, accesses> access{};
    std::array<u8, max_threads> present{};

    bool is_open(int a) const { return (access[at(a)] & open) != 0; }
    int issued_after(int a) const { return access[at(a)] & ~open; }
    static int thread_of(int a) {
        int const in_queues = a - max_objects * (1 + max_cells);
        return in_queues >= 0 ? (in_queues % 2 != 0 ? 0 : 1 + in_queues / 2) : a / max_objects;
    }
    /// Whether `thread` has loads that conflict with access `a`.
    static bool concerns(int a, int thread) {
        int const in_queues = a - max_objects * (1 + max_cells);
        if (in_queues >= 0) {
            return thread == (in_queues % 2 != 0 ? 1 + in_queues / 2 : 0);
        }
        return a < max_objects && thread != 0;
    }

    /// A fence ends its thread's accesses at a moment of its own.
    void end_accesses(int thread) {
        bool ended = false;
        for (int a = 0; a < accesses; ++a) {
            if (is_open(a) && thread_of(a) == thread) {
                access[at(a)] = as_u8(this->length + 1);
                ended = true;
            }
        }
        if (ended) {
            this->record({nothing, 0});
        }
    }

    // -- what can no longer matter is forgotten, so that equal situations are equal states

    void forget() {
        for (int a = 0; a < accesses; ++a) {
            if (!is_open(a) && nobody_was_before(a)) {
                access[at(a)] = 0;
            }
        }
        for (int word = 0; word < max_words; ++word) {
            forget_stores(word);
        }
        for (int moment = this->length; moment > 0; --moment) {
            if (this->log[at(moment - 1)].word == nothing && !ends_an_access(moment)) {
                remove(moment);
            }
        }
        for (int t = 0; t < max_threads; ++t) {
            if (this->released[at(t)] <= this->floor[at(t)]) {
                this->released[at(t)] = 0;
            }
        }
    }

    bool nobody_was_before(int a) const {
        for (int t = 0; t < max_threads; ++t) {
            if (present[at(t)] != 0 && concerns(a, t) && this->floor[at(t)] < access[at(a)]) {
                return false;
            }
        }
        return true;
    }

    /// A word has one reader: what it can read no more goes, and what it cannot read around is
    /// where the word's history begins.
    void forget_stores(int word) {
        int const t = reader_of(word);
        u8& newest_read = this->coherence[at(t)][at(word)];
        for (int moment = 0; moment <= this->length; ++moment) {
            if (!this->holds(word, moment)) {
                continue;
            }
            bool const read_around = !this->readable(t, word, moment, this->floor[at(t)]);
            if (!read_around && moment > this->floor[at(t)]) {
                break;
            }
            if (moment == 0) {
                if (read_around) {
                    this->base[at(word)] = nothing;
                }
                continue;
            }
            if (!read_around) {
                this->base[at(word)] = this->log[at(moment - 1)].value;
                newest_read = 0;
            }
            this->log[at(moment - 1)] = {nothing, 0};
        }
        this->coherence[at(writer_of(word))][at(word)] = 0; // which never reads it
        if (this->base[at(word)] == nothing) {
            forget_coherence(word, newest_read);
        }
    }
    void forget_coherence(int word, u8& newest_read) const {
        int first = 1;
        while (first <= this->length && !this->holds(word, first)) {
            ++first;
        }
        if (first >= newest_read) {
            newest_read = 0;
        }
    }

    bool ends_an_access(int moment) const {
        for (int a = 0; a < accesses; ++a) {
            if (access[at(a)] == moment) {
                return true;
            }
        }
        return false;
    }

    void remove(int moment) {
        for (int m = moment; m < this->length; ++m) {
            this->log[at(m - 1)] = this->log[at(m)];
        }
        this->log[at(--this->length)] = {0, 0};
        auto const shift = [moment](u8& view) { view = as_u8(view - (view >= moment ? 1 : 0)); };
        for (int a = 0; a < accesses; ++a) {
            if (!is_open(a)) {
                shift(access[at(a)]);
            }
        }
        for (int t = 0; t < max_threads; ++t) {
            shift(this->floor[at(t)]);
            shift(this->released[at(t)]);
            for (u8& newest : this->coherence[at(t)]) {
                shift(newest);
            }
        }
    }
};

} // namespace model
