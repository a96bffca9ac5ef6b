#!/usr/bin/env python3
"""Job control at the console of node 0, typed by a person: Ctrl-C, Ctrl-Z, jobs, fg and bg, for
jobs whose processes run here, on the other node, and on both. Prints TAP."""
import re
import sys

import rig
from launcher.errors import LaunchError, RunTimeout
from panic import Watched

CTRL_C, CTRL_Z, CTRL_BACKSLASH = "\x03", "\x1a", "\x1c"
# What a job is: it says `begun-N` once it runs. Busybox's sh ignores SIGQUIT, whatever it runs; awk
# waits at the master of a new pseudo-terminal, so it takes nothing that is typed behind the key.
LOOP = ("sh -c 'm=$(({} + 1000)); trap \"echo again-$m\" CONT; echo begun-$m; "
        "while :; do sleep 1; done'")
PLAIN = "awk 'BEGIN {{ print \"begun-\" {} + 1000; fflush(); getline <\"/dev/ptmx\" }}'"
ENDS = (("Ctrl-C", CTRL_C, LOOP, "status 130"),
        ("Ctrl-\\", CTRL_BACKSLASH, PLAIN, "status 131"))
KINDS = (("here", "{}"), ("there", "on 1 {}"), ("on both nodes", "{} | on 1 cat"))


class Console(Watched):
    """The shell of node 0. Every wait is for a line that the shell or a program prints."""

    def __init__(self):
        super().__init__(None)
        self.mark = self.count = 0

    def wait(self, pattern):
        return self.console_wait(0, pattern)

    def key(self, key):
        self.type(0, key)

    def begin(self, form, program=LOOP):
        """Types a command, waits until it runs. A LOOP says `again-N` when it is continued."""
        self.mark = 1000 + self.count
        self.count += 1
        self.type(0, form.format(program.format(self.mark)) + "\n")
        self.wait(rb"\nbegun-%d" % (self.mark + 1000))

    def continued(self, command):
        """Types fg or bg and waits until the job says that it was continued, not before."""
        self.count += 1
        mark = 3000 + self.count
        self.type(0, f"echo next-$(({mark} + 1000)); {command}\n")
        self.wait(rb"(?s)\nnext-%d.*again-%d" % (mark + 1000, self.mark + 1000))


def interrupt(tap, console):
    for key_name, key, program, status in ENDS:
        for name, form in KINDS:
            console.begin(form, program)
            console.key(key)
            said = console.ask(0, "echo status $?")
            tap.result(status in said, f"{key_name} ends a job {name}", said)


def stop(tap, console):
    for name, form in KINDS:
        console.begin(form)
        console.key(CTRL_Z)
        said = console.ask(0, "jobs")
        tap.result(re.search(r"(?m)^\[\d+\]\+? +Stopped", said), f"Ctrl-Z stops a job {name}", said)
        console.continued("bg")
        said = console.ask(0, "jobs")
        tap.result(re.search(r"(?m)^\[\d+\]\+? +Running", said), f"bg lets it run on: {name}", said)
        console.continued("fg")
        console.key(CTRL_C)
        said = console.ask(0, "echo status $?; jobs")
        tap.result("status 130" in said and "Stopped" not in said and
                   "Running" not in said, f"fg, then Ctrl-C ends it: {name}", said)


def main():
    tap = rig.Tap()
    try:
        with Console() as console:
            for here, there in ((0, 1), (1, 0)):
                console.console_wait(here, rb"cluster: node %d joined" % there)
            console.console_wait(0, rb"~ # ")
            interrupt(tap, console)
            stop(tap, console)
    except (LaunchError, RunTimeout) as error:
        tap.result(False, f"{type(error).__name__}", str(error))
    tap.end()


if __name__ == "__main__":
    main()
