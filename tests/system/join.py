#!/usr/bin/env python3
"""The join in real boots: two and three nodes; a node with another key; one that dies and
comes back; a stranger that calls the members' port. Reads the consoles, waits for lines,
never for a time. Prints TAP."""
import os
import random
import re
import socket
import struct
import subprocess
import sys
import zlib

import rig                           # finds tools/ too

import mkimage
from launcher.cluster import BASE_IMAGE, Cluster
from launcher.options import Options

LIMIT = float(os.environ.get("ISTHMUS_LIMIT", "240"))  # a hang detector
MEMBER_PORT = 9564
OTHER_KEY = "a5" * 32
NODE_MAC = bytes.fromhex("525400495301")
OUR_MAC = bytes.fromhex("525400497065")
NODE_IP, OUR_IP = bytes([10, 7, 0, 1]), bytes([10, 7, 0, 101])
SEED = int(os.environ.get("SEED", "1"))


def joined(node):
    return rb"cluster: node %d joined, (\d+) members" % node


def members_last(cluster, node):
    """The count in the last line about members on that node's console."""
    found = re.findall(rb"joined, (\d+) members", cluster.machines[node].console())
    return int(found[-1]) if found else 1


def check_all_join(nodes):
    with Cluster(Options(nodes=nodes, timeout=LIMIT)) as cluster:
        for here in range(nodes):
            for there in range(nodes):
                if here != there:
                    cluster.console_wait(here, joined(there))
            count = members_last(cluster, here)
            assert count == nodes, f"node {here} counts {count} members of {nodes}"


def check_nodes_command():
    """`run` starts the command only when all are joined, so `nodes` shows all of them."""
    done = subprocess.run([os.path.join(rig.ROOT, "isthmus"), "run", "--nodes", "3", "--smp", "2",
                           "--timeout", str(LIMIT), "--", ALL_SEE_THREE +
                           "nodes; cat /nodes/*/status"],
                          stdout=subprocess.PIPE, check=True, text=True)
    lines = done.stdout.splitlines()
    rows = [line.split()[:4] for line in lines[1:4]]
    wanted = [[str(n), "up" if n else "self", f"10.7.0.{n + 1}", "2"] for n in range(3)]
    assert rows == wanted, done.stdout
    for key, value in (("members", "3"), ("downs", "0"), ("rdma_bad_icrc", "0")):
        got = re.findall(rf"(?m)^{key}: (\d+)$", done.stdout)
        assert got == [value] * 3, f"{key}: {got}"


def check_other_key():
    """Node 1 has another key: both refuse, say so once, and go on alone; 0 and 2 join."""
    cluster = Cluster(Options(nodes=3, timeout=LIMIT))
    image = os.path.join(cluster.logs, "other-key.iso")
    conf = re.sub(r"(?m)^key .*$", "key " + OTHER_KEY, mkimage.cluster_conf(3))
    assert OTHER_KEY in conf, conf
    mkimage.run_make(image, BASE_IMAGE, conf, "", None)
    cluster.machines[1].image = image
    with cluster:
        cluster.console_wait(0, joined(2))
        cluster.console_wait(2, joined(0))
        refused = rb"(cluster: node 1 is refused|node 1 refuses this node: wrong key)"
        cluster.console_wait(0, refused)
        cluster.console_wait(1, refused.replace(b"node 1", b"node 0"))
        cluster.console_wait(1, rb"isthmus: node up")
        for node in (0, 2):
            assert not re.search(joined(1), cluster.machines[node].console())
        assert b"joined" not in cluster.machines[1].console()
        lines = re.findall(rb"node 1 is refused", cluster.machines[0].console())
        assert len(lines) <= 1, f"{len(lines)} lines about one refused peer"


def check_death_and_return():
    """Node 1 loses its power: node 0 sees it, and lets its next incarnation in."""
    with Cluster(Options(nodes=2, timeout=LIMIT)) as cluster:
        cluster.console_wait(0, joined(1))
        cluster.console_wait(1, joined(0))
        cluster.machines[1].kill()
        cluster.machines[1].start()
        cluster.console_wait(0, rb"(?s)cluster: node 1 is down.*cluster: node 1 joined, 2 members")
        cluster.console_wait(1, joined(0))


# --- nodes without a line in cluster.conf ------------------------------------------------------

def given(by):
    return rb"ask: node %d gave this node the id (\d+)" % by


# The command begins when node 0 sees all; the others may see each other a little later.
ALL_SEE_THREE = """
until [ "$(cat /nodes/*/status | grep -c '^members: 3$')" = 3 ]; do sleep 0.1; done
"""


def check_unlisted():
    """Two of three nodes have no line and boot at once: they get ids 1 and 2, all join, and
    `nodes` on node 0 shows both with the addresses they claimed."""
    done = subprocess.run([os.path.join(rig.ROOT, "isthmus"), "run", "--nodes", "3",
                           "--unlisted", "2",
                           "--timeout", str(LIMIT), "--",
                           ALL_SEE_THREE + "nodes; cat /nodes/*/status"],
                          stdout=subprocess.PIPE, check=True, text=True)
    rows = [line.split()[:3] for line in done.stdout.splitlines()[1:4]]
    assert [row[:2] for row in rows] == [["0", "self"], ["1", "up"], ["2", "up"]], done.stdout
    hosts = [int(row[2].rpartition(".")[2]) for row in rows]
    assert hosts[0] == 1 and hosts[1] != hosts[2], done.stdout
    assert all(65 <= host <= 99 for host in hosts[1:]), done.stdout
    assert re.findall(r"(?m)^members: (\d+)$", done.stdout) == ["3"] * 3, done.stdout


def check_unlisted_returns():
    """An unlisted node that loses its power gets its old id from whoever gives ids then: the
    lowest listed node that is up, here node 1, since node 0 has lost its power too."""
    with Cluster(Options(nodes=4, unlisted=2, timeout=LIMIT)) as cluster:
        for here in (0, 1):
            for there in {0, 1, 2, 3} - {here}:
                cluster.console_wait(here, joined(there))
        ids = {node: int(cluster.console_wait(node, given(0)).group(1)) for node in (2, 3)}
        assert set(ids.values()) == {2, 3}, ids
        cluster.machines[0].kill()
        cluster.machines[2].kill()
        cluster.machines[2].start()
        dead = cluster.machines.pop(0)         # or health_check would complain
        try:
            back = int(cluster.console_wait(1, given(1)).group(1))
            assert back == ids[2], f"it was node {ids[2]} and came back as node {back}"
            cluster.console_wait(1, joined(1))
            cluster.console_wait(1, joined(ids[3]))
        finally:
            cluster.machines.insert(0, dead)


def check_unlisted_alone():
    """Nobody listed answers: the node says so after join.wait and works alone."""
    conf = re.sub(r"52:54:00:49:53:01", "52:54:00:49:53:77", mkimage.cluster_conf(1))
    cluster = Cluster(Options(nodes=1, timeout=LIMIT, append=["join.wait=3"]))
    image = os.path.join(cluster.logs, "unlisted.iso")
    mkimage.run_make(image, BASE_IMAGE, conf, "join.wait=3", None)
    cluster.machines[0].image = image
    with cluster:
        cluster.console_wait(0, rb"ask: no id within 3 s: no listed node answers; this node works")
        cluster.console_wait(0, rb"isthmus: node up")


# --- a stranger: one InfiniBand CM REQ in a RoCEv2 packet, made by hand -----------------------

def icrc(packet):
    """RoCEv2's invariant CRC of an IPv4 packet (IBTA Annex A17): ones in the fields that
    may change on the way."""
    masked = bytearray(packet)
    masked[1] = masked[8] = 0xFF           # TOS, TTL
    masked[10:12] = b"\xff\xff"            # IP checksum
    masked[26:28] = b"\xff\xff"            # UDP checksum
    masked[32] = 0xFF                      # BTH resv8a
    return struct.pack("<I", zlib.crc32(b"\xff" * 8 + bytes(masked)))


def cm_req(rng):
    """A REQ for the members' port with random private data: MAD header and CM REQ of
    IBTA Vol. 1 12.6.5, by offset."""
    mad = bytearray(256)
    mad[0:4] = bytes([1, 7, 2, 3])         # base version, class CM, class version, Send
    mad[8:16] = rng.randbytes(8)           # transaction
    mad[16:18] = struct.pack(">H", 0x10)   # attribute: REQ
    req = bytearray(232)
    req[0:4] = rng.randbytes(4)            # local communication id
    req[8:16] = struct.pack(">Q", 0x0000000001060000 | MEMBER_PORT)
    req[16:24] = rng.randbytes(8)          # GUID
    req[32:36] = struct.pack(">I", 0x123456 << 8 | 4)      # QPN, responder resources
    req[36:40] = struct.pack(">I", 4)                      # initiator depth
    req[40:44] = struct.pack(">I", 0x14 << 3)              # response timeout, RC
    req[44:48] = struct.pack(">I", 0x654321 << 8 | 7 << 0)  # starting PSN, retries
    req[48:50] = struct.pack(">H", 0xFFFF)                 # P_Key
    req[50] = 3 << 4 | 7                                   # MTU 1024, RNR retries
    req[51] = 5 << 4                                       # max CM retries
    prefix = bytes(10) + b"\xff\xff"
    req[56:72], req[72:88] = prefix + OUR_IP, prefix + NODE_IP
    req[140:232] = bytes([0, 4 << 4]) + struct.pack(">H", 40000) + bytes(12) + OUR_IP \
        + bytes(12) + NODE_IP + rng.randbytes(56)
    mad[24:256] = req
    return bytes(mad)


def ip_checksum(header):
    total = sum(struct.unpack(">10H", header))
    total = (total & 0xFFFF) + (total >> 16)
    return 0xFFFF ^ (total + (total >> 16))


def ud_frame(mad):
    """The MAD as a UD SEND to QP1."""
    bth = struct.pack(">BBHII", 0x64, 0x40, 0xFFFF, 1, 0)
    deth = struct.pack(">II", 0x80010000, 1)
    payload = bth + deth + mad
    udp = struct.pack(">HHHH", 49152, 4791, 8 + len(payload) + 4, 0)
    length = 20 + len(udp) + len(payload) + 4
    head = struct.pack(">BBHHHBBH", 0x45, 0, length, 0, 0x4000, 64, 17, 0)
    head += OUR_IP + NODE_IP
    head = head[:10] + struct.pack(">H", ip_checksum(head)) + head[12:]
    packet = head + udp + payload
    return NODE_MAC + OUR_MAC + b"\x08\0" + packet + icrc(packet)


def arp_reply():
    return NODE_MAC + OUR_MAC + struct.pack(">HHHBBH", 0x0806, 1, 0x0800, 6, 4, 2) \
        + OUR_MAC + OUR_IP + NODE_MAC + NODE_IP


def check_stranger():
    """A REQ from an address that no member has: a REJ comes back, the console says so
    once, and the members stay together."""
    port = 20000 + os.getpid() % 20000 // 2 * 2
    rng = random.Random(SEED)
    wire = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    wire.bind(("127.0.0.1", port + 1))
    wire.settimeout(1)
    with wire, Cluster(Options(nodes=2, timeout=LIMIT, join=[port])) as cluster:
        cluster.console_wait(0, joined(1))
        frame = ud_frame(cm_req(rng))
        wire.sendto(frame, ("127.0.0.1", port))
        while True:
            cluster.health_check()
            try:
                got = wire.recv(65536)
            except TimeoutError:
                wire.sendto(frame, ("127.0.0.1", port))
                continue
            if got[12:14] == b"\x08\x06" and got[20:22] == b"\0\1":
                wire.sendto(arp_reply(), ("127.0.0.1", port))
            elif got[:6] == OUR_MAC and got[12:14] == b"\x08\0" \
                    and got[36:38] == struct.pack(">H", 4791):
                break
        attribute = struct.unpack(">H", got[14 + 28 + 20 + 16:14 + 28 + 20 + 18])[0]
        assert attribute == 0x12, f"the answer is CM attribute {attribute:#x}, not REJ"
        cluster.console_wait(0, rb"cluster: a call from 10\.7\.0\.101 is refused")
        assert members_last(cluster, 0) == 2
        assert b"is down" not in cluster.machines[0].console()


CHECKS = [
    ("two nodes join", lambda: check_all_join(2)),
    ("three nodes join", lambda: check_all_join(3)),
    ("the command runs when all have joined, and `nodes` shows them", check_nodes_command),
    ("a node with another key is refused and works alone", check_other_key),
    ("a node that died is seen, and its next incarnation joins", check_death_and_return),
    ("a stranger's call is refused and logged", check_stranger),
    ("two nodes without a line in cluster.conf get ids and join", check_unlisted),
    ("such a node comes back as who it was, though node 0 is dead", check_unlisted_returns),
    ("such a node that nobody answers says so and works alone", check_unlisted_alone),
]


def main():
    wanted = sys.argv[1:]
    return rig.checks_run([check for number, check in enumerate(CHECKS, 1)
                           if not wanted or str(number) in wanted])


if __name__ == "__main__":
    sys.exit(main())
