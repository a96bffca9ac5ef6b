#!/usr/bin/env python3
"""The shared queue in real boots: processes put by both nodes at once, taken by either. Each
writes its node's id into the caller's root, waits until both nodes' names are there, and
says that it is done. Prints TAP."""
import functools
import os
import re
import subprocess
import sys

import rig

LIMIT = os.environ.get("ISTHMUS_LIMIT", "600")  # a hang detector, seconds

SCRIPT = r"""
mkdir -p /tmp/q/out /tmp/q/seen
cat > /tmp/q/job <<'J'
n=$(cat /proc/self/node)
echo $n >> /tmp/q/out/$1
echo > /tmp/q/seen/$n
while [ ! -e /tmp/q/seen/0 ] || [ ! -e /tmp/q/seen/1 ]; do sleep 0.1; done
echo done >> /tmp/q/out/$1
J
cat > /tmp/q/from <<'J'
i=$1
while [ $i -lt $2 ]; do spawn -w sh /tmp/q/job $i & i=$((i + 1)); done
wait
J
sh /tmp/q/from 0 HALF & first=$!
on 1 sh /tmp/q/from HALF ALL & second=$!
wait $first || exit 1
wait $second || exit 2
for f in /tmp/q/out/*; do echo job ${f##*/} $(cat $f); done
for n in 0 1; do sed "s/^/$n /" /nodes/$n/status; done
"""


def run(count, smp):
    """Runs `count` processes; returns {job: words} and {(node, key): value}."""
    script = SCRIPT.replace("HALF", str(count // 2)).replace("ALL", str(count))
    done = subprocess.run(
        [os.path.join(rig.ROOT, "isthmus"), "run", "--nodes", "2", "--smp", str(smp), "--append",
         "place=off", "--timeout", LIMIT, "--", script], stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, f"exit status {done.returncode}\n{done.stdout[-3000:]}"
    assert "can't create" not in done.stdout, f"an open failed\n{done.stdout[:300]}"
    jobs = {}
    for line in re.findall(r"(?m)^job (.*)$", done.stdout):
        number, *words = line.split()
        jobs[int(number)] = words
    figures = {(int(n), key): value for n, key, value
               in re.findall(r"(?m)^([01]) (\w+): (.*)$", done.stdout)}
    return jobs, figures


def figure(figures, node, key):
    return int(figures[(node, key)])


def check(count, smp):
    jobs, figures = run(count, smp)
    assert sorted(jobs) == list(range(count)), f"{len(jobs)} of {count} left a file"
    wrong = {n: words for n, words in jobs.items() if words not in (["0", "done"], ["1", "done"])}
    assert not wrong, f"not exactly once: {wrong}"
    assert {words[0] for words in jobs.values()} == {"0", "1"}, "one node took them all"
    puts = sum(figure(figures, n, f"puts_{how}") for n in (0, 1) for how in ("local", "remote"))
    takes = sum(figure(figures, n, f"takes_{how}") for n in (0, 1) for how in ("local", "remote"))
    assert takes == count and puts >= count, f"{puts} puts, {takes} takes of {count}"
    assert sum(figure(figures, n, "takes_remote") for n in (0, 1)) > 0, "no remote take"
    for node in (0, 1):
        held = figure(figures, node, "taken_max")
        assert 0 < held <= 2 * smp, f"node {node} held {held} at a time with {smp} CPUs"
        assert figure(figures, node, "queue") == 0, "the queue is not empty"
        assert figure(figures, node, "downs") == 0, "a node was given up"


def main():
    return rig.checks_run([
        (f"200 processes from both nodes, {smp} CPU each: each ran exactly once",
         functools.partial(check, 200, smp)) for smp in (1, 2)], KeyError)


if __name__ == "__main__":
    sys.exit(main())
