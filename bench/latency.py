"""Latency of one-sided operations, one outstanding: two nodes, beside a raw Ethernet echo over
the same cards, and beside two Linux guests with rdma_rxe and perftest. Blocks of both alternate
in one run, since times move with the host's load. Linux waits by events as we do (-e), but for
its WRITE, whose test only polls."""
import os
import re
import statistics

import rig

from launcher.cluster import Relay  # noqa: E402
from linux_peer import LinuxPeer  # noqa: E402

COUNT = 1000
SIZES = (8, 4096)
# name: our request, perftest's command, what its figure is multiplied by for a round trip
OPERATIONS = {
    "READ 8": (f"read 1 8 {COUNT}", "ib_read_lat -e -s 8", 1),
    "WRITE 8": (f"write 1 8 {COUNT}", "ib_write_lat -s 8", 2),
    "CAS 8": (f"cas 1 8 {COUNT}", "ib_atomic_lat -e -A CMP_AND_SWAP", 1),
    "FAA 8": (f"faa 1 8 {COUNT}", "ib_atomic_lat -e -A FETCH_AND_ADD", 1),
    "READ 4096": (f"read 1 4096 {COUNT}", "ib_read_lat -e -s 4096", 1),
    "WRITE 4096": (f"write 1 4096 {COUNT}", "ib_write_lat -s 4096", 2),
    "echo 64": (f"echo 1 64 {COUNT}", None, 1),
    "echo 4096": (f"echo 1 4096 {COUNT}", None, 1),
}
LINUX_ROW = re.compile(r"^\s*(?:8|4096)\s+\d+((?:\s+(?:[\d.]+|-?nan)){7})", re.MULTILINE)
PORT = 31000
SERVER = "10.7.0.101"


class LinuxPair:
    """Two Linux guests on a relay of their own."""

    def __init__(self, logs):
        port = PORT + os.getpid() % 4000 * 4
        self.relay = Relay([], [port, port + 2], logs)
        self.server = LinuxPeer(port, SERVER, mtu=4200, logs=logs)
        self.client = LinuxPeer(port + 2, mtu=4200, logs=logs)

    def __enter__(self):
        self.relay.start()
        try:
            self.server.start()
            self.client.start()
            self.server.ready()
            self.client.ready()
            self.client.run(f"arping -f -w 60 -I eth0 {SERVER}")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.server.stop()
        self.client.stop()
        self.relay.stop()

    def measure(self, command):
        """perftest's row as (median, p99) in microseconds."""
        words = f"{command} -d rxe0 -x 1 -F -n {COUNT}"
        self.server.run(f"{words} > /tmp/out 2>&1 &")
        again = f"for i in 1 2 3 4 5 6 7 8; do {words} {SERVER} && exit 0; sleep 1; done; exit 1"
        status, output = self.client.run(again, 120)     # until the server listens
        text = output.decode(errors="replace")
        row = LINUX_ROW.search(text)
        if status or not row:
            raise rig.BenchError(f"perftest: {words}: {text[-600:]}")
        figures = [float(word) for word in row.group(1).split()]
        return figures[2], figures[5]


def ours():
    """One block: {name: (median, p99)}."""
    text, _ = rig.run(rig.bench_commands(request for request, _, _ in OPERATIONS.values()),
                      nodes=2, timeout=300, logs=os.path.join(rig.ROOT, "build/bench/latency"))
    rows = [row for _, row in rig.tables(text)]
    return {name: (row["median_us"], row["p99_us"]) for name, row in zip(OPERATIONS, rows)}


def linux(pair):
    return {name: tuple(figure * times for figure in pair.measure(command))
            for name, (_, command, times) in OPERATIONS.items() if command}


def measure(blocks=3, say=print):
    """{name: {"isthmus": (median, p99), "linux": (median, p99)}}, medians over the blocks."""
    logs = os.path.join(rig.ROOT, "build/bench/linux")
    os.makedirs(logs, exist_ok=True)
    seen = {"isthmus": [], "linux": []}
    with LinuxPair(logs) as pair:
        for block in range(blocks):
            say(f"latency: block {block + 1} of {blocks}")
            seen["isthmus"].append(ours())
            seen["linux"].append(linux(pair))
    result = {name: {} for name in OPERATIONS}
    for system, rows in seen.items():
        for name in rows[0]:
            result[name][system] = tuple(statistics.median(row[name][i] for row in rows)
                                         for i in range(2))
    return result
