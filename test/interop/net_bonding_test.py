"""net_lagg against DPDK's net_bonding, mode 4, in stock dpdk-testpmd.

The stock driver's LACP lives from the application's bursts, so frames flow all the time: testpmd
forwards between a port of its own and its bond, laggd swaps addresses at the other end.  It never
asks for short timeouts: what dies silently towards it is noticed after 90 s, not tested here."""

import re
import subprocess
import sys
import time

from lab import Lab, end, measured, require, say, text_of, until
from laggd_process import check_all
from lagg_process import WORKING, Laggd, differences, make_end
from traffic import SwappedUdp, Traffic, address_of, counters

NEGOTIATED_WITHIN = 6.0  # 2 s to aggregate at both ends; the stock driver acts each 100 ms
EXPIRED = (1.9, 4.5)
TOLD = (1.9, 8.0)  # we expire, then default, and tell then that the link is out of sync
DEVARGS = "policy=lacp,lacp_rate=fast,hash=l3+l4"

lab = None
wires = []


def swapped(text):
    """testpmd prints these numbers as they are on the wire."""
    return int.from_bytes(int(text).to_bytes(2, "little"), "big")


class Testpmd:
    def __init__(self):
        vdevs = [f"--vdev=net_af_packet{i},iface={name}" for i, name in ((0, "d0"), (1, "d1"),
                                                                        (9, "h1"))]
        vdevs.append("--vdev=net_bonding0,mode=4,xmit_policy=l34," +
                     "slave=net_af_packet0,slave=net_af_packet1")  # net_bonding's own word
        self.process = lab.start(
            "a", ["stdbuf", "-oL", "dpdk-testpmd", "--no-huge", "--no-shconf", "--no-pci", "-m",
                  "512", "--lcores=(0,1)", "--no-telemetry", "--file-prefix=" + lab.spaces["a"],
                  *vdevs, "--", "-i", "--nb-cores=1", "--total-num-mbufs=16384"], "testpmd",
            stdin=subprocess.PIPE, environment={"RUNTIME_DIRECTORY": lab.folder})
        until(lambda: self.process.poll() is not None or "testpmd> " in text_of(self.process),
              "testpmd's prompt", 30)
        assert self.process.poll() is None, text_of(self.process)[-2000:]
        summary = self.command("show port summary all")
        self.port = re.search(r"^(\d+)\s+\S+\s+net_bonding0", summary, re.MULTILINE).group(1)
        bridged = re.search(r"^(\d+)\s+\S+\s+net_af_packet9", summary, re.MULTILINE).group(1)
        for line in (f"set portlist {bridged},{self.port}", "set promisc all on", "start"):
            self.command(line)

    def command(self, line):
        before = len(text_of(self.process))
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()

        def answer():
            return re.search(r"\n(.*\n)?testpmd> $", text_of(self.process)[before:], re.DOTALL)
        until(answer, line, 30, 0.02)
        return text_of(self.process)[before:]

    def ends(self):
        """[(its actor, its partner)] by member."""
        text = self.command(f"show bonding lacp info {self.port}")
        found = []
        for part in re.split(r"Slave Port: |Member Port: ", text)[1:]:  # of a bond, as it says
            ends = []
            for whose in ("Actor", "Partner"):
                fields = dict(re.findall(r"^\s+([a-z ]+): (.*)$",
                                         part.split(whose + " detail info:")[1].split("Partner")[0],
                                         re.MULTILINE))
                ends.append(make_end(
                    fields["system mac address"],
                    *(swapped(fields[name]) for name in ("system priority", "port key",
                                                         "port number", "port priority")),
                    (word.lower().replace("active", "activity")
                     for word in fields["port state"].split())))
            found.append(ends)
        return found

    def distributing(self):
        """Numbers of the members that it sends on; its list of active ones tells of links only."""
        return {i for i, (actor, _) in enumerate(self.ends()) if "distributing" in actor["state"]}

    def close(self):
        end(self.process)


class Both:
    """testpmd, laggd and frames."""

    devargs = ""

    def __enter__(self):
        self.testpmd = Testpmd()
        self.traffic = Traffic(lab, "h", "h0", SwappedUdp(address_of(lab, "h", "h0")))
        self.start_laggd()
        return self

    def start_laggd(self):
        self.laggd = Laggd(lab, "b", ["e0", "e1"], DEVARGS + self.devargs, "--forward-mode=macswap",
                           "--port-topology=loop", "--auto-start")

    def wait_negotiated(self, what, since, within=NEGOTIATED_WITHIN):
        def negotiated():
            views = self.laggd.views().values()
            return self.laggd.distributing() == {0, 1} and all(
                WORKING <= view[whose]["state"] for view in views for whose in ("actor", "partner"))
        until(negotiated, what, within + 5)
        measured(what, time.monotonic() - since, high=within)

    def assert_agree(self):
        """But for our DISTRIBUTING bit: it is no reason to send (802.1AX 6.4.15), and the partner
        asks for a PDU in 30 s only."""
        def wrong():
            found = []
            for (actor, partner), ours in zip(self.testpmd.ends(), self.laggd.views().values()):
                assert "distributing" in ours["actor"]["state"], ours
                partner["state"].add("distributing")
                found += [differences(ours["actor"], partner), differences(ours["partner"], actor)]
            return [text for text in found if text]
        last = []
        try:
            until(lambda: not last.append(wrong()) and not last[-1], "both ends agree", 3)
        except AssertionError:
            raise AssertionError(f"the ends differ (ours first): {last[-1]}") from None

    def flow(self, seconds):
        begin = time.monotonic()
        time.sleep(seconds)
        return begin, time.monotonic()

    def __exit__(self, kind, *_):
        for wire in wires:
            wire.heal()
        if not self.traffic.stopped():
            self.traffic.stop()
        try:
            self.laggd.__exit__(kind)
        finally:
            self.testpmd.close()

    def judge(self, *windows):
        """What was sent in these windows came back, in order."""
        report = self.traffic.stop()
        say(str(report))
        assert report.returned and not report.changed and not report.twice, report
        for window in windows:
            lost, late = self.traffic.lost(*window), self.traffic.reordered(*window)
            assert not lost and not late, f"{lost} lost, {late} out of order"


def it_negotiates_and_frames_come_back_whole():
    with Both() as both:
        both.wait_negotiated("negotiated since laggd runs", both.laggd.started)
        both.assert_agree()
        before = [counters(lab, "b", f"e{i}") for i in range(2)]
        window = both.flow(1.5)
        after = [counters(lab, "b", f"e{i}") for i in range(2)]
        used = [(b[0] - a[0], b[1] - a[1]) for a, b in zip(before, after)]
        assert all(min(pair) > 100 for pair in used), f"frames by link: {used}"
        both.judge(window)


def a_link_that_dies_silently_towards_us_is_left_by_both():
    with Both() as both:
        both.wait_negotiated("negotiated since laggd runs", both.laggd.started)
        time.sleep(1.0)
        begin = time.monotonic()
        wires[0].silence(1)
        until(lambda: both.laggd.distributing() == {1}, "we left", 8)
        measured("silent towards net_lagg: ours left", time.monotonic() - begin, *EXPIRED)
        until(lambda: both.testpmd.distributing() == {1}, "net_bonding left", 12)
        measured("silent towards net_lagg: theirs left", time.monotonic() - begin, *TOLD)
        time.sleep(0.3)
        window = both.flow(0.7)
        begin = time.monotonic()
        wires[0].heal()
        both.wait_negotiated("silent towards net_lagg: healed, negotiated", begin)
        both.assert_agree()
        both.judge(window)


def laggd_can_be_restarted_and_be_passive_then():
    with Both() as both:
        both.wait_negotiated("negotiated since laggd runs", both.laggd.started)
        both.laggd.process.kill()
        both.laggd.process.wait()
        begin = time.monotonic()
        both.devargs = ",lacp_mode=passive"
        both.start_laggd()
        both.wait_negotiated("net_lagg killed and started, negotiated again", begin, 9.0)
        both.assert_agree()
        both.judge(both.flow(0.5))


CHECKS = [
    it_negotiates_and_frames_come_back_whole,
    a_link_that_dies_silently_towards_us_is_left_by_both,
    laggd_can_be_restarted_and_be_passive_then,
]

if __name__ == "__main__":
    require("dpdk-testpmd", "stdbuf")
    lab = Lab("a", "b", "h")
    try:
        wires = [lab.wire("a", f"d{i}", "b", f"e{i}") for i in range(2)]
        lab.pair("a", "h1", "h", "h0")
        wanted = sys.argv[1:]
        code = check_all([check for check in CHECKS
                          if not wanted or any(word in check.__name__ for word in wanted)])
    finally:
        lab.close()
    sys.exit(code)
