#!/usr/bin/env python3
"""A clean link: rping, our verbs client, refusals, connections in a row, both path MTUs,
both cards, between a node and Debian's Linux with rdma_rxe; then tshark on the capture."""
import rig

RPING_ROUNDS = 1000
CONNECTIONS = 1100
REFUSED_KEYS = 12  # of the client's refusals, those that the node answers with a NAK


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
        counts = bench.node_status()
        bad = {name: counts[name] for name in ("rdma_bad_icrc", "rdma_bad_len", "rdma_cq_overflow")}
        tap.result(not any(bad.values()) and counts["rdma_qp_err"] >= REFUSED_KEYS,
                   "the node counted the refusals, and nothing malformed",
                   f"qp_err {counts['rdma_qp_err']}, {bad}")
    rig.capture_check(tap, "interop-1500")


def large_mtu(tap):
    with rig.rig("interop-9000", mtu=9000) as bench:
        for size in (4096, rig.RPING_BYTES_MAX):
            bench.rping(tap, f"MTU 9000: rping -V, {size} bytes", rig.NODE, 50, size)
        client(bench, tap, 200)
        rig.frames_check(tap, bench.cluster.relay.stats(), "interop-9000", "")
    rig.capture_check(tap, "interop-9000")


def other_card(tap):
    with rig.rig("interop-e1000e", nic="e1000e") as bench:
        for size in (64, rig.RPING_BYTES_MAX):
            bench.rping(tap, f"e1000e: rping -V, {size} bytes", rig.NODE, 100, size)
        client(bench, tap, 100)
        bench.check(tap, "e1000e: refused accesses", f"client {rig.NODE} negative")
        rig.frames_check(tap, bench.cluster.relay.stats(), "interop-e1000e", "")
    rig.capture_check(tap, "interop-e1000e")


def body(tap):
    small_mtu(tap)
    large_mtu(tap)
    other_card(tap)


if __name__ == "__main__":
    rig.main(body)
