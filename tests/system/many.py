#!/usr/bin/env python3
"""Many processes: 2,000 at once on two nodes, all listed and all reaped; fork bombs that meet
their limit while the shell goes on and ends them; memory used up by many. Prints TAP."""
import os
import re
import subprocess
import sys

import rig

LIMIT = os.environ.get("ISTHMUS_LIMIT", "400")  # a hang detector, seconds
HALF = 1000                                     # sleepers of each node
USER_MAX = 50
HOGS = 20

TWO_NODES = f"""
cd /tmp
many sleep {HALF} /tmp/go >one & one=$!
on 1 many sleep {HALF} /tmp/go >two & two=$!
until grep -q asleep one && grep -q asleep two; do sleep 0.2; done
sed 's/^/one /' one; sed 's/^/two /' two
set -- /proc/[1-9]*; echo running $#
> go
wait $one; echo one ended $?
wait $two; echo two ended $?
cat one two
set -- /proc/[1-9]*; echo left $#
"""

# The shell that runs this leads its session, as a console's does; the bombs have groups.
ONE_NODE = f"""
cd /tmp
gone() {{ while kill -9 -$1 2>/dev/null; do :; done; }}
set -- /proc/[1-9]*; echo before $#
for limit in {USER_MAX} 0; do
    many bomb $limit >said & bomb=$!
    while [ ! -s said ] && kill -0 $bomb; do :; done
    read why <said; echo bomb $limit $why
    set -- /proc/[1-9]*; echo during $limit $#
    ls / >/dev/null && echo the shell starts a program during $limit
    gone $bomb; wait $bomb; echo bomb $limit ended $?
    set -- /proc/[1-9]*; echo after $limit $#
    rm said
done
setsid sh -c 'b() {{ b | b & }}; b' 2>err & bomb=$!
while ! grep -q "can't fork" err; do :; done
echo the shell bomb: $(head -n 1 err)
gone $bomb
set -- /proc/[1-9]*; echo after shell $#
frames many hogs {HOGS}
echo alive
"""


def node_run(script, nodes):
    done = subprocess.run(
        [os.path.join(rig.ROOT, "isthmus"), "run", "--nodes", str(nodes), "--smp",
         "1" if nodes == 2 else "2", "--append", "place=off", "--timeout", LIMIT,
         "--add", f"{rig.program('many')}:/bin/many",
         "--add", f"{rig.program('frames')}:/bin/frames", "--", script],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, f"exit status {done.returncode}\n{done.stdout[-3000:]}"
    return done.stdout


def number(out, what):
    found = re.search(rf"(?m)^{what} (\d+)$", out)
    assert found, f"no '{what}' in\n{out[-3000:]}"
    return int(found[1])


def check_two_nodes():
    out = node_run(TWO_NODES, 2)
    assert f"one asleep {HALF}" in out and f"two asleep {HALF}" in out, out
    assert number(out, "running") >= 2 * HALF + 2, out
    assert out.count(f"reaped {HALF} more -1 No child process") == 2, out
    assert number(out, "one ended") == 0 and number(out, "two ended") == 0, out
    assert number(out, "left") < 20, out


def check_bombs(out):
    before = number(out, "before")
    for limit in (USER_MAX, 0):
        assert f"bomb {limit} refused: Resource temporarily unavailable" in out, out
        assert f"the shell starts a program during {limit}" in out, out
        assert number(out, f"bomb {limit} ended") == 128 + 9, out
        assert number(out, f"after {limit}") == before, out
    assert number(out, f"during {USER_MAX}") == before + USER_MAX, out
    assert number(out, "during 0") > 1000, out


def check_shell_bomb(out):
    # Several shells say so at once, each in two writes.
    refusal = "can't fork: Resource temporarily unavailable"
    assert re.search(f"(?m)^the shell bomb: .*{refusal}", out), out
    assert number(out, "after shell") == number(out, "before"), out


def check_hogs(out):
    assert f"hogs {HOGS} killed {HOGS}" in out, out
    assert "\nback" in out and "\nalive" in out, out


def main():
    subprocess.run(["make", "-s", "iso"], check=True, stdout=subprocess.DEVNULL)
    one = []

    def on_one(check):
        def run():
            if not one:
                one.append(node_run(ONE_NODE, 1))
            check(one[0])
        return run

    return rig.checks_run([
        (f"{2 * HALF} processes on two nodes, all listed, all reaped", check_two_nodes),
        ("a fork bomb meets its user's limit, and the table's; the shell ends it",
         on_one(check_bombs)),
        ("the shell's own fork bomb too", on_one(check_shell_bomb)),
        (f"{HOGS} that use up memory are killed, one by one; the node lives", on_one(check_hogs)),
    ])


if __name__ == "__main__":
    sys.exit(main())
