#!/usr/bin/env python3
"""Makes the initial files of a node: mkinitrd.py OUTPUT USER_DIR

/bin/busybox is Debian's busybox-static, unmodified, with a link for each applet (but
for the names of our own programs, the files of USER_DIR, which go to /bin as well), and
/bin/e2fsck.static is Debian's e2fsck-static. As in Debian, /bin and /lib64 and their like are
links to those in /usr (cpio_newc.py).
"""
import os
import subprocess
import sys

import cpio_newc

BUSYBOX = "/bin/busybox"
E2FSCK = "/sbin/e2fsck.static"          # of Debian's e2fsck-static
# Busybox's shell runs its own commands before those of /bin: an alias puts ours first at the
# console. The prompt names the node where the shell is.
PROFILE = r"""export PATH=/bin HOME=/root
alias mount=/bin/mount umount=/bin/umount ps=/bin/ps top=/bin/top help=/bin/help
PS1='\h \w \$ '
echo "Isthmus: help says what is special here."
"""
TEXT_FILES = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
    "etc/group": "root:x:0:\nnogroup:x:65534:\n",
    "etc/shells": "/bin/sh\n",
    "etc/profile": PROFILE,
}
DIRECTORIES = ("dev", "etc", "mnt", "nodes", "proc", "usr", "usr/bin", "usr/lib", "usr/lib64")


def static_program(path, package):
    """The bytes of a static executable of Debian, unmodified."""
    with open(path, "rb") as file:
        data = file.read()
    if data[:4] != b"\x7fELF" or b"/lib64/ld-linux" in data:
        raise SystemExit(f"mkinitrd: {path} is not a static executable: install {package}")
    return data


def initrd_make(user_dir):
    archive = cpio_newc.Archive()
    for name in DIRECTORIES:
        archive.directory(name)
    archive.directory("root", 0o700)
    archive.directory("tmp", 0o1777)
    archive.directory("run/shm", 0o1777)     # behind /dev/shm
    for name in ("bin", "sbin", "lib", "lib64"):
        archive.symlink(name, cpio_newc.MERGED[name])
    archive.symlink("usr/sbin", "bin")
    for name, text in TEXT_FILES.items():
        archive.file(name, text.encode())
    archive.file("bin/busybox", static_program(BUSYBOX, "busybox-static"), 0o755)
    archive.file("bin/e2fsck.static", static_program(E2FSCK, "e2fsck-static"), 0o755)
    if os.path.isdir(user_dir):
        for name in sorted(os.listdir(user_dir)):
            path = os.path.join(user_dir, name)
            if os.path.isfile(path) and os.access(path, os.X_OK):
                with open(path, "rb") as file:
                    archive.file("bin/" + name, file.read(), 0o755)
    for name in ("mount.ext2", "mount.ext3", "mount.ext4"):
        archive.symlink("bin/" + name, "mount")
    applets = subprocess.run([BUSYBOX, "--list"], check=True, stdout=subprocess.PIPE, text=True)
    for applet in sorted(set(applets.stdout.split())):
        if not archive.has("bin/" + applet):
            archive.symlink("bin/" + applet, "busybox")
    return archive.bytes()


def main():
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    data = initrd_make(sys.argv[2])
    with open(sys.argv[1] + ".new", "wb") as file:
        file.write(data)
    os.replace(sys.argv[1] + ".new", sys.argv[1])


if __name__ == "__main__":
    main()
