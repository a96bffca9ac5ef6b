#!/usr/bin/env python3
"""The network cards in a real boot: this program is a host on the node's Ethernet. It
sends frames by --join: the echo of rdma.test=1 at many lengths, ARP, bursts, junk.
Prints TAP. Usage: test_net.py [NIC/SMP]..."""
import os
import random
import socket
import struct
import sys

HERE = os.path.dirname(os.path.realpath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "tools"))

from launcher.cluster import Cluster  # noqa: E402
from launcher.errors import LaunchError  # noqa: E402
from launcher.options import Options  # noqa: E402

ECHO = 0x88B5
ARP = 0x0806
NODE_MAC = bytes.fromhex("525400495301")
OUR_MAC = bytes.fromhex("525400497064")
NODE_IP = bytes([10, 7, 0, 1])
OUR_IP = bytes([10, 7, 0, 100])
MTU = 9000
ANSWER_SECONDS = 30  # a hang detector
SEED = int(os.environ.get("SEED", "1"))


class Wire:
    """One Ethernet port: a UDP datagram a frame."""

    def __init__(self, port):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self.socket.bind(("127.0.0.1", port + 1))
        self.to = ("127.0.0.1", port)

    def send(self, frame):
        self.socket.sendto(frame, self.to)

    def expect(self, wanted):
        """Takes frames until `wanted(frame)` is true; returns that frame."""
        self.socket.settimeout(ANSWER_SECONDS)
        while True:
            frame = self.socket.recv(65536)
            if wanted(frame):
                return frame


def echo_frame(number, length):
    """A frame of `length` bytes whose content no other has."""
    head = NODE_MAC + OUR_MAC + struct.pack(">HI", ECHO, number)
    return head + random.Random(number).randbytes(max(length - len(head), 0))


def is_echo_of(frame):
    wanted = OUR_MAC + NODE_MAC + frame[12:]
    return lambda got: got == wanted


def arp(operation, sender_mac, sender_ip, target_ip):
    return (b"\xff" * 6 + sender_mac
            + struct.pack(">HHHBBH", ARP, 1, 0x0800, 6, 4, operation)
            + sender_mac + sender_ip + bytes(6) + target_ip).ljust(60, b"\0")


def check_arp(wire):
    wire.send(arp(1, OUR_MAC, OUR_IP, NODE_IP))
    answer = wire.expect(lambda f: f[12:14] == b"\x08\x06" and f[20:22] == b"\0\2")
    assert answer[:6] == OUR_MAC and answer[22:28] == NODE_MAC, answer[:42].hex()
    assert answer[28:32] == NODE_IP and answer[38:42] == OUR_IP, answer[:42].hex()


def check_echo(wire):
    lengths = list(range(60, 70)) + [1513, 1514, 1515, 2047, 2048, 2049, 4096, 4113, 4114,
                                     8191, 8192, 8193, MTU + 13, MTU + 14]
    for number, length in enumerate(lengths):
        frame = echo_frame(number, length)
        wire.send(frame)
        wire.expect(is_echo_of(frame))


def check_bursts(wire):
    """Several frames in a row, again and again round both rings; each comes back once."""
    for first in range(0, 2000, 20):
        frames = [echo_frame(1000 + first + i, 60 + 70 * i) for i in range(20)]
        for frame in frames:
            wire.send(frame)
        left = {OUR_MAC + NODE_MAC + frame[12:] for frame in frames}
        while left:
            left.discard(wire.expect(left.__contains__))


def check_junk(wire):
    """Random frames of every kind and length, too long ones among them; then it echoes."""
    rng = random.Random(SEED)
    types = [0x0800, 0x0806, 0x86DD, 0x8100, 0x8915, ECHO, 0, 0xFFFF]
    roce = bytes.fromhex("450000000000400040110000") + OUR_IP + NODE_IP + struct.pack(
        ">HH", 49152, 4791)
    for number in range(600):
        length = rng.choice([0, 1, 13, 14, 15, 33, 42, 59, 60, 64, 128, 1500, 9014, 9015, 16000])
        body = rng.randbytes(length)
        if number % 2:
            kind = rng.choice(types)
            body = NODE_MAC + OUR_MAC + struct.pack(">H", kind) + body
            if kind == 0x0800 and rng.random() < 0.7:
                body = body[:14] + roce + body[14 + len(roce):]
        wire.send(body[:16000] or b"\0")
        if number % 20 == 19:
            frame = echo_frame(100000 + number, 100)
            wire.send(frame)
            wire.expect(is_echo_of(frame))


CHECKS = [check_arp, check_echo, check_bursts, check_junk]


def free_port():
    """A UDP port P where P + 1 is free too."""
    while True:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
            if port >= 65534:
                continue
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as next_probe:
                try:
                    next_probe.bind(("127.0.0.1", port + 1))
                except OSError:
                    continue
                return port


def run(kind, report):
    nic, smp = kind.split("/")
    port = free_port()
    wire = Wire(port)
    options = Options(nodes=1, nic=nic, smp=int(smp), append=["rdma.test=1"], join=[port],
                      timeout=240)
    try:
        with Cluster(options) as cluster:
            cluster.console_wait(0, rb"node up|works alone")
            for check in CHECKS:
                error = None
                try:
                    check(wire)
                    cluster.health_check()
                except (AssertionError, OSError, LaunchError) as found:
                    error = f"{type(found).__name__}: {found}\n{cluster.tails()}"
                report(f"net {kind}: {check.__name__[6:]}", error)
                if error:
                    return
    except LaunchError as found:
        report(f"net {kind}: boots", str(found))


def main():
    count = [0, 0]

    def report(name, error):
        count[0] += 1
        count[1] += error is not None
        print(f"{'not ok' if error else 'ok'} {count[0]} - {name}", flush=True)
        for line in (error or "").splitlines():
            print(f"# {line}")

    for kind in sys.argv[1:] or ["e1000/1", "e1000e/1", "e1000/2"]:
        run(kind, report)
    print(f"1..{count[0]}")
    return 1 if count[1] else 0


if __name__ == "__main__":
    sys.exit(main())
