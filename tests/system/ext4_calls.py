#!/usr/bin/env python3
"""ext4d while its drive does not answer: the image is a file of a server that holds back reads of
one file's blocks until it is told not to. Meanwhile others read what is in memory and what is not,
change files, a reader that waits is killed, and ext4d moves; then the gate opens. One event after
the other, no time. Prints TAP."""
import hashlib
import os
import random
import shutil
import subprocess

import rig

DIR = os.path.join(rig.BUILD, "ext4-calls")
BLOCK, BIG_BYTES, SMALL = 4096, 400000, "small file\n"
WRITTEN = 3                              # this block of `big`, while reads of it wait
PIECE, PLACES = 65536, 6                 # what one read asks for, where they begin
READERS, THREADS = 7, 4                  # ext4d waits for its drive with so many threads
FILES = {"cold": "not read before\n", "small": SMALL, "sub/deep": "deep\n"}

LIBRARY = r"""
waits() { cat /mnt/slow/gate; }          # reads that the drive holds back
sums() { cat /tmp/sum* | wc -l; }
size() { wc -c < /tmp/big; }
"""


def gated_build():
    os.makedirs(rig.BUILD, exist_ok=True)
    path = os.path.join(rig.BUILD, "gated")
    subprocess.run(["musl-gcc", "-static", "-std=gnu11", "-O1", "-I", rig.ROOT, "-o", path,
                    os.path.join(rig.HERE, "prog", "gated.c"),
                    os.path.join(rig.ROOT, "user", "lib", "server.c"),
                    os.path.join(rig.ROOT, "user", "lib", "panic.c"),
                    os.path.join(rig.ROOT, "proto", "p9", "p9_codec.c")], check=True)
    return path


def image_make():
    """Path, the bytes of `big`, where on the drive they begin and how far they go."""
    shutil.rmtree(DIR, ignore_errors=True)
    tree, path = os.path.join(DIR, "tree"), os.path.join(DIR, "image")
    os.makedirs(os.path.join(tree, "sub"))
    big = random.Random(3).randbytes(BIG_BYTES)
    for name, text in {**FILES, "big": big}.items():
        with open(os.path.join(tree, name), "wb") as file:
            file.write(text if isinstance(text, bytes) else text.encode())
    subprocess.run(["mkfs.ext4", "-q", "-b", str(BLOCK), "-d", tree, path, "8M"], check=True,
                   stdout=subprocess.DEVNULL)
    blocks = [int(word) for word in subprocess.run(
        ["debugfs", "-R", "blocks big", path], stdout=subprocess.PIPE, check=True,
        stderr=subprocess.DEVNULL).stdout.split()]
    assert blocks == list(range(blocks[0], blocks[0] + len(blocks))), blocks
    return path, big, blocks[0] * BLOCK, len(blocks) * BLOCK


def digest(data):
    return hashlib.sha256(data).hexdigest() + "  -\n"


def steps(run, big, first, size):
    now = big[:WRITTEN * BLOCK] + bytes(BLOCK) + big[(WRITTEN + 1) * BLOCK:]
    run.step("mount; one file is read", f"gated /mnt/slow /image {first} {size} && "
             "ext4d /mnt/slow/image /mnt/b && cat /mnt/b/small", SMALL)
    run.step("a read that the drive does not answer", "cat /mnt/b/big > /tmp/big & "
             "until_is waiting 1000 1 waits && echo waits", "waits\n")
    run.step("what is in memory is read meanwhile, from both nodes",
             "cat /mnt/b/small; on 1 cat /mnt/b/small; stat -c '%s %F' /mnt/b/big",
             f"{SMALL}{SMALL}{BIG_BYTES} regular file\n")
    run.step("so is what the drive does answer", "ls /mnt/b/sub; cat /mnt/b/cold /mnt/b/sub/deep",
             "deep\n" + FILES["cold"] + FILES["sub/deep"])
    run.step("and files are changed and made safe", "echo new > /mnt/b/new && "
             "on 1 sh -c 'echo more | dd of=/mnt/b/more conv=fsync 2>/dev/null; mv /mnt/b/more "
             "/mnt/b/sub' && cat /mnt/b/new /mnt/b/sub/more; waits", "new\nmore\n1\n")
    run.step("a reader that waits is killed", "cat /mnt/b/big > /tmp/killed & p=$!; "
             "until_is waiting 1000 2 waits; kill -9 $p; wait $p 2>/dev/null; echo $?",
             lambda out, status: out.endswith("137\n"))
    run.step("more readers than threads, at several places: names and attributes are "
             "in memory",
             f"i=0; while [ $i -lt {READERS} ]; do dd if=/mnt/b/big bs={PIECE} "
             f"skip=$((i % {PLACES})) 2>/dev/null | sha256sum > /tmp/sum$i & i=$((i + 1)); done; "
             f"until_is waiting 1000 {THREADS} waits; ls /mnt/b/sub; on 1 stat -c '%s' /mnt/b/big",
             f"deep\nmore\n{BIG_BYTES}\n")
    run.step("the server moves to the other node, and the same holds there",
             "migrate $(pidof ext4d) 1 && cat /proc/$(pidof ext4d)/node && "
             "stat -c '%s' /mnt/b/big && on 1 cat /mnt/b/new", f"1\n{BIG_BYTES}\nnew\n")
    run.step("what a read that waits is to find changes: a block is written whole",
             f"dd if=/dev/zero of=/mnt/b/big bs={BLOCK} seek={WRITTEN} count=1 conv=notrunc "
             f"2>/dev/null && dd if=/mnt/b/big bs={BLOCK} skip={WRITTEN} count=1 2>/dev/null | "
             "sha256sum", digest(bytes(BLOCK)))
    run.step("the gate opens: all get what is there now",
             f"echo > /mnt/slow/gate; until_is sums 3000 {READERS} sums; cat /tmp/sum*; "
             f"until_is bytes 3000 {BIG_BYTES} size; sha256sum < /tmp/big; "
             "on 1 sha256sum < /mnt/b/big; waits",
             "".join(digest(now[i % PLACES * PIECE:]) for i in range(READERS))
             + digest(now) * 2 + "0\n")
    run.step("unmounted, e2fsck has nothing to say", "umount /mnt/b && umount /mnt/slow; "
             "/sbin/e2fsck.static -fn /image > /tmp/fsck 2>&1 || cat /tmp/fsck", "")


def main():
    tap = rig.Tap()
    image, big, first, size = image_make()
    run = rig.Run(tap, "ext4-calls", files=[(gated_build(), "/bin/gated"), (image, "/image")])
    run.functions += LIBRARY
    steps(run, big, first, size)
    text = run.go()
    tap.result("PANIC" not in text, "no panic", text[-2000:])
    tap.end()


if __name__ == "__main__":
    main()
