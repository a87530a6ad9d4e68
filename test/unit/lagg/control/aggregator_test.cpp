// What is published when, in which order, and what happens when memory is short.
#include "lagg/control/aggregator.h"

#include "rig.h"

#include <new>

namespace lagg::test {
namespace {

TEST(Aggregator, PublishesNothingBeforeTheFirstEvent) {
    rig r{config{}};
    EXPECT_EQ(r.flush(), errc::ok);
    EXPECT_TRUE(r.last.empty());
    EXPECT_EQ(r.control.version(), 0U);
    EXPECT_EQ(r.control.next_deadline(), never);
}

TEST(Aggregator, PublishesAnOrdinarySnapshotOfNoMembersUnderEveryPolicy) {
    for (policy p : {policy::none, policy::roundrobin, policy::failover, policy::loadbalance,
                     policy::broadcast}) {
        rig r{with_policy(p)};
        r.start();
        EXPECT_EQ(r.kinds(), lines{"publish"}) << to_string(p);
        EXPECT_EQ(r.published.version, 1U);
        EXPECT_EQ(r.published.run, run_state::running);
        EXPECT_EQ(r.published.how, spread::nobody);
        EXPECT_EQ(r.published.policy, p);
    }
}

TEST(Aggregator, PublishesAfterTheFirstEventEvenWhatSaysNothing) {
    rig r{with_policy(policy::none)};
    r.act(event::tick{});
    EXPECT_EQ(r.kinds(), lines{"publish"});
    EXPECT_EQ(r.control.version(), 1U);
    r.act(event::tick{});
    EXPECT_TRUE(r.last.empty());
}

TEST(Aggregator, ReturnsToTheSnapshotOfNoMembersWhenTheLastOneLeaves) {
    rig r{config{}};
    r.start();
    r.join(1);
    EXPECT_EQ(r.published.how, spread::to_one);
    r.ask_to_remove(1);
    r.flush();
    EXPECT_EQ(r.published.how, spread::nobody);
    EXPECT_TRUE(r.published.polled.empty());
    EXPECT_EQ(r.control.table().owned_by(no_member), bucket_count);
}

TEST(Aggregator, PublishesNothingWhenNothingChangedForBursts) {
    rig r{config{}};
    r.start();
    r.join(1);
    auto const version = r.control.version();
    r.run_for(10s);
    EXPECT_TRUE(r.last.empty());
    r.link(1, up());
    EXPECT_TRUE(r.last.empty());
    r.start();
    r.change(r.control.current_config());
    EXPECT_EQ(r.kinds(), lines{"complete"});
    r.act(event::port_changed{});
    EXPECT_EQ(r.control.version(), version);
}

TEST(Aggregator, SharesOnePublicationAmongAllEventsOfABatch) {
    rig r{with_policy(policy::broadcast)};
    r.start();
    for (port_id port = 1; port <= 4; ++port) {
        r.ask_to_add(port);
    }
    r.flush();
    EXPECT_EQ(r.count<effect::prepare_member>(), 4U);
    EXPECT_EQ(r.count<effect::publish>(), 0U) << "members that join are in no snapshot";
    for (member_id id = 0; id < 4; ++id) {
        r.handle(event::member_prepared{.id = id, .link = up()});
    }
    config c = r.control.current_config();
    c.policy = policy::roundrobin;
    r.ask_for(c);
    r.flush();
    EXPECT_EQ(r.count<effect::publish>(), 1U);
    EXPECT_EQ(r.published.version, 2U);
    EXPECT_EQ(r.published.how, spread::in_turn);
    EXPECT_EQ(r.distributing(), (ports{1, 2, 3, 4}));
    EXPECT_EQ(r.count<effect::complete>(), 5U);
    EXPECT_EQ(r.count<effect::report_link>(), 1U);
}

TEST(Aggregator, PublishesNothingForAChangeThatWasUndoneInTheSameBatch) {
    rig r{config{}};
    r.start();
    r.join(1);
    r.join(2);
    auto const version = r.control.version();
    r.handle(event::link_changed{.id = r.id_of(1), .link = down()});
    r.handle(event::link_changed{.id = r.id_of(1), .link = up()});
    r.flush();
    EXPECT_EQ(r.control.version(), version);
    EXPECT_EQ(r.told(), (lines{"wire1 link_down", "wire1 link_up"}));
}

TEST(Aggregator, CountsVersionsOneByOne) {
    rig r{config{}};
    r.start();
    for (port_id port = 1; port <= 5; ++port) {
        r.join(port);
        EXPECT_EQ(r.published.version, port + 1U);
        EXPECT_EQ(r.control.version(), port + 1U);
    }
}

TEST(Aggregator, PublishesFirstThenActsAndTellsAndCompletesLast) {
    rig r{config{}};
    r.start();
    r.ask_to_add(1);
    r.flush();
    r.act(event::member_prepared{.id = r.id_of(1), .link = up()});
    EXPECT_EQ(r.kinds(), (lines{"publish", "notify", "notify", "notify", "link", "complete"}));
    EXPECT_EQ(r.told(), (lines{"wire1 joined", "wire1 link_up", "wire1 distributing"}));
    r.ask_to_remove(1);
    r.flush();
    EXPECT_EQ(r.kinds(), (lines{"publish", "await", "notify", "link"}));
    EXPECT_EQ(r.told(), lines{"wire1 standby"});
    r.act(event::member_quiescent{.id = 0});
    EXPECT_EQ(r.kinds(), lines{"release"});
    r.act(event::member_released{.id = 0});
    EXPECT_EQ(r.kinds(), (lines{"notify", "complete"}));
    EXPECT_EQ(r.told(), lines{"wire1 left"});
}

TEST(Aggregator, AppendsToWhatTheCallerHasAlready) {
    rig r{config{}};
    r.handle(event::run_changed{.request = 5, .started = true});
    effect_list out;
    append(out, effect::complete{.request = 99});
    EXPECT_EQ(r.control.flush(r.now, out), errc::ok);
    ASSERT_EQ(out.size(), 3U);
    EXPECT_EQ(std::get<effect::complete>(out[0]).request, 99U);
    EXPECT_TRUE(std::holds_alternative<effect::publish>(out[1]));
    EXPECT_EQ(std::get<effect::complete>(out[2]).request, 5U);
}

TEST(Aggregator, CompletesNoRequestThatNobodyWaitsFor) {
    rig r{config{}};
    r.act(event::run_changed{.request = 0, .started = true});
    EXPECT_EQ(r.count<effect::complete>(), 0U);
}

TEST(Aggregator, ChangesEachOptionByExactlyOneSnapshot) {
    rig r{config{}};
    r.start();
    r.join(1);
    r.join(2);
    auto const once = [&r](char const* what, auto change) {
        config c = r.control.current_config();
        change(c);
        auto const version = r.control.version();
        r.change(c);
        EXPECT_EQ(r.count<effect::publish>(), 1U) << what;
        EXPECT_EQ(r.control.version(), version + 1) << what;
        EXPECT_EQ(r.control.current_config(), c) << what;
    };
    once("hash", [](config& c) { c.hash.l2 = false; });
    EXPECT_FALSE(r.published.hash.l2);
    once("seed", [](config& c) { c.hash.seed = 42; });
    EXPECT_EQ(r.published.hash.seed, 42U);
    once("weights", [](config& c) { c.weights = {{"wire1", 3}}; });
    EXPECT_EQ(r.control.table().owned_by(r.id_of(1)), 192U);
    once("several", [](config& c) {
        c.policy = policy::roundrobin;
        c.stride = 8;
        c.hash.symmetric = true;
    });
    EXPECT_EQ(r.published.stride, 8U);
    EXPECT_EQ(r.published.how, spread::in_turn);
    EXPECT_TRUE(r.published.hash.symmetric);
}

TEST(Aggregator, SwitchesBetweenAllPoliciesWithOneSnapshotEach) {
    constexpr policy policies[] = {policy::none, policy::roundrobin, policy::failover,
                                   policy::loadbalance, policy::broadcast};
    rig r{config{}};
    r.start();
    r.join(1);
    r.join(2);
    for (policy from : policies) {
        for (policy to : policies) {
            config c = r.control.current_config();
            c.policy = from;
            r.change(c);
            c.policy = to;
            r.change(c);
            EXPECT_EQ(r.count<effect::publish>(), from == to ? 0U : 1U);
            EXPECT_EQ(r.published.policy, to);
            EXPECT_EQ(r.polled(), (ports{1, 2})) << "every member is polled under every policy";
        }
    }
}

TEST(Aggregator, RejectsStrideZeroAndStaysAsItWas) {
    rig r{with_policy(policy::roundrobin)};
    r.start();
    r.join(1);
    r.join(2);
    config const before = r.control.current_config();
    auto const version = r.control.version();
    config c = before;
    c.stride = 0;
    c.policy = policy::broadcast;
    auto const request = r.ask_for(c);
    r.flush();
    EXPECT_EQ(r.kinds(), lines{"complete"});
    ASSERT_NE(r.completed(request), nullptr);
    EXPECT_EQ(r.completed(request)->error, errc::invalid_argument);
    EXPECT_EQ(r.completed(request)->text, "stride 0 is out of range; allowed: 1 to 65535");
    EXPECT_EQ(r.control.current_config(), before);
    EXPECT_EQ(r.control.version(), version);
}

TEST(Aggregator, TakesAddressesFilterAndPrepareFromThePortAtOnce) {
    rig r{config{}};
    r.start();
    r.ask_to_add(1);
    r.flush();
    r.act(event::member_prepared{.id = 0, .link = up(), .filter = true});
    event::port_changed port{.request = 77, .tx_prepare = true};
    port.addresses = {net::mac_address{{2, 0, 0, 0, 0, 9}}};
    r.act(port);
    EXPECT_EQ(r.kinds(), (lines{"publish", "complete"}));
    EXPECT_TRUE(r.published.tx_prepare);
    EXPECT_EQ(r.published.accept.size(), 1U);
    EXPECT_TRUE(r.published.polled[0].filter);
    port.promiscuous = true;
    r.act(port);
    EXPECT_FALSE(r.published.polled[0].filter);
}

TEST(Aggregator, FollowsAMemberWhosePromiscuityForOurSakeBeginsOrEnds) {
    rig r{config{}};
    r.start();
    r.join(1);
    r.act(event::filter_changed{.id = 0, .filter = true});
    EXPECT_EQ(r.kinds(), lines{"publish"});
    EXPECT_TRUE(r.published.polled[0].filter);
    r.act(event::filter_changed{.id = 0, .filter = false});
    EXPECT_FALSE(r.published.polled[0].filter);
    r.act(event::filter_changed{.id = 9, .filter = true});
    EXPECT_TRUE(r.last.empty());
}

TEST(Aggregator, RefusesMoreAddressesThanASnapshotHolds) {
    rig r{config{}};
    r.start();
    event::port_changed port{.request = 5, .promiscuous = true};
    port.addresses.resize(max_addresses + 1);
    r.act(port);
    EXPECT_EQ(r.completed(5)->error, errc::too_many);
    EXPECT_EQ(r.completed(5)->text, "18 addresses are too many; allowed: at most 17");
    EXPECT_EQ(r.count<effect::publish>(), 0U);
    port.addresses.resize(max_addresses);
    r.act(port);
    EXPECT_EQ(r.completed(5)->error, errc::ok);
    EXPECT_EQ(r.published.accept.size(), max_addresses);
}

// Memory.

TEST(Aggregator, LosesNothingWhenMemoryIsShort) {
    for (bool const throws : {false, true}) {
        bool short_of_memory = false;
        rig r{config{}, [&short_of_memory, throws]() -> std::unique_ptr<snapshot> {
                  if (short_of_memory && throws) {
                      throw std::bad_alloc();
                  }
                  return short_of_memory ? nullptr : std::make_unique<snapshot>();
              }};
        r.start();
        r.join(1);
        r.join(2);
        auto const version = r.control.version();
        short_of_memory = true;
        auto const request = r.ask_to_remove(2);
        for (int again = 0; again < 3; ++again) {
            EXPECT_EQ(r.flush(), errc::out_of_memory);
            EXPECT_TRUE(r.last.empty());
            EXPECT_EQ(r.control.version(), version);
            EXPECT_EQ(r.control.link().speed_mbps, 20000U);
        }
        r.handle(event::member_quiescent{.id = 1}); // nobody was asked: it means nothing
        r.handle(event::link_changed{.id = 0, .link = down()});
        short_of_memory = false;
        EXPECT_EQ(r.flush(), errc::ok);
        EXPECT_EQ(r.count<effect::publish>(), 1U);
        EXPECT_EQ(r.published.version, version + 1);
        EXPECT_EQ(r.count<effect::await_quiescence>(), 1U);
        EXPECT_EQ(r.told(), (lines{"wire1 link_down", "wire1 standby", "wire2 standby"}));
        EXPECT_FALSE(r.control.link().up);
        r.act(event::member_quiescent{.id = 1});
        r.act(event::member_released{.id = 1});
        EXPECT_EQ(r.completed(request)->error, errc::ok);
    }
}

TEST(Aggregator, NeedsNoMemoryForASnapshotThatWouldBeTheSame) {
    bool short_of_memory = false;
    rig r{config{}, [&short_of_memory]() -> std::unique_ptr<snapshot> {
              return short_of_memory ? nullptr : std::make_unique<snapshot>();
          }};
    r.start();
    short_of_memory = true;
    auto const request = r.ask_for(r.control.current_config());
    EXPECT_EQ(r.flush(), errc::ok);
    EXPECT_EQ(r.completed(request)->error, errc::ok);
}

} // namespace
} // namespace lagg::test
