// Snapshots of given parts; last, of random ones.
#include "lagg/control/snapshot_builder.h"

#include "seed.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

namespace lagg {
namespace {

member present(member_id id, port_id port) {
    member m;
    m.id = id;
    m.port = port;
    m.name = "wire" + std::to_string(port);
    m.phase = member_phase::present;
    m.usable = true;
    m.link = {.up = true, .full_duplex = true, .speed_mbps = 10000};
    return m;
}

/// Everything that a snapshot is made of.
struct parts {
    lagg::config config;
    std::vector<member> members;
    eligible who;
    bucket_table table;
    std::bitset<bucket_count> held;
    event::port_changed port;
    run_state run = run_state::running;
    std::uint64_t version = 7;

    /// All of them collect and distribute, with equal weights.
    void use(std::initializer_list<member_id> ids) {
        std::vector<share> shares;
        for (member_id const id : ids) {
            who.collecting.set(id);
            who.distributing.set(id);
            shares.push_back({.id = id, .weight = 1});
        }
        table.assign(shares);
    }

    snapshot build() const {
        return build_snapshot({.config = config,
                               .members = members,
                               .who = who,
                               .table = table,
                               .held = held,
                               .port = port,
                               .run = run,
                               .version = version});
    }
};

TEST(SnapshotBuilder, MakesAnOrdinarySnapshotOfNoMembersUnderEveryPolicy) {
    for (std::size_t i = 0; i < policy_count; ++i) {
        parts p;
        p.config.policy = static_cast<policy>(i);
        snapshot const s = p.build();
        EXPECT_EQ(s.how, spread::nobody);
        EXPECT_EQ(s.run, run_state::running);
        EXPECT_EQ(s.policy, p.config.policy);
        EXPECT_EQ(s.version, 7U);
        EXPECT_TRUE(s.polled.empty());
        EXPECT_TRUE(s.distributing.empty());
    }
}

TEST(SnapshotBuilder, TakesSlowFramesUnderLacpOnly) {
    for (std::size_t i = 0; i < policy_count; ++i) {
        parts p;
        p.config.policy = static_cast<policy>(i);
        EXPECT_EQ(p.build().take_slow, p.config.policy == policy::lacp);
    }
}

TEST(SnapshotBuilder, GivesHeldBucketsToNobodyAlsoWithOneMember) {
    parts p;
    p.config.policy = policy::lacp;
    p.members = {present(0, 50), present(1, 51)};
    for (std::size_t members : {1U, 2U}) {
        p.who = {};
        p.use(members == 1 ? std::initializer_list<member_id>{1}
                           : std::initializer_list<member_id>{0, 1});
        p.held.reset();
        p.held.set(3).set(200);
        snapshot const s = p.build();
        EXPECT_EQ(s.how, spread::by_flow_held);
        for (std::size_t b = 0; b < bucket_count; ++b) {
            if (p.held.test(b)) {
                EXPECT_EQ(s.bucket[b], held_bucket);
            } else {
                EXPECT_LT(s.bucket[b], members);
            }
        }
        p.held.reset();
        EXPECT_EQ(p.build().how, members == 1 ? spread::to_one : spread::by_flow);
    }
}

TEST(SnapshotBuilder, PollsEveryPresentMemberWhateverItsLinkOrderedById) {
    parts p;
    p.members = {present(5, 50), present(1, 51), present(3, 52), present(2, 53), present(0, 54)};
    p.members[2].usable = false;
    p.members[3].phase = member_phase::joining;
    p.members[4].phase = member_phase::leaving;
    p.use({1, 5});
    snapshot const s = p.build();
    ASSERT_EQ(s.polled.size(), 3U);
    EXPECT_EQ(s.polled[0], (polled_member{.port = 51, .id = 1, .collecting = true}));
    EXPECT_EQ(s.polled[1], (polled_member{.port = 52, .id = 3, .collecting = false}));
    EXPECT_EQ(s.polled[2], (polled_member{.port = 50, .id = 5, .collecting = true}));
    ASSERT_EQ(s.distributing.size(), 2U);
    EXPECT_EQ(s.distributing[0].port, 51);
    EXPECT_EQ(s.distributing[1].port, 50);
}

TEST(SnapshotBuilder, LeavesOutWhoeverIsNotPresentThoughItWereEligible) {
    parts p;
    p.members = {present(0, 50), present(1, 51)};
    p.members[1].phase = member_phase::leaving;
    p.use({0, 1});
    snapshot const s = p.build();
    EXPECT_FALSE(contains(s, 51));
    EXPECT_EQ(s.distributing.size(), 1U);
    EXPECT_EQ(s.how, spread::to_one);
}

TEST(SnapshotBuilder, SpreadsToOneMemberUnderEveryPolicyThatHasOne) {
    for (policy how :
         {policy::roundrobin, policy::failover, policy::loadbalance, policy::broadcast}) {
        parts p;
        p.config.policy = how;
        p.members = {present(0, 50)};
        p.use({0});
        EXPECT_EQ(p.build().how, spread::to_one) << to_string(how);
        EXPECT_EQ(p.build().bucket, (std::array<std::uint8_t, bucket_count>{}));
    }
}

TEST(SnapshotBuilder, SpreadsOverSeveralMembersAsThePolicySays) {
    parts p;
    p.members = {present(0, 50), present(1, 51)};
    p.use({0, 1});
    p.config.policy = policy::roundrobin;
    p.config.stride = 9;
    EXPECT_EQ(p.build().how, spread::in_turn);
    EXPECT_EQ(p.build().stride, 9U);
    p.config.policy = policy::broadcast;
    EXPECT_EQ(p.build().how, spread::to_all);
    p.config.policy = policy::loadbalance;
    EXPECT_EQ(p.build().how, spread::by_flow);
}

TEST(SnapshotBuilder, TurnsOwnersIntoIndicesOfTheDistributingSet) {
    parts p;
    p.config.policy = policy::loadbalance;
    p.members = {present(3, 50), present(30, 51), present(31, 52)};
    p.use({3, 31});
    snapshot const s = p.build();
    for (std::size_t b = 0; b < bucket_count; ++b) {
        ASSERT_LT(s.bucket[b], s.distributing.size());
        EXPECT_EQ(s.distributing[s.bucket[b]].id, p.table.owner(b));
    }
}

TEST(SnapshotBuilder, HasEmptySetsWhileThePortDoesNotRun) {
    for (run_state r : {run_state::stopped, run_state::admin_down}) {
        parts p;
        p.members = {present(0, 50), present(1, 51)};
        p.use({0, 1});
        p.run = r;
        snapshot const s = p.build();
        EXPECT_EQ(s.run, r);
        EXPECT_EQ(s.how, spread::nobody);
        EXPECT_TRUE(s.polled.empty());
        EXPECT_TRUE(s.distributing.empty());
        EXPECT_EQ(s.bucket, (std::array<std::uint8_t, bucket_count>{}));
    }
}

TEST(SnapshotBuilder, FiltersOnlyMembersThatAreForcedPromiscuousAndOnlyIfThePortIsNot) {
    parts p;
    p.members = {present(0, 50), present(1, 51)};
    p.members[1].filter = true;
    p.port.addresses = {net::mac_address{{2, 0, 0, 0, 0, 1}}, net::mac_address{{2, 0, 0, 0, 0, 2}}};
    snapshot s = p.build();
    EXPECT_FALSE(s.polled[0].filter);
    EXPECT_TRUE(s.polled[1].filter);
    ASSERT_EQ(s.accept.size(), 2U);
    EXPECT_EQ(s.accept[1], p.port.addresses[1]);
    p.port.promiscuous = true;
    s = p.build();
    EXPECT_FALSE(s.polled[1].filter);
}

TEST(SnapshotBuilder, CarriesTheHashRuleThePrepareFlagAndWhoHandsOn) {
    parts p;
    p.config.hash.l2 = false;
    p.config.hash.symmetric = true;
    p.config.hash.seed = 77;
    p.port.tx_prepare = true;
    p.members = {present(0, 50), present(1, 51)};
    p.members[1].hands_on = true;
    p.use({0, 1});
    snapshot const s = p.build();
    EXPECT_EQ(s.hash, p.config.hash);
    EXPECT_TRUE(s.tx_prepare);
    EXPECT_FALSE(s.distributing[0].hands_on);
    EXPECT_TRUE(s.distributing[1].hands_on);
}

TEST(SnapshotBuilder, SaysWhatAllMembersMayHaveInCommon) {
    parts p;
    p.config.policy = policy::broadcast;
    p.members = {present(0, 50), present(1, 51), present(2, 52)};
    p.use({0, 1});
    EXPECT_EQ(p.build().shared, shared_by_all::frames);
    p.members[0].keeps_list = true;
    EXPECT_EQ(p.build().shared, shared_by_all::frames) << "one may write to its list";
    p.members[1].keeps_list = true;
    EXPECT_EQ(p.build().shared, shared_by_all::list) << "the third one does not distribute";
    p.port.tx_prepare = true;
    EXPECT_EQ(p.build().shared, shared_by_all::nothing);
    p.port.tx_prepare = false;
    p.members[1].hands_on = true;
    EXPECT_EQ(p.build().shared, shared_by_all::nothing);
    p.members[1].hands_on = false;
    p.use({0, 1, 2});
    EXPECT_EQ(p.build().shared, shared_by_all::frames);
}

TEST(SnapshotBuilder, TellsSnapshotsApartByEverythingButTheVersion) {
    parts p;
    p.config.policy = policy::loadbalance;
    p.members = {present(0, 50), present(1, 51)};
    p.use({0, 1});
    snapshot const s = p.build();
    snapshot other = s;
    other.version = 99;
    EXPECT_TRUE(same_but_for_version(s, other));
    auto const differs = [&s](auto change) {
        snapshot changed = s;
        change(changed);
        return !same_but_for_version(s, changed);
    };
    EXPECT_TRUE(differs([](snapshot& x) { x.policy = policy::none; }));
    EXPECT_TRUE(differs([](snapshot& x) { x.how = spread::to_all; }));
    EXPECT_TRUE(differs([](snapshot& x) { x.run = run_state::admin_down; }));
    EXPECT_TRUE(differs([](snapshot& x) { x.tx_prepare = true; }));
    EXPECT_TRUE(differs([](snapshot& x) { x.shared = shared_by_all::list; }));
    EXPECT_TRUE(differs([](snapshot& x) { x.stride = 2; }));
    EXPECT_TRUE(differs([](snapshot& x) { x.hash.seed = 1; }));
    EXPECT_TRUE(differs([](snapshot& x) { x.polled[1].filter = true; }));
    EXPECT_TRUE(differs([](snapshot& x) { x.distributing[0].hands_on = true; }));
    EXPECT_TRUE(differs([](snapshot& x) { x.bucket[255] ^= 1; }));
    EXPECT_TRUE(differs([](snapshot& x) { x.accept.push_back({}); }));
}

/// One random step: members come, go, change; policy, run state and weights too.
void shake(parts& p, test::dice& d) {
    auto const id = static_cast<member_id>(d.below(max_members));
    auto const at = std::find_if(p.members.begin(), p.members.end(),
                                 [id](member const& m) { return m.id == id; });
    switch (d.below(8)) {
    case 0:
    case 1:
        if (at == p.members.end()) {
            p.members.insert(p.members.begin() +
                                 d.below(static_cast<std::uint32_t>(p.members.size() + 1)),
                             present(id, static_cast<port_id>(1000 + id)));
        }
        break;
    case 2:
        if (at != p.members.end()) {
            p.members.erase(at);
        }
        break;
    case 3:
        if (at != p.members.end()) {
            at->usable = !at->usable;
        }
        break;
    case 4:
        if (at != p.members.end()) {
            at->phase = static_cast<member_phase>(d.below(4));
        }
        break;
    case 5: p.config.policy = static_cast<policy>(d.below(policy_count)); break;
    case 6: p.run = d.one_in(4) ? run_state::admin_down : run_state::running; break;
    case 7:
        if (at != p.members.end()) {
            at->link.speed_mbps = d.below(4) * 10000;
        }
        break;
    default: break;
    }
    time_point reconsider_at = never;
    p.who = decide(p.config, p.members, no_member, {}, time_point{0}, reconsider_at);
    std::vector<share> shares;
    for (auto const& m : p.members) {
        if (p.who.distributing.test(m.id)) {
            shares.push_back({.id = m.id, .weight = std::max(m.link.speed_mbps, 1U)});
        }
    }
    p.table.assign(shares);
}

bool in_order(snapshot const& s) {
    bool good = true;
    for (std::size_t i = 1; i < s.polled.size(); ++i) {
        good = good && s.polled[i - 1].id < s.polled[i].id;
    }
    for (std::size_t i = 1; i < s.distributing.size(); ++i) {
        good = good && s.distributing[i - 1].id < s.distributing[i].id;
    }
    return good;
}

/// Every slot names a present member with its own port; distributing ones are polled and usable.
bool slots_valid(snapshot const& s, std::vector<member> const& members) {
    for (auto const& slot : s.polled) {
        auto const m = std::find_if(members.begin(), members.end(),
                                    [&slot](member const& x) { return x.id == slot.id; });
        if (m == members.end() || m->port != slot.port || m->phase != member_phase::present) {
            return false;
        }
    }
    for (auto const& slot : s.distributing) {
        auto const m = std::find_if(members.begin(), members.end(),
                                    [&slot](member const& x) { return x.id == slot.id; });
        bool const polled = std::any_of(s.polled.begin(), s.polled.end(),
                                        [&slot](auto const& x) { return x.port == slot.port; });
        if (m == members.end() || m->port != slot.port || !m->usable || !polled) {
            return false;
        }
    }
    return true;
}

bool buckets_valid(snapshot const& s) {
    std::array<bool, max_members> served{};
    for (std::uint8_t const index : s.bucket) {
        if (s.how == spread::by_flow ? index >= s.distributing.size() : index != 0) {
            return false;
        }
        served[index] = true;
    }
    for (std::size_t i = 0; s.how == spread::by_flow && i < s.distributing.size(); ++i) {
        if (!served[i]) {
            return false;
        }
    }
    return true;
}

TEST(SnapshotBuilder, NeverShowsAHalfBuiltMemberWhateverTheHistory) {
    auto const seed = test::fresh_seed("NeverShowsAHalfBuiltMemberWhateverTheHistory");
    test::dice d(seed);
    parts p;
    std::size_t const most = test::rounds(100'000);
    for (std::size_t round = 0; round < most; ++round) {
        shake(p, d);
        snapshot const s = p.build();
        ASSERT_TRUE(in_order(s)) << "round " << round;
        ASSERT_TRUE(slots_valid(s, p.members)) << "round " << round;
        ASSERT_TRUE(buckets_valid(s)) << "round " << round;
        ASSERT_EQ(s.how == spread::nobody, s.distributing.empty()) << "round " << round;
        ASSERT_EQ(s.how == spread::to_one, s.distributing.size() == 1) << "round " << round;
    }
}

} // namespace
} // namespace lagg
