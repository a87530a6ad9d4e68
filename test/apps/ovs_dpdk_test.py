"""Open vSwitch of DPDK's kind, as Debian packages it, with a lagg as a port: nobody here wrote the
application, nor the partner, which is a bond of another Open vSwitch without DPDK.

The switch hands EAL --in-memory unless it is told --legacy-mem; without hugepages it must be told."""

import os
import re
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "interop"))

import ovs  # noqa: E402  (its folder is known only now)
from checks import check_all, skip  # noqa: E402
from lab import Lab, measured, require, say, text_of, until  # noqa: E402
from lagg_process import Telemetry  # noqa: E402
from testpmd_process import Plugins  # noqa: E402
from traffic import Ping, Traffic, address_of, counters, send_for  # noqa: E402

SWITCH = "/usr/lib/openvswitch-switch-dpdk/ovs-vswitchd-dpdk"
FLOWS = 16
HOST = 200
RATE = 400  # frames per second: the switch's own port is no fast one
MEMBERS = "member=net_af_packet0,member=net_af_packet1"
# The switch drops what it is given back, as a lagg does whose flows move in order: not here.
LACP = f"net_lagg0,policy=lacp,lacp_rate=fast,hash=l3+l4,reorder_guard=0,{MEMBERS}"
PATIENCE = 20.0

lab = None
wires = []
switch = None
partner = None


def dpdk_extra(*vdevs):
    words = ["-d", plugins.paths[1], "--legacy-mem", "--no-huge", "--no-shconf", "-m", "512",
             "--no-pci", *(f"--vdev=net_af_packet{i},iface=d{i}" for i in range(2)),
             *(f"--vdev={vdev}" for vdev in vdevs)]
    return f"other_config:dpdk-extra=\"{' '.join(words)}\""


class DpdkSwitch(ovs.OpenVSwitch):
    def __init__(self):
        runtime = os.path.join(lab.folder, "runtime")
        os.mkdir(runtime)
        cpu = max(os.sched_getaffinity(0))
        super().__init__(lab, "a", SWITCH, [
            "other_config:dpdk-init=true", f"other_config:pmd-cpu-mask={1 << cpu:#x}",
            "other_config:pmd-maxsleep=200",  # microseconds: others want that CPU, too
            dpdk_extra()], {"RUNTIME_DIRECTORY": runtime})
        self._telemetry = os.path.join(runtime, "dpdk", "rte", "dpdk_telemetry.v2")

    def add_dpdk_port(self, devargs):
        self.configure("add-port", "br0", "lagg0", "--", "set", "interface", "lagg0", "type=dpdk",
                       f"options:dpdk-devargs=\"{devargs}\"")
        until(lambda: self.of_port("error") not in ("[]", "\"\"") or
              self.of_port("driver_name", "status") != "", "the port is there", PATIENCE)
        assert self.of_port("error") in ("[]", "\"\""), self.of_port("error")
        assert "net_lagg" in self.of_port("driver_name", "status"), self.of_port("status")

    def remove_dpdk_port(self):
        self.configure("del-port", "lagg0")
        until(lambda: "lagg0" not in self.ask("dpctl/show"), "the port is gone", PATIENCE)

    def of_port(self, column, table=None):
        """What the database says of the port; of a map's key, where `table` is the map."""
        words = f"{table}:{column}" if table else column
        return self.configure("--if-exists", "get", "interface", "lagg0", words).strip()

    def lagg(self):
        """What telemetry says, within the switch's process."""
        telemetry = Telemetry(self._telemetry)
        try:
            laggs = telemetry.ask("/lagg/list")
            return telemetry.ask(f"/lagg/info,{laggs[0]}") if laggs else {}
        finally:
            telemetry.close()

    def distributing(self):
        info = self.lagg()
        return {int(info[f"member_{i}"]["name"][-1]) for i in range(info.get("nb_members", 0))
                if info[f"member_{i}"]["distributing"]}


def frames():
    return lab, "a", "br0", Ping(address_of(lab, "a", "br0"), address_of(lab, "b", "br0"),
                                 host=HOST)


def wait_for_both(what, since):
    """With LACP: at both ends; the partner's bond keeps flows on the member that it enables first."""
    def there():
        theirs = partner.lacp("bond0").get("members", {})
        return switch.distributing() == {0, 1} and len(theirs) == 2 and all(
            one["status"].startswith("current") for one in theirs.values()) and \
            partner.enabled("bond0") == set(theirs)
    until(there, what, PATIENCE, 0.1)
    measured(what, time.monotonic() - since)


def assert_whole(seconds=1.0):
    """Another two attempts when a frame is missing: the sockets of both switches' own ports overflow
    when the machine stands still."""
    for _ in range(3):
        report = send_for(seconds, *frames(), flows=FLOWS, rate=RATE)
        say(str(report))
        assert not (report.changed or report.twice or report.reordered), report
        if report.sent and report.returned == report.sent:
            return
    raise AssertionError(f"lost three times: {report}")


def follow_neighbours():
    """So that nobody asks where the pings of all those addresses come from."""
    mac = address_of(lab, "a", "br0").hex(":")
    for i in range(FLOWS):
        lab.ip("b", "neigh", "replace", f"10.9.0.{i + 1}", "lladdr", mac, "dev", "br0")


def sent_by_switch():
    """As its database has it, which hears of counters every five seconds."""
    return int(re.search(r"\btx_packets=(\d+)", switch.of_port("statistics")).group(1))


def a_port_of_the_switch_is_a_lagg_with_lacp():
    begin = time.monotonic()
    switch.add_dpdk_port(LACP)
    wait_for_both("negotiated since the port was added", begin)
    partner.deal_flows_anew("bond0")
    before = [counters(lab, "b", f"o{i}") for i in range(2)]
    assert_whole()
    after = [counters(lab, "b", f"o{i}") for i in range(2)]
    used = [(b[0] - a[0], b[1] - a[1]) for a, b in zip(before, after)]
    assert all(min(both) > 20 for both in used), f"not both wires are used: {used}"
    until(lambda: switch.of_port("link_state") == "up", "the switch says so, too", PATIENCE)
    until(lambda: sent_by_switch() >= 400, "the switch counted what it sent", PATIENCE)


def a_wire_is_lost_and_comes_back_under_the_switch():
    for number in range(2):
        with Traffic(*frames(), flows=FLOWS, rate=RATE) as traffic:
            time.sleep(0.3)
            begin = time.monotonic()
            wires[number].unplug()
            until(lambda: switch.distributing() == {1 - number} and
                  partner.enabled("bond0") == {f"o{1 - number}"}, "both ends left", PATIENCE, 0.02)
            measured(f"wire {number} lost, left by both ends", time.monotonic() - begin)
            left = time.monotonic() + 0.3
            time.sleep(1.0)
            settled = time.monotonic() - 0.1
            back = time.monotonic()
            wires[number].plug()
            wait_for_both(f"wire {number} back, negotiated", back)
            report = traffic.stop()
            say(f"{report}; {traffic.lost(begin, left)} lost while both ends left, "
                f"{traffic.lost(back)} since the wire is back")
            assert not report.changed and not report.twice, report
            lost = traffic.lost_at(left, settled)
            assert not lost, f"lost on the other wire: {lost[:20]}"
    assert_whole(0.5)


def the_switch_changes_its_port_while_frames_pass():
    """It stops, configures and starts the port anew."""
    switch.configure("set", "interface", "lagg0", "mtu_request=1400")
    until(lambda: switch.of_port("mtu") == "1400", "the port's MTU is 1400", PATIENCE)
    wait_for_both("MTU changed, negotiated", time.monotonic())
    switch.configure("set", "interface", "lagg0", "options:n_rxq_desc=1024")
    until(lambda: "configured_rxq_descriptors=1024" in switch.ask("dpctl/show"),
          "other receive rings", PATIENCE)
    wait_for_both("rings changed, negotiated", time.monotonic())
    assert_whole()


def a_port_that_is_deleted_gives_its_members_back():
    """The lagg ends with the port that it was made for; another one takes the same members."""
    switch.remove_dpdk_port()
    until(lambda: not switch.lagg(), "there is no lagg", PATIENCE)
    partner.configure("set", "port", "bond0", "lacp=off", "bond_mode=active-backup")
    try:
        used, _ = until(lambda: partner.used("bond0"), "the partner has one in use", PATIENCE)
        switch.add_dpdk_port("net_lagg0,policy=failover,rx_all=1,"
                             f"primary=net_af_packet{used[1:]},{MEMBERS}")
        until(lambda: switch.distributing() == {int(used[1:])}, "the same distributes", PATIENCE)
        assert_whole()
    finally:
        switch.remove_dpdk_port()
        partner.configure("set", "port", "bond0", "lacp=active", "bond_mode=balance-tcp")


def a_lagg_that_eal_made_is_used_and_outlives_the_port():
    switch.configure("set", "Open_vSwitch", ".", dpdk_extra(LACP))
    switch.restart(15)  # SIGTERM
    begin = time.monotonic()
    switch.add_dpdk_port("net_lagg0")
    wait_for_both("negotiated since the port was added", begin)
    assert_whole()
    switch.remove_dpdk_port()
    until(lambda: switch.lagg().get("nb_members") == 2, "the lagg is still there", PATIENCE)


CHECKS = [
    a_port_of_the_switch_is_a_lagg_with_lacp,
    a_wire_is_lost_and_comes_back_under_the_switch,
    the_switch_changes_its_port_while_frames_pass,
    a_port_that_is_deleted_gives_its_members_back,
    a_lagg_that_eal_made_is_used_and_outlives_the_port,
]


def end_with_the_switchs_words():
    """A check builds on those before it: nothing more is learnt after one failed."""
    print("  --- the switch said at last ---\n  " +
          "\n  ".join(text_of(switch.switch).splitlines()[-25:]), flush=True)
    return True


def main():
    global lab, wires, switch, partner
    lab = Lab("a", "b")
    try:
        wires = [lab.wire("a", f"d{i}", "b", f"o{i}") for i in range(2)]
        partner = ovs.OpenVSwitch(lab, "b")
        partner.add_bridge("br0")
        lab.ip("b", "addr", "add", f"10.9.0.{HOST}/24", "dev", "br0")
        partner.add_bond("br0", "bond0", ["o0", "o1"])
        switch = DpdkSwitch()
        initialized = switch.configure("get", "Open_vSwitch", ".", "dpdk_initialized").strip()
        assert initialized == "true", text_of(switch.switch)[-2000:]
        switch.add_bridge("br0")
        follow_neighbours()
        return check_all(CHECKS, after_failure=end_with_the_switchs_words)
    finally:
        lab.close()


if __name__ == "__main__":
    require(*ovs.PROGRAMS)
    if not os.path.exists(SWITCH):
        skip("openvswitch-switch-dpdk is not installed")
    with Plugins() as plugins:
        sys.exit(main())
