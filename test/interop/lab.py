"""Name spaces, wires that can be cut, and processes for the tests beside this file.  Knows no LACP.

A wire is two veth pairs and a bridge of two ports between them in a name space of its own.  It is
cut with carrier loss at both ends, or silently in either direction: then a queue of length 0 drops
what the bridge sends there, and both ends keep their carrier."""

import atexit
import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "app"))

from laggd_process import SKIPPED, skip  # noqa: E402  (its folder is known only now)

BUSY = 5.0  # seconds that a machine with other work may take longer before that is a failure
LONG = bool(os.environ.get("NET_LAGG_TEST_LONG"))
_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


def tool(*words, check=True, timeout=60):
    done = subprocess.run(words, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, timeout=timeout)
    if check and done.returncode != 0:
        raise AssertionError(f"{' '.join(words)}: {done.stdout.strip()}")
    return done.stdout


def until(condition, what, timeout, period=0.05):
    """Waits until condition() is true; what it gave, and the seconds that it took."""
    begin = time.monotonic()
    while True:
        found = condition()
        took = time.monotonic() - begin
        if found:
            return found, took
        if took > timeout + BUSY:
            raise AssertionError(f"not within {timeout} s: {what}")
        time.sleep(period)


def measured(what, seconds, low=None, high=None):
    """Prints a time, and fails when it is earlier than its bounds allow, or so late that no busy
    machine explains it: the partners run by the machine's clock."""
    bounds = "" if low is None and high is None else f"  [{low or 0:g} to {high:g} s]"
    late = "  LATE" if high is not None and seconds > high else ""
    print(f"  time   {what}: {seconds:.3f} s{bounds}{late}", flush=True)
    assert low is None or seconds >= low, f"{what}: {seconds:.3f} s, at least {low} s expected"
    assert high is None or seconds <= high + BUSY, f"{what}: {seconds:.3f} s, {high} s expected"


def say(text):
    print(f"  {text}", flush=True)


class Lab:
    """Everything that a test makes on the machine; close() takes it away again."""

    def __init__(self, *spaces):
        self.folder = tempfile.mkdtemp(prefix="net_lagg-interop-")
        self.spaces = {name: f"lg{os.getpid()}{name}" for name in ("wire", *spaces)}
        self.processes = []
        self.wires = []
        atexit.register(self.close)
        for space in self.spaces.values():
            tool("ip", "netns", "add", space)
            tool("ip", "-n", space, "link", "set", "lo", "up")
            for kind in ("all", "default"):  # no router solicitations among the test's frames
                tool("ip", "netns", "exec", space, "sh", "-c",
                     f"echo 1 > /proc/sys/net/ipv6/conf/{kind}/disable_ipv6 || :")
        tool("ip", "netns", "exec", self.spaces["wire"], "sh", "-c",
             "f=/proc/sys/net/bridge/bridge-nf-call-iptables; ! [ -e $f ] || echo 0 > $f")

    def ip(self, space, *words, check=True):
        return tool("ip", "-n", self.spaces[space], *words, check=check)

    def execute(self, space, *words, check=True):
        return tool("ip", "netns", "exec", self.spaces[space], *words, check=check)

    def start(self, space, words, name, stdin=subprocess.DEVNULL, environment=None):
        """Output goes to the file that process.log names."""
        path = os.path.join(self.folder, f"{len(self.processes)}-{name}.log")
        with open(path, "wb") as log:
            process = subprocess.Popen(["ip", "netns", "exec", self.spaces[space], *words],
                                       stdin=stdin, stdout=log, stderr=subprocess.STDOUT,
                                       env=dict(os.environ, **(environment or {})))
        process.log = path
        self.processes.append(process)
        return process

    def pair(self, space, name, other_space, other_name):
        """A veth pair, up, that leaves checksums to nobody."""
        self.ip(space, "link", "add", name, "type", "veth", "peer", "name", other_name, "netns",
                self.spaces[other_space])
        for where, what in ((space, name), (other_space, other_name)):
            self.ip(where, "link", "set", what, "up")
            self.execute(where, "ethtool", "-K", what, "tx", "off")

    def wire(self, space, name, other_space, other_name):
        wire = Wire(self, len(self.wires), (space, name), (other_space, other_name))
        self.wires.append(wire)
        return wire

    def tap_wire(self, space, name, tap):
        """Its end 1 is a tap device of the name space "wire"."""
        wire = Wire(self, len(self.wires), (space, name), None, tap)
        self.wires.append(wire)
        return wire

    def socket(self, space, *arguments):
        """A socket of a name space."""
        with open("/proc/self/ns/net", "rb") as ours, \
                open(f"/run/netns/{self.spaces[space]}", "rb") as theirs:
            try:
                if _libc.setns(theirs.fileno(), _CLONE_NEWNET) != 0:
                    raise OSError(ctypes.get_errno(), "setns")
                return socket.socket(*arguments)
            finally:
                _libc.setns(ours.fileno(), _CLONE_NEWNET)

    def close(self):
        for process in reversed(self.processes):
            end(process)
        self.processes.clear()
        for space in self.spaces.values():
            tool("ip", "netns", "del", space, check=False)
        self.spaces = {}
        shutil.rmtree(self.folder, ignore_errors=True)
        atexit.unregister(self.close)


def end(process, how=signal.SIGTERM, patience=10):
    if process.poll() is None:
        process.send_signal(how)
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    return process.returncode


def text_of(process):
    with open(process.log, encoding="utf-8", errors="replace") as log:
        return log.read()


class Wire:
    def __init__(self, lab, number, end0, end1, tap=None):
        self.lab = lab
        bridge = f"w{number}"
        self.inner = [f"{bridge}a", tap or f"{bridge}b"]
        self._silent = set()
        lab.ip("wire", "link", "add", bridge, "type", "bridge", "stp_state", "0", "forward_delay",
               "0", "mcast_snooping", "0", "ageing_time", "0")
        lab.ip("wire", "link", "set", bridge, "up")
        for outer, inner in zip((end0, end1), self.inner):
            if outer is not None:
                lab.pair(*outer, "wire", inner)
            else:
                lab.ip("wire", "tuntap", "add", inner, "mode", "tap")
                lab.ip("wire", "link", "set", inner, "up")
            lab.ip("wire", "link", "set", inner, "master", bridge)
            # A bridge keeps slow-protocol frames to itself unless a port forwards group address 2.
            lab.execute("wire", "sh", "-c",
                        f"cd /sys/class/net/{inner}/brport; echo 4 > group_fwd_mask; "
                        "echo 0 > learning")

    def unplug(self):
        """Both ends lose their carrier."""
        for inner in self.inner:
            self.lab.ip("wire", "link", "set", inner, "down")

    def plug(self):
        for inner in self.inner:
            self.lab.ip("wire", "link", "set", inner, "up")

    def silence(self, *towards):
        """What goes to end 0, to end 1 or (no argument) to both is lost; carriers stay."""
        for number in set(towards or (0, 1)) - self._silent:
            self._silent.add(number)
            self.lab.execute("wire", "tc", "qdisc", "add", "dev", self.inner[number], "root",
                             "pfifo", "limit", "0")

    def heal(self):
        for number in sorted(self._silent):
            self.lab.execute("wire", "tc", "qdisc", "del", "dev", self.inner[number], "root")
        self._silent.clear()


def require(*programs):
    """Ends the test as skipped when something that it needs is not there."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that close() is called
    if os.geteuid() != 0:
        skip("network name spaces and packet sockets need root")
    for program in ("ip", "tc", "ethtool", *programs):
        if shutil.which(program) is None:
            skip(f"{program} is not installed")
    lab = None
    try:
        lab = Lab("a", "b")
        wire = lab.wire("a", "a0", "b", "b0")
        wire.silence()
        wire.heal()
    except AssertionError as error:  # in a chroot, or on a kernel without veth, bridge or pfifo
        skip(f"no wires can be laid here: {error}")
    finally:
        if lab is not None:
            lab.close()
