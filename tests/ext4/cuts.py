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

DIR = os.path.join(host.ROOT, "build", "ext4-cuts")
CUTS = 1000 if host.LONG else 200
APPENDS = 90
FILES = 5
SECTOR = 512


def program_build():
    path = os.path.join(DIR, "ext4d-logged")
    sources = [os.path.join(host.ROOT, "user", "ext4d", name)
               for name in sorted(os.listdir(os.path.join(host.ROOT, "user", "ext4d")))
               if name.endswith(".c")]
    subprocess.run(["gcc", "-std=gnu11", "-O1", "-D_GNU_SOURCE", "-I", host.ROOT, "-o", path,
                    *sources,
                    os.path.join(host.ROOT, "proto", "p9", "p9_codec.c"),
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


def cut(base, records, point, rng):
    """The drive's bytes if the power goes before record number `point`."""
    image = bytearray(base)
    flushed = max((i for i in range(point) if records[i][0] == b"F"), default=-1)
    for i in range(point):
        kind, offset, data = records[i]
        if kind != b"W":
            continue
        if i > flushed:                          # in the drive's cache: it may be there or not
            for at in range(0, len(data), SECTOR * 8):
                if rng.randrange(2):
                    piece = data[at:at + SECTOR * 8]
                    image[offset + at:offset + at + len(piece)] = piece
        else:
            image[offset:offset + len(data)] = data
    return image


def judge(image, load, answers):
    """What is wrong with an image after e2fsck, or an empty string."""
    code, report = host.fsck(image, True)
    if code > 2:
        return f"e2fsck -fy: status {code}\n{report}"
    code, report = host.fsck(image, False)
    if code:
        return f"not clean after e2fsck -fy\n{report}"
    want = [b""] * FILES
    seen = [b""] * FILES
    for sent, which, number in load.synced:
        seen[which] += record(number)
        if sent <= answers:
            want[which] = seen[which]
    for which in range(FILES):
        if not want[which]:
            continue
        got = subprocess.run(["debugfs", "-R", f"cat /log{which}", image], stdout=subprocess.PIPE,
                             stderr=subprocess.DEVNULL).stdout
        if not got.startswith(want[which]):
            return f"log{which}: {len(want[which])} bytes were promised, {len(got)} are there or " \
                   f"differ"
    return ""


def points_of(records, rng):
    flushes = [i + 1 for i, r in enumerate(records) if r[0] == b"F"]
    rng.shuffle(flushes)
    points = flushes[:CUTS // 2]
    return points + [rng.randrange(1, len(records) + 1) for _ in range(CUTS - len(points))]


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
        rng, problem = random.Random(len(name)), ""
        for point in points_of(records, rng):
            broken = os.path.join(DIR, "cut.img")
            with open(broken, "wb") as file:
                file.write(cut(base, records, point, rng))
            answered = sum(r[0] == b"A" for r in records[:point])
            problem = judge(broken, load, answered)
            if problem:
                problem = f"cut before record {point} of {len(records)}: {problem}"
                break
        tap.result(not problem, f"{name}: {CUTS} power cuts, every append whose fsync was answered "
                   "is there", problem)
    print(f"1..{tap.count}")
    return 1 if tap.failed else 0


if __name__ == "__main__":
    sys.exit(main())
