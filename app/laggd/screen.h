// A few lines that stay at the top of a terminal while the console scrolls below them.
#pragma once

#include <string>
#include <vector>

namespace laggd {

class screen {
public:
    screen() = default;
    ~screen() { close(); }
    screen(screen const&) = delete;
    screen& operator=(screen const&) = delete;

    /// Keeps `lines` lines.  False: standard output is no terminal, or too small for that.
    bool open(unsigned lines);
    void draw(std::vector<std::string> const& lines);
    void close();
    bool is_open() const { return kept_ != 0; }

private:
    bool fit();

    unsigned kept_ = 0;
    unsigned rows_ = 0;
    unsigned columns_ = 0;
};

} // namespace laggd
