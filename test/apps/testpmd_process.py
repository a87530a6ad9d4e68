"""Starts stock dpdk-testpmd with our drivers as plugins.  Knows no expectation."""

import os
import pty
import re
import select
import shutil
import stat
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))

import checks as common  # noqa: E402  (its folder is known only now)
from checks import skip  # noqa: E402

# Written letter by letter, and its thread of events writes in between.
PROMPT = re.compile("\n?".join("testpmd> "))
EVENT = re.compile(r"\n?Port \d+: [^\n]* event\n")
PATIENCE = 60  # seconds; the machine may be busy with something else

# Two wires between two laggs.  Ports 0 to 3 are the members in every order of options.
WIRES = ("--vdev=net_wire0,peer=net_wire1", "--vdev=net_wire1",
         "--vdev=net_wire2,peer=net_wire3", "--vdev=net_wire3")
LAGGS = ("--vdev=net_lagg0,policy=loadbalance,member=net_wire0,member=net_wire2",
         "--vdev=net_lagg1,policy=loadbalance,member=net_wire1,member=net_wire3")

_runs = 0


def _plugin_folder_suits(folder):
    """EAL takes no plugin from or from below a folder that everybody may write to."""
    folder = os.path.realpath(folder)
    while True:
        if os.stat(folder).st_mode & stat.S_IWOTH:
            return False
        if folder == "/":
            return True
        folder = os.path.dirname(folder)


class Plugins:
    """Our drivers where EAL accepts them; copies, if there must be some, go with this object."""

    def __init__(self):
        self.folder = None
        self.paths = []
        built = []
        for name in ("RTE_NET_WIRE", "RTE_NET_LAGG"):
            path = os.environ.get(name, "")
            if not os.path.isfile(path):
                skip(f"{name} names no plugin: '{path}'")
            built.append(path)
        if all(_plugin_folder_suits(os.path.dirname(path)) for path in built):
            self.paths = built
            return
        self.folder = self._new_folder()
        if self.folder is None:
            skip("the build is below a folder that everybody may write to, and there is no other "
                 "place for plugins")
        self.paths = [shutil.copy(path, self.folder) for path in built]
        for path in self.paths:
            os.chmod(path, 0o755)

    @staticmethod
    def _new_folder():
        for parent in ("/run", os.environ.get("XDG_RUNTIME_DIR", ""), os.path.expanduser("~")):
            folder = os.path.join(parent, f"net_lagg-test-{os.getpid()}")
            try:
                if os.path.isabs(parent) and _plugin_folder_suits(parent):
                    os.mkdir(folder, 0o755)
                    return folder
            except OSError:
                continue
        return None

    def close(self):
        if self.folder is not None:
            shutil.rmtree(self.folder)
            self.folder = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Testpmd:
    """One process: commands go in through a pipe, each when the prompt of the one before appeared."""

    def __init__(self, plugins, vdevs, *options, telemetry=False):
        global _runs
        _runs += 1
        self.runtime = tempfile.TemporaryDirectory(prefix="net_lagg-test-")
        prefix = f"lagg_apps_{os.getpid()}_{_runs}"
        self.telemetry_path = os.path.join(self.runtime.name, "dpdk", prefix, "dpdk_telemetry.v2")
        command = ["dpdk-testpmd", "--no-huge", "--no-shconf", "-m", "512", "--no-pci",
                   "-l", "0,1", f"--file-prefix={prefix}"]
        if not telemetry:
            command.append("--no-telemetry")
        for path in plugins.paths:
            command += ["-d", path]
        command += [*vdevs, "--", "-i", "--total-num-mbufs=8192", *options]
        # A terminal for the output only: with it testpmd writes line by line.
        self._output, theirs = pty.openpty()
        environment = dict(os.environ, RUNTIME_DIRECTORY=self.runtime.name)
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=theirs,
                                        stderr=theirs, env=environment)
        os.close(theirs)
        self._raw = ""
        self.text = ""  # without events
        self._mark = 0

    def _read(self, until):
        """More output, or False at its end."""
        left = until - time.monotonic()
        if left <= 0 or not select.select([self._output], [], [], left)[0]:
            raise AssertionError(f"testpmd is silent: ...{self.text[-2000:]}")
        try:
            piece = os.read(self._output, 65536)
        except OSError:  # that is how a terminal ends
            piece = b""
        self._raw += piece.decode(errors="replace").replace("\r", "")
        self.text = EVENT.sub("", self._raw)
        return bool(piece)

    def prompt(self):
        """Waits for the prompt; what was printed since the one before."""
        until = time.monotonic() + PATIENCE
        while not (found := PROMPT.search(self.text, self._mark)):
            if not self._read(until):
                raise AssertionError(f"testpmd ended: ...{self.text[-2000:]}")
        end = found.end()
        answer = self.text[self._mark:end]
        self._mark = end
        return answer

    def command(self, line):
        """The answer."""
        self.process.stdin.write((line + "\n").encode())
        self.process.stdin.flush()
        return self.prompt()

    def end(self):
        """Waits for its end.  (exit code, all it printed); a signal is a negative exit code."""
        until = time.monotonic() + PATIENCE
        try:
            while self._read(until):
                pass
            return self.process.wait(PATIENCE), self.text
        finally:
            self.close()

    def quit(self):
        self.process.stdin.write(b"quit\n")
        self.process.stdin.flush()
        return self.end()

    def close(self):
        if self._output is None:
            return
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.process.stdin.close()
        os.close(self._output)
        self._output = None
        self.runtime.cleanup()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # -- what testpmd prints, as numbers ---------------------------------------------------------

    def port_of(self, name):
        """Port id by device name."""
        found = re.search(rf"^(\d+)\s+\S+\s+{name}\s", self.command("show port summary all"), re.M)
        assert found, f"no port {name}: {self.text[-2000:]}"
        return int(found.group(1))

    def stats(self, port):
        """The counters of `show port stats`, by name."""
        text = self.command(f"show port stats {port}")
        return {name: int(value)
                for name, value in re.findall(r"([RT]X-(?:packets|missed|bytes|errors|nombuf)): +(\d+)",
                                              text)}

    def xstats(self, port):
        text = self.command(f"show port xstats {port}")
        return {name: int(value) for name, value in re.findall(r"^(\w+): (\d+)$", text, re.M)}

    def link_is_up(self, port):
        found = re.search(r"Link status: (up|down)", self.command(f"show port info {port}"))
        assert found, self.text[-2000:]
        return found.group(1) == "up"


def until(what, name):
    """Asks again and again; what it answered when it was true."""
    end = time.monotonic() + PATIENCE
    while True:
        answer = what()
        if answer:
            return answer
        assert time.monotonic() < end, f"did not come true: {name}"


def check_all(checks):
    """Runs functions of the plugins one after the other; the exit code is for sys.exit."""
    if shutil.which("dpdk-testpmd") is None:
        skip("no dpdk-testpmd here")
    if len(os.sched_getaffinity(0)) < 2:
        skip("testpmd needs two CPUs")
    with Plugins() as plugins:
        return common.check_all(checks, plugins)
