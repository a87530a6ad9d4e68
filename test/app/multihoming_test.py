"""Two laggd processes that share LACP system, priority and key and have disjoint port numbers are one
system to their partner, a third laggd: what EVPN multihoming needs.  Real kernel interfaces between them."""

import os
import shutil
import subprocess
import sys

import laggd_process as laggd

ID = os.getpid() % 100000
PARTNER, FIRST, SECOND = (f"laggm{ID}{name}" for name in ("p", "a", "b"))
SHARED = "lacp_system_mac=02:00:5e:00:01:01,lacp_system_priority=100,lacp_key=42"
GOOD = {"activity", "timeout", "aggregation", "sync", "collecting", "distributing"}


def tool(*words, check=True):
    return subprocess.run(words, check=check, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True)


class Lab:
    """Links 0 and 1 from the partner to the first, 2 and 3 to the second; each in a name space."""

    def __init__(self):
        self.apps = []
        try:
            self._open()
        except BaseException:
            self.close()
            raise

    @staticmethod
    def _open():
        for space in (PARTNER, FIRST, SECOND):
            tool("ip", "netns", "add", space)
        for i in range(4):
            far = (FIRST, SECOND)[i // 2]
            tool("ip", "link", "add", f"p{i}", "netns", PARTNER, "type", "veth", "peer", "name",
                 f"q{i}", "netns", far)
            for space, name in ((PARTNER, f"p{i}"), (far, f"q{i}")):
                tool("ip", "-n", space, "link", "set", name, "up")

    def start(self, space, interfaces, devargs):
        """A laggd in a name space; its lagg has an interface each as members."""
        vdevs = [f"--vdev=net_af_packet{i},iface={name}" for i, name in enumerate(interfaces)]
        members = ",".join(f"member=net_af_packet{i}" for i in range(len(interfaces)))
        vdevs.append(f"--vdev=net_lagg0,policy=lacp,lacp_wait_while=500,{members},{devargs}")
        app = laggd.Piped([*laggd.eal(*vdevs), "--"], before=("ip", "netns", "exec", space))
        self.apps.append(app)
        return app

    def close(self):
        for app in self.apps:
            app.kill()
        for space in (PARTNER, FIRST, SECOND):
            tool("ip", "netns", "del", space, check=False)


def distributing(page):
    ports = laggd.lacp_ports(page).values()
    return [one for one in ports if "actor" in one and GOOD <= one["actor"]["state"]]


def show_until(app, count):
    """show lacp when `count` members distribute, and both ends say so."""
    page = app.ask_until("show lacp net_lagg0", lambda page: len(distributing(page)) == count and all(
        "distributing" in one["partner"]["state"] for one in distributing(page)))
    return laggd.lacp_ports(page)


def two_laggs_that_share_a_system_are_one_to_their_partner():
    lab = Lab()
    try:
        first = lab.start(FIRST, ["q0", "q1"], f"{SHARED},lacp_first_port=1")
        second = lab.start(SECOND, ["q2", "q3"], f"{SHARED},lacp_first_port=101")
        partner = lab.start(PARTNER, ["p0", "p1", "p2", "p3"], "lacp_key=7")
        ports = show_until(partner, 4)
        assert len(ports) == 4, ports
        assert len({one["aggregator"] for one in ports.values()}) == 1, ports
        assert all(one["in_use"] and one["selection"] == "selected" for one in ports.values()), ports
        seen = [one["partner"] for one in ports.values()]
        assert {(one["system"], one["priority"], one["key"]) for one in seen} == {
            ("02:00:5e:00:01:01", 100, 42)}, seen
        assert sorted(one["port"] for one in seen) == [1, 2, 101, 102], seen
        # Each of the two sees the one partner, and sends and receives on its links.
        for app in (first, second):
            mine = show_until(app, 2)
            assert {one["partner"]["key"] for one in mine.values()} == {7}, mine
            assert len({one["partner"]["system"] for one in mine.values()}) == 1, mine

        # One of them ends: what it had goes, the other's links go on.
        assert second.end() == 0, second.seen[-2000:]
        ports = show_until(partner, 2)
        left = [one for one in ports.values() if GOOD <= one["actor"]["state"]]
        assert sorted(one["partner"]["port"] for one in left) == [1, 2], ports
        # And comes back.
        second = lab.start(SECOND, ["q2", "q3"], f"{SHARED},lacp_first_port=101")
        ports = show_until(partner, 4)
        assert len({one["aggregator"] for one in ports.values()}) == 1, ports
        # And dies without a word, its interfaces up: three PDUs that do not come, 3 to 4 seconds.
        second.kill()
        ports = show_until(partner, 2)
        left = [one for one in ports.values() if GOOD <= one["actor"]["state"]]
        assert sorted(one["partner"]["port"] for one in left) == [1, 2], ports
        for app in (first, partner):
            assert app.end() == 0, app.seen[-2000:]
    finally:
        lab.close()


def two_laggs_with_systems_of_their_own_are_not():
    lab = Lab()
    try:
        lab.start(FIRST, ["q0", "q1"], "lacp_key=42,lacp_first_port=1")
        lab.start(SECOND, ["q2", "q3"], "lacp_key=42,lacp_first_port=101")
        partner = lab.start(PARTNER, ["p0", "p1", "p2", "p3"], "lacp_key=7")
        known = lambda page: all("defaulted" not in one["actor"]["state"]
                                 for one in laggd.lacp_ports(page).values())
        partner.ask_until("show lacp net_lagg0", known)
        ports = show_until(partner, 2)
        used = [one for one in ports.values() if one["in_use"]]
        assert len(used) == 2 and len({one["partner"]["system"] for one in used}) == 1, ports
        assert len({one["aggregator"] for one in ports.values()}) == 2, ports
    finally:
        lab.close()


if __name__ == "__main__":
    if os.geteuid() != 0:
        laggd.skip("network name spaces and packet sockets need root")
    if shutil.which("ip") is None:
        laggd.skip("ip is not installed")
    if tool("ip", "netns", "add", PARTNER, check=False).returncode != 0:
        laggd.skip("network name spaces cannot be made here")
    tool("ip", "netns", "del", PARTNER)
    sys.exit(laggd.check_all([
        two_laggs_that_share_a_system_are_one_to_their_partner,
        two_laggs_with_systems_of_their_own_are_not,
    ]))
