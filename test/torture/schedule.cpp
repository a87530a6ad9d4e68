#include "torture/schedule.h"

#include <sstream>

namespace lagg::torture {
namespace {

struct trait {
    char const* name;
    std::uint32_t share;  // how often, of the sum of all
    std::uint32_t values; // value is below this
};

// In the order of `kind`.
constexpr std::array<trait, kinds> traits{{
    {"policy", 120, 8},
    {"add", 200, 1000},
    {"remove", 90, 1000},
    {"add_all", 20, 1},
    {"remove_all", 10, 1},
    {"hash", 30, 7},
    {"hash_seed", 20, 1U << 31},
    {"symmetric", 10, 2},
    {"flowid", 10, 2},
    {"stride", 30, 40},
    {"primary", 40, 4},
    {"failback", 10, 3},
    {"rx_all", 15, 2},
    {"min_links", 8, 3},
    {"delays", 6, 4},
    {"weight", 30, 256},
    {"admin", 24, 10},
    {"barrier", 20, 3},
    {"cut", 25, 1},
    {"heal", 100, 1},
    {"silence", 8, 1},
    {"refuse", 12, 20},
    {"mtu", 8, 7000},
    {"mac", 8, 1U << 16},
    {"promiscuous", 6, 2},
    {"allmulticast", 6, 2},
    {"lacp", 24, 1U << 16},
    {"lacp_member", 12, 4},
    {"partner", 16, 8},
    {"drain", 12, 300},
    {"fail", 14, 1U << 16},
    {"pull", 3, 1},
    {"reprobe", 6, 1},
    {"rest", 3, 150},
    {"restart", 3, 1},
    {"calm", 20, 60},
}};

constexpr std::uint32_t sum_of_shares = [] {
    std::uint32_t sum = 0;
    for (trait const& t : traits) {
        sum += t.share;
    }
    return sum;
}();

} // namespace

char const* name_of(kind k) {
    return k < kind::count ? traits[static_cast<std::size_t>(k)].name : "?";
}

std::string to_string(operation const& o) {
    return std::string(name_of(o.what)) + " wire " + std::to_string(o.wire) + " value " +
           std::to_string(o.value);
}

kind_set kinds_from(std::string const& words) {
    kind_set set = 0;
    std::istringstream in(words);
    for (std::string word; std::getline(in, word, ',');) {
        kind_set const before = set;
        for (std::size_t k = 0; k < kinds; ++k) {
            if (word == traits[k].name) {
                set |= kind_set{1} << k;
            }
        }
        if (set == before) {
            return 0;
        }
    }
    return set;
}

operation operation_at(std::uint64_t seed, std::uint64_t index, kind_set enabled) {
    std::uint64_t const r = mix(mix(seed) + index);
    std::uint32_t left = static_cast<std::uint32_t>(r % sum_of_shares);
    std::size_t k = 0;
    while (left >= traits[k].share) {
        left -= traits[k].share;
        ++k;
    }
    if ((enabled >> k & 1U) == 0) {
        return {};
    }
    std::uint64_t const more = mix(r);
    return {static_cast<kind>(k), static_cast<std::uint8_t>(more % wires),
            static_cast<std::uint32_t>((more >> 8) % traits[k].values)};
}

} // namespace lagg::torture
