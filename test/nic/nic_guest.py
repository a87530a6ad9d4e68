"""A QEMU guest whose NICs belong to laggd: emulated cards behind vfio-pci or uio_pci_generic, and
laggd on their addresses, commanded over a second serial line.  Knows no check.

vfio-pci needs an IOMMU, which QEMU emulates; a card is on a slot of its own and can be pulled."""

import glob
import os
import re
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "interop"))

import guest as machine  # noqa: E402  (its folder is known only now)
from lab import until  # noqa: E402
from laggd_process import lacp_ports  # noqa: E402
from lagg_process import LAGGD  # noqa: E402

LAGG = "net_lagg0"
MEMORY = 768  # MB
HUGEPAGES = 128  # of 2 MB

# Gives the cards to the user-space driver that the kernel has; says who drives which.
_BIND = """#!/bin/sh
chmod 755 /  # EAL loads nothing from below a folder that everybody may write to
for driver in vfio-pci uio_pci_generic; do [ ! -e /sys/bus/pci/drivers/$driver ] || break; done
for d in /sys/bus/pci/devices/*; do
    case $(cat $d/class) in 0x0200*) ;; *) continue;; esac
    if [ ! -e $d/driver ]; then
        echo $driver > $d/driver_override
        basename $d > /sys/bus/pci/drivers_probe
    fi
    [ ! -e $d/driver ] || echo $(basename $d) $(basename $(readlink $d/driver))
done
"""
_BY_HAND = """
cd /
bind-cards
echo
echo "Cards as above, with the other ends at Open vSwitch's LACP bond on the host.  Try:"
echo "  run-laggd -- --forward-mode=macswap --port-topology=loop --auto-start"
echo "and there: show lacp all, show lagg all, help, quit.  exit ends the guest."
setsid cttyhack sh
"""


class Card:
    """What is known of a kind of NIC before anybody asks it."""

    def __init__(self, device, pmd, properties="", tells_down=True, queues=1, hears_rss=False,
                 tap_queues=False, buffer=9600, settles=0.0, pci=False):
        self.device, self.pmd, self.properties = device, pmd, properties
        self.tells_down = tells_down  # laggd can learn from it that the link is down
        self.queues = queues  # that it may be configured with
        self.hears_rss = hears_rss  # frames are spread over them
        self.tap_queues = tap_queues  # and come from a tap with as many
        self.buffer = buffer  # bytes that let it take in a frame of 9000 in one piece
        self.settles = settles  # seconds in which it receives nothing after such a change
        self.pci = pci  # not PCI Express

    def argument(self, number, bus, driver):
        properties = self.properties
        if self.device.startswith("virtio"):
            properties += ",disable-legacy=on"
            properties += ",iommu_platform=on,ats=on" if driver == "vfio-pci" else ""
        return (f"{self.device},netdev=n{number},id=nic{number},romfile=,{bus},"
                f"mac=52:54:00:00:00:0{number + 1}{properties}")


CARDS = {
    "virtio": Card("virtio-net-pci", "virtio", ",speed=10000,duplex=full,mq=on,rss=on,vectors=6,"
                   "host_mtu=9000", queues=2, hears_rss=True, tap_queues=True),
    "vmxnet3": Card("vmxnet3", "vmxnet3", queues=2),
    # net_e1000_em rounds its buffers down to a power of two, and grows its MTU beyond that.
    "e1000": Card("e1000", "e1000", buffer=16384, settles=1.2, pci=True),
    "e1000e": Card("e1000e", "e1000", buffer=16384),
    "igb": Card("igb", "e1000", queues=2, hears_rss=True),
}


def address(number, cards):
    return f"0000:00:0{number + 4}.0" if any(card.pci for card in cards) else \
        f"0000:0{number + 1}:00.0"


def _drivers(cards, program):
    """Files of the PMDs that the cards need, beside the libraries that the program runs with."""
    eal = [path for path in machine.libraries_of(program) if "librte_eal" in path]
    assert eal, f"{program} runs with no librte_eal"
    folder = os.path.dirname(os.path.realpath(eal[0]))
    found = []
    for name in ("mempool_ring", *sorted({"net_" + card.pmd for card in cards})):
        for where in (folder, *glob.glob(os.path.join(folder, "dpdk", "pmds-*"))):
            versions = sorted(glob.glob(os.path.join(where, f"librte_{name}.so.*")), key=len)
            if versions:
                found.append(versions[0])
                break
        else:
            machine.skip(f"DPDK's librte_{name}.so is not beside {eal[0]}")
    return found


def image(cards, driver, for_hand=False, program=LAGGD):
    """/eal-words are EAL's for any program here; the caller adds the lcores."""
    made = machine.Image()
    made.folder("var/run")
    made.load_at_boot(["vfio_iommu_type1", "vfio-pci"] if driver == "vfio-pci" else
                      ["uio_pci_generic"])
    made.program(program, "bin/" + os.path.basename(program))
    plugins = []
    for path in _drivers(cards, program):
        plugins.append("-d /lib/" + os.path.basename(path))
        made.program(path, plugins[-1].split()[-1].lstrip("/"))
    default = f"--vdev={LAGG},policy=lacp,lacp_rate=fast," + ",".join(
        f"member={address(i, cards)}" for i in range(len(cards)))
    made.file("bin/bind-cards", _BIND.encode())
    made.file("eal-words", f"--in-memory -m 192 --no-telemetry {' '.join(plugins)}\n".encode())
    # What laggd needs here; without arguments of one's own for the lagg, all cards are its members.
    made.file("bin/run-laggd", (
        "#!/bin/sh\n"
        f"case \"$*\" in *--vdev*) lagg= ;; *) lagg={default} ;; esac\n"
        "exec laggd $(cat /eal-words) --lcores=0,1 $lagg \"$@\"\n").encode())
    if for_hand:
        made.file("by-hand", _BY_HAND.encode(), 0o644)
    return made


def devices(cards, driver, taps):
    """QEMU's arguments for the board, and for a card at each tap."""
    words = ["-smp", "2"]
    if any(card.pci for card in cards):
        assert driver != "vfio-pci", "a card on PCI shares its IOMMU group with the board"
        words += ["-machine", "pc"]
    elif driver == "vfio-pci":
        words += ["-machine", "q35,kernel-irqchip=off", "-device",
                  "intel-iommu,intremap=on,caching-mode=on,device-iotlb=on"]
    else:
        words += ["-machine", "q35"]
    for i, (card, tap) in enumerate(zip(cards, taps)):
        bus = f"bus=pci.0,addr={i + 4}"
        if not card.pci:
            words += ["-device", f"pcie-root-port,id=slot{i},chassis={i + 1},slot={i + 1},"
                      f"addr={i + 4}"]
            bus = f"bus=slot{i}"
        queues = f",queues={card.queues}" if card.tap_queues else ""
        words += ["-netdev", f"tap,id=n{i},ifname={tap},script=no,downscript=no{queues}",
                  "-device", card.argument(i, bus, driver)]
    return words


def boot_options(driver):
    return f"hugepages={HUGEPAGES} " + ("intel_iommu=on iommu=nopt" if driver == "vfio-pci" else
                                        "intel_iommu=off")


class NicGuest(machine.Machine):
    """It has the program and the PMDs of the cards."""

    def __init__(self, lab, cards, driver, taps, qemu=machine.QEMU, program=LAGGD):
        self.cards, self.driver = cards, driver
        console = os.path.join(lab.folder, "console")
        super().__init__(lab, image(cards, driver, program=program),
                         ["-chardev", f"socket,id=c,path={console},server=on,wait=off",
                          "-serial", "chardev:c", *devices(cards, driver, taps)],
                         qemu=qemu, memory=MEMORY, boot=boot_options(driver))
        self.console = self.connect(console)
        self.console.settimeout(0.2)
        # Kept open: what comes while nobody has it open is lost.
        self.run("exec 5<>/dev/ttyS1; stty raw -echo <&5; mkfifo /in")
        self.bound = dict(line.split() for line in self.run("bind-cards").splitlines())

    def addresses(self):
        return [address(i, self.cards) for i in range(len(self.cards))]

    def unplug(self, number):
        self.monitor(f"device_del nic{number}")

    def plugged(self, number):
        """QEMU still has the card."""
        return f"id \"nic{number}\"" in self.monitor("info pci")

    def plug(self, number):
        """Into the slot where it was; the guest binds it when it has seen it."""
        card = self.cards[number]
        bus = f"bus=pci.0,addr={number + 4}" if card.pci else f"bus=slot{number}"
        said = self.monitor("device_add " + card.argument(number, bus, self.driver)).strip()
        assert not said, said
        until(lambda: self.addresses()[number] in self.run("bind-cards"),
              f"card {number} is seen and bound again", 20, 0.2)


class Laggd:
    """laggd in the guest, with every card a member of one lagg; or `vdev` instead of the lagg."""

    def __init__(self, guest, devargs, *options, vdev=None):
        self.guest = guest
        self.members = guest.addresses()
        self.said = ""
        self._asked = 0
        vdev = vdev or f"--vdev={LAGG},{devargs}," + ",".join(
            f"member={name}" for name in self.members)
        begin = time.monotonic()
        # Not cat: busybox' splices, and keeps the pipe locked while it waits for the line.
        guest.run("dd bs=512 <&5 > /in 2>/dev/null & feeder=$!; "
                  f"run-laggd {vdev} -- {' '.join(options)} < /in >&5 2>&1 & laggd=$!")
        try:
            self.ask("help quit", 60)
        except AssertionError:
            self._say_last()
            raise
        self.start_seconds = time.monotonic() - begin

    def _read(self):
        try:
            self.said += self.guest.console.recv(65536).decode(errors="replace").replace("\r", "")
        except TimeoutError:
            self.guest.alive()

    def ask(self, line, timeout=30):
        """What it prints to a line of its console."""
        self._asked += 1
        last = f"# {self._asked} is answered"
        begin = len(self.said)
        self.guest.console.sendall(f"{line}\n{last}\n".encode())
        end = time.monotonic() + timeout
        while last not in self.said[begin:]:
            if time.monotonic() > end:
                raise AssertionError(f"{line}: no answer: {self.said[begin:][-1500:]}\n" +
                                     self._state())
            self._read()
        lines = self.said[begin:].split(last)[0].splitlines()
        return "\n".join(one for one in lines if not one.startswith("laggd> "))

    def _state(self):
        """Whether it runs, and what its threads wait for; the kernel tells of a crash."""
        return self.guest.run(
            "if kill -0 $laggd 2>/dev/null; then for t in /proc/$laggd/task/*; do "
            "echo $(cat $t/comm) $(cut -d' ' -f3 $t/stat) $(cat $t/wchan) $(cat $t/syscall); done; "
            "else echo laggd ended; fi; dmesg | tail -n 3")

    def command(self, line):
        """Fails when it is refused."""
        printed = self.ask(line)
        assert "error:" not in printed, f"{line}: {printed}"
        return printed

    def views(self):
        return lacp_ports(self.command(f"show lacp {LAGG}"))

    def events(self, begin=0):
        """Lines about members that were printed on their own, after `begin` characters."""
        self._read()
        return re.findall(r"lagg \d+: member .*", self.said[begin:])

    def distributing(self):
        """Numbers of the members that carry traffic."""
        carrying = re.findall(r"^ +\d+ +(\S+) .* distributing", self.command(f"show lagg {LAGG}"),
                              re.MULTILINE)
        return {i for i, name in enumerate(self.members) if name in carrying}

    def quit(self):
        """The exit code must be 0."""
        self.guest.console.sendall(b"quit\n")
        try:
            code = self.guest.run("wait $laggd; echo code $?; kill $feeder; :", 40)
        finally:
            self._read()
        assert "code 0" in code, f"laggd left with {code}: {self.said[-1500:]}"

    def give_up(self):
        """After a failure."""
        self._say_last()
        self.guest.run("kill -9 $laggd $feeder 2>/dev/null; wait; :")

    def _say_last(self):
        print("  --- laggd said at last ---")
        print("  " + "\n  ".join(self.said.splitlines()[-40:]), flush=True)


def by_hand(lab, cards, driver, taps, qemu=machine.QEMU):
    """QEMU's command line for a guest on this terminal."""
    path = os.path.join(lab.folder, "initrd")
    image(cards, driver, for_hand=True).write(path)
    return [*machine.command_line(path, memory=MEMORY, boot=boot_options(driver), qemu=qemu),
            "-serial", "mon:stdio", *devices(cards, driver, taps)]
