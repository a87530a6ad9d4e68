#!/usr/bin/env python3
"""Includes go one way.  This table is the whole rule; doc/design.md has the reasons."""

import re
import sys

import tree

LIB = {'lib/base', 'lib/epoch', 'lib/net', 'lib/lacp', 'lib/lagg', 'lib/lagg/datapath',
       'lib/lagg/control'}

# Folder -> the folders its files may include from, besides itself.  Most specific first.
ARROWS = [
    ('lib/base', set()),
    ('lib/epoch', {'lib/base'}),
    ('lib/net', {'lib/base'}),
    ('lib/lacp', {'lib/net', 'lib/base'}),
    ('lib/lagg/datapath', {'lib/lagg', 'lib/net', 'lib/base'}),
    ('lib/lagg/control', {'lib/lagg', 'lib/lacp', 'lib/net', 'lib/base'}),
    ('lib/lagg', {'lib/net', 'lib/base'}),
    ('drivers/net/lagg', LIB),
    ('drivers/net/wire', {'lib/base', 'lib/epoch', 'lib/net'}),
    ('app', {'public', 'lib/base'}),
    ('test/unit', LIB | {'test/support'}),
    ('test/conversation', LIB | {'test/support'}),
    ('test/model', LIB | {'test/support'}),
    ('test/fuzz', LIB | {'test/support'}),
]
FREE = ('test', 'bench')  # the rest of these may include anything

PUBLIC = {'drivers/net/lagg/rte_pmd_lagg.h', 'drivers/net/lagg/rte_pmd_lagg_lacp.h',
          'drivers/net/wire/rte_pmd_wire.h'}

# The burst side of the driver: what it includes, directly or through others, is what a burst may know.
BURST_SIDE = re.compile(r'drivers/net/lagg/lagg_(tx\w*\.(?:cpp|h)|rx\.cpp|queue\.h|mbuf\.h|burst\w*\.h)$')
NOT_FOR_BURSTS = ('lib/lagg/control/', 'lib/lacp/')

TBB_USERS = ('lib/lagg/control/', 'drivers/', 'app/', 'bench/', 'test/')

# Time is an argument in lib/, and threads belong to those who call it.
CLOCK_OR_THREAD = re.compile(
    r'\b(std::j?thread|std::async|pthread_create|clock_gettime|gettimeofday|\w*clock(?:_\w+)?::now)\b')


def folder_of(path):
    name = path.as_posix()
    if name in PUBLIC:
        return 'public'
    for folder, _ in ARROWS:
        if name.startswith(folder + '/'):
            return folder
    return name.rsplit('/', 1)[0] if '/' in name else ''


def allowed_from(path):
    """None when the file is free to include anything."""
    name = path.as_posix()
    for folder, targets in ARROWS:
        if name.startswith(folder + '/'):
            own = {'drivers/net/lagg', 'public'} if folder == 'drivers/net/lagg' else {folder}
            own |= {'public'} if folder == 'drivers/net/wire' else set()
            return own | targets
    return None


def check(root):
    problems = []
    for path in tree.files(root, tree.SOURCE_DIRS):
        name, allowed = path.as_posix(), allowed_from(path)
        if allowed is None and not name.startswith(FREE):
            problems.append(f'{name}: no arrow is defined for its folder')
            continue
        for line, written, target in tree.includes(root, path):
            where, header = f'{name}:{line}', written[1:]
            if target is None and written[0] == '"':
                problems.append(f'{where}: "{header}" is no file of this tree')
            elif target is not None and allowed is not None and folder_of(target) not in allowed:
                problems.append(f'{where}: must not include {target.as_posix()}')
            elif target is None and name.startswith('lib/') and re.match(r'(rte|ethdev)_', header):
                problems.append(f'{where}: lib knows no DPDK, but includes <{header}>')
            elif header.startswith(('tbb/', 'oneapi/')):
                if not name.startswith(TBB_USERS) or BURST_SIDE.match(name):
                    problems.append(f'{where}: oneTBB is for control, not for bursts')
        if name.startswith('lib/'):
            code = tree.code_only((root / path).read_text())
            for match in CLOCK_OR_THREAD.finditer(code):
                line = code.count('\n', 0, match.start()) + 1
                problems.append(f'{name}:{line}: lib starts no thread and reads no clock: '
                                + match.group())
        if BURST_SIDE.match(name):
            for target, through in tree.include_closure(root, path).items():
                if target.as_posix().startswith(NOT_FOR_BURSTS):
                    problems.append(f'{name}: a burst may not know {target.as_posix()} '
                                    f'(included by {through.as_posix()})')
    return problems


HEADER = '#pragma once\n'
CASES = [
    ({'lib/lagg/datapath/d.h': '#include "lagg/snapshot.h"\n#include <array>\n',
      'lib/lagg/snapshot.h': '#include "base/errc.h"\n', 'lib/base/errc.h': HEADER}, None),
    ({'lib/lagg/datapath/d.h': '#include "lagg/control/c.h"\n', 'lib/lagg/control/c.h': HEADER},
     'd.h:1: must not include lib/lagg/control/c.h'),
    ({'lib/lagg/control/c.h': '#include "lagg/datapath/d.h"\n', 'lib/lagg/datapath/d.h': HEADER},
     'c.h:1: must not include lib/lagg/datapath/d.h'),
    ({'lib/lagg/snapshot.h': '#include "epoch/cell.h"\n', 'lib/epoch/cell.h': HEADER},
     'must not include lib/epoch/cell.h'),
    ({'lib/base/errc.h': '#include "net/mac.h"\n', 'lib/net/mac.h': HEADER},
     'must not include lib/net/mac.h'),
    ({'lib/net/mac.h': '#include <rte_ether.h>\n'}, 'lib knows no DPDK'),
    ({'lib/net/mac.h': '#include "mak.h"\n'}, 'is no file of this tree'),
    ({'lib/net/mac.h': 'auto t = std::chrono::steady_clock::now();\n'}, 'reads no clock'),
    ({'lib/net/mac.h': '// std::thread is for others\n'}, None),
    ({'lib/net/mac.h': '#include <tbb/concurrent_queue.h>\n'}, 'oneTBB'),
    ({'drivers/net/lagg/lagg_tx.cpp': '#include "lagg_device.h"\n',
      'drivers/net/lagg/lagg_device.h': '#include "lagg/control/c.h"\n',
      'lib/lagg/control/c.h': HEADER}, 'a burst may not know lib/lagg/control/c.h'),
    ({'drivers/net/lagg/lagg_rx.cpp': '#include "lacp/port.h"\n', 'lib/lacp/port.h': HEADER},
     'a burst may not know lib/lacp/port.h'),
    ({'app/laggd/main.cpp': '#include "rte_pmd_lagg.h"\n',
      'drivers/net/lagg/rte_pmd_lagg.h': HEADER}, None),
    ({'app/laggd/main.cpp': '#include "lagg_device.h"\n',
      'drivers/net/lagg/lagg_device.h': HEADER},
     'must not include drivers/net/lagg/lagg_device.h'),
    ({'app/laggd/main.cpp': '#include "lacp/port.h"\n', 'lib/lacp/port.h': HEADER},
     'must not include lib/lacp/port.h'),
    ({'test/unit/net/mac_test.cpp': '#include <rte_pmd_lagg.h>\n',
      'drivers/net/lagg/rte_pmd_lagg.h': HEADER}, 'must not include'),
    ({'drivers/net/other/o.cpp': ''}, 'no arrow is defined'),
]

if __name__ == '__main__':
    sys.exit(tree.run(check, CASES))
