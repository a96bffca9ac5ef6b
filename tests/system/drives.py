#!/usr/bin/env python3
"""Drives of two nodes, each read and written from both by one name: images made here, what
the nodes read and wrote compared with the same done here. NVMe and virtio, GPT, odd sizes
and offsets, claims, a drive that returns errors. Prints TAP. One boot of two nodes.
"""
import hashlib
import os
import random
import struct
import subprocess
import sys
import zlib

from rig import Tap

BUILD = "build/system/drives"
TIMEOUT_S = 600                      # a hang detector
SECTOR = 512
PREADS = 64
WRITES = 40
BAD_READ, BAD_WRITE = 800, 1200      # sectors of the drive with errors
SEPARATOR = "---isthmus-drives-"
BLKDEBUG = f"""[inject-error]
event = "none"
iotype = "read"
errno = "5"
once = "off"
sector = "{BAD_READ}"

[inject-error]
event = "none"
iotype = "write"
errno = "5"
once = "off"
sector = "{BAD_WRITE}"
"""


def gpt_header(at, other, entries_at, blocks, entries):
    def packed(crc):
        return struct.pack("<8sIIIIQQQQ16sQIII", b"EFI PART", 0x10000, 92, crc, 0, at, other, 34,
                           blocks - 34, b"isthmus-gpt-test", entries_at, 128, 128,
                           zlib.crc32(entries))
    return packed(zlib.crc32(packed(0))).ljust(SECTOR, b"\0")


def gpt_write(image, partitions):
    """Puts both tables into the bytes of an image; partitions: (first, last, name)."""
    blocks = len(image) // SECTOR
    entries = b"".join(struct.pack("<16s16sQQQ72s", b"type-of-isthmus!", bytes([i] * 16), first,
                                   last, 0, name.encode("utf-16-le"))
                       for i, (first, last, name) in enumerate(partitions)).ljust(16384, b"\0")
    first = gpt_header(1, blocks - 1, 2, blocks, entries) + entries
    image[SECTOR:SECTOR + len(first)] = first
    last = entries + gpt_header(blocks - 1, 1, blocks - 33, blocks, entries)
    image[(blocks - 33) * SECTOR:blocks * SECTOR] = last


class Random:
    """The generator of prog/drive.c."""

    def __init__(self):
        self.state = 7

    def next(self):
        self.state = (self.state * 6364136223846793005 + 1442695040888963407) % (1 << 64)
        return self.state >> 33


def moves(image, count, writes):
    """What `drive preads` or `drive writes` prints; writes change the image."""
    rng, value = Random(), 0xcbf29ce484222325
    for i in range(count):
        at = rng.next() % len(image)
        length = min(rng.next() % (600 if i % 8 else 70000), len(image) - at)
        if writes:
            image[at:at + length] = bytes(rng.next() & 255 for _ in range(length))
        for byte in image[at:at + length]:
            value = ((value ^ byte) * 0x100000001b3) % (1 << 64)
    return f"{'writes' if writes else 'preads'} {value:016x}"


def images_make():
    """Name -> bytes; the order of QEMU's command line is the order of the drives' names."""
    rng = random.Random(20)
    images = {"n0nvme": bytearray(rng.randbytes(3 * 1024 * 1024 + 3 * SECTOR)),
              "n0virtio": bytearray(rng.randbytes(1024 * 1024 + SECTOR)),
              "n1virtio": bytearray(rng.randbytes(2 * 1024 * 1024)),
              "n1nvme": bytearray(rng.randbytes(1024 * 1024))}
    gpt_write(images["n0nvme"], [(40, 2047, "odd start"), (2049, 6000, "another")])
    gpt_write(images["n1virtio"], [(64, 999, "by the second table")])
    images["n1virtio"][SECTOR + 60] ^= 1         # the first header is damaged
    os.makedirs(BUILD, exist_ok=True)
    for name, image in images.items():
        with open(f"{BUILD}/{name}.img", "wb") as file:
            file.write(image)
    with open(f"{BUILD}/blkdebug.conf", "w") as file:
        file.write(BLKDEBUG)
    return images


def sha(data):
    return hashlib.sha256(bytes(data)).hexdigest()


class Script:
    """Commands for node 0 and what is to be said of their outputs."""

    def __init__(self):
        self.commands, self.checks = [], []

    def add(self, name, command, want):
        """want: the exact output, or a function of it that says whether it is good."""
        self.commands.append(command)
        self.checks.append((name, want))

    def text(self):
        return "".join(f"echo {SEPARATOR}{i}\n( {c}\n) 2>&1\n"
                       for i, c in enumerate(self.commands))

    def judge(self, tap, output):
        parts = {}
        for part in output.split(SEPARATOR)[1:]:
            number, _, text = part.partition("\n")
            parts[int(number)] = text.strip()
        for i, (name, want) in enumerate(self.checks):
            got = parts.get(i)
            if callable(want):
                tap.result(got is not None and want(got), name, f"got {got!r}")
            else:
                tap.equal(got, want, name)


def sector_read(node, path, sector):
    on = "" if node == 0 else f"on {node} "
    return f"{on}dd if={path} bs=512 skip={sector} count=1 2>/dev/null | sha256sum | cut -c1-64"


def script_reads(script, images):
    files = {"/nodes/0/dev/nvme0n1": images["n0nvme"], "/nodes/0/dev/vda": images["n0virtio"],
             "/nodes/1/dev/vda": images["n1virtio"],
             "/nodes/0/dev/nvme0n1p1": images["n0nvme"][40 * SECTOR:2048 * SECTOR],
             "/nodes/0/dev/nvme0n1p2": images["n0nvme"][2049 * SECTOR:6001 * SECTOR],
             "/nodes/1/dev/vda1": images["n1virtio"][64 * SECTOR:1000 * SECTOR]}
    for node, on in ((0, ""), (1, "on 1 ")):
        script.add(f"from node {node}: the drives' names",
                   f"{on}ls /nodes/0/dev /nodes/1/dev | tr '\\n' ' '",
                   "/nodes/0/dev: console eth0 eth0.status nvme0n1 nvme0n1p1 nvme0n1p2 vda  "
                   "/nodes/1/dev: console eth0 eth0.status nvme0n1 vda vda1")
        names = " ".join(files)
        script.add(f"from node {node}: six drives and partitions read whole",
                   f"{on}sha256sum {names} | cut -c1-64 | tr '\\n' ' '",
                   " ".join(sha(data) for data in files.values()))
        for path in ("/nodes/0/dev/nvme0n1", "/nodes/1/dev/vda"):
            script.add(f"from node {node}: {PREADS} preads of {path} at any offset",
                       f"{on}drive preads {path} {PREADS}", moves(files[path], PREADS, False))
        script.add(f"from node {node}: pieces of 777 bytes by dd",
                   f"{on}dd if=/nodes/1/dev/vda bs=777 skip=5 count=900 2>/dev/null | sha256sum"
                   " | cut -c1-64", sha(images["n1virtio"][5 * 777:905 * 777]))
        script.add(f"from node {node}: sizes", f"{on}drive size /nodes/0/dev/nvme0n1p2",
                   f"size {3952 * SECTOR} {3952 * SECTOR} 512")
        busy = "Device or resource busy"
        for owner in (0, 1):
            drive = ("/nodes/0/dev/nvme0n1", "/nodes/1/dev/vda")[owner]
            part = ("/nodes/0/dev/nvme0n1p1", "/nodes/1/dev/vda1")[owner]
            script.add(f"from node {node}: a second claim of {drive} is refused",
                       f"{on}drive claim {drive} {part}",
                       lambda got: got in (f"claim {busy}, {busy}, read, open, open",
                                           "claim Resource busy, Resource busy, read, open, "
                                           "open"))


def script_writes(script, images):
    for node, on, name, path in ((0, "", "n0virtio", "/nodes/0/dev/vda"),
                                 (0, "", "n1virtio", "/nodes/1/dev/vda"),
                                 (1, "on 1 ", "n0nvme", "/nodes/0/dev/nvme0n1")):
        want = moves(images[name], WRITES, True)
        script.add(f"from node {node}: {WRITES} pwrites to {path} at any offset, then fsync",
                   f"{on}drive writes {path} {WRITES}", want)
        other = "on 1 " if node == 0 else ""
        script.add(f"the other node reads them back from {path}",
                   f"{other}sha256sum {path} | cut -c1-64", sha(images[name]))
    images["n1virtio"][7 * 3000:57 * 3000] = images["n0nvme"][3000:51 * 3000]
    script.add("dd from node 0's drive to node 1's, neither aligned",
               "dd if=/nodes/0/dev/nvme0n1 of=/nodes/1/dev/vda bs=3000 skip=1 seek=7 count=50 "
               "conv=notrunc,fsync 2>/dev/null; echo $?", "0")
    end = len(images["n0virtio"]) // SECTOR
    images["n0virtio"][-SECTOR:] = b"\0" * SECTOR
    script.add("a write goes up to the last block and not beyond",
               f"on 1 dd if=/dev/zero of=/nodes/0/dev/vda bs=512 seek={end - 1} count=2 "
               "conv=notrunc,fsync 2>&1 | grep -c 'No space left'; "
               # The failed dd left out its fsync.
               "dd if=/dev/zero of=/nodes/0/dev/vda count=0 conv=notrunc,fsync 2>/dev/null", "1")
    script.add("behind the end there is nothing to read",
               f"dd if=/nodes/0/dev/vda bs=512 skip={end} count=1 2>/dev/null | wc -c", "0")


def script_errors(script, images):
    path, bad = "/nodes/1/dev/nvme0n1", images["n1nvme"]
    for node in (0, 1):
        script.add(f"from node {node}: a block that cannot be read is EIO",
                   sector_read(node, path, BAD_READ) + f"; dd if={path} bs=512 skip={BAD_READ} "
                   "count=1 2>&1 | grep -c 'Input/output error\\|I/O error'",
                   lambda got: got.splitlines()[-1] == "1")
        for sector in (BAD_READ - 1, BAD_READ + 8):
            script.add(f"from node {node}: block {sector} beside it can be read",
                       sector_read(node, path, sector),
                       lambda got, s=sector: got.endswith(
                           sha(bad[s * SECTOR:(s + 1) * SECTOR])))
    script.add("a block that cannot be written is an error of fsync",
               f"dd if=/dev/zero of={path} bs=4096 seek={BAD_WRITE // 8} count=1 "
               "conv=notrunc,fsync >/dev/null 2>&1; echo $?", lambda got: got != "0")
    for node in (0, 1):
        script.add(f"from node {node}: who claims the drive gets the error, whoever asked before",
                   f"{'' if node == 0 else 'on 1 '}drive errors {path} {BAD_WRITE}", "errors 5 5 0")
    script.add("after it others can be written",
               f"dd if=/dev/zero of={path} bs=4096 seek={BAD_WRITE // 8 + 1} count=1 "
               "conv=notrunc,fsync >/dev/null 2>&1; echo $?", "0")
    bad[(BAD_WRITE + 8) * SECTOR:(BAD_WRITE + 16) * SECTOR] = b"\0" * 4096
    script.add("the other drives go on", "sha256sum /nodes/1/dev/vda | cut -c1-64",
               sha(images["n1virtio"]))
    for node in (0, 1):
        path = ("/nodes/0/dev/nvme0n1", "/nodes/1/dev/vda")[node]
        name = ("n0nvme", "n1virtio")[node]
        other = 1 - node
        script.add(f"{path}'s pages in its node's cache are read one-sided",
                   f"{'' if other == 0 else 'on 1 '}drive preads {path} {PREADS}; "
                   f"grep drive_remote_hits /nodes/{other}/status",
                   lambda got, n=name: got.splitlines()[0] == moves(images[n], PREADS, False)
                   and int(got.split()[-1]) >= PREADS // 2)
    script.add("the errors are counted", "grep drive_errors /nodes/1/status",
               lambda got: int(got.split()[-1]) > 0)


def main():
    subprocess.run(["make", "iso"], check=True, stdout=subprocess.DEVNULL)
    images = images_make()
    subprocess.run(["musl-gcc", "-static", "-std=gnu11", "-O1", "-o", f"{BUILD}/drive",
                    "tests/system/prog/drive.c"], check=True)
    script, tap = Script(), Tap()
    script_reads(script, images)
    script_writes(script, images)
    script_errors(script, images)
    debug = f"blkdebug:{BUILD}/blkdebug.conf:{BUILD}/n1nvme.img"
    done = subprocess.run(
        ["./isthmus", "run", "--nodes", "2", "--append", "place=off", "--timeout",
         str(TIMEOUT_S), "--logs", f"{BUILD}/logs", "--disk", f"0:{BUILD}/n0nvme.img:nvme",
         "--disk", f"0:{BUILD}/n0virtio.img:virtio", "--disk", f"1:{BUILD}/n1virtio.img:virtio",
         "--disk", f"1:{debug}:nvme", "--add", f"{BUILD}/drive", "--", script.text()],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8", errors="replace")
    tap.result(done.returncode == 0, "the script ran to its end", done.stderr)
    script.judge(tap, done.stdout)
    for name, image in images.items():
        with open(f"{BUILD}/{name}.img", "rb") as file:
            tap.equal(sha(file.read()), sha(image), f"the host reads {name} as it was written")
    print(f"1..{tap.count}")
    return 1 if tap.failed else 0


if __name__ == "__main__":
    sys.exit(main())
