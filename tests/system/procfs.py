#!/usr/bin/env python3
"""/proc of a cluster of three: busybox's own ps, top, free, pidof and killall see the processes
of all nodes, also one that moves meanwhile; formats as the host's. TAP."""
import re
import sys

from rig import Run, Tap, host

# The shape of what /proc says: the same on the host, where numbers are N and gaps are one.
SHAPE = r"sed 's/[0-9][0-9]*/N/g; s/  */ /g; s/ $//'"
SHAPES = {
    "statm": f"cat /proc/self/statm | {SHAPE}",
    "uptime": f"cat /proc/uptime | {SHAPE}",
    "loadavg": f"cat /proc/loadavg | {SHAPE}",
    "stat": r"wc -w < /proc/self/stat; cut -d ' ' -f 2,3 /proc/self/stat",
    "free": f"free | {SHAPE}",
    "top": f"top -b -n 1 | {SHAPE} | sed -n '1,2p;4p'",
    "swaps": "head -n 1 /proc/swaps",
    "limits": f"grep -E 'Limit|open files' /proc/self/limits | {SHAPE}",
    "cmdline": "tail -c 14 /proc/self/cmdline | tr '\\0' ' '",
    "task": "[ $(ls /proc/self/task | wc -l) = 1 ] && cd /proc/self && [ -e task/$(sh -c "
            "'echo $PPID')/stat ]; echo $?",
}
# One process on each of the three nodes, named by what they are: p0, p1, p2.
SLEEPERS = ("sleep 5000 & p0=$!; on 1 sleep 5001 & p1=$!; on 2 sleep 5002 & p2=$!; "
            "asleep() { cat /proc/$p0/stat /proc/$p1/stat /proc/$p2/stat | "
            "grep -c '(sleep) S'; }; until_is 'sleepers' 300 3 asleep; ")
ENDED = "kill $p0 $p1 $p2; wait"


def shapes(run):
    for name, command in SHAPES.items():
        run.step(f"{name} has the host's shape", command, host(["busybox", "sh", "-c", command]))


def listing(run):
    run.step("ps lists the processes of all nodes, each once, on each node",
             SLEEPERS + "for n in 0 1 2; do on $n sh -c '"
             "busybox ps -o args | grep -c \"^sleep 500\"; "
             "busybox ps -o pid,args | grep -c \"^ *\\(1\\|65537\\|131073\\) .*init\"'; done; "
             "ls -d /proc/[0-9]* | sort | uniq -d; " + ENDED, "3\n3\n3\n3\n3\n3\n")
    run.step("what a process elsewhere shows is its own",
             "me=$(sh -c 'echo $PPID'); " + SLEEPERS + "for p in $p0 $p1 $p2; do "
             "until grep -q heap /proc/$p/maps; do sleep 0.1; done; "   # its first malloc
             "tr '\\0' ' ' < /proc/$p/cmdline; "
             "sed -n 's/^Name:.//p; s/^Pid:.//p' /proc/$p/status; cat /proc/$p/node; "
             "readlink /proc/$p/exe; ls /proc/$p/fd | head -n 3 | tr '\\n' ' '; "
             "grep -c heap /proc/$p/maps; cut -d ' ' -f 4 /proc/$p/stat; done "
             "| sed \"s/^$p0$/p/; s/^$p1$/p/; s/^$p2$/p/; s/^$me$/shell/\"; " + ENDED,
             "".join(f"sleep 500{n} sleep\np\n{n}\n/usr/bin/busybox\n0 1 2 1\nshell\n"
                     for n in range(3)))
    run.step("the map of a process elsewhere is there at every look, also while it begins",
             "k=0; while [ $k -lt 5 ]; do on 1 sleep 5001 & p=$!; "
             "until grep -q heap /proc/$p/maps && grep -q sleep /proc/$p/comm; do sleep 0.02; "
             "done; i=0; while [ $i -lt 20 ]; do grep -c vdso /proc/$p/maps; i=$((i + 1)); done; "
             "kill $p; wait $p; k=$((k + 1)); done 2>/dev/null | sort | uniq -c | tr -s ' '",
             " 100 1\n")
    run.step("directories of /proc: from inside, of each node alone, of nobody",
             SLEEPERS + "(cd /proc/$p1; cat comm; cd fd; ls | head -n 1); "
             "cat /nodes/1/proc/$p1/comm; ls /nodes/1/proc | grep -c -x -e $p1 -e 65537; "
             "cat /nodes/2/proc/$p1/comm 2>/dev/null; echo $?; cat /nodes/2/proc/$p1/node; "
             "cat /proc/99999/stat 2>/dev/null; echo $?; " + ENDED,
             "sleep\n0\nsleep\n2\n1\n1\n1\n")


def commands(run):
    run.step("ps with nodes, and where", SLEEPERS +
             "/bin/ps | sed -n 's/^ *[0-9]* *\\([0-2]\\) root .* \\(sleep 500.\\)$/\\1 \\2/p'; "
             "where $p1 $p2 | sed 's/^[0-9]* //'; where 99999; echo $?; " + ENDED,
             "0 sleep 5000\n1 sleep 5001\n2 sleep 5002\nis on node 1: sleep 5001\n"
             "is on node 2: sleep 5002\nwhere: no process 99999\n1\n")
    run.step("help names what is special, hostname the node",
             "/bin/help | grep -c -e nodes -e migrate; on 2 hostname",
             lambda out, status: re.fullmatch(r"[1-9]\d*\nnode2\n", out) and status == 0)
    run.step("pidof and killall reach every node", SLEEPERS +
             "pidof sleep | wc -w; killall sleep; for p in $p0 $p1 $p2; do "
             "wait $p 2>/dev/null; echo $?; "     # the shell may say there how it ended
             "cat /proc/$p/stat 2>/dev/null; done; pidof sleep; true", "3\n143\n143\n143\n")
    run.step("top -b lists all nodes' processes", SLEEPERS +
             "top -b -n 1 | grep -c ' sleep 500.$'; " + ENDED, "3\n")


def mistakes(run):
    run.step("a mistake is named, with what to do",
             "sleep 5004 & p=$!; for c in 'on 7 ls' 'on x ls' \"migrate $p 7\" \"migrate $p x\" "
             "'migrate 99999 1' 'migrate abc 1' 'why 99999' 'where abc' 'nodes x' 'spawn -x ls'; "
             "do $c; echo $?; done 2>&1; kill $p",
             "on: there is no node 7, or it is down (`nodes` lists them)\n126\n"
             "on: x is no node's number (`nodes` lists them)\n126\n"
             "migrate: there is no node 7, or it is down (`nodes` lists them)\n1\n"
             "migrate: x is no node's number (`nodes` lists them)\n1\n"
             "migrate: process 99999: No such process\n1\n"
             "migrate: process abc: No such process\n1\n"
             "why: no process 99999\n1\nwhere: no process abc\n1\n"
             "nodes: x: takes no argument; /nodes/N/status has all of one node\n2\n"
             "usage: spawn [-w] COMMAND [ARGUMENT]...\n2\n")
    run.step("/dev/bench refuses a node that is not there",
             "for n in 9 70 x; do echo \"read $n 8 1\" > /dev/bench; echo $?; done 2>&1 | "
             "sed 's/.*: //'",
             "No route to host\n1\nNo route to host\n1\nInvalid argument\n1\n")
    run.step("kill knows whether a process elsewhere is there",
             "/bin/kill -0 99999 2>&1; echo $?; "
             "p=$(on 1 sh -c 'sleep 5005 >/dev/null 2>&1 & echo $!'); kill -0 $p; echo $?; "
             "kill $p; k=0; while kill -0 $p 2>/dev/null && [ $k -lt 200 ]; do k=$((k + 1)); "
             "sleep 0.1; done; kill -0 $p 2>/dev/null; echo $?",
             "kill: can't kill pid 99999: No such process\n1\n0\n1\n")


def moving(run):
    run.step("a process that moves is in every listing, once",
             "sleep 6000 & p=$!; shuttle $p 60 3 & s=$!; n=0; bad=0; "
             "while kill -0 $s 2>/dev/null || [ $n -lt 5 ]; do n=$((n + 1)); "
             "[ $(busybox ps -o args | grep -c '^sleep 6000') = 1 ] || bad=$((bad + 1)); done; "
             "wait $s; echo $?; echo $bad; kill $p; wait $p 2>/dev/null; echo $?",
             "0\n0\n143\n")


# `why` and `affinity` of one that moves answer; /tmp/refused: what was said where not.
FIGURES = ("figures() { why $1 >/tmp/why 2>>/tmp/refused && grep -q '^last move' /tmp/why && "
           "grep -q '^process .* on node [0-2]' /proc/$1/affinity 2>>/tmp/refused; }; ")


def figures(run):
    run.step("figures of a process that moves all the time are never refused",
             FIGURES + "sleep 6001 & p=$!; shuttle $p 60 3 & s=$!; n=0; bad=0; "
             "while kill -0 $s 2>/dev/null || [ $n -lt 5 ]; do n=$((n + 1)); "
             "figures $p || bad=$((bad + 1)); done; wait $s; echo $?; echo $bad; "
             "cat /tmp/refused; kill $p; wait $p 2>/dev/null; echo $?", "0\n0\n143\n")


def on_the_way(tap):
    """Node 1 stands still where the process is its own and has not run there."""
    run = Run(tap, "held", nodes=2, extra=("--append", "hold.at=started hold.name=sleep"))
    run.step("of one that has not come, figures are waited for, as its node is told before",
             "sleep 6002 & p=$!; until grep -q sleep /proc/$p/comm; do sleep 0.01; done; "
             "migrate $p 1 & m=$!; until [ $(cat /proc/$p/node) = 1 ]; do true; done; "
             "why $p | sed -n 's/^\\(last move\\).*/\\1/p'; "
             "sed -n 's/^process.*(\\(.*\\)) on \\(node .\\), .*/\\1 \\2/p' /proc/$p/affinity; "
             "wait $m; echo $?; cat /proc/$p/node; kill $p; wait $p 2>/dev/null; echo $?",
             "last move\nsleep node 1\n0\n1\n143\n")
    tap.result("hold: goes on" in run.go(), "held: a node stood still meanwhile")


def main():
    tap = Tap()
    run = Run(tap, "procfs", nodes=3)
    for part in (shapes, listing, commands, mistakes, moving, figures):
        part(run)
    console = run.go()
    tap.result("PANIC" not in console, "procfs: no panic")
    on_the_way(tap)
    tap.end()


if __name__ == "__main__":
    main()
