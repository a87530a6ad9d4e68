"""net_lagg against Open vSwitch's userspace datapath: laggd swaps addresses, frames are sent into
the switch's own port and come back through both ends of the bond."""

import os
import random
import signal
import sys
import time

import ovs
from lab import LONG, Lab, measured, require, say, until
from laggd_process import check_all
from lagg_process import WORKING, Laggd, differences
from ovs import working
from traffic import SwappedUdp, Traffic, address_of, counters, send_for

# The standard: a port waits 2 s to aggregate, and each step of the handshake is sent at once.  On a
# machine that is busy with other things a second more.
NEGOTIATED_WITHIN = 5.0
# Three fast periods without a PDU (ours are a quarter of a second longer); the last one came up to
# one period before the cut.
EXPIRED = (1.9, 4.5)
# A receive machine that expired keeps SYNC.  Open vSwitch keeps COLLECTING and DISTRIBUTING, too,
# and does not look at ours: a link that is silent one way is left with the second timeout.
DEFAULTED = (4.9, 7.5)
SLOW_EXPIRED = (59.0, 93.0)
# The partner asks for short timeouts by what it sends after a second; then as a negotiation.
RECOVERED_WITHIN = NEGOTIATED_WITHIN + 1.5
GRACE = 0.3  # for frames that were on their way when a link was given up
DEVARGS = "policy=lacp,hash=l3+l4"

lab = None
switch = None
wires = []


def both_ends(laggd, bond="bond0"):
    """[(laggd's view, Open vSwitch's)] by member."""
    ours, theirs = laggd.views(), switch.lacp(bond).get("members", {})
    return [(ours.get(member), theirs.get(f"o{i}"))
            for i, member in enumerate(laggd.members)]


def negotiated(laggd, members=(0, 1), bond="bond0"):
    """At both ends, and the partner sends on all: it keeps a flow on the one that it enabled first."""
    views = both_ends(laggd, bond)
    return laggd.distributing() == set(members) and all(
        views[i][1] is not None and working(*views[i]) for i in members) and \
        switch.enabled(bond) >= {f"o{i}" for i in members}


def wait_negotiated(laggd, what, within=NEGOTIATED_WITHIN, members=(0, 1), since=None):
    since = time.monotonic() if since is None else since
    try:
        until(lambda: negotiated(laggd, members), what, within + 5)
    except AssertionError:
        say_views(laggd)
        raise
    measured(what, time.monotonic() - since, high=within)


def say_views(laggd):
    for ours, theirs in both_ends(laggd):
        say(f"ours   {ours}")
        say(f"theirs {theirs}")


def assert_agree(laggd):
    """What each end says of itself is what the other believes, field by field."""
    def wrong():
        found = []
        for i, (ours, theirs) in enumerate(both_ends(laggd)):
            found += [differences(ours["actor"], theirs["partner"]),
                      differences(theirs["actor"], ours["partner"])]
        return [text for text in found if text]
    try:
        until(lambda: not wrong(), "both ends agree", 3)
    except AssertionError:
        raise AssertionError(f"the ends differ (ours first): {wrong()}") from None


def assert_settings(laggd, lacp, rate, our_mode="active"):
    bond = switch.lacp("bond0")
    for number, (ours, theirs) in enumerate(both_ends(laggd)):
        actor, partner = ours["actor"], theirs["actor"]
        assert ours["selection"] == "selected" and ours["in_use"] == 1, ours
        assert actor["state"] - {"activity", "timeout"} == WORKING, actor
        assert partner["state"] - {"activity", "timeout"} == WORKING, partner
        assert ("activity" in actor["state"]) == (our_mode == "active"), actor
        assert ("activity" in partner["state"]) == (lacp == "active"), partner
        assert ("timeout" in actor["state"]) == (rate == "fast"), actor
        assert ("timeout" in partner["state"]) == (rate == "fast"), partner
        assert partner["system"] == bond["sys_id"] and bond["lacp_time"] == rate, bond
        assert ours["receive"].upper() == "CURRENT", ours
    views = both_ends(laggd)
    assert len({ours["actor"]["port"] for ours, _ in views}) == len(views), views
    assert len({(ours["actor"]["system"], ours["actor"]["key"], ours["aggregator"])
                for ours, _ in views}) == 1, views


def frames():
    return lab, "b", "br0", SwappedUdp(address_of(lab, "b", "br0"))


def assert_whole(report):
    say(str(report))
    assert report.sent and report.returned == report.sent, report
    assert not (report.changed or report.twice or report.reordered), report


def both_links_used(before):
    after = [counters(lab, "b", f"o{i}") for i in range(2)]
    return [(b[0] - a[0], b[1] - a[1]) for a, b in zip(before, after)]


def negotiate(lacp, rate, mode, our_mode="active"):
    with Laggd(lab, "a", ["d0", "d1"],
               f"{DEVARGS},lacp_rate={rate},lacp_mode={our_mode}",
               "--forward-mode=macswap", "--port-topology=loop", "--auto-start") as laggd:
        begin = time.monotonic()
        switch.add_bond("br0", "bond0", ["o0", "o1"], lacp=lacp, time=rate, mode=mode)
        try:
            name = f"negotiated, {rate}, Open vSwitch {lacp}, net_lagg {our_mode}, {mode}"
            wait_negotiated(laggd, name, since=begin)
            assert switch.lacp("bond0")["status"] == f"{lacp} negotiated", switch.lacp("bond0")
            assert_agree(laggd)
            assert_settings(laggd, lacp, rate, our_mode)
            switch.deal_flows_anew("bond0")
            before = [counters(lab, "b", f"o{i}") for i in range(2)]
            assert_whole(send_for(0.6, *frames()))
            used = both_links_used(before)
            assert all(rx > 50 for rx, _ in used), f"we do not send on both: {used}"
            if mode == "balance-tcp":
                assert all(tx > 50 for _, tx in used), f"Open vSwitch does not use both: {used}"
        finally:
            switch.remove_bond("bond0")


def it_negotiates_with_every_setting_of_the_partner():
    for lacp in ("active", "passive"):
        for rate in ("fast", "slow"):
            for mode in ("balance-tcp", "active-backup"):
                negotiate(lacp, rate, mode)
    negotiate("active", "fast", "balance-tcp", our_mode="passive")


def mend_wires():
    for wire in wires:
        wire.plug()
        wire.heal()


class Bond:
    """One negotiated bond under traffic; what tests below have in common."""

    def __init__(self, rate="fast"):
        self.rate = rate

    def __enter__(self):
        switch.add_bond("br0", "bond0", ["o0", "o1"], time=self.rate)
        self.laggd = Laggd(lab, "a", ["d0", "d1"], f"{DEVARGS},lacp_rate={self.rate}",
                           "--forward-mode=macswap", "--port-topology=loop", "--auto-start")
        self.laggd.__enter__()
        try:
            wait_negotiated(self.laggd, "negotiated", NEGOTIATED_WITHIN + 1.5)
        except BaseException:
            self.__exit__(AssertionError)
            raise
        return self.laggd

    def __exit__(self, kind, *_):
        mend_wires()
        try:
            self.laggd.__exit__(kind)
        finally:
            switch.remove_bond("bond0")


def left_at_both_ends(laggd, number):
    others = {i for i in range(2) if i != number}
    return (laggd.distributing() == others and
            switch.enabled("bond0") == {f"o{i}" for i in others})


def carrier_loss_moves_the_flows_and_healing_brings_them_back():
    cuts, healthy = [], []
    with Bond() as laggd, Traffic(*frames()) as traffic:
        time.sleep(0.5)
        for number, wire in enumerate(wires):
            begin = time.monotonic()
            wire.unplug()
            until(lambda: left_at_both_ends(laggd, number), "both ends gave the link up", 5, 0.01)
            measured(f"carrier of link {number} lost, left at both ends", time.monotonic() - begin,
                     high=1.0)
            cut = begin, time.monotonic() + GRACE
            time.sleep(1.0)
            healthy.append((cut[1], time.monotonic()))
            cuts.append(cut)
            begin = time.monotonic()
            wire.plug()
            wait_negotiated(laggd, f"carrier of link {number} back, negotiated",
                            RECOVERED_WITHIN, since=begin)
            assert_agree(laggd)
        report = traffic.stop()
        say(str(report))
        say(f"lost around the cuts: {[traffic.lost(*cut) for cut in cuts]} at 1000 frames/s")
        assert not report.changed and not report.twice, report
        assert not any(traffic.lost(*window) for window in healthy), "lost on the other link"
        assert report.longest_silence < 1.0, report


def silent(what, towards, ours=EXPIRED, theirs=EXPIRED):
    with Bond() as laggd, Traffic(*frames()) as traffic:
        time.sleep(1.0)
        begin = time.monotonic()
        wires[0].silence(*towards)
        noticed, link_down = {}, []

        def look():
            now = time.monotonic() - begin
            view = laggd.view(0)
            if "receive" not in noticed and view["receive"].lower() != "current":
                noticed["receive"] = now
                say(f"our receive machine: {view['receive']} after {now:.2f} s")
            if "ours" not in noticed and 0 not in laggd.distributing():
                noticed["ours"] = now
            if "theirs" not in noticed and "o0" not in switch.enabled("bond0"):
                noticed["theirs"] = now
            info = laggd.info()
            if laggd.distributing() | {0} != {0, 1} or info["link_up"] != 1:
                link_down.append(info)
            return "ours" in noticed and "theirs" in noticed
        until(look, f"{what}: both ends gave the link up", 10)
        assert not link_down, f"the other member left, too: {link_down[0]}"
        measured(f"{what}: ours left", noticed["ours"], *ours)
        measured(f"{what}: theirs left", noticed["theirs"], *theirs)
        left = time.monotonic() + GRACE
        time.sleep(1.5)
        begin = time.monotonic()
        wires[0].heal()
        wait_negotiated(laggd, f"{what}: healed, negotiated", RECOVERED_WITHIN, since=begin)
        assert_agree(laggd)
        time.sleep(0.5)
        report = traffic.stop()
        say(str(report))
        assert not report.changed and not report.twice, report
        # A flow may have had one direction on each link; all are on the other one now.
        lost = traffic.lost(left, begin)
        assert lost == 0, f"{lost} frames lost after the link was given up"
        assert report.longest_silence < 1.0, "the other member stopped"
        assert_whole(send_for(0.5, *frames()))


def a_link_that_dies_silently_expires_at_both_ends_and_heals():
    silent("silent both ways", ())


def a_link_that_dies_silently_towards_us_is_left_at_both_ends():
    silent("silent towards net_lagg", (0,), theirs=DEFAULTED)


def a_link_that_dies_silently_towards_the_partner_is_left_at_both_ends():
    silent("silent towards Open vSwitch", (1,), ours=DEFAULTED)


def the_bond_stays_up_when_nobody_polls():
    with Bond() as laggd:
        def heard():
            return sum(view["LACPDUsRx"] for view in laggd.views().values())
        laggd.command("stop")
        begin, first = time.monotonic(), heard()
        seconds = 60 if LONG else 12
        while time.monotonic() < begin + seconds:
            bond = switch.lacp("bond0")
            for name, member in bond["members"].items():
                assert member["status"] == "current attached", (name, member)
                assert member["may_enable"], (name, member)
            assert laggd.distributing() == {0, 1}, laggd.views()
            time.sleep(0.2)
        received = heard() - first
        say(f"{received} PDUs received in {seconds} s without a poll")
        assert received >= 2 * (seconds - 3), "one each second on each of two links"
        laggd.command("start")
        assert_whole(send_for(1.0, *frames()))


def settings_changed_live_are_what_the_partner_sees():
    with Bond() as laggd:
        for setting, wanted in (
                ("rate slow", lambda end: "timeout" not in end["state"]),
                ("rate fast", lambda end: "timeout" in end["state"]),
                ("mode passive", lambda end: "activity" not in end["state"]),
                ("mode active", lambda end: "activity" in end["state"]),
                ("system-priority 100", lambda end: end["system_priority"] == 100),
                ("key 77", lambda end: end["key"] == 77),
                ("system-mac 02:00:00:00:77:77", lambda end: end["system"] == "02:00:00:00:77:77"),
                ("member 1 priority 5", lambda end: end["port"] != 2 or end["port_priority"] == 5)):
            begin = time.monotonic()
            laggd.command(f"set lagg {laggd.port} lacp {setting}")
            until(lambda: all(wanted(theirs["partner"]) for _, theirs in both_ends(laggd)),
                  f"Open vSwitch saw: {setting}", 5)
            say(f"{setting}: seen after {time.monotonic() - begin:.2f} s")
            wait_negotiated(laggd, f"negotiated after {setting}", RECOVERED_WITHIN, since=begin)
            assert_agree(laggd)


def after_many_flaps_all_is_as_before():
    """Cuts of both kinds at random, in both directions, shorter and longer than every timeout."""
    seed = int(os.environ.get("LAGG_TEST_SEED", time.time_ns() % 2**32))
    say(f"LAGG_TEST_SEED={seed}")
    chance = random.Random(seed)
    with Bond() as laggd, Traffic(*frames(), rate=500) as traffic:
        cuts, until_when = 0, time.monotonic() + (600 if LONG else 8)
        while time.monotonic() < until_when:
            wire = chance.choice(wires)
            how = chance.choice((wire.unplug, wire.silence, lambda: wire.silence(0),
                                 lambda: wire.silence(1)))
            how()
            time.sleep(chance.choice((0.02, 0.1, 0.3, 1.0, 3.5)) * chance.random())
            if chance.random() < 0.7:
                mend_wires()
            time.sleep(chance.choice((0.0, 0.1, 0.5)))
            cuts += 1
        begin = time.monotonic()
        mend_wires()
        wait_negotiated(laggd, f"after {cuts} cuts, negotiated", RECOVERED_WITHIN + 2, since=begin)
        assert_agree(laggd)
        report = traffic.stop()
        say(str(report))
        assert not report.changed and not report.twice, report
        assert_whole(send_for(0.5, *frames()))


def a_drained_member_leaves_without_a_loss():
    with Bond() as laggd, Traffic(*frames()) as traffic:
        time.sleep(0.5)
        begin = time.monotonic()
        laggd.command(f"lagg drain {laggd.port} 0")
        until(lambda: laggd.view(0) is None and switch.enabled("bond0") == {"o1"},
              "both ends left the member", 10)
        # 3 s for a Marker response that this partner never sends, 3 s for it to stop.
        measured("drained", time.monotonic() - begin, high=6.0)
        time.sleep(0.5)
        before = [counters(lab, "b", f"o{i}")[1] for i in range(2)]
        time.sleep(0.5)
        after = [counters(lab, "b", f"o{i}")[1] for i in range(2)]
        assert after[0] - before[0] < 10, "Open vSwitch still sends on the drained link"
        end = time.monotonic()
        laggd.command(f"lagg add member {laggd.port} 0")
        wait_negotiated(laggd, "taken back, negotiated", RECOVERED_WITHIN, since=end)
        report = traffic.stop()
        say(f"{report}; {laggd.given_back()} given back and offered again")
        assert not report.changed and not report.twice, report
        assert traffic.lost() == 0, f"{traffic.lost()} lost"


def restart(how, what):
    with Bond() as laggd:
        systems = {view["partner"]["system"] for view in laggd.views().values()}
        begin = time.monotonic()
        switch.restart(how)
        say(f"{what}: the new switch answers after {time.monotonic() - begin:.2f} s")
        wait_negotiated(laggd, f"Open vSwitch {what}, negotiated again", 8.0, since=begin)
        assert_agree(laggd)
        lab.ip("b", "link", "set", "br0", "up")
        assert_whole(send_for(1.0, *frames()))
        say(f"partner before {systems}, now "
            f"{ {view['partner']['system'] for view in laggd.views().values()} }")


def the_partner_can_be_restarted():
    restart(signal.SIGTERM, "ended and started")


def the_partner_can_be_killed_and_started_again():
    restart(signal.SIGKILL, "killed and started")


def laggd_can_be_killed_and_started_again():
    switch.add_bond("br0", "bond0", ["o0", "o1"])
    options = ("--forward-mode=macswap", "--port-topology=loop", "--auto-start")
    try:
        first = Laggd(lab, "a", ["d0", "d1"], f"{DEVARGS},lacp_rate=fast", *options)
        wait_negotiated(first, "negotiated", NEGOTIATED_WITHIN + 1.5)
        first.process.kill()
        first.process.wait()
        begin = time.monotonic()
        with Laggd(lab, "a", ["d0", "d1"], f"{DEVARGS},lacp_rate=fast", *options) as laggd:
            say(f"the new laggd runs after {time.monotonic() - begin:.2f} s")
            wait_negotiated(laggd, "net_lagg killed and started, negotiated again", 9.0,
                            since=begin)
            assert_agree(laggd)
            assert_whole(send_for(0.5, *frames()))
    finally:
        switch.remove_bond("bond0")


def of_two_partners_one_carries_traffic():
    """Each member ends in another bond of the switch: other keys, so two aggregators."""
    switch.add_bridge("br1")
    switch.add_port("br0", "o0", 11)
    switch.add_port("br1", "o1", 12)
    try:
        with Laggd(lab, "a", ["d0", "d1"], f"{DEVARGS},lacp_rate=fast", "--forward-mode=macswap",
                   "--port-topology=loop", "--auto-start") as laggd:
            until(lambda: len(laggd.distributing()) == 1, "one member carries traffic", 10)
            measured("one of two partners chosen", time.monotonic() - laggd.started, high=9.0)
            time.sleep(2.0)
            chosen = laggd.distributing()
            assert len(chosen) == 1, chosen
            views = [laggd.view(i) for i in range(2)]
            assert views[0]["partner"]["key"] == 11 and views[1]["partner"]["key"] == 12, views
            number = chosen.pop()
            assert views[number]["in_use"] == 1 and views[1 - number]["in_use"] == 0, views
            assert views[0]["aggregator"] != views[1]["aggregator"], views
            for i in range(2):
                state = switch.lacp(f"o{i}")["members"][f"o{i}"]["partner"]["state"]
                assert ("distributing" in state) == (i == number), (i, state)
            assert_other_link_is_quiet(number)
            # The chosen one goes: the other one takes over.
            begin = time.monotonic()
            wires[number].unplug()
            until(lambda: laggd.distributing() == {1 - number}, "the other one takes over", 10)
            measured("other partner taken over to", time.monotonic() - begin, high=5.0)
    finally:
        mend_wires()
        switch.remove_bond("o0")
        switch.remove_bond("o1")
        switch.configure("del-br", "br1")


def assert_other_link_is_quiet(number):
    # Frames go into both bridges; only those of the chosen link may come back.
    reports = []
    for bridge in ("br0", "br1"):
        reports.append(send_for(0.7, lab, "b", bridge,
                                SwappedUdp(address_of(lab, "b", bridge))))
    say(f"chosen link: {reports[number]}")
    say(f"other link: {reports[1 - number]}")
    assert reports[number].returned == reports[number].sent > 0, reports[number]
    assert reports[1 - number].returned == 0, reports[1 - number]


def slow_timeouts_expire_after_their_time():
    with Bond("slow") as laggd:
        begin = time.monotonic()
        wires[0].silence()
        until(lambda: 0 not in laggd.distributing(), "expired", 100)
        measured("slow: silent both ways, ours left", time.monotonic() - begin, *SLOW_EXPIRED)
        begin = time.monotonic()
        wires[0].heal()
        wait_negotiated(laggd, "slow: healed, negotiated", 35.0, since=begin)


CHECKS = [
    it_negotiates_with_every_setting_of_the_partner,
    carrier_loss_moves_the_flows_and_healing_brings_them_back,
    a_link_that_dies_silently_expires_at_both_ends_and_heals,
    a_link_that_dies_silently_towards_us_is_left_at_both_ends,
    a_link_that_dies_silently_towards_the_partner_is_left_at_both_ends,
    the_bond_stays_up_when_nobody_polls,
    settings_changed_live_are_what_the_partner_sees,
    a_drained_member_leaves_without_a_loss,
    after_many_flaps_all_is_as_before,
    the_partner_can_be_restarted,
    the_partner_can_be_killed_and_started_again,
    laggd_can_be_killed_and_started_again,
    of_two_partners_one_carries_traffic,
]
# Two minutes: with --long.
if LONG:
    CHECKS.append(slow_timeouts_expire_after_their_time)
else:
    say("not run: slow_timeouts_expire_after_their_time, which takes two minutes (--long)")

if __name__ == "__main__":
    require(*ovs.PROGRAMS)
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
