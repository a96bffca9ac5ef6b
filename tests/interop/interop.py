#!/usr/bin/env python3
"""A clean link: rping, our verbs client, refusals, connections in a row, both path MTUs,
between a node and Debian's Linux with rdma_rxe; then tshark on the capture."""
import rig

RPING_ROUNDS = 1000
CONNECTIONS = 1100


def rping(bench, tap):
    bench.rping(tap, f"rping -V, {RPING_ROUNDS} rounds", rig.NODE, RPING_ROUNDS)
    for size in (64, 4096, rig.RPING_BYTES_MAX):
        bench.rping(tap, f"rping -V, {size} bytes", rig.NODE, 50, size)


def client(bench, tap, ops):
    for seed, depth in ((1, 1), (2, 4)):
        bench.check(tap, f"verbs client: {ops} operations, {depth} outstanding",
                    f"client {rig.NODE} ops --ops {ops} --seed {seed} --depth {depth}")


def small_mtu(tap):
    with rig.rig("interop-1500") as bench:
        rping(bench, tap)
        client(bench, tap, 5000 if rig.LONG else 200)
        bench.check(tap, "refused accesses; other connections stay well",
                    f"client {rig.NODE} negative")
        bench.check(tap, f"{CONNECTIONS} connections opened, used and closed in a row",
                    f"client {rig.NODE} connections --ops {CONNECTIONS}")
        bench.rping(tap, "rping still works after them", rig.NODE, 20)
        rig.frames_check(tap, bench.cluster.relay.stats(), "interop-1500", "")
    rig.capture_check(tap, "interop-1500")


def large_mtu(tap):
    with rig.rig("interop-4200", mtu=4200) as bench:
        bench.rping(tap, "MTU 4200: rping -V, 65535 bytes", rig.NODE, 50, rig.RPING_BYTES_MAX)
        client(bench, tap, 200)
        rig.frames_check(tap, bench.cluster.relay.stats(), "interop-4200", "")
    rig.capture_check(tap, "interop-4200")


def body(tap):
    small_mtu(tap)
    large_mtu(tap)


if __name__ == "__main__":
    rig.main(body)
