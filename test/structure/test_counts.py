#!/usr/bin/env python3
"""buildtools/test_summary.py counts what happened: above all, it loses no failure."""

import json
import pathlib
import sys
import tempfile

import tree

sys.path.insert(0, str(tree.ROOT / 'buildtools'))
sys.dont_write_bytecode = True
import test_summary  # noqa: E402

HEAD = '[==========] Running 3 tests from 1 test suite.\n'
PASSED = '[ RUN      ] A.Passes\n[       OK ] A.Passes (0 ms)\n'
FAILED = '[ RUN      ] A.Fails/2\nx_test.cpp:3: Failure\n[  FAILED  ] A.Fails/2, where GetParam() = 2 (1 ms)\n'
SKIPPED = ('[ RUN      ] A.Skips\nx_test.cpp:7: Skipped\nneeds two lcores\n'
           '[  SKIPPED ] A.Skips (0 ms)\n')

# (result, stdout) of one executable -> passed, failed, skipped, and words the report must contain
EXPECTED = [
    (('OK', HEAD + PASSED + SKIPPED + '[  PASSED  ] 1 test.\n'), (1, 0, 1), 'needs two lcores'),
    (('FAIL', HEAD + PASSED + FAILED + '[  FAILED  ] A.Fails/2, where GetParam() = 2\n'), (1, 1, 0),
     'A.Fails/2'),
    (('FAIL', HEAD + PASSED + '[ RUN      ] A.Crashes\n'), (1, 1, 0), 'A.Crashes: did not end'),
    (('TIMEOUT', HEAD + '[ RUN      ] A.Hangs\n'), (0, 1, 0), 'did not end (TIMEOUT)'),
    (('FAIL', HEAD + PASSED), (1, 1, 0), 'though no case of it failed'),  # a leak at exit
    (('OK', '[==========] Running 0 tests from 0 test suites.\n'), (0, 1, 0), 'ran no case'),
    (('OK', 'some log line\n' + HEAD + 'EAL: x ' + PASSED), (1, 0, 0), ''),
    (('OK', '3 checks\n'), (1, 0, 0), ''),
    (('SKIP', 'needs root\n'), (0, 0, 1), 'needs root'),
    (('ERROR', ''), (0, 1, 0), 'ERROR'),
]


def check(root, expected=None):
    problems = []
    for (result, output), numbers, words in expected or EXPECTED:
        with tempfile.TemporaryDirectory() as folder:
            log = pathlib.Path(folder, 'testlog.json')
            log.write_text(json.dumps({'name': 't', 'result': result, 'stdout': output}) + '\n')
            total = test_summary.count()
            total.add_log('stage', log)
        report = '\n'.join([*total.failed, *(f'{name}: {why}' for name, why in total.skipped)])
        got = (total.passed, len(total.failed), len(total.skipped))
        if got != numbers or words not in report:
            problems.append(f'{result} {output!r}: counted {got}, reported {report!r}')
    missing = test_summary.count()
    missing.add_log('stage', root / 'no such log')
    if not missing.failed:
        problems.append('a run without a log was not called failed')
    return problems


if __name__ == '__main__':
    if '--self-test' in sys.argv:
        sys.exit(0 if check(tree.ROOT, [(('FAIL', HEAD + PASSED), (1, 0, 0), '')]) else 1)
    found = check(tree.ROOT)
    print('\n'.join(found))
    sys.exit(1 if found else 0)
