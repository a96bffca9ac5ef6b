#!/usr/bin/env python3
"""Bad input from programs: malformed executables, and hostile arguments to every system
call. Each gives an error, nothing else is harmed: the node goes on, its free frames come
back, another process keeps its memory. Prints TAP. Malformed options and cluster.conf are
in boot.py, junk frames in test_net.py."""
import os
import random
import re
import struct
import subprocess
import sys
import tarfile

from rig import Tap

BUILD = "build/system"
TIMEOUT_S = 1500                     # a hang detector
LONG = bool(os.environ.get("ISTHMUS_LONG"))
SEED = int(os.environ.get("SEED", "1"))
SWEEP = 6200                             # all numbers six times
CALLS = 250000 if LONG else 44000        # of one boot, beside the sweep
FAR_CALLS = 60000 if LONG else 4000      # from the other node, and moved between both
BOOTS = 20 if LONG else 1                # 5,000,000 calls at full size
MUTANTS = 2000 if LONG else 150
FREE_SLACK_KB = 128                  # what caches of the kernel may keep
HEAP_SLACK_KB = 1024                 # and its heap, which gives no frame back
ENOEXEC, ENOMEM, EACCES = 8, 12, 13
PAGE = 4096
CODE_VA, DATA_VA = 0x400000, 0x600000

# write(1, "", 0); exit_group(7): the good program of which all others are spoilt copies.
CODE = bytes.fromhex("b801000000bf0100000031f631d20f05" "b8e7000000bf070000000f05")


def elf(ident=b"\x7fELF\x02\x01\x01", kind=2, machine=62, entry=CODE_VA + 0x100, phoff=64,
        phentsize=56, phnum=None, segments=None):
    """A program of two pages; each argument spoils one field."""
    if segments is None:
        segments = [load(), load(offset=PAGE, va=DATA_VA, flags=6)]
    head = ident.ljust(16, b"\0") + struct.pack(
        "<HHIQQQIHHHHHH", kind, machine, 1, entry, phoff, 0, 0, 64, phentsize,
        len(segments) if phnum is None else phnum, 0, 0, 0)
    text = head + b"".join(segments)
    return text.ljust(0x100, b"\0") + CODE.ljust(PAGE - 0x100, b"\x90") + bytes(PAGE)


def load(kind=1, flags=5, offset=0, va=CODE_VA, filesz=PAGE, memsz=None):
    memsz = filesz if memsz is None else memsz
    return struct.pack("<IIQQQQQQ", kind, flags, offset, va, va, filesz, memsz, PAGE)


def refused():
    """Files that must not start, by name."""
    big, data = 1 << 63, load(offset=PAGE, va=DATA_VA, flags=6)
    cases = {f"cut-{n:04d}": elf()[:n] for n in (
        1, 2, 3, 4, 5, 15, 16, 17, 31, 40, 52, 63, 64, 65, 100, 119, 120, 150, 175, 176, 256, 300,
        2048, PAGE - 1, PAGE, PAGE + 1, 2 * PAGE - 1)}
    cases |= {
        "empty": b"", "zeros": bytes(2 * PAGE), "text": b"hello\n" * 100,
        "magic": elf(ident=b"\x7fELG\x02\x01\x01"), "32-bit": elf(ident=b"\x7fELF\x01\x01\x01"),
        "big-endian": elf(ident=b"\x7fELF\x02\x02\x01"), "arm": elf(machine=183),
        "i386": elf(machine=3), "object": elf(kind=1), "core": elf(kind=4), "kind-0": elf(kind=0),
        "phentsize-0": elf(phentsize=0), "phentsize-55": elf(phentsize=55),
        "phentsize-ffff": elf(phentsize=0xffff), "phnum-0": elf(phnum=0),
        "phnum-ffff": elf(phnum=0xffff), "phnum-1000": elf(phnum=1000),
        "phoff-end": elf(phoff=2 * PAGE), "phoff-max": elf(phoff=~0 & (1 << 64) - 1),
        "phoff-wrap": elf(phoff=(1 << 64) - 56), "phoff-far": elf(phoff=1 << 40),
        "no-load": elf(segments=[load(kind=4)]), "entry-0": elf(entry=0),
        "entry-kernel": elf(entry=0xffffffff80000000), "entry-data": elf(entry=DATA_VA),
        "entry-noncanonical": elf(entry=1 << 63), "entry-hole": elf(entry=0x500000),
        "same-twice": elf(segments=[load(), load()]),
        "overlap-page": elf(segments=[load(), load(va=CODE_VA, offset=0, flags=6)]),
        "overlap-part": elf(segments=[load(memsz=0x300000), data]),
        "overlap-inside": elf(segments=[data, load(va=CODE_VA, memsz=0x400000)]),
        "kernel-text": elf(segments=[load(), load(offset=PAGE, va=0xffffffff80000000)]),
        "kernel-map": elf(segments=[load(), load(offset=PAGE, va=0xffff800000000000)]),
        "kernel-into": elf(segments=[load(), load(offset=PAGE, va=0x7fffffffe000, memsz=4 * PAGE)]),
        "kernel-edge": elf(segments=[load(), load(offset=PAGE, va=0x7ffffffff000)]),
        "noncanonical": elf(segments=[load(), load(offset=PAGE, va=1 << 47)]),
        "stack": elf(segments=[load(), load(offset=PAGE, va=0x7ffffffef000 - PAGE)]),
        "wrap": elf(segments=[load(), load(offset=PAGE, va=(1 << 64) - PAGE)]),
        "memsz-max": elf(segments=[load(), load(offset=PAGE, va=DATA_VA, memsz=(1 << 64) - 1)]),
        "memsz-wrap": elf(segments=[load(), load(offset=PAGE, va=DATA_VA,
                                                 memsz=(1 << 64) - DATA_VA)]),
        "memsz-big": elf(segments=[load(), load(offset=PAGE, va=DATA_VA, memsz=big)]),
        "filesz-max": elf(segments=[load(), load(offset=PAGE, va=DATA_VA, filesz=(1 << 64) - 1)]),
        "filesz-over": elf(segments=[load(), load(offset=PAGE, va=DATA_VA, filesz=2 * PAGE,
                                                  memsz=PAGE)]),
        "offset-max": elf(segments=[load(), load(offset=(1 << 64) - PAGE, va=DATA_VA)]),
        "offset-wrap": elf(segments=[load(), load(offset=(1 << 64) - PAGE, va=DATA_VA,
                                                  filesz=2 * PAGE)]),
        "offset-odd": elf(segments=[load(), load(offset=PAGE + 1, va=DATA_VA, filesz=16)]),
        "page-0": elf(entry=0x100, segments=[load(va=0)]),
        "page-1": elf(entry=PAGE + 0x100, segments=[load(va=PAGE)]),
        "many": elf(segments=[load()] * 64), "interp-far": elf(
            segments=[load(), load(kind=3, offset=1 << 40)]),
        "interp-long": elf(segments=[load(), load(kind=3, filesz=PAGE)]),
        "interp-empty": elf(segments=[load(), load(kind=3, filesz=0)]),
        "interp-none": elf(segments=[load(), load(kind=3, offset=PAGE, filesz=16)]),
        "script-alone": b"#!", "script-empty": b"#!\n", "script-blank": b"#!   \t \n",
        "script-none": b"#!/nonexistent/interpreter\n", "script-directory": b"#!/tmp\n",
        "script-long": b"#!/" + b"a" * 5000 + b"\n", "script-endless": b"#!/bin/" + b"a" * 4000,
        "script-self": b"#!/tmp/elf/script-self\n", "script-zero": b"#!\0/bin/sh\n",
    }
    return cases


def mutants():
    """Copies with a few bytes of the headers changed: may run, may not, harm nobody."""
    rng, made = random.Random(2), {}
    for n in range(MUTANTS):
        data = bytearray(elf())
        for _ in range(rng.randint(1, 4)):
            at = rng.choice((rng.randrange(0, 64), rng.randrange(64, 176)))
            data[at] = rng.choice((0, 1, 0x7f, 0x80, 0xff, rng.randrange(256)))
        made[f"mutant-{n:04d}"] = bytes(data)
    return made


def write_files():
    top = f"{BUILD}/elf"
    subprocess.run(["rm", "-rf", top], check=True)
    os.makedirs(top)
    files = {"good-1": elf(), "good-2": elf(kind=3, entry=0x100, segments=[
        load(va=0), load(offset=PAGE, va=0x200000, flags=6)])}
    files |= refused() | mutants()
    with tarfile.open(f"{BUILD}/elf.tar", "w", format=tarfile.USTAR_FORMAT) as tar:
        for name, data in files.items():
            with open(f"{top}/{name}", "wb") as file:
                file.write(data)
            os.chmod(f"{top}/{name}", 0o755)
            tar.add(f"{top}/{name}", f"elf/{name}")


def build_programs():
    os.makedirs(BUILD, exist_ok=True)
    for name in ("badcalls", "execall", "giants"):
        subprocess.run(["musl-gcc", "-static", "-std=gnu11", "-O1", "-D_GNU_SOURCE", "-Wall",
                        "-Wextra", "-Werror", "-o", f"{BUILD}/{name}",
                        f"tests/system/prog/{name}.c"], check=True)


def node_run(command, files, smp, nodes=1):
    adds = [word for file, path in files for word in ("--add", f"{file}:{path}")]
    done = subprocess.run(["./isthmus", "run", "--nodes", str(nodes), "--smp", str(smp),
                           "--timeout", str(TIMEOUT_S), *adds, "--logs", f"{BUILD}/bad-logs",
                           "--", command],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8",
                          errors="replace")
    console = ""
    for node in range(nodes):
        with open(f"{BUILD}/bad-logs/node{node}.log", encoding="utf-8", errors="replace") as file:
            console += file.read()
    return done.returncode, done.stdout, done.stderr, console


# Free frames, and those that the kernel's heap has taken and keeps.
FREE = "echo frames $(sed -n 's/^free: //p; s/^heap: //p' /nodes/0/status)"
SERVER = "kvd /mnt/bad"              # a user program, whose files workers hold as well


def frames_back(tap, name, out, report, slack_kb=FREE_SLACK_KB):
    """Whether the frames of the first count are free again at the second one, or the heap's, and
    that has not grown much."""
    counts = [(int(free) * 4, int(heap) * 4)
              for free, heap in re.findall(r"^frames (\d+) (\d+)$", out, re.M)]
    good = len(counts) == 2
    if good:
        (free, heap), (free_after, heap_after) = counts
        good = free_after + heap_after >= free + heap - slack_kb
        good = good and heap_after <= heap + HEAP_SLACK_KB
    tap.result(good, f"{name}: memory comes back: {counts} kB free, in the heap", report)


def test_executables(tap):
    once = "execall elf/good* elf/[!g]*"
    command = (f"cd /tmp && tar xf /elf.tar && {once} > first; {FREE}; {once} > second; {FREE}; "
               "cat second; echo alive")
    code, out, err, console = node_run(
        command, [(f"{BUILD}/elf.tar", "/elf.tar"), (f"{BUILD}/execall", "/bin/execall")], 2)
    report = f"{err}\n{console}"
    tap.result(code == 0 and "alive" in out, "executables: the node lives", report)
    how = dict(line.split(" ", 1) for line in out.splitlines() if line.startswith("elf/"))
    for name in ("good-1", "good-2"):
        tap.result(how.get(f"elf/{name}") == "exit 7", f"executables: {name} runs", str(how))
    bad = refused()
    for name in bad:
        got = how.get(f"elf/{name}", "not run")
        tap.result(got.startswith("errno "), f"executables: {name}: {got}", report)
    silent = [name for name, data in bad.items() if data[:4] == b"\x7fELF"
              and not re.search(rf"exec: \S*elf/{name}: ", console)]
    tap.result(not silent, f"executables: the log says what is wrong with each ELF file {silent}",
               console)
    tap.result(len([n for n in how if "mutant" in n]) == MUTANTS,
               f"executables: all of {MUTANTS} mutants ended", report)
    frames_back(tap, "executables", out, report)


def test_calls(tap, seed):
    """Three programs of one boot, with seeds from `seed` on: the first one as root."""
    half = CALLS // 2
    command = (f"{SERVER}; badcalls {seed} {SWEEP} root; umount /mnt/bad; rm -r /tmp/bad; {FREE}; "
               f"{SERVER}; badcalls {seed + 1} {half}; rm -r /tmp/bad; "
               f"badcalls {seed + 2} {half}; rm -r /tmp/bad; umount /mnt/bad; {FREE}; echo alive")
    code, out, err, console = node_run(command, [(f"{BUILD}/badcalls", "/bin/badcalls")], 2)
    report = f"{console}\n{err}\n{out}\nSEED={seed} repeats it"
    tap.result(code == 0 and "alive" in out, f"calls, seed {seed}: the node lives", report)
    made = re.findall(r"^calls (\d+) workers (\d+).* witness (\d+)$", out, re.M)
    total = sum(int(m[0]) for m in made)
    tap.result(len(made) == 3 and total >= CALLS + SWEEP, f"calls: {total} hostile calls", report)
    tap.result(len(made) == 3 and all(m[2] == "0" for m in made),
               "calls: another process's memory, file and children are whole", report)
    frames_back(tap, "calls", out, report)


def test_far_calls(tap, seed):
    """On two nodes: by a process of the other one, whose files are all here; and by processes
    that are moved there and back while they make them."""
    command = (f"{SERVER}; on 1 badcalls {seed} {FAR_CALLS // 2}; "
               f"rm -r /tmp/bad; badcalls {seed + 1} {FAR_CALLS // 2} move; "
               "sed -n 's/^moves_in: /moves /p' /nodes/1/status; on 1 echo alive")
    code, out, err, console = node_run(command, [(f"{BUILD}/badcalls", "/bin/badcalls")], 1, 2)
    report = f"{console}\n{err}\n{out}\nSEED={seed} repeats it"
    tap.result(code == 0 and "alive" in out, f"far calls, seed {seed}: both nodes live", report)
    made = re.findall(r"^calls (\d+) workers (\d+).* witness (\d+)$", out, re.M)
    total = sum(int(m[0]) for m in made)
    tap.result(len(made) == 2 and total >= FAR_CALLS, f"far calls: {total} hostile calls", report)
    tap.result(len(made) == 2 and all(m[2] == "0" for m in made),
               "far calls: another process's memory, file and children are whole", report)
    moves = re.search(r"^moves (\d+)$", out, re.M)
    tap.result(moves is not None and int(moves[1]) > 0, "far calls: workers were moved", report)


def test_giants(tap):
    code, out, err, console = node_run(f"{FREE}; giants; giants >/tmp/none; {FREE}; echo alive",
                                       [(f"{BUILD}/giants", "/bin/giants")], 1)
    report = f"{out}\n{err}\n{console}"
    tap.result(code == 0 and "alive" in out, "giants: the node lives", report)
    for line in out.splitlines():
        if line.startswith(("ok ", "FAIL ")):
            tap.result(line.startswith("ok "), f"giants: {line.split(' ', 1)[1]}", report)
    frames_back(tap, "giants", out, report, FREE_SLACK_KB + 1024)


def main():
    build_programs()
    write_files()
    tap = Tap()
    test_executables(tap)
    test_giants(tap)
    for boot in range(BOOTS):
        test_calls(tap, SEED + 3 * boot)
    for boot in range(2 if LONG else 1):
        test_far_calls(tap, SEED + 1000 + 2 * boot)
    print(f"1..{tap.count}")
    return 1 if tap.failed else 0


if __name__ == "__main__":
    sys.exit(main())
