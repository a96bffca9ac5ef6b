#!/usr/bin/env python3
"""Trees that user-space servers serve by 9P over pipes, as /mnt/NAME: read from both nodes,
unmounted, killed, mounted again; servers that break the protocol. Prints TAP."""
import hashlib
import os
import subprocess

import rig

MODES = ("exit", "size", "tag", "type", "long")
BIG = hashlib.sha256(bytes((i * 7 + i // 256) & 255 for i in range(300000))).hexdigest()
LISTING = "big\ndir\nhello\n"
# start NAME MODE AFTER: starts a server and waits until it is mounted.
START = r"""
start() {
    rm -f /tmp/said-$1
    p9tree "$@" > /tmp/said-$1 2>&1 &
    k=0
    until grep -q ready /tmp/said-$1 2>/dev/null; do
        k=$((k + 1)); [ $k -lt 600 ] || { echo "no server $1"; return 1; }; sleep 0.05
    done
}
io_errors() { grep -c 'I/O error\|Input/output'; }
unmount() {
    k=0
    until umount $1; do k=$((k + 1)); [ $k -lt 20 ] || return 1; sleep 0.1; done 2>/dev/null
}
"""


def server_build():
    os.makedirs(rig.BUILD, exist_ok=True)
    path = os.path.join(rig.BUILD, "p9tree")
    subprocess.run(["musl-gcc", "-static", "-std=gnu11", "-O1", "-I", rig.ROOT, "-o", path,
                    os.path.join(rig.HERE, "prog", "p9tree.c"),
                    os.path.join(rig.ROOT, "proto", "p9", "p9_codec.c"),
                    os.path.join(rig.ROOT, "user", "lib", "panic.c")], check=True)
    return path


def steps_read(run):
    run.step("a server is mounted", START + "start a && ls /mnt", "a\n")
    for node, on in ((0, ""), (1, "on 1 ")):
        run.step(f"from node {node}: names", f"{on}ls /mnt; {on}ls /mnt/a", "a\n" + LISTING)
        run.step(f"from node {node}: a file of 300,000 bytes", f"{on}sha256sum /mnt/a/big",
                 f"{BIG}  /mnt/a/big\n")
        run.step(f"from node {node}: pieces", f"{on}dd if=/mnt/a/big bs=1234 skip=7 count=5 "
                 "2>/dev/null | md5sum", rig_md5sum(7 * 1234, 5 * 1234))
        run.step(f"from node {node}: attributes", f"{on}stat -c '%s %a %F' /mnt/a/dir/inner",
                 "5 600 regular file\n")
        run.step(f"from node {node}: what is not there",
                 f"{on}cat /mnt/a/none /mnt/none/x 2>&1 | grep -c 'No such file'", "2\n")
        run.step(f"from node {node}: errors of the server",
                 f"{on}sh -c 'echo x > /mnt/a/hello' 2>&1 | grep -c 'Read-only'; "
                 f"{on}mkdir /mnt/a/d 2>&1 | grep -c 'Read-only'", "1\n1\n")
    run.step("up and down", "cd /mnt/a/dir && pwd && cat ../hello && cd ../.. && pwd && ls && "
             "cd .. && pwd", "/mnt/a/dir\nhello from user space\n/mnt\na\n/\n")
    run.step("links and moves between trees are EXDEV",
             "ln /mnt/a/hello /tmp/l 2>&1 | grep -c 'Invalid cross\\|Cross-device'", "1\n")
    run.step("a program moves while it reads",
             "for i in 1 2 3 4 5 6; do echo $((i % 2)) > /proc/self/node; "
             "sha256sum < /mnt/a/big; done | sort -u", f"{BIG}  -\n")


def rig_md5sum(at, length):
    data = bytes((i * 7 + i // 256) & 255 for i in range(at, at + length))
    return rig.host(["md5sum"], data)


def steps_end(run):
    run.step("a second server by that name is refused", "p9tree a 2>&1 | grep -c busy", "1\n")
    run.step("an open file keeps it mounted",
             "exec 5< /mnt/a/hello; umount /mnt/a 2>&1 | grep -c busy; exec 5<&-", "1\n")
    run.step("node 1 unmounts it; its server ends",
             "on 1 sh -c 'k=0; until umount /mnt/a 2>/dev/null; do k=$((k+1)); [ $k -lt 20 ] || "
             "exit 1; sleep 0.1; done'; echo $?; ls /mnt; pidof p9tree",
             lambda out, status: out == "0\n")
    run.step("a killed server: EIO, and a new one takes the name",
             START + "start b; exec 5< /mnt/b/big; kill -9 $(pidof p9tree); "
             "on 1 cat /mnt/b/hello 2>&1 | io_errors; head -c 9 <&5 2>&1 | io_errors; "
             "start b; on 1 cat /mnt/b/hello; head -c 9 <&5 2>&1 | io_errors; "
             "exec 5<&-; unmount /mnt/b; ls /mnt", "1\n1\nhello from user space\n1\n")
    for mode in MODES:
        run.step(f"a server that misbehaves: {mode}",
                 START + f"start c {mode} 9; for n in 1 2 3 4 5; do "
                 "dd if=/mnt/c/big bs=1000 of=/dev/null; done 2>&1 | io_errors; "
                 "unmount /mnt/c; ls /mnt",
                 lambda out, status: int(out.split()[0]) > 0 and len(out.split()) == 1)
    run.step("a server that hangs: its callers can be killed, and it",
             START + "start d hang 9; cat /mnt/d/big > /dev/null & c=$!; on 1 cat /mnt/d/big "
             "> /dev/null 2>&1 & r=$!; sleep 0.3; kill -9 $c; wait $c; echo $?; "
             "kill -9 $(pidof p9tree); wait $r; echo $?; unmount /mnt/d; ls /mnt",
             lambda out, status: out.replace("Killed\n", "") == "137\n1\n")
    run.step("nothing is left", "ls /mnt; cat /proc/mounts | grep -c 9p",
             lambda out, status: out == "0\n")


def main():
    tap = rig.Tap()
    run = rig.Run(tap, "mounts", files=[(server_build(), "/bin/p9tree")])
    steps_read(run)
    steps_end(run)
    text = run.go()
    tap.result("PANIC" not in text, "no panic", text[-2000:])
    tap.end()


if __name__ == "__main__":
    main()
