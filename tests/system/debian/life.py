"""A glider gun, on a set of cells, for as many generations as the argument says (120); prints a
digest of each eighth."""
import hashlib
import sys

GUN = """
........................O...........
......................O.O...........
............OO......OO............OO
...........O...O....OO............OO
OO........O.....O...OO..............
OO........O...O.OO....O.O...........
..........O.....O.......O...........
...........O...O....................
............OO......................
"""


def step(cells):
    count = {}
    for x, y in cells:
        for dx in (-1, 0, 1):
            for dy in (-1, 0, 1):
                if dx or dy:
                    key = (x + dx, y + dy)
                    count[key] = count.get(key, 0) + 1
    return {key for key, n in count.items() if n == 3 or (n == 2 and key in cells)}


cells = {(x, y) for y, line in enumerate(GUN.split()) for x, c in enumerate(line) if c == "O"}
for generation in range(1, int((sys.argv + ["120"])[1]) + 1):
    cells = step(cells)
    if generation % 8 == 0:
        text = repr(sorted(cells)).encode()
        print(generation, len(cells), hashlib.sha256(text).hexdigest()[:16])
