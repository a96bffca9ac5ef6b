#!/usr/bin/env python3
"""Timers that raise signals, by all clocks: one program (prog/timers.c) prints on the nodes what it
prints on the host, where it stays and where it moves while its timers are set. Prints TAP."""
import rig


def main():
    tap = rig.Tap()
    for smp in (1, 2) if rig.LONG else (1,):
        run = rig.Run(tap, f"smp {smp}", 2, smp,
                      [(rig.program("timers", kind), f"/bin/timers-{kind}")
                       for kind in ("musl", "glibc")])
        for kind in ("musl", "glibc"):
            want = rig.host([rig.program("timers", kind)])
            run.step(f"{kind}: stays", f"timers-{kind}", want)
            run.step(f"{kind}: moves with timers set", f"timers-{kind} 0 1", want)
        run.go()
    tap.end()


if __name__ == "__main__":
    main()
