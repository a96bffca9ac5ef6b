#!/usr/bin/env python3
"""Permissions of files, user and group ids: prog/permissions.c, run by user 0, tries as several
users all that a mode, an owner, a group or a sticky directory says, and prints what came of it.
The host's kernel judges: what it prints there it must print on a node, from another node and on
ext4. Then what only a cluster has. Prints TAP."""
import difflib
import os
import re
import subprocess
import sys
import tempfile

import rig

PARTS = ("ann", "ann-in-staff", "bob", "staff-group", "nobody", "root", "ids", "to-and-fro",
         "script", "set up")

# Drives, consoles, a node's control file, another user's processes here and on the other node.
CLUSTER = r"""
setsid sleep 1000 & here=$!
on 1 setsid sleep 1001 & there=$!
until [ "$(cat /proc/$there/node)" = 1 ] && [ "$(cat /proc/$there/comm)" = sleep ] &&
      [ "$(cat /proc/$here/comm)" = sleep ]; do
    sleep 0.1
done
ls -ld /nodes/1/dev/console /nodes/1/dev/nvme0n1 | cut -c1-10
as() { permissions as 1000 "$@" | sed "s,/proc/,,; s/$here/HERE/; s/$there/THERE/"; }
as open /nodes/1/dev/nvme0n1 /nodes/1/dev/console /dev/console /dev/bench
as write /nodes/1/control /proc/$here/node /proc/$there/node
as open /nodes/1/status /dev/null /proc/$here/stat /proc/$there/stat
as open /proc/$here/maps /proc/$there/maps /proc/$here/fd /proc/$there/fd
as kill $here $there
as killpg $here
as killpg $there >/dev/null
echo 0 > /proc/$there/node; echo "moved by user 0: $?"
kill $here $there; echo "killed by user 0: $?"
wait
"""
CLUSTER_WANT = """crw-------
brw-rw----
open /nodes/1/dev/nvme0n1: EACCES
open /nodes/1/dev/console: EACCES
open /dev/console: EACCES
open /dev/bench: EACCES
write /nodes/1/control: EACCES
write HERE/node: EACCES
write THERE/node: EACCES
open /nodes/1/status: ok
open /dev/null: ok
open HERE/stat: ok
open THERE/stat: ok
open HERE/maps: EACCES
open THERE/maps: EACCES
open HERE/fd: EACCES
open THERE/fd: EACCES
kill HERE: EPERM
kill THERE: EPERM
killpg HERE: EPERM
moved by user 0: 0
killed by user 0: 0
"""
# A server of a user program: a file's set-id bits mean nothing there, and the kernel keeps no
# pages of its files that could be shared for writing.
NOT_ON_EXT4 = re.compile(r"run-4755|run-2755|mmap-write own")


def by_who(text):
    """The lines of each user."""
    parts = {}
    for line in text.splitlines():
        who = next((name for name in PARTS if line.startswith(name + " ")), "other")
        parts.setdefault(who, []).append(line)
    return parts


def compare(tap, where, got, want):
    got_parts, want_parts = by_who(got), by_who(want)
    for who in sorted(set(got_parts) | set(want_parts)):
        a, b = want_parts.get(who, []), got_parts.get(who, [])
        diff = "\n".join(difflib.unified_diff(a, b, "host", where, lineterm="", n=0))
        tap.result(a == b and len(a) > 4, f"{where}: {who}: {len(a)} answers are Linux's", diff)


def host_answers(path):
    """What Linux says; user 0 must ask it."""
    as_root = [] if os.geteuid() == 0 else ["sudo", "-n"]
    top = tempfile.mkdtemp()
    os.chmod(top, 0o755)
    text = rig.host([*as_root, path, os.path.join(top, "x")])
    subprocess.run([*as_root, "rm", "-r", top], check=True)
    return text


def main():
    tap = rig.Tap()
    path = rig.program("permissions")
    want = host_answers(path)
    drive = os.path.join(rig.BUILD, "permissions.img")
    subprocess.run(["mkfs.ext4", "-q", "-F", drive, "32M"], check=True)
    run = rig.Run(tap, "files", extra=("--disk", f"1:{drive}"),
                  files=[(path, "/bin/permissions")])
    out = {}

    def keep(name):
        return lambda output, status: out.setdefault(name, output) is not None and status == 0
    run.step("on the node itself", "permissions /tmp/x", keep("node"))
    run.step("from the other node", "on 1 permissions /tmp/y", keep("other node"))
    run.step("on ext4 of the other node", "mount -t ext4 /nodes/1/dev/nvme0n1 /mnt/b && "
             "permissions /mnt/b/x; s=$?; umount /mnt/b; exit $s", keep("ext4"))
    run.step("drives, consoles, processes of the cluster", CLUSTER, CLUSTER_WANT)
    run.go()
    for where in ("node", "other node"):
        compare(tap, where, out.get(where, ""), want)
    kept = ["".join(line + "\n" for line in text.splitlines() if not NOT_ON_EXT4.search(line))
            for text in (out.get("ext4", ""), want)]
    compare(tap, "ext4", *kept)
    tap.end()


if __name__ == "__main__":
    main()
