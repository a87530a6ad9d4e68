#!/usr/bin/env python3
"""How long does traffic pause when the link of a NIC is lost, on NIC drivers with link interrupts?
laggd sends on two cards of a QEMU guest, under failover; QEMU takes one card's link away, and the
frames that arrive outside tell.  net_lagg and net_bonding in turn, each in a guest of its own.

    bench/nic/failover.py [--cards virtio,vmxnet3,e1000,e1000e,igb] [--cuts N] [--json FILE]

Root only.  Emulation without KVM is slow and uneven: "quiet" is the longest pause of a second without
a cut, and belongs to every other figure, too.  The cards and what they need are test/nic's; LAGGD
names the program, else it is the one that app/run.sh builds."""

import argparse
import json
import os
import pathlib
import socket
import statistics
import struct
import sys
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "test" / "nic"), str(ROOT / "test" / "interop")]
os.environ.setdefault("LAGGD", str(ROOT / "build/app/laggd/laggd"))
os.environ.setdefault("NET_LAGG_GUEST", str(ROOT / ".deps/guest-kernel"))
os.environ.setdefault("NET_LAGG_QEMU", str(ROOT / ".deps/guest-qemu"))

import guest as machine  # noqa: E402  (its folder is known only now)
from lab import Lab, require, until  # noqa: E402
from nic_guest import CARDS, Laggd, NicGuest  # noqa: E402

RATE = 4000  # frames per second
TAPS = ["o0", "o1"]
NEVER = 3.0  # seconds without a frame
SETTLES = 4.0  # until a link that is back is used again, autonegotiation included
_SO_TIMESTAMPNS = 35
NEWER = ("e1000e", "igb")


class Arrivals:
    """When frames arrived on each tap, by the kernel's clock."""

    def __init__(self, lab):
        self.times = [[] for _ in TAPS]
        self._end = threading.Event()
        self._threads = []
        for number, tap in enumerate(TAPS):
            port = lab.socket("wire", socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
            port.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
            port.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
            port.bind((tap, 3))
            port.settimeout(0.2)
            self._threads.append(threading.Thread(target=self._listen, args=(number, port)))
            self._threads[-1].start()

    def _listen(self, number, port):
        with port:
            while not self._end.is_set():
                try:
                    _, control, _, address = port.recvmsg(64, 64)
                except TimeoutError:
                    continue
                if address[2] != socket.PACKET_OUTGOING and control:
                    seconds, nanoseconds = struct.unpack("qq", control[0][2][:16])
                    self.times[number].append(seconds + nanoseconds / 1e9)

    def since(self, number, begin):
        return [at for at in self.times[number][-100_000:] if at >= begin]

    def longest_pause(self, begin, end):
        """On both together."""
        all_times = sorted([begin, end, *(at for number in range(len(TAPS))
                                          for at in self.since(number, begin) if at < end)])
        return max(b - a for a, b in zip(all_times, all_times[1:]))

    def close(self):
        self._end.set()
        for thread in self._threads:
            thread.join()


def in_use(arrivals):
    begin = time.time() - 0.3
    counts = [len(arrivals.since(number, begin)) for number in range(len(TAPS))]
    return counts.index(max(counts)) if max(counts) > 10 else None


def measure(lab, name, pmd, cuts):
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
    guest = NicGuest(lab, [card, card], driver, TAPS, qemu,
                     more=["net_bond"] if pmd == "net_bonding" else [])
    arrivals = Arrivals(lab)
    try:
        members = [f"slave={address}" for address in guest.addresses()]  # net_bonding's own word
        vdev = None if pmd == "net_lagg" else "--vdev=net_bonding0,mode=1," + ",".join(members)
        laggd = Laggd(guest, "policy=failover", "--forward-mode=txonly", f"--rate={RATE}",
                      "--portlist=2", "--auto-start", vdev=vdev)
        until(lambda: in_use(arrivals) is not None, "frames arrive", 30)
        time.sleep(SETTLES)
        quiet = arrivals.longest_pause(time.time() - 1, time.time())
        pauses, never = [], 0
        for _ in range(cuts):
            dead = in_use(arrivals)
            if dead is None:
                break
            begin = time.time()
            guest.set_link(dead, False)
            end = begin + NEVER
            while time.time() < end and not arrivals.since(1 - dead, begin):
                time.sleep(0.05)
            time.sleep(0.3)
            pauses.append(arrivals.longest_pause(begin, time.time()))
            never += pauses[-1] >= NEVER
            guest.set_link(dead, True)
            time.sleep(SETTLES)
            if never:
                break
        laggd.give_up() if pmd == "net_bonding" else laggd.quit()
        return {"median_ms": statistics.median(pauses) * 1e3, "worst_ms": max(pauses) * 1e3,
                "quiet_ms": quiet * 1e3, "cuts": len(pauses), "never": bool(never)}
    finally:
        arrivals.close()


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--cards", default="virtio,vmxnet3,e1000,e1000e,igb")
    parser.add_argument("--cuts", type=int, default=5)
    parser.add_argument("--json")
    options = parser.parse_args()
    require()
    machine.require()
    figures = {}
    for name in options.cards.split(","):
        for pmd in ("net_bonding", "net_lagg"):
            print(f"failover: {name}, {pmd}", file=sys.stderr, flush=True)
            lab = Lab()
            try:
                found = measure(lab, name, pmd, options.cuts)
            finally:
                lab.close()
            if found is None:
                break
            figures.setdefault(name, {})[pmd] = found
    print("| card | ratio | net_bonding, ms | net_lagg, ms | its worst | quiet, ms | frames lost |")
    print("|" + " --- |" * 7)
    for name, both in figures.items():
        bond, lagg = both["net_bonding"], both["net_lagg"]
        ratio = "net_bonding never leaves it" if bond["never"] else \
            f"**{bond['median_ms'] / lagg['median_ms']:.2f}**"
        print(f"| {name} | {ratio} | {'never' if bond['never'] else format(bond['median_ms'], '.2f')}"
              f" | {lagg['median_ms']:.2f} | {lagg['worst_ms']:.2f} | {bond['quiet_ms']:.2f}, "
              f"{lagg['quiet_ms']:.2f} | {lagg['median_ms'] * RATE / 1e3:.0f} of {RATE}/s |")
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps(figures, indent=1) + "\n",
                                              encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
