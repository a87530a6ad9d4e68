"""Runs the checks of a test that is a Python program: functions, one after the other, each named as
a sentence.  Exit code 77 means skipped; the reason is printed."""

import sys
import time

SKIPPED = 77


def skip(reason):
    print(f"SKIPPED: {reason}")
    sys.exit(SKIPPED)


def chosen(checks):
    """All of them, or those whose names contain a word of the command line's."""
    words = sys.argv[1:]
    return [check for check in checks
            if not words or any(word in check.__name__ for word in words)]


def check_all(checks, *arguments, after_failure=None):
    """Calls each with `arguments`; the exit code is for sys.exit.  `after_failure`: called after
    each that failed; true ends it all, for what the next ones would build on is not there."""
    passed = failed = 0
    for check in checks:
        begin = time.monotonic()
        try:
            check(*arguments)
            passed += 1
            print(f"ok     {check.__name__} ({time.monotonic() - begin:.1f} s)", flush=True)
        except Exception as error:  # an expectation that fails must not hide the others
            failed += 1
            print(f"FAILED {check.__name__}: {type(error).__name__}: {error}", flush=True)
            if after_failure is not None and after_failure():
                break
    print(f"{passed} of {len(checks)} checks passed")
    return 1 if failed else 0
