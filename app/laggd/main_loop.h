// What the main lcore does while the others move frames: console, timers, signals, live table.
#pragma once

#include "console.h"
#include "screen.h"

#include <chrono>

namespace laggd {

struct session;

/// SIGINT and SIGTERM end the loop instead of the process.  Before any thread is started.
void catch_signals();
bool signalled();

class main_loop {
public:
    main_loop(session& all, console& input) : session_(all), console_(input) {}

    /// Until quit, the end of the duration, of standard input or of a replay, or a signal.
    void run();

private:
    using clock = std::chrono::steady_clock;

    void second_passed(clock::time_point now);
    bool over(clock::time_point now) const;

    session& session_;
    console& console_;
    screen screen_;
    clock::time_point began_{};
    clock::time_point next_second_{};
    unsigned seconds_ = 0;
    bool input_open_ = true;
};

} // namespace laggd
