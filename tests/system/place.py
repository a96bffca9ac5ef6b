#!/usr/bin/env python3
"""Placement in the kernel: a program that reads another node's drive goes there by itself and
needs fewer remote operations than when pinned; one that alternates quickly stays; CPU-bound
ones spread out, and the moves stop. Judged by counts of operations and moves, never by time.
Prints TAP."""
import os
import re
import sys

import rig

READS, TURNS = 2000, 1200
LONG_TURN, LONG_TURNS = 600, 6
DRIVE_BYTES = 1 << 20

LIBRARY = r"""
remote_ops() { echo $(($(sum_of bulk_out) + $(sum_of drive_remote_hits))); }
moved() { sum_of place_moved; }
# Runs a command; then how many remote operations and moves of the rule that were.
counted() {                           # a status may be two ticks old
    ticks 4; o=$(remote_ops); m=$(moved)
    "$@"
    ticks 4; echo "ops $(($(remote_ops) - o)) moves $(($(moved) - m))"
}
pinned() { sh -c 'echo 0 > /proc/self/node; exec "$@"' sh "$@"; }
# Waits until every node has had N more ticks of placement.
ticks() {
    for s in /nodes/*/status; do
        t=$(sed -n 's/^place_ticks: //p' $s)
        until [ $(sed -n 's/^place_ticks: //p' $s) -ge $((t + $1)) ]; do sleep 0.5; done
    done
}
bound() { for s in /nodes/*/status; do sed -n 's/^cpu_bound: //p' $s; done | tr '\n' ' '; }
until_bound() { until_is CPU-bound 1500 "$1" bound && echo "bound $1"; }
"""


def drive_file(name, seed):
    os.makedirs(rig.BUILD, exist_ok=True)
    path = os.path.join(rig.BUILD, name)
    value = seed
    with open(path, "wb") as file:
        for _ in range(DRIVE_BYTES // 8):
            value = (value * 6364136223846793005 + 1442695040888963407) % (1 << 64)
            file.write(value.to_bytes(8, "little"))
    return path


class Seen:
    """What one run of `counted placed -v` printed."""

    def __init__(self, output):
        lines = output.splitlines()
        self.output = output
        self.sum = lines[0] if lines else ""
        self.node = lines[1] if len(lines) > 1 else ""
        found = re.search(r"^ops (\d+) moves (\d+)$", output, re.M)
        self.ops, self.moves = map(int, found.groups()) if found else (-1, -1)

    def figure(self, pattern):
        found = re.search(pattern, self.output, re.M)
        return int(found.group(1)) if found else -1

    def bound(self):
        """How many moves the rule may make: 2D of contrary use lie between two of them.
        Prices are those at the end, D the least that any decision shown was made with."""
        price = {name: self.figure(rf"^{name}: (\d+) ns") for name in
                 ("round trip", "message", "KiB")}
        cost = 0
        for row in re.findall(r"^(\d+) +(\d+) +(\d+) +(\d+) +\d+ +\d+ +\d+ +\d+ +\d+$",
                              self.output, re.M):
            _, messages, trips, kib = map(int, row)
            cost += (messages * price["message"] + trips * price["round trip"]
                     + kib * price["KiB"])
        moving = [int(ns) for ns in re.findall(r"move_ns (\d+)", self.output)]
        moving.append(self.figure(r"^moving this process now: (\d+) us") * 1000)
        return 1 + cost // (2 * min(moving))

    def within(self):
        """It has moved, once or, since on a busy host what its start uses of node 0 can be worth
        it by the prices then, back and forth once more."""
        return self.moves in (1, 3) and self.moves <= self.bound()


def two_nodes(tap, program):
    drives = [drive_file("place0.img", 1), drive_file("place1.img", 2)]
    host = {n: rig.host([program, "reads", drives[n], str(READS)]).split()[0] for n in (0, 1)}
    seen = {}

    def watch(name, check):
        def judge(output, status):
            seen[name] = Seen(output)
            return status == 0 and check(seen[name])
        return judge

    def turns(paths, count, turn):
        return rig.host([program, "turns", *paths, str(count), str(turn)]).split()[0]

    # Each under a name of its own, so that none has a last run that says where to begin.
    names = ["placed", "warmer", "nearer", "again", "turner", "follower", "spinner", "fresh"]
    files = [(program, f"/bin/{name}") for name in names]
    run = rig.Run(tap, "2 nodes", 2, 1, files, place="auto", extra=(
        "--mem", "256M", "--disk", f"0:{drives[0]}", "--disk", f"1:{drives[1]}"))
    run.functions += LIBRARY
    far, near = "/nodes/1/dev/nvme0n1", "/nodes/0/dev/nvme0n1"
    run.step("its drive's pages come into the cache", f"warmer reads {far} 16 > /tmp/warm; "
             f"warmer reads {near} 16 > /tmp/warm; ticks 3", "")
    run.step("a reader of node 1's drive is moved there by itself",
             f"counted placed -v reads {far} {READS}",
             watch("auto", lambda s: s.sum == host[1] and s.node == "1" and s.within()
                   and "staying has cost as much as a move" in s.output))
    run.step("pinned to node 0 it stays there", f"counted pinned placed -v reads {far} {READS}",
             watch("pinned", lambda s: s.sum == host[1] and s.node == "0" and s.moves == 0
                   and s.ops >= READS))
    run.step("not pinned it needs less than a fourth of the remote operations",
             "true", lambda output, status: 0 < seen["auto"].ops < seen["pinned"].ops / 4)
    run.step("at its next exec it begins there: its last run is known",
             f"ticks 3; counted placed -v reads {far} {READS}",
             watch("exec", lambda s: s.sum == host[1] and s.node == "1" and s.within()
                   and s.ops < seen["pinned"].ops / 4 and "exec: the last run" in s.output))
    run.step("a reader of its own node's drive stays", f"counted nearer -v reads {near} {READS}",
             watch("near", lambda s: s.sum == host[0] and s.node == "0" and s.moves == 0))
    run.step("one that was pinned goes once it is `auto` again",
             f"sh -c 'echo 0 > /proc/self/node; exec again reads {far} 1000000000' & p=$!; "
             "until grep -q reads /proc/$p/cmdline; do sleep 0.1; done; ticks 10; "
             "a=$(cat /proc/$p/node); echo auto > /proc/$p/node; "
             "until [ $(cat /proc/$p/node) = 1 ]; do sleep 0.1; done; "
             "why $p; grep -h ^process /proc/$p/affinity; kill -9 $p; wait $p; echo $a $?",
             lambda output, status: output.endswith("0 137\n") and "last move: move to node 1"
             in output and "on node 1, placed by the rule" in output)
    run.step("one that alternates quickly moves no more often than the bound allows, and once "
             "at most", f"counted turner -v turns {near} {far} {TURNS} 3",
             watch("turns", lambda s: s.sum == turns(drives, TURNS, 3) and 0 <= s.moves <= 1 and
                   s.moves <= s.bound()))
    run.step("one with long turns follows them, within the bound",
             f"counted follower -v turns {far} {near} {LONG_TURN * LONG_TURNS} {LONG_TURN}",
             watch("long", lambda s: s.sum == turns(drives[::-1], LONG_TURN * LONG_TURNS,
                   LONG_TURN) and 0 < s.moves <= min(LONG_TURNS, s.bound())
                   and s.ops < LONG_TURN * LONG_TURNS / 4))
    run.step("where node 0 computes, a program that never ran goes through the shared queue",
             "sh -c 'echo 0 > /proc/self/node; exec spinner spin' & p=$!; "
             "until [ $(sed -n 's/^cpu_bound: //p' /nodes/0/status) -gt 0 ]; do sleep 0.1; done; "
             "ticks 3; q=$(sum_of exec_queue); took=$(sum_of takes_remote); "
             f"fresh reads {near} 16; ticks 3; kill -9 $p; wait $p; "
             "echo queued $(($(sum_of exec_queue) - q)) taken $(($(sum_of takes_remote) - took))",
             lambda output, status: output.startswith(rig.host(
                 [program, "reads", drives[0], "16"]).split()[0]) and
             re.search(r"^queued [1-9][0-9]* taken [1-9]", output, re.M))
    run.step("the shell stays on node 0, init where it is", "cat /proc/$$/node /proc/1/node "
             "/proc/65537/node; grep -h '^process 65537' /proc/65537/affinity",
             "0\n0\n1\nprocess 65537 (init) on node 1, never moved by the rule; 0 moves by the "
             "rule, 0 refused\n")
    run.go()
    for name, s in seen.items():
        print(f"# {name}: node {s.node}, {s.ops} remote operations, {s.moves} moves, "
              f"bound {s.bound()}", flush=True)


def spread(tap, program, count, nodes):
    each = f"{count // nodes} " * nodes
    run = rig.Run(tap, f"{nodes} nodes", nodes, 1, [(program, "/bin/placed")], place="auto",
                  extra=("--mem", "192M"))
    run.functions += LIBRARY
    start = "i=0; while [ $i -lt COUNT ]; do placed spin & i=$((i + 1)); done 2>/dev/null; "

    def judge(output, status):
        found = re.search(r"moves \d+ then (\d+), without load (\d+)\n", output)
        print("# " + (found.group(0).strip() if found else "no figures"), flush=True)
        return (f"bound {each}\n" in output and f"bound {'0 ' * nodes}\n" in output and found
                and int(found.group(1)) <= 2 * count and found.group(2) == "0")

    # The shell that watches wants a CPU as well, so some may still change places; and without load
    # a move of its own short commands, begun while the last ones ended, may still be counted: so
    # ten times it may look again whether none has moved for 30 ticks.
    run.step(f"{count} CPU-bound programs started on node 0 spread out; without load no move",
             start.replace("COUNT", str(count)) +
             f"until_bound '{each}'; a=$(moved); ticks 30; b=$(moved); bound; echo; "
             "kill -9 $(jobs -p); wait 2>/dev/null; "
             f"until_bound '{'0 ' * nodes}'; d=$(moved); k=10; until c=$d; ticks 30; d=$(moved); "
             "[ $c = $d ] || [ $k = 0 ]; do k=$((k - 1)); done; "
             "echo moves $a then $((b - a)), without load $((d - c)); echo full "
             "$(sum_of place_full) refused $(sum_of place_refused)", judge)
    run.go()


def main():
    tap = rig.Tap()
    program = rig.program("placed")
    wanted = sys.argv[1:] or ["two", "spread"]
    if "two" in wanted:
        two_nodes(tap, program)
    if "spread" in wanted:
        spread(tap, program, 8, 4)
    tap.end()


if __name__ == "__main__":
    main()
