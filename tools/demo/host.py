"""What the demo's host makes and what it says: the input, an ext4 image of real files, the
sums that the nodes' are compared with, and the image's state afterwards. Used by demo.py."""
import hashlib
import os
import shutil
import subprocess

BUSYBOX = "/bin/busybox"
# The largest of these that is not larger than FILE_MAX is the input.
FILES = ("/usr/bin/qemu-system-x86_64", "/usr/lib/x86_64-linux-gnu/libLLVM-14.so.1",
         "/usr/bin/python3.11")
FILE_MAX = 64 << 20
DRIVE_BYTES = 8 << 20
# The first that is there gives the ext4's files, at most TREE_MAX, by name.
TREES = ("/usr/include/linux", "/usr/share/perl5", "/usr/include/x86_64-linux-gnu")
TREE_MIN, TREE_MAX = 100, 300
IMAGE_MIB = 48


class Failed(Exception):
    """The demo cannot be shown, or did not come to its end."""


def run(words, **how):
    """A command of the host; its output."""
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"     # where mkfs.ext4 is
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          env={**os.environ, "PATH": path}, **how)
    return done.returncode, done.stdout, done.stderr.decode(errors="replace")


def input_file():
    sized = [(os.path.getsize(path), path) for path in FILES if os.path.exists(path)]
    fitting = [entry for entry in sized if entry[0] <= FILE_MAX]
    if not fitting:
        raise Failed(f"none of {', '.join(FILES)} is here to work on")
    return max(fitting)[1]


def names_of(tree):
    """All regular files below, as find names them, in sort's order."""
    found = []
    for at, _, names in os.walk(tree):
        paths = [os.path.join(at, name) for name in names]
        found += ["." + path[len(tree):] for path in paths if not os.path.islink(path)]
    return sorted(found, key=os.fsencode)


def tree_make(tree):
    """Copies files of this machine into the directory; returns where they are from."""
    shutil.rmtree(tree, ignore_errors=True)
    for source in TREES:
        names = names_of(source) if os.path.isdir(source) else []
        if len(names) < TREE_MIN:
            continue
        for name in names[:TREE_MAX]:
            target = os.path.join(tree, name)
            os.makedirs(os.path.dirname(target), exist_ok=True)
            shutil.copyfile(os.path.join(source, name), target)
        return source
    raise Failed(f"none of {', '.join(TREES)} has {TREE_MIN} files")


def image_make(path, tree):
    """An ext4 of the tree, by this host's own mkfs.ext4."""
    if os.path.exists(path):
        os.remove(path)
    status, _, errors = run(["mkfs.ext4", "-q", "-d", tree, path, f"{IMAGE_MIB}M"])
    if status:
        raise Failed(f"mkfs.ext4: {errors}")


def image_check(path):
    """What e2fsck -fn says: (whether it is clean, its words)."""
    status, output, _ = run(["e2fsck", "-fn", path])
    return status == 0, output.decode(errors="replace")


def image_file(path, name):
    """A file's bytes, read by debugfs."""
    return run(["debugfs", "-R", f"cat {name}", path])[1]


def drive_make(path, source):
    """A drive that holds the file's beginning, nothing else; returns its SHA-1."""
    with open(source, "rb") as file:
        content = file.read(DRIVE_BYTES)
    content += b"\0" * (-len(content) % 4096)
    with open(path, "wb") as file:
        file.write(content)
    return hashlib.sha1(content).hexdigest()


def sums_of(tree, names):
    """What `xargs sha256sum | sha256sum` prints for these names."""
    total = hashlib.sha256()
    for name in names:
        with open(os.path.join(tree, name), "rb") as file:
            total.update(f"{hashlib.sha256(file.read()).hexdigest()}  {name}\n".encode())
    return total.hexdigest()


def file_sum(path, size=-1):
    """SHA-256 of the file, or of its first bytes."""
    with open(path, "rb") as file:
        return hashlib.sha256(file.read(size)).hexdigest()


def gzip_sum(path):
    """SHA-256 of the file's gzip by busybox."""
    status, packed, errors = run([BUSYBOX, "gzip", "-c", path])
    if status:
        raise Failed(f"{BUSYBOX} gzip: {errors}")
    return hashlib.sha256(packed).hexdigest()
