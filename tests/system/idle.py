#!/usr/bin/env python3
"""A node at rest, by its own counts: its CPUs wake for what is due and for nothing else. Alone that
is next to nothing; beside a member a tick in each tenth of a second and what the member asks; a
node whose member has died calls it now and then. Whoever sleeps is woken all the same, by one CPU.
What the host paid is printed, not judged. Prints TAP. Usage: idle.py [NAME]..."""
import os
import re
import sys
import tempfile

from fence import Driven
from launcher.cluster import RunTimeout
from launcher.errors import LaunchError
from launcher.options import card_parse, disk_parse
from rig import LONG, Tap

SECONDS = 120 if LONG else 20        # of rest, by the node's own clock
# Alone: the end of the sleep, a tick after each time that something ran, slices of the shell's
# commands, a timer that was no longer wanted. With a tick in each period there would be 200.
ALONE_MAX = 20
SLEEPS = 5                           # of a second each
# The end of a sleep, the tick after it, what the shell does. Four CPUs that each wake for it, and
# a tick in each period, would be 14 a second.
PER_SLEEP_MAX = 5
SLEEPERS, ROUNDS = 30, 4
CALLS_A_SECOND = 1                   # to a dead member: the CM repeats one every two seconds
KEYS = ("ticks", "timer_interrupts", "timers_vain", "halts", "halts_timer", "halts_kick",
        "halts_card", "halts_device")

# By the shell itself: a program would be counted with it. `figures N`: into $F.
LIBRARY = f"""
figures() {{
    F=
    while read key value; do
        case $key in {'|'.join(key + ':' for key in KEYS)}) F="$F $key$value";; esac
    done </nodes/$1/status
    read up idle </proc/uptime
    F="$F up:$up"
}}
rest() {{
    echo resting
    sleep 1
    figures $1
    before=$F
    sleep {SECONDS}
    figures $1
    echo rested
    echo "figures$before"
    echo "figures$F"
}}
"""


def differences(output):
    """What was counted between the two looks of `rest`, and the seconds that it took."""
    looks = [{key: float(value) for key, value in re.findall(r"(\w+):([\d.]+)", line)}
             for line in re.findall(r"(?m)^figures (.*)$", output)[-2:]]
    if len(looks) != 2 or any(len(look) != len(KEYS) + 1 for look in looks):
        raise LaunchError("no figures in:\n" + output)
    return {key: looks[1][key] - looks[0][key] for key in looks[0]}


def cpu_ms(machine):
    """CPU time of the host for that machine so far."""
    with open(f"/proc/{machine.process.pid}/stat", encoding="ascii") as file:
        fields = file.read().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) * 1000 // os.sysconf("SC_CLK_TCK")


def rested(cluster, node):
    """The counts of a rest of that node."""
    cluster.output_wait("resting\n")
    before = cpu_ms(cluster.machines[node])
    cluster.output_wait("rested\n")
    paid = cpu_ms(cluster.machines[node]) - before
    seen = differences(cluster.finish())
    print(f"# {seen['up']:.0f} s: " + ", ".join(f"{seen[key]:.0f} {key}" for key in KEYS)
          + f"; {paid} ms of the host's CPUs")
    return seen


def check_alone(tap):
    """A node with four CPUs, drives and a second card, and nobody else."""
    with tempfile.TemporaryDirectory() as folder:
        disks = []
        for kind in ("nvme", "virtio"):
            with open(os.path.join(folder, kind), "wb") as file:
                file.truncate(1 << 20)
            disks.append(disk_parse(f"0:{file.name}:{kind}"))
        use = "for d in nvme0n1 vda; do echo x >/nodes/0/dev/$d; wc -c </nodes/0/dev/$d; done; "
        with Driven(LIBRARY + use + "rest 0", place="auto", nodes=1, smp=4, disk=disks,
                    card=[card_parse("0")]) as cluster:
            seen = rested(cluster, 0)
    tap.result(seen["up"] >= SECONDS and seen["timer_interrupts"] <= ALONE_MAX
               and seen["ticks"] <= ALONE_MAX, "alone: next to no interrupt of a timer")
    causes = sum(seen[key] for key in KEYS if key.startswith("halts_"))
    tap.result(seen["halts"] - causes <= 1 and seen["halts_card"] == 0,
               "alone: each wake-up has its cause")


def check_sleep(tap):
    """Sleeps end, not early, and wake one CPU each; many at a time are all woken."""
    many = (f"for round in $(seq {ROUNDS}); do for n in $(seq {SLEEPERS}); do "
            "sleep 0.$((n % 7 + 1)) & done; wait; done; echo all woken")
    loop = f"for n in $(seq {SLEEPS}); do sleep 1; done"
    with Driven(LIBRARY.replace(f"sleep {SECONDS}", loop) + f"{many}\nrest 0", nodes=1,
                smp=4, place="auto") as cluster:
        seen = rested(cluster, 0)
        output = cluster.output()
    tap.result(seen["up"] >= SLEEPS and seen["timer_interrupts"] >= SLEEPS,
               "sleep: it is woken when it is due")
    tap.result(seen["timer_interrupts"] <= SLEEPS * PER_SLEEP_MAX + ALONE_MAX,
               "sleep: one CPU wakes for it")
    tap.result("all woken\n" in output, "sleep: of many nobody is forgotten", output)


def check_joined(tap):
    """Two members of two CPUs. Node 1 rests: a tick in each period is one interrupt of a timer;
    every tenth wakes another CPU for the heartbeat; the rest is what both ask each other."""
    with Driven(LIBRARY + "rest 1", place="auto", nodes=2, smp=2) as cluster:
        seen = rested(cluster, 1)
    ticks = seen["ticks"]
    tap.result(ticks <= 10.2 * seen["up"] + 3, "joined: a tick in each period at most")
    tap.result(ticks >= 5 * seen["up"], "joined: its heartbeat goes on")
    tap.result(seen["timer_interrupts"] <= 1.2 * ticks + ALONE_MAX,
               "joined: a tick is one interrupt of a timer")
    tap.result(seen["halts_kick"] <= 0.3 * ticks + ALONE_MAX,
               "joined: CPUs that rest are mostly left alone")
    tap.result(seen["halts_card"] <= 2 * ticks + ALONE_MAX,
               "joined: what members ask is little")


# It looks for moves of the dead for eleven seconds.
WIDOW = """
echo ready
members_are 1
until figures 0; was=${F#* ticks:}; was=${was%% *}; sleep 3
      figures 0; now=${F#* ticks:}; now=${now%% *}; [ $((now - was)) -lt 20 ]; do :; done
rest 0
"""


def check_widow(tap):
    """Node 1 has died: node 0 calls it, with pauses that grow to seconds, and rests."""
    with Driven(LIBRARY + WIDOW, place="auto", nodes=2) as cluster:
        cluster.output_wait("ready\n")
        cluster.may_die = {1}
        cluster.machines[1].kill()
        seen = rested(cluster, 0)
    tap.result(seen["timer_interrupts"] <= CALLS_A_SECOND * seen["up"] + ALONE_MAX,
               "widow: it wakes for its calls alone")


CHECKS = [check_alone, check_sleep, check_joined, check_widow]


def main():
    tap = Tap()
    for check in CHECKS:
        name = check.__name__.partition("_")[2]
        if sys.argv[1:] and name not in sys.argv[1:]:
            continue
        try:
            check(tap)
        except (LaunchError, RunTimeout, OSError) as error:
            tap.result(False, f"{name}: {type(error).__name__}", str(error))
    tap.end()


if __name__ == "__main__":
    main()
