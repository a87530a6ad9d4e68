// Policy lacp from the aggregator's side: who is in the snapshot, what is sent when, how members
// drain, how flows move.  What the machines do by themselves is tested in unit/lacp.
#include "lagg/control/aggregator.h"

#include "rig.h"

#include "lacp/marker.h"

#include <algorithm>
#include <array>
#include <vector>

namespace lagg::test {
namespace {

config lacp_config_of(std::uint8_t system) {
    config c = with_policy(policy::lacp);
    c.lacp.system.system.address = {{2, 0, 0, 0, 0, system}};
    c.lacp.system.wait_while = 0ms;
    return c;
}

/// Two aggregators; the member on port n of one is wired to the member on port n of the other.
/// Bursts end at once unless `parked`; a cut wire loses frames and tells nobody.
class back_to_back {
public:
    explicit back_to_back(config a = lacp_config_of(1), config b = lacp_config_of(2))
        : ends{rig{std::move(a)}, rig{std::move(b)}} {
        for (rig& r : ends) {
            r.start();
        }
    }

    std::array<rig, 2> ends;
    std::array<bool, 2> parked{};
    std::array<bool, 64> cut{};
    std::vector<effect::send_frame> markers; // requests that end 0 sent
    bool answer_markers = true;

    void join(port_id port) {
        for (rig& r : ends) {
            r.ask_to_add(port);
            pump(r);
            r.handle(event::member_prepared{
                .id = r.id_of(port),
                .link = up(),
                .address = {{2, 1, 0, 0, static_cast<std::uint8_t>(&r - ends.data()),
                             static_cast<std::uint8_t>(port)}}});
        }
        exchange();
    }

    /// Everything due until then, deadline by deadline.
    void run_for(time_point d) {
        time_point const end = ends[0].now + d;
        for (;;) {
            time_point const next =
                std::min({end, ends[0].control.next_deadline(), ends[1].control.next_deadline()});
            for (rig& r : ends) {
                r.now = std::max(r.now, next);
                r.handle(event::tick{});
            }
            exchange();
            if (next >= end) {
                return;
            }
        }
    }

    /// Until neither has anything more to say at this moment.
    void exchange() {
        for (int quiet = 0; quiet < 2;) {
            bool said = false;
            for (rig& r : ends) {
                said = pump(r) || said;
            }
            quiet = said ? 0 : quiet + 1;
        }
    }

    bool pump(rig& r) {
        EXPECT_EQ(r.flush(), errc::ok);
        bool said = false;
        for (auto const& e : r.last) {
            said = carry_out(r, e) || said;
        }
        return said;
    }

    bool carry_out(rig& r, any_effect const& e) {
        auto const who = static_cast<std::size_t>(&r - ends.data());
        if (auto const* frame = std::get_if<effect::send_frame>(&e)) {
            deliver(who, *frame);
        } else if (auto const* await = std::get_if<effect::await_bursts>(&e)) {
            if (parked[who]) {
                return false;
            }
            r.handle(event::bursts_ended{.version = await->version});
        } else if (auto const* leaving = std::get_if<effect::await_quiescence>(&e)) {
            r.handle(event::member_quiescent{.id = leaving->id});
        } else if (auto const* released = std::get_if<effect::release_member>(&e)) {
            r.handle(event::member_released{.id = released->id});
        } else if (auto const* done = std::get_if<effect::complete>(&e)) {
            completed.push_back(*done);
        } else if (auto const* told = std::get_if<effect::notify_member>(&e)) {
            if (who == 0) {
                changes.push_back(*told);
            }
        }
        return true;
    }

    void deliver(std::size_t from, effect::send_frame const& f) {
        auto const pdu = lacp::decode_marker(f.frame);
        if (pdu && from == 0 && !pdu->response) {
            markers.push_back(f);
        }
        if (cut[f.port] || (pdu && pdu->response && !answer_markers)) {
            return;
        }
        rig& to = ends[1 - from];
        if (to.find(f.port) == nullptr) {
            return;
        }
        event::slow_frame e;
        e.id = to.id_of(f.port);
        e.length = static_cast<std::uint16_t>(f.frame.size());
        std::copy(f.frame.begin(), f.frame.end(), e.bytes.begin());
        to.handle(e);
    }

    rig& here() { return ends[0]; }
    rig& there() { return ends[1]; }

    std::vector<effect::complete> completed;
    std::vector<effect::notify_member> changes; // at end 0
};

std::size_t held_in(snapshot const& s) {
    return static_cast<std::size_t>(std::count(s.bucket.begin(), s.bucket.end(), held_bucket));
}

TEST(AggregatorLacp, DistributesOnlyWhatBothEndsAgreedOn) {
    back_to_back pair;
    pair.ends[0].join(1);
    EXPECT_TRUE(pair.here().published.take_slow);
    EXPECT_TRUE(pair.here().distributing().empty()) << "nobody answered";
    EXPECT_EQ(pair.here().polled(), ports{1}) << "but it is listened to";
    back_to_back both;
    both.join(1);
    both.join(2);
    both.run_for(3s);
    for (rig& r : both.ends) {
        EXPECT_EQ(r.distributing(), (ports{1, 2}));
        EXPECT_EQ(r.collecting(), (ports{1, 2}));
        EXPECT_EQ(r.control.link().speed_mbps, 20000U);
    }
}

TEST(AggregatorLacp, PublishesBeforeItSendsWhatSpeaksOfIt) {
    back_to_back pair;
    pair.join(1);
    pair.run_for(3s);
    ASSERT_EQ(pair.here().distributing(), ports{1});
    rig& r = pair.here();
    r.ask_to_remove(1);
    ASSERT_EQ(r.flush(), errc::ok);
    auto const kinds = r.kinds();
    auto const publish = std::find(kinds.begin(), kinds.end(), "publish");
    auto const frame = std::find(kinds.begin(), kinds.end(), "send_frame");
    ASSERT_NE(publish, kinds.end());
    ASSERT_NE(frame, kinds.end()) << "the partner is told";
    EXPECT_LT(publish, frame);
}

TEST(AggregatorLacp, LosesASilentMemberAndKeepsTheOthersUndisturbed) {
    back_to_back pair;
    pair.join(1);
    pair.join(2);
    pair.run_for(3s);
    pair.changes.clear();
    pair.cut[2] = true;
    pair.run_for(4s);
    EXPECT_EQ(pair.here().distributing(), ports{1});
    for (auto const& change : pair.changes) {
        EXPECT_EQ(change.port, 2);
    }
    pair.cut[2] = false;
    pair.changes.clear();
    pair.run_for(10s);
    EXPECT_EQ(pair.here().distributing(), (ports{1, 2}));
    for (auto const& change : pair.changes) {
        EXPECT_EQ(change.port, 2) << "a member that joins never stops the others";
    }
}

TEST(AggregatorLacp, HoldsMovingFlowsUntilTheirMarkerCameBack) {
    back_to_back pair;
    pair.join(1);
    pair.run_for(3s);
    pair.parked[0] = true;
    pair.join(2);
    pair.run_for(20ms);
    for (int i = 0; i < 400 && pair.here().control.guard().idle(); ++i) {
        pair.run_for(10ms);
    }
    ASSERT_FALSE(pair.here().control.guard().idle()) << "2 joined; half of 1's flows move";
    EXPECT_EQ(pair.here().published.how, spread::by_flow_held);
    EXPECT_EQ(held_in(pair.here().published), bucket_count / 2);
    EXPECT_TRUE(pair.markers.empty()) << "a burst may still send on 1";

    pair.here().handle(event::bursts_ended{.version = pair.here().control.version()});
    pair.exchange();
    ASSERT_EQ(pair.markers.size(), 1U);
    EXPECT_EQ(pair.markers[0].port, 1);
    EXPECT_EQ(pair.markers[0].queue, 0);
    EXPECT_TRUE(pair.here().control.guard().idle());
    EXPECT_EQ(pair.here().published.how, spread::by_flow);
    EXPECT_EQ(held_in(pair.here().published), 0U);
}

TEST(AggregatorLacp, SendsAMarkerBehindEveryQueue) {
    back_to_back pair;
    pair.here().act(event::port_changed{.tx_queues = 3});
    pair.join(1);
    pair.run_for(3s);
    pair.join(2);
    pair.run_for(5s);
    std::vector<std::uint16_t> queues;
    for (auto const& m : pair.markers) {
        queues.push_back(m.queue);
    }
    EXPECT_EQ(queues, (std::vector<std::uint16_t>{0, 1, 2}));
    EXPECT_EQ(held_in(pair.here().published), 0U);
}

TEST(AggregatorLacp, MovesFlowsAfterTheBoundWhenNoMarkerComesBack) {
    back_to_back pair;
    pair.answer_markers = false;
    pair.join(1);
    pair.run_for(3s);
    pair.join(2);
    for (int i = 0; i < 4000 && pair.here().control.guard().idle(); ++i) {
        pair.run_for(1ms);
    }
    ASSERT_FALSE(pair.here().control.guard().idle());
    pair.run_for(pair.here().control.current_config().lacp.reorder_wait);
    EXPECT_EQ(held_in(pair.here().published), 0U);
    EXPECT_EQ(pair.here().published.how, spread::by_flow);
}

TEST(AggregatorLacp, HoldsNothingWithoutTheGuardOrWhenTheLinkDied) {
    config c = lacp_config_of(1);
    c.lacp.reorder_guard = false;
    back_to_back off{c};
    off.join(1);
    off.run_for(3s);
    off.join(2);
    off.run_for(5s);
    EXPECT_TRUE(off.markers.empty());

    back_to_back on;
    on.join(1);
    on.join(2);
    on.run_for(5s);
    on.markers.clear();
    on.here().link(2, down());
    EXPECT_EQ(on.here().distributing(), ports{1});
    EXPECT_EQ(held_in(on.here().published), 0U);
    EXPECT_TRUE(on.markers.empty());
}

TEST(AggregatorLacp, DrainsAMemberInOrderAndLetsItGo) {
    back_to_back pair;
    pair.join(1);
    pair.join(2);
    pair.run_for(5s);
    pair.markers.clear();
    rig& r = pair.here();
    member_id const leaving = r.id_of(2);
    r.handle(event::remove_member{.request = 99, .port = 2, .drain = true});
    ASSERT_EQ(r.flush(), errc::ok);
    EXPECT_EQ(r.distributing(), ports{1}) << "at once";
    EXPECT_EQ(r.collecting(), (ports{1, 2})) << "the partner may still send";
    EXPECT_EQ(r.published.how, spread::by_flow_held);
    EXPECT_TRUE(r.control.impatient());
    std::vector<any_effect> effects;
    for (auto& e : r.last) {
        effects.push_back(std::move(e));
    }
    for (auto const& e : effects) {
        pair.carry_out(r, e);
    }
    pair.exchange();
    pair.run_for(3s);
    EXPECT_EQ(r.find(2), nullptr) << "it has left";
    ASSERT_FALSE(pair.completed.empty());
    EXPECT_EQ(pair.completed.back().request, 99U);
    EXPECT_EQ(pair.completed.back().error, errc::ok);
    ASSERT_EQ(pair.markers.size(), 1U);
    EXPECT_EQ(pair.markers[0].id, leaving);
    EXPECT_EQ(pair.there().distributing(), ports{1}) << "the partner stopped as well";
    EXPECT_FALSE(r.control.impatient());
}

TEST(AggregatorLacp, TakesADrainBackWhenTheMemberIsAddedAgain) {
    back_to_back pair;
    pair.join(1);
    pair.join(2);
    pair.run_for(5s);
    rig& r = pair.here();
    r.handle(event::remove_member{.request = 99, .port = 2, .drain = true});
    r.handle(event::add_member{.request = 100, .port = 2, .name = "wire2"});
    pair.exchange();
    pair.run_for(10s);
    EXPECT_EQ(r.distributing(), (ports{1, 2}));
    ASSERT_EQ(pair.completed.size(), 6U) << "two joins on each end, the drain, the second add";
    EXPECT_EQ(pair.completed[4].error, errc::busy);
    EXPECT_EQ(pair.completed[5].error, errc::ok);
}

TEST(AggregatorLacp, SwitchesToAnotherPolicyAndBackUnderTheSameMembers) {
    back_to_back pair;
    pair.join(1);
    pair.join(2);
    pair.run_for(5s);
    rig& r = pair.here();
    config c = r.control.current_config();
    c.policy = policy::roundrobin;
    r.change(c);
    EXPECT_EQ(r.distributing(), (ports{1, 2}));
    EXPECT_GE(r.count<effect::send_frame>(), 2U) << "partners hear that LACP ends";
    EXPECT_FALSE(r.published.take_slow);
    EXPECT_FALSE(r.control.lacp_report(0).has_value());
    c.policy = policy::lacp;
    r.change(c);
    EXPECT_TRUE(r.distributing().empty());
    pair.run_for(8s);
    EXPECT_EQ(r.distributing(), (ports{1, 2}));
}

TEST(AggregatorLacp, NegotiatesAgainWithinSecondsHoweverOftenThePolicyWasSwitched) {
    for (int switches = 1; switches < 12; ++switches) {
        for (auto const apart : {0ms, 1ms, 30ms, 400ms}) {
            back_to_back pair;
            pair.join(1);
            pair.join(2);
            pair.run_for(5s);
            rig& r = pair.here();
            for (int i = 0; i < switches; ++i) {
                for (policy const p : {policy::roundrobin, policy::lacp}) {
                    config c = r.control.current_config();
                    c.policy = p;
                    r.ask_for(c);
                    pair.exchange();
                    pair.run_for(apart);
                }
            }
            pair.run_for(6s);
            EXPECT_EQ(r.distributing(), (ports{1, 2})) << switches << " " << apart.count();
            EXPECT_EQ(pair.there().distributing(), (ports{1, 2}))
                << switches << " " << apart.count();
        }
    }
}

TEST(AggregatorLacp, IsOneSystemForItsOwnAddressWhenNoneIsGiven) {
    config c = with_policy(policy::lacp);
    back_to_back pair{c};
    pair.here().act(event::port_changed{.addresses = {{{2, 7, 7, 7, 7, 7}}}});
    pair.join(1);
    pair.run_for(3s);
    auto const report = pair.there().control.lacp_report(0);
    ASSERT_TRUE(report.has_value());
    EXPECT_EQ(report->partner.system.address, (net::mac_address{{2, 7, 7, 7, 7, 7}}));
}

TEST(AggregatorLacp, SendsFromTheMembersOwnAddress) {
    back_to_back pair;
    pair.here().ask_to_add(1);
    pair.here().flush();
    net::mac_address const own{{2, 9, 9, 9, 9, 9}};
    pair.here().act(event::member_prepared{.id = 0, .link = up(), .filter = false, .address = own});
    pair.run_for(2s);
    pair.here().link(1, down());
    pair.here().link(1, up());
    pair.here().run_for(2s);
    ASSERT_GT(pair.here().count<effect::send_frame>(), 0U);
    auto const& frame = pair.here().all<effect::send_frame>()[0]->frame;
    EXPECT_TRUE(std::equal(own.bytes.begin(), own.bytes.end(), frame.begin() + 6));
}

TEST(AggregatorLacp, StopsAndStartsWithThePort) {
    back_to_back pair;
    pair.join(1);
    pair.run_for(3s);
    rig& r = pair.here();
    r.act(event::run_changed{.started = true, .admin_up = false});
    EXPECT_GE(r.count<effect::send_frame>(), 1U) << "the partner hears of it";
    EXPECT_TRUE(r.distributing().empty());
    r.act(event::run_changed{.started = true, .admin_up = true});
    pair.run_for(8s);
    EXPECT_EQ(r.distributing(), ports{1});
}

} // namespace
} // namespace lagg::test
