#!/usr/bin/env python3
"""Power cuts on the whole path: a program appends to files of an ext4 mount with an fsync after
each append, and says on the console which fsync has returned; what it said is what must be
there. Once with a log of all writes and flushes of QEMU's drive, from which the drive is made
anew as it was at each cut; once with the QEMU of the drive's node killed. Prints TAP.
SEED=N repeats a run. Usage: power.py [logged|killed]..."""
import os
import random
import re
import shutil
import subprocess
import sys

import rig
from fence import Driven

sys.path.insert(0, os.path.join(rig.ROOT, "tests", "ext4"))
import host  # noqa: E402
from launcher.options import disk_parse  # noqa: E402
import powerlog  # noqa: E402

DIR = os.path.join(rig.BUILD, "power")
SEED = int(os.environ.get("SEED", "0")) or random.SystemRandom().randrange(1, 1 << 30)
CUTS = 1000 if rig.LONG else 200
RANDOM_CUTS = CUTS // 3                  # at least
APPENDS = 200 if rig.LONG else 40        # of the logged run
KILLS = 10
APPENDS_MOST = 100000                    # of a run that is killed
KILL_AFTER_MOST = 25                     # appends
RECORD_MAX = 10000                       # prog/appends.c
SYNCED = re.compile(rb"^synced (\d+) (\d) (\d+) (\d+)\r*$", re.MULTILINE)


def record(number):
    """Record `number` of prog/appends.c."""
    state = number

    def following():
        nonlocal state
        state = (state * 6364136223846793005 + 1442695040888963407) % (1 << 64)
        return state >> 33
    length = 64 + following() % (RECORD_MAX - 64)
    data = bytearray((following() >> 8) & 255 for _ in range(length))
    head = head_of(number) + b"of %d bytes\n" % length
    data[:len(head)] = head
    return bytes(data)


def head_of(number):
    return b"record %08d " % number


def synced_of(console):
    """{number: (file, begin)} of the fsyncs that have returned, as the console shows them."""
    return {int(n): (f"log{int(which)}", int(begin))
            for n, which, begin, _ in SYNCED.findall(console)}


def lost(image, promised):
    """What of the promised records is not in the image, or an empty string."""
    files = {}
    for number, (name, begin) in sorted(promised.items()):
        if name not in files:
            files[name] = powerlog.file_read(image, name)
        want = record(number)
        if files[name][begin:begin + len(want)] != want:
            return f"record {number} of {name} at {begin}: its fsync had returned, it is not there"
    return ""


def image_make(name):
    path = os.path.join(DIR, name)
    subprocess.run(["mkfs.ext4", "-q", "-F", "-b", "1024", "-N", "512", path, "24M"], check=True,
                   stdout=subprocess.DEVNULL)
    return path


def options_of(program, disk):
    return {"add": [f"{program}:/bin/appends"], "disk": [disk], "logs": os.path.join(DIR, "logs")}


def check_logged(tap, program):
    """Node 0 mounts node 1's drive; ext4d runs on node 0, so its writes and flushes are calls
    to another node. The file system is not unmounted."""
    image, log = image_make("logged.img"), os.path.join(DIR, "logged.log")
    with open(image, "rb") as file:
        base = file.read()
    disk = disk_parse(f"1:{image}:nvme:log={log}")
    with Driven("mount -t ext4 /nodes/1/dev/nvme0n1 /mnt/b && appends /mnt/b 0 "
                f"{APPENDS} && echo done", nodes=2, **options_of(program, disk)) as cluster:
        output = cluster.finish()
        promised = synced_of(cluster.machines[0].console())
    tap.result("done\n" in output and len(promised) == APPENDS,
               f"{APPENDS} appends to a drive of the other node, each fsynced", output)
    records = powerlog.dm_log_read(log)
    # A record is written once the fsync of the one before it has returned.
    seen = {number: next((i for i, r in enumerate(records) if head_of(number) in r[2]), None)
            for number in range(APPENDS)}
    tap.result(sum(at is not None for at in seen.values()) > APPENDS // 2,
               "the drive's log has the records", str(seen))
    after = {}                           # number: the first point at which it is promised
    for number in promised:
        after[number] = min((at for later, at in seen.items() if later > number
                             and at is not None), default=len(records) - 1) + 1

    def where(point, broken):
        return lost(broken, {n: promised[n] for n in promised if after[n] <= point})
    rng = random.Random(SEED)
    points = powerlog.points_all(records, CUTS, RANDOM_CUTS, rng)
    problem = powerlog.first_problem(base, records, points, rng, where)
    flushes = sum(r[0] == b"F" for r in records)
    tap.result(not problem, f"{len(points)} power cuts of QEMU's drive, behind each of {flushes} "
               f"flushes and anywhere, SEED={SEED}: every append whose fsync had returned is there",
               problem)


def looks_of(promised, rng):
    """Commands that say whether some of the promised records are there."""
    return "".join(f"appends -c /mnt/b {n} {promised[n][0][3:]} {promised[n][1]} && "
                   for n in rng.sample(sorted(promised), min(3, len(promised))))


def kill_once(program, image, kill, rng, promised):
    """Boots, mounts, looks whether promised records are there, appends until the drive's node is
    killed: that is the only node, or another than the one that mounts and appends. What is
    wrong, or an empty string; adds to promised."""
    owner, first, after = kill % 2, 10000 * kill, rng.randrange(1, KILL_AFTER_MOST)
    script = f"mount -t ext4 /nodes/{owner}/dev/nvme0n1 /mnt/b && {looks_of(promised, rng)}" \
             f"appends /mnt/b {first} {APPENDS_MOST}; echo; echo ended > /dev/console"
    options = options_of(program, disk_parse(f"{owner}:{image}:nvme"))
    with Driven(script, nodes=owner + 1, **options) as cluster:
        cluster.may_die.add(owner)
        seen = cluster.console_wait(0, rb"^(synced %d|ended)\b" % (first + after))
        cluster.machines[owner].kill()
        promised.update(synced_of(cluster.machines[0].console()))
        if seen.group(1) == b"ended":
            return f"its programs ended by themselves\n{cluster.output()}"
    copy = os.path.join(DIR, "copy.img")
    shutil.copy(image, copy)
    return powerlog.repair_problem(copy) or lost(copy, promised)


def check_killed(tap, program):
    image, promised, rng = image_make("killed.img"), {}, random.Random(SEED)
    for kill in range(KILLS):
        count = len(promised)
        problem = kill_once(program, image, kill, rng, promised)
        tap.result(not problem, f"kill {kill} of the drive's QEMU, of {kill % 2 + 1}, SEED={SEED}: "
                   f"{len(promised) - count} more fsyncs had returned, {len(promised)} in all, "
                   "all of it is there", problem)
        if problem:
            return
    script = f"mount -t ext4 /nodes/0/dev/nvme0n1 /mnt/b && {looks_of(promised, rng)}" \
             "umount /mnt/b && echo well"
    with Driven(script, nodes=1, **options_of(program, disk_parse(f"0:{image}:nvme"))) as cluster:
        output = cluster.finish()
    code, report = host.fsck(image, False)
    problem = lost(image, promised)
    tap.result(output.endswith("well\n") and code == 0 and not problem,
               "mounted once more and unmounted: e2fsck -fn is clean, all of it is there",
               f"{output}\n{report}\n{problem}")


CHECKS = {"logged": check_logged, "killed": check_killed}


def main():
    tap = rig.Tap()
    shutil.rmtree(DIR, ignore_errors=True)
    os.makedirs(DIR)
    host.DIR = DIR
    program = rig.program("appends")
    for name in sys.argv[1:] or CHECKS:
        CHECKS[name](tap, program)
    tap.end()


if __name__ == "__main__":
    main()
