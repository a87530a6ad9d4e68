"""Processes that look into another one's laggs: DPDK's own dpdk-pdump, dpdk-dumpcap, dpdk-proc-info
and dpdk-telemetry.py, on stock testpmd and on laggd.

All but the last attach to the other process' memory, which must be in hugepages; such are reserved
here for a while where there are none.  Two of them take no -d, so that plugins are preloaded."""

import ctypes
import json
import os
import re
import signal
import struct
import subprocess
import sys
import tempfile
import time

from testpmd_process import LAGGS, PATIENCE, WIRES, Plugins, until

from checks import check_all, chosen, skip  # testpmd_process knows its folder

LAGGD = os.environ.get("LAGGD", "")
PAGES = 192  # of 2 MB
_COUNT = "/proc/sys/vm/nr_hugepages"
_libc = ctypes.CDLL(None, use_errno=True)


class Hugepages:
    """Enough of them, in a file system of our own; what was reserved here is given back."""

    def __init__(self):
        self.folder = None
        self._before = None
        if os.geteuid() != 0:
            skip("hugepages need root")
        if not os.path.exists(_COUNT):
            skip("this kernel has no hugepages")
        before = self._number()
        if self._free() < PAGES:
            try:
                self._write(before + PAGES)
            except OSError as error:
                skip(f"no hugepages can be reserved here: {error}")
            self._before = before
        if self._free() < PAGES:
            free = self._free()
            self.close()
            skip(f"{free} hugepages of 2 MB can be had here, {PAGES} are needed")
        self.folder = tempfile.mkdtemp(prefix="net_lagg-huge-")
        if _libc.mount(b"none", self.folder.encode(), b"hugetlbfs", 0, b"pagesize=2M") != 0:
            reason = os.strerror(ctypes.get_errno())
            os.rmdir(self.folder)
            self.folder = None
            self.close()
            skip(f"hugetlbfs cannot be mounted here: {reason}")

    @staticmethod
    def _number():
        with open(_COUNT, encoding="ascii") as file:
            return int(file.read())

    @staticmethod
    def _write(number):
        with open(_COUNT, "w", encoding="ascii") as file:
            file.write(str(number))

    @staticmethod
    def _free():
        with open("/proc/meminfo", encoding="ascii") as file:
            text = file.read()
        size = re.search(r"Hugepagesize: +(\d+) kB", text)
        found = re.search(r"HugePages_Free: +(\d+)", text)
        return int(found.group(1)) if size and size.group(1) == "2048" and found else 0

    def close(self):
        if self.folder is not None:
            _libc.umount2(self.folder.encode(), 2)  # MNT_DETACH
            os.rmdir(self.folder)
            self.folder = None
        if self._before is not None:
            self._write(self._before)
            self._before = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Primary:
    """A process with two laggs back to back, that others may attach to."""

    runs = 0

    def __init__(self, program, own, options, vdevs=(*WIRES, *LAGGS)):
        Primary.runs += 1
        self.prefix = f"lagg_mp_{os.getpid()}_{Primary.runs}"
        self.folder = tempfile.TemporaryDirectory(prefix="net_lagg-test-")
        self.environment = dict(os.environ, RUNTIME_DIRECTORY=self.folder.name)
        command = [program, f"--huge-dir={hugepages.folder}", f"--file-prefix={self.prefix}", "-m",
                   "256", "--no-pci", *own, *vdevs, "--", *options]
        self._log = open(os.path.join(self.folder.name, "log"), "w+", encoding="utf-8",
                         errors="replace")
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=self._log,
                                        stderr=self._log, env=self.environment)

    def said(self):
        self._log.flush()
        with open(self._log.name, encoding="utf-8", errors="replace") as log:
            return log.read()

    def type(self, line):
        self.process.stdin.write((line + "\n").encode())
        self.process.stdin.flush()

    def answers(self, line, words):
        """To be asked for before it is ready, too."""
        try:
            self.type(line)
            self.waits(words)
        except BaseException:
            self.close()
            raise
        return self

    def waits(self, words):
        """Until it has printed them."""
        def there():
            assert self.process.poll() is None, self.said()[-2000:]
            return words in self.said()
        until(there, words)

    def run(self, *command, preload=(), seconds=PATIENCE, until_file=None):
        """Of a process beside it: (exit code, output).  `until_file`: is ended, as by a user, when
        that file has frames in it."""
        environment = dict(self.environment)
        if preload:
            environment["LD_PRELOAD"] = ":".join(preload)
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                   stderr=subprocess.STDOUT, env=environment)
        try:
            if until_file is not None:
                end = time.monotonic() + seconds
                while process.poll() is None and time.monotonic() < end and not all(
                        os.path.exists(file) and os.path.getsize(file) > 4096
                        for file in until_file):
                    time.sleep(0.1)
                process.send_signal(signal.SIGINT)
            text = process.communicate(timeout=seconds)[0].decode(errors="replace")
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        return process.returncode, text

    def quit(self):
        """Both a user's way to leave; the exit code must be 0."""
        self.type("quit")
        self.process.stdin.close()
        code = self.process.wait(PATIENCE)
        text = self.said()
        self.close()
        assert code == 0, f"exit code {code}: {text[-2000:]}"

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._log.close()
        self.folder.cleanup()
        for name in os.listdir(hugepages.folder):  # EAL leaves its pages there
            os.unlink(os.path.join(hugepages.folder, name))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self._log.closed:
            return
        print("  " + "\n  ".join(self.said().splitlines()[-15:]))
        self.close()


def as_plugins():
    return [word for path in plugins.paths for word in ("-d", path)]


def testpmd():
    primary = Primary("dpdk-testpmd", [*as_plugins(), "-l", "0,1"],
                      ["-i", "--total-num-mbufs=8192"])
    return primary.answers("", "testpmd> ")


def laggd():
    primary = Primary(LAGGD, ["--lcores=(0,1)"], ["--forward-mode=txonly", "--rate=2000",
                                                  "--auto-start", "--portlist=4"])
    return primary.answers("show lagg all", "(net_lagg1)")


def mempools_of(program):
    """Processes find a mempool's operations by number, in the order in which they were loaded: one
    that is linked with drivers for others must be followed in that."""
    said = subprocess.run(["ldd", program], stdout=subprocess.PIPE, text=True, check=True).stdout
    return re.findall(r"(/\S*librte_mempool_\S+) \(", said)


def frames_of(path):
    """How many a capture file has, of either format."""
    with open(path, "rb") as file:
        data = file.read()
    found, at = 0, 24
    if data[:4] == b"\x0a\x0d\x0d\x0a":  # pcapng: blocks; 6 is a frame
        at = 0
        while at + 12 <= len(data):
            kind, length = struct.unpack_from("<II", data, at)
            found += kind == 6
            at += max(length, 12)
        return found
    while at + 16 <= len(data):
        at += 16 + struct.unpack_from("<I", data, at + 8)[0]
        found += at <= len(data)
    return found


def where(program):
    return os.path.join("/usr/bin", program)


def pdump_sees_what_a_lagg_of_testpmd_sends_and_receives():
    with testpmd() as primary:
        primary.type("start tx_first 8")
        files = [os.path.join(primary.folder.name, name) for name in ("rx.pcap", "tx.pcap")]
        code, text = primary.run(
            "dpdk-pdump", f"--file-prefix={primary.prefix}", "--no-pci", "--", "--pdump",
            f"port=4,queue=*,rx-dev={files[0]},tx-dev={files[1]}",
            preload=[*mempools_of(where("dpdk-testpmd")), *plugins.paths], until_file=files)
        seen = [frames_of(file) for file in files]
        print(f"  pdump wrote {seen[0]} frames received and {seen[1]} sent")
        assert min(seen) > 30, f"{seen}: {text[-2000:]}"
        assert code == 0, f"{code}: {text[-2000:]}"
        primary.type("stop")
        primary.quit()


def dumpcap_finds_the_laggs_of_laggd_and_writes_their_frames():
    with laggd() as primary:
        own = ["dpdk-dumpcap", f"--file-prefix={primary.prefix}"]
        code, text = primary.run(*own, "-D", preload=plugins.paths)
        assert code == 0 and "net_lagg0" in text and "net_lagg1" in text, text
        file = os.path.join(primary.folder.name, "x.pcapng")
        code, text = primary.run(*own, "-i", "net_lagg0", "-c", "200", "-w", file,
                                 preload=plugins.paths)
        assert code == 0, f"{code}: {text[-2000:]}"
        print(f"  dumpcap wrote {frames_of(file)} frames")
        assert frames_of(file) >= 200, text[-2000:]
        primary.answers("help it-lives-on", "it-lives-on")
        primary.quit()


def dumpcap_sees_what_one_member_sends():
    """Half of it all.  A member is not listed, for it has an owner, and is known by its name."""
    lagg = "--vdev=net_lagg0,policy=roundrobin,member=net_null0,member=net_null1"
    with Primary(LAGGD, ["--lcores=(0,1)"], ["--forward-mode=txonly", "--rate=2000",
                                             "--auto-start", "--portlist=2"],
                 ["--vdev=net_null0", "--vdev=net_null1", lagg]) as primary:
        primary.answers("show lagg all", "(net_lagg0)")
        file = os.path.join(primary.folder.name, "x.pcapng")
        code, text = primary.run("dpdk-dumpcap", f"--file-prefix={primary.prefix}", "-i",
                                 "net_null0", "-c", "100", "-w", file, preload=plugins.paths)
        assert code == 0 and frames_of(file) >= 100, f"{code}: {text[-2000:]}"
        primary.quit()


def proc_info_sees_the_ports_and_their_links():
    """What it counts is the primary's alone: it shows zeros, and no xstats."""
    with laggd() as primary:
        own = ["dpdk-proc-info", f"--file-prefix={primary.prefix}", "--no-pci", *as_plugins(), "--"]
        code, text = primary.run(*own, "--show-port")
        assert code == 0, f"{code}: {text[-2000:]}"
        ports = text.split("===== Port ")[1:]
        assert len(ports) == 2, text
        for port in ports:
            assert re.search(r"link status: *(up|Up|1)|Link.*[Uu]p|status.*[Uu]p", port), port
            assert "net_lagg" in port, port
        code, text = primary.run(*own, "--stats")
        assert code == 0 and "statistics for port 4" in text, text
        primary.answers("help it-lives-on", "it-lives-on")
        primary.quit()


def telemetry_py_asks_laggd():
    with laggd() as primary:
        process = subprocess.run(
            ["dpdk-telemetry.py", "-f", primary.prefix], text=True, env=primary.environment,
            input="/lagg/list\n/lagg/info,4\n/ethdev/list\n/ethdev/stats,4\nquit\n",
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=PATIENCE, check=False)
        assert process.returncode == 0, process.stdout
        answers = {}
        for line in process.stdout.splitlines():
            if line.startswith("{"):
                answers.update(json.loads(line))
        assert sorted(answers["/lagg/list"]) == [4, 5] == sorted(answers["/ethdev/list"]), answers
        assert answers["/lagg/info"]["policy"] == "loadbalance", answers
        assert answers["/lagg/info"]["nb_members"] == 2, answers
        assert answers["/ethdev/stats"]["opackets"] > 0, answers
        primary.quit()


CHECKS = [
    pdump_sees_what_a_lagg_of_testpmd_sends_and_receives,
    dumpcap_finds_the_laggs_of_laggd_and_writes_their_frames,
    dumpcap_sees_what_one_member_sends,
    proc_info_sees_the_ports_and_their_links,
    telemetry_py_asks_laggd,
]


if __name__ == "__main__":
    for tool in ("dpdk-testpmd", "dpdk-pdump", "dpdk-dumpcap", "dpdk-proc-info",
                 "dpdk-telemetry.py"):
        if not os.path.exists(where(tool)):
            skip(f"{tool} is not installed")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that hugepages are given back
    with Plugins() as plugins, Hugepages() as hugepages:
        sys.exit(check_all(chosen(CHECKS)))
