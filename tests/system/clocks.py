#!/usr/bin/env python3
"""Two nodes with different CPUs and clock chips years apart: one clock for all, which never
runs backwards for a program that moves, and programs go only where their CPU features are.
Prints TAP."""
import rig

RICH, POOR = "max", "qemu64"         # AVX2; SSE3 and no XSAVE
RTCS = ("2030-05-06T07:08:09", "2001-02-03")

# one_id: 1 once both nodes have one clock. The shell may have begun before that and keeps its
# time, and its own date is a child that never executes a program; `on` does.
# running HOW WHAT: runs `HOW clocks until`, then WHAT with its $pid, then ends it and shows
# what it said. Who is to be that program says its pid, and so before the program is ready.
FUNCTIONS = r"""
one_id() { grep -h ^clock_id: /nodes/*/status | sort | uniq -c | grep -c "^ *2 "; }
running() {
    { sh -c 'echo $$; exec "$@"' sh $1 clocks until & wait $!; } |
        { read pid; read ready; eval "$2"; kill $pid; cat; }
}
# The same of `HOW vdso-KIND spin US`, for `spinning KIND US HOW WHAT`.
spinning() {
    { sh -c 'echo $$; exec "$@"' sh $3 vdso-$1 spin $2 & wait $!; } |
        { read pid; read ready; eval "$4"; kill $pid; cat; }
}
asks() { sed -n 's/^clock_asks: //p' /nodes/1/status; }
until_asks() { until [ "$(asks)" -ge $1 ]; do sleep 0.1; done; }
"""

# How the vDSO is used (prog/vdso.c): by which C libraries, and how often each function calls
# the kernel where it was started, and where it has moved.
KINDS = ("musl", "glibc", "dynamic")
HERE = ("here: REALTIME 0 MONOTONIC 0 RAW 0 COARSE 0 BOOTTIME 0 CPU 1 gettimeofday 0 time 0 "
        "getcpu 0\n")
MOVED = ("moved: REALTIME 1 MONOTONIC 1 RAW 1 COARSE 1 BOOTTIME 1 CPU 1 gettimeofday 1 time 1 "
         "getcpu 0\n")
# Node 1 asks in bursts of four, seldom once it has the clock for long, and slews by the best.
SLEWED = r"""
spinning glibc 5000 '' 'spinning musl 5000 "on 1" "until_asks $(($(asks) + 4))"'
"""


# Three that compute begin on node 0, which has one CPU with AVX2, and are then left to placement,
# which has a free CPU of that kind on node 2 and one without AVX2 on node 1.
SPREAD = r"""
for i in 1 2 3; do
    sh -c 'echo 0 >/proc/self/node; exec hashset 1 100000000 1' & eval p$i=$!
done
for p in $p1 $p2 $p3; do until [ "$(cat /proc/$p/comm)" = hashset ]; do sleep 0.1; done; done
for p in $p1 $p2 $p3; do echo auto >/proc/$p/node; done
seen=" "
until [ -z "${seen##* 2 *}" ]; do
    for p in $p1 $p2 $p3; do seen="$seen$(cat /proc/$p/node) "; done
done
k=0
while [ $k -lt 50 ]; do
    k=$((k + 1))
    for p in $p1 $p2 $p3; do seen="$seen$(cat /proc/$p/node) "; done
done
[ "${seen##* 1 *}" ] && echo never on node 1
why $p1 | grep never
kill $p1 $p2 $p3
"""


def placed(tap):
    """Placement knows of the features too."""
    run = rig.Run(tap, "by itself", 3, extra=["--cpu", f"1:{POOR}", "--cpu", RICH], place="auto",
                  files=[(rig.program("hashset"), "/bin/hashset")])
    run.step("programs that began with AVX2 spread, and never to the free CPU without it", SPREAD,
             lambda output, _: output.startswith("never on node 1\nnever on node 1, whose "))
    run.go()


def main():
    tap = rig.Tap()
    placed(tap)
    run = rig.Run(tap, "two kinds", extra=["--cpu", f"1:{POOR}", "--cpu", RICH,
                                           "--rtc", f"0:{RTCS[0]}", "--rtc", f"1:{RTCS[1]}",
                                           "--deb", "libc6"],
                  files=[(rig.program("clocks", "glibc"), "/bin/clocks")] +
                  [(rig.program("vdso", kind), f"/bin/vdso-{kind}") for kind in KINDS])
    run.functions += FUNCTIONS
    run.step("each node says what its CPU can do",
             "grep -c '^features: .* avx2 ' /nodes/0/status; "
             "grep -c '^features: .* avx' /nodes/1/status; "
             "grep -c '^features: sse3' /nodes/1/status",
             lambda output, _: output.split() == ["1", "0", "1"])
    run.step("one clock, of the node that booted first",
             "until_is 'one clock' 100 1 one_id || exit 1; on 0 date +%Y; on 1 date +%Y; "
             "echo > /tmp/here; "
             "stat -c %y /tmp/here | cut -c1-4; grep -h ^clock_adoptions: /nodes/*/status",
             lambda output, _: output.split()[0] in ("2030", "2001") and
             len(set(output.split()[:3])) == 1 and "clock_adoptions: 1" in output)
    run.step("two that spin on it see no time run backwards while it is slewed", SLEWED,
             "good\ngood\n")
    run.step("with AVX2 it is refused by the node without, with a clear error",
             "clocks self 3; clocks self 1 >/dev/null",
             "ready\nstays: Operation not supported\ngood avx2=1\n")
    run.step("from outside too; it goes on, and why says so",
             r"running '' 'migrate $pid 1; echo $?; cat /proc/$pid/node; why $pid | grep never'",
             lambda output, status: status == 0 and "Not supported" in output and
             "\n1\n0\nnever on node 1" in output and output.endswith("good avx2=1\n"))
    run.step("what began on the poorer node goes to the richer and back, by itself",
             "on 1 clocks self 12", "ready\ngood avx2=0\n")
    run.step("and at any moment from outside",
             "running 'on 1' 'shuttle $pid 24 2'", "good avx2=0\n")
    for kind in KINDS:
        run.step(f"{kind}: no call for the time, until it moves; nor after an exec there",
                 f"on 1 vdso-{kind} calls 0; on 0 on 1 vdso-{kind} calls 0", 2 * (HERE + MOVED))
    run.step("its pages can be neither written nor unmapped, nor the clock's executed",
             "vdso-musl guard", "write 11 11 execute 11 beyond 11\nunmap -1 -1 protect -1\n"
             "read 0 1\n")
    run.step("one that spins on it sees no time run backwards while it moves",
             "spinning glibc 0 'on 1' 'shuttle $pid 14 2'", "good\n")
    run.step("a child is its parent's, an exec starts anew",
             "on 1 sh -c 'cat /proc/self/node'; on 0 on 1 cat /proc/self/node; "
             "spawn -w true && echo spawned", "1\n1\nspawned\n")
    shown = run.go()
    tap.result("clocks) cannot run on node 1, whose CPU lacks: " in shown and " avx2" in shown,
               "the log names what is missing")
    tap.end()


if __name__ == "__main__":
    main()
