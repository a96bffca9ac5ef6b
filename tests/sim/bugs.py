#!/usr/bin/env python3
"""Does the simulator find bugs? Plants those of tests/sim/bugs.txt one by one in a copy of
the sources, builds the simulator there and runs it until it fails, from five first seeds.
Prints TAP, and for each bug the median of how many seeds it took: a bug that is not found
within its seeds from each of the five is a failed test. Run from the root, after
`make sim-plain`: tests/sim/bugs.py [NAME...]. Without sanitizers: it is the promises that must
find them."""
import os
import re
import shutil
import statistics
import subprocess
import sys

FIRST_SEEDS = [1, 100001, 200001, 300001, 400001]

TREE = "build/sim-bugs"
DIRS = ["abi", "base", "drivers", "kernel", "mm", "proto", "sched", "tests", "tools", "user",
        "grub"]


def bugs():
    with open("tests/sim/bugs.txt", encoding="ascii") as f:
        for line in f:
            if line.strip() and not line.startswith("#"):
                yield [field.strip() for field in line.split(" | ")]


def tree_make():
    """The sources as links, so that one of them can be replaced."""
    shutil.rmtree(TREE, ignore_errors=True)
    os.makedirs(TREE + "/build")
    root = os.getcwd()
    for name in ["Makefile"] + [d for d in DIRS if os.path.isdir(d)]:
        subprocess.run(["cp", "-rs", f"{root}/{name}", TREE], check=True)
    for name in ["third_party", ".installed"]:
        os.symlink(f"{root}/build/{name}", f"{TREE}/build/{name}")


def plant(path, find, instead):
    with open(path, encoding="ascii") as f:
        text = f.read()
    new, count = re.subn(find, lambda m: instead.replace("\\n", "\n"), text)
    if count != 1:
        return f"{count} places in {path} match"
    os.remove(f"{TREE}/{path}")
    with open(f"{TREE}/{path}", "w", encoding="ascii") as f:
        f.write(new)
    return None


def build():
    """Only what the change touches is built again."""
    shutil.rmtree(TREE + "/build/sim-plain-obj", ignore_errors=True)
    subprocess.run(["cp", "-a", "build/sim-plain-obj", TREE + "/build/"], check=True)
    return subprocess.run(["make", "-s", "-C", TREE, "sim-plain", "WARNINGS=",
                           "-o", "build/third_party/bearssl/.complete"],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def one(name, transport, seeds, path, find, instead):
    why = plant(path, find, instead)
    if why:
        return why, ""
    try:
        made = build()
        if made.returncode != 0:
            return "it does not build", made.stdout
        return look(transport, seeds)
    finally:
        os.remove(f"{TREE}/{path}")
        os.symlink(f"{os.getcwd()}/{path}", f"{TREE}/{path}")


def look(transport, seeds):
    """Runs the simulator from each first seed until it fails."""
    counts, said = [], []
    for first in FIRST_SEEDS:
        run = subprocess.run([TREE + "/build/sim-plain", "--transport", *transport.split(),
                              "--seed", str(first), "--seeds", seeds],
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        found = re.search(r"^not ok 1 - seed (\d+): .*", run.stdout, re.MULTILINE)
        if run.returncode == 0 or not found:
            return f"not found in seeds {first} and up, {seeds} of them", run.stdout[-300:]
        counts.append(int(found[1]) - first + 1)
        said.append(found[0][len("not ok 1 - "):])
    counts.sort()
    return None, (f"median {statistics.median(counts)} seeds ({', '.join(map(str, counts))}), "
                  f"{transport}\n{said[0]}")


def main():
    only = sys.argv[1:]
    chosen = [bug for bug in bugs() if not only or bug[0] in only]
    tree_make()
    for number, bug in enumerate(chosen, 1):
        why, said = one(*bug)
        print(f"{'not ok' if why else 'ok'} {number} - planted bug {bug[0]}", flush=True)
        for line in [why or ""] + said.splitlines():
            if line:
                print("#  ", line, flush=True)
    print(f"1..{len(chosen)}")


main()
