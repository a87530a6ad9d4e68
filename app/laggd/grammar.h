// Commands as patterns of words: what matches, what could stand next, and why a line does not
// match. Knows no terminal and no librte_cmdline.
//
// A pattern's words:  set        itself
//                     on|off     one of these
//                     <port>     a port by id or device name; <lagg> and <wire>: one of that kind;
//                                <port|all>, <lagg|all>: or the word all
//                     <1..255>   a number
//                     <name>     any word, called so in messages;  <name...> the rest of the line
#pragma once

#include "text.h"

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace laggd {

struct session;

enum class word_kind : std::uint8_t { literal, choice, port, lagg, wire, number, name, rest };

struct word {
    word_kind kind = word_kind::literal;
    std::vector<std::string> texts; // literal, choice: what may stand here
    std::uint64_t low = 0;
    std::uint64_t high = 0;
    bool or_all = false;
    std::string label; // as in the pattern

    bool accepts(std::string_view text) const;
    /// Words that may stand here, for completion; empty when they cannot be listed.
    std::vector<std::string> candidates() const;
    /// What may stand here, in words.
    std::string expectation() const;
};

using arguments = std::vector<std::string>;

/// A pattern, its help and what it does.  `run` gets the words that are not literals, in order.
struct command {
    std::string pattern;
    std::string help;
    std::function<why_not(session&, arguments const&)> run;
    bool changes_traffic = false;
    std::vector<word> words{};
};

using command_list = std::vector<command>;

/// Fills `words` from the pattern.
void compile(command& one);

/// The command that matches the line, or null.
command const* match(command_list const& commands, std::string_view line);

/// The arguments of a line that matches.
arguments arguments_of(command const& matched, std::string_view line);

/// For a line that nothing matches: what is wrong and what was expected.
std::string explain(command_list const& commands, std::string_view line);

/// The port that a word of kind port, lagg or wire names; the word has been accepted.
std::uint16_t port_of(std::string_view text);

} // namespace laggd
