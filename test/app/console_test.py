"""laggd's console and options: what is right works, what is wrong is named and changes nothing."""

import os
import re
import sys
import tempfile

import laggd_process as laggd

NULLS = ("--vdev=net_null0", "--vdev=net_null1", "--vdev=net_null2")
# Two laggs of two members each can be built from these: 0 and 2 are one end, 1 and 3 the other.
PAIRS = tuple(f"--vdev=net_wire{i},peer=net_wire{i ^ 1}" for i in range(4))
ALL_BITS = {"activity", "timeout", "aggregation", "sync", "collecting", "distributing"}
# Without a peer: what is sent is counted and freed.
WIRES = ("--vdev=net_wire0", "--vdev=net_wire1", "--vdev=net_wire2")


def session(lines, *options, vdevs=NULLS):
    """Exit code, and the answer to each line."""
    code, text = laggd.run([*laggd.eal(*vdevs), "--", *options], "\n".join(lines) + "\nquit\n")
    answers = re.split(r"^laggd> .*\n", text, flags=re.MULTILINE)[1:]
    assert len(answers) == len(lines) + 1, text
    return code, answers


def wrong_options_are_named_with_what_is_allowed():
    for arguments, words in (
            (["--burst", "0"], ["--burst", "'0'", "1", "512"]),
            (["--burst=many"], ["--burst", "'many'"]),
            (["--forward-mode=fast"], ["--forward-mode", "'fast'", "macswap", "icmpecho"]),
            (["--durations", "3"], ["--durations", "--duration"]),
            (["--portlist", "0,0"], ["--portlist", "twice"]),
            (["--txpkts", "63"], ["--txpkts", "64"]),
            (["--rate", "-1"], ["--rate", "max"]),
            (["--eth-peer", "0,xx"], ["--eth-peer", "PORT,MAC"]),
            (["--json"], ["--json", "missing"]),
            (["--demo=yes"], ["--demo", "no value"]),
            (["--forward-mode", "replay"], ["--replay-file"]),
            (["stray"], ["stray"])):
        code, text = laggd.run(["--", *arguments], timeout=30)
        assert code == 2, f"{arguments}: exit code {code}\n{text}"
        for word in words:
            assert word in text, f"{arguments}: {word!r} is not in: {text}"
        assert "EAL" not in text, f"{arguments}: EAL was started: {text}"


def missing_files_are_named():
    for option in ("--cmdline-file", "--replay-file"):
        code, text = laggd.run([*laggd.eal(*NULLS), "--", option, "/nowhere/file"])
        assert code == 1 and "/nowhere/file" in text, text
    code, text = laggd.run([*laggd.eal(*NULLS), "--", "--json", "/nowhere/file"], "quit\n")
    assert code == 1 and "/nowhere/file" in text, text


def wrong_commands_say_what_was_expected():
    wrong = {
        "frobnicate": ["frobnicate", "show", "lagg", "quit"],
        "show": ["port", "lagg", "config"],
        "show port stats 9": ["'9'", "net_null0"],
        "show port everything 0": ["'everything'", "xstats"],
        "set fwd warp": ["'warp'", "macswap", "replay"],
        "set burst 513": ["'513'", "1", "512"],
        "set rate fast": ["fast", "max"],
        "set txpkts 20": ["20", "64"],
        "set eth-peer 0 zz": ["zz", "02:00:00:00:00:01"],
        "set portlist 7": ["port 7"],
        "show lagg 0": ["'0'", "lagg port"],
        "lagg create bond0": ["bond0", "net_lagg"],
        "lagg create net_lagg7 policy=best": ["net_lagg7", "EINVAL"],
        "show lacp": ["lagg port", "all"],
        "show lacp 1": ["'1'", "lagg port"],
        "lagg drain 0 1": ["'0'", "lagg port"],
        "wire cut 0": ["'0'", "wire port"],
        "port attach nothing_like_this": ["nothing_like_this", "vdev"],
        "port start 0": ["started already"],
        "port detach 0": ["port stop 0"],
        "set replay file /nowhere": ["/nowhere"],
        "quit now": ["'now'", "the end of the line"],
    }
    before = "show config fwd"
    lines = [before, *wrong, before, "show port summary all"]
    code, answers = session(lines)
    assert code == 0, answers
    for line, answer in zip(wrong, answers[1:]):
        assert answer.count("error: ") == 1, f"{line}: {answer}"
        for word in wrong[line]:
            assert word in answer, f"{line}: {word!r} is not in: {answer}"
    assert answers[0] == answers[len(wrong) + 1], "a wrong command changed something"
    assert answers[len(wrong) + 2].count("net_null") == 6, answers[-2]


def a_lagg_is_made_changed_and_unmade_under_traffic():
    lines = [
        "lagg create net_lagg0 policy=loadbalance",  # 3
        "lagg add member 3 0",
        "lagg add member 3 net_wire1",
        "port start 3",
        "set portlist 3",
        "set fwd txonly",
        "start",
        "set lagg 3 policy roundrobin",
        "set lagg 3 policy failover",
        "set lagg 3 primary net_wire1",
        "set lagg 3 hash l3+l4",
        "set lagg 3 symmetric on",
        "set lagg 3 seed 0x1234",
        "set lagg 3 stride 8",
        "set lagg 3 weight net_wire1 3",
        "set lagg 3 failback never",
        "set lagg 3 min_links 1",
        "set lagg 3 delays 10 20",
        "set lagg 3 rx_all on",
        "set lagg 3 flowid on",
        "set lagg 3 policy loadbalance",
        "lagg add member 3 2",
        "lagg remove member 3 0",
        "show lagg 3",
        "show lagg 3 buckets",
    ]
    refused = {
        "port stop 3": "stop first",
        "lagg destroy 3": "stop first",
        "lagg add member 3 3": "ELOOP",
        "lagg add member 3 1": "EEXIST",
        "lagg remove member 3 0": "ENOENT",
        "port start 1": "belongs to",
        "start": "already",
        "set fwd io": "stop first",
    }
    end = ["stop", "lagg destroy 3", "show port summary all"]
    code, answers = session([*lines, *refused, *end], vdevs=WIRES)
    assert code == 0, answers
    for line, answer in zip(lines, answers):
        assert "error" not in answer, f"{line}: {answer}"
    page = answers[lines.index("show lagg 3")]
    for word in ("policy loadbalance, started", "hash l3+l4", "symmetric on", "flowid on",
                 "0x00001234", "stride 8", "primary net_wire1", "failback never", "rx_all on",
                 "up 10 ms down 20 ms", "net_wire2"):
        assert word in page, f"{word!r} is not in: {page}"
    assert "net_wire0" not in page, page
    for (line, word), answer in zip(refused.items(), answers[len(lines):]):
        assert "error: " in answer and word in answer, f"{line}: {answer}"
    stopped, destroyed, summary = answers[-4:-1]
    sent = int(re.search(r"3/0 +3/0 +\d+ +(\d+)", stopped).group(1))
    assert sent > 0, stopped
    assert "is destroyed" in destroyed and "net_lagg" not in summary, summary


def wrong_lacp_commands_say_what_was_expected():
    wrong = {
        "set lagg 4 policy lcap": ["'lcap'", "lacp"],
        "set lagg 4 lacp": ["mode", "rate", "fallback", "member"],
        "set lagg 4 lacp mode on": ["'on'", "active, passive"],
        "set lagg 4 lacp rate medium": ["'medium'", "fast, slow"],
        "set lagg 4 lacp system-priority 65536": ["'65536'", "0 to 65535"],
        "set lagg 4 lacp system-mac 01:80:c2:00:00:02": ["01:80:c2:00:00:02", "unicast", "own"],
        "set lagg 4 lacp system-mac 02:00": ["'02:00'", "own"],
        "set lagg 4 lacp key 0": ["'0'", "1 to 65535"],
        "set lagg 4 lacp first-port 65504": ["'65504'", "1 to 65503"],
        "set lagg 4 lacp select best": ["'best'", "stable, bandwidth, count"],
        "set lagg 4 lacp mux both": ["'both'", "independent, coupled"],
        "set lagg 4 lacp max-links 33": ["'33'", "1 to 32"],
        "set lagg 4 lacp wait-while 60001": ["'60001'", "0 to 60000"],
        "set lagg 4 lacp fallback none": ["'none'", "strict, one, individual"],
        "set lagg 4 lacp fallback one x": ["'x'", "0 to 60000"],
        "set lagg 4 lacp drain-wait -1": ["'-1'", "0 to 60000"],
        "set lagg 4 lacp damping on": ["'on'", "off", "1 to 60000"],
        "set lagg 4 lacp damping 100 suppress 1000 reuse 2000": ["suppress"],
        "set lagg 4 lacp reorder-guard maybe": ["'maybe'", "on, off"],
        "set lagg 4 lacp member net_wire0": ["priority", "number", "key", "individual"],
        "set lagg 4 lacp member net_wire0 number 2": ["number", "EINVAL"],
        "set lagg 4 lacp member net_wire0 individual yes": ["'yes'", "on, off"],
        "lagg drain 4 1": ["ENOENT", "no member"],
    }
    show = "show lacp 4"
    code, answers = session(["lagg create net_lagg0 policy=lacp", show, *wrong, show], vdevs=PAIRS)
    assert code == 0, answers
    for line, answer in zip(wrong, answers[2:]):
        assert answer.count("error: ") == 1, f"{line}: {answer}"
        for word in wrong[line]:
            assert word in answer, f"{line}: {word!r} is not in: {answer}"
    assert answers[1] == answers[len(wrong) + 2], "a wrong command changed something"


def every_lacp_setting_is_set_and_shown():
    lines = {
        "set lagg 4 lacp mode passive": "passive fast",
        "set lagg 4 lacp rate slow": "passive slow",
        "set lagg 4 lacp system-priority 100": "system 100,own",
        "set lagg 4 lacp system-mac 02:00:00:00:00:09": "system 100,02:00:00:00:00:09",
        "set lagg 4 lacp key 77": "key 77",
        "set lagg 4 lacp first-port 300": "first-port 300",
        "set lagg 4 lacp select bandwidth": "select bandwidth",
        "set lagg 4 lacp select count": "select count",
        "set lagg 4 lacp mux coupled": "mux coupled",
        "set lagg 4 lacp max-links 3": "max-links 3",
        "set lagg 4 lacp wait-while 1234": "wait-while 1234",
        "set lagg 4 lacp fallback one": "fallback one 10000",
        "set lagg 4 lacp fallback individual 5000": "fallback individual 5000",
        "set lagg 4 lacp drain-wait 1500": "drain-wait 1500",
        "set lagg 4 lacp damping 4000": "damping 4000:2500:1000",
        "set lagg 4 lacp damping 5000 suppress 3000 reuse 500": "damping 5000:3000:500",
        "set lagg 4 lacp reorder-guard off": "reorder-guard off 50",
        "set lagg 4 lacp reorder-guard on 20": "reorder-guard on 20",
        "set lagg 4 lacp mode active": "active slow",
        "set lagg 4 lacp rate fast": "active fast",
        "set lagg 4 lacp select stable": "select stable",
        "set lagg 4 lacp mux independent": "mux independent",
        "set lagg 4 lacp fallback strict": "fallback strict 5000",
        "set lagg 4 lacp damping off": "damping off",
        "set lagg 4 lacp system-mac own": "system 100,own",
    }
    members = {
        "set lagg 4 lacp member net_wire0 priority 5": "port 5,300",
        "set lagg 4 lacp member 0 number 900": "port 5,900",
        "set lagg 4 lacp member net_wire0 key 12": "key 12 port 5,900",
        "set lagg 4 lacp member net_wire0 individual on": ", individual",
        "set lagg 4 lacp member net_wire0 number 0": "port 5,300",
        "set lagg 4 lacp member net_wire0 priority 0": "port 32768,300",
    }
    app = laggd.Piped([*laggd.eal(*PAIRS), "--"])
    try:
        for line in ("lagg create net_lagg0 policy=lacp,lacp_wait_while=100", "lagg add member 4 0",
                     "port start 4"):
            answer = app.ask(line)
            assert "error" not in answer, f"{line}: {answer}"
        for line, shown in (*lines.items(), *members.items()):
            answer = app.ask(line)
            assert "error" not in answer, f"{line}: {answer}"
            page = app.ask("show lacp 4")
            assert shown in page, f"{line}: {shown!r} is not in: {page}"
        assert app.end() == 0, app.seen[-2000:]
    finally:
        app.kill()


def two_laggs_agree_show_both_ends_and_drain_a_member():
    app = laggd.Piped([*laggd.eal(*PAIRS), "--"])
    try:
        for line in ("lagg create net_lagg0 policy=lacp,lacp_wait_while=100",
                     "lagg create net_lagg1", "set lagg 5 lacp wait-while 100",
                     "set lagg 5 policy lacp", "lagg add member 4 0", "lagg add member 4 2",
                     "lagg add member 5 1", "lagg add member 5 3", "port start 4", "port start 5"):
            answer = app.ask(line)
            assert "error" not in answer, f"{line}: {answer}"
        agreed = lambda page: all(
            one["mux"] == "distributing" and one["in_use"] and "distributing" in
            one["partner"]["state"] for one in laggd.lacp_ports(page).values())
        page = app.ask_until("show lacp 4", agreed)
        far = laggd.lacp_ports(app.ask_until("show lacp 5", agreed))
        near = laggd.lacp_ports(page)
        assert set(near) == {"net_wire0", "net_wire2"} and set(far) == {"net_wire1", "net_wire3"}
        for here, there in (("net_wire0", "net_wire1"), ("net_wire2", "net_wire3")):
            assert near[here]["actor"]["state"] == ALL_BITS, near[here]
            for field in ("system", "key", "port", "priority", "port_priority"):
                assert near[here]["partner"][field] == far[there]["actor"][field], (near, far)
                assert near[here]["actor"][field] == far[there]["partner"][field], (near, far)
        assert near["net_wire0"]["actor"]["system"] != far["net_wire1"]["actor"]["system"], page
        assert {one["aggregator"] for one in near.values()} == {1}, page
        # Two members and the lagg, the command and the next prompt: one screen.
        lines = page.splitlines()
        assert len(lines) + 2 <= 24 and max(map(len, lines)) <= 80, page

        answer = app.ask("lagg drain 4 0")
        assert "error" not in answer, answer
        page = app.ask_until("show lacp 4", lambda page: set(laggd.lacp_ports(page)) == {"net_wire2"})
        assert "error" not in app.ask("port start 0"), "it is not ours again"
        # Counters go on where they were when it comes back.
        count = lambda: {name: int(value) for name, value in re.findall(
            r"member_net_wire0_lacp_(\w+): (\d+)", app.ask("show port xstats 4"))}
        before = count()
        assert len(before) == 17 and before["lacpdus_rx"] > 0 and before["lacpdus_tx"] > 0, before
        assert before["partner_sync_transitions"] > 0 == before["illegal_rx"], before
        for line in ("port stop 0", "lagg add member 4 0"):
            assert "error" not in app.ask(line), app.seen[-500:]
        app.ask_until("show lacp 4", lambda page: agreed(page) and len(laggd.lacp_ports(page)) == 2)
        after = count()
        assert all(after[name] >= before[name] for name in before), (before, after)
        assert after["lacpdus_rx"] > before["lacpdus_rx"], (before, after)
        assert after["actor_sync_transitions"] > before["actor_sync_transitions"], (before, after)
        assert "LACP does not run" in app.ask_until(
            "set lagg 4 policy loadbalance\nshow lacp 4", lambda page: "net_wire2" in page)
        assert app.end() == 0, app.seen[-2000:]
    finally:
        app.kill()


def a_device_that_is_always_promiscuous_can_be_a_member():
    lines = ["lagg create net_lagg0", "lagg add member 3 0", "port start 3", "show lagg 3"]
    _, answers = session(lines)
    assert "error" not in answers[2] and "net_null0" in answers[3], answers
    assert "started" in answers[3], answers


def testpmd_habits_work():
    lines = ["set fwd io", "start", "show port info all", "show port stats all",
             "show port xstats 1", "clear port stats all", "show fwd stats all", "stop",
             "show config fwd", "port stop all", "port start all", "set fwd macswap", "start", "stop",
             "port attach net_null9", "port start 3", "port stop 3", "port detach 3",
             "set promisc all on", "port stop 2", "port close 2", "show port summary all", "help",
             "help lagg"]
    code, answers = session(lines, "--nb-cores=1", "--rxq=1", "--txq=1", "--burst=16", "-i")
    assert code == 0
    for line, answer in zip(lines, answers):
        assert "error" not in answer or "RX-errors" in answer or "rx_errors" in answer, (
            f"{line}: {answer}")
    assert answers[lines.index("show port stats all")].count("RX-packets") == 3
    config = answers[lines.index("show config fwd")]
    assert "RX P=0/Q=0 -> TX P=1/Q=0" in config and "RX P=2/Q=0 -> TX P=2/Q=0" in config, config
    assert answers[-3].count("lagg create") == 2 and "set lagg" not in answers[-2], answers[-2]


def a_command_file_runs_first_and_json_tells_what_was_done():
    with tempfile.TemporaryDirectory() as folder:
        commands = os.path.join(folder, "commands")
        path = os.path.join(folder, "summary.json")
        with open(commands, "w", encoding="utf-8") as file:
            file.write("# a comment\n\nset fwd txonly\nstart\nnonsense\n")
        code, text = laggd.run([*laggd.eal(*NULLS), "--", "--cmdline-file", commands, "--duration",
                                "1", "--stats-period", "1", "--json", path])
        assert code == 0 and "RX-packets" in text, text
        summary = laggd.load(path)
        assert summary["commands_refused"] == 1 and summary["commands_run"] == 2, summary
        assert len(summary["forwarding"]) == 3, summary
        assert all(loop["sent"] > 0 for loop in summary["forwarding"]), summary
        assert [port["name"] for port in summary["ports"]] == ["net_null0", "net_null1", "net_null2"]


def a_terminal_completes_remembers_and_helps():
    terminal = laggd.Terminal([*laggd.eal(*NULLS), "--"])
    terminal.expect(r"laggd> ")
    terminal.type("sho\tpor\tsta\t1\n")
    terminal.expect(r"Statistics of port 1 \(net_null1\)")
    terminal.type("\x10\n")  # the line before, again
    terminal.expect(r"Statistics of port 1 \(net_null1\)")
    terminal.type("set fwd ?")
    page = terminal.expect(r"rxonly")
    assert "macswap" in page, page
    terminal.type("\x01\x0b")  # to the beginning, kill
    terminal.type("show lac\tall\n")
    terminal.expect(r"error: there is no lagg")
    terminal.command("lagg create net_lagg0", r"net_lagg0\) is created")
    terminal.type("set lagg 3 lacp damp\toff\n")
    terminal.command("show lacp 3", r"damping off, reorder-guard on")
    terminal.type("set lagg 3 lacp fallback ?")
    page = terminal.expect(r"individual")
    assert "strict" in page and "one" in page, page
    terminal.type("\x01\x0b")
    terminal.command("set fwd warp", r"error: 'warp' after 'set fwd' is wrong; expected: io, mac")
    terminal.type("quit\n")
    assert terminal.end() == 0, terminal.seen[-2000:]


if __name__ == "__main__":
    sys.exit(laggd.check_all([
        wrong_options_are_named_with_what_is_allowed,
        missing_files_are_named,
        wrong_commands_say_what_was_expected,
        a_lagg_is_made_changed_and_unmade_under_traffic,
        wrong_lacp_commands_say_what_was_expected,
        every_lacp_setting_is_set_and_shown,
        two_laggs_agree_show_both_ends_and_drain_a_member,
        a_device_that_is_always_promiscuous_can_be_a_member,
        testpmd_habits_work,
        a_command_file_runs_first_and_json_tells_what_was_done,
        a_terminal_completes_remembers_and_helps,
    ]))
