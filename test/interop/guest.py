"""A Linux guest in QEMU's software emulation: its memory file system is made here of busybox,
programs with their libraries and the kernel's own modules; it is commanded over a serial line.
Knows no driver, and a bond's partner only as the taps that its NICs end in."""

import glob
import lzma
import os
import re
import shutil
import socket
import stat
import subprocess
import time

from lab import skip, text_of, until

_PROGRAM = "qemu-system-x86_64"
QEMU = (_PROGRAM,)  # words of a command
_NEWER = os.environ.get("NET_LAGG_QEMU", "")  # unpacked packages of a newer one
KERNEL = os.environ.get("NET_LAGG_GUEST", "")  # an unpacked package of a Linux kernel
_DONE = "===done"
_INIT = f"""#!/bin/sh
export PATH=/bin:/sbin
mount -t proc p /proc; mount -t sysfs s /sys; mount -t devtmpfs d /dev
for m in $(cat /modules); do insmod /lib/$m || echo "no $m"; done
exec 0</dev/console 1>/dev/console 2>&1
if [ -e /by-hand ]; then . /by-hand; poweroff -f; fi
stty -echo
echo "{_DONE} up"
while read -r line; do eval "$line"; echo "{_DONE} $?"; done
poweroff -f
"""


def require():
    for program in (_PROGRAM, "busybox", "ldd"):
        if shutil.which(program) is None:
            skip(f"{program} is not installed")
    if not glob.glob(os.path.join(KERNEL, "boot", "vmlinuz-*")):
        skip(f"no guest kernel in '{KERNEL}': buildtools/bootstrap test unpacks one")


def newer_qemu():
    """Words of a command, like QEMU, or None.  It finds its own parts where it was unpacked."""
    program = os.path.join(_NEWER, "usr", "bin", _PROGRAM)
    if not _NEWER or not os.path.exists(program):
        return None
    modules_of = glob.glob(os.path.join(_NEWER, "usr", "lib", "*", "qemu"))
    return ("env", *(f"QEMU_MODULE_DIR={folder}" for folder in modules_of[:1]), program, "-L",
            os.path.join(_NEWER, "usr", "share", "qemu"))


def emulates(qemu, device):
    """Asked for this one: a list of all would load modules, perhaps of another QEMU."""
    return subprocess.run([*qemu, "-device", device + ",help"], stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL, check=False).returncode == 0


def _contents(path):
    with open(path, "rb") as file:
        data = file.read()
    return lzma.decompress(data) if path.endswith(".xz") else data


def libraries_of(path):
    """Of a program or of a library, by the names that the loader looks for: [path]."""
    said = subprocess.run(["ldd", path], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, check=False).stdout
    return re.findall(r"(/\S+) \(0x", said)


def modules(wanted):
    """[(file name, contents)], each after what it needs.  What is built in has no file."""
    files = {}
    for path in glob.glob(os.path.join(KERNEL, "lib", "modules", "*", "kernel", "**", "*.ko*"),
                          recursive=True):
        files[os.path.basename(path).split(".")[0].replace("-", "_")] = path
    found = {}

    def take(name):
        name = name.replace("-", "_")
        if name in files and name not in found:
            data = _contents(files[name])
            needs = re.search(rb"\0depends=([^\0]*)\0", b"\0" + data)
            for other in filter(None, needs.group(1).decode().split(",") if needs else []):
                take(other)
            found[name] = data
    for name in wanted:
        take(name)
    return [(name + ".ko", data) for name, data in found.items()]


class Image:
    """What a guest boots into, with busybox's programs: cpio in its "newc" form, which a kernel
    unpacks."""

    def __init__(self):
        self._data = bytearray()
        self._names = set()
        self._inode = 0
        for name in ("proc", "sys", "dev", "bin", "sbin", "lib"):
            self.folder(name)
        self.file("init", _INIT.encode())
        busybox = shutil.which("busybox")
        self.program(busybox, "bin/busybox")
        for applet in subprocess.run([busybox, "--list"], stdout=subprocess.PIPE, text=True,
                                     check=True).stdout.split():
            if applet not in ("busybox", "ip"):
                self.link("bin/" + applet, "busybox")

    def _entry(self, name, mode, data=b""):
        self._inode += 1
        text = name.encode() + b"\0"
        fields = (self._inode, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(text), 0)
        self._data += b"070701" + b"".join(b"%08X" % field for field in fields) + text
        self._data += b"\0" * (-len(self._data) % 4)
        self._data += data + b"\0" * (-len(data) % 4)

    def folder(self, name):
        if name and name not in self._names:
            self.folder(os.path.dirname(name))
            self._names.add(name)
            self._entry(name, stat.S_IFDIR | 0o755)

    def file(self, name, data, mode=0o755):
        if name not in self._names:
            self.folder(os.path.dirname(name))
            self._names.add(name)
            self._entry(name, stat.S_IFREG | mode, data)

    def link(self, name, target):
        self.folder(os.path.dirname(name))
        self._entry(name, stat.S_IFLNK | 0o777, target.encode())

    def program(self, path, name):
        """With its libraries, if it has any; the loader itself stays where programs look for it."""
        self.file(name, _contents(path))
        for library in libraries_of(path):
            base = os.path.basename(library)
            self.file(library.lstrip("/") if base.startswith("ld-") else "lib/" + base,
                      _contents(library))

    def load_at_boot(self, wanted):
        """Kernel modules, and those that they need."""
        loaded = modules(wanted)
        for name, data in loaded:
            self.file("lib/" + name, data)
        self.file("modules", "".join(name + "\n" for name, _ in loaded).encode(), 0o644)

    def write(self, path):
        self._entry("TRAILER!!!", 0)
        with open(path, "wb") as file:
            file.write(self._data)


def command_line(image, memory=256, boot="", qemu=QEMU):
    """QEMU's, without serial lines, monitor and devices; `image` is a file."""
    return [*qemu, "-nodefaults", "-accel", "tcg,thread=multi", "-cpu", "max", "-m", str(memory),
            "-display", "none", "-no-reboot", "-nic", "none",
            "-kernel", glob.glob(os.path.join(KERNEL, "boot", "vmlinuz-*"))[0], "-initrd", image,
            # On a busy machine the kernel's test of its timer gets no ticks in time, and it panics.
            "-append", "console=ttyS0 quiet panic=-1 mitigations=off no_timer_check " + boot]


class Machine:
    """A guest that runs in the name space "wire"."""

    def __init__(self, lab, image, devices, qemu=QEMU, **options):
        self.said = ""
        names = [os.path.join(lab.folder, name) for name in ("initrd", "serial", "monitor")]
        image_file, serial, self._monitor = names
        image.write(image_file)
        self.process = lab.start(
            "wire", [*command_line(image_file, qemu=qemu, **options),
                     "-chardev", f"socket,id=s,path={serial},server=on,wait=on", "-serial",
                     "chardev:s", "-monitor", f"unix:{self._monitor},server,nowait", *devices],
            "qemu")
        self._serial = self.connect(serial)
        self._serial.settimeout(0.2)
        begin = time.monotonic()
        self._until_done(90)
        self.boot_seconds = time.monotonic() - begin

    def alive(self):
        assert self.process.poll() is None, \
            f"{text_of(self.process)[-1000:]}\nthe guest said {self.said[-1500:]}"
        return True

    def connect(self, path):
        """A socket to one of QEMU's character devices."""
        made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)

        def attempt():
            try:
                made.connect(path)
            except OSError:
                return False
            return True
        until(lambda: self.alive() and attempt(), "QEMU", 20)
        return made

    def _until_done(self, timeout):
        begin, end = len(self.said), time.monotonic() + timeout
        while True:
            found = re.search(re.escape(_DONE) + r" (\w+)\r?\n", self.said[begin:])
            if found:
                return self.said[begin:begin + found.start()].replace("\r", ""), found.group(1)
            assert time.monotonic() < end and self.alive(), f"the guest says {self.said[-1500:]}"
            try:
                self.said += self._serial.recv(65536).decode(errors="replace")
            except TimeoutError:
                pass

    def run(self, line, timeout=30):
        """A shell command that must succeed; what it printed."""
        self._serial.sendall(line.encode() + b"\n")
        text, code = self._until_done(timeout)
        assert code == "0", f"guest: {line}: {code}: {text}"
        return text

    def monitor(self, command):
        """A command to QEMU itself; what it answered."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as monitor:
            monitor.settimeout(10)
            monitor.connect(self._monitor)
            for line in ("", command + "\n"):
                monitor.sendall(line.encode())
                said = b""
                while not said.endswith(b"(qemu) "):
                    said += monitor.recv(4096)
        # The monitor edits its line on a terminal, and so repeats the command in pieces.
        return said.decode(errors="replace").replace("\r", "").split("\n", 1)[1][:-len("(qemu) ")]

    def set_link(self, number, on):
        """Carrier of a NIC as the guest sees it."""
        self.monitor(f"set_link nic{number} {'on' if on else 'off'}")


class Guest(Machine):
    """A host of Linux' own drivers: one NIC, eth0 and so on, for each tap; it has iproute2."""

    def __init__(self, lab, taps, wanted=()):
        image = Image()
        image.program(os.path.realpath(shutil.which("ip")), "sbin/ip")
        image.load_at_boot(["virtio_pci", "virtio_net", *wanted])
        nics = []
        for i, tap in enumerate(taps):
            # Without a speed and full duplex a bond does not take it into an aggregator.
            nics += ["-netdev", f"tap,id=n{i},ifname={tap},script=no,downscript=no", "-device",
                     f"virtio-net-pci,netdev=n{i},id=nic{i},romfile=,mac=52:54:00:00:00:0{i + 1},"
                     "speed=10000,duplex=full"]
        super().__init__(lab, image, nics)
