#!/usr/bin/env python3
"""A word written in a loop by a program on one CPU of node 1 while node 0 READs it 100,000
times: the ICRC always fits the bytes, and nothing is asked for twice. Prints TAP."""
import os
import re
import subprocess
import sys

HERE = os.path.dirname(os.path.realpath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "bench"))

import rig  # noqa: E402

LONG = bool(os.environ.get("ISTHMUS_LONG"))
READS = 100000
PROGRAM = os.path.join(ROOT, os.environ.get("BUILD", "build"), "test-programs/wordloop")
# None of these may count on either node.
SILENT = ("rdma_bad_icrc", "rdma_completer_retry_err", "rdma_retry_exceeded_err",
          "rdma_rcvd_seq_err", "rdma_out_of_seq_request", "rdma_duplicate_request",
          "rdma_bad_len")


def requests():
    """8 bytes, and a page that holds the word; in the long run one at a time as well."""
    words = [f"read 1 8 {READS} depth=8", f"read 1 4096 {READS // 50} depth=8"]
    return words + [f"read 1 8 {READS}"] if LONG else words


def build():
    os.makedirs(os.path.dirname(PROGRAM), exist_ok=True)
    subprocess.run(["musl-gcc", "-static", "-O1", "-o", PROGRAM,
                    os.path.join(HERE, "prog/wordloop.c")], check=True)


def main():
    build()
    command = ("on 1 wordloop 0 > /tmp/said & "
               "until grep -sq looping /tmp/said; do kill -0 $! || exit 9; sleep 0.2; done;"
               + rig.bench_commands(requests()) + "; echo '== 0'; cat /nodes/0/status;"
               "echo '== 1'; cat /nodes/1/status; kill $!; wait")
    # Time-outs of seconds: a machine that starves a guest asks for nothing twice either.
    text, relay = rig.run(command, nodes=2, smp=2, timeout=900, add=[PROGRAM],
                          append=["dead.floor=60"],
                          logs=os.path.join(ROOT, "build/test-logs/wordloop"))
    rows, _, status = text.partition("== 0")
    checks = []
    for request, row in rig.tables(rows):
        note = f"{row['changed']:.0f} values, median {row['median_us']} us"
        checks.append((row["n"] >= READS // 50 and row["changed"] > 100 and not row["backwards"],
                       f"{request}: the word is seen to change, never backwards", note))
    for node, part in enumerate(status.partition("== 1")[::2]):
        figures = dict(re.findall(r"(?m)^(\w+): (\d+)$", part))
        bad = {name: figures.get(name) for name in SILENT if figures.get(name) != "0"}
        checks.append((not bad, f"node {node}: no bad ICRC, no retry", str(bad)))
    checks.append((relay["dropped"] == 0, "the relay dropped nothing", str(relay)[:200]))
    failed = 0
    for number, (good, name, note) in enumerate(checks, 1):
        failed += not good
        print(f"{'ok' if good else 'not ok'} {number} - {name}\n# {note}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
