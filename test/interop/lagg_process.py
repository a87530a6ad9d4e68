"""laggd as one end of a link: started in a name space, asked over telemetry, commanded by console.
Its view of a member is two `end` dictionaries in the form that every partner's view has, too."""

import json
import os
import shutil
import socket
import subprocess
import time

from lab import end, text_of, until

LAGGD = os.environ.get("LAGGD", "")
_runs = 0

BITS = ("activity", "timeout", "aggregation", "synchronization", "collecting", "distributing",
        "defaulted", "expired")
WORKING = {"aggregation", "synchronization", "collecting", "distributing"}


def bits_of(number):
    return {name for i, name in enumerate(BITS) if number >> i & 1}


def make_end(system, system_priority, key, port, port_priority, state):
    return {"system": system.lower(), "system_priority": int(system_priority), "key": int(key),
            "port": int(port), "port_priority": int(port_priority), "state": set(state)}


def differences(one, other, without=()):
    """The fields in which two ends differ, as text; empty: none."""
    return "; ".join(f"{field}: {one[field]} and {other[field]}" for field in one
                     if field not in without and one[field] != other[field])


class Telemetry:
    def __init__(self, path):
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.settimeout(30)
        self._socket.connect(path)
        self._longest = json.loads(self._socket.recv(16384))["max_output_len"]

    def ask(self, command):
        self._socket.send(command.encode())
        return json.loads(self._socket.recv(self._longest))[command.split(",")[0]]

    def close(self):
        self._socket.close()


WITHOUT_HARDWARE = ["--no-huge", "--no-shconf", "--no-pci", "-m", "256", "--lcores=(0,1)"]


class AnyLaggd:
    """One with a lagg, as EAL's words say.  `members`: their names, where they are asked for."""

    def __init__(self, lab, space, eal, *options, members=()):
        global _runs
        _runs += 1
        self.lab = lab
        self.members = list(members)
        self._runtime = os.path.join(lab.folder, f"run{_runs}")
        os.mkdir(self._runtime)
        prefix = f"interop_{os.getpid()}_{_runs}"
        self.process = lab.start(
            space, [LAGGD, f"--file-prefix={prefix}", *eal, "--", *options],
            f"laggd{_runs}", stdin=subprocess.PIPE,
            environment={"RUNTIME_DIRECTORY": self._runtime})
        path = os.path.join(self._runtime, "dpdk", prefix, "dpdk_telemetry.v2")
        try:
            until(lambda: self._alive() and self._connect(path), "laggd runs", 30)
        except AssertionError:
            self._say_last()
            end(self.process)
            raise
        self.started = time.monotonic()  # it runs since then, or a little longer

    def _alive(self):
        assert self.process.poll() is None, "laggd ended: " + text_of(self.process)[-2000:]
        return True

    def _connect(self, path):
        try:
            telemetry = Telemetry(path)
        except OSError:
            return False
        laggs = telemetry.ask("/lagg/list")
        if not laggs or not telemetry.ask(f"/lagg/info,{laggs[0]}").get("started"):
            telemetry.close()
            return False
        self.telemetry, self.port = telemetry, laggs[0]
        return True

    def type(self, line):
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()

    def command(self, line):
        """Waits until it was run; fails when it was refused.  What it printed."""
        marker = f"help no-such-command-{time.monotonic_ns()}"
        before = len(text_of(self.process))
        self.type(line)
        self.type(marker)
        until(lambda: self._alive() and marker in text_of(self.process)[before:], line, 30)
        printed = text_of(self.process)[before:].split("laggd> " + marker)[0]
        assert "error:" not in printed, printed
        return printed

    def info(self):
        return self.telemetry.ask(f"/lagg/info,{self.port}")

    def views(self):
        """LACP's state by member name; `actor` and `partner` are ends."""
        answer = self.telemetry.ask(f"/lagg/lacp,{self.port}")
        found = {}
        for key, member in answer.items():
            if not key.startswith("member_"):
                continue
            for whose in ("actor", "partner"):
                member[whose] = make_end(*(member[f"{whose}_{field}"] for field in (
                    "system", "system_priority", "key", "port", "port_priority")),
                    member[f"{whose}_state"].split())
            found[member["name"]] = member
        return found

    def view(self, number):
        return self.views().get(self.members[number])

    def given_back(self):
        """Times that a frame was not taken, because its flow moved in order: laggd's loops offer it
        again."""
        return self.telemetry.ask(f"/ethdev/xstats,{self.port}")["tx_given_back"]

    def bridged_frames(self):
        """(frames received, frames sent) of the port that is no member."""
        counted = self.telemetry.ask(f"/ethdev/xstats,{len(self.members)}")
        return counted["rx_good_packets"], counted["tx_good_packets"]

    def distributing(self):
        """Numbers of the members that carry traffic."""
        info = self.info()
        carrying = {info[f"member_{i}"]["name"] for i in range(info["nb_members"])
                    if info[f"member_{i}"]["distributing"]}
        return {i for i, member in enumerate(self.members) if member in carrying}

    def quit(self):
        """Leaves as a user does; the exit code must be 0."""
        self.telemetry.close()
        if self.process.poll() is None:
            self.type("quit")
            self.process.stdin.close()
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                pass
        text = text_of(self.process)
        code = end(self.process)
        shutil.rmtree(self._runtime, ignore_errors=True)
        assert code == 0, f"laggd left with {code}: ...{text[-2000:]}"

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is not None:
            self._say_last()
            end(self.process)
        else:
            self.quit()

    def _say_last(self):
        print("  --- laggd said at last ---")
        print("  " + "\n  ".join(text_of(self.process).splitlines()[-25:]), flush=True)


class Laggd(AnyLaggd):
    """net_lagg0 over members of these interfaces, of one driver; `bridged`: and a port that is no
    member, of this interface."""

    def __init__(self, lab, space, interfaces, devargs, *options, bridged=None,
                 driver="net_af_packet"):
        members = [f"{driver}{i}" for i in range(len(interfaces))]
        vdevs = [f"--vdev={member},iface={interface}"
                 for member, interface in zip(members, interfaces)]
        if bridged is not None:
            vdevs.append(f"--vdev=net_af_packet9,iface={bridged}")
        vdevs.append("--vdev=net_lagg0," + devargs + "," +
                     ",".join(f"member={member}" for member in members))
        super().__init__(lab, space, [*WITHOUT_HARDWARE, *vdevs], *options, members=members)
