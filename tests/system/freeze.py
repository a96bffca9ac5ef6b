#!/usr/bin/env python3
"""The freeze of a move, counted, does not depend on the size of the process: dependent round
trips and bytes on the wire are equal for 1 and 256 MiB touched, kernel instructions of both
nodes within 10 %, those of the move that took the fewest of each size, since clocks tick in
between. Prints TAP."""
import os
import sys

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(HERE)), "bench"))

import freeze  # noqa: E402

MOVES = 15 if os.environ.get("ISTHMUS_LONG") else 7


def main():
    result = freeze.measure(MOVES)
    figures = freeze.figures(result)
    small, large = (figures[size] for size in freeze.SIZES)
    sums = [row["source"] + row["target"] for row in (small, large)]
    checks = [
        (small["trips"] == large["trips"] > 0, "as many round trips for 256 MiB as for 1 MiB",
         (small["trips"], large["trips"])),
        (small["bytes"] == large["bytes"] > 0, "as many bytes on the wire",
         (small["bytes"], large["bytes"])),
        (max(sums) <= 1.1 * min(sums), "kernel instructions of both nodes within 10 %", sums)]
    failed = 0
    for number, (good, name, note) in enumerate(checks, 1):
        failed += not good
        print(f"{'ok' if good else 'not ok'} {number} - {name}\n# {note}")
    print("\n".join(f"# {size} MiB: {row}" for size, row in result.items()))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
