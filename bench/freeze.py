"""The freeze of a move, counted: from the last user instruction at the source to the first at
the target, for processes that have touched 1 and 256 MiB. Two ordinary virtual machines with
a plugin that counts kernel instructions between marks (bench/count_plugin.c)."""
import os
import re
import statistics
import subprocess

import rig

SIZES = (1, 256)
FROZEN, DOORBELL, IRQ, RESUMED, FIRST_USER = range(1, 6)
BUILD = os.path.join(rig.ROOT, os.environ.get("BUILD", "build"))
PLUGIN = os.path.join(BUILD, "bench/count_plugin.so")
PROGRAM = os.path.join(BUILD, "test-programs/freezer")


def build():
    for path in (PLUGIN, PROGRAM):
        os.makedirs(os.path.dirname(path), exist_ok=True)
    subprocess.run(["gcc", "-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC",
                    "-o", PLUGIN, os.path.join(rig.ROOT, "bench/count_plugin.c")], check=True)
    subprocess.run(["musl-gcc", "-static", "-O1", "-o", PROGRAM,
                    os.path.join(rig.ROOT, "tests/system/prog/freezer.c")], check=True)


def marks_read(path):
    """The marks of one node: (point, host ns, kernel instructions, those at user code)."""
    with open(path, encoding="ascii") as file:
        rows = [tuple(map(int, line.split())) for line in file]
    return [row for row in rows if len(row) == 4]


def instructions(source, target):
    """For each move in order: kernel instructions of source and target during the freeze.
    The source's part ends with its last answer before the target runs the process."""
    found = []
    for point, frozen_ns, _, at_user in source:
        if point != FROZEN:
            continue
        end = next((row for row in target if row[0] == FIRST_USER and row[1] > frozen_ns), None)
        begin = next((row for row in target if row[0] == IRQ and row[1] > frozen_ns), None)
        bells = [row for row in source if row[0] == DOORBELL and row[1] > frozen_ns]
        if end is None or begin is None or not bells:
            raise rig.BenchError("a move without its marks")
        last = [row for row in bells if row[1] < end[1]][-1]
        found.append((last[2] - at_user, end[2] - begin[2]))
    return found


def measure(moves=5, nic="e1000"):
    """`moves` moves of each size, alternating. {MiB: {name: [one figure a move]}}"""
    build()
    logs = os.path.join(BUILD, "bench/freeze")
    os.makedirs(logs, exist_ok=True)
    sizes = [size for _ in range(moves) for size in SIZES]
    command = "for s in " + " ".join(map(str, sizes)) + """; do freezer $s 1 || exit 1
        echo "@ $s"; sed -n '/^freeze_[tb]/p' /nodes/1/status; done"""
    text, _ = rig.run(command.replace("\n", "; "), nodes=2, smp=1, mem="640M", add=[PROGRAM],
                      timeout=600, logs=logs, nic=nic, append=["place=off"],
                      plugin=f"{PLUGIN},out={logs}/marks{{node}}")
    parts = text.split("@ ")[1:]
    counts = instructions(marks_read(f"{logs}/marks0"), marks_read(f"{logs}/marks1"))
    if len(parts) != len(sizes) or len(counts) != len(sizes):
        raise rig.BenchError(f"{len(sizes)} moves, {len(parts)} told, {len(counts)} counted: "
                             + text[-500:])
    result = {size: {"trips": [], "bytes": [], "source": [], "target": []} for size in SIZES}
    for size, part, (source, target) in zip(sizes, parts, counts):
        row = result[size]
        row["trips"].append(int(re.search(r"freeze_trips_last: (\d+)", part).group(1)))
        row["bytes"].append(int(re.search(r"freeze_bytes_last: (\d+)", part).group(1)))
        row["source"].append(source)
        row["target"].append(target)
    return result


def figures(result):
    """One figure of each kind for each size: the medians of round trips and bytes, and the
    instructions of the move that took the fewest, for ticks, probes and what the drain of the
    move before has left only add to them."""
    found = {}
    for size, row in result.items():
        source, target = min(zip(row["source"], row["target"]), key=sum)
        found[size] = {"trips": statistics.median_low(row["trips"]),
                       "bytes": statistics.median_low(row["bytes"]),
                       "source": source, "target": target}
    return found
