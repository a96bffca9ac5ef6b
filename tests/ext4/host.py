#!/usr/bin/env python3
"""ext4d on the host with sanitizers, no kernel between: it serves messages of a file over
images. Good ones and what they leave behind, damaged images from seeds, malformed messages
from seeds. It may refuse and may answer with errors; it must not crash, and e2fsck must be
able to repair what it wrote. Prints TAP."""
import os
import random
import shutil
import struct
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "system"))
from rig import Tap  # noqa: E402

DIR = os.path.join(ROOT, "build", "ext4-host")
PROGRAM = os.path.join(ROOT, "build", "host", "ext4d")
LONG = os.environ.get("ISTHMUS_LONG") == "1"
IMAGE_SEEDS = 2000 if LONG else 200
MESSAGE_SEEDS = 2000 if LONG else 200
LIMIT_S = 60                             # a hang detector for one run
ROOT_FID, OPEN, OPEN_DIR, TRUNCATE = 1, 2, 0o200000, 0o1000


def text(s):
    data = s if isinstance(s, bytes) else s.encode()
    return struct.pack("<H", len(data)) + data


class Messages:
    """Builds 9P2000.L requests; fids are numbered upwards."""

    def __init__(self):
        self.bytes = b""
        self.fid = ROOT_FID
        self.add(100, struct.pack("<I", 65600) + text("9P2000.L"))
        self.add(104, struct.pack("<II", ROOT_FID, 0xffffffff) + text("root") + text("") +
                 struct.pack("<I", 0))

    def add(self, kind, body):
        self.bytes += struct.pack("<IBH", 7 + len(body), kind, 1) + body

    def walk(self, path, start=ROOT_FID):
        at = start
        for name in path.split("/") if path else [None]:
            self.fid += 1
            self.add(110, struct.pack("<IIH", at, self.fid, name is not None) +
                     (text(name) if name is not None else b""))
            at = self.fid
        return at

    def attr(self, fid):
        self.add(24, struct.pack("<IQ", fid, 0x7ff))

    def open(self, fid, flags=0):
        self.add(12, struct.pack("<II", fid, flags))

    def read(self, fid, offset, count):
        self.add(116, struct.pack("<IQI", fid, offset, count))

    def readdir(self, fid, offset=0, count=8000):
        self.add(40, struct.pack("<IQI", fid, offset, count))

    def write(self, fid, offset, data):
        self.add(118, struct.pack("<IQI", fid, offset, len(data)) + data)

    def create(self, directory, name):
        fid = self.walk("", directory)
        self.add(14, struct.pack("<I", fid) + text(name) + struct.pack("<III", OPEN, 0o644, 0))
        return fid

    def mkdir(self, fid, name):
        self.add(72, struct.pack("<I", fid) + text(name) + struct.pack("<II", 0o755, 0))

    def symlink(self, fid, name, target):
        self.add(16, struct.pack("<I", fid) + text(name) + text(target) + struct.pack("<I", 0))

    def link(self, directory, fid, name):
        self.add(70, struct.pack("<II", directory, fid) + text(name))

    def rename(self, one, old, two, new):
        self.add(74, struct.pack("<I", one) + text(old) + struct.pack("<I", two) + text(new))

    def unlink(self, fid, name, flags=0):
        self.add(76, struct.pack("<I", fid) + text(name) + struct.pack("<I", flags))

    def size(self, fid, size):
        self.add(26, struct.pack("<IIIIIQQQQQ", fid, 8, 0, 0, 0, size, 0, 0, 0, 0))

    def sync(self, fid):
        self.add(50, struct.pack("<II", fid, 0))

    def clunk(self, fid):
        self.add(120, struct.pack("<I", fid))


def reads(tree):
    """Messages that read all of a tree."""
    m = Messages()
    for at, dirs, files in os.walk(tree):
        path = os.path.relpath(at, tree)
        base = "" if path == "." else path
        fid = m.walk(base)
        m.open(fid, OPEN_DIR)
        m.readdir(fid)
        m.readdir(fid, 1024)
        m.clunk(fid)
        for name in files + dirs:
            fid = m.walk(os.path.join(base, name))
            m.attr(fid)
            m.add(22, struct.pack("<I", fid))
            m.open(fid)
            m.read(fid, 0, 60000)
            m.read(fid, 70000, 5000)
            m.clunk(fid)
    return m


def changes(rng, m, count):
    """Random changes on top of m, most of them possible."""
    names = [f"n{i}" for i in range(12)] + ["sub", "sub/f1", "f0", "f2"]
    sub = m.walk("sub")
    for _ in range(count):
        directory = rng.choice([ROOT_FID, sub])
        a, b = rng.choice(names).split("/")[-1], rng.choice(names).split("/")[-1]
        what = rng.randrange(10)
        if what < 3:
            fid = m.create(directory, a)
            m.write(fid, rng.randrange(200000), rng.randbytes(rng.randrange(1, 60000)))
            m.size(fid, rng.randrange(300000))
            if rng.randrange(2):
                m.unlink(directory, a)
                m.write(fid, 0, b"still open")
            if rng.randrange(4):
                m.clunk(fid)
        elif what == 3:
            m.mkdir(directory, a)
        elif what == 4:
            m.symlink(directory, a, b * rng.randrange(1, 400))
        elif what == 5:
            m.rename(directory, a, rng.choice([ROOT_FID, sub]), b)
        elif what == 6:
            m.unlink(directory, a, rng.choice([0, 0x200]))
        elif what == 7:
            fid = m.walk(a, directory)
            m.link(directory, fid, b)
            m.clunk(fid)
        elif what == 8:
            fid = m.walk(a, directory)
            m.open(fid, OPEN | rng.choice([0, TRUNCATE, 0o2000]))
            m.write(fid, rng.randrange(100000), rng.randbytes(rng.randrange(1, 5000)))
            m.clunk(fid)
        else:
            m.sync(ROOT_FID)
    return m


def damage(rng, message_bytes):
    """Malformed messages: bytes changed, sizes kept so that the stream stays in step."""
    out, at = bytearray(), 0
    while at < len(message_bytes):
        size = struct.unpack_from("<I", message_bytes, at)[0]
        one = bytearray(message_bytes[at:at + size])
        at += size
        if rng.randrange(3) == 0:
            for _ in range(rng.randrange(1, 6)):
                one[rng.randrange(4, len(one))] = rng.choice([0, 1, 255, rng.randrange(256)])
        if rng.randrange(10) == 0:
            one = one[:rng.randrange(7, len(one) + 1)] + bytes(rng.randrange(20))
            struct.pack_into("<I", one, 0, len(one))
        out += one
    return bytes(out)


def serve(image, message_bytes, read_only=False):
    """Exit status and what it said. A crash is a status below 0, or a sanitizer's report."""
    path = os.path.join(DIR, "messages")
    with open(path, "wb") as file:
        file.write(message_bytes)
    words = [PROGRAM, *(["-r"] if read_only else []), image, "-i", path]
    environment = dict(os.environ, ASAN_OPTIONS="exitcode=99", UBSAN_OPTIONS="halt_on_error=1")
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=LIMIT_S,
                          env=environment)
    said = done.stdout.decode(errors="replace")
    crashed = done.returncode not in (0, 1) or "Sanitizer" in said or "runtime error" in said
    return done.returncode, said, crashed


def fsck(image, repair):
    done = subprocess.run(["e2fsck", "-fy" if repair else "-fn", image], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT)
    return done.returncode, done.stdout.decode(errors="replace")


def tree_make():
    tree = os.path.join(DIR, "tree")
    shutil.rmtree(DIR, ignore_errors=True)
    os.makedirs(os.path.join(tree, "sub", "deep"))
    rng = random.Random(5)
    for i, name in enumerate(["f0", "sub/f1", "f2", "sub/deep/f3", "f4"]):
        with open(os.path.join(tree, name), "wb") as file:
            file.write(rng.randbytes(1 + i * 30000))
    for i in range(60):
        with open(os.path.join(tree, "sub", "deep", f"small-file-{i}"), "w") as file:
            file.write(f"{i}\n")
    os.symlink("f0", os.path.join(tree, "soft"))
    os.symlink("x" * 200, os.path.join(tree, "longsoft"))
    return tree


def image_make(tree, name, options):
    image = os.path.join(DIR, name)
    subprocess.run(["mkfs.ext4", "-q", "-F", *options, "-d", tree, image, "8M"], check=True,
                   stdout=subprocess.DEVNULL)
    return image


KINDS = {"default": (), "1k": ("-b", "1024"), "indirect": ("-O", "^extents,^64bit"),
         "plain": ("-b", "1024", "-I", "128", "-O", "^has_journal,^metadata_csum,^dir_index")}


def test_changes(tap, tree):
    """Changes over every kind of file system leave it clean, at any size of what is left."""
    for name, options in KINDS.items():
        image = image_make(tree, f"changes-{name}.img", options)
        problem = ""
        for seed in range(6):
            m = changes(random.Random(seed), Messages(), 120)
            status, said, crashed = serve(image, m.bytes)
            code, report = fsck(image, False)
            if status or crashed or code:
                problem = f"seed {seed}: exit {status}\n{said}\n{report}"
                break
        tap.result(not problem, f"{name}: six runs of 120 changes, e2fsck -fn clean each time",
                   problem)


def test_images(tap, tree):
    good = image_make(tree, "good.img", ("-b", "1024"))
    with open(good, "rb") as file:
        original = file.read()
    message_bytes, problem, refused, unrepaired = reads(tree).bytes, "", 0, 0
    for seed in range(IMAGE_SEEDS):
        rng = random.Random(seed)
        data = bytearray(original)
        for _ in range(rng.choice([1, 5, 50, 2000])):
            at = rng.randrange(1024, len(data)) if rng.randrange(4) else rng.randrange(1024, 400000)
            data[at] ^= 1 << rng.randrange(8)
        if rng.randrange(10) == 0:
            del data[rng.randrange(2048, len(data)):]        # cut short
        image = os.path.join(DIR, "damaged.img")
        with open(image, "wb") as file:
            file.write(data)
        status, said, crashed = serve(image, message_bytes, read_only=True)
        refused += status == 1
        if not crashed and rng.randrange(2):
            m = changes(rng, reads(tree), 40)
            status, said, crashed = serve(image, m.bytes)
            if not crashed and len(data) == len(original):
                unrepaired += fsck(image, True)[0] > 3
        if crashed:
            problem = f"seed {seed}: exit {status}\n{said}"
            break
    tap.result(not problem, f"{IMAGE_SEEDS} damaged images: errors, never a crash "
               f"({refused} refused, {unrepaired} beyond e2fsck -fy)", problem)


def test_messages(tap, tree):
    image = image_make(tree, "messages.img", ())
    problem = ""
    for seed in range(MESSAGE_SEEDS):
        rng = random.Random(seed)
        m = changes(rng, reads(tree) if seed % 4 == 0 else Messages(), 60)
        status, said, crashed = serve(image, damage(rng, m.bytes))
        code, report = fsck(image, False)
        if crashed or status or code:
            problem = f"seed {seed}: exit {status}\n{said}\n{report}"
            break
    tap.result(not problem, f"{MESSAGE_SEEDS} runs of malformed messages: e2fsck -fn clean after "
               "each", problem)


def test_left(tap, tree):
    """A file without a name, as a power cut leaves it: e2fsck asks what to do with it."""
    for who, wanted in (("ext4d", True), ("somebody", False)):
        image = image_make(tree, "left.img", ())
        for command in ("unlink f0", f"ssv last_mounted {who}", "ssv state 0"):
            subprocess.run(["debugfs", "-w", "-R", command, image], check=True,
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        status, said, crashed = serve(image, Messages().bytes)
        good = (status == 0) == wanted and not crashed and (fsck(image, False)[0] == 0) == wanted
        tap.result(good, f"left by {who}, a file without a name: "
                   f"{'repaired' if wanted else 'refused'}", f"exit {status}\n{said}")


def main():
    tap = Tap()
    tree = tree_make()
    test_left(tap, tree)
    test_changes(tap, tree)
    test_messages(tap, tree)
    test_images(tap, tree)
    print(f"1..{tap.count}")
    return 1 if tap.failed else 0


if __name__ == "__main__":
    sys.exit(main())
