"""Members of drivers that stand on a kernel interface and say nothing of its link: net_af_xdp on veth
and net_tap.  LACP towards Open vSwitch, frames both ways, a carrier that is lost and comes back."""

import socket
import sys
import time

import ovs
from lab import Lab, measured, require, say, text_of, until
from laggd_process import check_all
from lagg_process import Laggd
from ovs import working
from traffic import SwappedUdp, Traffic, address_of, counters, send_for

RECOVERED_WITHIN = 6.5  # as in ovs_test.py
GRACE = 0.3  # for frames that were on their way

lab = None
switch = None
wires = []


def frames():
    return lab, "b", "br0", SwappedUdp(address_of(lab, "b", "br0"))


def wait_negotiated(laggd, what, within, since):
    def negotiated():
        theirs = switch.lacp("bond0").get("members", {})
        return laggd.distributing() == {0, 1} and all(
            f"o{i}" in theirs and working(laggd.view(i), theirs[f"o{i}"]) for i in range(2))
    until(negotiated, what, within + 5)
    measured(what, time.monotonic() - since, high=within)


def tap_bridges():
    """Each tap of laggd's, bridged to the end of a wire."""
    for i in range(2):
        until(lambda: f"x{i}:" in lab.ip("a", "link"), "laggd made its tap", 20)
        lab.ip("a", "link", "add", f"y{i}", "type", "bridge", "stp_state", "0", "mcast_snooping",
               "0", "ageing_time", "0")
        for port in (f"x{i}", f"d{i}"):
            lab.ip("a", "link", "set", port, "master", f"y{i}")
            lab.ip("a", "link", "set", port, "up")
            lab.execute("a", "sh", "-c", f"cd /sys/class/net/{port}/brport; "
                        "echo 4 > group_fwd_mask; echo 0 > learning")
        lab.ip("a", "link", "set", f"y{i}", "up")


def lacp_carries_traffic_and_follows_carriers(driver, interfaces, lose, restore):
    switch.add_bond("br0", "bond0", ["o0", "o1"])
    try:
        with Laggd(lab, "a", interfaces, "policy=lacp,hash=l3+l4,lacp_rate=fast",
                   "--forward-mode=macswap", "--port-topology=loop", "--auto-start",
                   driver=driver) as laggd:
            if driver == "net_tap":
                tap_bridges()
            for line in text_of(laggd.process).splitlines():
                if "LAGG:" in line:
                    say(line)
            wait_negotiated(laggd, f"{driver}: negotiated", RECOVERED_WITHIN, laggd.started)
            before = [counters(lab, "b", f"o{i}") for i in range(2)]
            report = send_for(0.7, *frames())
            say(f"{driver}: {report}")
            assert report.returned == report.sent > 0, report
            assert not (report.changed or report.twice or report.reordered), report
            after = [counters(lab, "b", f"o{i}") for i in range(2)]
            assert all(b[0] - a[0] > 50 for a, b in zip(before, after)), "a member sends nothing"

            with Traffic(*frames()) as traffic:
                time.sleep(0.3)
                begin = time.monotonic()
                lose(0)
                until(lambda: laggd.distributing() == {1}, "the member was left", 5, 0.002)
                measured(f"{driver}: carrier lost, left", time.monotonic() - begin, high=0.5)
                until(lambda: switch.enabled("bond0") == {"o1"}, "the partner left, too", 5, 0.02)
                left = time.monotonic() + GRACE
                time.sleep(1.0)
                begin = time.monotonic()
                restore(0)
                wait_negotiated(laggd, f"{driver}: carrier back, negotiated", RECOVERED_WITHIN,
                                begin)
                report = traffic.stop()
                say(f"{driver}: {report}")
                assert not report.changed and not report.twice, report
                lost = traffic.lost_at(left, begin)
                assert not lost, f"lost on the other member: {lost[:20]}"
    finally:
        for i in range(2):
            lab.execute("a", "ip", "link", "del", f"y{i}", check=False)
        for wire in wires:
            wire.plug()
        switch.remove_bond("bond0")


def af_xdp_members_speak_lacp_and_follow_their_carriers():
    lacp_carries_traffic_and_follows_carriers(
        "net_af_xdp", ["d0", "d1"], lambda i: wires[i].unplug(), lambda i: wires[i].plug())


def tap_members_speak_lacp_and_follow_their_carriers():
    def change(i, state):
        """A tap has no carrier but its own interface's state; the partner has the wire's."""
        lab.ip("a", "link", "set", f"x{i}", state)
        (wires[i].plug if state == "up" else wires[i].unplug)()
    lacp_carries_traffic_and_follows_carriers(
        "net_tap", ["x0", "x1"], lambda i: change(i, "down"), lambda i: change(i, "up"))


CHECKS = [
    af_xdp_members_speak_lacp_and_follow_their_carriers,
    tap_members_speak_lacp_and_follow_their_carriers,
]

AF_XDP = 44


def has_af_xdp():
    try:
        socket.socket(AF_XDP, socket.SOCK_RAW).close()
        return True
    except OSError as error:
        say(f"not run: af_xdp members: this kernel makes no such socket: {error}")
        return False


if __name__ == "__main__":
    require(*ovs.PROGRAMS)
    if not has_af_xdp():
        CHECKS.pop(0)
    lab = Lab("a", "b")
    try:
        wires = [lab.wire("a", f"d{i}", "b", f"o{i}") for i in range(2)]
        switch = ovs.OpenVSwitch(lab, "b")
        switch.add_bridge("br0")
        wanted = sys.argv[1:]
        code = check_all([check for check in CHECKS
                          if not wanted or any(word in check.__name__ for word in wanted)])
    finally:
        lab.close()
    sys.exit(code)
