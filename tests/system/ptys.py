#!/usr/bin/env python3
"""Pseudo-terminals, line discipline, job control: one program (prog/ptys.c) prints on the nodes
what it prints on the host, where it stays and where it moves between the uses of its terminals.
Prints TAP."""
import os
import sys

import rig


def main():
    if not os.path.exists("/dev/pts/ptmx"):
        sys.exit("ptys: this machine has no terminals to compare with: "
                 "mount -t devpts devpts /dev/pts")
    tap = rig.Tap()
    for smp in (1, 2) if rig.LONG else (1,):
        run = rig.Run(tap, f"smp {smp}", 2, smp,
                      [(rig.program(name, kind), f"/bin/{name}-{kind}")
                       for kind in ("musl", "glibc") for name in ("ptys", "ttyjobs")])
        for kind in ("musl", "glibc"):
            want = rig.host([rig.program("ptys", kind)])
            run.step(f"{kind}: stays", f"ptys-{kind}", want)
            run.step(f"{kind}: moves between uses", f"ptys-{kind} 0 1", want)
            want = rig.host([rig.program("ttyjobs", kind)])
            run.step(f"{kind}: jobs here", f"ttyjobs-{kind}", want)
            run.step(f"{kind}: jobs and leaders on both nodes", f"ttyjobs-{kind} 0 1", want)
            run.step(f"{kind}: the terminal there", f"ttyjobs-{kind} 1 0", want)
        run.go()
    tap.end()


if __name__ == "__main__":
    main()
