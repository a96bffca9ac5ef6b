#!/usr/bin/env python3
"""Job control at the console of node 0, typed by a person: Ctrl-C, Ctrl-Z, jobs, fg and bg, and
jobs of the background that use it, for those whose processes run here, on the other node, and on
both. Prints TAP."""
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
# What stops in the background (sh's own `read` polls before it reads), and what fg makes of it.
USES = (("reads", "stty -tostop", "sh -c 'a=$(head -n 1); echo said-$a-$(({} + 1000))'", "typed"),
        ("writes by TOSTOP", "stty tostop", "sh -c 'echo said--$(({} + 1000))'", ""))
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

    def stopped(self):
        """Waits until the shell says that a job of the background has stopped."""
        while True:
            said = self.ask(0, "jobs")
            if re.search(r"(?m)^\[\d+\]\+? +Stopped", said):
                return said
            self.health_check()

    def foreground(self):
        """Types fg. What is typed from here on is the job's: the shell has read its line."""
        self.count += 1
        self.type(0, f"echo next-$(({self.count} + 5000)); fg\n")
        self.wait(rb"\nnext-%d" % (self.count + 5000))


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


def background(tap, console):
    for about, setting, program, typed in USES:
        console.ask(0, setting)
        for name, form in KINDS:
            console.count += 1
            mark = 1000 + console.count
            want = b"said-%s-%d" % (typed.encode(), mark + 1000)
            console.type(0, form.format(program.format(mark)) + " &\n")
            said = console.stopped()
            early = want in console.machines[0].console()
            console.foreground()
            if typed:
                console.type(0, typed + "\n")
            console.wait(want)
            after = console.ask(0, "echo status $?; jobs")
            tap.result(not early and "status 0" in after and "Stopped" not in after,
                       f"a job that {about} in the background stops, fg lets it: {name}",
                       said + after)
    console.ask(0, "stty -tostop")


def main():
    tap = rig.Tap()
    try:
        with Console() as console:
            for here, there in ((0, 1), (1, 0)):
                console.console_wait(here, rb"cluster: node %d joined" % there)
            console.console_wait(0, rb"~ # ")
            interrupt(tap, console)
            stop(tap, console)
            background(tap, console)
    except (LaunchError, RunTimeout) as error:
        tap.result(False, f"{type(error).__name__}", str(error))
    tap.end()


if __name__ == "__main__":
    main()
