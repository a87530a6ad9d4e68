#!/usr/bin/env python3
"""Runs a fuzz target for a bounded number of runs, or for LAGG_TORTURE_SECONDS.

usage: run_fuzz.py PROGRAM CORPUS RUNS      new inputs go to a temporary folder, never to CORPUS
       run_fuzz.py --probe COMPILER FLAG... 0 when COMPILER can build and start a fuzz target
       run_fuzz.py --skip REASON            prints it and is skipped

The seed is 1, or NET_LAGG_TEST_SEED, or, for LAGG_TORTURE_SECONDS, another each time; libFuzzer
prints it.  An input that breaks something is left beside PROGRAM.
"""

import os
import pathlib
import subprocess
import sys
import tempfile

SKIPPED = 77
SMALLEST_TARGET = '''
#include <cstddef>
#include <cstdint>
extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const*, std::size_t) { return 0; }
'''


def probe(command):
    with tempfile.TemporaryDirectory() as folder:
        program = pathlib.Path(folder) / 'probe'
        built = subprocess.run([*command, '-x', 'c++', '-', '-o', program], input=SMALLEST_TARGET,
                               text=True, stderr=subprocess.DEVNULL, check=False)
        if built.returncode != 0:
            return 1
        return subprocess.run([program, '-runs=1'], stderr=subprocess.DEVNULL,
                              check=False).returncode


def run(program, corpus, runs):
    seconds = os.environ.get('LAGG_TORTURE_SECONDS')
    seed = os.environ.get('NET_LAGG_TEST_SEED', '0' if seconds else '1')  # 0: libFuzzer chooses
    bound = f'-max_total_time={seconds}' if seconds else f'-runs={runs}'
    program = pathlib.Path(program).resolve()
    with tempfile.TemporaryDirectory() as found:
        return subprocess.run(
            [program, bound, f'-seed={int(seed) % 2**32}', '-timeout=20', '-max_len=1024',
             '-rss_limit_mb=1024', '-print_final_stats=1',
             f'-artifact_prefix={program.parent}/{program.name}-', found, corpus], check=False).returncode


def main(arguments):
    if arguments[0] == '--skip':
        print('skipped:', arguments[1])
        return SKIPPED
    if arguments[0] == '--probe':
        return probe(arguments[1:])
    return 1 if run(*arguments) else 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
