#!/usr/bin/env python3
"""How many frames a second go through two laggs without one being lost?  RFC 2544, section 26.1, by
bisection, one way: one laggd generates on its lagg, another one receives on its own.

    bench/nic/throughput.py                        two veth links between name spaces (root)
    bench/nic/throughput.py --sender 'EAL WORDS' --receiver 'EAL WORDS'
                                                   ports of this machine, cabled to each other, such as
        --sender   '-l 2,3 -a 81:00.0 -a 81:00.1 --vdev net_lagg0,member=81:00.0,member=81:00.1'
        --receiver '-l 4,5 -a 82:00.0 -a 82:00.1 --vdev net_lagg0,member=82:00.0,member=82:00.1'
    --sizes 64,512,1518  frame sizes, FCS included      --seconds S  of a trial (RFC: 60)
    --loss PERCENT       still counts as none (0)       --resolution PERCENT of the rate (1)
    --json FILE          the figures

One lcore of each generates and receives, so a rate is one core's.  LAGGD names the program, else it
is the one that app/run.sh builds.
"""

import argparse
import json
import os
import pathlib
import shlex
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "test" / "interop"))
os.environ.setdefault("LAGGD", str(ROOT / "build/app/laggd/laggd"))

from lab import Lab  # noqa: E402  (its folder is known only now)
from lagg_process import WITHOUT_HARDWARE, AnyLaggd  # noqa: E402

GAP = 20  # bytes between frames on the wire: preamble, start, least gap (802.3)
SPEEDS = (10, 25, 40, 100, 200, 400)  # Gbit/s


def line_rate(gigabits, size):
    """Frames per second."""
    return gigabits * 1e9 / 8 / (size + GAP)


def lagg_of(links, side):
    return [*WITHOUT_HARDWARE,
            *(f"--vdev=net_af_packet{i},iface={side}{i},framesz=2048,blocksz=65536,framecnt=1024"
              for i in range(links)),
            "--vdev=net_lagg0,policy=loadbalance,hash=l3+l4," +
            ",".join(f"member=net_af_packet{i}" for i in range(links))]


class Bench:
    def __init__(self, options, lab):
        self.seconds = options.seconds
        if options.sender:
            sender, receiver = shlex.split(options.sender), shlex.split(options.receiver)
        else:
            for i in range(2):
                lab.pair("a", f"s{i}", "b", f"r{i}")
                for space, name in (("a", f"s{i}"), ("b", f"r{i}")):
                    lab.ip(space, "link", "set", name, "mtu", "2000")
            sender, receiver = lagg_of(2, "s"), lagg_of(2, "r")
        spaces = ("wire", "wire") if options.sender else ("a", "b")
        self.receiver = AnyLaggd(lab, spaces[1], receiver, "--forward-mode=rxonly", "--auto-start")
        self.sender = AnyLaggd(lab, spaces[0], sender, "--forward-mode=txonly")

    @staticmethod
    def _counter(laggd, name):
        return laggd.telemetry.ask(f"/ethdev/xstats,{laggd.port}")[name]

    def trial(self, size, rate):
        """(frames sent, frames received, seconds): at `rate` frames a second, or as fast as it
        goes."""
        self.sender.command(f"set txpkts {size}")
        self.sender.command(f"set rate {'max' if rate is None else int(rate)}")
        sent = self._counter(self.sender, "tx_good_packets")
        received = self._counter(self.receiver, "rx_good_packets")
        begin = time.monotonic()
        self.sender.command("start")
        time.sleep(self.seconds)
        self.sender.command("stop")
        took = time.monotonic() - begin
        time.sleep(0.5)  # what is under way
        return (self._counter(self.sender, "tx_good_packets") - sent,
                self._counter(self.receiver, "rx_good_packets") - received, took)

    def close(self):
        self.sender.quit()
        self.receiver.quit()


def search(bench, size, loss, resolution):
    """The highest rate without loss, and all trials.  None: not even the lowest rate that was
    tried."""
    sent, received, took = bench.trial(size, None)
    trials = [{"offered": None, "sent": sent, "received": received}]
    low, high, best = 0.0, sent / took, None
    if received >= sent * (1 - loss):
        return high, trials
    while high - low > high * resolution:
        rate = (low + high) / 2
        if rate < 100:
            break
        sent, received, took = bench.trial(size, rate)
        trials.append({"offered": rate, "sent": sent, "received": received})
        if received >= sent * (1 - loss):
            low, best = rate, sent / took
        else:
            high = rate
    return best, trials


def report(figures):
    print("\n| frame size | Mpps without loss | Gbit/s on the wire | " +
          " | ".join(f"{speed} GbE" for speed in SPEEDS) + " |")
    print("|" + " --- |" * (3 + len(SPEEDS)))
    for size, rate in figures:
        if rate is None:
            print(f"| {size} | none |" + " |" * (1 + len(SPEEDS)))
            continue
        shares = [f"{100 * rate / line_rate(speed, size):.1f} %" for speed in SPEEDS]
        print(f"| {size} | {rate / 1e6:.3f} | {rate * (size + GAP) * 8 / 1e9:.2f} | " +
              " | ".join(shares) + " |")
    print("\nThe last columns: of such a link's line rate, by one core.")


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--sender")
    parser.add_argument("--receiver")
    parser.add_argument("--sizes", default="64,128,256,512,1024,1280,1518")
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--loss", type=float, default=0.0)
    parser.add_argument("--resolution", type=float, default=1.0)
    parser.add_argument("--json")
    options = parser.parse_args()
    if bool(options.sender) != bool(options.receiver):
        parser.error("--sender and --receiver go together")
    sizes = [int(size) for size in options.sizes.split(",")]
    if not all(64 <= size <= 1518 for size in sizes):
        parser.error("--sizes: 64 to 1518")
    lab = Lab("a", "b")
    figures, everything = [], {}
    try:
        bench = Bench(options, lab)
        for number, size in enumerate(sizes):
            print(f"throughput: {number + 1} of {len(sizes)}: {size} bytes", file=sys.stderr,
                  flush=True)
            rate, trials = search(bench, size, options.loss / 100, options.resolution / 100)
            figures.append((size, rate))
            everything[size] = {"frames_per_second": rate, "trials": trials}
        bench.close()
    finally:
        lab.close()
    report(figures)
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps(everything, indent=1) + "\n",
                                              encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
