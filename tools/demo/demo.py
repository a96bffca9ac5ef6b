#!/usr/bin/env python3
"""The demo: boots four nodes from one image and shows, step by step, what they do as one.

Real input: files of this machine. What the nodes compute while their programs move about is
compared with what the same Debian busybox, and this host's ext4 tools, say here. The work on
the nodes is node.sh, the checks are in show.py. Exit status 0 only if every check passed.
"""
import os
import subprocess
import sys
import threading

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.dirname(HERE))

import host  # noqa: E402
from launcher.cluster import BUILD, Cluster  # noqa: E402
from launcher.errors import LaunchError  # noqa: E402
from launcher.options import Options, check, disk_parse  # noqa: E402
from launcher.run_channel import RunChannel  # noqa: E402
from show import Show, console_line  # noqa: E402

DIR = os.path.join(BUILD, "demo")
HASHSET = os.path.join(BUILD, "prog", "hashset")
SECONDS = 1200                       # finds a hang
STEPS, CHECKS = 13, 44
HASH = "16 8 7"                      # hashset MIB ROUNDS SEED
SPREAD = "1 60000"
HALF = 1 << 20
WRITTEN, SAVED = "greetings-from-node-2", "written-before-the-death-of-node-3"


class Stage:
    """The cluster while it runs node.sh: its lines, and what is done to its machines."""

    def __init__(self, options):
        self.cluster = Cluster(options)
        self.channel = RunChannel(self.cluster.machines[0].run_channel_path(), options.command)
        self.ends = os.pipe()
        self.outcome = None          # the command's exit status, or why there is none

    def serve(self):
        try:
            self.outcome = self.channel.serve(self.cluster, self.ends[1], self.ends[1])
        except (LaunchError, OSError) as error:
            self.outcome = error
        os.close(self.ends[1])

    def lines(self):
        """Boots, and gives each line of the command's output as it comes."""
        try:
            with self.cluster:
                serving = threading.Thread(target=self.serve, daemon=True)
                serving.start()
                with open(self.ends[0], encoding="utf-8", errors="replace") as file:
                    for line in file:
                        yield line.rstrip("\n")
                serving.join()
        finally:
            self.channel.close()

    def kill(self, node):
        self.cluster.may_die.add(node)
        self.cluster.machines[node].kill()

    def power(self, node):
        self.cluster.machines[node].start()
        self.cluster.may_die.discard(node)

    def said(self, node, pattern):
        text = self.cluster.machines[node].console().decode(errors="replace")
        return console_line(text, pattern)


def hashes_begin():
    """The host's own run of what will be spread over the nodes, at the same time."""
    return [subprocess.Popen([HASHSET, *SPREAD.split(), str(seed)], stdout=subprocess.PIPE,
                             text=True) for seed in range(1, 9)]


def expectations(path, tree, drive):
    """What the host says of all that the nodes will compute."""
    spread = hashes_begin()
    names = host.names_of(tree)
    status, plain, _ = host.run([HASHSET, *HASH.split()])
    if status:
        raise host.Failed("hashset does not run on this host")
    return {"files": len(names), "tree": host.sums_of(tree, names),
            "first": host.sums_of(tree, names[:50]), "drive": host.drive_make(drive, path),
            "sum": host.file_sum(path), "kept": host.file_sum(path, 2 * HALF),
            "gzip": host.gzip_sum(path), "hash": plain.decode().strip(),
            "drive-mib": host.DRIVE_BYTES >> 20,
            "written": WRITTEN, "saved": SAVED,
            "spread": [process.communicate()[0].strip() for process in spread]}


def given_write(path, expected):
    """What node.sh has to know."""
    with open(path, "w", encoding="ascii") as file:
        file.write(f"FILES={expected['files']}\nHASH='{HASH}'\nSPREAD='{SPREAD}'\nHALF={HALF}\n"
                   f"WRITTEN={WRITTEN}\nSAVED={SAVED}\n")


def options_make(path, given, image, drive):
    options = Options(nodes=4, mem="384M", timeout=SECONDS, command="sh /demo/node.sh",
                      logs=os.path.join(BUILD, "demo-logs"),
                      add=[f"{path}:/demo/file", f"{HERE}/node.sh:/demo/node.sh",
                           f"{given}:/demo/given", f"{HASHSET}:/bin/hashset"],
                      disk=[disk_parse(f"1:{image}"), disk_parse(f"2:{drive}:virtio")])
    check(options)
    return options


def drive_check(show, image):
    """What this host finds on node 1's drive when all is over."""
    clean, words = host.image_check(image)
    words = (words.strip().splitlines() or ["nothing"])[-1]
    show.check("e2fsck -fn: " + words.replace(image, os.path.basename(image)), clean)
    for name, text in (("written-by-node-2", WRITTEN), ("saved", SAVED)):
        show.check(f"debugfs reads {name} as it was written",
                   host.image_file(image, name) == text.encode() + b"\n")


def main():
    os.makedirs(DIR, exist_ok=True)
    tree, image, drive, given = (os.path.join(DIR, name)
                                 for name in ("tree", "ext4.img", "drive.img", "given"))
    path = host.input_file()
    print("Isthmus: four machines in QEMU, one image.", flush=True)
    source = host.tree_make(tree)
    host.image_make(image, tree)
    expected = expectations(path, tree, drive)
    given_write(given, expected)
    print(f"Input: {path}, {os.path.getsize(path) >> 20} MiB; an ext4 image of {expected['files']} "
          f"files of {source}.\nThe machines boot.", flush=True)
    stage = Stage(options_make(path, given, image, drive))
    show = Show(expected, stage.kill, stage.power, stage.said)
    for line in stage.lines():
        show.line(line)
    if stage.outcome != 0:
        show.failures.append(f"the cluster: {stage.outcome}")
    drive_check(show, image)
    if show.steps != STEPS:
        show.failures.append(f"{show.steps} steps, not {STEPS}")
    print()
    for failure in show.failures:
        print(f"FAILED: {failure}")
    print(f"{show.passed} of {CHECKS} checks passed in {show.seconds()} seconds.")
    return 1 if show.failures or show.passed != CHECKS else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (host.Failed, LaunchError) as failed:
        sys.exit(f"demo: {failed}")
