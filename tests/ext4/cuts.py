#!/usr/bin/env python3
"""Power cuts: ext4d's writes and flushes are logged while it appends to files with an fsync
after each append, among other changes; then the drive is made anew as it was when the power
went, after each flush and at random points between, with any part of what was not yet
flushed. After `e2fsck -fy` every append whose fsync was answered must be there. Prints TAP."""
import os
import random
import shutil
import struct
import subprocess
import sys

import host
import powerlog

DIR = os.path.join(host.ROOT, "build", "ext4-cuts")
CUTS = 1000 if host.LONG else 200
APPENDS = 90
FILES = 5


def program_build():
    path = os.path.join(DIR, "ext4d-logged")
    sources = [os.path.join(host.ROOT, "user", "ext4d", name)
               for name in sorted(os.listdir(os.path.join(host.ROOT, "user", "ext4d")))
               if name.endswith(".c")]
    subprocess.run(["gcc", "-std=gnu11", "-O1", "-D_GNU_SOURCE", "-I", host.ROOT, "-o", path,
                    *sources,
                    os.path.join(host.ROOT, "proto", "p9", "p9_codec.c"),
                    os.path.join(host.ROOT, "user", "lib", "panic.c"),
                    os.path.join(host.ROOT, "tests", "ext4", "drivelog.c"),
                    "-Wl,--wrap=pwrite,--wrap=fsync,--wrap=write", "-lext2fs", "-lcom_err"],
                   check=True)
    return path


def record(number):
    """What append `number` adds to its file."""
    return random.Random(number).randbytes(100 + number * 377 % 9000)


class Load(host.Messages):
    """The messages, and which of them are answers to count on."""

    def __init__(self):
        super().__init__()
        self.sent = 2                            # version and attach
        self.synced = []                         # (answers until then, file, bytes promised)

    def add(self, kind, body):
        super().add(kind, body)
        self.sent = getattr(self, "sent", 0) + 1

    def appends(self):
        rng = random.Random(77)
        sub = self.walk("sub")
        fids = [self.create(host.ROOT_FID, f"log{i}") for i in range(FILES)]
        sizes, noise = [0] * FILES, 0
        for number in range(APPENDS):
            which = rng.randrange(FILES)
            self.write(fids[which], sizes[which], record(number))
            sizes[which] += len(record(number))
            for _ in range(rng.randrange(4)):    # what nobody has promised anything about
                noise += 1
                fid = self.create(rng.choice([host.ROOT_FID, sub]), f"noise{noise}")
                self.write(fid, 0, rng.randbytes(rng.randrange(1, 20000)))
                self.clunk(fid)
                if noise > 6 and rng.randrange(2):
                    self.unlink(rng.choice([host.ROOT_FID, sub]), f"noise{rng.randrange(noise)}")
                if rng.randrange(4) == 0:
                    self.rename(host.ROOT_FID, f"noise{noise}", sub, f"moved{noise}")
            self.sync(fids[which])
            self.synced.append((self.sent, which, number))


def log_read(path):
    with open(path, "rb") as file:
        data = file.read()
    records, at = [], 0
    while at < len(data):
        kind = data[at:at + 1]
        at += 1
        if kind == b"W":
            offset, length = struct.unpack_from("<QI", data, at)
            records.append((kind, offset, data[at + 12:at + 12 + length]))
            at += 12 + length
        else:
            records.append((kind, 0, b""))
    return records


def judge(image, load, answers):
    """What is wrong with a repaired image, or an empty string."""
    want = [b""] * FILES
    seen = [b""] * FILES
    for sent, which, number in load.synced:
        seen[which] += record(number)
        if sent <= answers:
            want[which] = seen[which]
    for which in range(FILES):
        if not want[which]:
            continue
        got = powerlog.file_read(image, f"log{which}")
        if not got.startswith(want[which]):
            return f"log{which}: {len(want[which])} bytes were promised, {len(got)} are there or " \
                   f"differ"
    return ""


def main():
    tap = host.Tap()
    shutil.rmtree(DIR, ignore_errors=True)
    os.makedirs(DIR)
    program = program_build()
    host.DIR = os.path.join(DIR, "host")
    tree = host.tree_make()
    for name, options in (("4k", ("-b", "4096")), ("1k", ("-b", "1024"))):
        image = host.image_make(tree, f"{name}.img", (*options, "-N", "2048"))
        with open(image, "rb") as file:
            base = file.read()
        load = Load()
        load.appends()
        messages, log = os.path.join(DIR, "messages"), os.path.join(DIR, "log")
        with open(messages, "wb") as file:
            file.write(load.bytes)
        done = subprocess.run([program, image, "-i", messages], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, env=dict(os.environ, DRIVE_LOG=log))
        records = log_read(log)
        answers = sum(r[0] == b"A" for r in records)
        tap.result(done.returncode == 0 and answers == load.sent,
                   f"{name}: {APPENDS} appends, each fsynced, among other changes",
                   f"exit {done.returncode}, {answers} of {load.sent} answers\n"
                   + done.stdout.decode())
        rng = random.Random(len(name))
        problem = powerlog.first_problem(
            base, records, powerlog.points_of(records, CUTS, rng), rng,
            lambda point, broken: judge(broken, load, sum(r[0] == b"A" for r in records[:point])))
        tap.result(not problem, f"{name}: {CUTS} power cuts, every append whose fsync was answered "
                   "is there", problem)
    print(f"1..{tap.count}")
    return 1 if tap.failed else 0


if __name__ == "__main__":
    sys.exit(main())
