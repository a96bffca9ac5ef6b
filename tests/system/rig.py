"""What the tests share: programs built for the nodes, a cluster that runs one script in steps,
TAP, the loop over a test's checks. A step is one shell command run on node 0; what it printed
and its exit status are checked by themselves. A hang is found by the launcher's time-out."""
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.realpath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
BUILD = os.path.join(ROOT, "build", "system")
sys.path.insert(0, os.path.join(ROOT, "tools"))

from launcher.errors import LaunchError  # noqa: E402

LIMIT = os.environ.get("ISTHMUS_LIMIT", "600")       # a hang detector, seconds
ONLY = os.environ.get("STEPS", "").split(",") if os.environ.get("STEPS") else []  # by hand
LONG = os.environ.get("ISTHMUS_LONG") == "1"
SEPARATOR = "---isthmus-step-"
KINDS = {"musl": ["musl-gcc", "-static"], "glibc": ["gcc", "-static"],
         "pie": ["gcc", "-static-pie", "-fPIE"], "dynamic": ["gcc"]}

# Shell functions that the steps use. `until_is WHAT LOOKS WANTED COMMAND...`: waits until the
# command prints WANTED. `sum_of KEY`: that figure of all nodes. `shuttle PID N NODES`: moves PID
# from outside, N times, for as long as it lives. (Free frames: prog/frames.c.)
LIBRARY = r"""
until_is() {
    what=$1 k=$2 want=$3
    shift 3
    until [ "$("$@")" = "$want" ]; do
        k=$((k - 1))
        [ $k -gt 0 ] || { echo "$what: want $want, are $("$@")"; return 1; }
        sleep 0.1
    done
}
sum_of() {
    n=0
    for m in $(sed -n "s/^$1: //p" /nodes/*/status); do n=$((n + m)); done
    echo $n
}
moves_in() { sum_of moves_in; }
shuttle() {
    k=0
    while [ $k -lt $2 ]; do
        k=$((k + 1))
        migrate $1 $((k % $3)) 2>/tmp/shuttle.err && continue
        [ $k -gt 1 ] && grep -q 'No such process' /tmp/shuttle.err && return 0
        cat /tmp/shuttle.err >&2
        return 1
    done
}
"""


class Tap:
    def __init__(self):
        self.count = self.failed = 0

    def result(self, good, name, detail=""):
        self.count += 1
        self.failed += not good
        print(f"{'ok' if good else 'not ok'} {self.count} - {name}", flush=True)
        if not good and detail:
            print("\n".join("# " + line for line in detail.splitlines()[-40:]), flush=True)

    def equal(self, got, want, name):
        self.result(got == want, name, f"want {want!r}\ngot  {got!r}")

    def end(self):
        print(f"1..{self.count}")
        sys.exit(1 if self.failed else 0)


def checks_run(checks, *failures):
    """Runs each (name, function) and prints its result; one that raises AssertionError, or one
    of the machines' errors or of `failures`, has failed. Prints TAP; returns the exit status."""
    tap = Tap()
    for name, check in checks:
        try:
            check()
            tap.result(True, name)
        except (AssertionError, LaunchError, OSError, subprocess.SubprocessError,
                *failures) as error:
            tap.result(False, name, str(error))
    return 1 if tap.failed or not tap.count else 0


def program(name, kind="musl"):
    """Builds tests/system/prog/NAME.c; returns its path. Another group may be at it too, or put
    the one that is there into its image: a whole one takes its place at once."""
    os.makedirs(BUILD, exist_ok=True)
    path = os.path.join(BUILD, f"{name}-{kind}")
    made = f"{path}.{os.getpid()}"
    subprocess.run(KINDS[kind] + ["-std=gnu11", "-O1", "-D_GNU_SOURCE", "-I", ROOT, "-o",
                                  made, os.path.join(HERE, "prog", name + ".c")], check=True)
    os.replace(made, path)
    return path


def input_file(size):
    """Text of pseudo-random numbers, the same every time; returns its path."""
    os.makedirs(BUILD, exist_ok=True)
    path = os.path.join(BUILD, f"in-{size}")
    made = f"{path}.{os.getpid()}"               # as for a program
    value, lines, total = 12345, [], 0
    while total < size:
        value = (value * 6364136223846793005 + 1442695040888963407) % (1 << 64)
        lines.append(f"{value:020d} {value % 977} line\n")
        total += len(lines[-1])
    with open(made, "w", encoding="ascii") as file:
        file.write("".join(lines)[:size])
    os.replace(made, path)
    return path


def host(words, stdin=None):
    """What a command prints on the host."""
    return subprocess.run(words, input=stdin, stdout=subprocess.PIPE, check=True).stdout.decode()


class Run:
    """One cluster, its steps and what they gave. place: most tests count on processes that
    stay where they are put; "auto" lets the nodes move them as they see fit."""

    def __init__(self, tap, name, nodes=2, smp=1, files=(), extra=(), place="off"):
        self.tap, self.name = tap, name
        self.words = ["--nodes", str(nodes), "--smp", str(smp), "--append", f"place={place}",
                      *extra]
        for path, target in files:
            self.words += ["--add", f"{path}:{target}"]
        self.steps = []
        self.functions = LIBRARY       # shell functions for all steps
        test = os.path.splitext(os.path.basename(sys.argv[0]))[0]       # others use this name too
        self.logs = os.path.join(BUILD, f"logs-{test}-" + name.replace(" ", "-").replace(",", ""))

    def step(self, name, command, check):
        """check: the exact output wanted, or a function of (output, status) that says
        whether it is good. Text alone means exit status 0 too."""
        if not ONLY or any(text in name for text in ONLY):
            self.steps.append((name, command, check))

    def go(self):
        """Runs all steps; returns what the consoles showed."""
        script = self.functions + "".join(
            f"echo {SEPARATOR}{i}\n( {command}\n) 2>&1 </dev/null; echo {SEPARATOR}status $?\n"
            for i, (_, command, _) in enumerate(self.steps))
        done = subprocess.run(
            [os.path.join(ROOT, "isthmus"), "run", *self.words, "--timeout", LIMIT, "--logs",
             self.logs, "--", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        text = done.stdout.decode(errors="replace")
        errors = done.stderr.decode(errors="replace")
        self.tap.result(done.returncode == 0, f"{self.name}: ran to its end",
                        f"exit {done.returncode}\n{errors}\n{text[-2000:]}")
        for i, (name, _, check) in enumerate(self.steps):
            _, found, rest = text.partition(f"{SEPARATOR}{i}\n")
            output, ended, after = rest.partition(f"{SEPARATOR}status ")
            status = int(after.split("\n")[0]) if ended else -1
            if not found or not ended:
                self.tap.result(False, f"{self.name}: {name}", f"did not end; {output}")
            elif isinstance(check, str):
                self.tap.result(output == check and status == 0, f"{self.name}: {name}",
                                f"exit {status}, want {check!r}\ngot {output!r}")
            else:
                self.tap.result(bool(check(output, status)), f"{self.name}: {name}",
                                f"exit {status}, got\n{output}")
        return "".join(self.console(n) for n in range(int(self.words[1])))

    def console(self, node):
        try:
            with open(os.path.join(self.logs, f"node{node}.log"), "rb") as file:
                return file.read().decode(errors="replace")
        except FileNotFoundError:
            return ""


def all_ok(output, status):
    """The output of moves.c."""
    lines = output.splitlines()
    return status == 0 and len(lines) > 10 and all(line.startswith("ok ") for line in lines)
