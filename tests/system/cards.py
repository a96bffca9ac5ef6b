#!/usr/bin/env python3
"""Network cards and consoles of two nodes, used from both by one name: raw frames of every
length between second cards and with this host, queues, errors, what may not be sent or seen
of the cluster; a console that the other node reads, writes and has a shell on. TAP."""
import os
import re
import socket
import subprocess
import sys
import threading

import rig
from panic import LIMIT_S, Watched
from launcher.cluster import Cluster
from launcher.options import Options

BUILD = os.path.join(rig.BUILD, "cards")
LOGS = os.path.join(BUILD, "logs")
TYPE = 0x88b6                        # of the frames of card.c
HOST_MAC = bytes.fromhex("525400490001")
NODE_MAC = bytes.fromhex("525400495402")   # of node 1's second card
HOST_FRAMES = 20
FRAMES = 60                          # lengths of `exchange`
PERM, AGAIN = "Operation not permitted", "Resource temporarily unavailable"
REFUSED_CARRIER = {"roce", "roce-from", "roce-strangers", "roce-vlan", "roce-v6", "roce-1",
                   "mac", "arp", "ip"}
REFUSED_OTHER = {"roce", "roce-from", "roce-vlan", "mac", "arp", "ip"}
KINDS = REFUSED_CARRIER | {"plain", "arp-own"}
STATUS = ("mac: %s\nmtu: 9000\nlink: up\nuse: %s\n"
          "tx_frames: N\ntx_bytes: N\nrx_frames: N\nrx_bytes: N\nraw_received: N\nraw_dropped: N\n"
          "raw_hidden: N\nraw_truncated: N\nraw_sent: N\nraw_send_failed: N\nraw_refused: N")


def forge_good(refused):
    """A judge of `card forge`: exactly these are refused."""
    def judge(output):
        said = dict(part.split(" ", 1) for part in output.split("; "))
        return said == {kind: PERM if kind in refused else "good" for kind in KINDS}
    return judge


class Steps:
    """Commands of node 0 and what each is to print."""

    def __init__(self):
        self.steps = []

    def add(self, name, command, want):
        self.steps.append((name, command, want))

    def script(self):
        return "".join(f"echo {rig.SEPARATOR}{i}\n( {command}\n) 2>&1\n"
                       for i, (_, command, _) in enumerate(self.steps))

    def judge(self, tap, output):
        parts = {}
        for part in output.split(rig.SEPARATOR)[1:]:
            number, _, text = part.partition("\n")
            parts[int(number)] = text.strip()
        for i, (name, _, want) in enumerate(self.steps):
            got = parts.get(i)
            good = got is not None and (want(got) if callable(want) else got == want)
            tap.result(good, name, f"got {got!r}" + ("" if callable(want) else f"\nwant {want!r}"))


def steps_of(node):
    """All but what needs this host, from one node."""
    steps = Steps()
    on, who = ("", "on 1 ")[node], f"from node {node}: "
    card = f"{on}card "
    far = f"/nodes/{1 - node}/dev"
    steps.add(who + "names", f"{on}ls /nodes/0/dev /nodes/1/dev | tr '\\n' ' '",
              " ".join(f"/nodes/{n}/dev: console eth0 eth0.status eth1 eth1.status " for n in
                       (0, 1)).strip())
    for n, name, mac, use in ((0, "eth0", "53:01", "roce"), (1, "eth1", "54:02", "free")):
        steps.add(who + f"MAC, MTU, link of node {n}'s {name}",
                  f"{on}sed 's/: [0-9]*$/: N/; s/^mtu.*/mtu: 9000/' /nodes/{n}/dev/{name}.status",
                  STATUS % (f"52:54:00:49:{mac}", use))
    a, b = "/nodes/0/dev/eth1", "/nodes/1/dev/eth1"
    whole = f"exchange {2 * FRAMES} of {2 * FRAMES}"
    steps.add(who + f"{FRAMES} frames of 60 to 9,014 bytes each way", f"{card}exchange {a} {b} "
              f"{FRAMES}", whole)
    steps.add(who + "the same with a move half-way",
              f"{card}exchange {a} {b} {FRAMES} {1 - node}", whole)
    steps.add(who + "64 frames wait for a reader, the others are counted",
              f"{card}drops {a} {b} 200", f"kept 64 in order, {AGAIN}, dropped 136, truncated 64")
    steps.add(who + "two reads that wait get the frame that comes, both", f"{card}late {a} {b}",
              "late 2 of 2")
    steps.add(who + "errors", f"{card}errors {far}/eth1",
              lambda got: re.fullmatch(
                  "short Invalid argument; long Message too (large|long); longest good; "
                  f"empty {AGAIN}; unread Bad file descriptor; poll 1 out; "
                  "seek (Invalid|Illegal) seek; "
                  "opens 8 then (Device or resource|Resource) busy; again good", got))
    macs = "52:54:00:49:53:01 52:54:00:49:53:02"
    for n in (0, 1):
        steps.add(who + f"node {n}'s RoCE card sends nothing that forges the cluster's",
                  f"{card}forge /nodes/{n}/dev/eth0 {macs}", forge_good(REFUSED_CARRIER))
    steps.add(who + "nor does a card beside it", f"{card}forge {b} {macs}",
              forge_good(REFUSED_OTHER))
    steps.add(who + "a reader of the RoCE card sees none of 50 reads of the other node's file",
              f"{card}hidden /nodes/{node}/dev/eth0 {far}/eth1 {far}/eth1.status",
              "seen 1, ours 1, hidden many")
    return steps


class Host(threading.Thread):
    """This host on the guests' Ethernet: frames to all, each sent until it comes back."""

    def __init__(self):
        super().__init__(daemon=True)
        self.inside, self.socket = self.pair()
        self.port = self.inside.getsockname()[1]
        self.inside.close()          # the relay binds it
        self.socket.settimeout(0.2)
        self.answered, self.strange, self.over = 0, 0, False

    @staticmethod
    def pair():
        """Sockets on PORT and PORT + 1, both free."""
        while True:
            ends = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2)]
            ends[0].bind(("127.0.0.1", 0))
            try:
                ends[1].bind(("127.0.0.1", ends[0].getsockname()[1] + 1))
                return ends
            except (OSError, OverflowError):
                for end in ends:
                    end.close()

    def turned(self, frame):
        """What card.c makes of a frame: ours with one byte turned."""
        return HOST_MAC + NODE_MAC + frame[12:14] + bytes([frame[14] ^ 255]) + frame[15:]

    def run(self):
        while not self.over and not self.heard():
            pass                     # a node says when to begin
        for number in range(HOST_FRAMES):
            length = 60 + number * 450
            body = bytes((number * 31 + i) & 255 for i in range(length - 14))
            frame = b"\xff" * 6 + HOST_MAC + TYPE.to_bytes(2, "big") + body
            while not self.over and not self.one(frame):
                pass
        while not self.over:
            self.one(b"\xff" * 6 + HOST_MAC + TYPE.to_bytes(2, "big") + b"\xff\xee" + bytes(44))

    def heard(self):
        """The next frame for us, or None where none came in a while."""
        try:
            got = self.socket.recv(65536)
        except TimeoutError:
            return None
        ours = got[:6] == HOST_MAC and got[12:14] == TYPE.to_bytes(2, "big")
        return got if ours else None

    def one(self, frame):
        """Sends once; True where its answer came."""
        self.socket.sendto(frame, ("127.0.0.1", self.port))
        got = self.heard()
        if got:
            self.strange += got[6:12] != NODE_MAC
            self.answered += got == self.turned(frame)
        return got is not None and got == self.turned(frame)


def frames(tap, program):
    host = Host()
    parts = [steps_of(0), steps_of(1)]
    steps = Steps()
    steps.add("node 0 turns frames of this host around by node 1's card",
              "card answer /nodes/1/dev/eth1 52:54:00:49:00:01", "answered")
    parts.append(steps)
    whole = Steps()
    whole.steps = [step for part in parts for step in part.steps]
    host.start()
    done = subprocess.run(
        ["./isthmus", "run", "--nodes", "2", "--timeout", rig.LIMIT, "--logs", LOGS, "--card", "0",
         "--card", "1:e1000e", "--join", str(host.port), "--add", f"{program}:/bin/card", "--",
         whole.script()], cwd=rig.ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        encoding="utf-8", errors="replace")
    host.over = True
    host.join()
    tap.result(done.returncode == 0, "the script ran to its end", done.stderr)
    whole.judge(tap, done.stdout)
    tap.result(host.answered == HOST_FRAMES and host.strange == 0,
               f"this host got its frames back, whole ({host.answered})")


class Consoles(Watched):
    """Two nodes whose consoles can be typed on; nothing moves to the console it uses."""

    def __init__(self):
        Cluster.__init__(self, Options(nodes=2, timeout=LIMIT_S, append=["place=off"]))
        for machine in self.machines:
            machine.typed = True
        self.lines, self.asked, self.images = [None, None], 0, []


def consoles(tap):
    with Consoles() as cluster:
        for node in (0, 1):
            cluster.console_wait(node, rb"cluster: node %d joined" % (1 - node))
            cluster.console_wait(node, rb"~ # ")
        cluster.ask(0, "C=/nodes/1/dev/console")
        cluster.ask(0, "echo said by $((3 * 3)) > $C")
        cluster.console_wait(1, rb"said by 9")
        tap.result(True, "node 0 writes on node 1's console")
        size = cluster.ask(0, "stty -F $C rows 33; stty -F $C size")
        tap.result(size.strip().startswith("33 "), "node 0 sets its size and reads it", size)
        # Node 1's own shell waits for a command that does not read, and so leaves the line.
        cluster.says(1, "echo quiet $((5 * 5)); sleep 100000", rb"quiet 25")
        cluster.type(0, "read a b < $C; echo heard $b, $a\n")
        cluster.type(1, "one two\n")
        cluster.console_wait(0, rb"heard two, one")
        tap.result(True, "node 0 reads a line typed on node 1's console")
        cluster.type(0, "export C; setsid sh -c 'sh -i <$C >$C 2>&1; echo gone $((2*2))' &\n")
        cluster.says(1, "echo shell at $(cat /proc/self/node) $((6 * 7))", rb"shell at 0 42")
        tap.result(True, "a shell of node 0 works on node 1's console")
        cluster.type(1, "exit\n")
        cluster.console_wait(0, rb"gone 4")      # and the line is as node 1's shell left it
        cluster.type(1, "\x03")
        cluster.says(1, "echo back $((7 * 7))", rb"back 49")
        tap.result(True, "after it control-C gives node 1's shell its console back")
        cluster.says(0, "sh -c 'echo 1 >/proc/$$/node; echo moved $((3*5)); exec sleep 9999'",
                     rb"moved 15")
        cluster.type(0, "\x03")
        cluster.says(0, "echo ended $?", rb"ended 130")
        tap.result(True, "control-C reaches a job of the shell that moved away")


def main():
    tap = rig.Tap()
    subprocess.run(["make", "iso"], cwd=rig.ROOT, check=True, stdout=subprocess.DEVNULL)
    os.makedirs(BUILD, exist_ok=True)
    program = rig.program("card")
    if "consoles" not in sys.argv[1:]:
        frames(tap, program)
    consoles(tap)
    tap.end()


if __name__ == "__main__":
    sys.exit(main())
