"""Starts laggd for the tests beside this file, with or without a terminal.  Knows no expectation."""

import json
import os
import pty
import re
import select
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))

from checks import SKIPPED, check_all, skip  # noqa: E402, F401  (for its users, too)

LAGGD = os.environ.get("LAGGD", "")
_ESCAPES = re.compile(rb"\x1b(\[[0-9;?]*[A-Za-z]|[78ME])")
_runs = 0


def prefix():
    """A file prefix of EAL's that no other process has."""
    global _runs
    _runs += 1
    return f"laggd_test_{os.getpid()}_{_runs}"


def eal(*more, memory=256):
    return ["--no-huge", "--no-shconf", "--no-pci", "--no-telemetry", "-m", str(memory),
            "--lcores=(0,1)", f"--file-prefix={prefix()}", *more]


def run(arguments, text="", timeout=120):
    """Runs to the end with `text` as standard input.  (exit code, output of both kinds)"""
    done = subprocess.run([LAGGD, *arguments], input=text.encode(), stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=timeout, check=False)
    return done.returncode, done.stdout.decode(errors="replace")


def load(path):
    with open(path, encoding="utf-8") as file:
        return json.load(file)


class Piped:
    """laggd with pipes: one line at a time, and its answer."""

    def __init__(self, arguments, before=()):
        self.process = subprocess.Popen([*before, LAGGD, *arguments], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.seen = ""
        self._asked = 0

    def _line(self):
        line = self.process.stdout.readline().decode(errors="replace")
        self.seen += line
        if not line:
            raise AssertionError("laggd ended: ..." + self.seen[-1500:])
        return line

    def ask(self, line):
        """What it says to a line; a comment, which it repeats, tells where the answer ends."""
        self._asked += 1
        end = f"# {self._asked} is answered"
        self.process.stdin.write(f"{line}\n{end}\n".encode())
        self.process.stdin.flush()
        answer = ""
        while True:
            got = self._line()
            if end in got:
                return answer
            if not got.startswith("laggd> "):
                answer += got

    def ask_until(self, line, good, timeout=60):
        """Asks again and again until good(answer); returns that answer."""
        until = time.monotonic() + timeout
        while True:
            answer = self.ask(line)
            if good(answer):
                return answer
            if time.monotonic() > until:
                raise AssertionError(f"{line}: still: {answer}")
            time.sleep(0.1)

    def end(self, timeout=60):
        """Exit code."""
        try:
            text, _ = self.process.communicate(b"quit\n", timeout=timeout)
            self.seen += text.decode(errors="replace")
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError("laggd did not end: ..." + self.seen[-1500:]) from None
        return self.process.returncode

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def lacp_ports(page):
    """Members by name from `show lacp`, each as a dictionary of what stands there."""
    ports = {}
    for block in re.split(r"^(?=\d+ \S+: )", page, flags=re.MULTILINE)[1:]:
        name = re.match(r"\d+ (\S+): ", block).group(1)
        one = {"first": block.splitlines()[0], "text": block}
        for whose in ("actor", "partner"):
            found = re.search(rf"{whose} +system (\d+),(\S+) key (\d+) port (\d+),(\d+)\n +(.*)",
                              block)
            if found:
                one[whose] = {"priority": int(found[1]), "system": found[2], "key": int(found[3]),
                              "port_priority": int(found[4]), "port": int(found[5]),
                              "state": set(found[6].split()) - {"-"}}
        found = re.search(r"receive (\S+), periodic (\S+), mux (\S+)", block)
        if found:
            one["receive"], one["periodic"], one["mux"] = found.groups()
        found = re.search(r": (\w+), aggregator (\d+)(, in use)?", block)
        if found:
            one["selection"] = found[1]
            one["aggregator"] = int(found[2])
            one["in_use"] = found[3] is not None
        ports[name] = one
    return ports


class Terminal:
    """laggd on a pseudo terminal."""

    def __init__(self, arguments, rows=50, columns=160):
        self.process, self.fd = self._start(arguments, rows, columns)
        self.seen = ""

    @staticmethod
    def _start(arguments, rows, columns):
        ours, theirs = pty.openpty()
        import fcntl
        import struct
        import termios
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        process = subprocess.Popen([LAGGD, *arguments], stdin=theirs, stdout=theirs, stderr=theirs,
                                   start_new_session=True)
        os.close(theirs)
        return process, ours

    def read(self, seconds):
        """What comes within a time, without cursor movements."""
        until = time.monotonic() + seconds
        got = b""
        while time.monotonic() < until:
            ready, _, _ = select.select([self.fd], [], [], 0.05)
            if ready:
                try:
                    piece = os.read(self.fd, 65536)
                except OSError:
                    break
                if not piece:
                    break
                got += piece
        text = _ESCAPES.sub(b"", got).decode(errors="replace")
        self.seen += text
        return text

    def expect(self, pattern, timeout=60):
        """Waits until the output since the last expect() matches; returns all of it."""
        until = time.monotonic() + timeout
        start = getattr(self, "_mark", 0)
        while True:
            if re.search(pattern, self.seen[start:]):
                found = self.seen[start:]
                self._mark = len(self.seen)
                return found
            if time.monotonic() > until or (self.process.poll() is not None and not self.read(0.2)):
                raise AssertionError(f"no {pattern!r} in: ...{self.seen[start:][-1500:]}")
            self.read(0.1)

    def type(self, text):
        os.write(self.fd, text.encode())

    def command(self, line, pattern, timeout=60):
        self.type(line + "\n")
        return self.expect(pattern, timeout)

    def end(self, timeout=60):
        until = time.monotonic() + timeout
        while self.process.poll() is None and time.monotonic() < until:
            self.read(0.1)
        self.read(0.2)
        if self.process.poll() is None:
            self.process.kill()
            raise AssertionError("laggd did not end: ..." + self.seen[-1500:])
        os.close(self.fd)
        return self.process.returncode
