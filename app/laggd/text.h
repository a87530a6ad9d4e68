// Text tools of laggd: formatting into strings, strict numbers, errno by name.  Knows no port.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace laggd {

/// Why something was not done, for a person; empty: it was done.
using why_not = std::string;

/// printf into a string.
[[gnu::format(printf, 1, 2)]] std::string strf(char const* format, ...);

/// printf to standard output.
[[gnu::format(printf, 1, 2)]] void say(char const* format, ...);

/// The whole text as a decimal or 0x number; nothing else is accepted.
std::optional<std::uint64_t> to_number(std::string_view text);

/// Fields between separators; an empty text has none.
std::vector<std::string> split(std::string_view text, char separator);

/// Words between blanks, up to a '#'.
std::vector<std::string> words_of(std::string_view line);

std::string join(std::span<std::string const> parts, std::string_view between);

/// "EBUSY (Device or resource busy)" for -EBUSY or EBUSY.
std::string errno_text(int error);

/// 12345678 -> "12,345,678".
std::string grouped(std::uint64_t number);

/// 1234567.0 -> "1.23 M": three digits and a factor, for rates.
std::string scaled(double value);

} // namespace laggd
