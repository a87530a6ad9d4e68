// What the control thread of the burst torture does, as values: operation `i` of a seed is the same
// in every run, whatever the threads made of the ones before.  Knows no lagg.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

namespace lagg::torture {

inline constexpr std::size_t wires = 4;

enum class kind : std::uint8_t {
    policy,  // the next of a walk that takes every step from one policy to another; value 0: lacp
             // has time to agree with its partner
    add,     // value: how long to wait, ms
    remove,  // as add
    add_all, //
    remove_all,   // to no member at all
    hash,         // value: fields
    hash_seed,    //
    symmetric,    // value: 0, 1
    flowid,       //
    stride,       //
    primary,      // value 0: none
    failback,     // value: mode
    rx_all,       //
    min_links,    //
    delays,       // value: ms
    weight,       //
    admin,        // value: 0 down, 1 up
    barrier,      // value: ms
    cut,          // carrier goes at both ends
    heal,         // and comes back; undoes silence and refusal, too
    silence,      // frames vanish, nobody is told
    refuse,       // value: most frames of a burst that the member takes
    mtu,          //
    mac,          //
    promiscuous,  //
    allmulticast, //
    lacp,         // value: a choice of settings
    lacp_member,  // value: priority
    partner,      // value: what the far end's state bits lack
    drain,        // as remove, gracefully
    fail,         // value: which call of the member's driver fails next
    pull,         // the device vanishes; it is probed again when the lagg let it go
    reprobe,      // removed, closed and probed again with the same port id
    rest,         // the application does not poll for some milliseconds
    restart,      // stopped and started, bursts paused as ethdev demands
    calm,         // nothing changes for some milliseconds
    count
};
inline constexpr std::size_t kinds = static_cast<std::size_t>(kind::count);

struct operation {
    kind what = kind::calm;
    std::uint8_t wire = 0;
    std::uint32_t value = 0;
};

char const* name_of(kind);
std::string to_string(operation const&);

/// Which kinds take part: bit k for kind k.  All by default.
using kind_set = std::uint64_t;
inline constexpr kind_set all_kinds = (kind_set{1} << kinds) - 1;
/// "policy,add,remove"; 0 when a word is no kind.
kind_set kinds_from(std::string const& words);

/// Operation `index` of `seed`; kinds that do not take part become `calm` of no length.
operation operation_at(std::uint64_t seed, std::uint64_t index, kind_set enabled = all_kinds);

/// Policy number `n` of a walk that takes each of the 36 steps between six policies every 36.
constexpr std::uint8_t policy_at(std::uint64_t n) noexcept {
    constexpr auto walk = [] {
        std::array<std::uint8_t, 36> w{};
        std::size_t at = 0;
        for (std::uint8_t a = 0; a < 6; ++a) {
            w[at++] = a;
            for (auto b = static_cast<std::uint8_t>(a + 1); b < 6; ++b) {
                w[at++] = a;
                w[at++] = b;
            }
        }
        return w;
    }();
    return walk[n % walk.size()];
}

/// The generator behind it all: one number from another.
constexpr std::uint64_t mix(std::uint64_t x) noexcept {
    x += 0x9e3779b97f4a7c15U;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9U;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebU;
    return x ^ (x >> 31);
}

} // namespace lagg::torture
