"""Instructions of requester and responder per operation, from the card's interrupt to the
doorbell of the answer, both drivers included: one machine with two cards under icount, one CPU,
interrupt mode, one operation outstanding, median of 1,000 (docs/reference/bench.md)."""
import rig

# name: request, first aim for the responder (None: none set)
REQUESTS = {
    "READ 8": ("read 1 8 1000", 3000),
    "READ 4096, one packet": ("read 1 4096 1000", 6500),
    "READ 4096, four packets": ("read 1 4096 1000 mtu=1024", 11000),
    "WRITE 8": ("write 1 8 1000", None),
    "WRITE 4096": ("write 1 4096 1000", None),
    "CAS 8": ("cas 1 8 1000", None),
    "FAA 8": ("faa 1 8 1000", None),
    "echo 64": ("echo 1 64 1000", None),
}


def measure():
    """{name: {"requester": figures, "responder": figures, "aim": n or None}}"""
    rows = rig.loop_run([request for request, _ in REQUESTS.values()])
    return {name: {"requester": row["requester"], "responder": row["responder"], "aim": aim}
            for (name, (_, aim)), (_, row) in zip(REQUESTS.items(), rows)}
