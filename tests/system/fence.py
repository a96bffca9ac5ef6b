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
from launcher.options import Options, disk_parse  # noqa: E402
from launcher.run_channel import RunChannel  # noqa: E402
from rig import Tap, program  # noqa: E402

LIMIT = float(os.environ.get("ISTHMUS_LIMIT", "240"))  # a hang detector
POLL_SECONDS = 0.05
PID_NODE_SHIFT = 16                  # above it a pid has the node where it was born

# Shell on node 0, pinned there, for it is to outlive the others; its children are too. `auto`:
# runs a program that placement may move (where it is on). `members_are`: waits until so many
# members are there. One look decides, for two may differ; what looks may itself die with the
# node that it was placed on.
LIBRARY = r"""
echo 0 >/proc/$$/node
auto() { sh -c 'echo auto >/proc/$$/node; exec "$@"' sh "$@"; }
members_are() {
    while m=$(auto cat /nodes/members); [ "$m" != "$1" ]; do
        [ -z "$m" ] || auto cat /nodes/members-not-$m >/dev/null
    done
}
"""


class Driven(Cluster):
    """A cluster that runs a command while the test does things to its machines."""

    def __init__(self, command, place="off", **options):
        """place: where the test says what dies with which node, nothing moves by itself."""
        append = [*options.pop("append", []), f"place={place}"]
        super().__init__(Options(command=LIBRARY + command, timeout=LIMIT, append=append,
                                 **options))
        self.channel = RunChannel(self.machines[0].run_channel_path(), self.options.command)
        self.file = tempfile.TemporaryFile()
        self.status = self.error = None
        self.thread = threading.Thread(target=self.serve, daemon=True)

    def serve(self):
        try:
            self.status = self.channel.serve(self, self.file.fileno(), self.file.fileno())
        except (LaunchError, RunTimeout, OSError) as error:
            self.error = error

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
auto wc -c </tmp/log >/tmp/before
echo fenced
members_are 2
auto wc -c </tmp/log >/tmp/after
echo "before $(cat /tmp/before) after $(cat /tmp/after)"
on 1 echo works again
cat /nodes/1/status
"""


def check_stopped(tap):
    """Node 1's QEMU is stopped while a process there writes to a file of node 0, and goes on
    after node 0 has fenced it: nothing more is written, and node 1 says why."""
    bound = "dead.after=1"                       # its floor
    with Driven(STOPPED, place="auto", nodes=2, append=[bound]) as cluster:
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


# --- what the dead held, and who waited for them -------------------------------------------

KILLED = r"""
on 1 echo warm
free_before=$(grep ^free: /nodes/0/status)
on 1 sh -c 'while echo x; do :; done' | cat >/tmp/piped & counter=$!
(yes; echo "yes $?" >/tmp/yes) | on 1 cat >/dev/null & writer=$!
on 1 claim /nodes/0/dev/vda hold >/tmp/claim & claimer=$!
waiter 1 0 >/tmp/waiter & reader=$!
ttyjobs 0 1 dies >/tmp/session & session=$!
on 1 sleep 1000 & sleeper=$!
sleep 1000 & stays=$!
mkfifo /tmp/read /tmp/written /tmp/opened
cat /tmp/read >/tmp/named & named=$!
on 1 sh -c 'while echo x; do :; done >/tmp/read' &
(echo >/tmp/begun; yes; echo "named $?" >/tmp/yes-named) >/tmp/written & named_writer=$!
on 1 cat /tmp/written >/dev/null &
on 1 sh -c 'echo >/tmp/opens; echo dead >/tmp/opened' &
for file in claim piped waiter named begun opens; do
    until [ -s /tmp/$file ]; do sleep 0.1; done
done
until [ -s /tmp/piped ] && grep -q foreground /tmp/session; do sleep 0.1; done
claim /nodes/0/dev/vda
echo ready
members_are 1
wait $counter; echo "counted $(wc -c </tmp/piped)"
wait $writer; cat /tmp/yes
wait $named; echo "by name $(wc -c </tmp/named)"
wait $named_writer; cat /tmp/yes-named
cat /tmp/opened & echo alive >/tmp/opened; wait $!; echo "opened $?"
wait $claimer; echo "claimer $?"
wait $reader; echo "reader $? $(cat /tmp/waiter)"
wait $session; cat /tmp/session
wait $sleeper; echo "sleeper $?"
claim /nodes/0/dev/vda
migrate $stays 1; echo "migrate $?"
on 1 true; echo "on $?"
cat /nodes/1/dev/console; echo "console $?"
kill $stays; wait $stays; echo "stays $?"
grep refs_of_dead /nodes/0/status
echo over
members_are 2
on 1 echo works again
"""


def check_killed(tap):
    """Node 1 loses its power while processes there hold ends of pipes, files and a drive of
    node 0, and others wait for node 1: all of that ends, and node 1 comes back."""
    with tempfile.NamedTemporaryFile() as disk:
        disk.truncate(1 << 20)
        options = {"nodes": 2, "add": [program("claim") + ":/bin/claim",
                                       program("waiter") + ":/bin/waiter",
                                       program("ttyjobs") + ":/bin/ttyjobs"],
                   "disk": [disk_parse(f"0:{disk.name}:virtio")]}
        with Driven(KILLED, **options) as cluster:
            cluster.output_wait("ready\n")
            cluster.may_die = {1}
            cluster.machines[1].kill()
            cluster.output_wait("over\n")
            cluster.machines[1].start()
            cluster.may_die = set()
            output = cluster.finish()
    for text, name in (
            (r"counted [1-9]", "the reader of a pipe sees its end when the writer is dead"),
            (r"yes 141", "the writer of a pipe gets SIGPIPE when the reader is dead"),
            (r"by name [1-9]", "so does that of a pipe with a name"),
            (r"named 141", "and its writer gets SIGPIPE"),
            (r"(?<!dead\n)alive\nopened 0", "who waited to open one does not count any more"),
            (r"(?s)Resource busy.*ready.*claimed", "a claim of the dead is given back"),
            (r"claimer 137\n", "the claimer has an exit record"),
            (r"(?s)reader 0 waits.*I/O error",
             "a read that waits for the dead ends with an error"),
            (r"(?s)heard: 1 own 6, write 0.*leader: 2009\nshown: w\nfree: 25",
             "a terminal whose session's leader died is free, its job has SIGHUP"),
            (r"sleeper 137\n", "a process of the dead has an exit record"),
            (r"migrate [1-9]", "a move to the dead is refused"),
            (r"on 126", "a start on the dead is refused"),
            (r"console [1-9]", "a file of the dead cannot be opened"),
            (r"stays 143", "a process that did not move lives on"),
            (r"refs_of_dead: [1-9]", "references were given back"),
            (r"works again", "the next incarnation works")):
        tap.result(re.search(text, output), "killed: " + name, output)


THIRD = r"""
on 1 sh -c 'migrate $$ 2; while echo x; do sleep 0.1; done' | cat >/tmp/piped & counter=$!
until [ -s /tmp/piped ] && grep -q '^images_freed: [1-9]' /nodes/1/status; do sleep 0.1; done
echo moved on
members_are 2
size=$(wc -c </tmp/piped)
until [ $(wc -c </tmp/piped) -gt $size ]; do sleep 0.1; done
echo goes on
members_are 1
wait $counter; echo "ended $?"
"""


def check_third(tap):
    """A process that node 1 gave to node 2 writes to a pipe of node 0. Node 1 dies: it goes
    on, its end of the pipe is not node 1's any more. Node 2 dies: the pipe's reader ends."""
    with Driven(THIRD, nodes=3) as cluster:
        cluster.output_wait("moved on\n")
        cluster.may_die = {1, 2}
        cluster.machines[1].kill()
        cluster.output_wait("goes on\n")
        cluster.machines[2].kill()
        output = cluster.finish()
    tap.result("goes on" in output and "ended 0" in output,
               "third: an open end goes with its process, and ends with it", output)


CUT = r"""
on 2 born /tmp/born & remote=$!
on 1 sleep 1000 & stays=$!
until [ -s /tmp/born ] && [ "$(cat /proc/$stays/node)" = 1 ]; do sleep 0.1; done
echo "born $(cat /tmp/born) $(cat /proc/$(cat /tmp/born)/node)"
echo ready
members_are 2
wait $remote; echo "remote $?"
echo cut
members_are 3
k=0                                   # its shell is started again
until grep -q '^processes: 2$' /nodes/2/status || [ $k = 50 ]; do k=$((k + 1)); sleep 0.2; done
grep processes: /nodes/2/status
kill $stays; wait $stays; echo "stays $?"
on 2 echo works again
grep -h rebirths /nodes/*/status
"""


def check_cut(tap):
    """Node 2 is cut off from nodes 0 and 1, and the cut heals: node 2, alone, joins as new, and
    nothing runs on there, not even what was born there of a parent there; 0 and 1 never part."""
    with Driven(CUT, nodes=3, cut=[2], add=[program("born") + ":/bin/born"]) as cluster:
        for here, there in ((1, 2), (2, 1), (1, 0), (2, 0)):
            cluster.console_wait(here, rb"cluster: node %d joined" % there)
        born = int(cluster.output_wait(r"born (\d+) 2\nready\n").group(1))
        cluster.relay.cut_toggle()
        cluster.output_wait("cut\n")
        for node in (0, 1):
            cluster.console_wait(2, rb"cluster: node %d is down" % node)
        cluster.relay.cut_toggle()
        output = cluster.finish()
        logs = [machine.console().decode(errors="replace") for machine in cluster.machines]
    tap.result("remote 137" in output, "cut: what ran beyond it has an exit record", output)
    tap.result("stays 143" in output and "works again" in output
               and re.findall(r"rebirths: (\d+)", output) == ["0", "0", "1"],
               "cut: the smaller side joins as new, the larger keeps what is its own", output)
    tap.result(born >> PID_NODE_SHIFT == 2 and "processes: 2\n" in output
               and re.search(rf"lost: process {born} .*joins as new", logs[2]),
               "cut: nothing of the smaller side runs on", output + logs[2])
    tap.result(not re.search(r"node [01] is down", logs[0] + logs[1]),
               "cut: the larger side stays together", logs[0] + logs[1])


CHECKS = [check_stopped, check_killed, check_third, check_cut]


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
