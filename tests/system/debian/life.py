"""A glider gun for 200 generations, on a set of cells; prints a digest of each tenth."""
import hashlib

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
for generation in range(1, 121):
    cells = step(cells)
    if generation % 10 == 0:
        text = repr(sorted(cells)).encode()
        print(generation, len(cells), hashlib.sha256(text).hexdigest()[:16])
