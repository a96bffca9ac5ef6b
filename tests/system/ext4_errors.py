#!/usr/bin/env python3
"""Drives that return errors (QEMU's blkdebug) under ext4d: of reads, writes and flushes, of one
block or all, once or from some moment on. Who asked gets EIO, nothing else is harmed, what had
been made safe before stays, and the host's e2fsck repairs what is left. Half of the drives are
mounted by the other node. Prints TAP. One boot of two nodes."""
import os
import random
import shutil
import subprocess
import sys

import rig

sys.path.insert(0, os.path.join(rig.ROOT, "tests", "ext4"))
import host  # noqa: E402
import powerlog  # noqa: E402

DIR = os.path.join(rig.BUILD, "ext4-errors")
FILES = {"good": 40000, "bad": 60000, "sub/inner": 9000}
MANY = 200                               # small files, so that inodes lie in several pages
SECTOR, BLOCK = 512, 1024
INODES_OF_PAGE = 16                      # a bad block takes its page of 4 KiB with it
EIO = "I/O error\\|Input/output error"


def rule(iotype, event="none", state=0, sector=None, once="off"):
    lines = ["[inject-error]", f'event = "{event}"', f'iotype = "{iotype}"', 'errno = "5"',
             f'once = "{once}"']
    if state:
        lines.append(f'state = "{state}"')
    if sector is not None:
        lines.append(f'sector = "{sector}"')
    return "\n".join(lines) + "\n\n"


# Mounting flushes once. From the second flush on the drive is in state 2.
AFTER_MOUNT = '[set-state]\nevent = "flush_to_os"\nstate = "1"\nnew_state = "2"\n\n'


def debugfs(image, command):
    return subprocess.run(["debugfs", "-R", command, image], stdout=subprocess.PIPE, check=True,
                          stderr=subprocess.DEVNULL).stdout.decode()


def block_of_file(image, name, index):
    return int(debugfs(image, f"blocks {name}").split()[index])


def block_of_inode(image, name):
    """The block of the inode table that has the file's inode."""
    return int(debugfs(image, f"imap {name}").partition("located at block ")[2].split(",")[0])


def tree_make():
    tree = os.path.join(DIR, "tree")
    os.makedirs(os.path.join(tree, "sub"))
    rng = random.Random(4)
    for name, size in FILES.items():
        with open(os.path.join(tree, name), "wb") as file:
            file.write(rng.randbytes(size))
    os.makedirs(os.path.join(tree, "many"))
    for i in range(MANY):
        with open(os.path.join(tree, "many", str(i)), "w", encoding="ascii") as file:
            file.write(f"{i}\n")
    return tree


class Drive:
    """One image behind blkdebug, as drive number `index` of node 1."""

    def __init__(self, name, index, tree, rules):
        self.name = name
        self.path = f"/nodes/1/dev/nvme{index}n1"
        self.image = os.path.join(DIR, f"{name}.img")
        subprocess.run(["mkfs.ext4", "-q", "-F", "-b", str(BLOCK), "-d", tree, self.image, "16M"],
                       check=True, stdout=subprocess.DEVNULL)
        conf = os.path.join(DIR, f"{name}.conf")
        with open(conf, "w", encoding="ascii") as file:
            file.write(rules(self.image))
        self.disk = f"1:blkdebug:{conf}:{self.image}:nvme"

    def mount(self, on=""):
        return f"{on}mount -t ext4 {self.path} /mnt/{self.name}"


def sector_of(block):
    return block * (BLOCK // SECTOR)


DRIVES = {
    # One block of a file's data cannot be read.
    "data": lambda image: rule("read", sector=sector_of(block_of_file(image, "bad", 30))),
    # One block of the inode table cannot be read.
    "inodes": lambda image: rule("read", sector=sector_of(block_of_inode(image, "many/150"))),
    # A read fails once.
    "readonce": lambda image: rule("read", sector=sector_of(block_of_file(image, "bad", 30)),
                                   once="on"),
    # Once it is mounted, no write gets through.
    "writes": lambda image: AFTER_MOUNT + rule("write", "flush_to_os", 1),
    # One write fails, later ones do not.
    "writeonce": lambda image: AFTER_MOUNT + rule("write", "flush_to_os", 1, once="on"),
    # No flush but the first.
    "flushes": lambda image: AFTER_MOUNT + rule("flush", "flush_to_os", 2),
    # One flush fails.
    "flushonce": lambda image: AFTER_MOUNT + rule("flush", "flush_to_os", 2, once="on"),
}


def sums(tree, *names):
    return "".join(rig.host(["sha256sum", os.path.join(tree, name)]).split()[0] + "\n"
                   for name in names)


def read_step(run, drive, tree, on=""):
    run.step(f"{drive.name}: what it has is there", f"cd /mnt/{drive.name} && {on}"
             "sha256sum good sub/inner many/3 | cut -c1-64",
             sums(tree, "good", "sub/inner", "many/3"))


def steps_read(run, drives, tree):
    d = drives["data"]
    run.step("data: a block that cannot be read: EIO",
             f"{d.mount()} && cat /mnt/data/bad 2>&1 >/dev/null | grep -c '{EIO}'; "
             f"on 1 cat /mnt/data/bad 2>&1 >/dev/null | grep -c '{EIO}'", "1\n1\n")
    read_step(run, d, tree)
    run.step("data: other blocks of the file, and new files",
             "dd if=/mnt/data/bad bs=1024 count=20 2>/dev/null | sha256sum | cut -c1-8; "
             "echo new | dd of=/mnt/data/new conv=fsync 2>/dev/null && cat /mnt/data/new",
             lambda out, status: status == 0 and out.splitlines()[1:] == ["new"])
    d = drives["inodes"]
    run.step("inodes: files whose inodes cannot be read: EIO, no others",
             f"{d.mount('on 1 ')} && cd /mnt/inodes/many && ls 2>/dev/null | wc -l; "
             f"cat 150 2>&1 | grep -c '{EIO}'; cat 3 && echo new > /mnt/inodes/new; "
             "cat /mnt/inodes/new", f"{MANY - INODES_OF_PAGE}\n1\n3\nnew\n")
    d = drives["readonce"]
    run.step("readonce: a read that fails once does not fail a second time",
             f"{d.mount()} && cat /mnt/readonce/bad >/dev/null 2>&1; "
             "sha256sum /mnt/readonce/bad | cut -c1-64", sums(tree, "bad"))


def changed(name, text):
    """An fsynced file: `safe` or the error."""
    return f"{{ echo {text} | dd of=/mnt/{name}/{text} conv=fsync 2>&1 | grep -o '{EIO}' || " \
           "echo safe; }"


def steps_write(run, drives, tree):
    for name, on in (("writes", ""), ("flushes", "on 1 ")):
        d = drives[name]
        run.step(f"{name}: nothing reaches the drive: EIO from fsync, each time",
                 f"{d.mount(on)} && {changed(name, 'one')} | grep -c '{EIO}'; "
                 f"on 1 dd if=/dev/null of=/mnt/{name}/one conv=notrunc,fsync 2>&1 | "
                 f"grep -c '{EIO}'", "1\n1\n")
        run.step(f"{name}: it is read-only then, from both nodes",
                 f"mkdir /mnt/{name}/d 2>&1 | grep -c 'Read-only'; "
                 f"on 1 rm /mnt/{name}/good 2>&1 | grep -c 'Read-only'; "
                 f"echo more 2>/dev/null > /mnt/{name}/two; ls /mnt/{name} | grep -c two",
                 lambda out, status: out == "1\n1\n0\n")
        read_step(run, d, tree)
    for name, on in (("writeonce", "on 1 "), ("flushonce", "")):
        d = drives[name]
        run.step(f"{name}: EIO from one fsync; the next one makes the same bytes safe",
                 f"{d.mount(on)} && {changed(name, 'one')} | grep -c '{EIO}'; "
                 f"dd if=/dev/null of=/mnt/{name}/one conv=notrunc,fsync 2>/dev/null && "
                 f"{changed(name, 'two')}; cat /mnt/{name}/one /mnt/{name}/two",
                 "1\nsafe\none\ntwo\n")
        read_step(run, d, tree)


def steps_end(run):
    names = " ".join(f"/mnt/{name}" for name in DRIVES)
    run.step("the file system beside them is not harmed", "echo more >> /mnt/well/good && "
             "dd if=/dev/null of=/mnt/well/good conv=notrunc,fsync 2>/dev/null && "
             "tail -n 1 /mnt/well/good | tail -c 5; cat /nodes/members", "more\n2\n")
    run.step("all are unmounted", f"umount {names} /mnt/well; ls /mnt; pidof ext4d",
             lambda out, status: out == "")


def check_images(tap, drives, tree):
    """What the host finds behind the drives, which the host itself can read."""
    with open(os.path.join(tree, "good"), "rb") as file:
        good = file.read()
    wanted = {"data": {"new": b"new\n"}, "inodes": {"new": b"new\n"},
              "writeonce": {"one": b"one\n", "two": b"two\n"},
              "flushonce": {"one": b"one\n", "two": b"two\n"}}
    for name, drive in drives.items():
        problem = powerlog.repair_problem(drive.image)
        for file, data in {"good": good, **wanted.get(name, {})}.items():
            if not problem and powerlog.file_read(drive.image, file) != data:
                problem = f"{file} is not what it was"
        tap.result(not problem, f"host: e2fsck -fy repairs {name}, what was safe is there", problem)


def main():
    tap = rig.Tap()
    shutil.rmtree(DIR, ignore_errors=True)
    os.makedirs(DIR)
    host.DIR = DIR
    tree = tree_make()
    drives = {name: Drive(name, index, tree, rules)
              for index, (name, rules) in enumerate(DRIVES.items())}
    well = Drive("well", len(drives), tree, lambda image: "")
    disks = []
    for drive in (*drives.values(), well):
        disks += ["--disk", drive.disk]
    run = rig.Run(tap, "errors", extra=disks)
    run.step("one without errors", f"{well.mount()} && ls /mnt", "well\n")
    steps_read(run, drives, tree)
    steps_write(run, drives, tree)
    steps_end(run)
    text = run.go()
    tap.result("PANIC" not in text, "no panic", text[-2000:])
    check_images(tap, drives, tree)
    done = subprocess.run(["e2fsck", "-fn", well.image], stdout=subprocess.PIPE)
    tap.result(done.returncode == 0, "host: the one without errors is clean", done.stdout.decode())
    tap.end()


if __name__ == "__main__":
    main()
