#!/usr/bin/env python3
"""Words that the tree does without.  Bracketed letters keep this file from matching itself."""

import re
import sys

import tree

# pattern, what is wrong with it, which files (a prefix of the path), what excuses a line
WORDS = [
    (r's[l]ave', 'we say member', '', r'bond'),  # the other driver's own identifiers
    (r'\bT[O]DO\b|\bFI[X]ME\b|\bX[X]X\b|(?i:\bfor n[o]w\b)', 'unfinished work', '', None),
    (r'(?i)\bnot (yet )?impl[e]mented\b', 'unfinished work', '', None),
    (r'(?<![\w.)}])/(w[o]rk|r[o]ot|h[o]me|f[a]rm|t[m]p)/', 'a path of somebody\'s machine', '', None),
    (r'\b(deb|security|snapshot|ftp)\.d[e]bian\.org|\bp[y]pi\.org|\bn[p]mjs\.', 'a registry\'s host',
     '', None),
    (r'\b(sleep_f[o]r|sleep_u[n]til|u[s]leep|nano[s]leep|rte_d[e]lay_\w+)\s*\(', 'a test never sleeps',
     ('test/', 'lib/'), None),
]
BINARY = {'.png', '.pcap', '.xz', '.gz'}


def check(root):
    problems = []
    for path in tree.all_files(root):
        name = path.as_posix()
        if path.suffix in BINARY:
            continue
        for number, line in enumerate((root / path).read_text(errors='replace').splitlines(), 1):
            for pattern, why, prefix, excuse in WORDS:
                if not name.startswith(prefix):
                    continue
                match = re.search(pattern, line)
                if match and not (excuse and re.search(excuse, line)):
                    problems.append(f'{name}:{number}: "{match.group()}": {why}')
    return problems


CASES = [
    ({'lib/a.h': '// a member collects\n', 'doc/design.md': 'Members come and go.\n'}, None),
    ({'lib/a.h': '// the s' 'lave port\n'}, 'we say member'),
    ({'bench/b.cpp': 'rte_eth_bond_s' 'lave_add(a, b);\n'}, None),
    ({'README.md': 'see /w' 'ork/main\n'}, 'somebody\'s machine'),
    ({'doc/a.md': 'in ../w' 'ork/main\n'}, None),
    ({'.ci/run': 'cd /t' 'mp/x\n'}, 'somebody\'s machine'),
    ({'lib/a.cpp': '// TO' 'DO: later\n'}, 'unfinished'),
    ({'lib/a.cpp': '// good enough for n' 'ow\n'}, 'unfinished'),
    ({'buildtools/x': 'http://deb.d' 'ebian.org/\n'}, 'registry'),
    ({'test/a_test.cpp': 'std::this_thread::sleep_f' 'or(1s);\n'}, 'never sleeps'),
    ({'app/a.cpp': 'std::this_thread::sleep_f' 'or(1s);\n'}, None),
    ({'build-x/a.cpp': '// TO' 'DO\n', '.deps/b.h': '// TO' 'DO\n'}, None),
]

if __name__ == '__main__':
    sys.exit(tree.run(check, CASES))
