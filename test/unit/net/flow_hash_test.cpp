#include "net/flow_hash.h"

#include "sample_frames.h"

#include <gtest/gtest.h>

#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <functional>
#include <random>
#include <string>
#include <utility>
#include <vector>

namespace lagg::net {
namespace {

std::vector<hash_rule> all_rules(std::uint32_t seed = 0) {
    std::vector<hash_rule> rules;
    for (unsigned bits = 2; bits < 16; ++bits) {
        rules.push_back({.l2 = (bits & 2) != 0,
                         .l3 = (bits & 4) != 0,
                         .l4 = (bits & 8) != 0,
                         .symmetric = (bits & 1) != 0,
                         .seed = seed});
    }
    return rules;
}

std::string name(hash_rule const& rule) {
    return to_string(rule.fields()) + (rule.symmetric ? " symmetric" : "");
}

std::uint32_t hash(hash_rule const& rule, test::bytes const& frame) {
    return flow_hash(rule, parse_flow(view(frame)));
}

flow_key udp4_key() {
    return {.destination_mac = 0x0200'0000'0002,
            .source_mac = 0x0200'0000'0001,
            .ethertype = 0x0800,
            .kind = flow_kind::ipv4,
            .protocol = 17,
            .has_ports = true,
            .source_port = 40000,
            .destination_port = 53,
            .source = {0, 0x0a00'0001},
            .destination = {0, 0x0a00'0002}};
}

flow_key udp6_key() {
    flow_key key = udp4_key();
    key.ethertype = 0x86dd;
    key.kind = flow_kind::ipv6;
    key.source = {0x2001'0db8'0000'0001, 1};
    key.destination = {0x2001'0db8'0000'0002, 2};
    return key;
}

flow_key reversed(flow_key key) {
    std::swap(key.source_mac, key.destination_mac);
    std::swap(key.source, key.destination);
    std::swap(key.source_port, key.destination_port);
    return key;
}

// ---- which layers count

using change = void (*)(flow_key&);
struct layer_changes {
    char const* layer;
    bool hash_fields::*field;
    std::vector<change> changes;
};

std::vector<layer_changes> changes_by_layer() {
    return {{"l2",
             &hash_fields::l2,
             {[](flow_key& k) { k.destination_mac ^= 1; },
              [](flow_key& k) { k.source_mac ^= std::uint64_t{1} << 47; },
              [](flow_key& k) { k.outer_vlan = 7; }, [](flow_key& k) { k.inner_vlan = 7; }}},
            {"l3",
             &hash_fields::l3,
             {[](flow_key& k) { k.source.low ^= 1; },
              [](flow_key& k) { k.destination.low ^= 0x8000'0000U; }}},
            {"l4",
             &hash_fields::l4,
             {[](flow_key& k) { k.source_port ^= 0x8000U; },
              [](flow_key& k) { k.destination_port ^= 1U; }, [](flow_key& k) { k.protocol = 6; }}}};
}

TEST(FlowHash, CountsTheNamedLayersAndNoOther) {
    for (auto const& rule : all_rules()) {
        for (auto const& key : {udp4_key(), udp6_key()}) {
            for (auto const& [layer, field, changes] : changes_by_layer()) {
                for (std::size_t i = 0; i < changes.size(); ++i) {
                    flow_key changed = key;
                    changes[i](changed);
                    bool const same = flow_hash(rule, changed) == flow_hash(rule, key);
                    EXPECT_EQ(same, !(rule.fields().*field))
                        << name(rule) << ": " << layer << " change " << i;
                }
            }
        }
    }
}

TEST(FlowHash, CountsAllOfAnIpv6Address) {
    hash_rule const rule{.l2 = false, .l3 = true, .l4 = false};
    for (int bit = 0; bit < 64; ++bit) {
        for (auto const& flip : std::initializer_list<std::function<void(flow_key&)>>{
                 [bit](flow_key& k) { k.source.high ^= std::uint64_t{1} << bit; },
                 [bit](flow_key& k) { k.source.low ^= std::uint64_t{1} << bit; },
                 [bit](flow_key& k) { k.destination.high ^= std::uint64_t{1} << bit; },
                 [bit](flow_key& k) { k.destination.low ^= std::uint64_t{1} << bit; }}) {
            flow_key key = udp6_key();
            flip(key);
            EXPECT_NE(flow_hash(rule, key), flow_hash(rule, udp6_key())) << bit;
        }
    }
}

TEST(FlowHash, LeavesOutPriorityAndWhatElseChangesWithinAFlow) {
    auto const base = [] { return test::frame_builder().eth(test::mac(2), test::mac(1)); };
    for (auto const& rule : all_rules()) {
        EXPECT_EQ(hash(rule, base().vlan(5, 0).ipv4(1, 2, {.ttl = 64, .id = 1}).udp(3, 4).build()),
                  hash(rule, base()
                                 .vlan(5, 7)
                                 .ipv4(1, 2, {.ttl = 3, .tos = 0xb8, .id = 999})
                                 .udp(3, 4)
                                 .payload(700)
                                 .build()))
            << name(rule);
    }
}

TEST(FlowHash, FallsBackToMacAddressesForFramesThatAreNotIp) {
    auto const arp = [](std::uint32_t sender) {
        return test::frame_builder()
            .eth(test::broadcast_mac, test::mac(sender))
            .arp_request(test::mac(9), 1, 2)
            .build();
    };
    for (auto const& rule : all_rules()) {
        EXPECT_NE(hash(rule, arp(1)), hash(rule, arp(2))) << name(rule);
    }
}

TEST(FlowHash, FallsBackToAddressesWhenL4IsAskedForAndThereAreNoPorts) {
    hash_rule const rule{.l2 = false, .l3 = false, .l4 = true};
    auto const echo = [](std::uint32_t destination, std::uint32_t source_mac) {
        return test::frame_builder()
            .eth(test::mac(9), test::mac(source_mac))
            .ipv4(1, destination)
            .icmp()
            .build();
    };
    EXPECT_NE(hash(rule, echo(2, 1)), hash(rule, echo(3, 1)));
    EXPECT_EQ(hash(rule, echo(2, 1)), hash(rule, echo(2, 2)));
}

TEST(FlowHash, KeepsFragmentsOfADatagramTogetherUnderEveryRule) {
    auto const eth = [] { return test::frame_builder().eth(test::mac(2), test::mac(1)); };
    std::vector<std::vector<test::bytes>> const datagrams{
        test::fragment_ipv4(eth().ipv4(1, 2).udp(3, 4).payload(100).build(), 14, 32),
        test::fragment_ipv4(
            eth().vlan(8).ipv4(1, 2, {.option_bytes = 40}).tcp(3, 4).payload(100).build(), 18, 8),
        test::fragment_ipv6(
            eth().ipv6(test::ip6(1, 2), test::ip6(3, 4)).udp(3, 4).payload(100).build(), 14, 32),
        test::fragment_ipv6(eth()
                                .qinq(5, 6)
                                .ipv6(test::ip6(1, 2), test::ip6(3, 4))
                                .hop_by_hop(3)
                                .routing()
                                .destination_options(2)
                                .udp(3, 4)
                                .payload(100)
                                .build(),
                            22, 16)};
    for (auto const& rule : all_rules(99)) {
        for (auto const& fragments : datagrams) {
            ASSERT_GE(fragments.size(), 3U);
            for (auto const& f : fragments) {
                EXPECT_EQ(hash(rule, f), hash(rule, fragments[0])) << name(rule);
            }
        }
    }
}

TEST(FlowHash, KeepsIpv6FragmentsTogetherThatNameDifferentNextHeaders) {
    auto const fragment = [](std::uint16_t offset, bool more, std::uint8_t next) {
        return test::frame_builder()
            .eth(test::mac(2), test::mac(1))
            .ipv6(test::ip6(1, 2), test::ip6(3, 4))
            .ipv6_fragment(1, offset, more, next)
            .payload(64)
            .build();
    };
    for (auto const& rule : all_rules()) {
        EXPECT_EQ(hash(rule, fragment(0, true, 17)), hash(rule, fragment(8, false, 59)))
            << name(rule);
    }
}

TEST(FlowHash, KeepsFragmentsTogetherWhoseFirstSegmentsAreCutDifferently) {
    auto const fragments = test::fragment_ipv6(test::frame_builder()
                                                   .eth(test::mac(2), test::mac(1))
                                                   .ipv6(test::ip6(1, 2), test::ip6(3, 4))
                                                   .hop_by_hop()
                                                   .udp(3, 4)
                                                   .payload(100)
                                                   .build(),
                                               14, 64);
    for (auto const& rule : all_rules()) {
        for (std::uint32_t length = 54; length <= 80; ++length) {
            EXPECT_EQ(flow_hash(rule, parse_flow({fragments[0].data(), length, 0})),
                      hash(rule, fragments[1]))
                << name(rule) << " " << length;
        }
    }
}

// ---- symmetric

TEST(FlowHash, IsTheSameForBothDirectionsOnlyWhenSymmetric) {
    std::vector<flow_key> keys{udp4_key(), udp6_key()};
    for (auto const& s : sample_frames()) {
        keys.push_back(s.key);
    }
    for (auto const& rule : all_rules(5)) {
        for (auto const& key : keys) {
            EXPECT_EQ(flow_hash(rule, key) == flow_hash(rule, reversed(key)), rule.symmetric)
                << name(rule);
        }
    }
}

TEST(FlowHash, IsSymmetricBehindARouterToo) {
    flow_key there = udp4_key();
    flow_key back = reversed(there);
    std::swap(back.source_mac, back.destination_mac);
    for (auto const& rule : all_rules()) {
        if (rule.symmetric) {
            EXPECT_EQ(flow_hash(rule, there), flow_hash(rule, back)) << name(rule);
        }
    }
}

TEST(FlowHash, OrdersIpv6AddressesThatDifferInOneHalfOnly) {
    hash_rule const rule{.l2 = false, .l4 = false, .symmetric = true};
    flow_key key = udp6_key();
    key.source = {5, 1};
    for (auto const& other : {ip_address{5, 2}, ip_address{6, 1}, ip_address{4, 9}, key.source}) {
        key.destination = other;
        EXPECT_EQ(flow_hash(rule, key), flow_hash(rule, reversed(key)));
    }
}

// ---- one form and the other

TEST(FlowHash, GivesTheSameInABurstAsAlone) {
    auto const samples = sample_frames();
    std::mt19937 random(random_seed());
    auto const below = [&random](std::size_t n) {
        return std::uniform_int_distribution<std::size_t>(0, n - 1)(random);
    };
    constexpr std::size_t count = 100'000;
    std::vector<test::bytes> frames;
    std::vector<frame_view> views;
    frames.reserve(count);
    for (std::size_t i = 0; i < count; ++i) {
        frames.push_back(samples[below(samples.size())].frame);
        auto& frame = frames.back();
        for (std::size_t n = below(6); n > 0; --n) {
            frame[below(std::min<std::size_t>(frame.size(), 80))] =
                static_cast<std::uint8_t>(random());
        }
        auto const length = below(4) == 0 ? below(frame.size() + 1) : frame.size();
        frame.resize(length);
        frame.shrink_to_fit();
        views.push_back(view(frame));
    }
    for (auto const& rule : all_rules(static_cast<std::uint32_t>(random()))) {
        std::vector<std::uint32_t> hashes(count);
        for (std::size_t i = 0; i < count;) {
            auto const size = std::min(below(65), count - i);
            flow_hash_burst(rule, std::span(views).subspan(i, size), hashes.data() + i);
            i += size;
        }
        for (std::size_t i = 0; i < count; ++i) {
            ASSERT_EQ(hashes[i], flow_hash(rule, parse_flow(views[i]))) << name(rule) << " " << i;
        }
    }
}

TEST(FlowHash, WritesNothingForAnEmptyBurst) {
    std::uint32_t untouched = 0x1234;
    flow_hash_burst({}, {}, &untouched);
    EXPECT_EQ(untouched, 0x1234U);
}

/// The numbers themselves are arbitrary: a machine with another CPU or byte order must give them
/// too, and whoever changes them moves every flow of every user.
TEST(FlowHash, GivesTheSameNumbersOnEveryMachine) {
    hash_rule rule{.seed = 0x1234'5678};
    EXPECT_EQ(flow_hash(rule, udp4_key()), 0x37d9'ae90U);
    EXPECT_EQ(flow_hash(rule, udp6_key()), 0x25a2'efefU);
    EXPECT_EQ(flow_hash(rule, {}), 0x103c'9bfcU);
    rule.symmetric = true;
    EXPECT_EQ(flow_hash(rule, udp4_key()), 0x033c'95ddU);
    EXPECT_EQ(mix_flowid(0xdead'beef, 7), 0x20f1'3ab7U);
}

// ---- spread

constexpr std::size_t buckets = 256;

/// Sum over the classes of (found - expected)^2 / expected.
double chi_square(std::vector<double> const& found, std::vector<double> const& expected) {
    double sum = 0;
    for (std::size_t i = 0; i < found.size(); ++i) {
        sum += (found[i] - expected[i]) * (found[i] - expected[i]) / expected[i];
    }
    return sum;
}

/// Of 256 buckets picked by the low eight bits, by the high eight bits, and of three members that
/// take the buckets in turn.  The bounds are passed by one fair hash in about 30,000 (255 and 2
/// degrees of freedom).
void expect_even(std::vector<std::uint32_t> const& hashes, std::string const& what) {
    std::vector<double> low(buckets), high(buckets), members(3), share(3);
    for (auto const h : hashes) {
        low[h & (buckets - 1)] += 1;
        high[h >> 24] += 1;
        members[(h & (buckets - 1)) % 3] += 1;
    }
    auto const n = static_cast<double>(hashes.size());
    for (std::size_t i = 0; i < buckets; ++i) {
        share[i % 3] += n / buckets;
    }
    std::vector<double> const each(buckets, n / buckets);
    EXPECT_LT(chi_square(low, each), 355) << what << ", low bits";
    EXPECT_LT(chi_square(high, each), 355) << what << ", high bits";
    EXPECT_LT(chi_square(members, share), 20.6) << what << ", members";
}

struct pattern {
    std::string name;
    std::vector<hash_rule> rules;
    std::vector<flow_key> keys;
};

std::vector<pattern> patterns() {
    std::vector<pattern> all;
    std::vector<hash_rule> l2, l3, l4; // the rules that count the layer which the pattern varies
    for (auto const& rule : all_rules(0xc0ffee)) {
        for (auto& [list, counts] : {std::pair{&l2, rule.l2}, {&l3, rule.l3}, {&l4, rule.l4}}) {
            if (counts) {
                list->push_back(rule);
            }
        }
    }
    auto const add = [&all](std::string text, std::vector<hash_rule> const& rules,
                            flow_key const& base, std::uint32_t n,
                            std::function<void(flow_key&, std::uint32_t)> const& vary) {
        pattern p{std::move(text), rules, {}};
        for (std::uint32_t i = 0; i < n; ++i) {
            p.keys.push_back(base);
            vary(p.keys.back(), i);
        }
        all.push_back(std::move(p));
    };
    flow_key const four = udp4_key();
    flow_key const six = udp6_key();
    constexpr std::uint32_t many = 40'960;

    add("sequential source addresses", l3, four, many,
        [](flow_key& k, std::uint32_t i) { k.source.low += i; });
    add("both addresses sequential", l3, four, many, [](flow_key& k, std::uint32_t i) {
        k.source.low += i;
        k.destination.low += 0x10'0000 + i;
    });
    for (std::uint32_t const stride : {2U, 4U, 64U, 256U, 1024U, 4096U, 65536U}) {
        add("source addresses with stride " + std::to_string(stride), l3, four, many,
            [stride](flow_key& k, std::uint32_t i) {
                k.source.low = (k.source.low + i * stride) & 0xffff'ffffU;
            });
    }
    add("one /24", l3, four, 254, [](flow_key& k, std::uint32_t i) { k.source.low += i; });
    add("a /24 with a /24", l3, four, 254 * 254, [](flow_key& k, std::uint32_t i) {
        k.source.low = 0xc0a8'0101 + i % 254;
        k.destination.low = 0xc0a8'0201 + i / 254;
    });
    add("sequential source ports", l4, four, 28'232, [](flow_key& k, std::uint32_t i) {
        k.source_port = static_cast<std::uint16_t>(32768 + i);
    });
    for (std::uint32_t const stride : {2U, 8U, 16U}) {
        add("source ports with stride " + std::to_string(stride), l4, four, 65536 / stride,
            [stride](flow_key& k, std::uint32_t i) {
                k.source_port = static_cast<std::uint16_t>(i * stride);
            });
    }
    add("ports with bits 4 and up only, both sides", l4, four, 4096 * 8,
        [](flow_key& k, std::uint32_t i) {
            k.source_port = static_cast<std::uint16_t>(i << 4);
            k.destination_port = static_cast<std::uint16_t>(i >> 12 << 13 | 1);
        });
    add("sequential ports over IPv6", l4, six, 28'232, [](flow_key& k, std::uint32_t i) {
        k.source_port = static_cast<std::uint16_t>(32768 + i);
    });
    add("EUI-64 of one vendor", l3, six, many,
        [](flow_key& k, std::uint32_t i) { k.source.low = 0x0211'22ff'fe00'0000 | i; });
    add("EUI-64 to EUI-64", l3, six, many, [](flow_key& k, std::uint32_t i) {
        k.source.low = 0x0211'22ff'fe00'0000 | i % 256;
        k.destination.low = 0x0211'22ff'fe00'0000 | i / 256 << 8;
    });
    add("a /64 each", l3, six, many, [](flow_key& k, std::uint32_t i) { k.source.high += i; });
    add("a /48 each", l3, six, many,
        [](flow_key& k, std::uint32_t i) { k.source.high += std::uint64_t{i} << 16; });
    add("sequential MAC addresses", l2, four, many,
        [](flow_key& k, std::uint32_t i) { k.source_mac += i; });
    add("MAC addresses with stride 256", l2, four, many,
        [](flow_key& k, std::uint32_t i) { k.destination_mac += std::uint64_t{i} << 8; });
    add("VLAN ids", l2, four, 4095,
        [](flow_key& k, std::uint32_t i) { k.outer_vlan = static_cast<std::uint16_t>(i); });
    add("VLAN ids inside and outside", l2, four, 256 * 128, [](flow_key& k, std::uint32_t i) {
        k.outer_vlan = static_cast<std::uint16_t>(i % 256);
        k.inner_vlan = static_cast<std::uint16_t>(i / 256);
    });
    return all;
}

TEST(FlowHash, SpreadsRegularTrafficEvenly) {
    for (auto const& p : patterns()) {
        for (auto const& rule : p.rules) {
            std::vector<std::uint32_t> hashes;
            for (auto const& key : p.keys) {
                hashes.push_back(flow_hash(rule, key));
            }
            expect_even(hashes, p.name + " by " + name(rule));
        }
    }
}

TEST(FlowHash, HasNoBadSeed) {
    std::vector<std::uint32_t> seeds{0, 1, 2, 0xff, 0x8000'0000, 0xffff'ffff};
    std::mt19937 random(2026);
    while (seeds.size() < 40) {
        seeds.push_back(static_cast<std::uint32_t>(random()));
    }
    for (auto const seed : seeds) {
        std::vector<std::uint32_t> hashes;
        flow_key key = udp4_key();
        for (std::uint32_t i = 0; i < 20'480; ++i) {
            key.source.low = 0x0a00'0000 + i % 128;
            key.source_port = static_cast<std::uint16_t>(1024 + i / 128);
            hashes.push_back(flow_hash({.seed = seed}, key));
        }
        expect_even(hashes, "seed " + std::to_string(seed));
    }
}

/// What one word alone changes is multiplied by the same number each time, which some seeds make a
/// bad one: the mixing behind it must hide that, for a few flows as well as for many.
TEST(FlowHash, HasNoSeedThatLeavesNeighboursNeighbours) {
    std::mt19937 random(2027);
    for (std::uint32_t const count : {254U, 4096U}) {
        int uneven = 0;
        constexpr int seeds = 2000;
        for (int i = 0; i < seeds; ++i) {
            hash_rule const rule{
                .l2 = false, .l4 = false, .seed = static_cast<std::uint32_t>(random())};
            std::vector<double> found(8);
            flow_key key = udp4_key();
            for (std::uint32_t n = 0; n < count; ++n) {
                key.source.low = 0x0a00'0001 + n;
                found[flow_hash(rule, key) & 7U] += 1;
            }
            // passed by one fair hash in a thousand (7 degrees of freedom)
            uneven += chi_square(found, std::vector<double>(8, count / 8.0)) > 24.3;
        }
        EXPECT_LT(uneven, 12) << count; // 2 are to be expected
    }
}

/// Each bit that counts flips each bit of the hash half of the time.
TEST(FlowHash, PassesEachBitOnToAllBits) {
    constexpr int rounds = 4096; // one share has a standard deviation of 1/128
    std::mt19937_64 random(2026);
    auto const flip = [](flow_key& k, int bit) {
        std::uint64_t const one = std::uint64_t{1} << (bit % 64);
        if (bit < 48) {
            k.destination_mac ^= one;
        } else if (bit < 64) {
            k.source_port = static_cast<std::uint16_t>(k.source_port ^ one >> 48);
        } else if (bit < 112) {
            k.source_mac ^= one;
        } else if (bit < 128) {
            k.destination_port = static_cast<std::uint16_t>(k.destination_port ^ one >> 48);
        } else if (bit < 192) {
            k.source.high ^= one;
        } else if (bit < 256) {
            k.source.low ^= one;
        } else if (bit < 320) {
            k.destination.high ^= one;
        } else {
            k.destination.low ^= one;
        }
    };
    for (bool const symmetric : {false, true}) {
        for (int bit = 0; bit < 384; ++bit) {
            std::array<int, 32> flips{};
            for (int round = 0; round < rounds; ++round) {
                flow_key key = udp6_key();
                key.destination_mac = random() >> 16;
                key.source_mac = random() >> 16;
                key.source = {random(), random()};
                key.destination = {random(), random()};
                key.source_port = static_cast<std::uint16_t>(random());
                key.destination_port = static_cast<std::uint16_t>(random());
                flow_key other = key;
                flip(other, bit);
                hash_rule const rule{.symmetric = symmetric, .seed = 1};
                auto const difference = flow_hash(rule, key) ^ flow_hash(rule, other);
                for (std::size_t i = 0; i < flips.size(); ++i) {
                    flips[i] += static_cast<int>(difference >> i & 1U);
                }
            }
            for (std::size_t i = 0; i < flips.size(); ++i) {
                ASSERT_NEAR(static_cast<double>(flips[i]) / rounds, 0.5, 0.05)
                    << "bit " << bit << " to bit " << i << (symmetric ? " symmetric" : "");
            }
        }
    }
}

TEST(FlowHash, MapsDifferentlyForEachSeed) {
    constexpr std::uint32_t flows = 25'600;
    for (auto const& [one, other] : {std::pair{0U, 1U}, {1U, 2U}, {7U, 0x8000'0007U}}) {
        for (auto rule : all_rules()) {
            std::uint32_t same = 0;
            flow_key key = udp4_key();
            for (std::uint32_t i = 0; i < flows; ++i) {
                key.source_mac = 0x0200'0000'0000 + i;
                key.source.low = 0x0a00'0000 + i;
                key.source_port = static_cast<std::uint16_t>(i);
                rule.seed = one;
                auto const a = flow_hash(rule, key);
                rule.seed = other;
                same += (a & 255U) == (flow_hash(rule, key) & 255U) ? 1U : 0U;
            }
            // One in 256 by chance: 100, give or take 10.
            EXPECT_GT(same, 50U) << name(rule) << " " << one << " " << other;
            EXPECT_LT(same, 150U) << name(rule) << " " << one << " " << other;
        }
    }
}

/// What the first bond sends over its member 0 arrives at the second one.
std::vector<std::uint32_t> hashes_at_the_second_bond(std::uint32_t first, std::uint32_t second) {
    std::vector<std::uint32_t> hashes;
    flow_key key = udp4_key();
    for (std::uint32_t i = 0; i < 120'000; ++i) {
        key.source.low = 0x0a00'0000 + i % 1000;
        key.source_port = static_cast<std::uint16_t>(1024 + i / 1000);
        if ((flow_hash({.seed = first}, key) & 255U) % 3 == 0) {
            hashes.push_back(flow_hash({.seed = second}, key));
        }
    }
    return hashes;
}

TEST(FlowHash, SpreadsAgainBehindABondWithAnotherSeed) {
    for (auto const& [first, second] :
         {std::pair{0U, 1U}, {1U, 0U}, {5U, 6U}, {5U, 0x8000'0005U}, {77U, 0xffff'ffffU}}) {
        expect_even(hashes_at_the_second_bond(first, second),
                    std::to_string(first) + " then " + std::to_string(second));
    }
    for (auto const h : hashes_at_the_second_bond(5, 5)) {
        ASSERT_EQ((h & 255U) % 3, 0U) << "the same seed does not spread again: why seeds differ";
    }
}

TEST(MixFlowid, SpreadsHashesOfWhichAFewBitsVary) {
    for (std::uint32_t const seed : {0U, 1U, 0xdead'beefU}) {
        for (unsigned const shift : {0U, 7U, 16U}) {
            std::vector<std::uint32_t> hashes;
            for (std::uint32_t i = 0; i < 65536; ++i) {
                hashes.push_back(mix_flowid(i << shift, seed));
            }
            expect_even(hashes, "shift " + std::to_string(shift));
        }
    }
    EXPECT_NE(mix_flowid(1, 1), mix_flowid(1, 2));
}

// ---- text

TEST(HashFields, ReadsLayersInAnyOrder) {
    using f = hash_fields;
    EXPECT_EQ(*parse_hash_fields("l2+l3+l4"), (f{true, true, true}));
    EXPECT_EQ(*parse_hash_fields("l4+l2+l3"), (f{true, true, true}));
    EXPECT_EQ(*parse_hash_fields("l4+l3"), (f{false, true, true}));
    EXPECT_EQ(*parse_hash_fields("l2"), (f{true, false, false}));
    EXPECT_EQ(hash_rule{}.fields(), (f{true, true, true}));
}

TEST(HashFields, SaysWhatIsWrong) {
    using reason = hash_fields_error::reason;
    struct {
        char const* text;
        reason why;
        char const* word;
    } const wrong[]{
        {"", reason::missing, ""},           {"+", reason::missing, ""},
        {"l2+", reason::missing, ""},        {"+l2", reason::missing, ""},
        {"l2++l3", reason::missing, ""},     {"l5", reason::unknown, "l5"},
        {"L2", reason::unknown, "L2"},       {"l2 +l3", reason::unknown, "l2 "},
        {"l2+l", reason::unknown, "l"},      {"l34", reason::unknown, "l34"},
        {"l2,l3", reason::unknown, "l2,l3"}, {"l2+l3+l2", reason::duplicate, "l2"},
        {"l4+l4", reason::duplicate, "l4"},
    };
    for (auto const& [text, why, word] : wrong) {
        auto const fields = parse_hash_fields(text);
        ASSERT_FALSE(fields) << text;
        EXPECT_EQ(fields.error().why, why) << text;
        EXPECT_EQ(fields.error().word, word) << text;
        if (why != reason::missing) {
            EXPECT_NE(to_string(fields.error()).find("'" + fields.error().word + "'"),
                      std::string::npos)
                << text;
        }
    }
}

TEST(HashFields, PrintsWhatItReads) {
    for (auto const& rule : all_rules()) {
        EXPECT_EQ(*parse_hash_fields(to_string(rule.fields())), rule.fields());
    }
    EXPECT_EQ(to_string(hash_fields{}), "l2+l3+l4");
    EXPECT_EQ(to_string(hash_fields{false, false, false}), "none");
}

TEST(HashRule, TakesItsFieldsFromText) {
    hash_rule rule{.seed = 3};
    rule.set_fields(*parse_hash_fields("l3"));
    EXPECT_EQ(rule, (hash_rule{.l2 = false, .l3 = true, .l4 = false, .seed = 3}));
}

} // namespace
} // namespace lagg::net
