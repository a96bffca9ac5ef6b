#!/usr/bin/env python3
"""Moving without exceptions: what processes share while they are on several nodes. Short in
`make test`, larger with ISTHMUS_LONG=1. Prints TAP."""
import os
import sys

import rig

ROUNDS, KIB = (12, 4096) if rig.LONG else (3, 192)
FORK_MIB = 64 if rig.LONG else 4
HOW_MIB = 64 if rig.LONG else 2
TURNS = 400 if rig.LONG else 40


def share_steps(run, nodes):
    """Shared mappings: one process on each node, all write, all see all, each moves."""
    want = f"shared {ROUNDS} rounds of {nodes}\n"
    for where in ("", " /tmp/share"):
        run.step(f"shared memory{' of a file' if where else ''} on {nodes} nodes, all moving",
                 f"share {nodes} {ROUNDS} {KIB}{where}", want)
    run.step("turns by futexes: wakes are told to other nodes", f"turns {nodes} {TURNS}; "
             f"n=$(sum_of futex_wakes_in); [ $n -ge {TURNS // 8} ] && echo told || echo $n",
             f"turns {TURNS}\ntold\n")
    run.step("its frames come back", f"rm /tmp/share; frames share {nodes} 2 64",
             f"shared 2 rounds of {nodes}\nback\n")
    run.step("no page was lost, none is left", "k=0; while [ $k -lt 100 ]; do k=$((k + 1)); "
             "n=$(sum_of shared_pages); [ $n = 0 ] && break; sleep 0.1; done; "
             "echo $n $(sum_of shared_lost)", "0 0\n")


def frames_back(command):
    """The command until all frames are back after it, three times at most: a program that lives
    on, as init and the shell do, may touch a page of its own for the first time meanwhile (of 36
    runs of remote fork one missed a frame, and by use it was one user page), and a frame that is
    lost is lost each time. The first is not measured."""
    return (f"frames {command} >/dev/null; k=0; until frames {command}; do k=$((k + 1)); "
            "[ $k -lt 3 ] || break; done")


def forks_good(out, status):
    lines = out.splitlines()
    return status == 0 and lines[-1:] == ["back"] and all(
        line.startswith(("ok ", "free frames of node ")) for line in lines[:-1])


def fork_steps(run, nodes):
    """Children that begin on other nodes, and children made while the parent's pages are away."""
    for what, mib, about in (("on", FORK_MIB, "remote fork"), ("drain", 4, "forks in a drain")):
        run.step(f"{about} of {mib} MiB: each process has its own pages, all frames back",
                 frames_back(f"forks {what} {nodes} {mib}"), forks_good)
    run.step("forks did not wait for their parents' pages",
             "[ $(sum_of forks_away) -ge 12 ] && echo none waited", "none waited\n")


def how_steps(run):
    """Pages that follow, that come while it is frozen, that go ahead: a process that writes."""
    for how in ("post", "stop", "pre"):
        run.step(f"a process that goes on writing, moved four times, {how}: memory whole, frames "
                 "back", frames_back(f"sh /bin/how.sh {how} {HOW_MIB} 1 0 1 0"),
                 lambda out, status: status == 0 and "page" not in out
                 and out.endswith("1\n0\n1\n0\nwhole\nback\n"))
    run.step("most pages had gone ahead", "[ $(sum_of precopy_reused) -ge "
             f"{6 * HOW_MIB * 200} ] && echo most", "most\n")
    run.step("a way of moving that there is not", "migrate --how=none $$ 1",
             lambda out, status: status == 2 and "usage" in out)


def cluster(tap, nodes, smp):
    run = rig.Run(tap, f"{nodes} nodes, smp {smp}", nodes, smp, [
        (rig.program(name), f"/bin/{name}")
        for name in ("share", "frames", "forks", "writer", "turns")] + [
            (os.path.join(rig.HERE, "prog", "how.sh"), "/bin/how.sh")])
    share_steps(run, nodes)
    fork_steps(run, nodes)
    if smp == 2:
        how_steps(run)
    run.step("no pair broke", "grep -h ^downs: /nodes/*/status | sort -u", "downs: 0\n")
    run.go()


def main():
    tap = rig.Tap()
    cluster(tap, 3, 1)
    cluster(tap, 2, 2)
    tap.end()


if __name__ == "__main__":
    main()
