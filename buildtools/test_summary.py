#!/usr/bin/env python3
"""Counts what test/run.sh ran: each GoogleTest case, each script, each counted stage.

usage: test_summary.py [--tests[-failed] NAME TESTLOG.JSON] [--passed NAME] [--failed NAME] ...

Prints every failure and every skip with its reason, and one last line with the three counts.
Exits 1 when anything failed or nothing passed.  An executable that died, or that ran no case, is a
failure even if no case of it failed; so is a run of tests that meson called failed (--tests-failed).
"""

import json
import pathlib
import re
import sys

CASE_END = re.compile(r'\[ +(OK|SKIPPED|FAILED) +\] (\S+?)(?:, where .*)? \(\d+ ms\)')
CASE_START = re.compile(r'\[ RUN      \] (\S+)')
SKIPPED_HERE = re.compile(r'^(?:\S+:\d+: )?Skipped$')
NO_CASE = re.compile(r'\[==========\] Running 0 tests|\[==========\] 0 tests from 0 ')


class count:
    def __init__(self):
        self.passed = 0
        self.failed = []
        self.skipped = []  # (name, reason)

    def add_executable(self, name, record):
        """One line of meson's testlog.json."""
        output = (record.get('stdout') or '').replace('\r', '')
        good = record['result'] in ('OK', 'EXPECTEDFAIL')
        if '[==========]' in output:
            self.add_cases(name, output, good, record['result'])
        elif record['result'] == 'SKIP':
            lines = [line for line in output.splitlines() if line.strip()]
            self.skipped.append((name, lines[-1].strip() if lines else 'no reason given'))
        elif good:
            self.passed += 1
        else:
            self.failed.append(f'{name}: {record["result"]}')

    def add_cases(self, name, output, good, result):
        failed_before, running, reason, expect_reason = len(self.failed), None, '', False
        cases = 0
        for line in output.splitlines():
            start, end = CASE_START.search(line), CASE_END.search(line)
            if start:
                running, reason, expect_reason = start.group(1), '', False
            elif end and running is not None:
                cases += 1
                case = f'{name} {end.group(2)}'
                if end.group(1) == 'OK':
                    self.passed += 1
                elif end.group(1) == 'SKIPPED':
                    self.skipped.append((case, reason or 'no reason given'))
                else:
                    self.failed.append(case)
                running = None
            elif SKIPPED_HERE.match(line):
                expect_reason = True
            elif expect_reason and line.strip():
                reason, expect_reason = line.strip(), False
        if running is not None:
            self.failed.append(f'{name} {running}: did not end ({result})')
        elif cases == 0 or NO_CASE.search(output):
            self.failed.append(f'{name}: ran no case')
        elif not good and len(self.failed) == failed_before:
            self.failed.append(f'{name}: {result}, though no case of it failed')

    def add_log(self, stage, path):
        if not path.is_file():
            self.failed.append(f'{stage}: no test ran')
            return
        for line in path.read_text(errors='replace').splitlines():
            record = json.loads(line)
            self.add_executable(f'{stage}: {record["name"]}', record)


def main(words):
    total = count()
    words = list(words)
    while words:
        kind, name = words.pop(0), words.pop(0)
        if kind in ('--tests', '--tests-failed'):
            failed_before = len(total.failed)
            total.add_log(name, pathlib.Path(words.pop(0)))
            if kind == '--tests-failed' and len(total.failed) == failed_before:
                total.failed.append(f'{name}: meson test failed, though no test of it did')
        elif kind == '--passed':
            total.passed += 1
        elif kind == '--failed':
            total.failed.append(name)
        else:
            raise SystemExit(f'test_summary.py: {kind}?')
    for name, reason in total.skipped:
        print(f'skipped: {name}: {reason}')
    for name in total.failed:
        print(f'failed: {name}')
    print(f'{total.passed} passed, {len(total.failed)} failed, {len(total.skipped)} skipped')
    return 1 if total.failed or total.passed == 0 else 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
