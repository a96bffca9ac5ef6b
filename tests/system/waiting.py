#!/usr/bin/env python3
"""poll, select, epoll, eventfd and timerfd: one program (prog/waiting.c) prints on the nodes
what it prints on the host, where it stays, and where it moves between making what it waits for
and waiting, so that all of it lies on the other node. Prints TAP."""
import sys

import rig


def main():
    tap = rig.Tap()
    kinds = ("musl", "glibc")
    for smp in (1, 2) if rig.LONG else (1,):
        run = rig.Run(tap, f"smp {smp}", 2, smp,
                      [(rig.program("waiting", kind), f"/bin/waiting-{kind}") for kind in kinds])
        for kind in kinds:
            want = rig.host([rig.program("waiting", kind)])
            run.step(f"{kind}: where it was made", f"waiting-{kind}", want)
            run.step(f"{kind}: on the other node", f"waiting-{kind} 0 1", want)
            run.step(f"{kind}: begun on the other node", f"on 1 waiting-{kind} 1 0", want)
        run.go()
    tap.end()


if __name__ == "__main__":
    main()
