#!/usr/bin/env python3
"""Every atomic operation and fence in lib/ and drivers/ says what it is for.

On its statement's lines or in the comment right above it stands one of
    [edge]          its partner carries the same name, and doc/threads.md explains it
    single writer   a statistic that may lag
    plain:          why no ordering is needed

The edges of lib/epoch are those that test/model explores: its text names each of them.
"""

import re
import sys

import tree

OPERATION = re.compile(
    r'(\.|->)\s*(load|store|exchange|fetch_\w+|compare_exchange_\w+|test_and_set)\s*\('
    r'|\batomic_(thread|signal)_fence\s*\(|\brte_(atomic_thread_fence|smp_[rw]?mb|[rw]?mb)\s*\('
    r'|\b__atomic_\w+\s*\(|\b__sync_\w+\s*\(|\b(light|heavy)_fence\s*\(')
MODEL = 'test/model/cell_protocol.h'
OF_TESTS_ONLY = {'hooks'}
# The fences' own declarations and definitions are not uses.
DECLARATION = re.compile(
    r'^\s*(\[\[\w+\]\]\s*)*((static|inline|constexpr|extern)\s+)*[\w:<>]+\s+([\w]+::)*'
    r'(light|heavy)_fence\s*\(')
RETURN = re.compile(r'^\s*(co_)?return\b')
EDGE = re.compile(r'\[([a-z][a-z0-9_-]*)\]')
OTHER_TAG = re.compile(r'single writer|plain:', re.I)


def comment_at(comments, code, index):
    """The comments of the statement that starts here, on the line before, and of a block there."""
    text, last = comments[index], index
    while not re.search(r'[;{}]', code[last]) and last + 1 < len(code):
        last += 1
        text += ' ' + comments[last]
    above = index - 1
    if above >= 0:
        text += ' ' + comments[above]
        while above > 0 and not code[above].strip() and comments[above - 1].strip() \
                and not code[above - 1].strip():
            above -= 1
            text += ' ' + comments[above]
    return text


def check(root):
    problems, used, lines_with = [], {}, {}
    for path in tree.files(root, ('lib', 'drivers')):
        text = (root / path).read_text()
        code = tree.code_only(text).split('\n')
        comments = tree.comments_only(text).split('\n')
        for index, comment in enumerate(comments):
            for edge in EDGE.findall(comment):
                lines_with.setdefault(edge, set()).add((path, index))
        for index, line in enumerate(code):
            if not OPERATION.search(line):
                continue
            if DECLARATION.match(line) and not RETURN.match(line):
                continue
            where = f'{path.as_posix()}:{index + 1}'
            comment = comment_at(comments, code, index)
            edges = EDGE.findall(comment)
            if not edges and not OTHER_TAG.search(comment):
                problems.append(f'{where}: which edge? {line.strip()}')
            for edge in edges:
                used.setdefault(edge, where)
    ledger = root / 'doc/threads.md'
    ledger_text = ledger.read_text() if ledger.is_file() else None
    model = root / MODEL
    model_text = model.read_text() if model.is_file() else None
    for edge, where in sorted(used.items()):
        if len(lines_with[edge]) < 2:
            problems.append(f'{where}: [{edge}] has no partner')
        elif ledger_text is not None and f'[{edge}]' not in ledger_text:
            problems.append(f'{where}: doc/threads.md does not know [{edge}]')
        elif (model_text is not None and edge not in OF_TESTS_ONLY and f'[{edge}]' not in model_text
              and any(path.as_posix().startswith('lib/epoch/') for path, _ in lines_with[edge])):
            problems.append(f'{where}: {MODEL} does not know [{edge}]')
    return problems


PAIR = ('a.store(1, release);  // [adopt] -> reader\n'
        'int x;\n'
        '// [adopt] <- writer\n'
        'a.load(acquire);\n')
CASES = [
    ({'lib/epoch/c.h': PAIR}, None),
    ({'lib/epoch/c.h': PAIR, 'doc/threads.md': '| current | [adopt] |\n'}, None),
    ({'lib/epoch/c.h': PAIR, 'doc/threads.md': '| current | [leave] |\n'},
     'doc/threads.md does not know [adopt]'),
    ({'lib/epoch/c.h': PAIR, MODEL: '// [adopt]\n'}, None),
    ({'lib/epoch/c.h': PAIR, MODEL: '// [leave]\n'}, 'cell_protocol.h does not know [adopt]'),
    ({'lib/lagg/c.h': PAIR, MODEL: '// [leave]\n'}, None),
    ({'lib/epoch/c.h': 'a.store(1, release);\n'}, 'c.h:1: which edge?'),
    ({'lib/epoch/c.h': 'a.store(1, release);  // publishes buffer[i]\n'}, '[i] has no partner'),
    ({'lib/epoch/c.h': 'a.store(1);  // [adopt]\n'}, '[adopt] has no partner'),
    ({'lib/epoch/c.h': '// [adopt]\nint y;\na.store(1);\n// [adopt]\n'}, 'c.h:3: which edge?'),
    ({'drivers/net/lagg/q.h': 'n->store(n->load(r) + 1, r);  // single writer; may lag\n'}, None),
    ({'drivers/net/lagg/q.h': 'flag.load(r);  // plain: one thread\n'}, None),
    ({'drivers/net/lagg/q.h': 'auto e = c.compare_exchange_strong(a, b);\n'}, 'which edge?'),
    ({'drivers/net/lagg/q.h': 'std::atomic_thread_fence(o);\n'}, 'which edge?'),
    ({'drivers/net/lagg/q.h': '__atomic_load_n(&a, o);\n'}, 'which edge?'),
    ({'lib/epoch/f.h': 'void light_fence() noexcept {\n}\n[[nodiscard]] bool heavy_fence();\n'},
     None),
    ({'lib/epoch/f.h': 'if (!heavy_fence(kind)) {\n}\n'}, 'which edge?'),
    ({'lib/epoch/c.h': 'a.store(1,\n    release);  // single writer\n'}, None),
    ({'lib/epoch/f.h': 'return heavy_fence();\n'}, 'which edge?'),
    ({'lib/epoch/f.h': '// a.load(acquire) is what we do not do here\n'}, None),
]

if __name__ == '__main__':
    sys.exit(tree.run(check, CASES))
