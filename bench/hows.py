"""When the pages of a process follow it: post-copy, stop-and-copy and pre-copy compared, for a
process that goes on writing a part of its memory while it is moved from outside. Counted, as by
freeze.py: the freeze from the last user instruction at the source to the first at the target."""
import os
import re
import statistics
import subprocess

import freeze
import rig

SIZES = (16, 64)
HOT_PAGES = 256                      # 1 MiB that is written all the time
HOWS = ("post", "stop", "pre")
PROGRAM = os.path.join(freeze.BUILD, "test-programs/writer")
KEYS = ("freeze_trips_last", "freeze_bytes_last", "pages_on_fault", "pages_drained",
        "tables_fetched", "precopy_reused")


def build():
    freeze.build()
    subprocess.run(["musl-gcc", "-static", "-std=gnu11", "-O1", "-D_GNU_SOURCE", "-o", PROGRAM,
                    os.path.join(rig.ROOT, "tests/system/prog/writer.c")], check=True)


def script(cases):
    """One writer a case: moved once it is ready; figures of node 1 before and after, when all of
    its pages are there and all that went ahead is dropped."""
    return r"""
figures() { sed -n 's/^\([a-z_]*\): \([0-9]*\)$/\1 \2/p' /nodes/1/status | grep -e ^freeze_ \
-e ^pages_ -e ^tables_ -e ^precopy_; }
still() { last=; until now=$(figures) && [ "$now" = "$last" ]; do last=$now; sleep 1.2; done; }
one() { rm -f /tmp/said; writer $1 """ + str(HOT_PAGES) + r""" >/tmp/said & p=$!
until [ -s /tmp/said ]; do sleep 0.1; done; echo "@ $2 $1"; figures
migrate --how=$2 $p 1 || return 1
still; echo =; figures; kill -TERM $p; wait $p; grep -q whole /tmp/said; }
""" + "\n".join(f"one {size} {how} || exit 1" for how, size in cases)


def figures(text):
    return {key: int(re.search(rf"^{key} (\d+)", text, re.M).group(1)) for key in KEYS}


def instructions(source, target):
    """Kernel instructions of source and target for each first instruction at the target."""
    found = []
    for first in (row for row in target if row[0] == freeze.FIRST_USER):
        frozen = [row for row in source if row[0] == freeze.FROZEN and row[1] < first[1]]
        if not frozen:
            continue
        begin = next(row for row in target
                     if row[0] == freeze.IRQ and row[1] > frozen[-1][1])
        bells = [row for row in source
                 if row[0] == freeze.DOORBELL and frozen[-1][1] < row[1] < first[1]]
        found.append((bells[-1][2] - frozen[-1][3], first[2] - begin[2]))
    return found


def measure(rounds=3):
    """{(how, MiB): {name: [one figure a move]}}"""
    build()
    logs = os.path.join(freeze.BUILD, "bench/hows")
    os.makedirs(logs, exist_ok=True)
    cases = [(how, size) for _ in range(rounds) for size in SIZES for how in HOWS]
    text, _ = rig.run(script(cases), nodes=2, smp=1, mem="512M", add=[PROGRAM], timeout=900,
                      logs=logs, append=["place=off"],
                      plugin=f"{freeze.PLUGIN},out={logs}/marks{{node}}")
    parts = text.split("@ ")[1:]
    counts = instructions(freeze.marks_read(f"{logs}/marks0"), freeze.marks_read(f"{logs}/marks1"))
    if len(parts) != len(cases) or len(counts) != len(cases):
        raise rig.BenchError(f"{len(cases)} moves, {len(parts)} told, {len(counts)} counted: "
                             + text[-500:])
    result = {case: {} for case in cases}
    for case, part, (source, target) in zip(cases, parts, counts):
        before, after = (figures(half) for half in part.split("=\n"))
        gone = {key: after[key] - before[key] for key in KEYS}
        row = {"reads": after["freeze_trips_last"], "bytes": after["freeze_bytes_last"],
               "source": source, "target": target, "faults": gone["pages_on_fault"],
               "pages": gone["pages_on_fault"] + gone["pages_drained"],
               "reused": gone["precopy_reused"]}
        for name, value in row.items():
            result[case].setdefault(name, []).append(value)
    return result


def medians(result):
    return {case: {name: statistics.median_low(values) for name, values in row.items()}
            for case, row in result.items()}
