#include "screen.h"

#include "text.h"

#include <cstdio>
#include <sys/ioctl.h>
#include <unistd.h>

namespace laggd {

namespace {

constexpr unsigned least_console = 6; // lines below the table

bool size_of_terminal(unsigned& rows, unsigned& columns) {
    winsize size{};
    if (isatty(STDOUT_FILENO) != 1 || ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0) {
        return false;
    }
    rows = size.ws_row;
    columns = size.ws_col;
    return true;
}

} // namespace

bool screen::open(unsigned lines) {
    unsigned rows = 0;
    unsigned columns = 0;
    if (!size_of_terminal(rows, columns) || rows < lines + 1 + least_console) {
        return false;
    }
    kept_ = lines + 1;
    say("\033[2J");
    rows_ = 0;
    return fit();
}

// The console's part of the terminal scrolls; asked again each time, as windows change.
bool screen::fit() {
    unsigned rows = 0;
    unsigned columns = 0;
    if (!size_of_terminal(rows, columns) || rows < kept_ + least_console) {
        return false;
    }
    if (rows != rows_) {
        rows_ = rows;
        say("\033[%u;%ur\033[%u;1H", kept_ + 1, rows_, kept_ + 1);
    }
    columns_ = columns;
    return true;
}

void screen::draw(std::vector<std::string> const& lines) {
    if (kept_ == 0 || !fit()) {
        return;
    }
    std::string out = "\0337"; // remember the cursor
    for (unsigned row = 0; row < kept_; ++row) {
        std::string text = row < lines.size() ? lines[row] : std::string();
        if (row + 1 == kept_) {
            text.assign(columns_, '-');
        }
        text.resize(std::min<std::size_t>(text.size(), columns_));
        out += strf("\033[%u;1H\033[K", row + 1) + text;
    }
    out += "\0338";
    std::fwrite(out.data(), 1, out.size(), stdout);
    std::fflush(stdout);
}

void screen::close() {
    if (kept_ != 0) {
        kept_ = 0;
        say("\033[r\033[%u;1H\n", rows_);
        std::fflush(stdout);
    }
}

} // namespace laggd
