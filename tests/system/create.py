#!/usr/bin/env python3
"""Opens with O_CREAT of one name by many processes at once, over the network: walk and
create are two messages, and whoever comes second opens what the first one made. With O_EXCL
exactly one makes it. Prints TAP."""
import functools
import os
import re
import subprocess
import sys

import rig

LIMIT = os.environ.get("ISTHMUS_LIMIT", "300")  # a hang detector, seconds
NAMES = 100
WRITERS = (0, 1, 1, 1, 1)                       # the node of each

SCRIPT = r"""
mkdir /tmp/c /tmp/x /tmp/here
cat > /tmp/make <<'J'
echo > /tmp/here/$1
for w in WRITERS; do while [ ! -e /tmp/here/$w ]; do sleep 0.1; done; done
i=0
while [ $i -lt NAMES ]; do
    echo $1 >> /tmp/c/$i || echo failed $1 $i
    i=$((i + 1))
done
i=0
set -C
while [ $i -lt NAMES ]; do
    { echo $1 > /tmp/x/$i; } 2>/dev/null && echo made $i
    i=$((i + 1))
done
J
START
wait
for f in /tmp/c/*; do echo name ${f##*/} $(sort $f); done
for f in /tmp/x/*; do echo only ${f##*/} $(cat $f); done
"""


def run():
    start = "\n".join(f"{f'on {node} ' if node else ''}sh /tmp/make {writer} &"
                      for writer, node in enumerate(WRITERS))
    names = " ".join(str(w) for w in range(len(WRITERS)))
    script = (SCRIPT.replace("WRITERS", names).replace("NAMES", str(NAMES))
              .replace("START", start))
    done = subprocess.run(
        [os.path.join(rig.ROOT, "isthmus"), "run", "--nodes", "2", "--smp", "2", "--timeout", LIMIT,
         "--", script], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, f"exit status {done.returncode}\n{done.stdout[-3000:]}"
    return done.stdout


def check_all_open(text):
    """Every writer's line is in every file, once, and no open failed."""
    failed = re.findall(r"(?m)^failed .*|.*can't create /tmp/c.*", text)
    assert not failed, f"{len(failed)} opens failed: {failed[:3]}"
    files = dict(line.split(" ", 1) for line in re.findall(r"(?m)^name (.*)$", text))
    want = " ".join(str(w) for w in range(len(WRITERS)))
    assert len(files) == NAMES, f"{len(files)} of {NAMES} files"
    wrong = {name: lines for name, lines in files.items() if lines != want}
    assert not wrong, f"not each line once: {wrong}"


def check_one_makes(text):
    """O_EXCL: exactly one was told that it made the name, and the file is its."""
    made = re.findall(r"(?m)^made (\d+)$", text)
    assert sorted(made, key=int) == [str(i) for i in range(NAMES)], f"made: {made}"
    only = re.findall(r"(?m)^only (\d+) (.*)$", text)
    assert len(only) == NAMES and all(len(line.split()) == 1 for _, line in only), only


def main():
    text = functools.cache(run)
    name = f"{NAMES} names, each by {len(WRITERS)} processes of two nodes at once"
    return rig.checks_run([
        (f"{name}: with O_CREAT all open it", lambda: check_all_open(text())),
        (f"{name}: with O_EXCL one makes it", lambda: check_one_makes(text()))])


if __name__ == "__main__":
    sys.exit(main())
