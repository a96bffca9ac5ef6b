#!/usr/bin/env python3
"""File servers that users write: the example kvd by the library user/lib, from both nodes, with
calls that wait, are interrupted, and move; servers that die, hang or answer nonsense, and what
that does to others. Prints TAP."""
import os
import subprocess

import mounts
import rig

WAITERS = 100 if rig.LONG else 70                # more than one server's tags
MOVES = 30 if rig.LONG else 6
# move PID NODE: tries until it goes, for on a busy machine a move may be refused.
MOVE = r"""
move() {
    k=50
    until migrate $1 $2 2>/tmp/move.err; do
        k=$((k - 1))
        [ $k -gt 0 ] || { cat /tmp/move.err; break; }
    done
}
"""
# ended PIDS: how many of them ended with which status.
ENDED = r"""
ended() {
    for c in "$@"; do wait $c; echo $?; done > /tmp/ended 2>/dev/null
    sort /tmp/ended | uniq -c | sed 's/^ *//'
}
"""
# Cases of the program direct: the CPU goes from caller to server and back with each message.
DIRECT = (("count", "most go that way"), ("two", "two callers"),
          ("signal", "a signal for the caller"), ("restart", "a signal whose handler restarts"),
          ("kill", "a caller that is killed"), ("move", "a caller that is moved and back"),
          ("die", "a server that is killed between request and answer"),
          ("pipes", "two programs and two pipes"), ("calls", "arguments of reply_recv"))
DIRECT_SAYS = dict.fromkeys((mode for mode, _ in DIRECT), "right\n")
DIRECT_SAYS["count"] = DIRECT_SAYS["pipes"] = "direct\n"
DIRECT_SAYS["calls"] = ("3 xyz 0, 3 abc, -9 0, -9 3, -22 4097, -14 3, -22 3, 0 0\n")
HOSTILE = ("twice", "swap", "tag", "size", "long", "flood")


def steps_kv(run):
    run.step("kvd is mounted and goes on in the background", "kvd /mnt/kv && ls /mnt/kv", "wait\n")
    for node, on, other in ((0, "", "on 1 "), (1, "on 1 ", "")):
        run.step(f"node {node} sets a key, the other reads it",
                 f"{on}sh -c 'echo of node {node} > /mnt/kv/k{node}'; {other}cat /mnt/kv/k{node}; "
                 f"{other}stat -c '%s %F' /mnt/kv/k{node}",
                 f"of node {node}\n10 regular file\n")
    run.step("names and ends", "ls /mnt/kv; rm /mnt/kv/k0; on 1 ls /mnt/kv; cat /mnt/kv/k0 2>&1 | "
             "grep -c 'No such file'", "k0\nk1\nwait\nk1\nwait\n1\n")
    run.step("its bounds: a value, a name, keys",
             "head -c 65537 /dev/zero 2>/dev/null | cat > /mnt/kv/big 2>/tmp/e; "
             "grep -c large /tmp/e; "
             "n=0123456789012345678901234567890123456789; echo x 2>&1 > /mnt/kv/$n$n | grep -c x; "
             "(echo x > /mnt/kv/$n$n) 2>&1 | grep -c 'name too long'; rm /mnt/kv/big; "
             "i=0; while (echo $i > /mnt/kv/n$i) 2>/tmp/e; do i=$((i + 1)); done; echo $i; "
             "grep -c 'No space' /tmp/e; rm /mnt/kv/n*; ls /mnt/kv",
             "1\n0\n1\n255\n1\nk1\nwait\n")


def steps_waiting(run):
    run.step("calls that wait leave the server free: readers on both nodes, then the value",
             "for i in 1 2 3 4 5 6; do cat /mnt/kv/wait/w & on 1 cat /mnt/kv/wait/w & done; "
             "cat /mnt/kv/k1; echo now > /mnt/kv/w; wait; rm /mnt/kv/w",
             lambda out, status: sorted(out.split("\n")) == sorted(["of node 1"] + ["now"] * 12 +
                                                                   [""]))
    run.step(f"{WAITERS} readers that wait are ended by a signal; each is flushed, the server "
             "answers others",
             ENDED + "n=0; while [ $n -lt %d ]; do p=; for i in 1 2 3 4 5 6 7 8 9 10; do "
             "cat /mnt/kv/wait/never & p=\"$p $!\"; n=$((n + 1)); done; kill $p; ended $p; done; "
             "cat /mnt/kv/k1" % WAITERS,
             "10 143\n" * (WAITERS // 10) + "of node 1\n")
    run.step("and one of the other node, and one by kill -9",
             "on 1 sh -c 'cat /mnt/kv/wait/never & kill $!; wait $!; echo $?'; "
             "cat /mnt/kv/wait/never & kill -9 $!; wait $!; echo $?; cat /mnt/kv/k1",
             lambda out, status: [w for w in out.split("\n") if w not in ("Terminated", "Killed")]
             == ["143", "137", "of node 1", ""])
    run.step("a reader that waits moves to the other node and back, and gets the value",
             MOVE + "cat /mnt/kv/wait/m & c=$!; move $c 1; move $c 0; move $c 1; "
             "cat /proc/$c/node; echo moved > /mnt/kv/m; wait $c; rm /mnt/kv/m", "1\nmoved\n")
    run.step(f"the server moves {MOVES} times while both nodes use it",
             MOVE + "s=$(pidof kvd); seq 1 9000 > /mnt/kv/s; w=$(sha256sum < /mnt/kv/s); "
             "(i=0; while [ $i -lt %d ]; do i=$((i + 1)); move $s $((i %% 2)); "
             "done; : > /tmp/moved) & (until [ -e /tmp/moved ]; do on 1 sha256sum /mnt/kv/s; done "
             "| grep -vc \"${w%%%% *}\") & until [ -e /tmp/moved ]; do "
             "sha256sum < /mnt/kv/s; done | grep -vc \"${w%%%% *}\"; wait; "
             "rm /tmp/moved /mnt/kv/s" % MOVES, "0\n0\n")


def steps_end(run):
    run.step("a server that is killed: all who wait get EIO, and it can be started again",
             mounts.START + "for i in 1 2 3 4; do cat /mnt/kv/wait/e & on 1 cat /mnt/kv/wait/e & "
             "done 2>&1 | io_errors & until [ $(pidof cat | wc -w) -ge 4 ]; do :; done; "
             "kill -9 $(pidof kvd); wait; cat /mnt/kv/k1 2>&1 | io_errors; "
             "kvd /mnt/kv && echo again > /mnt/kv/k && on 1 cat /mnt/kv/k",
             "8\n1\nagain\n")
    for mode in HOSTILE:
        run.step(f"a hostile server beside it: {mode}",
                 mounts.START + f"start h {mode} 9; for n in 1 2 3 4 5 6 7 8; do "
                 "dd if=/mnt/h/big bs=3000 count=9 of=/dev/null 2>&1 & done | io_errors; "
                 "on 1 cat /mnt/kv/k; kill -9 $(pidof p9tree) 2>/dev/null; unmount /mnt/h; "
                 "ls /mnt",
                 lambda out, status: out.split()[-2:] == ["again", "kv"])
    run.step("a server that never answers: its callers end by signals, and so does it",
             mounts.START + ENDED + "start h hang 6; p=; for i in $(seq 1 %d); do "
             "cat /mnt/h/big & p=\"$p $!\"; done > /tmp/out 2>&1; "
             "on 1 cat /mnt/h/big > /tmp/out1 2>&1 & q=$!; on 1 cat /mnt/kv/k; kill $p $q; "
             "ended $p; ended $q; kill -9 $(pidof p9tree); unmount /mnt/h; ls /mnt" % WAITERS,
             f"again\n{WAITERS} 143\n1 143\nkv\n")
    # It hangs at the first walk, at the open, at the read.
    run.step("who waits for a server that never answers moves away, back, and away again",
             mounts.START + MOVE + "for m in 2 5 7; do start h hang $m; cat /mnt/h/big & c=$!; "
             "until grep -q '^cat$' /proc/$c/comm; do :; done; for n in 1 0 1; do move $c $n; "
             "done; cat /proc/$c/node; kill $c; wait $c; echo $?; kill -9 $(pidof p9tree); "
             "unmount /mnt/h; done 2>/dev/null; ls /mnt", "1\n143\n" * 3 + "kv\n")
    run.step("reads at an offset while signals come, of callers on both nodes, one of them moving",
             mounts.START + "start q && (preads /mnt/q/big 400 & preads /mnt/q/big 400 & "
             "on 1 preads /mnt/q/big 60 & preads /mnt/q/big 400 & c=$!; migrate $c 1 2>/dev/null; "
             "migrate $c 0 2>/dev/null; wait); kill -9 $(pidof p9tree); unmount /mnt/q",
             "right\n" * 4)
    # EIO; or wrong bytes: a second answer may pass for that of the next call with this tag.
    run.step("and of servers that are hostile, or die",
             mounts.START + "for m in twice long size exit; do start q $m 40; "
             "(preads /mnt/q/big 400 & preads /mnt/q/big 400; wait) 2>&1 | grep -vc right; "
             "kill -9 $(pidof p9tree) 2>/dev/null; unmount /mnt/q; done; ls /mnt",
             "2\n2\n2\n2\nkv\n")
    run.step("it is unmounted, and ends", "umount /mnt/kv; ls /mnt; pidof kvd p9tree",
             lambda out, status: out == "")


def steps_direct(run):
    for mode, what in DIRECT:
        run.step(f"reads whose server runs at once: {what}", f"direct {mode}", DIRECT_SAYS[mode])


def direct_build():
    path = os.path.join(rig.BUILD, "direct-musl")
    made = f"{path}.{os.getpid()}"
    subprocess.run(["musl-gcc", "-static", "-std=gnu11", "-O1", "-D_GNU_SOURCE", "-I", rig.ROOT,
                    "-o", made, os.path.join(rig.HERE, "prog", "direct.c"),
                    os.path.join(rig.ROOT, "user", "lib", "panic.c"),
                    os.path.join(rig.ROOT, "proto", "p9", "p9_codec.c")], check=True)
    os.replace(made, path)
    return path


def main():
    tap = rig.Tap()
    files = [(mounts.server_build(), "/bin/p9tree"), (direct_build(), "/bin/direct"),
             (rig.program("preads"), "/bin/preads")]
    run = rig.Run(tap, "servers", files=files)
    steps_kv(run)
    steps_waiting(run)
    steps_direct(run)
    steps_end(run)
    text = run.go()
    run = rig.Run(tap, "servers on two CPUs", smp=2, files=files)
    steps_direct(run)
    text += run.go()
    tap.result("PANIC" not in text, "no panic", text[-2000:])
    tap.end()


if __name__ == "__main__":
    main()
