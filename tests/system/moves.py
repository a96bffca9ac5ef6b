#!/usr/bin/env python3
"""Moving without exceptions: what processes share while they are on several nodes. Short in
`make test`, larger with ISTHMUS_LONG=1. Prints TAP."""
import sys

import rig

ROUNDS, KIB = (12, 4096) if rig.LONG else (3, 192)


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


def cluster(tap, nodes, smp):
    run = rig.Run(tap, f"{nodes} nodes, smp {smp}", nodes, smp, [
        (rig.program(name), f"/bin/{name}") for name in ("share", "frames")])
    share_steps(run, nodes)
    run.step("no pair broke", "grep -h ^downs: /nodes/*/status | sort -u", "downs: 0\n")
    run.go()


def main():
    tap = rig.Tap()
    cluster(tap, 3, 1)
    cluster(tap, 2, 2)
    tap.end()


if __name__ == "__main__":
    main()
