// laggd: starts EAL, ports and the main loop, and ends them in the reverse order.
#include "console.h"
#include "demo.h"
#include "eal.h"
#include "main_loop.h"
#include "session.h"
#include "show.h"
#include "summary.h"

#include <chrono>
#include <cstdio>
#include <memory>
#include <rte_eal.h>
#include <rte_version.h>
#include <unistd.h>

namespace {

using namespace laggd;

constexpr int exit_failed = 1;
constexpr int exit_usage = 2;

int complain(std::string const& text, int code) {
    std::fflush(stdout);
    std::fprintf(stderr, "laggd: %s\n", text.c_str());
    return code;
}

// From the first port to the last: everything that needs EAL.
int serve(session& all) {
    auto const began = std::chrono::steady_clock::now();
    demo run(all);
    if (all.opts.demo) {
        all.show = &run;
        if (auto const refused = run.build(); !refused.empty()) {
            return complain(refused, exit_failed);
        }
    } else if (auto const refused = all.all_ports.start_all(); !refused.empty()) {
        return complain(refused, exit_failed);
    }
    all.events.follow_all();
    if (all.opts.hot_plug) {
        if (auto const refused = all.cards.start(); !refused.empty()) {
            return complain(refused, exit_failed);
        }
    }
    console input(all);
    if (!all.opts.replay.file.empty() && !all.opts.demo) {
        if (auto const refused = all.fwd.load_replay(all.opts.replay.file); !refused.empty()) {
            return complain(refused, exit_failed);
        }
    }
    if (all.opts.auto_start || all.opts.demo) {
        auto const refused = all.opts.demo ? run.start_traffic() : all.fwd.start();
        if (!refused.empty()) {
            return complain(refused, exit_failed);
        }
        show_forward_config(all);
    }
    if (!all.opts.cmdline_file.empty()) {
        if (auto const refused = input.run_file(all.opts.cmdline_file); !refused.empty()) {
            return complain(refused, exit_failed);
        }
    }
    std::fflush(stdout);
    main_loop(all, input).run();

    int code = 0;
    if (all.opts.demo) {
        run.finish();
        say("%s", run.summary().c_str());
        code = run.faults().empty() ? 0 : exit_failed;
    } else if (all.fwd.running()) {
        all.fwd.stop();
        show_forward_stats(all);
    }
    if (!all.opts.json_file.empty()) {
        auto const seconds =
            std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
        if (auto const refused = write_file(all.opts.json_file, summary_json(all, seconds, code));
            !refused.empty()) {
            code = complain(refused, exit_failed);
        }
    }
    return code;
}

} // namespace

int main(int argc, char** argv) {
    auto arguments = split_command_line(argc, argv);
    options wanted;
    if (auto const refused = parse_options(arguments.own, wanted); !refused.empty()) {
        return complain(refused, exit_usage);
    }
    if (wanted.help) {
        say("%s", usage().c_str());
        return 0;
    }
    if (wanted.version) {
        say("laggd, %s\n", rte_version());
        return 0;
    }
    if (wanted.demo) {
        if (arguments.eal.empty()) {
            arguments.eal = demo_eal_arguments();
        }
        if (isatty(STDIN_FILENO) != 1 && !wanted.duration) {
            wanted.duration = 15;
        }
    }
    if (auto const refused = start_eal(argv[0], arguments.eal); !refused.empty()) {
        return complain(refused, exit_usage);
    }
    catch_signals();
    int code = 0;
    {
        session all(std::move(wanted));
        code = serve(all);
        all.fwd.stop();
        all.cards.stop();
        for (auto const lagg : all_laggs()) {
            all.events.unfollow(lagg);
        }
        all.all_ports.close_all();
    }
    std::fflush(stdout);
    rte_eal_cleanup();
    return code;
}
