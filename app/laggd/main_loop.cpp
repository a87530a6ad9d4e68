#include "main_loop.h"

#include "demo.h"
#include "session.h"
#include "show.h"

#include <atomic>
#include <csignal>
#include <poll.h>
#include <unistd.h>

namespace laggd {

namespace {

using namespace std::chrono_literals;

constexpr int look_every_ms = 20;
constexpr auto longest_overtime = 15s;

std::atomic<int> caught{0};

void on_signal(int number) {
    caught.store(number, std::memory_order_relaxed);
} // carries no data

} // namespace

void catch_signals() {
    struct sigaction action {};
    action.sa_handler = on_signal;
    sigemptyset(&action.sa_mask);
    for (int const number : {SIGINT, SIGTERM}) {
        sigaction(number, &action, nullptr);
    }
    std::signal(SIGPIPE, SIG_IGN);
}

bool signalled() {
    return caught.load(std::memory_order_relaxed) != 0;
}

bool main_loop::over(clock::time_point now) const {
    if (session_.quit || signalled()) {
        return true;
    }
    if (session_.opts.duration) {
        auto const beyond = now - began_ - std::chrono::seconds(*session_.opts.duration);
        // A play that waits for LACP is played to its end, within reason.
        bool const plays = session_.show != nullptr && session_.show->plays();
        if (beyond >= (plays ? longest_overtime : 0s)) {
            return true;
        }
    }
    // Without input, a duration or a replay is what still can end this.
    bool const replaying = session_.fwd.running() && session_.opts.mode == fwd_mode::replay &&
                           session_.show == nullptr;
    if (!input_open_ && replaying && session_.fwd.done()) {
        return true;
    }
    return !input_open_ && !replaying && !session_.opts.duration;
}

void main_loop::second_passed(clock::time_point) {
    ++seconds_;
    if (session_.show != nullptr && session_.fwd.running()) {
        if (screen_.is_open()) {
            screen_.draw(session_.show->table());
        } else if (!console_.on_terminal()) {
            say("%3u s  %s\n", seconds_, session_.show->one_line().c_str());
            std::fflush(stdout);
        }
    }
    auto const period = session_.opts.stats_period;
    if (period != 0 && seconds_ % period == 0 && !screen_.is_open()) {
        for (auto const port : all_ports()) {
            show_port_stats(session_, port);
        }
        std::fflush(stdout);
    }
}

void main_loop::run() {
    began_ = clock::now();
    next_second_ = began_ + 1s;
    if (session_.show != nullptr && isatty(STDIN_FILENO) == 1) {
        screen_.open(static_cast<unsigned>(session_.show->table().size()));
    }
    console_.open_stdin();
    // The demo plays alone when nobody can type.
    if (session_.show != nullptr && !console_.on_terminal() && isatty(STDIN_FILENO) != 1) {
        session_.show->play_alone(std::chrono::seconds(session_.opts.duration.value_or(15)),
                                  [this](std::string const& line) { console_.run_line(line); });
    }
    auto now = began_;
    while (!over(now)) {
        pollfd input{input_open_ ? STDIN_FILENO : -1, POLLIN, 0};
        int const ready = poll(&input, 1, look_every_ms);
        if (ready > 0 && (input.revents & (POLLIN | POLLHUP | POLLERR | POLLNVAL)) != 0) {
            input_open_ = console_.input();
            session_.quit = session_.quit || (!input_open_ && console_.on_terminal());
        }
        now = clock::now();
        for (auto const& line : session_.events.take()) {
            console_.notice(line);
        }
        for (auto const& line : session_.cards.settle(session_)) {
            console_.notice(line);
        }
        if (session_.show != nullptr) {
            session_.show->tick(now);
        }
        if (now >= next_second_) {
            next_second_ += 1s;
            second_passed(now);
        }
    }
    if (signalled()) {
        say("\nsignal %d: stopping\n", caught.load(std::memory_order_relaxed));
    }
    screen_.close();
}

} // namespace laggd
