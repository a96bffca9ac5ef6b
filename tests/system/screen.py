"""The screen of a guest as text: QEMU's screendump (PPM) cut into cells, each compared with
the kernel's own font table. Tests import it."""
import re

WIDTH, HEIGHT, FIRST = 8, 16, 0x20


def font_read(path):
    """Glyph (16 row bytes) -> character, from the C table that the kernel links."""
    with open(path, encoding="ascii") as file:
        rows = re.findall(r"^\s*\{((?:0x[0-9a-f]{2}(?:, )?){16})\},$", file.read(), re.M)
    return {bytes(int(word, 16) for word in row.split(",")): chr(FIRST + number)
            for number, row in enumerate(rows)}


def ppm_read(data):
    """(width, height, RGB bytes) of a binary PPM."""
    match = re.match(rb"P6\s+(\d+)\s+(\d+)\s+255\s", data)
    if not match:
        raise ValueError("not a whole PPM")
    width, height = int(match.group(1)), int(match.group(2))
    pixels = data[match.end():]
    if len(pixels) != width * height * 3:
        raise ValueError("not a whole PPM")
    return width, height, pixels


def cell(pixels, width, x, y):
    """The row bytes of the cell at column x, row y: a pixel that is not black is 1."""
    rows = []
    for line in range(HEIGHT):
        at = ((y * HEIGHT + line) * width + x * WIDTH) * 3
        row = pixels[at:at + WIDTH * 3]
        rows.append(sum(128 >> i for i in range(WIDTH) if any(row[3 * i:3 * i + 3])))
    return bytes(rows)


def text(data, font):
    """The lines of the screen, blanks at their ends cut. A cell that is no glyph is U+FFFD;
    the cursor's cell is inverted."""
    width, height, pixels = ppm_read(data)
    cursor = {bytes(row ^ 255 for row in glyph): c for glyph, c in font.items()}
    seen, lines = {}, []
    for y in range(height // HEIGHT):
        line = ""
        for x in range(width // WIDTH):
            rows = cell(pixels, width, x, y)
            if rows not in seen:
                seen[rows] = font.get(rows) or cursor.get(rows) or "\ufffd"
            line += seen[rows]
        lines.append(line.rstrip())
    return lines
