#!/usr/bin/env python3
"""Nodes that die under the other kinds of moves: remote fork, forks while the pages are away,
stop-and-copy, pre-copy, futexes and shared memory. One of nodes 1 to 3 is killed while a node
stands still at a named step. The survivors go on, each call that waits ends, what is lost has a
line, frames come back, and the killed node joins and takes part.
Prints TAP. Usage: kill_moves.py [KIND:STEP:NODE]...; else CASES of them drawn from SEED (printed;
1 by default), each of a kind of its own, or with ISTHMUS_LONG=1 all."""
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
from rig import LONG, Tap, program  # noqa: E402

SEED = int(os.environ.get("SEED") or 1)
CASES = 2
TRIES_MAX = 3                        # to kill it at the step: a busy host may come too late
GIVER, TAKER, THIRD = 1, 2, 3
MIB = 2
LEAK_PAGES = 128                     # fewer than what any process here has touched
# run: the program, on node 0; moved: it does not move by itself, but by migrate, in that way;
# wide: it uses node 3, whichever node is killed.
KINDS = {
    "fork": {"steps": ["offered", "prepared", "started", "given", "page", "drained", "freed"],
             "run": f"on 1 work fork {MIB}"},
    "drain": {"steps": ["borrowed", "repaid", "drained"], "run": f"on 3 work drain {MIB}",
              "wide": True},
    "stop": {"steps": ["offered", "prepared", "started", "page", "given", "drained", "freed"],
             "run": f"on 1 work {MIB} 64", "moved": True},
    "pre": {"steps": ["ahead", "prepared", "page", "copied", "caughtup", "frozen", "started",
                      "given", "freed"],
            "run": f"on 1 work {MIB} 64", "moved": True},
    "share": {"steps": ["waking", "woken", "recalled", "fetched"],
              "run": f"on 1 work share {MIB}", "wide": True},
}

SCRIPT = r"""
for n in %(others)s; do on $n sleep 1000000 & eval sleeper$n=$!; done
at() { until [ "$(cat /proc/$1/node)" = $2 ]; do sleep 0.1; done; }
free_of() {
    sed -n 's/^free: //p;s/^heap: //p' /nodes/$1/status | { read a; read b; echo $((a + b)); }
}
for n in %(others)s; do eval "at \$sleeper$n $n"; done
for n in 0 %(others)s; do on $n sh -c 'seq 1 1000 | grep -c 7' >/tmp/up; done
rm /tmp/up                                # what such a program needs is there now
for n in 0 %(rest)s; do eval "free$n=$(free_of $n)"; done
%(run)s >/tmp/work 2>&1 & work=$!
echo "pid $work"
%(move)s
echo moving
members_are %(left)d
%(stop)s
wait $work; echo "work $?"; cat /tmp/work
while pidof work >/dev/null; do sleep 0.1; done
echo "none is left"
eval "wait \$sleeper%(killed)d"; echo "sleeper $?"
for n in 0 %(rest)s; do
    on $n sh -c 'seq 1 1000 | grep -c 7' || echo "on $n: $?"
done
sh -c 'trap "echo here; exit" USR1; echo up >/tmp/up; while :; do sleep 0.1; done' & p=$!
until [ -s /tmp/up ]; do sleep 0.1; done
for n in %(rest)s 0; do migrate $p $n || echo "no move to $n"; done
kill -USR1 $p; wait $p; echo "small $?"
echo survived
members_are %(all)d
on %(killed)d sh -c 'seq 1 1000 | grep -c 7'; echo "back $?"
on %(killed)d sleep 1000000 & p=$!
at $p %(killed)d; migrate $p 0; echo "leaves $?"; kill $p; wait $p; echo "left $?"
for n in 0 %(rest)s; do
    k=0 was=$(eval echo \$free$n)
    while :; do
        gone=$((was - $(free_of $n))) k=$((k + 1))
        [ $gone -lt %(leak)d ] && break
        [ $k -lt 100 ] || break
        sleep 0.1
    done
    echo "gone $n $gone"
done
"""


def kill_at(cluster, killed):
    """Kills the node while one that is at the step stands still. False: that went on before."""
    cluster.output_wait("moving\n")
    while True:
        for machine in cluster.machines:
            if b"hold: at step" in machine.console():
                cluster.may_die = {killed}
                cluster.machines[killed].kill()
                return b"hold: goes on" not in machine.console()
        if cluster.error or cluster.status is not None:
            raise LaunchError(f"the step was never reached\n{cluster.output()}")
        time.sleep(POLL_SECONDS)


def lost(log, pid, killed):
    return re.search(rf"lost: process {pid} \(.*\) with node {killed}:", log)


def explained(output, log, killed):
    """The program and its children ended as they should, or died with the killed node as a line
    says, or, where memory was shared, of a page of which a line says the same."""
    page = re.search(rf"share: .* lost: node {killed} had", log)
    found = [("work", *re.search(r"(?m)^pid (\d+)\n(?s:.*)^work (\d+)$", output).groups())]
    found += [("child", *pair) for pair in re.findall(r"(?m)^child (\d+) (\d+)$", output)]
    wrong = []
    for what, pid, status in found:
        good = {"work": (0,), "child": (10, 11, 12, 13)}[what]
        by_death = status == "137" and lost(log, pid, killed)
        by_page = status in ("20", "135") and page
        if not (int(status) in good or by_death or by_page):
            wrong.append(f"{what} {pid}: {status}")
    return wrong


def nodes_of(kind, killed):
    """The nodes but 0, which has the script."""
    wide = KINDS[kind].get("wide") or killed == THIRD
    return [GIVER, TAKER, THIRD] if wide else [GIVER, TAKER]


def verdicts(output, log, kind, killed):
    """Word by word. A shell's own lines may stand between those here."""
    survivors = len(nodes_of(kind, killed))

    def says(line):
        return re.search(rf"(?m)^{line}$", output)

    wrong = explained(output, log, killed)
    gone = [int(n) for n in re.findall(r"(?m)^gone \d (-?\d+)$", output)]
    status = re.search(r"(?m)^work (\d+)$", output)
    unharmed = killed == THIRD and kind in ("fork", "stop", "pre")
    return {
        f"nothing is lost unexplained ({', '.join(wrong)})": not wrong,
        "who had nothing to do with it goes on":
            not unharmed or (status.group(1) == "0" and says("whole")),
        "all processes have ended": says("none is left") and says("sleeper 137"),
        "survivors: programs": output.partition("survived\n")[0].count("271\n") == survivors,
        "survivors: moves": says("here") and says("small 0") and "no move" not in output,
        "it comes back": says("back 0") and says("leaves 0") and says("left 143"),
        f"frames come back ({gone})": len(gone) == survivors and max(gone) < LEAK_PAGES,
    }


def run(kind, step, killed):
    """True or False: it was killed at the step; what came out, and all consoles."""
    about = KINDS[kind]
    moved = about.get("moved")
    others = nodes_of(kind, killed)
    rest = [n for n in others if n != killed]
    script = SCRIPT % {
        "killed": killed, "rest": " ".join(map(str, rest)), "leak": LEAK_PAGES,
        "others": " ".join(map(str, others)), "left": len(others), "all": len(others) + 1,
        "run": about["run"],
        "move": "until grep -q ready /tmp/work; do sleep 0.05; done\n"
                f"(migrate --how={kind} $work 2; echo \"migrate $?\") &" if moved else "",
        "stop": "kill -TERM $work" if moved else ""}
    name = "writer" if moved else "mortal"
    with Driven(script, nodes=len(others) + 1, append=[f"hold.at={step}", "hold.name=work"],
                add=[program(name) + ":/bin/work"]) as cluster:
        exact = kill_at(cluster, killed)
        cluster.output_wait("survived\n")
        cluster.machines[killed].start()
        cluster.may_die = set()
        output = cluster.finish()
        log = "\n".join(m.console().decode(errors="replace") for m in cluster.machines)
    return exact, output, log


def check(tap, kind, step, killed):
    for _ in range(TRIES_MAX):
        exact, output, log = run(kind, step, killed)
        good = verdicts(output, log, kind, killed)
        if exact or not all(good.values()):
            break
    good["it was at that step"] = exact
    wrong = [text for text, true in good.items() if not true]
    if wrong or os.environ.get("SHOW"):
        lines = re.findall(r"(?m)^.*(?:lost|hold|down|move|fork|share):.*$", log)
        print("\n".join("# " + line for line in [*lines, *output.splitlines()]))
    tap.result(not wrong, f"{kind}, {step}: node {killed} is killed",
               f"not so: {', '.join(wrong)}")


def cases(words):
    every = [(kind, step, node) for kind in KINDS for step in KINDS[kind]["steps"]
             for node in (GIVER, TAKER, THIRD)]
    if words:
        named = [word.split(":") for word in words]
        return [(kind, step, int(node)) for kind, step, node in named]
    if LONG:
        return every
    rng = random.Random(SEED)
    print(f"# cases drawn with SEED={SEED}", flush=True)
    return [rng.choice([c for c in every if c[0] == kind])
            for kind in rng.sample(list(KINDS), CASES)]


def main():
    tap = Tap()
    for kind, step, node in cases(sys.argv[1:]):
        try:
            check(tap, kind, step, node)
        except (LaunchError, RunTimeout, OSError) as error:
            tap.result(False, f"{kind}, {step}: node {node} is killed: {type(error).__name__}",
                       str(error))
    tap.end()


if __name__ == "__main__":
    main()
