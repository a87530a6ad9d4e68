#include "lacp/port.h"

#include "two_systems.h"

#include <gtest/gtest.h>

namespace lagg::lacp {
namespace {

struct Port : testing::Test {
    system_settings system = settings_of(0x0a);
    port p{3, system, port_of(4), {}};
    time_point now = 50s;

    void settle() {
        while (p.step(system, now)) {
        }
    }
    void link(bool up, bool full = true) {
        p.set_link(system, up, full, 10000, now);
        settle();
    }
    lacpdu hello() const {
        auto const r = p.report(system, now);
        return {.version = 1,
                .actor = {.system = {32768, mac(0x0b)},
                          .key = 1,
                          .port = {32768, 9},
                          .state = state::activity | state::aggregation | state::synchronization},
                .partner = r.actor};
    }
    void hear() {
        ASSERT_TRUE(p.receive(hello(), now));
        settle();
    }
    port_report report() const { return p.report(system, now); }
};

TEST_F(Port, TellsItsSettings) {
    link(true);
    auto const pdu = p.transmit(now);
    ASSERT_TRUE(pdu);
    EXPECT_EQ(pdu->actor.system, system.system);
    EXPECT_EQ(pdu->actor.key, system.key);
    EXPECT_EQ(pdu->actor.port, (port_id{32768, 4}));
    EXPECT_TRUE(pdu->actor.has(state::activity | state::short_timeout | state::aggregation));
    EXPECT_EQ(report().counters.lacpdus_tx, 1U);
}

TEST_F(Port, TellsAChangeOnceAndNoChangeNever) {
    link(true);
    p.transmit(now);
    p.set(system, system, now);
    EXPECT_FALSE(p.transmit(now));
    auto slow = system;
    slow.rate = lacp_rate::slow;
    p.set(system, slow, now);
    auto const pdu = p.transmit(now);
    ASSERT_TRUE(pdu);
    EXPECT_FALSE(pdu->actor.has(state::short_timeout));
    EXPECT_FALSE(p.transmit(now));
}

TEST_F(Port, TakesThePartnerOutOfSyncWhenItselfBecomesAnother) {
    link(true);
    hear();
    ASSERT_TRUE(report().partner.has(state::synchronization));
    auto passive = system;
    passive.active = false;
    p.set(system, passive, now);
    EXPECT_TRUE(report().partner.has(state::synchronization));
    auto other = port_of(4);
    other.key = 12;
    p.set(system, other);
    EXPECT_FALSE(report().partner.has(state::synchronization));
    EXPECT_EQ(report().actor.key, 12);
}

TEST_F(Port, IsIndividualOnAHalfDuplexLink) {
    link(true, false);
    hear();
    EXPECT_FALSE(report().actor.has(state::aggregation));
    link(true, true);
    EXPECT_TRUE(report().actor.has(state::aggregation));
}

TEST_F(Port, OutlivesTheChangeToTheSlowRate) {
    link(true);
    hear();
    auto slow = system;
    slow.rate = lacp_rate::slow;
    p.set(system, slow, now);
    system = slow;
    now += 60s;
    settle();
    EXPECT_EQ(report().receive, receive_state::current);
}

TEST_F(Port, CountsOneLossForOneFailure) {
    link(true);
    hear();
    now += 4s;
    settle();
    ASSERT_EQ(report().receive, receive_state::expired);
    EXPECT_EQ(report().counters.flaps, 1U);
    link(false);
    EXPECT_EQ(report().counters.flaps, 1U);
    link(true);
    link(false);
    EXPECT_EQ(report().counters.flaps, 2U);
}

TEST_F(Port, IsInitializedWhenItsPartnerShowsUpElsewhereAndItHasNoLink) {
    link(true);
    hear();
    p.partner_seen_elsewhere(hello());
    settle();
    EXPECT_TRUE(report().actor.state != 0 && !report().actor.has(state::defaulted));
    link(false);
    auto another = hello();
    another.actor.port.number = 10;
    p.partner_seen_elsewhere(another);
    settle();
    EXPECT_FALSE(report().actor.has(state::defaulted));
    p.partner_seen_elsewhere(hello());
    settle();
    EXPECT_TRUE(report().actor.has(state::defaulted));
    EXPECT_EQ(report().receive, receive_state::port_disabled);
}

TEST_F(Port, LeavesWithoutSyncCollectingOrDistributing) {
    EXPECT_FALSE(p.last_words(now)) << "no link";
    link(true);
    EXPECT_FALSE(p.last_words(now)) << "no partner";
    hear();
    auto const pdu = p.last_words(now);
    ASSERT_TRUE(pdu);
    EXPECT_EQ(pdu->actor.state & (state::synchronization | state::collecting | state::distributing),
              0);
    EXPECT_EQ(pdu->partner.port.number, 9);
}

TEST_F(Port, KnowsItsMarkersAndTakesEachAnswerOnce) {
    EXPECT_FALSE(p.request_marker(1));
    link(true);
    auto sent = p.request_marker(7);
    ASSERT_TRUE(sent);
    EXPECT_FALSE(sent->response);
    EXPECT_EQ(sent->requester_port, 4);
    EXPECT_EQ(sent->requester_system, mac(0x0a));
    auto answer = *sent;
    answer.response = true;
    auto wrong = answer;
    wrong.transaction = 8;
    EXPECT_FALSE(p.receive_response(wrong));
    wrong = answer;
    wrong.requester_port = 5;
    EXPECT_FALSE(p.receive_response(wrong));
    wrong = answer;
    wrong.requester_system = mac(0x0b);
    EXPECT_FALSE(p.receive_response(wrong));
    EXPECT_TRUE(p.receive_response(answer));
    EXPECT_FALSE(p.receive_response(answer));
}

TEST_F(Port, ForgetsMarkersWithItsLinkAndTheOldestOfTooMany) {
    link(true);
    auto sent = *p.request_marker(1);
    sent.response = true;
    for (std::uint32_t i = 2; i <= 65; ++i) {
        ASSERT_TRUE(p.request_marker(i));
    }
    EXPECT_FALSE(p.receive_response(sent));
    sent.transaction = 65;
    link(false);
    EXPECT_FALSE(p.receive_response(sent));
}

} // namespace
} // namespace lagg::lacp
