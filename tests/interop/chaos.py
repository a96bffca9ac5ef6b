#!/usr/bin/env python3
"""A bad link, both directions, RoCEv2 frames only: 5 % lost, 2 % doubled, 5 % reordered,
1 % with flipped bits. Nobody but the ICRC guards the bytes: the client checks each one."""
import rig

RATES = "loss=5,dup=2,reorder=5,corrupt=1"
SEEDS = (1, 2, 3) if rig.LONG else (1,)
RPING_ROUNDS = 30
# The node's counters that a bad link must move: damage, loss, loss and doubles.
SEEN = ("bad_icrc", "out_of_seq_request", "duplicate_request")
OPS = 5000 if rig.LONG else 200


def body(tap):
    for seed in SEEDS:
        name = f"chaos-{seed}"
        with rig.rig(name, chaos=f"{RATES},seed={seed}") as bench:
            bench.check(tap, f"seed {seed}: verbs client, {OPS} operations on a bad link",
                        f"client {rig.NODE} ops --ops {OPS} --seed {seed} --ack-timeout 15")
            bench.rping(tap, f"seed {seed}: rping -V on a bad link", rig.NODE, RPING_ROUNDS, 4096)
            rig.frames_check(tap, bench.cluster.relay.stats(), name, RATES)
            counts = bench.node_status()
            seen = {word: counts["rdma_" + word] for word in SEEN}
            tap.result(all(seen.values()), f"seed {seed}: the node saw all of it", seen)
        rig.capture_check(tap, name)


if __name__ == "__main__":
    rig.main(body)
