#!/usr/bin/env python3
"""Instructions of the responder per operation, counted exactly under icount (bench/counts.py):
at most the first aims of issue 2, and the same at every operation. Prints TAP."""
import os
import sys

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(HERE)), "bench"))

import counts  # noqa: E402


def main():
    failed = 0
    rows = [(name, row) for name, row in counts.measure().items() if row["aim"]]
    for number, (name, row) in enumerate(rows, 1):
        count, aim = row["responder"]["median"], row["aim"]
        good = row["responder"]["n"] >= 990 and 0 < count <= aim
        failed += not good
        print(f"{'ok' if good else 'not ok'} {number} - the responder of {name}: at most {aim} "
              f"instructions\n# {row['responder']}")
    return 1 if failed or not rows else 0


if __name__ == "__main__":
    sys.exit(main())
