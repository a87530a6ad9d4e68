// The console: librte_cmdline reads, completes and remembers lines; grammar says what they mean.
#pragma once

#include "grammar.h"

#include <memory>
#include <string>
#include <vector>

struct cmdline;
struct cmdline_inst;

namespace laggd {

struct session;

/// One list per file commands_*.cpp.
void add_port_commands(command_list& commands);
void add_filter_commands(command_list& commands);
void add_lagg_commands(command_list& commands);
void add_lacp_commands(command_list& commands);
void add_forward_commands(command_list& commands);

class console {
public:
    explicit console(session& shared);
    ~console();
    console(console const&) = delete;
    console& operator=(console const&) = delete;

    /// From here on input() reads standard input: with editing, completion and history on a
    /// terminal, plain lines otherwise.
    void open_stdin();
    /// Standard input is readable.  False: it ended.
    bool input();
    /// One line, as if typed; it is shown first.
    void run_line(std::string const& line);
    [[nodiscard]] why_not run_file(std::string const& path);
    /// A line from elsewhere appears above the one that is being typed.
    void notice(std::string const& line);

    bool on_terminal() const { return terminal_ != nullptr; }
    std::string help(std::string const& about) const;

private:
    struct binding;
    struct piece;
    struct unmatched;
    struct grammar_glue;

    void build();
    void execute(command const& matched, std::string const& line);
    void refuse(std::string const& why);

    session& session_;
    command_list commands_;
    std::vector<std::unique_ptr<binding>> bindings_;
    std::vector<std::unique_ptr<piece>> pieces_;
    std::unique_ptr<unmatched> unmatched_;
    std::vector<cmdline_inst*> context_;
    cmdline* terminal_ = nullptr;
    cmdline* plain_ = nullptr;
    std::string pending_;
};

} // namespace laggd
