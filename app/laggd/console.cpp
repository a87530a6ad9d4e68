#include "console.h"

#include "demo.h"
#include "session.h"

#include <algorithm>
#include <cmdline.h>
#include <cmdline_parse.h>
#include <cmdline_rdline.h>
#include <cmdline_socket.h>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <unistd.h>
#include <utility>

namespace laggd {

namespace {

constexpr char const* prompt = "laggd> ";
constexpr std::size_t longest_line = 511; // what the line editor takes, too

// The word at `text` ends where librte_cmdline says that tokens end.
std::string token_at(char const* text) {
    char const* end = text;
    while (cmdline_isendoftoken(*end) == 0) {
        ++end;
    }
    return {text, end};
}

std::string line_at(char const* text) {
    char const* end = text;
    while (*end != '\0' && *end != '\n' && *end != '\r') {
        ++end;
    }
    return {text, end};
}

int give(std::string const& text, char* out, unsigned size) {
    if (text.size() >= size) {
        return -1;
    }
    std::memcpy(out, text.c_str(), text.size() + 1);
    return 0;
}

} // namespace

// Each word of a pattern is a token of librte_cmdline whose operations ask the grammar.
struct console::piece {
    cmdline_token_hdr header; // first: librte_cmdline knows a token by it
    word const* meaning;
};

struct console::binding {
    console* owner;
    command const* meaning;
};

// The last instruction: it takes a whole line that no command matches, to say what was expected.
struct console::unmatched {
    cmdline_token_hdr header;
    console* owner;
};

struct console::grammar_glue {
    static word const& meaning(cmdline_token_hdr* token) {
        return *reinterpret_cast<piece*>(token)->meaning;
    }

    static int parse_word(cmdline_token_hdr* token, char const* text, void* result, unsigned room) {
        auto const& wanted = meaning(token);
        auto const found = wanted.kind == word_kind::rest ? line_at(text) : token_at(text);
        if (!wanted.accepts(found)) {
            return -1;
        }
        (void)result;
        (void)room;
        return static_cast<int>(found.size());
    }
    static int count_candidates(cmdline_token_hdr* token) {
        return static_cast<int>(meaning(token).candidates().size());
    }
    static int candidate(cmdline_token_hdr* token, int index, char* out, unsigned size) {
        auto const all = meaning(token).candidates();
        auto const at = static_cast<std::size_t>(index);
        return at < all.size() ? give(all[at], out, size) : -1;
    }
    static int word_help(cmdline_token_hdr* token, char* out, unsigned size) {
        auto text = meaning(token).expectation();
        text.resize(std::min<std::size_t>(text.size(), size - 1));
        return give(text, out, size);
    }

    // librte_cmdline keeps no line for the callback: the first word's token leaves it there.
    static int parse_first(cmdline_token_hdr* token, char const* text, void* result,
                           unsigned room) {
        int const used = parse_word(token, text, result, room);
        if (used > 0 && result != nullptr) {
            give(line_at(text), static_cast<char*>(result), room);
        }
        return used;
    }
    static void run(void* result, cmdline*, void* data) {
        auto& bound = *static_cast<binding*>(data);
        bound.owner->execute(*bound.meaning, static_cast<char const*>(result));
    }

    static int parse_unmatched(cmdline_token_hdr* token, char const* text, void* result,
                               unsigned room) {
        auto const line = line_at(text);
        auto const& owner = *reinterpret_cast<unmatched*>(token)->owner;
        // Without a result buffer librte_cmdline is completing: this is no completion.
        if (result == nullptr || match(owner.commands_, line) != nullptr ||
            give(line, static_cast<char*>(result), room) != 0) {
            return -1;
        }
        return static_cast<int>(line.size());
    }
    // One candidate that is never given: an instruction without any would end the completion of
    // others.
    static int one(cmdline_token_hdr*) { return 1; }
    static int none(cmdline_token_hdr*, int, char*, unsigned) { return -1; }
    static int no_help(cmdline_token_hdr*, char* out, unsigned size) { return give("", out, size); }
    static void run_unmatched(void* result, cmdline*, void* data) {
        auto& owner = *static_cast<console*>(data);
        owner.refuse(explain(owner.commands_, static_cast<char const*>(result)));
    }

    static inline cmdline_token_ops word_ops{parse_word, count_candidates, candidate, word_help};
    static inline cmdline_token_ops first_ops{parse_first, count_candidates, candidate, word_help};
    static inline cmdline_token_ops unmatched_ops{parse_unmatched, one, none, no_help};
};

console::console(session& shared) : session_(shared) {
    commands_.push_back({"help", "All commands", [this](session&, arguments const&) {
                             say("%s", help("").c_str());
                             return why_not{};
                         }});
    commands_.push_back({"help <word>", "Commands that begin with this word",
                         [this](session&, arguments const& given) {
                             auto const text = help(given[0]);
                             if (text.empty()) {
                                 return strf("no command begins with '%s'", given[0].c_str());
                             }
                             say("%s", text.c_str());
                             return why_not{};
                         }});
    add_forward_commands(commands_);
    add_port_commands(commands_);
    add_filter_commands(commands_);
    add_lagg_commands(commands_);
    add_lacp_commands(commands_);
    commands_.push_back({"quit", "Stop everything and leave", [](session& all, arguments const&) {
                             all.quit = true;
                             return why_not{};
                         }});
    for (auto& one : commands_) {
        compile(one);
    }
    build();
    plain_ = cmdline_new(context_.data(), "", -1, STDOUT_FILENO);
}

console::~console() {
    if (terminal_ != nullptr) {
        cmdline_stdin_exit(terminal_); // frees it, too
    }
    if (plain_ != nullptr) {
        cmdline_free(plain_);
    }
    for (auto* const instruction : context_) {
        std::free(instruction);
    }
}

// commands_ does not change from here on: pieces and bindings point into it.
void console::build() {
    auto const add = [&](std::vector<cmdline_token_hdr*> const& tokens,
                         void (*run)(void*, cmdline*, void*), void* data, char const* help_text) {
        // The instruction ends in an array of its tokens, null-terminated.
        auto* const instruction = static_cast<cmdline_inst*>(
            std::calloc(1, sizeof(cmdline_inst) + (tokens.size() + 1) * sizeof(tokens[0])));
        if (instruction == nullptr) {
            return;
        }
        instruction->f = run;
        instruction->data = data;
        instruction->help_str = help_text;
        std::copy(tokens.begin(), tokens.end(), instruction->tokens);
        context_.push_back(instruction);
    };
    for (auto const& one : commands_) {
        std::vector<cmdline_token_hdr*> tokens;
        for (auto const& meaning : one.words) {
            auto* const ops = tokens.empty() ? &grammar_glue::first_ops : &grammar_glue::word_ops;
            pieces_.push_back(std::make_unique<piece>(piece{{ops, 0}, &meaning}));
            tokens.push_back(&pieces_.back()->header);
        }
        bindings_.push_back(std::make_unique<binding>(binding{this, &one}));
        add(tokens, grammar_glue::run, bindings_.back().get(), one.help.c_str());
    }
    unmatched_ = std::make_unique<unmatched>(unmatched{{&grammar_glue::unmatched_ops, 0}, this});
    add({&unmatched_->header}, grammar_glue::run_unmatched, this, "");
    context_.push_back(nullptr);
}

void console::execute(command const& matched, std::string const& line) {
    bool const watched = matched.changes_traffic && session_.show != nullptr;
    ++session_.commands_run;
    if (watched) {
        session_.show->change_begins(line);
    }
    auto const refused = matched.run(session_, arguments_of(matched, line));
    if (watched) {
        session_.show->change_ends();
    }
    if (!refused.empty()) {
        --session_.commands_run;
        refuse(refused);
    }
    std::fflush(stdout);
}

void console::refuse(std::string const& why) {
    ++session_.commands_refused;
    say("error: %s\n", why.c_str());
    std::fflush(stdout);
}

void console::run_line(std::string const& line) {
    say("%s%s\n", prompt, line.c_str());
    std::fflush(stdout);
    if (words_of(line).empty()) {
        return;
    }
    if (line.size() > longest_line) {
        refuse(strf("a command of more than %zu characters", longest_line));
        return;
    }
    // cmdline_parse() wants the line feed.
    cmdline_parse(plain_, (line + "\n").c_str());
}

why_not console::run_file(std::string const& path) {
    std::ifstream file(path);
    if (!file) {
        return strf("--cmdline-file: '%s' cannot be read: %s", path.c_str(),
                    errno_text(errno).c_str());
    }
    for (std::string line; !session_.quit && std::getline(file, line);) {
        if (!words_of(line).empty()) {
            run_line(line);
        }
    }
    return {};
}

void console::open_stdin() {
    if (isatty(STDIN_FILENO) == 1 && isatty(STDOUT_FILENO) == 1) {
        std::fflush(stdout);
        terminal_ = cmdline_stdin_new(context_.data(), prompt);
    }
}

bool console::input() {
    char bytes[512];
    auto const got = read(STDIN_FILENO, bytes, sizeof(bytes));
    if (got <= 0) {
        if (!pending_.empty()) {
            run_line(std::exchange(pending_, {}));
        }
        return got < 0 && (errno == EINTR || errno == EAGAIN);
    }
    if (terminal_ != nullptr) {
        return cmdline_in(terminal_, bytes, static_cast<int>(got)) >= 0;
    }
    pending_.append(bytes, static_cast<std::size_t>(got));
    for (auto end = pending_.find('\n'); end != std::string::npos && !session_.quit;
         end = pending_.find('\n')) {
        auto const line = pending_.substr(0, end);
        pending_.erase(0, end + 1);
        run_line(line);
    }
    return true;
}

void console::notice(std::string const& line) {
    if (terminal_ == nullptr) {
        say("%s\n", line.c_str());
        std::fflush(stdout);
        return;
    }
    say("\r\033[K%s\n", line.c_str());
    std::fflush(stdout);
    // A character that the line editor redraws its line at: form feed.
    char const redraw = '\f';
    cmdline_in(terminal_, &redraw, 1);
}

std::string console::help(std::string const& about) const {
    std::string text;
    for (auto const& one : commands_) {
        if (about.empty() || one.words[0].accepts(about)) {
            text += strf("  %-58s %s\n", one.pattern.c_str(), one.help.c_str());
        }
    }
    return text;
}

} // namespace laggd
