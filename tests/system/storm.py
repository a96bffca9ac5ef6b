#!/usr/bin/env python3
"""Programs in a storm: each is moved between two nodes after every 5 to 50 ms of its own CPU time
(kernel option storm=SEED, kernel/storm.h), by the ordinary way, and must print what it prints on
the host; the log of the node where it ends says how often it moved, at least MOVES_MIN times.
Three programs in `make test`, all with ISTHMUS_LONG=1. SEED=N repeats; STEPS=TEXT by hand.
Prints TAP.
"""
import os
import random
import re
import shutil
import subprocess
import sys

import debian
from rig import BUILD, LONG, ONLY, Tap, input_file, program

MOVES_MIN = 30
NODES = 2
GENERATIONS, ROWS, TEXT_BYTES = (1200, 30000, 400000) if LONG else (300, 13000, 130000)
# name: (the process that must have moved, as /proc/PID/comm has it; the command). Those of SHORT
# run in `make test`. What they do takes some seconds of a node's CPU. The storm begins where @storm
# stands, or with the command; what stands behind @there stays on node 1.
PROGRAMS = {
    "python3-minimal": ("python3", f"python3 life.py {GENERATIONS}"),
    "sqlite3": ("sqlite3", "sqlite3 db <storm.sql; busybox rm db"),
    "busybox": ("busybox", "busybox awk -f storm.awk text | busybox gzip -9 | busybox md5sum"),
    "bash": ("bash", "bash -c 'for ((i = s = 0; i < 100000; i++)); do ((s += i * i % 7)); done; "
             "echo $s; . ./shell.bash'"),
    "coreutils": ("factor", "@there seq 1000000000000000000 1000000000000018000 | "
                  "(@storm exec factor) | @there sha512sum"),
    "lua5.4": ("lua5.4", "lua5.4 queens.lua in; lua5.4 queens.lua in"),
    "xz-utils": ("xz", "xz -6e -c libc | xz -dc | cksum"),
    "zstd": ("zstd", "zstd -q -19 -T2 -c libc | zstd -dc | cksum"),
    "openssl": ("openssl", "openssl enc -aes-256-cbc -pbkdf2 -iter 200000 -k pass "
                "-S 0102030405060708 -in libc | openssl dgst -sha3-512"),
    "threads-glibc": ("threads-glibc", "./threads-glibc 0 20; echo $?"),
    "threads-musl": ("threads-musl", "./threads-musl 0 20; echo $?"),
    "asleep": ("asleep", "./asleep 1600000000"),
}
SHORT = ("python3-minimal", "sqlite3", "busybox")
PACKAGES = debian.PACKAGES if LONG else ("libc-bin", "bash", "python3-minimal", "sqlite3")
MOVES_MAX = 80 if LONG else 36       # of each process: on a loaded machine it would be thousands


def seed_given():
    """The storm's seed: SEED, or a new one, which is printed."""
    seed = int(os.environ.get("SEED", "0")) or random.randrange(1, 1 << 32)
    print(f"# SEED={seed}", flush=True)
    return seed


def selection():
    """The programs of this run: [(package, process, command)]."""
    rows = [(package, *row) for package, row in PROGRAMS.items()]
    rows = rows if LONG else [row for row in rows if row[0] in SHORT]
    return [row for row in rows if not ONLY or any(text in row[0] for text in ONLY)]


def moves_found(logs):
    """How often each process moved: [(name, moves)]."""
    found = []
    for node in range(NODES):
        with open(os.path.join(logs, f"node{node}.log"), "rb") as file:
            text = file.read().decode(errors="replace")
        found += re.findall(r"storm: process \d+ \((.*?)\) moved (\d+) times", text)
    return [(name, int(moves)) for name, moves in found]


def on_host(command):
    return command.replace("@there ", "").replace("@storm ", "")


def on_nodes(command):
    begin = "echo storm >/proc/self/node; "
    text = command if "@storm " in command else "@storm " + command
    return text.replace("@storm ", begin).replace("@there ", "on 1 ")


def script(rows, where):
    return debian.script([where(command) for _, _, command in rows])


def inputs():
    """The files of debian.py, a smaller table for sqlite3, and programs of our own."""
    files = debian.inputs_make()
    with open(files["table.sql"], encoding="ascii") as file:
        text = file.read().replace(str(debian.ROWS), str(ROWS))
    files["storm.sql"] = os.path.join(BUILD, "storm.sql")
    with open(files["storm.sql"], "w", encoding="ascii") as file:
        file.write(text)
    files["text"] = input_file(TEXT_BYTES)
    for kind in ("glibc", "musl") if LONG else ():
        files[f"threads-{kind}"] = program("threads", kind)
    if LONG:
        files["asleep"] = program("asleep", "glibc")
    return files


def main():
    tap = Tap()
    seed = seed_given()
    host = debian.Host(PACKAGES)
    files = inputs()
    for name, path in files.items():
        shutil.copy(path, f"{debian.WORK}/{name}")
    rows = selection()
    wanted = debian.outputs(host.run(script(rows, on_host), debian.WORK))
    path = os.path.join(BUILD, "storm.sh")
    with open(path, "w", encoding="utf-8") as file:
        file.write(script(rows, on_nodes))
    logs = os.path.join(BUILD, "logs-storm")
    words = debian.node_words(files, path, "--nodes", str(NODES), "--logs", logs, "--accel", "tcg",
                              "--append", f"storm={seed} storm.moves={MOVES_MAX} place=off",
                              packages=PACKAGES)
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    tap.result(done.returncode == 0, "the storm ran to its end",
               done.stderr.decode(errors="replace"))
    got = debian.outputs(done.stdout.decode(errors="replace"))
    moves = moves_found(logs)
    for i, (package, process, command) in enumerate(rows):
        tap.equal(got.get(i), wanted.get(i, "no output on the host"), f"{package}: {command[:70]}")
        most = max((n for name, n in moves if name == process), default=0)
        print(f"# {process}: {most} moves", flush=True)
        tap.result(most >= MOVES_MIN, f"{package}: {process} moved at least {MOVES_MIN} times",
                   f"{most} moves")
    tap.end()


if __name__ == "__main__":
    sys.exit(main())
