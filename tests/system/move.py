#!/usr/bin/env python3
"""Programs that move while they run: by themselves, from outside, to and fro, between two
and three nodes; what they compute must equal the host's, and every frame must come back.
Prints TAP."""
import hashlib
import subprocess
import sys

import rig

MIB, MOVES = (64, 50) if rig.LONG else (16, 10)
MIB_SMP2 = 64 if rig.LONG else 4
WARM_MOVES = 4
FILE_BYTES = 3 << 20
SEEK_MOVES = 200 if rig.LONG else 40
LINES = 300


def hashset_steps(run, mib, moves, nodes):
    """Moves itself; the same hash; the frames of all nodes come back, all of them."""
    want = rig.host([rig.program("hashset"), str(mib), "2", "7"])
    went = "".join(f"hashset: on node {(i + 1) % nodes}\n" for i in range(moves))
    # The kernels' heaps grow to what this work needs, and keep it: the first time is not measured.
    command = f"hashset {mib} 2 7 {moves} {nodes}"
    run.step("warm up", f"hashset {mib} 2 7 {WARM_MOVES} {nodes} 2>/dev/null", want)
    run.step(f"hashset of {mib} MiB, {moves} moves: right hash, all frames back",
             f"frames {command}", went + want + "back\n")


def outside_steps(run, smp):
    """The mover is another process, on node 0."""
    want = rig.host([rig.program("hashset"), "4", "2500", "3"])
    for kind in ("musl", "glibc", "pie") if smp == 1 else ("musl",):
        run.step(f"{kind}: moved from outside while it computes",
                 f"hashset-{kind} 4 2500 3 & p=$!; b=$(moves_in); shuttle $p 6 2; "
                 "wait $p; echo $? $(($(moves_in) - b))", want + "0 6\n")


def seek_steps(run, nodes):
    run.step("who looks for a process on its way finds it", f"seek {nodes} {SEEK_MOVES}",
             "ok found\nok killed\n")


def busybox_steps(run, path):
    digest = hashlib.sha256(open(path, "rb").read()).hexdigest()
    packed = hashlib.sha256(subprocess.run(
        ["busybox", "gzip", "-c", path], stdout=subprocess.PIPE, check=True).stdout).hexdigest()
    feeder = ("i=0; until [ -s /tmp/pid ]; do sleep 0.05; done; while [ $i -lt 6 ]; do "
              "dd if=/tmp/in bs=64k skip=$((i * 8)) count=8 2>/dev/null; i=$((i + 1)); "
              "migrate $(cat /tmp/pid) $((i % 2)) || exit 1; done")
    run.step("sha256sum fed through a pipe, moved between the pieces",
             f"rm -f /tmp/pid; ( {feeder} ) | sha256sum & echo $! > /tmp/pid; wait $!; echo $?",
             f"{digest}  -\n0\n")
    run.step("gzip of a file, moved while it packs",
             "gzip -c /tmp/in > /tmp/in.gz & p=$!; shuttle $p 5 2; wait $p; echo $?; "
             "sha256sum < /tmp/in.gz; rm /tmp/in.gz", f"0\n{packed}  -\n")
    run.step("a pipe of 12 MiB from node 1 to node 0, both ends moved",
             "on 1 cat /tmp/in > /tmp/fifo.out & wait $!; "
             "rm -f /tmp/left; ( on 1 cat /tmp/in /tmp/in /tmp/in /tmp/in & echo $! > /tmp/left; "
             "wait ) | sha256sum & s=$!; until [ -s /tmp/left ]; do sleep 0.05; done; "
             "shuttle $(cat /tmp/left) 2 2 2>/dev/null; "
             "shuttle $s 3 2; "
             "wait $s; echo $?; sha256sum < /tmp/fifo.out; rm /tmp/fifo.out",
             f"{four_times(path)}  -\n0\n{digest}  -\n")


def four_times(path):
    return hashlib.sha256(open(path, "rb").read() * 4).hexdigest()


def shell_steps(run):
    lines = "".join(f"line {i} of the file\n" for i in range(LINES))
    digest = hashlib.sha256(lines.encode()).hexdigest()
    run.step("a shell reads a file by lines, appends to another, and moves",
             f"i=0; while [ $i -lt {LINES} ]; do echo line $i of the file; i=$((i + 1)); done "
             "> /tmp/lines; sh -c 'n=0; while read l; do n=$((n + 1)); "
             "[ $((n % 50)) = 0 ] && echo $((n / 50 % 2)) > /proc/self/node; "
             "echo \"$l\" >> /tmp/copy; done < /tmp/lines; echo $n'; sha256sum < /tmp/copy; "
             "rm /tmp/copy", f"{LINES}\n{digest}  -\n")
    run.step("a moved shell starts children there and elsewhere",
             "sh -c 'echo 1 > /proc/self/node; cat /proc/self/node; on 0 cat /proc/self/node; "
             "sh -c \"exit 3\"; echo $?; seq 3 | wc -l; sleep 0 & wait $!; echo $?; "
             "echo 0 > /proc/self/node; cat /proc/self/node; (exit 9); echo $?'",
             "1\n0\n3\n3\n0\n0\n9\n")
    run.step("a loop of builtins goes on where it was sent",
             "sh -c 'i=0; while [ $i -lt 4 ]; do echo tick $i; i=$((i + 1)); "
             "echo $((i % 2)) > /proc/self/node; done'", "tick 0\ntick 1\ntick 2\ntick 3\n")
    run.step("sleep, moved while it sleeps",
             "sleep 1 & p=$!; migrate $p 1; cat /proc/$p/node; migrate $p 0; wait $p; echo $?",
             "1\n0\n")
    run.step("a shell in wait, moved",
             "sh -c 'sleep 1; exit 4' & p=$!; migrate $p 1; migrate $p 0; migrate $p 1; wait $p; "
             "echo $?", "4\n")
    run.step("exit codes and signals through `on`",
             "on 1 sh -c 'exit 7'; echo $?; on 1 sh -c 'kill -TERM $$'; echo $?; "
             "on 1 nosuch 2>/dev/null; echo $?; on 1 cat /proc/self/node; echo $?",
             lambda out, status: out.endswith("127\n1\n0\n") and out.startswith("7\n")
             and "143\n" in out)
    run.step("kill -9 of a process on node 1",
             "on 1 sleep 1000 & p=$!; while kill -0 $p && [ \"$(cat /proc/$p/node)\" != 1 ]; "
             "do sleep 0.05; done; kill -9 $p; wait $p; echo $?; kill -0 $p 2>/dev/null; echo $?",
             lambda out, status: out.split()[-2:] == ["137", "1"])
    run.step("kill of a group reaches who was born on node 1 of a parent there",
             "rm -f /tmp/born; "
             "setsid sh -c 'on 1 sh -c \"sleep 1000 & echo \\$! >/tmp/born; wait\"; :' & g=$!; "
             "until [ -s /tmp/born ]; do sleep 0.05; done; b=/nodes/1/proc/$(cat /tmp/born); "
             "[ -e $b/stat ] && echo there; kill -TERM -$g; wait $g; echo $?; k=0; "
             "while [ -e $b/stat ] && [ $k != 100 ]; do k=$((k + 1)); sleep 0.1; done; "
             "[ -e $b/stat ] || echo gone",
             lambda out, status: out.replace("Terminated\n", "") == "there\n143\ngone\n")


def refusal_steps(run):
    def says(text):
        return lambda out, status: status != 0 and text in out
    run.step("migrate: no such process", "migrate 9999 1", says("process 9999: No such process"))
    run.step("migrate: a node that is not there", "migrate $$ 9", says("there is no node 9"))
    run.step("migrate: no node's number", "migrate $$ x", says("x is no node's number"))
    run.step("migrate: init stays", "migrate 1 1", says("busy"))
    run.step("on: a node that is not there", "on 9 true",
             lambda out, status: status == 126 and out != "")


def family_steps(run):
    """More children than the link has places for messages: all are named to their parent."""
    run.step("a shell with 200 children moves, and waits for all of them",
             "sh -c 'i=0; while [ $i -lt 200 ]; do sleep 1000 & i=$((i + 1)); done; "
             "echo 1 > /proc/self/node; cat /proc/self/node; kill $(jobs -p); wait; echo all'",
             "1\nall\n")


def zombie_steps(run):
    run.step("no process and no image is left", "k=0; while [ $k -lt 100 ]; do k=$((k + 1)); "
             "n=$(grep ^processes: /nodes/1/status | tr -dc 0-9); [ $n -le 2 ] && break; "
             "sleep 0.1; done; echo $n", "2\n")
    run.step("no pair broke", "grep -h -e ^downs: -e ^page_stale: /nodes/*/status | sort -u",
             "downs: 0\npage_stale: 0\n")


def two_nodes(tap, smp, path):
    run = rig.Run(tap, f"smp {smp}", 2, smp, [
        (rig.program("hashset"), "/bin/hashset"), (path, "/tmp/in"),
        (rig.program("frames"), "/bin/frames"),
        (rig.program("seek"), "/bin/seek"),
        *[(rig.program(p, k), f"/bin/{p}-{k}") for p in ("hashset", "moves") for k in rig.KINDS]],
        ["--deb", "libc6"] if rig.LONG else [])                 # for the dynamic kind
    hashset_steps(run, MIB if smp == 1 else MIB_SMP2, MOVES, 2)
    for kind in rig.KINDS if rig.LONG else ("musl",):
        run.step(f"moves.c, {kind}", f"moves-{kind} 2", rig.all_ok)
    outside_steps(run, smp)
    seek_steps(run, 2)
    busybox_steps(run, path)
    shell_steps(run)
    refusal_steps(run)
    family_steps(run)
    zombie_steps(run)
    run.go()


def three_nodes(tap):
    run = rig.Run(tap, "3 nodes", 3, 1, [(rig.program("hashset"), "/bin/hashset"),
                                         (rig.program("frames"), "/bin/frames"),
                                         (rig.program("moves"), "/bin/moves-musl"),
                                         (rig.program("seek"), "/bin/seek")])
    hashset_steps(run, 4, 12, 3)
    run.step("moves.c round three nodes", "moves-musl 3", rig.all_ok)
    seek_steps(run, 3)
    run.step("no pair broke", "grep -h -e ^downs: -e ^page_stale: /nodes/*/status | sort -u",
             "downs: 0\npage_stale: 0\n")
    run.go()


def small_nodes(tap):
    """Images of earlier stays fill both nodes: a move waits until they are released."""
    mib, rounds, moves = 20, 3, 30
    run = rig.Run(tap, "small nodes", 2, 2, [(rig.program("hashset"), "/bin/hashset")],
                  ["--mem", "112M"])
    run.step(f"hashset of {mib} MiB, {moves} moves between nodes of 112 MiB",
             f"hashset {mib} {rounds} 7 {moves} 2 2>/dev/null",
             rig.host([rig.program("hashset"), str(mib), str(rounds), "7"]))
    run.step("a node had no room at first", "grep -h ^moves_no_room: /nodes/*/status",
             lambda output, status: status == 0 and
             any(int(line.split()[1]) > 0 for line in output.splitlines()))
    run.go()


def main():
    tap = rig.Tap()
    path = rig.input_file(FILE_BYTES)
    wanted = sys.argv[1:] or ["smp1", "smp2", "three", "small"]      # by hand: one of them
    if "smp1" in wanted:
        two_nodes(tap, 1, path)
    if "smp2" in wanted:
        two_nodes(tap, 2, path)
    if "three" in wanted:
        three_nodes(tap)
    if "small" in wanted:
        small_nodes(tap)
    tap.end()


if __name__ == "__main__":
    main()
