// The out-of-order machine against what the ARMv8 architecture allows and forbids: small programs
// whose outcome is known, each run in every way that the machine has.  Names are those of the
// literature: MP message passing, SB store buffering, LB load buffering, IRIW independent reads of
// independent writes...; "po" is program order alone.
#include "out_of_order.h"

#include <gtest/gtest.h>

#include <array>
#include <cstddef>
#include <cstring>
#include <iostream>
#include <ostream>
#include <set>
#include <string>
#include <vector>

namespace model {
namespace {

constexpr int max_threads = 4;
constexpr int max_words = 3;
constexpr int max_registers = 4;
enum word : int { x, y, z };

struct instruction {
    enum class what { load, store, fence, membarrier };
    what does;
    int word = 0;
    int operand = 0; // register of a load, value of a store
    order how = order::relaxed;
    int needs = -1;         // register of the address, data or branch before
    bool by_branch = false; // only a branch: a load need not wait for it

    instruction addr(int r) const { return needing(r, false); }
    instruction data(int r) const { return needing(r, false); }
    instruction ctrl(int r) const { return needing(r, true); }

private:
    instruction needing(int r, bool branch) const {
        instruction i = *this;
        i.needs = r;
        i.by_branch = branch;
        return i;
    }
};
using enum instruction::what;

instruction ld(int r, int w) {
    return {load, w, r};
}
instruction lda(int r, int w) {
    return {load, w, r, order::acquire};
}
instruction st(int w, int v) {
    return {store, w, v};
}
instruction stl(int w, int v) {
    return {store, w, v, order::release};
}
instruction dmb() {
    return {fence};
}
/// Of the process: a fence here, one forced into each other thread, and one here.
instruction heavy() {
    return {membarrier};
}

struct wanted {
    bool final_value; // of a word; else of a register
    int which;
    int value;
};
wanted reg(int r, int v) {
    return {false, r, v};
}
wanted last(int w, int v) {
    return {true, w, v};
}

enum class verdict { forbidden, allowed, allowed_with_ldapr };
constexpr auto forbidden = verdict::forbidden;
constexpr auto allowed = verdict::allowed;
constexpr auto allowed_with_ldapr = verdict::allowed_with_ldapr;

struct litmus {
    char const* name;
    std::vector<std::vector<instruction>> threads;
    std::vector<wanted> outcome;
    verdict arm;
};
void PrintTo(litmus const& l, std::ostream* out) {
    *out << l.name;
}

/// Runs a program in all ways.
template<acquire_as Acquire>
class runner {
public:
    explicit runner(litmus const& l) : litmus_(l) {
        state s;
        std::memset(static_cast<void*>(&s), 0, sizeof s);
        visit(s);
    }
    bool met() const { return met_; }
    std::size_t ends() const { return ends_; }
    std::size_t states() const { return seen_.size(); }

private:
    using machine = out_of_order<max_threads, max_words, Acquire>;
    struct loaded {
        u8 known, value, moment;
    };
    struct state {
        machine memory;
        std::array<u8, max_threads> pc;
        std::array<u8, max_threads> interrupted; // by the membarrier under way, and the next to be
        std::array<loaded, max_registers> r;
    };
    static_assert(std::has_unique_object_representations_v<state>);

    static std::size_t at(int i) { return static_cast<std::size_t>(i); }
    int threads() const { return static_cast<int>(litmus_.threads.size()); }

    void visit(state const& s) {
        std::string bytes(sizeof s, '\0');
        std::memcpy(bytes.data(), &s, sizeof s);
        if (!seen_.insert(std::move(bytes)).second) {
            return;
        }
        bool ended = true;
        for (int t = 0; t < threads(); ++t) {
            ended = ended && s.pc[at(t)] == litmus_.threads[at(t)].size() && s.memory.waits(t) == 0;
            for (int i = 0; i < s.memory.waits(t); ++i) {
                flush(s, t, i);
            }
            if (s.pc[at(t)] < litmus_.threads[at(t)].size()) {
                issue(s, t, litmus_.threads[at(t)][s.pc[at(t)]]);
            }
        }
        if (ended) {
            ++ends_;
            met_ = met_ || is_outcome(s);
        }
    }

    void flush(state const& s, int t, int i) {
        if (s.memory.can_flush(t, i)) {
            state n = s;
            auto const done = n.memory.flush(t, i);
            if (done.name != machine::nothing) {
                n.r[done.name] = loaded{1, done.what.value, done.what.moment};
            }
            visit(n);
        }
    }

    void issue(state const& s, int t, instruction const& i) {
        state n = s;
        ++n.pc[at(t)];
        bool const known = i.needs < 0 || s.r[at(i.needs)].known != 0;
        u8 const moment = i.needs < 0 || i.by_branch ? u8{0} : s.r[at(i.needs)].moment;
        switch (i.does) {
        case load:
            if (known || i.by_branch) {
                issue_load(n, t, i, moment);
            }
            return;
        case store:
            if (known && s.memory.can_wait(t)) {
                n.memory.write(t, i.word, static_cast<u8>(i.operand), i.how, moment);
                visit(n);
            }
            return;
        case fence:
            if (s.memory.can_fence(t)) {
                n.memory.fence(t);
                visit(n);
            }
            return;
        case membarrier: return issue_membarrier(s, n, t);
        }
    }

    void issue_load(state const& issued, int t, instruction const& i, u8 moment) {
        for (int c = 0; c < issued.memory.choices(t, i.word, i.how, moment); ++c) {
            state n = issued;
            auto const got = n.memory.read(t, i.word, c, i.how, moment);
            n.r[at(i.operand)] = loaded{1, got.value, got.moment};
            visit(n);
        }
        if (i.how == order::relaxed && issued.memory.can_wait(t)) {
            state n = issued;
            n.memory.read_later(t, i.word, static_cast<u8>(i.operand));
            visit(n);
        }
    }

    /// The fence here, then one at a time those of the others, then again here.
    void issue_membarrier(state s, state issued, int t) {
        u8& next = s.interrupted[at(t)];
        if (next == threads()) {
            issued.memory.fence(t);
            issued.interrupted[at(t)] = 0;
            return visit(issued);
        }
        int const whom = next == 0 ? t : next - 1 < t ? next - 1 : next;
        if (s.memory.can_fence(whom)) {
            s.memory.fence(whom);
            ++next;
            visit(s);
        }
    }

    bool is_outcome(state const& s) const {
        for (wanted const& w : litmus_.outcome) {
            int const value = w.final_value ? final_value(s, w.which) : s.r[at(w.which)].value;
            if (value != w.value) {
                return false;
            }
        }
        return true;
    }
    static int final_value(state const& s, int word) {
        int value = 0;
        for (int i = 0; i < s.memory.length; ++i) {
            value = s.memory.log[at(i)].word == word ? s.memory.log[at(i)].value : value;
        }
        return value;
    }

    litmus const& litmus_;
    std::set<std::string> seen_;
    bool met_ = false;
    std::size_t ends_ = 0;
};

class Litmus : public testing::TestWithParam<litmus> {};

TEST_P(Litmus, HasTheOutcomesThatArmv8Allows) {
    litmus const& l = GetParam();
    runner<acquire_as::ldar> const with_ldar(l);
    runner<acquire_as::ldapr> const with_ldapr(l);
    EXPECT_GT(with_ldar.ends(), 0U);
    EXPECT_EQ(l.arm == allowed, with_ldar.met());
    EXPECT_EQ(l.arm != forbidden, with_ldapr.met());
    std::cout << "litmus: " << l.name << "; " << with_ldar.states() + with_ldapr.states()
              << " states\n";
}

std::string name_of(testing::TestParamInfo<litmus> const& given) {
    std::string name = given.param.name;
    for (char& c : name) {
        c = c == '+' || c == '-' ? '_' : c;
    }
    return name;
}

auto const stale = std::vector{reg(0, 1), reg(1, 0)};
auto const both_old = std::vector{reg(0, 0), reg(1, 0)};
auto const both_new = std::vector{reg(0, 1), reg(1, 1)};

INSTANTIATE_TEST_SUITE_P(
    MessagePassing, Litmus,
    testing::Values(
        litmus{"MP", {{st(x, 1), st(y, 1)}, {ld(0, y), ld(1, x)}}, stale, allowed},
        litmus{"MP+dmbs",
               {{st(x, 1), dmb(), st(y, 1)}, {ld(0, y), dmb(), ld(1, x)}},
               stale,
               forbidden},
        litmus{"MP+dmb+po", {{st(x, 1), dmb(), st(y, 1)}, {ld(0, y), ld(1, x)}}, stale, allowed},
        litmus{"MP+po+dmb", {{st(x, 1), st(y, 1)}, {ld(0, y), dmb(), ld(1, x)}}, stale, allowed},
        litmus{"MP+dmb+addr",
               {{st(x, 1), dmb(), st(y, 1)}, {ld(0, y), ld(1, x).addr(0)}},
               stale,
               forbidden},
        litmus{"MP+dmb+ctrl",
               {{st(x, 1), dmb(), st(y, 1)}, {ld(0, y), ld(1, x).ctrl(0)}},
               stale,
               allowed},
        litmus{"MP+po+addr", {{st(x, 1), st(y, 1)}, {ld(0, y), ld(1, x).addr(0)}}, stale, allowed},
        litmus{"MP+rel+acq", {{st(x, 1), stl(y, 1)}, {lda(0, y), ld(1, x)}}, stale, forbidden},
        litmus{"MP+rel+po", {{st(x, 1), stl(y, 1)}, {ld(0, y), ld(1, x)}}, stale, allowed},
        litmus{"MP+po+acq", {{st(x, 1), st(y, 1)}, {lda(0, y), ld(1, x)}}, stale, allowed},
        litmus{
            "MP+rel+addr", {{st(x, 1), stl(y, 1)}, {ld(0, y), ld(1, x).addr(0)}}, stale, forbidden},
        litmus{"MP+rel-first+acq", {{stl(x, 1), st(y, 1)}, {lda(0, y), ld(1, x)}}, stale, allowed},
        litmus{"MP+rel+acq-second", {{st(x, 1), stl(y, 1)}, {ld(0, y), lda(1, x)}}, stale, allowed},
        // A store that is forwarded across a branch that is not decided, but not across an address.
        litmus{
            "PPOCA",
            {{st(x, 1), dmb(), st(y, 1)}, {ld(0, y), st(z, 1).ctrl(0), ld(2, z), ld(1, x).addr(2)}},
            {reg(0, 1), reg(2, 1), reg(1, 0)},
            allowed},
        litmus{
            "PPOAA",
            {{st(x, 1), dmb(), st(y, 1)}, {ld(0, y), st(z, 1).data(0), ld(2, z), ld(1, x).addr(2)}},
            {reg(0, 1), reg(2, 1), reg(1, 0)},
            forbidden}),
    name_of);

INSTANTIATE_TEST_SUITE_P(
    StoreBuffering, Litmus,
    testing::Values(
        litmus{"SB", {{st(x, 1), ld(0, y)}, {st(y, 1), ld(1, x)}}, both_old, allowed},
        litmus{"SB+dmbs",
               {{st(x, 1), dmb(), ld(0, y)}, {st(y, 1), dmb(), ld(1, x)}},
               both_old,
               forbidden},
        litmus{"SB+dmb+po", {{st(x, 1), dmb(), ld(0, y)}, {st(y, 1), ld(1, x)}}, both_old, allowed},
        litmus{"SB+rel-acq",
               {{stl(x, 1), lda(0, y)}, {stl(y, 1), lda(1, x)}},
               both_old,
               allowed_with_ldapr},
        litmus{"SB+rel-po", {{stl(x, 1), ld(0, y)}, {stl(y, 1), ld(1, x)}}, both_old, allowed},
        litmus{"SB+dmb+rel-acq",
               {{st(x, 1), dmb(), ld(0, y)}, {stl(y, 1), lda(1, x)}},
               both_old,
               allowed_with_ldapr},
        litmus{"SB+membarrier+po",
               {{st(x, 1), heavy(), ld(0, y)}, {st(y, 1), ld(1, x)}},
               both_old,
               forbidden},
        litmus{"SB+membarrier+rel-acq",
               {{stl(x, 1), heavy(), lda(0, y)}, {stl(y, 1), lda(1, x)}},
               both_old,
               forbidden},
        litmus{"R", {{st(x, 1), st(y, 1)}, {st(y, 2), ld(0, x)}}, {last(y, 2), reg(0, 0)}, allowed},
        litmus{"R+dmbs",
               {{st(x, 1), dmb(), st(y, 1)}, {st(y, 2), dmb(), ld(0, x)}},
               {last(y, 2), reg(0, 0)},
               forbidden},
        litmus{"R+dmb+po",
               {{st(x, 1), dmb(), st(y, 1)}, {st(y, 2), ld(0, x)}},
               {last(y, 2), reg(0, 0)},
               allowed},
        litmus{"R+rel+rel-acq",
               {{st(x, 1), stl(y, 1)}, {stl(y, 2), lda(0, x)}},
               {last(y, 2), reg(0, 0)},
               allowed_with_ldapr},
        litmus{"R+rel+membarrier",
               {{st(x, 1), stl(y, 1)}, {st(y, 2), heavy(), ld(0, x)}},
               {last(y, 2), reg(0, 0)},
               forbidden}),
    name_of);

INSTANTIATE_TEST_SUITE_P(
    LoadBuffering, Litmus,
    testing::Values(
        litmus{"LB", {{ld(0, x), st(y, 1)}, {ld(1, y), st(x, 1)}}, both_new, allowed},
        litmus{"LB+dmbs",
               {{ld(0, x), dmb(), st(y, 1)}, {ld(1, y), dmb(), st(x, 1)}},
               both_new,
               forbidden},
        litmus{"LB+dmb+po", {{ld(0, x), dmb(), st(y, 1)}, {ld(1, y), st(x, 1)}}, both_new, allowed},
        litmus{"LB+datas",
               {{ld(0, x), st(y, 1).data(0)}, {ld(1, y), st(x, 1).data(1)}},
               both_new,
               forbidden},
        litmus{"LB+ctrls",
               {{ld(0, x), st(y, 1).ctrl(0)}, {ld(1, y), st(x, 1).ctrl(1)}},
               both_new,
               forbidden},
        litmus{
            "LB+ctrl+po", {{ld(0, x), st(y, 1).ctrl(0)}, {ld(1, y), st(x, 1)}}, both_new, allowed},
        litmus{"LB+rels", {{ld(0, x), stl(y, 1)}, {ld(1, y), stl(x, 1)}}, both_new, forbidden},
        litmus{"LB+rel+po", {{ld(0, x), stl(y, 1)}, {ld(1, y), st(x, 1)}}, both_new, allowed},
        litmus{"LB+acqs", {{lda(0, x), st(y, 1)}, {lda(1, y), st(x, 1)}}, both_new, forbidden},
        litmus{"LB+rel+ctrl",
               {{ld(0, x), stl(y, 1)}, {ld(1, y), st(x, 1).ctrl(1)}},
               both_new,
               forbidden},
        litmus{"LB+addr-po+po",
               {{ld(0, x), ld(2, z).addr(0), st(y, 1)}, {ld(1, y), st(x, 1).data(1)}},
               both_new,
               forbidden},
        litmus{"S", {{st(x, 2), st(y, 1)}, {ld(0, y), st(x, 1)}}, {reg(0, 1), last(x, 2)}, allowed},
        litmus{"S+dmb+po",
               {{st(x, 2), dmb(), st(y, 1)}, {ld(0, y), st(x, 1)}},
               {reg(0, 1), last(x, 2)},
               allowed},
        litmus{"S+dmb+ctrl",
               {{st(x, 2), dmb(), st(y, 1)}, {ld(0, y), st(x, 1).ctrl(0)}},
               {reg(0, 1), last(x, 2)},
               forbidden},
        litmus{"S+rel+data",
               {{st(x, 2), stl(y, 1)}, {ld(0, y), st(x, 1).data(0)}},
               {reg(0, 1), last(x, 2)},
               forbidden},
        litmus{"S+rel+acq",
               {{st(x, 2), stl(y, 1)}, {lda(0, y), st(x, 1)}},
               {reg(0, 1), last(x, 2)},
               forbidden},
        litmus{"2+2W",
               {{st(x, 2), st(y, 1)}, {st(y, 2), st(x, 1)}},
               {last(x, 2), last(y, 2)},
               allowed},
        litmus{"2+2W+dmbs",
               {{st(x, 2), dmb(), st(y, 1)}, {st(y, 2), dmb(), st(x, 1)}},
               {last(x, 2), last(y, 2)},
               forbidden},
        litmus{"2+2W+rels",
               {{st(x, 2), stl(y, 1)}, {st(y, 2), stl(x, 1)}},
               {last(x, 2), last(y, 2)},
               forbidden},
        litmus{"2+2W+rel+po",
               {{st(x, 2), stl(y, 1)}, {st(y, 2), st(x, 1)}},
               {last(x, 2), last(y, 2)},
               allowed}),
    name_of);

auto const disagree = std::vector{reg(0, 1), reg(1, 0), reg(2, 1), reg(3, 0)};

INSTANTIATE_TEST_SUITE_P(
    OneOrderForAll, Litmus,
    testing::Values(
        litmus{"IRIW",
               {{st(x, 1)}, {st(y, 1)}, {ld(0, x), ld(1, y)}, {ld(2, y), ld(3, x)}},
               disagree,
               allowed},
        litmus{"IRIW+addrs",
               {{st(x, 1)}, {st(y, 1)}, {ld(0, x), ld(1, y).addr(0)}, {ld(2, y), ld(3, x).addr(2)}},
               disagree,
               forbidden},
        litmus{"IRIW+ctrls",
               {{st(x, 1)}, {st(y, 1)}, {ld(0, x), ld(1, y).ctrl(0)}, {ld(2, y), ld(3, x).ctrl(2)}},
               disagree,
               allowed},
        litmus{"IRIW+dmbs",
               {{st(x, 1)}, {st(y, 1)}, {ld(0, x), dmb(), ld(1, y)}, {ld(2, y), dmb(), ld(3, x)}},
               disagree,
               forbidden},
        litmus{"IRIW+acqs",
               {{st(x, 1)}, {st(y, 1)}, {lda(0, x), ld(1, y)}, {lda(2, y), ld(3, x)}},
               disagree,
               forbidden},
        litmus{"WRC+data+addr",
               {{st(x, 1)}, {ld(0, x), st(y, 1).data(0)}, {ld(1, y), ld(2, x).addr(1)}},
               {reg(0, 1), reg(1, 1), reg(2, 0)},
               forbidden},
        litmus{"WRC+po+addr",
               {{st(x, 1)}, {ld(0, x), st(y, 1)}, {ld(1, y), ld(2, x).addr(1)}},
               {reg(0, 1), reg(1, 1), reg(2, 0)},
               allowed},
        litmus{"WRC+rel+acq",
               {{st(x, 1)}, {ld(0, x), stl(y, 1)}, {lda(1, y), ld(2, x)}},
               {reg(0, 1), reg(1, 1), reg(2, 0)},
               forbidden},
        litmus{"CoRR", {{st(x, 1)}, {ld(0, x), ld(1, x)}}, stale, forbidden},
        litmus{"CoRR+ctrl", {{st(x, 1)}, {ld(0, x), ld(1, x).ctrl(0)}}, stale, forbidden},
        litmus{"CoWR", {{st(x, 1), ld(0, x)}, {st(x, 2)}}, {reg(0, 2), last(x, 1)}, forbidden},
        litmus{"CoRW1", {{ld(0, x), st(x, 1)}}, {reg(0, 1)}, forbidden},
        litmus{"CoRW2", {{ld(0, x), st(x, 1)}, {st(x, 2)}}, {reg(0, 2), last(x, 2)}, forbidden},
        litmus{"CoWW", {{st(x, 1), st(x, 2)}}, {last(x, 1)}, forbidden},
        litmus{"CoWW+forwarded", {{st(x, 1), st(x, 2), ld(0, x)}}, {reg(0, 1)}, forbidden}),
    name_of);

} // namespace
} // namespace model
