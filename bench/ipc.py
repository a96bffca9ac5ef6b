"""Instructions of the basic operations: null call, time by the vDSO and by call, pipe and 9P round
trip, switch, fork, exec, page fault, by one static program (ipc.c) on Isthmus and on Linux: one
machine, one CPU, under icount, where a tick of the TSC is an instruction. Cases and aims:
docs/reference/bench.md."""
import os
import subprocess

import rig

from linux_peer import LinuxPeer  # noqa: E402

PROGRAM = os.path.join(rig.ROOT, "build/test-programs/ipc")
CPU = "max,-rdrand,-rdseed,-erms,-fsrm"
ICOUNT = "shift=0,sleep=off"
# name: how many rounds, aim (None: half of Linux's)
NULL_AIM = 74
TIME_AIM, TIMECALL_AIM = 100, 840    # Linux's are less
CASES = {"null": (1000, NULL_AIM), "time": (1000, TIME_AIM), "timecall": (1000, TIMECALL_AIM),
         "pipe": (1000, None), "9p": (1000, 1000), "switch": (1000, None), "fork": (100, None),
         "exec": (100, None), "fault": (1000, None)}
# What each may cost in the tests: what was reached, and 7 to 10 per cent (null and 9p: their aims).
# All but those of time are below half of Linux's.
MOST = {"null": NULL_AIM, "time": TIME_AIM, "timecall": TIMECALL_AIM, "pipe": 4950, "9p": 1000,
        "switch": 650, "fork": 53000, "exec": 138000, "fault": 1310}
TIMES = ("time", "timecall")         # measured beside Linux's, held to their own figures
COLUMNS = ("n", "min", "median", "p99")


def build():
    os.makedirs(os.path.dirname(PROGRAM), exist_ok=True)
    subprocess.run(["musl-gcc", "-static", "-O2", "-Wall", "-Wextra", "-Werror", "-I",
                    rig.ROOT, "-o", PROGRAM, os.path.join(rig.ROOT, "bench/ipc.c")], check=True)


def rows(text):
    """{case: {"n": ..., "median": ...}} of what the program printed."""
    found = {}
    for line in text.splitlines():
        words = line.split()
        if words and words[0] in CASES:
            found[words[0]] = dict(zip(COLUMNS, map(int, words[1:])))
    if set(found) != set(CASES):
        raise rig.BenchError(f"ipc: figures are missing:\n{text}")
    return found


def command(path):
    return "; ".join(f"{path} {name} {count} || exit 1" for name, (count, _) in CASES.items())


def ours(timeout=300):
    build()
    text, _ = rig.run(command("/usr/bin/ipc"), nodes=1, timeout=timeout, icount=ICOUNT, cpu=CPU,
                      add=[f"{PROGRAM}:/usr/bin/ipc"],
                      logs=os.path.join(rig.ROOT, "build/bench/ipc"))
    return rows(text)


def linux(timeout=600):
    logs = os.path.join(rig.ROOT, "build/bench/ipc")
    os.makedirs(logs, exist_ok=True)
    with LinuxPeer(None, logs=logs, cpu=CPU, icount=ICOUNT,
                   files=[(PROGRAM, "usr/bin/ipc")]) as peer:
        status, output = peer.run("mkdir -p /mnt; " + command("/usr/bin/ipc"), timeout)
    text = output.decode(errors="replace")
    if status:
        raise rig.BenchError(f"ipc on Linux ended with {status}:\n{text}")
    return rows(text)


def measure():
    """{case: {"isthmus": figures, "linux": figures, "aim": instructions}}"""
    mine, other = ours(), linux()
    return {name: {"isthmus": mine[name], "linux": other[name],
                   "aim": aim or other[name]["median"] // 2}
            for name, (_, aim) in CASES.items()}
