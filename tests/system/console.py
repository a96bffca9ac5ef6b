#!/usr/bin/env python3
"""The shell on the console: a prompt and an answer on CPUs of several kinds, and pasted text
that arrives whole, also while nobody reads it and across the shell's changes of mode. TAP."""
import hashlib
import sys
import tempfile

from boot import Boot, Tap

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


def main():
    tap = Tap()
    with tempfile.TemporaryDirectory() as folder:
        shells(tap, folder)
        pastes(tap, folder)
    print(f"1..{tap.count}")


if __name__ == "__main__":
    sys.exit(main())
