#!/usr/bin/env python3
"""From abi/syscall.tbl, the single list of system calls, makes the kernel's dispatch
table and the reference page: gen_syscall.py [--check]

Lines: NUMBER NAME whole|quick|direct|partial|absent [what is missing]. quick: whole, and so simple
that kernel/x86/entry.S calls it at once. direct: whole, and entry.S tries direct_NAME
first. --check only says whether the made files are up to date.
"""
import sys

TABLE = "abi/syscall.tbl"
KERNEL = "kernel/syscall/table.c"
PAGE = "docs/reference/syscalls.md"
QUICK_COUNT = 512                    # kernel/x86/entry_asm.h: SYSCALL_QUICK_COUNT


def read_table():
    calls = []
    states = ("whole", "quick", "direct", "partial", "absent")
    for number, line in enumerate(open(TABLE), 1):
        line = line.split("#")[0].strip()
        if not line:
            continue
        words = line.split(None, 3)
        if len(words) < 3 or words[2] not in states:
            sys.exit(f"{TABLE}:{number}: NUMBER NAME {'|'.join(states)} [missing]")
        if words[2] in ("quick", "direct") and int(words[0]) >= QUICK_COUNT:
            sys.exit(f"{TABLE}:{number}: quick calls have numbers below {QUICK_COUNT}")
        if words[2] == "partial" and len(words) < 4:
            sys.exit(f"{TABLE}:{number}: say what is missing")
        calls.append((int(words[0]), words[1], words[2], words[3] if len(words) > 3 else ""))
    if len({c[0] for c in calls}) != len(calls):
        sys.exit(f"{TABLE}: a number twice")
    return sorted(calls)


def kernel_source(calls):
    present = [c for c in calls if c[2] != "absent"]
    out = ["// Made by tools/gen_syscall.py from abi/syscall.tbl; do not edit.",
           '#include "kernel/syscall/table.h"', ""]
    out += [f"SYSCALL({c[1]});" for c in present]
    out += [f"DIRECT({c[1]});" for c in calls if c[2] == "direct"]
    out += ["", "const struct syscall_entry syscall_table[SYSCALL_COUNT] = {"]
    for number, name, state, _ in calls:
        function = "sys_" + name if state != "absent" else "NULL"
        out.append(f'    [{number}] = {{"{name}", {function}}},')
    out += ["};", "", "const syscall_fn syscall_quick[SYSCALL_QUICK_COUNT] = {"]
    out += [f"    [{c[0]}] = {'direct' if c[2] == 'direct' else 'sys'}_{c[1]},"
            for c in calls if c[2] in ("quick", "direct")]
    return "\n".join(out + ["};", ""])


def page(calls):
    calls = [(c[0], c[1], "whole" if c[2] in ("quick", "direct") else c[2], c[3]) for c in calls]
    count = {s: sum(c[2] == s for c in calls) for s in ("whole", "partial", "absent")}
    out = ["# System calls", "",
           "Made by tools/gen_syscall.py from abi/syscall.tbl; do not edit. An absent call returns",
           "ENOSYS and is logged once by name.", "",
           f"{count['whole']} whole, {count['partial']} partial, {count['absent']} absent.", "",
           "| number | name | state | missing |", "| --- | --- | --- | --- |"]
    out += [f"| {n} | {name} | {state} | {text} |" for n, name, state, text in calls]
    return "\n".join(out + [""])


def main():
    calls = read_table()
    stale = []
    for path, text in ((KERNEL, kernel_source(calls)), (PAGE, page(calls))):
        try:
            old = open(path).read()
        except FileNotFoundError:
            old = ""
        if old == text:
            continue
        if "--check" in sys.argv:
            stale.append(path)
        else:
            open(path, "w").write(text)
    if stale:
        sys.exit(f"out of date: {', '.join(stale)}; run tools/gen_syscall.py")


if __name__ == "__main__":
    main()
