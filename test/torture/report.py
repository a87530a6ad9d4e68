#!/usr/bin/env python3
"""Makes tables of what the last run explored: bursts, frames, changes, schedules, states, seeds.

usage: report.py OUTPUT.md BUILD_DIRECTORY...

Reads what meson kept of each test's output.  doc/reliability.md says what the rows mean.
"""

import json
import os
import pathlib
import re
import subprocess
import sys

CASE = re.compile(r'\[ RUN      \] (\S+)')
FIGURE = re.compile(r'^(torture|storm): (\S+) ([\d.]+)$')
CELL = re.compile(r'^(?:real fences|membarrier): \d+ .*$')
SEED = re.compile(r'^(?:seed |LAGG_TORTURE_SEED=|NET_LAGG_TEST_SEED=)(\d+)$')
MODEL = re.compile(r'^model: ([^;]+); ([^;]+); (\d+) states$')
MUTANT = re.compile(r'^mutant (\S+): (.*)$')
LITMUS = re.compile(r'^litmus: (\S+); (\d+) states$')
SCHEDULES = re.compile(r'^schedules: (\d+), seed (\d+)$')
FUZZ = re.compile(r'\bDone (\d+) runs\b')
MEASURED = re.compile(r'^a change seen by another queue')

# Rows of the burst torture, in this order; `op-` and `spread-` follow in one row each.
ROWS = ['seed', 'seconds', 'threads', 'operations', 'versions', 'versions-that-bursts-ran-on',
        'bursts', 'frames-offered', 'frames-taken', 'frames-given-back', 'frames-turned-away',
        'copies-due', 'copies-arrived', 'copies-counted-lost', 'frames-from-far',
        'frames-received', 'control-frames', 'lookups-stale', 'removals', 'reprobes', 'pulls',
        'restarts', 'failures-injected', 'bursts-under-lacp-with-members', 'policy-switches',
        'policy-pairs', 'status-answers']
MACHINES = ['SC', 'x86-TSO', 'Arm', 'Arm with ldapr', 'C++20']


def spaced(number):
    text = str(number)
    return text if '.' in text else f'{int(text):,}'


def table(*rows):
    lines = ['| ' + ' | '.join(str(cell) for cell in row) + ' |' for row in rows]
    return [lines[0], '|' + ' --- |' * len(rows[0]), *lines[1:], '']


def read(folder):
    """(test, its output) of what ran last in a build directory."""
    log = pathlib.Path(folder, 'meson-logs', 'testlog.json')
    if not log.exists():
        return
    for line in log.read_text().splitlines():
        record = json.loads(line)
        text = (record.get('stdout') or '') + '\n' + (record.get('stderr') or '')
        yield record['name'], text.replace('\r', '')


class run:
    """What all tests of some build directories told."""

    def __init__(self):
        self.books = {}      # (build, case) -> {figure: number}, of burst torture and storms
        self.cells = []      # (build, case, line, seed)
        self.states = {}     # bounds -> {machine: states}
        self.mutants = {}    # name -> [machine]
        self.litmus = {}     # name -> states
        self.schedules = []  # (build, how many, seed)
        self.fuzz = []       # (test, runs)
        self.measured = []   # lines

    def add(self, build, test, output):
        case, seed = test, '?'
        for line in output.splitlines():
            if found := CASE.search(line):
                case, seed = found.group(1), '?'
            elif found := SEED.match(line):
                seed = found.group(1)
            elif found := FIGURE.match(line):
                self.books.setdefault((build, case), {})[found.group(2)] = found.group(3)
            elif CELL.match(line):
                self.cells.append((build, test, case, line, seed))
            elif found := MODEL.match(line):
                self.states.setdefault(found.group(2), {})[found.group(1)] = int(found.group(3))
            elif found := MUTANT.match(line):
                self.mutants[found.group(1)] = found.group(2).split('; ')
            elif found := LITMUS.match(line):
                self.litmus[found.group(1)] = int(found.group(2))
            elif found := SCHEDULES.match(line):
                self.schedules.append((build, int(found.group(1)), found.group(2)))
            elif found := FUZZ.search(line):
                self.fuzz.append((build, test, int(found.group(1))))
            elif MEASURED.match(line):
                self.measured.append((build, line))

    def sum(self, *figures):
        return sum(int(float(book.get(name, 0))) for book in self.books.values()
                   for name in figures)

    def cell_sum(self, what):
        return sum(int(n) for cell in self.cells for n in re.findall(rf'(\d+) {what}', cell[3]))

    def seeds(self):
        all_seeds = [book['seed'] for book in self.books.values() if 'seed' in book]
        all_seeds += [cell[4] for cell in self.cells] + [seed for _, _, seed in self.schedules]
        return ', '.join(all_seeds)


def head(what):
    """All in one table; the rest of the report says which test contributed what."""
    states = sum(n for by_machine in what.states.values() for n in by_machine.values())
    survivors = [name for name, found_by in what.mutants.items() if not any(found_by)]
    rows = [
        ('bursts of the driver under torture', what.sum('bursts')),
        ('frames that they and the storms offered', what.sum('frames-offered')),
        ('of these taken', what.sum('frames-taken')),
        ('changes under traffic: operations of the torture, cycles of the storms',
         what.sum('operations', 'cycles-of-add-remove-close-probe')),
        ('versions published by the torture', what.sum('versions')),
        ('bursts on bare cells', what.cell_sum('bursts')),
        ('publications to bare cells', what.cell_sum('(?:publications|generations)')),
        ('schedules of LACP systems', sum(n for _, n, _ in what.schedules)),
        ('inputs made by fuzzers', sum(n for _, _, n in what.fuzz)),
        ('states of the cell protocol explored', states),
        ('mutants of the protocol tried', len(what.mutants)),
        ('of these found by no machine', len(survivors)),
        ('litmus programs', len(what.litmus)),
        ('answers about status, counters and telemetry that were checked',
         what.sum('status-answers', 'stats-answers', 'xstats-answers')
         + 6 * what.sum('telemetry-rounds-of-6-answers')),
    ]
    return [*table(('what', 'how many'), *((name, spaced(n)) for name, n in rows)),
            f'Seeds: {what.seeds()}', '']


def model(what):
    if not what.states:
        return []
    bounds = [(limits, *(spaced(by[machine]) if machine in by else '' for machine in MACHINES))
              for limits, by in what.states.items()]
    kills = [(name, *('found' if machine in found_by else '' for machine in MACHINES))
             for name, found_by in what.mutants.items()]
    return ['## Model', '', 'States explored; empty: not with these bounds on this machine.', '',
            *table(('bounds', *MACHINES), *bounds),
            *table(('mutant', *MACHINES), *kills),
            f'{len(what.litmus)} litmus programs, {spaced(sum(what.litmus.values()))} states.', '']


def grouped(figures, prefix):
    return ', '.join(f'{name[len(prefix):]} {spaced(value)}' for name, value in figures.items()
                     if name.startswith(prefix))


def book(build, case, figures):
    rows = [name for name in ROWS if name in figures]
    rows += [name for name in figures
             if name not in ROWS and not name.startswith(('op-', 'spread-'))]
    shown = [(name.replace('-', ' '), figures[name] if name == 'seed' else spaced(figures[name]))
             for name in rows]
    for prefix, title in (('spread-', 'bursts by spread'), ('op-', 'operations by kind')):
        if text := grouped(figures, prefix):
            shown.append((title, text))
    return [f'## {case} ({build})', '', *table(('what', 'how many'), *shown)]


def report(folders):
    what = run()
    for folder in folders:
        for test, output in read(folder):
            what.add(pathlib.Path(folder).name, test, output)
    commit = subprocess.run(['git', 'describe', '--always', '--dirty'], capture_output=True,
                            text=True, check=False).stdout.strip()
    seconds = os.environ.get('LAGG_TORTURE_SECONDS')
    out = ['# What the last run explored', '',
           f'Commit {commit or "unknown"}, {os.cpu_count()} CPUs, '
           + (f'`LAGG_TORTURE_SECONDS={seconds} test/run.sh --long`' if seconds
              else '`test/run.sh`') + '.', '', *head(what), *model(what)]
    for (build, case), figures in what.books.items():
        out += book(build, case, figures)
    out += ['## Cells, schedules, fuzzers, measurements', '']
    out += [f'* {test} {case} ({build}): {line}; seed {seed}'
            for build, test, case, line, seed in what.cells]
    out += [f'* LACP systems ({build}): {spaced(n)} schedules; seed {seed}'
            for build, n, seed in what.schedules]
    out += [f'* {test} ({build}): {spaced(n)} inputs' for build, test, n in what.fuzz]
    out += [f'* parked readers ({build}): {line}' for build, line in what.measured]
    return '\n'.join(out) + '\n'


def main():
    if len(sys.argv) < 3:
        print(__doc__)
        return 2
    pathlib.Path(sys.argv[1]).write_text(report(sys.argv[2:]))
    print(f'what was explored: {sys.argv[1]}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
