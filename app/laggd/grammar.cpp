#include "grammar.h"

#include "ports.h"

#include <algorithm>
#include <rte_ethdev.h>
#include <rte_pmd_wire.h>
#include <set>

namespace laggd {

namespace {

constexpr std::uint16_t no_port = UINT16_MAX;

bool fits(word_kind kind, std::uint16_t port) {
    switch (kind) {
    case word_kind::lagg: return is_lagg(port);
    case word_kind::wire: return rte_pmd_wire_is_wire(port) == 1;
    default: return true;
    }
}

std::vector<std::uint16_t> ports_of(word_kind kind) {
    auto list = all_ports();
    std::erase_if(list, [&](std::uint16_t port) { return !fits(kind, port); });
    return list;
}

char const* thing(word_kind kind) {
    switch (kind) {
    case word_kind::lagg: return "lagg port";
    case word_kind::wire: return "wire port";
    default: return "port";
    }
}

bool is_port_kind(word_kind kind) {
    return kind == word_kind::port || kind == word_kind::lagg || kind == word_kind::wire;
}

word word_from(std::string const& token) {
    word made;
    made.label = token;
    if (token.front() != '<') {
        made.texts = split(token, '|');
        made.kind = made.texts.size() == 1 ? word_kind::literal : word_kind::choice;
        return made;
    }
    std::string inner = token.substr(1, token.size() - 2);
    if (inner.size() > 4 && inner.ends_with("|all")) {
        made.or_all = true;
        inner.resize(inner.size() - 4);
    }
    auto const dots = inner.find("..");
    if (inner == "port") {
        made.kind = word_kind::port;
    } else if (inner == "lagg") {
        made.kind = word_kind::lagg;
    } else if (inner == "wire") {
        made.kind = word_kind::wire;
    } else if (inner.ends_with("...")) {
        made.kind = word_kind::rest;
    } else if (dots != std::string::npos) {
        made.kind = word_kind::number;
        made.low = to_number(inner.substr(0, dots)).value_or(0);
        made.high = to_number(inner.substr(dots + 2)).value_or(UINT64_MAX);
    } else {
        made.kind = word_kind::name;
    }
    return made;
}

// How many leading words of the line fit the command.
std::size_t fitting(command const& one, std::vector<std::string> const& line) {
    for (std::size_t i = 0; i < one.words.size() && i < line.size(); ++i) {
        if (one.words[i].kind == word_kind::rest) {
            return line.size();
        }
        if (!one.words[i].accepts(line[i])) {
            return i;
        }
    }
    return std::min(one.words.size(), line.size());
}

bool whole(command const& one, std::vector<std::string> const& line) {
    bool const open = !one.words.empty() && one.words.back().kind == word_kind::rest;
    bool const length = open ? line.size() >= one.words.size() : line.size() == one.words.size();
    return length && fitting(one, line) == line.size();
}

} // namespace

std::uint16_t port_of(std::string_view text) {
    if (auto const id = to_number(text)) {
        return *id < no_port ? static_cast<std::uint16_t>(*id) : no_port;
    }
    std::uint16_t port = no_port;
    return rte_eth_dev_get_port_by_name(std::string(text).c_str(), &port) == 0 ? port : no_port;
}

bool word::accepts(std::string_view text) const {
    switch (kind) {
    case word_kind::literal:
    case word_kind::choice: return std::find(texts.begin(), texts.end(), text) != texts.end();
    case word_kind::number: {
        auto const value = to_number(text);
        return value && *value >= low && *value <= high;
    }
    case word_kind::port:
    case word_kind::lagg:
    case word_kind::wire: {
        auto const port = port_of(text);
        return (or_all && text == "all") || (port_exists(port) && fits(kind, port));
    }
    case word_kind::name:
    case word_kind::rest: return !text.empty();
    }
    return false;
}

std::vector<std::string> word::candidates() const {
    if (!is_port_kind(kind)) {
        return texts;
    }
    std::vector<std::string> out;
    for (auto const port : ports_of(kind)) {
        out.push_back(std::to_string(port));
    }
    if (or_all) {
        out.emplace_back("all");
    }
    return out;
}

std::string word::expectation() const {
    switch (kind) {
    case word_kind::literal:
    case word_kind::choice: return join(texts, ", ");
    case word_kind::number:
        return strf("a number from %llu to %llu", static_cast<unsigned long long>(low),
                    static_cast<unsigned long long>(high));
    case word_kind::port:
    case word_kind::lagg:
    case word_kind::wire: {
        std::vector<std::string> known;
        for (auto const port : ports_of(kind)) {
            known.push_back(port_text(port));
        }
        return strf("a %s by id or name (%s)%s", thing(kind),
                    known.empty() ? "there is none" : join(known, ", ").c_str(),
                    or_all ? ", or all" : "");
    }
    case word_kind::name:
    case word_kind::rest: return label;
    }
    return label;
}

void compile(command& one) {
    one.words.clear();
    for (auto const& token : words_of(one.pattern)) {
        one.words.push_back(word_from(token));
    }
}

command const* match(command_list const& commands, std::string_view line) {
    auto const words = words_of(line);
    auto const found = std::find_if(commands.begin(), commands.end(),
                                    [&](auto const& one) { return whole(one, words); });
    return found == commands.end() ? nullptr : &*found;
}

arguments arguments_of(command const& matched, std::string_view line) {
    auto const words = words_of(line);
    arguments out;
    for (std::size_t i = 0; i < matched.words.size() && i < words.size(); ++i) {
        if (matched.words[i].kind == word_kind::rest) {
            out.push_back(join(std::span(words).subspan(i), " "));
        } else if (matched.words[i].kind != word_kind::literal) {
            out.push_back(words[i]);
        }
    }
    return out;
}

std::string explain(command_list const& commands, std::string_view line) {
    auto const words = words_of(line);
    std::size_t furthest = 0;
    for (auto const& one : commands) {
        furthest = std::max(furthest, fitting(one, words));
    }
    std::vector<std::string> expected;
    std::set<std::string> seen;
    for (auto const& one : commands) {
        if (fitting(one, words) != furthest) {
            continue;
        }
        auto const text = furthest < one.words.size() ? one.words[furthest].expectation()
                                                      : std::string("the end of the line");
        if (seen.insert(text).second) {
            expected.push_back(text);
        }
    }
    // "a port" says nothing beside "a port, or all".
    std::erase_if(expected, [&, all = expected](std::string const& text) {
        return std::any_of(all.begin(), all.end(), [&](std::string const& other) {
            return other.size() > text.size() && other.starts_with(text + ", or");
        });
    });
    auto const before = join(std::span(words).first(furthest), " ");
    auto const what = join(expected, furthest == 0 ? ", " : " | ");
    if (furthest == 0) {
        return strf("'%s' is no command; a command begins with: %s ('help' tells them all)",
                    words.empty() ? "" : words[0].c_str(), what.c_str());
    }
    if (furthest == words.size()) {
        return strf("'%s' is not complete; expected next: %s", before.c_str(), what.c_str());
    }
    return strf("'%s' after '%s' is wrong; expected: %s", words[furthest].c_str(), before.c_str(),
                what.c_str());
}

} // namespace laggd
