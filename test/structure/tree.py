"""What the structure checks share: the files of the tree, their includes, code without comments.

A check is a function (root) -> list of problems, one line each.  It comes with cases that prove it
can fail: small trees with one thing wrong, and what the check must say about each.
"""

import argparse
import pathlib
import re
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
SOURCE_DIRS = ('lib', 'drivers', 'app', 'bench', 'test')
SOURCE_SUFFIXES = ('.h', '.hpp', '.cpp', '.cc', '.c')


def files(root, dirs, suffixes=SOURCE_SUFFIXES):
    """Paths relative to root, sorted."""
    for name in dirs:
        for path in sorted((root / name).rglob('*')):
            if path.suffix in suffixes and path.is_file():
                yield path.relative_to(root)


def all_files(root):
    """Every file that could be tracked: not build trees, not hidden folders except .ci."""
    for path in sorted(root.rglob('*')):
        relative = path.relative_to(root)
        folders = relative.parts[:-1]
        if not path.is_file() or '__pycache__' in folders:
            continue
        if folders and (folders[0] == 'build' or folders[0].startswith('build-')):
            continue
        if folders and folders[0].startswith('.') and folders[0] != '.ci':
            continue
        yield relative


_TOKEN = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)


def _blank(match):
    return re.sub(r'[^\n]', ' ', match.group())


def code_only(text):
    """Comments and literals blanked, line numbers kept.  Digit separators are not literals."""
    text = re.sub(r"(?<=[0-9a-fA-F])'(?=[0-9a-fA-F])", '_', text)
    return _TOKEN.sub(_blank, text)


def comments_only(text):
    """The reverse: only comments are left, line numbers kept."""
    text = re.sub(r"(?<=[0-9a-fA-F])'(?=[0-9a-fA-F])", '_', text)
    out, last = [], 0
    for match in _TOKEN.finditer(text):
        out.append(re.sub(r'[^\n]', ' ', text[last:match.start()]))
        keep = match.group().startswith(('//', '/*'))
        out.append(match.group() if keep else _blank(match))
        last = match.end()
    out.append(re.sub(r'[^\n]', ' ', text[last:]))
    return ''.join(out)


_INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', re.M)


def includes(root, path):
    """(line, as written, own file it means or None) for each include of `path`."""
    text = (root / path).read_text(errors='replace')
    for match in _INCLUDE.finditer(text):
        line = text.count('\n', 0, match.start()) + 1
        places = [pathlib.Path('lib'), pathlib.Path('drivers/net/lagg'),
                  pathlib.Path('drivers/net/wire'), pathlib.Path('test'), pathlib.Path('bench')]
        if match.group(1) == '"':
            places.insert(0, path.parent)
        target = None
        for place in places:
            candidate = (root / place / match.group(2)).resolve()
            if candidate.is_file() and candidate.is_relative_to(root.resolve()):
                target = candidate.relative_to(root.resolve())
                break
        yield line, match.group(1) + match.group(2), target


def include_closure(root, path):
    """Own files that `path` includes, directly or not -> the file that includes each of them."""
    found, queue = {}, [path]
    while queue:
        current = queue.pop()
        for _, _, target in includes(root, current):
            if target is not None and target != path and target not in found:
                found[target] = current
                queue.append(target)
    return found


def run(check, cases, arguments=None):
    """Entry point of a check script: the tree itself, or --self-test.

    cases: (files of a small tree {path: text}, what the check must complain about or None).
    """
    parser = argparse.ArgumentParser()
    parser.add_argument('--self-test', action='store_true')
    if arguments:
        arguments(parser)
    options = parser.parse_args()
    bound = (lambda root: check(root, options)) if arguments else check
    if not options.self_test:
        problems = bound(ROOT)
        print('\n'.join(problems))
        return 1 if problems else 0
    failed = 0
    for number, (tree, expected) in enumerate(cases, 1):
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            for name, text in tree.items():
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                (root / name).write_text(text)
            problems = bound(root)
        if expected is None:
            good = not problems
        else:
            good = len(problems) == 1 and expected in problems[0]
        if not good:
            failed += 1
            print(f'case {number}: expected {expected!r}, the check said {problems}')
    print(f'{len(cases) - failed} of {len(cases)} cases judged rightly')
    return 1 if failed else 0
