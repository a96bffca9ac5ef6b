"""Writes cpio archives in the "newc" format: what the kernel's initial files are in.

Deterministic: the same entries give the same bytes (no inode numbers of the host, no times
but those that are given). Spec: cpio(5), "New ASCII Format".
"""
import stat

PAGE = 4096
HEADER_BYTES = 110
TIME_MAX = 2 ** 32 - 1
MERGED = {"bin": "usr/bin", "sbin": "usr/bin", "lib": "usr/lib", "lib32": "usr/lib32",
          "lib64": "usr/lib64", "libx32": "usr/libx32"}     # links at the top of the image


def usr_merged(name):
    """The path of `name` where /bin, /lib and so on are links to those in /usr, as Debian has
    them: bin/sh lies in usr/bin/sh. There is one directory for bin and sbin."""
    name = name.strip("/")
    if name.startswith("usr/sbin/"):
        return "usr/bin/" + name[len("usr/sbin/"):]
    top, slash, rest = name.partition("/")
    return f"{MERGED[top]}/{rest}" if slash and top in MERGED else name


class Archive:
    """Collects entries; parents are added as they are needed. The data of what is a page long
    or more begins at a page of the archive, so that the node takes it where it lies: zeros
    behind the name make up for the difference. plain: for Linux, paths as they are given, no such
zeros (it leaves out files whose name is longer than a path may be)."""

    def __init__(self, plain=False):
        self._plain = plain
        self._parts = []
        self._size = 0
        self._names = set()

    def _entry(self, name, mode, data=b"", device=(0, 0), mtime=0):
        name = self._path(name)
        if name in self._names:
            raise ValueError(f"cpio: /{name} is there twice")
        parent = name.rpartition("/")[0]
        if parent and parent not in self._names:
            self.directory(parent)
        self._names.add(name)
        self._write(name, mode, data, device, mtime)

    def _write(self, name, mode, data, device=(0, 0), mtime=0):
        encoded = name.encode() + b"\0"
        if len(data) >= PAGE and not self._plain:
            encoded += b"\0" * (-(self._size + HEADER_BYTES + len(encoded)) % PAGE)
        fields = (len(self._names), mode, 0, 0, 1, min(max(int(mtime), 0), TIME_MAX), len(data),
                  0, 0, device[0], device[1], len(encoded), 0)
        header = b"070701" + b"".join(b"%08X" % field for field in fields) + encoded
        for part in (header, data):
            self._parts.append(part + b"\0" * (-len(part) % 4))
            self._size += len(self._parts[-1])

    def has(self, name):
        return self._path(name) in self._names

    def _path(self, name):
        return name.strip("/") if self._plain else usr_merged(name)

    def directory(self, name, mode=0o755):
        self._entry(name, stat.S_IFDIR | mode)

    def file(self, name, data, mode=0o644, mtime=0):
        """mtime: seconds since 1970."""
        self._entry(name, stat.S_IFREG | mode, data, mtime=mtime)

    def symlink(self, name, target):
        self._entry(name, stat.S_IFLNK | 0o777, target.encode())

    def device(self, name, major, minor, mode=0o600):
        self._entry(name, stat.S_IFCHR | mode, b"", (major, minor))

    def bytes(self):
        """The whole archive, trailer included."""
        parts, size = self._parts, self._size
        self._parts = list(parts)
        self._write("TRAILER!!!", 0, b"")
        whole = b"".join(self._parts)
        self._parts, self._size = parts, size
        return whole + b"\0" * (-len(whole) % 512)
