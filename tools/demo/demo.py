#!/usr/bin/env python3
"""The demo: boots two nodes from one image and shows, step by step, what they do as one.

Real input: a file of tens of MiB of this machine. What the nodes compute while their
programs move to and fro is compared with what the same Debian busybox computes here.
Exit status 0 only if every step was verified.
"""
import hashlib
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
BUSYBOX = "/bin/busybox"
# The largest of these that is not larger than FILE_MAX is the input.
FILES = ("/usr/bin/qemu-system-x86_64", "/usr/lib/x86_64-linux-gnu/libLLVM-14.so.1",
         "/usr/bin/python3.11")
FILE_MAX = 64 << 20


class Failed(Exception):
    """A step did not show what it should."""


def input_file():
    sized = [(os.path.getsize(path), path) for path in FILES if os.path.exists(path)]
    fitting = [entry for entry in sized if entry[0] <= FILE_MAX]
    if not fitting:
        raise Failed(f"none of {', '.join(FILES)} is here to work on")
    return max(fitting)


def host_sums(path):
    """What the host says: the file's SHA-256, and that of its gzip by busybox."""
    with open(path, "rb") as file:
        plain = hashlib.file_digest(file, "sha256").hexdigest()
    packed = subprocess.run([BUSYBOX, "gzip", "-c", path], check=True, stdout=subprocess.PIPE)
    return plain, hashlib.sha256(packed.stdout).hexdigest()


class Demo:
    """Follows the node's lines, prints them for people, and checks them."""

    def __init__(self, sums, hashset):
        self.sums = sums
        self.hash = hashset
        self.steps = 0
        self.moves = {}
        self.ran = {}
        self.checked = []
        self.failures = []

    def check(self, what, ok):
        print(f"    {'verified' if ok else 'FAILED'}: {what}", flush=True)
        (self.checked if ok else self.failures).append(what)

    def line(self, line):
        word, *rest = line.split(" ")
        handler = getattr(self, "on_" + word[1:].replace("-", "_"), None)
        if not word.startswith("@") or not handler:
            print("    " + line, flush=True)
            return
        handler(*rest)

    def on_step(self, *words):
        self.steps += 1
        print(f"\n{self.steps}. {' '.join(words)}", flush=True)

    def on_failed(self, *words):
        self.check(" ".join(words), False)

    def on_latency(self, name, size, count, least, typical, lost, wrong):
        print(f"    {name:5} {size:>5} bytes: typically {typical} us, at least {least} us",
              flush=True)
        self.check(f"{count} of {name} {size}: none lost, none wrong", (lost, wrong) == ("0", "0"))

    def on_ran(self, job, node):
        self.ran[job] = node
        print(f"    job {job} ran on node {node}", flush=True)
        if len(self.ran) == 6:
            self.check("six jobs ran, on both nodes", len(set(self.ran.values())) == 2)

    def on_moved(self, name, pid, source, target, freeze_us):
        self.moves[name] = self.moves.get(name, 0) + 1
        print(f"    {name} ({pid}) moved from node {source} to node {target}, "
              f"frozen for {int(freeze_us) / 1000:.1f} ms", flush=True)

    def on_ended(self, name, status, on_fault, drained):
        print(f"    {on_fault} pages came on fault, {drained} in the background", flush=True)
        self.check(f"{name} ended with status {status} after {self.moves.get(name, 0)} moves",
                   status == "0" and self.moves.get(name, 0) >= 3)

    def on_sum(self, digest):
        self.check(f"SHA-256 as on the host, {digest[:16]}...", digest == self.sums[0])

    def on_gzip(self, digest):
        self.check("the compressed file is the host's, byte for byte", digest == self.sums[1])

    def on_hash(self, value):
        self.check(f"hash without moves as on the host, {value}", value == self.hash)

    def on_moved_hash(self, value):
        self.check(f"hash with ten moves is the same, {value}", value == self.hash)

    def on_hops(self, count):
        self.check(f"{count} moves by its own request", count == "10")

    def on_images(self, given, freed):
        self.check(f"{given} frozen images were kept, {freed} given back", given == freed)


STEPS, CHECKS = 7, 13


def main():
    size, path = input_file()
    print(f"Isthmus: two machines in QEMU, one image. Input: {path}, {size >> 20} MiB.")
    hashset = os.path.join(ROOT, os.environ.get("BUILD", "build"), "prog", "hashset")
    expected = subprocess.run([hashset, "16", "8", "7"], check=True, stdout=subprocess.PIPE,
                              text=True).stdout.strip()
    demo = Demo(host_sums(path), expected)
    command = [os.path.join(ROOT, "isthmus"), "run", "--nodes", "2", "--mem", "512M",
               "--timeout", "1200", "--logs", os.path.join(ROOT, "build", "demo-logs"),
               "--add", f"{path}:/demo/file", "--add", f"{HERE}/node.sh:/demo/node.sh",
               "--add", f"{hashset}:/bin/hashset", "--", "sh /demo/node.sh"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            demo.line(line.rstrip("\n"))
    print()
    if process.returncode:
        demo.failures.append(f"the cluster ended with status {process.returncode}")
    if (demo.steps, len(demo.checked)) != (STEPS, CHECKS):
        demo.failures.append(f"{demo.steps} steps and {len(demo.checked)} checks, "
                             f"not {STEPS} and {CHECKS}")
    for failure in demo.failures:
        print(f"FAILED: {failure}")
    if not demo.failures:
        print(f"All {len(demo.checked)} checks passed.")
    return 1 if demo.failures else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failed as failed:
        sys.exit(f"demo: {failed}")
