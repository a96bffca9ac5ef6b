#!/usr/bin/env python3
"""Programs with 32 threads (prog/threads.c), and what threads ask of the kernel itself
(prog/futexes.c), built with glibc and with musl: what they print is what they print on the
host, on one CPU and on two, where they are started and while they are
moved between two nodes; then no frame is missing. Prints TAP."""
import subprocess

import rig

KINDS = ("glibc", "musl")
MOVES_LEAST = 4                      # of each run: the mover asks every 50 ms


def on_host(path, *words):
    done = subprocess.run([path, *words], stdout=subprocess.PIPE, check=False)
    return done.stdout.decode() + f"{done.returncode}\n"


def steps(run, nodes, wants):
    for kind, want in wants.items():
        run.step(f"{kind}: as on the host", f"threads-{kind}; echo $?", want)
        if nodes > 1:
            run.step(f"{kind}: moved all the time", f"b=$(moves_in); threads-{kind} {nodes}; "
                     f"echo $?; [ $(($(moves_in) - b)) -ge {MOVES_LEAST} ] || echo few moves", want)
        run.step(f"{kind}: futexes and ends as on the host", f"futexes-{kind}; echo $?",
                 on_host(rig.program("futexes", kind)))
        if nodes > 1:
            run.step(f"{kind}: futexes and ends while moved", f"futexes-{kind} {nodes}; echo $?",
                     on_host(rig.program("futexes", kind), "alone"))
    run.step("vfork and posix_spawn: as on the host", "spawns",
             rig.host([rig.program("spawns", "glibc")]))
    run.step("killed with all its threads: frames back",
             "frames sh -c 'threads-glibc > /tmp/said & until [ -s /tmp/said ]; do sleep 0.05; "
             "done; kill -9 $!; wait $!; echo $?; rm /tmp/said'", "Killed\n137\nback\n")


def main():
    tap = rig.Tap()
    paths = {kind: rig.program("threads", kind) for kind in KINDS}
    wants = {kind: on_host(path) for kind, path in paths.items()}
    for kind, want in wants.items():
        tap.result(want.count("ok ") == 13 and "not ok" not in want and want.endswith("\n7\n"),
                   f"{kind}: the host itself", want)
    files = [(path, f"/bin/threads-{kind}") for kind, path in paths.items()]
    files += [(rig.program("futexes", kind), f"/bin/futexes-{kind}") for kind in KINDS]
    files += [(rig.program("frames"), "/bin/frames"),
              (rig.program("spawns", "glibc"), "/bin/spawns")]
    for name, nodes, smp in (("one node, two CPUs", 1, 2), ("two nodes", 2, 1)):
        run = rig.Run(tap, name, nodes, smp, files)
        steps(run, nodes, wants)
        run.go()
    tap.end()


if __name__ == "__main__":
    main()
