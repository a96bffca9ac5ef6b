"""Programs move while the Ethernet between the nodes loses 5 % of the RoCE frames, doubles
2 %, reorders 5 % and flips bits in 1 %: the outputs are the host's, and the nodes stay joined.
QEMU checks no Ethernet checksum, so the ICRC is the only guard. Prints TAP."""
import re

import move
import rig

CHAOS = "loss=5,dup=2,reorder=5,corrupt=1,seed={}"
SEEDS = (1, 2, 3) if rig.LONG else (1,)
MIB, MOVES = (16, 20) if rig.LONG else (2, 6)


def chaos_run(tap, seed, path):
    run = rig.Run(tap, f"seed {seed}", files=[(rig.program("hashset"), "/bin/hashset"),
                                              (path, "/tmp/in")],
                  extra=["--mem", "512M", "--chaos", CHAOS.format(seed)])
    want = rig.host([rig.program("hashset"), str(MIB), "2", "7"])
    run.step(f"hashset of {MIB} MiB, {MOVES} moves by itself: the right hash",
             f"hashset {MIB} 2 7 {MOVES} 2 2>/dev/null", want)
    move.busybox_steps(run, path)
    run.step("the relay spoiled frames, the nodes found them, nobody was declared dead",
             "grep -hE '^(downs|rdma_bad_icrc|rdma_rcvd_pkts):' /nodes/*/status",
             lambda out, status: status == 0 and re.findall(r"downs: (\d+)", out) == ["0", "0"] and
             all(int(n) > 0 for n in re.findall(r"bad_icrc: (\d+)", out)))
    run.go()


def main():
    tap = rig.Tap()
    path = rig.input_file(512 << 10)
    for seed in SEEDS:
        chaos_run(tap, seed, path)
    tap.end()


if __name__ == "__main__":
    main()
