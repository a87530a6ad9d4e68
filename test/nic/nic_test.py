"""laggd on NIC drivers, in a QEMU guest that has two cards; their other ends are taps at Open
vSwitch's bond outside.  Frames go into the switch's own port, laggd turns them round, and each is
looked at when it comes back.

    nic_test.py CARDS [CHECK...]      all checks, or those whose names contain a word
    nic_test.py --shell CARDS         the same guest and the same switch for you: a shell, in which
                                      run-laggd starts laggd on the cards; Ctrl-A X ends it at once

CARDS is virtio, e1000, mixed (vmxnet3 and virtio), vmxnet3, e1000e or igb.  By hand, the tests'
environment is needed: LAGGD is the built laggd, and NET_LAGG_GUEST an unpacked kernel
(.deps/guest-kernel, from buildtools/bootstrap test); for e1000e and igb NET_LAGG_QEMU, too
(.deps/guest-qemu, from buildtools/bootstrap long).  Root only."""

import os
import re
import socket
import struct
import subprocess
import sys
import time

from nic_guest import CARDS, LAGG, Laggd, NicGuest, by_hand

import guest as machine
import ovs
from lab import LONG, Lab, measured, require, say, skip, until
from laggd_process import check_all
from traffic import ECHO, MAGIC, Ping, SwappedUdp, Traffic, address_of, counters, ipv4, send_for

SETS = {
    "virtio": (("virtio", "virtio"), "vfio-pci"),
    "e1000": (("e1000", "e1000"), "uio_pci_generic"),
    "mixed": (("vmxnet3", "virtio"), "vfio-pci"),
    "vmxnet3": (("vmxnet3", "vmxnet3"), "vfio-pci"),
    "e1000e": (("e1000e", "e1000e"), "vfio-pci"),
    "igb": (("igb", "igb"), "vfio-pci"),
}
ALWAYS = ("virtio", "mixed")  # the others when the tests may be long
# QEMU 7.2, which Debian 12 has, never tells that an e1000e's link is down, and has no igb.
NEWER = ("e1000e", "igb")
TAPS = ["o0", "o1"]
DEVARGS = "policy=lacp,lacp_rate=fast,hash=l3+l4"
LOOP = ("--port-topology=loop", "--auto-start", "--hot-plug")
WORKING = {"aggregation", "sync", "collecting", "distributing"}
RATE = 400  # frames per second; emulation is slow, and the machine may be busy
PATIENCE = 3.0  # seconds: the guest may not run for a while
PACE = {"rate": RATE, "patience": PATIENCE}
GRACE = 0.5  # seconds for frames that were on their way when a link was given up
NOTICED = 2.0  # seconds in which a card that tells of its link is left
EXPIRED = 6.0  # in which LACP notices it: three periods of a second, and a little
VLAN = 100
_SOL_PACKET, _PACKET_AUXDATA, _TAG_IS_VALID = 263, 8, 0x10  # linux/if_packet.h

lab = None
switch = None
guest = None
laggd = None


def lay_taps(cards):
    for tap, card in zip(TAPS, cards):
        lab.ip("wire", "tuntap", "add", tap, "mode", "tap",
               *(["multi_queue"] if card.tap_queues else []))
        lab.ip("wire", "link", "set", tap, "mtu", "9000", "up")


def set_tap(number, state):
    lab.ip("wire", "link", "set", TAPS[number], state)


def negotiated(members=(0, 1)):
    """The switch keeps flows on the member that it enables first, so it must have enabled all."""
    ours, theirs = laggd.views(), switch.lacp("bond0").get("members", {})
    enabled = switch.enabled("bond0")
    for i in members:
        view, other = ours.get(laggd.members[i]), theirs.get(TAPS[i])
        if view is None or other is None or TAPS[i] not in enabled or \
                other["status"] != "current attached" or \
                not all(WORKING <= view[end]["state"] for end in ("actor", "partner")):
            return False
    return laggd.distributing() == set(members)


def wait_negotiated(what, since, within=20.0):
    try:
        until(negotiated, what, within, 0.1)
    except AssertionError:
        say(laggd.ask(f"show lacp {LAGG}"))
        say(switch.ask("lacp/show", "bond0"))
        raise
    measured(what, time.monotonic() - since)


def udp(far=ECHO):
    return lab, "wire", "br0", SwappedUdp(address_of(lab, "wire", "br0"), far)


def assert_whole(seconds, *arguments, **options):
    """Every frame came back as it should.  Another two attempts when some did not: sockets of the
    switch overflow when the machine stands still for half a second."""
    for _ in range(3):
        report = send_for(seconds, *arguments, **options)
        say(str(report))
        assert not (report.changed or report.twice or report.reordered), report
        if report.sent and report.returned == report.sent:
            return
    raise AssertionError(f"lost three times: {report}")


def info(port):
    """What `show port info` says: {words before a colon: words after it}."""
    return dict(line.split(": ", 1) for line in laggd.command(f"show port info {port}").splitlines()
                if ": " in line)


def lagg_address():
    return bytes.fromhex(info(LAGG)["MAC address"].replace(":", ""))


def members_say(what, wanted):
    """Each member says it of itself in `show port info`."""
    for name in laggd.members:
        said = info(name).get(what, "")
        assert said.startswith(wanted), f"{name}: {what}: {said}"


def leave():
    """The exit code of laggd must be 0."""
    global laggd
    if laggd is not None:
        ended, laggd = laggd, None
        ended.quit()


class Running:
    """laggd with these options, negotiated; one that runs already is used again."""

    def __init__(self, *options):
        self.options = options

    def __enter__(self):
        global laggd
        begin = time.monotonic()
        if laggd is not None and laggd.options == self.options:
            wait_negotiated("negotiated still", begin)
            return
        leave()
        laggd = Laggd(guest, DEVARGS, *LOOP, *self.options)
        laggd.options = self.options
        say(f"laggd answers after {laggd.start_seconds:.1f} s")
        try:
            wait_negotiated("negotiated since laggd's start", begin)
        except BaseException:
            self.__exit__(AssertionError)
            raise

    def __exit__(self, kind, *_):
        global laggd
        for number in range(len(TAPS)):
            set_tap(number, "up")
            if guest.plugged(number):
                guest.set_link(number, True)
            elif kind is not None:
                guest.plug(number)
        if kind is not None:
            failed, laggd = laggd, None
            failed.give_up()


def it_negotiates_by_addresses_and_turns_frames_round():
    with Running("--forward-mode=macswap"):
        summary = laggd.command("show port summary all")
        for name, card in zip(laggd.members, guest.cards):
            assert re.search(rf"{name} +net_{card.pmd}\S* .* {LAGG}", summary), summary
        switch.deal_flows_anew("bond0")
        before = [counters(lab, "wire", tap) for tap in TAPS]
        assert_whole(1.5, *udp(), **PACE)
        after = [counters(lab, "wire", tap) for tap in TAPS]
        used = [(b[0] - a[0], b[1] - a[1]) for a, b in zip(before, after)]
        assert all(min(both) > 50 for both in used), f"not both links are used: {used}"
        laggd.command("stop")
        laggd.command("set fwd icmpecho")
        laggd.command("start")
        ping = Ping(address_of(lab, "wire", "br0"), ECHO)
        assert_whole(1.0, lab, "wire", "br0", ping, flows=16, **PACE)
        laggd.command("stop")
        laggd.command("set fwd macswap")
        laggd.command("start")


def left(number):
    return number not in laggd.distributing() and TAPS[number] not in switch.enabled("bond0")


def judge(traffic, what, begin, settled, end):
    """Of frames sent while a link was away: after `settled` all must have come back."""
    report = traffic.stop()
    say(f"{what}: {traffic.lost(begin, settled)} lost at {RATE} frames/s, longest silence "
        f"{report.longest_silence * 1000:.0f} ms, {report.reordered} out of order")
    assert not report.changed and not report.twice, report
    lost = traffic.lost_at(settled, end)
    assert not lost, f"lost on the other link (seconds after, flow): {lost[:20]}"


def a_cut_link_is_left_and_comes_back():
    with Running("--forward-mode=macswap"):
        for number, card in enumerate(guest.cards):
            with Traffic(*udp(), **PACE) as traffic:
                time.sleep(0.5)
                before, begin = len(laggd.said), time.monotonic()
                guest.set_link(number, False)
                set_tap(number, "down")
                what = f"link of card {number}, {card.device}"
                patience = NOTICED if card.tells_down else EXPIRED
                until(lambda: left(number), f"{what}: left at both ends", patience, 0.05)
                measured(f"{what}: left at both ends", time.monotonic() - begin, high=patience)
                settled = time.monotonic() + GRACE
                time.sleep(GRACE + 1.0)
                judge(traffic, what, begin, settled, time.monotonic() - 0.2)
            say(f"{what}: {laggd.events(before)}")
            begin = time.monotonic()
            guest.set_link(number, True)
            set_tap(number, "up")
            wait_negotiated(f"{what}: on again, negotiated", begin)
        assert_whole(0.5, *udp(), **PACE)


def a_card_is_pulled_and_plugged_under_traffic():
    with Running("--forward-mode=macswap"):
        for number, card in enumerate(guest.cards):
            name = laggd.members[number]
            what = f"card {number}, {card.device}"
            with Traffic(*udp(), **PACE) as traffic:
                time.sleep(0.5)
                before, begin = len(laggd.said), time.monotonic()
                guest.unplug(number)
                set_tap(number, "down")  # as the partner of a card that is pulled sees it
                until(lambda: name not in laggd.views(), f"{what}: no member any more", 30)
                measured(f"{what}: no member any more", time.monotonic() - begin)
                until(lambda: left(number), f"{what}: left at both ends", EXPIRED)
                until(lambda: not guest.plugged(number), f"{what}: out of its slot", 30)
                measured(f"{what}: out of its slot", time.monotonic() - begin)
                settled = time.monotonic() + GRACE
                time.sleep(GRACE + 1.0)
                judge(traffic, what, begin, settled, time.monotonic() - 0.2)
            summary = laggd.command("show port summary all")
            assert not re.search(rf"{name} +net_", summary), summary
            with Traffic(*udp(), **PACE) as traffic:
                begin = time.monotonic()
                set_tap(number, "up")
                guest.plug(number)
                measured(f"{what}: plugged and bound", time.monotonic() - begin)
                laggd.command(f"port attach {name}")
                laggd.command(f"lagg add member {LAGG} {name}")
                wait_negotiated(f"{what}: attached, negotiated", begin)
                report = traffic.stop()
                say(f"while it came: {report}")
                assert not report.changed and not report.twice, report
            say(f"{what}: {laggd.events(before)}")
        assert_whole(0.5, *udp(), **PACE)


def tagged_answers(far, wanted):
    """Of 60 frames sent with a tag: (came back with it, without one); waits for what is wanted, or
    whether something comes."""
    time.sleep(max(card.settles for card in guest.cards))
    ours = address_of(lab, "wire", "br0")
    found = {True: 0, False: 0}
    with lab.socket("wire", socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)) as port:
        port.setsockopt(_SOL_PACKET, _PACKET_AUXDATA, 1)  # the kernel takes a tag out
        port.bind(("br0", 3))
        port.settimeout(0.2)
        frame = SwappedUdp(ours, far).frame
        for number in range(60):
            sent = frame(number % 8, number)
            port.send(sent[:12] + struct.pack("!HH", 0x8100, VLAN) + sent[12:])
            time.sleep(0.005)
        end = time.monotonic() + (PATIENCE if sum(wanted) else 1.5)
        while time.monotonic() < end and sum(found.values()) < (sum(wanted) or 1):
            try:
                data, control, _, address = port.recvmsg(65536, 256)
            except TimeoutError:
                continue
            if address[2] != socket.PACKET_OUTGOING and MAGIC in data and data[:6] == ours:
                status, = struct.unpack_from("I", control[0][2]) if control else (0,)
                found[bool(status & _TAG_IS_VALID) or data[12:14] == b"\x81\x00"] += 1
    return found[True], found[False]


def assert_tags(far, what, wanted):
    seen = tagged_answers(far, wanted)
    assert seen == wanted, f"{what}: {seen[0]} came back with their tag, {seen[1]} without"


def settings_of_the_lagg_reach_its_members():
    with Running("--forward-mode=macswap"):
        own = lagg_address()
        members_say("Promiscuous mode", "enabled")
        assert_tags(own, "VLANs as they come", (60, 0))
        laggd.command(f"set promisc {LAGG} off")
        members_say("Promiscuous mode", "disabled")
        assert_whole(0.5, *udp(own), **PACE)
        foreign = send_for(0.3, *udp(), rate=RATE, patience=1.5)
        assert foreign.sent and foreign.returned == 0, f"to a foreign address: {foreign}"
        laggd.command(f"vlan set filter on {LAGG}")
        members_say("VLAN offload", "strip off, filter on")
        assert_tags(own, "a VLAN that is not let in", (0, 0))
        laggd.command(f"rx_vlan add {VLAN} {LAGG}")
        assert_tags(own, "a VLAN that is let in", (60, 0))
        laggd.command(f"vlan set strip on {LAGG}")
        members_say("VLAN offload", "strip on, filter on")
        assert_tags(own, "tags taken out", (0, 60))
        laggd.command(f"vlan set strip off {LAGG}")
        laggd.command(f"vlan set filter off {LAGG}")
        members_say("VLAN offload", "strip off, filter off")
        say("VLANs: filtered, let in, tags taken out")

        laggd.command(f"mac_addr add {LAGG} {ECHO.hex(':')}")
        assert_whole(0.5, *udp(), **PACE)
        laggd.command(f"mac_addr remove {LAGG} {ECHO.hex(':')}")
        foreign = send_for(0.3, *udp(), rate=RATE, patience=1.5)
        assert foreign.sent and foreign.returned == 0, f"to an address that was removed: {foreign}"
        say("addresses: its own, and a further one, let in; a foreign one not")
        laggd.command(f"set allmulti {LAGG} on")
        members_say("Allmulticast mode", "enabled")
        laggd.command(f"set allmulti {LAGG} off")
        laggd.command(f"set promisc {LAGG} on")
        members_say("Promiscuous mode", "enabled")
        assert negotiated(), "LACP was let in all the time"


class LargeUdp(SwappedUdp):
    """Frames that fill an MTU of 9000."""

    def frame(self, flow, number):
        small = super().frame(flow, number)
        at = small.index(MAGIC)
        data = small[at:at + 16] + bytes((flow + number + i) & 0xff for i in range(8972 - 16))
        return small[:14] + ipv4(17, small[26:30], small[30:34], number, struct.pack(
            "!HHHH", 5000 + flow, 9, 8 + len(data), 0) + data)


def large_frames_and_several_queues():
    queues = min(card.queues for card in guest.cards)
    with Running("--forward-mode=macswap", f"--rxq={queues}", f"--txq={queues}", "--nb-cores=1",
                 f"--mbuf-size={max(card.buffer for card in guest.cards) + 128}",
                 "--total-num-mbufs=4096", "--rxd=256", "--txd=256"):
        assert info(LAGG)["Rx queues"].startswith(f"{queues} of"), info(LAGG)
        for name in laggd.members:  # and one for LACP, where the card can have it
            assert int(info(name)["Rx queues"].split(" of")[0]) >= queues, info(name)
        assert_whole(1.0, *udp(), **PACE)
        if queues > 1:
            counted = [int(laggd.command(f"show port xstats {LAGG}").split(
                f"rx_q{queue}_packets: ")[1].split()[0]) for queue in range(queues)]
            say(f"frames by rx queue: {counted}")
            assert sum(counted) > 300, counted
            if all(card.hears_rss for card in guest.cards):
                assert min(counted) > 30, counted
        # Not every driver can change it while it receives.
        for line in ("stop", f"port stop {LAGG}", f"port config mtu {LAGG} 9000",
                     f"port start {LAGG}", "start"):
            laggd.command(line)
        wait_negotiated("MTU changed, negotiated", time.monotonic())
        for name in (*laggd.members, LAGG):
            assert info(name)["MTU"].startswith("9000 "), info(name)
        large = LargeUdp(address_of(lab, "wire", "br0"))
        assert_whole(1.0, lab, "wire", "br0", large, flows=16, rate=50, patience=PATIENCE)
        assert negotiated(), "LACP goes on"


def laggd_leaves_with_exit_code_0():
    leave()


CHECKS = [
    it_negotiates_by_addresses_and_turns_frames_round,
    a_cut_link_is_left_and_comes_back,
    a_card_is_pulled_and_plugged_under_traffic,
    settings_of_the_lagg_reach_its_members,
    large_frames_and_several_queues,
    laggd_leaves_with_exit_code_0,
]


def start_switch(cards):
    global switch
    lay_taps(cards)
    switch = ovs.OpenVSwitch(lab, "wire")
    switch.add_bridge("br0")
    switch.configure("set", "interface", "br0", "mtu_request=9000")
    switch.add_bond("br0", "bond0", TAPS)


def main(words):
    global lab, guest
    shell = words[:1] == ["--shell"]
    if shell:
        words = words[1:]
    if not words or words[0] not in SETS:
        sys.exit(__doc__)
    name, wanted = words[0], words[1:]
    if not (LONG or shell or wanted or name in ALWAYS):
        skip("only with NET_LAGG_TEST_LONG")
    require(*ovs.PROGRAMS)
    machine.require()
    kinds, driver = SETS[name]
    cards = [CARDS[kind] for kind in kinds]
    qemu = machine.newer_qemu() if name in NEWER else machine.QEMU
    if qemu is None:
        skip(f"{name} needs a newer QEMU: buildtools/bootstrap long unpacks one, where it can be had")
    for card in cards:
        if not machine.emulates(qemu, card.device):
            skip(f"{' '.join(qemu)} emulates no {card.device}")
    lab = Lab()
    try:
        start_switch(cards)
        if shell:
            return subprocess.call(["ip", "netns", "exec", lab.spaces["wire"],
                                    *by_hand(lab, cards, driver, TAPS, qemu)])
        guest = NicGuest(lab, cards, driver, TAPS, qemu)
        say(f"guest up in {guest.boot_seconds:.1f} s: {guest.bound}")
        assert list(guest.bound) == guest.addresses(), guest.bound
        return check_all([check for check in CHECKS
                          if not wanted or check is CHECKS[-1] or
                          any(word in check.__name__ for word in wanted)])
    finally:
        lab.close()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
