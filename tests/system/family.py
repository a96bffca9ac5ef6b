#!/usr/bin/env python3
"""Parents and children on different nodes (prog/family.c): exit codes, waits in all forms, kill -9
and other signals, zombies, groups, orphans, generations. What it prints is what it prints on the
host; in the end nobody is left. Prints TAP."""
import rig

ROUNDS = 5 if rig.LONG else 2


def main():
    tap = rig.Tap()
    paths = {kind: rig.program("family", kind) for kind in ("musl", "glibc")}
    want = rig.host([paths["glibc"]])
    tap.result(want.count("ok ") == 12 and "not ok" not in want, "the host itself", want)
    run = rig.Run(tap, "three nodes", 3, 1, [(path, f"/bin/family-{kind}")
                                             for kind, path in paths.items()])
    run.step("all on one node: as on the host", "family-musl; family-glibc", want * 2)
    for kind in paths:
        run.step(f"{kind}: parents and children on three nodes, as on the host",
                 f"k=0; while [ $k -lt {ROUNDS} ]; do family-{kind} 3; k=$((k + 1)); done",
                 want * ROUNDS)
    run.step("nobody is left",
             "left() { ls /proc/*/comm 2>/dev/null | xargs cat 2>/dev/null | grep -c ^family; }; "
             "until_is 'processes' 100 0 left; left", lambda output, _: output.endswith("0\n"))
    run.go()
    tap.end()


if __name__ == "__main__":
    main()
