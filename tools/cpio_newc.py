"""Writes cpio archives in the "newc" format: what the kernel's initial files are in.

Deterministic: the same entries give the same bytes (no times, no inode numbers of the
host). Spec: cpio(5), "New ASCII Format".
"""
import stat


class Archive:
    """Collects entries; parents are added as they are needed."""

    def __init__(self):
        self._parts = []
        self._size = 0
        self._names = set()

    def _entry(self, name, mode, data=b"", device=(0, 0)):
        name = name.strip("/")
        if name in self._names:
            raise ValueError(f"cpio: /{name} is there twice")
        parent = name.rpartition("/")[0]
        if parent and parent not in self._names:
            self.directory(parent)
        self._names.add(name)
        self._write(name, mode, data, device)

    def _write(self, name, mode, data, device=(0, 0), links=1):
        encoded = name.encode() + b"\0"
        fields = (len(self._names), mode, 0, 0, links, 0, len(data), 0, 0,
                  device[0], device[1], len(encoded), 0)
        header = b"070701" + b"".join(b"%08X" % field for field in fields) + encoded
        for part in (header, data):
            self._parts.append(part + b"\0" * (-len(part) % 4))

    def has(self, name):
        return name.strip("/") in self._names

    def directory(self, name, mode=0o755):
        self._entry(name, stat.S_IFDIR | mode)

    def file(self, name, data, mode=0o644):
        self._entry(name, stat.S_IFREG | mode, data)

    def symlink(self, name, target):
        self._entry(name, stat.S_IFLNK | 0o777, target.encode())

    def device(self, name, major, minor, mode=0o600):
        self._entry(name, stat.S_IFCHR | mode, b"", (major, minor))

    def bytes(self):
        """The whole archive, trailer included."""
        parts = self._parts
        self._parts = list(parts)
        self._write("TRAILER!!!", 0, b"")
        whole = b"".join(self._parts)
        self._parts = parts
        return whole + b"\0" * (-len(whole) % 512)
