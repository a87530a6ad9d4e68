"""A Linux guest in QEMU's software emulation: its memory file system is made here of busybox, ip
and the kernel's own modules; it is commanded over a serial line.  Knows no bond."""

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

QEMU = "qemu-system-x86_64"
KERNEL = os.environ.get("NET_LAGG_GUEST", "")  # an unpacked package of a Linux kernel
_DONE = "===done"
_INIT = f"""#!/bin/sh
export PATH=/bin:/sbin
mount -t proc p /proc; mount -t sysfs s /sys; mount -t devtmpfs d /dev
for m in $(cat /modules); do insmod /lib/$m || echo "no $m"; done
exec 0</dev/console 1>/dev/console 2>&1
stty -echo
echo "{_DONE} up"
while read -r line; do eval "$line"; echo "{_DONE} $?"; done
poweroff -f
"""


def require():
    for program in (QEMU, "busybox", "ldd"):
        if shutil.which(program) is None:
            skip(f"{program} is not installed")
    if not glob.glob(os.path.join(KERNEL, "boot", "vmlinuz-*")):
        skip(f"no guest kernel in '{KERNEL}': buildtools/bootstrap test unpacks one")


class _Archive:
    """cpio in its "newc" form, which a kernel unpacks."""

    def __init__(self):
        self._data = bytearray()
        self._names = set()
        self._inode = 0

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

    def finish(self):
        self._entry("TRAILER!!!", 0)
        return bytes(self._data)


def _contents(path):
    with open(path, "rb") as file:
        data = file.read()
    return lzma.decompress(data) if path.endswith(".xz") else data


def _modules(wanted):
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


def _add_program(archive, path, name):
    """With its libraries, if it has any."""
    archive.file(name, _contents(path))
    libraries = subprocess.run(["ldd", path], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                               text=True, check=False).stdout
    for library in re.findall(r"(/\S+) \(0x", libraries):
        archive.file(library.lstrip("/"), _contents(library))


def _image(modules):
    archive = _Archive()
    for name in ("proc", "sys", "dev", "bin", "sbin", "lib"):
        archive.folder(name)
    archive.file("init", _INIT.encode())
    busybox = shutil.which("busybox")
    _add_program(archive, busybox, "bin/busybox")
    for applet in subprocess.run([busybox, "--list"], stdout=subprocess.PIPE, text=True,
                                 check=True).stdout.split():
        if applet not in ("busybox", "ip"):
            archive.link("bin/" + applet, "busybox")
    _add_program(archive, os.path.realpath(shutil.which("ip")), "sbin/ip")
    loaded = _modules(modules)
    for name, data in loaded:
        archive.file("lib/" + name, data)
    archive.file("modules", "".join(name + "\n" for name, _ in loaded).encode(), 0o644)
    return archive.finish()


class Guest:
    """Runs in the name space "wire"; one NIC, eth0 and so on, for each tap."""

    def __init__(self, lab, taps, modules=()):
        self._image = os.path.join(lab.folder, "initrd")
        with open(self._image, "wb") as file:
            file.write(_image(["virtio_pci", "virtio_net", *modules]))
        serial, self._monitor = (os.path.join(lab.folder, name) for name in ("serial", "monitor"))
        nics = []
        for i, tap in enumerate(taps):
            # Without a speed and full duplex a bond does not take it into an aggregator.
            nics += ["-netdev", f"tap,id=n{i},ifname={tap},script=no,downscript=no", "-device",
                     f"virtio-net-pci,netdev=n{i},id=nic{i},romfile=,mac=52:54:00:00:00:0{i + 1},"
                     "speed=10000,duplex=full"]
        self.process = lab.start(
            "wire", [QEMU, "-nodefaults", "-accel", "tcg", "-cpu", "max", "-m", "256", "-display",
                     "none", "-no-reboot", "-chardev",
                     f"socket,id=s,path={serial},server=on,wait=on", "-serial", "chardev:s",
                     "-monitor", f"unix:{self._monitor},server,nowait",
                     "-kernel", glob.glob(os.path.join(KERNEL, "boot", "vmlinuz-*"))[0], "-initrd",
                     self._image, "-append", "console=ttyS0 quiet panic=-1 mitigations=off", "-nic",
                     "none", *nics], "qemu")
        self._serial = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        until(lambda: self._alive() and self._connect(serial), "QEMU", 20)
        self._serial.settimeout(0.2)
        self.said = ""
        begin = time.monotonic()
        self._until_done(90)
        self.boot_seconds = time.monotonic() - begin

    def _alive(self):
        assert self.process.poll() is None, text_of(self.process)[-1000:]
        return True

    def _connect(self, path):
        try:
            self._serial.connect(path)
        except OSError:
            return False
        return True

    def _until_done(self, timeout):
        begin, end = len(self.said), time.monotonic() + timeout
        while True:
            found = re.search(re.escape(_DONE) + r" (\w+)\r?\n", self.said[begin:])
            if found:
                return self.said[begin:begin + found.start()].replace("\r", ""), found.group(1)
            assert time.monotonic() < end and self._alive(), f"the guest says {self.said[-1500:]}"
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

    def set_link(self, number, on):
        """Carrier of a NIC as the guest sees it."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as monitor:
            monitor.settimeout(10)
            monitor.connect(self._monitor)
            for line in ("", f"set_link nic{number} {'on' if on else 'off'}\n"):
                monitor.sendall(line.encode())
                said = b""
                while not said.endswith(b"(qemu) "):
                    said += monitor.recv(4096)
