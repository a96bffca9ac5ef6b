#!/usr/bin/env python3
"""Two nodes whose own atomics on shared words go through the card (words=card), as a card whose
atomics are not coherent with the CPU's needs it: queue, moves, placement's capacity. TAP."""
import rig

COUNT = 200 if rig.LONG else 40


def main():
    tap = rig.Tap()
    run = rig.Run(tap, "words by the card", 2, 1, [
        (rig.program("moves"), "/bin/moves-musl"), (rig.program("hashset"), "/bin/hashset")],
        extra=["--append", "words=card"], place="auto")
    run.step("moves.c", "moves-musl 2", rig.all_ok)
    run.step(f"{COUNT} processes through the queue from both nodes: each ran once",
             "from() { i=$1; while [ $i -lt $2 ]; do spawn -w sh -c \"echo $i\" & "
             "i=$((i + 1)); done; wait; }; "
             f"from 0 {COUNT // 2} >/tmp/a & a=$!; echo 'i=$1; while [ $i -lt $2 ]; do "
             "spawn -w sh -c \"echo $i\" & i=$((i + 1)); done; wait' >/tmp/from; "
             f"on 1 sh /tmp/from {COUNT // 2} {COUNT} >/tmp/b; wait $a; sort -n /tmp/a /tmp/b",
             "".join(f"{i}\n" for i in range(COUNT)))
    run.step("programs that compute spread, and all units of room are given back",
             "for i in 1 2 3; do hashset 1 30000 $i >/tmp/h$i & done; "
             "until [ $(sum_of place_moved) -ge 1 ]; do sleep 0.1; done; wait; "
             "until_is units 600 0 sum_of cpu_bound && cat /tmp/h1 /tmp/h2 /tmp/h3",
             "".join(rig.host([rig.program("hashset"), "1", "30000", str(i)])
                     for i in range(1, 4)))
    run.step("the card did it, and no pair broke",
             "for n in 0 1; do [ $(sed -n 's/^self_chains: //p' /nodes/$n/status) -gt 10 ] && "
             "echo card; done; sum_of downs", "card\ncard\n0\n")
    run.go()
    tap.end()


if __name__ == "__main__":
    main()
