"""A bond of two real kernel interfaces: a capture file is sent through it and read frame by frame at the
far end, and pings from there are answered."""

import os
import shutil
import struct
import subprocess
import sys
import tempfile
import time

import laggd_process as laggd

FRAMES = 3000
FLOWS = 40
SPACE = f"laggd{os.getpid() % 100000}"


def tool(*words, check=True):
    return subprocess.run(words, check=check, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True)


def frame(number):
    """UDP over IPv4; flow and number are in the payload.  Sizes from 60 to 1000 bytes."""
    flow = number % FLOWS
    payload = struct.pack("!8sII", b"laggtest", flow, number)
    payload += bytes((number + i) & 0xff for i in range(10 + number * 37 % 900))
    udp = struct.pack("!HHHH", 5000 + flow, 9, 8 + len(payload), 0) + payload
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), number & 0xffff, 0, 64, 17, 0,
                       bytes((198, 18, 0, flow)), bytes((198, 19, 0, 1)))
    total = sum(struct.unpack("!10H", head))
    total = (total & 0xffff) + (total >> 16)
    total = (total & 0xffff) + (total >> 16)
    head = head[:10] + struct.pack("!H", ~total & 0xffff) + head[12:]
    return bytes.fromhex("0200000000010200000000020800") + head + udp


def write_capture(path, frames):
    with open(path, "wb") as file:
        file.write(struct.pack("<IHHiIII", 0xa1b2c3d4, 2, 4, 0, 0, 65535, 1))
        for i, data in enumerate(frames):
            file.write(struct.pack("<IIII", i // 1000, i % 1000, len(data), len(data)) + data)


def read_capture(path):
    with open(path, "rb") as file:
        data = file.read()
    assert data[:4] == struct.pack("<I", 0xa1b2c3d4), "not the capture that was asked for"
    at, frames = 24, []
    while at + 16 <= len(data):
        length = struct.unpack_from("<I", data, at + 8)[0]
        frames.append(data[at + 16:at + 16 + length])
        at += 16 + length
    return [one for one in frames if one[42:50] == b"laggtest"]


class Lab:
    """Two veth pairs: their near ends here, their far ends in a name space, with tcpdump on each."""

    def __init__(self, folder):
        self.files = [os.path.join(folder, f"far{i}.pcap") for i in range(2)]
        self.near = [f"lg{os.getpid() % 10000}n{i}" for i in range(2)]
        self.dumps = []
        try:
            self._open()
        except BaseException:
            self.close()
            raise

    def _open(self):
        tool("ip", "netns", "add", SPACE)
        for i, near in enumerate(self.near):
            tool("ip", "link", "add", near, "type", "veth", "peer", "name", f"far{i}", "netns", SPACE)
            for name in (near,):
                tool("ip", "link", "set", name, "up")
            tool("ip", "-n", SPACE, "link", "set", f"far{i}", "up")
        for i, path in enumerate(self.files):
            self.dumps.append(subprocess.Popen(
                ["ip", "netns", "exec", SPACE, "tcpdump", "-i", f"far{i}", "-w", path, "-s", "0",
                 "-U", "-Z", "root", "-B", "32768", "--immediate-mode", "udp"],
                stderr=subprocess.PIPE))
        for dump in self.dumps:
            line = dump.stderr.readline()
            while line and b"listening" not in line:
                line = dump.stderr.readline()
            assert line, "tcpdump did not start"

    def captured(self):
        # What is on its way through the kernel arrives within moments; the last look decides.
        sizes = None
        for _ in range(50):
            now = [os.path.getsize(path) for path in self.files]
            if now == sizes:
                break
            sizes = now
            time.sleep(0.2)
        for dump in self.dumps:
            dump.terminate()
            dump.wait(timeout=20)
        return [read_capture(path) for path in self.files]

    def close(self):
        for dump in self.dumps:
            if dump.poll() is None:
                dump.kill()
        for near in self.near:
            tool("ip", "link", "del", near, check=False)
        tool("ip", "netns", "del", SPACE, check=False)


def replayed(policy, frames, loops=1):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "input.pcap")
        write_capture(path, frames)
        summary = os.path.join(folder, "summary.json")
        lab = Lab(folder)
        try:
            members = [f"net_af_packet{i}" for i in range(2)]
            vdevs = [f"--vdev={m},iface={near}" for m, near in zip(members, lab.near)]
            vdevs.append(f"--vdev=net_lagg0,policy={policy}," +
                         ",".join(f"member={m}" for m in members))
            code, text = laggd.run([*laggd.eal(*vdevs), "--", "--forward-mode=replay",
                                    "--replay-file", path, "--replay-loops", str(loops), "--rate",
                                    "4000", "--auto-start", "--json", summary])
            assert code == 0, text
            loop = laggd.load(summary)["forwarding"][0]
            assert loop["sent"] == loop["generated"] == len(frames) * loops, (loop, text)
            return lab.captured()
        finally:
            lab.close()


def number_of(data):
    return struct.unpack("!I", data[54:58])[0]


def flow_of(data):
    return struct.unpack("!I", data[50:54])[0]


def by_flow_each_frame_arrives_once_and_each_flow_on_one_link_in_order():
    frames = [frame(n) for n in range(FRAMES)]
    links = replayed("loadbalance", frames)
    assert sorted(links[0] + links[1]) == sorted(frames), (
        f"{len(links[0])} and {len(links[1])} frames of {FRAMES} arrived")
    flows = [{flow_of(data) for data in link} for link in links]
    assert flows[0] and flows[1] and not flows[0] & flows[1], flows
    for link in links:
        last = {}
        for data in link:
            assert last.get(flow_of(data), -1) < number_of(data), "out of order"
            last[flow_of(data)] = number_of(data)


def in_turn_both_links_carry_half():
    frames = [frame(n) for n in range(500)]
    links = replayed("roundrobin", frames, loops=2)
    assert sorted(links[0] + links[1]) == sorted(frames * 2), (len(links[0]), len(links[1]))
    assert abs(len(links[0]) - len(links[1])) <= 2, (len(links[0]), len(links[1]))


def broadcast_brings_every_frame_over_both_links():
    frames = [frame(n) for n in range(500)]
    links = replayed("broadcast", frames)
    assert sorted(links[0]) == sorted(frames) and sorted(links[1]) == sorted(frames), (
        len(links[0]), len(links[1]))


# Sends pings and prints how many came back whole.
PINGER = """
import socket, struct, sys, time
def checksum(data):
    total = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff
ours = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
ours.settimeout(2)
answered = 0
for number in range(20):
    body = struct.pack("!HH", 7, number) + bytes(range(number, number + 56))
    ask = struct.pack("!BBH", 8, 0, checksum(struct.pack("!BBH", 8, 0, 0) + body)) + body
    ours.sendto(ask, ("10.9.0.77", 0))
    try:
        while True:
            got = ours.recv(2000)[20:]
            if got[0] == 0 and got[4:] == body:
                answered += checksum(got) == 0
                break
    except socket.timeout:
        pass
print("answered", answered)
"""


def pings_are_answered_through_the_bond():
    with tempfile.TemporaryDirectory() as folder:
        lab = Lab(folder)
        try:
            tool("ip", "-n", SPACE, "addr", "add", "10.9.0.2/24", "dev", "far0")
            vdevs = [f"--vdev=net_af_packet{i},iface={near}" for i, near in enumerate(lab.near)]
            vdevs.append("--vdev=net_lagg0,policy=failover,member=net_af_packet0,"
                         "member=net_af_packet1,primary=net_af_packet0")
            process = subprocess.Popen(
                [laggd.LAGGD, *laggd.eal(*vdevs), "--", "--forward-mode=icmpecho", "-a"],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            while b"RX P=2/Q=0" not in process.stdout.readline():
                assert process.poll() is None
            answer = tool("ip", "netns", "exec", SPACE, sys.executable, "-c", PINGER).stdout
            text, _ = process.communicate(b"quit\n", timeout=60)
            assert process.returncode == 0, text
            assert "answered 20" in answer, (answer, text.decode(errors="replace"))
        finally:
            lab.close()


def a_file_that_is_no_capture_is_named():
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "text.pcap")
        with open(path, "w", encoding="utf-8") as file:
            file.write("this is no capture, and long enough to have a header of one")
        code, text = laggd.run([*laggd.eal("--vdev=net_null0"), "--", "--forward-mode=replay",
                                "--replay-file", path])
        assert code == 1 and path in text and "capture" in text, text


if __name__ == "__main__":
    if os.geteuid() != 0:
        laggd.skip("network name spaces and packet sockets need root")
    for program in ("ip", "tcpdump"):
        if shutil.which(program) is None:
            laggd.skip(f"{program} is not installed")
    if tool("ip", "netns", "add", SPACE, check=False).returncode != 0:
        laggd.skip("network name spaces cannot be made here")
    entered = tool("ip", "-n", SPACE, "link", "set", "lo", "up", check=False)
    tool("ip", "netns", "del", SPACE)
    if entered.returncode != 0:  # as where / is no mount point: a chroot
        laggd.skip(f"network name spaces cannot be entered here: {entered.stdout.strip()}")
    sys.exit(laggd.check_all([
        by_flow_each_frame_arrives_once_and_each_flow_on_one_link_in_order,
        in_turn_both_links_carry_half,
        broadcast_brings_every_frame_over_both_links,
        pings_are_answered_through_the_bond,
        a_file_that_is_no_capture_is_named,
    ]))
