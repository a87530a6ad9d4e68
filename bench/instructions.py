#!/usr/bin/env python3
"""Instructions per packet of each transmit path, against recorded figures: growth of more than 3 %
fails.  Counted by callgrind on the widest variant that valgrind can run, AVX2.

usage: instructions.py [--record] PROGRAM
  --record  writes the figures into instructions.txt instead of comparing
"""

import argparse
import pathlib
import re
import subprocess
import sys
import tempfile

RECORD = pathlib.Path(__file__).with_suffix('.txt')
GROWTH = 0.03
SKIP = 77  # meson's exit code for it


def compiler():
    text = subprocess.run(['c++', '--version'], capture_output=True, text=True, check=True).stdout
    return re.sub(r'\s*\(.*?\)', '', text.split('\n')[0]).rsplit('.', 2)[0]


def count(program):
    """Path -> instructions per packet."""
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder, 'counts')
        run = subprocess.run(
            ['valgrind', '--tool=callgrind', '--fair-sched=yes', '--collect-atstart=no',
             f'--callgrind-out-file={out}', program], capture_output=True, text=True, check=False)
        if run.returncode != 0:
            sys.exit(f'{program} failed under callgrind:\n{run.stdout}{run.stderr}')
        packets = dict(line.split() for line in run.stdout.splitlines() if re.match(r'\S+ \d+$', line))
        counts = {}
        for dump in sorted(out.parent.glob('counts.*')):
            text = dump.read_text()
            name = re.search(r'^desc: Trigger: Client Request: (\S+)', text, re.M)
            # one dump per thread: only the one that sends has counted anything
            total = re.search(r'^(?:totals|summary): (\d+)', text, re.M)
            if name and name.group(1) in packets and total:
                counts[name.group(1)] = counts.get(name.group(1), 0) + int(total.group(1))
        return {name: counts.get(name, 0) / int(n) for name, n in packets.items()}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--record', action='store_true')
    parser.add_argument('program')
    options = parser.parse_args()
    figures = count(options.program)
    if options.record:
        lines = ['# Instructions per packet, 4 members, burst 32, by bench/instructions.py --record.',
                 f'compiler {compiler()}']
        lines += [f'{name} {value:.2f}' for name, value in figures.items()]
        RECORD.write_text('\n'.join(lines) + '\n')
        return 0

    recorded = dict(line.split(maxsplit=1) for line in RECORD.read_text().splitlines()
                    if line and not line.startswith('#'))
    if recorded.pop('compiler') != compiler():
        print(f'recorded for another compiler than {compiler()}')
        return SKIP
    worse = []
    for name, before in recorded.items():
        now = figures.get(name)
        print(f'{name:28} {float(before):8.2f} -> ' + ('gone' if now is None else f'{now:8.2f}'))
        if now is None or now > float(before) * (1 + GROWTH):
            worse.append(name)
    if worse:
        print('more than 3 % above the record:', *worse)
    return 1 if worse or not recorded else 0


if __name__ == '__main__':
    sys.exit(main())
