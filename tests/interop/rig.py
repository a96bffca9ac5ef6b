"""What the interop tests share: a node with the outside services, a Linux peer on its
Ethernet, TAP lines, and tshark's opinion of what went over the wire."""
import contextlib
import os
import socket
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.realpath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "tools"))

from launcher.cluster import BUILD, Cluster, Relay  # noqa: E402, F401
from launcher.errors import LaunchError  # noqa: E402
from launcher.options import Options  # noqa: E402
from launcher.run_channel import RunChannel  # noqa: E402
from linux_peer import LinuxPeer  # noqa: E402

NODE = "10.7.0.1"
LONG = bool(os.environ.get("ISTHMUS_LONG"))
LOGS = os.path.join(BUILD, "test-logs")
PORT_FIRST, PORT_LAST = 20000, 30000
RUN_SECONDS = 3600  # hang detectors are in the client; this one is for the whole rig
ARP_SECONDS = 60
RPING_BYTES_MAX = 65535  # rping refuses 65536, whatever its message says
INFINIBAND_PACKETS_MIN = 1000


class Tap:
    """Prints TAP, counts, and gives the exit status."""

    def __init__(self):
        self.count = self.failed = 0

    def result(self, good, name, note=""):
        self.count += 1
        self.failed += not good
        print(f"{'ok' if good else 'not ok'} {self.count} - {name}", flush=True)
        for line in str(note).splitlines() if note else []:
            print(f"# {line}", flush=True)
        return good

    def end(self):
        print(f"1..{self.count}")
        return 1 if self.failed or not self.count else 0


def udp_port_pair():
    """Two neighbouring UDP ports of the loopback interface that are free now."""
    first = PORT_FIRST + os.getpid() % 4000 * 2
    for port in range(first, PORT_LAST, 2):
        with contextlib.ExitStack() as stack:
            try:
                for number in (port, port + 1):
                    end = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
                    end.bind(("127.0.0.1", number))
                return port
            except OSError:
                continue
    raise LaunchError("no free pair of UDP ports")


class Rig:
    """One node and one Linux peer."""

    def __init__(self, cluster, peer, channel=None):
        self.cluster = cluster
        self.peer = peer
        self.channel = channel

    def check(self, tap, name, command):
        """Runs a command in the peer: one TAP result, its last lines beside it."""
        print("# " + command.replace("\n", "\n#   "), flush=True)
        status, output = self.peer.run(command, RUN_SECONDS, self.cluster.health_check)
        text = output.decode(errors="replace").strip()
        note = "\n".join(text.splitlines()[-12:])
        return tap.result(status == 0, name, note if status else note[-400:])


    def rping(self, tap, name, server, rounds, size=64):
        """rping with data validation. Its exit status is not asked: at its end rping closes
        the event channel under its own thread, which now and then says so and exits 1."""
        known = "DISCONNECT EVENT|rdma_get_cm_event: Bad file descriptor"
        self.check(tap, name, f"rping -c -a {server} -V -v -S {size} -C {rounds} "
                   "> /tmp/out 2> /tmp/err\n"
                   f"grep -vE '{known}' /tmp/err && exit 1\n"
                   "count=$(grep -c '^ping data: rdma-ping-' /tmp/out); echo $count rounds\n"
                   f"test $count = {rounds}")


    def node_status(self):
        """The figures of /nodes/0/status as a dict. Once only: the run channel takes one
        command in a node's life."""
        with tempfile.TemporaryFile() as file:
            status = self.channel.serve(self.cluster, file.fileno(), 2)
            file.seek(0)
            lines = file.read().decode().splitlines()
        if status:
            raise LaunchError(f"cat /nodes/0/status ended with {status}")
        words = [line.partition(": ") for line in lines]
        return {name: int(value) for name, _, value in words if value.isdigit()}


@contextlib.contextmanager
def rig(name, mtu=1500, chaos="", nic="e1000", guests=1):
    """Boots the node (rdma.test=1) and the peer, and waits until the node answers ARP.
    The capture is LOGS/NAME.pcap. Of `guests` links the peer has the first."""
    logs = os.path.join(LOGS, name)
    os.makedirs(logs, exist_ok=True)
    options = Options(nodes=1, append=["rdma.test=1"], guests=guests, chaos=chaos, nic=nic,
                      pcap=os.path.join(LOGS, name + ".pcap"), logs=logs, timeout=RUN_SECONDS,
                      command="cat /nodes/0/status")
    cluster = Cluster(options)
    channel = RunChannel(cluster.machines[0].run_channel_path(), options.command)
    with contextlib.closing(channel), cluster:
        with LinuxPeer(cluster.guest_links[0], mtu=mtu, logs=logs) as peer:
            status, output = peer.run(f"arping -f -w {ARP_SECONDS} -I eth0 {NODE}", RUN_SECONDS,
                                      cluster.health_check)
            if status:
                raise LaunchError(f"the node does not answer ARP: {output.decode()}\n"
                                  + cluster.tails())
            yield Rig(cluster, peer, channel)


def _packets(path, display_filter):
    """tshark's lines for the packets of a capture that match a display filter."""
    # The payload is random bytes: tshark must not guess that Ethernet frames lie in it.
    result = subprocess.run(["tshark", "--disable-heuristic", "eth_over_ib", "-r", path, "-Y",
                             display_filter], check=True,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    return result.stdout.splitlines()


def capture_check(tap, name):
    """No malformed packet in the capture, and enough packets for that to mean something."""
    path = os.path.join(LOGS, name + ".pcap")
    bad = _packets(path, '_ws.malformed || _ws.expert.severity == "Error"')
    good = len(_packets(path, "infiniband && !_ws.malformed"))
    tap.result(not bad, f"{name}: tshark finds no malformed packet", "\n".join(bad[:5]))
    tap.result(good >= INFINIBAND_PACKETS_MIN,
               f"{name}: the capture has at least {INFINIBAND_PACKETS_MIN} InfiniBand packets",
               f"{good} packets")


def frames_check(tap, stats, name, chaos):
    """The relay dropped nothing of its own, and chaos, where asked for, took place."""
    tap.result(stats["dropped"] == 0, f"{name}: the relay dropped no frame",
               f"{stats['roce_frames']} RoCE frames, {stats['dropped']} dropped")
    if chaos:
        made = {word: stats[word] for word in ("lost", "doubled", "reordered", "corrupted")}
        tap.result(all(made.values()), f"{name}: frames were lost, doubled, reordered, damaged",
                   made)


def main(body):
    """Runs body(tap) and ends the program; trouble with the machines is a failed result."""
    tap = Tap()
    os.makedirs(LOGS, exist_ok=True)
    try:
        body(tap)
    except LaunchError as error:
        tap.result(False, "the machines work", error)
    sys.exit(tap.end())
