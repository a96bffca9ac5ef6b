#!/usr/bin/env python3
"""The shell on the console: a prompt and an answer on CPUs of several kinds, and pasted text
that arrives whole, also while nobody reads it and across the shell's changes of mode; `isthmus up`
with a file as standard input, at a terminal, with --timeout. TAP."""
import hashlib
import os
import pty
import selectors
import subprocess
import sys
import tempfile
import termios

from boot import LIMIT_S, ROOT, Boot, Tap

PROMPT = "~ # "
END, SAY_END = "end of 42\n", "echo end of $((6 * 7))"
CPUS = ("qemu64", "Nehalem", "max", "max,-nx,-smap,-smep,-xsave")


def shells(tap, folder):
    for smp in (1, 2):
        for cpu in CPUS:
            boot = Boot(folder, smp=smp, extra=("-cpu", cpu))
            ok = boot.run("typed 42\n", prompt=PROMPT, typed="echo typed $((6 * 7)) | cat\n")
            tap.result(ok and "PANIC" not in boot.text, f"a shell answers, {smp} CPU {cpu}", boot)


def lines(count, length):
    """`count` lines of `length` letters and digits, no two the same."""
    return "".join((f"{n:06d}" + "abcdefghijklmnopqrstuvwxyz" * (length // 26 + 1))[:length] + "\n"
                   for n in range(count))


def pastes(tap, folder):
    """What is typed after `cat > file`, to the end of file, is in the file. The sleep lets
    the text pile up in the kernel and in the port before anybody reads."""
    for name, text, wait in (("80 lines of 70", lines(80, 70), ""),
                             ("60 lines of 250", lines(60, 250), ""),
                             ("20 lines of 1,500", lines(20, 1500), ""),
                             ("4 lines of 4,000", lines(4, 4000), ""),
                             ("300 lines of 70 before a reader", lines(300, 70), "sleep 1; ")):
        digest = hashlib.md5(text.encode()).hexdigest()
        boot = Boot(folder)
        ok = boot.run(END, prompt=PROMPT, typed=f"{wait}cat > /tmp/p\n{text}\x04"
                      f"wc -c < /tmp/p; md5sum /tmp/p; {SAY_END}\n")
        tap.result(ok and digest in boot.text, f"pasted text arrives whole: {name}", boot)
    commands = "".join(f"echo said $(({n} * 3)) by line number {n}\n" for n in range(120))
    boot = Boot(folder)
    ok = boot.run(END, prompt=PROMPT, typed=f"{commands}{SAY_END}\n")
    said = sum(f"said {n * 3} by line number {n}\n" in boot.text for n in range(120))
    tap.result(ok and said == 120, f"120 commands pasted at once all run ({said} did)", boot)


class Up:
    """`isthmus up` of one node: what it printed and how it ended; the name of a Boot's text."""

    def __init__(self, *words, timeout=LIMIT_S):
        self.words = [os.path.join(ROOT, "isthmus"), "up", "--nodes", "1", "--timeout",
                      str(timeout), *words]
        self.text, self.errors, self.status = "", "", None

    def fed(self, data):
        """Standard input is a pipe with this."""
        done = subprocess.run(self.words, input=data, capture_output=True, check=False)
        self.ended(done.returncode, done.stdout, done.stderr)

    def ended(self, status, out, errors):
        self.status, self.errors = status, errors.decode(errors="replace")
        self.text = out.decode(errors="replace").replace("\r", "") + self.errors

    def at_terminal(self, keys, until="", last=b""):
        """Standard input is a terminal: `keys` are there from the start, `last` follows when
        `until` is shown. Returns whether the terminal's settings are then as before."""
        ours, theirs = pty.openpty()
        before = termios.tcgetattr(theirs)
        os.write(ours, keys)
        out = b""
        with subprocess.Popen(self.words, stdin=theirs, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE) as guest, \
                selectors.DefaultSelector() as selector:
            selector.register(guest.stdout, selectors.EVENT_READ)
            while selector.select() and (data := os.read(guest.stdout.fileno(), 65536)):
                out += data
                if last and until.encode() in out.replace(b"\r", b""):
                    os.write(ours, last)
                    last = b""
            self.ended(guest.wait(), out, guest.stderr.read())
        same = termios.tcgetattr(theirs) == before
        os.close(ours)
        os.close(theirs)
        return same


def ups(tap):
    text = lines(900, 70).encode() + b"\x01x is two characters, no key of QEMU's\n"
    up = Up()
    up.fed(b"cat > /tmp/p\n" + text + b"\x04md5sum /tmp/p; exit $((1 + 2))\n")
    tap.result(up.status == 3 and hashlib.md5(text).hexdigest() in up.text,
               f"a file of {len(text) >> 10} KiB as standard input arrives whole; its shell's "
               f"status ({up.status})", up)
    up.fed(b"echo said $((6 * 7)); cat > /tmp/p; wc -c /tmp/p; false\nnine more")
    tap.result(up.status == 1 and "said 42\n" in up.text and "\n9 /tmp/p\n" in up.text,
               "its end ends a command that reads on, then the shell and the cluster", up)
    same = up.at_terminal(b"echo early $((6 * 7))\r", "\nearly 42\n", b"\x01x")
    tap.result(up.status == 0 and same, "at a terminal: what was typed before the node was up is "
               "run, and the terminal is left as it was", up)
    up = Up(timeout=5)
    same = up.at_terminal(b"")
    tap.result(up.status == 124 and same and "ended after 5 seconds" in up.errors,
               f"up --timeout 5 at a terminal ends with status {up.status} and says why", up)
    ours, theirs = os.pipe()                     # whose end never comes
    done = subprocess.run(up.words, stdin=ours, capture_output=True, check=False)
    up.ended(done.returncode, done.stdout, done.stderr)
    os.close(theirs)
    os.close(ours)
    tap.result(up.status == 124 and "no end after 5 seconds" in up.errors,
               f"up --timeout 5 with a pipe ends with status {up.status} and says why", up)


def main():
    tap = Tap()
    with tempfile.TemporaryDirectory() as folder:
        shells(tap, folder)
        pastes(tap, folder)
    ups(tap)
    print(f"1..{tap.count}")


if __name__ == "__main__":
    sys.exit(main())
