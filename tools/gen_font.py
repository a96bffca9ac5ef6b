#!/usr/bin/env python3
"""Writes the C table of the screen's font (8 x 16, U+0020..U+007E) from a GRUB font file
(PFF2, as Debian's grub-common installs it): gen_font.py FONT.pf2 > font.c
Spec: GRUB manual, "Font format" (PFF2): sections {name, big-endian length, bytes}; CHIX has
{code point, flags, offset}; a glyph is {width, height, x, y, advance} and packed bits."""
import struct
import sys

FIRST, LAST, WIDTH, HEIGHT = 0x20, 0x7E, 8, 16


def sections(data):
    at = 0
    while at + 8 <= len(data):
        name, length = data[at:at + 4].decode("ascii"), struct.unpack(">I", data[at + 4:at + 8])[0]
        if name == "DATA":
            return
        yield name, data[at + 8:at + 8 + length]
        at += 8 + length


def glyph_rows(data, offset, ascent):
    width, height, x, y, _ = struct.unpack(">HHhhh", data[offset:offset + 10])
    rows = [0] * HEIGHT
    for bit in range(width * height):
        if not data[offset + 10 + bit // 8] >> (7 - bit % 8) & 1:
            continue
        row, column = ascent - y - height + bit // width, x + bit % width
        if 0 <= row < HEIGHT and 0 <= column < WIDTH:
            rows[row] |= 0x80 >> column
    return rows


def main():
    with open(sys.argv[1], "rb") as f:
        data = f.read()
    parts = dict(sections(data))
    if parts.get("FILE") != b"PFF2":
        sys.exit("gen_font.py: %s is no PFF2 font" % sys.argv[1])
    ascent = struct.unpack(">H", parts["ASCE"])[0]
    index = parts["CHIX"]
    offsets = {}
    for at in range(0, len(index) - 8, 9):
        code, _, offset = struct.unpack(">IBI", index[at:at + 9])
        if FIRST <= code <= LAST:
            offsets[code] = offset
    print('// Made by tools/gen_font.py.\n#include "drivers/console/font.h"\n')
    print("const u8 font_glyphs[FONT_LAST - FONT_FIRST + 1][FONT_HEIGHT] = {")
    for code in range(FIRST, LAST + 1):
        rows = glyph_rows(data, offsets[code], ascent)
        print("    {%s}," % ", ".join("0x%02x" % row for row in rows))
    print("};")


main()
