"""A drive whose power is cut: what its log makes of it, and what must be there after e2fsck.
A log is a list of (kind, offset, bytes): kind b"W" is a write, b"F" a flush that has ended,
others are marks of the test's own. cuts.py has the log of ext4d's own calls, tests/system/
power.py that of QEMU's drive."""
import os
import struct
import subprocess

import host

SECTOR = 512
PIECE = 8 * SECTOR                       # of a write that was not flushed: there or not
DM_MAGIC = 0x6a736677736872              # Source: Linux Documentation dm-log-writes
DM_FLUSH, DM_FUA, DM_DISCARD, DM_MARK = 1, 2, 4, 8


def dm_log_read(path):
    """The records of a log in the format of Linux's dm-log-writes. What QEMU has not counted
    in the first sector yet is left out."""
    with open(path, "rb") as file:
        data = file.read()
    magic, version, entries, sector = struct.unpack_from("<QQQI", data)
    if magic != DM_MAGIC or version != 1:
        raise ValueError(f"{path} is no log of writes")
    records, at = [], sector
    for _ in range(entries):
        first, count, flags, _ = struct.unpack_from("<QQQQ", data, at)
        at += sector
        if flags & ~(DM_FLUSH | DM_FUA):
            raise ValueError(f"{path}: flags {flags:#x}: the node's drivers send no such request")
        if flags & DM_FLUSH:
            records.append((b"F", 0, b""))
        if count:
            records.append((b"W", first * sector, data[at:at + count * sector]))
            at += count * sector
        if flags & DM_FUA:
            records.append((b"F", 0, b""))
    return records


def cut(base, records, point, rng):
    """The drive's bytes if the power goes before record number `point`: what was flushed, and
    any part of what was written after that."""
    image = bytearray(base)
    flushed = max((i for i in range(point) if records[i][0] == b"F"), default=-1)
    for i in range(point):
        kind, offset, data = records[i]
        if kind != b"W":
            continue
        if i > flushed:                          # in the drive's cache
            for at in range(0, len(data), PIECE):
                if rng.randrange(2):
                    piece = data[at:at + PIECE]
                    image[offset + at:offset + at + len(piece)] = piece
        else:
            image[offset:offset + len(data)] = data
    return image


def points_of(records, count, rng):
    """Where to cut: half of them behind flushes (behind each, where they are fewer), the others
    anywhere."""
    flushes = [i + 1 for i, r in enumerate(records) if r[0] == b"F"]
    rng.shuffle(flushes)
    points = flushes[:count // 2]
    return points + [rng.randrange(1, len(records) + 1) for _ in range(count - len(points))]


def points_all(records, count, anywhere, rng):
    """Where to cut: behind every flush, and anywhere: `count` in all, but at least `anywhere`
    of the others."""
    points = [i + 1 for i, r in enumerate(records) if r[0] == b"F"]
    more = max(anywhere, count - len(points))
    return points + [rng.randrange(1, len(records) + 1) for _ in range(more)]


def repair_problem(image):
    """Has the image repaired as after a power cut. What is wrong with it, or an empty string."""
    code, report = host.fsck(image, True)
    if code > 2:
        return f"e2fsck -fy: status {code}\n{report}"
    code, report = host.fsck(image, False)
    return f"not clean after e2fsck -fy\n{report}" if code else ""


def file_read(image, name):
    return subprocess.run(["debugfs", "-R", f"cat /{name}", image], stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL).stdout


def first_problem(base, records, points, rng, where):
    """Cuts at each point; where(point, image) judges. The first thing wrong, or ''."""
    for point in points:
        broken = os.path.join(host.DIR, "cut.img")
        with open(broken, "wb") as file:
            file.write(cut(base, records, point, rng))
        problem = repair_problem(broken) or where(point, broken)
        if problem:
            return f"cut before record {point} of {len(records)}: {problem}"
    return ""
