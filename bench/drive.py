"""Reads of 4 KiB of a drive: of another node's, found in the owner's cache (one-sided) or not
(a message, and the drive), of one's own, and one one-sided READ of that size, all in one run of
two ordinary virtual machines. Kernel instructions are counted between marks (count_plugin.c). A
round trip: the owner was interrupted and answered.

The reader's count goes from the call to its return, but for what follows a doorbell until the
next interrupt of the card; the owner's from its card's interrupt to the doorbell of the answer.
The reads of one's own drive are counted whole. Times are the host's. Medians."""
import os
import re
import statistics
import subprocess

import freeze
import rig

COUNT = 1000
DRIVE_BYTES = 32 << 20
CALL, RETURN = 6, 7                  # marks of drive_read.c
PROGRAM = os.path.join(freeze.BUILD, "test-programs/drive_read")
DRIVE = "/nodes/1/dev/nvme0n1"
# name: (the command, which node reads)
CASES = {
    "remote miss": (f"drive_read {DRIVE} 0 {COUNT}", 0),
    "remote hit": (f"drive_read {DRIVE} 0 {COUNT}", 0),
    "local miss": (f"on 1 drive_read {DRIVE} {COUNT} {COUNT}", 1),
    "local hit": (f"on 1 drive_read {DRIVE} {COUNT} {COUNT}", 1),
}
READ = "READ 4096"


def build():
    freeze.build()
    subprocess.run(["musl-gcc", "-static", "-O1", "-Wall", "-Wextra", "-Werror", "-o", PROGRAM,
                    os.path.join(rig.ROOT, "bench/drive_read.c")], check=True)


def drive_make(path):
    with open(path, "wb") as file:
        file.write(bytes(range(256)) * (DRIVE_BYTES // 256))


def windows(marks):
    """Each call as a pair of marks, in order."""
    found, begun = [], None
    for row in marks:
        if row[0] == CALL:
            begun = row
        elif row[0] == RETURN and begun:
            found.append((begun, row))
            begun = None
    return found


def reader_count(marks, begun, ended):
    """Instructions, but for those between a doorbell and the card's next interrupt."""
    total, since, bell = 0, begun[2], None
    for row in marks:
        if row[0] == freeze.DOORBELL:
            bell = row
        elif row[0] == freeze.IRQ and bell:
            total += bell[2] - since
            since, bell = row[2], None
    return total + ended[2] - since


def answers_of(marks):
    """A node's instructions for each answer: from its card's interrupt to the last doorbell
    before the next."""
    counts, since, bell = [], None, None
    for row in [*marks, (freeze.IRQ, 0, 0, 0)]:
        if row[0] == freeze.DOORBELL:
            bell = row
        elif row[0] == freeze.IRQ:
            if since and bell:
                counts.append(bell[2] - since[2])
            since, bell = row, None
    return counts


class Between:
    """The marks of one node between two times of the host, calls in order."""

    def __init__(self, marks):
        self.marks, self.at = marks, 0

    def take(self, begun_ns, ended_ns):
        while self.at < len(self.marks) and self.marks[self.at][1] < begun_ns:
            self.at += 1
        first = self.at
        while self.at < len(self.marks) and self.marks[self.at][1] <= ended_ns:
            self.at += 1
        return self.marks[first:self.at]


def row_of(calls, reader, owner):
    """Medians over the calls; owner: None where the reader's own drive is read."""
    mine, theirs = Between(reader), Between(owner or [])
    counts = []
    for begun, ended in calls:
        inside = mine.take(begun[1], ended[1])
        if owner is None:
            counts.append((ended[2] - begun[2], 0, 0))
        else:
            answers = answers_of(theirs.take(begun[1], ended[1]))
            counts.append((reader_count(inside, begun, ended), sum(answers), len(answers)))
    names = ("reader", "owner", "trips")
    row = {name: statistics.median_low(values) for name, values in zip(names, zip(*counts))}
    times_us = sorted((ended[1] - begun[1]) / 1000 for begun, ended in calls)
    row["median_us"], row["p99_us"] = (times_us[len(times_us) * at // 100] for at in (50, 99))
    return row


def read_row(marks, first_ns, last_ns):
    """The READs of /dev/bench: each an answer of the owner, and at the reader what lies between
    the interrupt that brings it and the doorbell of the next."""
    reader, owner = ([row for row in rows if first_ns < row[1] < last_ns] for rows in marks)
    mine, theirs = answers_of(reader), answers_of(owner)
    if min(len(mine), len(theirs)) < COUNT / 2:      # some come while the card is masked
        raise rig.BenchError(f"{len(mine)} and {len(theirs)} of {COUNT} READs counted")
    return {"reader": statistics.median_low(mine), "owner": statistics.median_low(theirs),
            "trips": 1}


def measure():
    """{name: {reader, owner, trips, median_us, p99_us}}"""
    build()
    logs = os.path.join(freeze.BUILD, "bench/drive")
    os.makedirs(logs, exist_ok=True)
    drive = os.path.join(logs, "drive.img")
    drive_make(drive)
    figures = "sed -n 's/^drive_remote_[hm]/&/p' /nodes/0/status"
    steps = [f"echo '@ {name}'; {command} || exit 1; {figures}"
             for name, (command, _) in CASES.items()]
    steps.append(rig.bench_commands([f"read 1 4096 {COUNT}"]))
    text, _ = rig.run("; ".join(steps), nodes=2, smp=1, mem="256M", add=[PROGRAM], timeout=600,
                      logs=logs, append=["place=off"], disk=[rig.disk_parse(f"1:{drive}")],
                      plugin=f"{freeze.PLUGIN},out={logs}/marks{{node}}")
    parts = dict(part.split("\n", 1) for part in text.split("@ ")[1:])
    marks = [freeze.marks_read(f"{logs}/marks{node}") for node in (0, 1)]
    calls = [windows(rows) for rows in marks]
    result = {}
    for name, (_, node) in CASES.items():
        mine, calls[node] = calls[node][:COUNT], calls[node][COUNT:]
        if len(mine) != COUNT:
            raise rig.BenchError(f"{name}: {len(mine)} calls of {COUNT} marked: {text[-500:]}")
        result[name] = row_of(mine, marks[node], marks[1] if node == 0 else None)
        result[name].update({kind: int(found) for kind, found in re.findall(
            r"drive_remote_(hits|misses): (\d+)", parts[name])})
    last_ns = max(row[1] for row in marks[0])
    begun_ns = max(row[1] for rows in marks for row in rows if row[0] == RETURN)
    result[READ] = read_row(marks, begun_ns, last_ns)
    result[READ].update(rig.tables(text[text.index("@ read"):])[0][1])
    return result
