#!/usr/bin/env python3
"""The machine code of the bursts: no locked instruction, no division (x86-64 only).

Follows direct calls and tail jumps inside the library from the functions that burst_code.txt
names, so what the compiler inlined and what it did not are judged alike.  Calls through a pointer
(a member's burst) end at the pointer.
"""

import pathlib
import re
import subprocess
import sys
import tempfile

import tree

HERE = pathlib.Path(__file__).resolve().parent

_FUNCTION = re.compile(r'^[0-9a-f]+ <(.+)>:$')
_BRANCH = re.compile(r'\b(?:call|jmp|j[a-z]{1,3})q?\s+[0-9a-f]+ <(.+?)(?:\+0x[0-9a-f]+)?>$')
# xchg with memory locks by itself.
_LOCKED = re.compile(r'^(?:data16 |cs |rep |repz )*(?:lock\b.*|xchg\w*\s.*\(.*)')
_DIVISION = re.compile(r'^(?:i?div[bwlq]?)\s')
# The compiler's encodings of a full fence: the real fences of light_fence(), on the branch that is
# taken only where the kernel has no membarrier.  They write no shared word.
_FENCE = re.compile(r'^lock or[bwlq]\s+\$0x0,(?:-?0x[0-9a-f]+)?\(%[re]sp\)$|^mfence')


def read_rules(path):
    rules = {'entry': [], 'out_of_line': [], 'external': []}
    for line in path.read_text().splitlines():
        words = line.split('#', 1)[0].split()
        if words:
            rules[words[0]].append(re.compile(words[1]))
    return rules


def functions(library):
    """Name -> its instructions, in order."""
    listing = subprocess.run(['objdump', '-d', '-C', '--no-show-raw-insn', '-j', '.text',
                              '-j', '.text.unlikely', '-j', '.text.hot', str(library)],
                             capture_output=True, text=True, check=False).stdout
    found, body = {}, None
    for line in listing.splitlines():
        match = _FUNCTION.match(line)
        if match:
            body = found.setdefault(match.group(1), [])
        elif body is not None and '\t' in line:
            body.append(line.split('\t', 1)[1].strip())
    return found


def matches(name, patterns):
    return any(pattern.search(name) for pattern in patterns)


def judge(code, rules):
    problems, seen = [], set()
    queue = []
    for pattern in rules['entry']:
        entries = [name for name in code if pattern.search(name)]
        if not entries:
            problems.append(f'no function matches entry {pattern.pattern}')
        queue += [(name, name) for name in entries]
    while queue:
        name, path = queue.pop()
        if name in seen:
            continue
        seen.add(name)
        for instruction in code[name]:
            if _LOCKED.match(instruction) and not _FENCE.match(instruction):
                problems.append(f'{path}: locked: {instruction}')
            if _DIVISION.match(instruction):
                problems.append(f'{path}: division: {instruction}')
            branch = _BRANCH.search(instruction)
            if not branch:
                continue
            target = branch.group(1)
            if target == name or target in seen or matches(target, rules['out_of_line']):
                continue
            if target in code:
                queue.append((target, f'{path} -> {target}'))
            elif not matches(target, rules['external']):
                problems.append(f'{path}: calls {target}, which no rule allows')
    print(f'judged {len(seen)} functions', *sorted(seen), sep='\n  ')
    return problems


def compile_sample(text):
    with tempfile.TemporaryDirectory() as folder:
        library = pathlib.Path(folder, 'sample.so')
        subprocess.run(['c++', '-std=c++20', '-O2', '-shared', '-fPIC', '-fvisibility=hidden', '-x',
                        'c++', '-', '-o', str(library)], input=text, text=True, check=True)
        return functions(library)


def check(root, options):
    rules = read_rules(HERE / 'burst_code.txt')
    if options.self_test:
        return judge(compile_sample((root / 'sample.cpp').read_text()),
                     {'entry': [re.compile('lagg_tx_burst')],
                      'out_of_line': [re.compile('drop_frames')],
                      'external': [re.compile('memcpy@plt')]})
    return judge(functions(options.library), rules)


BURST = '#include <atomic>\nstd::atomic<long> a;\nlong g;\n%s\n' \
    'extern "C" __attribute__((visibility("default"))) long lagg_tx_burst(long x) { %s }\n'
OUTSIDE = '__attribute__((noinline)) void %s() { a.fetch_add(1); }'


def case(before, body, expected):
    return ({'sample.cpp': BURST % (before, body)}, expected)


CASES = [
    case('', 'return x + a.load(std::memory_order_relaxed);', None),
    case('', 'return a.fetch_add(x);', 'locked: lock xadd'),
    case('', 'return a.exchange(x);', 'locked: xchg'),
    case('', 'return g / x;', 'division: idiv'),
    case('', 'return unsigned(g) % unsigned(x);', 'division: div'),
    case('', 'std::atomic_thread_fence(std::memory_order_seq_cst); return a.load();', None),
    case(OUTSIDE % 'drop_frames', 'drop_frames(); return x;', None),
    case(OUTSIDE % 'count', 'count(); return x;', 'count()'),
    case('extern "C" void elsewhere();', 'elsewhere(); return x;', 'elsewhere@plt, which no rule'),
    ({'sample.cpp': 'int other() { return 1; }'}, 'no function matches entry'),
]

if __name__ == '__main__':
    sys.exit(tree.run(check, CASES, lambda parser: parser.add_argument('--library')))
