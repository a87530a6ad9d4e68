#include "lacp/selection.h"

#include "two_systems.h"

#include <gtest/gtest.h>

#include <array>
#include <vector>

namespace lagg::lacp {
namespace {

constexpr std::uint8_t both_ends = state::activity | state::aggregation;

/// Ports with partners of any kind; the Mux does at once what it is told.
struct SelectionLogic : testing::Test {
    system_settings settings = settings_of(0x0a);
    std::array<port_variables, 8> ports;
    std::vector<contender> contenders;
    selection_logic logic;
    time_point now = 50s;

    void add(std::uint8_t partner, std::uint16_t partner_key = 1, std::uint32_t speed = 10000) {
        auto const i = static_cast<port_index>(contenders.size());
        auto const number = static_cast<std::uint16_t>(i + 1);
        auto& p = ports[i];
        p.port_enabled = true;
        p.actor = {
            .system = settings.system, .key = 1, .port = {32768, number}, .state = both_ends};
        p.partner = {.system = {32768, mac(partner)},
                     .key = partner_key,
                     .port = {32768, number},
                     .state = both_ends};
        contenders.push_back({.index = i,
                              .port = &p,
                              .receive = receive_state::current,
                              .mux = mux_state::detached,
                              .heard = true,
                              .defaulted_since = never,
                              .speed_mbps = speed});
    }
    void add_silent(time_point since) {
        add(0);
        auto& c = contenders.back();
        c.receive = receive_state::defaulted;
        c.heard = false;
        c.defaulted_since = since;
        c.port->partner = nobody;
        c.port->actor.set(state::defaulted, true);
    }
    void decide() {
        for (int rounds = 0; logic.step(settings, contenders, now); ++rounds) {
            ASSERT_LT(rounds, 100);
            for (auto& c : contenders) {
                if (c.port->selection == selected::unselected) {
                    c.mux = mux_state::detached;
                } else if (c.mux == mux_state::detached) {
                    c.mux = mux_state::waiting;
                    c.port->waiting_since = now;
                }
            }
        }
    }
    void attach(port_index i) { contenders[i].mux = mux_state::attached; }
    std::vector<int> with(selected s) const {
        std::vector<int> found;
        for (auto const& c : contenders) {
            if (c.port->selection == s) {
                found.push_back(c.port->actor.port.number);
            }
        }
        return found;
    }
    using numbers = std::vector<int>;
};

TEST_F(SelectionLogic, PutsPortsWithTheSameLagIdIntoOneAggregatorNamedByItsLowestPort) {
    add(1);
    add(2);
    add(1);
    add(2, 5);
    decide();
    EXPECT_EQ(ports[0].aggregator, 1);
    EXPECT_EQ(ports[1].aggregator, 2);
    EXPECT_EQ(ports[2].aggregator, 1);
    EXPECT_EQ(ports[3].aggregator, 4);
    EXPECT_EQ(with(selected::selected), (numbers{1, 3}));
    EXPECT_EQ(with(selected::standby), (numbers{2, 4}));
    EXPECT_TRUE(ports[0].in_use);
    EXPECT_FALSE(ports[1].in_use);
}

TEST_F(SelectionLogic, LeavesAnIndividualPortAlone) {
    add(1);
    add(1);
    add(1);
    ports[0].actor.set(state::aggregation, false);
    ports[1].partner.set(state::aggregation, false);
    decide();
    EXPECT_EQ(ports[0].aggregator, 1);
    EXPECT_EQ(ports[1].aggregator, 2);
    EXPECT_EQ(ports[2].aggregator, 3);
    EXPECT_TRUE(ports[0].individual);
    EXPECT_TRUE(ports[1].individual);
    EXPECT_FALSE(ports[2].individual);
    EXPECT_EQ(with(selected::selected).size(), 1U);
}

TEST_F(SelectionLogic, StaysWithThePresentAggregatorWhenItIsToBeStable) {
    add(2, 1, 1000);
    decide();
    add(1, 1, 100000);
    add(1, 1, 100000);
    decide();
    EXPECT_EQ(with(selected::selected), (numbers{1}));
    contenders[0].receive = receive_state::expired;
    decide();
    EXPECT_EQ(with(selected::selected), (numbers{2, 3}));
    contenders[0].receive = receive_state::current;
    decide();
    EXPECT_EQ(with(selected::selected), (numbers{2, 3}));
}

TEST_F(SelectionLogic, TakesTheAggregatorWithTheGreatestSumOfSpeeds) {
    settings.select = selection_rule::bandwidth;
    add(1, 1, 10000);
    add(1, 1, 10000);
    add(2, 1, 25000);
    decide();
    EXPECT_EQ(with(selected::selected), (numbers{3}));
    settings.select = selection_rule::count;
    decide();
    EXPECT_EQ(with(selected::selected), (numbers{1, 2}));
}

TEST_F(SelectionLogic, CountsOnlyTheSpeedsThatMaxLinksWouldUse) {
    settings.select = selection_rule::bandwidth;
    settings.max_links = 1;
    add(1, 1, 10000);
    add(1, 1, 10000);
    add(2, 1, 15000);
    decide();
    EXPECT_EQ(with(selected::selected), (numbers{3}));
}

TEST_F(SelectionLogic, BreaksATieByTheBetterPartnerSystemInHostOrderAndThenByNumber) {
    for (auto const rule : {selection_rule::bandwidth, selection_rule::count}) {
        settings.select = rule;
        contenders.clear();
        add(1);
        add(2);
        ports[0].partner.system.priority = 0x0100;
        ports[1].partner.system.priority = 0x0001;
        decide();
        EXPECT_EQ(with(selected::selected), (numbers{2}));
        contenders.clear();
        add(1, 6);
        add(1, 5);
        decide();
        EXPECT_EQ(with(selected::selected), (numbers{1}));
    }
}

TEST_F(SelectionLogic, GoesWhereTheBetterSystemIsInSync) {
    settings.system.priority = 40000;
    add(1, 1);
    add(1, 2);
    decide();
    EXPECT_EQ(with(selected::selected), (numbers{1}));
    ports[1].partner.set(state::synchronization, true);
    decide();
    EXPECT_EQ(with(selected::selected), (numbers{2}));
}

/// Or being chosen would be a reason to choose another one, and two would take turns for ever.
TEST_F(SelectionLogic, ComparesAggregatorsWhateverTheirPortsMuxMachinesDo) {
    settings.max_links = 2;
    for (unsigned attached = 0; attached < 8; ++attached) {
        ports = {};
        contenders.clear();
        logic = {};
        for (port_index i = 0; i < 3; ++i) {
            add(2);
            if ((attached >> i & 1U) != 0) {
                attach(i);
            }
        }
        add(1); // would be the one, but for the SYNC of the other
        ports[2].partner.set(state::synchronization, true);
        logic.step(settings, contenders, now);
        EXPECT_TRUE(ports[0].in_use) << attached;
        EXPECT_FALSE(ports[3].in_use) << attached;
    }
}

TEST_F(SelectionLogic, DoesNotFollowTheWorseSystem) {
    settings.system.priority = 1;
    add(1, 1);
    add(1, 2);
    ports[1].partner.set(state::synchronization, true);
    decide();
    EXPECT_EQ(with(selected::selected), (numbers{1}));
}

TEST_F(SelectionLogic, LetsTheBetterSystemsPortPrioritiesChooseWhoStandsBy) {
    settings.max_links = 2;
    add(1);
    add(1);
    add(1);
    ports[0].actor.port.priority = 3;
    ports[1].actor.port.priority = 2;
    ports[2].actor.port.priority = 1;
    ports[0].partner.port.priority = 1;
    ports[1].partner.port.priority = 2;
    ports[2].partner.port.priority = 3;
    for (auto& p : ports) {
        p.actor.system.priority = 1;
    }
    decide();
    EXPECT_EQ(with(selected::standby), (numbers{1}));
    for (auto& p : ports) {
        p.actor.system.priority = 40000;
    }
    decide();
    EXPECT_EQ(with(selected::standby), (numbers{3}));
}

TEST_F(SelectionLogic, PromotesAStandbyForASelectedPortThatFails) {
    settings.max_links = 1;
    add(1);
    add(1);
    decide();
    ASSERT_EQ(with(selected::selected), (numbers{1}));
    attach(0);
    ports[0].port_enabled = false;
    decide();
    EXPECT_EQ(with(selected::selected), (numbers{2}));
    EXPECT_EQ(with(selected::unselected), (numbers{1}));
}

TEST_F(SelectionLogic, PromotesAStandbyForAPortOnWhichOneEndIsDeaf) {
    settings.max_links = 1;
    add(1);
    add(1);
    decide();
    contenders[0].receive = receive_state::expired;
    decide();
    EXPECT_EQ(with(selected::selected), (numbers{2}));
    contenders[0].receive = receive_state::current;
    decide();
    EXPECT_EQ(with(selected::selected), (numbers{1}));
    ports[0].partner.set(state::defaulted, true);
    decide();
    EXPECT_EQ(with(selected::selected), (numbers{2}));
}

TEST_F(SelectionLogic, LetsAComerTakeAPlaceOnlyWhenItHasWaited) {
    settings.max_links = 1;
    add(1);
    add(1);
    ports[0].port_enabled = false;
    decide();
    attach(1);
    ports[0].port_enabled = true;
    decide();
    EXPECT_EQ(with(selected::selected), (numbers{2}));
    EXPECT_EQ(with(selected::standby), (numbers{1}));
    ports[0].ready_n = true;
    decide();
    EXPECT_EQ(with(selected::selected), (numbers{1}));
}

TEST_F(SelectionLogic, UnselectsPortsThatMustNotBeUsed) {
    for (int i = 0; i < 5; ++i) {
        add(1);
    }
    decide();
    ports[0].port_enabled = false;
    ports[1].suppressed = true;
    ports[2].drain = true;
    ports[3].partner.system.address = settings.system.address; // looped
    decide();
    EXPECT_EQ(with(selected::selected), (numbers{5}));
    EXPECT_EQ(with(selected::unselected), (numbers{1, 2, 3, 4}));
    EXPECT_EQ(ports[3].aggregator, 0);
}

TEST_F(SelectionLogic, ReachesAnotherLagThroughUnselectedWhenTheMuxLetGo) {
    add(1);
    decide();
    attach(0);
    ports[0].partner.key = 5;
    EXPECT_TRUE(logic.step(settings, contenders, now));
    EXPECT_EQ(ports[0].selection, selected::unselected);
    EXPECT_FALSE(logic.step(settings, contenders, now));
    contenders[0].mux = mux_state::detached;
    EXPECT_TRUE(logic.step(settings, contenders, now));
    EXPECT_EQ(ports[0].selection, selected::selected);
}

TEST_F(SelectionLogic, IsReadyWhenAllThatWaitForTheAggregatorAre) {
    add(1);
    add(1);
    decide();
    ports[0].ready_n = true;
    decide();
    EXPECT_FALSE(ports[0].ready);
    ports[1].ready_n = true;
    decide();
    EXPECT_TRUE(ports[0].ready);
    EXPECT_TRUE(ports[1].ready);
}

TEST_F(SelectionLogic, DoesNotLetAPortThatKeepsComingBackHoldUpTheOthersForEver) {
    add(1);
    add(1);
    decide();
    ports[0].ready_n = true;
    decide();
    EXPECT_EQ(logic.deadline(), now + 2 * ports[0].wait_while);
    now += 2 * ports[0].wait_while;
    ports[1].waiting_since = now;
    decide();
    EXPECT_TRUE(ports[0].ready);
    EXPECT_FALSE(ports[1].ready);
}

TEST_F(SelectionLogic, LeavesPortsWithoutPartnerUnusedWhenStrict) {
    add_silent(0s);
    decide();
    EXPECT_EQ(with(selected::unselected), (numbers{1}));
    EXPECT_EQ(logic.deadline(), never);
}

TEST_F(SelectionLogic, FallsBackToTheBestPortAfterTheDelay) {
    settings.fallback = fallback::one;
    add_silent(now);
    add_silent(now);
    add_silent(now);
    ports[1].actor.port.priority = 1;
    decide();
    EXPECT_EQ(with(selected::selected), (numbers{}));
    EXPECT_EQ(logic.deadline(), now + settings.fallback_delay);
    now += settings.fallback_delay;
    decide();
    EXPECT_EQ(with(selected::selected), (numbers{2}));
    EXPECT_TRUE(ports[1].fallback);
    EXPECT_TRUE(ports[1].partner.has(state::synchronization | state::collecting));
    ports[1].port_enabled = false;
    decide();
    EXPECT_EQ(with(selected::selected), (numbers{1}));
    EXPECT_FALSE(ports[1].fallback);
}

TEST_F(SelectionLogic, FallsBackToEveryPortForItself) {
    settings.fallback = fallback::individual;
    settings.max_links = 1;
    add_silent(0s);
    add_silent(0s);
    decide();
    EXPECT_EQ(with(selected::selected), (numbers{1, 2}));
    EXPECT_EQ(ports[0].aggregator, 1);
    EXPECT_EQ(ports[1].aggregator, 2);
    EXPECT_TRUE(ports[1].in_use);
}

TEST_F(SelectionLogic, EndsTheFallbackOfAllWhereOnePartnerSpeaks) {
    settings.fallback = fallback::individual;
    add_silent(0s);
    add_silent(0s);
    decide();
    add(1);
    decide();
    EXPECT_EQ(with(selected::selected), (numbers{3}));
    EXPECT_FALSE(ports[0].fallback);
    EXPECT_FALSE(ports[0].partner.has(state::synchronization));
    EXPECT_FALSE(ports[0].partner_admin.has(state::synchronization));
}

TEST_F(SelectionLogic, TakesNoLoopForAPartnerThatSpeaks) {
    settings.fallback = fallback::one;
    add_silent(0s);
    add(0x0a);
    decide();
    EXPECT_EQ(with(selected::selected), (numbers{1}));
    EXPECT_EQ(with(selected::unselected), (numbers{2}));
}

} // namespace
} // namespace lagg::lacp
