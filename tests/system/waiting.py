#!/usr/bin/env python3
"""poll, select, epoll, eventfd and timerfd (prog/waiting.c), pairs of sockets with shared memory by
name (prog/sockets.c), and named pipes (prog/fifos.c): each program prints on the nodes what it
prints on the host, where it stays, and where it moves between making what it uses and using it, so
that all of it lies on the other node. Prints TAP."""
import sys

import rig

PROGRAMS = ("waiting", "sockets", "fifos")

# busybox's own: the reader waits in open, where it began or moved meanwhile; two who write.
BUSYBOX = r"""
cd /tmp
mkfifo f
ls -l f | cut -c1-10
cat f & echo hi > f
wait
on 1 cat f > out &
reader=$!
migrate $reader 0
migrate $reader 1
{ echo one; on 1 echo two; } > f
wait
cat out
on 1 sh -c 'for i in 1 2 3; do echo $i; done > f' &
sort f
wait
rm f out
"""
BUSYBOX_WANT = "prw-r--r--\nhi\none\ntwo\n1\n2\n3\n"


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
        run.step("busybox and a named pipe", BUSYBOX, BUSYBOX_WANT)
        run.go()
    tap.end()


if __name__ == "__main__":
    main()
