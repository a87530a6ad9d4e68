// A chain of multiply and fold, two words of the layers that count at a time, then one more to
// finish. Plain integer arithmetic on host-order numbers: the same result on every machine.
#include "net/flow_hash.h"

#include <algorithm>
#include <array>
#include <type_traits>
#include <utility>

namespace lagg::net {
namespace {

// Random, odd, about half of their bits set.  Changing one changes every mapping.
constexpr std::uint64_t factor_a = 0xf049'823f'fe0a'6095U;
constexpr std::uint64_t factor_b = 0x9b4c'807a'9966'bd35U;
constexpr std::uint64_t offset = 0x8eb6'2023'1af0'3ffbU;

/// The state before the first word.  Multiplied, so that no change of an address undoes one of the
/// seed.
constexpr std::uint64_t start(std::uint32_t seed) noexcept {
    std::uint64_t const h = (seed + offset) * factor_b;
    return h ^ (h >> 32);
}

/// Both halves of the product of 128 bits, one over the other: each bit of `a` and `b` reaches each
/// bit of the result.
constexpr std::uint64_t fold(std::uint64_t a, std::uint64_t b) noexcept {
    __extension__ using product = unsigned __int128;
    product const p = static_cast<product>(a) * b;
    return static_cast<std::uint64_t>(p) ^ static_cast<std::uint64_t>(p >> 64);
}

/// Two words at a time.  A word is lost only when the other one meets the state or the factor
/// exactly.
constexpr std::uint64_t absorb(std::uint64_t state, std::uint64_t a, std::uint64_t b) noexcept {
    return fold(state ^ a, factor_a ^ b);
}

constexpr std::uint32_t finish(std::uint64_t state) noexcept {
    return static_cast<std::uint32_t>(fold(state, factor_b));
}

/// No branch: which end of a flow is the lower one cannot be predicted.
inline void put_in_order(std::uint64_t& a, std::uint64_t& b) noexcept {
    std::uint64_t const lower = std::min(a, b);
    b = std::max(a, b);
    a = lower;
}

/// The same names as hash_rule's, but known to the compiler.
template<bool L2, bool L3, bool L4, bool Symmetric>
struct fixed_rule {
    static constexpr bool l2 = L2;
    static constexpr bool l3 = L3;
    static constexpr bool l4 = L4;
    static constexpr bool symmetric = Symmetric;
};

template<class Rule>
std::uint64_t absorb_l2(Rule const& rule, std::uint64_t h, flow_key const& key) noexcept {
    std::uint64_t a = key.source_mac;
    std::uint64_t b = key.destination_mac;
    if (rule.symmetric) {
        put_in_order(a, b);
    }
    return absorb(h, a | std::uint64_t{key.outer_vlan} << 48,
                  b | std::uint64_t{key.inner_vlan} << 48);
}

template<class Rule>
std::uint64_t absorb_ipv6(Rule const& rule, std::uint64_t h, flow_key const& key) noexcept {
    ip_address a = key.source;
    ip_address b = key.destination;
    if (rule.symmetric && (b.high < a.high || (b.high == a.high && b.low < a.low))) {
        std::swap(a, b);
    }
    return absorb(absorb(h, a.high, a.low), b.high, b.low);
}

template<class Rule>
std::uint64_t ipv4_word(Rule const& rule, flow_key const& key) noexcept {
    std::uint64_t a = key.source.low;
    std::uint64_t b = key.destination.low;
    if (rule.symmetric) {
        put_in_order(a, b);
    }
    return a << 32 | b;
}

template<class Rule>
std::uint64_t l4_word(Rule const& rule, flow_key const& key) noexcept {
    std::uint64_t a = key.source_port;
    std::uint64_t b = key.destination_port;
    if (rule.symmetric) {
        put_in_order(a, b);
    }
    return std::uint64_t{key.protocol} << 32 | a << 16 | b;
}

template<class Rule>
std::uint32_t hash_key(Rule const& rule, std::uint64_t h, flow_key const& key) noexcept {
    bool const is_ip = key.kind != flow_kind::l2;
    bool const by_l4 = rule.l4 && key.has_ports;
    bool const by_l3 = is_ip && (rule.l3 || (rule.l4 && !rule.l2 && !by_l4));
    if (rule.l2 || !is_ip) {
        h = absorb_l2(rule, h, key);
    }
    if (by_l3 && key.kind == flow_kind::ipv6) {
        h = absorb_ipv6(rule, h, key);
    }
    if (rule.l3 || rule.l4) {
        bool const by_ipv4 = by_l3 && key.kind == flow_kind::ipv4;
        h = absorb(h, by_ipv4 ? ipv4_word(rule, key) : 0, by_l4 ? l4_word(rule, key) : 0);
    }
    return finish(h);
}

/// Out of line, so that the loop below stays small enough for registers.
template<class Rule>
[[gnu::noinline]] std::uint32_t hash_any(Rule const& rule, std::uint64_t h,
                                         frame_view const& frame) noexcept {
    return hash_key(rule, h, parse_flow(frame));
}

template<class Rule>
void hash_burst(Rule const& rule, std::uint32_t seed, std::span<frame_view const> frames,
                std::uint32_t* hashes) noexcept {
    std::uint64_t const h = start(seed);
    for (frame_view const& frame : frames) {
        *hashes++ = is_plain_ipv4(frame) ? hash_key(rule, h, parse_plain_ipv4(frame))
                                         : hash_any(rule, h, frame);
    }
}

template<class F>
void as_constant(bool value, F&& f) noexcept {
    if (value) {
        f(std::true_type{});
    } else {
        f(std::false_type{});
    }
}

constexpr std::array<std::string_view, 3> field_names{"l2", "l3", "l4"};

} // namespace

result<hash_fields, hash_fields_error> parse_hash_fields(std::string_view text) {
    using reason = hash_fields_error::reason;
    hash_fields fields{false, false, false};
    std::array<bool*, 3> const flags{&fields.l2, &fields.l3, &fields.l4};
    for (;;) {
        auto const plus = text.find('+');
        auto const word = text.substr(0, plus);
        if (word.empty()) {
            return hash_fields_error{reason::missing, {}};
        }
        auto const name = std::find(field_names.begin(), field_names.end(), word);
        if (name == field_names.end()) {
            return hash_fields_error{reason::unknown, std::string(word)};
        }
        bool& flag = *flags[static_cast<std::size_t>(name - field_names.begin())];
        if (flag) {
            return hash_fields_error{reason::duplicate, std::string(word)};
        }
        flag = true;
        if (plus == std::string_view::npos) {
            return fields;
        }
        text.remove_prefix(plus + 1);
    }
}

std::string to_string(hash_fields const& fields) {
    std::array<bool, 3> const flags{fields.l2, fields.l3, fields.l4};
    std::string text;
    for (std::size_t i = 0; i < flags.size(); ++i) {
        if (flags[i]) {
            text += text.empty() ? "" : "+";
            text += field_names[i];
        }
    }
    return text.empty() ? "none" : text;
}

std::string to_string(hash_fields_error const& error) {
    switch (error.why) {
    case hash_fields_error::reason::missing:
        return "a hash field is missing: expected l2, l3, l4 or several of them joined by '+'";
    case hash_fields_error::reason::unknown:
        return "unknown hash field '" + error.word +
               "': expected l2, l3, l4 or several of them joined by '+'";
    case hash_fields_error::reason::duplicate:
        return "hash field '" + error.word + "' is named twice";
    }
    return {};
}

std::uint32_t flow_hash(hash_rule const& rule, flow_key const& key) noexcept {
    return hash_key(rule, start(rule.seed), key);
}

void flow_hash_burst(hash_rule const& rule, std::span<frame_view const> frames,
                     std::uint32_t* hashes) noexcept {
    as_constant(rule.l2, [&](auto l2) {
        as_constant(rule.l3, [&](auto l3) {
            as_constant(rule.l4, [&](auto l4) {
                as_constant(rule.symmetric, [&](auto symmetric) {
                    fixed_rule<l2, l3, l4, symmetric> constexpr fixed;
                    hash_burst(fixed, rule.seed, frames, hashes);
                });
            });
        });
    });
}

std::uint32_t mix_flowid(std::uint32_t rss, std::uint32_t seed) noexcept {
    return finish(absorb(start(seed), rss, 0));
}

} // namespace lagg::net
