#!/usr/bin/env python3
"""One JSON of all benches of a run, and a report that a reader can repeat: ratios first."""

import argparse
import json
import pathlib
import platform
import re
import subprocess
from statistics import median

# Path of the table, our hash, net_bonding's hash, at least: warm, cold.  net_bonding's policy, if its
# name is another.
TABLE = [
    ('roundrobin', 'none', 'none', 4.0, 4.0), ('loadbalance', 'l2', 'l2', 1.4, 1.3),
    ('loadbalance', 'l23', 'l23', 1.8, 1.6), ('loadbalance', 'l34', 'l34', 1.8, 1.6),
    ('loadbalance', 'l234', 'l34', None, None), ('loadbalance', 'rss', 'l34', 2.0, 2.0),
    ('lacp', 'l34', 'l34', 2.0, 2.0), ('lacp', 'l34', 'l34', 2.0, 2.0, 'lacp_dedicated'),
    ('broadcast', 'none', 'none', 1.5, 1.5),
    ('failover', 'none', 'none', None, None),
]


def medians(files):
    """Name -> counters, with the coefficient of variation of each as <counter>_cv."""
    found, context = {}, {}
    for file in files:
        data = json.loads(file.read_text())
        context = data['context']
        for entry in data['benchmarks']:
            kind = entry.get('aggregate_name')
            if kind not in ('median', 'cv'):
                continue
            counters = {k: v for k, v in entry.items() if isinstance(v, float) and
                        k not in ('real_time', 'cpu_time')}
            case = found.setdefault(entry['run_name'], {'repetitions': entry['repetitions']})
            case.update({k + ('_cv' if kind == 'cv' else ''): v for k, v in counters.items()})
    return found, context


def first_line(*command):
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split('\n')[0]
    except (OSError, subprocess.CalledProcessError):
        return 'unknown'


def machine():
    info = pathlib.Path('/proc/cpuinfo').read_text()

    def field(name):
        found = re.search(rf'^{name}\s*: (.*)', info, re.M)
        return found and found.group(1)

    has = (field('flags') or field('Features') or '').split()
    vectors = [v for v in ('avx512_vbmi2', 'avx2', 'sse4_2', 'asimd') if v in has]
    build = pathlib.Path('build/compile_commands.json')
    flags = []
    if build.exists():
        for unit in json.loads(build.read_text()):
            if unit['file'].endswith('lagg_tx.cpp'):
                flags = re.findall(r'(?<= )-(?:O\S+|march=\S+|std=\S+)', unit['command'])
    return {'cpu': field('model name') or platform.processor(),
            'family, model, stepping': ', '.join(field(f) or '?' for f in ('cpu family', 'model', 'stepping')),
            'widest registers': vectors[0] if vectors else 'none that we use',
            'kernel': platform.release(),
            'compiler': first_line('c++', '--version'),
            'flags': ' '.join(flags),
            'dpdk': first_line('pkg-config', '--modversion', 'libdpdk')}


def processes(files):
    """Of each process that measured transmit: its cases."""
    each = [medians([file])[0] for file in files]
    return [cases for cases in each if any(name.startswith('tx/') for name in cases)]


def overhead(cases, pmd, policy, hashed, rest):
    case = cases.get(f'tx/{pmd}/{policy}/{hashed}/{rest}')
    return case and case['overhead_cycles']


def ratio_rows(cases, rest):
    """(path, hash): net_lagg's cycles, net_bonding's, and the ratio that is asked for."""
    rows = {}
    for policy, ours, theirs, warm, cold, *other in TABLE:
        least = cold if rest.endswith('cold') else warm
        if ours == 'rss' and '/burst:64/' in rest:
            least = 2.5
        lagg = overhead(cases, 'net_lagg', policy, ours, rest)
        bond = overhead(cases, 'net_bonding', other[0] if other else policy, theirs, rest)
        if lagg and bond:
            rows[f'{policy}, against {other[0]}' if other else policy, ours] = lagg, bond, least
    return rows


def ratio_table(runs, members, burst):
    """`runs`: of several processes; empty when none has such cases."""
    lines = []
    for state in ('warm', 'cold'):
        each = [ratio_rows(cases, f'members:{members}/burst:{burst}/{state}') for cases in runs]
        for key, (*_, least) in (each[0] if each else {}).items():
            measured = [rows[key] for rows in each if key in rows]
            lagg, bond = (median(row[i] for row in measured) for i in (0, 1))
            ratios = sorted(row[1] / row[0] for row in measured)
            lines.append(f'| {key[0]} | {key[1]} | {state} | {bond:.2f} | {lagg:.2f} | '
                         f'**{median(ratios):.2f}** | {ratios[0]:.2f} to {ratios[-1]:.2f} | '
                         f'{least or "-"} |')
    if lines:
        lines[:0] = ['| path | hash | | net_bonding | net_lagg | ratio | of processes | at least |',
                     '| --- ' * 8 + '|']
    return lines


def other_limits(cases, runs):
    """What is asked for besides the ratios of transmit."""
    rows = []

    def add(what, value, asked):
        """The median of what `value` gives for the processes that have the cases it asks for."""
        values = [value(run) for run in runs]
        values = [v for v in values if v is not None]
        if values:
            rows.append((what, median(values), asked))

    def above(run, rest):
        lagg, bond = (overhead(run, pmd, 'failover', 'none', rest) for pmd in ('net_lagg', 'net_bonding'))
        return None if lagg is None or bond is None else (lagg - bond) * 32

    def of_touch(run, hashed, state):
        touch = run.get(f'tx/bare/touch/none/members:1/burst:32/{state}')
        lagg = overhead(run, 'net_lagg', 'loadbalance', hashed, f'members:4/burst:32/{state}')
        return touch and lagg and lagg / touch['overhead_cycles']

    for state in ('warm', 'cold'):
        rest = f'members:4/burst:32/{state}'
        add(f'failover, {state}: cycles more for a burst of 32',
            lambda run: above(run, rest), 'at most 8')
        for hashed in ('l23', 'l34'):
            add(f'{hashed}, {state}: times a loop that reads one word of each header',
                lambda run: of_touch(run, hashed, state), '1.6 is the aim' if state == 'cold' else '-')
        rx = [cases.get(f'rx/{pmd}/lacp/{rest}') for pmd in ('net_lagg', 'net_bonding')]
        if all(rx):
            rows.append((f'rx, lacp, {state}: net_bonding to net_lagg',
                         rx[1]['overhead_cycles'] / rx[0]['overhead_cycles'], 'at least 1.2'))
    for name, c in sorted(cases.items()):
        match = re.fullmatch(r'scaling/net_lagg/(\w+)/lcores:2', name)
        if match:
            rows.append((f'{match.group(1)}: two lcores to one', c['times_one'], 'at least 1.95'))
    return ['| what | measured | asked |', '| --- | --- | --- |',
            *(f'| {what} | **{value:.2f}** | {limit} |' for what, value, limit in rows)] if rows else []


def failover_table(cases):
    """By driver of the members and policy; empty without such cases."""
    found = {}
    for name, c in cases.items():
        match = re.fullmatch(r'failover_gap/(\w+)/(\w+)/(net_\w+)/(\w+)', name)
        if match:
            driver, told, pmd, policy = match.groups()
            found.setdefault((driver, told, policy), {})[pmd] = c
    lines = []
    for (driver, told, policy), both in sorted(found.items()):
        if len(both) < 2:
            continue
        lagg, bond = both['net_lagg'], both['net_bonding']
        gaps = ['never' if c['never'] else f'{c["gap_us"]:.0f}' for c in (bond, lagg)]
        if lagg['never'] or bond['never']:
            ratio = '-' if lagg['never'] else 'net_bonding never leaves it'
        else:
            ratio = f'**{bond["gap_us"] / max(lagg["gap_us"], 1):.2f}**'
        most = '11000' if told == 'poll' else '1000'
        lines.append(f'| {driver} | {told} | {policy} | {ratio} | {gaps[0]} | {gaps[1]} | '
                     f'{lagg["worst_us"]:.0f} | {most} | {lagg["cause_us"]:.0f} | {bond["frames_lost"]:.0f} | '
                     f'{lagg["frames_lost"]:.0f} | {lagg["mpps"]:.1f} |')
    if lines:
        lines[:0] = [
            'Microseconds from the link event (device, kernel, or the cut itself where members are polled each '
            '10 ms) to the last frame put on the dead member or held up by it; "never": not within a second.',
            '',
            '| members | told by | policy | ratio | net_bonding | net_lagg | its worst | at most | from the cause | '
            'frames lost, net_bonding | net_lagg | at Mpps |', '| --- ' * 12 + '|']
    return lines


def plain_table(cases, prefix):
    rows = {name: c for name, c in sorted(cases.items()) if name.startswith(prefix)}
    if not rows:
        return []
    columns = sorted({k for c in rows.values() for k in c if not k.endswith('_cv')} - {'repetitions'})
    lines = ['| case | ' + ' | '.join(columns) + ' | spread |', '| --- ' * (len(columns) + 2) + '|']
    for name, c in rows.items():
        spread = max((abs(c.get(k + '_cv', 0)) for k in columns), default=0)
        values = ' | '.join(f'{c[k]:.4g}' if k in c else '' for k in columns)
        lines.append(f'| {name} | {values} | {spread * 100:.0f} % |')
    return lines


def shared(cases):
    """In which part of the blocks the core was not ours alone."""
    parts = [c['shared'] for c in cases.values() if 'shared' in c]
    return sum(parts) / len(parts) if parts else 0


def plot(cases, out):
    """Overhead by burst size, a curve for each PMD.  Returns the names of the files."""
    try:
        import matplotlib
    except ImportError:
        return []
    matplotlib.use('Agg')
    from matplotlib import pyplot
    panels = [('loadbalance', 'l34', 'l34'), ('roundrobin', 'none', 'none'), ('lacp', 'l34', 'l34'),
              ('broadcast', 'none', 'none')]
    figure, axes = pyplot.subplots(2, 2, figsize=(10, 7))
    for axis, (policy, ours, theirs) in zip(axes.flat, panels):
        for pmd, hashed in (('net_lagg', ours), ('net_bonding', theirs)):
            for state, style in (('warm', '-'), ('cold', '--')):
                points = []
                for name, c in cases.items():
                    match = re.fullmatch(f'tx/{pmd}/{policy}/{hashed}/members:4/burst:(\\d+)/{state}',
                                         name)
                    if match:
                        points.append((int(match.group(1)), c['overhead_cycles']))
                if points:
                    axis.plot(*zip(*sorted(points)), style, marker='o', label=f'{pmd}, {state}')
        axis.set_title(f'{policy} {ours if ours != "none" else ""}, 4 members')
        axis.set_xlabel('burst')
        axis.set_ylabel('cycles per packet over a bare port')
        axis.set_xscale('log', base=2)
        axis.set_ylim(bottom=0)
        axis.legend(fontsize='small')
    figure.tight_layout()
    files = [out.with_suffix(suffix) for suffix in ('.png', '.svg')]
    for file in files:
        figure.savefig(file, metadata={'Date': None} if file.suffix == '.svg' else None)
    return files


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--name', required=True)
    parser.add_argument('--out', type=pathlib.Path, required=True)
    parser.add_argument('--table', type=pathlib.Path, nargs='*', default=[],
                        help='further processes that measured the cases of the table')
    parser.add_argument('files', nargs='+', type=pathlib.Path)
    options = parser.parse_args()
    cases, context = medians(options.files)
    runs = processes([*options.files, *options.table])
    where = machine()
    options.out.mkdir(parents=True, exist_ok=True)
    base = options.out / (options.name + '.json')
    of_processes = [{name: c['overhead_cycles'] for name, c in run.items()} for run in runs[1:]]
    base.write_text(json.dumps({'machine': where, 'context': context, 'cases': cases,
                                'overhead_cycles_of_further_processes': of_processes},
                               indent=1, sort_keys=True) + '\n')

    lines = [f'# {options.name}', '']
    if any(name.startswith('tx/') for name in cases):
        lines += [
            'Cycles (TSC) per packet over the bare member port; both PMDs in one process and one run, '
            'the same members that cost nothing, 64-byte UDP over IPv4, repetitions interleaved.',
            'A figure is the median of its repetitions, each of which is the tenth percentile of 101 '
            'blocks that alternate with the bare port.',
            f'The tables of ratios, and what is besides of transmit, have the medians of {len(runs)} '
            'processes, spread over the run, each with both PMDs; "of processes" is the least and the greatest '
            'ratio among them. All else is of one process.' if len(runs) > 1 else 'All is of one process.',
            'Blocks count while nobody else uses the core (the other hyperthread, a guest of the same host: '
            'bench/support/core_share.h), as long as waiting for that is worth it; '
            f'{shared(cases) * 100:.0f} % were taken although somebody did.', '']
    for burst in (32, 64):
        table = ratio_table(runs, 4, burst)
        if table:
            lines += [f'## Ratios, 4 members, burst {burst}', '', *table, '']
    others = other_limits(cases, runs)
    if others:
        lines += ['## Besides', '', *others, '']
    failover = failover_table(cases)
    if failover:
        lines += ['## A member\'s link is lost', '', *failover, '']
    for image in plot(cases, base) if any(name.startswith('tx/') for name in cases) else []:
        if image.suffix == '.png':
            lines += [f'![overhead by burst size]({image.name})', '']
    lines += ['## Where and how', ''] + [f'* {k}: {v}' for k, v in where.items()]
    lines += [f'* load average when it began: {context.get("load_avg")}',
              f'* TSC: {context.get("mhz_per_cpu")} MHz', '']
    for title, prefix in (('Transmit, everything', 'tx/'), ('Receive', 'rx/'), ('Pin', 'pin/'),
                          ('Snapshot schemes', 'snapshot/'), ('Flow hash', 'flow_hash/'),
                          ('Sorting by member', 'distribute/'), ('Scaling', 'scaling/'),
                          ('Failover gap', 'failover_gap/'), ('Reconfiguration', 'reconfigure/'),
                          ('Grace period', 'grace/')):
        table = plain_table(cases, prefix)
        if table:
            lines += [f'## {title}', '', *table, '']
    base.with_suffix('.md').write_text('\n'.join(lines))
    print('\n'.join([*ratio_table(runs, 4, 32), '', *others] if runs else failover))
    print(f'\n{base.with_suffix(".md")}')


if __name__ == '__main__':
    main()
