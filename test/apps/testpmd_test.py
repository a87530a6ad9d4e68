"""Two laggs back to back in stock testpmd: it forwards, stops, starts, and every frame is accounted for."""

import sys

import testpmd_process as testpmd
from testpmd_process import LAGGS, WIRES, Testpmd, until

# What a lagg may do with a frame other than hand it on.
RX_DROPS = ("rx_dropped_not_collecting", "rx_dropped_foreign_unicast", "rx_dropped_drain_no_room")
TX_DROPS = ("tx_dropped_copy_refused", "tx_dropped_copy_no_memory")


def ends_well(pmd):
    code, text = pmd.quit()
    assert code == 0, f"exit code {code}: ...{text[-2000:]}"
    assert "Bye..." in text, text[-2000:]
    assert "Invalid port_id" not in text, text
    assert "PANIC" not in text and "net_lagg: " not in text, text


def drained(pmd, laggs):
    """Lets testpmd take from `laggs` what their wires still hold."""
    pmd.command("set portlist " + ",".join(str(port) for port in laggs))
    pmd.command("set fwd rxonly")
    pmd.command("start")
    for port in laggs:
        last = [None]

        def still():
            seen = pmd.stats(port)["RX-packets"]
            quiet, last[0] = seen == last[0], seen
            return quiet
        until(still, f"port {port} has nothing more")
    pmd.command("stop")


def account(pmd, sender, receiver):
    """tx of one == rx of the other + what was counted on the way; returns the frames."""
    sent, received = pmd.stats(sender), pmd.stats(receiver)
    out, into = pmd.xstats(sender), pmd.xstats(receiver)
    assert sent["TX-packets"] == received["RX-packets"] + received["RX-missed"], (sent, received)
    assert sent["TX-bytes"] == received["RX-bytes"], (sent, received)
    taken = sum(value for name, value in out.items() if name.startswith("tx_q") and
                name.endswith("_packets"))
    assert taken == sent["TX-packets"] + sum(out[name] for name in TX_DROPS), (taken, out)
    handed_up = sum(value for name, value in into.items() if name.startswith("rx_q") and
                    name.endswith("_packets"))
    assert received["RX-packets"] == handed_up + sum(into[name] for name in RX_DROPS), into
    assert sent["TX-errors"] == 0 and received["RX-errors"] == 0, (sent, received)
    return sent["TX-packets"]


def forwards(plugins, vdevs, mode, *options):
    with Testpmd(plugins, vdevs, *options) as pmd:
        pmd.prompt()
        a, b = pmd.port_of("net_lagg0"), pmd.port_of("net_lagg1")
        summary = pmd.command("show port summary all")
        assert "Number of available ports: 2" in summary, summary
        assert "net_wire" not in summary, f"members are still to be had: {summary}"
        until(lambda: pmd.link_is_up(a) and pmd.link_is_up(b), "both links are up")
        pmd.command(f"set fwd {mode}")
        pmd.command("start tx_first 4")
        until(lambda: min(pmd.stats(port)["RX-packets"] for port in (a, b)) > 10_000,
              "ten thousand frames in each direction")
        pmd.command("stop")
        drained(pmd, (a, b))
        assert account(pmd, a, b) > 10_000
        assert account(pmd, b, a) > 10_000
        ends_well(pmd)


def it_forwards_when_laggs_come_after_their_members(plugins):
    forwards(plugins, (*WIRES, *LAGGS), "io")


def it_forwards_when_laggs_come_before_their_members(plugins):
    forwards(plugins, (*LAGGS, *WIRES), "io")


def it_forwards_when_a_lagg_comes_between_its_members(plugins):
    forwards(plugins, (WIRES[0], LAGGS[0], WIRES[1], WIRES[2], LAGGS[1], WIRES[3]), "io")


def it_forwards_in_every_mode_on_two_queues(plugins):
    for mode in ("io", "mac", "macswap", "csum"):
        forwards(plugins, (*WIRES, *LAGGS), mode, "--rxq=2", "--txq=2")


def _one_way(plugins, policy):
    """One lagg sends many flows on two queues, then the other takes what the wires hold."""
    laggs = [lagg.replace("loadbalance", policy) for lagg in LAGGS]
    with Testpmd(plugins, (*WIRES, *laggs), "--rxq=2", "--txq=2", "--txonly-multi-flow") as pmd:
        pmd.prompt()
        a, b = pmd.port_of("net_lagg0"), pmd.port_of("net_lagg1")
        until(lambda: pmd.link_is_up(a) and pmd.link_is_up(b), "both links are up")
        pmd.command(f"set portlist {a}")
        pmd.command("set fwd txonly")
        pmd.command("start")
        until(lambda: pmd.stats(a)["TX-packets"] > 500, "five hundred frames sent")
        pmd.command("stop")
        drained(pmd, (b,))
        frames = account(pmd, a, b)
        counted = pmd.xstats(a)
        shares = [counted[f"member_net_wire{i}_tx_packets"] for i in (0, 2)]
        assert sum(shares) == frames, counted
        ends_well(pmd)
        return shares


def it_sends_many_flows_by_flow(plugins):
    assert min(_one_way(plugins, "loadbalance")) > 0


def it_sends_in_turn(plugins):
    assert min(_one_way(plugins, "roundrobin")) > 0


def it_sends_on_one_member_under_failover(plugins):
    shares = _one_way(plugins, "failover")
    assert min(shares) == 0 < max(shares), shares


def it_stops_and_starts_under_an_application_that_forwards(plugins):
    with Testpmd(plugins, (*WIRES, *LAGGS)) as pmd:
        pmd.prompt()
        a, b = pmd.port_of("net_lagg0"), pmd.port_of("net_lagg1")
        for _ in range(3):
            for port in (a, b):
                assert "Done" in pmd.command(f"port stop {port}")
                assert not pmd.link_is_up(port)
            for port in (a, b):
                assert "Done" in pmd.command(f"port start {port}")
            until(lambda: pmd.link_is_up(a) and pmd.link_is_up(b), "both links are up again")
            before = pmd.stats(b)["RX-packets"]
            pmd.command("start tx_first")
            until(lambda: pmd.stats(b)["RX-packets"] > before + 1000, "frames after a start")
            pmd.command("stop")
        pmd.command(f"port stop {a}")
        pmd.command(f"port config {a} rxq 2")
        ends_well(pmd)


def link_down_holds_traffic_and_link_up_lets_it_go_on(plugins):
    with Testpmd(plugins, (*WIRES, *LAGGS)) as pmd:
        pmd.prompt()
        a, b = pmd.port_of("net_lagg0"), pmd.port_of("net_lagg1")
        pmd.command("set fwd io")
        pmd.command("start tx_first 8")
        until(lambda: pmd.stats(b)["RX-packets"] > 10_000, "traffic")
        for _ in range(3):
            pmd.command(f"set link-down port {a}")
            until(lambda: not pmd.link_is_up(a), "its link is down")
            last = [None]

            def at_rest():
                now = pmd.stats(a)
                quiet, last[0] = now == last[0], now
                return quiet
            until(at_rest, "nothing is sent or received")
            pmd.command(f"set link-up port {a}")
            until(lambda: pmd.link_is_up(a), "its link is up")
            # What lay in its wires meanwhile goes round again.
            until(lambda: pmd.stats(a)["RX-packets"] > last[0]["RX-packets"] + 10_000,
                  "traffic goes on")
        pmd.command("stop")
        drained(pmd, (a, b))
        account(pmd, a, b)
        account(pmd, b, a)
        ends_well(pmd)


def a_cut_member_is_avoided_and_used_again_when_healed(plugins):
    sinks = ("--vdev=net_wire0", "--vdev=net_wire1",
             "--vdev=net_lagg0,policy=loadbalance,member=net_wire0,member=net_wire1")
    with Testpmd(plugins, sinks, "--txonly-multi-flow") as pmd:
        pmd.prompt()
        a = pmd.port_of("net_lagg0")
        until(lambda: pmd.link_is_up(a), "its link is up")
        pmd.command("set fwd txonly")
        pmd.command("start")

        def share(member):
            return pmd.xstats(a)[f"member_{member}_tx_packets"]

        def grows(member):
            was = share(member)
            until(lambda: share(member) > was, f"{member} sends")
        for _ in range(3):
            grows("net_wire0")
            grows("net_wire1")
            pmd.command("set link-down port 0")
            rest = 0

            def at_rest():
                # That the forwarding thread had no CPU meanwhile is no rest: many bursts, each of
                # many flows, must have gone by, and all of them between two looks at net_wire0.
                nonlocal rest
                rest, was = share("net_wire0"), share("net_wire1")
                until(lambda: share("net_wire1") > was + 1000, "net_wire1 sends")
                return share("net_wire0") == rest
            until(at_rest, "net_wire0 sends nothing more")
            grows("net_wire1")
            now = share("net_wire0")
            assert now == rest, f"{now - rest} frames after it had come to rest"
            assert pmd.link_is_up(a), "the lagg's link is down"
            pmd.command("set link-up port 0")
        grows("net_wire0")
        pmd.command("stop")
        counted = pmd.xstats(a)
        taken = counted["tx_q0_packets"] - sum(counted[name] for name in TX_DROPS)
        assert taken == counted["member_net_wire0_tx_packets"] + \
            counted["member_net_wire1_tx_packets"], counted
        ends_well(pmd)


def members_and_laggs_are_attached_and_detached_while_it_forwards(plugins):
    laggs = [lagg.replace("loadbalance", "roundrobin") + f",member=net_wire{i + 4}"
             for i, lagg in enumerate(LAGGS)]
    with Testpmd(plugins, (*WIRES, *laggs)) as pmd:
        pmd.prompt()
        a, b = pmd.port_of("net_lagg0"), pmd.port_of("net_lagg1")

        def grows(port, what):
            was = pmd.xstats(port).get(what, 0)
            until(lambda: pmd.xstats(port).get(what, 0) > was + 100, f"{what} of port {port}")

        def start():
            # What was attached testpmd takes for its own to send on until it is told.
            pmd.command(f"set portlist {a},{b}")
            until(lambda: pmd.link_is_up(a) and pmd.link_is_up(b), "both links are up")
            pmd.command("start tx_first 8")

        start()
        grows(b, "member_net_wire1_rx_packets")
        pmd.command("stop")
        for wire in ("net_wire4,peer=net_wire5", "net_wire5"):
            assert "is attached" in pmd.command(f"port attach {wire}"), pmd.text[-2000:]
        start()
        grows(a, "member_net_wire4_tx_packets")  # awaited, and now they are there
        # What was sent on one before the other lagg had its peer is lost, perhaps all there was.
        pmd.command("stop")
        start()
        grows(b, "member_net_wire5_tx_packets")
        # A member is not testpmd's to detach; nothing changes.
        assert "Failed to detach" in pmd.command("device detach net_wire4"), pmd.text[-2000:]
        grows(a, "member_net_wire4_tx_packets")
        pmd.command("stop")

        for port in (a, b):
            pmd.command(f"port stop {port}")
            assert "Done" in pmd.command(f"port detach {port}"), pmd.text[-2000:]
        summary = pmd.command("show port summary all")
        assert "net_lagg" not in summary and "net_wire4" in summary, summary
        for wire in ("net_wire4", "net_wire5"):  # testpmd forwards only when all it sees are started
            assert "Done" in pmd.command(f"device detach {wire}"), pmd.text[-2000:]
        for lagg in LAGGS:
            name, devargs = lagg.removeprefix("--vdev=").split(",", 1)
            assert "is attached" in pmd.command(f"port attach {name},{devargs}"), pmd.text[-2000:]
        a, b = pmd.port_of("net_lagg0"), pmd.port_of("net_lagg1")
        for port in (a, b):
            assert "Done" in pmd.command(f"port start {port}"), pmd.text[-2000:]
        start()
        grows(a, "rx_good_packets")
        grows(b, "rx_good_packets")
        pmd.command("stop")
        code, text = pmd.quit()
        assert code == 0 and "PANIC" not in text, text[-2000:]


def port_info_tells_what_it_is(plugins):
    with Testpmd(plugins, (*WIRES, *LAGGS), "--rxq=2", "--txq=2") as pmd:
        pmd.prompt()
        a = pmd.port_of("net_lagg0")
        until(lambda: pmd.link_is_up(a), "its link is up")
        text = pmd.command(f"show port info {a}")
        for words in ("Device name: net_lagg0", "Driver name: net_lagg", "Link speed: 20 Gbps",
                      "Current number of RX queues: 2", "Current number of TX queues: 2",
                      "policy=loadbalance,member=net_wire0,member=net_wire2"):
            assert words in text, f"{words!r} is not in {text}"
        pmd.command("clear port xstats all")
        pmd.command("clear port stats all")
        assert set(pmd.stats(a).values()) == {0}, pmd.stats(a)
        assert pmd.xstats(a)["tx_good_packets"] == 0
        ends_well(pmd)


def it_ends_well_while_it_forwards(plugins):
    with Testpmd(plugins, (*WIRES, *LAGGS)) as pmd:
        pmd.prompt()
        pmd.command("start tx_first")
        ends_well(pmd)


def it_ends_well_after_its_ports_were_closed(plugins):
    with Testpmd(plugins, (*WIRES, *LAGGS)) as pmd:
        pmd.prompt()
        pmd.command("port stop all")
        pmd.command("port close all")
        ends_well(pmd)


if __name__ == "__main__":
    sys.exit(testpmd.check_all([
        it_forwards_when_laggs_come_after_their_members,
        it_forwards_when_laggs_come_before_their_members,
        it_forwards_when_a_lagg_comes_between_its_members,
        it_forwards_in_every_mode_on_two_queues,
        it_sends_many_flows_by_flow,
        it_sends_in_turn,
        it_sends_on_one_member_under_failover,
        it_stops_and_starts_under_an_application_that_forwards,
        link_down_holds_traffic_and_link_up_lets_it_go_on,
        a_cut_member_is_avoided_and_used_again_when_healed,
        members_and_laggs_are_attached_and_detached_while_it_forwards,
        port_info_tells_what_it_is,
        it_ends_well_while_it_forwards,
        it_ends_well_after_its_ports_were_closed]))
