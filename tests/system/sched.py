#!/usr/bin/env python3
"""Scheduling on a node: an idle node takes no interrupt but those of its ticks and heartbeats,
by its own counts; nice values give shares of a CPU, after a move too; a free CPU takes work of
its neighbour's before another node is asked for any; who wakes runs close to who woke it, and an
idle CPU does not take it from there. Prints TAP."""
import re

import rig

TICKS = 60 if not rig.LONG else 600  # of node 1, on which nothing runs
# A tick: one interrupt of the timer, one of another CPU whose turn it is to advance the
# heartbeat; once a second the peer asks for it and is asked, some frames each, and every other
# second it asks for the figures. With a periodic interrupt of 1 ms there would be 100.
PER_TICK, ONCE = 4, 60
TRIES, STALL_US = 20, 50000          # of two that compute; five time slices
ROUNDS = 40                          # of wake-ups of each kind, on four CPUs

IDLE = f"""
of() {{ sed -n "s/^$1: //p" /nodes/1/status; }}
echo before $(of ticks) $(of interrupts) $(of halts)
t=$(of ticks)
until [ $(($(of ticks) - t)) -ge {TICKS} ]; do sleep 2; done
echo after $(of ticks) $(of interrupts) $(of halts)
"""


# Two that compute, with a CPU for each. Where the host stopped a CPU meanwhile, its node took a
# process for one without a CPU, and was right: then once more.
BOTH = f"""
for try in $(seq {TRIES}); do
    moved=$(moves_in)
    got=$(shares 0)
    [ ${{got##* }} -gt {STALL_US} ] || break
done
echo "$got"
echo taken $(sum_of takes_remote) moved $(($(moves_in) - moved))
"""


def idle_judge(output, status):
    """Node 0 counts; node 1 is idle."""
    m = re.fullmatch(r"before (\d+) (\d+) (\d+)\nafter (\d+) (\d+) (\d+)\n", output)
    if status != 0 or not m:
        return False
    ticks, irqs, halts = (int(m[k + 3]) - int(m[k]) for k in (1, 2, 3))
    print(f"# {irqs} interrupts and {halts} halts in {ticks} ticks")
    return ticks >= TICKS and max(irqs, halts) <= PER_TICK * ticks + ONCE


def shares(output):
    """CPU time of both processes, their fastest pieces of work, their CPUs."""
    m = re.fullmatch(r"(\d+) (\d+) piece (\d+) (\d+) cpus (\d+) (\d+) longest \d+\n", output)
    if not m:
        return None
    got = [int(n) for n in m.groups()]
    print(f"# {got[0]} us and {got[1]} us, a piece of work in {got[2]} us and {got[3]} us")
    return got


def same_work(got):
    """A microsecond that the kernel counts buys both of them the same work."""
    return got[2] < 2 * got[3] and got[3] < 2 * got[2]


def nice_judge(output, status):
    """Nice 5 weighs a third of nice 0 (335 to 1,024)."""
    got = shares(output)
    return status == 0 and got is not None and same_work(got) and 2 * got[1] < got[0] < 5 * got[1]


def fair_judge(output, status):
    got = shares(output)
    return (status == 0 and got is not None and same_work(got)
            and 0.7 * got[1] < got[0] < 1.4 * got[1])


def both_judge(output, status):
    counts = "taken 0 moved 0\n"
    got = shares(output.replace(counts, ""))
    return status == 0 and got is not None and counts in output and got[4] != got[5]


def near_judge(output, status):
    """Nearly always; whoever else ran on a CPU then, a kernel's tick or the shell, spoils a few."""
    m = re.fullmatch(r"sleeps (\d+) forks (\d+) wakes (\d+) of (\d+)\n", output)
    if status != 0 or not m:
        return False
    sleeps, forks, wakes, counted = (int(n) for n in m.groups())
    print(f"# {output.strip()}")
    return (min(sleeps, forks) >= 0.8 * ROUNDS and counted >= 0.5 * ROUNDS and
            wakes >= 0.8 * counted)


def main():
    tap = rig.Tap()
    files = [(rig.program("shares"), "/bin/shares"), (rig.program("near"), "/bin/near")]
    run = rig.Run(tap, "one CPU", 2, 1, files)
    run.step("an idle node wakes up for its ticks alone", IDLE, idle_judge)
    run.step("two processes have the same share of a CPU", "shares 0", fair_judge)
    run.step("nice 5 has a third of the share of nice 0", "shares 5", nice_judge)
    run.step("and so on the node where both have gone", "shares 5 1", nice_judge)
    run.go()
    run = rig.Run(tap, "two CPUs", 2, 2, files, place="auto")
    run.step("an idle node wakes up for its ticks alone", IDLE, idle_judge)
    run.step("a free CPU takes work before another node does", BOTH, both_judge)
    run.go()
    run = rig.Run(tap, "four CPUs", 1, 4, files)
    run.step("who wakes is near its waker, and nobody takes it on its way", f"near {ROUNDS}",
             near_judge)
    run.go()
    tap.end()


if __name__ == "__main__":
    main()
