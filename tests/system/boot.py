#!/usr/bin/env python3
"""Boots the image in QEMU and looks at the console: machines, firmwares, CPUs; bad
options and a bad cluster.conf; panics on purpose. TAP on standard output. A boot is
complete with the line "isthmus: node up"; a panic has a line that starts "PANIC: ".
Waits for these lines, never for a time; LIMIT_S is a hang detector."""
import os
import re
import selectors
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
IMAGE = os.path.join(ROOT, "build", "isthmus.iso")
OVMF = "/usr/share/ovmf/OVMF.fd"
LIMIT_S = 240
UP = "isthmus: node up"
GOOD_CONF = "node 0 52:54:00:49:53:01 10.7.0.1\nkey " + "5a" * 32 + "\n"
EXIT_PANIC = 0x21 << 1 | 1           # isa-debug-exit of kernel/panic.c


class Boot:
    """One guest, run until a line of its console starts with or holds `until`, or its end."""

    def __init__(self, folder, options="", conf=GOOD_CONF, machine="q35", extra=(),
                 smp=1, uefi=False, qemu="qemu-system-x86_64"):
        conf_path, iso = os.path.join(folder, "conf"), os.path.join(folder, "run.iso")
        with open(conf_path, "w", encoding="ascii") as f:
            f.write(conf)
        subprocess.run([sys.executable, os.path.join(ROOT, "tools/mkimage.py"), "run", iso, IMAGE,
                        conf_path, "--options", ("panic=exit " + options).strip()],
                       check=True, stdout=subprocess.DEVNULL)
        words = [qemu, "-accel", "tcg", "-M", machine, "-smp", str(smp),
                 "-m", "256", "-cdrom", iso, "-serial", "stdio", "-display", "none",
                 "-no-reboot", "-nic", "none", "-device", "isa-debug-exit,iobase=0xf4,iosize=1"]
        self.words = words + (["-bios", OVMF] if uefi else []) + list(extra)
        self.text, self.status = "", None

    def run(self, until, prompt=None, typed=""):
        """Returns whether `until` was seen; self.status is the exit status, None if killed.
        `typed` goes to the console once `prompt` is there."""
        with subprocess.Popen(self.words, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT) as guest:
            selector = selectors.DefaultSelector()
            selector.register(guest.stdout, selectors.EVENT_READ)
            deadline = time.monotonic() + LIMIT_S
            while until is None or until not in self.text:
                if not selector.select(max(0, deadline - time.monotonic())):
                    break
                data = os.read(guest.stdout.fileno(), 65536)
                if not data:
                    break
                self.text += data.decode("utf-8", "replace").replace("\r", "")
                if typed and prompt in self.text:
                    guest.stdin.write(typed.encode("ascii"))
                    guest.stdin.flush()
                    typed = ""
            else:
                guest.kill()
                guest.wait()
                return True
            if time.monotonic() >= deadline:
                guest.kill()
            self.status = guest.wait()
        return until is not None and until in self.text


class Tap:
    def __init__(self):
        self.count = 0

    def result(self, ok, name, boot=None, skip=None):
        self.count += 1
        directive = f" # SKIP {skip}" if skip else ""
        print(f"{'ok' if ok else 'not ok'} {self.count} - {name}{directive}", flush=True)
        if not ok and boot:
            print("\n".join("#   " + line for line in boot.text.splitlines()[-30:]), flush=True)


def machines(tap, folder):
    for machine, uefi, smp, cpu in (
            ("pc", False, 1, "qemu64"), ("pc", False, 2, "qemu64"), ("q35", False, 1, "max"),
            ("q35", False, 2, "max"), ("q35", False, 2, "max,-nx,-smap,-smep,-xsave,-pge"),
            ("pc", True, 2, "qemu64"), ("q35", True, 1, "qemu64"), ("q35", True, 2, "max")):
        name = f"{machine} {'UEFI' if uefi else 'BIOS'} {smp} CPU {cpu} boots"
        if uefi and not os.path.exists(OVMF):
            tap.result(True, name, skip="no OVMF here")
            continue
        boot = Boot(folder, machine=machine, uefi=uefi, smp=smp, extra=("-cpu", cpu))
        seen = boot.run("CPUs, ")
        whole = seen and f"{UP}: {smp} CPUs" in boot.text and "PANIC" not in boot.text
        tap.result(whole, name, boot)


def bad_texts(tap, folder):
    boot = Boot(folder, options="frobnicate=1 panic=maybe justaword proc.max=3")
    ok = boot.run(UP) and all(text in boot.text for text in (
        "unknown kernel option 'frobnicate=1'",
        "kernel option 'panic=maybe' is malformed: panic takes halt or exit",
        "kernel option 'justaword' is not of the form name=value",
        "kernel option 'proc.max=3' is malformed"))
    tap.result(ok, "unknown and malformed kernel options are named, and it boots", boot)
    boot = Boot(folder, conf="# ours\nnode 0 52:54:00:49:53:01 10.7.0.1\nnode x 1 2\nkey 12\n")
    ok = boot.run(UP) and "cluster.conf:3: the node id" in boot.text and \
        "cluster.conf:4: a key line" in boot.text and "works alone" in boot.text
    tap.result(ok, "a broken cluster.conf is reported by line, and the node works alone", boot)
    tap.result("PANIC" not in boot.text, "no network card is no panic", boot)


def panics(tap, folder):
    for what, cause, function in (
            ("panic", "selftest: a panic on purpose", "kernel_main"),
            ("assert", "assertion failed: ", "kernel_main"),
            ("overflow", "the kernel stack of this CPU overflowed", "recurse"),
            ("write-text", "page fault in the kernel: write of ffffffff80", "kernel_main")):
        boot = Boot(folder, options="selftest=" + what, smp=2)
        boot.run(None)
        line = re.search(r"^PANIC: (.*)$", boot.text, re.M)
        tap.result(bool(line) and cause in line.group(1), f"selftest={what} names the cause", boot)
        trace = boot.text[boot.text.find("backtrace:"):]
        tap.result(bool(re.search(r"^  [0-9a-f]{16} " + function + r"[.\w]*\+0x", trace, re.M)) and
                   re.search(r"^cpu 0 of 2", boot.text, re.M) is not None and
                   "1 of 1 other CPUs stopped" in boot.text,
                   f"selftest={what} names the CPU and the way there, the other one stops", boot)
        tap.result(boot.status == EXIT_PANIC, f"selftest={what} leaves QEMU by panic=exit", boot)


def interrupts(tap, folder):
    for what, smp, cpu in (("timers", 1, "qemu64"), ("timers", 2, "max"), ("kicks", 1, "qemu64"),
                           ("kicks", 2, "qemu64")):
        boot = Boot(folder, options="selftest=" + what, smp=smp, extra=("-cpu", cpu))
        tap.result(boot.run(f"selftest: {what} ok"), f"selftest={what}, {smp} CPU {cpu}", boot)


def console(tap, folder):
    boot = Boot(folder)
    ok = boot.run("typed 42\n", prompt=" # ", typed="echo typed $((6 * 7))\n")
    tap.result(ok, "a shell on COM1 answers", boot)


def main():
    tap = Tap()
    with tempfile.TemporaryDirectory() as folder:
        machines(tap, folder)
        bad_texts(tap, folder)
        panics(tap, folder)
        interrupts(tap, folder)
        console(tap, folder)
    print(f"1..{tap.count}")


if __name__ == "__main__":
    main()
