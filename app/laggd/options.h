// What the command line of laggd asks for, checked.  Knows no port: which ones exist is found
// later.
#pragma once

#include "text.h"

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace laggd {

enum class fwd_mode : std::uint8_t { io, mac, macswap, txonly, rxonly, icmpecho, replay };
enum class topology : std::uint8_t { paired, chained, loop };

using mac_bytes = std::array<std::uint8_t, 6>;

char const* name_of(fwd_mode mode);
char const* name_of(topology shape);
std::optional<fwd_mode> fwd_mode_named(std::string_view name);
std::vector<std::string> const& fwd_mode_names();

/// Frame sizes on the wire, CRC included, as testers count them: [64, 9018].
inline constexpr unsigned min_frame = 64;
inline constexpr unsigned max_frame = 9018;
inline constexpr unsigned max_flows = 65535;
inline constexpr unsigned max_burst = 512;
inline constexpr unsigned max_queues = 64;

/// What txonly and the demo generate.
struct generator_settings {
    unsigned flows = 64;
    std::vector<unsigned> sizes{64}; ///< one after the other, frame by frame
    double rate = 0.0;               ///< frames per second and stream; 0: as many as go
};

struct replay_settings {
    std::string file;
    unsigned loops = 1; ///< 0: for ever
};

struct options {
    bool help = false;
    bool version = false;
    bool demo = false;
    bool auto_start = false;
    bool promiscuous = true;
    bool hot_plug = false;
    fwd_mode mode = fwd_mode::io;
    topology shape = topology::paired;
    unsigned nb_cores = 1;
    unsigned rxq = 1;
    unsigned txq = 1;
    unsigned rxd = 1024;
    unsigned txd = 1024;
    unsigned burst = 32;
    unsigned total_mbufs = 0; ///< 0: by ports, queues and descriptors
    unsigned mbuf_size = 2176;
    std::vector<std::uint16_t> portlist; ///< empty: every port that is nobody's member
    std::map<std::uint16_t, mac_bytes> eth_peer;
    generator_settings generator;
    replay_settings replay;
    std::string cmdline_file;
    std::string json_file;
    unsigned stats_period = 0;        ///< seconds; 0: none
    std::optional<unsigned> duration; ///< seconds
};

/// Fills `out` from laggd's own arguments.  On a refusal `out` is unspecified; the text names the
/// option, its value and what is allowed.
why_not parse_options(std::vector<std::string> const& arguments, options& out);

std::string usage();

/// Pieces that the console parses too.  The text names what is allowed.
why_not parse_sizes(std::string_view text, std::vector<unsigned>& sizes);
why_not parse_rate(std::string_view text, double& rate);
why_not parse_portlist(std::string_view text, std::vector<std::uint16_t>& ports);
why_not parse_mac(std::string_view text, mac_bytes& mac);
/// The classic mix by count: 7 x 64, 4 x 594, 1 x 1518.
std::vector<unsigned> imix();

} // namespace laggd
