#!/usr/bin/env python3
"""buildtools/source_entries.py picks the distribution's own archive and nothing else."""

import pathlib
import sys
import tempfile

import tree

sys.path.insert(0, str(tree.ROOT / 'buildtools'))
sys.dont_write_bytecode = True
import source_entries  # noqa: E402

KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg'
OWN = f'''Types: deb
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By: {KEYRING}
'''
FOREIGN = OWN.replace(KEYRING, '/usr/share/keyrings/vendor.gpg')

# Files below an apt folder -> the suites of the entries that must come out.
EXPECTED = [
    ({'sources.list.d/debian.sources': OWN}, ['bookworm bookworm-updates']),
    ({'sources.list.d/debian.sources': OWN + 'Enabled: no\n'}, []),
    ({'sources.list.d/debian.sources.disabled': OWN}, []),
    ({'sources.list.d/vendor.sources': FOREIGN}, []),
    ({'sources.list.d/two.sources': OWN + '\n' + FOREIGN}, ['bookworm bookworm-updates']),
    ({'sources.list.d/folded.sources': OWN.replace('bookworm bookworm', 'bookworm\n bookworm')},
     ['bookworm\n bookworm-updates']),
    ({'sources.list': 'deb http://mirror.example/debian bookworm main\n'
                      'deb-src http://mirror.example/debian bookworm main\n'
                      '# deb http://mirror.example/debian sid main\n'
                      'deb cdrom:[Debian 12 _Bookworm_]/ bookworm main\n'}, ['bookworm']),
    ({'sources.list': 'deb [arch=amd64 signed-by=' + KEYRING + '] file:/mirror x main\n'}, ['x']),
    ({'sources.list.d/v.list': 'deb https://vendor.example tool-bookworm main\n'
                               'deb [signed-by=/v.gpg] https://vendor.example bookworm main\n'
                               'deb https://vendor.example bookworm stable\n'}, []),
    ({'sources.list': 'deb http://mirror.example/sec bookworm/updates main\n'},
     ['bookworm/updates']),
]

# The same, of deb entries for the release's backports.
BACKPORTS = [
    ({'sources.list.d/debian.sources': OWN + '\n' + OWN.replace('bookworm bookworm-updates',
                                                                'bookworm-security')},
     ['bookworm-backports']),
    ({'sources.list.d/vendor.sources': FOREIGN}, []),
    ({'sources.list': 'deb http://mirror.example/debian sid main\n'}, []),
]


def check(root):
    """With files of its own: what they yield, one line an entry.  Else the expectations."""
    def suites(folder, backports=False):
        entries = list(source_entries.source_entries(folder, 'debian', 'bookworm', backports))
        wanted = 'Types: deb\n' if backports else 'Types: deb-src\n'
        assert all(entry.startswith(wanted) for entry in entries), entries
        return [entry.split('Suites: ')[1].split('\nComponents')[0] for entry in entries]

    if root != tree.ROOT:
        return suites(root)
    problems = []

    def compare(tree_files, expected, backports=False):
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            for path, text in tree_files.items():
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                (folder / path).write_text(text)
            got = suites(folder, backports)
        if got != expected:
            problems.append(f'{tree_files}: expected {expected}, got {got}')

    for tree_files, expected in EXPECTED:
        compare(tree_files, expected)
    for tree_files, expected in BACKPORTS:
        compare(tree_files, expected, backports=True)
    return problems


CASES = [
    ({'sources.list.d/debian.sources': OWN}, 'bookworm bookworm-updates'),
    ({'sources.list.d/vendor.sources': FOREIGN}, None),
]

if __name__ == '__main__':
    sys.exit(tree.run(check, CASES))
