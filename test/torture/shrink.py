#!/usr/bin/env python3
"""Looks for a shorter schedule with which the burst torture still fails.

usage: shrink.py PROGRAM SEED [--tries N] [--operations N] [--filter GTEST_FILTER]

First fewer operations, then fewer kinds of them (test/torture/schedule.h).  Threads run as they
like, so a schedule that failed once need not fail again: each candidate has N tries, 5 unless told
otherwise, and one failure is enough.  Prints the environment that repeats the shortest found.
"""

import argparse
import os
import re
import subprocess
import sys

KINDS = re.compile(r'^torture: op-(\w+) \d+$', re.M)


class Program:
    def __init__(self, arguments):
        self.arguments = arguments

    def run(self, operations, kinds):
        """Whether it fails, how many operations it made, and its output."""
        env = {**os.environ, 'LAGG_TORTURE_SEED': str(self.arguments.seed),
               'LAGG_TORTURE_OPS': str(operations)}
        env.pop('LAGG_TORTURE_SECONDS', None)
        if kinds:
            env['LAGG_TORTURE_KINDS'] = ','.join(kinds)
        command = [self.arguments.program, f'--gtest_filter={self.arguments.filter}']
        done = subprocess.run(command, env=env, capture_output=True, text=True, errors='replace')
        made = re.findall(r'LAGG_TORTURE_SEED=\d+, (\d+) operations', done.stderr)
        return done.returncode != 0, int(made[-1]) if made else operations, done.stdout

    def fails(self, operations, kinds):
        """The number of operations after which it failed, or None when it did not in all tries."""
        for _ in range(self.arguments.tries):
            failed, made, _ = self.run(operations, kinds)
            if failed:
                return made
        return None


def shrink(program, operations):
    length = program.fails(operations, None)
    if length is None:
        return None
    _, _, output = program.run(1, None)
    kinds = KINDS.findall(output)
    if not kinds:
        return None
    print(f'fails after {length} operations', flush=True)
    for kind in list(kinds):
        rest = [k for k in kinds if k != kind]
        shorter = program.fails(length, rest) if rest else None
        if shorter is not None:
            kinds, length = rest, shorter
            print(f'also without {kind}, after {length}', flush=True)
    while length > 1:
        shorter = program.fails(length * 3 // 4, kinds)
        if shorter is None:
            break
        length = shorter
    return length, kinds


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('program')
    parser.add_argument('seed', type=int)
    parser.add_argument('--tries', type=int, default=5)
    parser.add_argument('--operations', type=int, default=8000)
    parser.add_argument('--filter', default='*WhateverChanges')
    arguments = parser.parse_args()
    found = shrink(Program(arguments), arguments.operations)
    if found is None:
        print('it does not fail')
        return 1
    print(f'LAGG_TORTURE_SEED={arguments.seed} LAGG_TORTURE_OPS={found[0]} '
          f'LAGG_TORTURE_KINDS={",".join(found[1])} {arguments.program} '
          f"--gtest_filter='{arguments.filter}'")
    return 0


if __name__ == '__main__':
    sys.exit(main())
