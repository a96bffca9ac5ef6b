#!/usr/bin/env python3
"""Moving without exceptions: what processes share while they are on several nodes. Short in
`make test`, larger with ISTHMUS_LONG=1. Prints TAP."""
import sys

import rig

ROUNDS, KIB = (12, 4096) if rig.LONG else (3, 192)
FORK_MIB = 64 if rig.LONG else 8


def share_steps(run, nodes):
    """Shared mappings: one process on each node, all write, all see all, each moves."""
    want = f"shared {ROUNDS} rounds of {nodes}\n"
    for where in ("", " /tmp/share"):
        run.step(f"shared memory{' of a file' if where else ''} on {nodes} nodes, all moving",
                 f"share {nodes} {ROUNDS} {KIB}{where}", want)
    run.step("its frames come back", f"rm /tmp/share; frames share {nodes} 2 64",
             f"shared 2 rounds of {nodes}\nback\n")
    run.step("no page was lost, none is left", "k=0; while [ $k -lt 100 ]; do k=$((k + 1)); "
             "n=$(sum_of shared_pages); [ $n = 0 ] && break; sleep 0.1; done; "
             "echo $n $(sum_of shared_lost)", "0 0\n")


def fork_steps(run, nodes):
    """Children that begin on other nodes, and children made while the parent's pages are away."""
    for what, mib, about in (("on", FORK_MIB, "remote fork"), ("drain", 4, "forks in a drain")):
        run.step(f"{about} of {mib} MiB: each process has its own pages, all frames back",
                 f"frames forks {what} {nodes} {mib} >/dev/null; "    # the first is not measured
                 f"frames forks {what} {nodes} {mib}",
                 lambda out, status: all(line.startswith("ok ") for line in out.splitlines()[:-1])
                 and out.endswith("\nback\n") and status == 0)
    run.step("forks did not wait for their parents' pages",
             "[ $(sum_of forks_away) -ge 12 ] && echo none waited", "none waited\n")


def cluster(tap, nodes, smp):
    run = rig.Run(tap, f"{nodes} nodes, smp {smp}", nodes, smp, [
        (rig.program(name), f"/bin/{name}") for name in ("share", "frames", "forks")])
    share_steps(run, nodes)
    fork_steps(run, nodes)
    run.step("no pair broke", "grep -h ^downs: /nodes/*/status | sort -u", "downs: 0\n")
    run.go()


def main():
    tap = rig.Tap()
    cluster(tap, 3, 1)
    cluster(tap, 2, 2)
    tap.end()


if __name__ == "__main__":
    main()
