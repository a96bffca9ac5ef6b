#!/usr/bin/env python3
"""Four nodes with placement on; a process moves from node 1 to node 2, and one node is killed
at a named step of that: the giver (1), the taker (2) or a third (3). Calls of all kinds wait for
all nodes then: each ends, those that waited for nodes that live as they would have. The
survivors pass a small full test, what was lost has an explanation, and the killed node comes
back and takes part.
Prints TAP. Usage: kill_steps.py [STEP:ROLE]...; else one role a step, drawn from SEED (printed;
1 by default), or with ISTHMUS_LONG=1 all of them."""
import functools
import os
import random
import re
import sys
import time

HERE = os.path.dirname(os.path.realpath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "tools"))
sys.path.insert(0, HERE)

from fence import POLL_SECONDS, Driven  # noqa: E402
from launcher.cluster import RunTimeout  # noqa: E402
from launcher.errors import LaunchError  # noqa: E402
from rig import LONG, Tap, host, program  # noqa: E402

SEED = int(os.environ.get("SEED") or 1)
# Which node stands still at the step.
STEPS = {"frozen": 1, "offered": 1, "prepared": 2, "started": 2, "given": 1, "page": 2,
         "drained": 2, "freed": 1}
ROLES = {"giver": 1, "taker": 2, "third": 3}
NODES = 4
# hashset MIB ROUNDS SEED: seconds, so that they live when the node is killed.
WORK = ["4", "20000", "7"]           # the one that moves
FREE = ["1", "20000", "8"]           # placed as the nodes see fit
SMALL = ["1", "10", "9"]             # of the small test

# killed: the node; rest: the others but node 0, in a round.
SCRIPT = r"""
for n in 1 2 3; do
    on $n sleep 1000 & eval sleeper$n=$!
    (on $n sleep 1001 | cat; echo "pipe $n ended" >>/tmp/ended) &
    waiter $n 0 >/tmp/waiter$n & eval waiter$n=$!
done
at() { until [ "$(cat /proc/$1/node)" = $2 ]; do sleep 0.1; done; }
at $sleeper1 1; at $sleeper2 2; at $sleeper3 3
until [ -s /tmp/waiter1 ] && [ -s /tmp/waiter2 ] && [ -s /tmp/waiter3 ]; do sleep 0.1; done
for n in 1 2 3; do auto hashset %(free)s >/tmp/free$n 2>&1 & eval free$n=$!; done
on 1 work %(work)s >/tmp/work 2>&1 & work=$!
until [ "$(cat /nodes/1/proc/$work/comm 2>/dev/null)" = work ]; do sleep 0.1; done
(migrate $work 2; echo "migrate $?" >/tmp/migrate) & mover=$!
echo moving
members_are 3
wait $mover; cat /tmp/migrate
wait $work; echo "work $? $(cat /tmp/work)"
for n in 1 2 3; do eval "wait \$free$n"; echo "free$n $? $(cat /tmp/free$n)"; done
eval "wait \$waiter%(killed)d"; echo "waiter $? $(cat /tmp/waiter%(killed)d)"
eval "wait \$sleeper%(killed)d"; echo "sleeper $?"
until grep -q 'pipe %(killed)d ended' /tmp/ended; do sleep 0.1; done
echo "ended: $(cat /tmp/ended)"
for n in %(rest)s; do
    eval "kill \$sleeper$n \$waiter$n; wait \$sleeper$n"; echo "killed $n $?"
    eval "wait \$waiter$n"; echo "stopped $n $?"
done

# The small test: programs, files, pipes, moves, the queue, signals, on and between all of them.
for n in 0 %(rest)s; do
    on $n sh -c 'seq 1 1000 | grep -c 7' || echo "on $n: $?"
    on $n sh -c "echo file of $n >/tmp/file$n" && on %(next)s cat /tmp/file$n
    on $n seq 1 2000 | on %(next)s sha256sum
done
sh -c 'trap "hashset %(small)s; exit" USR1; echo up >/tmp/up; while :; do sleep 0.1; done' \
    >/tmp/small & p=$!
until [ -s /tmp/up ]; do sleep 0.1; done
for n in %(rest)s 0 %(rest)s; do migrate $p $n || echo "no move to $n"; done
kill -USR1 $p; wait $p; echo "small $? $(cat /tmp/small)"
auto hashset %(small)s
for n in 1 2 3 4 5 6; do spawn sh -c 'seq 1 1000 | sha256sum' & done | sort | uniq -c
on %(next)s sleep 1000 & p=$!
at $p %(next)s; kill -USR1 $p; wait $p; echo "signal $?"
echo survived
members_are 4
on %(killed)d hashset %(small)s; echo "back $?"
on %(killed)d sleep 1000 & p=$!
at $p %(killed)d; migrate $p 0; echo "leaves $?"; kill $p; wait $p; echo "left $?"
"""


def kill_at(cluster, step, killed):
    """Kills the node while the one whose step it is stands still."""
    holder = STEPS[step]
    cluster.output_wait("moving\n")
    while rb"hold: at step" not in cluster.machines[holder].console():
        if cluster.error or cluster.status is not None:
            raise LaunchError(f"step {step} was never reached\n{cluster.output()}")
        time.sleep(POLL_SECONDS)
    cluster.may_die = {killed}
    exact = b"hold: goes on" not in cluster.machines[holder].console()
    cluster.machines[killed].kill()
    return exact


@functools.cache
def digest(*words):
    return host([program("hashset", "glibc"), *words]).strip()


def explained(output, logs, name, words, killed):
    """It ran to its end, or died with the node that was killed, as a line says."""
    found = re.search(rf"(?m)^{name} (\d+) ?(\S*)", output)
    if found and found.group(1) == "0":
        return found.group(2) == digest(*words)
    return found and found.group(1) == "137" and any(
        re.search(rf"lost: process \d+ \(.*\) with node {killed}:", log) for log in logs)


def verdicts(output, logs, role):
    """What issue 3 wants, word by word. A shell's own lines may stand between those here."""
    def says(line):
        return re.search(rf"(?m)^{line}$", output)

    killed, ended = ROLES[role], output.partition("\nended: ")[0]
    rest = [n for n in ROLES.values() if n != killed]
    sums = re.findall(r"(?m)^ +(\d+) [0-9a-f]{64}", output)
    piped = re.findall(r"(?m)^([0-9a-f]{64})  -$", output)
    work = explained(output, logs, "work", WORK, killed)
    if role == "third":                          # it had nothing of it
        work = work and re.search(r"(?m)^work 0 ", output)
    free = [explained(output, logs, f"free{n}", FREE, killed) for n in (1, 2, 3)]
    return {
        "the move that was asked for has ended": re.search(r"(?m)^migrate \d+$", ended),
        "a wait for a process of the dead has ended": re.search(r"(?m)^sleeper (126|137)$", ended),
        "a read of a pipe of the dead has ended":
            says("waiter 0 waits") and says("-1 I/O error"),
        "a read of a pipe that the dead wrote to has ended": f"pipe {killed} ended" in output,
        "calls that wait for others wait": all(
            says(f"killed {n} 143") and says(f"stopped {n} 143") for n in rest),
        "nothing is lost unexplained": work and all(free),
        "survivors: programs": output.count("271\n") == 3,
        "survivors: files": len(re.findall(r"(?m)^file of \d$", output)) == 3,
        "survivors: pipes": len(piped) == 3 and len(set(piped)) == 1,
        "survivors: moves": f"small 0 {digest(*SMALL)}\n" in output and "no move" not in output,
        "survivors: placement": f"\n{digest(*SMALL)}\n" in output,
        "survivors: the queue": sums == ["6"],
        "survivors: signals": "signal 138\n" in output,
        "it comes back": says("back 0") and says("leaves 0")
            and says("left 143") and len(re.findall(rf"(?m)^{digest(*SMALL)}$", output)) == 2}


def check(tap, step, role):
    killed = ROLES[role]
    rest = [n for n in ROLES.values() if n != killed]
    script = SCRIPT % {"killed": killed, "rest": " ".join(map(str, rest)), "next": rest[0],
                       "work": " ".join(WORK), "free": " ".join(FREE), "small": " ".join(SMALL)}
    with Driven(script, place="auto", nodes=NODES,
                append=[f"hold.at={step}", "hold.name=work"],
                add=[program("hashset") + ":/bin/hashset", program("hashset") + ":/bin/work",
                     program("waiter") + ":/bin/waiter"]) as cluster:
        exact = kill_at(cluster, step, killed)
        cluster.output_wait("survived\n")
        cluster.machines[killed].start()
        cluster.may_die = set()
        output = cluster.finish()
        logs = [m.console().decode(errors="replace") for m in cluster.machines]
    good = {"it was at that step": exact, **verdicts(output, logs, role)}
    wrong = [text for text, true in good.items() if not true]
    lines = re.findall(r"(?m)^.*(?:lost|hold|down|move):.*$", "\n".join(logs))
    if wrong:                                    # all of it: it is rare, and long to get again
        print("\n".join("# " + line for line in [*lines, *output.splitlines()]))
    tap.result(not wrong, f"{step}: the {role} is killed", f"not so: {', '.join(wrong)}")


def cases(words):
    if words:
        return [word.split(":") for word in words]
    if LONG:
        return [(step, role) for step in STEPS for role in ROLES]
    rng = random.Random(SEED)
    print(f"# roles drawn with SEED={SEED}", flush=True)
    return [(step, rng.choice(list(ROLES))) for step in STEPS]


def main():
    tap = Tap()
    for step, role in cases(sys.argv[1:]):
        try:
            check(tap, step, role)
        except (LaunchError, RunTimeout, OSError) as error:
            tap.result(False, f"{step}: the {role} is killed: {type(error).__name__}", str(error))
    tap.end()


if __name__ == "__main__":
    main()
