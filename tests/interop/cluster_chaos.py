#!/usr/bin/env python3
"""Two nodes on the bad link (5 % lost, 2 % doubled, 5 % reordered, 1 % damaged): they join,
programs go over and read the first node's files, the bytes are right, nobody goes down."""
import hashlib
import os
import random
import re
import subprocess
import tempfile

import rig

RATES = "loss=5,dup=2,reorder=5,corrupt=1"
SEEDS = (1, 2, 3) if rig.LONG else (1,)
FILE_BYTES = (16 << 20) if rig.LONG else (1 << 20)
STARTS = 50 if rig.LONG else 5
COMMAND = f"""
i=0; while [ $i -lt {STARTS} ]; do on 1 true || exit 3; i=$((i+1)); done
on 1 sha256sum /blob; gzip -c /blob > /blob.gz; on 1 gzip -dc /blob.gz | sha256sum
cat /nodes/0/status /nodes/1/status"""


def run(tap, seed, path, digest):
    logs = os.path.join(rig.LOGS, f"cluster-chaos-{seed}")
    os.makedirs(logs, exist_ok=True)
    done = subprocess.run(
        [os.path.join(rig.ROOT, "isthmus"), "run", "--nodes", "2", "--chaos",
         f"{RATES},seed={seed}", "--add", path + ":/blob", "--timeout", str(rig.RUN_SECONDS),
         "--logs", logs, "--", COMMAND], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, check=False)
    tap.result(done.returncode == 0, f"seed {seed}: two nodes join and run {STARTS + 3} commands",
               done.stdout[-2000:] if done.returncode else "")
    sums = re.findall(r"(?m)^([0-9a-f]{64}) ", done.stdout)
    tap.result(sums == [digest] * 2,
               f"seed {seed}: {FILE_BYTES} bytes hashed and unpacked over there are right", sums)
    for key, wanted in (("members", "2"), ("joins", "1"), ("downs", "0")):
        got = re.findall(rf"(?m)^{key}: (\d+)$", done.stdout)
        tap.result(got == [wanted] * 2, f"seed {seed}: {key} is {wanted} on both", got)
    for key in ("rdma_bad_icrc", "rdma_completer_retry_err"):
        got = [int(n) for n in re.findall(rf"(?m)^{key}: (\d+)$", done.stdout)]
        tap.result(len(got) == 2 and all(got), f"seed {seed}: {key} is counted on both", got)


def body(tap):
    with tempfile.NamedTemporaryFile() as file:
        data = random.Random(7).randbytes(FILE_BYTES // 2) * 2
        file.write(data)
        file.flush()
        os.chmod(file.name, 0o644)
        for seed in SEEDS:
            run(tap, seed, file.name, hashlib.sha256(data).hexdigest())


if __name__ == "__main__":
    rig.main(body)
