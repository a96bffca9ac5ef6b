#!/usr/bin/env python3
"""Signals that queue and carry values, and sleeps that they end: one program (prog/signals.c)
prints on the nodes what it prints on the host, where it stays and where it moves while its
signals are pending. Prints TAP."""
import rig


def main():
    tap = rig.Tap()
    for smp in (1, 2) if rig.LONG else (1,):
        run = rig.Run(tap, f"smp {smp}", 2, smp,
                      [(rig.program("signals", kind), f"/bin/signals-{kind}")
                       for kind in ("musl", "glibc")])
        for kind in ("musl", "glibc"):
            want = rig.host([rig.program("signals", kind)])
            run.step(f"{kind}: stays", f"signals-{kind}", want)
            run.step(f"{kind}: moves with pending signals", f"signals-{kind} 0 1", want)
        run.go()
    tap.end()


if __name__ == "__main__":
    main()
