// The reference: a frame's key to 32 bits, layer by layer.  Plain integer arithmetic on words as
// they stand on the wire: the same result on every machine, and from every vector form.
#include "net/flow_hash.h"

#include "net/flow_mix.h"

#include <algorithm>
#include <array>
#include <type_traits>
#include <utility>

namespace lagg::net {
namespace {

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
hash_lane l2_lane(Rule const& rule, flow_key const& key) noexcept {
    std::uint64_t first = key.destination_mac;
    std::uint64_t second = key.source_mac;
    if (rule.symmetric) {
        put_in_order(first, second);
    }
    first = detail::wire_order(first << 16);
    second = detail::wire_order(second << 16);
    return {first | second << 48, second >> 16 | std::uint64_t{key.outer_vlan} << 32 |
                                      std::uint64_t{key.inner_vlan} << 48};
}

template<class Rule>
hash_lane ipv4_words(Rule const& rule, flow_key const& key) noexcept {
    std::uint64_t first = key.source.low;
    std::uint64_t second = key.destination.low;
    if (rule.symmetric) {
        put_in_order(first, second);
    }
    return {std::uint64_t{detail::wire_order(static_cast<std::uint32_t>(first))} << 32,
            detail::wire_order(static_cast<std::uint32_t>(second))};
}

template<class Rule>
hash_lane port_words(Rule const& rule, flow_key const& key) noexcept {
    std::uint64_t first = key.source_port;
    std::uint64_t second = key.destination_port;
    if (rule.symmetric) {
        put_in_order(first, second);
    }
    auto const ports = static_cast<std::uint32_t>(first << 16 | second);
    return {std::uint64_t{key.protocol} << 8, std::uint64_t{detail::wire_order(ports)} << 32};
}

template<class Rule>
std::uint64_t ipv6_products(Rule const& rule, hash_keys const& keys, flow_key const& key) noexcept {
    ip_address first = key.source;
    ip_address second = key.destination;
    if (rule.symmetric &&
        (second.high < first.high || (second.high == first.high && second.low < first.low))) {
        std::swap(first, second);
    }
    auto const lane = [](ip_address const& a) {
        return hash_lane{detail::wire_order(a.high), detail::wire_order(a.low)};
    };
    return product_of(lane(first), keys.source6) + product_of(lane(second), keys.destination6);
}

template<class Rule>
std::uint32_t hash_key(Rule const& rule, hash_keys const& keys, flow_key const& key) noexcept {
    bool const is_ip = key.kind != flow_kind::l2;
    bool const by_l4 = rule.l4 && key.has_ports;
    bool const by_l3 = is_ip && (rule.l3 || (rule.l4 && !rule.l2 && !by_l4));
    std::uint64_t sum = 0;
    if (rule.l2 || !is_ip) {
        sum += product_of(l2_lane(rule, key), keys.l2);
    }
    if (by_l3 && key.kind == flow_kind::ipv6) {
        sum += ipv6_products(rule, keys, key);
    }
    if (rule.l3 || rule.l4) {
        bool const by_ipv4 = by_l3 && key.kind == flow_kind::ipv4;
        hash_lane const addresses = by_ipv4 ? ipv4_words(rule, key) : hash_lane{};
        hash_lane const ports = by_l4 ? port_words(rule, key) : hash_lane{};
        sum += product_of({addresses.low | ports.low, addresses.high | ports.high}, keys.transport);
    }
    return finish(sum);
}

/// Out of line, so that the loop below stays small enough for registers.
template<class Rule>
[[gnu::noinline]] std::uint32_t hash_any(Rule const& rule, hash_keys const& keys,
                                         frame_view const& frame) noexcept {
    return hash_key(rule, keys, parse_flow(frame));
}

template<class Rule>
void hash_burst(Rule const& rule, std::uint32_t seed, std::span<frame_view const> frames,
                std::uint32_t* hashes) noexcept {
    hash_keys const keys = keys_of(seed);
    for (frame_view const& frame : frames) {
        *hashes++ = is_plain_ipv4(frame) ? hash_key(rule, keys, parse_plain_ipv4(frame))
                                         : hash_any(rule, keys, frame);
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
    return hash_key(rule, keys_of(rule.seed), key);
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
    return mix_flowid(rss, keys_of(seed));
}

} // namespace lagg::net
