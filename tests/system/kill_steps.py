#!/usr/bin/env python3
"""Four nodes; a process moves from node 1 to node 2, and one node is killed at a named step of
that: the giver (1), the taker (2) or a third (3). The survivors pass a small test, every call
that waited has ended, what was lost has an explanation, and the killed node comes back.
Prints TAP. Usage: kill_steps.py [STEP:ROLE]...; else one role a step, drawn from SEED, or with
ISTHMUS_LONG=1 all of them."""
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

SEED = int(os.environ.get("SEED", "1"))
# Which node stands still at the step.
STEPS = {"frozen": 1, "offered": 1, "prepared": 2, "started": 2, "given": 1, "page": 2,
         "drained": 2, "freed": 1}
ROLES = {"giver": 1, "taker": 2, "third": 3}
HASH = ["4", "60", "7"]              # hashset MIB ROUNDS SEED

# killed: the node; then the small test of the survivors, then of all.
SCRIPT = r"""
on 1 hashset %(hash)s >/tmp/hash 2>&1 & work=$!
on 3 sleep 1000 & sleeper=$!
until [ "$(cat /proc/$work/node)" = 1 ] && [ "$(cat /proc/$sleeper/node)" = 3 ]; do
    sleep 0.1; done
(migrate $work 2; echo "migrate $?" >/tmp/migrate) &
mover=$!
echo moving
members_are 3
wait $mover; cat /tmp/migrate
wait $work; echo "work $? $(cat /tmp/hash)"
kill $sleeper; wait $sleeper; echo "sleeper $?"
for n in 0 1 2 3; do
    [ $n = %(killed)d ] && continue
    on $n sh -c 'seq 1 1000 | grep -c 7' || echo "on $n: $?"
done
for n in 1 2 3 4 5 6; do spawn sh -c 'seq 1 1000 | sha256sum' & done | sort | uniq -c
wait
echo survived
members_are 4
on %(killed)d echo back again
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


def explained(output, logs, role):
    """The work is whole, or it died with the node that was killed, as a line says."""
    work = re.search(r"work (\d+) (\S*)", output)
    if work and work.group(1) == "0":
        return work.group(2) == host([program("hashset", "glibc"), *HASH]).strip()
    return (role != "third" and work and work.group(1) == "137"
            and any(re.search(rf"lost: process \d+ \(.*\) with node {ROLES[role]}:", log)
                    for log in logs))


def check(tap, step, role):
    killed = ROLES[role]
    name = f"{step}: the {role} is killed"
    script = SCRIPT % {"killed": killed, "hash": " ".join(HASH)}
    with Driven(script, nodes=4, append=[f"hold.at={step}"],
                add=[program("hashset") + ":/bin/hashset"]) as cluster:
        exact = kill_at(cluster, step, killed)
        cluster.output_wait("survived\n")
        cluster.machines[killed].start()
        cluster.may_die = set()
        output = cluster.finish()
        logs = [m.console().decode(errors="replace") for m in cluster.machines]
    sums = re.findall(r"(?m)^ +(\d+) [0-9a-f]{64}", output)
    good = {"it was at that step": exact,
            "every waiting call has ended": re.search(r"(?m)^migrate \d+$", output)
            and re.search(r"(?m)^sleeper (126|137|143)$", output),
            "nothing is lost unexplained": explained(output, logs, role),
            "the survivors work": output.count("271\n") == 3 and sums == ["6"],
            "it comes back": "back again" in output}
    wrong = [text for text, true in good.items() if not true]
    tap.result(not wrong, name, f"not so: {', '.join(wrong)}\n{output}\n"
               + "\n".join(re.findall(r"(?m)^.*(?:lost|hold|cluster|move):.*$", "\n".join(logs))))


def cases(words):
    if words:
        return [word.split(":") for word in words]
    if LONG:
        return [(step, role) for step in STEPS for role in ROLES]
    rng = random.Random(SEED)
    print(f"# roles drawn with SEED={SEED}")
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
