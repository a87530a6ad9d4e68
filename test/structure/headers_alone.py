#!/usr/bin/env python3
"""Every header compiles alone, with the flags of the sources around it; public ones as C, too.

The flags come from the build's compile_commands.json.  A folder that this build does not compile at
all (DPDK disabled) is left out and named.
"""

import concurrent.futures
import json
import os
import pathlib
import re
import shlex
import subprocess
import sys

import tree

# Keeps what names the language, the machine, warnings, macros and places; drops input and output.
DROPPED_WITH_VALUE = {'-o', '-MF', '-MQ', '-MT'}
DROPPED = {'-c', '-MD', '-MMD'}
FOR_C = re.compile(r'-(D|I|isystem|include|march|W(error|all|extra|pedantic)$)')


def commands(build, root):
    """Source below root -> its compiler's words without input and output."""
    found = {}
    for entry in json.loads((build / 'compile_commands.json').read_text()):
        source = (pathlib.Path(entry['directory']) / entry['file']).resolve()
        if not source.is_relative_to(root) or source.suffix == '.c':
            continue
        words, kept = shlex.split(entry['command']), []
        skip = False
        for word in words:
            if skip or word in DROPPED_WITH_VALUE:
                skip = not skip
            elif word not in DROPPED and word != entry['file']:
                kept.append(word)
        found[source.relative_to(root)] = kept
    return found


def nearest(header, known):
    """The flags of the source that shares the most folders with the header; None outside its top."""
    best, depth = None, 0
    for source, words in sorted(known.items()):
        shared = len(pathlib.PurePath(os.path.commonpath([header, source])).parts)
        if shared > depth:
            best, depth = words, shared
    return best


def flags_for(header, known, root):
    """Headers of tests that load DPDK see all that the driver's own sources see, and the hooks."""
    driver = nearest(pathlib.PurePath('drivers/net/lagg/x.h'), known)
    if driver is None or header.parts[:2] not in (
            ('test', 'pmd'), ('test', 'support'), ('test', 'torture')):
        return nearest(header, known)
    return [*driver, '-DLAGG_TEST_HOOKS', f'-I{root}/test', f'-I{root}/drivers/net/lagg',
            f'-I{root}/drivers/net/wire']


def as_c(words):
    kept = []
    for index, word in enumerate(words):
        if FOR_C.match(word):
            kept.append(word)
            if word in ('-include', '-isystem', '-I', '-D'):
                kept.append(words[index + 1])
    return ['cc', '-std=gnu11', *kept]  # as DPDK's own headers


def compile_alone(header, words, language, build):
    result = subprocess.run(
        [*words, '-O0', '-fsyntax-only', '-include', str(header), '-x', language, '/dev/null'],
        cwd=build, capture_output=True, text=True, check=False)
    return result.stderr.strip() if result.returncode else None


def check(root, options):
    build = pathlib.Path(options.build).resolve()
    root = root.resolve()
    if options.self_test:  # a small tree has no build: its own flags
        known = {pathlib.Path(folder, 'x.cpp'): ['c++', '-std=c++20', f'-I{root}/lib', '-Wall',
                                                 '-Werror'] for folder in ('lib', 'drivers')}
    else:
        known = commands(build, root)
    jobs, left_out = [], set()
    for header in tree.files(root, tree.SOURCE_DIRS, ('.h', '.hpp')):
        words = flags_for(header, known, root)
        if words is None:
            left_out.add(header.parts[0])
            continue
        jobs.append((header, words, 'c++'))
        if header.name.startswith('rte_pmd_'):
            jobs.append((header, as_c(words), 'c'))
    if left_out:
        print('not compiled by this build, left out: ' + ', '.join(sorted(left_out)))
    if not jobs:
        return ['no header was checked']
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        errors = pool.map(lambda job: compile_alone(root / job[0], job[1], job[2],
                                                    root if options.self_test else build), jobs)
        problems = [f'{header.as_posix()} as {language}: {error}'
                    for (header, _, language), error in zip(jobs, errors) if error]
    print(f'{len(jobs)} compilations')
    return problems


CASES = [
    ({'lib/a.h': '#pragma once\n#include <vector>\ninline std::vector<int> v;\n'}, None),
    ({'lib/a.h': '#pragma once\ninline std::vector<int> v;\n'}, 'lib/a.h as c++'),
    ({'lib/b/a.h': '#pragma once\n#include "c.h"\n'}, 'lib/b/a.h as c++'),
    ({'drivers/rte_pmd_x.h': '#pragma once\nclass x;\n'}, 'rte_pmd_x.h as c:'),
    ({'lib/a.cpp': ''}, 'no header was checked'),
]

if __name__ == '__main__':
    sys.exit(tree.run(check, CASES, lambda parser: parser.add_argument('--build', default='.')))
