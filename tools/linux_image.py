#!/usr/bin/env python3
"""Builds the Linux guest of the interop tests: linux_image.py BUILD_DIR

BUILD/linux-peer/vmlinux and initramfs.cpio, from Debian packages: the full kernel
(the cloud flavour lacks rdma_rxe) by apt-get download into BUILD/cache, Debian's busybox,
rdma-core's libraries and rping, `rdma` of iproute2, and our own verbs programs.
"""
import glob
import lzma
import os
import re
import shutil
import subprocess
import sys
import zlib

import cpio_newc

MODULES = ("e1000", "rdma_ucm", "ib_umad", "crc32-pclmul", "crc32_generic", "rdma_rxe",
           "9p", "9pnet_fd")           # for bench/ipc.py
PROGRAMS = {"rping": "/usr/bin/rping", "rdma": None, "ibv_devinfo": None, "ucmatose": None,
            "ib_read_lat": None, "ib_write_lat": None, "ib_atomic_lat": None}
LIBRARIES = ("/usr/lib/x86_64-linux-gnu/libibverbs/librxe-rdmav34.so",
             "/lib/x86_64-linux-gnu/libgcc_s.so.1")  # rping aborts without libgcc_s
HERE = os.path.dirname(os.path.realpath(__file__))
ROOT = os.path.dirname(HERE)


def output_of(*words, **more):
    return subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True, **more).stdout


def kernel_package_name():
    """The package that linux-image-amd64 depends on, or None if apt does not know it."""
    text = output_of("apt-cache", "depends", "linux-image-amd64", stderr=subprocess.DEVNULL) \
        if shutil.which("apt-cache") else ""
    found = re.search(r"Depends: (linux-image-\S+-amd64)$", text, re.MULTILINE)
    return found.group(1) if found else None


def kernel_package_fetch(cache):
    """Path of the kernel's .deb in the cache; downloads it if it is not there."""
    have = glob.glob(cache + "/linux-image-*-amd64_*.deb")
    if have:
        return sorted(have)[-1]
    name = None
    try:
        name = kernel_package_name()
    except subprocess.CalledProcessError:
        pass
    if not name:
        as_root = [] if os.geteuid() == 0 else ["sudo"]
        subprocess.run([*as_root, "apt-get", "update", "-qq"], check=True, stdout=sys.stderr)
        name = kernel_package_name()
    if not name:
        raise SystemExit("linux_image: apt knows no linux-image-amd64")
    print(f"downloading {name} (70 MB)", file=sys.stderr, flush=True)
    as_is = ["-o", "APT::Sandbox::User=root"] if os.geteuid() == 0 else []
    subprocess.run(["apt-get", *as_is, "-q=2", "download", name], cwd=cache, check=True,
                   stdout=sys.stderr)
    return sorted(glob.glob(cache + "/linux-image-*-amd64_*.deb"))[-1]


def vmlinux_of(vmlinuz):
    """The ELF in a compressed kernel: it boots faster (PVH), and needs no unpacking by
    the guest. Returns the bytes as they are if the compression is not known."""
    with open(vmlinuz, "rb") as file:
        data = file.read()
    unpackers = ((b"\xfd7zXZ\0", lzma.LZMADecompressor),
                 (b"\x1f\x8b\x08", lambda: zlib.decompressobj(31)))
    for magic, unpacker in unpackers:
        place = data.find(magic, 0x4000)
        while place >= 0:
            try:
                kernel = unpacker().decompress(data[place:])
                if kernel[:4] == b"\x7fELF":
                    return kernel
            except (lzma.LZMAError, zlib.error):
                pass
            place = data.find(magic, place + 1)
    return data


def modules_in_order(tree):
    """Files of MODULES and what they depend on, dependencies first."""
    files = {os.path.basename(path)[:-3].replace("-", "_"): path
             for path in glob.glob(tree + "/lib/modules/*/kernel/**/*.ko", recursive=True)}
    order = []

    def visit(name):
        name = name.replace("-", "_")
        if files.get(name) is None:
            raise SystemExit(f"linux_image: the kernel package has no module {name}")
        if files[name] in order:
            return
        with open(files[name], "rb") as file:
            depends = re.search(rb"\0depends=([^\0]*)\0", file.read())
        for other in depends.group(1).decode().split(",") if depends else []:
            if other:
                visit(other)
        order.append(files[name])

    for name in MODULES:
        visit(name)
    return order


def libraries_of(path):
    """The shared libraries of an executable, the loader included, by ldd."""
    return re.findall(r"(/\S+) \(0x", output_of("ldd", path))


def initramfs_make(build, modules):
    archive = cpio_newc.Archive(plain=True)
    archive.file("init", read(ROOT + "/tests/interop/peer_init.sh"), 0o755)
    archive.file("bin/busybox", read("/bin/busybox"), 0o755)
    for name in ("sh", "mkdir"):
        archive.symlink("bin/" + name, "busybox")
    names = []
    for path in modules:
        names.append(os.path.basename(path))
        archive.file("modules/" + names[-1], read(path))
    archive.file("modules/order", ("\n".join(names) + "\n").encode())
    programs = {name: path or shutil.which(name, path=os.environ["PATH"] + ":/sbin:/usr/sbin")
                for name, path in PROGRAMS.items()}
    for name in ("client", "server"):
        programs[name] = f"{build}/interop/{name}"
    libraries = set(LIBRARIES)
    for name, path in programs.items():
        if not path:
            continue
        archive.file("usr/bin/" + name, read(path), 0o755)
        libraries.update(libraries_of(path))
    for path in LIBRARIES:
        libraries.update(libraries_of(path))
    for path in sorted(libraries):
        archive.file(path, read(path), 0o755)
    archive.file("etc/libibverbs.d/rxe.driver", b"driver rxe\n")
    archive.file("etc/passwd", b"root:x:0:0:root:/root:/bin/sh\n")
    return archive.bytes()


def read(path):
    with open(path, "rb") as file:
        return file.read()


def write_whole(path, data):
    with open(path + ".new", "wb") as file:
        file.write(data)
    os.replace(path + ".new", path)


def main():
    build = os.path.abspath(sys.argv[1])
    cache, output = build + "/cache", build + "/linux-peer"
    tree = output + "/tree"
    os.makedirs(cache, exist_ok=True)
    os.makedirs(output, exist_ok=True)
    package = kernel_package_fetch(cache)
    if not os.path.exists(f"{tree}/.from-{os.path.basename(package)}"):
        print(f"unpacking {os.path.basename(package)}", file=sys.stderr, flush=True)
        shutil.rmtree(tree, ignore_errors=True)
        subprocess.run(["dpkg", "-x", package, tree], check=True)
        write_whole(output + "/vmlinux", vmlinux_of(glob.glob(tree + "/boot/vmlinuz-*")[0]))
        write_whole(f"{tree}/.from-{os.path.basename(package)}", b"")
    write_whole(output + "/initramfs.cpio", initramfs_make(build, modules_in_order(tree)))


if __name__ == "__main__":
    main()
