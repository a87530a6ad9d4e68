#!/usr/bin/env python3
"""Runs clang-tidy over lib/, drivers/ and app/, with the compile commands of a build made by clang.

usage: tidy.py BUILD [JOBS]

A source that was clean before is not looked at again while nothing that bears on it has changed:
itself, the headers of this tree that it includes, its compile command, .clang-tidy, the tool, DPDK.
What was found clean is remembered in .cache/clang-tidy, by hash.
"""

import concurrent.futures
import hashlib
import json
import pathlib
import shlex
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / 'test/structure'))
sys.dont_write_bytecode = True
import tree  # noqa: E402

CHECKED = ('lib/', 'drivers/', 'app/')
SECONDS = 300  # for one source


def output_of(*command):
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def main():
    build = pathlib.Path(sys.argv[1]).resolve()
    jobs = int(sys.argv[2]) if len(sys.argv) > 2 else 2
    tool = shutil.which('clang-tidy-14') or shutil.which('clang-tidy')
    if tool is None:
        print('clang-tidy is not installed: run buildtools/bootstrap')
        return 1
    if not (build / 'compile_commands.json').is_file():
        print(f'{build} is not configured')
        return 1
    common = '\0'.join([output_of(tool, '--version'), (ROOT / '.clang-tidy').read_text(),
                        output_of('pkg-config', '--modversion', 'libdpdk')])
    cache = ROOT / '.cache/clang-tidy'
    cache.mkdir(parents=True, exist_ok=True)

    work = {}
    for entry in json.loads((build / 'compile_commands.json').read_text()):
        path = (pathlib.Path(entry['directory']) / entry['file']).resolve()
        if not path.is_relative_to(ROOT):
            continue
        source = path.relative_to(ROOT)
        # Generated sources and those compiled twice (into a test, too) are not looked at again.
        if not source.as_posix().startswith(CHECKED) or source in work:
            continue
        digest = hashlib.sha256((common + shlex.join(shlex.split(entry['command']))).encode())
        for part in [source, *sorted(tree.include_closure(ROOT, source))]:
            digest.update(part.as_posix().encode() + b'\0' + (ROOT / part).read_bytes())
        work[source] = cache / digest.hexdigest()
    if not work:
        print(f'{build} compiles nothing that is to be checked')
        return 1

    def tidy(item):
        source, mark = item
        try:
            result = subprocess.run([tool, '--quiet', '-p', str(build), str(ROOT / source)],
                                    capture_output=True, text=True, timeout=SECONDS, check=False)
        except subprocess.TimeoutExpired:
            return f'{source}: clang-tidy did not end within {SECONDS} s'
        if result.returncode == 0:
            mark.touch()
            return None
        errors = [line for line in result.stderr.splitlines() if 'error:' in line]
        return '\n'.join([result.stdout.strip(), *errors]).strip() or f'{source}: failed'

    clean = sum(1 for mark in work.values() if mark.exists())
    open_work = [(source, mark) for source, mark in sorted(work.items()) if not mark.exists()]
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        found = [text for text in pool.map(tidy, open_work) if text]
    print('\n'.join(found))
    print(f'clang-tidy: {len(work)} sources, {clean} known to be clean, {len(found)} with findings')
    for mark in cache.iterdir():  # what no source of this tree has any more
        if mark not in set(work.values()):
            mark.unlink()
    return 1 if found else 0


if __name__ == '__main__':
    sys.exit(main())
