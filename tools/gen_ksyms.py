#!/usr/bin/env python3
"""Reads `nm -n` and writes the assembly of the kernel's symbol table for backtraces:
count, then (offset from the image's base, offset of the name) in order of address,
then the names. kernel/panic.c reads it. Text symbols only."""
import sys

BASE = 0xFFFFFFFF80000000


def main():
    symbols = []
    for line in sys.stdin:
        parts = line.split()
        if len(parts) != 3 or parts[1] not in "tTwW":
            continue
        address = int(parts[0], 16)
        if address >= BASE and not parts[2].startswith("."):
            symbols.append((address - BASE, parts[2]))
    out = ['.section .ksyms, "a"', ".globl ksyms_count, ksyms_table, ksyms_names", ".balign 8",
           "ksyms_count: .long %d" % len(symbols), "ksyms_table:"]
    offset = 0
    for address, name in symbols:
        out.append(".long %d, %d" % (address, offset))
        offset += len(name) + 1
    out.append("ksyms_names:")
    out += ['.asciz "%s"' % name for _, name in symbols]
    out.append('.section .note.GNU-stack, "", @progbits')
    print("\n".join(out))


main()
