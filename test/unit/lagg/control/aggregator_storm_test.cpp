// Random events against a model of the driver: whatever comes in whatever order, the promises hold.
#include "rig.h"
#include "seed.h"

#include <algorithm>
#include <array>
#include <optional>
#include <set>

namespace lagg::test {
namespace {

constexpr port_id port_count = 40; // more than there is room for

/// What a listener knows of one id.
struct heard {
    port_id port = no_port;
    bool joined = false;
    bool distributing = false;
    bool link_up = false;
};

/// Carries out effects as the driver does, late and in any order, and checks each of them.
class storm : public rig {
public:
    explicit storm(std::uint64_t seed)
        : rig(config{},
              [this]() -> std::unique_ptr<snapshot> {
                  return out_of_memory ? nullptr : std::make_unique<snapshot>();
              }),
          d(seed),
          partner(
              {.system = {.priority = 32768, .address = {{2, 0, 0, 0, 0, 9}}}, .wait_while = 0ms}) {
        for (member_id id = 0; id < max_members; ++id) {
            partner.set_port(
                id, {.id = {.number = static_cast<std::uint16_t>(id + 1)}, .source = {{2, 1}}},
                now);
            partner.set_link(id, true, true, 10000, now);
        }
    }

    void step() {
        for (std::uint32_t n = d.below(4); n > 0; --n) {
            something_happens();
        }
        out_of_memory = d.one_in(20);
        flush_and_check();
        if (d.one_in(3)) {
            now += std::chrono::milliseconds(d.below(80));
        }
    }

    /// Lets everything that was begun come to its end.
    void settle() {
        out_of_memory = false;
        do {
            while (!to_prepare.empty() || !to_release.empty() || !to_await.empty()) {
                answer();
                flush_and_check();
            }
            now += 10s; // Markers, and drains when no burst is parked any more, end by themselves
            handle(event::bursts_ended{.version = control.version()});
            handle(event::tick{});
            flush_and_check();
        } while (draining() || !to_prepare.empty() || !to_release.empty() || !to_await.empty());
    }

    std::set<request_id> open;
    dice d;
    lacp::system partner; // its port n is wired to member n

private:
    void something_happens() {
        auto const port = static_cast<port_id>(d.below(port_count));
        switch (d.below(18)) {
        case 0:
        case 1: open.insert(ask_to_add(port)); break;
        case 2: open.insert(ask_to_remove(port)); break;
        case 14:
            handle(event::remove_member{.request = ++asked, .port = port, .drain = true});
            open.insert(asked);
            break;
        case 15: partner_speaks(); break;
        case 3:
            if (d.one_in(4)) {
                handle(event::member_vanished{.port = port});
            }
            break;
        case 4: link_event(); break;
        case 5: open.insert(ask_for(some_config())); break;
        case 6: run_event(); break;
        case 7: port_event(); break;
        case 8: handle(event::tick{}); break;
        case 9: unasked_answer(); break;
        default: answer(); break;
        }
    }

    bool draining() const {
        return std::any_of(control.members().begin(), control.members().end(),
                           [](member const& m) { return m.draining; });
    }

    /// Loses some, and answers Markers never, late or at once.
    void partner_speaks() {
        partner.run(now);
        for (auto const& out : partner.take_frames()) {
            event::slow_frame e;
            e.id = out.port;
            e.length = static_cast<std::uint16_t>(d.one_in(20) ? d.below(130) : out.frame.size());
            std::copy(out.frame.begin(), out.frame.end(), e.bytes.begin());
            if (!d.one_in(10)) {
                handle(e);
            }
        }
    }

    void link_event() {
        auto const id = static_cast<member_id>(d.below(max_members));
        handle(event::link_changed{.id = id, .link = some_link()});
    }
    void run_event() {
        handle(event::run_changed{
            .request = ++asked, .started = !d.one_in(5), .admin_up = !d.one_in(5)});
        open.insert(asked);
    }
    void port_event() {
        event::port_changed e{.request = ++asked, .promiscuous = d.one_in(2)};
        e.addresses.resize(d.below(max_addresses + 2));
        handle(e);
        open.insert(asked);
    }

    link_state some_link() {
        return d.one_in(3) ? down() : up(d.one_in(4) ? 0 : 10000 * (1 + d.below(4)));
    }

    config some_config() {
        config c;
        c.policy = static_cast<policy>(d.below(policy_count));
        c.stride = d.below(6); // 0 is refused
        c.hash.seed = d.below(2);
        c.primary = d.one_in(2) ? name_of(static_cast<port_id>(d.below(port_count))) : "";
        c.failback = static_cast<failback>(d.below(3));
        c.failback_hold = std::chrono::milliseconds(d.below(3) * 50);
        c.rx_all = d.one_in(2);
        c.min_links = d.below(4);
        c.up_delay = std::chrono::milliseconds(d.below(2) * 60);
        c.down_delay = std::chrono::milliseconds(d.below(2) * 40);
        c.lacp.system.wait_while = std::chrono::milliseconds(d.below(2) * 100);
        c.lacp.system.max_links = 1 + d.below(4);
        c.lacp.system.fallback = static_cast<lacp::fallback>(d.below(3));
        c.lacp.system.mux = static_cast<lacp::mux_control>(d.below(2));
        c.lacp.reorder_guard = !d.one_in(4);
        if (d.one_in(3)) {
            c.weights = {{name_of(1), 1 + d.below(9)}, {name_of(2), 1 + d.below(9)}};
        }
        return c;
    }

    /// Late answers to questions that were asked.
    void answer() {
        switch (d.below(3)) {
        case 0:
            if (auto const id = take_any(to_prepare)) {
                errc const error = d.one_in(4) ? errc::device : errc::ok;
                in_use[*id] = error == errc::ok;
                handle(event::member_prepared{
                    .id = *id, .error = error, .link = some_link(), .filter = d.one_in(4)});
            }
            break;
        case 1:
            if (auto const id = take_any(to_await)) {
                if (contains_id(published, *id)) {
                    break; // its leaving was cancelled: the driver forgets the question
                }
                handle(event::member_quiescent{.id = *id});
            }
            break;
        default:
            if (auto const id = take_any(to_release)) {
                in_use[*id] = false;
                handle(event::member_released{.id = *id});
            }
            break;
        }
    }

    /// Answers that the driver never gives for members in this phase; they must do nothing.
    void unasked_answer() {
        auto const id = static_cast<member_id>(d.below(max_members));
        auto const m = std::find_if(control.members().begin(), control.members().end(),
                                    [id](member const& x) { return x.id == id; });
        bool const nobody = m == control.members().end();
        // what handle() leaves of `m` is nobody's any more
        auto const phase = nobody ? member_phase::present : m->phase;
        if (phase == member_phase::present || phase == member_phase::joining) {
            handle(event::member_quiescent{.id = id});
            handle(event::member_released{.id = id});
        }
        if (phase == member_phase::present) {
            handle(event::member_prepared{.id = id, .error = errc::device});
        }
    }

    std::optional<member_id> take_any(std::vector<member_id>& from) {
        if (from.empty()) {
            return std::nullopt;
        }
        auto const at = from.begin() + d.below(static_cast<std::uint32_t>(from.size()));
        member_id const id = *at;
        from.erase(at);
        return id;
    }

    static bool contains_id(snapshot const& s, member_id id) {
        return std::any_of(s.polled.begin(), s.polled.end(),
                           [id](polled_member const& p) { return p.id == id; });
    }

    void flush_and_check() {
        snapshot const before = published;
        auto const version = control.version();
        errc const error = flush();
        if (error != errc::ok) {
            ASSERT_EQ(error, errc::out_of_memory);
            ASSERT_TRUE(out_of_memory);
            ASSERT_TRUE(last.empty());
            ASSERT_EQ(control.version(), version);
            return;
        }
        check_order(before, version);
        for (auto const& e : last) {
            std::visit([this](auto const& effect) { carry_out(effect); }, e);
        }
        if (control.version() > 0) {
            check_snapshot();
            check_members();
            check_link();
            ASSERT_GT(control.next_deadline(), now) << "something is overdue";
        }
    }

    void check_order(snapshot const& before, std::uint64_t version) {
        bool completing = false;
        for (std::size_t i = 0; i < last.size(); ++i) {
            if (std::holds_alternative<effect::publish>(last[i])) {
                ASSERT_EQ(i, 0U) << "publish comes first, once";
            }
            bool const completion = std::holds_alternative<effect::complete>(last[i]);
            ASSERT_TRUE(completion || !completing) << "completions come last";
            completing = completion;
        }
        bool const publishes = count<effect::publish>() == 1;
        ASSERT_EQ(published.version, version + (publishes ? 1 : 0));
        ASSERT_EQ(control.version(), published.version);
        ASSERT_TRUE(!publishes || version == 0 || !same_but_for_version(before, published));
    }

    void carry_out(effect::publish const&) {}
    void carry_out(effect::prepare_member const& e) {
        ASSERT_FALSE(in_use[e.id]) << "id " << unsigned{e.id} << " was not released yet";
        ASSERT_FALSE(contains_id(published, e.id));
        in_use[e.id] = true;
        to_prepare.push_back(e.id);
    }
    void carry_out(effect::await_quiescence const& e) {
        ASSERT_FALSE(contains_id(published, e.id));
        if (std::find(to_await.begin(), to_await.end(), e.id) == to_await.end()) {
            to_await.push_back(e.id);
        }
    }
    void carry_out(effect::await_bursts const& e) {
        ASSERT_LE(e.version, published.version);
        if (!d.one_in(4)) { // else a burst is parked for good
            handle(event::bursts_ended{.version = e.version});
        }
    }
    void carry_out(effect::send_frame const& e) {
        ASSERT_TRUE(in_use[e.id]) << "a member that was given back";
        partner.receive(e.id, e.frame, now);
    }
    void carry_out(effect::release_member const& e) {
        ASSERT_FALSE(contains_id(published, e.id));
        ASSERT_TRUE(in_use[e.id]);
        to_release.push_back(e.id);
    }
    void carry_out(effect::complete const& e) {
        ASSERT_EQ(open.erase(e.request), 1U) << "request " << e.request << " ended before";
        ASSERT_NE(e.error, errc::in_progress);
        ASSERT_EQ(e.error == errc::ok, e.text.empty());
    }
    void carry_out(effect::report_link const& e) {
        ASSERT_NE(e.link, link);
        link = e.link;
    }
    void carry_out(effect::notify_member const& e) {
        using enum effect::member_change;
        heard& h = told_of[e.id];
        ASSERT_EQ(h.joined, e.change != joined) << name_of(e.port) << " " << word(e.change);
        ASSERT_TRUE(e.change == joined || h.port == e.port);
        switch (e.change) {
        case joined: h = {.port = e.port, .joined = true}; break;
        case left:
            ASSERT_FALSE(h.distributing);
            h = {};
            break;
        case distributing:
        case standby:
            ASSERT_EQ(h.distributing, e.change == standby);
            h.distributing = !h.distributing;
            break;
        case link_up:
        case link_down:
            ASSERT_EQ(h.link_up, e.change == link_down);
            h.link_up = !h.link_up;
            break;
        }
    }

    void check_snapshot() {
        std::set<port_id> seen;
        for (std::size_t i = 0; i < published.polled.size(); ++i) {
            ASSERT_TRUE(seen.insert(published.polled[i].port).second);
            ASSERT_TRUE(i == 0 || published.polled[i - 1].id < published.polled[i].id);
        }
        for (std::size_t i = 0; i < published.distributing.size(); ++i) {
            ASSERT_TRUE(i == 0 || published.distributing[i - 1].id < published.distributing[i].id);
            ASSERT_TRUE(contains_id(published, published.distributing[i].id));
        }
        std::array<std::size_t, bucket_count> served{};
        for (std::size_t b = 0; b < bucket_count; ++b) {
            ++served[published.bucket[b]];
            if (published.how == spread::by_flow_held && published.bucket[b] == held_bucket) {
                ASSERT_TRUE(control.guard().held().test(b));
                continue;
            }
            if (published.how == spread::by_flow || published.how == spread::by_flow_held) {
                ASSERT_LT(published.bucket[b], published.distributing.size());
                ASSERT_EQ(published.distributing[published.bucket[b]].id, control.table().owner(b));
            }
        }
        for (std::size_t i = 0;
             published.how == spread::by_flow && i < published.distributing.size(); ++i) {
            ASSERT_GT(served[i], 0U) << "a distributing member without a bucket";
        }
        ASSERT_EQ(published.how == spread::nobody, published.distributing.empty());
        ASSERT_TRUE(published.run == run_state::running || published.polled.empty());
        ASSERT_GE(published.stride, 1U);
    }

    void check_members() {
        auto const& members = control.members();
        ASSERT_LE(members.size(), max_members);
        for (std::size_t i = 0; i < members.size(); ++i) {
            member const& m = members[i];
            ASSERT_TRUE(i == 0 || members[i - 1].id < m.id);
            ASSERT_TRUE(in_use[m.id]);
            bool const running = published.run == run_state::running;
            ASSERT_EQ(contains_id(published, m.id), running && m.phase == member_phase::present);
            ASSERT_TRUE(!m.distributing || (m.usable && m.phase == member_phase::present));
            ASSERT_TRUE(!m.collecting || (m.usable && m.phase == member_phase::present));
            ASSERT_EQ(told_of[m.id].distributing, m.distributing);
            ASSERT_EQ(told_of[m.id].joined, m.announced);
            ASSERT_EQ(told_of[m.id].link_up, m.usable);
        }
    }

    void check_link() {
        std::uint32_t speed = 0;
        std::size_t distributing = 0;
        for (auto const& m : control.members()) {
            if (m.distributing) {
                ++distributing;
                speed += m.link.speed_mbps;
            }
        }
        ASSERT_EQ(distributing, published.distributing.size());
        bool const is_up = distributing >= std::max(control.current_config().min_links, 1U);
        ASSERT_EQ(link.up, is_up);
        ASSERT_EQ(link.speed_mbps, is_up ? speed : 0U);
        ASSERT_EQ(link, control.link());
    }

    bool out_of_memory = false;
    std::array<bool, max_members> in_use{};
    std::array<heard, max_members> told_of{};
    link_state link;
    std::vector<member_id> to_prepare;
    std::vector<member_id> to_await;
    std::vector<member_id> to_release;
};

/// Storms that once broke a promise.
TEST(Aggregator, AwaitsTheBurstsOfNoSnapshotThatWasNotPublished) {
    storm s{4117298296U + 39};
    for (int step = 0; step < 1500 && !testing::Test::HasFatalFailure(); ++step) {
        s.step();
    }
}

TEST(Aggregator, KeepsItsPromisesInAnyStormOfEvents) {
    auto const seed = fresh_seed("KeepsItsPromisesInAnyStormOfEvents");
    for (std::size_t run = 0; run < rounds(40); ++run) {
        storm s{seed + run};
        for (int step = 0; step < 1500; ++step) {
            s.step();
            if (testing::Test::HasFatalFailure()) {
                FAIL() << "run " << run << " step " << step;
            }
        }
        s.settle();
        if (testing::Test::HasFatalFailure()) {
            FAIL() << "run " << run << " while settling";
        }
        EXPECT_TRUE(s.open.empty()) << s.open.size() << " requests never ended, run " << run;
    }
}

} // namespace
} // namespace lagg::test
