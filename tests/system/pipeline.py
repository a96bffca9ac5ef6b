#!/usr/bin/env python3
"""A shell pipeline of four stages on three nodes, each on another node than its neighbours, so
that every byte crosses the network three times and more: the same sum as the host's. 8 MiB, at
full size 100 MiB. TAP."""
import os

os.environ.setdefault("ISTHMUS_LIMIT", "3000")           # a hang detector

import rig  # noqa: E402

MIB = 100 if rig.LONG else 8
FIRST = 10000000                         # `seq` from here on: lines of nine bytes
LAST = FIRST + MIB * (1 << 20) // 9
STAGES = ("seq {first} {last}", "tr 0-9 a-j", "dd bs=64k 2>/dev/null", "sha256sum")


def pipeline(stages):
    return " | ".join(stages).format(first=FIRST, last=LAST)


def there(node, stage):
    """The stage on that node; where it is goes to a file of node 0 before it begins."""
    return f"on {node} sh -c 'cat /proc/self/node >/tmp/at-{stage.split()[0]}; exec {stage}'"


def main():
    tap = rig.Tap()
    want = rig.host(["busybox", "sh", "-c", pipeline(STAGES)])
    run = rig.Run(tap, "pipeline", nodes=3)
    run.step(f"{MIB} MiB through four stages",
             pipeline([there(n, s) for n, s in zip((0, 1, 2, 0), STAGES)]) + "; "
             "cat /tmp/at-seq /tmp/at-tr /tmp/at-dd /tmp/at-sha256sum | tr -d '\\n'; echo",
             want + "0120\n")
    run.step("the first stage ends when its reader, two nodes on, has enough",
             "on 1 yes | on 2 cat | on 1 head -n 3; echo $?", "y\ny\ny\n0\n")
    tap.result("PANIC" not in run.go(), "pipeline: no panic")
    tap.end()


if __name__ == "__main__":
    main()
