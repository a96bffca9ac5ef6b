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
from rig import BUILD, LONG, ONLY, Tap

MOVES_MIN = 30
NODES = 2
# name: (the process that must have moved, as /proc/PID/comm has it; the command). Those of the
# first three run in `make test`. What they do takes a second or two of a node's CPU.
PROGRAMS = {
    "python3-minimal": ("python3", "python3 life.py 1200"),
    "sqlite3": ("sqlite3", "rm -f db; sqlite3 db <storm.sql; rm db"),
    "busybox": ("busybox", "busybox awk -f storm.awk in | busybox gzip -9 | busybox md5sum"),
    "bash": ("bash", "bash -c 'for ((i = s = 0; i < 100000; i++)); do ((s += i * i % 7)); done; "
             "echo $s; . ./shell.bash'"),
    "coreutils": ("factor", "seq 1000000000000000000 1000000000000018000 | factor | sha512sum"),
    "lua5.4": ("lua5.4", "lua5.4 queens.lua in; lua5.4 queens.lua in"),
    "xz-utils": ("xz", "xz -9e -c libc | xz -dc | cksum"),
    "zstd": ("zstd", "zstd -q -19 -T2 -c libc | zstd -dc | cksum"),
    "openssl": ("openssl", "openssl enc -aes-256-cbc -pbkdf2 -iter 200000 -k pass "
                "-S 0102030405060708 -in libc | openssl dgst -sha3-512"),
}
SHORT = 3
MOVES_MAX = 150 if LONG else 40      # of each process: on a loaded machine it would be thousands
# A mapping shared with others keeps a process where it is; the C library makes one (of
# gconv-modules.cache) for every locale but this.
ENVIRONMENT = {**debian.ENVIRONMENT, "LC_ALL": "C"}
PACKAGES = tuple(package for package in debian.PACKAGES if package != "libc-bin")


def seed_given():
    """The storm's seed: SEED, or a new one, which is printed."""
    seed = int(os.environ.get("SEED", "0")) or random.randrange(1, 1 << 32)
    print(f"# SEED={seed}", flush=True)
    return seed


def selection():
    """The programs of this run: [(package, process, command)]."""
    rows = [(package, *row) for package, row in PROGRAMS.items()]
    rows = rows if LONG else rows[:SHORT]
    return [row for row in rows if not ONLY or any(text in row[0] for text in ONLY)]


def moves_found(logs):
    """How often each process moved: [(name, moves)]."""
    found = []
    for node in range(NODES):
        with open(os.path.join(logs, f"node{node}.log"), "rb") as file:
            text = file.read().decode(errors="replace")
        found += re.findall(r"storm: process \d+ \((.*?)\) moved (\d+) times", text)
    return [(name, int(moves)) for name, moves in found]


def inputs(host):
    """The files of debian.py, and a smaller table for sqlite3."""
    files = debian.inputs_make(host)
    with open(files["table.sql"], encoding="ascii") as file:
        text = file.read().replace(str(debian.ROWS), "30000")
    files["storm.sql"] = os.path.join(BUILD, "storm.sql")
    with open(files["storm.sql"], "w", encoding="ascii") as file:
        file.write(text)
    return files


def main():
    tap = Tap()
    seed = seed_given()
    host = debian.Host()
    files = inputs(host)
    for name, path in files.items():
        shutil.copy(path, f"{debian.WORK}/{name}")
    rows = selection()
    wanted = debian.outputs(host.run(debian.script([row[2] for row in rows]), debian.WORK,
                                     ENVIRONMENT))
    path = os.path.join(BUILD, "storm.sh")
    with open(path, "w", encoding="utf-8") as file:
        file.write(debian.script(["echo storm >/proc/self/node; " + row[2] for row in rows]))
    logs = os.path.join(BUILD, "logs-storm")
    words = debian.node_words(files, path, "--nodes", str(NODES), "--logs", logs, "--accel", "tcg",
                              "--append", f"storm={seed} storm.moves={MOVES_MAX} place=off",
                              packages=PACKAGES, environment=ENVIRONMENT)
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
