#!/usr/bin/env python3
"""File locks: the same program on the host, whose output is right, and on three nodes that are
one, with the file on each kind of server: a node's own files, those of another node, an ext4
drive of another node. TAP."""
import os
import subprocess

import rig


def image():
    path = os.path.join(rig.BUILD, "locks.img")
    with open(path, "wb") as file:
        file.truncate(16 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-F", path], check=True)
    return path


def host_says(program):
    path = os.path.join(rig.BUILD, "locked")
    return rig.host([program, path, "1"])


def main():
    tap = rig.Tap()
    programs = {kind: rig.program("locks", kind) for kind in ("musl", "glibc")}
    right = host_says(programs["glibc"])
    tap.equal(right.count("ok ") - right.count("not ok"), 11, "the host passes all eleven")
    run = rig.Run(tap, "locks", nodes=3, extra=("--disk", f"1:{image()}"),
                  files=[(path, f"/bin/locks-{kind}") for kind, path in programs.items()])
    run.step("one node, nobody moves", "locks-musl /tmp/f 1", right)
    run.step("own files, three nodes", "locks-musl /tmp/f 3; locks-glibc /tmp/f 2", right * 2)
    run.step("another node's files", "on 2 locks-glibc /tmp/f 3", right)
    run.step("an ext4 drive of another node",
             "mount -t ext4 /nodes/1/dev/nvme0n1 /mnt/b && locks-musl /mnt/b/f 3 && "
             "on 1 locks-glibc /mnt/b/f 3 && umount /mnt/b", right * 2)
    tap.result("PANIC" not in run.go(), "locks: no panic")
    tap.end()


if __name__ == "__main__":
    main()
