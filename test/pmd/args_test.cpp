#include "lagg_args.h"

#include <rte_ethdev.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace lagg::pmd {
namespace {

using std::chrono::milliseconds;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

start_arguments parsed(std::string const& text) {
    auto const args = parse_devargs(text.c_str());
    EXPECT_TRUE(args) << text << ": " << (args ? "" : args.error());
    return args ? *args : start_arguments{};
}

/// The line for refused devargs; empty when they were not refused.
std::string complaint(std::string const& text) {
    auto const args = parse_devargs(text.c_str());
    return args ? "" : args.error();
}

TEST(Devargs, AreAllOptional) {
    for (char const* none : {static_cast<char const*>(nullptr), ""}) {
        auto const args = parse_devargs(none);
        ASSERT_TRUE(args);
        EXPECT_EQ(args->config, lagg::config{});
        EXPECT_TRUE(args->members.empty());
        EXPECT_FALSE(args->mac);
        EXPECT_FALSE(args->seed_given);
        EXPECT_EQ(args->poll_period, milliseconds{100});
        EXPECT_EQ(args->queues, 16);
        EXPECT_EQ(args->rx_offloads, 0U);
        EXPECT_EQ(args->tx_offloads, 0U);
    }
}

TEST(Devargs, SetEveryOption) {
    auto const args =
        parsed("policy=failover,member=net_wire0,member=net_wire1,primary=net_wire1,hash=l3+l4,"
               "symmetric=1,seed=0x1234abcd,flowid=1,stride=8,rx_all=1,mac=02:11:22:33:44:55,"
               "min_links=2,up_delay=250,down_delay=60000,weight=net_wire0@3,weight=net_wire1@255,"
               "failback=better:500,lsc_poll_period_ms=20,queues=4,"
               "offloads=TX_IPV4_CKSUM+RX_VLAN_STRIP");
    auto const& c = args.config;
    EXPECT_EQ(c.policy, policy::failover);
    EXPECT_THAT(args.members, ElementsAre("net_wire0", "net_wire1"));
    EXPECT_EQ(c.primary, "net_wire1");
    EXPECT_FALSE(c.hash.l2);
    EXPECT_TRUE(c.hash.l3);
    EXPECT_TRUE(c.hash.l4);
    EXPECT_TRUE(c.hash.symmetric);
    EXPECT_TRUE(c.hash.use_flowid);
    EXPECT_EQ(c.hash.seed, 0x1234abcdU);
    EXPECT_TRUE(args.seed_given);
    EXPECT_EQ(c.stride, 8U);
    EXPECT_TRUE(c.rx_all);
    ASSERT_TRUE(args.mac);
    EXPECT_EQ(net::to_string(*args.mac), "02:11:22:33:44:55");
    EXPECT_EQ(c.min_links, 2U);
    EXPECT_EQ(c.up_delay, milliseconds{250});
    EXPECT_EQ(c.down_delay, milliseconds{60000});
    EXPECT_THAT(c.weights,
                ElementsAre(weight_setting{"net_wire0", 3}, weight_setting{"net_wire1", 255}));
    EXPECT_EQ(c.failback, failback::better);
    EXPECT_EQ(c.failback_hold, milliseconds{500});
    EXPECT_EQ(args.poll_period, milliseconds{20});
    EXPECT_EQ(args.queues, 4);
    EXPECT_EQ(args.tx_offloads, RTE_ETH_TX_OFFLOAD_IPV4_CKSUM);
    EXPECT_EQ(args.rx_offloads, RTE_ETH_RX_OFFLOAD_VLAN_STRIP);
}

TEST(Devargs, TakeEveryPolicyThatIsBuiltIn) {
    EXPECT_EQ(parsed("policy=roundrobin").config.policy, policy::roundrobin);
    EXPECT_EQ(parsed("policy=loadbalance").config.policy, policy::loadbalance);
    EXPECT_EQ(parsed("policy=failover").config.policy, policy::failover);
    EXPECT_EQ(parsed("policy=broadcast").config.policy, policy::broadcast);
    EXPECT_EQ(parsed("policy=none").config.policy, policy::none);
}

TEST(Devargs, TakeFailbackWithAndWithoutAHold) {
    EXPECT_EQ(parsed("failback=never").config.failback, failback::never);
    EXPECT_EQ(parsed("failback=always").config.failback_hold, milliseconds{0});
    EXPECT_EQ(parsed("failback=always:0").config.failback_hold, milliseconds{0});
    EXPECT_EQ(parsed("failback=better:60000").config.failback_hold, milliseconds{60000});
}

TEST(Devargs, TakeThePollPeriodUnderBothOfItsNames) {
    EXPECT_EQ(parsed("lsc_poll_period_ms=1").poll_period, milliseconds{1});
    EXPECT_EQ(parsed("poll_period=7").poll_period, milliseconds{7});
    EXPECT_THAT(complaint("poll_period=7,lsc_poll_period_ms=8"), HasSubstr("lsc_poll_period_ms=8"));
}

TEST(Devargs, NamePciMembersInTheirLongForm) {
    auto const args = parsed("member=03:00.1,member=0000:03:00.0,primary=3:0.1,weight=03:00.0@9");
    EXPECT_THAT(args.members, ElementsAre("0000:03:00.1", "0000:03:00.0"));
    EXPECT_EQ(args.config.primary, "0000:03:00.1");
    EXPECT_THAT(args.config.weights, ElementsAre(weight_setting{"0000:03:00.0", 9}));
    EXPECT_EQ(canonical_port_name("net_wire0"), "net_wire0");
    EXPECT_EQ(canonical_port_name("0000:03:00.0_representor_1"), "0000:03:00.0_representor_1");
}

TEST(Devargs, TakeAsManyMembersAsALaggCanHave) {
    std::string text = "policy=roundrobin,hash=l2";
    for (std::size_t i = 0; i < max_members; ++i) {
        text += ",member=net_wire" + std::to_string(i);
    }
    EXPECT_EQ(parsed(text).members.size(), max_members);
    auto const line = complaint(text + ",member=one_more");
    EXPECT_THAT(line, HasSubstr("member=one_more"));
    EXPECT_THAT(line, HasSubstr("32"));
}

TEST(Devargs, RefuseTheSameMemberTwiceHoweverItIsWritten) {
    EXPECT_THAT(complaint("member=net_wire0,member=net_wire0"), HasSubstr("member=net_wire0"));
    EXPECT_THAT(complaint("member=0000:03:00.0,member=03:00.0"), HasSubstr("member=03:00.0"));
    EXPECT_THAT(complaint("weight=a@1,weight=a@2"), HasSubstr("weight=a@2"));
}

TEST(Devargs, RefuseASingleKeyASecondTime) {
    for (std::string const pair :
         {"policy=none", "primary=a", "hash=l2", "symmetric=0", "seed=1", "flowid=0", "stride=1",
          "rx_all=0", "mac=02:00:00:00:00:01", "min_links=1", "up_delay=1", "down_delay=1",
          "failback=always", "lsc_poll_period_ms=10", "poll_period=10", "queues=1",
          "offloads=TX_MULTI_SEGS"}) {
        EXPECT_EQ(complaint(pair), "");
        auto const line = complaint(pair + "," + pair);
        EXPECT_THAT(line, HasSubstr(pair));
        EXPECT_THAT(line, HasSubstr("allowed: once"));
    }
}

TEST(Devargs, NameTheKnownKeysWhenOneIsUnknown) {
    auto const line = complaint("policy=none,colour=red");
    EXPECT_THAT(line, HasSubstr("colour=red"));
    for (char const* key : {"policy", "member", "primary", "hash", "symmetric", "seed", "flowid",
                            "stride", "rx_all", "mac", "min_links", "up_delay", "down_delay",
                            "weight", "failback", "lsc_poll_period_ms", "queues", "offloads"}) {
        EXPECT_THAT(line, HasSubstr(key));
    }
    EXPECT_THAT(complaint("Policy=none"), HasSubstr("unknown key"));
    EXPECT_THAT(complaint("mode=1"), HasSubstr("mode=1"));
    EXPECT_THAT(complaint("=1"), HasSubstr("unknown key"));
    EXPECT_THAT(complaint("policy=none,,rx_all=1"), HasSubstr("unknown key"));
}

struct bad_value {
    std::string pair;
    std::string allowed;
};

class BadValue : public testing::TestWithParam<bad_value> {};

TEST_P(BadValue, IsRefusedInOneLineWithKeyValueAndWhatIsAllowed) {
    auto const line = complaint("member=net_wire0," + GetParam().pair);
    EXPECT_THAT(line, HasSubstr(GetParam().pair));
    EXPECT_THAT(line, HasSubstr(GetParam().allowed));
    EXPECT_THAT(line, Not(HasSubstr("\n")));
}

std::string const long_name(RTE_ETH_NAME_MAX_LEN, 'x');

INSTANTIATE_TEST_SUITE_P(
    Devargs, BadValue,
    testing::Values(
        bad_value{"policy=active-backup", "failover"},
        bad_value{"policy=", "roundrobin, loadbalance, lacp, failover, broadcast, none"},
        bad_value{"member=", "a port name"}, bad_value{"member=" + long_name, "63"},
        bad_value{"primary=", "a port name"}, bad_value{"primary=" + long_name, "63"},
        bad_value{"hash=l5", "l2, l3, l4"}, bad_value{"hash=", "l2, l3, l4"},
        bad_value{"hash=l2+l2", "l2, l3, l4"}, bad_value{"symmetric=yes", "0 or 1"},
        bad_value{"symmetric=", "0 or 1"}, bad_value{"flowid=2", "0 or 1"},
        bad_value{"rx_all=on", "0 or 1"}, bad_value{"seed=-1", "0 to 4294967295"},
        bad_value{"seed=4294967296", "0 to 4294967295"}, bad_value{"seed=0x", "0 to 4294967295"},
        bad_value{"seed=random", "0 to 4294967295"}, bad_value{"stride=0", "1 to 65535"},
        bad_value{"stride=65536", "1 to 65535"}, bad_value{"stride=1 ", "1 to 65535"},
        bad_value{"mac=00:00:00:00:00:00", "unicast"},
        bad_value{"mac=01:00:5e:00:00:01", "unicast"}, bad_value{"mac=02:11:22:33:44", "unicast"},
        bad_value{"min_links=33", "0 to 32"}, bad_value{"up_delay=60001", "0 to 60000 ms"},
        bad_value{"down_delay=1s", "0 to 60000 ms"},
        bad_value{"weight=net_wire0", "<member>@<1 to 255>"},
        bad_value{"weight=net_wire0@0", "<member>@<1 to 255>"},
        bad_value{"weight=net_wire0@256", "<member>@<1 to 255>"},
        bad_value{"weight=@3", "<member>@<1 to 255>"},
        bad_value{"failback=sometimes", "always, better or never"},
        bad_value{"failback=always:", "0 to 60000 ms"},
        bad_value{"failback=always:60001", "0 to 60000 ms"},
        bad_value{"lsc_poll_period_ms=0", "1 to 60000 ms"},
        bad_value{"poll_period=60001", "1 to 60000 ms"}, bad_value{"queues=0", "1 to"},
        bad_value{"queues=65537", "1 to"}, bad_value{"offloads=VLAN_STRIP", "RX_ or TX_"},
        bad_value{"offloads=RX_TELEPATHY", "RX_ or TX_"},
        bad_value{"offloads=RX_UNKNOWN", "RX_ or TX_"}, bad_value{"offloads=", "RX_ or TX_"},
        bad_value{"offloads=TX_MULTI_SEGS+", "RX_ or TX_"},
        bad_value{"offloads=TX_MBUF_FAST_FREE", "never TX_MBUF_FAST_FREE"}));

TEST(Devargs, RefuseAKeyWithoutAValue) {
    EXPECT_THAT(complaint("symmetric"), HasSubstr("symmetric=: refused; allowed: 0 or 1"));
}

} // namespace
} // namespace lagg::pmd
