#!/usr/bin/env python3
"""The kernel built by clang: no warning, it boots to a prompt and runs a list of programs
with the output that the host's busybox gives. gcc's kernel is the one of all other tests;
both are built with -Werror. TAP."""
import os
import subprocess
import sys
import tempfile

import boot
from boot import Boot, Tap

ROOT = boot.ROOT
ISO = os.path.join(ROOT, "build", "clang.iso")
PROMPT = "~ # "
END, SAY_END = "end of 42\n", "echo end of $((6 * 7))"
PROGRAMS = (
    "seq 1 3000 | sha256sum", "seq 1 3000 | gzip | gunzip | md5sum", "seq 9 | sort -r | head -2",
    "echo a b c | tr ' ' '\\n' | wc -l", "printf '%05d %x\\n' 42 255",
    "(exit 3); echo $?", "for i in 1 2 3; do echo $i & done; wait; echo waited",
    # Not SIGTERM: an interactive shell ignores it, and so does its child at first.
    "sleep 60 & kill -9 $!; wait $!; echo $?",
    "cat /etc/none 2>/dev/null || echo none",
)


def build():
    """Builds kernel and image; returns what make said. An old object says no warning, so the
    files that are built are all."""
    subprocess.run(["rm", "-rf", "build/kernel-clang"], cwd=ROOT, check=True)
    done = subprocess.run(["make", "--no-print-directory", "kernel-clang"], cwd=ROOT, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    subprocess.run(["make", "--no-print-directory", "iso"], cwd=ROOT, check=True,
                   stdout=subprocess.DEVNULL)
    if done.returncode == 0:
        subprocess.run([sys.executable, "tools/mkimage.py", "base", ISO,
                        "build/kernel-clang/isthmus.elf", "build/initrd.cpio", "grub/grub.cfg"],
                       cwd=ROOT, check=True)
    return done.returncode, done.stdout


def programs(tap, smp):
    with tempfile.TemporaryDirectory() as folder:
        node = Boot(folder, smp=smp, extra=("-cpu", "max" if smp > 1 else "qemu64"))
        typed = "".join(f"{command}\n" for command in PROGRAMS)
        ok = node.run(END, prompt=PROMPT, typed=f"PS1=; exec 2>&1\n{typed}{SAY_END}\n")
        tap.result(ok and "PANIC" not in node.text, f"clang, {smp} CPU: the shell answers", node)
        for command in PROGRAMS:
            want = subprocess.run(["busybox", "sh", "-c", command], text=True, check=False,
                                  stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout
            lines = [line.strip() for line in node.text.split("\n")]
            good = all(line in lines for line in want.split("\n") if line)
            tap.result(good, f"clang, {smp} CPU: {command}", node)


def main():
    tap = Tap()
    status, said = build()
    lines = [line for line in said.splitlines() if "warning:" in line or "error:" in line]
    tap.result(status == 0 and not lines, "clang builds the kernel without a warning")
    print("\n".join("#   " + line for line in lines[:20]))
    if status == 0:
        boot.IMAGE = ISO
        for smp in (1, 2):
            programs(tap, smp)
    print(f"1..{tap.count}")


if __name__ == "__main__":
    main()
