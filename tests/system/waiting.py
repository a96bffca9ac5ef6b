#!/usr/bin/env python3
"""poll, select, epoll, eventfd and timerfd (prog/waiting.c), and pairs of sockets with shared
memory by name (prog/sockets.c): each program prints on the nodes what it prints on the host,
where it stays, and where it moves between making what it uses and using it, so that all of it
lies on the other node. Prints TAP."""
import sys

import rig

PROGRAMS = ("waiting", "sockets")


def main():
    tap = rig.Tap()
    builds = [(name, kind) for name in PROGRAMS for kind in ("musl", "glibc")]
    for smp in (1, 2) if rig.LONG else (1,):
        run = rig.Run(tap, f"smp {smp}", 2, smp,
                      [(rig.program(name, kind), f"/bin/{name}-{kind}") for name, kind in builds])
        for name, kind in builds:
            want, command = rig.host([rig.program(name, kind)]), f"{name}-{kind}"
            run.step(f"{command}: where it was made", command, want)
            run.step(f"{command}: on the other node", f"{command} 0 1", want)
            run.step(f"{command}: begun on the other node", f"on 1 {command} 1 0", want)
        run.go()
    tap.end()


if __name__ == "__main__":
    main()
