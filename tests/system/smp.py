#!/usr/bin/env python3
"""Two nodes with two CPUs each under forks, pipes and moves at once: every pipeline's sum,
every exit status and every child must come out right. Prints TAP."""
import os
import re
import subprocess
import sys

import rig

LIMIT = os.environ.get("ISTHMUS_LIMIT", "300")  # a hang detector, seconds
WORKERS = 6                                     # half on each node at first
ROUNDS = 8

# A worker moves to the other node after each round, with its pipes' ends left behind.
SCRIPT = r"""
cat > /tmp/worker <<'J'
me=$1 round=0 sum=0 bad=0
while [ $round -lt ROUNDS ]; do
    got=$(seq 1 50 | while read a; do echo $((a * me)); done | sort -n | tail -n 1)
    [ "$got" = $((50 * me)) ] || bad=$((bad + 1))
    for s in 1 2 3 4; do (exit $s) & eval p$s=$!; done
    for s in 1 2 3 4; do eval "wait \$p$s"; sum=$((sum + $?)); done
    echo $(( ($(cat /proc/self/node) + 1) % 2 )) > /proc/$$/node || echo refused $me
    round=$((round + 1))
done
echo worker $me sum $sum bad $bad
J
i=1
while [ $i -le WORKERS ]; do on $((i % 2)) sh /tmp/worker $i & i=$((i + 1)); done
wait
for n in 0 1; do sed "s/^/$n /" /nodes/$n/status; done
"""


def check():
    script = SCRIPT.replace("ROUNDS", str(ROUNDS)).replace("WORKERS", str(WORKERS))
    done = subprocess.run(
        [os.path.join(rig.ROOT, "isthmus"), "run", "--nodes", "2", "--smp", "2", "--append",
         "place=off", "--timeout", LIMIT, "--", script],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, f"exit status {done.returncode}\n{done.stdout[-3000:]}"
    ends = sorted(re.findall(r"(?m)^worker (\d+) sum (\d+) bad (\d+)$", done.stdout))
    want = [(str(i), str(10 * ROUNDS), "0") for i in range(1, WORKERS + 1)]
    assert ends == want, f"{ends}\n{done.stdout[:1500]}"
    moves = sum(int(n) for n in re.findall(r"(?m)^[01] moves_out: (\d+)$", done.stdout))
    assert moves >= WORKERS, f"only {moves} moves"
    downs = re.findall(r"(?m)^[01] downs: (\d+)$", done.stdout)
    assert downs == ["0", "0"], f"a node was given up: {downs}"


def main():
    return rig.checks_run([
        (f"{WORKERS} workers fork, pipe and move between two nodes of two CPUs", check)])


if __name__ == "__main__":
    sys.exit(main())
