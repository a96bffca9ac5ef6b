#!/usr/bin/env python3
"""Instructions of the basic operations, counted exactly under icount by one static program here and
on Linux (bench/ipc.py): a null call at most 74, a message to a server and back at most 1,000, the
time by the vDSO and by call what they have cost, with a margin; each of the others that and at most
half of Linux's. Prints TAP."""
import os
import sys

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(HERE)), "bench"))

import ipc  # noqa: E402


def main():
    failed = 0
    rows = ipc.measure()
    for number, (name, row) in enumerate(rows.items(), 1):
        mine, other = row["isthmus"]["median"], row["linux"]["median"]
        most = ipc.MOST[name]
        if name not in ipc.TIMES:
            most = min(most, other if name == "null" else other // 2)
        good = row["isthmus"]["n"] == row["linux"]["n"] and 0 < mine <= most
        failed += not good
        share = "" if name in ipc.TIMES else \
            " and what Linux takes" if name == "null" else " and half of what Linux takes"
        print(f"{'ok' if good else 'not ok'} {number} - {name}: at most {ipc.MOST[name]}{share}\n"
              f"# {mine} instructions, Linux {other}")
    return 1 if failed or not rows else 0


if __name__ == "__main__":
    sys.exit(main())
