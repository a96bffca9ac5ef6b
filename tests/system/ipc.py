#!/usr/bin/env python3
"""Instructions of the basic operations, counted exactly under icount by one static program here and
on Linux (bench/ipc.py): a null call at most 74, a message to a server and back at most 1,000, each
of the others at most half of Linux's and what it has cost, with a margin. Prints TAP."""
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
        most = min(ipc.MOST[name], other if name == "null" else other // 2)
        good = row["isthmus"]["n"] == row["linux"]["n"] and 0 < mine <= most
        failed += not good
        share = "what" if name == "null" else "half of what"
        print(f"{'ok' if good else 'not ok'} {number} - {name}: at most {ipc.MOST[name]} "
              f"and {share} Linux takes\n# {mine} instructions, Linux {other}")
    return 1 if failed or not rows else 0


if __name__ == "__main__":
    sys.exit(main())
