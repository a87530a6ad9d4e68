#!/usr/bin/env python3
"""How long, and for how many frames, does a sender go on to a NIC whose link was lost?  With real NIC
drivers, on two emulated cards in a QEMU guest: net_lagg and net_bonding in turn in one process,
which bench/nic/failover_inside.cpp is; QEMU switches the links.

    bench/nic/failover.py [--cards virtio,vmxnet3,e1000,e1000e,igb] [--cuts N] [--name NAME]

Root only.  Writes bench/results/<machine>-<commit>-nic-failover.json, and a report beside it.  The
cards and what they need are test/nic's; BENCH names the program, else it is built in build/."""

import argparse
import json
import os
import pathlib
import platform
import re
import statistics
import subprocess
import sys
import threading

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "test" / "nic"), str(ROOT / "test" / "interop")]
BENCH = os.environ.setdefault("BENCH", str(ROOT / "build/bench/nic/bench-nic-failover"))
os.environ.setdefault("LAGGD", BENCH)
os.environ.setdefault("NET_LAGG_GUEST", str(ROOT / ".deps/guest-kernel"))
os.environ.setdefault("NET_LAGG_QEMU", str(ROOT / ".deps/guest-qemu"))

import guest as machine  # noqa: E402  (its folder is known only now)
from lab import Lab, require  # noqa: E402
from nic_guest import CARDS, NicGuest  # noqa: E402

TAPS = ["o0", "o1"]
NEWER = ("e1000e", "igb")
MOST_US = {"lsc": 1000, "poll": 11000}  # that a gap may be; links are polled each 10 ms


class Switch:
    """Does what the guest asks for on its second serial line: "off N" and "on N"."""

    def __init__(self, guest):
        self._guest, self._end = guest, threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self):
        text = b""
        while not self._end.is_set():
            try:
                text += self._guest.console.recv(4096)
            except TimeoutError:
                continue
            except OSError:
                return
            *lines, text = text.split(b"\n")
            for line in lines:
                how, number = line.split()
                self._guest.set_link(int(number), how == b"on")

    def close(self):
        self._end.set()
        self._thread.join()


def put_first(guest):
    """The guest's CPUs run before all else here: what cuts its links must not hold them up."""
    for thread in re.findall(r"thread_id=(\d+)", guest.monitor("info cpus")):
        os.setpriority(os.PRIO_PROCESS, int(thread), -15)


def measure(lab, name, cuts):
    """Objects that the program printed, or None."""
    card = CARDS[name]
    driver = "uio_pci_generic" if card.pci else "vfio-pci"
    qemu = machine.newer_qemu() if name in NEWER else machine.QEMU
    if qemu is None or not machine.emulates(qemu, card.device):
        print(f"failover: without {name}: no QEMU here that suits it", file=sys.stderr)
        return None
    for tap in TAPS:
        lab.ip("wire", "tuntap", "add", tap, "mode", "tap",
               *(["multi_queue"] if card.tap_queues else []))
        lab.ip("wire", "link", "set", tap, "up")
    guest = NicGuest(lab, [card, card], driver, TAPS, qemu, program=BENCH)
    put_first(guest)
    switch = Switch(guest)
    try:
        # The sender's CPU is the second one; the first one has the interrupts.
        said = guest.run(f"{os.path.basename(BENCH)} $(cat /eal-words) --lcores=0@1 "
                         f"--log-level=*:error -- {cuts} /dev/ttyS1 {' '.join(guest.addresses())}",
                         60 + 8 * (10 + 3 * cuts))
    finally:
        switch.close()
    return [json.loads(line) for line in said.splitlines() if line.startswith("{")]


def middle(values):
    return statistics.median(values)


def table(figures):
    yield ("| driver | told by | policy | net_bonding, us | its worst | net_lagg, us | its worst | "
           "at most | frames, net_bonding | net_lagg | at kpps |")
    yield "| --- " * 11 + "|"
    for card in figures.values():
        cases = {(c["told"], c["policy"], c["pmd"]): c for c in card["cases"]}
        for told, policy in dict.fromkeys(key[:2] for key in cases):
            both = [cases[told, policy, pmd] for pmd in ("net_bonding", "net_lagg")]
            if any(c["silent"] for c in both):
                yield (f"| {card['pmd']}, {card['device']} | {told} | {policy} |" +
                       " the driver tells nothing |" + " |" * 7)
                continue
            gaps = ["never | -" if c["never"] else
                    f"{middle(c['gap_us']):.0f} | {max(c['gap_us']):.0f}" for c in both]
            yield (f"| {card['pmd']}, {card['device']} | {told} | {policy} | {gaps[0]} | {gaps[1]} | "
                   f"{MOST_US[told]} | {middle(both[0]['frames']):.0f} | "
                   f"{middle(both[1]['frames']):.0f} | {middle(both[1]['kpps']):.0f} |")


def worst_first(figures, pmd):
    return max((case["first_us"] for card in figures.values() for case in card["cases"]
                if case["told"] == "lsc" and case["pmd"] == pmd), default=0)


def report(name, where, figures):
    lines = [
        f"# {name}", "",
        "Microseconds of the guest's clock from the driver's link event, or from the moment when "
        "its link is first read as down (poll, each 10 ms), to the last frame that the bond put on "
        "the dead member, and how many frames it put there since; medians. Both PMDs in one process "
        "in one guest, bursts of 4.", "", *table(figures), "",
        "The first cut of each case is not among them: QEMU has yet to translate the code that runs "
        f"then. With LSC net_lagg took {worst_first(figures, 'net_lagg'):.0f} us at worst, "
        f"net_bonding {worst_first(figures, 'net_bonding'):.0f}.", "",
        "Otherwise emulation has no part in a gap but for the time that the guest's CPUs do not run; "
        "on the host they go before everything else. What that is: from one thread beside the sender "
        "to another one that waits for it, microseconds.", "",
        "| driver | median | a tenth of them is above | worst |", "| --- | --- | --- | --- |"]
    for card in figures.values():
        wakes = sorted(card["wake_us"])
        lines.append(f"| {card['pmd']}, {card['device']} | {middle(wakes):.0f} | "
                     f"{wakes[len(wakes) * 9 // 10]:.0f} | {wakes[-1]:.0f} |")
    lines += ["", "## Where and how", "", *(f"* {key}: {value}" for key, value in where.items()), ""]
    return "\n".join(lines)


def first_line(*command):
    try:
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True,
                              check=True).stdout.split("\n")[0]
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def here():
    info = pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8")
    model = re.search(r"model name\s*: (.*)", info)
    return {"cpu": model.group(1) if model else platform.processor(),
            "CPUs": os.cpu_count(), "kernel": platform.release(),
            "guest": os.path.basename(machine.command_line("")[
                machine.command_line("").index("-kernel") + 1]) + ", two CPUs, no KVM",
            "dpdk": first_line("pkg-config", "--modversion", "libdpdk"),
            "load average when it began": ", ".join(f"{load:.2f}" for load in os.getloadavg())}


def default_name(cpu):
    commit = first_line("git", "rev-parse", "--short=12", "HEAD")
    if subprocess.run(["git", "diff", "--quiet", "HEAD"], cwd=ROOT, check=False).returncode:
        commit += "-changed"
    return f"{re.sub('[^A-Za-z0-9]+', '-', cpu).strip('-')}-{commit}-nic-failover"


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--cards", default="virtio,vmxnet3,e1000,e1000e,igb")
    parser.add_argument("--cuts", type=int, default=7)
    parser.add_argument("--name")
    options = parser.parse_args()
    if not os.path.exists(BENCH):
        parser.error(f"{BENCH} is not built")
    require()
    machine.require()
    where, figures, failed = here(), {}, 0
    for name in options.cards.split(","):
        print(f"failover: {name}", file=sys.stderr, flush=True)
        lab = Lab()
        try:
            said = measure(lab, name, options.cuts)
        except AssertionError as error:  # the others' figures stand
            print(f"failover: {name}: {error}", file=sys.stderr)
            said, failed = None, 1
        finally:
            lab.close()
        if said is not None:
            figures[name] = {"pmd": "net_" + CARDS[name].pmd, "device": CARDS[name].device,
                             "wake_us": said[0]["wake_us"], "cases": said[1:]}
    name = options.name or default_name(where["cpu"])
    out = ROOT / "bench" / "results" / (name + ".json")
    out.write_text(json.dumps({"machine": where, "cards": figures}, indent=1) + "\n",
                   encoding="utf-8")
    out.with_suffix(".md").write_text(report(name, where, figures), encoding="utf-8")
    print("\n".join(table(figures)))
    print(f"\n{out.with_suffix('.md')}")
    return failed


if __name__ == "__main__":
    sys.exit(main())
