#!/usr/bin/env python3
"""Prints the deb-src entries that belong to the system's own distribution archive, as deb822.

They are derived from the binary entries the system already has, in both formats apt reads
(*.sources and one-line *.list), so that no host name is written down here.  Third-party archives,
cdroms and disabled entries are left out.  Exits 1 when nothing remains.
With --backports they are deb entries of the release's backports instead, at the same archives.
Knows nothing of DPDK.  With a directory as argument it reads that instead of /etc/apt.
"""

import pathlib
import re
import sys


def os_release(path=pathlib.Path('/etc/os-release')):
    fields = {}
    for line in path.read_text().splitlines():
        key, _, value = line.partition('=')
        fields[key] = value.strip('"\'')
    return fields


def deb822_entries(text):
    """Paragraphs of a *.sources file as dictionaries with lower-case keys."""
    for paragraph in re.split(r'\n[ \t]*\n', text):
        fields, key = {}, None
        for line in paragraph.splitlines():
            if line.startswith('#') or not line.strip():
                continue
            if line[0] in ' \t' and key:
                fields[key] += '\n' + line.rstrip()
            elif ':' in line:
                key, value = line.split(':', 1)
                key = key.strip().lower()
                fields[key] = value.strip()
        if fields.get('enabled', 'yes').lower() in ('no', 'false', 'off', '0'):
            continue
        if fields:
            yield fields


def one_line_entries(text):
    """Lines of a *.list file in the same shape."""
    pattern = re.compile(r'\s*(deb|deb-src)\s+(?:\[([^\]]*)\]\s+)?(cdrom:\[[^\]]*\]\S*|\S+)\s+(.*)')
    for line in text.splitlines():
        match = pattern.match(line.split('#', 1)[0])
        if not match:
            continue
        kind, options, uri, rest = match.groups()
        if uri.startswith('cdrom:'):
            continue  # its name may contain spaces, and it has no sources
        fields = {'types': kind, 'uris': uri}
        words = rest.split()
        fields['suites'], fields['components'] = words[0], ' '.join(words[1:])
        for option in (options or '').split():
            key, _, value = option.partition('=')
            fields[key.lower()] = value.replace(',', ' ')
        yield fields


def is_distribution_archive(fields, distribution, codename):
    """Its keyring says so; an entry without one is judged by its suite."""
    if 'signed-by' in fields:
        return f'{distribution}-archive-keyring' in fields['signed-by']
    names = {codename, 'oldstable', 'stable', 'testing', 'unstable', 'sid'} - {''}
    suites = [re.split(r'[-/]', suite)[0] for suite in fields['suites'].split()]
    return all(suite in names for suite in suites)


def source_entries(apt_dir, distribution, codename, backports=False):
    files = [apt_dir / 'sources.list', *sorted((apt_dir / 'sources.list.d').glob('*'))]
    seen = set()
    for path in files:
        parse = {'.list': one_line_entries, '.sources': deb822_entries}.get(path.suffix)
        if parse is None or not path.is_file():
            continue
        for fields in parse(path.read_text()):
            if not {'types', 'uris', 'suites'} <= fields.keys():
                continue
            if 'main' not in fields.get('components', '').split():
                continue
            uris = [uri for uri in fields['uris'].split() if not uri.startswith('cdrom:')]
            if not uris or not is_distribution_archive(fields, distribution, codename):
                continue
            if backports and codename not in fields['suites'].split():
                continue  # another archive: of security fixes, for one
            lines = ['Types: ' + ('deb' if backports else 'deb-src'), 'URIs: ' + ' '.join(uris),
                     'Suites: ' + (f'{codename}-backports' if backports else fields['suites']),
                     'Components: main']
            for key in ('Signed-By', 'Trusted', 'Check-Valid-Until'):
                if fields.get(key.lower()):
                    lines.append(f'{key}: {fields[key.lower()]}')
            entry = '\n'.join(lines)
            if entry not in seen:
                seen.add(entry)
                yield entry


def main():
    release = os_release()
    words = sys.argv[1:]
    backports = '--backports' in words
    words = [word for word in words if word != '--backports']
    apt_dir = pathlib.Path(words[0] if words else '/etc/apt')
    entries = list(source_entries(apt_dir, release.get('ID', 'debian'),
                                  release.get('VERSION_CODENAME', ''), backports))
    print('\n\n'.join(entries))
    return 0 if entries else 1


if __name__ == '__main__':
    sys.exit(main())
