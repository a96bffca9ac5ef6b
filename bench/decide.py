"""Instructions of one decision of placement: a batch of uses told to the rule, and its answer
(bench/decide.c, the kernel's own sources built for the host, counted by callgrind)."""
import os
import re
import subprocess

import rig

BUILD = os.path.join(rig.ROOT, os.environ.get("BUILD", "build"), "bench")
PROGRAM = os.path.join(BUILD, "decide")
SOURCES = ["bench/decide.c", "sched/account.c", "sched/place.c", "sched/place_exec.c"]
DECISIONS = 10000
CASES = [(processes, nodes) for processes in (1, 1000) for nodes in (1, 2, 4, 16)]


def instructions(processes, nodes):
    """Of `decide` and what it calls, a decision, on average."""
    out = os.path.join(BUILD, "decide.callgrind")
    done = subprocess.run(
        ["valgrind", "--tool=callgrind", "--toggle-collect=decide", f"--callgrind-out-file={out}",
         PROGRAM, str(processes), str(nodes), str(DECISIONS)],
        check=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8")
    found = re.search(r"Collected : (\d+)", done.stderr)
    if not found:
        raise rig.BenchError("callgrind counted nothing:\n" + done.stderr)
    return int(found.group(1)) / DECISIONS, int(done.stdout)


def measure():
    """{(processes, nodes): {instructions, moves}}"""
    os.makedirs(BUILD, exist_ok=True)
    subprocess.run(["gcc", "-std=gnu11", "-O2", "-I.", "-o", PROGRAM, *SOURCES], check=True,
                   cwd=rig.ROOT)
    result = {}
    for case in CASES:
        count, moves = instructions(*case)
        result[case] = {"instructions": round(count), "moves": moves}
    return result
