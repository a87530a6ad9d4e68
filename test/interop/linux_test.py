"""net_lagg against the Linux kernel's bonding in a QEMU guest: 802.3ad with both rates and each
rule of selection, links cut, and the modes without a protocol against our policies of that kind.

laggd forwards between a port of its own and its lagg; pings of many addresses go in there, and the
guest's kernel answers them."""

import re
import sys
import time

import guest as machine
from lab import LONG, Lab, measured, require, say, until
from laggd_process import check_all
from lagg_process import WORKING, Laggd, bits_of, differences, make_end
from traffic import Ping, Traffic, address_of, counters, send_for

FLOWS = 16
HOST = 200
NEGOTIATED_WITHIN = 7.0  # 2 s to aggregate at both ends, the guest being ten times slower than iron
EXPIRED = (1.9, 5.0)
# While we are expired we withdraw COLLECTING, but SYNC only when we default after as long again;
# Linux' coupled control looks at SYNC.
TOLD = (1.9, 9.0)
RECOVERED_WITHIN = 8.0
NOTICED_WITHIN = 1.5  # the guest looks at its carriers each 50 ms of its own time

lab = None
wires = []
guest = None
laggd = None


def make_bond(mode, *options):
    """A new bond0 of both NICs, up, with an address."""
    guest.run("/sbin/ip link del bond0 2>/dev/null; "
              f"/sbin/ip link add bond0 type bond mode {mode} miimon 50 {' '.join(options)} && "
              "for e in eth0 eth1; do /sbin/ip link set $e down; "
              "/sbin/ip link set $e master bond0; done && "
              f"/sbin/ip addr add 10.9.0.{HOST}/24 dev bond0")
    raise_bond()


def change_bond(rate, select):
    """Of 802.3ad."""
    guest.run("/sbin/ip link set bond0 down && cd /sys/class/net/bond0/bonding && "
              f"echo {rate} > lacp_rate && echo {select} > ad_select")
    raise_bond()


def raise_bond():
    guest.run("/sbin/ip link set bond0 up && /sbin/ip -batch /neighbours")


def write_neighbours():
    """So that the guest asks nobody where the pings of all those addresses come from."""
    mac = address_of(lab, "h", "h0").hex(":")
    guest.run(f"for i in $(seq 1 {FLOWS}); do "
              f"echo neigh replace 10.9.0.$i lladdr {mac} dev bond0; done > /neighbours")


def frames():
    mac = guest.run("cat /sys/class/net/bond0/address").strip()
    return lab, "h", "h0", Ping(address_of(lab, "h", "h0"), bytes.fromhex(mac.replace(":", "")),
                                host=HOST)


def linux():
    """Both ends of each NIC as /proc/net/bonding says: {name: {actor, partner, aggregator, up}}."""
    text = guest.run("cat /proc/net/bonding/bond0")
    found = {}
    for part in re.split(r"^(?:Slave|Member) Interface: ", text, flags=re.MULTILINE)[1:]:
        member = {"aggregator": int((re.findall(r"Aggregator ID: (\d+)", part) or [0])[0]),
                  "up": "MII Status: up" in part}
        for whose in ("actor", "partner"):
            if f"details {whose} lacp pdu:" not in part:
                continue
            details = part.split(f"details {whose} lacp pdu:")[1].split("details")[0]
            fields = dict(re.findall(r"^ +([a-z ]+): (\S+)", details, re.MULTILINE))
            member[whose] = make_end(fields["system mac address"], fields["system priority"],
                                     fields.get("port key") or fields["oper key"],
                                     fields["port number"], fields["port priority"],
                                     bits_of(int(fields["port state"])))
        found[part.split("\n", 1)[0].strip()] = member
    return found


def works(end):
    return WORKING <= end["state"]


def wait_negotiated(what, since, within=NEGOTIATED_WITHIN, members=(0, 1)):
    def negotiated():
        views = [laggd.view(i) for i in members]
        if laggd.distributing() != set(members) or not all(
                view and works(view["actor"]) and works(view["partner"]) for view in views):
            return False
        theirs = linux()
        return all(works(theirs[f"eth{i}"]["actor"]) for i in members)
    try:
        until(negotiated, what, within + 10, 0.1)
    except AssertionError:
        say(f"ours   {laggd.views()}")
        say(f"theirs {linux()}")
        raise
    measured(what, time.monotonic() - since, high=within)


def assert_agree(partner_asks_fast):
    """Field by field; but for our DISTRIBUTING bit where the partner asks for a PDU in 30 s only:
    it is no reason to send one (802.1AX 6.4.15)."""
    def wrong():
        found, theirs = [], linux()
        for i in range(2):
            ours, other = laggd.view(i), theirs[f"eth{i}"]
            assert works(ours["actor"]), ours
            if not partner_asks_fast:
                other["partner"]["state"].add("distributing")
            found += [differences(ours["actor"], other["partner"]),
                      differences(other["actor"], ours["partner"])]
        return [text for text in found if text]
    last = []
    try:
        until(lambda: not last.append(wrong()) and not last[-1], "both ends agree", 4, 0.2)
    except AssertionError:
        raise AssertionError(f"the ends differ (ours first, Linux' first): {last[-1]}") from None
    assert len({member["aggregator"] for member in linux().values()}) == 1, linux()


# Where a ping and its answer are counted on their way, and whose part it is that lies between a place
# and the one before it.  What a kernel's queue in front of a laggd without a CPU lost is the
# machine's.
PATH = (("sent", None), ("laggd's own port", "the machine"), ("net_lagg's tx", "us"),
        ("members' tx", "us"), ("the wires' far ends", "the machine"),
        ("echoes at the guest", "Linux"), ("answers at the guest", "Linux"),
        ("the wires' far ends, back", "Linux"), ("members' rx", "the machine"),
        ("net_lagg's rx", "us"), ("laggd's own port, back", "us"), ("come back", "the machine"))


def icmp_at_guest():
    """(echoes in, answers out)."""
    names, values = guest.run("grep ^Icmp: /proc/net/snmp").strip().splitlines()
    found = dict(zip(names.split(), values.split()))
    return int(found["InEchos"]), int(found["OutEchoReps"])


def look():
    """What is counted on this side: net_lagg's counters; and (received, sent) by the members, by
    laggd's own port, and by the machine at the far ends of the wires."""
    far = [counters(lab, "wire", wire.inner[1]) for wire in wires]
    devices = [laggd.telemetry.ask(f"/ethdev/stats,{port}") for port in range(len(wires))]
    said = laggd.telemetry.ask(f"/ethdev/xstats,{laggd.port}")
    stats = {name: value for name, value in said.items() if re.search(
        "packets|lacpdus|dropped|without_member|given_back|actor_changes", name)}
    return (stats, [sum(device[name] for device in devices) for name in ("ipackets", "opackets")],
            laggd.bridged_frames(), [sum(way) for way in zip(*far)])


def counted():
    """Frames but LACPDUs, so far, at each place of PATH but the first and the last one; and what
    net_lagg counts beside them."""
    def still():
        """Nothing is on its way, not even a LACPDU, which is a frame to some of the counters."""
        looks.append(look())
        return looks[-1] == looks[-2]
    looks = [None]
    until(still, "links at rest", 10, 0.15)
    stats, members, own, far = looks[-1]
    heard, told = (sum(stats[f"member_{name}_lacp_lacpdus_{way}"] for name in laggd.members)
                   for way in ("rx", "tx"))
    places = [own[0], stats["tx_good_packets"], members[1] - told, far[1] - told, *icmp_at_guest(),
              far[0] - heard, members[0] - heard, stats["rx_good_packets"], own[1]]
    return places, {name: value for name, value in stats.items()
                    if not re.search("packets|lacpdus", name)}


def in_hand():
    """Frames that laggd has taken and net_lagg has not, and the other way round; less a constant."""
    stats, _, own, _ = look()
    return own[0] - stats["tx_good_packets"] + stats["rx_good_packets"] - own[1]


def losses(before, after, report):
    """(frames lost by part, what is to be printed of it)."""
    places = [report.sent, *(b - a for a, b in zip(before[0], after[0])), report.returned]
    lost, said = {}, []
    for (place, whose), came, went in zip(PATH[1:], places, places[1:]):
        if came != went:
            lost[whose] = lost.get(whose, 0) + came - went
            said.append(f"{came - went} before {place} ({whose})")
    said += [f"{name} {value - before[1][name]}" for name, value in after[1].items()
             if value != before[1][name]]
    return lost, "; ".join(said)


def assert_whole(seconds):
    """Every frame came back.  None may be lost or held up between our ports; what the machine or the
    guest lost is said, and tried again: a busy machine lets queues of the kernel overflow, and how
    soon Linux receives on a link that it calls collecting is its own affair."""
    for _ in range(3):
        before = counted()
        with Traffic(*frames(), flows=FLOWS, rate=400) as traffic:
            begin = time.monotonic()
            time.sleep(seconds)
            report = traffic.stop()
        say(str(report))
        assert not (report.changed or report.twice or report.reordered), report
        if report.sent and report.returned == report.sent:
            return
        held = in_hand()
        lost, said = losses(before, counted(), report)
        held -= in_hand()
        say(f"lost: {said}; seconds after its begin, and flow: {traffic.lost_at(begin)[:20]}")
        assert report.sent and lost.get("us", 0) <= 0, f"net_lagg lost frames: {said}"
        assert held <= 0, f"net_lagg did not take {held} frames in time: {said}"
    raise AssertionError(f"lost three times: {said}")


def used_by_us(before):
    return [counters(lab, "a", f"d{i}")[1] - sent for i, (_, sent) in enumerate(before)]


def begin_lacp():
    if "802.3ad" in guest.run("cat /sys/class/net/bond0/bonding/mode || :"):
        change_bond("fast", "stable")
    else:
        make_bond("802.3ad", "lacp_rate fast", "xmit_hash_policy layer3+4")
    wait_negotiated("negotiated since the guest's bond is up", time.monotonic())


def it_negotiates_with_both_rates_and_each_selection():
    # Without --long three of the six, with each value in one of them.
    settings = [(rate, select) for rate in ("fast", "slow")
                for select in ("stable", "bandwidth", "count")]
    if not LONG:
        settings = [("slow", "stable"), ("fast", "bandwidth"), ("slow", "count")]
    for rate, select in settings:
        # A new bond: one that is changed goes on with what was agreed before.
        make_bond("802.3ad", f"lacp_rate {rate}", f"ad_select {select}", "xmit_hash_policy layer3+4")
        wait_negotiated(f"negotiated, {rate}, ad_select {select}", time.monotonic())
        assert_agree(rate == "fast")
        for member in linux().values():
            assert ("timeout" in member["actor"]["state"]) == (rate == "fast"), member
        before = [counters(lab, "a", f"d{i}") for i in range(2)]
        assert_whole(0.7)
        used = used_by_us(before)
        assert min(used) > 30, f"we do not send on both: {used}"


def a_link_that_goes_down_at_the_guest_is_left_and_comes_back():
    begin_lacp()
    with Traffic(*frames(), flows=FLOWS, rate=400) as traffic:
        time.sleep(0.5)
        begin = time.monotonic()
        guest.set_link(0, False)  # we keep our carrier: the guest falls silent
        until(lambda: not linux()["eth0"]["up"], "the guest's link is down", 5, 0.05)
        measured("set_link off, noticed by the guest", time.monotonic() - begin,
                 high=NOTICED_WITHIN)
        until(lambda: laggd.distributing() == {1}, "we left", 8)
        measured("set_link off, left by us", time.monotonic() - begin, 0.0, EXPIRED[1])
        left = time.monotonic() + 0.3
        time.sleep(1.0)
        # The guest is slow: what it got just before its link changes is still under way then.
        settled = time.monotonic() - 0.3
        back = time.monotonic()
        guest.set_link(0, True)
        wait_negotiated("set_link on, negotiated", back, RECOVERED_WITHIN)
        assert_agree(True)
        # Carrier at our end only.
        begin = time.monotonic()
        lab.ip("wire", "link", "set", wires[1].inner[0], "down")
        until(lambda: laggd.distributing() == {0}, "we left", 5, 0.01)
        measured("our carrier lost, left by us", time.monotonic() - begin, high=1.0)
        until(lambda: not works(linux()["eth1"]["actor"]), "the guest left", 8)
        measured("our carrier lost, left by the guest", time.monotonic() - begin, *EXPIRED)
        begin = time.monotonic()
        lab.ip("wire", "link", "set", wires[1].inner[0], "up")
        wait_negotiated("our carrier back, negotiated", begin, RECOVERED_WITHIN)
        assert_agree(True)
        report = traffic.stop()
        say(str(report))
        assert not report.changed and not report.twice, report
        lost = traffic.lost_at(left, settled)
        assert not lost, f"lost on the other link, until {settled - left:.3f} s: {lost[:20]}"


def a_silent_link_is_left_by_both_in_time():
    begin_lacp()
    for towards, what, theirs in (((0,), "silent towards net_lagg", TOLD),
                                  ((1,), "silent towards Linux", EXPIRED)):
        begin = time.monotonic()
        wires[0].silence(*towards)
        until(lambda: laggd.distributing() == {1}, "we left", 9)
        measured(f"{what}: ours left", time.monotonic() - begin, *EXPIRED)
        until(lambda: not works(linux()["eth0"]["actor"]), "Linux left", 9)
        measured(f"{what}: theirs left", time.monotonic() - begin, *theirs)
        assert_whole(0.5)
        begin = time.monotonic()
        wires[0].heal()
        wait_negotiated(f"{what}: healed, negotiated", begin, RECOVERED_WITHIN)


def modes_without_a_protocol_work_with_ours_of_the_same_kind():
    try:
        for mode, policy in (("balance-xor", "loadbalance"), ("balance-rr", "roundrobin"),
                             ("active-backup", "failover"), ("broadcast", "broadcast")):
            laggd.command(f"set lagg {laggd.port} policy {policy}")
            make_bond(mode)
            until(lambda: all(member["up"] for member in linux().values()), "both links are up", 5)
            until(lambda: laggd.distributing() if policy == "failover" else
                  laggd.distributing() == {0, 1}, "ours are, too", 5)
            if policy == "failover":
                # Each end has its own favourite: the guest takes ours.
                number = laggd.distributing().pop()
                guest.run(f"/sbin/ip link set bond0 type bond active_{'slave'} eth{number}")
            time.sleep(0.3)
            report = send_for(0.7, *frames(), flows=FLOWS, rate=300)
            say(f"{mode} and {policy}: {report}")
            assert report.returned == report.sent and not report.changed, report
            # In turn and twice each by design; order and number are kept by the other two.
            if policy in ("loadbalance", "failover"):
                assert not report.twice and not report.reordered, report
            if policy == "broadcast":
                assert report.twice >= report.sent, report
    finally:
        laggd.command(f"set lagg {laggd.port} policy lacp")


CHECKS = [
    it_negotiates_with_both_rates_and_each_selection,
    a_link_that_goes_down_at_the_guest_is_left_and_comes_back,
    a_silent_link_is_left_by_both_in_time,
    modes_without_a_protocol_work_with_ours_of_the_same_kind,
]


def restored(check):
    """The links as they were, whatever the check did."""
    def run():
        try:
            check()
        finally:
            for number, wire in enumerate(wires):
                wire.plug()
                wire.heal()
                guest.set_link(number, True)
    run.__name__ = check.__name__
    return run


if __name__ == "__main__":
    require()
    machine.require()
    lab = Lab("a", "h")
    try:
        wires = [lab.tap_wire("a", f"d{i}", f"t{i}") for i in range(2)]
        lab.pair("a", "h1", "h", "h0")
        guest = machine.Guest(lab, ["t0", "t1"], ["bonding"])
        write_neighbours()
        say(f"guest up in {guest.boot_seconds:.1f} s")
        wanted = sys.argv[1:]
        with Laggd(lab, "a", ["d0", "d1"], "policy=lacp,lacp_rate=fast,hash=l3+l4",
                   "--forward-mode=io", "--auto-start", bridged="h1") as laggd:
            code = check_all([restored(check) for check in CHECKS
                              if not wanted or any(word in check.__name__ for word in wanted)])
    finally:
        lab.close()
    sys.exit(code)
