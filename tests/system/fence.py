#!/usr/bin/env python3
"""Nodes that stand still, are cut off or die: what the others say, what ends and how, and
that nobody acts after it was given up. Prints TAP. Usage: fence.py [NUMBER]..."""
import os
import re
import signal
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.realpath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "tools"))
sys.path.insert(0, HERE)

from launcher.cluster import Cluster, RunTimeout  # noqa: E402
from launcher.errors import LaunchError  # noqa: E402
from launcher.options import Options  # noqa: E402
from launcher.run_channel import RunChannel  # noqa: E402
from rig import Tap  # noqa: E402

LIMIT = float(os.environ.get("ISTHMUS_LIMIT", "240"))  # a hang detector
POLL_SECONDS = 0.05

# Shell on node 0. `gone`, `back`: wait until so many members are there.
LIBRARY = r"""
members_are() { until [ "$(cat /nodes/members)" = "$1" ]; do
    cat /nodes/members-not-$(cat /nodes/members) >/dev/null; done; }
"""


class Driven(Cluster):
    """A cluster that runs a command while the test does things to its machines."""

    def __init__(self, command, **options):
        super().__init__(Options(command=LIBRARY + command, timeout=LIMIT, **options))
        self.channel = RunChannel(self.machines[0].run_channel_path(), self.options.command)
        self.file = tempfile.TemporaryFile()
        self.status = self.error = None
        self.may_die = set()
        self.thread = threading.Thread(target=self.serve, daemon=True)

    def serve(self):
        try:
            self.status = self.channel.serve(self, self.file.fileno(), self.file.fileno())
        except (LaunchError, RunTimeout, OSError) as error:
            self.error = error

    def health_check(self):
        """As the cluster's, but for machines that the test has killed."""
        all_machines = self.machines
        self.machines = [m for m in all_machines if m.node not in self.may_die]
        try:
            super().health_check()
        finally:
            self.machines = all_machines

    def start(self):
        super().start()
        self.thread.start()

    def stop(self):
        super().stop()
        self.channel.close()

    def output(self):
        size = os.fstat(self.file.fileno()).st_size
        return os.pread(self.file.fileno(), size, 0).decode(errors="replace")

    def output_wait(self, pattern):
        while True:
            found = re.search(pattern, self.output())
            if found:
                return found
            if self.error:
                raise LaunchError(f"{self.error}\noutput:\n{self.output()}")
            if self.status is not None:
                raise LaunchError(f"the command ended ({self.status}) without {pattern!r}:\n"
                                  + self.output())
            time.sleep(POLL_SECONDS)

    def finish(self):
        self.thread.join()
        if self.error:
            raise LaunchError(f"{self.error}\noutput:\n{self.output()}")
        return self.output()


# --- a machine that stands still -----------------------------------------------------------

STOPPED = r"""
on 1 sh -c 'while echo line; do :; done >>/tmp/log' & writer=$!
on 1 sleep 1000 & sleeper=$!
until [ -s /tmp/log ]; do :; done
echo writing
members_are 1
sleep 4                               # longer than dead.floor
wait $writer; echo "writer $?"
wait $sleeper; echo "sleeper $?"
cat /nodes/1/status
wc -c </tmp/log >/tmp/before
echo fenced
members_are 2
wc -c </tmp/log >/tmp/after
echo "before $(cat /tmp/before) after $(cat /tmp/after)"
on 1 echo works again
cat /nodes/1/status
"""


def check_stopped(tap):
    """Node 1's QEMU is stopped while a process there writes to a file of node 0, and goes on
    after node 0 has fenced it: nothing more is written, and node 1 says why."""
    with Driven(STOPPED, nodes=2) as cluster:
        cluster.output_wait("writing\n")
        os.kill(cluster.machines[1].process.pid, signal.SIGSTOP)
        cluster.output_wait("fenced\n")
        os.kill(cluster.machines[1].process.pid, signal.SIGCONT)
        output = cluster.finish()
        node0 = cluster.machines[0].console().decode(errors="replace")
        node1 = cluster.machines[1].console().decode(errors="replace")
    tap.result("writer 137\n" in output and "sleeper 137\n" in output,
               "stopped: both processes of the node have exit records of SIGKILL", output)
    lost = re.findall(r"lost: process \d+ \(.*\) with node 1:", node0)
    tap.result(len(lost) >= 2, "stopped: the console names them and the node", node0)
    down = output.partition("fenced\n")[0]
    tap.result("state: down" in down and len(re.findall(r"(?m)^lost: \d+ ", down)) >= 2,
               "stopped: /nodes/1/status names them", output)
    sizes = re.search(r"before (\d+) after (\d+)", output)
    tap.result(sizes and sizes.group(1) == sizes.group(2) and int(sizes.group(1)) > 0,
               "stopped: it writes nothing after it was fenced", output)
    tap.result(re.search(r"this node stood still for \d+ ms: it is fenced", node1),
               "stopped: it finds itself fenced", node1)
    tap.result(re.search(r"joins as new, incarnation", node1)
               and not re.search(r"joins as new, incarnation", node0),
               "stopped: it joins as new, the other does not", node1 + node0)
    tap.result("works again" in output and re.search(r"(?m)^rebirths: 1$", output)
               and re.search(r"(?m)^processes: 2$", output),
               "stopped: it works again, without the processes of before", output)


CHECKS = [check_stopped]


def main():
    tap = Tap()
    wanted = sys.argv[1:]
    for number, check in enumerate(CHECKS, 1):
        if wanted and str(number) not in wanted:
            continue
        try:
            check(tap)
        except (LaunchError, RunTimeout, OSError) as error:
            tap.result(False, f"{check.__name__}: {type(error).__name__}", str(error))
    tap.end()


if __name__ == "__main__":
    main()
