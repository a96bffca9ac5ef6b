#!/usr/bin/env python3
"""Junk at the card, while Linux runs rping against the node. A third host on the Ethernet
sends frames of random bytes, and frames of real traffic with some bytes changed: with the
right ICRC, so that they pass the first gate, and without. Nothing may break; what was sent
must be counted. A failure prints the seed: SEED=N tests/interop/junk.py."""
import os
import random
import socket
import struct
import sys
import threading

import rig

sys.path.insert(0, os.path.join(rig.ROOT, "tests", "system"))
from join import icrc, ip_checksum  # noqa: E402

SEED = int(os.environ.get("SEED", "1"))
FRAMES = 100000 if rig.LONG else 10000
BATCH = 20             # frames between two echoes: the junk goes no faster than the node
CORPUS_MAX = 4000
ROUNDS_ASKED = 1000    # of rping, again and again while junk comes
ANSWER_SECONDS = 120   # a hang detector
ECHO = 0x88B5
IP, UDP, BTH = 14, 34, 42
DETH = BTH + 12
ROCE_PORT = struct.pack(">H", 4791)
NODE_MAC, OUR_MAC = bytes.fromhex("525400495301"), bytes.fromhex("525400497066")
OUR_IP = bytes([10, 7, 0, 102])
RC_OPCODES = 25        # RC opcodes are 0 to 24


def is_roce_to_node(frame):
    return (frame[:6] == NODE_MAC and frame[12:14] == b"\x08\0" and len(frame) > BTH + 16
            and frame[IP] == 0x45 and frame[IP + 9] == 17 and frame[UDP + 2:UDP + 4] == ROCE_PORT)


def corpus_read(path):
    """The RoCEv2 frames to the node in a capture, padding of short frames cut off."""
    frames = []
    with open(path, "rb") as file:
        file.read(24)
        while len(frames) < CORPUS_MAX:
            head = file.read(16)
            if len(head) < 16:
                break
            frame = file.read(struct.unpack("<I", head[8:12])[0])
            if is_roce_to_node(frame):
                frames.append(frame[:IP + struct.unpack_from(">H", frame, IP + 2)[0]])
    return frames


def sealed(frame):
    """The frame (without ICRC) with lengths, checksum and ICRC made right."""
    frame = bytearray(frame)
    length = len(frame) - IP + 4
    struct.pack_into(">H", frame, IP + 2, length)
    struct.pack_into(">H", frame, UDP + 4, length - 20)
    frame[IP + 10:IP + 12] = bytes(2)
    struct.pack_into(">H", frame, IP + 10, ip_checksum(frame[IP:IP + 20]))
    return bytes(frame) + icrc(frame[IP:])


class Junk:
    """Makes frames; each kind says by its name which counter it must move."""

    def __init__(self, rng, corpus):
        self.rng = rng
        self.corpus = corpus
        self.mads = [f for f in corpus if f[BTH] == 0x64]
        self.requests = [f for f in corpus if f[BTH] < RC_OPCODES]
        self.live = []     # frames of connections that are up now
        self.made = {}

    def _changed(self, frame, first):
        frame = bytearray(frame)
        for _ in range(self.rng.randint(1, 8)):
            frame[self.rng.randrange(first, len(frame))] = self.rng.randrange(256)
        return bytes(frame)

    def random_bytes(self):
        length = self.rng.choice([14, 15, 33, 42, 59, 60, 64, 128, 1500, 4200, 9014])
        kind = self.rng.choice([0x0800, 0x0806, 0x86DD, 0x8915, 0, 0xFFFF])
        return NODE_MAC + OUR_MAC + struct.pack(">H", kind) + self.rng.randbytes(length - 14)

    def bad_ip(self):
        """Anything in IP and UDP headers wrong; from the peer, as all that follow."""
        frame = bytearray(self.rng.choice(self.corpus))
        frame[self.rng.randrange(IP, BTH)] ^= 1 << self.rng.randrange(8)
        return bytes(frame)

    def bad_icrc(self):
        """Frames of connections that are up, as they come from the peer, but damaged: only
        the ICRC is between them and memory."""
        frame = self.rng.choice(self.live)
        first = self.rng.choice([BTH, BTH + 12])
        return self._changed(frame, min(first, len(frame) - 4))

    def bad_qpn(self):
        """Right in all, changed anywhere behind the BTH, to a connection that is gone."""
        frame = self.rng.choice(self.requests)[:-4]
        return sealed(self._changed(frame, BTH + 8) if len(frame) > BTH + 8 else frame)

    def bad_src(self):
        """A right request to a connection that is up, from somebody else."""
        frame = bytearray(self.rng.choice(self.live)[:-4])
        frame[IP + 12:IP + 16] = OUR_IP
        return sealed(frame)

    def bad_opcode(self):
        frame = bytearray(self.rng.choice(self.corpus)[:-4])
        frame[BTH] = self.rng.choice([0x19, 0x20, 0x3F, 0x60, 0x80, 0xC0, 0xFF])
        return sealed(frame)

    def bad_tver(self):
        frame = bytearray(self.rng.choice(self.corpus)[:-4])
        frame[BTH + 1] |= self.rng.randrange(1, 16)
        return sealed(frame)

    def bad_len(self):
        frame = self.rng.choice(self.corpus)
        return sealed(frame[:self.rng.randrange(BTH + 12, min(len(frame) - 4, BTH + 27))])

    def bad_mad(self):
        """The CM's messages with right ICRC and wrong content. No id of a live connection
        is among them: the frames are of connections that are gone."""
        frame = bytearray(self.rng.choice(self.mads)[:-4])
        mad = DETH + 8
        for _ in range(self.rng.randint(1, 6)):
            at = self.rng.choice([mad + self.rng.randrange(24), mad + 24 + self.rng.randrange(64),
                                  mad + self.rng.randrange(256)])
            frame[at] = self.rng.randrange(256)
        frame[mad + 24:mad + 28] = self.rng.randbytes(4)
        if self.rng.random() < 0.9:    # a REQ's service: few reach a listener, each of those
            frame[mad + 32:mad + 40] = self.rng.randbytes(8)    # takes a place for a while
        return sealed(frame)

    def next(self):
        kinds = [self.random_bytes, self.bad_ip, self.bad_qpn, self.bad_opcode, self.bad_tver,
                 self.bad_len, self.bad_mad]
        if self.live:
            kinds += [self.bad_icrc, self.bad_icrc, self.bad_src]
        kind = self.rng.choice(kinds)
        self.made[kind.__name__] = self.made.get(kind.__name__, 0) + 1
        return kind()


class Sender(threading.Thread):
    """The third host. Its frames go no faster than the node takes them."""

    def __init__(self, link, junk):
        super().__init__(daemon=True)
        self.junk = junk
        self.error = None
        self.relay, own = link
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(own)
        self.socket.settimeout(ANSWER_SECONDS)

    def _send(self, frame):
        # Its own MAC always: with the peer's the relay would take the peer to be here.
        self.socket.sendto(frame[:6] + OUR_MAC + frame[12:], self.relay)

    def _echo(self, number):
        frame = NODE_MAC + OUR_MAC + struct.pack(">HI", ECHO, number) + bytes(42)
        self._send(frame)
        wanted = OUR_MAC + NODE_MAC + frame[12:]
        while self.socket.recv(65536) != wanted:
            pass

    def run(self):
        try:
            for number in range(FRAMES):
                self._send(self.junk.next())
                if number % BATCH == BATCH - 1:
                    self._echo(number)
        except OSError as error:
            self.error = f"the node does not answer: {error}"


def live_frames(capture, before):
    """Requests to the node in the capture behind its first `before` bytes."""
    with open(capture, "rb") as file:
        file.seek(before)
        data, frames, at = file.read(), [], 0
        while at + 16 <= len(data):
            length = struct.unpack_from("<I", data, at + 8)[0]
            frame = data[at + 16:at + 16 + length]
            at += 16 + length
            if is_roce_to_node(frame) and len(frame) == length and frame[BTH] < RC_OPCODES:
                frames.append(frame[:IP + struct.unpack_from(">H", frame, IP + 2)[0]])
    return frames


def counted(tap, made, counts):
    """Each kind of junk moved its counter."""
    for name in ("bad_icrc", "bad_qpn", "bad_src", "bad_opcode", "bad_tver", "bad_len"):
        got, sent = counts["rdma_" + name], made.get(name, 0)
        tap.result(sent and got >= sent // 2, f"junk: {name} is counted", f"{got}, {sent} sent")
    for name in ("rdma_not_roce", "rdma_bad_ip", "cm_rx_bad"):
        tap.result(counts[name], f"junk: {name} is counted", counts[name])


def body(tap):
    capture = os.path.join(rig.LOGS, "junk.pcap")
    with rig.rig("junk", guests=2) as bench:
        bench.rping(tap, "junk: rping before it", rig.NODE, 100, 1000)
        bench.check(tap, "junk: verbs client before it", f"client {rig.NODE} ops --ops 60")
        bench.cluster.relay.stats()        # flushes the capture
        junk = Junk(random.Random(SEED), corpus_read(capture))
        sender = Sender(bench.cluster.guest_links[1], junk)
        tap.result(True, "junk: seed", f"SEED={SEED}, {len(junk.corpus)} frames to start from")
        bench.peer.run(f"(rping -c -a {rig.NODE} -V -v -S 1000 -C 1000000 > /tmp/long 2>&1; "
                       "touch /tmp/ended) & while ! grep -q ping.data /tmp/long; "
                       "do :; done", rig.RUN_SECONDS, bench.cluster.health_check)
        before = os.path.getsize(capture)
        bench.peer.run("count=$(wc -l < /tmp/long); while test $(wc -l < /tmp/long) -lt "
                       "$((count + 50)); do :; done; wc -l < /tmp/long > /tmp/before",
                       rig.RUN_SECONDS, bench.cluster.health_check)
        bench.cluster.relay.stats()
        junk.live = live_frames(capture, before)
        sender.start()
        while sender.is_alive():
            bench.rping(tap, "junk comes: rping beside it", rig.NODE, ROUNDS_ASKED, 1000)
        sender.join()
        tap.result(not sender.error, f"junk: the node echoes through {FRAMES} frames",
                   sender.error or str(junk.made))
        bench.check(tap, "junk: the connection that was up all the time goes on",
                    "test ! -e /tmp/ended && cat /tmp/before && grep -c ping.data /tmp/long && "
                    "count=$(wc -l < /tmp/long); while test $(wc -l < /tmp/long) -lt "
                    "$((count + 20)) -a ! -e /tmp/ended; do :; done; "
                    "test ! -e /tmp/ended && killall rping")
        bench.check(tap, "junk: refusals and right bytes after it",
                    f"client {rig.NODE} ops --ops 60 && client {rig.NODE} negative")
        counted(tap, junk.made, bench.node_status())


if __name__ == "__main__":
    rig.main(body)
