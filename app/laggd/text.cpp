#include "text.h"

#include <cctype>
#include <charconv>
#include <cmath>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace laggd {

namespace {

std::string format_list(char const* format, std::va_list list) {
    std::va_list again;
    va_copy(again, list);
    int const length = std::vsnprintf(nullptr, 0, format, again);
    va_end(again);
    if (length <= 0) {
        return {};
    }
    std::string out(static_cast<std::size_t>(length), '\0');
    std::vsnprintf(out.data(), out.size() + 1, format, list);
    return out;
}

} // namespace

std::string strf(char const* format, ...) {
    std::va_list list;
    va_start(list, format);
    std::string out = format_list(format, list);
    va_end(list);
    return out;
}

void say(char const* format, ...) {
    std::va_list list;
    va_start(list, format);
    std::string const out = format_list(format, list);
    va_end(list);
    std::fwrite(out.data(), 1, out.size(), stdout);
}

std::optional<std::uint64_t> to_number(std::string_view text) {
    int base = 10;
    if (text.size() > 2 && text[0] == '0' && (text[1] == 'x' || text[1] == 'X')) {
        base = 16;
        text.remove_prefix(2);
    }
    std::uint64_t value = 0;
    char const* const end = text.data() + text.size();
    auto const [stop, error] = std::from_chars(text.data(), end, value, base);
    if (text.empty() || error != std::errc{} || stop != end) {
        return std::nullopt;
    }
    return value;
}

std::vector<std::string> split(std::string_view text, char separator) {
    std::vector<std::string> fields;
    while (!text.empty()) {
        auto const at = text.find(separator);
        fields.emplace_back(text.substr(0, at));
        if (at == std::string_view::npos) {
            break;
        }
        text.remove_prefix(at + 1);
        if (text.empty()) {
            fields.emplace_back();
        }
    }
    return fields;
}

std::vector<std::string> words_of(std::string_view line) {
    std::vector<std::string> words;
    std::string word;
    for (char const c : line) {
        if (c == '#') {
            break;
        }
        if (std::isspace(static_cast<unsigned char>(c)) != 0 || c == '\0') {
            if (!word.empty()) {
                words.push_back(std::move(word));
                word.clear();
            }
        } else {
            word += c;
        }
    }
    if (!word.empty()) {
        words.push_back(std::move(word));
    }
    return words;
}

std::string join(std::span<std::string const> parts, std::string_view between) {
    std::string out;
    for (auto const& part : parts) {
        if (!out.empty()) {
            out += between;
        }
        out += part;
    }
    return out;
}

std::string errno_text(int error) {
    int const positive = std::abs(error);
    char const* const name = strerrorname_np(positive);
    char const* const text = strerrordesc_np(positive);
    if (name == nullptr || text == nullptr) {
        return strf("error %d", positive);
    }
    return strf("%s (%s)", name, text);
}

std::string grouped(std::uint64_t number) {
    auto const digits = std::to_string(number);
    std::string out;
    for (std::size_t at = 0; at < digits.size(); ++at) {
        if (at != 0 && (digits.size() - at) % 3 == 0) {
            out += ',';
        }
        out += digits[at];
    }
    return out;
}

std::string scaled(double value) {
    if (value >= 999.5e6) {
        return strf("%.2f G", value / 1e9);
    }
    if (value >= 999.5e3) {
        return strf("%.2f M", value / 1e6);
    }
    if (value >= 9999.5) {
        return strf("%.1f k", value / 1e3);
    }
    return strf("%.0f", value);
}

} // namespace laggd
