"""laggd --demo: it plays alone, accounts for every frame, and can be played with."""

import os
import re
import signal
import subprocess
import sys
import tempfile
import time

import laggd_process as laggd

DURATION = os.environ.get("LAGGD_DEMO_SECONDS", "4")


def it_plays_alone_and_accounts_for_every_frame():
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "summary.json")
        code, text = laggd.run(["--demo", "--duration", DURATION, "--json", path])
        assert code == 0, f"exit code {code}\n{text}"
        for line in ("wire cut", "wire heal", "lagg drain", "lagg remove member",
                     "lagg add member", "lagg 1 policy loadbalance", "lagg 0 policy failover",
                     "lagg 0 policy broadcast", "lagg 0 policy roundrobin", "lagg 0 policy lacp",
                     "lagg 1 policy lacp"):
            assert re.search(f"laggd> .*{line}", text), f"never typed: {line}\n{text}"
        assert re.search(r"agreed after \d+ ms: all members distribute on both ends", text), text
        assert re.search(r"at the end: .*lacp 4/4  lacp 4/4", text), text
        assert "error:" not in text, text
        summary = laggd.load(path)
        demo = summary["demo"]
        assert demo["faults"] == [] and summary["exit_code"] == 0, demo
        assert demo["received"] > 1000, demo
        assert demo["offered"] == demo["taken"] + demo["never_taken"], demo
        assert demo["taken"] - demo["received"] == demo["missing"] <= demo["accounted"], demo
        assert demo["damaged"] == demo["overtaken_wrong"] == demo["copies_wrong"] == 0, demo
        asserted = [p for p in demo["phases"] if p["order_asserted"]]
        assert asserted and all(p["overtaken"] >= 0 for p in asserted), demo["phases"]
        drained = [p for p in demo["phases"] if p["after"].startswith("lagg drain")]
        assert len(drained) == 1 and drained[0]["made"] > 0 and drained[0]["missing"] == 0, drained
        assert demo["control_frames"] > 0, demo
        assert {one["policy"] for one in summary["laggs"]} == {"lacp"}, summary["laggs"]
        assert len(summary["ports"]) == 10, summary["ports"]


def a_silently_cut_wire_loses_frames_that_are_counted():
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "summary.json")
        commands = os.path.join(folder, "commands")
        with open(commands, "w", encoding="utf-8") as file:
            file.write("wire silent net_wire0\n")
        code, text = laggd.run(["--demo", "--duration", "2", "--json", path,
                                "--cmdline-file", commands])
        demo = laggd.load(path)["demo"]
        assert demo["missing"] > 0 and demo["lost_on_wires"] > 0, demo
        assert demo["faults"] == [] and code == 0, text


def a_signal_ends_it_cleanly():
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "summary.json")
        process = subprocess.Popen([laggd.LAGGD, "--demo", "--duration", "60", "--json", path],
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.STDOUT)
        while b"  1 s " not in process.stdout.readline():
            assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        text, _ = process.communicate(timeout=60)
        assert process.returncode == 0, text.decode(errors="replace")
        assert laggd.load(path)["demo"]["faults"] == [], text


def links_and_policies_are_switched_on_a_terminal_while_it_runs():
    terminal = laggd.Terminal(["--demo"])
    terminal.expect(r"agreed after [\s\S]*laggd> ")
    # In the live table: what LACP does at either end, and the partner's address and port.
    terminal.expect(r"up +distributing [0-9a-f:]{5}/1 +[\d.]+% [^%]*"
                    r"distributing [0-9a-f:]{5}/1")
    terminal.command("wire cut net_wire2", r"wire \d+-\d+: cut, both ends lost carrier")
    terminal.expect(r"CUT +unusable")
    terminal.command("wire heal net_wire2", r"healed")
    terminal.expect(r"lagg 1: member \d+ \(net_wire3\) distributes")
    terminal.command("lagg drain 0 net_wire4", r"net_wire4\) left")
    terminal.expect(r"not a member")
    terminal.command("lagg add member 0 net_wire4", r"net_wire4\) joined")
    terminal.expect(r"lagg 0: member \d+ \(net_wire4\) distributes")
    page = terminal.command("show lacp 0", r"7? ?net_wire6: [\s\S]*flaps \d+, penalty \d+\r?\n")
    ports = laggd.lacp_ports(page.replace("\r", ""))
    assert set(ports) == {f"net_wire{i}" for i in (0, 2, 4, 6)}, page
    assert all(one["in_use"] and one["mux"] == "distributing" for one in ports.values()), page
    # The receiving end first, so that it collects from all while the sending end changes.
    terminal.command("set lagg 1 policy loadbalance", r"standby")
    terminal.command("set lagg 0 policy failover", r"distributes")
    page = terminal.command("show lagg 0", r"net_wire6 .*\n")
    assert "policy failover, started" in page and page.count("distributing") >= 1, page
    terminal.command("lagg remove member 0 net_wire4", r"net_wire4\) left")
    terminal.command("lagg add member 0 net_wire4", r"net_wire4\) joined")
    terminal.command("set lagg 0 policy lacp", r"standby")
    terminal.command("set lagg 1 policy lacp", r"lagg 1: member \d+ \(net_wire1\) distributes")
    page = terminal.command("port close all", r"error: [^\n]*\n")
    assert "ledger" in page, page
    time.sleep(0.5)
    terminal.type("quit\n")
    code = terminal.end()
    assert code == 0, terminal.seen[-3000:]
    assert "every frame is accounted for" in terminal.seen, terminal.seen[-3000:]


def two_demos_run_side_by_side():
    both = [subprocess.Popen([laggd.LAGGD, "--demo", "--duration", "2"], stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT) for _ in range(2)]
    for process in both:
        text, _ = process.communicate(timeout=120)
        assert process.returncode == 0, text.decode(errors="replace")


if __name__ == "__main__":
    sys.exit(laggd.check_all([
        it_plays_alone_and_accounts_for_every_frame,
        a_silently_cut_wire_loses_frames_that_are_counted,
        a_signal_ends_it_cleanly,
        links_and_policies_are_switched_on_a_terminal_while_it_runs,
        two_demos_run_side_by_side,
    ]))
