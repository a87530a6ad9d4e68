"""Frames that are sent into a port, come back from the far end and are judged: content, order per
flow, losses and the longest silence.  Knows what echoes them only by the kind of frame."""

import random
import select
import socket
import struct
import threading
import time

MAGIC = b"interop!"
ECHO = bytes.fromhex("02000000ec00")  # where nobody lives: the echo answers for it


def checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def payload(flow, number):
    size = 10 + (flow * 97 + number * 37) % 900
    filling = bytes((number + i) & 0xff for i in range(size))
    return MAGIC + struct.pack("!II", flow, number) + filling


def ipv4(protocol, source, destination, number, body):
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(body), number & 0xffff, 0, 64, protocol,
                       0, source, destination)
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + body


class SwappedUdp:
    """The far end exchanges the Ethernet addresses."""

    def __init__(self, ours, far=ECHO):
        self.ours, self.far = ours, far

    def frame(self, flow, number):
        data = payload(flow, number)
        udp = struct.pack("!HHHH", 5000 + flow, 9, 8 + len(data), 0) + data
        return self.far + self.ours + b"\x08\x00" + ipv4(
            17, bytes((198, 18, 0, 1 + flow // 4)), bytes((198, 19, 0, 1)), number, udp)

    def answer(self, flow, number):
        sent = self.frame(flow, number)
        return sent[6:12] + sent[:6] + sent[12:]


class Ping:
    """A host answers ICMP echoes: `far` is its Ethernet address."""

    def __init__(self, ours, far, network="10.9.0", host=200):
        self.ours, self.far = ours, far
        self.network = bytes(int(part) for part in network.split("."))
        self.host = host

    def _message(self, kind, flow, number):
        body = struct.pack("!BBHHH", kind, 0, 0, flow, number & 0xffff) + payload(flow, number)
        return body[:2] + struct.pack("!H", checksum(body)) + body[4:]

    def frame(self, flow, number):
        return self.far + self.ours + b"\x08\x00" + ipv4(
            1, self.network + bytes((1 + flow,)), self.network + bytes((self.host,)), number,
            self._message(8, flow, number))

    def answer(self, flow, number):
        return self._message(0, flow, number)


class Report:
    """What came back."""

    def __init__(self):
        self.sent = self.returned = self.changed = self.twice = self.reordered = 0
        self.longest_silence = 0.0
        self.silence_at = 0.0  # when it began, time.monotonic()

    def __str__(self):
        return (f"{self.sent} sent, {self.returned} came back, {self.changed} changed, "
                f"{self.twice} twice, {self.reordered} out of order, longest silence "
                f"{self.longest_silence * 1000:.0f} ms")


class Traffic:
    """Sends until stop(), which waits `patience` seconds for a frame that is still on its way; a
    context manager."""

    def __init__(self, lab, space, interface, kind, flows=32, rate=1000, patience=0.5):
        self._kind, self._flows, self._rate, self._patience = kind, flows, rate, patience
        self._socket = lab.socket(space, socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 23)
        self._socket.bind((interface, 3))
        self._socket.setblocking(False)
        self._next = [random.randrange(1000) for _ in range(flows)]
        self._waiting = {}  # (flow, number) to when it was sent: not seen again
        self._last = [-1] * flows
        self._late = []  # when frames were sent that a younger one of their flow overtook
        self._end = threading.Event()
        self.report = Report()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        report, begin, flow = self.report, time.monotonic(), 0
        last_return = begin
        due = begin
        while not self._end.is_set():
            now = time.monotonic()
            if now >= due:
                number = self._next[flow]
                self._next[flow] += 1
                self._waiting[flow, number] = now
                try:
                    self._socket.send(self._kind.frame(flow, number))
                    report.sent += 1
                except OSError:  # the interface is down or its queue is full: as good as lost
                    del self._waiting[flow, number]
                flow = (flow + 1) % self._flows
                due = max(due + 1 / self._rate, now - 0.05)
            last_return = self._receive(max(0.0, due - now), last_return)
        quiet = time.monotonic() + self._patience
        while time.monotonic() < quiet and self._waiting:
            before = report.returned
            self._receive(0.05, None)
            if report.returned != before:
                quiet = time.monotonic() + self._patience

    def _receive(self, patience, last_return):
        report = self.report
        if not select.select([self._socket], [], [], patience)[0]:
            return self._silence(last_return)
        for _ in range(64):
            try:
                frame, address = self._socket.recvfrom(65536)
            except OSError:
                break
            at = frame.find(MAGIC, 14)
            if address[2] == socket.PACKET_OUTGOING or at < 0:
                continue
            flow, number = struct.unpack_from("!II", frame, at + len(MAGIC))
            if flow >= self._flows:
                report.changed += 1
                continue
            wanted = self._kind.answer(flow, number)
            if not frame.startswith(wanted) and frame[34:34 + len(wanted)] != wanted:
                report.changed += 1
                continue
            if (flow, number) not in self._waiting:
                report.twice += 1
                continue
            sent = self._waiting.pop((flow, number))
            report.returned += 1
            if number < self._last[flow]:
                report.reordered += 1
                self._late.append(sent)
            self._last[flow] = max(self._last[flow], number)
            if last_return is not None:
                self._silence(last_return)
                last_return = time.monotonic()
        return last_return

    def _silence(self, since):
        if since is not None:
            silence = time.monotonic() - since
            if silence > self.report.longest_silence:
                self.report.longest_silence, self.report.silence_at = silence, since
        return since

    def stop(self):
        self._end.set()
        self._thread.join()
        self._socket.close()
        return self.report

    def stopped(self):
        return self._end.is_set()

    def lost(self, begin=0.0, end=float("inf")):
        """After stop(): how many of the frames that were sent between two times never came back."""
        return sum(begin <= sent < end for sent in self._waiting.values())

    def lost_at(self, begin=0.0, end=float("inf")):
        """After stop(): flow and seconds after `begin` of each of them, to be printed."""
        return sorted((round(sent - begin, 3), flow) for (flow, _), sent in self._waiting.items()
                      if begin <= sent < end)

    def reordered(self, begin=0.0, end=float("inf")):
        """After stop(): how many of them a younger one of their flow overtook."""
        return sum(begin <= sent < end for sent in self._late)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if not self.stopped():
            self.stop()


def send_for(seconds, *arguments, **options):
    with Traffic(*arguments, **options) as traffic:
        time.sleep(seconds)
        return traffic.stop()


def address_of(lab, space, interface):
    text = lab.ip(space, "-o", "link", "show", interface)
    return bytes.fromhex(text.split("link/ether ")[1].split()[0].replace(":", ""))


def counters(lab, space, interface):
    """(frames received, frames sent) of a kernel interface."""
    text = lab.execute(space, "cat", *(f"/sys/class/net/{interface}/statistics/{direction}_packets"
                                       for direction in ("rx", "tx")))
    return tuple(int(word) for word in text.split())
