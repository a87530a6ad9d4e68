#!/usr/bin/env python3
"""Makes a table of what the last run explored: bursts, frames, changes, schedules, states, seeds.

usage: report.py OUTPUT.md BUILD_DIRECTORY...

Reads what meson kept of each test's output.  doc/reliability.md says what the rows mean.
"""

import json
import pathlib
import re
import sys

CASE = re.compile(r'\[ RUN      \] (\S+)')
FIGURE = re.compile(r'^torture: (\S+) ([\d.]+)$')
CELL = re.compile(r'^(real|membarrier): (.*)$')
STATES = re.compile(r'^([^:]+): (\d+) states$')
SEED = re.compile(r'^(?:seed |LAGG_TORTURE_SEED=|NET_LAGG_TEST_SEED=)(\d+)$')

# Rows of the burst torture, in this order; `op-` and `bursts-` follow in one row each.
ROWS = ['seed', 'seconds', 'threads', 'operations', 'versions', 'versions-that-bursts-ran-on',
        'bursts', 'frames-offered', 'frames-taken', 'frames-given-back', 'frames-turned-away',
        'copies-due', 'copies-arrived', 'copies-counted-lost', 'frames-from-far',
        'frames-received', 'control-frames', 'lookups-stale', 'removals', 'reprobes', 'pulls',
        'restarts', 'failures-injected', 'bursts-under-lacp-with-members', 'policy-switches',
        'policy-pairs', 'status-answers']


def shown(row, value):
    return value if row == 'seed' else spaced(value)


def spaced(number):
    return number if '.' in number else f'{int(number):,}'


def read(folder):
    """(test, its output) of what ran last in a build directory."""
    log = pathlib.Path(folder, 'meson-logs', 'testlog.json')
    if not log.exists():
        return
    for line in log.read_text().splitlines():
        record = json.loads(line)
        yield record['name'], (record.get('stdout') or '').replace('\r', '')


def collect(output):
    """case -> {'figures': {...}, 'lines': [...], 'seeds': [...], 'states': [(machine, n)]}"""
    cases, now = {}, None
    for line in output.splitlines():
        if start := CASE.search(line):
            now = cases.setdefault(start.group(1),
                                   {'figures': {}, 'lines': [], 'seeds': [], 'states': []})
        elif now is None:
            continue
        elif figure := FIGURE.match(line):
            now['figures'][figure.group(1)] = figure.group(2)
        elif cell := CELL.match(line):
            now['lines'].append(cell.group(0))
        elif states := STATES.match(line):
            now['states'].append((states.group(1), int(states.group(2))))
        elif seed := SEED.match(line):
            now['seeds'].append(seed.group(1))
    return cases


def grouped(figures, prefix):
    return ', '.join(f'{name[len(prefix):]} {spaced(value)}' for name, value in figures.items()
                     if name.startswith(prefix))


def report(folders):
    out = ['# What the last run explored', '']
    for folder in folders:
        for name, output in read(folder):
            for case, what in collect(output).items():
                if what['figures']:
                    out += [f'## {case} ({pathlib.Path(folder).name})', '', '| what | how many |',
                            '| --- | --- |']
                    out += [f'| {row.replace("-", " ")} | {shown(row, what["figures"][row])} |'
                            for row in ROWS if row in what['figures']]
                    out += [f'| bursts by spread | {grouped(what["figures"], "spread-")} |',
                            f'| operations by kind | {grouped(what["figures"], "op-")} |', '']
                elif what['states']:
                    total = sum(n for _, n in what['states'])
                    machines = ', '.join(sorted({machine for machine, _ in what['states']}))
                    out += [f'* {name} {case}: {total:,} states ({machines})']
                elif what['lines']:
                    seeds = ', '.join(what['seeds'])
                    out += [f'* {name} {case}: {line}; seed {seeds}' for line in what['lines']]
    return '\n'.join(out) + '\n'


def main():
    if len(sys.argv) < 3:
        print(__doc__)
        return 2
    text = report(sys.argv[2:])
    pathlib.Path(sys.argv[1]).write_text(text)
    print(f'what was explored: {sys.argv[1]}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
