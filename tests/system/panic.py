#!/usr/bin/env python3
"""A node of two panics in a system call of a process: the panic says what, where and who,
and the other node sees it go and goes on. TAP. Panics at boot are in boot.py."""
import os
import re
import socket
import sys
import threading
import time

HERE = os.path.dirname(os.path.realpath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "tools"))

import mkimage  # noqa: E402
from launcher import cluster as launcher_cluster  # noqa: E402
from launcher.cluster import Cluster  # noqa: E402
from launcher.errors import LaunchError, RunTimeout  # noqa: E402
from launcher.options import Options  # noqa: E402

LIMIT_S = 240                       # a hang detector
PROBES_MAX = 4                       # what node 0 may send until it knows
CASES = {
    "sync": (rb"selftest: a panic in a system call", rb"selftest_sync"),
    "sync-fault": (rb"page fault in the kernel: write of ffffffff80[0-9a-f]+ \(error 3\)",
                   rb"selftest_sync"),
}


class Tap:
    def __init__(self):
        self.count = 0
        self.failed = 0

    def result(self, good, name, text=b""):
        self.count += 1
        self.failed += not good
        print(f"{'ok' if good else 'not ok'} {self.count} - {name}", flush=True)
        if not good:
            lines = text.decode(errors="replace").splitlines()[-40:]
            print("\n".join("#   " + line for line in lines), flush=True)


def drain(line, path):
    """Takes what the console says. QEMU's own log doubles a byte that had to wait."""
    with open(path, "ab", buffering=0) as file:
        while data := line.recv(65536):
            file.write(data)


def whole(path):
    with open(path, "rb") as file:
        return file.read()


class Watched(Cluster):
    """Two nodes whose consoles can be typed on; a panic of node 1 is no failure. Nothing is
    placed: a `sync` that node 1's shell had given to node 0 would do no harm."""

    def __init__(self, selftest):
        super().__init__(Options(nodes=2, smp=2, timeout=LIMIT_S))
        for machine in self.machines:
            machine.typed = True
        conf = mkimage.cluster_conf(2)
        self.images = [os.path.join(self.logs, f"image{n}.iso") for n in range(2)]
        last = f" selftest={selftest}" if selftest else ""
        for image, words in zip(self.images, ("", last)):
            mkimage.run_make(image, launcher_cluster.BASE_IMAGE, conf, "place=off" + words)
        for machine, image in zip(self.machines, self.images):
            machine.image = image
        self.lines = [None, None]
        self.asked = 0

    def health_check(self):
        if self.machines[0].panic_line():
            raise LaunchError("node 0 panicked")
        if time.monotonic() > self.deadline:
            raise RunTimeout("hung\n" + self.tails())

    def type(self, node, text):
        if not self.lines[node]:
            self.lines[node] = socket.socket(socket.AF_UNIX)
            self.lines[node].connect(self.machines[node].console_path())
            path = os.path.join(self.logs, f"said{node}")
            with open(path, "wb") as file:
                file.write(self.machines[node].console())
            self.machines[node].console = lambda: whole(path)
            threading.Thread(target=drain, args=[self.lines[node], path], daemon=True).start()
        self.lines[node].sendall(text.encode())

    def says(self, node, typed, answer):
        """Types a line on a node's console and waits for what it then shows."""
        self.type(node, typed + "\n")
        self.console_wait(node, answer)

    def ask(self, node, command):
        """The output of a command typed on a node's console."""
        self.asked += 1
        self.type(node, f"{command}; echo end-$(({self.asked} * 1000))\n")
        seen = self.console_wait(
            node, rb"(?s)echo end-\$\(\(%d \* 1000\)\)\s*\n(.*?)end-%d000"
            % (self.asked, self.asked))
        return seen.group(1).decode(errors="replace").replace("\r", "")

    def figure(self, key):
        found = re.search(rf"(?m)^{key}: (\d+)", self.ask(0, "cat /nodes/0/status"))
        return int(found.group(1)) if found else -1

    def __exit__(self, *args):
        super().__exit__(*args)
        for image in self.images:
            os.unlink(image)


def check(tap, selftest):
    cause, function = CASES[selftest]
    with Watched(selftest) as cluster:
        for here, there in ((0, 1), (1, 0)):
            cluster.console_wait(here, rb"cluster: node %d joined" % there)
            cluster.console_wait(here, rb"~ # ")
        free = cluster.figure("free")
        cluster.says(1, "sync", rb"this node has stopped")
        probes = cluster.figure("probes")
        cluster.console_wait(0, rb"cluster: node 1 is down")
        probes_after = cluster.figure("probes")
        log = cluster.machines[1].console().replace(b"\r", b"")
        tap.result(re.search(rb"(?m)^PANIC: " + cause + rb"$", log), f"{selftest}: the cause", log)
        tap.result(re.search(rb"(?m)^cpu [01] of 2, uptime", log), f"{selftest}: the CPU", log)
        tap.result(re.search(rb"(?m)^process \d+ \(sync\)$", log), f"{selftest}: the process", log)
        trace = log[log.find(b"backtrace:"):]
        named = [function, rb"sys_sync", rb"syscall_dispatch", rb"proc_syscall", rb"syscall_user"]
        pattern = rb"(?s)" + rb".*".join(rb"\n  [0-9a-f]{16} " + name for name in named)
        tap.result(re.search(pattern, trace), f"{selftest}: the way there, by names", log)
        tap.result(b"1 of 1 other CPUs stopped" in log, f"{selftest}: the other CPU stops", log)
        status = cluster.ask(0, "nodes")
        tap.result(re.search(r"(?m)^1 +down", status), f"{selftest}: node 0 shows it down",
                   status.encode())
        tap.result(0 <= probes <= probes_after <= probes + PROBES_MAX,
                   f"{selftest}: known after {probes_after - probes} probes, at most {PROBES_MAX}")
        output = cluster.ask(0, "seq 1 20000 | sha256sum; echo still $((6 * 7))")
        tap.result("still 42" in output, f"{selftest}: node 0 goes on", output.encode())
        free_after = cluster.figure("free")
        tap.result(abs(free_after - free) < 400, f"{selftest}: node 0's frames are there, "
                   f"{free} before and {free_after} after")


def main():
    tap = Tap()
    for selftest in CASES:
        try:
            check(tap, selftest)
        except (LaunchError, RunTimeout) as error:
            tap.result(False, f"{selftest}: {type(error).__name__}", str(error).encode())
    print(f"1..{tap.count}")
    return 1 if tap.failed else 0


if __name__ == "__main__":
    sys.exit(main())
