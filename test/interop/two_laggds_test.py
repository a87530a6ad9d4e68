"""net_lagg against net_lagg in another process: one forwards between a port of its own and its
lagg, the other one swaps addresses."""

import sys
import time

from lab import Lab, measured, require, say, until
from laggd_process import check_all
from lagg_process import WORKING, Laggd, differences
from traffic import SwappedUdp, Traffic, address_of, send_for

# 2 s to aggregate and a second for the first PDU; after three PDUs in a second the next one waits.
NEGOTIATED_WITHIN = 6.0
EXPIRED = (1.9, 4.5)  # three fast periods, the last PDU being up to one old
RECOVERED_WITHIN = 6.5
DEVARGS = "policy=lacp,lacp_rate=fast,hash=l3+l4"

lab = None
wires = []


def near(interfaces, devargs=""):
    """Forwards between interface h1 and the lagg."""
    return Laggd(lab, "a", interfaces, DEVARGS + devargs, "--forward-mode=io", "--auto-start",
                 bridged="h1")


def far(interfaces, devargs="", space="b"):
    return Laggd(lab, space, interfaces, DEVARGS + devargs, "--forward-mode=macswap",
                 "--port-topology=loop", "--auto-start")


def frames():
    return lab, "h", "h0", SwappedUdp(address_of(lab, "h", "h0"))


def assert_whole(report):
    say(str(report))
    assert report.sent and report.returned == report.sent, report
    assert not (report.changed or report.twice or report.reordered), report


def mend_wires():
    for wire in wires:
        wire.plug()
        wire.heal()


def works(view):
    return view is not None and all(WORKING <= view[end]["state"] for end in ("actor", "partner"))


def negotiated(one, members, other, other_members):
    return (one.distributing() == set(members) and other.distributing() == set(other_members) and
            all(works(one.view(i)) for i in members) and
            all(works(other.view(i)) for i in other_members))


def wait_negotiated(one, members, other, other_members, what, within, since):
    try:
        until(lambda: negotiated(one, members, other, other_members), what, within + 5)
    except AssertionError:
        say(f"one   {one.views()}")
        say(f"other {other.views()}")
        raise
    measured(what, time.monotonic() - since, high=within)


def assert_agree(one, members, other, other_members):
    def wrong():
        found = []
        for i, j in zip(members, other_members):
            a, b = one.view(i), other.view(j)
            found += [differences(a["actor"], b["partner"]), differences(b["actor"], a["partner"])]
        return [text for text in found if text]
    try:
        until(lambda: not wrong(), "both ends agree", 3)
    except AssertionError:
        raise AssertionError(f"the ends differ: {wrong()}") from None


BOTH = ([0, 1], [0, 1])
AT_ONCE = (",lacp_wait_while=0",) * 2  # where it is not about the negotiation


def pair(check, near_args="", far_args=""):
    begin = time.monotonic()
    with near(["d0", "d1"], near_args) as one, far(["e0", "e1"], far_args) as other:
        say(f"both run after {time.monotonic() - begin:.2f} s")
        try:
            wait_negotiated(one, BOTH[0], other, BOTH[1], "negotiated since the second one runs",
                            NEGOTIATED_WITHIN, other.started)
            assert_agree(one, BOTH[0], other, BOTH[1])
            check(one, other)
        finally:
            mend_wires()


def they_negotiate_and_frames_come_back_whole():
    def check(one, other):
        assert_whole(send_for(1.0, *frames()))
        for laggd in (one, other):
            sent = [int(lab.execute(space, "cat", f"/sys/class/net/{name}/statistics/tx_packets"))
                    for space, name in ((("a", "d0"), ("a", "d1")) if laggd is one else
                                        (("b", "e0"), ("b", "e1")))]
            assert min(sent) > 100, f"not on both links: {sent}"
    pair(check, far_args=",lacp_mode=passive")


def coupled_control_negotiates_with_independent_control():
    pair(lambda *_: assert_whole(send_for(0.5, *frames())), near_args=",lacp_mux=coupled")


def a_silent_link_is_left_by_both_in_time(towards):
    what = {(): "silent both ways", (0,): "silent towards one", (1,): "silent towards the other"}

    def check(one, other):
        with Traffic(*frames()) as traffic:
            time.sleep(0.5)
            begin = time.monotonic()
            wires[1].silence(*towards)
            noticed = {}

            def look():
                for laggd in (one, other):
                    if laggd not in noticed and laggd.distributing() == {0}:
                        noticed[laggd] = time.monotonic() - begin
                return len(noticed) == 2
            until(look, "both left", 10)
            for name, laggd in (("one", one), ("other", other)):
                measured(f"{what[towards]}: {name} left", noticed[laggd], *EXPIRED)
            left = time.monotonic() + 0.3
            time.sleep(1.0)
            begin = time.monotonic()
            wires[1].heal()
            wait_negotiated(one, BOTH[0], other, BOTH[1], f"{what[towards]}: healed, negotiated",
                            RECOVERED_WITHIN, begin)
            report = traffic.stop()
            say(str(report))
            assert not report.changed and not report.twice and report.longest_silence < 1, report
            lost = traffic.lost(left, begin)
            assert lost == 0, f"{lost} frames lost after both had left the link"
    pair(check, *AT_ONCE)


def a_link_silent_both_ways_is_left_by_both_in_time():
    a_silent_link_is_left_by_both_in_time(())


def a_link_silent_one_way_is_left_by_both_in_the_same_time():
    a_silent_link_is_left_by_both_in_time((1,))


class TooBusy(AssertionError):
    """The machine lost frames before they reached a laggd, so it may have lost others behind it."""


def unless_too_busy(check):
    for _ in range(2):
        try:
            return check()
        except TooBusy as error:
            say(f"once more: {error}")
    return check()


def assert_none_lost(traffic, begin, one, other):
    """Of what came into the first one's own port."""
    given_back = one.given_back() + other.given_back()  # laggd offers them again
    received, _ = one.bridged_frames()
    lost, never_came = traffic.lost(begin), max(0, traffic.report.sent - received)
    say(f"{traffic.report}; since then {lost} lost, {given_back} given back to laggd, "
        f"{never_came} never reached it")
    if lost > never_came > 0:
        raise TooBusy(f"{lost} lost, {never_came} of them before they reached a laggd")
    assert lost <= never_came, "frames were lost on their way"


def flows_that_move_to_a_link_that_is_back_stay_in_order():
    """With the guard, a Marker request goes after a flow's last frame on its old link, and its next
    frame waits for the response."""
    def check(one, other):
        with Traffic(*frames(), rate=2000) as traffic:
            wires[1].unplug()
            until(lambda: one.distributing() == other.distributing() == {0}, "both left", 5)
            time.sleep(0.5)
            begin = time.monotonic()
            wires[1].plug()
            wait_negotiated(one, BOTH[0], other, BOTH[1], "plugged, negotiated", RECOVERED_WITHIN,
                            begin)
            time.sleep(1.0)
            report = traffic.stop()
            assert_none_lost(traffic, begin, one, other)
            assert not traffic.reordered(begin), f"{traffic.reordered(begin)} out of order"
        for name, laggd in (("one", one), ("other", other)):
            views = laggd.views().values()
            sent, answered, asked, responses = (sum(view[field] for view in views) for field in (
                "MarkerPDUsTx", "MarkerResponsePDUsRx", "MarkerPDUsRx", "MarkerResponsePDUsTx"))
            say(f"{name}: {sent} Marker requests sent, {answered} answered; {asked} received, "
                f"{responses} answered")
            assert sent > 0 and answered == sent and responses == asked
    unless_too_busy(lambda: pair(check, ",reorder_guard=1", ",reorder_guard=1"))


def a_drained_member_leaves_without_a_loss():
    def check(one, other):
        with Traffic(*frames(), rate=2000) as traffic:
            time.sleep(0.3)
            begin = time.monotonic()
            one.command(f"lagg drain {one.port} 1")
            until(lambda: one.view(1) is None and other.distributing() == {0}, "it left", 10)
            measured("drained", time.monotonic() - begin, high=5.0)
            time.sleep(0.3)
            report = traffic.stop()
            assert not report.changed and not report.twice and not report.reordered, report
            assert_none_lost(traffic, 0.0, one, other)
    unless_too_busy(lambda: pair(check, ",reorder_guard=1", ",reorder_guard=1"))


def two_laggs_with_one_identity_are_one_partner():
    """Two processes with the same system address, priority and key and disjoint port numbers: the
    one at the other end of both sees one system, and one aggregator of both links."""
    identity = ",lacp_system_mac=02:00:00:00:0e:01,lacp_system_priority=100,lacp_key=9"
    with near(["d0", "d1"]) as one, far(["e0"], identity + ",lacp_first_port=1") as first, \
            far(["e1"], identity + ",lacp_first_port=101") as second:
        until(lambda: one.distributing() == {0, 1} and first.distributing() == {0} and
              second.distributing() == {0}, "negotiated with both", 10)
        measured("negotiated with two processes as one system",
                 time.monotonic() - second.started, high=NEGOTIATED_WITHIN + 1)
        assert_agree(one, [0], first, [0])
        assert_agree(one, [1], second, [0])
        views = [one.view(i) for i in range(2)]
        assert len({view["aggregator"] for view in views}) == 1, views
        assert len({view["partner"]["system"] for view in views}) == 1, views
        assert [view["partner"]["port"] for view in views] == [1, 101], views
        assert_whole(send_for(0.7, *frames()))
        # One of the two processes dies: the other one carries on alone.
        begin = time.monotonic()
        second.process.kill()
        until(lambda: one.distributing() == {0}, "left the dead one", 6)
        measured("one of two processes killed, left", time.monotonic() - begin, *EXPIRED)
        assert_whole(send_for(0.5, *frames()))
        second.quit = lambda: None


CHECKS = [
    they_negotiate_and_frames_come_back_whole,
    coupled_control_negotiates_with_independent_control,
    a_link_silent_both_ways_is_left_by_both_in_time,
    a_link_silent_one_way_is_left_by_both_in_the_same_time,
    flows_that_move_to_a_link_that_is_back_stay_in_order,
    a_drained_member_leaves_without_a_loss,
    two_laggs_with_one_identity_are_one_partner,
]

if __name__ == "__main__":
    require()
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
